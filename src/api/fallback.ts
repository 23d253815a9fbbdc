/** What no route takes: 404, 405 with `Allow`, OPTIONS, and bytes that are not HTTP. */
import { STATUS_CODES } from "node:http";
import type { Socket } from "node:net";
import type { FastifyInstance } from "fastify";
import { Fault } from "../core/errors.js";
import { greet, type GuardedRoute } from "./guard.js";
import { PROBLEM_TYPE, problemOf, sendProblem } from "./problem.js";

/** Must be set after all routes: it answers by the list of them. */
export function answerTheRest(app: FastifyInstance, routes: readonly GuardedRoute[], region: string): void {
  let patterns: readonly (readonly [RegExp, string])[] | undefined;
  const methodsOf = (path: string): string[] => {
    patterns ??= routes.filter(({ url }) => !url.includes("*")).map(({ url, method }) => [patternOf(url), method] as const);
    return [...new Set(patterns.filter(([pattern]) => pattern.test(path)).map(([, method]) => method))];
  };
  app.setNotFoundHandler((request, reply) => {
    greet(request, reply, region);
    const path = request.url.split("?", 1)[0] ?? "/";
    const methods = methodsOf(path);
    if (methods.length === 0) return sendProblem(reply, new Fault("not-found", "There is no such route."));
    const allowed = [...methods, "OPTIONS"].sort().join(", ");
    reply.header("allow", allowed);
    if (request.method === "OPTIONS") return reply.code(204).send();
    return sendProblem(reply, new Fault("method-not-allowed", `The resource takes ${allowed}.`));
  });
}

function patternOf(url: string): RegExp {
  const parts = url.split("/").map((part) => (part.startsWith(":") ? "[^/]+" : part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")));
  return new RegExp(`^${parts.join("/")}$`);
}

interface ClientError extends Error {
  readonly code?: string;
}

/** Answers what could not be read as a request, and hangs up. */
export function clientErrorHandler(region: string, newRequestId: () => string): (error: ClientError, socket: Socket) => void {
  return (error, socket) => {
    if (error.code === "ECONNRESET" || socket.destroyed || !socket.writable) {
      socket.destroy();
      return;
    }
    const status = error.code === "HPE_HEADER_OVERFLOW" ? 431 : error.code === "ERR_HTTP_REQUEST_TIMEOUT" ? 408 : 400;
    const detail = status === 431 ? "The headers are over the limit." : status === 408 ? "The request took too long to arrive." : "This is not an HTTP request.";
    const id = newRequestId();
    const body = JSON.stringify({ ...problemOf(new Fault("malformed", detail), id), title: STATUS_CODES[status], status });
    const head = [
      `HTTP/1.1 ${status} ${STATUS_CODES[status]}`, `X-Request-Id: ${id}`, `Region: ${region}`, `Content-Type: ${PROBLEM_TYPE}`,
      `Content-Length: ${Buffer.byteLength(body)}`, "Connection: close",
    ];
    socket.end(`${head.join("\r\n")}\r\n\r\n${body}`, () => socket.destroy());
  };
}
