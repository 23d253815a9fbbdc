/** Implements `RouteContext`: from a handler's query or command to an answer with every header that the contract names. */
import type {} from "@fastify/compress";
import type { FastifyReply, FastifyRequest } from "fastify";
import { isDocumentKey } from "../core/change.js";
import { keyOf } from "../core/document.js";
import { Fault, isFault } from "../core/errors.js";
import { limits } from "../core/limits.js";
import type { Clock, Random } from "../core/ports.js";
import type { ComponentHistory, DayUptime } from "../store/component-history.js";
import type { Command, CommitOptions, Committed, DataPlane, Query, ReadOptions } from "../store/data-plane.js";
import type { PageEvent } from "../store/page-events.js";
import type { Representation } from "../store/representation.js";
import { requirePage, SYSTEM } from "../store/resource.js";
import { renderedList, type Caller, type ListPage, type ListPosition, type MovingList, type PresentEvent, type Rendered, type RouteContext, type RouteReply, type RouteRequest } from "../store/route-context.js";
import { apiLimits } from "./api-limits.js";
import type { Authenticator } from "./authentication.js";
import type { CutOff } from "./cut-off.js";
import { entityTagsOf, isNotModified } from "./consistency.js";
import { forwardedAs, type Forwarding } from "./forwarding.js";
import { derivedId, idempotencyOf, idText, type Idempotency } from "./idempotency.js";
import { inHlcOrder } from "./history-order.js";
import { paginate } from "./pagination.js";
import { PROBLEM_TYPE, sendProblem, statusOf } from "./problem.js";
import type { EdgeForwarding } from "./edge-forwarding.js";
import type { EventStreams, StreamStart } from "./event-stream.js";
import type { Publisher } from "./publisher.js";
import { callerOf, readingOf, recordLatency } from "./route-call.js";
import { bearerToken, type SecretHasher } from "./secrets.js";

const JSON_TYPE = "application/json; charset=utf-8";
const SECRET_BYTES = 24;
const SALT_BYTES = 16;

export interface RouteAnswersPorts {
  readonly data: DataPlane;
  readonly clock: Clock;
  readonly random: Random;
  readonly hasher: SecretHasher;
  readonly authenticator: Authenticator;
  readonly forwarding: Forwarding | undefined;
  readonly publisher: Publisher;
  readonly cutOff: CutOff;
  readonly streams: EventStreams;
  /** Set at an edge. */
  readonly edge: EdgeForwarding | undefined;
  readonly componentHistory: ComponentHistory;
}

/** The features see requests and replies by their outlines; here they are Fastify's. */
const fastifyRequest = (request: RouteRequest): FastifyRequest => request as FastifyRequest;
const fastifyReply = (reply: RouteReply): FastifyReply => reply as unknown as FastifyReply;

export class RouteAnswers implements RouteContext {
  readonly data: DataPlane;

  constructor(private readonly ports: RouteAnswersPorts) {
    this.data = ports.data;
  }

  caller(request: RouteRequest): Caller {
    return callerOf(fastifyRequest(request));
  }

  hasCaller(request: RouteRequest): boolean {
    return fastifyRequest(request).caller !== null;
  }

  async read(routeRequest: RouteRequest, routeReply: RouteReply, query: Query<Rendered>): Promise<never> {
    const request = fastifyRequest(routeRequest);
    const reply = fastifyReply(routeReply);
    const options = readingOf(request);
    if (await this.passOn(request, reply, options)) return this.sent(reply);
    const result = await this.data.read(query, options);
    if (isFault(result)) return this.refuse(reply, result, options);
    const { body, etag } = result.value;
    reply.header("session-token", result.token).header("consistency-level", options.level).header("content-type", JSON_TYPE);
    if (etag !== null) {
      reply.header("etag", `"${etag}"`);
      const condition = request.headers["if-none-match"];
      if (condition !== undefined && isNotModified(condition, etag)) return this.sent(reply.removeHeader("content-type").code(304).send());
    }
    const isBig = body.length > apiLimits.compressAboveBytes && request.headers["accept-encoding"] !== undefined;
    if (isBig) reply.compress(body);
    else reply.send(body);
    return this.sent(reply);
  }

  async commit(routeRequest: RouteRequest, routeReply: RouteReply, command: Command): Promise<never> {
    const request = fastifyRequest(routeRequest);
    const reply = fastifyReply(routeReply);
    const options = this.commitOptions(request);
    if (isFault(options)) return this.refuse(reply, options, readingOf(request));
    if (await this.passOn(request, reply, options)) return this.sent(reply);
    const result = await this.data.commit(command, options);
    return isFault(result) ? this.refuse(reply, result, options) : this.sent(sendCommitted(reply, result, options));
  }

  async history(routeRequest: RouteRequest, routeReply: RouteReply, key: string): Promise<never> {
    const request = fastifyRequest(routeRequest);
    const reply = fastifyReply(routeReply);
    const options = readingOf(request);
    if (await this.passOn(request, reply, options)) return this.sent(reply);
    const result = await this.data.history(key, options);
    if (isFault(result)) return this.refuse(reply, result, options);
    const page = this.paginate(request, `history ${key}`, inHlcOrder(result.value), ({ position }) => position, "descending");
    if (isFault(page)) return this.refuse(reply, page, options);
    const { body } = renderedList(page.items.map(({ entry }) => ({ ...entry })), page.nextCursor);
    reply.header("session-token", result.token).header("consistency-level", options.level).header("content-type", JSON_TYPE);
    return this.sent(reply.send(body));
  }

  publish<P = undefined>(routeRequest: RouteRequest, routeReply: RouteReply, representation: Representation<P>): Promise<never> {
    return this.ports.publisher.publish(fastifyRequest(routeRequest), fastifyReply(routeReply), representation);
  }

  cutOffSince(): string | null {
    return this.ports.cutOff.since();
  }

  async stream(routeRequest: RouteRequest, routeReply: RouteReply, page: string, present: PresentEvent): Promise<never> {
    const request = fastifyRequest(routeRequest);
    const reply = fastifyReply(routeReply);
    const start = this.startOf(request);
    if (isFault(start)) return this.refuse(reply, start, null);
    const missing = await this.data.read({ documents: [], render: (snapshot) => requirePage(snapshot, page) ?? true }, readingOf(request));
    const fault = isFault(missing) ? missing : this.ports.streams.answer(request, reply, page, start, present);
    return fault === undefined ? this.sent(reply) : this.refuse(reply, fault, null);
  }

  /** Where a client wants to go on. Browsers send the header; who cannot set one names it in the query. */
  private startOf(request: FastifyRequest): StreamStart | Fault {
    const header = request.headers["last-event-id"];
    const named = typeof header === "string" && header !== "" ? header : undefined;
    const asked = named ?? (request.query as { readonly last_event_id?: string }).last_event_id;
    if (asked === undefined || asked === "") return "now";
    const position = this.data.parseToken(asked);
    if (position !== undefined) return position;
    // A browser repeats what it was given, and could do nothing about a refusal.
    return named === undefined ? new Fault("malformed", "last_event_id is none that a region gave.") : "unreadable";
  }

  uptime(page: string, component: string, fromDay: string, toDay: string, timeZone: string, nowMs: number): Promise<readonly DayUptime[] | Fault> {
    return this.ports.componentHistory.uptimeOf(page, component, fromDay, toDay, timeZone, nowMs);
  }

  events(page: string): Promise<readonly PageEvent[]> {
    return this.ports.streams.events(page);
  }

  async fail(routeRequest: RouteRequest, reply: RouteReply, fault: Fault): Promise<never> {
    const kept = fault.code === "invalid" && this.keepRefusal(fastifyRequest(routeRequest), fastifyReply(reply), fault);
    if (kept !== false) return kept;
    return this.refuse(fastifyReply(reply), fault, fastifyRequest(routeRequest).reading);
  }

  /**
   * A body that is refused for what it is, whatever the state, is refused under its `Idempotency-Key` as any final answer is given:
   * another body under the same key is a 422 of its own. False where the request has no key, or nobody may keep anything for it.
   */
  keepRefusal(request: FastifyRequest, reply: FastifyReply, refusal: Fault): Promise<never> | false {
    if (request.caller === null || request.reading === null || request.headers["idempotency-key"] === undefined) return false;
    const options = this.commitOptions(request);
    const page = (request.params as { readonly page?: string } | null)?.page;
    const subject = keyOf(page ?? SYSTEM, "page", page ?? "refused");
    if (isFault(options) || options.idempotency === undefined || !isDocumentKey(subject)) return false;
    const command: Command = { name: "refused", subject, plan: () => refusal, answer: () => ({ status: 204, body: null }) };
    // What no state can change needs no majority: the refusal is the same at every level.
    return this.data.commit(command, { ...options, level: "LOCAL" }).then((result) => {
      const fault = isFault(result) && statusOf(result) < 500 ? result : refusal;
      return isFault(result) ? this.refuse(reply, fault, options) : this.sent(sendCommitted(reply, result, options));
    });
  }

  paginate<T>(request: RouteRequest, list: string, items: readonly T[], positionOf: (item: T) => ListPosition, order: "ascending" | "descending", moving?: MovingList<T>): ListPage<T> | Fault {
    return paginate((request.query ?? {}) as { limit?: number; cursor?: string }, list, items, positionOf, order, moving);
  }

  idFor(request: RouteRequest, purpose = ""): string {
    const idempotent = this.idempotency(fastifyRequest(request));
    return idempotent === undefined || isFault(idempotent) ? idText(this.ports.random.bytes(16)) : derivedId(idempotent, purpose);
  }

  newSecret(): string {
    return Buffer.from(this.ports.random.bytes(SECRET_BYTES)).toString("base64url");
  }

  bearerToken(id: string, secret: string): string {
    return bearerToken(id, secret);
  }

  hashSecret(secret: string): Promise<string | Fault> {
    return this.ports.hasher.hash(secret, this.ports.random.bytes(SALT_BYTES));
  }

  lastUsedAt(keyId: string): string | null {
    const ms = this.ports.authenticator.lastUsed(keyId);
    return ms === undefined ? null : new Date(ms).toISOString();
  }

  private idempotency(request: FastifyRequest): Idempotency | undefined | Fault {
    if (request.idempotent !== null) return request.idempotent;
    const idempotent = idempotencyOf(request);
    if (!isFault(idempotent)) request.idempotent = idempotent;
    return idempotent;
  }

  private commitOptions(request: FastifyRequest): CommitOptions | Fault {
    const idempotency = this.idempotency(request);
    if (isFault(idempotency)) return idempotency;
    const ifMatch = entityTagsOf(request.headers["if-match"]);
    if (isFault(ifMatch)) return ifMatch;
    const forward = this.ports.forwarding?.handoverOf(request);
    const operation = forwardedAs(request);
    return {
      ...readingOf(request),
      actor: callerOf(request).id,
      ...(forward === undefined ? {} : { forward }),
      ...(operation === undefined ? {} : { forwardedAs: operation }),
      ...(ifMatch === undefined ? {} : { ifMatch }),
      ...(idempotency === undefined ? {} : { idempotency }),
    };
  }

  private async passOn(request: FastifyRequest, reply: FastifyReply, options: ReadOptions): Promise<boolean> {
    if (this.ports.edge?.takes(request, options) === true) {
      const fault = await this.ports.edge.carry(request, reply, options);
      if (fault !== undefined) this.refuse(reply, fault, options);
      return true;
    }
    if (options.level !== "GLOBAL_QUORUM" || this.ports.forwarding === undefined) return false;
    return this.ports.forwarding.passOn(request, reply, options.quorumTimeoutMs ?? limits.quorumTimeoutMs);
  }

  /** A fault of a route that touched replicated state; the level is named only where it was served. */
  private refuse(reply: FastifyReply, fault: Fault, options: ReadOptions | null): never {
    if (fault.extra.replayed === true) reply.header("idempotent-replayed", "true");
    if (options !== null) {
      reply.header("session-token", this.data.token());
      if (statusOf(fault) < 500) reply.header("consistency-level", options.level);
    }
    return this.sent(sendProblem(reply, fault));
  }

  /** The reply, as what fits every declared response: Fastify takes a returned reply as "answered". */
  private sent(reply: FastifyReply): never {
    recordLatency(reply.request, reply.statusCode);
    return reply as never;
  }
}

function sendCommitted(reply: FastifyReply, committed: Committed, options: ReadOptions): FastifyReply {
  reply.code(committed.status).header("session-token", committed.token).header("consistency-level", options.level);
  if (committed.etag !== null) reply.header("etag", committed.etag);
  if (committed.location !== null) reply.header("location", committed.location);
  if (committed.replayed) reply.header("idempotent-replayed", "true");
  if (committed.body === null) return reply.send();
  return reply.header("content-type", committed.status < 400 ? JSON_TYPE : PROBLEM_TYPE).send(committed.body);
}
