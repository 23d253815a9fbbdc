/**
 * What a store keeps of the pages, where an edge is told to keep some only, and what is dropped of those that it keeps no more.
 *
 * Invariants:
 *  1. `kept` are the pages whose entries are taken as they arrive; of others nothing is stored, although the vector counts them.
 *  2. `whole` are those of them of which all is here that the vector says. A page that is added makes the vector begin anew (`recovery.ts`).
 */
import { ALL_PAGES, KeptPages, NO_PAGE } from "../core/kept-pages.js";
import type { Storage, StorageWrite } from "../core/ports.js";
import { keyspace } from "./keyspace.js";

export interface PageCoverage {
  readonly kept: KeptPages;
  readonly whole: KeptPages;
}

/** What belongs to no page, and nothing else. */
const NO_PAGES = new KeptPages([NO_PAGE]);
const EVERYTHING: PageCoverage = { kept: ALL_PAGES, whole: ALL_PAGES };
const encoder = new TextEncoder();

export function encodeCoverage({ kept, whole }: PageCoverage): Uint8Array {
  return encoder.encode(JSON.stringify({ kept: kept.ids, whole: whole.ids }));
}

/** A store without the record keeps everything. */
export function decodeCoverage(value: Uint8Array | undefined): PageCoverage {
  if (value === undefined) return EVERYTHING;
  const { kept, whole } = JSON.parse(Buffer.from(value).toString()) as { readonly kept: readonly string[]; readonly whole: readonly string[] };
  return { kept: new KeptPages(kept), whole: new KeptPages(whole) };
}

/** The coverage of an empty store. One that keeps everything is whole as any replica is: with what it has met. */
export function coverageOfFresh(kept: KeptPages): PageCoverage {
  return { kept, whole: kept.all ? ALL_PAGES : NO_PAGES };
}

/** The pages that both keep. */
export function common(one: KeptPages, other: KeptPages): KeptPages {
  if (other.covers(one)) return one;
  const ids = other.ids.filter((id) => one.keepsPartition(id));
  return ids.length === 0 ? NO_PAGES : new KeptPages(ids);
}

/** Kinds of records that lie by the document that they belong to, but for its header. */
const KINDS = ["b", "c", "h", "p", "q"] as const;

/** Deletes of the store what belongs to pages that are not kept; headers are left to the caller, who must account for them. */
export async function dropBodies(storage: Storage, kept: KeptPages): Promise<void> {
  for (const kind of KINDS) {
    for await (const partition of strayPartitions(storage, kind, kept)) {
      await clear(storage, { from: `${kind}/${partition}/`, to: `${kind}/${partition}0` }, (key) => {
        const [, , type, scope = ""] = key.split("/");
        return kind === "c" && type === "idempotency" ? [keyspace.idempotencyOf(scope)] : [];
      });
    }
  }
  await clear(storage, keyspace.quarantines, () => []);
}

interface Range {
  readonly from: string;
  readonly to: string;
}

/** Deletes a range, a page at a time, and with each key the ranges that belong to it. */
async function clear(storage: Storage, range: Range, belonging: (key: string) => readonly Range[]): Promise<void> {
  for await (const page of storage.scan(range)) {
    const writes: StorageWrite[] = [];
    for (const [key] of page) {
      for (const one of belonging(key)) for await (const others of storage.scan(one)) for (const [other] of others) writes.push({ del: other });
      writes.push({ del: key });
    }
    await storage.write(writes);
  }
}

/** Partitions of records of a kind that are not kept, in order: one look at the store for each partition. */
async function* strayPartitions(storage: Storage, kind: string, kept: KeptPages): AsyncIterable<string> {
  const to = `${kind}0`;
  for (let from = `${kind}/`; ; ) {
    let first: string | undefined;
    for await (const page of storage.scan({ from, to, limit: 1 })) first = page[0]?.[0];
    const partition = first?.split("/")[1];
    if (partition === undefined) return;
    if (!kept.keepsPartition(partition)) yield partition;
    from = `${kind}/${partition}0`;
  }
}
