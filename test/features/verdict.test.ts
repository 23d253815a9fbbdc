import t from "tap";
import fc from "fast-check";
import type { Monitor } from "../../src/features/monitors/monitor.js";
import { NO_VERDICT, type StampedOpinion, type State, type Verdict } from "../../src/features/monitors/opinion.js";
import { FLAPPING_HOLD_MAX_MS, judge, verdictAfter } from "../../src/features/monitors/verdict.js";
import { LONG_AGO, monitor, phases, T0 } from "./verdict-monitor.js";

const all = new Set(["us-east", "eu-west", "ap-south"]);

function says(region: string, state: State, since = T0, changes: readonly number[] = []): StampedOpinion {
  return { region, state, since, checkedAt: since, changes, evidence: { error: null, latency_ms: null, phases }, hlc: "0".repeat(32) };
}
const up: Verdict = { ...NO_VERDICT, state: "up", since: LONG_AGO };
const down: Verdict = { ...NO_VERDICT, state: "down", since: LONG_AGO, failing: true, outage: 1, incident: "i" };

interface Case {
  readonly opinions: readonly StampedOpinion[];
  readonly monitor?: Partial<Monitor>;
  readonly present?: ReadonlySet<string>;
  readonly unsettled?: readonly string[];
  readonly before?: Verdict;
  readonly nowMs?: number;
}
const judged = ({ opinions, monitor: over = {}, present = all, unsettled = [], before = up, nowMs = T0 + 1_000 }: Case) => judge({ monitor: monitor(over), opinions, present, unsettled: new Set(unsettled), before, nowMs });

t.test("one region of three that sees a target down convinces nobody", async (t) => {
  t.match(judged({ opinions: [says("us-east", "down"), says("eu-west", "up", LONG_AGO), says("ap-south", "up", LONG_AGO)] }), { state: "up" });
});

t.test("a majority that sees a target down says so since the last of it came to it", async (t) => {
  t.match(judged({ opinions: [says("us-east", "down", T0), says("eu-west", "up", LONG_AGO), says("ap-south", "down", T0 + 400)] }), { state: "down", since: T0 + 400 });
});

t.test("of two regions both must see it", async (t) => {
  const present = new Set(["us-east", "eu-west"]);
  t.match(judged({ present, opinions: [says("us-east", "down"), says("eu-west", "up", LONG_AGO)] }), { state: "up" });
  t.match(judged({ present, opinions: [says("us-east", "down"), says("eu-west", "down")] }), { state: "down" });
});

t.test("a region that is absent or cannot tell does not count, also not towards the majority", async (t) => {
  const opinions = [says("us-east", "down"), says("eu-west", "up", LONG_AGO), says("ap-south", "up", LONG_AGO)];
  t.match(judged({ present: new Set(["us-east"]), opinions }), { state: "down" });
  t.match(judged({ opinions: [says("us-east", "down"), says("eu-west", "unknown"), says("ap-south", "unknown")] }), { state: "down" });
  t.match(judged({ opinions: [says("us-east", "unknown"), says("eu-west", "unknown")] }), { state: "unknown" });
});

t.test("no outage ends or begins because of a region that went or came a moment ago", async (t) => {
  const opinions = [says("us-east", "down"), says("eu-west", "down"), says("ap-south", "up", LONG_AGO)];
  const without = new Set(["us-east", "ap-south"]);
  t.match(judged({ opinions, before: down, present: without, unsettled: ["eu-west"] }), { state: "down", since: LONG_AGO });
  t.match(judged({ opinions, before: down, present: without }), { state: "up" }, "once it has been away for a while, it does");
  t.match(judged({ opinions, unsettled: ["eu-west"] }), { state: "up" });
  t.match(judged({ opinions }), { state: "down" });
});

t.test("what holds whichever of the unsettled regions count is not held up", async (t) => {
  const opinions = [says("us-east", "down"), says("eu-west", "up"), says("ap-south", "down")];
  t.match(judged({ opinions, unsettled: ["eu-west"] }), { state: "down" });
  const four = [says("us-east", "down"), says("eu-west", "up"), says("ap-south", "up"), says("sa-east", "down")];
  const present = new Set([...all, "sa-east"]);
  t.match(judged({ opinions: four, present, before: down, unsettled: ["eu-west", "sa-east"] }), { state: "down" }, "another may count only the one that sees it down");
});

t.test("a region that has not looked yet is waited for, and not for ever", async (t) => {
  const young = { createdAtMs: T0 };
  const opinions = [says("us-east", "down", T0 + 100)];
  const first = judged({ opinions, monitor: young, before: NO_VERDICT, nowMs: T0 + 200 });
  t.match(first, { state: "unknown", dueAtMs: T0 + 61_000 });
  t.match(judged({ opinions, monitor: young, before: NO_VERDICT, nowMs: T0 + 61_000 }), { state: "down" });
});

t.test("of a heartbeat nobody waits for the regions that it does not call", async (t) => {
  t.match(judged({ opinions: [says("us-east", "down", T0 + 100)], monitor: { type: "heartbeat", target: null, createdAtMs: T0 } }), { state: "down" });
});

t.test("only the regions that are to watch count", async (t) => {
  const opinions = [says("us-east", "down"), says("eu-west", "up", LONG_AGO), says("ap-south", "up", LONG_AGO)];
  t.match(judged({ opinions, monitor: { regions: ["us-east"] } }), { state: "down" });
});

t.test("a quorum that was set is kept to the letter", async (t) => {
  t.match(judged({ opinions: [says("us-east", "down"), says("eu-west", "up", LONG_AGO)], monitor: { quorum: 1 } }), { state: "down" });
  t.match(judged({ opinions: [says("us-east", "down"), says("eu-west", "down")], monitor: { quorum: 3 } }), { state: "up" });
});

t.test("a verdict is confirmed, and a recovery too, before it holds", async (t) => {
  const bad = [says("us-east", "down"), says("eu-west", "down")];
  t.match(judged({ opinions: bad, monitor: { confirmMs: 60_000 } }), { state: "up", dueAtMs: T0 + 60_000 });
  t.match(judged({ opinions: bad, monitor: { confirmMs: 60_000 }, nowMs: T0 + 60_000 }), { state: "down", since: T0 });
  const good = [says("us-east", "up"), says("eu-west", "up")];
  t.match(judged({ opinions: good, before: down, monitor: { recoverMs: 30_000 } }), { state: "down", dueAtMs: T0 + 30_000 });
  t.match(judged({ opinions: good, before: down, monitor: { recoverMs: 30_000 }, nowMs: T0 + 30_000 }), { state: "up", since: T0 });
});

t.test("slow in most regions is degraded, and down in one of them counts for it", async (t) => {
  t.match(judged({ opinions: [says("us-east", "degraded"), says("eu-west", "down"), says("ap-south", "up", LONG_AGO)] }), { state: "degraded" });
});

t.test("flapping holds the recovery back, up to a bound", async (t) => {
  const changes = Array.from({ length: 8 }, (_, index) => T0 - 60_000 * index).reverse();
  const opinions = [says("us-east", "up", T0, changes), says("eu-west", "up", T0, changes)];
  const held = judged({ opinions, before: down });
  t.match(held, { state: "down", dueAtMs: T0 + 5 * 30_000 });
  t.match(judged({ opinions, before: down, nowMs: held.dueAtMs ?? 0 }), { state: "up" });
  const hourly = judged({ opinions, before: down, monitor: { intervalMs: 3_600_000 } });
  t.equal(hourly.dueAtMs, T0 + FLAPPING_HOLD_MAX_MS);
});

t.test("a paused monitor is unknown", async (t) => {
  t.match(judged({ opinions: [says("us-east", "down"), says("eu-west", "down")], monitor: { paused: true } }), { state: "unknown" });
});

t.test("an unknown within an outage ends none and begins none", async (t) => {
  const unknown = verdictAfter(down, { state: "unknown", since: T0, dueAtMs: null });
  t.match(unknown, { failing: true, outage: 1, incident: "i" });
  t.match(verdictAfter(unknown, { state: "down", since: T0 + 1, dueAtMs: null }), { failing: true, outage: 1, incident: "i" });
  t.match(verdictAfter(unknown, { state: "up", since: T0 + 1, dueAtMs: null }), { failing: false, outage: 1, incident: "i" });
  t.match(verdictAfter(up, { state: "down", since: T0 + 1, dueAtMs: null }), { failing: true, outage: 1, incident: null });
});

t.test("the order in which opinions are held does not matter, and less than the quorum never makes a down", async () => {
  const state = fc.constantFrom<State>("up", "degraded", "down", "unknown");
  const regions = ["a", "b", "c", "d", "e"];
  fc.assert(fc.property(fc.array(fc.tuple(state, fc.integer({ min: -1_000, max: 900 })), { minLength: 1, maxLength: 5 }), fc.nat(), (drawn, turn) => {
    const opinions = drawn.map(([said, since], index) => says(regions[index] ?? "", said, T0 + since));
    const turned = [...opinions.slice(turn % opinions.length), ...opinions.slice(0, turn % opinions.length)];
    const present = new Set(regions.slice(0, opinions.length));
    const [one, two] = [judged({ opinions, present }), judged({ opinions: turned, present })];
    const able = opinions.filter((opinion) => opinion.state !== "unknown");
    const bad = able.filter((opinion) => opinion.state === "down").length;
    return JSON.stringify(one) === JSON.stringify(two) && (one.state === "down") === (bad > able.length / 2);
  }));
});
