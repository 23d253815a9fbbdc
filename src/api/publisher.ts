/**
 * Sends what `store/public-cache.ts` keeps. The hot path of the public: what is there goes to the socket with a header block made once,
 * past Fastify's own reply.
 */
import type { FastifyReply, FastifyRequest } from "fastify";
import { Fault, isFault } from "../core/errors.js";
import type { Clock } from "../core/ports.js";
import type { DataPlane } from "../store/data-plane.js";
import { CODED_ABOVE_BYTES, type Coding, type PublicAnswer, type PublicCache, type Representation } from "../store/public-cache.js";
import type { PublicCaching } from "./api-config.js";
import { apiLimits } from "./api-limits.js";
import { entityTagsOf } from "./consistency.js";
import type { PromMetrics } from "./metrics.js";
import { sendProblem } from "./problem.js";
import { recordLatency } from "./route-call.js";

interface Block {
  /** Names and values in turn, as `writeHead` takes them. */
  readonly headers: readonly string[];
  readonly bytes: Buffer;
}

const TAG_SUFFIXES: Readonly<Record<Coding, string>> = { identity: "", gzip: ".gzip", br: ".br" };

export class Publisher {
  private readonly codings = new Map<string, Coding>();
  private readonly cacheControl: string;

  constructor(
    private readonly data: DataPlane,
    private readonly cache: PublicCache,
    private readonly clock: Clock,
    private readonly region: string,
    caching: PublicCaching,
  ) {
    const shared = caching.sharedMaxAgeSeconds === null ? "" : `, s-maxage=${caching.sharedMaxAgeSeconds}`;
    this.cacheControl = `public, max-age=${caching.maxAgeSeconds}${shared}, stale-while-revalidate=${caching.staleWhileRevalidateSeconds}, stale-if-error=${caching.staleIfErrorSeconds}`;
  }

  publish<P>(request: FastifyRequest, reply: FastifyReply, representation: Representation<P>): Promise<never> {
    if (request.reading?.session === undefined) {
      const answer = this.cache.fresh(representation.page, representation.name, this.clock.now());
      const coding = this.codingOf(request.headers["accept-encoding"]);
      const block = answer === undefined ? undefined : (answer.made.get(coding) as Block | undefined);
      if (answer !== undefined && block !== undefined) {
        this.send(request, reply, answer, block);
        // Fastify takes an answer that is on its way for an answer.
        return undefined as unknown as Promise<never>;
      }
    }
    return this.make(request, reply, representation);
  }

  private async make<P>(request: FastifyRequest, reply: FastifyReply, representation: Representation<P>): Promise<never> {
    const { reading } = request;
    if (reading?.session !== undefined) {
      const reached = await this.data.read({ documents: [], render: () => true }, reading);
      if (isFault(reached)) return sendProblem(reply, reached) as never;
    }
    let answer: PublicAnswer | Fault;
    try {
      answer = await this.cache.answer(representation, this.clock.now());
    } catch (error) {
      if (!isFault(error)) throw error;
      answer = error;
    }
    if (isFault(answer)) return this.refuse(reply.header("access-control-allow-origin", "*"), answer, representation) as never;
    const coding = answer.body.length < CODED_ABOVE_BYTES ? "identity" : this.codingOf(request.headers["accept-encoding"]);
    const bytes = await this.cache.coded(representation.page, representation.name, answer, coding);
    const block = { headers: this.headersOf(answer, coding, bytes), bytes };
    answer.made.set(coding, block);
    if (answer.body.length < CODED_ABOVE_BYTES) for (const other of ["gzip", "br"]) answer.made.set(other, block);
    this.send(request, reply, answer, block);
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

  private send(request: FastifyRequest, reply: FastifyReply, answer: PublicAnswer, block: Block): void {
    const { headers } = request;
    const isKnown = (headers["if-none-match"] !== undefined || headers["if-modified-since"] !== undefined) && isNotModified(headers, answer);
    reply.hijack();
    const { raw } = reply;
    const status = isKnown ? 304 : 200;
    if (isKnown) {
      raw.writeHead(304, [...block.headers, "x-request-id", request.id]);
      raw.end();
    } else {
      raw.writeHead(200, [...block.headers, "content-type", answer.contentType, "content-length", String(block.bytes.length), "x-request-id", request.id]);
      if (request.method === "HEAD") raw.end();
      else raw.end(block.bytes);
    }
    recordLatency(request, status);
  }

  private headersOf(answer: PublicAnswer, coding: Coding, bytes: Buffer): string[] {
    const { publication } = answer;
    const isCoded = bytes !== answer.body;
    const vary = publication.vary === undefined ? "Accept-Encoding" : `Accept-Encoding, ${publication.vary}`;
    const headers = [
      "region", this.region, "x-content-type-options", "nosniff", "etag", `"${answer.tag}${isCoded ? TAG_SUFFIXES[coding] : ""}"`,
      "last-modified", new Date(answer.lastModifiedMs).toUTCString(), "cache-control", this.cacheControl, "vary", vary,
      "surrogate-key", answer.keys.join(" "), "cache-tag", answer.keys.join(","), "access-control-allow-origin", "*", "consistency-level", "LOCAL",
    ];
    if (isCoded) headers.push("content-encoding", coding);
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
function isNotModified(headers: FastifyRequest["headers"], answer: PublicAnswer): boolean {
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
export function publicCacheMetrics(metrics: PromMetrics, cache: PublicCache): void {
  metrics.gauge("statusmesh_public_cache_bytes", "Bytes of rendered public answers.", [], () => [[cache.heldBytes]]);
  metrics.gauge("statusmesh_public_cache_answers", "Rendered public answers that are kept.", [], () => [[cache.held]]);
  metrics.gauge("statusmesh_public_renderings", "Renderings of public answers since the start.", [], () => [[cache.renderings]]);
}
