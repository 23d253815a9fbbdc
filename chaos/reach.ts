/**
 * Which regions have a majority in reach, as far as those know who make the faults. What surely is not there and what may not be there are
 * told apart: a promise that needs a majority is not held against a region in doubt, and no acknowledgement is held against one either.
 */
import type { Interval } from "./recorder.js";

/** What is known for sure, or what may be. */
class View {
  readonly out = new Set<string>();
  readonly shut = new Set<string>();
  /** Without a majority. */
  readonly intervals: Interval[] = [];

  reaches(region: string, regions: readonly string[]): boolean {
    const reached = regions.filter((other) => !this.out.has(other) && (other === region || !this.shut.has(nameOf([region, other]))));
    return reached.includes(region) && reached.length > regions.length / 2;
  }
}

export class Reach {
  private readonly sure = new View();
  private readonly possible = new View();

  constructor(
    private readonly regions: readonly string[],
    private readonly now: () => number,
  ) {}

  /** When a replica surely has no majority in reach. */
  get withoutMajority(): readonly Interval[] {
    return this.sure.intervals;
  }

  /** When it may have none. */
  get majorityInDoubt(): readonly Interval[] {
    return this.possible.intervals;
  }

  /** A region does not serve. `isGone`: its process does nothing any more at all. */
  stops(region: string, isGone: boolean): void {
    this.possible.out.add(region);
    if (isGone) this.sure.out.add(region);
    this.reconsider();
  }

  /** It may take part again, before it serves. */
  stirs(region: string): void {
    this.sure.out.delete(region);
    this.reconsider();
  }

  serves(region: string): void {
    this.possible.out.delete(region);
    this.stirs(region);
  }

  /** Links may not carry everything. */
  doubt(pairs: readonly (readonly [string, string])[]): void {
    for (const pair of pairs) this.possible.shut.add(nameOf(pair));
    this.reconsider();
  }

  /** Links carry nothing. */
  cut(pairs: readonly (readonly [string, string])[]): void {
    for (const pair of pairs) this.sure.shut.add(nameOf(pair));
    this.doubt(pairs);
  }

  /** Links may carry something again; of pairs, or all. */
  opens(pairs: readonly (readonly [string, string])[] | undefined): void {
    forget(this.sure.shut, pairs);
    this.reconsider();
  }

  heals(pairs: readonly (readonly [string, string])[] | undefined): void {
    forget(this.possible.shut, pairs);
    this.opens(pairs);
  }

  private reconsider(): void {
    for (const view of [this.sure, this.possible]) for (const region of this.regions) this.note(view.intervals, region, view.reaches(region, this.regions));
  }

  /** Ends the open interval of a region where there is a majority, begins one where there is none. */
  private note(intervals: Interval[], region: string, hasMajority: boolean): void {
    const replica = `${region}-1`;
    const open = intervals.find((interval) => interval.replica === replica && interval.untilMs === Number.POSITIVE_INFINITY);
    if (hasMajority && open !== undefined) open.untilMs = this.now();
    if (!hasMajority && open === undefined) intervals.push({ replica, fromMs: this.now(), untilMs: Number.POSITIVE_INFINITY });
  }
}

function forget(shut: Set<string>, pairs: readonly (readonly [string, string])[] | undefined): void {
  if (pairs === undefined) shut.clear();
  else for (const pair of pairs) shut.delete(nameOf(pair));
}

function nameOf(pair: readonly [string, string]): string {
  return [...pair].sort().join(" ");
}
