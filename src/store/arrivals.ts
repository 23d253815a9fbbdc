/**
 * The order in which entries arrived here, as stored: one record for a run of entries of one batch.
 *
 * Invariants:
 *  1. A record's key names the place of its last entry; places follow each other without a gap, within a record and from one to the next.
 *  2. A record begins with the vector that the log had reached with its last entry. It never falls from one record to the next, so
 *     the place of an origin's entry is found by halving.
 */
import { assert } from "../core/errors.js";
import type { Dot } from "../core/document.js";
import type { Storage } from "../core/ports.js";
import type { Vector } from "../core/vector.js";
import { keyspace } from "./keyspace.js";

/** Stands where a quarantined entry has no document. */
export const QUARANTINED = "!";

export interface Arrival {
  readonly place: number;
  readonly origin: string;
  readonly seq: number;
  readonly document: string;
  /** Key of the record that holds its body. */
  readonly body: string;
}

export interface ArrivalRecord {
  readonly key: string;
  /** Place of the first entry. */
  readonly first: number;
  readonly last: number;
  readonly vector: Vector;
  readonly arrivals: readonly Arrival[];
}

/** Takes down entries as they are logged, and gives the records of those since it was last asked. */
export class ArrivalWriter {
  private lines: string[] = [];
  private full: { readonly place: number; readonly text: string }[] = [];

  constructor(private readonly entriesPerRecord: number) {}

  /** `vector`: what the log has reached with this entry. */
  note(place: number, origin: string, seq: number, document: string, dot: Dot, vector: Vector): void {
    this.lines.push(`${origin} ${seq} ${document} ${dot.origin} ${dot.seq}`);
    if (this.lines.length >= this.entriesPerRecord) this.seal(place, vector);
  }

  private seal(place: number, vector: Vector): void {
    this.full.push({ place, text: `${JSON.stringify(vector)}\n${this.lines.join("\n")}` });
    this.lines = [];
  }

  /** `head`: place of the last entry noted. */
  take(head: number, vector: Vector): readonly { readonly place: number; readonly text: string }[] {
    if (this.lines.length > 0) this.seal(head, vector);
    const records = this.full;
    this.full = [];
    return records;
  }
}

export function decodeArrivals(key: string, value: Uint8Array): ArrivalRecord {
  const [vector = "{}", ...lines] = Buffer.from(value.buffer, value.byteOffset, value.length).toString().split("\n");
  const last = keyspace.placeOfArrival(key);
  const first = last - lines.length + 1;
  const arrivals = lines.map((line, index): Arrival => {
    const [origin = "", number = "", document = "", dotOrigin = "", dotSeq = ""] = line.split(" ");
    const seq = Number(number);
    const body = document === QUARANTINED ? keyspace.quarantine(origin, seq) : keyspace.change(document, dotOrigin, Number(dotSeq));
    return { place: first + index, origin, seq, document, body };
  });
  return { key, first, last, vector: JSON.parse(vector) as Vector, arrivals };
}

/** Whole records from the one that holds `place` on, until they hold `most` entries or more, or end after `last`. */
export async function readArrivals(storage: Storage, place: number, most: number, last: number): Promise<readonly ArrivalRecord[]> {
  const records: ArrivalRecord[] = [];
  let left = most;
  // Of small records many are needed, of large ones few: a page of records is not read for a handful of entries.
  for (let from = place; left > 0 && from <= last; ) {
    const before = from;
    for await (const page of storage.scan({ ...keyspace.arrivalsFrom(from), limit: Math.min(left, RECORDS_AT_ONCE) })) {
      for (const [key, value] of page) {
        const record = decodeArrivals(key, value);
        if (left <= 0 || record.last > last) return records;
        records.push(record);
        left -= record.last - Math.max(record.first, place) + 1;
        from = record.last + 1;
      }
    }
    if (from === before) return records;
  }
  return records;
}

const RECORDS_AT_ONCE = 16;

/** Place of an origin's entry among those from `tail` to `head`; undefined if it is not there. */
export async function placeOf(storage: Storage, origin: string, seq: number, tail: number, head: number): Promise<number | undefined> {
  let low = tail;
  let high = head;
  while (low <= high) {
    const [record] = await readArrivals(storage, (low + high) >>> 1, 1, head);
    if (record === undefined) {
      high = ((low + high) >>> 1) - 1;
      continue;
    }
    if ((record.vector[origin] ?? 0) < seq) {
      assert(record.last >= low, "halving goes on");
      low = record.last + 1;
      continue;
    }
    const found = record.arrivals.find((arrival) => arrival.origin === origin && arrival.seq === seq);
    if (found !== undefined) return found.place;
    high = record.first - 1;
  }
  return undefined;
}
