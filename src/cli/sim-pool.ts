/** Seeds run by several child processes at once. */
import { fork, type ChildProcess } from "node:child_process";
import type { SeedSummary } from "../sim/swarm.js";
import type { WorkerAnswer } from "./sim-worker.js";

export interface PoolOptions {
  /** Path of the compiled `sim-worker`. */
  readonly worker: string;
  readonly processes: number;
  readonly first: number;
  readonly seeds: number;
  /** A seed is over; false ends the pool. */
  each(summary: SeedSummary): boolean;
}

/** Resolves when all seeds are over, or one of `each` has said enough. Rejects if a child breaks. */
export async function runPool(options: PoolOptions): Promise<void> {
  let next = options.first;
  const end = options.first + options.seeds;
  let isOver = false;
  const runOne = (): Promise<void> => new Promise((resolve, reject) => {
    const child: ChildProcess = fork(options.worker, [], { stdio: ["ignore", "inherit", "inherit", "ipc"], execArgv: [], env: { ...process.env, NODE_OPTIONS: "" } });
    let running: number | undefined;
    const give = (): void => {
      running = isOver || next >= end ? undefined : next++;
      if (running === undefined) child.disconnect();
      else child.send(running);
    };
    child.on("message", (told: WorkerAnswer) => {
      if ("defect" in told) {
        isOver = true;
        child.kill();
        return reject(new Error(`seed ${told.seed}: ${told.defect}`));
      }
      running = undefined;
      if (!isOver && !options.each(told.summary)) isOver = true;
      give();
    });
    child.on("exit", (code) => {
      if (running === undefined) return resolve();
      // A program that ends while it runs a seed has met something that a replica would die of, too.
      reject(new Error(`the process that ran seed ${running} ended with ${code ?? "a signal"}`));
    });
    child.on("error", reject);
    give();
  });
  await Promise.all(Array.from({ length: Math.min(options.processes, options.seeds) }, runOne));
}
