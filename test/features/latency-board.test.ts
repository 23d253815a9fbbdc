/** What pages show of latencies: looked up rarely, kept where nobody answers, and never waited for. */
import t from "tap";
import { watchLimits } from "../../src/core/limits.js";
import type { ForwardedAnswer } from "../../src/core/ports.js";
import { askedLatencies, LatencyBoard, latencyHours, storedLatencies, type LatencySource } from "../../src/features/monitors/latency-board.js";
import { MemoryStorage } from "../../src/io/memory-storage.js";
import { pull, result, store } from "./result-stores.js";

const HOUR = 3_600_000;
/** While others are being asked. */
const ASKING_MS = watchLimits.fetchTimeoutMs + 500;
const NOW = Date.UTC(2026, 0, 10, 12, 31);
const MEMBERS = new Map([["us-east-1", "us-east"], ["eu-west-1", "eu-west"], ["ap-south-1", "eu-west"]]);

function board(source: LatencySource) {
  const time = { nowMs: NOW };
  const made = new LatencyBoard({ clock: { now: () => time.nowMs, monotonic: () => time.nowMs }, members: MEMBERS, source });
  const looked = async (monitors: readonly string[] = ["m"]) => {
    const first = made.of("default", monitors);
    for (;;) {
      const settled = made.of("default", monitors);
      if (settled.freshUntilMs - time.nowMs !== ASKING_MS) return { first, settled };
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  return { time, looked };
}

/** An edge, and what regions answer it. */
function edge() {
  const answers = new Map<string, unknown>();
  const asked: string[] = [];
  const forwarder = {
    send: async (replica: string, { path }: { readonly path: string }): Promise<ForwardedAnswer | undefined> => {
      asked.push(`${replica} ${path}`);
      const answer = answers.get(replica);
      return answer === undefined ? undefined : { status: 200, headers: {}, body: typeof answer === "string" ? answer : JSON.stringify({ data: answer }) };
    },
  };
  return { ...board(askedLatencies(forwarder, MEMBERS)), answers, asked };
}

const hour = (region: string, back: number, median: number, monitor = "m") => ({ monitor, region, start: (Math.floor(NOW / HOUR) - back) * HOUR, median, count: 10 });
const lastOf = (line: { readonly medians: readonly (number | null)[] } | undefined) => line?.medians.slice(-2);

t.test("a region draws all regions from its own store, the replicas of one region as one line", async (t) => {
  const [us, eu, eu2] = ["us-east-1", "eu-west-1", "ap-south-1"].map((replica) => store(new MemoryStorage(), { replica }));
  if (us === undefined || eu === undefined || eu2 === undefined) throw new Error("three stores");
  for (const latency of [10, 20, 30]) us.results.append(result(NOW - 1_000, "up", latency));
  eu.results.append(result(NOW - HOUR, "up", 70));
  for (const latency of [80, 90]) eu2.results.append(result(NOW, "up", latency));
  eu.results.append(result(NOW, "up", 70));
  await Promise.all([eu, eu2].map(({ results }) => results.flush()));
  await pull(us, eu);
  await pull(us, eu2);
  const { first, settled } = await board(storedLatencies(us.results, MEMBERS)).looked();
  t.same([...first.lines], [["m", []]], "nobody waits for it");
  t.ok(first.freshUntilMs - NOW < 5_000, "who looks again soon sees it");
  const lines = settled.lines.get("m") ?? [];
  t.same(lines.map(({ region }) => region), ["eu-west", "us-east"]);
  t.equal(lines[0]?.medians.length, watchLimits.latencyHours);
  for (const [index, expected] of [[70, 80], [null, 20]].entries()) {
    for (const [place, median] of (lastOf(lines[index]) ?? []).entries()) t.ok(median === expected[place] || Math.abs((median ?? 0) - (expected[place] ?? 0)) < 1, `${median} is about ${expected[place]}`);
  }
  t.match(await latencyHours(us.results, MEMBERS, "default", ["m", "none"], NOW), [{ monitor: "m", region: "eu-west", count: 1 }, { count: 3 }, { region: "us-east", count: 3 }]);
});

t.test("an edge asks one region after the other until one answers, at most once in a while, and keeps the last answer while nobody does", async (t) => {
  const { time, answers, asked, looked } = edge();
  answers.set("eu-west-1", [hour("us-east", 0, 80), hour("us-east", 30, 1), hour("eu-west", 1, 60), hour("eu-west", 0, 1, "other"), { monitor: "m", start: "x" }, null]);
  const { settled } = await looked();
  t.same(asked, ["us-east-1 /pages/default/latency.json", "eu-west-1 /pages/default/latency.json"]);
  t.same(settled.lines.get("m")?.map((line) => [line.region, ...(lastOf(line) ?? [])]), [["eu-west", 60, null], ["us-east", null, 80]]);
  t.equal(settled.freshUntilMs, Math.ceil(NOW / watchLimits.latencyFreshMs) * watchLimits.latencyFreshMs);
  for (let times = 0; times < 20; times++) await looked();
  t.equal(asked.length, 2);
  time.nowMs = settled.freshUntilMs;
  answers.clear();
  answers.set("eu-west-1", "no JSON");
  const later = (await looked()).settled;
  t.equal(asked.length, 5);
  t.same(lastOf(later.lines.get("m")?.[1]), [null, 80], "kept");
  t.ok(later.freshUntilMs - time.nowMs <= watchLimits.latencyPartialMs, "who says nothing is asked again sooner");
  time.nowMs += 26 * HOUR;
  t.same((await looked()).settled.lines.get("m"), [], "not for ever");
});

t.test("a monitor that is shown from now on is asked about at once", async (t) => {
  const { answers, asked, looked } = edge();
  answers.set("us-east-1", [hour("us-east", 0, 80)]);
  await looked();
  t.equal(asked.length, 1);
  await looked(["m", "n"]);
  t.equal(asked.length, 2);
  t.same([...(await looked([])).settled.lines], [], "nothing is asked about nothing");
  t.equal(asked.length, 2);
});
