/**
 * A change: the unit that is logged, replicated and decided.
 *
 * Invariants:
 *  1. A change is immutable. Its identity is SHA-256 of its encoded bytes.
 *  2. `context` is the document's vector that its author saw; a change is applied only where the document holds all of it.
 *  3. A change without `version` is known by its place in its origin's log; one with `version` by its place in the
 *     document's chain (origin `~`), so that two logs may carry it and it takes effect once.
 * Source: dotted version vectors, Preguiça et al. 2012 (arXiv:1011.5808).
 */
import { isHlc, type Hlc } from "./hlc.js";
import { parseVector, type Vector } from "./vector.js";

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

/** Name of the chain of decided versions in a document's vector. */
export const CHAIN = "~";

/** `section` is "" for the document itself, else the id of an element of it (an incident's update). */
export type Operation =
  /** Brings the document or a section into being. */
  | { readonly op: "create"; readonly section: string }
  /** Writes a register. `was`: the value that was shown where it was written. */
  | { readonly op: "set"; readonly section: string; readonly field: string; readonly value: Json; readonly was: Json }
  | { readonly op: "add"; readonly section: string; readonly field: string; readonly element: string }
  | { readonly op: "remove"; readonly section: string; readonly field: string; readonly element: string }
  | { readonly op: "count"; readonly section: string; readonly field: string; readonly by: number }
  /** Deletes for good; wins over everything concurrent. */
  | { readonly op: "delete"; readonly section: string };

/** The first answer to a request with an Idempotency-Key, kept by every replica. */
export interface IdempotencyRecord {
  /** Hash of (page, method, path, key). */
  readonly scope: string;
  /** Hash of the body. */
  readonly request: string;
  readonly status: number;
  readonly location: string | null;
  readonly etag: string | null;
  /** The JSON text of the answer, without any secret; null if there was none. */
  readonly body: string | null;
}

export interface Change {
  /** `<partition>/<type>/<id>`. */
  readonly document: string;
  readonly hlc: Hlc;
  readonly region: string;
  readonly replica: string;
  /** Id of the key that asked for it, or `system`. */
  readonly actor: string;
  readonly context: Vector;
  readonly operations: readonly Operation[];
  /** Set on changes decided by quorum: the version in the document's chain. */
  readonly version?: number;
  readonly operationIds?: readonly string[];
  readonly idempotency?: IdempotencyRecord;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });

export function encodeChange(change: Change): Uint8Array {
  return encoder.encode(JSON.stringify(change));
}

const DOCUMENT_KEY = /^(?:~|[a-z0-9](?:[a-z0-9-]{0,62}))\/[a-z-]{1,24}\/[A-Za-z0-9_-]{1,64}$/;
const NAME = /^[A-Za-z0-9_.:-]{0,96}$/;

export function isDocumentKey(key: unknown): key is string {
  return typeof key === "string" && DOCUMENT_KEY.test(key);
}

export interface ChangeBounds {
  readonly changeBytesMax: number;
  readonly operationsMax: number;
  readonly jsonDepthMax: number;
  readonly originsMax: number;
}

/** Decodes a change that came from outside; a sentence says what is wrong with it. */
export function decodeChange(bytes: Uint8Array, bounds: ChangeBounds): Change | { readonly fault: string } {
  if (bytes.length > bounds.changeBytesMax) return { fault: "is over the size limit" };
  let value: unknown;
  try {
    const text = decoder.decode(bytes);
    if (depthOf(text, bounds.jsonDepthMax) > bounds.jsonDepthMax) return { fault: "is nested too deep" };
    value = JSON.parse(text);
  } catch {
    return { fault: "is not JSON" };
  }
  const fault = faultOf(value, bounds);
  return fault === undefined ? (value as Change) : { fault };
}

/** The nesting depth of a JSON text; stops counting above `bound`. Linear, no recursion. */
export function depthOf(text: string, bound: number): number {
  let depth = 0;
  let deepest = 0;
  let inString = false;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (inString) {
      if (code === 92) i++;
      else if (code === 34) inString = false;
    } else if (code === 34) inString = true;
    else if (code === 123 || code === 91) {
      depth++;
      if (depth > deepest) deepest = depth;
      if (deepest > bound) return deepest;
    } else if (code === 125 || code === 93) depth--;
  }
  return deepest;
}

function faultOf(value: unknown, bounds: ChangeBounds): string | undefined {
  if (!isRecord(value)) return "is not an object";
  if (!isDocumentKey(value["document"])) return "names no document";
  if (!isHlc(value["hlc"])) return "has no HLC";
  for (const name of ["region", "replica", "actor"]) if (!isName(value[name]) || value[name] === "") return `has no ${name}`;
  const context = parseVector(value["context"], bounds.originsMax);
  if (context === undefined) return "has no context";
  const { version, operationIds, operations, idempotency } = value;
  if (version !== undefined && !(typeof version === "number" && Number.isSafeInteger(version) && version > 0)) return "has a bad version";
  if (version !== undefined && version !== (context[CHAIN] ?? 0) + 1) return "does not follow the version before it";
  if (operationIds !== undefined && !(Array.isArray(operationIds) && operationIds.length <= bounds.operationsMax && operationIds.every(isName))) return "has bad operation ids";
  if (!Array.isArray(operations) || operations.length > bounds.operationsMax) return "has no operations, or too many";
  for (const operation of operations) {
    const fault = operationFault(operation);
    if (fault !== undefined) return fault;
  }
  if (idempotency !== undefined && !isIdempotencyRecord(idempotency)) return "has a bad idempotency record";
  // A kept answer is no change of a document, so nothing of a document may travel with it.
  if ((idempotency !== undefined) !== (value["document"].split("/")[1] === "idempotency")) return "keeps an answer where none belongs";
  if (idempotency !== undefined && (operations.length > 0 || version !== undefined)) return "keeps an answer and more";
  return undefined;
}

function operationFault(operation: unknown): string | undefined {
  if (!isRecord(operation)) return "has an operation that is not an object";
  if (!isName(operation["section"])) return "has an operation without section";
  switch (operation["op"]) {
    case "create":
    case "delete":
      return undefined;
    case "set":
      return isField(operation["field"]) && operation["value"] !== undefined ? undefined : "has a bad set";
    case "add":
    case "remove":
      return isField(operation["field"]) && typeof operation["element"] === "string" ? undefined : "has a bad element";
    case "count":
      return isField(operation["field"]) && Number.isSafeInteger(operation["by"]) ? undefined : "has a bad count";
    default:
      return "has an unknown operation";
  }
}

export function isIdempotencyRecord(value: unknown): value is IdempotencyRecord {
  return (
    isRecord(value) && isName(value["scope"]) && isName(value["request"]) && Number.isInteger(value["status"]) &&
    ["location", "etag", "body"].every((name) => value[name] === null || typeof value[name] === "string")
  );
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isName(value: unknown): value is string {
  return typeof value === "string" && NAME.test(value);
}

function isField(value: unknown): boolean {
  return isName(value) && value !== "" && value !== "__proto__";
}
