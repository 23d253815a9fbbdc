/** What the guard in front of every route leaves on a request for its handler. */
import type { FastifyRequest } from "fastify";
import { assert } from "../core/errors.js";
import type { ReadOptions } from "../store/data-plane.js";
import type { Caller, RouteAccess } from "../store/route-context.js";
import type { Idempotency } from "./idempotency.js";

declare module "fastify" {
  interface FastifyRequest {
    /** Null on public routes. */
    caller: Caller | null;
    /** Null on routes that touch no replicated state. */
    reading: ReadOptions | null;
    /** Null if not asked for yet; undefined if the request has no key. */
    idempotent: Idempotency | null | undefined;
    /** Undefined on routes without `senders`. */
    rawBody: Uint8Array | undefined;
    /** Monotonic ms at which the request came. */
    startedMs: number;
    /** Notes when the request came and its answer's status in its route's histogram; null once it has. */
    record: ((startedMs: number, status: number) => void) | null;
  }
  interface FastifyContextConfig extends RouteAccess {}
}

export function callerOf(request: FastifyRequest): Caller {
  assert(request.caller !== null, "a route that asks for its caller needs a key");
  return request.caller;
}

export function readingOf(request: FastifyRequest): ReadOptions {
  assert(request.reading !== null, "a route that reads replicated state takes consistency levels");
  return request.reading;
}

/** Counts a request's answer, once, in its route's latency. */
export function recordLatency(request: FastifyRequest, status: number): void {
  request.record?.(request.startedMs, status);
  request.record = null;
}
