/** A maintenance: its schemas, what a request writes onto its document, when it is due, and how it is shown. */
import { Type, type Static } from "typebox";
import type { Snapshot } from "../../store/data-plane.js";
import { presentComponents } from "../../store/component-effects.js";
import type { DocumentReader, Draft } from "../../store/document-reader.js";
import type { Fault } from "../../core/errors.js";
import { invalid, pageKey, stamps, type Resource } from "../../store/resource.js";
import { closed, ComponentStatus, ComponentStatuses, ComponentStatusesPatch, Name, stampProperties, Text, Timestamp } from "../../store/resource-schemas.js";
import { nullable } from "../../store/route-schemas.js";
import { newestFirst, normalTime, presentUpdate, since, updateCreate, UpdateInTimeline, updatePatch } from "../../store/timeline.js";
import { timelineOf } from "../../store/timeline-index.js";

export const MAINTENANCE_STATUSES = ["scheduled", "in_progress", "verifying", "completed"] as const;
export type MaintenanceStatusName = (typeof MAINTENANCE_STATUSES)[number];
export const MaintenanceStatus = Type.Enum([...MAINTENANCE_STATUSES]);
const RemindMinutes = Type.Integer({ minimum: 0, maximum: 43_200, description: "How long before the start subscribers are reminded." });

export const MaintenanceCreate = closed({
  name: Name,
  status: Type.Optional(MaintenanceStatus),
  scheduled_for: Timestamp,
  scheduled_until: Timestamp,
  auto_in_progress: Type.Optional(nullable(Type.Boolean())),
  auto_completed: Type.Optional(nullable(Type.Boolean())),
  components: Type.Optional(ComponentStatuses),
  body: Type.Optional(Text),
  remind_minutes: Type.Optional(nullable(RemindMinutes)),
});
export type MaintenanceCreate = Static<typeof MaintenanceCreate>;

export const MaintenancePatch = closed({
  name: Type.Optional(Name),
  status: Type.Optional(MaintenanceStatus),
  scheduled_for: Type.Optional(Timestamp),
  scheduled_until: Type.Optional(Timestamp),
  auto_in_progress: Type.Optional(nullable(Type.Boolean())),
  auto_completed: Type.Optional(nullable(Type.Boolean())),
  components: Type.Optional(nullable(ComponentStatusesPatch)),
  body: Type.Optional(Text),
  remind_minutes: Type.Optional(nullable(RemindMinutes)),
});
export type MaintenancePatch = Static<typeof MaintenancePatch>;

export const MaintenanceUpdateCreate = updateCreate(MaintenanceStatus);
export type MaintenanceUpdateCreate = Static<typeof MaintenanceUpdateCreate>;
export const MaintenanceUpdatePatch = updatePatch(MaintenanceStatus);

export const MaintenanceResource = Type.Object({
  id: Type.String(), page_id: Type.String(), name: Type.String(), status: MaintenanceStatus, impact: Type.Literal("maintenance"),
  scheduled_for: Type.String(), scheduled_until: Type.String(), auto_in_progress: Type.Boolean(), auto_completed: Type.Boolean(),
  remind_minutes: nullable(Type.Integer()), started_at: nullable(Type.String()), completed_at: nullable(Type.String()), shortlink: Type.String(),
  components: Type.Array(Type.Object({ id: Type.String(), name: Type.String(), status: ComponentStatus })),
  incident_updates: Type.Array(UpdateInTimeline),
  ...stampProperties,
});

/** Schemas of the fields that concurrent writes may leave with siblings. */
export const maintenanceFields = {
  name: Name, status: MaintenanceStatus, auto_in_progress: Type.Boolean(), auto_completed: Type.Boolean(),
  remind_minutes: nullable(RemindMinutes), "components.*": nullable(ComponentStatus), "*.status": MaintenanceStatus, "*.body": Text,
  "*.deliver_notifications": nullable(Type.Boolean()),
};

/** Writes the fields that stand for themselves. 422 unless the maintenance ends after it begins. */
export function writeMaintenance(draft: Draft, document: DocumentReader | undefined, fields: Omit<MaintenancePatch, "status" | "body" | "components">): Fault | undefined {
  if (fields.name !== undefined) draft.set("name", fields.name);
  for (const field of ["auto_in_progress", "auto_completed"] as const) if (fields[field] !== undefined) draft.set(field, fields[field] ?? false);
  if (fields.remind_minutes !== undefined) draft.set("remind_minutes", fields.remind_minutes);
  const times = { scheduled_for: document?.text("scheduled_for") ?? "", scheduled_until: document?.text("scheduled_until") ?? "" };
  for (const field of ["scheduled_for", "scheduled_until"] as const) {
    const given = fields[field];
    if (given === undefined) continue;
    const time = normalTime(given);
    if (time === undefined) return invalid(`#/${field}`, "is no time that can be shown");
    times[field] = time;
    draft.set(field, time);
  }
  const moved = fields.scheduled_for !== undefined || fields.scheduled_until !== undefined;
  if (moved && times.scheduled_for >= times.scheduled_until) {
    return invalid(fields.scheduled_until === undefined ? "#/scheduled_for" : "#/scheduled_until", "a maintenance ends after it begins");
  }
  return undefined;
}

function shortlink(document: DocumentReader, snapshot: Snapshot): string {
  const url = snapshot.document(pageKey(document.partition))?.text("url") ?? "";
  return `${url === "" ? `/pages/${document.partition}` : url.replace(/\/+$/, "")}/maintenances/${document.id}`;
}

/** A maintenance without its updates. What it costs does not grow with them. */
export function summarizeMaintenance(document: DocumentReader, snapshot: Snapshot): Resource {
  const timeline = timelineOf(document);
  const status = document.text("status");
  const begun = since(timeline.newestFirst(), ["in_progress", "verifying"], ["completed"]);
  return {
    id: document.id, page_id: document.partition, name: document.text("name"), status, impact: "maintenance",
    scheduled_for: document.value("scheduled_for"), scheduled_until: document.value("scheduled_until"),
    auto_in_progress: document.value("auto_in_progress") ?? false, auto_completed: document.value("auto_completed") ?? false,
    remind_minutes: document.value("remind_minutes"),
    started_at: status === "scheduled" ? null : begun, completed_at: status === "completed" ? (since(timeline.newestFirst(), ["completed"]) ?? document.updatedAt) : null,
    shortlink: shortlink(document, snapshot), components: presentComponents(document), created_at: document.createdAt, updated_at: document.updatedAt,
  };
}

/** A maintenance as it is returned. */
export function presentMaintenance(document: DocumentReader, snapshot: Snapshot): Resource {
  return { ...summarizeMaintenance(document, snapshot), incident_updates: newestFirst(document).map((update) => presentUpdate(document, update)), ...stamps(document) };
}

export interface Transition {
  readonly to: "in_progress" | "completed";
  /** Equal in every region that makes the same transition, so that both make one. */
  readonly updateId: string;
}

/**
 * The transition that is due by itself at a time, ms since the epoch. Each is made once for one schedule: who turns it
 * back by hand is not overruled.
 */
export function dueTransition(document: DocumentReader, atMs: number): Transition | undefined {
  const status = document.value("status");
  const candidates: { to: Transition["to"]; from: boolean; automatic: boolean; at: string }[] = [
    { to: "completed", from: status === "in_progress" || status === "verifying", automatic: document.value("auto_completed") === true, at: document.text("scheduled_until") },
    { to: "in_progress", from: status === "scheduled", automatic: document.value("auto_in_progress") === true, at: document.text("scheduled_for") },
  ];
  for (const { to, from, automatic, at } of candidates) {
    const dueMs = Date.parse(at);
    if (!from || !automatic || !(dueMs <= atMs)) continue;
    const updateId = `${to === "completed" ? "end" : "begin"}-${dueMs.toString(36)}-${document.id}`.slice(0, 64);
    if (!document.sectionTaken(updateId)) return { to, updateId };
  }
  return undefined;
}
