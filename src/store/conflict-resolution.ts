/** Concurrent values of a field: how they are shown, and how someone decides between them. */
import type { TSchema } from "typebox";
import { Compile } from "typebox/compile";
import type { Json } from "../core/change.js";
import { canonical } from "../core/document.js";
import type { Fault } from "../core/errors.js";
import type { Command, PlannedChange, Snapshot } from "./data-plane.js";
import type { Conflict, DocumentReader } from "./document-reader.js";
import { assertValue, invalid, notFound, patchCommand, visibleConflicts, type Resource } from "./resource.js";

/** Field → schema of its value. A field `name.<id>` has the schema of `name.*`, a field of a section that of `*.name`. */
export type FieldSchemas = Readonly<Record<string, TSchema>>;

export function conflictJson(conflict: Conflict): Resource {
  return { field: conflict.field, rule: conflict.rule, shown: conflict.shown, values: conflict.values.map((value) => ({ ...value })) };
}

/** Which section and which register of it a conflict's field names. */
function placeOf(document: DocumentReader, field: string): { section: string; register: string } {
  const dot = field.indexOf(".");
  const section = dot > 0 ? field.slice(0, dot) : "";
  return section !== "" && document.section(section) !== undefined ? { section, register: field.slice(dot + 1) } : { section: "", register: field };
}

function schemaOf(schemas: FieldSchemas, section: string, register: string): TSchema | undefined {
  if (section !== "") return schemas[`*.${register}`];
  return schemas[register] ?? schemas[`${register.split(".", 1)[0] ?? register}.*`];
}

const validators = new WeakMap<TSchema, ReturnType<typeof Compile>>();

function fits(schema: TSchema, value: unknown): boolean {
  let validator = validators.get(schema);
  if (validator === undefined) {
    validator = Compile(schema);
    validators.set(schema, validator);
  }
  return validator.Check(value);
}

/**
 * Writes a value over all siblings of a field. 404 if the field has no conflict, 422 if the value does not fit the field. A
 * field without a schema of its own takes one of its siblings.
 * @param check what the schema cannot say; a sentence if the value is refused
 * @param others what else follows from the decision
 */
export function resolveCommand(
  partition: string, type: string, id: string, field: string, value: Json, schemas: FieldSchemas,
  render: (reader: DocumentReader, snapshot: Snapshot) => Resource,
  options: {
    readonly check?: (field: string, value: Json, snapshot: Snapshot) => string | undefined;
    readonly others?: (document: DocumentReader, snapshot: Snapshot) => readonly PlannedChange[] | Fault;
  } = {},
): Command {
  return patchCommand(`${type}.resolve`, partition, type, id, (draft, document, snapshot) => {
    const conflict = visibleConflicts(document).find((found) => found.field === field);
    if (conflict === undefined) return notFound("conflict");
    const { section, register } = placeOf(document, field);
    const schema = schemaOf(schemas, section, register);
    const accepted = conflict.values.some((sibling) => canonical(sibling.value) === canonical(value)) || (schema !== undefined && fits(schema, value));
    if (!accepted) return invalid("#/value", "does not fit the field");
    const refusal = options.check?.(register, value, snapshot);
    if (refusal !== undefined) return invalid("#/value", refusal);
    assertValue(draft, document, register, value, section);
    return options.others?.(document, snapshot);
  }, render);
}
