/** A child process that runs the seeds that it is told, one after the other. */
import { runSeed, type SeedSummary } from "../sim/swarm.js";
import { simulationHost } from "./sim-host.js";

/** What the parent says: a seed to run. What the child says: its summary, or why there is none. */
export type WorkerAnswer = { readonly summary: SeedSummary } | { readonly seed: number; readonly defect: string };

process.on("message", (seed: unknown) => {
  if (typeof seed !== "number") return;
  runSeed({ seed, host: simulationHost }).then(
    (summary) => answer({ summary }),
    (error: unknown) => answer({ seed, defect: error instanceof Error ? (error.stack ?? error.message) : String(error) }),
  );
});
process.on("disconnect", () => process.exit(0));

function answer(told: WorkerAnswer): void {
  process.send?.(told);
}
