/** The runner on a clock that a test turns. */
import t from "tap";
import { NO_PHASES, type Check, type CheckOutcome } from "../../src/core/check.js";
import type { Timer } from "../../src/core/ports.js";
import { Runner, type RunnerResult, type RunnerTask } from "../../src/features/monitors/runner.js";

/** Time that stands still until it is moved on. */
class TurnedClock {
  nowMs = 1_000_000;
  private readonly timers: { at: number; callback: () => void }[] = [];
  readonly clock = { now: () => this.nowMs, monotonic: () => this.nowMs };
  readonly ports = {
    after: (ms: number, callback: () => void): Timer => {
      const timer = { at: this.nowMs + ms, callback };
      this.timers.push(timer);
      return { cancel: () => void this.timers.splice(this.timers.indexOf(timer) >>> 0, 1) };
    },
  };

  async advance(ms: number): Promise<void> {
    const end = this.nowMs + ms;
    for (;;) {
      await settle();
      const next = this.timers.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0];
      if (next === undefined) break;
      this.timers.splice(this.timers.indexOf(next), 1);
      this.nowMs = Math.max(this.nowMs, next.at);
      next.callback();
    }
    this.nowMs = end;
    await settle();
  }
}

const settle = (): Promise<void> => new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
const up: CheckOutcome = { state: "up", phases: { ...NO_PHASES, total: 5 }, error: null, details: {} };
const down: CheckOutcome = { state: "down", phases: { ...NO_PHASES, total: 5 }, error: { code: "status", message: "the status is 500" }, details: {} };

function task(key: string, over: Partial<RunnerTask> = {}): RunnerTask {
  return { key, intervalMs: 10_000, retries: 0, retryDelayMs: 0, check: { type: "http", target: `http://${key}/`, timeoutMs: 1_000, options: {} }, soon: true, ...over };
}

function running(answer: (check: Check, nth: number) => CheckOutcome | Promise<CheckOutcome>, canaries: (() => CheckOutcome)[] = []) {
  const time = new TurnedClock();
  const results: RunnerResult[] = [];
  const asked = new Map<string, number>();
  const runner = new Runner({
    probe: { run: async (check) => {
      const nth = (asked.get(check.target) ?? 0) + 1;
      asked.set(check.target, nth);
      return answer(check, nth);
    } },
    canaryProbe: { run: async (check) => canaries[Number(check.target)]?.() ?? down },
    canaries: canaries.map((_canary, index) => ({ type: "http", target: String(index), timeoutMs: 1_000, options: {} })),
    clock: time.clock, timers: time.ports, report: (result) => results.push(result),
  });
  return { time, results, asked, runner };
}

t.test("a monitor is looked at soon, again within an interval, and then once every interval", async (t) => {
  const { runner, time, results } = running(() => up);
  runner.assign([task("a")], []);
  await time.advance(1_000);
  t.equal(results.length, 1);
  await time.advance(60_000);
  t.equal(results.length, 7);
  const [first = 0, ...steps] = results.slice(1).map(({ at }, index) => at - (results[index]?.at ?? 0));
  t.ok(first > 0 && first <= 10_000, String(first));
  t.ok(steps.every((step) => Math.abs(step - 10_000) <= 1), steps.join());
  runner.assign([], ["a"]);
  await time.advance(60_000);
  t.equal(results.length, 7);
});

t.test("a failure counts only after it was tried again", async (t) => {
  const { runner, time, results } = running((_check, nth) => (nth === 1 || nth > 2 ? down : up));
  runner.assign([task("a", { retries: 1, retryDelayMs: 500 })], []);
  await time.advance(2_000);
  t.match(results, [{ state: "down", attempt: 1, isFinal: false }, { state: "up", attempt: 2, isFinal: true }]);
  t.equal((results[1]?.at ?? 0) - (results[0]?.at ?? 0), 500);
  await time.advance(10_000);
  t.match(results.slice(2), [{ state: "down", attempt: 1, isFinal: false }, { state: "down", attempt: 2, isFinal: true }]);
  t.equal(results[3]?.roundAt, results[2]?.at, "the round began with its first try");
});

t.test("while all canaries fail a failure is the region's own, and while one answers it is not", async (t) => {
  let uplink = false;
  const { runner, time, results } = running(() => down, [() => down, () => (uplink ? up : down)]);
  runner.assign([task("a")], []);
  await time.advance(1_000);
  t.match(results, [{ state: "unknown", error: { code: "canaries" } }]);
  uplink = true;
  await time.advance(20_000);
  t.match(results.at(-1), { state: "down", error: { code: "status" } });
});

t.test("a check that does not come back is not begun again, and holds nothing else up", async (t) => {
  const { runner, time, results, asked } = running((check) => (check.target.includes("stuck") ? new Promise(() => undefined) : up));
  runner.assign([task("stuck"), task("fine")], []);
  await time.advance(60_000);
  t.equal(asked.get("http://stuck/"), 1);
  t.ok(results.filter(({ key }) => key === "fine").length >= 6);
});

t.test("monitors that are made together are spread over their interval from their second time on", async (t) => {
  const { runner, time, results } = running(() => up);
  runner.assign(Array.from({ length: 3_000 }, (_, index) => task(`default/m${index}`, { intervalMs: 30_000 })), []);
  await time.advance(1_000);
  t.equal(results.length, 3_000, "all of them are looked at soon");
  await time.advance(30_000);
  t.equal(results.length, 6_000);
  const seconds = new Array<number>(31).fill(0);
  for (const { at } of results.slice(3_000)) {
    const second = Math.floor((at - 1_000_000) / 1_000);
    seconds[second] = (seconds[second] ?? 0) + 1;
  }
  t.ok(Math.max(...seconds) < 2 * (3_000 / 30), `at most ${Math.max(...seconds)} in a second`);
});

t.test("five thousand monitors are spread over their interval, and none drifts", async (t) => {
  const { runner, time, results } = running(() => up);
  runner.assign(Array.from({ length: 5_000 }, (_, index) => task(`default/m${index}`, { intervalMs: 30_000, soon: false })), []);
  await time.advance(90_000);
  const seconds = new Array<number>(30).fill(0);
  const start = 1_000_000;
  for (const { at } of results.filter((result) => result.at - start < 30_000)) {
    const second = Math.floor((at - start) / 1_000);
    seconds[second] = (seconds[second] ?? 0) + 1;
  }
  t.ok(Math.max(...seconds) < 2 * (5_000 / 30), `at most ${Math.max(...seconds)} in a second`);
  t.ok(results.length >= 14_900 && results.length <= 15_100, `${results.length} results`);
  t.ok(results.every(({ lateMs }) => lateMs <= 1));
});
