/** A check of a target, and what came of it: what runners hand to probes and get back. */
import type { Json } from "./change.js";

export const CHECK_TYPES = ["http", "tcp", "icmp", "dns", "tls", "grpc", "smesh"] as const;
export type CheckType = (typeof CHECK_TYPES)[number];

/** As the API takes them; which of them a type looks at stands in the feature's schema. */
export interface CheckOptions {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly expected_status?: number | string | readonly (number | string)[];
  readonly body_contains?: string;
  readonly body_not_contains?: string;
  readonly body_matches?: string;
  readonly json_path?: string;
  /** A JSON value; absent: anything. */
  readonly json_value?: unknown;
  readonly expected_headers?: Readonly<Record<string, string>>;
  readonly max_latency_ms?: number;
  readonly follow_redirects?: boolean;
  readonly max_redirects?: number;
  readonly min_days_valid?: number;
  readonly verify?: boolean;
  readonly server_name?: string;
  readonly ca?: string;
  readonly send?: string;
  readonly expect?: string | readonly string[];
  readonly record?: string;
  readonly server?: string;
  readonly tls?: boolean;
  readonly service?: string;
}

export interface Check {
  readonly type: CheckType;
  readonly target: string;
  /** For the whole check, ms. */
  readonly timeoutMs: number;
  readonly options: CheckOptions;
}

/** Where the time of a check went, ms; null for what did not take place. */
export interface Phases {
  readonly dns: number | null;
  readonly connect: number | null;
  readonly tls: number | null;
  readonly first_byte: number | null;
  readonly total: number | null;
}

export const NO_PHASES: Phases = { dns: null, connect: null, tls: null, first_byte: null, total: null };

export interface CheckError {
  /** Such as `ECONNREFUSED`, `timeout`, `status`; stable. */
  readonly code: string;
  /** For people; may be published, so it names no address. */
  readonly message: string;
}

export interface CheckOutcome {
  /** `unknown`: nothing can be said of the target, the fault is on this side. */
  readonly state: "up" | "down" | "unknown";
  readonly phases: Phases;
  /** Null exactly where the state is `up`. */
  readonly error: CheckError | null;
  /** What else is worth knowing (status code, days until a certificate expires). */
  readonly details: { readonly [name: string]: Json };
}
