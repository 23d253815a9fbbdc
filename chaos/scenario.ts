/** What a scenario is made of, and what it is given. */
import type { CheckReport } from "../src/sim/check-all.js";
import type { History } from "../src/sim/history.js";
import type { Dice } from "./dice.js";
import type { Recorder } from "./recorder.js";
import type { Workload, WorkloadOptions } from "./workload.js";
import type { ChaosWorld, WorldOptions } from "./world.js";

/** What a scenario works with while the load goes on. */
export interface Stage {
  readonly world: ChaosWorld;
  readonly recorder: Recorder;
  readonly workload: Workload;
  readonly dice: Dice;
  /** How long the scenario `random` lasts. */
  readonly minutes: number;
  /** Aborted when the run is interrupted. */
  readonly stopping: AbortSignal;
  /** Lets time pass while the load goes on. */
  readonly hold: (ms: number) => Promise<void>;
  /** Says on the progress line what goes on. */
  readonly say: (what: string) => void;
  /** Figures and facts for hypotheses of the scenario's own. */
  readonly notes: Map<string, number | string>;
}

/** A finished run, as hypotheses look at it. */
export interface Outcome {
  readonly history: History;
  readonly checks: CheckReport;
  readonly stage: Stage;
}

export interface Measured {
  readonly kept: boolean;
  /** In figures, and what they mean. */
  readonly measured: string;
}

/** A steady-state hypothesis: what is promised whatever happens, and how it is measured. */
export interface Hypothesis {
  readonly promise: string;
  readonly measure: (outcome: Outcome) => Measured;
}

export interface Scenario {
  /** A kebab-case noun. */
  readonly name: string;
  readonly title: string;
  readonly hypotheses: readonly Hypothesis[];
  readonly world?: WorldOptions;
  readonly workload?: WorkloadOptions;
  /** Within how many ms of healing all replicas must be equal; 30,000 if it says nothing. */
  readonly equalWithinMs?: number;
  /** True if it needs the toxic `corrupt`, which only our own server has. */
  readonly needsCorruption?: true;
  /** Makes the faults happen. The suite heals what is left of them. */
  readonly play: (stage: Stage) => Promise<void>;
}
