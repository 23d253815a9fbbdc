/** What many results come to: counts, latencies, a sketch. Pure; merging is commutative and associative. */
import { watchLimits } from "../../core/limits.js";
import type { State } from "./opinion.js";
import { Sketch, withValue, type SketchBuckets } from "./sketch.js";

export interface Rollup {
  /** Rounds that came to each state. */
  readonly up: number;
  readonly degraded: number;
  readonly down: number;
  readonly unknown: number;
  /** Over the rounds that were up or degraded, ms. */
  readonly sum: number;
  readonly min: number | null;
  readonly max: number | null;
  readonly buckets: SketchBuckets;
}

export const EMPTY_ROLLUP: Rollup = { up: 0, degraded: 0, down: 0, unknown: 0, sum: 0, min: null, max: null, buckets: [] };

/** Of how many rounds it is. */
export function roundsOf({ up, degraded, down, unknown }: Rollup): number {
  return up + degraded + down + unknown;
}

export function isEmpty(rollup: Rollup): boolean {
  return roundsOf(rollup) === 0;
}

const isAmount = (value: unknown): value is number => typeof value === "number" && Number.isFinite(value) && value >= 0;
const isCount = (value: unknown): value is number => isAmount(value) && Number.isSafeInteger(value);

function isBuckets(value: unknown): value is SketchBuckets {
  if (!Array.isArray(value) || value.length > watchLimits.sketchBucketsMax) return false;
  let before = Number.NEGATIVE_INFINITY;
  return value.every((pair: unknown) => {
    const [bucket, count] = Array.isArray(pair) && pair.length === 2 ? (pair as unknown[]) : [];
    const isNext = typeof bucket === "number" && Number.isSafeInteger(bucket) && bucket > before && isCount(count) && count > 0;
    before = isNext ? bucket : before;
    return isNext;
  });
}

/** A rollup that was read from outside, as it is written here; undefined for what is none. */
export function rollupIn(value: unknown): Rollup | undefined {
  const { up, degraded, down, unknown, sum, min, max, buckets } = (value ?? {}) as Partial<Record<keyof Rollup, unknown>>;
  if (!isCount(up) || !isCount(degraded) || !isCount(down) || !isCount(unknown) || !isAmount(sum) || !isBuckets(buckets)) return undefined;
  if ((min !== null && !isAmount(min)) || (max !== null && !isAmount(max))) return undefined;
  return { up, degraded, down, unknown, sum, min, max, buckets };
}

const least = (a: number | null, b: number | null): number | null => (a === null ? b : b === null ? a : Math.min(a, b));
const most = (a: number | null, b: number | null): number | null => (a === null ? b : b === null ? a : Math.max(a, b));

export function merged(a: Rollup, b: Rollup): Rollup {
  const sketch = Sketch.of(a.buckets);
  sketch.merge(b.buckets);
  return {
    up: a.up + b.up, degraded: a.degraded + b.degraded, down: a.down + b.down, unknown: a.unknown + b.unknown, sum: a.sum + b.sum, min: least(a.min, b.min), max: most(a.max, b.max),
    buckets: sketch.buckets(),
  };
}

export function withResult(rollup: Rollup, state: State, latencyMs: number | null): Rollup {
  const after = { ...rollup, [state]: rollup[state] + 1 };
  if (latencyMs === null || (state !== "up" && state !== "degraded")) return after;
  return { ...after, sum: rollup.sum + latencyMs, min: least(rollup.min, latencyMs), max: most(rollup.max, latencyMs), buckets: withValue(rollup.buckets, latencyMs) };
}

/** Microseconds are enough. */
const rounded = (value: number | null): number | null => (value === null ? null : Math.round(value * 1_000) / 1_000);

export interface LatencyFigures {
  readonly count: number;
  readonly mean: number | null;
  readonly min: number | null;
  readonly max: number | null;
  readonly p50: number | null;
  readonly p95: number | null;
  readonly p99: number | null;
}

export function latencyFigures(rollup: Rollup): LatencyFigures {
  const sketch = Sketch.of(rollup.buckets);
  // A quantile of the sketch may lie a little outside of what was seen.
  const at = (q: number): number | null => {
    const value = sketch.quantile(q);
    return value === null ? null : rounded(Math.min(rollup.max ?? value, Math.max(rollup.min ?? value, value)));
  };
  return { count: sketch.count, mean: sketch.count === 0 ? null : rounded(rollup.sum / sketch.count), min: rounded(rollup.min), max: rounded(rollup.max), p50: at(0.5), p95: at(0.95), p99: at(0.99) };
}
