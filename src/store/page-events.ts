/**
 * The latest log entries as what a page's public may hear of: which event each is, and what somebody who left at a position has missed.
 *
 * Invariants:
 *  1. A position is the vector of a replica, so any region can tell what lies beyond another region's.
 *  2. A log entry is an event once: a decided change that two logs carry is one, whichever of them a client has seen.
 *  3. Where not everything beyond a position is known any more, that is said, and nothing is left out silently.
 */
import { CHAIN, type Change, type Operation } from "../core/change.js";
import { parseKey, type Dot } from "../core/document.js";
import type { Hlc } from "../core/hlc.js";
import { copyVector, EMPTY_VECTOR, surplus, type MutableVector, type Vector } from "../core/vector.js";

export interface PageEvent {
  /** Equal in every region; sorts as time. */
  readonly id: string;
  /** `component.updated`, `incident_update.created` … */
  readonly type: string;
  readonly page: string;
  /** Key of the document. */
  readonly document: string;
  /** Id of the update within an incident or a maintenance; "" for the document itself. */
  readonly section: string;
  readonly hlc: Hlc;
  readonly region: string;
}

/** An entry of a log, decoded. `change` is undefined where it tells nothing new: another log told it, or it is no change of a document. */
export interface LogItem {
  readonly origin: string;
  readonly seq: number;
  readonly document: string;
  readonly dot: Dot;
  readonly change: Change | undefined;
}

export interface RingEntry extends Omit<LogItem, "change"> {
  readonly events: readonly PageEvent[];
}

const NAMES: Readonly<Record<string, string>> = { component: "component", "component-group": "component_group", incident: "incident", maintenance: "maintenance", page: "page" };
const WITH_UPDATES: ReadonlySet<string> = new Set(["incident", "maintenance"]);
const NO_EVENTS: readonly PageEvent[] = [];

/** What the public may hear of a change; nothing for documents that are not public. */
export function eventsOf(change: Change): readonly PageEvent[] {
  const { partition, type, id } = parseKey(change.document);
  const name = NAMES[type];
  if (name === undefined || (partition === "~") !== (type === "page")) return NO_EVENTS;
  const page = partition === "~" ? id : partition;
  const bySection = new Map<string, Operation[]>();
  for (const operation of change.operations) {
    if ("field" in operation && operation.field.startsWith("_")) continue;
    const known = bySection.get(operation.section);
    if (known === undefined) bySection.set(operation.section, [operation]);
    else known.push(operation);
  }
  const events: PageEvent[] = [];
  for (const section of [...bySection.keys()].sort()) {
    if (section !== "" && !WITH_UPDATES.has(type)) continue;
    const type_ = `${name}${section === "" ? "" : "_update"}.${happened(bySection.get(section) ?? [])}`;
    // Changes of one request share a stamp: the document tells them apart.
    events.push({ id: `${change.hlc}.${type}.${id}.${events.length}`, type: type_, page, document: change.document, section, hlc: change.hlc, region: change.region });
  }
  return events;
}

function happened(operations: readonly Operation[]): "created" | "updated" | "deleted" {
  if (operations.some(({ op }) => op === "delete")) return "deleted";
  return operations.some(({ op }) => op === "create") ? "created" : "updated";
}

export class EventRing {
  /** What the entries lead up to. */
  vector: MutableVector = copyVector(EMPTY_VECTOR);
  /** In order of arrival. */
  private entries: RingEntry[] = [];
  private start = 0;
  /** Entries of decided changes by document and version: two logs may carry one. */
  private readonly decided = new Map<string, RingEntry[]>();

  constructor(private readonly entriesMax: number) {}

  get size(): number {
    return this.entries.length - this.start;
  }

  /** Forgets everything: the entries to come follow `vector`. */
  restart(vector: Vector): void {
    this.entries = [];
    this.start = 0;
    this.decided.clear();
    this.vector = copyVector(vector);
  }

  /** Takes the next entry in. `covered`: it lies at or below the vector already (it was read from the log). */
  take(item: LogItem, covered = false): RingEntry {
    const { origin, seq, document, dot } = item;
    const isTold = dot.origin === CHAIN && this.decided.has(`${document} ${dot.seq}`);
    const entry: RingEntry = { origin, seq, document, dot, events: item.change === undefined || isTold ? NO_EVENTS : eventsOf(item.change) };
    this.entries.push(entry);
    if (!covered) this.vector[origin] = Math.max(this.vector[origin] ?? 0, seq);
    if (dot.origin === CHAIN) this.decided.set(chainName(entry), [...(this.decided.get(chainName(entry)) ?? []), entry]);
    if (this.size > this.entriesMax) this.drop();
    return entry;
  }

  private drop(): void {
    const dropped = this.entries[this.start++];
    if (dropped?.dot.origin === CHAIN) {
      const left = this.decided.get(chainName(dropped))?.filter((entry) => entry !== dropped) ?? [];
      if (left.length > 0) this.decided.set(chainName(dropped), left);
      else this.decided.delete(chainName(dropped));
    }
    if (this.start > this.entriesMax) {
      this.entries = this.entries.slice(this.start);
      this.start = 0;
    }
  }

  /** The entries beyond a position, in order of arrival; undefined if some of them are not here any more. */
  beyond(position: Vector): readonly RingEntry[] | undefined {
    let missing = surplus(this.vector, position);
    const found: RingEntry[] = [];
    for (let index = this.entries.length - 1; missing > 0 && index >= this.start; index--) {
      const entry = this.entries[index];
      if (entry === undefined || entry.seq <= (position[entry.origin] ?? 0)) continue;
      missing--;
      found.push(entry);
    }
    return missing > 0 ? undefined : found.reverse();
  }

  /** True if somebody at this position has had the change of this entry by another log. */
  hadOtherwise(entry: RingEntry, position: Vector): boolean {
    if (entry.dot.origin !== CHAIN) return false;
    return (this.decided.get(chainName(entry)) ?? []).some((other) => other !== entry && other.seq <= (position[other.origin] ?? 0));
  }

  /** A page's events, latest first. */
  of(page: string): PageEvent[] {
    const found: PageEvent[] = [];
    for (let index = this.start; index < this.entries.length; index++) {
      for (const event of this.entries[index]?.events ?? NO_EVENTS) if (event.page === page) found.push(event);
    }
    return found.sort((a, b) => (a.id < b.id ? 1 : a.id > b.id ? -1 : 0));
  }
}

function chainName({ document, dot }: RingEntry): string {
  return `${document} ${dot.seq}`;
}
