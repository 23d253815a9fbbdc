import t from "tap";
import { outages } from "../../../src/sim/checkers/outages.js";
import type { FaultEvent, Outage, Watching } from "../../../src/sim/history.js";
import { HandRecorder, verdictOf } from "./recorder.js";

const REGIONS = ["ap-south", "eu-west", "us-east"];
type Seen = Watching["seen"][number]["monitors"][number];

function outage(fromMs: number, lastsMs: number, seenFrom: readonly string[] = REGIONS): Outage {
  return { fromMs, untilMs: fromMs + lastsMs, seenFrom };
}

const resolved = (...ids: string[]): Seen["incidents"] => ids.map((id) => ({ id, status: "resolved" }));

/** What all three replicas show of one monitor, and what two of them show else. */
function watched(all: readonly Outage[], seen: Partial<Seen>, others: Partial<Seen> = seen, byHand?: string): Watching {
  const shown = (part: Partial<Seen>): Seen => ({ id: "m", verdict: "up", component: "operational", incidents: [], ...part });
  return {
    regions: REGIONS, monitors: [{ id: "m", outages: all, ...(byHand === undefined ? {} : { byHand }) }],
    seen: REGIONS.map((region, index) => ({ replica: `${region}-1`, monitors: [shown(index === 0 ? seen : others)] })),
  };
}

function found(watching: Watching, faults: readonly FaultEvent[] = []): string {
  const verdict = verdictOf(outages, new HandRecorder().history({ faults, watching }));
  return verdict.kind === "violation" ? verdict.violations.map(({ happened }) => happened).join(" ") : verdict.kind;
}

t.test("an outage makes one incident: not none, not two, and the same everywhere", async (t) => {
  const long = [outage(100_000, 60_000)];
  t.equal(found(watched(long, { incidents: resolved("a") })), "ok");
  t.match(found(watched(long, {})), /has 0 incidents; at least 1 were due/);
  t.match(found(watched(long, { incidents: resolved("a", "b") })), /has 2 incidents; at most 1 had a reason/);
  t.match(found(watched(long, { incidents: resolved("a") }, { incidents: resolved("b") })), /ap-south-1 has a of m, eu-west-1 b/);
  t.match(found(watched(long, { incidents: resolved("a") }, {})), /eu-west-1 no incident/);
  t.equal(found(watched([outage(100_000, 20_000)], {})), "ok", "one that is short may be missed");
});

t.test("what one region alone sees makes no incident, unless it may have been alone", async (t) => {
  const one = [outage(100_000, 60_000, ["us-east"])];
  t.equal(found(watched(one, {})), "ok");
  t.match(found(watched(one, { incidents: resolved("a") })), /at most 0 had a reason/);
  const isolate: FaultEvent = { kind: "isolate", targets: ["us-east-1>eu-west-1"], fromMs: 90_000, untilMs: 130_000 };
  t.equal(found(watched(one, { incidents: resolved("a") }), [isolate]), "ok");
  t.match(found(watched(one, { incidents: resolved("a", "b") }), [isolate]), /at most 1 had a reason/);
  t.match(found(watched(one, { incidents: resolved("a") }), [{ ...isolate, fromMs: 1_000, untilMs: 2_000 }]), /at most 0/, "a fault that was over long before explains nothing");
});

t.test("an outage on both sides of a cut is one, and due once the cut is over for a while", async (t) => {
  const partition: FaultEvent = { kind: "partition", targets: [], fromMs: 20_000, untilMs: 60_000 };
  const whole = [outage(30_000, 130_000)];
  t.equal(found(watched(whole, { incidents: resolved("a") }), [partition]), "ok");
  t.match(found(watched(whole, { incidents: resolved("a", "b") }), [partition]), /at most 1/);
  t.match(found(watched(whole, {}), [partition]), /at least 1/);
  t.equal(found(watched([outage(30_000, 40_000)], {}), [partition]), "ok", "nobody promises that it is seen while the mesh is cut");
});

t.test("in the end the monitor is up, its incidents are resolved, and its component is what it should be", async (t) => {
  const long = [outage(100_000, 60_000)];
  t.match(found(watched(long, { incidents: resolved("a"), verdict: "down" })), /m is down at/);
  t.match(found(watched(long, { incidents: [{ id: "a", status: "investigating" }] })), /a of m is investigating at/);
  t.match(found(watched(long, { incidents: resolved("a"), component: "major_outage" })), /is major_outage at ap-south-1, not operational/);
  t.equal(found(watched(long, { incidents: resolved("a"), component: "partial_outage" }, undefined, "partial_outage")), "ok");
  t.match(found(watched(long, { incidents: resolved("a") }, undefined, "partial_outage")), /is operational at ap-south-1, not partial_outage/);
});

t.test("a history without monitors is nothing to look at, and one that nobody looked at is undecided", async (t) => {
  t.same(verdictOf(outages, new HandRecorder().history()), { kind: "ok", checked: 0 });
  t.equal(verdictOf(outages, new HandRecorder().history({ watching: { ...watched([], {}), seen: [] } })).kind, "undecided");
});
