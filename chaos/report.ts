/** The report of a run: text, JSON, the histories, and one page of HTML. */
import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import type { History } from "../src/sim/history.js";
import { reportPage } from "./report-page.js";
import type { ScenarioResult } from "./suite.js";

export interface Run {
  readonly seed: number;
  readonly results: readonly ScenarioResult[];
}

const MARKS = { kept: "kept     ", broken: "BROKEN   ", undecided: "undecided", skipped: "skipped  " } as const;

export function reportText({ seed, results }: Run): string {
  const lines = results.flatMap(({ name, title, verdict, tookMs, rows, history }) => [
    `${MARKS[verdict].trim().toUpperCase()} ${name}: ${title} (${Math.round(tookMs / 1_000)} s, ${history?.operations.length ?? 0} operations, ${history?.faults.length ?? 0} faults)`,
    ...rows.flatMap((row) => [`  ${MARKS[row.verdict]} ${row.promised}`, `            ${row.measured}`]),
    "",
  ]);
  const count = (wanted: string): number => results.filter(({ verdict }) => verdict === wanted).length;
  const rest = [...(count("undecided") > 0 ? [`${count("undecided")} undecided`] : []), ...(count("skipped") > 0 ? [`${count("skipped")} skipped`] : [])];
  return [...lines, `seed ${seed}: ${[`${count("kept")} scenarios kept every promise`, `${count("broken")} broke one`, ...rest].join(", ")}`].join("\n");
}

/** Writes `<name>.history.json`, which `statusmesh chaos check` reads again. */
export async function writeHistory(folder: string, name: string, history: History): Promise<void> {
  await mkdir(folder, { recursive: true });
  await writeFile(path.join(folder, `${name}.history.json`), JSON.stringify(history));
}

/** Writes `report.txt`, `report.json`, `report.html`, for each scenario its history, and for a broken one the replicas' logs. */
export async function writeReport(folder: string, run: Run): Promise<{ readonly text: string }> {
  await mkdir(folder, { recursive: true });
  const text = `${reportText(run)}\nreport: ${path.join(folder, "report.html")}`;
  await writeFile(path.join(folder, "report.txt"), `${text}\n`);
  const results = run.results.map(({ history, logs: _logs, ...result }) => ({ ...result, operations: history?.operations.length ?? 0, faults: history?.faults ?? [], ...(history === undefined ? {} : { history: `${result.name}.history.json` }) }));
  await writeFile(path.join(folder, "report.json"), `${JSON.stringify({ seed: run.seed, results }, null, 1)}\n`);
  for (const { name, logs } of run.results) for (const [replica, log] of Object.entries(logs ?? {})) await writeFile(path.join(folder, `${name}.${replica}.log`), log);
  for (const { name, history } of run.results) if (history !== undefined) await writeHistory(folder, name, history);
  await writeFile(path.join(folder, "report.html"), reportPage(run));
  return { text };
}
