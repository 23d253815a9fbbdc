/** Pieces of schemas that more than one resource is made of. */
import { Type, type TProperties } from "typebox";
import { COMPONENT_STATUSES } from "./conflicts.js";
import { conflict, nullable } from "./route-schemas.js";

export const TEXT_MAX = 64 * 1024;
export const NAME_MAX = 255;

export const Name = Type.String({ minLength: 1, maxLength: NAME_MAX, pattern: "\\S", description: "Not blank." });
export const Text = Type.String({ maxLength: TEXT_MAX });
export const Timestamp = Type.String({ format: "date-time", maxLength: 40, description: "RFC 3339." });
export const Identifier = Type.String({ minLength: 1, maxLength: 64, pattern: "^[A-Za-z0-9_-]+$" });
export const Position = Type.Integer({ minimum: -1_000_000_000, maximum: 1_000_000_000 });
export const ComponentStatus = Type.Enum([...COMPONENT_STATUSES]);

export type ComponentStatusName = (typeof COMPONENT_STATUSES)[number];

/** `{id: status}`; in a PATCH, null takes the component out. */
export const ComponentStatuses = Type.Record(Type.String(), ComponentStatus, { maxProperties: 500 });
export const ComponentStatusesPatch = Type.Record(Type.String(), nullable(ComponentStatus), { maxProperties: 500 });

/** A body whose unknown members are refused. */
export const closed = <P extends TProperties>(properties: P) => Type.Object(properties, { additionalProperties: false });

export const stampProperties = {
  created_at: Type.String(),
  updated_at: Type.String(),
  updated_hlc: Type.String({ description: "32 hex digits; sorts as time." }),
  updated_region: Type.String(),
  has_conflicts: Type.Boolean(),
};

export const PageParams = Type.Object({ page: Type.String() });
export const ResourceParams = Type.Object({ page: Type.String(), id: Type.String() });
export const SectionParams = Type.Object({ page: Type.String(), id: Type.String(), update: Type.String() });
export const ConflictParams = Type.Object({ page: Type.String(), id: Type.String(), field: Type.String() });

/** The answer to a DELETE. */
export const Nothing = Type.Null({ description: "Deleted." });

export const PageConflict = Type.Object({ type: Type.String(), id: Type.String(), ...conflict.properties });
export const Resolution = closed({ value: Type.Unknown({ description: "What the field becomes." }) });
