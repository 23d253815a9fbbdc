/**
 * Which origins browsers may call the API from. Keys travel in a header that a script sets, never by themselves, so no
 * origin is given credentials. Source: the CORS protocol of the Fetch standard.
 */
import type { FastifyInstance } from "fastify";

const METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
const REQUEST_HEADERS = "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Consistency-Level, Session-Token, Session-Wait, Quorum-Timeout, X-Request-Id, Last-Event-ID";
const ANSWER_HEADERS = "X-Request-Id, Region, Session-Token, Consistency-Level, ETag, Location, Retry-After, Idempotent-Replayed, Allow";
const PREFLIGHT_SECONDS = "600";

/** Adds what lets the named origins in; `*`: all. Must come before the routes. Without origins it adds nothing, and costs nothing. */
export function allowOrigins(app: FastifyInstance, origins: readonly string[]): void {
  if (origins.length === 0) return;
  const isOpen = origins.includes("*");
  app.addHook("onRequest", (request, reply, done) => {
    // What a cache keeps for one origin is not for another.
    if (!isOpen) reply.header("vary", "Origin");
    const { origin } = request.headers;
    if (origin !== undefined && (isOpen || origins.includes(origin))) {
      reply.header("access-control-allow-origin", isOpen ? "*" : origin).header("access-control-expose-headers", ANSWER_HEADERS);
      if (request.method === "OPTIONS" && request.headers["access-control-request-method"] !== undefined) {
        reply.header("access-control-allow-methods", METHODS).header("access-control-allow-headers", REQUEST_HEADERS).header("access-control-max-age", PREFLIGHT_SECONDS);
      }
    }
    done();
  });
}
