/**
 * Which Automerge operations follow from a change. Knows no Automerge: gives plain operations with explicit ids.
 *
 * Invariants:
 *  1. The operations, their ids and their predecessors are a function of the change and of the changes in its past alone: not of
 *     what else was folded before it, nor in which order or batches. So all replicas encode the same Automerge change.
 *  2. Nothing but the genesis makes objects. Sections are parts of keys (`<section>/<field>`), so that two regions that begin
 *     the same section at once write into the same map, and no map is ever removed.
 *  3. A delete is an entry in `deleted`; what was written in the section before, or beside it, stays in the history.
 * Source: Automerge binary document format (operation ids, predecessors); `core/document.ts` for what the operations mean.
 */
import { createHash } from "node:crypto";
import { CHAIN, type Change, type Json, type Operation } from "../core/change.js";
import { canonical, type Dot } from "../core/document.js";
import type { Hlc } from "../core/hlc.js";
import { copyVector, dominates, EMPTY_VECTOR, join, joinInto, type MutableVector, type Vector } from "../core/vector.js";

export interface AutomergeOperation {
  readonly action: "makeMap" | "set" | "inc" | "del";
  readonly obj: string;
  readonly key: string;
  readonly value?: string | number | boolean | null;
  readonly datatype?: "int" | "counter";
  readonly pred: readonly string[];
}

/** The maps of a document, in the order in which its genesis makes them. */
export const MAPS = ["registers", "sets", "counters", "born", "deleted"] as const;
export type MapName = (typeof MAPS)[number];

export const GENESIS_ACTOR = "0".repeat(32);

const OBJECTS = Object.fromEntries(MAPS.map((name, i) => [name, `${i + 1}@${GENESIS_ACTOR}`])) as Record<MapName, string>;

export function objectOf(map: MapName): string {
  return OBJECTS[map];
}

/** The operations of the one change that every document begins with, the same in every region. */
export function genesisOperations(document: string): AutomergeOperation[] {
  return [
    ...MAPS.map((name): AutomergeOperation => ({ action: "makeMap", obj: "_root", key: name, pred: [] })),
    { action: "set", obj: "_root", key: "document", value: document, pred: [] },
  ];
}

/** A folded change: where it stands in the document's history. */
export interface Placed extends Dot {
  readonly actor: string;
  /** The n-th change of its origin in this document, from 1. */
  readonly actorSeq: number;
  readonly startOp: number;
  readonly deps: readonly string[];
  /** Everything that happened before it. */
  readonly past: Vector;
  /** Number of its last operation; `startOp - 1` if it has none. */
  maxOp: number;
  hash: string;
}

/** One write to a key. `operation`: its Automerge id, null for a removal. `parents`: the writes to the key that its author saw. */
interface Written {
  readonly by: Placed;
  readonly operation: string | null;
  readonly parents: readonly Written[];
}

/** What folding must know of a document's history. */
export class FoldingIndex {
  readonly vector: MutableVector = copyVector(EMPTY_VECTOR);
  count = 0;
  private readonly actors = new Map<string, string>();
  private readonly placed = new Map<string, Placed[]>();
  /** Object and key → the writes that no other folded write follows. */
  private readonly frontiers = new Map<string, readonly Written[]>();

  constructor(readonly document: string, private readonly genesisHash: string) {}

  holds(dot: Dot): boolean {
    return (this.vector[dot.origin] ?? 0) >= dot.seq;
  }

  /** Why a change that is not held cannot be folded now; undefined if it can. */
  obstacle(dot: Dot, change: Change): string | undefined {
    if (change.document !== this.document) return "it belongs to another document";
    if (change.version !== undefined && change.version !== dot.seq) return "its version is not its number";
    if (!dominates(this.vector, change.context)) return "its context is not folded yet";
    return (change.context[dot.origin] ?? 0) < dot.seq ? undefined : "its context holds itself";
  }

  /** Places a change and says which operations it becomes. The caller sets `hash` before the next call. */
  add(dot: Dot, change: Change): { placed: Placed; operations: readonly AutomergeOperation[] } {
    const placed = this.place(dot, change);
    const operations = new OperationWriter(this.frontiers, placed, change.hlc).write(change.operations);
    placed.maxOp = placed.startOp + operations.length - 1;
    const ofOrigin = this.placed.get(dot.origin);
    if (ofOrigin === undefined) this.placed.set(dot.origin, [placed]);
    else ofOrigin.push(placed);
    this.vector[dot.origin] = dot.seq;
    this.count++;
    return { placed, operations };
  }

  /** Automerge heads of all that is folded, sorted. */
  heads(): string[] {
    const heads = this.maximal(this.vector).map((placed) => placed.hash);
    return heads.length === 0 ? [this.genesisHash] : heads.sort();
  }

  private place(dot: Dot, change: Change): Placed {
    const own = this.placed.get(dot.origin);
    const before = own?.[own.length - 1];
    // Automerge puts an actor's changes in a row, so what its origin did before is in the past of a change even if the context lacks it.
    let past: Vector = change.context;
    if (before !== undefined && !covers(past, before)) {
      const joined = join(past, before.past);
      joinInto(joined, { [before.origin]: before.seq });
      past = joined;
    }
    const parents = this.maximal(past);
    const deps = parents.length === 0 ? [this.genesisHash] : parents.map((parent) => parent.hash).sort();
    const startOp = 1 + parents.reduce((most, parent) => Math.max(most, parent.maxOp), MAPS.length + 1);
    return { ...dot, actor: this.actorOf(dot.origin), actorSeq: (own?.length ?? 0) + 1, startOp, deps, past, maxOp: startOp - 1, hash: "" };
  }

  /** The changes within `vector` that no other change within it follows. */
  private maximal(vector: Vector): Placed[] {
    const latest: Placed[] = [];
    for (const origin in vector) {
      const placed = latestWithin(this.placed.get(origin), vector[origin] ?? 0);
      if (placed !== undefined) latest.push(placed);
    }
    return latest.length < 2 ? latest : latest.filter((a) => !latest.some((b) => b !== a && covers(b.past, a)));
  }

  private actorOf(origin: string): string {
    const known = this.actors.get(origin);
    if (known !== undefined) return known;
    const actor = actorOf(this.document, origin);
    this.actors.set(origin, actor);
    return actor;
  }
}

/** The Automerge actor of an origin, 16 bytes as hex; the chain of decided versions has one of its own in each document. */
export function actorOf(document: string, origin: string): string {
  const name = origin === CHAIN ? CHAIN + document : origin;
  return createHash("sha256").update(name).digest("hex").slice(0, 32);
}

/** Turns the operations of one change into Automerge's. */
class OperationWriter {
  private readonly written: AutomergeOperation[] = [];
  /** Sections that this change has begun or deleted. */
  private readonly marked = new Set<string>();

  constructor(private readonly frontiers: Map<string, readonly Written[]>, private readonly placed: Placed, private readonly hlc: Hlc) {}

  write(operations: readonly Operation[]): readonly AutomergeOperation[] {
    for (const operation of operations) this.one(operation);
    return this.written;
  }

  private one(operation: Operation): void {
    switch (operation.op) {
      case "create":
        return this.mark("born", operation.section);
      case "delete":
        return this.mark("deleted", operation.section);
      case "set":
        this.put("registers", `${operation.section}/${operation.field}`, scalarOf(operation.value));
        return;
      case "add":
        this.put("sets", elementKey(operation), { value: true });
        return;
      case "remove":
        return this.remove(elementKey(operation));
      case "count":
        return this.count(operation);
    }
  }

  private push(operation: AutomergeOperation): string {
    this.written.push(operation);
    return `${this.placed.startOp + this.written.length - 1}@${this.placed.actor}`;
  }

  /** Notes that a section began, or ended. Never overwritten: the earliest counts, whoever saw which. */
  private mark(map: "born" | "deleted", section: string): void {
    const key = `${section}/`;
    if (this.marked.has(`${map} ${key}`)) return;
    this.marked.add(`${map} ${key}`);
    this.push({ action: "set", obj: OBJECTS[map], key, value: this.hlc, pred: [] });
  }

  private put(map: MapName, key: string, scalar: Pick<AutomergeOperation, "value" | "datatype">): void {
    const parents = this.seen(map, key);
    const operation = this.push({ action: "set", obj: OBJECTS[map], key, ...scalar, pred: idsOf(parents) });
    this.follow(map, key, { by: this.placed, operation, parents });
  }

  private remove(key: string): void {
    const parents = this.seen("sets", key);
    const pred = idsOf(parents);
    if (pred.length === 0) return;
    this.push({ action: "del", obj: OBJECTS.sets, key, pred });
    this.follow("sets", key, { by: this.placed, operation: null, parents });
  }

  /** Each origin counts in a counter of its own, so that none is begun twice; the count is their sum. */
  private count({ section, field, by }: Operation & { op: "count" }): void {
    const key = `${section}/${field}/${this.placed.origin}`;
    if (!Number.isInteger(by) || Math.abs(by) > COUNTER_STEP_MAX) {
      this.push({ action: "set", obj: OBJECTS.counters, key: `${key}/${this.placed.seq}.${this.written.length}`, ...scalarOf(by), pred: [] });
      return;
    }
    const counter = this.frontiers.get(`counters ${key}`)?.[0]?.operation;
    if (counter == null) this.put("counters", key, { value: by, datatype: "counter" });
    else this.push({ action: "inc", obj: OBJECTS.counters, key, value: by, pred: [counter] });
  }

  /** The writes to a key that this change saw, each followed by none that it saw. */
  private seen(map: MapName, key: string): readonly Written[] {
    const frontier = this.frontiers.get(`${map} ${key}`);
    if (frontier === undefined) return [];
    if (frontier.every((write) => this.covers(write))) return frontier;
    const found: Written[] = [];
    // A set visits what is added to it while it is gone through, and each write once.
    const met = new Set<Written>(frontier);
    for (const write of met) {
      if (this.covers(write)) found.push(write);
      else for (const parent of write.parents) met.add(parent);
    }
    return found.filter((a) => !found.some((b) => b !== a && covers(b.by.past, a.by)));
  }

  private covers(write: Written): boolean {
    return write.by === this.placed || covers(this.placed.past, write.by);
  }

  private follow(map: MapName, key: string, write: Written): void {
    const beside = (this.frontiers.get(`${map} ${key}`) ?? []).filter((other) => !write.parents.includes(other));
    this.frontiers.set(`${map} ${key}`, [...beside, write]);
  }
}

/** Larger steps and fractions do not fit an Automerge counter, a 64-bit integer, for certain: they become entries of their own. */
const COUNTER_STEP_MAX = 2 ** 32;

function elementKey({ section, field, element }: { section: string; field: string; element: string }): string {
  return `${section}/${field}/${escapeText(element)}`;
}

/** Any text, half surrogate pairs too, as a text that UTF-8 can carry; different texts stay different. */
export function escapeText(text: string): string {
  return JSON.stringify(text).slice(1, -1);
}

export function unescapeText(text: string): string {
  return JSON.parse(`"${text}"`) as string;
}

const JSON_PREFIX = "json:";
/** Half a surrogate pair, which UTF-8 cannot carry. */
const HALF_PAIR = /\p{Surrogate}/u;

/** A register's value as a scalar: what is no plain text, safe integer, boolean or null as canonical JSON behind a prefix. */
function scalarOf(value: Json): Pick<AutomergeOperation, "value" | "datatype"> {
  if (value === null || typeof value === "boolean") return { value };
  if (typeof value === "number" && Number.isSafeInteger(value)) return { value: value + 0, datatype: "int" };
  if (typeof value === "string" && !value.startsWith(JSON_PREFIX) && !HALF_PAIR.test(value)) return { value };
  return { value: JSON_PREFIX + canonical(value) };
}

/** The value that `scalarOf` made this scalar of. */
export function valueOfScalar(scalar: string | number | boolean | null): Json {
  return typeof scalar === "string" && scalar.startsWith(JSON_PREFIX) ? (JSON.parse(scalar.slice(JSON_PREFIX.length)) as Json) : scalar;
}

function covers(vector: Vector, dot: Dot): boolean {
  return (vector[dot.origin] ?? 0) >= dot.seq;
}

/** Automerge wants predecessors in the order of their ids: by number, then by actor. */
function idsOf(writes: readonly Written[]): string[] {
  const ids = writes.flatMap((write) => (write.operation === null ? [] : [write.operation]));
  return ids.length < 2 ? ids : ids.sort((a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10) || (a < b ? -1 : 1));
}

/** The last change of a row with a number up to `bound`. */
function latestWithin(row: readonly Placed[] | undefined, bound: number): Placed | undefined {
  if (row === undefined) return undefined;
  let low = 0;
  let high = row.length;
  if ((row[high - 1]?.seq ?? 0) <= bound) return row[high - 1];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((row[middle]?.seq ?? 0) <= bound) low = middle + 1;
    else high = middle;
  }
  return row[low - 1];
}
