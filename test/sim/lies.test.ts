import path from "node:path";
import { test } from "tap";
import { runLies } from "../../src/cli/sim-lies.js";
import { LIES } from "../../src/sim/lies.js";
import { readFileSync } from "node:fs";
import { checkout as root } from "../../chaos/checkout.js";

test("every planted bug finds its place in the source exactly once", async (t) => {
  for (const { name, edits } of LIES) {
    for (const { file, find } of edits) t.equal(readFileSync(path.join(root, "src", file), "utf8").split(find).length - 1, 1, `${name} in ${file}`);
  }
  t.ok(LIES.length >= 12);
  t.equal(new Set(LIES.map(({ name }) => name)).size, LIES.length, "names are unique");
});

test("a planted bug is found by a checker", { timeout: 300_000 }, async (t) => {
  const lie = LIES.find(({ name }) => name === "a-stale-view");
  if (lie === undefined) throw new Error("there is no such bug");
  const [result] = await runLies([lie], { root, processes: 1, first: 1, each: () => {}, progress: () => {} });
  t.ok((result?.seeds ?? Number.POSITIVE_INFINITY) <= lie.seedsMax, `after ${result?.seeds} seeds`);
  t.not(result?.checker, "the program ends");
});
