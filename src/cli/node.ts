/** `statusmesh node`: one replica, in the foreground. */
import path from "node:path";
import type { Command } from "commander";
import { readConfig, rootKeyFault } from "../config.js";
import { isFreshFolder } from "../io/level-storage.js";
import { programVersion } from "./program-version.js";
import { CommandFault, complain, EXIT_CONFIG } from "./terminal.js";

export function nodeCommand(program: Command): void {
  program
    .command("node")
    .description("Runs one replica in the foreground. Logs JSON lines; the line with event=listening says that it is ready.")
    .requiredOption("--config <file>", "region file")
    .option("--data <folder>", "data folder of this replica")
    .option("--rebuild", "move the store aside and fetch everything from the peers")
    .action(async (options: { config: string; data?: string; rebuild?: true }) => {
      // Heard from the start: a signal that comes while the store opens must not be lost.
      const stop = stopRequested();
      process.exitCode = await runReplica(options, stop);
      process.exit();
    });
}

async function runReplica(options: { config: string; data?: string; rebuild?: true }, stop: Promise<string>): Promise<number> {
  const source = { file: path.resolve(options.config), environment: process.env, workingFolder: process.cwd() };
  const result = readConfig(options.data === undefined ? source : { ...source, data: options.data });
  if ("faults" in result) throw new CommandFault(result.faults, EXIT_CONFIG);
  const { config, rootKey, purge } = result;
  const rebuild = options.rebuild === true;
  const missing = rebuild ? undefined : rootKeyFault(rootKey, await isFreshFolder(config.data), config.data);
  if (missing !== undefined) throw new CommandFault([missing], EXIT_CONFIG);
  const diskFullFile = process.env["STATUSMESH_TEST_DISK_FULL_FILE"] || undefined;
  try {
    // Loaded only here: the other commands start without the weight of a replica.
    const [{ runNode }, { assembly }] = await Promise.all([import("../main.js"), import("../assembly.js")]);
    return await runNode(config, { rootKey, purge, rebuild, version: programVersion(), diskFullFile, stop }, assembly);
  } catch (error) {
    throw new CommandFault([error instanceof Error ? error.message : String(error)]);
  }
}

/** Resolves with the reason: a signal, or the end of the process that started this one over a channel. */
function stopRequested(): Promise<string> {
  // The reader of the log may be gone before this process is.
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => undefined);
  return new Promise((resolve) => {
    let asked = false;
    for (const signal of ["SIGTERM", "SIGINT"] as const) {
      process.on(signal, () => {
        if (asked && signal === "SIGINT") {
          complain("Stopped at once.");
          process.exit(130);
        }
        asked = true;
        resolve(signal);
      });
    }
    if (process.connected) process.once("disconnect", () => resolve("the parent process is gone"));
  });
}
