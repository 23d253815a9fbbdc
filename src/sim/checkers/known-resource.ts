/**
 * One resource for those who follow what is known of it: which writes superseded which, and what a sight must show.
 * Sets of writes are sets of their places among the writes of the resource; place `writes.length` says that it was seen to be deleted.
 */
import type { Sight } from "../history.js";
import { canonical, type HistoryIndex, type LogicalWrite, type ResourceRecord } from "../history-index.js";
import { PlaceSet } from "../place-set.js";
import { takenBackAtMs } from "./forgetting.js";
import { isTelling } from "./register.js";

export interface Contradiction {
  /** The write that is not respected, where one can be named. */
  readonly ignored: LogicalWrite | undefined;
  /** True if the operation was told of it before; false if it is contradicted by what the same answer shows beside it. */
  readonly toldBefore: boolean;
  /** In words, without the operation. */
  readonly what: string;
}

export class KnownResource {
  private readonly writes: readonly LogicalWrite[];
  private readonly places: ReadonlyMap<LogicalWrite, number>;
  private readonly deleted: number;
  /** What each write superseded: known before every request for it. */
  private readonly pasts: (PlaceSet | undefined)[] = [];
  /** By which each was superseded. */
  private readonly superseders: PlaceSet[];
  /** Member (`= <field>`, `+ <set>`, `- <set>`) → the writes that touch it. */
  private readonly touching: ReadonlyMap<string, PlaceSet>;
  /** `<set> <element>` → when it was first asked to be removed. */
  private readonly removedFromMs = new Map<string, number>();
  private readonly deletedFromMs: number;
  /** From when on nobody is owed a write any more; those that are owed for ever are not in. */
  private readonly owedUntilMs: ReadonlyMap<number, number>;

  constructor(readonly record: ResourceRecord, private readonly index: HistoryIndex, private readonly touched: boolean) {
    this.writes = record.writes;
    this.places = new Map(this.writes.map((write, place) => [write, place]));
    this.deleted = this.writes.length;
    this.superseders = this.writes.map(() => PlaceSet.NONE);
    this.deletedFromMs = Math.min(Number.POSITIVE_INFINITY, ...this.writes.filter(({ kind }) => kind === "delete").map(({ invokedAtMs }) => invokedAtMs));
    const owedUntilMs = this.writes.map((write, place) => [place, takenBackAtMs(write, index.history)] as const).filter(([, untilMs]) => untilMs < Number.POSITIVE_INFINITY);
    this.owedUntilMs = new Map(owedUntilMs);
    const touching = new Map<string, number[]>();
    for (const [place, { written: { fields = {}, added = {}, removed = {} }, invokedAtMs }] of this.writes.entries()) {
      const members = [...Object.keys(fields).map((field) => `= ${field}`), ...Object.keys(added).map((set) => `+ ${set}`), ...Object.keys(removed).map((set) => `- ${set}`)];
      for (const member of members) touching.set(member, [...(touching.get(member) ?? []), place]);
      for (const [set, elements] of Object.entries(removed)) for (const element of elements) this.removedFromMs.set(`${set} ${element}`, Math.min(invokedAtMs, this.removedFromMs.get(`${set} ${element}`) ?? invokedAtMs));
    }
    this.touching = new Map([...touching].map(([member, places]) => [member, PlaceSet.of(places)]));
  }

  private past(place: number): PlaceSet {
    return this.pasts[place] ?? PlaceSet.NONE;
  }

  private placeOf(write: LogicalWrite): number {
    return this.places.get(write) ?? this.deleted;
  }

  /** A request for a write was made by somebody who knew this. */
  asked(write: LogicalWrite, known: PlaceSet): void {
    const place = this.places.get(write);
    if (place === undefined) return;
    const before = this.pasts[place];
    const past = before === undefined ? known : before.intersection(known);
    this.pasts[place] = past;
    if (before === undefined) for (const superseded of past) this.superseded(superseded, (by) => by.with(place));
    else for (const superseded of before) if (!past.has(superseded)) this.superseded(superseded, (by) => PlaceSet.of([...by].filter((other) => other !== place)));
  }

  private superseded(place: number, change: (by: PlaceSet) => PlaceSet): void {
    const by = this.superseders[place];
    if (by !== undefined) this.superseders[place] = change(by);
  }

  /** Each write that was asked for by somebody who knew of others, with those of them that nobody has taken back. */
  *pastsOfWrites(): Generator<readonly [write: LogicalWrite, known: readonly LogicalWrite[]]> {
    for (const [place, write] of this.writes.entries()) {
      const known = [...this.past(place)].flatMap((earlier) => (earlier === this.deleted || this.owedUntilMs.has(earlier) ? [] : (this.writes[earlier] ?? [])));
      if (known.length > 0) yield [write, known];
    }
  }

  /** What is known once a write has taken effect. */
  effectOf(write: LogicalWrite): PlaceSet {
    const place = this.places.get(write);
    if (place === undefined) return PlaceSet.NONE;
    const effect = this.past(place).with(place);
    return write.kind === "delete" ? effect.with(this.deleted) : effect;
  }

  /** The writes that a sight shows, and what those knew. */
  shown(sight: Sight, known: PlaceSet): PlaceSet {
    if (!sight.found) return known.isEmpty ? PlaceSet.NONE : known.with(this.deleted);
    let seen = PlaceSet.NONE;
    const add = (writers: readonly LogicalWrite[]): void => {
      const [writer] = writers;
      const place = writer === undefined || writers.length !== 1 ? undefined : this.places.get(writer);
      if (place !== undefined && !seen.has(place)) seen = seen.union(this.past(place).with(place));
    };
    for (const [field, value] of Object.entries(sight.fields ?? {})) if (isTelling(value)) add(this.index.writersOfField(this.record.name, field, value));
    for (const [set, elements] of Object.entries(sight.sets ?? {})) for (const element of elements) add(this.index.writersOfElement(this.record.name, set, element));
    return seen;
  }

  /** Of what is known that which must still be shown. */
  private owed(known: PlaceSet, atMs: number): PlaceSet {
    if (this.owedUntilMs.size === 0) return known;
    const isOwed = (place: number): boolean => (this.owedUntilMs.get(place) ?? Number.POSITIVE_INFINITY) > atMs;
    const isDeleted = this.writes.some(({ kind }, place) => kind === "delete" && known.has(place) && isOwed(place));
    return PlaceSet.of([...known].filter((place) => (place === this.deleted ? isDeleted : isOwed(place))));
  }

  /** Where a sight does not show what was known (`told`), or what it shows itself (`shown`). */
  *contradictions(sight: Sight, told: PlaceSet, shown: PlaceSet, returnedAtMs: number): Generator<Contradiction> {
    const [known, seen] = [this.owed(told, returnedAtMs), this.owed(shown, returnedAtMs)];
    const all = sight.found ? known.union(seen) : known;
    if (all.isEmpty) return;
    if (!sight.found) {
      if (this.touched || this.deletedFromMs <= returnedAtMs) return;
      const [place] = known;
      yield this.contradiction(place, known, "it is not there, although it was known to exist and nobody deleted it");
    } else if (known.has(this.deleted)) {
      const place = [...known].find((one) => this.writes[one]?.kind === "delete");
      yield { ignored: place === undefined ? undefined : this.writes[place], toldBefore: true, what: "it is shown although it was known to be deleted" };
    } else {
      for (const [field, value] of Object.entries(sight.fields ?? {})) yield* this.field(field, value, known, all);
      for (const [set, elements] of Object.entries(sight.sets ?? {})) yield* this.set(set, new Set(elements), known, all, returnedAtMs);
    }
  }

  private contradiction(place: number | undefined, known: PlaceSet, what: string): Contradiction {
    return { ignored: place === undefined ? undefined : this.writes[place], toldBefore: place === undefined || known.has(place), what };
  }

  private *field(field: string, value: NonNullable<Sight["fields"]>[string], known: PlaceSet, all: PlaceSet): Generator<Contradiction> {
    // Who else may have written it is not recorded, or many did.
    if (this.touched && !isTelling(value)) return;
    const written = this.touching.get(`= ${field}`);
    if (written === undefined) return;
    const writers = this.index.writersOfField(this.record.name, field, value);
    if (writers.length === 0) {
      const place = all.firstIn(written);
      if (place !== undefined) yield this.contradiction(place, known, `${field} is ${JSON.stringify(value)}, as before the run or as made by nobody`);
      return;
    }
    const others = all.intersection(written);
    let ignored: number | undefined;
    // The latest of them is the likeliest to stand.
    for (const writer of [...writers].reverse()) {
      const place = isManifold(writer) ? undefined : others.firstIn(this.superseders[this.placeOf(writer)] ?? PlaceSet.NONE);
      if (place === undefined || writers.some((other) => this.placeOf(other) === place)) return;
      ignored = place;
    }
    const by = ignored === undefined ? undefined : this.writes[ignored]?.written.fields?.[field];
    yield this.contradiction(ignored, known, `${field} is ${JSON.stringify(value)}, which had been replaced by ${canonical(by ?? null)}`);
  }

  private *set(set: string, elements: ReadonlySet<string>, known: PlaceSet, all: PlaceSet, returnedAtMs: number): Generator<Contradiction> {
    const adding = this.touching.get(`+ ${set}`);
    for (const place of adding === undefined ? [] : all.intersection(adding)) {
      for (const element of this.writes[place]?.written.added?.[set] ?? []) {
        if (elements.has(element) || (this.removedFromMs.get(`${set} ${element}`) ?? Number.POSITIVE_INFINITY) <= returnedAtMs) continue;
        yield this.contradiction(place, known, `${set} lacks ${JSON.stringify(element)}, which nobody removed`);
      }
    }
    const removing = this.touching.get(`- ${set}`);
    for (const place of removing === undefined ? [] : all.intersection(removing)) {
      for (const element of this.writes[place]?.written.removed?.[set] ?? []) {
        if (!elements.has(element)) continue;
        const adders = this.index.writersOfElement(this.record.name, set, element);
        const past = this.past(place);
        if (adders.length > 0 && adders.every((adder) => !isManifold(adder) && past.has(this.placeOf(adder)))) yield this.contradiction(place, known, `${set} has ${JSON.stringify(element)}, which had been removed`);
      }
    }
  }
}

/** Asked for at several replicas without a quorum: each makes a change of its own, and who saw one of them has not seen the others. Creations are one for all that. */
function isManifold({ kind, operations }: LogicalWrite): boolean {
  return kind !== "create" && operations.length > 1 && operations.some(({ level }) => level !== "GLOBAL_QUORUM") && new Set(operations.map(({ replica }) => replica)).size > 1;
}
