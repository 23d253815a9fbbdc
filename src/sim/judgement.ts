/** Whether a run kept what is promised: the checkers' verdicts on its history, and what went wrong whatever clients saw. */
import { checkAll } from "./check-all.js";
import type { SimulationResult } from "./simulation.js";

export interface Failure {
  /** Name of the checker, or `breakage`, or `liveness`. */
  readonly checker: string;
  readonly promised: string;
  readonly happened: string;
}

export interface Judgement {
  readonly failures: readonly Failure[];
  /** What could not be decided. */
  readonly undecided: readonly string[];
}

/** How many states the search for an order visits for one resource before it gives up. */
const STATES_MAX = 300_000;

export function judge(result: SimulationResult): Judgement {
  const failures: Failure[] = result.breakages.map(({ replica, what }) => ({
    checker: "breakage", promised: "No invariant of a replica is broken, and no call rejects where none may.", happened: `${replica}: ${what}`,
  }));
  for (const voter of result.silentVoters) {
    failures.push({ checker: "liveness", promised: "Once all faults are over, every voter votes again.", happened: `${voter} does not vote.` });
  }
  const undecided: string[] = [];
  for (const { checker, verdict } of checkAll(result.history, { statesMax: STATES_MAX, convergenceMs: result.convergenceMs }).results) {
    if (verdict.kind === "undecided") undecided.push(`${checker}: ${verdict.why}`);
    if (verdict.kind === "violation") for (const { promised, happened } of verdict.violations) failures.push({ checker, promised, happened });
  }
  return { failures, undecided };
}
