/** `statusmesh node`: one replica, in the foreground. */
import path from "node:path";
import type { Command } from "commander";
import { readConfig, rootKeyFault } from "../config.js";
import { DESCRIPTORS_MIN, descriptorsMax } from "../io/descriptors.js";
import { isFreshFolder } from "../io/level-storage.js";
import { pause } from "../io/system-clock.js";
import { programVersion } from "./program-version.js";
import { asFault, CommandFault, complain, EXIT_CONFIG } from "./terminal.js";

/** A replica that runs stops by itself before that. */
const GIVEN_UP_MS = 9_500;

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
      process.exitCode = await Promise.race([runReplica(options, stop), stop.then(stillStarting)]);
      process.exit();
    });
}

/** Ends a start that does not come to its end (a disk that hangs) although it was told to stop. Nothing was answered yet. */
async function stillStarting(): Promise<number> {
  await pause(GIVEN_UP_MS);
  complain("statusmesh: stopped before the start had ended.");
  return 0;
}

async function runReplica(options: { config: string; data?: string; rebuild?: true }, stop: Promise<string>): Promise<number> {
  const descriptors = descriptorsMax();
  if (descriptors < DESCRIPTORS_MIN) throw new CommandFault([`A replica needs at least ${DESCRIPTORS_MIN} descriptors for files and sockets, and this process may have ${descriptors}: raise the limit (ulimit -n).`], EXIT_CONFIG);
  const source = { file: path.resolve(options.config), environment: process.env, workingFolder: process.cwd() };
  const result = readConfig(options.data === undefined ? source : { ...source, data: options.data });
  if ("faults" in result) throw new CommandFault(result.faults, EXIT_CONFIG);
  const { config, rootKey, purge } = result;
  const rebuild = options.rebuild === true;
  const isFresh = await isFreshFolder(config.data).catch(asFault);
  const missing = rebuild ? undefined : rootKeyFault(rootKey, isFresh, config.data);
  if (missing !== undefined) throw new CommandFault([missing], EXIT_CONFIG);
  const clockOffsetMs = clockOffsetIn(process.env["STATUSMESH_TEST_CLOCK_OFFSET_MS"]);
  const diskFullFile = process.env["STATUSMESH_TEST_DISK_FULL_FILE"] || undefined;
  try {
    // Loaded only here: the other commands start without the weight of a replica.
    const [{ runNode }, { assembly }] = await Promise.all([import("../main.js"), import("../assembly.js")]);
    return await runNode(config, { rootKey, purge, rebuild, version: programVersion(), diskFullFile, clockOffsetMs, stop }, assembly);
  } catch (error) {
    return asFault(error);
  }
}

function clockOffsetIn(text = ""): number {
  if (text === "") return 0;
  if (!/^-?\d{1,12}$/.test(text)) throw new CommandFault(["STATUSMESH_TEST_CLOCK_OFFSET_MS must be a whole number of milliseconds."], EXIT_CONFIG);
  return Number(text);
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
