/**
 * Sends what `store/public-cache.ts` keeps. The hot path of the public: a request that asks, in all that the answer depends on, what another
 * asked before is answered from one look-up, before routing and hooks; its header block was made once.
 */
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from "node:http";
import type { FastifyReply, FastifyRequest } from "fastify";
import { Fault, isFault } from "../core/errors.js";
import type { Clock } from "../core/ports.js";
import type { ComponentHistory } from "../store/component-history.js";
import type { DataPlane } from "../store/data-plane.js";
import type { Coding } from "../store/growing-body.js";
import { CODED_ABOVE_BYTES, type AnswerHead, type OpenedAnswer, type PublicAnswer, type PublicCache } from "../store/public-cache.js";
import type { Representation } from "../store/representation.js";
import type { PublicCaching } from "./api-config.js";
import { apiLimits } from "./api-limits.js";
import { entityTagsOf } from "./consistency.js";
import { PreparedHeaders } from "./http-server.js";
import type { PromMetrics } from "./metrics.js";
import { sendProblem } from "./problem.js";
import { recordLatency } from "./route-call.js";

interface Block {
  readonly headers: PreparedHeaders;
  readonly bytes: Buffer;
  /** Of the answer with a body; names and values in turn. */
  readonly content: readonly string[];
}

/** What a shortcut is kept with. */
interface Way {
  readonly block: Block;
  /** Counts in the latency of the route. */
  readonly record: FastifyRequest["record"];
  /** Answers name pages by host, and say since when their region is cut off: with either changed they are looked up anew. */
  readonly setting: Setting;
}

interface Setting {
  readonly hosts: object;
  readonly cutOffSince: string | null;
}

/** How the requests stand that may take a shortcut. */
export interface ShortcutPorts {
  /** The names of all pages' hosts, another object whenever they change. */
  hosts(): object;
  cutOffSince(): string | null;
  /** True if requests must be refused, or told that the server stops: the guard knows why. */
  isBarred(request: IncomingMessage): boolean;
  newRequestId(request: IncomingMessage): string;
  readonly trustProxy: boolean;
}

/** Who sends one of these has more to be looked at. */
const NO_SHORTCUT = ["session-token", "consistency-level", "session-wait", "quorum-timeout"] as const;

const TAG_SUFFIXES: Readonly<Record<Coding, string>> = { identity: "", gzip: ".gzip", br: ".br" };

export class Publisher {
  private readonly codings = new Map<string, Coding>();
  private readonly cacheControl: string;
  /** Of what is outdated when it is sent: no cache may keep it as if it had been told of all changes. */
  private readonly passingCacheControl: string;

  constructor(
    private readonly data: DataPlane,
    private readonly cache: PublicCache,
    private readonly clock: Clock,
    private readonly region: string,
    caching: PublicCaching,
    private readonly shortcuts: ShortcutPorts,
  ) {
    const shared = caching.sharedMaxAgeSeconds === null ? "" : `, s-maxage=${caching.sharedMaxAgeSeconds}`;
    const stale = `stale-while-revalidate=${caching.staleWhileRevalidateSeconds}, stale-if-error=${caching.staleIfErrorSeconds}`;
    this.cacheControl = `public, max-age=${caching.maxAgeSeconds}${shared}, ${stale}`;
    this.passingCacheControl = `public, max-age=0, s-maxage=0, ${stale}`;
  }

  /** Answers a request that one before has made a shortcut for; false: it must go the whole way. */
  answerAgain(request: IncomingMessage, response: ServerResponse): boolean {
    const { method, headers, url = "" } = request;
    if ((method !== "GET" && method !== "HEAD") || url.startsWith("/v1/") || NO_SHORTCUT.some((name) => headers[name] !== undefined)) return false;
    const kept = this.cache.shortcut(this.shortcutOf(method, url, headers), this.clock.now());
    if (kept === undefined || this.shortcuts.isBarred(request)) return false;
    const { block, record, setting } = kept.made as Way;
    if (setting.hosts !== this.shortcuts.hosts() || setting.cutOffSince !== this.shortcuts.cutOffSince()) return false;
    const startedMs = this.clock.monotonic();
    const requestId = this.shortcuts.newRequestId(request);
    const status = write(response, method, headers, kept.answer, block, (code, own) => block.headers.writeHead(response, code, [...own, "x-request-id", requestId]));
    record?.(startedMs, status);
    return true;
  }

  private shortcutOf(method: string, url: string, headers: IncomingHttpHeaders): string {
    const forwarded = this.shortcuts.trustProxy ? headers["x-forwarded-host"] ?? "" : "";
    // No header holds a line feed.
    return `${method} ${url}\n${headers.host ?? ""}\n${forwarded}\n${headers["accept-language"] ?? ""}\n${headers["accept-encoding"] ?? ""}`;
  }

  publish<P>(request: FastifyRequest, reply: FastifyReply, representation: Representation<P>): Promise<never> {
    const setting: Setting = { hosts: this.shortcuts.hosts(), cutOffSince: this.shortcuts.cutOffSince() };
    if (request.reading?.session === undefined) {
      const answer = this.cache.fresh(representation.page, representation.name, this.clock.now());
      const block = answer?.made.get(this.codingOf(request.headers["accept-encoding"])) as Block | undefined;
      if (answer !== undefined && block !== undefined) {
        this.send(request, reply, representation, answer, block, setting);
        // Fastify takes an answer that is on its way for an answer.
        return undefined as unknown as Promise<never>;
      }
    }
    return this.make(request, reply, representation, setting);
  }

  private async make<P>(request: FastifyRequest, reply: FastifyReply, representation: Representation<P>, setting: Setting): Promise<never> {
    const { reading } = request;
    if (reading?.session !== undefined) {
      const reached = await this.data.read({ documents: [], render: () => true }, reading);
      if (isFault(reached)) return sendProblem(reply, reached) as never;
    }
    let answer: PublicAnswer | OpenedAnswer | Fault;
    try {
      answer = await (isStreamable(request) ? this.cache.open(representation, this.codingOf(request.headers["accept-encoding"])) : this.cache.answer(representation));
    } catch (error) {
      if (!isFault(error)) throw error;
      answer = error;
    }
    if (isFault(answer)) return this.refuse(reply.header("access-control-allow-origin", "*"), answer, representation) as never;
    if ("head" in answer) {
      this.stream(request, reply, answer);
      return reply as never;
    }
    const coding = answer.body.length < CODED_ABOVE_BYTES ? "identity" : this.codingOf(request.headers["accept-encoding"]);
    const bytes = await this.cache.coded(representation.page, representation.name, answer, coding);
    const block: Block = {
      headers: new PreparedHeaders(this.headersOf(answer, bytes === answer.body ? "identity" : coding)), bytes, content: ["content-type", answer.contentType, "content-length", String(bytes.length)],
    };
    answer.made.set(coding, block);
    if (answer.body.length < CODED_ABOVE_BYTES) for (const other of ["gzip", "br"]) answer.made.set(other, block);
    this.send(request, reply, representation, answer, block, setting);
    return reply as never;
  }

  private refuse<P>(reply: FastifyReply, fault: Fault, representation: Representation<P>): FastifyReply {
    const missing = fault.code === "not-found" ? representation.missing?.() : undefined;
    if (missing === undefined) return sendProblem(reply, fault);
    recordLatency(reply.request, 404);
    for (const [name, value] of Object.entries(missing.headers ?? {})) reply.header(name, value);
    if (missing.vary !== undefined) reply.header("vary", missing.vary);
    return reply.code(404).header("cache-control", "no-cache").type(missing.contentType).send(missing.body);
  }

  private send<P>(request: FastifyRequest, reply: FastifyReply, { page, name }: Representation<P>, answer: PublicAnswer, block: Block, setting: Setting): void {
    const { headers, method } = request;
    if (request.reading?.session === undefined) {
      const way: Way = { block, record: request.record, setting };
      this.cache.keepShortcut(page, name, answer, this.shortcutOf(method, request.originalUrl, headers), way);
    }
    reply.hijack();
    const { raw } = reply;
    recordLatency(request, write(raw, method, headers, answer, block, (code, own) => raw.writeHead(code, [...block.headers.list, ...own, "x-request-id", request.id])));
  }

  /** What is made is sent as it comes. The connection ends where it can not be made to its end: nobody takes a part for the whole. */
  private stream(request: FastifyRequest, reply: FastifyReply, { head, body }: OpenedAnswer): void {
    // Throws while it can still be answered that something is wrong.
    const headers = new PreparedHeaders([...this.headersOf(head, this.codingOf(request.headers["accept-encoding"])), "content-type", head.contentType]);
    reply.hijack();
    const { raw } = reply;
    raw.writeHead(200, [...headers.list, "x-request-id", request.id]);
    const leave = body.follow({
      bytes: (bytes) => void raw.write(bytes),
      ended: (error) => {
        recordLatency(request, error === undefined ? 200 : 500);
        if (error === undefined) return void raw.end();
        request.log.error({ event: "public-answer", err: error }, "a page could not be made to its end");
        raw.destroy();
      },
    });
    raw.on("close", leave);
  }

  private headersOf(answer: AnswerHead, coding: Coding): string[] {
    const { publication } = answer;
    const vary = publication.vary === undefined ? "Accept-Encoding" : `Accept-Encoding, ${publication.vary}`;
    const headers = [
      "region", this.region, "x-content-type-options", "nosniff", "etag", `"${answer.tag}${TAG_SUFFIXES[coding]}"`,
      "last-modified", new Date(answer.lastModifiedMs).toUTCString(), "cache-control", answer.isOutdated() ? this.passingCacheControl : this.cacheControl, "vary", vary,
      "surrogate-key", answer.keys.join(" "), "cache-tag", answer.keys.join(","), "access-control-allow-origin", "*", "consistency-level", "LOCAL",
    ];
    if (coding !== "identity") headers.push("content-encoding", coding);
    for (const [name, value] of Object.entries(publication.headers ?? {})) headers.push(name, value);
    return headers;
  }

  private codingOf(accepted: string | string[] | undefined): Coding {
    if (typeof accepted !== "string" || accepted === "") return "identity";
    let coding = this.codings.get(accepted);
    if (coding === undefined) {
      coding = preferredCoding(accepted);
      if (this.codings.size >= apiLimits.acceptEncodingsKept) this.codings.clear();
      this.codings.set(accepted, coding);
    }
    return coding;
  }
}

/** HTTP before 1.1 can not tell a part from the whole, and a condition is answered when the whole is known. */
function isStreamable({ method, headers, raw }: FastifyRequest): boolean {
  return method === "GET" && raw.httpVersionMajor === 1 && raw.httpVersionMinor === 1 && headers["if-none-match"] === undefined && headers["if-modified-since"] === undefined;
}

/** Gives the status that was sent. */
function write(raw: ServerResponse, method: string, headers: IncomingHttpHeaders, answer: PublicAnswer, { bytes, content }: Block, head: (status: number, own: readonly string[]) => void): number {
  if ((headers["if-none-match"] !== undefined || headers["if-modified-since"] !== undefined) && isNotModified(headers, answer)) {
    head(304, []);
    raw.end();
    return 304;
  }
  head(200, content);
  if (method === "HEAD") raw.end();
  else raw.end(bytes);
  return 200;
}

/** The best of what a client takes; Brotli before gzip where it likes both as much. Source: RFC 9110 section 12.5.3. */
export function preferredCoding(accepted: string): Coding {
  const weights = new Map<string, number>();
  for (const part of accepted.toLowerCase().split(",")) {
    const [name = "", ...parameters] = part.split(";").map((text) => text.trim());
    const weight = parameters.find((parameter) => parameter.startsWith("q="));
    weights.set(name, weight === undefined ? 1 : Number(weight.slice(2)) || 0);
  }
  const weightOf = (name: string): number => weights.get(name) ?? weights.get("*") ?? 0;
  const br = weightOf("br");
  const gzip = Math.max(weightOf("gzip"), weights.get("x-gzip") ?? 0);
  if (br <= 0 && gzip <= 0) return "identity";
  return br >= gzip ? "br" : "gzip";
}

/** `If-None-Match` wins over `If-Modified-Since`. Source: RFC 9110 section 13.2.2. */
function isNotModified(headers: IncomingHttpHeaders, answer: PublicAnswer): boolean {
  const condition = headers["if-none-match"];
  if (condition !== undefined) {
    const tags = entityTagsOf(condition);
    if (tags === undefined || tags instanceof Fault) return false;
    return tags.some((tag) => tag === "*" || (tag.startsWith('W/"') ? tag.slice(3, -1) : tag).replace(/\.(?:gzip|br)$/, "") === answer.tag);
  }
  const since = Date.parse(headers["if-modified-since"] ?? "");
  return !Number.isNaN(since) && since >= answer.lastModifiedMs;
}

/** What the cache holds and does, for `/metrics`. */
export function publicCacheMetrics(metrics: PromMetrics, cache: PublicCache, history: ComponentHistory): void {
  metrics.gauge("statusmesh_public_cache_bytes", "Bytes of rendered public answers.", [], () => [[cache.heldBytes]]);
  metrics.gauge("statusmesh_public_cache_answers", "Rendered public answers that are kept.", [], () => [[cache.held]]);
  metrics.gauge("statusmesh_public_renderings", "Renderings of public answers since the start.", [], () => [[cache.renderings]]);
  metrics.gauge("statusmesh_component_histories_rebuilt", "Components of which all changes were read for their status over time, since the start.", [], () => [[history.rebuilt]]);
}
