/** `npm run sim`: runs seeds of the simulator, one, many, or with planted bugs. */
import { appendFileSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import path from "node:path";
import { Command, CommanderError, Option } from "commander";
import { systemClock } from "../io/system-clock.js";
import { judge, type Failure, type Judgement } from "../sim/judgement.js";
import { LIES } from "../sim/lies.js";
import { EMPHASES, type Emphasis } from "../sim/seed-plan.js";
import { shrink } from "../sim/shrinking.js";
import { simulate, type SimulationOptions, type SimulationResult } from "../sim/simulation.js";
import { COVERING_SEEDS, SwarmTotals } from "../sim/swarm.js";
import { simulationHost } from "./sim-host.js";
import { runLies, type LieResult } from "./sim-lies.js";
import { runPool } from "./sim-pool.js";
import { CommandFault, complain, say, table } from "./terminal.js";

interface Options {
  readonly seed?: string;
  readonly seeds?: string;
  readonly first: string;
  readonly emphasis?: Emphasis;
  readonly faults?: string;
  readonly left?: string;
  readonly trace?: string;
  readonly history?: string;
  readonly shrink: boolean;
  readonly lies?: true;
  readonly lie?: readonly string[];
  readonly processes: string;
  readonly json?: true;
}

const FAILURES_TOLD = 5;
/** Runs that shrinking may take, for faults and then for operations. */
const SHRINK_FAULTS_RUNS = 120;
const SHRINK_OPERATIONS_RUNS = 80;
const FAILED_SEEDS_MAX = 10;
const BAR_WIDTH = 24;
/** Seeds of a planted bug between two lines of progress, and how much is told of what a checker says, in characters. */
const LIE_PROGRESS_EVERY = 20;
const HAPPENED_TOLD = 200;
const root = path.resolve(import.meta.dirname, "..", "..");

/** Resolves to the exit code. */
export async function runSim(argv: readonly string[]): Promise<number> {
  const program = new Command("npm run sim --")
    .description("Runs the production assembly in a simulated world: same seed, same run, byte for byte.")
    .option("--seed <number>", "one seed: prints what happened, and its trace hash")
    .option("--seeds <number>", "that many seeds on all cores, with what they reached (default: 100)")
    .option("--first <number>", "the first seed of many", "1")
    .addOption(new Option("--emphasis <name>", "runs in which something happens all the time that is rare elsewhere").choices(Object.keys(EMPHASES)))
    .option("--faults <ids>", "with --seed: only these faults of its schedule, as 1,4,9 (empty: none)")
    .option("--left <operations>", "with --seed: operations of clients that are left out, as c1/4,c2/9")
    .option("--trace <file>", "with --seed: writes every event there")
    .option("--history <file>", "with --seed: writes the history there, as the checkers read it")
    .option("--no-shrink", "do not look for the shortest failing run")
    .option("--lies", "plants every known bug, and runs seeds until it is found")
    .option("--lie <name...>", "as --lies, these bugs only")
    .option("--processes <number>", "how many at once", String(availableParallelism()))
    .option("--json", "print JSON")
    .exitOverride()
    .showHelpAfterError("(--help says more)")
    .addHelpText("after", "\nExit codes: 0 all promises were kept, or every planted bug was found; 1 not, or a fault was never reached.");
  try {
    program.parse([...argv], { from: "user" });
    const options = program.opts<Options>();
    if (options.lies === true || options.lie !== undefined) return await lies(options);
    return options.seed === undefined ? await swarm(options) : await single(options);
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode;
    for (const sentence of error instanceof CommandFault ? error.sentences : [error instanceof Error ? (error.stack ?? error.message) : String(error)]) complain(`sim: ${sentence}`);
    return 1;
  }
}

function numberOf(text: string, what: string): number {
  const number = Number(text);
  if (!Number.isSafeInteger(number) || number < 0) throw new CommandFault([`${what} is no whole number: ${text}.`]);
  return number;
}

function listOf(text: string | undefined): string[] | undefined {
  return text?.split(",").filter((part) => part !== "");
}

// One seed.

async function single(options: Options): Promise<number> {
  const { trace } = options;
  if (trace !== undefined) writeFileSync(trace, "");
  const faults = listOf(options.faults)?.map((id) => numberOf(id, "A fault"));
  const simulation: SimulationOptions = {
    seed: numberOf(options.seed ?? "", "The seed"), host: simulationHost, emphasis: options.emphasis,
    ...(faults === undefined ? {} : { faults: new Set(faults) }),
    ...(options.left === undefined ? {} : { left: new Set(listOf(options.left)) }),
    ...(trace === undefined ? {} : { traceLine: (line: string) => appendFileSync(trace, line) }),
  };
  const result = await simulate(simulation);
  const judgement = judge(result);
  if (options.history !== undefined) writeFileSync(options.history, JSON.stringify(result.history));
  if (options.json === true) {
    const { seed, traceHash, simulatedMs, events, history } = result;
    say(JSON.stringify({ seed, trace: traceHash, simulated_ms: Math.round(simulatedMs), events, operations: history.operations.length, faults: history.faults, ...judgement }));
  } else tellRun(result, judgement);
  if (judgement.failures.length === 0) return 0;
  if (options.shrink && options.faults === undefined) await shrinkRun(simulation, result, judgement.failures);
  return 1;
}

function tellRun({ seed, traceHash, simulatedMs, events, history }: SimulationResult, { failures, undecided }: Judgement): void {
  say(`seed ${seed}: ${Math.round(simulatedMs)} simulated ms, ${events} events, ${history.operations.length} operations, ${history.faults.length} faults`);
  say(`trace ${traceHash}`);
  for (const line of undecided) say(`undecided: ${line}`);
  tellFailures(failures);
  if (failures.length === 0) say("all promises were kept");
}

function tellFailures(failures: readonly Failure[]): void {
  for (const { checker, promised, happened } of failures.slice(0, FAILURES_TOLD)) say(`${checker}\n  promised: ${promised}\n  happened: ${happened}`);
  if (failures.length > FAILURES_TOLD) say(`and ${failures.length - FAILURES_TOLD} more`);
}

/** Prints the shortest run that still fails in the same way, and the command for it. */
async function shrinkRun(simulation: SimulationOptions, result: SimulationResult, failures: readonly Failure[]): Promise<void> {
  const checker = failures[0]?.checker ?? "";
  const failsWith = async (changed: Partial<SimulationOptions>): Promise<boolean> => {
    const { traceLine: _traceLine, ...plain } = simulation;
    return judge(await simulate({ ...plain, ...changed })).failures.some((failure) => failure.checker === checker);
  };
  complain("looking for the shortest run that fails …");
  const faults = await shrink(result.faults.map(({ id }) => id), (kept) => failsWith({ faults: new Set(kept) }), SHRINK_FAULTS_RUNS);
  const keptFaults = new Set(faults);
  const all = await simulate({ seed: simulation.seed, host: simulation.host, emphasis: simulation.emphasis, faults: keptFaults });
  const everything = operationsOf(all);
  const operations = await shrink(everything, (kept) => failsWith({ faults: keptFaults, left: leftOf(everything, kept) }), SHRINK_OPERATIONS_RUNS);
  const left = leftOf(everything, operations);
  const shortest = await simulate({ seed: simulation.seed, host: simulation.host, emphasis: simulation.emphasis, faults: keptFaults, left });
  say(`shortest: ${faults.length} of ${result.faults.length} faults, ${shortest.history.operations.length} of ${result.history.operations.length} operations`);
  for (const fault of shortest.history.faults) say(`  ${Math.round(fault.fromMs)} to ${fault.untilMs === undefined ? "" : Math.round(fault.untilMs)} ms: ${fault.kind} of ${fault.targets.join(", ")}${fault.detail === undefined ? "" : ` (${fault.detail})`}`);
  tellFailures(judge(shortest).failures);
  say(`again: ${shortest.history.run.command} --faults "${faults.join(",")}"${left.size === 0 ? "" : ` --left ${[...left].join(",")}`}`);
}

/** The steps of clients, `<client>/<number>`. Every step up to the greatest that was seen may be left out. */
function operationsOf({ steps }: SimulationResult): string[] {
  return Object.entries(steps).flatMap(([client, count]) => Array.from({ length: count }, (_, index) => `${client}/${index + 1}`));
}

function leftOf(all: readonly string[], kept: readonly string[]): Set<string> {
  const stays = new Set(kept);
  return new Set(all.filter((operation) => !stays.has(operation)));
}

// Many seeds.

async function swarm(options: Options): Promise<number> {
  const seeds = numberOf(options.seeds ?? "100", "--seeds");
  const first = numberOf(options.first, "--first");
  const totals = new SwarmTotals();
  const startedAt = systemClock.monotonic();
  const bar = progressBar(seeds, () => `${totals.failed.length} failed`);
  await runPool({
    worker: path.join(import.meta.dirname, "sim-worker.js"), processes: numberOf(options.processes, "--processes"), first, seeds, emphasis: options.emphasis,
    each: (summary) => {
      totals.add(summary);
      bar.step();
      if (summary.failures.length > 0) complain(`\nseed ${summary.seed} failed: ${summary.failures[0]?.checker ?? ""}: ${(summary.failures[0]?.happened ?? "").slice(0, 300)}`);
      return totals.failed.length < FAILED_SEEDS_MAX;
    },
  });
  bar.end();
  const seconds = (systemClock.monotonic() - startedAt) / 1_000;
  const missing = totals.seeds >= COVERING_SEEDS ? totals.missing() : [];
  if (options.json === true) say(JSON.stringify(jsonOf(totals, seconds, missing)));
  else tellSwarm(totals, seconds, missing);
  const [failed] = totals.failed.sort((a, b) => a.seed - b.seed);
  if (failed !== undefined && options.shrink && options.json !== true) {
    say(`\nseed ${failed.seed}, again: npm run sim -- --seed ${failed.seed}${options.emphasis === undefined ? "" : ` --emphasis ${options.emphasis}`}`);
    await single({ ...options, seed: String(failed.seed) });
  }
  return failed === undefined && missing.length === 0 ? 0 : 1;
}

function tellSwarm(totals: SwarmTotals, seconds: number, missing: readonly string[]): void {
  say(table(["reached", "seeds", "times"], totals.coverage().map(({ what, seeds, times }) => [what, String(seeds), String(times)])));
  const hours = totals.simulatedMs / 3_600_000;
  say(`\n${totals.seeds} seeds, ${hours.toFixed(2)} simulated hours, ${totals.operations} operations, ${totals.faults} faults, ${totals.events} events in ${seconds.toFixed(1)} s`);
  say(`${(totals.seeds / seconds).toFixed(2)} seeds/s, ${((totals.simulatedMs / 1_000) / seconds).toFixed(0)} simulated seconds a second, ${(totals.operations / seconds).toFixed(0)} operations/s`);
  say(`violations: ${totals.failed.length} seeds${totals.failed.length === 0 ? "" : ` (${totals.failed.map(({ seed }) => seed).join(", ")})`}; undecided: ${totals.undecided}`);
  for (const branch of totals.missingBranches()) say(`never reached: ${branch}`);
  for (const what of missing) say(`NEVER REACHED, which fails the run: ${what}`);
}

function jsonOf(totals: SwarmTotals, seconds: number, missing: readonly string[]): unknown {
  const { seeds, simulatedMs, operations, faults, events, failed, undecided } = totals;
  return { seeds, seconds, simulated_ms: Math.round(simulatedMs), operations, faults, events, undecided, failed, missing, coverage: totals.coverage() };
}

function progressBar(total: number, note: () => string): { step(): void; end(): void } {
  let done = 0;
  const isTerminal = process.stderr.isTTY === true;
  return {
    step: () => {
      done++;
      if (isTerminal) {
        const filled = Math.round((BAR_WIDTH * done) / total);
        process.stderr.write(`\r[${"#".repeat(filled)}${"-".repeat(BAR_WIDTH - filled)}] ${done}/${total} seeds, ${note()} `);
      } else if (done % Math.max(1, Math.floor(total / 10)) === 0) complain(`${done}/${total} seeds, ${note()}`);
    },
    end: () => {
      if (isTerminal) process.stderr.write("\n");
    },
  };
}

// Planted bugs.

async function lies(options: Options): Promise<number> {
  const chosen = options.lie === undefined ? LIES : LIES.filter(({ name }) => options.lie?.includes(name) === true);
  if (chosen.length === 0) throw new CommandFault([`No such planted bug; there are ${LIES.map(({ name }) => name).join(", ")}.`]);
  const startedAt = systemClock.monotonic();
  const seconds = (): string => `${Math.round((systemClock.monotonic() - startedAt) / 1_000)} s`;
  const results = await runLies(chosen, {
    root, processes: numberOf(options.processes, "--processes"), first: numberOf(options.first, "--first"),
    each: ({ lie, seeds, checker, happened }) => complain(seeds === undefined
      ? `${lie.name}: NOT FOUND in ${lie.seedsMax} seeds (${seconds()})`
      : `${lie.name}: found after ${seeds} of at most ${lie.seedsMax} by ${checker} (${seconds()}): ${happened.split("\n", 1)[0]?.slice(0, HAPPENED_TOLD) ?? ""}`),
    progress: (lie, seeds) => {
      if (seeds % LIE_PROGRESS_EVERY === 0) complain(`${lie.name}: ${seeds} of at most ${lie.seedsMax} seeds (${seconds()})`);
    },
  });
  say(options.json === true ? JSON.stringify(results.map(({ lie, ...rest }) => ({ name: lie.name, what: lie.what, seeds_max: lie.seedsMax, ...rest }))) : table(
    ["planted bug", "seeds needed", "at most", "found by", "what it is"],
    results.map(({ lie, seeds, checker }: LieResult) => [lie.name, seeds === undefined ? "NOT FOUND" : String(seeds), String(lie.seedsMax), checker, lie.what]),
  ));
  return results.every(({ seeds }) => seeds !== undefined) ? 0 : 1;
}
