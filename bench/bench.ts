/** What every bench is given, and what all of them give back. */
import type { LoadTool } from "./load.js";
import type { Finding } from "./measurement.js";

export interface BenchWorld {
  readonly load: LoadTool;
  /** Shorter and smaller: to see that it works, not to quote from. */
  readonly quick: boolean;
  /** Takes a figure as soon as it is known. */
  found(finding: Finding): void;
  /** Something that was left out, and why. */
  skipped(what: string, why: string): void;
}

export type Bench = (world: BenchWorld) => Promise<void>;

export const CONNECTIONS = 50;
/** Runs behind a rate. */
export const RUNS = 5;

/** Runs several measurements in turn, `runs` times each, so that all see the same weather. */
export async function inTurn<T>(runs: number, measurements: readonly (() => Promise<T>)[]): Promise<readonly (readonly T[])[]> {
  const results: T[][] = measurements.map(() => []);
  for (let run = 0; run < runs; run++) {
    for (const [i, measure] of measurements.entries()) results[i]?.push(await measure());
  }
  return results;
}
