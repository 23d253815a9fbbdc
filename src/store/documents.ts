/**
 * The Automerge document behind each document: its compacted, durable history. The only importer of Automerge.
 *
 * The log and `core/document.ts` serve reads and waiting writes. Here every change of a document is folded afterwards, in batches,
 * into an Automerge document; it outlives the log's entries and gives every change back, byte for byte.
 * Invariants:
 *  1. The Automerge change of a change depends on it and its past alone (`document-folding.ts`): all replicas get the same hashes.
 *  2. Bytes that Automerge made elsewhere never reach it: peers send changes, validated and bounded JSON, and each replica folds
 *     them itself; what is loaded is what this replica sealed (`document-archive.ts`), and its heads are compared after loading.
 *  3. Synchronous and without side effects but on the cache: who stores an archive, and when, is the caller's.
 * Source: automerge.org's binary format; storage of immutable chunks as automerge-repo does it.
 */
import { encodeChange as encodeAutomergeChange, getBackend, init, type ChangeMetadata } from "@automerge/automerge";
import { createHash } from "node:crypto";
import type { Change, Json } from "../core/change.js";
import { InvariantViolation } from "../core/errors.js";
import { hlcMs, type Hlc } from "../core/hlc.js";
import { limits } from "../core/limits.js";
import { copyVector } from "../core/vector.js";
import {
  ArchiveDamage, ArchiveFailure, heads, openRecords, sealOf, sealRecord, UnfoldableChange, type ArchivedDocument, type NamedChange,
} from "./document-archive.js";
import {
  FoldingIndex, GENESIS_ACTOR, genesisOperations, MAPS, objectOf, unescapeText, valueOfScalar, type AutomergeOperation, type MapName, type Placed,
} from "./document-folding.js";

export { archiveOf, ArchiveDamage, ArchiveFailure, heads, UnfoldableChange, type ArchivedDocument, type NamedChange } from "./document-archive.js";

type Handle = ReturnType<typeof getBackend>;

/** A new base is written once the chunks outweigh the old one, or are this many. */
const CHUNKS_MAX = 64;

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

/**
 * Folds changes, given in an order in which each follows its context; those that are in already are passed over. Returns the
 * new archive, or the snapshot itself if there was nothing to do. Synchronous: about 0.1 ms a change; give it some hundred at a time.
 * Throws `UnfoldableChange`, `ArchiveDamage` or `ArchiveFailure`; the snapshot stays good, and nothing of the batch is folded.
 */
export function foldChanges(snapshot: ArchivedDocument | undefined, key: string, changes: readonly NamedChange[], cache?: DocumentsCache): ArchivedDocument {
  return withLoaded(snapshot, key, cache, (loaded) => {
    const encoded: Uint8Array[] = [];
    for (const change of changes) if (!loaded.index.holds(change.dot)) encoded.push(encodeNext(loaded.index, change));
    if (snapshot !== undefined && encoded.length === 0) return snapshot;
    return snapshot === undefined ? rebase(loaded, encoded) : extend(loaded, snapshot, encoded);
  });
}

/** Every change folded, exactly as it was, in an order in which each follows its context. Throws `ArchiveDamage` or `ArchiveFailure`. */
export function archivedChanges(archived: ArchivedDocument): NamedChange[] {
  return onceMore(archived.key, () => {
    const handle = loadHandle(archived);
    try {
      return handle.getChangesMeta([]).slice(1).map(({ message }) => parseMessage(archived.key, message));
    } finally {
      release(handle);
    }
  });
}

export interface ArchivedSection {
  /** Stamp of the earliest creation. */
  born: Hlc | null;
  dead: Hlc | null;
  /** All concurrent values of each register, in no order. */
  readonly registers: Map<string, Json[]>;
  readonly sets: Map<string, Set<string>>;
  readonly counters: Map<string, number>;
}

/** What the Automerge document says, by section; for checks against the state that changes were merged into. Throws as `archivedChanges`. */
export function materialize(archived: ArchivedDocument): Map<string, ArchivedSection> {
  return onceMore(archived.key, () => {
    const handle = loadHandle(archived);
    try {
      return sectionsOf(handle);
    } finally {
      release(handle);
    }
  });
}

/**
 * Loaded documents, the least recently folded leaving first. Holds WASM memory until `[Symbol.dispose]`. A document is
 * used again only for the very archive that it was loaded from.
 */
export class DocumentsCache {
  private readonly documents = new Map<string, LoadedDocument>();

  constructor(private readonly capacity: number = limits.automergeCacheDocuments) {}

  get size(): number {
    return this.documents.size;
  }

  /** Frees a document, if it is here: its archive was rebuilt or is given up. */
  forget(key: string): void {
    this.documents.get(key)?.free();
    this.documents.delete(key);
  }

  [Symbol.dispose](): void {
    for (const key of [...this.documents.keys()]) this.forget(key);
  }

  /** @internal Takes a document out; it belongs to the caller. */
  take(snapshot: ArchivedDocument): LoadedDocument | undefined {
    const loaded = this.documents.get(snapshot.key);
    if (loaded === undefined) return undefined;
    if (loaded.state === stateOf(snapshot)) {
      this.documents.delete(snapshot.key);
      return loaded;
    }
    this.forget(snapshot.key);
    return undefined;
  }

  /** @internal Keeps a document as the one of this archive. */
  keep(archived: ArchivedDocument, loaded: LoadedDocument): void {
    this.forget(archived.key);
    loaded.state = stateOf(archived);
    this.documents.set(archived.key, loaded);
    for (const key of this.documents.keys()) {
      if (this.documents.size <= this.capacity) break;
      this.forget(key);
    }
  }
}

/** A document ready to be folded into. `unapplied`: encoded changes that the index knows and the Automerge document does not yet. */
class LoadedDocument {
  unapplied: Uint8Array[] = [];
  state = "";

  constructor(readonly handle: Handle, readonly index: FoldingIndex) {}

  free(): void {
    release(this.handle);
  }

  /** Brings the Automerge document up to the index. Throws if it does not get there. */
  settle(): void {
    if (this.unapplied.length === 0) return;
    this.handle.applyChanges(this.unapplied);
    this.unapplied = [];
    if (!sameHeads(this.handle.getHeads(), this.index.heads())) throw new ArchiveDamage(this.index.document, "the changes applied have other heads");
  }
}

/** Names an archive's content: each seal covers the one before. */
function stateOf(archived: ArchivedDocument): string {
  return sealOf(archived.chunks[archived.chunks.length - 1] ?? archived.base);
}

function withLoaded(
  snapshot: ArchivedDocument | undefined, key: string, cache: DocumentsCache | undefined, work: (loaded: LoadedDocument) => ArchivedDocument,
): ArchivedDocument {
  if (snapshot !== undefined && snapshot.key !== key) throw new ArchiveDamage(key, "it is the archive of another document");
  return onceMore(key, () => {
    const loaded = (snapshot === undefined ? undefined : cache?.take(snapshot)) ?? (snapshot === undefined ? createDocument(key) : loadDocument(snapshot));
    let result: ArchivedDocument | undefined;
    try {
      result = work(loaded);
      return result;
    } finally {
      if (result !== undefined && cache !== undefined) cache.keep(result, loaded);
      else loaded.free();
    }
  });
}

/** Runs it again if the WebAssembly module trapped: everything is loaded anew then. What is not told by a type of its own becomes an `ArchiveFailure`. */
function onceMore<T>(document: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!isModuleFailure(error)) throw typed(document, error);
  }
  try {
    return work();
  } catch (error) {
    throw typed(document, error);
  }
}

function typed(document: string, error: unknown): Error {
  return error instanceof ArchiveDamage || error instanceof UnfoldableChange || error instanceof InvariantViolation ? error : new ArchiveFailure(document, error);
}

/** A `WebAssembly.RuntimeError`: the module trapped. */
function isModuleFailure(error: unknown): boolean {
  return error instanceof Error && error.name === "RuntimeError";
}

function createDocument(key: string): LoadedDocument {
  const genesis = encodeAutomerge({ actor: GENESIS_ACTOR, actorSeq: 1, startOp: 1, deps: [] }, 0, "", genesisOperations(key));
  const loaded = new LoadedDocument(emptyHandle(), new FoldingIndex(key, genesis.hash));
  loaded.unapplied.push(genesis.bytes);
  return loaded;
}

function loadDocument(archived: ArchivedDocument): LoadedDocument {
  const handle = loadHandle(archived);
  try {
    return new LoadedDocument(handle, indexOf(archived, handle.getChangesMeta([])));
  } catch (error) {
    release(handle);
    throw error;
  }
}

function emptyHandle(): Handle {
  // The actor is never written with: every change is encoded under its origin's.
  return getBackend(init({ actor: GENESIS_ACTOR }));
}

/** Gives WASM memory back, which no garbage collector does in time. A handle that the module trapped in cannot be freed; its failure is told already. */
function release(handle: Handle): void {
  try {
    handle.free();
  } catch (error) {
    if (!(error instanceof Error)) throw error;
  }
}

function loadHandle(archived: ArchivedDocument): Handle {
  const [base, ...chunks] = openRecords(archived);
  if (base === undefined) throw new ArchiveDamage(archived.key, "it has no base");
  const handle = emptyHandle();
  try {
    handle.loadIncremental(base.payload);
    if (!sameHeads(handle.getHeads(), base.heads)) throw new ArchiveDamage(archived.key, "its base has other heads");
    if (chunks.length > 0) handle.loadIncremental(Buffer.concat(chunks.map((chunk) => chunk.payload)));
    if (!sameHeads(handle.getHeads(), heads(archived))) throw new ArchiveDamage(archived.key, "its chunks have other heads");
    return handle;
  } catch (error) {
    release(handle);
    if (error instanceof ArchiveDamage || isModuleFailure(error)) throw error;
    throw new ArchiveDamage(archived.key, String(error));
  }
}

/** Goes through the history as folding did, and checks that it comes out the same. */
function indexOf(archived: ArchivedDocument, history: readonly ChangeMetadata[]): FoldingIndex {
  const index = new FoldingIndex(archived.key, history[0]?.hash ?? "");
  for (const meta of history.slice(1)) {
    const { dot, text } = splitMessage(archived.key, meta.message);
    const { placed } = index.add(dot, JSON.parse(text) as Change);
    if (placed.actor !== meta.actor || placed.actorSeq !== meta.seq || placed.startOp !== meta.startOp || placed.maxOp !== meta.maxOp) {
      throw new ArchiveDamage(archived.key, `change ${dot.origin} ${dot.seq} folds to something else`);
    }
    placed.hash = meta.hash;
  }
  if (index.count !== archived.count) throw new ArchiveDamage(archived.key, "its history has another length");
  return index;
}

function encodeNext(index: FoldingIndex, { dot, body }: NamedChange): Uint8Array {
  let text: string;
  let change: Change;
  try {
    text = utf8.decode(body);
    change = JSON.parse(text) as Change;
  } catch {
    throw new UnfoldableChange(index.document, dot, "it is not JSON");
  }
  const obstacle = index.obstacle(dot, change);
  if (obstacle !== undefined) throw new UnfoldableChange(index.document, dot, obstacle);
  const { placed, operations } = index.add(dot, change);
  const { bytes, hash } = encodeAutomerge(placed, hlcMs(change.hlc), `${dot.origin} ${dot.seq} ${text}`, operations);
  placed.hash = hash;
  return bytes;
}

function encodeAutomerge(
  placed: Pick<Placed, "actor" | "actorSeq" | "startOp" | "deps">, timeMs: number, message: string, operations: readonly AutomergeOperation[],
): { bytes: Uint8Array; hash: string } {
  const { actor, actorSeq, startOp, deps } = placed;
  const bytes = encodeAutomergeChange({ actor, author: null, seq: actorSeq, startOp, time: timeMs, message, deps: [...deps], ops: operations as never });
  // A change's hash is SHA-256 of its chunk behind magic bytes and checksum, as long as it is not compressed, which `encodeChange` leaves to saving.
  return { bytes, hash: createHash("sha256").update(bytes.subarray(CHUNK_HASHED_FROM)).digest("hex") };
}

const CHUNK_HASHED_FROM = 8;

function extend(loaded: LoadedDocument, snapshot: ArchivedDocument, encoded: readonly Uint8Array[]): ArchivedDocument {
  const { index } = loaded;
  const header = { document: index.document, previous: stateOf(snapshot), heads: index.heads(), vector: index.vector, count: index.count };
  const chunk = sealRecord(header, Buffer.concat(encoded));
  const chunks = [...snapshot.chunks, chunk];
  const outgrown = chunks.length > CHUNKS_MAX || chunks.reduce((sum, { length }) => sum + length, 0) > snapshot.base.length;
  if (outgrown) return rebase(loaded, encoded);
  for (const bytes of encoded) loaded.unapplied.push(bytes);
  return { key: index.document, base: snapshot.base, chunks, vector: copyVector(index.vector), count: index.count };
}

/** Writes everything into a new base. */
function rebase(loaded: LoadedDocument, encoded: readonly Uint8Array[]): ArchivedDocument {
  for (const bytes of encoded) loaded.unapplied.push(bytes);
  loaded.settle();
  const { index } = loaded;
  const vector = copyVector(index.vector);
  const base = sealRecord({ document: index.document, previous: null, heads: index.heads(), vector, count: index.count }, loaded.handle.save());
  return { key: index.document, base, chunks: [], vector, count: index.count };
}

/** `<origin> <seq> <the change's JSON>` */
function splitMessage(document: string, message: string | null): { dot: { origin: string; seq: number }; text: string } {
  const [, origin, seq, text] = /^(\S+) (\d+) (.*)$/s.exec(message ?? "") ?? [];
  if (origin === undefined || text === undefined) throw new ArchiveDamage(document, "a change in it has no name");
  return { dot: { origin, seq: Number(seq) }, text };
}

function parseMessage(document: string, message: string | null): NamedChange {
  const { dot, text } = splitMessage(document, message);
  return { dot, body: encoder.encode(text) };
}

function sectionsOf(handle: Handle): Map<string, ArchivedSection> {
  const sections = new Map<string, ArchivedSection>();
  const sectionOf = (id: string): ArchivedSection => {
    const section = sections.get(id) ?? { born: null, dead: null, registers: new Map(), sets: new Map(), counters: new Map() };
    sections.set(id, section);
    return section;
  };
  for (const map of MAPS) {
    const object = objectOf(map);
    for (const key of handle.keys(object)) {
      const [section = "", field = "", ...rest] = key.split("/");
      const values = handle.getAll(object, key).map(([, value]) => value as string | number | boolean | null);
      showValues(sectionOf(section), map, field, rest.join("/"), values);
    }
  }
  for (const section of sections.values()) if (section.dead !== null) for (const map of [section.registers, section.sets, section.counters]) map.clear();
  return sections;
}

function showValues(section: ArchivedSection, map: MapName, field: string, rest: string, values: readonly (string | number | boolean | null)[]): void {
  const earliest = values.map(String).sort()[0] ?? null;
  switch (map) {
    case "born":
      section.born = earliest;
      return;
    case "deleted":
      section.dead = earliest;
      return;
    case "registers":
      section.registers.set(field, values.map(valueOfScalar));
      return;
    case "sets":
      section.sets.set(field, (section.sets.get(field) ?? new Set()).add(unescapeText(rest)));
      return;
    case "counters":
      for (const value of values) section.counters.set(field, (section.counters.get(field) ?? 0) + Number(valueOfScalar(value)));
  }
}

function sameHeads(a: readonly string[], b: readonly string[]): boolean {
  const sorted = [...a].sort();
  return sorted.length === b.length && sorted.every((head, i) => head === b[i]);
}
