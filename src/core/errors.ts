/**
 * The catalogue of expected failures. Core and store return a `Fault` as a value; `api/problem.ts` maps its code to HTTP
 * in one place.
 */
export interface FaultDetail {
  /** JSON pointer as in RFC 9457, such as `#/name`. */
  readonly pointer: string;
  readonly message: string;
}

export const FAULT_CODES = [
  "malformed", "unauthorized", "forbidden", "not-found", "conflict", "precondition-failed", "payload-too-large",
  "unsupported-media-type", "invalid", "too-many-requests", "method-not-allowed", "idempotency-key-reused",
  "session-behind", "quorum-unavailable", "local-quorum-unavailable", "read-only", "page-not-held", "overloaded", "internal",
] as const;
export type FaultCode = (typeof FAULT_CODES)[number];

export class Fault {
  constructor(
    readonly code: FaultCode,
    /** One sentence for the caller; holds nothing secret. */
    readonly detail: string,
    readonly extra: {
      readonly errors?: readonly FaultDetail[];
      /** What became of a write: `rejected`, nothing was and nothing will be written; `unknown`, it may yet be decided. */
      readonly outcome?: "rejected" | "unknown";
      readonly retryAfterSeconds?: number;
    /** The answer was kept from an earlier request with the same Idempotency-Key. */
    readonly replayed?: boolean;
    } = {},
  ) {}
}

export function isFault(value: unknown): value is Fault {
  return value instanceof Fault;
}

/** A broken invariant: the process must not go on. */
export class InvariantViolation extends Error {
  override readonly name = "InvariantViolation";
}

export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new InvariantViolation(message);
}
