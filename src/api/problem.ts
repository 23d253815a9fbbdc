/** The one place where the catalogue of faults becomes HTTP: RFC 9457 problem documents. */
import type { FastifyError, FastifyReply, FastifyRequest } from "fastify";
import { Fault, InvariantViolation, isFault, type FaultCode } from "../core/errors.js";
import { apiLimits } from "./api-limits.js";
import { recordLatency } from "./route-call.js";
import { validationDetails, type SchemaError } from "./validation.js";

interface Kind {
  readonly status: number;
  readonly title: string;
  /** What it means and what to do, for the page that `type` names. */
  readonly explanation: string;
}

export const PROBLEMS: Readonly<Record<FaultCode, Kind>> = {
  malformed: { status: 400, title: "Malformed request", explanation: "The request could not be understood: a header, a query parameter, a cursor or the JSON itself is not of the form that is documented. Sending it again unchanged gives the same answer." },
  unauthorized: { status: 401, title: "No valid key", explanation: "The route needs an API key in the header `Authorization: Bearer <key>`, and none came, or it is unknown or revoked." },
  forbidden: { status: 403, title: "Not allowed with this key", explanation: "The key is valid, but its role does not reach this far, or it belongs to another page." },
  "not-found": { status: 404, title: "Not found", explanation: "There is no such route or resource, or it was deleted." },
  "method-not-allowed": { status: 405, title: "Method not allowed", explanation: "The resource exists but does not take this method. The header `Allow` names those that it takes." },
  conflict: { status: 409, title: "Conflict with the current state", explanation: "The request contradicts what is there, such as an id that is taken already." },
  "precondition-failed": { status: 412, title: "Precondition failed", explanation: "The resource is not (or no longer) the one that `If-Match` names. Read it again, and decide again." },
  "payload-too-large": { status: 413, title: "Body too large", explanation: "The body of a request may have up to 1 MiB." },
  "unsupported-media-type": { status: 415, title: "Unsupported media type", explanation: "Bodies are JSON: send `Content-Type: application/json`." },
  invalid: { status: 422, title: "Invalid content", explanation: "The request is well-formed, but its content is not accepted. `errors` says what is wrong where." },
  "idempotency-key-reused": { status: 422, title: "Idempotency key reused", explanation: "The same `Idempotency-Key` came before with another body. Use a new key for a new request." },
  "too-many-requests": { status: 429, title: "Too many requests", explanation: "The key, or the address, made more requests than it may. Wait as long as `Retry-After` says." },
  "session-behind": { status: 503, title: "Replica behind the session", explanation: "This replica does not hold yet what the `Session-Token` saw, and did not get it within `Session-Wait`. A write so refused was not made. Try again, or ask another region." },
  "quorum-unavailable": { status: 503, title: "No quorum of regions", explanation: "GLOBAL_QUORUM needs a majority of the regions, and none answered in time. For writes `outcome` tells: `rejected`, nothing was written and nothing will be; `unknown`, it was proposed and may yet be decided, so read at GLOBAL_QUORUM before trying again, or repeat with the same `Idempotency-Key`." },
  "local-quorum-unavailable": { status: 503, title: "No quorum in the region", explanation: "LOCAL_QUORUM needs a majority of this region's replicas, and none answered in time. `outcome` reads as for GLOBAL_QUORUM." },
  "read-only": { status: 503, title: "Replica is read-only", explanation: "This replica cannot write durably (its disk is full or damaged). Write in another region." },
  "page-not-held": { status: 503, title: "Page is not held here", explanation: "This edge keeps other pages only (or has not fetched this one yet), and no region that it reaches could answer in its place. Ask a region, or another edge." },
  overloaded: { status: 503, title: "Overloaded", explanation: "The replica has more to do than it can. Wait as long as `Retry-After` says." },
  internal: { status: 500, title: "Internal error", explanation: "Something failed that should not have. The request id in `instance` finds it in the logs." },
};

export const PROBLEM_TYPE = "application/problem+json; charset=utf-8";

export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  /** The request id. */
  readonly instance: string;
  readonly errors?: readonly { readonly pointer: string; readonly message: string }[];
  readonly outcome?: "rejected" | "unknown";
}

export function statusOf(fault: Fault): number {
  return PROBLEMS[fault.code].status;
}

export function problemOf(fault: Fault, requestId: string): Problem {
  const { status, title } = PROBLEMS[fault.code];
  const { errors, outcome } = fault.extra;
  return {
    type: `/problems/${fault.code}`,
    title,
    status,
    detail: fault.detail,
    instance: requestId,
    ...(errors === undefined ? {} : { errors }),
    ...(outcome === undefined ? {} : { outcome }),
  };
}

/** Answers with the problem document of a fault. */
export function sendProblem(reply: FastifyReply, fault: Fault): FastifyReply {
  const { status } = PROBLEMS[fault.code];
  reply.code(status).header("content-type", PROBLEM_TYPE);
  if (status === 429 || status === 503) reply.header("retry-after", String(fault.extra.retryAfterSeconds ?? apiLimits.retryAfterSeconds));
  recordLatency(reply.request, status);
  if (status === 401) reply.header("www-authenticate", 'Bearer realm="statusmesh"');
  return reply.send(JSON.stringify(problemOf(fault, reply.request.id)));
}

/** What a thrown error means for the caller; undefined if nobody expected it. */
export function faultOfError(error: unknown, request: FastifyRequest): Fault | undefined {
  if (isFault(error)) return error;
  if (!(error instanceof Error)) return undefined;
  const { code, statusCode, validation, validationContext } = error as FastifyError & { validation?: SchemaError[]; validationContext?: string };
  if (validation !== undefined) return validationFault(validation, validationContext ?? "body", request);
  switch (code) {
    case "FST_ERR_CTP_INVALID_MEDIA_TYPE":
    case "FST_ERR_CTP_EMPTY_TYPE":
      return new Fault("unsupported-media-type", "The body must be JSON, with the content type application/json.");
    case "FST_ERR_CTP_BODY_TOO_LARGE":
      return new Fault("payload-too-large", "The body is over the limit.");
    case "FST_ERR_CTP_EMPTY_JSON_BODY":
      return new Fault("malformed", "A body is needed here.");
    case "FST_ERR_CTP_INVALID_CONTENT_LENGTH":
      return new Fault("malformed", "The body is not as long as Content-Length says.");
    case "FST_ERR_BAD_URL":
      return new Fault("malformed", "The path is not a valid URL.");
    default:
  }
  if (statusCode === 429) return new Fault("too-many-requests", "Too many requests.");
  if (statusCode === 503) return new Fault("overloaded", "The replica is overloaded.");
  if (statusCode === 404) return new Fault("not-found", "There is nothing here.");
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500) return new Fault("malformed", "The request could not be understood.");
  return undefined;
}

function validationFault(errors: readonly SchemaError[], part: string, request: FastifyRequest): Fault {
  const details = validationDetails(errors);
  const complaint = details.map(({ pointer, message }) => `${pointer} ${message}`).join("; ");
  if (part === "body") {
    if (request.body === undefined) return new Fault("malformed", "A body is needed here.");
    return new Fault("invalid", `The body is not valid: ${complaint}.`, { errors: details });
  }
  if (part === "params") return new Fault("not-found", "There is no resource of this id.");
  return new Fault("malformed", `The ${part === "querystring" ? "query" : part} is not valid: ${complaint}.`, { errors: details });
}

/** Answers a body that its schema refuses, where the refusal must be kept; false: it need not be. */
export type KeepRefusal = (request: FastifyRequest, reply: FastifyReply, refusal: Fault) => Promise<never> | false;

/** Fastify's error handler. `onDefect` hears of broken invariants, after which the process must not go on. */
export function errorHandler(onDefect: (error: InvariantViolation) => void, keepRefusal: KeepRefusal = () => false) {
  return (error: unknown, request: FastifyRequest, reply: FastifyReply): undefined | Promise<never> => {
    let fault = faultOfError(error, request);
    if (fault === undefined) {
      request.log.error({ err: error, requestId: request.id, method: request.method, url: request.url }, "request failed");
      if (error instanceof InvariantViolation) onDefect(error);
      fault = new Fault("internal", "The request failed in an unexpected way.");
    }
    const kept = fault.code === "invalid" && keepRefusal(request, reply, fault);
    if (kept !== false) return kept;
    sendProblem(reply, fault);
    return undefined;
  };
}
