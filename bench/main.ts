/**
 * `npm run bench -- [NAME…] [--quick] [--json] [--accept] [--readme FILE]`: measures the built program beside its limits and its peers, in one run
 * on one machine. Prints one JSON line a metric as it is found, and a table at the end (with `--json` only the lines).
 * `--accept` keeps the ratios of this run in `baselines.json`; `--readme` puts the table into a file, between its lines `<!-- bench -->` and `<!-- /bench -->`; of benches that are named, their rows only.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { cpus, totalmem } from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";
import { antiEntropy } from "./anti-entropy.bench.js";
import type { Bench } from "./bench.js";
import { catchUp } from "./catch-up.bench.js";
import { healing } from "./healing.bench.js";
import { LoadTool } from "./load.js";
import { hotDocument, localWrite } from "./local-write.bench.js";
import { localRead } from "./local-read.bench.js";
import { baselineName, baselineValue, metricLine, metricOf, metricTable, readmeTable, withRowsOf, type Baselines, type Metric } from "./measurement.js";
import { publicRead } from "./public-read.bench.js";
import { propagation } from "./propagation.bench.js";
import { quorum } from "./quorum.bench.js";
import { replicationLag } from "./replication-lag.bench.js";
import { eventStreams } from "./streams.bench.js";
import { disk, footprint } from "./size.bench.js";
import { watching } from "./watch.bench.js";
import { webhooks } from "./webhooks.bench.js";
import { writeCost } from "./write-cost.bench.js";

const BENCHES: Readonly<Record<string, Bench>> = {
  "local-read": localRead, "local-write": localWrite, "write-cost": writeCost, hot: hotDocument, quorum, "replication-lag": replicationLag, propagation,
  "anti-entropy": antiEntropy, "catch-up": catchUp, healing, "public-read": publicRead, streams: eventStreams, webhooks, watch: watching, size: footprint, disk,
};
/** Benches that have not begun by then are left out, and said to be. */
const BUDGET_MS = 20 * 60_000;
const baselinesFile = path.join(import.meta.dirname, "baselines.json");
const sayLine = (line: string): void => void process.stdout.write(`${line}\n`);

function readBaselines(): Baselines {
  try {
    return JSON.parse(readFileSync(baselinesFile, "utf8")) as Baselines;
  } catch {
    return {};
  }
}

async function buildProgram(): Promise<void> {
  const script = path.resolve(import.meta.dirname, "..", "scripts", "ready.mjs");
  const { ensureBuilt } = (await import(script)) as { ensureBuilt: () => void };
  ensureBuilt();
}

/** In a function of its own: in a loop, what compiles `await using` for older engines keeps the failure of one round for all later ones. */
async function runOne(name: string, bench: Bench, quick: boolean, metrics: Metric[]): Promise<void> {
  // One for each bench: what a bench that failed left under way must not disturb the next.
  await using load = await LoadTool.start();
  await bench({
    load, quick,
    found: (finding) => {
      const metric = metricOf(name, finding);
      metrics.push(metric);
      sayLine(metricLine(metric));
    },
    skipped: (what, why) => sayLine(JSON.stringify({ bench: name, skipped: what, why })),
  });
}

async function run(names: readonly string[], quick: boolean): Promise<{ metrics: Metric[]; failed: string[] }> {
  const metrics: Metric[] = [];
  const failed: string[] = [];
  const begun = performance.now();
  for (const name of names) {
    const bench = BENCHES[name];
    if (bench === undefined) continue;
    const started = performance.now();
    if (started - begun > BUDGET_MS) {
      sayLine(JSON.stringify({ bench: name, skipped: "all of it", why: `${BUDGET_MS / 60_000} minutes are over; run it by name` }));
      continue;
    }
    try {
      await runOne(name, bench, quick, metrics);
    } catch (error) {
      failed.push(name);
      sayLine(JSON.stringify({ bench: name, failed: error instanceof Error ? error.message : String(error) }));
      process.stderr.write(`${name}: ${error instanceof Error ? error.stack : String(error)}\n`);
    }
    process.stderr.write(`${name}: ${((performance.now() - started) / 1_000).toFixed(0)} s\n`);
  }
  return { metrics, failed };
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { quick: { type: "boolean", default: false }, json: { type: "boolean", default: false }, accept: { type: "boolean", default: false }, readme: { type: "string" }, help: { type: "boolean", default: false } },
});
const unknown = positionals.filter((name) => !(name in BENCHES));
if (values.help || unknown.length > 0) {
  process.stderr.write(`${unknown.length > 0 ? `There is no bench ${unknown.join(", ")}. ` : ""}Usage: npm run bench -- [NAME…] [--quick] [--json] [--accept] [--readme FILE]\nBenches: ${Object.keys(BENCHES).join(", ")}\n`);
  process.exit(values.help ? 0 : 64);
}
await buildProgram();
const baselines = readBaselines();
const { metrics, failed } = await run(positionals.length > 0 ? positionals : Object.keys(BENCHES), values.quick);
if (!values.json && metrics.length > 0) sayLine(`\n${metricTable(metrics, baselines)}`);
if (values.quick) process.stderr.write("Quick runs show that the benches work; their figures are not to be quoted.\n");
if (values.accept) {
  const accepted: Record<string, number> = { ...baselines };
  for (const metric of metrics) accepted[baselineName(metric)] = Number(baselineValue(metric).toPrecision(4));
  writeFileSync(baselinesFile, `${JSON.stringify(accepted, null, 2)}\n`);
}
if (values.readme !== undefined) {
  const [before = "", block = "", after = ""] = readFileSync(values.readme, "utf8").split(/^<!-- \/?bench -->$/m);
  const where = `Measured on ${new Date().toISOString().slice(0, 10)} with \`npm run bench${positionals.length > 0 ? ` -- ${positionals.join(" ")}` : ""}\` on ${cpus().length} cores, ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.versions.node}`;
  const written = positionals.length > 0 ? withRowsOf(block, metrics, positionals, where) : `${where}.\n\n${readmeTable(metrics)}`;
  writeFileSync(values.readme, `${before}<!-- bench -->\n\n${written}\n\n<!-- /bench -->${after}`);
}
process.exit(failed.length > 0 ? 1 : 0);
