/** Runners that share a replica's monitors, on a clock that a test turns. */
import t from "tap";
import { NO_PHASES } from "../../src/core/check.js";
import { runnerLimits } from "../../src/core/limits.js";
import type { Timer } from "../../src/core/ports.js";
import { RunnerPool, type Beat, type EmbeddedMode, type Orders } from "../../src/features/monitors/runner-pool.js";
import type { RunnerResult, RunnerTask } from "../../src/features/monitors/runner.js";

const KEYS = Array.from({ length: 60 }, (_, index) => `default/m${index}`);

function task(key: string, over: Partial<RunnerTask> = {}): RunnerTask {
  return { key, intervalMs: 5_000, retries: 0, retryDelayMs: 0, soon: false, check: { type: "tcp", target: "example.com:80", timeoutMs: 1_000, options: {} }, ...over };
}

function result(key: string, at = 1): RunnerResult {
  return { key, at, state: "up", latencyMs: 1, phases: NO_PHASES, error: null, attempt: 1, isFinal: true, roundAt: at, lateMs: 0 };
}

/** A runner as its process would be: it does what it is told, and tells what it holds. */
class Remote {
  readonly holding = new Map<string, RunnerTask>();
  holds = 0;
  batch = 0;

  constructor(private readonly pool: RunnerPool, readonly name: string, readonly instance = name) {}

  /** `isLost`: the answer does not arrive. */
  beat(part: Partial<Beat> = {}, isLost = false): Orders {
    const orders = this.pool.beat(this.name, { instance: this.instance, holds: this.holds, batch: ++this.batch, results: [], ran: [], ...part });
    if (orders === undefined) throw new Error("there are too many runners");
    if (isLost) return orders;
    if (orders.reset) this.holding.clear();
    for (const key of orders.dropped) this.holding.delete(key);
    for (const one of orders.tasks) this.holding.set(one.key, one);
    this.holds = orders.revision;
    return orders;
  }
}

function pooled(mode: EmbeddedMode = "yield") {
  const time = { nowMs: 1_000 };
  const waiting: { at: number; callback: () => void }[] = [];
  const embedded = new Set<string>();
  const heard: RunnerResult[] = [];
  const pool = new RunnerPool({
    mode, clock: { now: () => 1_700_000_000_000 + time.nowMs, monotonic: () => time.nowMs }, log: () => undefined,
    timers: { after: (ms, callback): Timer => {
      const timer = { at: time.nowMs + ms, callback };
      waiting.push(timer);
      return { cancel: () => void waiting.splice(waiting.indexOf(timer) >>> 0, 1) };
    } },
    embedded: {
      onResult: () => undefined,
      assign: (tasks, dropped) => {
        for (const key of dropped) embedded.delete(key);
        for (const { key } of tasks) embedded.add(key);
      },
      runNow: async ({ key }) => result(key, 99),
    },
  });
  pool.onResult((one) => heard.push(one));
  const advance = (ms: number): void => {
    for (const end = time.nowMs + ms; ; ) {
      const next = waiting.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0];
      if (next === undefined) {
        time.nowMs = end;
        return;
      }
      waiting.splice(waiting.indexOf(next), 1);
      time.nowMs = next.at;
      next.callback();
    }
  };
  return { pool, advance, embedded, heard };
}

const keysOf = (remote: Remote): string[] => [...remote.holding.keys()];

t.test("two runners share all monitors, each has one, and the replica's own runner yields", async (t) => {
  const { pool, embedded } = pooled();
  pool.assign(KEYS.map((key) => task(key)), []);
  t.equal(embedded.size, KEYS.length, "while there is no other");
  const [a, b] = [new Remote(pool, "a"), new Remote(pool, "b")];
  a.beat();
  t.equal(a.holding.size, KEYS.length);
  b.beat();
  a.beat();
  t.same([...keysOf(a), ...keysOf(b)].sort(), [...KEYS].sort(), "each monitor once");
  t.ok(a.holding.size > 15 && b.holding.size > 15, `${a.holding.size} and ${b.holding.size}`);
  t.equal(embedded.size, 0);
  pool.assign([task("default/new", { soon: true })], ["default/m0"]);
  for (const remote of [a, b]) remote.beat();
  t.equal([...keysOf(a), ...keysOf(b)].filter((key) => key === "default/new").length, 1);
  t.notOk([...keysOf(a), ...keysOf(b)].includes("default/m0"));
  t.match(pool.status().map(({ monitors }) => monitors), [a.holding.size, b.holding.size]);
});

t.test("the share of a runner that says nothing is taken over, so that each is checked within an interval of its last beat", async (t) => {
  const { advance, embedded, pool } = pooled();
  pool.assign(KEYS.map((key) => task(key, { intervalMs: 20_000 })), []);
  const [a, b] = [new Remote(pool, "a"), new Remote(pool, "b")];
  for (const remote of [a, b, a]) remote.beat();
  const share = keysOf(b);
  let passedMs = 0;
  for (; a.holding.size < KEYS.length; passedMs += runnerLimits.beatMs) {
    if (passedMs > 10_000) throw new Error("nothing is taken over");
    advance(runnerLimits.beatMs);
    a.beat();
  }
  for (const key of share) {
    const within = a.holding.get(key)?.firstWithinMs ?? Number.POSITIVE_INFINITY;
    t.ok(passedMs + within <= 20_000, `${key}: after ${passedMs} ms, within ${within}`);
  }
  t.ok(passedMs >= runnerLimits.leaseMs, "not before its lease is over");
  advance(runnerLimits.leaseMs + 1_000);
  t.same([...embedded].sort(), [...KEYS].sort(), "where none is left, the replica checks itself");
  b.beat();
  t.same(keysOf(b).sort(), [...KEYS].sort(), "one that comes back gets its share anew");
});

t.test("whatever answer is lost, the next one makes it good; and a life before counts for nothing", async (t) => {
  const { pool } = pooled();
  pool.assign(KEYS.slice(0, 10).map((key) => task(key)), []);
  const a = new Remote(pool, "a");
  a.beat({}, true);
  a.beat();
  t.equal(a.holding.size, 10);
  pool.assign([task("default/x")], ["default/m1"]);
  a.beat({}, true);
  pool.assign([], ["default/m2"]);
  a.beat();
  t.same(keysOf(a).sort(), [...KEYS.slice(0, 10).filter((key) => key !== "default/m1" && key !== "default/m2"), "default/x"].sort());
  t.same(a.beat().tasks, [], "nothing is said twice");
  const other = pooled();
  other.pool.assign([task("default/y")], []);
  const held = new Remote(other.pool, "a");
  held.holds = a.holds - 1;
  held.holding.set("default/old", task("default/old"));
  t.ok(held.beat().reset);
  t.same(keysOf(held), ["default/y"]);
});

t.test("a batch of results counts once, and only what is the runner's own", async (t) => {
  const { heard, pool } = pooled();
  pool.assign([task("default/m")], []);
  const a = new Remote(pool, "a");
  a.beat();
  a.beat({ batch: 7, results: [result("default/m", 5), result("default/other", 5)] }, true);
  a.beat({ batch: 7, results: [result("default/m", 5), result("default/other", 5)] });
  t.same(heard.map(({ at, key }) => [key, at]), [["default/m", 5]]);
  t.equal(pool.status()[0]?.results, 2);
});

t.test("a check that is asked for now is run by whoever has the monitor, and ends with its runner", async (t) => {
  const { pool } = pooled();
  pool.assign([task("default/m")], []);
  t.match(await pool.runNow(task("default/m")), { at: 99 });
  const a = new Remote(pool, "a");
  a.beat();
  const asked = pool.runNow(task("default/m"));
  const [run] = a.beat().runs;
  a.beat({ ran: [{ id: run?.id ?? 0, result: result("default/m", 42) }] });
  t.match(await asked, { at: 42 });
  t.same(a.beat().runs, []);
  const left = pool.runNow(task("default/m"));
  t.ok(pool.leave("a"));
  t.equal(await left, undefined);
  t.notOk(pool.leave("a"));
});

t.test("the replica's own runner shares where it is told to, and never checks where it is off", async (t) => {
  const shared = pooled("share");
  shared.pool.assign(KEYS.map((key) => task(key)), []);
  const a = new Remote(shared.pool, "a");
  a.beat();
  t.same([...keysOf(a), ...shared.embedded].sort(), [...KEYS].sort());
  t.ok(shared.embedded.size > 15 && a.holding.size > 15);
  const off = pooled("off");
  off.pool.assign(KEYS.map((key) => task(key)), []);
  t.equal(off.embedded.size, 0);
  t.equal(await off.pool.runNow(task("default/m0")), undefined);
  const b = new Remote(off.pool, "b");
  b.beat();
  t.equal(b.holding.size, KEYS.length);
});

t.test("a second process of one name takes the place of the first, and there is a bound", async (t) => {
  const { pool } = pooled();
  pool.assign([task("default/m")], []);
  const first = new Remote(pool, "a", "1");
  first.beat();
  const second = new Remote(pool, "a", "2");
  second.beat();
  t.same(keysOf(second), ["default/m"]);
  for (let index = 1; index < runnerLimits.runnersMax; index++) new Remote(pool, `r${index}`).beat();
  t.throws(() => new Remote(pool, "one-more").beat(), /too many/);
});
