import fc from "fast-check";
import { randomInt } from "node:crypto";
import t from "tap";
import { encodeHlc, HLC_ZERO, hlcCounter, hlcMs, hlcTime, HybridClock, isHlc, laterHlc } from "../../src/core/hlc.js";

const seed = Number(process.env["STATUSMESH_TEST_SEED"] ?? randomInt(2 ** 31));
t.comment(`seed ${seed}`);

const NODES = ["0000000000aa", "0000000000ab", "ffffffffffff"] as const;
const wall = fc.oneof(fc.nat({ max: 50 }), fc.double({ min: 0, max: 50, noNaN: true }));
const step = fc.oneof(
  fc.record({ send: fc.nat({ max: 2 }), wall }),
  fc.record({ from: fc.nat({ max: 2 }), to: fc.nat({ max: 2 }), wall }),
);

t.test("stamps only grow, whatever the wall clocks do, and each is later than all that its clock learned before", async (t) => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (script) => {
      const clocks = NODES.map((node) => ({ clock: new HybridClock(node), known: HLC_ZERO }));
      const all = new Set<string>();
      for (const event of script) {
        if ("send" in event) {
          const at = clocks[event.send];
          if (at === undefined) return false;
          const stamp = at.clock.send(event.wall);
          if (!isHlc(stamp) || stamp <= at.known || all.has(stamp)) return false;
          all.add(stamp);
          at.known = stamp;
        } else {
          const [from, to] = [clocks[event.from], clocks[event.to]];
          if (from === undefined || to === undefined) return false;
          if (to.clock.receive(from.clock.latest(), event.wall, 1_000)) to.known = laterHlc(to.known, from.known);
        }
      }
      return true;
    }),
    { seed, numRuns: 500 },
  );
  t.pass("monotone");
});

t.test("the text form gives its parts back and sorts as time", async (t) => {
  const stamp = fc.tuple(fc.integer({ min: 0, max: 0xffffffffffff }), fc.integer({ min: 0, max: 0xffffffff }));
  fc.assert(
    fc.property(stamp, stamp, ([ms, counter], [otherMs, otherCounter]) => {
      const [a, b] = [encodeHlc(ms, counter, NODES[0]), encodeHlc(otherMs, otherCounter, NODES[0])];
      return isHlc(a) && hlcMs(a) === ms && hlcCounter(a) === counter && Math.sign(a < b ? -1 : a > b ? 1 : 0) === Math.sign(ms - otherMs || counter - otherCounter);
    }),
    { seed },
  );
  t.equal(hlcTime(encodeHlc(Date.UTC(2026, 0, 2), 7, NODES[0])), "2026-01-02T00:00:00.000Z");
  for (const bad of ["", "0".repeat(31), "0".repeat(33), "G".repeat(32), 5, null]) t.notOk(isHlc(bad));
});

t.test("a stamp further ahead than the bound is not adopted, one at the bound is", async (t) => {
  const clock = new HybridClock(NODES[0]);
  t.notOk(clock.receive(encodeHlc(1_000 + 60_001, 0, NODES[1]), 1_000, 60_000));
  t.equal(hlcMs(clock.send(1_000)), 1_000);
  t.ok(clock.receive(encodeHlc(1_000 + 60_000, 9, NODES[1]), 1_000, 60_000));
  t.equal(clock.send(1_000), encodeHlc(61_000, 10, NODES[0]));
});

t.test("a wall clock with fractions of a millisecond does not give a stamp twice", async (t) => {
  const clock = new HybridClock(NODES[0]);
  const stamps = [5.1, 5.2, 5.9, 5.95].map((ms) => clock.send(ms));
  t.same(stamps, [...new Set(stamps)].sort());
});

t.test("a counter that is full goes over into the next millisecond", async (t) => {
  const clock = new HybridClock(NODES[0]);
  clock.receive(encodeHlc(5, 0xffffffff, NODES[1]), 5, 0);
  t.equal(clock.send(5), encodeHlc(6, 0, NODES[0]));
  t.throws(() => new HybridClock("not hex"), RangeError);
});

t.test("the time of a stamp is what a date says", async () => {
  fc.assert(fc.property(fc.array(fc.integer({ min: 0, max: 0xffffffffffff }), { minLength: 1 }), (times) => times.every((ms) => hlcTime(encodeHlc(ms, 7, NODES[0])) === new Date(ms).toISOString())), { seed });
  // Days follow each other and come back.
  for (const ms of [0, 86_399_999, 86_400_000, 1, 253_402_300_799_999, 253_402_300_800_000]) t.equal(hlcTime(encodeHlc(ms, 0, NODES[0])), new Date(ms).toISOString());
});
