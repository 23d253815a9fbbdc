/**
 * Seeds that show bugs that were fixed: each fails where the planted bug is put back, and passes without it. A change of the world makes
 * other runs of them; `npm run sim -- --lie NAME` finds the new one.
 */
import { test } from "tap";
import { simulationHost } from "../../src/cli/sim-host.js";
import { LIES } from "../../src/sim/lies.js";
import type { Emphasis } from "../../src/sim/seed-plan.js";
import { runSeed } from "../../src/sim/swarm.js";

const REGRESSIONS: readonly { readonly seed: number; readonly bug: string; readonly emphasis?: Emphasis }[] = [
  { seed: 41, bug: "a-refusal-of-what-may-be-decided" },
  { seed: 1, bug: "votes-told-before-they-are-durable" },
  { seed: 258, bug: "goes-on-before-it-has-met-anybody" },
  { seed: 4, emphasis: "creations", bug: "handed-over-and-refused-there" },
  { seed: 72, emphasis: "late-edits", bug: "adopts-a-candidate-that-does-not-cover-shown" },
  { seed: 19, emphasis: "creations", bug: "a-refusal-kept-where-it-was-handed-over" },
];

/** Seeds that have failed by something that nobody would plant. */
const ONCE_FAILED: readonly { readonly seed: number; readonly what: string }[] = [
  { seed: 632, what: "A region that was away took back what it had seen, although others thought better of it." },
  { seed: 676, what: "Regions that were away took back what spoke against a single region's opinion." },
  { seed: 675, what: "The token of a replica that was being repaired did not cover what it had shown." },
];

for (const { seed, what } of ONCE_FAILED) {
  test(`seed ${seed}: ${what}`, async (t) => {
    const { failures, operations } = await runSeed({ seed, host: simulationHost });
    t.same(failures, []);
    t.ok(operations > 0);
  });
}

for (const { seed, bug, emphasis } of REGRESSIONS) {
  test(`seed ${seed}: ${LIES.find(({ name }) => name === bug)?.what ?? "there is no such bug"}`, async (t) => {
    t.ok(LIES.some(({ name }) => name === bug), bug);
    const { failures, operations } = await runSeed({ seed, emphasis, host: simulationHost });
    t.same(failures, []);
    t.ok(operations > 0);
  });
}
