/**
 * Every document's header in memory, the bodies of the recently used ones beside them.
 *
 * Invariants:
 *  1. A record's vector, digest and stamps are always in memory; `state` is there while the body is loaded.
 *  2. A body that differs from the disk is never evicted.
 *  3. Lists hold the living documents of a (partition, type), in the order in which clients see them.
 */
import { DIGEST_BYTES, DocumentState, parseKey, type Dot, type Stamp } from "../core/document.js";
import { hlcMs } from "../core/hlc.js";
import { NO_PAGE } from "../core/kept-pages.js";
import type { Storage } from "../core/ports.js";
import { EMPTY_VECTOR, type MutableVector, type Vector } from "../core/vector.js";
import { pageRules, shownIn, type PageRules } from "./conflicts.js";
import type { DocumentHeader } from "./data-plane.js";
import { keyspace } from "./keyspace.js";
import type { Move } from "./list-positions.js";

/** Types listed newest first; the others go by (position, id). */
const NEWEST_FIRST: ReadonlySet<string> = new Set(["incident", "maintenance"]);

export interface DocumentRecord extends DocumentHeader {
  readonly partition: string;
  readonly type: string;
  createdMs: number;
  position: number;
  moves: readonly Move[] | undefined;
  readonly vector: MutableVector;
  readonly digest: Uint8Array;
  alive: boolean;
  deleted: boolean;
  born: Stamp | null;
  touched: Stamp | null;
  state: DocumentState | undefined;
  /** Rough size of the body, bytes. */
  bytes: number;
  /** Number of the batch that holds its latest change; reads of it wait for that batch. */
  stagedBatch: number;
  /** Counts its changes within this process. */
  revision: number;
  /** Sections that the next batch must write; undefined: none. Most records have none, and a set for each would be felt. */
  dirty: Set<string> | undefined;
  listed: boolean;
  /** Ids of the latest operations decided by quorum, oldest first. */
  operationIds: string[];
}

interface StoredHeader {
  v: MutableVector;
  g: string;
  b: Stamp | null;
  x: boolean;
  t: Stamp | null;
  p: number;
  n: number;
  o?: string[];
  m?: readonly Move[];
  /** Of a page: the conflict rules that it has chosen. */
  r?: readonly (readonly [field: string, rule: string])[];
}

export class DocumentTable {
  readonly records = new Map<string, DocumentRecord>();
  /** What the replica holds, as its log says. */
  held: () => Vector = () => EMPTY_VECTOR;
  private readonly lists = new Map<string, DocumentRecord[]>();
  /** Loaded bodies, least recently used first. */
  private readonly loaded = new Map<string, DocumentRecord>();
  private readonly loading = new Map<string, Promise<void>>();
  private readonly pins = new Map<string, number>();
  /** By page; those that chose none are not in. */
  private readonly rules = new Map<string, PageRules>();
  private readonly listBatches = new Map<string, number>();
  private loadedBytes = 0;
  private livingCount = 0;
  /** Deleted documents by (partition, type). */
  private readonly graves = new Map<string, Set<DocumentRecord>>();

  constructor(
    private readonly storage: Storage,
    private readonly bounds: { readonly documentCacheBytes: number },
    /** Highest batch number that is durable. */
    private readonly flushedBatch: () => number,
  ) {}

  get living(): number {
    return this.livingCount;
  }

  /** The conflict rules that a page has chosen. */
  rulesOf(page: string): PageRules | undefined {
    return this.rules.get(page);
  }

  private noteRules(record: DocumentRecord, rules: PageRules): void {
    if (rules.size > 0) this.rules.set(record.id, rules);
    else this.rules.delete(record.id);
  }

  get cachedBytes(): number {
    return this.loadedBytes;
  }

  find(key: string): DocumentRecord | undefined {
    return this.records.get(key);
  }

  /** The record of a key, made if there is none. A new one has an empty body, which counts as loaded. */
  ensure(key: string): DocumentRecord {
    let record = this.records.get(key);
    if (record === undefined) {
      const state = new DocumentState(key);
      const { partition, type, id } = parseKey(key);
      record = {
        key, partition, type, id, createdMs: 0, position: 0, moves: undefined, vector: state.vector, digest: state.digest, alive: false, deleted: false,
        born: null, touched: null, state, bytes: 0, stagedBatch: 0, revision: 0, dirty: undefined, listed: false, operationIds: [],
      };
      this.records.set(key, record);
      this.loaded.set(key, record);
      this.loadedBytes += weightOf(record);
    }
    return record;
  }

  /** Forgets a record that never held anything. */
  dropIfEmpty(key: string): void {
    const record = this.records.get(key);
    if (record === undefined || Object.keys(record.vector).length > 0 || record.dirty !== undefined) return;
    this.records.delete(key);
    this.loaded.delete(key);
    if (record.state !== undefined) this.loadedBytes -= weightOf(record);
  }

  list(partition: string, type: string): readonly DocumentRecord[] {
    return this.lists.get(`${partition}/${type}`) ?? [];
  }

  /** The documents of a type that were deleted, in no order. */
  deleted(partition: string, type: string): readonly DocumentRecord[] {
    return [...(this.graves.get(`${partition}/${type}`) ?? [])];
  }

  private bury(record: DocumentRecord): void {
    const name = `${record.partition}/${record.type}`;
    const graves = this.graves.get(name) ?? new Set();
    if (record.deleted) this.graves.set(name, graves.add(record));
    else graves.delete(record);
  }

  /** Number of the last batch with a change to a list or to one of its documents. */
  listBatch(partition: string, type: string): number {
    return this.listBatches.get(`${partition}/${type}`) ?? 0;
  }

  /** Keeps a body in memory, from when it is loaded, until as many unpins. */
  pin(key: string): void {
    this.pins.set(key, (this.pins.get(key) ?? 0) + 1);
  }

  unpin(key: string): void {
    const count = (this.pins.get(key) ?? 0) - 1;
    if (count > 0) this.pins.set(key, count);
    else this.pins.delete(key);
  }

  /** The body, if it is in memory; marks it as used. */
  body(record: DocumentRecord): DocumentState | undefined {
    if (record.state !== undefined) {
      this.loaded.delete(record.key);
      this.loaded.set(record.key, record);
    }
    return record.state;
  }

  /** Loads the bodies of existing documents. Keys that name none are passed over. */
  async load(keys: Iterable<string>): Promise<void> {
    const waits: Promise<void>[] = [];
    for (const key of keys) {
      const record = this.records.get(key);
      if (record === undefined || record.state !== undefined) continue;
      let wait = this.loading.get(key);
      if (wait === undefined) {
        wait = this.read(record).finally(() => this.loading.delete(key));
        this.loading.set(key, wait);
      }
      waits.push(wait);
    }
    if (waits.length > 0) await Promise.all(waits);
  }

  /** Loads the bodies of existing documents and runs `action` in a turn in which all of them are in memory, however small the cache. */
  async withBodies<T>(keys: Iterable<string>, action: () => T): Promise<T> {
    const held = [...keys];
    for (const key of held) this.pin(key);
    try {
      await this.load(held);
      return action();
    } finally {
      for (const key of held) this.unpin(key);
    }
  }

  private async read(record: DocumentRecord): Promise<void> {
    const state = new DocumentState(record.key);
    let bytes = 0;
    for await (const page of this.storage.scan(keyspace.sections(record.key))) {
      for (const [key, value] of page) {
        bytes += value.length;
        state.sections.pack(keyspace.idOfSection(key), value);
      }
    }
    state.vector = record.vector;
    state.digest = record.digest as Uint8Array<ArrayBuffer>;
    state.touched = record.touched;
    record.state = state;
    record.bytes = bytes;
    this.loadedBytes += weightOf(record);
    this.loaded.set(record.key, record);
    this.evict();
  }

  private evict(): void {
    if (this.loadedBytes <= this.bounds.documentCacheBytes) return;
    for (const [key, record] of this.loaded) {
      if (this.loadedBytes <= this.bounds.documentCacheBytes) return;
      if (record.dirty !== undefined || record.stagedBatch > this.flushedBatch() || this.pins.has(key)) continue;
      this.loaded.delete(key);
      this.loadedBytes -= weightOf(record);
      record.state = undefined;
    }
  }

  /** To be called after a change was applied to a loaded record: keeps header, lists and sizes in step. */
  changed(record: DocumentRecord, sections: Iterable<string>, batch: number, bytes: number): void {
    const state = record.state;
    if (state === undefined) throw new Error(`the body of ${record.key} is not loaded`);
    record.dirty ??= new Set();
    for (const section of sections) record.dirty.add(section);
    record.stagedBatch = batch;
    this.listBatches.set(`${record.partition}/${record.type}`, batch);
    record.revision++;
    const grown = Math.ceil(bytes * STORED_SHARE);
    record.bytes += grown;
    this.loadedBytes += grown;
    record.touched = state.touched;
    record.born = state.root?.born ?? null;
    record.deleted = state.deleted;
    this.bury(record);
    const alive = state.alive;
    const createdMs = record.born === null ? 0 : hlcMs(record.born.hlc);
    const position = alive ? positionOf(state) : 0;
    if (record.listed && (!alive || createdMs !== record.createdMs || position !== record.position)) this.unlist(record);
    record.alive = alive;
    record.createdMs = createdMs;
    record.position = position;
    if (isPage(record)) this.noteRules(record, alive ? rulesIn(state) : new Map());
    if (alive && !record.listed) this.enlist(record);
    this.evict();
  }

  private enlist(record: DocumentRecord): void {
    const name = `${record.partition}/${record.type}`;
    const list = this.lists.get(name) ?? [];
    this.lists.set(name, list);
    list.splice(placeIn(list, record), 0, record);
    record.listed = true;
    this.livingCount++;
  }

  private unlist(record: DocumentRecord): void {
    const list = this.lists.get(`${record.partition}/${record.type}`) ?? [];
    const place = placeIn(list, record);
    const index = list[place] === record ? place : list.indexOf(record);
    if (index >= 0) list.splice(index, 1);
    record.listed = false;
    this.livingCount--;
  }

  encodeHeader(record: DocumentRecord): string {
    const header: StoredHeader = {
      v: record.vector, g: Buffer.from(record.digest).toString("hex"), b: record.born, x: record.deleted, t: record.touched,
      p: record.position, n: record.bytes,
    };
    if (record.operationIds.length > 0) header.o = record.operationIds;
    if (record.moves !== undefined) header.m = record.moves;
    const rules = isPage(record) ? this.rules.get(record.id) : undefined;
    if (rules !== undefined) header.r = [...rules];
    return JSON.stringify(header);
  }

  /** True if a stored header names the same changes as the record. */
  isAsStored(record: DocumentRecord, value: Uint8Array): boolean {
    return (JSON.parse(Buffer.from(value).toString()) as StoredHeader).g === Buffer.from(record.digest).toString("hex");
  }

  /** Takes in a header that was read from the disk at the start. Lists are sorted once by `finish`. */
  restore(key: string, text: string): DocumentRecord {
    const { partition, type, id } = parseKey(key);
    const record: DocumentRecord = {
      key, partition, type, id, createdMs: 0, position: 0, moves: undefined, vector: Object.create(null) as MutableVector, digest: new Uint8Array(DIGEST_BYTES), alive: false,
      deleted: false, born: null, touched: null, state: undefined, bytes: 0, stagedBatch: 0, revision: 0, dirty: undefined, listed: false, operationIds: [],
    };
    this.fill(record, text);
    this.records.set(key, record);
    this.bury(record);
    if (record.alive) {
      const name = `${partition}/${type}`;
      const list = this.lists.get(name);
      if (list === undefined) this.lists.set(name, [record]);
      else list.push(record);
      record.listed = true;
      this.livingCount++;
    }
    return record;
  }

  /** Records with a change that is not durable. */
  ahead(): DocumentRecord[] {
    return [...this.records.values()].filter((record) => record.stagedBatch > this.flushedBatch());
  }

  /** Takes a record back to what the disk holds of it; undefined: nothing. */
  revert(record: DocumentRecord, text: string | undefined): void {
    if (record.listed) this.unlist(record);
    if (record.state !== undefined) this.loadedBytes -= weightOf(record);
    this.loaded.delete(record.key);
    record.state = undefined;
    record.dirty = undefined;
    record.stagedBatch = 0;
    record.revision++;
    if (isPage(record)) this.rules.delete(record.id);
    record.deleted = false;
    if (text === undefined) this.records.delete(record.key);
    else {
      this.fill(record, text);
      if (record.alive) this.enlist(record);
    }
    this.bury(record);
    this.listBatches.delete(`${record.partition}/${record.type}`);
  }

  private fill(record: DocumentRecord, text: string): void {
    const stored = fill(record, text);
    if (stored.r !== undefined && isPage(record)) this.noteRules(record, new Map(stored.r));
  }

  finish(): void {
    for (const list of this.lists.values()) list.sort(inListOrder);
  }
}

/** Memory of a loaded body beside its stored sections, bytes: the document's own section, unpacked. */
const BODY_BYTES = 2_048;
/** What a change adds to the stored sections, as a share of its own length. */
const STORED_SHARE = 0.6;

/** What a loaded body takes of the cache's bound. */
function weightOf(record: DocumentRecord): number {
  return BODY_BYTES + record.bytes;
}

export function holdsDot(record: DocumentRecord | undefined, dot: Dot): boolean {
  return (record?.vector[dot.origin] ?? 0) >= dot.seq;
}

/** Writes a stored header into a record. */
function fill(record: DocumentRecord, text: string): StoredHeader {
  const stored = JSON.parse(text) as StoredHeader;
  for (const origin of Object.keys(record.vector)) delete record.vector[origin];
  Object.assign(record.vector, stored.v);
  record.digest.set(Buffer.from(stored.g, "hex"));
  record.createdMs = stored.b === null ? 0 : hlcMs(stored.b.hlc);
  record.position = stored.p;
  record.alive = stored.b !== null && !stored.x;
  record.deleted = stored.x;
  record.born = shared(stored.b);
  record.touched = stored.b !== null && stored.t?.hlc === stored.b.hlc ? record.born : shared(stored.t);
  record.bytes = stored.n;
  record.operationIds = stored.o ?? [];
  record.moves = stored.m;
  return stored;
}

/** Names that every stamp repeats, once each: hundreds of thousands of headers hold the same few. */
const names = new Map<string, string>();
const NAMES_MAX = 10_000;

function nameOf(name: string): string {
  const known = names.get(name);
  if (known !== undefined) return known;
  if (names.size < NAMES_MAX) names.set(name, name);
  return name;
}

function shared(stamp: Stamp | null): Stamp | null {
  return stamp === null ? null : { hlc: stamp.hlc, region: nameOf(stamp.region), replica: nameOf(stamp.replica), actor: nameOf(stamp.actor) };
}

function isPage(record: DocumentRecord): boolean {
  return record.partition === NO_PAGE && record.type === "page";
}

function rulesIn(state: DocumentState): PageRules {
  const registers = state.root?.registers;
  return registers === undefined ? new Map() : pageRules(registers.keys(), (field) => shownIn(state.type, state.root, field)?.value ?? null);
}

function positionOf(state: DocumentState): number {
  const value = shownIn(state.type, state.root, "position")?.value;
  return typeof value === "number" ? value : 0;
}

/** The order of a list: negative if `a` comes first. */
export function inListOrder(a: DocumentHeader & { readonly type?: string }, b: DocumentHeader): number {
  if (NEWEST_FIRST.has(a.type ?? "")) return b.createdMs - a.createdMs || (a.id < b.id ? 1 : a.id > b.id ? -1 : 0);
  return a.position - b.position || (a.id < b.id ? -1 : a.id > b.id ? 1 : 0);
}

/** Index of the first element that does not come before `record`. */
function placeIn(list: readonly DocumentRecord[], record: DocumentRecord): number {
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const candidate = list[middle];
    if (candidate !== undefined && inListOrder(candidate, record) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}
