import t from "tap";
import fc from "fast-check";
import { CheckSchedule, spreadOf } from "../../src/core/check-schedule.js";

t.test("a check is due at its first time and every interval after it, however late it was taken", async (t) => {
  const schedule = new CheckSchedule();
  schedule.set("a", 100, 10);
  t.same(schedule.takeDue(9), []);
  t.same(schedule.takeDue(35), [{ key: "a", dueMs: 10 }]);
  t.equal(schedule.nextMs(), 110);
  t.same(schedule.takeDue(430), [{ key: "a", dueMs: 410 }], "of the times that were missed only the latest");
  t.equal(schedule.nextMs(), 510);
});

t.test("a check may be due for the second time sooner than an interval after the first", async (t) => {
  const schedule = new CheckSchedule();
  schedule.set("a", 100, 10, 40);
  t.same(schedule.takeDue(12), [{ key: "a", dueMs: 10 }]);
  t.same(schedule.takeDue(41), [{ key: "a", dueMs: 40 }]);
  t.equal(schedule.nextMs(), 140);
  schedule.set("b", 100, 10, 40);
  t.same(schedule.takeDue(45), [{ key: "b", dueMs: 40 }], "of the two that were missed only the latest");
  t.same(schedule.takeDue(345).map(({ dueMs }) => dueMs), [340, 340]);
});

t.test("a check that was changed or dropped is not due by its former times", async (t) => {
  const schedule = new CheckSchedule();
  schedule.set("a", 100, 10);
  schedule.set("b", 100, 20);
  schedule.set("a", 100, 50);
  schedule.delete("b");
  t.equal(schedule.size, 1);
  t.same(schedule.takeDue(60), [{ key: "a", dueMs: 50 }]);
});

t.test("checks come in the order in which they are due, and none is lost", async () => {
  const tasks = fc.uniqueArray(fc.record({ key: fc.string({ minLength: 1, maxLength: 4 }), interval: fc.integer({ min: 1, max: 50 }), first: fc.integer({ min: 0, max: 50 }) }), { selector: ({ key }) => key, maxLength: 30 });
  fc.assert(fc.property(tasks, fc.integer({ min: 1, max: 7 }), (drawn, step) => {
    const schedule = new CheckSchedule();
    for (const { key, interval, first } of drawn) schedule.set(key, interval, first);
    const taken = new Map<string, number[]>();
    for (let now = 0; now <= 200; now += step) {
      let before = Number.NEGATIVE_INFINITY;
      for (const { key, dueMs } of schedule.takeDue(now)) {
        if (dueMs > now) return false;
        taken.set(key, [...(taken.get(key) ?? []), dueMs]);
        before = Math.max(before, dueMs);
      }
    }
    return drawn.every(({ key, interval, first }) => {
      const times = taken.get(key) ?? [];
      const onGrid = times.every((time) => (time - first) % interval === 0);
      const rounds = times.every((time, index) => index === 0 || time - (times[index - 1] ?? 0) < interval + step + interval);
      return onGrid && rounds && (first > 200 - step || times.length > 0);
    });
  }));
});

t.test("similar names are spread evenly", async (t) => {
  const slots = new Array<number>(10).fill(0);
  for (let index = 0; index < 5_000; index++) {
    const slot = Math.floor(spreadOf(`default/monitor-${index}`) * 10);
    slots[slot] = (slots[slot] ?? 0) + 1;
  }
  t.ok(slots.every((count) => count > 400 && count < 600), slots.join());
});
