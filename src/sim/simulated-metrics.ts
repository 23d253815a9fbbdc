/** Keeps the gauges that a replica registers, so that queues can be compared with their bounds. */
import type { Counter, Histogram, Metrics } from "../store/metrics.js";

const COUNTER: Counter = { add: () => {} };
const HISTOGRAM: Histogram = { observe: () => {} };

export class SimulatedMetrics implements Metrics {
  private readonly gauges = new Map<string, () => Iterable<readonly [value: number, ...labels: string[]]>>();

  counter(): Counter {
    return COUNTER;
  }

  histogram(): Histogram {
    return HISTOGRAM;
  }

  gauge(name: string, _help: string, _labels: readonly string[], read: () => Iterable<readonly [value: number, ...labels: string[]]>): void {
    this.gauges.set(name, read);
  }

  /** The greatest value that a gauge shows under any labels; undefined if there is none. */
  greatest(name: string): number | undefined {
    let greatest: number | undefined;
    for (const [value] of this.gauges.get(name)?.() ?? []) if (greatest === undefined || value > greatest) greatest = value;
    return greatest;
  }
}
