/** An incident: its schemas, what a request writes onto its document, and how it is shown. */
import { Type, type Static } from "typebox";
import type { Json } from "../../core/change.js";
import { hlcTime } from "../../core/hlc.js";
import { CLOSED_STATUSES, COMPONENT_STATUSES, IMPACTS } from "../../store/conflicts.js";
import type { Snapshot } from "../../store/data-plane.js";
import type { Vector } from "../../core/vector.js";
import type { DocumentReader, Draft } from "../../store/document-reader.js";
import { presentComponents } from "../../store/component-effects.js";
import { pageKey, stamps, type Resource } from "../../store/resource.js";
import { closed, ComponentStatus, ComponentStatuses, ComponentStatusesPatch, Name, stampProperties, Text } from "../../store/resource-schemas.js";
import { nullable } from "../../store/route-schemas.js";
import { newestFirst, presentUpdate, since, updateCreate, UpdateInTimeline, updatePatch } from "../../store/timeline.js";
import { timelineOf, type TimelineIndex } from "../../store/timeline-index.js";
import { postmortemSummary } from "./postmortem.js";

export const INCIDENT_STATUSES = ["investigating", "identified", "monitoring", "resolved", "postmortem"] as const;
export const IncidentStatus = Type.Enum([...INCIDENT_STATUSES]);
const Impact = Type.Enum([...IMPACTS]);
const Labels = Type.Array(Type.String({ minLength: 1, maxLength: 100 }), { maxItems: 100 });

export const IncidentCreate = closed({
  name: Name,
  status: Type.Optional(IncidentStatus),
  impact_override: Type.Optional(nullable(Impact)),
  body: Type.Optional(Text),
  components: Type.Optional(ComponentStatuses),
  deliver_notifications: Type.Optional(nullable(Type.Boolean())),
  labels: Type.Optional(Labels),
});
export type IncidentCreate = Static<typeof IncidentCreate>;

export const IncidentPatch = closed({
  name: Type.Optional(Name),
  status: Type.Optional(IncidentStatus),
  impact_override: Type.Optional(nullable(Impact)),
  body: Type.Optional(Text),
  components: Type.Optional(nullable(ComponentStatusesPatch)),
  deliver_notifications: Type.Optional(nullable(Type.Boolean())),
  labels: Type.Optional(nullable(Labels)),
});
export type IncidentPatch = Static<typeof IncidentPatch>;

export const IncidentUpdateCreate = updateCreate(IncidentStatus);
export type IncidentUpdateCreate = Static<typeof IncidentUpdateCreate>;
export const IncidentUpdatePatch = updatePatch(IncidentStatus);

export const IncidentResource = Type.Object({
  id: Type.String(), page_id: Type.String(), name: Type.String(), status: IncidentStatus, impact: Impact, impact_override: nullable(Impact),
  started_at: Type.String(), monitoring_at: nullable(Type.String()), resolved_at: nullable(Type.String()), shortlink: Type.String(),
  labels: Type.Array(Type.String()), deliver_notifications: Type.Boolean(),
  components: Type.Array(Type.Object({ id: Type.String(), name: Type.String(), status: ComponentStatus })),
  incident_updates: Type.Array(UpdateInTimeline),
  postmortem: nullable(Type.Object({ body: Type.String(), status: Type.Enum(["draft", "published"]), published_at: nullable(Type.String()), updated_at: Type.String() })),
  ...stampProperties,
});

/** Schemas of the fields that concurrent writes may leave with siblings. */
export const incidentFields = {
  name: Name, status: IncidentStatus, impact_override: nullable(Impact), deliver_notifications: Type.Boolean(), "components.*": nullable(ComponentStatus),
  postmortem_body: nullable(Text), postmortem_published: nullable(Type.Boolean()), "*.status": IncidentStatus, "*.body": Text,
  "*.deliver_notifications": nullable(Type.Boolean()),
};

export const isClosed = (status: Json): boolean => CLOSED_STATUSES.includes(status);

/** Writes the fields that stand for themselves; `status`, `body` and `components` make an update. */
export function writeIncident(draft: Draft, fields: Pick<IncidentPatch, "name" | "impact_override" | "deliver_notifications" | "labels">, seen: Vector | undefined): void {
  if (fields.name !== undefined) draft.set("name", fields.name);
  if (fields.impact_override !== undefined) draft.set("impact_override", fields.impact_override);
  if (fields.deliver_notifications !== undefined) draft.set("deliver_notifications", fields.deliver_notifications ?? true);
  if (fields.labels !== undefined) draft.replaceSet("labels", fields.labels ?? [], "", seen);
}

const IMPACT_OF: Readonly<Record<string, (typeof IMPACTS)[number]>> = {
  operational: "none", under_maintenance: "none", degraded_performance: "minor", partial_outage: "major", major_outage: "critical",
};

/** The impact of the worst status that the incident ever stated of a component. */
function derivedImpact(document: DocumentReader, stated: string | undefined): string {
  const places = [...presentComponents(document).map(({ status }) => status), stated ?? "operational"].map((status) => (COMPONENT_STATUSES as readonly string[]).indexOf(status));
  return IMPACT_OF[COMPONENT_STATUSES[Math.max(0, ...places)] ?? "operational"] ?? "none";
}

/** Built from the page's `url`, or a path if it has none. */
function shortlink(document: DocumentReader, snapshot: Snapshot): string {
  const url = snapshot.document(pageKey(document.partition))?.text("url") ?? "";
  return url === "" ? `/pages/${document.partition}/incidents/${document.id}` : `${url.replace(/\/+$/, "")}/incidents/${document.id}`;
}

function statusTimes(document: DocumentReader, timeline: TimelineIndex): { monitoring_at: string | null; resolved_at: string | null } {
  const status = document.value("status");
  const author = document.author("status");
  const shownSince = author === undefined ? document.createdAt : hlcTime(author.hlc);
  const closedStatuses = CLOSED_STATUSES.map(String);
  if (isClosed(status)) {
    const found = since(timeline.newestFirst(), closedStatuses);
    return { monitoring_at: since(timeline.newestFirst(), ["monitoring"], closedStatuses), resolved_at: found ?? shownSince };
  }
  return { monitoring_at: status === "monitoring" ? (since(timeline.newestFirst(), ["monitoring"]) ?? shownSince) : null, resolved_at: null };
}

/** An incident without its updates. What it costs does not grow with its updates. */
export function summarizeIncident(document: DocumentReader, snapshot: Snapshot): Resource {
  const timeline = timelineOf(document);
  const override = document.value("impact_override");
  return {
    id: document.id, page_id: document.partition, name: document.text("name"), status: document.value("status"),
    impact: override ?? derivedImpact(document, timeline.worstStated), impact_override: override,
    started_at: document.createdAt, ...statusTimes(document, timeline), shortlink: shortlink(document, snapshot),
    labels: document.elements("labels"), deliver_notifications: document.value("deliver_notifications") ?? true,
    components: presentComponents(document), created_at: document.createdAt, updated_at: document.updatedAt,
    postmortem: postmortemSummary(document),
  };
}

/** An incident as it is returned. Source: the contract's "An incident as returned". */
export function presentIncident(document: DocumentReader, snapshot: Snapshot): Resource {
  return { ...summarizeIncident(document, snapshot), incident_updates: newestFirst(document).map((update) => presentUpdate(document, update)), ...stamps(document) };
}
