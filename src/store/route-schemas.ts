/** Schemas that the routes of all features share. Problem answers and common headers are documented by `api`. */
import Type, { type TSchema } from "typebox";

/** `?limit=` and `?cursor=` of every list; `?consistency=` where the header is not set. */
export const listQuery = Type.Object(
  {
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 100, default: 25, description: "How many items at most." })),
    cursor: Type.Optional(Type.String({ minLength: 1, maxLength: 4_096, description: "`next_cursor` of the page before." })),
    consistency: Type.Optional(Type.String({ description: "As the header `Consistency-Level`, which wins." })),
  },
  { additionalProperties: false },
);

/** The query of routes that take no other parameters. */
export const plainQuery = Type.Object(
  { consistency: Type.Optional(Type.String({ description: "As the header `Consistency-Level`, which wins." })) },
  { additionalProperties: false },
);

export const listOf = <T extends TSchema>(item: T) =>
  Type.Object({ data: Type.Array(item), next_cursor: Type.Union([Type.String(), Type.Null()]) });

export const nullable = <T extends TSchema>(schema: T) => Type.Union([schema, Type.Null()]);

/** RFC 3339 in UTC with milliseconds. */
export const timestamp = Type.String({ format: "date-time" });

export const historyEntry = Type.Object({
  hlc: Type.String(),
  at: timestamp,
  region: Type.String(),
  replica: Type.String(),
  actor: Type.String({ description: "Id of the key, or `system`." }),
  field: Type.String(),
  from: Type.Unknown(),
  to: Type.Unknown(),
});

export const conflict = Type.Object({
  field: Type.String(),
  rule: Type.String(),
  shown: Type.Unknown(),
  values: Type.Array(Type.Object({ value: Type.Unknown(), hlc: Type.String(), region: Type.String(), actor: Type.String() })),
});
