/** Seeds run by several child processes at once. */
import { fork, type ChildProcess } from "node:child_process";
import type { Timer } from "../core/ports.js";
import { systemTimers } from "../io/system-clock.js";
import type { SeedSummary } from "../sim/swarm.js";
import type { Emphasis } from "../sim/seed-plan.js";
import type { WorkerAnswer, WorkerTask } from "./sim-worker.js";

export interface PoolOptions {
  /** Path of the compiled `sim-worker`. */
  readonly worker: string;
  readonly processes: number;
  readonly first: number;
  readonly seeds: number;
  readonly emphasis?: Emphasis | undefined;
  /** Seeds that need not be run; they count as begun. */
  skips?(seed: number): boolean;
  /** A seed that takes longer counts as defect, ms of real time; none unless told. */
  readonly seedMsMax?: number;
  /** A seed is over; false lets no more begin. Those that are under way are told, too. */
  each(summary: SeedSummary): boolean;
  /** The program that ran a seed threw, ended or hung. No more begin. Unless given, the pool rejects. */
  defect?(seed: number, why: string): void;
}

/** Resolves to how many seeds were begun, once all of those are over. Rejects if a child breaks and nobody takes it. */
export async function runPool(options: PoolOptions): Promise<number> {
  const { first, seeds, processes, defect } = options;
  let next = first;
  let isOver = false;
  const runOne = (): Promise<void> => new Promise((resolve, reject) => {
    const child: ChildProcess = fork(options.worker, [], { stdio: ["ignore", "inherit", "inherit", "ipc"], execArgv: [], env: { ...process.env, NODE_OPTIONS: "" } });
    let running: number | undefined;
    let limit: Timer | undefined;
    const broken = (why: string): void => {
      const seed = running ?? 0;
      running = undefined;
      isOver = true;
      limit?.cancel();
      child.kill("SIGKILL");
      if (defect === undefined) reject(new Error(`seed ${seed}: ${why}`));
      else defect(seed, why);
    };
    const give = (): void => {
      limit?.cancel();
      while (!isOver && next < first + seeds && options.skips?.(next) === true) next++;
      running = isOver || next >= first + seeds ? undefined : next++;
      if (running === undefined) return child.disconnect();
      child.send({ seed: running, emphasis: options.emphasis } satisfies WorkerTask);
      if (options.seedMsMax !== undefined) limit = systemTimers.after(options.seedMsMax, () => broken(`did not end within ${options.seedMsMax} ms`));
    };
    child.on("message", (told: WorkerAnswer) => {
      if (running === undefined) return;
      if ("defect" in told) return broken(told.defect);
      running = undefined;
      if (!options.each(told.summary)) isOver = true;
      give();
    });
    child.on("exit", (code) => {
      // A program that ends while it runs a seed has met something that a replica would die of, too.
      if (running !== undefined) broken(`the process that ran it ended with ${code ?? "a signal"}`);
      resolve();
    });
    child.on("error", reject);
    give();
  });
  await Promise.all(Array.from({ length: Math.min(processes, seeds) }, runOne));
  return next - first;
}
