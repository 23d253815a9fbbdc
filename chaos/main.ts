/** `statusmesh chaos run`, `chaos list` and `chaos check`: the suite in a process of its own. */
import { readFile } from "node:fs/promises";
import path from "node:path";
import { parseArgs } from "node:util";
import { scenarios as backlog } from "./backlog.chaos.js";
import { scenarios as disks } from "./disks.chaos.js";
import { scenarios as links } from "./links.chaos.js";
import { scenarios as partitions } from "./partitions.chaos.js";
import { scenarios as processes } from "./processes.chaos.js";
import { ProgressLine } from "./progress-line.js";
import { scenarios as random } from "./random.chaos.js";
import { writeHistory, writeReport } from "./report.js";
import { checkAll, tellReport } from "../src/sim/check-all.js";
import { readHistory } from "../src/sim/history-file.js";
import type { Scenario } from "./scenario.js";
import { runScenario, worstOf, type ScenarioResult } from "./suite.js";
import { checkout } from "./checkout.js";

const ALL: readonly Scenario[] = [...partitions, ...links, ...processes, ...disks, ...backlog, ...random];
const MINUTES_MAX = 24 * 60;
/** With `--quick` a fault lasts this part of its time. */
const QUICK_PACE = 0.2;

class UsageFault extends Error {}

function listed(json: boolean): string {
  if (json) return JSON.stringify(ALL.map(({ name, title, hypotheses }) => ({ name, title, promises: hypotheses.map(({ promise }) => promise) })));
  return ALL.map(({ name, title, hypotheses }) => [`${name}: ${title}`, ...hypotheses.map(({ promise }) => `    ${promise}`)].join("\n")).join("\n");
}

async function run(names: readonly string[], values: { readonly minutes?: string | undefined; readonly seed?: string | undefined; readonly out?: string | undefined; readonly quick?: boolean | undefined }): Promise<number> {
  const unknown = names.filter((name) => !ALL.some((scenario) => scenario.name === name));
  if (unknown.length > 0) throw new UsageFault(`There is no scenario ${unknown.join(", ")}; statusmesh chaos list names them.`);
  const seed = numberOf("--seed", values.seed, Date.now() % 1_000_000, 2 ** 32 - 1);
  const minutes = numberOf("--minutes", values.minutes, 1, MINUTES_MAX);
  const folder = path.resolve(values.out ?? path.join(checkout, "data", "chaos-report"));
  const chosen = names.length === 0 ? ALL : ALL.filter(({ name }) => names.includes(name));
  const stopping = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => stopping.abort());
  const line = new ProgressLine(process.stderr, chosen.length);
  line.note(`seed ${seed}, ${chosen.length} scenarios`);
  const results: ScenarioResult[] = [];
  let report = await writeReport(folder, { seed, results });
  for (const scenario of chosen) {
    if (stopping.signal.aborted) break;
    line.begin(scenario.name);
    // A signal ends the scenario early, and its cluster in order.
    const result = await runScenario(scenario, { seed, minutes, pace: values.quick === true ? QUICK_PACE : 1, stopping: stopping.signal, say: (what) => line.say(what), played: (history) => writeHistory(folder, scenario.name, history) });
    results.push(result);
    line.end(result);
    // Whatever ends the run, what was found until then is there.
    report = await writeReport(folder, { seed, results });
  }
  process.stdout.write(`${report.text}\n`);
  const verdict = worstOf(results);
  return verdict === "broken" || results.length < chosen.length ? 1 : 0;
}

/** Runs the checkers on the history of a run. */
async function check(file: string | undefined): Promise<number> {
  if (file === undefined) throw new UsageFault("statusmesh chaos check needs a history file, such as data/chaos-report/<scenario>.history.json.");
  const text = await readFile(file, "utf8").catch((error: unknown) => {
    throw new UsageFault(`${file} cannot be read: ${error instanceof Error ? error.message : String(error)}.`);
  });
  const history = readHistory(text);
  if (!("format" in history)) throw new UsageFault(`${file} is no history: ${history.map(({ pointer, message }) => `${pointer} ${message}`).join("; ")}.`);
  const report = checkAll(history);
  process.stdout.write(`${tellReport(report)}\n`);
  return report.verdict === "violation" ? 1 : 0;
}

function numberOf(flag: string, text: string | undefined, otherwise: number, most: number): number {
  if (text === undefined) return otherwise;
  const value = Number(text);
  if (!/^\d+(?:\.\d+)?$/.test(text) || value > most) throw new UsageFault(`${flag} must be a number of at most ${most}, not ${JSON.stringify(text)}.`);
  return value;
}

const options = { minutes: { type: "string" }, seed: { type: "string" }, out: { type: "string" }, json: { type: "boolean" }, quick: { type: "boolean" } } as const;
try {
  const { values, positionals } = parseArgs({ args: process.argv.slice(2), options, allowPositionals: true });
  const [command, ...names] = positionals;
  if (command === "list") process.stdout.write(`${listed(values.json === true)}\n`);
  else if (command === "check") process.exitCode = await check(names[0]);
  else if (command === "run") process.exitCode = await run(names, values);
  else throw new UsageFault("The suite is started by statusmesh chaos run and statusmesh chaos list.");
} catch (error) {
  if (!(error instanceof UsageFault)) throw error;
  process.stderr.write(`statusmesh: ${error.message}\n`);
  process.exitCode = 1;
}
