/** Who is present, by what replicas say they hear: three replicas of one region, and two regions with one each. */
import t from "tap";
import fc from "fast-check";
import { watchLimits } from "../../src/core/limits.js";
import { NO_VERDICT, type StampedOpinion, type State, type Verdict } from "../../src/features/monitors/opinion.js";
import { Presence, type Attendance } from "../../src/features/monitors/presence.js";
import { judge, verdictAfter } from "../../src/features/monitors/verdict.js";
import { LONG_AGO, monitor, phases, T0 } from "./verdict-monitor.js";

const MEMBERS = new Map([["a-1", "a"], ["a-2", "a"], ["a-3", "a"], ["b-1", "b"], ["c-1", "c"]]);
const REPLICAS = [...MEMBERS.keys()];
/** Sooner than this nobody is taken for absent. */
const AWAY_S = watchLimits.opinionAgesOutMs / 1_000;
const OUR_OWN = ["a-1", "a-2", "a-3"];

function says(region: string, state: State): StampedOpinion {
  return { region, state, since: LONG_AGO, checkedAt: LONG_AGO, changes: [], evidence: { error: null, latency_ms: null, phases }, hlc: "0".repeat(32) };
}
/** Two see it down: whether it is, hangs on whether b counts. Nobody changes his mind. */
const opinions = [says("a", "down"), says("b", "down"), says("c", "up")];

/** Replicas that can reach each other hold the same documents a round later. */
class Meeting {
  nowMs = T0;
  verdict: Verdict = { ...NO_VERDICT, state: "down", since: LONG_AGO, failing: true, outage: 1 };
  readonly attendance = new Map<string, Attendance>();
  readonly presences = new Map(REPLICAS.map((replica) => [replica, new Presence(replica, MEMBERS, T0)]));
  private written = new Map<string, ReadonlySet<string>>();

  /** `isLinked`: whether a link is up. */
  round(isLinked: (a: string, b: string) => boolean): void {
    const next = new Map(this.written);
    for (const [replica, presence] of this.presences) {
      this.nowMs += watchLimits.roundMs / REPLICAS.length;
      const peers = REPLICAS.filter((peer) => peer !== replica).map((peer) => ({ replica: peer, state: isLinked(replica, peer) ? "up" as const : "down" as const }));
      const hearing = presence.hearing({ peers: peers as never }, this.nowMs);
      if (presence.knows) next.set(replica, hearing);
      const attendance = presence.update(hearing, this.written, this.nowMs);
      this.attendance.set(replica, attendance);
      // What b comes to while it is cut off stays on its side.
      if (replica !== "b-1") this.verdict = verdictAfter(this.verdict, judge({ monitor: monitor(), opinions, ...attendance, before: this.verdict, nowMs: this.nowMs }));
    }
    this.written = next;
  }

  rounds(seconds: number, isLinked: (a: string, b: string) => boolean): void {
    for (let second = 0; second < seconds; second++) this.round(isLinked);
  }
}

const between = (a: string, b: string, one: string, other: string): boolean => (a === one && b === other) || (a === other && b === one);
const touches = (a: string, b: string, one: string): boolean => a === one || b === one;

t.test("a region that only one replica of another hears is present for all", async (t) => {
  const meeting = new Meeting();
  meeting.rounds(60, (a, b) => !touches(a, b, "b-1") || between(a, b, "a-1", "b-1"));
  for (const replica of REPLICAS) t.same([...meeting.attendance.get(replica)?.present ?? []], ["a", "b", "c"], replica);
  t.equal(meeting.verdict.outage, 1);
});

t.test("a region that is cut off is absent for all others, and they for it", async (t) => {
  const meeting = new Meeting();
  meeting.rounds(60, (a, b) => !touches(a, b, "b-1"));
  for (const replica of [...OUR_OWN, "c-1"]) t.same([...meeting.attendance.get(replica)?.present ?? []], ["a", "c"], replica);
  t.same([...meeting.attendance.get("b-1")?.present ?? []], ["b"]);
});

t.test("a replica that starts says nothing of one that is gone, and ends nothing with its opinion", async (t) => {
  const meeting = new Meeting();
  const isLinked = (a: string, b: string): boolean => !touches(a, b, "b-1");
  meeting.rounds(60, isLinked);
  t.match(meeting.verdict, { state: "up", outage: 1 });
  // Its links are up some seconds later.
  meeting.presences.set("a-2", new Presence("a-2", MEMBERS, meeting.nowMs));
  meeting.rounds(2, (a, b) => isLinked(a, b) && !touches(a, b, "a-2"));
  t.same([...meeting.attendance.get("a-2")?.unsettled ?? []], ["b", "c"], "whom it has not met yet is not to decide");
  for (let second = 0; second < 60; second++) {
    meeting.round(isLinked);
    for (const replica of ["a-1", "c-1"]) if (meeting.attendance.get(replica)?.present.has("b") === true) t.fail(`${replica} takes b for present`);
  }
  t.match(meeting.verdict, { state: "up", outage: 1 });
});

t.test("replicas that notice at different times that a region went and came back make one outage before and one after it", async (t) => {
  const meeting = new Meeting();
  meeting.rounds(10, () => true);
  // The links break one by one.
  const order = REPLICAS.filter((replica) => replica !== "b-1");
  for (const [gone] of order.entries()) meeting.rounds(2, (a, b) => !touches(a, b, "b-1") || order.indexOf(a === "b-1" ? b : a) > gone);
  meeting.rounds(60, (a, b) => !touches(a, b, "b-1"));
  t.match(meeting.verdict, { state: "up", outage: 1 }, "the region was absent");
  for (const [back] of order.entries()) meeting.rounds(2, (a, b) => !touches(a, b, "b-1") || order.indexOf(a === "b-1" ? b : a) <= back);
  meeting.rounds(60, () => true);
  t.match(meeting.verdict, { state: "down", outage: 2 });
});

t.test("links that flap as they please begin no outage, unless a region was away meanwhile", async () => {
  const link = fc.tuple(fc.constantFrom(...OUR_OWN), fc.constantFrom(...OUR_OWN, "b-1"), fc.integer({ min: 0, max: 100 }), fc.integer({ min: 1, max: 60 }), fc.integer({ min: 1, max: 30 }));
  fc.assert(fc.property(fc.array(link, { maxLength: 12 }), (flapping) => {
    const meeting = new Meeting();
    let [times, awayS] = [0, 0];
    for (let second = 0; second < 200; second++) {
      // c has no link to b, and one to each of us.
      const isLinked = (a: string, b: string): boolean => !between(a, b, "b-1", "c-1") && flapping.every(([one, other, from, lasts, period]) => !between(a, b, one, other) || second < from || second >= from + lasts || Math.floor((second - from) / period) % 2 === 1);
      meeting.round(isLinked);
      awayS = OUR_OWN.some((replica) => isLinked(replica, "b-1")) ? 0 : awayS + 1;
      if (awayS === AWAY_S) times++;
    }
    return meeting.verdict.outage <= 1 + times && meeting.verdict.state === "down";
  }), { numRuns: 300 });
});
