import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "tap";
import { ProgressLine } from "../../chaos/progress-line.js";
import { writeReport, type Run } from "../../chaos/report.js";
import { readHistory } from "../../src/sim/history-file.js";
import type { History, Operation } from "../../src/sim/history.js";

function operation(id: number, over: Partial<Operation>): Operation {
  return { id, client: "c", region: "us-east", replica: "us-east-1", level: "LOCAL", kind: "read", subject: { page: "default", type: "component", id: "x" }, invokedAtMs: 1_000 * id, returnedAtMs: 1_000 * id + 5, outcome: "ok", status: 200, ...over };
}

const history: History = {
  format: 1, run: { instrument: "chaos", scenario: "bridge", seed: 7, command: "statusmesh chaos run bridge --seed 7" },
  replicas: [{ replica: "us-east-1", region: "us-east", role: "region" }],
  operations: [operation(1, {}), operation(2, { outcome: "rejected", status: 503, level: "GLOBAL_QUORUM" }), operation(3, { outcome: "unreachable" })],
  faults: [{ kind: "isolate", targets: ["us-east<>eu-west"], fromMs: 1_500, untilMs: 2_500, detail: "<cut> & \"quoted\"" }, { kind: "crash", targets: ["us-east"], fromMs: 2_000 }],
  healedAtMs: 3_000, convergedAtMs: 3_500, final: [],
};
const run: Run = {
  seed: 7,
  results: [
    { name: "bridge", title: "A <b>title</b>", seed: 7, verdict: "broken", tookMs: 4_200, history, rows: [
      { promised: "LOCAL <serves>", measured: "3 requests, 0 failed", verdict: "kept" },
      { promised: "nothing is lost", measured: "1 violation", verdict: "broken" },
    ] },
    { name: "corruption", title: "Skipped here", seed: 7, verdict: "skipped", tookMs: 0, rows: [{ promised: "the toxic", measured: "not there", verdict: "skipped" }] },
    { name: "early", title: "Ended before any request", seed: 7, verdict: "broken", tookMs: 1, history: { ...history, operations: [], faults: [] }, rows: [] },
  ],
};

test("a report says what was promised, what was measured and the verdict, as text, JSON and a page", async (t) => {
  const folder = await mkdtemp(path.join(tmpdir(), "statusmesh-report-"));
  t.teardown(() => rm(folder, { recursive: true }));
  const { text } = await writeReport(path.join(folder, "out"), run);
  t.match(text, /BROKEN bridge: .*3 operations, 2 faults/);
  t.match(text, /kept +LOCAL <serves>\n +3 requests, 0 failed/);
  t.match(text, /seed 7: 0 scenarios kept every promise, 2 broke one, 1 skipped/);
  const read = async (name: string): Promise<string> => await readFile(path.join(folder, "out", name), "utf8");
  t.equal(await read("report.txt"), `${text}\n`);
  const json = JSON.parse(await read("report.json")) as { seed: number; results: { name: string; verdict: string; history?: string; rows: unknown[] }[] };
  t.equal(json.seed, 7);
  t.match(json.results[0], { name: "bridge", verdict: "broken", operations: 3, history: "bridge.history.json", rows: run.results[0]?.rows });
  t.same(readHistory(await read("bridge.history.json")), history, "the history can be read and checked again");

  const page = await read("report.html");
  t.match(page, /name="viewport"/);
  t.match(page, /prefers-color-scheme:dark/);
  t.notMatch(page, /\b(?:src|href)="(?!#)|url\(|@import|<script/, "nothing comes from elsewhere");
  t.notMatch(page, /<cut>|<serves>|<b>title/, "what was said is text, not markup");
  t.equal(page.match(/<rect class="bar"/g)?.length, 2, "a bar a fault");
  for (const tone of ["ok", "failed", "unknown"]) t.equal(page.match(new RegExp(`<circle class="${tone}"`, "g"))?.length, 1, `a dot of ${tone}`);
  t.match(page, /healed 3\.0 s/);
  t.match(page, /equal 3\.5 s/);
  t.match(page, /2 of 3 scenarios broke a promise/);
});

test("progress is one line that is written over on a terminal, and a line a step elsewhere", (t) => {
  const written = (isTTY: boolean): string[] => {
    const texts: string[] = [];
    const line = new ProgressLine({ isTTY, columns: 40, write: (text: string) => texts.push(text) }, 2);
    line.begin("backlog");
    for (let i = 1; i <= 50; i++) line.say(`${i},000 of 100,000 changes and a long, long tail`);
    line.say("heals");
    if (run.results[0] !== undefined) line.end(run.results[0]);
    return texts;
  };
  const terminal = written(true);
  t.equal(terminal.length, 52);
  t.ok(terminal.slice(0, -1).every((text) => text.startsWith("\r") && !text.includes("\n") && text.length <= 45));
  t.match(terminal.at(-1), /bridge: BROKEN \(4 s, 1 of 2 promises kept\)\n$/);
  const elsewhere = written(false);
  t.equal(elsewhere.length, 3, "the same step is not told again and again");
  t.ok(elsewhere.every((text) => text.endsWith("\n") && !text.includes("\r")));
  t.end();
});
