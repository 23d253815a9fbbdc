/**
 * Quantiles of latencies, mergeable: counts in buckets whose bounds grow by a constant ratio, so that every quantile is within
 * one percent of a value that was seen. Sketches of all regions and times add up, in any order, to the same.
 * Source: Masson, Rim, Lee: "DDSketch", VLDB 2019.
 */
const ACCURACY = 0.01;
const GAMMA = (1 + ACCURACY) / (1 - ACCURACY);
const LOG_GAMMA = Math.log(GAMMA);
/** Below this many ms differences are not kept. */
const SMALLEST_MS = 0.01;
const LARGEST_MS = 10_000_000;

/** Bucket → count, ascending. */
export type SketchBuckets = readonly (readonly [bucket: number, count: number])[];

export class Sketch {
  private readonly counts = new Map<number, number>();
  private total = 0;

  static of(buckets: SketchBuckets): Sketch {
    const sketch = new Sketch();
    sketch.merge(buckets);
    return sketch;
  }

  get count(): number {
    return this.total;
  }

  add(valueMs: number): void {
    this.put(bucketOf(valueMs), 1);
  }

  merge(buckets: SketchBuckets): void {
    for (const [bucket, count] of buckets) this.put(bucket, count);
  }

  private put(bucket: number, count: number): void {
    this.counts.set(bucket, (this.counts.get(bucket) ?? 0) + count);
    this.total += count;
  }

  /** `q` in [0, 1]. Null if nothing was added. */
  quantile(q: number): number | null {
    if (this.total === 0) return null;
    let rank = Math.max(1, Math.ceil(q * this.total));
    for (const [bucket, count] of this.buckets()) {
      rank -= count;
      if (rank <= 0) return (2 * GAMMA ** bucket) / (GAMMA + 1);
    }
    return null;
  }

  buckets(): SketchBuckets {
    return [...this.counts].sort(([a], [b]) => a - b);
  }
}

function bucketOf(valueMs: number): number {
  return Math.ceil(Math.log(Math.min(LARGEST_MS, Math.max(SMALLEST_MS, valueMs))) / LOG_GAMMA);
}

/** The buckets of a sketch and of one value more, without the cost of making a sketch of them. */
export function withValue(buckets: SketchBuckets, valueMs: number): SketchBuckets {
  const bucket = bucketOf(valueMs);
  let low = 0;
  for (let high = buckets.length; low < high; ) {
    const middle = (low + high) >> 1;
    if ((buckets[middle]?.[0] ?? 0) < bucket) low = middle + 1;
    else high = middle;
  }
  const found = buckets[low];
  return found?.[0] === bucket ? buckets.with(low, [bucket, found[1] + 1]) : buckets.toSpliced(low, 0, [bucket, 1]);
}
