/**
 * What a verdict does: the incident of an outage, and the status of the monitor's component.
 *
 * Nobody decides alone: every region plans the same from the same documents, and whatever two of them write at the same time,
 * or on two sides of a cut, carries the same ids and the same texts, so that it merges into one. The incident of an outage is
 * named by the monitor and the number of the outage; the update that says what a region saw by that and the region.
 */
import { keyOf } from "../../core/document.js";
import { isFault, type Fault } from "../../core/errors.js";
import { statedOf, underMaintenance, worse } from "../../store/component-effects.js";
import type { Command, PlannedChange, Snapshot } from "../../store/data-plane.js";
import { derivedId as derivedFrom, isClosed, isSetByHand, mendComponent, resolveIncident, stateComponent, type IncidentRoom } from "../../store/derived-incidents.js";
import { Draft, type DocumentReader } from "../../store/document-reader.js";
import { changeOf } from "../../store/resource.js";
import { NAME_MAX, TEXT_MAX, type ComponentStatusName } from "../../store/resource-schemas.js";
import { createUpdate } from "../../store/timeline-commands.js";
import { filled, MONITOR, monitorOf, type Monitor } from "./monitor.js";
import { opinionsOf, verdictIn, watchKey, type Evidence, type StampedOpinion, type Verdict } from "./opinion.js";
import type { Attendance } from "./presence.js";
import { judge, verdictAfter } from "./verdict.js";

export type { IncidentRoom };

export interface Surroundings {
  readonly incidents: IncidentRoom;
  readonly attendance: Attendance;
}

/** Outages whose incidents are looked at again once the monitor is up. */
const OUTAGES_LOOKED_AT = 8;
/** While an incident is open, it is looked at again so often, ms: what concurrent writes left behind is set right. */
const LOOK_AGAIN_MS = 10_000;

/** An id that every region derives alike. */
function derivedId(monitor: Monitor, ...parts: readonly (string | number)[]): string {
  return derivedFrom(monitor.page, monitor.id, ...parts);
}

export function incidentId(monitor: Monitor, outage: number): string {
  return derivedId(monitor, "outage", outage);
}

export interface Course {
  readonly changes: readonly PlannedChange[];
  /** Opinions that the open incident does not tell of yet. */
  readonly untold: readonly StampedOpinion[];
  /** When to look again without any change, ms since the epoch. */
  readonly dueAtMs: number | null;
}

const NOTHING: Course = { changes: [], untold: [], dueAtMs: null };

/** What is to be written now because of a monitor's verdict. */
export function courseOf(snapshot: Snapshot, page: string, id: string, surroundings: Surroundings): Course | Fault {
  const document = snapshot.document(keyOf(page, MONITOR, id));
  const watch = snapshot.document(watchKey(page, id));
  if (document === undefined || watch === undefined) return NOTHING;
  const monitor = monitorOf(document);
  const opinions = opinionsOf(watch);
  const before = verdictIn(watch);
  const judgement = judge({ monitor, opinions, ...surroundings.attendance, before, nowMs: snapshot.atMs });
  const after = verdictAfter(before, judgement);
  const settled = settle(snapshot, monitor, after, surroundings);
  if (isFault(settled)) return settled;
  const draft = new Draft(watch).set("verdict", { ...settled.verdict });
  const isOpen = settled.verdict.incident !== null && settled.verdict.failing;
  const incident = isOpen ? snapshot.document(keyOf(page, "incident", settled.verdict.incident ?? "")) : undefined;
  const untold = incident === undefined || isClosed(incident) ? [] : opinions.filter((opinion) => opinion.state === "down" && !incident.sectionTaken(toldId(monitor, settled.verdict, opinion)));
  const times = [judgement.dueAtMs, settled.dueAtMs, isOpen || settled.isUnsettled ? snapshot.atMs + LOOK_AGAIN_MS : null].filter((time) => time !== null);
  return { changes: [...settled.changes, ...changeOf(watch.key, draft)], untold, dueAtMs: times.length === 0 ? null : Math.min(...times) };
}

const toldId = (monitor: Monitor, verdict: Verdict, opinion: StampedOpinion): string => derivedId(monitor, "seen", verdict.outage, opinion.region);

interface Settled {
  readonly verdict: Verdict;
  readonly changes: readonly PlannedChange[];
  readonly dueAtMs: number | null;
  /** Something is held back that may be due without any change of the watch document. */
  readonly isUnsettled: boolean;
}

function settle(snapshot: Snapshot, monitor: Monitor, verdict: Verdict, surroundings: Surroundings): Settled | Fault {
  if (verdict.state === "down") return whileDown(snapshot, monitor, verdict, surroundings);
  if (verdict.failing || verdict.state === "unknown") return { verdict, changes: [], dueAtMs: null, isUnsettled: false };
  return afterwards(snapshot, monitor, verdict);
}

/** Opens the incident of the outage, unless something explains it. */
function whileDown(snapshot: Snapshot, monitor: Monitor, verdict: Verdict, { incidents }: Surroundings): Settled | Fault {
  const held = (dueAtMs: number | null): Settled => ({ verdict, changes: [], dueAtMs, isUnsettled: true });
  const component = monitor.componentId === null ? undefined : snapshot.document(keyOf(monitor.page, "component", monitor.componentId));
  if (component !== undefined && underMaintenance(snapshot, component)) return held(null);
  const windowEndsMs = windowEnd(monitor, snapshot.atMs);
  if (windowEndsMs !== undefined) return held(windowEndsMs);
  const explanation = explained(snapshot, monitor, verdict);
  if (explanation === "explained") return held(null);
  if (explanation !== undefined && explanation > snapshot.atMs) return held(explanation);
  const status = monitor.componentStatus;
  if (!monitor.opensIncident) {
    const changes = component === undefined ? [] : follow(snapshot, component, verdict, status);
    return { verdict: component === undefined ? verdict : { ...verdict, component: { id: component.id, status } }, changes, dueAtMs: null, isUnsettled: false };
  }
  if (verdict.incident !== null) return { verdict, changes: [], dueAtMs: null, isUnsettled: false };
  const id = incidentId(monitor, verdict.outage);
  const opened: Verdict = { ...verdict, incident: id, component: null };
  if (snapshot.taken(keyOf(monitor.page, "incident", id))) return { verdict: opened, changes: [], dueAtMs: null, isUnsettled: false };
  const texts = openingOf(monitor, component);
  const plan = incidents.open(monitor.page, id, derivedId(monitor, "opened", verdict.outage), {
    name: texts.name, status: "investigating", body: texts.body,
    ...(component === undefined ? {} : { components: { [component.id]: status } }),
  }).plan(snapshot);
  return isFault(plan) ? plan : { verdict: opened, changes: plan.changes, dueAtMs: null, isUnsettled: false };
}

/** When the maintenance windows are over that the monitor is in, ms since the epoch. */
function windowEnd({ windows }: Monitor, nowMs: number): number | undefined {
  const ends = windows.filter(({ fromMs, untilMs }) => fromMs <= nowMs && nowMs < untilMs).map(({ untilMs }) => untilMs);
  return ends.length === 0 ? undefined : Math.max(...ends);
}

/** `explained` while what the monitor depends on fails too; else until when one must wait to know, ms since the epoch. */
function explained(snapshot: Snapshot, monitor: Monitor, verdict: Verdict): "explained" | number | undefined {
  const document = monitor.dependsOn === null ? undefined : snapshot.document(keyOf(monitor.page, MONITOR, monitor.dependsOn));
  if (document === undefined) return undefined;
  const cause = monitorOf(document);
  if (cause.paused) return undefined;
  const watch = snapshot.document(watchKey(cause.page, cause.id));
  const other = verdictIn(watch);
  if (other.failing) return "explained";
  // The cause may be noticed later than its consequence: by one round of its checks, and while a region already says so.
  const roundMs = cause.intervalMs + (cause.retries + 1) * (cause.timeoutMs + cause.retryDelayMs);
  const suspected = opinionsOf(watch).some(({ state }) => state === "down");
  return (verdict.since ?? 0) + roundMs + (suspected ? cause.confirmMs : 0);
}

/** The monitor is up, or degraded: its incidents are over, and its component follows. */
function afterwards(snapshot: Snapshot, monitor: Monitor, verdict: Verdict): Settled | Fault {
  const changes: PlannedChange[] = [];
  for (let outage = verdict.outage; outage > 0 && outage > verdict.outage - OUTAGES_LOOKED_AT; outage--) {
    const resolved = resolve(snapshot, monitor, outage);
    if (isFault(resolved)) return resolved;
    changes.push(...resolved);
  }
  const component = monitor.componentId === null ? undefined : snapshot.document(keyOf(monitor.page, "component", monitor.componentId));
  const wanted = verdict.state === "degraded" ? "degraded_performance" : "operational";
  let { component: set } = verdict;
  const windowEndsMs = verdict.state === "degraded" ? windowEnd(monitor, snapshot.atMs) : undefined;
  if (changes.length === 0 && component !== undefined && windowEndsMs === undefined && !underMaintenance(snapshot, component)) {
    const isOurs = set !== null && set.id === component.id;
    const isFree = (component.text("status") || "operational") === "operational";
    if (isOurs || (verdict.state === "degraded" && isFree)) changes.push(...follow(snapshot, component, verdict, wanted));
    else changes.push(...mendComponent(snapshot, component));
    set = verdict.state === "degraded" ? { id: component.id, status: wanted } : null;
  }
  return { verdict: { ...verdict, component: set }, changes, dueAtMs: changes.length > 0 ? snapshot.atMs + 1_000 : (windowEndsMs ?? null), isUnsettled: false };
}

/** Sets the component's status, but not below what incidents say, and not where an operator has set it since. */
function follow(snapshot: Snapshot, component: DocumentReader, verdict: Verdict, status: ComponentStatusName): readonly PlannedChange[] {
  const wanted = worse(status, statedOf(snapshot, component));
  const isByHand = verdict.component?.id === component.id && isSetByHand(component);
  return component.text("status") === wanted || isByHand ? [] : stateComponent(component, wanted);
}

function resolve(snapshot: Snapshot, monitor: Monitor, outage: number): readonly PlannedChange[] | Fault {
  return resolveIncident(snapshot, {
    page: monitor.page, id: incidentId(monitor, outage), updateId: derivedId(monitor, "resolved", outage), body: `${monitor.name} is up again.`,
    components: monitor.componentId === null ? [] : [monitor.componentId],
  });
}

/** Equal wherever it is written: it must not hold what one region alone saw. */
/** What an incident says at first. */
function openingOf(monitor: Monitor, component: DocumentReader | undefined): { readonly name: string; readonly body: string } {
  const values = { monitor: monitor.name, component: component?.text("name") ?? monitor.name, target: monitor.target ?? monitor.name };
  return {
    name: filled(monitor.incidentName ?? "{{monitor}} is down", values, NAME_MAX),
    body: filled(monitor.incidentBody ?? "{{monitor}} is down.", values, TEXT_MAX),
  };
}

const ms = (value: number): string => `${Math.round(value)} ms`;

function sentenceOf(evidence: Evidence): string {
  const timings = (["dns", "connect", "tls", "first_byte", "total"] as const).flatMap((phase) => {
    const value = evidence.phases[phase];
    return value === null ? [] : [`${phase.replace("_", " ")} ${ms(value)}`];
  });
  const said = evidence.error === null ? "no error" : `${evidence.error.message} (${evidence.error.code})`;
  return timings.length === 0 ? said : `${said}; ${timings.join(", ")}`;
}

/** Writes what the verdict asks for, as it is when the plan runs. */
export function verdictCommand(page: string, id: string, surroundings: Surroundings): Command {
  return {
    name: "monitor.verdict", subject: watchKey(page, id),
    plan: (snapshot) => {
      const course = courseOf(snapshot, page, id, surroundings);
      return isFault(course) ? course : { changes: course.changes };
    },
    answer: () => ({ status: 204, body: null }),
  };
}

/** Says in the incident of the present outage what a region saw. */
export function tellCommand(page: string, id: string, region: string): Command {
  const subject = watchKey(page, id);
  return {
    name: "monitor.seen", subject,
    plan: (snapshot) => {
      const document = snapshot.document(keyOf(page, MONITOR, id));
      const watch = snapshot.document(subject);
      const opinion = opinionsOf(watch).find((found) => found.region === region);
      const verdict = verdictIn(watch);
      if (document === undefined || opinion === undefined || verdict.incident === null) return { changes: [] };
      const monitor = monitorOf(document);
      const incident = snapshot.document(keyOf(page, "incident", verdict.incident));
      const updateId = toldId(monitor, verdict, opinion);
      if (incident === undefined || incident.sectionTaken(updateId)) return { changes: [] };
      const body = `${region} sees it down since ${new Date(opinion.since).toISOString()}: ${sentenceOf(opinion.evidence)}.`;
      return createUpdate({ type: "incident", page, id: verdict.incident }, updateId, { body, deliver_notifications: false }).plan(snapshot);
    },
    answer: () => ({ status: 204, body: null }),
  };
}
