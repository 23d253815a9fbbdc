/** A consistent sight of the documents within one turn of the event loop, and how to get one with all bodies loaded. */
import type { DocumentHeader, Snapshot } from "./data-plane.js";
import type { PageRules } from "./conflicts.js";
import { DocumentReader } from "./document-reader.js";
import type { DocumentRecord, DocumentTable } from "./document-table.js";
import { keyOf, type DocumentState } from "../core/document.js";
import { NO_PAGE } from "../core/kept-pages.js";
import type { Vector } from "../core/vector.js";

/** Thrown inside a turn where a body is not in memory; the turn is run again once it is. */
class NotLoaded {
  constructor(readonly key: string) {}
}

/** Turns that one request may take until everything that it looks at is in memory at once. */
const TURNS_MAX = 1_000;
const NEIGHBOURS = 100;

export class TurnSnapshot implements Snapshot {
  /** What was looked at: a result stays valid while none of these has another revision. */
  readonly dependencies = new Map<string, number>();
  /** Keys that were asked for and name no living document. */
  readonly absent = new Set<string>();
  /** Batch that must be durable before anything of this is shown. */
  batch = 0;
  listed = false;
  seen: Vector | undefined;
  private readonly lists: (readonly DocumentRecord[])[] = [];

  constructor(
    private readonly table: DocumentTable,
    readonly atMs: number,
    /** States to show in the place of those held: a candidate under construction. */
    private readonly overlay?: ReadonlyMap<string, DocumentState>,
  ) {}

  get held(): Vector {
    return this.table.held();
  }

  document(key: string): DocumentReader | undefined {
    const drafted = this.overlay?.get(key);
    if (drafted !== undefined) return drafted.alive ? new DocumentReader(drafted, () => this.rulesOf(drafted.partition)) : undefined;
    const record = this.look(key);
    if (record === undefined || !record.alive) {
      this.absent.add(key);
      return undefined;
    }
    const state = this.table.body(record);
    if (state === undefined) throw new NotLoaded(key);
    return new DocumentReader(state, () => this.rulesOf(record.partition));
  }

  /** What a page has chosen; what is shown by it depends on the page's document too. */
  private rulesOf(page: string): PageRules | undefined {
    this.look(keyOf(NO_PAGE, "page", page));
    return this.table.rulesOf(page);
  }

  taken(key: string): boolean {
    const record = this.look(key);
    return (record !== undefined && (record.alive || record.deleted)) || this.overlay?.get(key)?.alive === true;
  }

  list(partition: string, type: string): readonly DocumentHeader[] {
    const list = this.table.list(partition, type);
    this.listed = true;
    this.lists.push(list);
    this.batch = Math.max(this.batch, this.table.listBatch(partition, type));
    return list;
  }

  remains(partition: string, type: string): readonly DocumentReader[] {
    const records = this.table.deleted(partition, type);
    this.listed = true;
    this.batch = Math.max(this.batch, this.table.listBatch(partition, type));
    const missing = records.find((record) => this.table.body(record) === undefined);
    if (missing !== undefined) {
      this.lists.push(records);
      throw new NotLoaded(missing.key);
    }
    return records.flatMap(({ state }) => (state?.root?.born == null ? [] : new DocumentReader(state)));
  }

  private look(key: string): DocumentRecord | undefined {
    const record = this.table.find(key);
    this.dependencies.set(key, record?.revision ?? -1);
    if (record !== undefined && record.stagedBatch > this.batch) this.batch = record.stagedBatch;
    return record;
  }

  /** The key that is missing, and what is likely to be missed next. */
  neighbours(key: string): string[] {
    for (const list of this.lists) {
      const index = list.findIndex((record) => record.key === key);
      if (index >= 0) return list.slice(index, index + NEIGHBOURS).map((record) => record.key);
    }
    return [key];
  }
}

/** Runs `turn` synchronously on a snapshot in which every body that it asks for is loaded. */
export async function inTurn<T>(table: DocumentTable, atMs: () => number, turn: (snapshot: TurnSnapshot) => T): Promise<{ value: T; snapshot: TurnSnapshot }> {
  const needed = new Set<string>();
  const take = (): { value: T; snapshot: TurnSnapshot } | undefined => {
    const snapshot = new TurnSnapshot(table, atMs());
    const attempt = tryTurn(snapshot, turn);
    if ("value" in attempt) return { value: attempt.value, snapshot };
    for (const key of attempt.missing) needed.add(key);
    return undefined;
  };
  let taken = take();
  for (let turns = 0; taken === undefined && turns < TURNS_MAX; turns++) taken = await table.withBodies(needed, take);
  if (taken !== undefined) return taken;
  throw new Error("the documents of one request do not fit into memory");
}

/** Runs `turn` once; tells what must be loaded if it could not go through. */
export function tryTurn<T>(snapshot: TurnSnapshot, turn: (snapshot: TurnSnapshot) => T): { value: T } | { missing: string[] } {
  try {
    return { value: turn(snapshot) };
  } catch (thrown) {
    if (thrown instanceof NotLoaded) return { missing: snapshot.neighbours(thrown.key) };
    throw thrown;
  }
}
