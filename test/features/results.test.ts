import t from "tap";
import fc from "fast-check";
import type { State } from "../../src/features/monitors/opinion.js";
import { EMPTY_ROLLUP, latencyFigures, merged, withResult } from "../../src/features/monitors/rollup.js";
import { Sketch, withValue, type SketchBuckets } from "../../src/features/monitors/sketch.js";
import { DAY_MS, uptimeByDay } from "../../src/features/monitors/uptime.js";
import { MemoryStorage } from "../../src/io/memory-storage.js";
import { result, store, T0 } from "./result-stores.js";

t.test("results are given newest first, from a time on and before another, of one monitor only", async (t) => {
  const { results } = store(new MemoryStorage());
  for (let index = 0; index < 10; index++) results.append(result(T0 + index * 1_000));
  results.append(result(T0, "up", 1, "default/m2"));
  const times = async (from: number, to: number, limit = 100) => (await results.query("default/m", from, to, limit)).map(({ at }) => (at - T0) / 1_000);
  t.same(await times(0, Number.MAX_SAFE_INTEGER, 3), [9, 8, 7]);
  t.same(await times(T0 + 2_000, T0 + 5_000), [4, 3, 2]);
  t.equal(results.latest("default/m")?.at, T0 + 9_000);
  t.equal(await results.lastUp("default/m"), T0 + 9_000);
});

t.test("rollups hold every final result once, by minute, hour and day, also over a crash", async (t) => {
  const storage = new MemoryStorage();
  const first = store(storage);
  for (let index = 0; index < 60; index++) first.results.append(result(T0 + index * 5_000, index % 10 === 0 ? "down" : "up", index));
  first.results.append({ ...result(T0 + 1, "down"), isFinal: false });
  await first.results.flush();
  // No orderly end: what is open was never saved.
  const { results } = store(storage);
  for (let index = 60; index < 72; index++) results.append(result(T0 + index * 5_000, "up", index));
  const total = async (tier: "minute" | "hour" | "day") => (await results.rollups("default/m", tier, 0, T0 + 2 * DAY_MS)).map(({ rollup }) => [rollup.up, rollup.down]);
  t.same(await total("minute"), [[10, 2], [11, 1], [11, 1], [11, 1], [11, 1], [12, 0]]);
  t.same(await total("hour"), [[21, 3], [45, 3]]);
  t.same(await total("day"), [[21, 3], [45, 3]]);
});

t.test("rollups that were saved are gone on with", async (t) => {
  const storage = new MemoryStorage();
  const first = store(storage);
  first.results.append(result(T0));
  await first.results.flush();
  first.time.monotonicMs += 301_000;
  first.results.append(result(T0 + 1_000));
  await first.results.flush();
  const { results } = store(storage);
  results.append(result(T0 + 2_000));
  t.match(await results.rollups("default/m", "day", 0, T0 + DAY_MS), [{ rollup: { up: 3 } }]);
});

t.test("what is older than it is kept is deleted, of every monitor", async (t) => {
  const storage = new MemoryStorage();
  const { results, time } = store(storage);
  for (const key of ["default/a", "default/b"]) for (let index = 0; index < 3; index++) results.append(result(T0 + index * 3_600_000, "up", 1, key));
  await results.flush();
  time.nowMs = T0 + 49 * 3_600_000;
  time.monotonicMs += 2 * 3_600_000;
  await results.flush();
  for (const key of ["default/a", "default/b"]) t.equal((await results.query(key, 0, Number.MAX_SAFE_INTEGER, 10)).length, 2, key);
});

t.test("a disk that refuses ends the keeping of results, and nothing else", async (t) => {
  const { results, failures } = store(new MemoryStorage({ failWrites: () => new Error("ENOSPC") }));
  results.append(result(T0));
  await results.flush();
  results.append(result(T0 + 1));
  await results.flush();
  t.equal(failures.length, 1);
  t.equal(results.latest("default/m")?.at, T0 + 1);
});

t.test("a sketch to which values are added one by one is the sketch of all of them", async (t) => {
  fc.assert(fc.property(fc.array(fc.double({ min: 0, max: 1e8, noNaN: true }), { maxLength: 60 }), (values) => {
    const whole = new Sketch();
    for (const value of values) whole.add(value);
    return JSON.stringify(values.reduce<SketchBuckets>(withValue, [])) === JSON.stringify(whole.buckets());
  }));
  const before = withResult(EMPTY_ROLLUP, "up", 10);
  const kept = JSON.stringify(before);
  t.match(withResult(withResult(before, "degraded", 30), "down", null), { up: 1, degraded: 1, down: 1, sum: 40, min: 10, max: 30 });
  t.equal(JSON.stringify(before), kept, "what was there stays as it was");
});

t.test("quantiles lie within one percent, whatever the order and grouping in which sketches are merged", async () => {
  fc.assert(fc.property(fc.array(fc.double({ min: 0.1, max: 100_000, noNaN: true }), { minLength: 1, maxLength: 300 }), fc.nat({ max: 299 }), (values, cut) => {
    const whole = new Sketch();
    for (const value of values) whole.add(value);
    const parts = [values.slice(cut), values.slice(0, cut)].map((part) => {
      const sketch = new Sketch();
      for (const value of part) sketch.add(value);
      return sketch.buckets();
    });
    const joined = Sketch.of(parts[0] ?? []);
    joined.merge(parts[1] ?? []);
    const sorted = [...values].sort((a, b) => a - b);
    const isClose = [0.5, 0.95, 0.99].every((q) => {
      const exact = sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)] ?? 0;
      return Math.abs((whole.quantile(q) ?? 0) - exact) <= exact * 0.0101;
    });
    return isClose && JSON.stringify(whole.buckets()) === JSON.stringify(joined.buckets());
  }));
});

t.test("figures of a rollup", async (t) => {
  const rollup = [10, 20, 30, 40].reduce((sum, latency) => withResult(sum, "up", latency), withResult(EMPTY_ROLLUP, "down", 9_999));
  t.match(latencyFigures(rollup), { count: 4, mean: 25, min: 10, max: 40 });
  t.same(latencyFigures(EMPTY_ROLLUP), { count: 0, mean: null, min: null, max: null, p50: null, p95: null, p99: null });
  t.match(merged(rollup, rollup), { up: 8, down: 2, sum: 200 });
});

t.test("the seconds of a day add up to it exactly", async () => {
  const state = fc.constantFrom<State>("up", "degraded", "down", "unknown");
  const start = Date.UTC(2026, 0, 10);
  fc.assert(fc.property(fc.array(fc.tuple(state, fc.integer({ min: -DAY_MS, max: 3 * DAY_MS })), { maxLength: 40 }), (drawn) => {
    const changes = drawn.map(([said, offset], index) => ({ state: said, since: start + offset, hlc: String(index) }));
    const days = uptimeByDay(changes, start, start + 3 * DAY_MS - 1, start + 2 * DAY_MS + 12_345_678);
    const sums = days.map((day) => day.up_seconds + day.degraded_seconds + day.down_seconds + day.unknown_seconds);
    return JSON.stringify(sums) === JSON.stringify([86_400, 86_400, 12_345]);
  }));
});

t.test("an outage over midnight counts on both days", async (t) => {
  const start = Date.UTC(2026, 0, 10);
  const changes = [{ state: "up", since: start, hlc: "1" }, { state: "down", since: start + DAY_MS - 600_000, hlc: "2" }, { state: "up", since: start + DAY_MS + 300_000, hlc: "3" }] as const;
  t.match(uptimeByDay(changes, start, start + DAY_MS, start + 2 * DAY_MS), [
    { date: "2026-01-10", up_seconds: 85_800, down_seconds: 600, unknown_seconds: 0, uptime: 85_800 / 86_400 }, { date: "2026-01-11", up_seconds: 86_100, down_seconds: 300 },
  ]);
});
