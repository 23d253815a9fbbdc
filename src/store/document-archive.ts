/**
 * The stored form of a document's Automerge history: one base and the chunks folded since, each a sealed record.
 *
 * Invariants:
 *  1. A record carries SHA-256 of itself, the heads that its reader must find after loading it, and the seal of the record before it:
 *     a flipped bit, a lost chunk or a chunk of another document is told, never loaded.
 *  2. The last record's header says what the whole archive holds; nothing else needs to be stored.
 */
import { createHash } from "node:crypto";
import { deflateRawSync, inflateRawSync } from "node:zlib";
import type { Dot } from "../core/document.js";
import { equalVectors, parseVector, type Vector } from "../core/vector.js";
import { limits } from "../core/limits.js";

/** A document's history as stored. Immutable: folding gives a new one that shares what did not change. */
export interface ArchivedDocument {
  readonly key: string;
  /** Everything up to the last compaction. Where a fold returns another one than it was given, the chunks of before are to be deleted. */
  readonly base: Uint8Array;
  /** The changes of each fold since then, in order. */
  readonly chunks: readonly Uint8Array[];
  /** The document vector folded. */
  readonly vector: Vector;
  /** Changes folded, without the genesis. */
  readonly count: number;
}

/** A change of the document, under the name that it has there; `body` is its encoded form (`core/change.ts`). */
export interface NamedChange {
  readonly dot: Dot;
  readonly body: Uint8Array;
}

/** Stored bytes are not what was written. The caller quarantines the document and has it rebuilt from its changes or from peers. */
export class ArchiveDamage extends Error {
  override readonly name = "ArchiveDamage";
  constructor(readonly document: string, reason: string) {
    super(`the archive of ${document} is damaged: ${reason}`);
  }
}

/** Automerge failed on this document, and failed again after it was loaded anew; the caller quarantines it. */
export class ArchiveFailure extends Error {
  override readonly name = "ArchiveFailure";
  constructor(readonly document: string, override readonly cause: unknown) {
    super(`Automerge failed on ${document}: ${String(cause)}`);
  }
}

/** A change that cannot be folded: one of another document, or one whose context is not folded yet. */
export class UnfoldableChange extends Error {
  override readonly name = "UnfoldableChange";
  constructor(readonly document: string, readonly dot: Dot, reason: string) {
    super(`change ${dot.origin} ${dot.seq} of ${document} cannot be folded: ${reason}`);
  }
}

/** What a record says of the archive up to and including itself. */
export interface RecordHeader {
  readonly document: string;
  /** Seal of the record before, as hex; null for a base. */
  readonly previous: string | null;
  /** Automerge heads, sorted hex. */
  readonly heads: readonly string[];
  readonly vector: Vector;
  readonly count: number;
}

export interface OpenedRecord extends RecordHeader {
  readonly seal: string;
  readonly payload: Uint8Array;
}

const MAGIC = "SMA1";
const SEAL_START = 4;
const LENGTH_START = 36;
const HEADER_START = 40;
/** A chunk inflates to no more than this; what one fold writes stays far below. */
const PAYLOAD_BYTES_MAX = 1024 * 1024 * 1024;

export function sealRecord(header: RecordHeader, payload: Uint8Array): Uint8Array {
  const text = Buffer.from(JSON.stringify(header));
  const isChunk = header.previous !== null;
  const packed = isChunk ? deflateRawSync(payload, { level: 3 }) : payload;
  const record = Buffer.alloc(HEADER_START + text.length + packed.length);
  record.write(MAGIC, 0, "latin1");
  record.writeUInt32BE(text.length, LENGTH_START);
  text.copy(record, HEADER_START);
  record.set(packed, HEADER_START + text.length);
  createHash("sha256").update(record.subarray(LENGTH_START)).digest().copy(record, SEAL_START);
  return record;
}

/** The seal of a record as hex, unverified: names the state of an archive. */
export function sealOf(record: Uint8Array): string {
  return Buffer.from(record.buffer, record.byteOffset, record.byteLength).toString("hex", SEAL_START, LENGTH_START);
}

/** Verifies a record of this document. Throws `ArchiveDamage`. */
export function openRecord(document: string, record: Uint8Array): OpenedRecord {
  const bytes = Buffer.from(record.buffer, record.byteOffset, record.byteLength);
  if (bytes.length < HEADER_START || bytes.toString("latin1", 0, SEAL_START) !== MAGIC) throw new ArchiveDamage(document, "not an archive record");
  const seal = createHash("sha256").update(bytes.subarray(LENGTH_START)).digest("hex");
  if (seal !== sealOf(record)) throw new ArchiveDamage(document, "a checksum does not match");
  const end = HEADER_START + bytes.readUInt32BE(LENGTH_START);
  const header = parseHeader(document, bytes.toString("utf8", HEADER_START, end));
  if (header.document !== document) throw new ArchiveDamage(document, "a record belongs to another document");
  const packed = record.subarray(end);
  const payload = header.previous === null ? packed : inflateRawSync(packed, { maxOutputLength: PAYLOAD_BYTES_MAX });
  return { ...header, seal, payload };
}

/** Opens all records and checks that they follow each other and are what the archive says. Throws `ArchiveDamage`. */
export function openRecords(archived: ArchivedDocument): readonly OpenedRecord[] {
  const records = [archived.base, ...archived.chunks].map((record) => openRecord(archived.key, record));
  let previous: string | null = null;
  for (const record of records) {
    if (record.previous !== previous) throw new ArchiveDamage(archived.key, "a record is missing or out of order");
    previous = record.seal;
  }
  const last = records[records.length - 1];
  if (last === undefined || last.count !== archived.count || !equalVectors(last.vector, archived.vector)) {
    throw new ArchiveDamage(archived.key, "the records do not hold what the archive says");
  }
  return records;
}

/** The archive that stored records make up. Throws `ArchiveDamage`. */
export function archiveOf(key: string, base: Uint8Array, chunks: readonly Uint8Array[] = []): ArchivedDocument {
  const { vector, count } = openRecord(key, chunks[chunks.length - 1] ?? base);
  const archived: ArchivedDocument = { key, base, chunks, vector, count };
  openRecords(archived);
  return archived;
}

/** Automerge heads of the archive, sorted: equal wherever the same changes were folded. */
export function heads(archived: ArchivedDocument): readonly string[] {
  return openRecord(archived.key, archived.chunks[archived.chunks.length - 1] ?? archived.base).heads;
}

function parseHeader(document: string, text: string): RecordHeader {
  const { previous, heads: names, vector: positions, count, document: owner } = JSON.parse(text) as Record<string, unknown>;
  const vector = parseVector(positions, limits.originsMax);
  if (
    typeof owner !== "string" || !(previous === null || typeof previous === "string") || typeof count !== "number" || vector === undefined ||
    !Array.isArray(names) || !names.every((name): name is string => typeof name === "string")
  ) throw new ArchiveDamage(document, "a record has no header");
  return { document: owner, previous, heads: names, vector, count };
}
