/**
 * What routes and commands may ask of a replica. Implemented by `commit.ts` and `read.ts`, assembled in `node.ts`.
 */
import type { Change, Json, Operation } from "../core/change.js";
import type { DocumentState, Dot } from "../core/document.js";
import type { Fault } from "../core/errors.js";
import type { Hlc } from "../core/hlc.js";
import type { Vector } from "../core/vector.js";
import type { DocumentReader } from "./document-reader.js";
import type { Move } from "./list-positions.js";
import type { ChangeFeed } from "./feed.js";
import type { LogItem } from "./page-events.js";

export const CONSISTENCY_LEVELS = ["LOCAL", "LOCAL_QUORUM", "GLOBAL_QUORUM"] as const;
export type ConsistencyLevel = (typeof CONSISTENCY_LEVELS)[number];

/** What is known of a document without its fields; kept in memory for every document. */
export interface DocumentHeader {
  readonly key: string;
  readonly id: string;
  /** ms since the epoch. */
  readonly createdMs: number;
  /** The `position` that is shown, 0 for types without one. */
  readonly position: number;
  /** Its latest writes of `position` since it was created; undefined if there was none. */
  readonly moves?: readonly Move[] | undefined;
}

/** A consistent sight of the replica's state within one turn of the event loop. Must not be kept beyond it. */
export interface Snapshot {
  /** The HLC time that a write in this turn would carry, ms since the epoch. */
  readonly atMs: number;
  /** What the caller has seen, from its session token; undefined: take what is held here. */
  readonly seen?: Vector | undefined;
  /** What this replica holds in this turn, durable or not. Undefined where nobody pages through lists. */
  readonly held?: Vector | undefined;
  /** The document, or undefined if it does not exist or was deleted. */
  document(key: string): DocumentReader | undefined;
  /** True if the id exists or ever did: ids are never used again. */
  taken(key: string): boolean;
  /** The living documents of a type, in list order: (created, id) descending for incidents and maintenances, else (position, id). */
  list(partition: string, type: string): readonly DocumentHeader[];
  /** What is left of the documents of a type that were deleted, in no order: as they were last. Absent where nobody asks for it. */
  remains?(partition: string, type: string): readonly DocumentReader[];
}

export interface PlannedChange {
  readonly document: string;
  /** Empty: the document stays as it is. */
  readonly operations: readonly Operation[];
}

export interface Plan {
  readonly changes: readonly PlannedChange[];
}

export interface Answer {
  readonly status: number;
  /** Null for an empty answer (204). */
  readonly body: { readonly [key: string]: Json } | null;
  readonly location?: string;
  /** Key of the document whose ETag the answer carries. */
  readonly etagOf?: string;
  /** Members that are added to the body of the first answer only and never stored. */
  readonly secret?: { readonly [key: string]: string };
}

export interface Command {
  /** Such as `incident.update`, for logs and metrics. */
  readonly name: string;
  /** Key of the document that the request names. `If-Match` compares its ETag; at GLOBAL_QUORUM it is decided last. */
  readonly subject: string;
  /**
   * Decides what to write. Synchronous, without side effects, and run again whenever the state has moved (a candidate that
   * lost, a document that had to be loaded); so ids are made before, not in here.
   */
  plan(snapshot: Snapshot): Plan | Fault;
  /** The answer, from the state that includes the write. Also run where the plan changed nothing. */
  answer(snapshot: Snapshot): Answer;
}

export interface ReadOptions {
  readonly level: ConsistencyLevel;
  /** What the client has seen, from `Session-Token`. */
  readonly session?: Vector;
  readonly sessionWaitMs?: number;
  readonly quorumTimeoutMs?: number;
}

/**
 * Runs the same request at another replica, under the given operation id. Undefined if that replica could not be asked or did
 * not answer: the write may have taken effect there, and is safe to repeat here under the same id.
 */
export type Forward = (replica: string, operation: string, timeoutMs: number) => Promise<Committed | Fault | undefined>;

export interface CommitOptions extends ReadOptions {
  /** Where a write that keeps losing against another region may be handed to that region. */
  readonly forward?: Forward;
  /** The request was handed over by another region under this operation id. */
  readonly forwardedAs?: string;
  /** Id of the key that asks, or `system`. */
  readonly actor: string;
  /** ETags of `If-Match`, without quotes; `*` stands for any that exists. */
  readonly ifMatch?: readonly string[];
  readonly idempotency?: { readonly scope: string; readonly request: string };
}

export interface Committed {
  readonly status: number;
  /** JSON text, or null. */
  readonly body: string | null;
  readonly location: string | null;
  /** With quotes. */
  readonly etag: string | null;
  readonly replayed: boolean;
  /** Session token to hand to the client. */
  readonly token: string;
}

export interface Query<T> {
  /** Keys of the documents that must be read at the level (the page and the resource). */
  readonly documents: readonly string[];
  /** Lists that must be read at the level. */
  readonly lists?: readonly { readonly partition: string; readonly type: string }[];
  /** Synchronous and without side effects; may run more than once. */
  render(snapshot: Snapshot): T | Fault;
  /** If set, the result is kept and given again while no document that `render` looked at has changed. */
  readonly cacheKey?: string;
}

export interface ReadResult<T> {
  readonly value: T;
  readonly token: string;
}

export interface HistoryEntry {
  readonly hlc: Hlc;
  readonly at: string;
  readonly region: string;
  readonly replica: string;
  readonly actor: string;
  /** Name of the field; `<section>.<field>` for elements. */
  readonly field: string;
  readonly from: Json;
  readonly to: Json;
}

/** A change of a document under the name that it has there. */
export interface DocumentChange {
  readonly dot: Dot;
  readonly change: Change;
}

export interface PeerStatus {
  readonly replica: string;
  readonly region: string;
  readonly role: string;
  readonly state: "up" | "suspect" | "down";
  readonly rtt_ms: number | null;
  readonly unacknowledged_changes: number;
  readonly oldest_unacknowledged_ms: number;
  readonly vector: Vector;
  readonly merkle_root: string | null;
  /** The pages that it keeps, where those are not all. */
  readonly pages: readonly string[] | null;
  /** What it holds is what this replica holds, of the pages that both keep. */
  readonly in_sync: boolean;
  readonly clock_offset_ms: number | null;
}

export interface ClusterStatus {
  readonly replica: string;
  readonly region: string;
  readonly role: string;
  /** The pages that it keeps, where those are not all. */
  readonly pages: readonly string[] | null;
  readonly incarnation: number;
  readonly voting: boolean;
  readonly vector: Vector;
  readonly merkle_root: string;
  readonly clock: { readonly hlc: Hlc; readonly offset_ms: number };
  readonly degradation: { readonly level: number; readonly reasons: readonly string[] };
  readonly quarantined: number;
  readonly documents: number;
  /** At an edge: when it noted last that it heard a region, RFC 3339; null elsewhere, and before that. */
  readonly heard_at: string | null;
  readonly peers: readonly PeerStatus[];
}

export interface AntiEntropyPeerReport {
  readonly replica: string;
  readonly documents_compared: number;
  readonly documents_repaired: number;
  readonly bytes: number;
  readonly round_trips: number;
  readonly equal: boolean;
}

export interface DataPlane {
  commit(command: Command, options: CommitOptions): Promise<Committed | Fault>;
  read<T>(query: Query<T>, options: ReadOptions): Promise<ReadResult<T> | Fault>;
  /** Every change of a document, newest first, also after its deletion; Fault `not-found` if it never existed. */
  history(key: string, options: ReadOptions): Promise<ReadResult<readonly HistoryEntry[]> | Fault>;
  /** Every change of a document, deleted or not, in an order in which each follows all that it depends on. LOCAL. */
  changes(key: string): Promise<readonly DocumentChange[] | Fault>;
  /** Those changes beyond a vector that are not archived yet, each after what it depends on of them. LOCAL. */
  recentChanges(key: string, beyond: Vector): Promise<readonly DocumentChange[] | Fault>;
  /** What `keepProjections` kept of a document, and the vector of what the document holds by now. */
  projection(key: string): Promise<{ readonly text: string | undefined; readonly vector: Vector } | Fault>;
  /** Keeps a text beside each of some documents, by key; durable with the next batch. What is kept can be made again from the changes. */
  keepProjections(texts: ReadonlyMap<string, string>): Promise<void>;
  /** The latest entries of the log, at most so many, in order of arrival. */
  latest(most: number): Promise<readonly LogItem[] | Fault>;
  /** Tells what has become durable here. */
  readonly feed: ChangeFeed;
  /** The vector of a session token of any region; undefined if it is malformed. */
  parseToken(token: string): Vector | undefined;
  /** The current session token of this replica. */
  token(): string;
  cluster(): ClusterStatus;
  /** True if all of a page is here that the session token says. An edge may keep some pages only. */
  holdsPage(page: string): boolean;
  /** One round with every peer that is up; resolves when it is over. */
  antiEntropy(): Promise<readonly AntiEntropyPeerReport[]>;
}

export type { DocumentState };
