/**
 * What alerts do: a group with something firing has one incident, whose components follow what its alerts are mapped to.
 *
 * The incident is named by the group and by the start of the alert that opened it, so that regions that take in the same
 * notification, at the same time or on two sides of a cut, open the same one. Whatever a plan cannot see yet (another
 * region's half, a maintenance that ends, a rule that is added) is set right when the group is looked at again.
 */
import { keyOf } from "../../core/document.js";
import { Fault, isFault } from "../../core/errors.js";
import { alertLimits } from "../../core/limits.js";
import { statedOf, statementsOf, underMaintenance, worse, type Statements } from "../../store/component-effects.js";
import type { Command, PlannedChange, Snapshot } from "../../store/data-plane.js";
import { derivedId, isClosed, isSetByHand, mendComponent, resolveIncident, stateComponent, SYSTEM_ACTOR, type IncidentRoom } from "../../store/derived-incidents.js";
import { Draft, type DocumentReader } from "../../store/document-reader.js";
import { changeOf, lookUp, requirePage } from "../../store/resource.js";
import type { ComponentStatusName } from "../../store/resource-schemas.js";
import { createUpdate } from "../../store/timeline-commands.js";
import { alertJson, hear, shortened, type Alert, type Notification, type ToldAlert } from "./alert.js";
import { ALERT_GROUP, ENDED, episodeOf, EPISODES, groupOf, incidentIdOf, isForgettable, sectionOf, type AlertGroup } from "./alert-group.js";
import { mapAlert, type Mapped } from "./rules.js";
import { rulesOf } from "./webhook.js";

/** What became of an alert of a notification. `dropped`: its group holds too many. */
export type Outcome = "firing" | "resolved" | "duplicate" | "stale" | "dropped";
export interface AlertOutcome {
  readonly fingerprint: string;
  readonly outcome: Outcome;
  readonly mapping: "mapped" | "ignored" | "unmapped";
}

export interface Step {
  /** Of the incident and its components. */
  readonly changes: readonly PlannedChange[];
  readonly episodes: readonly string[];
  readonly ended: readonly string[];
  /** There is more to do than fits into one write. */
  readonly isDue: boolean;
  /** Something fires: what keeps it back, or maps it, may change without the group. */
  readonly isActive: boolean;
}

interface MappedAlert extends Mapped {
  readonly alert: Alert;
}

/** Incidents that one alert opens without having ended in between. */
const ATTEMPTS_MAX = 8;
/** Incidents that are over and are still looked at. */
const ENDED_KEPT = 8;

const textOf = (text: string | undefined, charactersMax: number): string => (text ?? "").trim().slice(0, charactersMax);
const nameOf = (snapshot: Snapshot, page: string, component: string): string => lookUp(snapshot, keyOf(page, "component", component))?.text("name") ?? component;

/** What a group asks for now. */
export function stepOf(snapshot: Snapshot, group: AlertGroup, incidents: IncidentRoom): Step | Fault {
  const { alerts, ended, episodes, page } = group;
  const rules = rulesOf(snapshot, page, group.source);
  const fires = [...alerts.values()].filter(({ status }) => status === "firing");
  const mapped = fires.flatMap((alert): MappedAlert[] => {
    const found = mapAlert(snapshot, page, rules, alert.labels);
    return typeof found === "string" ? [] : [{ ...found, alert }];
  });
  const free = mapped.filter(({ component }) => {
    const document = snapshot.document(keyOf(page, "component", component));
    return document !== undefined && !underMaintenance(snapshot, document);
  });
  const isActive = fires.length > 0;
  const still = (changes: readonly PlannedChange[] = []): Step => ({ changes, episodes, ended, isDue: false, isActive });
  const [current, other] = episodes;
  // Ended on one side of a cut, and opened on the other; or two sides that had heard of the group from different alerts on opened one each: the earlier one stays.
  const surplus = episodes.find((episode) => endOf(snapshot, group, episode) !== undefined) ?? other;
  if (mapped.length === 0 || surplus !== undefined) {
    const ending = mapped.length === 0 ? current : surplus;
    if (ending === undefined) return still(releasing(snapshot, group));
    const changes = endingOf(snapshot, group, ending, mapped.length > 0);
    const over = [...new Set([...ended, ending])].sort().slice(-ENDED_KEPT);
    return isFault(changes) ? changes : { changes, episodes: episodes.filter((episode) => episode !== ending), ended: over, isDue: true, isActive };
  }
  if (current === undefined) return free.length === 0 ? still() : opening(snapshot, group, free, incidents, isActive);
  const changes = following(snapshot, group, current, free, mapped);
  return isFault(changes) ? changes : still(changes);
}

function opening(snapshot: Snapshot, group: AlertGroup, free: readonly MappedAlert[], incidents: IncidentRoom, isActive: boolean): Step | Fault {
  const first = free.reduce((best, mapped) => (isEarlier(mapped.alert, best.alert) ? mapped : best));
  const episode = newEpisode(snapshot, group, first.alert);
  const id = incidentIdOf(group, episode);
  const opened = { episodes: [...group.episodes, episode], ended: group.ended.filter((over) => over !== episode), isDue: false, isActive };
  if (snapshot.taken(keyOf(group.page, "incident", id))) return { changes: [], ...opened };
  const { annotations } = first.alert;
  const isPublic = first.rule.show_annotations === true;
  const component = nameOf(snapshot, group.page, first.component);
  const name = first.rule.incident_name ?? ((isPublic && textOf(annotations["summary"], 255)) || `${component} is failing`);
  const body = (isPublic && textOf(annotations["description"], 4_096)) || `${component} is failing.`;
  const plan = incidents.open(group.page, id, derivedId(group.page, id, "opened"), { name, status: "investigating", body, components: Object.fromEntries(worstOf(free)) }).plan(snapshot);
  return isFault(plan) ? plan : { changes: plan.changes, ...opened };
}

/** Where the incident was over once because no rule mapped its alerts for a while, another one begins. What an operator ended stays ended. */
function newEpisode(snapshot: Snapshot, group: AlertGroup, alert: Alert): string {
  for (let attempt = 0; ; attempt++) {
    const episode = episodeOf(alert, attempt);
    const incident = snapshot.document(keyOf(group.page, "incident", incidentIdOf(group, episode)));
    if (incident === undefined || !isClosed(incident) || incident.author("status")?.actor !== SYSTEM_ACTOR || attempt === ATTEMPTS_MAX) return episode;
  }
}

function isEarlier(a: Alert, b: Alert): boolean {
  return a.start !== b.start ? a.start < b.start : a.round !== b.round ? a.round < b.round : a.fingerprint < b.fingerprint;
}

/** The worst status of each component. */
function worstOf(mapped: readonly MappedAlert[]): ReadonlyMap<string, ComponentStatusName> {
  const worst = new Map<string, ComponentStatusName>();
  for (const { component, status } of mapped) worst.set(component, worse(status, worst.get(component) ?? "operational"));
  return new Map([...worst].sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Tells the open incident which components its alerts are about now. */
function following(snapshot: Snapshot, group: AlertGroup, episode: string, free: readonly MappedAlert[], mapped: readonly MappedAlert[]): readonly PlannedChange[] | Fault {
  const { page } = group;
  const id = incidentIdOf(group, episode);
  const incident = snapshot.document(keyOf(page, "incident", id));
  if (incident === undefined || isClosed(incident)) return [];
  const isOurs = (component: string): boolean => {
    const document = snapshot.document(keyOf(page, "component", component));
    const stated = incident.author(`components.${component}`);
    return document !== undefined && (stated === undefined || (stated.actor === SYSTEM_ACTOR && !isSetByHand(document)));
  };
  const stated = statementsOf(incident);
  const said: { [component: string]: ComponentStatusName | null } = {};
  for (const [component, status] of worstOf(free)) if (stated.get(component) !== status && isOurs(component)) said[component] = status;
  for (const component of stated.keys()) if (mapped.every((alert) => alert.component !== component) && isOurs(component)) said[component] = null;
  if (Object.keys(said).length === 0) return [];
  const updateId = derivedId(page, id, "follows", [...group.alerts.values()].map(({ end, fingerprint, round, start, status }) => [fingerprint, status, start, end, round]).sort());
  if (incident.sectionTaken(updateId)) return [];
  const plan = createUpdate({ type: "incident", page, id }, updateId, { body: sentenceOf(snapshot, page, said), components: said }).plan(snapshot);
  return isFault(plan) ? plan : plan.changes;
}

function sentenceOf(snapshot: Snapshot, page: string, said: Statements): string {
  const parts = Object.entries(said).map(([component, status]) => `${nameOf(snapshot, page, component)}: ${status === null ? "no longer affected" : status.replaceAll("_", " ")}`);
  return `${parts.join("; ")}.`;
}

/** Why incidents end: the alerts are over, or another incident tells of them. */
type End = "resolved" | "double";

const endId = (group: AlertGroup, incident: string, end: End): string => derivedId(group.page, incident, end);

/** How the incident of an episode was ended by us; undefined if it was not yet. */
function endOf(snapshot: Snapshot, group: AlertGroup, episode: string): End | undefined {
  const id = incidentIdOf(group, episode);
  const incident = snapshot.document(keyOf(group.page, "incident", id));
  return (["resolved", "double"] as const).find((end) => incident?.sectionTaken(endId(group, id, end)) === true);
}

/** Ends the incident of an episode. */
function endingOf(snapshot: Snapshot, group: AlertGroup, episode: string, isDouble: boolean): readonly PlannedChange[] | Fault {
  const id = incidentIdOf(group, episode);
  const incident = snapshot.document(keyOf(group.page, "incident", id));
  const end = endOf(snapshot, group, episode) ?? (isDouble ? "double" : "resolved");
  const components = incident === undefined ? [] : [...statementsOf(incident).keys()];
  const body = end === "double" ? "This incident goes on under another entry." : "The alerts are over.";
  return resolveIncident(snapshot, { page: group.page, id, updateId: endId(group, id, end), components, body });
}

/** Nothing is open: components that two sides of a cut left in a state that only incidents of this group ever gave them return to what others say. */
function releasing(snapshot: Snapshot, group: AlertGroup): readonly PlannedChange[] {
  const changes = new Map<string, readonly PlannedChange[]>();
  for (const episode of group.ended) {
    const incident = snapshot.document(keyOf(group.page, "incident", incidentIdOf(group, episode)));
    if (incident === undefined || !isClosed(incident)) continue;
    // What an update does to components is written with it, under one stamp.
    const stamps = new Set(incident.sections().map(({ born }) => born.hlc));
    for (const [component, stated] of statementsOf(incident)) {
      const document = snapshot.document(keyOf(group.page, "component", component));
      if (document === undefined || isSetByHand(document) || underMaintenance(snapshot, document)) continue;
      // A status that was set by hand, and kept when the incident ended, is what that incident still states.
      if (document.hasConflicts) changes.set(component, mendComponent(snapshot, document));
      else if (stated === "operational" && document.text("status") !== statedOf(snapshot, document) && stamps.has(document.author("status")?.hlc ?? "")) changes.set(component, stateComponent(document, statedOf(snapshot, document)));
    }
  }
  return [...changes.values()].flat();
}

/** Does what a group asks for, as it is when the plan runs; a group that has had its time is forgotten. */
export function settleCommand(key: string, incidents: IncidentRoom): Command {
  return {
    name: "alerts.settle", subject: key,
    plan(snapshot) {
      const document = snapshot.document(key);
      if (document === undefined) return { changes: [] };
      const group = groupOf(document);
      if (isForgettable(document, group, snapshot.atMs)) return { changes: changeOf(key, new Draft(document).delete()) };
      const step = stepOf(snapshot, group, incidents);
      return isFault(step) ? step : { changes: [...step.changes, ...changeOf(key, new Draft(document).replaceSet(EPISODES, step.episodes).replaceSet(ENDED, step.ended))] };
    },
    answer: () => ({ status: 204, body: null }),
  };
}

export interface Reception {
  readonly page: string;
  /** The group's document, as `groupKeyOf` gives it. */
  readonly key: string;
  readonly notification: Notification;
  /** The part of its alerts that this command is for. */
  readonly alerts: readonly ToldAlert[];
  readonly incidents: IncidentRoom;
  /** Told each time the plan runs. */
  observe(outcomes: readonly AlertOutcome[]): void;
}

/** Takes alerts in: what was heard of them and what follows from it are one write. */
export function receiveCommand({ page, key, notification, alerts, incidents, observe }: Reception): Command {
  return {
    name: "alerts.receive", subject: key,
    plan(snapshot) {
      const missing = requirePage(snapshot, page);
      if (missing !== undefined) return missing;
      const document = snapshot.document(key);
      if (document === undefined) {
        // It was forgotten just now: the sender comes again, and finds the next one.
        if (snapshot.taken(key)) return new Fault("overloaded", "The group was forgotten just now.", { retryAfterSeconds: 1 });
        if (snapshot.list(page, ALERT_GROUP).length >= alertLimits.alertGroupsMax) return new Fault("overloaded", `The page holds ${alertLimits.alertGroupsMax} groups of alerts.`, { retryAfterSeconds: 60 });
      }
      const draft = new Draft(document);
      const { group, outcomes } = heardBy(snapshot, draft, document, { page, key, notification, alerts });
      observe(outcomes);
      const dropped = outcomes.filter(({ outcome }) => outcome === "dropped").length;
      // Two senders that tell the same would else write their own addresses in turn, for ever.
      if (document === undefined || draft.operations.length > 0) describeGroup(draft, notification);
      draft.set("truncated_alerts", notification.truncatedAlerts + dropped);
      const step = stepOf(snapshot, group, incidents);
      if (isFault(step)) return step;
      draft.replaceSet(EPISODES, step.episodes).replaceSet(ENDED, step.ended);
      return { changes: [...step.changes, ...changeOf(key, draft)] };
    },
    answer: (snapshot) => ({ status: 200, body: { group: snapshot.document(key)?.id ?? null } }),
  };
}

interface Hearing extends Pick<Reception, "page" | "key" | "notification" | "alerts"> {}

/** Writes onto the draft what is news, and says what the group holds then. */
function heardBy(snapshot: Snapshot, draft: Draft, document: DocumentReader | undefined, { page, key, notification, alerts }: Hearing): { group: AlertGroup; outcomes: AlertOutcome[] } {
  const before: AlertGroup = document === undefined ? { page, id: key.slice(key.lastIndexOf("/") + 1), source: notification.source, groupKey: notification.groupKey, alerts: new Map(), episodes: [], ended: [] } : groupOf(document);
  if (document === undefined) draft.create();
  const rules = rulesOf(snapshot, page, notification.source);
  const held = new Map(before.alerts);
  const news = new Map<string, Alert>();
  const outcomes = alerts.map((told): AlertOutcome => {
    const found = mapAlert(snapshot, page, rules, told.labels);
    const mapping = typeof found === "string" ? found : "mapped";
    const known = held.get(told.fingerprint);
    if (known === undefined && held.size >= alertLimits.alertsPerGroupMax) return { fingerprint: told.fingerprint, outcome: "dropped", mapping };
    const heard = hear(known, told, snapshot.atMs);
    if ("alert" in heard) {
      held.set(told.fingerprint, heard.alert);
      news.set(told.fingerprint, heard.alert);
    }
    return { fingerprint: told.fingerprint, outcome: heard.outcome, mapping };
  });
  for (const [fingerprint, alert] of news) {
    const section = sectionOf(fingerprint);
    if (document?.section(section) === undefined) draft.create(section);
    draft.set("alert", alertJson(alert), section);
  }
  return { group: { ...before, alerts: held }, outcomes };
}

function describeGroup(draft: Draft, { externalUrl, groupKey, groupLabels, receiver, source }: Notification): void {
  draft.set("source", source).set("group_key", groupKey).set("receiver", textOf(receiver, 255)).set("group_labels", { ...shortened(groupLabels, alertLimits.alertBytes) });
  draft.set("external_url", textOf(externalUrl, 2_048));
}
