/** The results of one flush as one record: what travels between replicas, and what rollups are folded from, at their origin too. */
import type { Phases } from "../../core/check.js";
import { limits } from "../../core/limits.js";
import { VERDICTS, type State } from "./opinion.js";

export interface StoredResult {
  /** `<page>/<monitor>`. */
  readonly key: string;
  /** ms since the epoch. */
  readonly at: number;
  readonly state: State;
  readonly latency_ms: number | null;
  readonly phases: Phases;
  readonly error: { readonly code: string; readonly message: string } | null;
  readonly attempt: number;
  /** What its round came to; the tries before are kept, and counted nowhere. */
  readonly isFinal: boolean;
}

type Time = number | null;
type Row = readonly [key: string, at: number, state: string, latency: Time, dns: Time, connect: Time, tls: Time, firstByte: Time, total: Time, error: readonly [string, string] | null, attempt: number, isFinal: 0 | 1];

const CODE_LENGTH_MAX = 100;
const MESSAGE_LENGTH_MAX = 2_000;
const ROW_LENGTH = 12;
const ATTEMPTS_MAX = 1_000_000;
/** The end of the year 9999: later times have no RFC 3339 form. */
const LATEST_MS = 253_402_300_799_999;
const KEY = /^[a-z0-9-]{1,63}\/[A-Za-z0-9_-]{1,64}$/;
const HEAD = /^\{"at":(\d{1,15}),/;
const HEAD_BYTES = 32;
const STATES: ReadonlySet<string> = new Set(VERDICTS);

function rowOf({ key, at, state, latency_ms, phases, error, attempt, isFinal }: StoredResult): Row {
  const { dns, connect, tls, first_byte, total } = phases;
  const said = error === null ? null : [error.code.slice(0, CODE_LENGTH_MAX), error.message.slice(0, MESSAGE_LENGTH_MAX)] as const;
  return [key, at, state, latency_ms, dns, connect, tls, first_byte, total, said, attempt, isFinal ? 1 : 0];
}

/** The bodies of as many records as these results need, in their order. `at`: when they are written, ms since the epoch. */
export function encodeBatches(results: readonly StoredResult[], at: number): Uint8Array[] {
  const bodies: Uint8Array[] = [];
  let rows: string[] = [];
  let bytes = HEAD_BYTES;
  const close = (): void => {
    if (rows.length > 0) bodies.push(Buffer.from(`{"at":${Math.max(0, Math.floor(at))},"results":[${rows.join()}]}`));
    rows = [];
    bytes = HEAD_BYTES;
  };
  for (const result of results) {
    const row = JSON.stringify(rowOf(result));
    const size = Buffer.byteLength(row) + 1;
    if (bytes + size > limits.recordBytesMax) close();
    rows.push(row);
    bytes += size;
  }
  close();
  return bodies;
}

/** When a record was written at its origin, ms since the epoch; 0 for what is none. */
export function batchTime(body: Uint8Array): number {
  return Number(HEAD.exec(textOf(body.subarray(0, HEAD_BYTES)))?.[1] ?? 0);
}

/** The results of a record; undefined for what is none. */
export function decodeBatch(body: Uint8Array): StoredResult[] | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(textOf(body));
  } catch {
    return undefined;
  }
  const rows = typeof parsed === "object" && parsed !== null && "results" in parsed ? parsed.results : undefined;
  return batchTime(body) > 0 && Array.isArray(rows) && rows.every(isRow) ? rows.map(resultOf) : undefined;
}

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString();
}

const isTime = (value: unknown): boolean => value === null || (typeof value === "number" && Number.isFinite(value) && value >= 0);

function isRow(row: unknown): row is Row {
  if (!Array.isArray(row) || row.length !== ROW_LENGTH) return false;
  const [key, at, state, latency, dns, connect, tls, firstByte, total, error, attempt, isFinal] = row as unknown[];
  return typeof key === "string" && KEY.test(key) && typeof at === "number" && at >= 0 && at <= LATEST_MS && typeof state === "string" && STATES.has(state)
    && [latency, dns, connect, tls, firstByte, total].every(isTime) && (error === null || isError(error))
    && typeof attempt === "number" && Number.isInteger(attempt) && attempt >= 1 && attempt <= ATTEMPTS_MAX && (isFinal === 0 || isFinal === 1);
}

function isError(value: unknown): boolean {
  if (!Array.isArray(value) || value.length !== 2) return false;
  const [code, message] = value as unknown[];
  return typeof code === "string" && code.length <= CODE_LENGTH_MAX && typeof message === "string" && message.length <= MESSAGE_LENGTH_MAX;
}

function resultOf([key, at, state, latency_ms, dns, connect, tls, first_byte, total, error, attempt, isFinal]: Row): StoredResult {
  return {
    key, at, state: state as State, latency_ms, phases: { dns, connect, tls, first_byte, total },
    error: error === null ? null : { code: error[0], message: error[1] }, attempt, isFinal: isFinal === 1,
  };
}
