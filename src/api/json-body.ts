/** Bodies: JSON only, bounded in bytes by Fastify and in depth here, before the parser spends anything on them. */
import { isUtf8 } from "node:buffer";
import type { FastifyInstance } from "fastify";
import { depthOf } from "../core/change.js";
import { Fault } from "../core/errors.js";
import { limits } from "../core/limits.js";

/** A key that would reach a prototype. Texts that hold none of these names need no second look. */
const SUSPECT = /__proto__|constructor|\\u/;

/** Replaces every content type parser by one for JSON. An empty body is `undefined`: routes that need one say so in their schema. */
export function acceptJsonBodies(app: FastifyInstance): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser(["application/json", "application/merge-patch+json"], { parseAs: "buffer" }, (_request, bytes: Buffer, done) => {
    const parsed = parseJsonBody(bytes);
    // Fastify passes on what it is given; a Fault is no Error by design, and the error handler knows it.
    if (parsed instanceof Fault) done(parsed as unknown as Error);
    else done(null, parsed);
  });
}

/** The parsed body, undefined if it is empty, or a Fault. */
export function parseJsonBody(bytes: Buffer): unknown {
  if (bytes.length === 0) return undefined;
  if (!isUtf8(bytes)) return new Fault("malformed", "The body is not UTF-8.");
  const text = bytes.toString("utf8");
  if (depthOf(text, limits.jsonDepthMax) > limits.jsonDepthMax) return new Fault("malformed", `The body is nested deeper than ${limits.jsonDepthMax} levels.`);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return new Fault("malformed", "The body is not JSON.");
  }
  if (SUSPECT.test(text) && reachesPrototype(value)) return new Fault("malformed", "The body has a key that is not allowed (__proto__, or constructor with a prototype).");
  return value;
}

function reachesPrototype(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false;
  if (!Array.isArray(value)) {
    if (Object.hasOwn(value, "__proto__")) return true;
    const made: unknown = Object.hasOwn(value, "constructor") ? (value as { constructor: unknown }).constructor : undefined;
    if (typeof made === "object" && made !== null && Object.hasOwn(made, "prototype")) return true;
  }
  return Object.values(value).some(reachesPrototype);
}
