/** A child process that runs the seeds that it is told, one after the other. */
import type { Emphasis } from "../sim/seed-plan.js";
import { runSeed, type SeedSummary } from "../sim/swarm.js";
import { simulationHost } from "./sim-host.js";

/** What the parent says. */
export interface WorkerTask {
  readonly seed: number;
  readonly emphasis?: Emphasis | undefined;
}

/** What the child says: a seed's summary, or why there is none. */
export type WorkerAnswer = { readonly summary: SeedSummary } | { readonly seed: number; readonly defect: string };

process.on("message", ({ seed, emphasis }: WorkerTask) => {
  runSeed({ seed, emphasis, host: simulationHost }).then(
    (summary) => answer({ summary }),
    (error: unknown) => answer({ seed, defect: error instanceof Error ? (error.stack ?? error.message) : String(error) }),
  );
});
process.on("disconnect", () => process.exit(0));

function answer(told: WorkerAnswer): void {
  process.send?.(told);
}
