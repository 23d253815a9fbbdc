/** A smoke of the suite on real processes, and a lie that the checkers must find in what it left. */
import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { test } from "tap";
import type { History } from "../../src/sim/history.js";
import { statusmesh } from "../cli/cluster-folder.js";
import { playQuickly } from "./quick-scenario.js";

/** The history with one acknowledged update of an incident gone from everywhere, as if it had been lost. */
function withALoss(history: History): History {
  const update = history.operations.find(({ kind, outcome }) => kind === "post-update" && outcome === "ok");
  const [body] = update?.written?.added?.["updates"] ?? [];
  if (body === undefined) throw new Error("the load posted no update");
  const without = (text: string): string => text.replaceAll(JSON.stringify(body), '"never written"');
  return { ...history, final: JSON.parse(without(JSON.stringify(history.final))) as History["final"] };
}

test("a region is cut off: every promise is kept, and a lie planted in the history is found", { timeout: 300_000 }, async (t) => {
  const { folder, historyFile, code, stdout, stderr, report } = await playQuickly(t, "isolate-one", 4);
  t.equal(code, 0, `${stderr}\n${stdout}`);
  t.match(stderr, /seed 4, 1 scenarios/);
  t.match(stderr, /\[1\/1\] isolate-one, \d+ s: one region is cut off\n/);
  t.match(stdout, /seed 4: 1 scenarios kept every promise, 0 broke one\nreport: .*report\.html/);
  t.match(report, { name: "isolate-one", verdict: "kept" });
  t.ok(report.operations > 100, `${report.operations} operations`);
  const promises = [/The fault took place/, /LOCAL requests succeed/, /without a majority/, /equal within 30 s/, /^linearizability/, /^lost-writes/, /^sessions/, /^convergence/];
  for (const what of promises) t.ok(report.rows.some(({ promised }) => what.test(promised)), String(what));

  const lying = path.join(folder, "lying.json");
  await writeFile(lying, JSON.stringify(withALoss(JSON.parse(await readFile(historyFile, "utf8")) as History)));
  const found = statusmesh(["chaos", "check", lying], folder);
  t.equal(await found.ended, 1, "a lost write is no success");
  t.match(found.stdout, /lost-writes: \d+ violation/);
});
