import t from "tap";
import fc from "fast-check";
import type { State } from "../../src/features/monitors/opinion.js";
import { EMPTY_ROLLUP, latencyFigures, merged, withResult } from "../../src/features/monitors/rollup.js";
import { Sketch, withValue, type SketchBuckets } from "../../src/features/monitors/sketch.js";
import { DAY_MS, unwatchedSpans, uptimeByDay } from "../../src/features/monitors/uptime.js";
import { MemoryStorage } from "../../src/io/memory-storage.js";
import { result, store, T0 } from "./result-stores.js";

const HOUR_MS = 3_600_000;

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
  const hours = fc.uniqueArray(fc.integer({ min: 0, max: 60 }), { maxLength: 20 });
  fc.assert(fc.property(fc.array(fc.tuple(state, fc.integer({ min: -DAY_MS, max: 3 * DAY_MS })), { maxLength: 40 }), hours, (drawn, unwatched) => {
    const spans = unwatched.sort((a, b) => a - b).map((hour) => ({ fromMs: start + hour * HOUR_MS, toMs: start + (hour + 1) * HOUR_MS }));
    const changes = drawn.map(([said, offset], index) => ({ state: said, since: start + offset, hlc: String(index) }));
    const days = uptimeByDay(changes, start, start + 3 * DAY_MS - 1, start + 2 * DAY_MS + 12_345_678, spans);
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

const hoursOf = (from: number, ...hours: readonly number[]): ReadonlySet<number> => new Set(hours.map((hour) => from + hour * HOUR_MS));

t.test("hours in which nobody looked count as unknown, and nothing else does", async (t) => {
  const start = Date.UTC(2026, 0, 10);
  const now = start + 20 * HOUR_MS;
  const span = (from: number, to: number): unknown => ({ fromMs: start + from * HOUR_MS, toMs: start + to * HOUR_MS });
  const days = new Set([start]);
  const spans = (hours: ReadonlySet<number>, intervalMs = 30_000, at = now): unknown => unwatchedSpans({ hours, days }, intervalMs, 90 * DAY_MS, at);
  const looked = hoursOf(start, 3, 4, 5, 9, 10, 12, 13, 14, 15, 16, 17, 18, 19);
  t.same(spans(looked), [span(6, 9), span(11, 12)], "before the first look nothing is told");
  t.same(spans(looked, HOUR_MS), [span(6, 9)], "an hour may lie between two checks");
  t.same(spans(looked, 30_000, now + 3 * HOUR_MS + 20 * 60_000), [span(6, 9), span(11, 12), span(20, 23)]);
  t.same(spans(looked, 30_000, now + HOUR_MS + 14 * 60_000), [span(6, 9), span(11, 12)], "what was seen in the last hour may be on its way");
  t.same(spans(new Set()), [], "nobody has ever looked");
  const changes = [{ state: "up", since: start, hlc: "1" }, { state: "down", since: start + 8 * HOUR_MS, hlc: "2" }] as const;
  t.match(uptimeByDay(changes, start, now, now, unwatchedSpans({ hours: looked, days }, 30_000, 90 * DAY_MS, now)), [
    { up_seconds: 6 * 3_600, down_seconds: (20 - 9 - 1) * 3_600, unknown_seconds: 4 * 3_600, uptime: 6 / 16 },
  ]);
});

t.test("of a time whose hours are not kept any more, only whole days are unknown", async (t) => {
  const start = Date.UTC(2026, 0, 1);
  const now = start + 100 * DAY_MS + 1_000_000;
  const days = new Set([...Array(101).keys()].filter((day) => day !== 3 && day !== 50).map((day) => start + day * DAY_MS));
  const hours = new Set([...Array(100 * 24).keys()].filter((hour) => hour >= 11 * 24 && Math.floor(hour / 24) !== 50 && hour !== 60 * 24 + 5).map((hour) => start + hour * HOUR_MS));
  t.same(unwatchedSpans({ hours, days }, 30_000, 90 * DAY_MS, now), [
    { fromMs: start + 3 * DAY_MS, toMs: start + 4 * DAY_MS }, { fromMs: start + 50 * DAY_MS, toMs: start + 51 * DAY_MS }, { fromMs: start + 60 * DAY_MS + 5 * HOUR_MS, toMs: start + 60 * DAY_MS + 6 * HOUR_MS },
  ]);
});

t.test("the beginnings of rollups are told without reading them, the open ones included", async (t) => {
  const { results } = store(new MemoryStorage());
  for (const at of [0, 1_000, 2 * HOUR_MS, 5 * HOUR_MS]) results.append(result(T0 + at));
  await results.flush();
  const everybody = () => true;
  for (const tier of ["hour", "day"] as const) {
    const starts = await results.starts("default/m", tier, 0, T0 + 10 * DAY_MS, everybody);
    t.same([...starts].sort(), (await results.rollups("default/m", tier, 0, T0 + 10 * DAY_MS, everybody)).map((rollup) => rollup.start));
    t.ok(starts.size > 0);
  }
  t.same([...(await results.starts("default/m", "hour", 0, T0 + 10 * DAY_MS, () => false))], []);
});
