/** Many seeds: what each run is summed up to, and what a swarm must have reached. */
import { SOMETIMES } from "../core/sometimes.js";
import { SIMULATED_FAULTS } from "./fault-schedule.js";
import { OPERATION_KINDS } from "./history.js";
import { judge, type Failure } from "./judgement.js";
import { simulate, type SimulationOptions } from "./simulation.js";

export interface SeedSummary {
  readonly seed: number;
  readonly traceHash: string;
  readonly failures: readonly Failure[];
  readonly undecided: readonly string[];
  readonly reached: Readonly<Record<string, number>>;
  readonly simulatedMs: number;
  readonly operations: number;
  readonly events: number;
  /** Those that befell the world. */
  readonly faults: number;
}

export async function runSeed(options: SimulationOptions): Promise<SeedSummary> {
  const result = await simulate(options);
  const { failures, undecided } = judge(result);
  const { seed, traceHash, reached, simulatedMs, events, history } = result;
  return { seed, traceHash, failures, undecided, reached, simulatedMs, events, operations: history.operations.length, faults: history.faults.length };
}

export class SwarmTotals {
  seeds = 0;
  simulatedMs = 0;
  operations = 0;
  events = 0;
  faults = 0;
  undecided = 0;
  readonly failed: SeedSummary[] = [];
  /** What → in how many seeds, and how often. */
  readonly reached = new Map<string, { seeds: number; times: number }>();

  add(summary: SeedSummary): void {
    this.seeds++;
    this.simulatedMs += summary.simulatedMs;
    this.operations += summary.operations;
    this.events += summary.events;
    this.faults += summary.faults;
    if (summary.undecided.length > 0) this.undecided++;
    if (summary.failures.length > 0) this.failed.push(summary);
    for (const [what, times] of Object.entries(summary.reached)) {
      const known = this.reached.get(what) ?? { seeds: 0, times: 0 };
      known.seeds++;
      known.times += times;
      this.reached.set(what, known);
    }
  }

  /** Everything that a swarm should reach, with how often it did; what was never reached has 0. */
  coverage(): readonly { readonly what: string; readonly seeds: number; readonly times: number }[] {
    const names = new Set([...EXPECTED, ...this.reached.keys()]);
    return [...names].sort().map((what) => ({ what, ...(this.reached.get(what) ?? { seeds: 0, times: 0 }) }));
  }

  /** Faults, levels and operations that were never reached: they fail a swarm. */
  missing(): readonly string[] {
    return REQUIRED.filter((what) => !this.reached.has(what));
  }

  /** Rare branches that were never reached. */
  missingBranches(): readonly string[] {
    return SOMETIMES.filter((mark) => !this.reached.has(`sometimes: ${mark}`));
  }
}

const REQUIRED: readonly string[] = [
  ...SIMULATED_FAULTS.map((kind) => `fault: ${kind}`), ...["LOCAL", "LOCAL_QUORUM", "GLOBAL_QUORUM"].map((level) => `level: ${level}`), ...OPERATION_KINDS.map((kind) => `operation: ${kind}`),
];
const EXPECTED: readonly string[] = [...REQUIRED, ...SOMETIMES.map((mark) => `sometimes: ${mark}`)];

/** From this many seeds on, a fault that was never reached is a failure. */
export const COVERING_SEEDS = 200;
