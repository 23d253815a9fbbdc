/**
 * What a feature's routes are handed. The types stand here, and name no HTTP library, so that a feature need not import
 * `api`, which implements them; requests and replies are described by the few members that are used.
 *
 * A feature exports `routes: FastifyPluginAsyncTypebox<RouteOptions>` and gives every route `config: RouteAccess` and a
 * `schema` (params, querystring, body, response). Before the handler runs, `api` has checked key, role and page, rate
 * limit, consistency headers, `Idempotency-Key`, body and schema. Handlers end with `return context.read(…)`,
 * `context.commit(…)`, `context.history(…)` or `return context.fail(…)`.
 */
import type { Json } from "../core/change.js";
import type { Fault } from "../core/errors.js";
import type { Vector } from "../core/vector.js";
import type { DayUptime } from "./component-history.js";
import type { Command, DataPlane, Query, Snapshot } from "./data-plane.js";
import type { PageEvent } from "./page-events.js";
import type { Representation } from "./representation.js";

/** From least to most. A role includes those before it. */
export const ROLES = ["viewer", "editor", "admin", "owner"] as const;
export type Role = (typeof ROLES)[number];

/** A route's `config`. */
export interface RouteAccess {
  /** The least role that may call it. Where the path has `:page`, the key must also be one of that page, or of all. */
  readonly role?: Role;
  /** No key is needed. One of `role` and `public` must be set. */
  readonly public?: boolean;
  /** Answered from this replica only (projections): another consistency level is refused. */
  readonly localOnly?: boolean;
  /** Touches no replicated state: takes no consistency headers, and answers without them. */
  readonly unreplicated?: boolean;
  /**
   * Called by senders that may prove themselves in place of a key, by what the route itself checks (before it looks at the body): a
   * signature in this header, or a bearer token that begins so. Their limits are told as 503: many senders drop what is answered 429.
   */
  readonly senders?: { readonly signatureHeader: string; readonly tokenPrefix: string };
}

/** What a stream tells of an event, from the state of now. Synchronous and without side effects. */
export type PresentEvent = (event: PageEvent, snapshot: Snapshot) => Json;

/** Who asks. */
export interface Caller {
  /** Id of the key. */
  readonly id: string;
  readonly role: Role;
  /** The one page that the key is for; null: all. */
  readonly page: string | null;
}

export interface RouteRequest {
  readonly id: string;
  readonly method: string;
  readonly url: string;
  readonly headers: { readonly [name: string]: string | string[] | undefined };
  readonly params: unknown;
  readonly query: unknown;
  readonly body: unknown;
  /** The body as it came; only on routes with `senders`. */
  readonly rawBody?: Uint8Array | undefined;
}

export interface RouteReply {
  code(status: number): unknown;
  header(name: string, value: string): unknown;
  send(payload?: unknown): unknown;
}

/** An answer as it is sent (and kept, where the query has a `cacheKey`). */
export interface Rendered {
  /** JSON text. */
  readonly body: string;
  /** Without quotes; null on lists and other answers without one. */
  readonly etag: string | null;
}

/** A resource as it is sent. `etag`: of the document that holds it (`reader.etag`). */
export function rendered(resource: { readonly [key: string]: Json }, etag: string | null): Rendered {
  return { body: JSON.stringify(resource), etag };
}

/** Where an item stands in its list. The id is unique within the list. */
export type ListPosition = readonly [order: number | string, id: string];

/** How to go on through a list whose items change their places: by the places that they had when its first page was read. */
export interface MovingList<T> {
  /** What this replica holds now. */
  readonly held: Vector;
  /** Where an item stood for a replica with this vector. */
  positionThen(item: T, vector: Vector): ListPosition;
}

export interface ListPage<T> {
  readonly items: readonly T[];
  readonly nextCursor: string | null;
}

/** Sends `{"data": […], "next_cursor": …}`. */
export function renderedList(data: readonly Json[], nextCursor: string | null): Rendered {
  return { body: JSON.stringify({ data, next_cursor: nextCursor }), etag: null };
}

export interface RouteContext {
  readonly data: DataPlane;

  /** The key that the request was made with. Throws on a public route. */
  caller(request: RouteRequest): Caller;

  /** False on a route with `senders` while the request has proven nothing yet. */
  hasCaller(request: RouteRequest): boolean;

  /**
   * Reads at the level that the request asks for, and answers: 200, or 304 if `If-None-Match` names the ETag. The result
   * is typed `never` so that it fits every declared response: return it from the handler.
   */
  read(request: RouteRequest, reply: RouteReply, query: Query<Rendered>): Promise<never>;

  /**
   * Commits at the level that the request asks for, with its `If-Match` and `Idempotency-Key`, and answers with status,
   * body, ETag and Location of the command's answer.
   */
  commit(request: RouteRequest, reply: RouteReply, command: Command): Promise<never>;

  /** Answers with the history of a document, paginated, newest first. */
  history(request: RouteRequest, reply: RouteReply, key: string): Promise<never>;

  /**
   * Answers a public route from the representation, rendered once per change: with its coding, tag, `Last-Modified`, caching and surrogate
   * keys; 304 where the client has it; HEAD alike.
   */
  publish<P = undefined>(request: RouteRequest, reply: RouteReply, representation: Representation<P>): Promise<never>;

  /**
   * Since when this replica hears from so few others that what it shows may be out of date, RFC 3339; null while all is well. Looked at
   * twice a second at most.
   */
  cutOffSince(): string | null;

  /** Answers with the server-sent events of a page, from `Last-Event-ID` (or `?last_event_id=`) on; 404 if there is no such page. */
  stream(request: RouteRequest, reply: RouteReply, page: string, present: PresentEvent): Promise<never>;

  /** `ComponentHistory.uptimeOf`: what each day was made of. */
  uptime(page: string, component: string, fromDay: string, toDay: string, timeZone: string, nowMs: number): Promise<readonly DayUptime[] | Fault>;

  /** A page's latest events that this replica knows of, latest first. */
  events(page: string): Promise<readonly PageEvent[]>;

  /** Answers with a problem document. */
  fail(request: RouteRequest, reply: RouteReply, fault: Fault): Promise<never>;

  /**
   * The part of a list that `?limit=` and `?cursor=` ask for; a Fault (400) if the cursor is none of this list. For use in
   * `render`. `items` are in list order by `positionOf`, ascending or descending in both parts.
   * `moving`: where items change their position, so that each comes once all the same.
   * `list` names the list (such as `default/incident`), so that a cursor of another list is refused.
   */
  paginate<T>(request: RouteRequest, list: string, items: readonly T[], positionOf: (item: T) => ListPosition, order: "ascending" | "descending", moving?: MovingList<T>): ListPage<T> | Fault;

  /**
   * An id for what a POST creates: 26 characters of [0-9a-v]. With an `Idempotency-Key` derived from scope, key, body and
   * `purpose`, so that every region derives the same; else random (another one at each call).
   */
  idFor(request: RouteRequest, purpose?: string): string;

  /** A new random secret, to be shown once; the key's bearer token is `bearerToken(id, secret)`. */
  newSecret(): string;

  /** `smk_<id>_<secret>`. */
  bearerToken(id: string, secret: string): string;

  /**
   * What a key document's register `hash` holds (text: scheme, cost, salt, hash). The other registers of `~/key/<id>` are
   * `name` (text), `role` (Role) and `page` (text or null). Fault `overloaded` if too many wait.
   */
  hashSecret(secret: string): Promise<string | Fault>;

  /** When a key was last used on this replica since it started, RFC 3339; null if not. */
  lastUsedAt(keyId: string): string | null;
}

export interface RouteOptions {
  readonly context: RouteContext;
}
