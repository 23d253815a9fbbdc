/**
 * A component's status over time, folded from its document's changes one by one; can be written down and taken up again.
 *
 * Invariants:
 *  1. The status at a time is a function of the set of changes alone: of those whose time is not later, merged by the conflict rules.
 *     So it is equal in every region that holds the same changes, in whatever order they came, and comes out the same when it is built anew.
 *  2. A change counts from its own time on, and not before anything that its author saw: a clock that is behind moves nothing before its cause.
 *  3. A fold takes a change only where the result is that of all changes folded anew; else it says so, and stays as it was.
 */
import { CHAIN, type Change, type Json } from "../core/change.js";
import { contenders, creationsIn, type Creation } from "../core/creation.js";
import type { Sibling } from "../core/document.js";
import { hlcMs } from "../core/hlc.js";
import { copyVector, dominates, EMPTY_VECTOR, type MutableVector, type Vector } from "../core/vector.js";
import { COMPONENT_STATUSES, shown } from "./conflicts.js";
import type { DocumentChange } from "./data-plane.js";
import type { ComponentStatusName } from "./resource-schemas.js";

/** Status or, before the component was there, after it was deleted and in the future, `no_data`. */
export type HistoryStatus = ComponentStatusName | "no_data";

export interface Transition {
  /** ms since the epoch. */
  readonly atMs: number;
  readonly status: HistoryStatus;
}

const STATUSES: readonly HistoryStatus[] = ["no_data", ...COMPONENT_STATUSES];
/** Of what `encode` writes. */
const FORMAT = 1;

interface Stored {
  readonly format: number;
  readonly vector: Vector;
  readonly latestMs: number;
  readonly born: boolean;
  readonly dead: boolean;
  readonly siblings: readonly Sibling[];
  readonly creations: readonly Creation[];
  /** Times, each with the place of its status in `STATUSES` after it. */
  readonly transitions: readonly number[];
}

export class StatusFold {
  readonly transitions: Transition[] = [];
  /** What was taken in. */
  readonly vector: MutableVector = copyVector(EMPTY_VECTOR);
  private latestMs = 0;
  private siblings: readonly Sibling[] = [];
  private creations: readonly Creation[] = [];
  private born = false;
  private dead = false;

  /** `changes`: all of the document, each after what it depends on. */
  static of(changes: readonly DocumentChange[]): StatusFold {
    const fold = new StatusFold();
    for (const { change, atMs } of timed(changes)) fold.apply(change, atMs);
    return fold;
  }

  /** A fold as it was written down; undefined if the text is of another format. */
  static decode(text: string): StatusFold | undefined {
    const stored = JSON.parse(text) as Stored;
    if (stored.format !== FORMAT) return undefined;
    const fold = new StatusFold();
    Object.assign(fold.vector, stored.vector);
    fold.latestMs = stored.latestMs;
    fold.born = stored.born;
    fold.dead = stored.dead;
    fold.siblings = stored.siblings;
    fold.creations = stored.creations;
    for (let index = 0; index < stored.transitions.length; index += 2) {
      fold.transitions.push({ atMs: stored.transitions[index] ?? 0, status: STATUSES[stored.transitions[index + 1] ?? 0] ?? "no_data" });
    }
    return fold;
  }

  encode(): string {
    const { vector, latestMs, born, dead, siblings, creations } = this;
    const transitions = this.transitions.flatMap(({ atMs, status }) => [atMs, STATUSES.indexOf(status)]);
    return JSON.stringify({ format: FORMAT, vector, latestMs, born, dead, siblings, creations, transitions } satisfies Stored);
  }

  /** Takes one more change in. False if it is earlier than what is there, or if something that it depends on is not there: all must be folded anew. */
  take({ change, dot }: DocumentChange): boolean {
    if (dot.seq <= (this.vector[dot.origin] ?? 0)) return true;
    const isNext = dominates(this.vector, change.context) && (dot.origin !== CHAIN || dot.seq === (this.vector[CHAIN] ?? 0) + 1);
    const atMs = hlcMs(change.hlc);
    if (!isNext || atMs < this.latestMs) return false;
    this.apply({ change, dot }, atMs);
    return true;
  }

  private apply({ change, dot }: DocumentChange, atMs: number): void {
    this.vector[dot.origin] = Math.max(this.vector[dot.origin] ?? 0, dot.seq);
    this.latestMs = Math.max(this.latestMs, atMs);
    for (const operation of change.operations) {
      if (operation.section !== "") continue;
      if (operation.op === "create") this.born = true;
      else if (operation.op === "delete") this.dead = true;
      else if (operation.op === "set" && operation.field === "status") this.siblings = merged(this.siblings, { change, dot }, operation.value, operation.was);
    }
    const creation = creationsIn(change, dot).get("");
    if (creation !== undefined) this.creations = [...this.creations, creation];
    const status = !this.born || this.dead ? "no_data" : statusOf(shown("component", "status", contenders(this.siblings, this.creations))?.value);
    if (this.transitions.at(-1)?.atMs === atMs) this.transitions.pop();
    if ((this.transitions.at(-1)?.status ?? "no_data") !== status) this.transitions.push({ atMs, status });
  }
}

/** The values that no later writer had seen, once this one is written. */
function merged(siblings: readonly Sibling[], { change: { hlc, region, replica, actor, context }, dot }: { change: Change; dot: DocumentChange["dot"] }, value: Json, was: Json): readonly Sibling[] {
  const kept = siblings.filter(({ origin, seq }) => (context[origin] ?? 0) < seq && !(origin === dot.origin && seq === dot.seq));
  return [...kept, { ...dot, hlc, region, replica, actor, value, was }].sort(latestFirst);
}

function latestFirst(a: Sibling, b: Sibling): number {
  return a.hlc > b.hlc ? -1 : a.hlc < b.hlc ? 1 : a.origin < b.origin ? -1 : a.origin > b.origin ? 1 : a.seq - b.seq;
}

function statusOf(value: Json | undefined): ComponentStatusName {
  return COMPONENT_STATUSES.find((status) => status === value) ?? "operational";
}

interface TimedChange {
  readonly change: DocumentChange;
  readonly atMs: number;
}

/** Gives each change its time, not before that of anything it depends on, and sorts by it; causes stay before effects. */
function timed(changes: readonly DocumentChange[]): TimedChange[] {
  const found: TimedChange[] = [];
  let latestMs = 0;
  for (const change of changes) {
    let atMs = hlcMs(change.change.hlc);
    // Changes come sorted by time but for those of clocks that are apart: only then is there anything to search.
    if (atMs < latestMs) {
      for (const before of found) {
        const { origin, seq } = before.change.dot;
        if (before.atMs > atMs && (change.change.context[origin] ?? 0) >= seq) atMs = before.atMs;
      }
    }
    latestMs = Math.max(latestMs, atMs);
    found.push({ change, atMs });
  }
  return found.sort((a, b) => a.atMs - b.atMs);
}
