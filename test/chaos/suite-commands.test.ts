import { test } from "tap";
import { statusmesh } from "../cli/cluster-folder.js";

test("the suite lists its scenarios with their promises, and refuses names and numbers that are none", { timeout: 150_000 }, async (t) => {
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
