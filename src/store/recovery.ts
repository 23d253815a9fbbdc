/**
 * Opens a store: verifies it, loads every header, and decides who this replica is now.
 *
 * Invariants:
 *  1. A replica goes on with its incarnation and its log only on the very store that it left: the folder's witness is the one that
 *     the store names, the store is not below its high-water mark, and every document that the last batch counted is there. Else it
 *     takes a new incarnation and origin.
 *  2. The clock begins beyond every stamp that the store or its high-water mark knows.
 *  3. Records that are not what was written make the start fail; nothing is repaired by guessing.
 *  4. Where pages are to be kept that were not, the vector begins anew, so that it never counts what was passed by.
 */
import { HLC_ZERO, laterHlc, type HybridClock } from "../core/hlc.js";
import type { KeptPages } from "../core/kept-pages.js";
import type { MerkleTree } from "../core/merkle.js";
import { StorageDamage, type HighWater, type HighWaterMark, type Storage, type StorageWrite } from "../core/ports.js";
import { freshState, type QuorumState, type Slot } from "../core/quorum.js";
import { latestNumber, originOf } from "../core/replica.js";
import { copyVector, EMPTY_VECTOR } from "../core/vector.js";
import { decodeArrivals } from "./arrivals.js";
import { highWaterOf, type LogState } from "./change-log.js";
import type { DocumentTable } from "./document-table.js";
import { common, coverageOfFresh, decodeCoverage, dropBodies, encodeCoverage, type PageCoverage } from "./page-coverage.js";
import { keyspace } from "./keyspace.js";
import { decodeSlot } from "./quorum-coordinator.js";
import { sometimes } from "../core/sometimes.js";

const FORMAT = 2;

export interface Sentinel {
  readonly format: number;
  readonly replica: string;
  readonly clusterId: string;
  /** Names the folder on this disk; a copy of the folder has another. */
  readonly witness: string;
}

export interface Opened {
  readonly state: LogState;
  readonly quorumState: QuorumState;
  readonly slots: readonly (readonly [string, Slot])[];
  /** The disk was empty. */
  readonly fresh: boolean;
  /** Why the store may not be the one that this replica left. */
  readonly doubt: string | undefined;
  readonly coverage: PageCoverage;
}

export interface RecoveryOptions {
  /** The pages that this replica is to keep. */
  readonly kept: KeptPages;
  readonly replica: string;
  readonly clusterId: string;
  readonly witness: string;
  /** A reason to take a new incarnation, found while running. */
  readonly doubt?: string | undefined;
  /** The latest incarnation of this replica that a peer knows. */
  readonly above: number;
  readonly nowMs: number;
  /** Bytes of records that are verified before the replica serves; the rest is left to the scrub. */
  readonly verifyBytesMax: number;
}

const encoder = new TextEncoder();

export async function recover(storage: Storage, highWater: HighWaterMark, table: DocumentTable, tree: MerkleTree, clock: HybridClock, options: RecoveryOptions): Promise<Opened> {
  const mark = await highWater.read();
  const opened = await open(storage, mark, table, tree, options);
  clock.receive(opened.state.hlc, options.nowMs, Number.POSITIVE_INFINITY);
  await highWater.write(highWaterOf(opened.state));
  return opened;
}

async function open(storage: Storage, mark: HighWater | undefined, table: DocumentTable, tree: MerkleTree, options: RecoveryOptions): Promise<Opened> {
  const sentinel = parse<Sentinel>(await storage.get(keyspace.sentinel));
  if (sentinel === undefined) {
    for await (const page of storage.scan({ from: "", to: "\u{10ffff}", limit: 1 })) {
      if (page.length > 0) throw new StorageDamage("the store holds records but not the one that says whose it is");
    }
    return fresh(storage, mark, options);
  }
  if (sentinel.format !== FORMAT) throw new StorageDamage(`the store has format ${sentinel.format}, this version reads format ${FORMAT}`);
  if (sentinel.replica !== options.replica || sentinel.clusterId !== options.clusterId) {
    throw new StorageDamage(`the store belongs to replica ${sentinel.replica} of cluster ${sentinel.clusterId}`);
  }
  const state = parse<LogState>(await storage.get(keyspace.state));
  if (state === undefined) throw new StorageDamage("the store has lost its state record");
  state.vector = copyVector(state.vector);
  state.floor = copyVector(state.floor);
  // Format 2 was written without a count at first.
  state.batches ??= 0;
  await loadHeaders(storage, table, tree);
  await verify(storage, state, options.verifyBytesMax);
  if (sentinel.witness !== options.witness) sometimes("recovery: the folder is a copy");
  const root = Buffer.from(tree.root()).toString("hex");
  const stored = decodeCoverage(await storage.get(keyspace.pages));
  const widened = !stored.kept.covers(options.kept);
  const doubt = options.doubt
    ?? (sentinel.witness === options.witness ? undefined : "the data folder is a copy of the one that this replica left")
    ?? fallenBelow(state, mark)
    ?? (root === state.merkleRoot ? undefined : "documents are missing from the store")
    ?? (widened ? "pages are to be kept that were not" : undefined);
  const quorumState = loadQuorum(await storage.get(keyspace.quorum));
  const narrowed = await dropStrays(storage, { ...state, merkleRoot: root }, table, tree, stored, options.kept);
  const coverage: PageCoverage = { kept: options.kept, whole: common(stored.whole, options.kept) };
  if (doubt !== undefined || quorumState === undefined) {
    const begun = widened ? { ...narrowed, vector: copyVector(EMPTY_VECTOR), floor: copyVector(EMPTY_VECTOR), tail: state.head + 1 } : narrowed;
    const also = widened ? [...(await arrivalsDeleted(storage)), { put: keyspace.pages, value: encodeCoverage(coverage) }] : [];
    return renew(storage, { ...begun, ...beyond(state, mark) }, mark, quorumState, options, doubt ?? "the store has lost its voting record", coverage, also);
  }
  return { state: narrowed, quorumState, slots: await loadSlots(storage), fresh: false, doubt: undefined, coverage };
}

/** The order of arrival, in which what was passed by does not stand, is of no use to a log that begins anew. */
async function arrivalsDeleted(storage: Storage): Promise<StorageWrite[]> {
  const writes: StorageWrite[] = [];
  for await (const page of storage.scan(keyspace.allArrivals)) for (const [key] of page) writes.push({ del: key });
  return writes;
}

/** Takes out what belongs to pages that are not kept any more. That they are not is durable first; what a crash leaves of them, the next start finds. */
async function dropStrays(storage: Storage, state: LogState, table: DocumentTable, tree: MerkleTree, stored: PageCoverage, kept: KeptPages): Promise<LogState> {
  if (kept.all) return state;
  if (!kept.covers(stored.kept)) await storage.write([{ put: keyspace.pages, value: encodeCoverage({ kept: common(stored.kept, kept), whole: common(stored.whole, kept) }) }]);
  await dropBodies(storage, kept);
  const strays = [...table.records.values()].filter(({ key }) => !kept.keeps(key));
  for (const record of strays) {
    tree.remove(record.key);
    table.revert(record, undefined);
  }
  const left: LogState = { ...state, merkleRoot: Buffer.from(tree.root()).toString("hex") };
  if (strays.length > 0) await storage.write([...strays.map(({ key }) => ({ del: keyspace.header(key) })), { put: keyspace.state, value: encode(left) }]);
  return left;
}

/** Why the store may have lost what it had acknowledged. */
function fallenBelow(state: LogState, mark: HighWater | undefined): string | undefined {
  if (mark === undefined) return state.batches === 0 ? undefined : "the data folder has lost its high-water mark";
  if (state.batches >= mark.batches && state.incarnation >= mark.incarnation) return undefined;
  sometimes("recovery: the store had lost what it had acknowledged");
  return "the store has lost writes that it had acknowledged";
}

/** Where a new incarnation goes on: beyond all that store and mark know. Without a mark the count begins anew. */
function beyond(state: Pick<LogState, "batches" | "hlc">, mark: HighWater | undefined): Pick<LogState, "batches" | "hlc"> {
  return mark === undefined ? { batches: 0, hlc: state.hlc } : { batches: Math.max(state.batches, mark.batches) + 1, hlc: laterHlc(state.hlc, mark.hlc) };
}

/** `mark`: of the store that was here before, where it was set aside. Its replica may have voted: only one without a mark is virgin. */
async function fresh(storage: Storage, mark: HighWater | undefined, options: RecoveryOptions): Promise<Opened> {
  const incarnation = Math.max((mark?.incarnation ?? 0) + 1, Math.floor(options.nowMs));
  const state: LogState = {
    incarnation, origin: originOf(options.replica, incarnation), vector: copyVector(EMPTY_VECTOR), floor: copyVector(EMPTY_VECTOR), head: 0, tail: 1,
    ...beyond({ batches: 0, hlc: HLC_ZERO }, mark), logBytes: 0, votes: 0, quarantined: 0, merkleRoot: "0".repeat(32),
  };
  const quorumState = freshState(options.replica, incarnation, mark === undefined);
  const coverage = coverageOfFresh(options.kept);
  await begin(storage, state, quorumState, options, [], options.kept.all ? [] : [{ put: keyspace.pages, value: encodeCoverage(coverage) }]);
  return { state, quorumState, slots: [], fresh: true, doubt: undefined, coverage };
}

/** The same documents under a new incarnation: the old votes are void, the old log is closed. `also`: goes into the same batch. */
async function renew(
  storage: Storage, old: LogState, mark: HighWater | undefined, quorum: QuorumState | undefined, options: RecoveryOptions, doubt: string, coverage: PageCoverage, also: readonly StorageWrite[],
): Promise<Opened> {
  sometimes("recovery: a new incarnation was begun");
  const known = Math.max(options.above, latestNumber(options.replica, old.vector, old.incarnation), mark?.incarnation ?? 0, quorum?.incarnations[options.replica] ?? 0);
  const incarnation = Math.max(known + 1, Math.floor(options.nowMs));
  const state: LogState = { ...old, incarnation, origin: originOf(options.replica, incarnation), votes: 0 };
  const quorumState: QuorumState = { ...freshState(options.replica, incarnation, false), incarnations: { ...quorum?.incarnations, [options.replica]: incarnation }, rejoined: { ...quorum?.rejoined } };
  const slots = await loadSlots(storage);
  await begin(storage, state, quorumState, options, slots.map(([document]) => document), also);
  return { state, quorumState, slots: [], fresh: false, doubt, coverage };
}

async function begin(storage: Storage, state: LogState, quorumState: QuorumState, options: RecoveryOptions, voidSlots: readonly string[], also: readonly StorageWrite[]): Promise<void> {
  const sentinel: Sentinel = { format: FORMAT, replica: options.replica, clusterId: options.clusterId, witness: options.witness };
  await storage.write([
    { put: keyspace.sentinel, value: encode(sentinel) },
    { put: keyspace.state, value: encode(state) },
    { put: keyspace.quorum, value: encode(quorumState) },
    ...voidSlots.map((document) => ({ del: keyspace.slot(document) })),
    ...also,
  ]);
}

async function loadHeaders(storage: Storage, table: DocumentTable, tree: MerkleTree): Promise<void> {
  for await (const page of storage.scan(keyspace.headers)) {
    for (const [key, value] of page) {
      const record = table.restore(keyspace.documentOfHeader(key), Buffer.from(value.buffer, value.byteOffset, value.length).toString());
      tree.set(record.key, record.digest);
    }
  }
  table.finish();
}

async function loadSlots(storage: Storage): Promise<[string, Slot][]> {
  const slots: [string, Slot][] = [];
  for await (const page of storage.scan(keyspace.slots)) for (const [key, value] of page) slots.push([keyspace.documentOfSlot(key), whole(decodeSlot<Slot>(value))]);
  return slots;
}

/** Candidates of earlier versions do not say in which life they were made. */
function whole(slot: Slot): Slot {
  return slot.vote === null ? slot : { ...slot, vote: { ...slot.vote, candidate: { ...slot.vote.candidate, incarnation: slot.vote.candidate.incarnation ?? 0 } } };
}

/** Earlier versions knew of no lives that vote after a rejoin. */
function loadQuorum(value: Uint8Array | undefined): QuorumState | undefined {
  const state = parse<Omit<QuorumState, "rejoined"> & Partial<QuorumState>>(value);
  return state === undefined ? undefined : { rejoined: {}, ...state };
}

/** Reads what lies in the store, so that the storage verifies each record, and checks that the log has no gap. */
async function verify(storage: Storage, state: LogState, bytesMax: number): Promise<void> {
  let bytes = 0;
  let expected = state.tail;
  for await (const page of storage.scan(keyspace.allArrivals)) {
    for (const [key, value] of page) {
      bytes += key.length + value.length;
      const { first, last } = decodeArrivals(key, value);
      if (first !== expected) throw new StorageDamage(`entry ${expected} is missing from the log`);
      expected = last + 1;
    }
  }
  if (expected !== state.head + 1) throw new StorageDamage(`entries ${expected} to ${state.head} are missing from the log`);
  for (const prefix of ["b/", "c/", "h/", "i/", "x/"]) {
    for await (const page of storage.scan({ from: prefix, to: prefix.replace("/", "0") })) {
      for (const [key, value] of page) bytes += key.length + value.length;
      if (bytes > bytesMax) return;
    }
  }
}

function parse<T>(value: Uint8Array | undefined): T | undefined {
  return value === undefined ? undefined : (JSON.parse(Buffer.from(value).toString()) as T);
}

function encode(value: unknown): Uint8Array {
  return encoder.encode(JSON.stringify(value));
}
