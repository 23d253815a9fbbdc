/** A component: its schemas, what a request writes onto its document, and how it is shown. */
import { Type, type Static } from "typebox";
import { keyOf } from "../../core/document.js";
import type { Fault } from "../../core/errors.js";
import type { Snapshot } from "../../store/data-plane.js";
import type { DocumentReader, Draft } from "../../store/document-reader.js";
import { assertValue, invalid, lookUp, stamps, type Resource } from "../../store/resource.js";
import { closed, ComponentStatus, Name, Position, stampProperties, Text } from "../../store/resource-schemas.js";
import { nullable } from "../../store/route-schemas.js";

const optional = {
  description: Type.Optional(nullable(Text)),
  group_id: Type.Optional(nullable(Type.String({ minLength: 1, maxLength: 64 }))),
  position: Type.Optional(nullable(Position)),
  status: Type.Optional(nullable(ComponentStatus)),
  show_uptime: Type.Optional(nullable(Type.Boolean())),
  show_latency: Type.Optional(nullable(Type.Boolean({ description: "Shows the latencies of the monitors that watch it on the status page, by region." }))),
  only_show_if_degraded: Type.Optional(nullable(Type.Boolean())),
};

export const ComponentCreate = closed({ name: Name, ...optional });
export type ComponentCreate = Static<typeof ComponentCreate>;
export const ComponentPatch = closed({ name: Type.Optional(Name), ...optional });
export type ComponentPatch = Static<typeof ComponentPatch>;

export const ComponentResource = Type.Object({
  id: Type.String(), page_id: Type.String(), name: Type.String(), description: nullable(Type.String()), group_id: nullable(Type.String()),
  position: Type.Integer(), status: ComponentStatus, show_uptime: Type.Boolean(), show_latency: Type.Boolean(), only_show_if_degraded: Type.Boolean(), ...stampProperties,
});

/** Schemas of the fields that concurrent writes may leave with siblings. */
export const componentFields = {
  name: Name, description: nullable(Text), group_id: nullable(Type.String({ minLength: 1, maxLength: 64 })), position: Position, status: ComponentStatus,
  show_uptime: Type.Boolean(), show_latency: Type.Boolean(), only_show_if_degraded: Type.Boolean(),
};

/** A sentence if a page has no such group. */
export function unknownGroup(snapshot: Snapshot, page: string, group: string): string | undefined {
  return lookUp(snapshot, keyOf(page, "component-group", group)) === undefined ? "there is no such component group" : undefined;
}

/** Writes what a request sets; null gives a field its default again. 422 for a group that does not exist. */
export function writeComponent(draft: Draft, document: DocumentReader | undefined, snapshot: Snapshot, page: string, fields: ComponentPatch): Fault | undefined {
  if (fields.name !== undefined) draft.set("name", fields.name);
  if (fields.description !== undefined) draft.set("description", fields.description);
  if (fields.group_id !== undefined) {
    const fault = fields.group_id === null ? undefined : unknownGroup(snapshot, page, fields.group_id);
    if (fault !== undefined) return invalid("#/group_id", fault);
    draft.set("group_id", fields.group_id);
  }
  if (fields.position !== undefined) draft.set("position", fields.position ?? nextPosition(snapshot, page, "component"));
  if (fields.status !== undefined) assertValue(draft, document, "status", fields.status ?? "operational");
  if (fields.show_uptime !== undefined) draft.set("show_uptime", fields.show_uptime ?? true);
  if (fields.show_latency !== undefined) draft.set("show_latency", fields.show_latency ?? false);
  if (fields.only_show_if_degraded !== undefined) draft.set("only_show_if_degraded", fields.only_show_if_degraded ?? false);
  return undefined;
}

/** The place after the last of a type. */
export function nextPosition(snapshot: Snapshot, page: string, type: "component" | "component-group"): number {
  return (snapshot.list(page, type).at(-1)?.position ?? 0) + 1;
}

/** A component as it is returned. A group that is gone is shown as none. */
export function presentComponent(document: DocumentReader, snapshot: Snapshot): Resource {
  const group = document.value("group_id");
  return {
    id: document.id, page_id: document.partition, name: document.text("name"), description: document.value("description"),
    group_id: typeof group === "string" && unknownGroup(snapshot, document.partition, group) === undefined ? group : null,
    position: document.value("position") ?? 0, status: document.value("status") ?? "operational", show_uptime: document.value("show_uptime") ?? true,
    show_latency: document.value("show_latency") ?? false, only_show_if_degraded: document.value("only_show_if_degraded") ?? false, ...stamps(document),
  };
}
