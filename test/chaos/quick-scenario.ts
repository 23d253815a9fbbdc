/** Runs one scenario of the suite, short, on real processes. */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { statusmesh } from "../cli/cluster-folder.js";

export interface ScenarioReport {
  readonly name: string;
  readonly verdict: string;
  readonly operations: number;
  readonly rows: readonly { readonly promised: string; readonly measured: string; readonly verdict: string }[];
}

export interface Played {
  /** Of the test's own. */
  readonly folder: string;
  readonly historyFile: string;
  readonly code: number | string;
  readonly stdout: string;
  readonly stderr: string;
  readonly report: ScenarioReport;
}

interface Owner {
  teardown(end: () => unknown): void;
}

export async function playQuickly(t: Owner, name: string, seed: number): Promise<Played> {
  const folder = await mkdtemp(path.join(tmpdir(), "statusmesh-suite-"));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const out = path.join(folder, "report");
  const run = statusmesh(["chaos", "run", name, "--quick", "--seed", String(seed), "--out", out], folder);
  t.teardown(() => run.child.kill("SIGTERM"));
  const code = await run.ended;
  const text = await readFile(path.join(out, "report.json"), "utf8").catch(() => "");
  if (text === "") throw new Error(`no report: ${run.stderr}`);
  const [report] = (JSON.parse(text) as { readonly results: readonly ScenarioReport[] }).results;
  if (report === undefined) throw new Error(`an empty report: ${run.stderr}`);
  return { folder, historyFile: path.join(out, `${name}.history.json`), code, stdout: run.stdout, stderr: run.stderr, report };
}
