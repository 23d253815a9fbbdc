/** Seeds that failed once, each with what was wrong. A change of the world makes other runs of them: what they found is kept by tests of its own, too. */
import { test } from "tap";
import { simulationHost } from "../../src/cli/sim-host.js";
import { runSeed } from "../../src/sim/swarm.js";

const REGRESSIONS: readonly { readonly seed: number; readonly what: string }[] = [
  { seed: 4, what: "a GLOBAL_QUORUM write that was decided after its document was deleted stopped the replica" },
  { seed: 60, what: "a write that an edge passed on to a voter without an answer was called rejected, and took effect" },
  { seed: 74, what: "a write that was handed over without an answer was called rejected, and took effect" },
  { seed: 83, what: "a write that was handed over and refused there was called rejected, although its first proposal was decided" },
  { seed: 101, what: "a replica told a count of votes that its full disk then lost, was put in doubt, and no majority was left to vote" },
  { seed: 424, what: "a creation that was handed over was answered 409 although its own first proposal had been decided" },
];

for (const { seed, what } of REGRESSIONS) {
  test(`seed ${seed}: ${what}`, async (t) => {
    const { failures, operations } = await runSeed({ seed, host: simulationHost });
    t.same(failures, []);
    t.ok(operations > 0);
  });
}
