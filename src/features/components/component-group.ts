/** A component group: its schemas, what a request writes onto its document, and how it is shown. */
import { Type, type Static } from "typebox";
import type { Snapshot } from "../../store/data-plane.js";
import type { DocumentReader, Draft } from "../../store/document-reader.js";
import { stamps, type Resource } from "../../store/resource.js";
import { closed, Name, Position, stampProperties, Text } from "../../store/resource-schemas.js";
import { nullable } from "../../store/route-schemas.js";
import { nextPosition } from "./component.js";

const optional = {
  description: Type.Optional(nullable(Text)),
  position: Type.Optional(nullable(Position)),
  collapsed: Type.Optional(nullable(Type.Boolean())),
};

export const GroupCreate = closed({ name: Name, ...optional });
export type GroupCreate = Static<typeof GroupCreate>;
export const GroupPatch = closed({ name: Type.Optional(Name), ...optional });
export type GroupPatch = Static<typeof GroupPatch>;

export const GroupResource = Type.Object({
  id: Type.String(), page_id: Type.String(), name: Type.String(), description: nullable(Type.String()), position: Type.Integer(), collapsed: Type.Boolean(),
  ...stampProperties,
});

/** Schemas of the fields that concurrent writes may leave with siblings. */
export const groupFields = { name: Name, description: nullable(Text), position: Position, collapsed: Type.Boolean() };

/** Writes what a request sets; null gives a field its default again. */
export function writeGroup(draft: Draft, snapshot: Snapshot, page: string, fields: GroupPatch): void {
  if (fields.name !== undefined) draft.set("name", fields.name);
  if (fields.description !== undefined) draft.set("description", fields.description);
  if (fields.position !== undefined) draft.set("position", fields.position ?? nextPosition(snapshot, page, "component-group"));
  if (fields.collapsed !== undefined) draft.set("collapsed", fields.collapsed ?? false);
}

/** A component group as it is returned. */
export function presentGroup(document: DocumentReader): Resource {
  return {
    id: document.id, page_id: document.partition, name: document.text("name"), description: document.value("description"),
    position: document.value("position") ?? 0, collapsed: document.value("collapsed") ?? false, ...stamps(document),
  };
}
