/**
 * The merged state of a document: registers that keep concurrent values, add-wins sets, counters and tombstones.
 *
 * Invariants:
 *  1. The state is a function of the set of changes applied, whatever the (causal) order they came in.
 *  2. A write replaces exactly the values that its author saw; values it did not see stay beside it as siblings. How a creation's values
 *     rank beside edits is decided where they are looked at (`creation.ts`).
 *  3. An add wins over a concurrent remove; a delete wins over everything, for ever.
 *  4. `vector` says which changes are in: every one of each origin that touches this document up to that number.
 *  5. `digest` is the XOR of the identities of those changes: equal digests, equal states.
 * Source: Shapiro et al., "A comprehensive study of Convergent and Commutative Replicated Data Types", 2011; dotted version vectors.
 */
import { assert } from "./errors.js";
import type { Change, Json, Operation } from "./change.js";
import { CHAIN } from "./change.js";
import { creationsIn, type Creation } from "./creation.js";
import { hlcMs, type Hlc } from "./hlc.js";
import { copyVector, dominates, EMPTY_VECTOR, type MutableVector, type Vector } from "./vector.js";

/** The name of a change within a document: (origin, seq), or (`~`, version) if it was decided. */
export interface Dot {
  readonly origin: string;
  readonly seq: number;
}

/** Who wrote a value, when and where. */
export interface Stamp {
  readonly hlc: Hlc;
  readonly region: string;
  readonly replica: string;
  readonly actor: string;
}

export interface Sibling extends Dot, Stamp {
  readonly value: Json;
  readonly was: Json;
}

export interface Section {
  born: Stamp | null;
  dead: Stamp | null;
  /** The latest change that touched this section. */
  touched: Stamp | null;
  /** The changes that brought it into being, by dot; none once it was deleted. */
  creations: readonly Creation[];
  readonly registers: Map<string, readonly Sibling[]>;
  readonly sets: Map<string, Map<string, readonly Dot[]>>;
  readonly counters: Map<string, number>;
}

export const DIGEST_BYTES = 16;

/** Splits `<partition>/<type>/<id>`. */
export function parseKey(key: string): { partition: string; type: string; id: string } {
  const [partition = "", type = "", id = ""] = key.split("/");
  return { partition, type, id };
}

export function keyOf(partition: string, type: string, id: string): string {
  return `${partition}/${type}/${id}`;
}

/**
 * The sections of a document by id. One that nobody looks at stays as it is stored: an incident may have thousands of updates, of
 * which a write touches one, and in their stored form they take a third of the memory and no time to load.
 */
export class Sections {
  private readonly held = new Map<string, Section | Uint8Array>();
  private unseen: Set<string> | undefined;

  /**
   * Ids of sections that may differ from when they were last taken out of here; all, when it is first asked for. For one reader, which keeps what it
   * derives of the sections (`store/timeline-index.ts`) and takes out what it has looked at.
   */
  get changed(): Set<string> {
    this.unseen ??= new Set(this.held.keys());
    return this.unseen;
  }

  /** How many of them there are, without beginning to note them. */
  get changedCount(): number {
    return this.unseen?.size ?? this.held.size;
  }

  /** To be called before a section is changed in its place. */
  note(id: string): void {
    this.unseen?.add(id);
  }

  get size(): number {
    return this.held.size;
  }

  has(id: string): boolean {
    return this.held.has(id);
  }

  get(id: string): Section | undefined {
    const found = this.held.get(id);
    return found instanceof Uint8Array ? this.unpack(id, found) : found;
  }

  /** As `get`; the section stays in the form in which it is held, and must not be changed. */
  peek(id: string): Section | undefined {
    const found = this.held.get(id);
    return found instanceof Uint8Array ? decodeSection(decoder.decode(found)) : found;
  }

  set(id: string, section: Section): this {
    this.held.set(id, section);
    this.note(id);
    return this;
  }

  /** Takes a section in, or puts it back, in its stored form (`encodeSection`). The bytes must not change afterwards. */
  pack(id: string, stored: Uint8Array): void {
    if (!this.held.has(id)) this.note(id);
    this.held.set(id, stored);
  }

  private unpack(id: string, stored: Uint8Array): Section {
    const section = decodeSection(decoder.decode(stored));
    this.held.set(id, section);
    return section;
  }

  *[Symbol.iterator](): Generator<[string, Section]> {
    for (const [id, found] of this.held) yield [id, found instanceof Uint8Array ? this.unpack(id, found) : found];
  }

  *values(): Generator<Section> {
    for (const [, section] of this) yield section;
  }

  /** Copies all of it to another document, which then shares nothing that changes. */
  copyTo(other: Sections): void {
    for (const [id, found] of this.held) other.held.set(id, found instanceof Uint8Array ? found : copyOfSection(found));
  }
}

const decoder = new TextDecoder();

function copyOfSection(section: Section): Section {
  const sets = new Map([...section.sets].map(([field, set]) => [field, new Map(set)]));
  return { ...section, registers: new Map(section.registers), sets, counters: new Map(section.counters) };
}

export class DocumentState {
  readonly partition: string;
  readonly type: string;
  readonly id: string;
  vector: MutableVector = copyVector(EMPTY_VECTOR);
  digest = new Uint8Array(DIGEST_BYTES);
  /** The latest change, by HLC. */
  touched: Stamp | null = null;
  readonly sections = new Sections();

  constructor(readonly key: string) {
    ({ partition: this.partition, type: this.type, id: this.id } = parseKey(key));
  }

  /** The last decided version held. */
  get version(): number {
    return this.vector[CHAIN] ?? 0;
  }

  get root(): Section | undefined {
    return this.sections.get("");
  }

  /** Created and not deleted. */
  get alive(): boolean {
    const root = this.root;
    return root !== undefined && root.born !== null && root.dead === null;
  }

  get deleted(): boolean {
    return this.root?.dead != null;
  }

  holds(dot: Dot): boolean {
    return (this.vector[dot.origin] ?? 0) >= dot.seq;
  }

  /**
   * Applies one change. The caller has checked that the document holds the change's context and not the change itself.
   * Returns the ids of the sections that differ afterwards.
   */
  apply(change: Change, dot: Dot, identity: Uint8Array): ReadonlySet<string> {
    assert(change.document === this.key, "a change goes into its own document");
    assert(dominates(this.vector, change.context), "a change follows all that it depends on");
    assert(!this.holds(dot), "a change takes effect once");
    if (dot.origin === CHAIN) assert(dot.seq === this.version + 1, "versions of a chain follow each other");
    const stamp: Stamp = { hlc: change.hlc, region: change.region, replica: change.replica, actor: change.actor };
    const touched = new Set<string>();
    for (const operation of change.operations) {
      touched.add(operation.section);
      this.operate(operation, change.context, dot, stamp);
    }
    for (const [id, creation] of creationsIn(change, dot)) {
      const section = this.section(id);
      if (section.dead === null) section.creations = [...section.creations, creation].sort(byDot);
    }
    this.vector[dot.origin] = dot.seq;
    for (let i = 0; i < DIGEST_BYTES; i++) this.digest[i] = (this.digest[i] ?? 0) ^ (identity[i] ?? 0);
    if (change.operations.length > 0) this.touched = laterStamp(this.touched, stamp);
    return touched;
  }

  private section(id: string): Section {
    let section = this.sections.get(id);
    if (section === undefined) {
      section = { born: null, dead: null, touched: null, creations: [], registers: new Map(), sets: new Map(), counters: new Map() };
      this.sections.set(id, section);
    }
    this.sections.note(id);
    return section;
  }

  private operate(operation: Operation, context: Vector, dot: Dot, stamp: Stamp): void {
    const section = this.section(operation.section);
    section.touched = laterStamp(section.touched, stamp);
    if (operation.op === "delete") {
      section.dead = earlierStamp(section.dead, stamp);
      section.creations = [];
      section.registers.clear();
      section.sets.clear();
      section.counters.clear();
      return;
    }
    if (operation.op === "create") {
      section.born = earlierStamp(section.born, stamp);
      return;
    }
    if (section.dead !== null) return;
    switch (operation.op) {
      case "set": {
        const { hlc, region, replica, actor } = stamp;
        const written: Sibling = { origin: dot.origin, seq: dot.seq, hlc, region, replica, actor, value: operation.value, was: operation.was };
        const kept = section.registers.get(operation.field)?.filter((sibling) => !covers(context, sibling) && !sameDot(sibling, dot));
        section.registers.set(operation.field, kept === undefined || kept.length === 0 ? [written] : [...kept, written].sort(bySiblingOrder));
        return;
      }
      case "add":
      case "remove": {
        const set = section.sets.get(operation.field) ?? new Map<string, readonly Dot[]>();
        section.sets.set(operation.field, set);
        const kept = (set.get(operation.element) ?? []).filter((added) => !covers(context, added) && !sameDot(added, dot));
        if (operation.op === "add") kept.push({ origin: dot.origin, seq: dot.seq });
        kept.sort(byDot);
        if (kept.length === 0) set.delete(operation.element);
        else set.set(operation.element, kept);
        return;
      }
      case "count":
        section.counters.set(operation.field, (section.counters.get(operation.field) ?? 0) + operation.by);
    }
  }

  /** A copy that shares nothing that changes, for building a candidate on. */
  clone(): DocumentState {
    const copy = new DocumentState(this.key);
    copy.vector = copyVector(this.vector);
    copy.digest = this.digest.slice();
    copy.touched = this.touched;
    this.sections.copyTo(copy.sections);
    return copy;
  }
}

function covers(context: Vector, dot: Dot): boolean {
  return (context[dot.origin] ?? 0) >= dot.seq;
}

function sameDot(a: Dot, b: Dot): boolean {
  return a.origin === b.origin && a.seq === b.seq;
}

function byDot(a: Dot, b: Dot): number {
  return a.origin < b.origin ? -1 : a.origin > b.origin ? 1 : a.seq - b.seq;
}

/** Latest first; equal stamps (one change written into two logs) by dot. */
function bySiblingOrder(a: Sibling, b: Sibling): number {
  return a.hlc > b.hlc ? -1 : a.hlc < b.hlc ? 1 : byDot(a, b);
}

function laterStamp(a: Stamp | null, b: Stamp): Stamp {
  return a === null || b.hlc > a.hlc ? b : a;
}

function earlierStamp(a: Stamp | null, b: Stamp): Stamp {
  return a === null || b.hlc < a.hlc ? b : a;
}

/** Canonical text of a JSON value: equal values, equal texts. */
export function canonical(value: Json): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (typeof value === "object" && value !== null) {
    const record = value as { readonly [key: string]: Json };
    return `{${Object.keys(record).sort().map((key) => `${JSON.stringify(key)}:${canonical(record[key] ?? null)}`).join(",")}}`;
  }
  return JSON.stringify(value);
}

/** True if the siblings of a register hold more than one distinct value. */
export function disagree(siblings: readonly Sibling[]): boolean {
  if (siblings.length < 2) return false;
  const first = canonical(siblings[0]?.value ?? null);
  return siblings.some((sibling) => canonical(sibling.value) !== first);
}

type StampRow = readonly [origin: string, seq: number, hlc: Hlc, region: string, replica: string, actor: string];

interface StoredSection {
  /** Who wrote what, once each. */
  readonly t: readonly StampRow[];
  /** Places in `t`: born, dead, touched. */
  readonly m: readonly (number | null)[];
  readonly r: readonly (readonly [field: string, siblings: readonly (readonly [place: number, value: Json, was: Json])[]])[];
  readonly s: readonly (readonly [field: string, elements: readonly (readonly [element: string, dots: readonly Dot[]])[]])[];
  readonly c: readonly (readonly [field: string, count: number])[];
  /** Creations, by their places in `t`. Absent: none are known, as in what was stored by a version that did not note them. */
  readonly f?: readonly (readonly [place: number, ...names: string[]])[];
}

/** Serialised form of a section, as stored. The values of one change share its stamp, so each stamp is written once. */
export function encodeSection(section: Section): string {
  const rows: StampRow[] = [];
  const placeOf = (stamp: Stamp, dot: Dot | undefined): number => {
    for (let place = 0; place < rows.length; place++) {
      const row = rows[place];
      if (row !== undefined && row[2] === stamp.hlc && (dot === undefined || (row[0] === dot.origin && row[1] === dot.seq))) return place;
    }
    return rows.push([dot?.origin ?? "", dot?.seq ?? 0, stamp.hlc, stamp.region, stamp.replica, stamp.actor]) - 1;
  };
  const dotPlace = (origin: string, seq: number): number => {
    const place = rows.findIndex((row) => row[0] === origin && row[1] === seq);
    return place >= 0 ? place : rows.push([origin, seq, "", "", "", ""]) - 1;
  };
  const registers: [string, [number, Json, Json][]][] = [];
  for (const [field, siblings] of section.registers) registers.push([field, siblings.map((sibling) => [placeOf(sibling, sibling), sibling.value, sibling.was])]);
  const creations = section.creations.map(({ origin, seq, names }) => [dotPlace(origin, seq), ...names] as const);
  const marks = [section.born, section.dead, section.touched].map((stamp) => (stamp === null ? null : placeOf(stamp, undefined)));
  const stored: StoredSection = { t: rows, m: marks, r: registers, s: [...section.sets].map(([field, set]) => [field, [...set]]), c: [...section.counters], ...(creations.length === 0 ? {} : { f: creations }) };
  return JSON.stringify(stored);
}

export function decodeSection(text: string): Section {
  const stored = JSON.parse(text) as StoredSection;
  const siblings = stored.t.map(([origin, seq, hlc, region, replica, actor]) => ({ origin, seq, hlc, region, replica, actor }));
  const stampAt = (place: number | null | undefined): Stamp | null => {
    const row = place == null ? undefined : siblings[place];
    return row === undefined ? null : { hlc: row.hlc, region: row.region, replica: row.replica, actor: row.actor };
  };
  const siblingAt = ([place, value, was]: readonly [number, Json, Json]): Sibling => {
    const row = siblings[place];
    assert(row !== undefined, "a stored value has a stamp");
    return { ...row, value, was };
  };
  return {
    born: stampAt(stored.m[0]), dead: stampAt(stored.m[1]), touched: stampAt(stored.m[2]),
    creations: (stored.f ?? []).flatMap(([place, ...names]) => {
      const row = siblings[place];
      return row === undefined ? [] : { origin: row.origin, seq: row.seq, names };
    }),
    registers: new Map(stored.r.map(([field, values]) => [field, values.map(siblingAt)])),
    sets: new Map(stored.s.map(([field, set]) => [field, new Map(set)])),
    counters: new Map(stored.c),
  };
}

/** When the document was created, ms since the epoch; 0 if it was not. */
export function createdMs(document: DocumentState): number {
  const born = document.root?.born;
  return born == null ? 0 : hlcMs(born.hlc);
}
