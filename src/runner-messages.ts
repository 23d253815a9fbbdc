/** What the threads of the runner say to each other. */
import type { Check } from "./core/check.js";
import type { RunnerResult, RunnerTask } from "./features/monitors/runner.js";

export interface RunnerSettings {
  readonly region: string;
  readonly allowPrivateTargets: boolean;
  readonly allowedTargetRanges?: readonly string[];
  readonly canaries: readonly Check[];
}

export type RunnerOrder =
  | { readonly kind: "assign"; readonly tasks: readonly RunnerTask[]; readonly dropped: readonly string[] }
  | { readonly kind: "run"; readonly id: number; readonly task: RunnerTask };

export type RunnerReport =
  | { readonly kind: "alive" }
  | { readonly kind: "result"; readonly result: RunnerResult }
  | { readonly kind: "ran"; readonly id: number; readonly result: RunnerResult };
