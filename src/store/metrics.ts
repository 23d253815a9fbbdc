/** What the store tells of itself as numbers. `api/metrics.ts` implements it and serves `/metrics`. */

export interface Counter {
  /** Adds `by` (1 unless told). `labels` in the order in which they were named. */
  add(by?: number, ...labels: readonly string[]): void;
}

export interface Histogram {
  /** `value` in the unit that the name ends with. */
  observe(value: number, ...labels: readonly string[]): void;
}

export interface Metrics {
  /** Names: `statusmesh_<what>_<unit>`, without `_total`, which is added. Asking twice for a name gives the same one. */
  counter(name: string, help: string, labels?: readonly string[]): Counter;
  /** `buckets`: upper bounds, ascending; seconds from 0.5 ms to 30 s unless told. */
  histogram(name: string, help: string, labels?: readonly string[], buckets?: readonly number[]): Histogram;
  /** `read` is asked at each scrape for the values, each with its labels. */
  gauge(name: string, help: string, labels: readonly string[], read: () => Iterable<readonly [value: number, ...labels: string[]]>): void;
}

/** Where nobody measures (tests, tools). */
export const noMetrics: Metrics = {
  counter: () => ({ add: () => {} }),
  histogram: () => ({ observe: () => {} }),
  gauge: () => {},
};
