/**
 * The only doors to the world. Everything in core and store reaches clock, timers, randomness, disk and network through
 * these, so that the same code runs in production and in the simulator.
 */
import type { Check, CheckOutcome } from "./check.js";
import type { Hello, Message } from "./messages.js";

export interface Clock {
  /** The wall clock, ms since the epoch. May jump. */
  now(): number;
  /** Milliseconds that never go back; the origin is arbitrary. */
  monotonic(): number;
}

export interface Timer {
  cancel(): void;
}

export interface Timers {
  /** Calls `callback` once, `ms` from now or later. A timer does not keep the process alive by itself. */
  after(ms: number, callback: () => void): Timer;
}

export interface Random {
  /** Unpredictable bytes. */
  bytes(length: number): Uint8Array;
  /** A number in [0, 1). */
  uniform(): number;
}

export type StorageWrite = { readonly put: string; readonly value: Uint8Array } | { readonly del: string };

export interface StorageRange {
  /** First key, inclusive. */
  readonly from: string;
  /** Key to stop before, exclusive. */
  readonly to: string;
  readonly limit?: number;
  readonly reverse?: boolean;
}

/**
 * An ordered map from text keys (compared as UTF-8 bytes) to bytes. Values carry a checksum that the implementation
 * adds and verifies: a record that fails it makes the call reject with a `StorageDamage`. Any failed write is final: the
 * implementation rejects every later write with a `StorageFailure` until it is opened anew. Reads go on, of what was there before.
 */
export interface Storage {
  get(key: string): Promise<Uint8Array | undefined>;
  getMany(keys: readonly string[]): Promise<(Uint8Array | undefined)[]>;
  /** Pages of a range, in order; each page has at most 1,000 records. */
  scan(range: StorageRange): AsyncIterable<readonly (readonly [key: string, value: Uint8Array])[]>;
  /** Atomic, and durable (fsync) once resolved. */
  write(batch: readonly StorageWrite[]): Promise<void>;
  close(): Promise<void>;
}

/** How far a store had come when it last acknowledged something. */
export interface HighWater {
  /** Of the replica that wrote it. */
  readonly incarnation: number;
  /** Durable batches of the store, ever. */
  readonly batches: number;
  /** The latest stamp in them. */
  readonly hlc: string;
}

/**
 * The high-water mark of a store, kept beside it and apart from it: a store that is found below it has lost what it had acknowledged.
 * A written mark survives the end of the process; a power cut may leave an earlier one, of a second before at most.
 */
export interface HighWaterMark {
  /** The mark as it is; undefined if there is none that can be read. Rejects with a `StorageFailure` if the disk refuses. */
  read(): Promise<HighWater | undefined>;
  /** Never with a lower one than before. Rejects with a `StorageFailure` if the disk refuses. */
  write(mark: HighWater): Promise<void>;
}

/** A store, and what the folder says of it. */
export interface OpenedStore {
  readonly storage: Storage;
  /** Names the folder on this disk; a copy of the folder has another. */
  readonly witness: string;
  readonly highWater: HighWaterMark;
}

/** A record whose bytes are not what was written. */
export class StorageDamage extends Error {
  override readonly name = "StorageDamage";
}

/** The disk refused a read or a write (full, gone, no descriptors). */
export class StorageFailure extends Error {
  override readonly name = "StorageFailure";
}

/** What a transport tells the replica. All calls are synchronous and must not throw. */
export interface TransportHandler {
  /** What this replica says of itself at a handshake. Called anew for every handshake. */
  hello(): Hello;
  /** A sentence why this peer is refused, or undefined to admit it. The transport has verified the certificate before. */
  admit(hello: Hello): string | undefined;
  connected(peer: string, hello: Hello): void;
  disconnected(peer: string, reason: string): void;
  /** `bytes`: the size on the wire, as the receiver's credit counts it. */
  received(peer: string, message: Message, bytes: number): void;
}

/**
 * One ordered, bidirectional stream of messages to each peer. Messages of one link arrive in the order sent, or the
 * link breaks; nothing is said about messages under way when it breaks.
 */
export interface Transport {
  /** Listens, and goes on dialling every configured peer until closed. */
  open(handler: TransportHandler): Promise<void>;
  /**
   * Hands a message to the link. False: the link is down, or its outbox is at its byte bound; the message was dropped.
   */
  send(peer: string, message: Message): boolean;
  /** Bytes waiting in the outbox of a link. */
  queuedBytes(peer: string): number;
  close(): Promise<void>;
}

export interface ForwardedRequest {
  readonly method: "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** Path and query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | undefined;
}

export interface ForwardedAnswer {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** Passes a client's request on to another replica. */
export interface Forwarder {
  /** Undefined if there was no whole answer within `timeoutMs`; what the request did there is unknown then. Never rejects. */
  send(replica: string, request: ForwardedRequest, timeoutMs: number): Promise<ForwardedAnswer | undefined>;
}

/** Looks at targets. */
export interface Probe {
  /** Resolves within `check.timeoutMs` and a little more. Never rejects. */
  run(check: Check): Promise<CheckOutcome>;
}

export interface OutboundRequest {
  /** Any method of HTTP, such as PURGE. */
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
}

export interface OutboundAnswer {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
}

/** Sends requests to servers outside of the cluster. */
export interface Sender {
  /** Undefined if there was no answer within `timeoutMs`. Never rejects. */
  send(request: OutboundRequest, timeoutMs: number): Promise<OutboundAnswer | undefined>;
}
