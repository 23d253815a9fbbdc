/**
 * Which monitors a world has, and when their targets are down, seen from where. Made from the seed before the run, from a stream of its own:
 * a world without monitors is the one that it would be if there were none anywhere.
 */
import type { SeededRandom } from "./seeded-random.js";

/** How a target is down: for all, for most or for one region, or on and off. */
export const OUTAGE_KINDS = ["whole", "most", "one", "flapping"] as const;
export type OutageKind = (typeof OUTAGE_KINDS)[number];

export interface PlannedOutage {
  readonly fromMs: number;
  readonly untilMs: number;
  readonly seenFrom: readonly string[];
}

export interface WatchedShape {
  readonly id: string;
  readonly intervalSeconds: number;
  readonly retries: number;
  readonly confirmSeconds: number;
  readonly recoverSeconds: number;
  /** While faults befall the world. */
  readonly outages: readonly PlannedOutage[];
  /** The target is down for all regions from then on, until everything has been healed for a while. */
  readonly downFromMs: number | undefined;
  /** Once all is whole, and has been for a while. */
  readonly calm: OutageKind | "none";
  /** An operator sets the component by hand during that last outage. */
  readonly byHand: boolean;
}

export interface WatchShape {
  readonly durationMs: number;
  readonly monitors: readonly WatchedShape[];
  /** Faults last longer by this, so that some outlive the freshness of opinions. */
  readonly faultsLast: number;
}

/** A majority of the regions is this many at least. */
export function majorityOf(regions: number): number {
  return Math.floor(regions / 2) + 1;
}

/** Undefined: nothing is watched. */
export function watchShapeOf(random: SeededRandom, regions: readonly string[]): WatchShape | undefined {
  if (!random.chance(0.2)) return undefined;
  const durationMs = random.pick([25_000, 45_000, 70_000]);
  return {
    durationMs, faultsLast: random.pick([1, 3, 6]),
    monitors: Array.from({ length: random.integer(1, 3) }, (_, index) => watchedOf(random.fork(`monitor ${index + 1}`), `watched-${index + 1}`, regions, durationMs)),
  };
}

function watchedOf(random: SeededRandom, id: string, regions: readonly string[], durationMs: number): WatchedShape {
  const outages: PlannedOutage[] = [];
  for (let at = random.between(8_000, 20_000); at < durationMs && random.chance(0.8); ) {
    const kind = random.weighted<OutageKind>({ whole: 0.5, most: 0.15, one: 0.25, flapping: 0.1 });
    const until = Math.min(durationMs, at + random.between(4_000, 30_000));
    outages.push(...outagesOf(random, kind, regions, at, until));
    at = until + random.between(5_000, 30_000);
  }
  return {
    id, outages, intervalSeconds: random.pick([5, 5, 10]), retries: random.integer(0, 1), confirmSeconds: random.pick([0, 0, 3]), recoverSeconds: random.pick([0, 0, 3]),
    downFromMs: random.chance(0.4) ? random.between(0.4, 1) * durationMs : undefined, calm: random.weighted({ whole: 0.35, most: 0.15, one: 0.2, flapping: 0.1, none: 0.2 }), byHand: random.chance(0.5),
  };
}

/** The times at which an outage of a kind is one. */
export function outagesOf(random: SeededRandom, kind: OutageKind, regions: readonly string[], fromMs: number, untilMs: number): PlannedOutage[] {
  const shuffled = random.shuffled(regions);
  const seenFrom = (kind === "one" ? shuffled.slice(0, 1) : kind === "most" ? shuffled.slice(0, majorityOf(regions.length)) : [...regions]).sort();
  if (kind !== "flapping") return [{ fromMs, untilMs, seenFrom }];
  const outages: PlannedOutage[] = [];
  for (let at = fromMs; at < untilMs; at += random.between(2_000, 9_000)) {
    const end = Math.min(untilMs, at + random.between(2_000, 9_000));
    outages.push({ fromMs: at, untilMs: end, seenFrom });
    at = end;
  }
  return outages;
}
