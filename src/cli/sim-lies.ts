/**
 * Runs the planted bugs of `sim/lies.ts`: each in a copy of the source, compiled beside it, in child processes, until a checker finds it.
 */
import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import type { Lie } from "../sim/lies.js";
import { runSeed, type SeedSummary } from "../sim/swarm.js";
import { simulationHost } from "./sim-host.js";
import { runPool } from "./sim-pool.js";
import { CommandFault } from "./terminal.js";

export interface LieResult {
  readonly lie: Lie;
  /** How many seeds were run until it was found; undefined if it was not. */
  readonly seeds: number | undefined;
  /** Who found it, and what it said. */
  readonly checker: string;
  readonly happened: string;
}

export interface LiesOptions {
  readonly root: string;
  readonly processes: number;
  readonly first: number;
  each(result: LieResult): void;
  /** Called now and then while seeds are run. */
  progress(lie: Lie, seeds: number): void;
}

export async function runLies(lies: readonly Lie[], options: LiesOptions): Promise<readonly LieResult[]> {
  const results: LieResult[] = [];
  for (const lie of lies) {
    const result = await runLie(lie, options);
    results.push(result);
    options.each(result);
  }
  return results;
}

async function runLie(lie: Lie, options: LiesOptions): Promise<LieResult> {
  const folder = mkdtempSync(path.join(tmpdir(), "statusmesh-lie-"));
  try {
    plant(lie, options.root, folder);
    let seeds = 0;
    let checker = "";
    let happened = "";
    for (let isFound = false; !isFound && seeds < lie.seedsMax; ) {
      const failed: SeedSummary[] = [];
      const first = options.first + seeds;
      try {
        await runPool({
          worker: path.join(folder, "dist", "cli", "sim-worker.js"), processes: options.processes, first, seeds: lie.seedsMax - seeds,
          each: (summary) => {
            seeds++;
            options.progress(lie, seeds);
            if (summary.failures.length > 0) failed.push(summary);
            return failed.length === 0;
          },
        });
      } catch (error) {
        // A bug that ends the program has been noticed, too.
        return { lie, seeds: seeds + 1, checker: "the program ends", happened: error instanceof Error ? error.message : String(error) };
      }
      if (failed.length === 0) break;
      for (const summary of failed) {
        // What fails without the bug says nothing about the bug.
        const truth = await runSeed({ seed: summary.seed, host: simulationHost });
        if (truth.failures.length > 0) continue;
        isFound = true;
        checker = summary.failures[0]?.checker ?? "";
        happened = summary.failures[0]?.happened ?? "";
      }
    }
    return { lie, seeds: checker === "" ? undefined : seeds, checker, happened };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Copies the source into `folder`, makes the lie's edits, and compiles it there. */
export function plant(lie: Lie, root: string, folder: string): void {
  cpSync(path.join(root, "src"), path.join(folder, "src"), { recursive: true });
  for (const name of ["package.json", "tsconfig.json"]) cpSync(path.join(root, name), path.join(folder, name));
  symlinkSync(path.join(root, "node_modules"), path.join(folder, "node_modules"));
  for (const { file, find, replace } of lie.edits) {
    const target = path.join(folder, "src", file);
    const text = readFileSync(target, "utf8");
    const times = text.split(find).length - 1;
    if (times !== 1) throw new CommandFault([`The planted bug ${lie.name} looks for a piece of ${file} that is there ${times} times, not once: the source has changed, and sim/lies.ts must follow.`]);
    writeFileSync(target, text.replace(find, () => replace));
  }
  const compiler = path.join(root, "node_modules", "typescript", "lib", "tsc.js");
  const compiled = spawnSync(process.execPath, [compiler, "-p", folder, "--outDir", path.join(folder, "dist"), "--noCheck"], { encoding: "utf8", env: { ...process.env, NODE_OPTIONS: "" } });
  if (compiled.status !== 0) throw new CommandFault([`The planted bug ${lie.name} does not compile: ${compiled.stdout}${compiled.stderr}`]);
}
