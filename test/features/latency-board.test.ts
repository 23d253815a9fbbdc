/** What pages show of latencies: asked for rarely, kept where nobody answers, and never waited for. */
import t from "tap";
import { NO_PHASES } from "../../src/core/check.js";
import { watchLimits } from "../../src/core/limits.js";
import type { ForwardedAnswer } from "../../src/core/ports.js";
import { LatencyBoard, latencyHours } from "../../src/features/monitors/latency-board.js";
import { ResultStore } from "../../src/features/monitors/results.js";
import { MemoryStorage } from "../../src/io/memory-storage.js";
import { systemTimers } from "../../src/io/system-clock.js";

const HOUR = 3_600_000;
/** While others are being asked. */
const ASKING_MS = watchLimits.fetchTimeoutMs + 500;
const NOW = Date.UTC(2026, 0, 10, 12, 31);
const MEMBERS = new Map([["us-east-1", "us-east"], ["eu-west-1", "eu-west"], ["eu-west-2", "eu-west"]]);

function board() {
  const time = { nowMs: NOW };
  const clock = { now: () => time.nowMs, monotonic: () => time.nowMs };
  const results = new ResultStore(new MemoryStorage(), clock, systemTimers, (error) => {
    throw error;
  });
  const answers = new Map<string, unknown>();
  const asked: string[] = [];
  const forwarder = {
    send: async (replica: string, { path }: { readonly path: string }): Promise<ForwardedAnswer | undefined> => {
      asked.push(`${replica} ${path}`);
      const answer = answers.get(replica);
      return answer === undefined ? undefined : { status: 200, headers: {}, body: typeof answer === "string" ? answer : JSON.stringify({ data: answer }) };
    },
  };
  const made = new LatencyBoard({ clock, forwarder, replica: "us-east-1", members: MEMBERS, results });
  const looked = async (monitors: readonly string[] = ["m"]) => {
    const first = made.of("default", monitors);
    for (;;) {
      const settled = made.of("default", monitors);
      if (settled.freshUntilMs - time.nowMs !== ASKING_MS) return { first, settled };
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  return { time, results, answers, asked, looked };
}

const hour = (back: number, median: number, count = 10, monitor = "m") => ({ monitor, start: (Math.floor(NOW / HOUR) - back) * HOUR, median, count });
const lastOf = (line: { readonly medians: readonly (number | null)[] } | undefined) => line?.medians.slice(-2);

t.test("own hours and those of the other regions are put together; of two replicas that saw the same hour the one counts that saw more", async (t) => {
  const { results, answers, asked, looked } = board();
  for (const latency of [10, 20, 30]) results.append({ key: "default/m", at: NOW - 1_000, state: "up", latency_ms: latency, phases: NO_PHASES, error: null, attempt: 1, isFinal: true });
  answers.set("eu-west-1", [hour(0, 80), hour(1, 70), hour(0, 1, 5, "other"), hour(30, 1), { monitor: "m", start: "x" }, null]).set("eu-west-2", [hour(0, 90, 11), hour(1, 60, 9)]);
  const { first, settled } = await looked();
  t.same([...first.lines], [["m", []]], "nobody waits for the answers");
  t.ok(first.freshUntilMs - NOW < 5_000, "who looks again soon sees them");
  const [eu, us] = settled.lines.get("m") ?? [];
  t.equal(eu?.region, "eu-west");
  t.same(lastOf(eu), [70, 90]);
  t.equal(eu?.medians.length, watchLimits.latencyHours);
  t.match(lastOf(us), [null, Number]);
  t.ok(Math.abs((lastOf(us)?.[1] ?? 0) - 20) < 1);
  t.same(asked.sort(), ["eu-west-1 /pages/default/latency.json", "eu-west-2 /pages/default/latency.json"]);
  t.match(await latencyHours(results, "default", ["m", "none"], NOW), [{ monitor: "m", count: 3 }]);
});

t.test("a page is asked about at most once in a while, however often it is looked at, and its last answers are kept while nobody answers", async (t) => {
  const { time, results, answers, asked, looked } = board();
  results.append({ key: "default/m", at: NOW, state: "up", latency_ms: 10, phases: NO_PHASES, error: null, attempt: 1, isFinal: true });
  answers.set("eu-west-1", [hour(0, 80)]).set("eu-west-2", [hour(1, 60)]);
  const { settled } = await looked();
  t.equal(settled.freshUntilMs, Math.ceil(NOW / watchLimits.latencyFreshMs) * watchLimits.latencyFreshMs);
  for (let times = 0; times < 20; times++) await looked();
  t.equal(asked.length, 2);
  time.nowMs = settled.freshUntilMs;
  answers.clear();
  answers.set("eu-west-1", "no JSON");
  const later = (await looked()).settled;
  t.equal(asked.length, 4);
  t.same(lastOf(later.lines.get("m")?.[0]), [60, 80], "kept");
  t.ok(later.freshUntilMs - time.nowMs <= watchLimits.latencyPartialMs, "who says nothing is asked again sooner");
  time.nowMs += 26 * HOUR;
  t.same((await looked()).settled.lines.get("m")?.filter(({ region }) => region === "eu-west").flatMap(({ medians }) => medians.filter((median) => median !== null)), [], "not for ever");
});

t.test("a monitor that is shown from now on is asked about at once", async (t) => {
  const { answers, asked, looked } = board();
  answers.set("eu-west-1", [hour(0, 80)]);
  await looked();
  t.equal(asked.length, 2);
  await looked(["m", "n"]);
  t.equal(asked.length, 4);
  t.same([...(await looked([])).settled.lines], [], "nothing is asked about nothing");
  t.equal(asked.length, 4);
});
