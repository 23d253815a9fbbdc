/** One outage, one incident, in every region; none for what one region alone saw; and what an operator set by hand stays. */
import type { FaultEvent, History, Outage, SeenAtReplica, Watching } from "../history.js";
import { Findings, type Checker, type Verdict } from "../verdict.js";

/** An outage that lasts this long in a world that is whole is seen by every region that can, and agreed on, ms. */
const NOTICED_MS = 40_000;
/** What a fault does is over that long after it: replicas start again, opinions are fresh again, ms. */
const AFTERMATH_MS = 45_000;
/** The outage before is over and forgotten after this long, ms: recoveries of what flaps are held back. */
const RECOVERED_MS = 90_000;

export const outages: Checker = {
  name: "outages",
  promise: "Every outage that a majority of the regions sees makes one incident, the same in every region, which ends with it; what one region alone sees makes none, and nobody's work is undone.",
  check({ faults, watching }: History): Verdict {
    const findings = new Findings();
    if (watching === undefined) return findings.verdict();
    for (const monitor of watching.monitors) {
      const seen = watching.seen.flatMap(({ replica, monitors }) => monitors.filter(({ id }) => id === monitor.id).map((found) => ({ replica, ...found })));
      const [first, ...others] = seen;
      if (first === undefined) {
        findings.cannotDecide(`Nobody could be asked of ${monitor.id} in the end.`);
        continue;
      }
      findings.checked(monitor.outages.length + seen.length);
      for (const other of others) {
        if (idsOf(other) !== idsOf(first)) findings.violation("The incident of an outage is the same in every region.", `${first.replica} has ${idsOf(first)} of ${monitor.id}, ${other.replica} ${idsOf(other)}.`);
      }
      for (const one of seen) checkEnd(findings, one, monitor.byHand);
      checkCount(findings, monitor, first.incidents.length, watching.regions.length, faults);
    }
    return findings.verdict();
  },
};

type Seen = SeenAtReplica["monitors"][number] & { readonly replica: string };

function idsOf({ incidents }: Seen): string {
  return incidents.length === 0 ? "no incident" : incidents.map(({ id }) => id).join(" and ");
}

/** All targets are up in the end. */
function checkEnd(findings: Findings, { component, id, incidents, replica, verdict }: Seen, byHand: string | undefined): void {
  if (verdict !== "up") findings.violation("A monitor is up once its target is.", `${id} is ${verdict} at ${replica} long after its target came back.`);
  for (const { id: incident, status } of incidents) {
    if (status !== "resolved") findings.violation("An incident is resolved once its outage is over.", `${incident} of ${id} is ${status} at ${replica} long after its target came back.`);
  }
  const expected = byHand ?? "operational";
  if (component !== expected) findings.violation(byHand === undefined ? "A component is operational once its outage is over." : "A status that was set by hand is left alone.", `The component of ${id} is ${component} at ${replica}, not ${expected}.`);
}

function checkCount(findings: Findings, { id, outages: all }: Watching["monitors"][number], incidents: number, regions: number, faults: readonly FaultEvent[]): void {
  const isMajority = ({ seenFrom }: Outage): boolean => 2 * seenFrom.length > regions;
  const isAlone = (outage: Outage): boolean => all.every((other) => other === outage || other.untilMs + RECOVERED_MS < outage.fromMs || other.fromMs > outage.untilMs + RECOVERED_MS);
  const due = all.filter((outage) => isMajority(outage) && isAlone(outage) && calmMs(outage, faults) >= NOTICED_MS).length;
  // Where something else was wrong, the regions that saw it may have been all that were there.
  const possible = all.filter((outage) => isMajority(outage) || calmMs({ ...outage, fromMs: outage.fromMs - AFTERMATH_MS }, faults) < outage.untilMs - outage.fromMs + AFTERMATH_MS).length;
  const told = `${id} was down ${all.length} times (${all.map(({ fromMs, seenFrom, untilMs }) => `${Math.round(fromMs)} to ${Math.round(untilMs)} ms from ${seenFrom.join()}`).join("; ")}) and has ${incidents} incidents`;
  if (incidents < due) findings.violation("An outage that a majority of the regions sees makes an incident.", `${told}; at least ${due} were due.`);
  if (incidents > possible) findings.violation("An outage makes one incident, and what one region alone sees makes none.", `${told}; at most ${possible} had a reason.`);
}

/** The longest time within an outage in which no fault was under way, or had just been, ms. */
function calmMs({ fromMs, untilMs }: Pick<Outage, "fromMs" | "untilMs">, faults: readonly FaultEvent[]): number {
  const troubled = faults.map((fault) => ({ from: fault.fromMs, until: (fault.untilMs ?? fault.fromMs) + AFTERMATH_MS })).filter(({ from, until }) => until > fromMs && from < untilMs).sort((a, b) => a.from - b.from);
  let longest = 0;
  let at = fromMs;
  for (const { from, until } of troubled) {
    longest = Math.max(longest, from - at);
    at = Math.max(at, until);
  }
  return Math.max(longest, untilMs - at);
}
