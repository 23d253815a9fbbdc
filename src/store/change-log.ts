/**
 * The log: what a write or a peer's entry changes goes into ONE durable batch (log entry, document, clock, idempotency
 * record, quorum slot).
 *
 * Invariants:
 *  1. An origin's entries are logged without a gap; `vector` says how far. What is at or below `floor` is trimmed.
 *  2. Places of arrival follow an order in which every entry comes after all that it depends on.
 *  3. `durableVector` never runs ahead of the disk; acknowledgements and messages carry nothing else.
 *  4. A change takes effect on its document once, however many logs or repairs bring it.
 *  5. Where somebody may hold more of our log than we do, nothing is appended to it: what we write begins another one.
 *  6. An entry of a page that is not kept here is passed by: the vector counts it, nothing of it is stored.
 *  7. The high-water mark never runs ahead of the disk, and is never behind what was acknowledged.
 */
import { CHAIN, decodeChange, encodeChange, type Change, type IdempotencyRecord, type Operation } from "../core/change.js";
import { encodeSection, type Dot } from "../core/document.js";
import { assert } from "../core/errors.js";
import type { HybridClock } from "../core/hlc.js";
import type { KeptPages } from "../core/kept-pages.js";
import type { Limits } from "../core/limits.js";
import type { Entry } from "../core/messages.js";
import type { HighWater, HighWaterMark, Storage, StorageWrite } from "../core/ports.js";
import { copyVector, dominates, EMPTY_VECTOR, join, joinInto, type MutableVector, type Vector } from "../core/vector.js";
import { ArrivalWriter, placeOf, QUARANTINED, readArrivals } from "./arrivals.js";
import { holdsDot, type DocumentRecord, type DocumentTable } from "./document-table.js";
import type { BatchObserver } from "./durable-batch.js";
import { DurableBatch } from "./durable-batch.js";
import { keyspace } from "./keyspace.js";
import { moves, noteCarrier, withMove } from "./list-positions.js";
import { sometimes } from "../core/sometimes.js";

export type Identify = (bytes: Uint8Array) => Uint8Array;

/** A log entry with its place in the order of arrival. */
export interface LoggedEntry extends Entry {
  readonly place: number;
}

export interface LogState {
  readonly incarnation: number;
  /** The log to which this replica writes. */
  origin: string;
  vector: MutableVector;
  /** What documents hold beyond `vector`, brought by repairs; absent where they hold nothing more. */
  ahead?: MutableVector;
  floor: MutableVector;
  /** Place of the latest entry. */
  head: number;
  /** Place of the oldest entry that is still there. */
  tail: number;
  hlc: string;
  /** Durable batches of this store, ever; 0 in a store that was written before they were counted. */
  batches: number;
  /** Bytes of the changes that the log holds. */
  logBytes: number;
  /** Counts durable votes and promises of this incarnation. */
  votes: number;
  quarantined: number;
  /** Over all documents; compared at the next start with what is found then. */
  merkleRoot: string;
  /** At an edge: when a region was heard last, ms of the wall clock; not noted at every sign of life. */
  heardMs?: number;
}

/** What other parts want to hear of. Synchronous. */
export interface LogObserver extends BatchObserver {
  /** A document has moved on. `change` has just been applied. */
  applied(record: DocumentRecord, change: Change, dot: Dot): void;
  /** An entry was logged at a place; `document` and `dot` name its change. */
  logged(entry: LoggedEntry, document: string, dot: Dot): void;
  skewed(origin: string, hlc: string): void;
}

export interface MerkleUpkeep {
  set(key: string, digest: Uint8Array): void;
  remove(key: string): boolean;
  root(): Uint8Array;
}

export interface WriteRequest {
  readonly document: string;
  readonly operations: readonly Operation[];
  readonly actor: string;
  readonly hlc: string;
  /** Names the request, where it has an Idempotency-Key: a repetition finds it in the document. */
  readonly operationIds?: readonly string[];
}

const CHECKSUM_BYTES = 16;
/** Small values share a slab of memory, which `TextEncoder` does not do. */
const bytesOf = (text: string): Uint8Array => Buffer.from(text);

export class ChangeLog {
  readonly batch: DurableBatch;
  durableVector: Vector;
  /** `durableVector`, and what documents show beyond it: what a session must not go back behind. */
  shownVector: Vector;
  /** Promises and votes of this incarnation that are durable. */
  durableVotes: number;
  /** Place of the last durable entry. */
  durableHead: number;
  /** Names another log, while nobody can say that ours ends where the store says. */
  anotherName: (() => string) | undefined;
  /** Finds a change by its key in its document's archive. */
  archived: ((key: string) => Promise<Uint8Array | undefined>) | undefined;
  private readonly dirtyRecords = new Set<DocumentRecord>();
  private readonly arrivals: ArrivalWriter;
  /** Latest entries, oldest first, bounded by bytes. */
  private recent: LoggedEntry[] = [];
  private recentBytes = 0;
  /** Where the latest decided entry of each (partition, type) stands in the logs. */
  private readonly decided = new Map<string, MutableVector>();
  /** Held at the start: every decision from before lies at or below it. */
  private readonly startVector: Vector;

  constructor(
    readonly state: LogState,
    private readonly storage: Storage,
    highWater: HighWaterMark,
    readonly table: DocumentTable,
    readonly merkle: MerkleUpkeep,
    readonly clock: HybridClock,
    private readonly identity: { readonly region: string; readonly replica: string },
    readonly kept: KeptPages,
    private readonly limits: Limits,
    private readonly identify: Identify,
    private readonly time: { now(): number; monotonic(): number },
    private readonly observer: LogObserver,
  ) {
    table.held = () => this.state.vector;
    this.arrivals = new ArrivalWriter(limits.arrivalsPerRecord);
    this.durableVector = copyVector(state.vector);
    this.shownVector = this.withAhead(this.durableVector, state.ahead);
    this.durableHead = state.head;
    this.startVector = this.durableVector;
    this.durableVotes = state.votes;
    let staged: Vector = this.durableVector;
    let stagedAhead = state.ahead;
    let stagedHead = state.head;
    let stagedVotes = state.votes;
    let stagedMark: HighWater = highWaterOf(state);
    // The mark follows what it speaks of, and comes before anybody is answered.
    const marked = {
      write: async (writes: readonly StorageWrite[]): Promise<void> => {
        await storage.write(writes);
        await highWater.write(stagedMark);
      },
    };
    this.batch = new DurableBatch(marked, () => {
      staged = copyVector(state.vector);
      this.forgetReached();
      stagedAhead = state.ahead === undefined ? undefined : copyVector(state.ahead);
      stagedHead = state.head;
      stagedVotes = state.votes;
      const writes = this.collect();
      stagedMark = highWaterOf(state);
      return writes;
    }, () => time.monotonic(), {
      flushed: (changes, writes, ms) => {
        this.durableVector = staged;
        this.shownVector = this.withAhead(this.durableVector, stagedAhead);
        this.durableHead = stagedHead;
        this.durableVotes = stagedVotes;
        observer.flushed(changes, writes, ms);
      },
      failed: (error) => observer.failed(error),
    });
  }

  get vector(): Vector {
    return this.state.vector;
  }

  /** Counts everything durable that a peer may have heard of. */
  get position(): number {
    return (this.state.vector[this.state.origin] ?? 0) + this.state.votes;
  }

  /** Hash of an entry's body, as it travels with it. */
  checksum(body: Uint8Array): Uint8Array {
    return this.identify(body).subarray(0, CHECKSUM_BYTES);
  }

  /** Where decisions on documents of this scope (`<partition>/<type>`) stand in the logs. */
  decidedIn(scope: string): Vector {
    return this.decided.get(scope) ?? this.startVector;
  }

  /** Writes a change of our own at LOCAL. The document's body is loaded. Returns its dot. */
  write(request: WriteRequest): Dot {
    const record = this.table.ensure(request.document);
    const change: Change = {
      document: request.document, hlc: request.hlc, region: this.identity.region, replica: this.identity.replica, actor: request.actor,
      context: copyVector(record.vector), operations: request.operations,
      ...(request.operationIds === undefined ? {} : { operationIds: request.operationIds }),
    };
    return this.append(change);
  }

  /** Logs the first answer to a request with an Idempotency-Key, so that every region keeps it. */
  writeAnswer(partition: string, answer: IdempotencyRecord, hlc: string, actor: string): Dot {
    return this.append({
      document: `${partition}/idempotency/${answer.scope}`, hlc, region: this.identity.region, replica: this.identity.replica, actor,
      context: EMPTY_VECTOR, operations: [], idempotency: answer,
    });
  }

  private append(change: Change): Dot {
    const origin = this.ownLog();
    const seq = (this.state.vector[origin] ?? 0) + 1;
    const body = encodeChange(change);
    this.enter(origin, seq, body, this.checksum(body), change);
    return { origin, seq };
  }

  /** Encodes a candidate for the next version of a document; it is not logged. */
  draft(request: WriteRequest & { readonly context: Vector; readonly version: number; readonly operationIds: readonly string[] }): Uint8Array {
    return encodeChange({
      document: request.document, hlc: request.hlc, region: this.identity.region, replica: this.identity.replica, actor: request.actor,
      context: copyVector(request.context), operations: request.operations, version: request.version, operationIds: request.operationIds,
    });
  }

  /** Logs a decided change as our own entry; the entry is the commit message. The document's body is loaded. */
  appendDecided(body: Uint8Array, change: Change): void {
    const origin = this.ownLog();
    this.enter(origin, (this.state.vector[origin] ?? 0) + 1, body, this.checksum(body), change);
  }

  /** The log that the next change of our own goes into. */
  private ownLog(): string {
    if (this.anotherName !== undefined) {
      sometimes("log: another one was begun, as somebody may hold more of the last one");
      this.state.origin = this.anotherName();
      this.anotherName = undefined;
    }
    return this.state.origin;
  }

  /** Dot of the change of a log entry. */
  dotOf(origin: string, seq: number, change: Change): Dot {
    return change.version === undefined ? { origin, seq } : { origin: CHAIN, seq: change.version };
  }

  /** True if the document holds everything that the change depends on. */
  ready(change: Change): boolean {
    return dominates(this.table.find(change.document)?.vector ?? EMPTY_VECTOR, change.context);
  }

  /**
   * Logs a peer's entry, which is the next of its origin, and applies its change. The change is ready and its document's
   * body is loaded.
   */
  accept(entry: Entry, change: Change): void {
    if (!this.clock.receive(change.hlc, this.time.now(), this.limits.clockSkewMsMax)) this.observer.skewed(entry.origin, change.hlc);
    this.enter(entry.origin, entry.seq, entry.body, entry.checksum, change);
  }

  /** Counts a peer's entry, which is the next of its origin, as seen: its document is not kept here. */
  pass({ origin, seq }: Entry): void {
    assert(!this.kept.all && seq === (this.state.vector[origin] ?? 0) + 1, "only who keeps some pages passes entries by, without a gap");
    this.state.vector[origin] = seq;
    this.batch.touch(1);
  }

  /** Logs a peer's entry that cannot be applied, as it came, so that the link goes on. */
  quarantine(entry: Entry): void {
    if (!this.kept.all) {
      // Nobody knows what page it is of, and those who keep everything have it.
      this.state.quarantined++;
      this.pass(entry);
      return;
    }
    this.batch.put(keyspace.quarantine(entry.origin, entry.seq), entry.body);
    this.state.quarantined++;
    this.log(entry.origin, entry.seq, entry.body, entry.checksum, QUARANTINED, { origin: entry.origin, seq: entry.seq });
  }

  /**
   * Applies a change that anti-entropy brought, without a log entry. Ready, and its document's body is loaded. `source`:
   * the vector of the peer that had it.
   */
  repair(dot: Dot, body: Uint8Array, change: Change, source: Vector): void {
    if (!this.clock.receive(change.hlc, this.time.now(), this.limits.clockSkewMsMax)) this.observer.skewed(dot.origin, change.hlc);
    this.apply(dot, body, this.checksum(body), change);
    if (dot.origin === CHAIN) this.noteDecision(change.document, source);
    // Where a decision stands in the logs the source knows, at the latest by what it holds.
    const ahead = this.state.ahead ?? copyVector(EMPTY_VECTOR);
    joinInto(ahead, dot.origin === CHAIN ? source : { [dot.origin]: dot.seq });
    this.state.ahead = ahead;
    this.batch.touch(1);
  }

  private withAhead(vector: Vector, ahead: Vector | undefined): Vector {
    return ahead === undefined ? vector : join(vector, ahead);
  }

  /** What the logs have reached meanwhile is ahead of them no more. */
  private forgetReached(): void {
    const { ahead, vector } = this.state;
    for (const origin in ahead) if ((ahead[origin] ?? 0) <= (vector[origin] ?? 0)) delete ahead[origin];
    if (ahead !== undefined && Object.keys(ahead).length === 0) delete this.state.ahead;
  }

  /** Takes over what a peer held, after anti-entropy has brought all of it: the logs begin above it. */
  adopt(vector: Vector): void {
    for (const origin in vector) {
      const seq = vector[origin] ?? 0;
      if (seq <= (this.state.vector[origin] ?? 0)) continue;
      this.state.vector[origin] = seq;
      this.state.floor[origin] = seq;
    }
    this.batch.touch();
  }

  private enter(origin: string, seq: number, body: Uint8Array, checksum: Uint8Array, change: Change): void {
    assert(seq === (this.state.vector[origin] ?? 0) + 1, "an origin's entries are logged without a gap");
    const dot = this.dotOf(origin, seq, change);
    if (change.idempotency !== undefined) this.remember(dot, body, change, change.idempotency);
    else if (!holdsDot(this.table.find(change.document), dot)) this.apply(dot, body, checksum, change, { origin, seq });
    else if (moves(change)) this.carriedBy(change, origin, seq);
    this.log(origin, seq, body, checksum, change.document, dot);
    if (dot.origin === CHAIN) this.noteDecision(change.document, { [origin]: seq });
  }

  /** Where a decision stands (or by what vector it is covered), for lists. */
  private noteDecision(document: string, where: Vector): void {
    const scope = document.slice(0, document.lastIndexOf("/"));
    const positions = this.decided.get(scope) ?? copyVector(this.startVector);
    this.decided.set(scope, positions);
    joinInto(positions, where);
  }

  /** Keeps the first answer to a request. Several regions may have given one: the earliest HLC sorts first. */
  private remember(dot: Dot, body: Uint8Array, change: Change, answer: IdempotencyRecord): void {
    this.batch.put(keyspace.change(change.document, dot.origin, dot.seq), body);
    this.batch.put(keyspace.idempotency(answer.scope, change.hlc), bytesOf(JSON.stringify(answer)));
  }

  /** The first answer kept for a scope since `sinceMs`. */
  async recall(scope: string, sinceMs: number): Promise<IdempotencyRecord | undefined> {
    for await (const page of this.storage.scan(keyspace.idempotencyOf(scope))) {
      for (const [key, value] of page) if (keyspace.msOfIdempotency(key) >= sinceMs) return JSON.parse(Buffer.from(value).toString()) as IdempotencyRecord;
    }
    return undefined;
  }

  /** Deletes answers from before `beforeMs`, a page at a time. */
  async forgetAnswers(beforeMs: number): Promise<void> {
    for await (const page of this.storage.scan(keyspace.idempotencies)) {
      if (this.batch.broken !== undefined) return;
      for (const [key] of page) if (keyspace.msOfIdempotency(key) < beforeMs) this.batch.delete(key);
      await this.batch.flushed();
    }
  }

  private log(origin: string, seq: number, body: Uint8Array, checksum: Uint8Array, document: string, dot: Dot): void {
    const place = ++this.state.head;
    this.state.vector[origin] = seq;
    this.arrivals.note(place, origin, seq, document, dot, this.state.vector);
    this.batch.touch(1);
    this.state.logBytes += body.length;
    const entry: LoggedEntry = { origin, seq, body, checksum, place };
    this.recent.push(entry);
    this.recentBytes += body.length;
    if (this.recentBytes > this.limits.recentLogBytes) this.shrinkRecent();
    this.observer.logged(entry, document, dot);
  }

  private shrinkRecent(): void {
    let drop = 0;
    while (drop < this.recent.length && this.recentBytes > this.limits.recentLogBytes / 2) this.recentBytes -= this.recent[drop++]?.body.length ?? 0;
    this.recent = this.recent.slice(drop);
  }

  /** A decided change came by another region's log too. */
  private carriedBy(change: Change, origin: string, seq: number): void {
    const record = this.table.find(change.document);
    if (record !== undefined && noteCarrier(record.moves, change.hlc, origin, seq)) this.dirtyRecords.add(record);
  }

  /** `entry`: its place in a log, if it came by one. `identity`: the checksum of the body, which names the change in the document's digest. */
  private apply(dot: Dot, body: Uint8Array, identity: Uint8Array, change: Change, entry?: { readonly origin: string; readonly seq: number }): void {
    const record = this.table.ensure(change.document);
    const state = this.table.body(record);
    assert(state !== undefined, "a change is applied to a loaded document");
    if (moves(change)) record.moves = withMove(record.moves, state.root, change, entry);
    const sections = state.apply(change, dot, identity);
    this.batch.put(keyspace.change(change.document, dot.origin, dot.seq), body);
    if (change.operationIds !== undefined) {
      record.operationIds.push(...change.operationIds);
      const surplus = record.operationIds.length - this.limits.operationIdsRemembered;
      if (surplus > 0) record.operationIds.splice(0, surplus);
    }
    this.table.changed(record, sections, this.batch.stagingBatch, body.length);
    this.dirtyRecords.add(record);
    this.merkle.set(record.key, record.digest);
    this.observer.applied(record, change, dot);
  }

  /** Marks a header as different from the disk. */
  markDirty(record: DocumentRecord): void {
    this.dirtyRecords.add(record);
    this.batch.touch();
  }

  private collect(): StorageWrite[] {
    const writes: StorageWrite[] = [];
    for (const record of this.dirtyRecords) {
      writes.push({ put: keyspace.header(record.key), value: bytesOf(this.table.encodeHeader(record)) });
      for (const write of sectionWrites(record)) writes.push(write);
    }
    this.dirtyRecords.clear();
    for (const { place, text } of this.arrivals.take(this.state.head, this.state.vector)) writes.push({ put: keyspace.arrival(place), value: bytesOf(text) });
    this.state.hlc = this.clock.latest();
    this.state.batches++;
    this.state.merkleRoot = Buffer.from(this.merkle.root()).toString("hex");
    writes.push({ put: keyspace.state, value: bytesOf(JSON.stringify(this.state)) });
    return writes;
  }

  /** Entries from a place on, from memory; undefined if the oldest of them is not in memory any more. */
  recentFrom(place: number, most: number): readonly LoggedEntry[] | undefined {
    if (place > this.state.head) return [];
    const first = this.recent[0];
    if (first === undefined || place < first.place) return undefined;
    return this.recent.slice(place - first.place, place - first.place + most);
  }

  /**
   * Entries from a place on, from the disk; durable ones only. Of at most `most`, those of origins that are wanted: the bodies of others
   * are not read. `through`: the place of the last that was looked at, undefined if there was none.
   */
  async readFrom(place: number, most: number, isWanted: (origin: string) => boolean = () => true): Promise<{ readonly entries: LoggedEntry[]; readonly through: number | undefined }> {
    const arrivals = (await readArrivals(this.storage, place, most, this.durableHead))
      .flatMap((record) => record.arrivals).filter((arrival) => arrival.place >= place).slice(0, most);
    const through = arrivals.at(-1)?.place;
    const found = arrivals.filter(({ origin }) => isWanted(origin));
    const bodies = await this.storage.getMany(found.map(({ body }) => body));
    const entries: LoggedEntry[] = [];
    for (const [index, { place: at, origin, seq, body: key }] of found.entries()) {
      // A decided change stands in two logs, and leaves with the first that is trimmed: the archive has it.
      const body = bodies[index] ?? (await this.archived?.(key));
      if (body === undefined) continue;
      entries.push({ place: at, origin, seq, body, checksum: this.checksum(body) });
    }
    return { entries, through };
  }

  /** Place of the entry `seq` of an origin; `head + 1` if we do not hold it; undefined if it is trimmed. */
  async locate(origin: string, seq: number): Promise<number | undefined> {
    if (seq > (this.state.vector[origin] ?? 0)) return this.state.head + 1;
    if (seq <= (this.state.floor[origin] ?? 0)) return undefined;
    for (let i = 0; i < this.recent.length; i++) {
      const entry = this.recent[i];
      if (entry !== undefined && entry.origin === origin && entry.seq === seq) return entry.place;
    }
    return placeOf(this.storage, origin, seq, this.state.tail, this.durableHead);
  }

  /** Every change of a document that is not in its archive yet, in no particular order. */
  async unfoldedChanges(document: string): Promise<{ dot: Dot; body: Uint8Array }[]> {
    const found: { dot: Dot; body: Uint8Array }[] = [];
    for await (const page of this.storage.scan(keyspace.changes(document))) {
      for (const [key, value] of page) found.push({ dot: keyspace.dotOfChange(key), body: value });
    }
    return found;
  }

  /**
   * Brings a document into being with a change that every replica makes for itself, byte for byte the same, and that stands in
   * no log. Nothing happens where the document exists or existed.
   */
  originate(document: string, operations: readonly Operation[], hlc: string): void {
    const known = this.table.find(document);
    if ((known !== undefined && Object.keys(known.vector).length > 0) || !this.kept.keeps(document)) return;
    const change: Change = { document, hlc, region: "genesis", replica: "genesis", actor: "system", context: EMPTY_VECTOR, operations };
    const body = encodeChange(change);
    const identity = this.checksum(body);
    const name = Buffer.from(identity).toString("hex").slice(0, 12);
    this.apply({ origin: `genesis.${name}`, seq: 1 }, body, identity, change);
    this.batch.touch(1);
  }

  /** After the disk has failed: forgets what did not reach it, so that reads show what is durable. */
  async revert(): Promise<void> {
    for (const record of this.table.ahead()) {
      const header = await this.storage.get(keyspace.header(record.key));
      this.table.revert(record, header === undefined ? undefined : Buffer.from(header).toString());
      if (header === undefined) this.merkle.remove(record.key);
      else this.merkle.set(record.key, record.digest);
    }
  }

  /** Parses the body of an entry; a sentence says why it is none. */
  parse(body: Uint8Array): Change | { readonly fault: string } {
    return decodeChange(body, this.limits);
  }
}

export function highWaterOf({ incarnation, batches, hlc }: LogState): HighWater {
  return { incarnation, batches, hlc };
}

/** The sections of a record that differ from the disk; clears the marks. */
function sectionWrites(record: DocumentRecord): StorageWrite[] {
  const writes: StorageWrite[] = [];
  for (const id of record.dirty ?? []) {
    const section = record.state?.sections.get(id);
    if (section === undefined) continue;
    const value = bytesOf(encodeSection(section));
    writes.push({ put: keyspace.section(record.key, id), value });
    // The document itself is looked at with every change, an element of it seldom again.
    if (id !== "") record.state?.sections.pack(id, value);
  }
  record.dirty = undefined;
  return writes;
}

