/**
 * Giving changes to the peer of a session and taking them from it: chunks of bounded size, a bounded number of them
 * under way. Both sides of a session use both.
 *
 * Invariants:
 *  1. At most `chunksInFlight` chunks wait for the peer's progress, at most `loadsInFlight` documents for the disk.
 *  2. Changes of a document are given, and stored, in the order in which they were loaded.
 *  3. Only documents that were agreed on before are taken.
 */
import type { AntiEntropyBounds, AntiEntropyEffect, DottedChange, SessionId } from "./anti-entropy-events.js";
import type { AntiEntropyBody, Changes, DocumentChanges } from "./anti-entropy-messages.js";
import { changeBytes } from "./anti-entropy-size.js";
import { copyVector, dominates, EMPTY_VECTOR, isOrigin, type MutableVector, type Vector } from "./vector.js";

/** What is wrong with a message of a peer. */
export class Malformed {
  constructor(readonly reason: string) {}
}

/** What both sides of a session have in hand. */
export interface SessionDoor {
  readonly session: SessionId;
  readonly bounds: AntiEntropyBounds;
  send(body: AntiEntropyBody): void;
  emit(effect: AntiEntropyEffect): void;
}

/** The origins that a message names, each once. */
export class OriginTable {
  readonly origins: string[] = [];
  private readonly indices = new Map<string, number>();

  indexOf(origin: string): number {
    let index = this.indices.get(origin);
    if (index === undefined) {
      index = this.origins.push(origin) - 1;
      this.indices.set(origin, index);
    }
    return index;
  }

  encode(vector: Vector): { origins: number[]; positions: number[] } {
    const origins: number[] = [];
    const positions: number[] = [];
    for (const origin in vector) {
      origins.push(this.indexOf(origin));
      positions.push(vector[origin] ?? 0);
    }
    return { origins, positions };
  }
}

/** True for a table of origins that a peer may send. */
export function isOriginTable(origins: readonly string[], originsMax: number): boolean {
  return origins.length <= originsMax && origins.every((origin) => typeof origin === "string" && isOrigin(origin));
}

/** The inverse of `OriginTable.encode`; undefined if it is malformed. The table has been checked. */
export function decodeVector(
  table: readonly string[],
  origins: readonly number[],
  positions: readonly number[],
): MutableVector | undefined {
  if (origins.length !== positions.length || origins.length > table.length) return undefined;
  const vector = copyVector(EMPTY_VECTOR);
  for (let i = 0; i < origins.length; i++) {
    const origin = table[origins[i] ?? -1];
    const position = positions[i] ?? 0;
    if (origin === undefined || !isSequence(position) || vector[origin] !== undefined) return undefined;
    vector[origin] = position;
  }
  return vector;
}

function isSequence(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 1;
}

/** What one side gives of a document: what it holds (`upTo`) beyond what the other does. */
export interface Gift {
  readonly document: string;
  readonly beyond: Vector;
  readonly upTo: Vector;
}

/** Loads documents and gives their changes. */
export class Giver {
  /** Documents that could not be read. */
  readonly failed = new Set<string>();
  /** The last chunk was sent. */
  finished = false;
  /** The bound of the round was hit: documents were left out. */
  truncated = false;
  chunks = 0;
  private acknowledged = 0;
  private readonly loading = new Map<string, Gift>();
  private buffer: { readonly document: string; readonly change: DottedChange }[] = [];
  private bufferedBytes = 0;
  private givenBytes = 0;
  private nextDocument = 0;

  constructor(
    private readonly door: SessionDoor,
    private readonly documents: readonly Gift[],
  ) {}

  get waitsForHost(): boolean {
    return this.loading.size > 0;
  }

  start(): void {
    this.pump();
  }

  /** Ignores what was not asked for. */
  loaded(document: string, changes: readonly DottedChange[], failed: boolean): void {
    const gift = this.loading.get(document);
    if (gift === undefined) return;
    this.loading.delete(document);
    if (failed || !covers(gift, changes)) this.failed.add(document);
    for (const change of changes) {
      if (change.body.length > this.door.bounds.changeBytesMax) {
        this.failed.add(document);
        break;
      }
      this.buffer.push({ document, change });
      this.bufferedBytes += change.body.length;
    }
    this.pump();
  }

  acknowledge(chunk: number): Malformed | undefined {
    if (!Number.isInteger(chunk) || chunk <= this.acknowledged || chunk > this.chunks)
      return new Malformed("acknowledges a chunk that is not under way");
    this.acknowledged = chunk;
    this.pump();
    return undefined;
  }

  private pump(): void {
    if (this.finished) return;
    const { chunkBytes, chunksInFlight, loadsInFlight, roundBytes } = this.door.bounds;
    for (;;) {
      if (this.nextDocument < this.documents.length && this.givenBytes + this.bufferedBytes >= roundBytes) {
        this.nextDocument = this.documents.length;
        this.truncated = true;
      }
      while (this.nextDocument < this.documents.length && this.loading.size < loadsInFlight && this.bufferedBytes < 2 * chunkBytes)
        this.load();
      const allRead = this.loading.size === 0 && this.nextDocument === this.documents.length;
      if (!allRead && this.bufferedBytes < chunkBytes) return;
      if (this.chunks - this.acknowledged >= chunksInFlight) return;
      this.sendChunk(allRead);
      if (this.finished) return;
    }
  }

  private load(): void {
    const asked = this.documents[this.nextDocument++];
    if (asked === undefined || this.loading.has(asked.document)) return;
    this.loading.set(asked.document, asked);
    this.door.emit({ kind: "load", session: this.door.session, document: asked.document, beyond: asked.beyond });
  }

  private sendChunk(allRead: boolean): void {
    const table = new OriginTable();
    const documents: DocumentChanges[] = [];
    let size = 0;
    let taken = 0;
    let bodies = 0;
    for (const { document, change } of this.buffer) {
      let entry = documents.at(-1);
      const known = entry?.document === document;
      const encoded = { origin: table.indexOf(change.origin), seq: change.seq, body: change.body };
      const added = changeBytes(encoded) + (known ? 0 : document.length + 8);
      if (taken > 0 && size + added > this.door.bounds.chunkBytes) break;
      if (entry === undefined || !known) {
        entry = { document, changes: [] };
        documents.push(entry);
      }
      entry.changes.push(encoded);
      size += added;
      bodies += change.body.length;
      taken++;
    }
    this.buffer = this.buffer.slice(taken);
    this.bufferedBytes -= bodies;
    this.givenBytes += bodies;
    this.finished = allRead && this.buffer.length === 0;
    this.chunks++;
    this.door.send({ $case: "changes", value: { chunk: this.chunks, last: this.finished, origins: table.origins, documents } });
  }
}

/** True if `changes` bring one who holds `beyond` to `upTo`: else the disk lost something, and the peer must not believe that it has all. */
function covers({ beyond, upTo }: Gift, changes: readonly DottedChange[]): boolean {
  const reached = copyVector(beyond);
  for (const { origin, seq } of changes) reached[origin] = Math.max(reached[origin] ?? 0, seq);
  return dominates(reached, upTo);
}

/** Takes chunks, has them stored and says how far it is. */
export class Taker {
  /** Documents to which something was added. */
  readonly repaired = new Set<string>();
  /** Documents of which something was refused. */
  readonly failed = new Set<string>();
  /** The peer said that a chunk was its last. */
  ended = false;
  chunks = 0;
  private acknowledged = 0;
  /** For each chunk, from `acknowledged` + 1 on, the number of stores that it still waits for. */
  private readonly waiting: number[] = [];
  /** For each document, what is to be stored and for which chunk, in order; the first is with the host. */
  private readonly storing = new Map<string, { readonly chunk: number; readonly changes: readonly DottedChange[] }[]>();

  constructor(
    private readonly door: SessionDoor,
    private readonly expects: (document: string) => boolean,
  ) {}

  get waitsForHost(): boolean {
    return this.storing.size > 0;
  }

  /** Everything that came is stored. */
  get settled(): boolean {
    return this.storing.size === 0;
  }

  take(message: Changes): Malformed | "lost" | undefined {
    if (this.ended) return new Malformed("gives changes after its last chunk");
    if (message.chunk !== this.chunks + 1) return message.chunk > this.chunks + 1 ? "lost" : new Malformed("repeats a chunk");
    if (this.chunks - this.acknowledged >= this.door.bounds.chunksInFlight) return new Malformed("gives more chunks than may be under way");
    const decoded = this.decode(message);
    if (decoded instanceof Malformed) return decoded;
    this.chunks++;
    this.ended = message.last === true;
    this.waiting.push(decoded.length);
    for (const { document, changes } of decoded) {
      const queue = this.storing.get(document);
      if (queue !== undefined) queue.push({ chunk: this.chunks, changes });
      else {
        this.storing.set(document, [{ chunk: this.chunks, changes }]);
        this.door.emit({ kind: "store", session: this.door.session, document, changes });
      }
    }
    this.advance();
    return undefined;
  }

  /** Ignores what was not asked for. */
  stored(document: string, applied: number, failed: number): void {
    const queue = this.storing.get(document);
    const stored = queue?.shift();
    if (queue === undefined || stored === undefined) return;
    const next = queue[0];
    if (next === undefined) this.storing.delete(document);
    else this.door.emit({ kind: "store", session: this.door.session, document, changes: next.changes });
    if (applied > 0) this.repaired.add(document);
    if (failed > 0) this.failed.add(document);
    const place = stored.chunk - this.acknowledged - 1;
    this.waiting[place] = (this.waiting[place] ?? 1) - 1;
    this.advance();
  }

  private advance(): void {
    const before = this.acknowledged;
    while (this.waiting[0] === 0) {
      this.waiting.shift();
      this.acknowledged++;
    }
    const isLast = this.ended && this.acknowledged === this.chunks;
    if (this.acknowledged > before && !isLast) this.door.send({ $case: "progress", value: { chunk: this.acknowledged } });
  }

  private decode(message: Changes): { document: string; changes: DottedChange[] }[] | Malformed {
    const { originsMax, chunkBytes, changeBytesMax } = this.door.bounds;
    if (!isOriginTable(message.origins, originsMax)) return new Malformed("names origins that are none");
    const decoded: { document: string; changes: DottedChange[] }[] = [];
    let size = 0;
    for (const { document, changes } of message.documents) {
      if (!this.expects(document)) return new Malformed("gives a document that was not asked for");
      const dotted: DottedChange[] = [];
      for (const change of changes) {
        const origin = message.origins[change.origin];
        if (origin === undefined || !isSequence(change.seq)) return new Malformed("gives a change without a dot");
        if (change.body.length > changeBytesMax) return new Malformed("gives a change over the size limit");
        size += change.body.length;
        dotted.push({ origin, seq: change.seq, body: change.body });
      }
      if (dotted.length > 0) decoded.push({ document, changes: dotted });
    }
    return size > chunkBytes + changeBytesMax ? new Malformed("gives a chunk over the size limit") : decoded;
  }
}
