/** The updates of an incident or a maintenance: sections of its document, shown newest first. */
import { Type, type TSchema } from "typebox";
import { hlcTime } from "../core/hlc.js";
import { keyOf } from "../core/document.js";
import { Fault } from "../core/errors.js";
import type { DocumentReader, Draft } from "./document-reader.js";
import type { Affected, Statements } from "./component-effects.js";
import type { Snapshot } from "./data-plane.js";
import { invalid, lookUp, pointerPart, type Resource } from "./resource.js";
import { closed, ComponentStatusesPatch, TEXT_MAX, Timestamp } from "./resource-schemas.js";
import { nullable } from "./route-schemas.js";
import { timelineOf } from "./timeline-index.js";

type Update = { readonly id: string; readonly born: { readonly hlc: string; readonly region: string }; readonly touched: { readonly hlc: string; readonly region: string } };

/** The body of a POST of an update. `status`: the schema of the subject's statuses. */
export const updateCreate = <S extends TSchema>(status: S) =>
  closed({
    status: Type.Optional(status),
    body: Type.String({ minLength: 1, maxLength: TEXT_MAX }),
    components: Type.Optional(ComponentStatusesPatch),
    display_at: Type.Optional(nullable(Timestamp)),
    deliver_notifications: Type.Optional(nullable(Type.Boolean())),
  });

/** The body of a PATCH of an update. It corrects what the timeline says, and changes neither its subject nor any component. */
export const updatePatch = <S extends TSchema>(status: S) =>
  closed({
    status: Type.Optional(status),
    body: Type.Optional(Type.String({ minLength: 1, maxLength: TEXT_MAX })),
    components: Type.Optional(nullable(ComponentStatusesPatch)),
    display_at: Type.Optional(nullable(Timestamp)),
    deliver_notifications: Type.Optional(nullable(Type.Boolean())),
  });

const affectedComponent = Type.Object({ id: Type.String(), name: Type.String(), old_status: Type.String(), new_status: Type.String() });
const updateProperties = {
  id: Type.String(), incident_id: Type.String({ description: "Id of the incident or maintenance." }), status: Type.String(), body: Type.String(),
  affected_components: Type.Array(affectedComponent), created_at: Type.String(), display_at: Type.String(), updated_at: Type.String(),
  region: Type.String(), deliver_notifications: Type.Boolean(),
};
export const UpdateInTimeline = Type.Object(updateProperties);
export const UpdateResource = Type.Object({ ...updateProperties, page_id: Type.String(), updated_hlc: Type.String(), updated_region: Type.String() });

export interface UpdateEdit {
  readonly status?: string;
  readonly body?: string;
  /** What the update says of components; null takes one out, or all. */
  readonly components?: Statements | null;
  readonly display_at?: string | null;
  readonly deliver_notifications?: boolean | null;
}

export interface NewUpdate {
  readonly id: string;
  readonly status: string;
  readonly body: string;
  readonly displayAt?: string | null | undefined;
  readonly deliverNotifications?: boolean | null | undefined;
  readonly affected: readonly Affected[];
}

/** What the schema's format lets pass though RFC 3339 does not: an offset without its colon. */
const OFFSET = /(?:[Zz]|[+-]\d{2}:\d{2})$/;

/** RFC 3339 in UTC with milliseconds; undefined if it names no time that there is. */
export function normalTime(text: string): string | undefined {
  if (!OFFSET.test(text)) return undefined;
  const ms = Date.parse(text);
  return Number.isNaN(ms) || ms < 0 || ms > 253_402_300_799_999 ? undefined : new Date(ms).toISOString();
}

export function appendUpdate(draft: Draft, update: NewUpdate): Fault | undefined {
  draft.create(update.id).set("status", update.status, update.id).set("body", update.body, update.id);
  draft.set("affected", update.affected.map((affected) => ({ ...affected })), update.id);
  return writeDetails(draft, update.id, update.displayAt, update.deliverNotifications);
}

function writeDetails(draft: Draft, id: string, displayAt: string | null | undefined, deliver: boolean | null | undefined): Fault | undefined {
  if (deliver !== undefined) draft.set("deliver_notifications", deliver, id);
  if (displayAt === undefined) return undefined;
  const time = displayAt === null ? null : normalTime(displayAt);
  if (time === undefined) return invalid("#/display_at", "is no time that can be shown");
  draft.set("display_at", time, id);
  return undefined;
}

export function editUpdate(draft: Draft, document: DocumentReader, snapshot: Snapshot, id: string, edit: UpdateEdit): Fault | undefined {
  if (edit.components !== undefined) {
    const affected = correctAffected(document, snapshot, id, edit.components);
    if (affected instanceof Fault) return affected;
    draft.set("affected", affected.map((one) => ({ ...one })), id);
  }
  if (edit.status !== undefined) draft.set("status", edit.status, id);
  if (edit.body !== undefined) draft.set("body", edit.body, id);
  return writeDetails(draft, id, edit.display_at, edit.deliver_notifications);
}

/** What an update says of components, corrected; the components themselves stay as they are. 422 for one that does not exist. */
function correctAffected(document: DocumentReader, snapshot: Snapshot, id: string, statements: Statements | null): readonly Affected[] | Fault {
  if (statements === null) return [];
  const affected = new Map(affectedBy(document, id).map((one) => [one.id, one]));
  for (const [componentId, status] of Object.entries(statements)) {
    const before = affected.get(componentId);
    const component = lookUp(snapshot, keyOf(document.partition, "component", componentId));
    if (status === null) affected.delete(componentId);
    else if (before !== undefined) affected.set(componentId, { ...before, new_status: status });
    else if (component === undefined) return invalid(`#/components/${pointerPart(componentId)}`, "there is no such component");
    else affected.set(componentId, { id: componentId, name: component.text("name"), old_status: component.text("status") || "operational", new_status: status });
  }
  return [...affected.values()];
}

/** What an update did to the components, as it was kept. */
export function affectedBy(document: DocumentReader, id: string): readonly Affected[] {
  const value = document.value("affected", id);
  return Array.isArray(value) ? (value as unknown as readonly Affected[]) : [];
}

/** An update as it stands in its subject. */
export function presentUpdate(document: DocumentReader, update: Update): Resource {
  const createdAt = hlcTime(update.born.hlc);
  return {
    id: update.id, incident_id: document.id, status: document.text("status", update.id), body: document.text("body", update.id),
    affected_components: affectedBy(document, update.id).map(({ id, name, old_status, new_status }) => ({ id, name, old_status, new_status })),
    created_at: createdAt, display_at: document.value("display_at", update.id) ?? createdAt,
    updated_at: update.touched.hlc === update.born.hlc ? createdAt : hlcTime(update.touched.hlc), region: update.born.region, deliver_notifications: document.value("deliver_notifications", update.id) ?? true,
  };
}

/** An update as it is returned by its own routes; undefined if there is none of this id. */
export function updateResource(document: DocumentReader, id: string): Resource | undefined {
  const update = document.section(id);
  return update === undefined ? undefined : {
    ...presentUpdate(document, update), page_id: document.partition, updated_hlc: update.touched.hlc, updated_region: update.touched.region,
  };
}

/** The updates, newest first by (created, id). Created is the hybrid time: it also orders what one millisecond holds. */
export function newestFirst(document: DocumentReader): Update[] {
  return document.sections().reverse();
}

/** A page of updates as they are shown: the latest first by the time that they show. Undefined if there is none of the id `after`. */
export function shownUpdates(document: DocumentReader, countMax: number, after?: string): Resource[] | undefined {
  return timelineOf(document).shown(countMax, after)?.flatMap((id) => {
    const update = document.section(id);
    return update === undefined ? [] : [presentUpdate(document, update)];
  });
}

/**
 * Since when a subject has a status: the oldest of the latest run of updates whose status is one of `statuses`. Null if
 * the run before the later ones in `skipped` is another. `updates`: newest first.
 */
export function since(updates: Iterable<{ readonly hlc: string; readonly status: string }>, statuses: readonly string[], skipped: readonly string[] = []): string | null {
  let found: string | null = null;
  for (const { hlc, status } of updates) {
    if (statuses.includes(status)) found = hlc;
    else if (found !== null || !skipped.includes(status)) break;
  }
  return found === null ? null : hlcTime(found);
}
