/**
 * What an edge hands to a region: every write, reads at a quorum level, and all that is asked of pages that it does not hold. It goes to the nearest region by measured round trip, and to the
 * next one where that does not answer. An edge never writes and never counts.
 *
 * A write that is tried at a second region must not take effect twice: one without an `Idempotency-Key` gets one here.
 */
import type { FastifyReply, FastifyRequest } from "fastify";
import { Fault, isFault } from "../core/errors.js";
import type { Forwarder, Random } from "../core/ports.js";
import type { DataPlane, ReadOptions } from "../store/data-plane.js";
import { limits } from "../core/limits.js";
import { apiLimits } from "./api-limits.js";
import type { EdgeConfig } from "./api-config.js";
import { FORWARDED_HEADER, outlineOf, relay } from "./forwarding.js";
import { sendProblem } from "./problem.js";
import { readingOf } from "./route-call.js";

const WAY_MS = 1_000;

export interface EdgePorts {
  readonly data: DataPlane;
  readonly forwarder: Forwarder;
  readonly random: Random;
}

export class EdgeForwarding {
  constructor(
    private readonly ports: EdgePorts,
    private readonly config: EdgeConfig,
  ) {}

  /** True for what an edge does not answer itself. */
  takes(request: FastifyRequest, options: ReadOptions): boolean {
    return options.level !== "LOCAL" || (request.method !== "GET" && request.method !== "HEAD");
  }

  /** True for what is asked of a page that is not held here. */
  lacks(request: FastifyRequest): boolean {
    const page = (request.params as { readonly page?: string } | null)?.page;
    return page !== undefined && request.reading !== null && !this.ports.data.holdsPage(page);
  }

  /** Has a region answer what is asked of a page that is not held here. */
  async answerOther(request: FastifyRequest, reply: FastifyReply): Promise<void> {
    const fault = isStream(request) ? new Fault("page-not-held", "This edge does not hold the page, and passes no streams on.", { retryAfterSeconds: 5 }) : await this.carry(request, reply, readingOf(request));
    if (fault !== undefined) sendProblem(reply, fault);
  }

  /** Has a region answer. A Fault if none does. */
  async carry(request: FastifyRequest, reply: FastifyReply, options: ReadOptions): Promise<Fault | undefined> {
    const isWrite = request.method !== "GET" && request.method !== "HEAD";
    if (request.headers[FORWARDED_HEADER] !== undefined) return new Fault("read-only", "An edge takes no write of another replica.", { outcome: "rejected" });
    const outline = outlineOf(request, "-", options.quorumTimeoutMs ?? limits.quorumTimeoutMs, options.level);
    const headers = isWrite && outline.headers["idempotency-key"] === undefined
      ? { ...outline.headers, "idempotency-key": `edge-${Buffer.from(this.ports.random.bytes(16)).toString("base64url")}` } : outline.headers;
    const timeoutMs = (options.level === "LOCAL" ? apiLimits.edgeAnswerMs : (options.quorumTimeoutMs ?? limits.quorumTimeoutMs)) + (options.sessionWaitMs ?? 0) + WAY_MS;
    let isTried = false;
    for (const region of this.nearestFirst(options.level === "GLOBAL_QUORUM")) {
      isTried = true;
      const answer = await this.ports.forwarder.send(region, { ...outline, headers }, timeoutMs);
      if (answer === undefined) continue;
      if (isWrite && answer.status < 300) await this.catchUp(answer.headers["session-token"]);
      relay(reply, answer);
      return undefined;
    }
    if (!isWrite && options.level === "LOCAL") return new Fault("page-not-held", "This edge does not hold the page, and reaches no region that does.", { retryAfterSeconds: 5 });
    return new Fault("read-only", "This edge reaches no region: it serves what it holds, and takes no writes.", {
      retryAfterSeconds: 5, ...(isWrite ? { outcome: isTried ? ("unknown" as const) : ("rejected" as const) } : {}),
    });
  }

  /** Waits a little until this edge holds what the write made, so that its caller reads it here. */
  private async catchUp(token: string | undefined): Promise<void> {
    const session = token === undefined ? undefined : this.ports.data.parseToken(token);
    if (session === undefined) return;
    const reached = await this.ports.data.read({ documents: [], render: () => true }, { level: "LOCAL", session, sessionWaitMs: apiLimits.edgeCatchUpMs });
    // Who needs certainty sends the token with the next request.
    if (isFault(reached)) return;
  }

  /** The regions that are connected, nearest first. */
  private nearestFirst(votersOnly: boolean): readonly string[] {
    const candidates = votersOnly ? this.config.voters : this.config.regions;
    return this.ports.data.cluster().peers
      .filter(({ replica, state }) => state !== "down" && candidates.includes(replica))
      .sort((a, b) => rank(a) - rank(b) || (a.replica < b.replica ? -1 : 1))
      .map(({ replica }) => replica);
  }
}

/** Event streams never end, so they cannot be passed on as a whole. */
function isStream({ routeOptions, headers: { accept } }: FastifyRequest): boolean {
  return routeOptions.url === "/pages/:page/events" || (routeOptions.url?.endsWith("/events") === true && accept?.includes("text/event-stream") === true);
}

/** Those that are suspected of being gone come after all others. */
function rank({ state, rtt_ms }: { readonly state: string; readonly rtt_ms: number | null }): number {
  return (state === "up" ? 0 : 1_000_000) + (rtt_ms ?? 100_000);
}
