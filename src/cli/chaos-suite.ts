/** `statusmesh chaos run`, `chaos list` and `chaos check`: hand over to the suite in `chaos/`, which runs from its sources in a checkout. */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";
import type { Command } from "commander";
import { CommandFault } from "./terminal.js";

const root = path.resolve(import.meta.dirname, "..", "..");
/** Of a development package: production code imports none, and starts this one by its place. */
const loader = path.join(root, "node_modules", "tsx", "dist", "loader.mjs");

interface RunOptions {
  readonly minutes?: string;
  readonly seed?: string;
  readonly out?: string;
  readonly quick?: true;
}

export function addSuiteCommands(chaos: Command): void {
  chaos
    .command("run [scenario...]")
    .description("Runs scenarios of the chaos suite, each on a cluster of its own, and writes a report. Without names: all of them.")
    .option("--minutes <number>", "how long the scenario random lasts (default: 1)")
    .option("--seed <number>", "seed of all choices; printed at the start")
    .option("--quick", "faults last a fifth of their time: to see that it works")
    .option("--out <folder>", "where the report goes (default: data/chaos-report)")
    .addHelpText("after", "\nExit codes: 0 every promise was kept; 1 one was broken, or nothing could be run.")
    .action(async (names: readonly string[], { minutes, seed, out, quick }: RunOptions) => {
      const given = { minutes, seed, out };
      await suite(["run", ...Object.entries(given).flatMap(([name, value]) => (value === undefined ? [] : [`--${name}`, value])), ...(quick === true ? ["--quick"] : []), "--", ...names]);
    });
  chaos
    .command("check <history>")
    .description("Runs the checkers on the history of a run (<scenario>.history.json beside its report).")
    .addHelpText("after", "\nExit codes: 0 no violation; 1 a violation, or no history.")
    .action(async (history: string) => await suite(["check", "--", history]));
  chaos
    .command("list")
    .description("Lists the scenarios of the chaos suite, and what each promises.")
    .option("--json", "print JSON")
    .action(async ({ json }: { readonly json?: true }) => await suite(["list", ...(json === true ? ["--json"] : [])]));
}

/** Runs it in a process of its own, with the loader that its sources need, and ends as it ends. */
async function suite(args: readonly string[]): Promise<void> {
  const entry = path.join(root, "chaos", "main.ts");
  if (!existsSync(entry)) throw new CommandFault(["The chaos suite is part of the source checkout, and is not installed here."]);
  if (!existsSync(loader)) throw new CommandFault(["The chaos suite needs the development packages: npm install."]);
  const child = spawn(process.execPath, ["--import", pathToFileURL(loader).href, entry, ...args], { stdio: "inherit" });
  // The child hears them from the terminal too, and ends its cluster before it ends.
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => child.kill(signal));
  process.exitCode = await new Promise<number>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve(code ?? 1));
  });
}
