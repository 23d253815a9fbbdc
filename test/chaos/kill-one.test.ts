/** A smoke of the suite on real processes; the checkers read the history that it leaves. */
import { writeFile } from "node:fs/promises";
import path from "node:path";
import { test } from "tap";
import { statusmesh } from "../cli/cluster-folder.js";
import { playQuickly } from "./quick-scenario.js";

test("a region is killed: every promise is kept, and its history passes the checkers again", { timeout: 300_000 }, async (t) => {
  const { folder, historyFile, code, stdout, stderr, report } = await playQuickly(t, "kill-one", 4);
  t.equal(code, 0, `${stderr}\n${stdout}`);
  t.match(report, { name: "kill-one", verdict: "kept" });
  t.ok(report.rows.some(({ promised, measured }) => promised.includes("processes were killed") && measured === "1 killed"));
  const honest = statusmesh(["chaos", "check", historyFile], folder);
  t.equal(await honest.ended, 0, honest.stdout);
  t.match(honest.stdout, /lost-writes: ok, \d+ looked at/);
  const none = path.join(folder, "none.json");
  await writeFile(none, "{}");
  const refused = statusmesh(["chaos", "check", none], folder);
  t.equal(await refused.ended, 1);
  t.match(refused.stderr, /is no history/);
});
