/** A smoke of the suite: two short scenarios on real processes, and a lie that the checkers must find in what they left. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "tap";
import type { History } from "../../src/sim/history.js";
import { statusmesh } from "../cli/cluster-folder.js";

interface Report {
  readonly seed: number;
  readonly results: readonly { readonly name: string; readonly verdict: string; readonly operations: number; readonly rows: readonly { readonly promised: string; readonly measured: string; readonly verdict: string }[] }[];
}

/** The history with one acknowledged update of an incident gone from everywhere, as if it had been lost. */
function withALoss(history: History): History {
  const update = history.operations.find(({ kind, outcome }) => kind === "post-update" && outcome === "ok");
  const [body] = update?.written?.added?.["updates"] ?? [];
  if (body === undefined) throw new Error("the load posted no update");
  const without = (text: string): string => text.replaceAll(JSON.stringify(body), '"never written"');
  return { ...history, final: JSON.parse(without(JSON.stringify(history.final))) as History["final"] };
}

test("two scenarios on real processes keep their promises, and a lie planted in their history is found", { timeout: 115_000 }, async (t) => {
  const folder = await mkdtemp(path.join(tmpdir(), "statusmesh-suite-"));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const out = path.join(folder, "report");
  const run = statusmesh(["chaos", "run", "isolate-one", "kill-one", "--quick", "--seed", "4", "--out", out], folder);
  t.teardown(() => void run.child.kill("SIGTERM"));
  t.equal(await run.ended, 0, `${run.stderr}\n${run.stdout}`);
  t.match(run.stderr, /seed 4, 2 scenarios/);
  t.match(run.stderr, /\[1\/2\] isolate-one, \d+ s: one region is cut off\n/);
  t.match(run.stdout, /seed 4: 2 scenarios kept every promise, 0 broke one\nreport: .*report\.html/);
  const report = JSON.parse(await readFile(path.join(out, "report.json"), "utf8")) as Report;
  t.same(report.results.map(({ name, verdict }) => [name, verdict]), [["isolate-one", "kept"], ["kill-one", "kept"]]);
  for (const { operations, rows } of report.results) {
    t.ok(operations > 100, `${operations} operations`);
    for (const what of [/The fault took place/, /LOCAL requests succeed/, /equal within 30 s/, /^linearizability/, /^lost-writes/, /^sessions/, /^convergence/]) t.ok(rows.some(({ promised }) => what.test(promised)), String(what));
  }

  const file = path.join(out, "isolate-one.history.json");
  const honest = statusmesh(["chaos", "check", file], folder);
  t.equal(await honest.ended, 0, honest.stdout);
  const lying = path.join(folder, "lying.json");
  await writeFile(lying, JSON.stringify(withALoss(JSON.parse(await readFile(file, "utf8")) as History)));
  const found = statusmesh(["chaos", "check", lying], folder);
  t.equal(await found.ended, 1, "a lost write is no success");
  t.match(found.stdout, /lost-writes: \d+ violation/);
  await writeFile(lying, "{}");
  const none = statusmesh(["chaos", "check", lying], folder);
  t.equal(await none.ended, 1);
  t.match(none.stderr, /is no history/);
});

test("the suite lists its scenarios with their promises, and refuses names and numbers that are none", { timeout: 60_000 }, async (t) => {
  const list = statusmesh(["chaos", "list", "--json"], ".");
  t.equal(await list.ended, 0, list.stderr);
  const scenarios = JSON.parse(list.stdout) as { name: string; promises: string[] }[];
  t.ok(scenarios.length >= 20, `${scenarios.length} scenarios`);
  for (const { name, promises } of scenarios) t.ok(promises.some((promise) => promise.startsWith("LOCAL")), `${name} says what must succeed`);
  for (const [args, says] of [[["earthquake"], /no scenario earthquake/], [["bridge", "--seed", "x"], /--seed must be a number/]] as const) {
    const refused = statusmesh(["chaos", "run", ...args], ".");
    t.equal(await refused.ended, 1);
    t.match(refused.stderr, says);
  }
});
