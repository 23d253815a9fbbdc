/** A rollup while results are added to it. */
import type { State } from "./opinion.js";
import { Sketch } from "./sketch.js";
import { EMPTY_ROLLUP, type Rollup } from "./rollup.js";

export class RollupSum {
  private readonly counts: Record<State, number>;
  private sum: number;
  private min: number | null;
  private max: number | null;
  private readonly sketch: Sketch;

  constructor(rollup: Rollup = EMPTY_ROLLUP) {
    const { up, degraded, down, unknown, sum, min, max, buckets } = rollup;
    this.counts = { up, degraded, down, unknown };
    this.sum = sum;
    this.min = min;
    this.max = max;
    this.sketch = Sketch.of(buckets);
  }

  add(state: State, latencyMs: number | null): void {
    this.counts[state]++;
    if (latencyMs === null || (state !== "up" && state !== "degraded")) return;
    this.sum += latencyMs;
    this.min = Math.min(this.min ?? latencyMs, latencyMs);
    this.max = Math.max(this.max ?? latencyMs, latencyMs);
    this.sketch.add(latencyMs);
  }

  /** What it came to so far. */
  rollup(): Rollup {
    const { sum, min, max } = this;
    return { ...this.counts, sum, min, max, buckets: this.sketch.buckets() };
  }
}
