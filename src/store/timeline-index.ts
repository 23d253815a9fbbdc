/**
 * What lists and heads say of the updates of an incident or a maintenance, kept beside the document: an incident may have a hundred thousand updates, of which
 * a page shows the latest few. Each update is looked at once, and again when it changes; none is kept parsed.
 *
 * Invariants:
 *  1. `refresh` brings the index up to what the document holds; after it, the index is a function of the document and its page's rules alone.
 *  2. Updates whose concurrent values meet are looked at with every refresh: what of them is shown may change without them.
 */
import { hlcTime, type Hlc } from "../core/hlc.js";
import type { Json } from "../core/change.js";
import { COMPONENT_STATUSES } from "./conflicts.js";
import type { DocumentReader } from "./document-reader.js";

export interface TimelineEntry {
  readonly id: string;
  /** When it was made. */
  readonly hlc: Hlc;
  readonly status: string;
}

interface Entry extends TimelineEntry {
  /** The time that it shows, RFC 3339; undefined where that is when it was made. */
  readonly displayAt: string | undefined;
  /** Place of the worst component status that it states, among `COMPONENT_STATUSES`; -1 if it states none. */
  readonly worst: number;
}

const FIELDS = ["status", "display_at", "affected"] as const;
/** From so many new ones on the order is made anew instead of being kept at each. */
const BULK = 64;

export class TimelineIndex {
  private readonly entries = new Map<string, Entry>();
  private readonly contested = new Set<string>();
  /** By (created, id), the oldest first. */
  private order: Entry[] = [];
  private isOrdered = true;
  /** By the time that they show, the latest first; undefined until it is asked for. */
  private display: readonly Entry[] | undefined;
  private displayed = 0;
  private readonly stated: number[] = COMPONENT_STATUSES.map(() => 0);

  get count(): number {
    return this.entries.size;
  }

  refresh(document: DocumentReader): void {
    for (const id of this.contested) document.changedElements.add(id);
    this.readAhead(document, Number.POSITIVE_INFINITY);
  }

  /** Looks at what has changed, `elementsMax` updates at most. True while there is more. */
  readAhead(document: DocumentReader, elementsMax: number): boolean {
    const { changedElements } = document;
    const isBulk = changedElements.size > BULK;
    let looked = 0;
    for (const id of changedElements) {
      if (++looked > elementsMax) return true;
      changedElements.delete(id);
      this.look(document, id, isBulk);
    }
    if (!this.isOrdered) {
      this.order = [...this.entries.values()].sort(byCreation);
      this.isOrdered = true;
    }
    return false;
  }

  /** By creation, the newest first. */
  *newestFirst(): Generator<TimelineEntry> {
    for (let at = this.order.length - 1; at >= 0; at--) {
      const entry = this.order[at];
      if (entry !== undefined) yield entry;
    }
  }

  /** Ids of updates as they are shown: the latest first by the time that they show, `countMax` at most, from the one on that follows `after`. Undefined if there is no such one. */
  shown(countMax: number, after?: string): readonly string[] | undefined {
    const length = this.order.length;
    const display = this.displayed === 0 ? undefined : this.byDisplay();
    const nth = (at: number): Entry | undefined => (display === undefined ? this.order[length - 1 - at] : display[at]);
    let from = 0;
    if (after !== undefined) {
      const entry = this.entries.get(after);
      if (entry === undefined) return undefined;
      from = (display === undefined ? length - 1 - this.order.indexOf(entry) : display.indexOf(entry)) + 1;
    }
    const ids: string[] = [];
    for (let at = from; at < length && ids.length < countMax; at++) ids.push(nth(at)?.id ?? "");
    return ids;
  }

  private byDisplay(): readonly Entry[] {
    this.display ??= [...this.order].reverse().sort(byDisplay);
    return this.display;
  }

  /** The worst status that any update stated of a component; undefined if none did. */
  get worstStated(): string | undefined {
    return COMPONENT_STATUSES[this.stated.findLastIndex((count) => count > 0)];
  }

  private look(document: DocumentReader, id: string, isBulk: boolean): void {
    const before = this.entries.get(id);
    const seen = document.glance(id, FIELDS);
    if (before !== undefined) this.leave(before);
    if (seen?.isContested === true) this.contested.add(id);
    else this.contested.delete(id);
    const entry = seen === undefined ? undefined : entryOf(id, seen.born.hlc, seen.values);
    if (entry !== undefined) this.enter(entry);
    this.display = undefined;
    if (isBulk || !this.isOrdered) this.isOrdered = false;
    else this.place(before, entry);
  }

  private enter(entry: Entry): void {
    this.entries.set(entry.id, entry);
    if (entry.displayAt !== undefined) this.displayed++;
    if (entry.worst >= 0) this.stated[entry.worst] = (this.stated[entry.worst] ?? 0) + 1;
  }

  private leave(entry: Entry): void {
    this.entries.delete(entry.id);
    if (entry.displayAt !== undefined) this.displayed--;
    if (entry.worst >= 0) this.stated[entry.worst] = (this.stated[entry.worst] ?? 0) - 1;
  }

  private place(before: Entry | undefined, entry: Entry | undefined): void {
    if (before !== undefined) this.order.splice(this.placeOf(before), 1);
    if (entry === undefined) return;
    const last = this.order.at(-1);
    if (last === undefined || byCreation(last, entry) < 0) this.order.push(entry);
    else this.order.splice(this.placeOf(entry), 0, entry);
  }

  /** Where an entry is, or would be. */
  private placeOf(entry: Entry): number {
    let [low, high] = [0, this.order.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      const other = this.order[middle];
      if (other !== undefined && byCreation(other, entry) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function entryOf(id: string, hlc: Hlc, [status, displayAt, affected]: readonly Json[]): Entry {
  let worst = -1;
  for (const one of Array.isArray(affected) ? affected : []) {
    // What came back because the subject ended was stated by nobody.
    const { new_status: stated, restored } = (one ?? {}) as { readonly new_status?: Json; readonly restored?: Json };
    if (restored !== true) worst = Math.max(worst, (COMPONENT_STATUSES as readonly (Json | undefined)[]).indexOf(stated));
  }
  return { id, hlc, status: typeof status === "string" ? status : "", displayAt: typeof displayAt === "string" ? displayAt : undefined, worst };
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function byCreation(a: Entry, b: Entry): number {
  return compare(a.hlc, b.hlc) || compare(a.id, b.id);
}

/** Sorting is stable: what shows the same time stays as it was. */
function byDisplay(a: Entry, b: Entry): number {
  return compare(b.displayAt ?? hlcTime(b.hlc), a.displayAt ?? hlcTime(a.hlc));
}

/** One a document in memory; it goes with it. */
const indexes = new WeakMap<object, TimelineIndex>();

function indexOf(document: DocumentReader): TimelineIndex {
  const { elementsHolder } = document;
  let index = indexes.get(elementsHolder);
  if (index === undefined) {
    index = new TimelineIndex();
    indexes.set(elementsHolder, index);
  }
  return index;
}

/** The index of a document's updates, up to date. */
export function timelineOf(document: DocumentReader): TimelineIndex {
  const index = indexOf(document);
  index.refresh(document);
  return index;
}

/** Brings the index of a long timeline on by so many updates. True while there is more. */
export function readTimelineAhead(document: DocumentReader, elementsMax: number): boolean {
  return indexOf(document).readAhead(document, elementsMax);
}
