/** Bodies: JSON only, bounded in bytes by Fastify and in depth here, before the parser spends anything on them. */
import { isUtf8 } from "node:buffer";
import type { FastifyInstance } from "fastify";
import { depthOf } from "../core/change.js";
import { Fault } from "../core/errors.js";
import { limits } from "../core/limits.js";

/** What a parsed body may hold though no replica could keep it as it came. Texts without a trace of it need no second look. */
const SUSPECT = /__proto__|constructor|\\u|[0-9][eE]\+?[0-9]{3}|[0-9]{300}/;
const LONE_SURROGATE = /\p{Surrogate}/u;

/** Replaces every content type parser by one for JSON. An empty body is `undefined`: routes that need one say so in their schema. */
export function acceptJsonBodies(app: FastifyInstance): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser(["application/json", "application/merge-patch+json"], { parseAs: "buffer" }, (request, bytes: Buffer, done) => {
    if (request.routeOptions.config.senders !== undefined) request.rawBody = bytes;
    const parsed = codingFault(request.headers["content-encoding"]) ?? parseJsonBody(bytes);
    // Fastify passes on what it is given; a Fault is no Error by design, and the error handler knows it.
    if (parsed instanceof Fault) done(parsed as unknown as Error);
    else done(null, parsed);
  });
}

/** Bodies are taken as they are: to decode one would let a small request grow without bound. Source: RFC 9110 section 15.5.16. */
function codingFault(coding: string | undefined): Fault | undefined {
  if (coding === undefined || coding.trim().toLowerCase() === "identity") return undefined;
  return new Fault("unsupported-media-type", "The body must come without a content coding.");
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
  const reason = SUSPECT.test(text) ? objection(value) : undefined;
  return reason === undefined ? value : new Fault("malformed", reason);
}

function objection(value: unknown): string | undefined {
  if (typeof value === "string") return LONE_SURROGATE.test(value) ? "The body has half a surrogate pair in a text." : undefined;
  if (typeof value === "number") return Number.isFinite(value) ? undefined : "The body has a number that is too large.";
  if (typeof value !== "object" || value === null) return undefined;
  if (!Array.isArray(value) && reachesPrototype(value)) return "The body has a key that is not allowed (__proto__, or constructor with a prototype).";
  for (const [key, member] of Object.entries(value)) {
    const reason = objection(key) ?? objection(member);
    if (reason !== undefined) return reason;
  }
  return undefined;
}

function reachesPrototype(value: object): boolean {
  if (Object.hasOwn(value, "__proto__")) return true;
  const made: unknown = Object.hasOwn(value, "constructor") ? (value as { constructor: unknown }).constructor : undefined;
  return typeof made === "object" && made !== null && Object.hasOwn(made, "prototype");
}
