/** Requests are checked against their schemas by Ajv: bodies as they came, query strings with their texts read as what the schema says. */
import AjvModule, { type ErrorObject, type ValidateFunction } from "ajv";
import addFormatsModule from "ajv-formats";
import type { FastifySchemaCompiler } from "fastify";
import type { FaultDetail } from "../core/errors.js";
import { apiLimits } from "./api-limits.js";

// Both packages are CommonJS whose default export is a member of what Node imports.
const Ajv = AjvModule.default;
const addFormats = addFormatsModule.default;

export type SchemaError = Pick<ErrorObject, "instancePath" | "keyword" | "params" | "message" | "schemaPath">;

type Check = ((value: unknown) => boolean) & { errors: ErrorObject[] | null };

/**
 * One Ajv for texts that are coerced (path, query, headers), one for bodies that are not. A schema is compiled when the first value is
 * checked against it: all of them at once would be a fifth of the time that a replica takes to start.
 */
export function validatorCompiler(): FastifySchemaCompiler<object> {
  const options = { allErrors: true, removeAdditional: false, strict: false, allowUnionTypes: true } as const;
  const bodies = new Ajv({ ...options, coerceTypes: false, useDefaults: false });
  const texts = new Ajv({ ...options, coerceTypes: true, useDefaults: true });
  for (const ajv of [bodies, texts]) addFormats(ajv);
  return ({ schema, httpPart }) => {
    let compiled: ValidateFunction | undefined;
    const check: Check = Object.assign((value: unknown): boolean => {
      compiled ??= (httpPart === "body" ? bodies : texts).compile(schema);
      const fits = compiled(value) as boolean;
      check.errors = compiled.errors ?? null;
      return fits;
    }, { errors: null });
    return httpPart === "querystring" ? strictIntegers(schema, check) : check;
  };
}

const DIGITS = /^-?\d{1,15}$/;

/** Ajv reads an integer out of any text that JavaScript does: `0x10`, `1e1`, ` 10`. In a query only digits are one. */
function strictIntegers(schema: object, check: Check): Check {
  const properties = "properties" in schema ? (schema.properties as Readonly<Record<string, { readonly type?: unknown }>>) : {};
  const names = Object.keys(properties).filter((name) => properties[name]?.type === "integer");
  if (names.length === 0) return check;
  const strict: Check = Object.assign((query: unknown): boolean => {
    const values = query as Readonly<Record<string, unknown>>;
    const wrong = names.find((name) => typeof values[name] === "string" && !DIGITS.test(values[name]));
    const fits = wrong === undefined && check(query);
    strict.errors = wrong === undefined ? check.errors : [{ instancePath: `/${wrong}`, schemaPath: "", keyword: "type", params: { type: "integer" }, message: "must be integer" }];
    return fits;
  }, { errors: null });
  return strict;
}

/** What is wrong where, as a client may read it: JSON pointers as RFC 9457 writes them, one entry a place and message, bounded. */
export function validationDetails(errors: readonly SchemaError[]): FaultDetail[] {
  const details = new Map<string, FaultDetail>();
  const alternatives = errors.filter((error) => error.keyword === "anyOf" || error.keyword === "oneOf").map((error) => error.instancePath);
  // Of alternatives that a value fits but for something inside it, only that is wrong.
  const pointers = errors.map((error) => detailOf(error).pointer);
  const explained = new Set(alternatives.map((path) => `#${path}`).filter((place) => pointers.some((pointer) => pointer.startsWith(`${place}/`))));
  for (const error of errors) {
    if (details.size >= apiLimits.validationErrorsMax) break;
    const detail = detailOf(error);
    if (explained.has(detail.pointer)) continue;
    // "must be null" beside "must be string" tells nobody anything: of alternatives only the first complaint is shown.
    const key = alternatives.includes(error.instancePath) ? detail.pointer : `${detail.pointer} ${detail.message}`;
    if (!details.has(key)) details.set(key, detail);
  }
  return [...details.values()];
}

function detailOf(error: SchemaError): FaultDetail {
  const at = `#${error.instancePath}`;
  const params = error.params as Readonly<Record<string, unknown>>;
  switch (error.keyword) {
    case "required":
      return { pointer: `${at}/${escapePointer(String(params["missingProperty"]))}`, message: "is required" };
    case "additionalProperties":
      return { pointer: `${at}/${escapePointer(String(params["additionalProperty"]))}`, message: "is not a field that a client may set here" };
    case "enum":
      return { pointer: at, message: `must be one of ${(params["allowedValues"] as readonly unknown[]).map((value) => JSON.stringify(value)).join(", ")}` };
    case "const":
      return { pointer: at, message: `must be ${JSON.stringify(params["allowedValue"])}` };
    default:
      return { pointer: at, message: error.message ?? "is not valid" };
  }
}

function escapePointer(name: string): string {
  return encodeURIComponent(name.replaceAll("~", "~0").replaceAll("/", "~1"));
}
