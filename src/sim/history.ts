/**
 * The history of a run: what clients asked and were answered, which faults there were, and what each replica held in the end.
 * Written by the simulator and by the chaos suite, read by the checkers. Plain JSON: `history-file.ts` reads and validates it.
 *
 * Invariants, which recorders keep and `history-file.ts` verifies:
 *  1. All times are ms on one observer's clock (the simulator's, or that of the process that sent the requests); any origin.
 *  2. `operations` is in order of `invokedAtMs`; `id` is unique.
 *  3. An operation of which it is not certain that nothing was written has the outcome `unknown` or `unreachable`, never another.
 *  4. The texts that writes give to registers and sets are unique in the run wherever the type allows it (a name, a description, a body, a
 *     label): by them the checkers know whose write was seen. Where it does not (statuses), they check less.
 *  5. What was not looked at is absent, never empty: a field that is not in `fields` says nothing about the field.
 */
import type { Json } from "../core/change.js";
import type { Hlc } from "../core/hlc.js";
import type { Vector } from "../core/vector.js";
import type { ConsistencyLevel, HistoryEntry } from "../store/data-plane.js";

export const HISTORY_FORMAT = 1;

/** `create` … `remove-label` and `resolve` are writes, the others reads. An update with `If-Match` is a `compare-and-set`. */
export const OPERATION_KINDS = ["create", "update", "compare-and-set", "delete", "post-update", "add-label", "remove-label", "resolve", "read", "list", "conflicts", "history"] as const;
export type OperationKind = (typeof OPERATION_KINDS)[number];

/**
 * - `ok`: 2xx; also a read that was answered 404 (its sight has `found: false`).
 * - `precondition`: 412. Nothing was and will be written.
 * - `refused`: another 4xx, whose number is `status` (a write to what does not exist: 404). Nothing was and will be written.
 * - `rejected`: 503 that says "rejected", or any read that was not served. Nothing was and will be written.
 * - `unknown`: the answer says that the write may have taken effect, or may yet; or is a failure that says nothing of it.
 * - `unreachable`: no answer; a write may have taken effect, or may yet.
 */
export const OUTCOMES = ["ok", "precondition", "refused", "rejected", "unknown", "unreachable"] as const;
export type Outcome = (typeof OUTCOMES)[number];

export interface ResourceKey {
  /** `~` for pages and what else belongs to no page. */
  readonly page: string;
  /** As in document keys: `component`, `component-group`, `incident`, `maintenance`, `page` … */
  readonly type: string;
  readonly id: string;
}

/** What an operation is about: a resource; a list, or a create whose id nobody learned, has no `id`. */
export interface Subject {
  readonly page: string;
  readonly type: string;
  readonly id?: string;
}

/** What a write asks for. */
export interface Written {
  /** Register → value. `components.<id>` for one component's status in an incident. */
  readonly fields?: Readonly<Record<string, Json>>;
  /** Set → elements that are added. Sets are `labels`, and `updates`, whose elements are the bodies of the updates. */
  readonly added?: Readonly<Record<string, readonly string[]>>;
  readonly removed?: Readonly<Record<string, readonly string[]>>;
}

/** One resource as an answer shows it. */
export interface Sight {
  /** False: 404. */
  readonly found: boolean;
  /** Without quotes. */
  readonly etag?: string;
  readonly fields?: Readonly<Record<string, Json>>;
  /** Set → all of its elements. */
  readonly sets?: Readonly<Record<string, readonly string[]>>;
  readonly hasConflicts?: boolean;
}

export interface ListedResource extends Sight {
  readonly id: string;
}

export interface List {
  readonly items: readonly ListedResource[];
  /** True if one request showed the whole list (no cursor before, none after): only then it is one operation. */
  readonly complete: boolean;
}

/** As the API shows a conflict. */
export interface Conflict {
  readonly field: string;
  readonly rule: string;
  readonly shown: Json;
  readonly values: readonly { readonly value: Json; readonly hlc: Hlc; readonly region: string; readonly actor: string }[];
}

export interface Dot {
  /** `<replica>.<incarnation>`, or `~` for a version that a quorum decided. */
  readonly origin: string;
  readonly seq: number;
}

/** As the API shows an entry, and, where the recorder can look into the log, what the change's author saw. */
export interface RecordedEntry extends HistoryEntry {
  /** The change within its document. */
  readonly dot?: Dot;
  /** The document's vector that the author of the change saw. */
  readonly context?: Vector;
}

export interface Returned {
  /** On reads and writes of one resource: what the answer shows of it. */
  readonly sight?: Sight;
  readonly list?: List;
  readonly conflicts?: readonly Conflict[];
  /** Newest first. */
  readonly history?: readonly RecordedEntry[];
}

export interface Token {
  /** As the header has it; in the simulator whatever stands for it. */
  readonly text: string;
  /** Decoded, where the recorder can. */
  readonly vector?: Vector;
}

export interface Operation {
  readonly id: number;
  /** Who asked: one client has at most one operation under way at a time. */
  readonly client: string;
  /** A session hands the token of one answer to its next requests; it may move between replicas. Absent: no session. */
  readonly session?: string;
  readonly region: string;
  readonly replica: string;
  readonly level: ConsistencyLevel;
  /** The level that the answer says it was served at. */
  readonly servedLevel?: ConsistencyLevel;
  readonly kind: OperationKind;
  readonly subject: Subject;
  readonly written?: Written;
  /** Other documents that the write changes too: the components that an incident's update names. They are not checked as registers. */
  readonly touches?: readonly ResourceKey[];
  /** Without quotes. */
  readonly ifMatch?: string;
  readonly idempotencyKey?: string;
  readonly invokedAtMs: number;
  /** Absent if no answer came. */
  readonly returnedAtMs?: number;
  readonly outcome: Outcome;
  /** HTTP status, where there was an answer. */
  readonly status?: number;
  readonly returned?: Returned;
  readonly tokenIn?: Token;
  readonly tokenOut?: Token;
  /** `Idempotent-Replayed: true`: the answer is the first one, given again. */
  readonly replayed?: boolean;
  /** HLC of the write, where the answer gives it (`updated_hlc`). */
  readonly stamp?: Hlc;
}

export const FAULT_KINDS = [
  // links
  "partition", "one-way-cut", "bridge", "ring", "isolate", "flap", "delay", "loss", "duplication", "reordering", "corruption", "bandwidth", "reset",
  // processes
  "crash", "restart", "pause",
  // clocks
  "clock-skew", "clock-jump", "clock-freeze",
  // disks; "disk-truncated": a store that lost its end, or went back, in place, which the replica itself cannot see; the last five make a replica a new incarnation, which may have forgotten its clock
  "disk-torn-write", "disk-lost-unsynced", "disk-read-error", "disk-full", "disk-emptied", "disk-truncated", "disk-flipped", "disk-missing", "disk-restored",
  // members
  "member-added", "member-removed",
  // a bug that was switched on
  "planted-bug",
] as const;
export type FaultKind = (typeof FAULT_KINDS)[number];

export interface FaultEvent {
  readonly kind: FaultKind;
  /** What it befell: replicas, regions, or links as `a>b` (one way) and `a<>b`. */
  readonly targets: readonly string[];
  readonly fromMs: number;
  /** Absent: a moment, or until the end. */
  readonly untilMs?: number;
  readonly detail?: string;
  /** Where a replica loses its memory, and the recorder can look: what all replicas together held durably right after that. */
  readonly held?: Vector;
}

export interface FinalDocument {
  readonly resource: ResourceKey;
  /** Read at LOCAL. */
  readonly sight: Sight;
  /** Newest first; readable after deletion too. */
  readonly history?: readonly RecordedEntry[];
  readonly conflicts?: readonly Conflict[];
}

/** What one replica held after everything was healed. */
export interface FinalObservation {
  readonly replica: string;
  readonly region: string;
  readonly observedAtMs: number;
  readonly vector?: Vector;
  readonly merkleRoot?: string;
  /** Every document that the run touched, deleted ones too. */
  readonly documents: readonly FinalDocument[];
  /** Ids in each list, in order; `<page>/<type>` names it. */
  readonly lists?: Readonly<Record<string, readonly string[]>>;
}

/** The clock that a replica showed (`clock.hlc` of its status, or any stamp that it gave). */
export interface StampObservation {
  readonly replica: string;
  readonly incarnation: number;
  readonly atMs: number;
  readonly hlc: Hlc;
}

/** A measured length or size that has a limit. */
export interface Sample {
  readonly replica: string;
  readonly atMs: number;
  /** Whole words, unit last: `pendingEntriesBytes`. */
  readonly name: string;
  readonly value: number;
  readonly limit: number;
}

/** A read model as it was kept, beside the same one rebuilt from the log. */
export interface ProjectionComparison {
  readonly replica: string;
  readonly projection: string;
  readonly kept: Json;
  readonly rebuilt: Json;
}

/** Something that leaves the system at least once: a notification, a webhook. */
export interface Effects {
  /** What must have left by the end of the run, and why. */
  readonly expected: readonly { readonly key: string; readonly because: string }[];
  /** What a receiver got, in order of arrival. `key`: the key for removing duplicates; `content`: what it said, without what may differ. */
  readonly delivered: readonly { readonly key: string; readonly content: Json; readonly replica: string; readonly atMs: number }[];
}

/** What replicas told peers and clients that they hold, where the recorder can compare it with their disks. */
export interface Claims {
  /** How many were compared. */
  readonly compared: number;
  /** Those that the disk did not bear out at that moment; the first ones. */
  readonly beyondDisk: readonly Claim[];
}

export interface Claim {
  readonly replica: string;
  readonly atMs: number;
  /** A peer, or `a client`. */
  readonly to: string;
  /** In words, such as `an acknowledgement`. */
  readonly in: string;
  /** An origin, or `votes`. */
  readonly of: string;
  readonly told: number;
  readonly onDisk: number;
}

/** When a target was down, and for which regions. */
export interface Outage {
  readonly fromMs: number;
  readonly untilMs: number;
  readonly seenFrom: readonly string[];
}

/** What a replica showed of the monitors in the end, long after every target was up again. */
export interface SeenAtReplica {
  readonly replica: string;
  readonly monitors: readonly {
    readonly id: string;
    readonly verdict: string;
    /** Status of its component. */
    readonly component: string;
    /** Those that the monitor has opened, by id. */
    readonly incidents: readonly { readonly id: string; readonly status: string }[];
  }[];
}

export interface Watching {
  /** All regions; each watches every monitor. */
  readonly regions: readonly string[];
  /** `byHand`: the status that an operator gave its component during an outage, last. */
  readonly monitors: readonly { readonly id: string; readonly outages: readonly Outage[]; readonly byHand?: string }[];
  readonly seen: readonly SeenAtReplica[];
}

export interface RunReplica {
  readonly replica: string;
  readonly region: string;
  readonly role: "region" | "edge";
}

export interface History {
  readonly format: typeof HISTORY_FORMAT;
  /** Where it comes from and how to get it again: a scenario, a seed, a command. */
  readonly run: { readonly instrument: "simulator" | "chaos" | "test"; readonly scenario?: string; readonly seed?: number; readonly command?: string };
  readonly replicas: readonly RunReplica[];
  readonly operations: readonly Operation[];
  readonly faults: readonly FaultEvent[];
  /** When the last fault ended and every replica was running. */
  readonly healedAtMs?: number;
  /** When all replicas were first seen equal after that. Absent: they never were, or nobody looked. */
  readonly convergedAtMs?: number;
  readonly final: readonly FinalObservation[];
  /** In order of `atMs`. */
  readonly stamps?: readonly StampObservation[];
  readonly samples?: readonly Sample[];
  readonly projections?: readonly ProjectionComparison[];
  readonly effects?: Effects;
  readonly claims?: Claims;
  readonly watching?: Watching;
}

const READS: ReadonlySet<OperationKind> = new Set<OperationKind>(["read", "list", "conflicts", "history"]);

export function isWrite(kind: OperationKind): boolean {
  return !READS.has(kind);
}

/** True if the write took effect, or may have, or may yet. */
export function mayHaveEffect(operation: Operation): boolean {
  return isWrite(operation.kind) && (operation.outcome === "ok" || operation.outcome === "unknown" || operation.outcome === "unreachable");
}

/** `<page>/<type>/<id>`, as documents are named in the store; undefined for lists and creates without an id. */
export function resourceName(subject: Subject): string | undefined {
  return subject.id === undefined ? undefined : `${subject.page}/${subject.type}/${subject.id}`;
}

/** `<page>/<type>`: the list that the resource belongs to. */
export function scopeName(subject: Subject): string {
  return `${subject.page}/${subject.type}`;
}

/**
 * The outcome of a request from its answer, for recorders: `status` undefined if no answer came, `said` the member `outcome` of a
 * problem body. Source: "Consistency, per request" of the HTTP contract.
 */
export function outcomeOf(kind: OperationKind, status: number | undefined, said: unknown): Outcome {
  if (status === undefined) return "unreachable";
  if (status >= 200 && status < 300) return "ok";
  if (!isWrite(kind)) return status === 404 ? "ok" : status >= 400 && status < 500 ? "refused" : "rejected";
  if (status === 412) return "precondition";
  if (status >= 400 && status < 500) return "refused";
  return said === "rejected" ? "rejected" : "unknown";
}
