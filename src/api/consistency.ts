/** What a request asks for beside its content: consistency level, session, waiting times, preconditions. */
import { Fault } from "../core/errors.js";
import { limits } from "../core/limits.js";
import { CONSISTENCY_LEVELS, type ConsistencyLevel, type DataPlane, type ReadOptions } from "../store/data-plane.js";
import type { RouteRequest } from "../store/route-context.js";
import { apiLimits } from "./api-limits.js";

type Headers = RouteRequest["headers"];

/** What most requests ask for; shared, so that they cost nothing. */
export const LOCAL_OPTIONS: ReadOptions = Object.freeze({ level: "LOCAL" });

const malformed = (detail: string) => new Fault("malformed", detail);

/** Reads the consistency headers. `localOnly`: any other level than LOCAL is refused. */
export function readOptionsOf(headers: Headers, query: unknown, data: Pick<DataPlane, "parseToken">, localOnly: boolean): ReadOptions | Fault {
  const named = headers["consistency-level"] ?? (query as { readonly consistency?: unknown } | null | undefined)?.consistency;
  const token = headers["session-token"];
  const wait = headers["session-wait"];
  const timeout = headers["quorum-timeout"];
  if (named === undefined && token === undefined && wait === undefined && timeout === undefined) return LOCAL_OPTIONS;

  const level = named === undefined ? "LOCAL" : CONSISTENCY_LEVELS.find((known) => known === named);
  if (level === undefined) return malformed(`The consistency level must be one of ${CONSISTENCY_LEVELS.join(", ")}.`);
  if (localOnly && level !== "LOCAL") return malformed("This route is answered from this replica only: its consistency level is LOCAL.");

  const sessionWaitMs = boundedMs(wait, 0, limits.sessionWaitMaxMs);
  if (sessionWaitMs === undefined) return malformed(`Session-Wait must be a whole number of milliseconds from 0 to ${limits.sessionWaitMaxMs}.`);
  const quorumTimeoutMs = boundedMs(timeout, limits.quorumTimeoutMinMs, limits.quorumTimeoutMaxMs);
  if (quorumTimeoutMs === undefined) return malformed(`Quorum-Timeout must be a whole number of milliseconds from ${limits.quorumTimeoutMinMs} to ${limits.quorumTimeoutMaxMs}.`);

  const options: { -readonly [K in keyof ReadOptions]: ReadOptions[K] } = { level };
  if (sessionWaitMs !== null) options.sessionWaitMs = sessionWaitMs;
  if (quorumTimeoutMs !== null) options.quorumTimeoutMs = quorumTimeoutMs;
  if (token !== undefined) {
    const session = typeof token === "string" && token.length <= limits.sessionTokenBytes ? data.parseToken(token) : undefined;
    if (session === undefined) return malformed("The Session-Token is not one that a region gave.");
    options.session = session;
  }
  return options;
}

/** Null if the header is not there, undefined if it is out of bounds. */
function boundedMs(header: string | string[] | undefined, min: number, max: number): number | null | undefined {
  if (header === undefined) return null;
  if (typeof header !== "string" || !/^\d{1,6}$/.test(header)) return undefined;
  const ms = Number(header);
  return ms >= min && ms <= max ? ms : undefined;
}

/** `*`, or a list of entity tags: a quoted text, weak or not. Empty elements of the list are passed over (RFC 9110 section 5.6.1). */
const ENTITY_TAGS = /^(?:\s*\*\s*|[\s,]*(?:W\/)?"[\x21\x23-\x7e]*"(?:\s*,[\s,]*(?:W\/)?"[\x21\x23-\x7e]*")*(?:\s*,[\s,]*)?\s*)$/;

/** The tags of an `If-Match` without their quotes; undefined if there is no such header. Weak ones stay marked, and so match nothing. */
export function entityTagsOf(header: string | string[] | undefined): readonly string[] | undefined | Fault {
  if (header === undefined) return undefined;
  if (typeof header !== "string" || !ENTITY_TAGS.test(header)) return malformed('If-Match and If-None-Match take "*" or a list of quoted entity tags.');
  const tags = header.match(/\*(?=\s*$)|(?:W\/)?"[^"]*"/g) ?? [];
  if (tags.length > apiLimits.ifMatchTagsMax) return malformed(`More than ${apiLimits.ifMatchTagsMax} entity tags.`);
  return tags.map((tag) => (tag.startsWith('"') ? tag.slice(1, -1) : tag));
}

/** True if `If-None-Match` names the tag (weak comparison, RFC 9110 section 13.1.2). A malformed header matches nothing. */
export function isNotModified(header: string | string[] | undefined, etag: string): boolean {
  const tags = entityTagsOf(header);
  if (tags === undefined || tags instanceof Fault) return false;
  return tags.some((tag) => tag === "*" || (tag.startsWith('W/"') ? tag.slice(3, -1) : tag) === etag);
}

export type { ConsistencyLevel };
