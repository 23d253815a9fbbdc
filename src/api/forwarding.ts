/**
 * Requests that another replica carries out: GLOBAL_QUORUM at a replica that does not vote, and writes that keep losing to
 * another region. A request is passed on a few times at most, with the client's own key.
 */
import type { FastifyReply, FastifyRequest } from "fastify";
import { Fault, FAULT_CODES, type FaultDetail } from "../core/errors.js";
import { limits } from "../core/limits.js";
import type { ForwardedAnswer, ForwardedRequest, Forwarder } from "../core/ports.js";
import type { Committed, ConsistencyLevel, Forward } from "../store/data-plane.js";
import { PROBLEM_TYPE, sendProblem } from "./problem.js";

/** Holds the operation id, or `-` where a replica without a vote passes a request on. */
export const FORWARDED_HEADER = "statusmesh-forwarded";
const HOPS_HEADER = "statusmesh-hops";
/** While two regions race, a write may follow the winner from one to the other; its operation id keeps it from taking effect twice. */
const HOPS_MAX = 4;
const OPERATION = /^[A-Za-z0-9_-]{1,64}$/;
const PASSED_HEADERS = ["accept", "accept-language", "if-modified-since", "authorization", "content-type", "if-match", "if-none-match", "idempotency-key", "session-token", "session-wait", "consistency-level", "quorum-timeout"] as const;
const ANSWER_HEADERS = [
  "content-type", "etag", "location", "session-token", "consistency-level", "idempotent-replayed", "retry-after",
  // Of public answers.
  "access-control-allow-origin", "cache-control", "cache-tag", "content-language", "content-security-policy", "last-modified", "referrer-policy", "surrogate-key", "vary",
] as const;
/** Beyond what the operation itself may take, for the way there and back. */
const WAY_MS = 1_000;

/** The operation id under which another region handed this request over. */
export function forwardedAs(request: FastifyRequest): string | undefined {
  const value = request.headers[FORWARDED_HEADER];
  return typeof value === "string" && value !== "-" && OPERATION.test(value) ? value : undefined;
}

export class Forwarding {
  constructor(
    private readonly forwarder: Forwarder,
    /** Where GLOBAL_QUORUM requests go, in order of preference; empty at a replica that votes. */
    private readonly voters: readonly string[],
  ) {}

  /** For `CommitOptions.forward`: hands this request over. Undefined where it was handed on too often already. */
  handoverOf(request: FastifyRequest): Forward | undefined {
    if (hopsOf(request) >= HOPS_MAX) return undefined;
    return async (replica, operation, timeoutMs) => {
      const answer = await this.forwarder.send(replica, outlineOf(request, operation, timeoutMs), timeoutMs + WAY_MS);
      return answer === undefined || answer.status === 429 || (answer.status >= 500 && answer.headers["content-type"] !== PROBLEM_TYPE) ? undefined : committedOf(answer);
    };
  }

  /** Has a voter answer, if this replica has no vote. False if it is to be answered here. */
  async passOn(request: FastifyRequest, reply: FastifyReply, timeoutMs: number): Promise<boolean> {
    if (this.voters.length === 0 || request.headers[FORWARDED_HEADER] !== undefined) return false;
    const isRead = request.method === "GET" || request.method === "HEAD";
    for (const voter of this.voters) {
      const answer = await this.forwarder.send(voter, outlineOf(request, "-", timeoutMs), timeoutMs + WAY_MS);
      if (answer !== undefined) {
        relay(reply, answer);
        return true;
      }
      // A write may have taken effect at a voter that did not answer: it must not be tried at another one, and nobody can say that it was rejected.
      if (!isRead) {
        sendProblem(reply, new Fault("quorum-unavailable", "The region that the write was passed on to gave no answer.", { outcome: "unknown", retryAfterSeconds: 1 }));
        return true;
      }
    }
    return false;
  }
}

/** Answers with what another replica answered. */
export function relay(reply: FastifyReply, answer: ForwardedAnswer): void {
  reply.code(answer.status);
  for (const name of ANSWER_HEADERS) if (answer.headers[name] !== undefined) reply.header(name, answer.headers[name]);
  reply.send(answer.status === 204 || answer.status === 304 ? undefined : answer.body);
}

/** How often a request was passed on before it came here. */
function hopsOf(request: FastifyRequest): number {
  if (request.headers[FORWARDED_HEADER] === undefined) return 0;
  const hops = Number(request.headers[HOPS_HEADER]);
  return Number.isInteger(hops) && hops > 0 ? hops : HOPS_MAX;
}

/** A request as it is passed on. */
export function outlineOf(request: FastifyRequest, operation: string, timeoutMs: number, level: ConsistencyLevel = "GLOBAL_QUORUM"): ForwardedRequest {
  const headers: Record<string, string> = { [FORWARDED_HEADER]: operation, [HOPS_HEADER]: String(hopsOf(request) + 1) };
  for (const name of PASSED_HEADERS) {
    const value = request.headers[name];
    if (typeof value === "string") headers[name] = value;
  }
  headers["consistency-level"] = level;
  headers["quorum-timeout"] = String(Math.round(Math.min(limits.quorumTimeoutMaxMs, Math.max(limits.quorumTimeoutMinMs, timeoutMs))));
  const body = request.body === undefined || request.body === null ? undefined : JSON.stringify(request.body);
  return { method: request.method as ForwardedRequest["method"], path: request.url, headers, body };
}

function committedOf(answer: ForwardedAnswer): Committed | Fault {
  if (answer.status >= 400) return faultOf(answer.body);
  return {
    status: answer.status, body: answer.body === "" ? null : answer.body, location: answer.headers["location"] ?? null, etag: answer.headers["etag"] ?? null,
    replayed: answer.headers["idempotent-replayed"] === "true", token: answer.headers["session-token"] ?? "v1.",
  };
}

function faultOf(body: string): Fault {
  const unknown = new Fault("quorum-unavailable", "The region that the write was handed to gave no clear answer.", { outcome: "unknown", retryAfterSeconds: 1 });
  try {
    const problem = JSON.parse(body) as { type?: unknown; detail?: unknown; outcome?: unknown; errors?: readonly FaultDetail[] };
    const code = FAULT_CODES.find((known) => problem.type === `/problems/${known}`);
    if (code === undefined) return unknown;
    const outcome = problem.outcome === "rejected" || problem.outcome === "unknown" ? problem.outcome : undefined;
    return new Fault(code, String(problem.detail), { ...(outcome === undefined ? {} : { outcome }), ...(problem.errors === undefined ? {} : { errors: problem.errors }) });
  } catch {
    return unknown;
  }
}
