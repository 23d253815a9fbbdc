/**
 * A group of alerts as a sender tells of it: the document `<page>/alert-group/<id>`, its id derived from source and group key.
 *
 * Each alert has a section of its own, whose register `alert` holds what was last heard of it. The set `_episodes` names the
 * incidents of the group that are not over, by the alert that opened each. A set, so that two sides of a cut that opened different
 * ones forget neither. The set `_ended` names the last that are over.
 */
import { Type } from "typebox";
import type { Json } from "../../core/change.js";
import { keyOf } from "../../core/document.js";
import { Fault } from "../../core/errors.js";
import { alertLimits } from "../../core/limits.js";
import type { Snapshot } from "../../store/data-plane.js";
import { derivedId } from "../../store/derived-incidents.js";
import type { DocumentReader } from "../../store/document-reader.js";
import { stamps, type Resource } from "../../store/resource.js";
import { stampProperties } from "../../store/resource-schemas.js";
import { nullable } from "../../store/route-schemas.js";
import { later, SOURCES, type Alert, type Source } from "./alert.js";
import { mapAlert, type Rule } from "./rules.js";
import { rulesOf } from "./webhook.js";

export const ALERT_GROUP = "alert-group";
export const EPISODES = "_episodes";
export const ENDED = "_ended";
const REGISTER = "alert";
const GENERATIONS_MAX = 10_000;

const Texts = Type.Record(Type.String(), Type.String());
const AlertItem = Type.Object({
  fingerprint: Type.String(), status: Type.Enum(["firing", "resolved"]), starts_at: Type.String(), ends_at: nullable(Type.String()), heard_at: Type.String(), labels: Texts, annotations: Texts,
  component_id: nullable(Type.String({ description: "Null: no rule names one." })), is_ignored: Type.Boolean({ description: "A rule says that it shows nothing." }),
});
export const AlertGroupResource = Type.Object({
  id: Type.String(), page_id: Type.String(), source: Type.Enum([...SOURCES]), group_key: Type.String(), receiver: Type.String(), group_labels: Texts, external_url: Type.String(),
  truncated_alerts: Type.Integer({ description: "Alerts of the latest notification that its sender, or this service, left out." }), firing: Type.Integer(),
  unmapped: Type.Integer({ description: "Firing alerts that no rule maps to a component." }), incident_id: nullable(Type.String()), alerts: Type.Array(AlertItem), ...stampProperties,
});

export interface AlertGroup {
  readonly page: string;
  readonly id: string;
  readonly source: Source;
  readonly groupKey: string;
  /** By fingerprint. */
  readonly alerts: ReadonlyMap<string, Alert>;
  /** Incidents that are not over, earliest first. */
  readonly episodes: readonly string[];
  /** The last that are, earliest first. */
  readonly ended: readonly string[];
}

/** The group's document: the living one, or the next after those that were forgotten, since ids are never used again. */
export function groupKeyOf(snapshot: Snapshot, page: string, source: Source, groupKey: string): string | Fault {
  for (let generation = 0; generation < GENERATIONS_MAX; generation++) {
    const key = keyOf(page, ALERT_GROUP, derivedId(page, source, groupKey, generation));
    if (snapshot.document(key) !== undefined || !snapshot.taken(key)) return key;
  }
  return new Fault("overloaded", "This group of alerts was forgotten too often.");
}

export function sectionOf(fingerprint: string): string {
  return derivedId(fingerprint);
}

/** What is known of an alert; of concurrent values what counts. */
function alertIn(document: DocumentReader, section: string, rivals: ReadonlyMap<string, readonly Json[]>): Alert | undefined {
  const shown = document.value(REGISTER, section);
  if (shown === null) return undefined;
  const all = (rivals.get(`${section}.${REGISTER}`) ?? [shown]) as unknown as Alert[];
  return [...all].sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1)).reduce(later);
}

export function groupOf(document: DocumentReader): AlertGroup {
  const rivals = new Map(document.hasConflicts ? document.conflicts().map(({ field, values }) => [field, values.map(({ value }) => value)] as const) : []);
  const alerts = new Map<string, Alert>();
  for (const { id } of document.sections()) {
    const alert = alertIn(document, id, rivals);
    if (alert !== undefined) alerts.set(alert.fingerprint, alert);
  }
  return {
    page: document.partition, id: document.id, source: document.text("source") as Source, groupKey: document.text("group_key"), alerts,
    episodes: document.elements(EPISODES), ended: document.elements(ENDED),
  };
}

/** Names the incident that a group opens when this alert is the first of it to fire: start first, so that the earliest sorts first. `attempt`: how often that was over already. */
export function episodeOf({ fingerprint, round, start }: Alert, attempt: number): string {
  return `${String(start).padStart(16, "0")}.${round}.${attempt}.${sectionOf(fingerprint)}`;
}

export function incidentIdOf(group: Pick<AlertGroup, "page" | "id">, episode: string): string {
  return derivedId(group.page, group.id, "incident", episode);
}

const iso = (ms: number): string => new Date(ms).toISOString();
const isUnmapped = (snapshot: Snapshot, page: string, rules: readonly Rule[]) => ({ status, labels }: Alert): boolean => status === "firing" && mapAlert(snapshot, page, rules, labels) === "unmapped";

/** True if something fires in the group that no rule maps. */
export function hasUnmapped(document: DocumentReader, snapshot: Snapshot): boolean {
  const group = groupOf(document);
  return [...group.alerts.values()].some(isUnmapped(snapshot, group.page, rulesOf(snapshot, group.page, group.source)));
}

export function presentGroup(document: DocumentReader, snapshot: Snapshot): Resource {
  const group = groupOf(document);
  const rules = rulesOf(snapshot, group.page, group.source);
  const alerts = [...group.alerts.values()].sort((a, b) => b.start - a.start || (a.fingerprint < b.fingerprint ? -1 : 1));
  const open = group.episodes.map((episode) => incidentIdOf(group, episode)).find((id) => snapshot.document(keyOf(group.page, "incident", id)) !== undefined);
  return {
    id: group.id, page_id: group.page, source: group.source, group_key: group.groupKey, receiver: document.text("receiver"), group_labels: document.value("group_labels") ?? {},
    external_url: document.text("external_url"), truncated_alerts: document.value("truncated_alerts") ?? 0, firing: alerts.filter(({ status }) => status === "firing").length,
    unmapped: alerts.filter(isUnmapped(snapshot, group.page, rules)).length, incident_id: open ?? null,
    alerts: alerts.map(({ annotations, at, end, fingerprint, labels, start, status }) => {
      const mapped = mapAlert(snapshot, group.page, rules, labels);
      return {
        fingerprint, status, starts_at: iso(start), ends_at: end === null ? null : iso(end), heard_at: iso(at), labels: { ...labels }, annotations: { ...annotations },
        component_id: typeof mapped === "string" ? null : mapped.component, is_ignored: mapped === "ignored",
      };
    }),
    ...stamps(document), has_conflicts: false,
  };
}

/** True if the group may be forgotten: nothing fires, nothing is open, and it is old or has grown large. */
export function isForgettable(document: DocumentReader, group: AlertGroup, nowMs: number): boolean {
  if (group.episodes.length > 0 || [...group.alerts.values()].some(({ status }) => status === "firing")) return false;
  const age = nowMs - document.touchedMs;
  return age > alertLimits.alertGroupKeptMs || (group.alerts.size > alertLimits.alertGroupAlertsKept && age > alertLimits.refireAfterMs);
}
