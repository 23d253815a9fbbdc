import { test } from "tap";
import { simulationHost } from "../../src/cli/sim-host.js";
import { outages } from "../../src/sim/checkers/outages.js";
import { CHECK_OPTIONS } from "../../src/sim/verdict.js";
import { SIMULATED_FAULTS } from "../../src/sim/fault-schedule.js";
import { shrink } from "../../src/sim/shrinking.js";
import { simulate } from "../../src/sim/simulation.js";
import { runSeed, SwarmTotals } from "../../src/sim/swarm.js";

/** Together they meet every fault that is not rare. */
const SEEDS = 50;
const RARE_FAULTS = new Set(["member-added", "member-removed", "crash-all", "ring", "disk-flipped"]);

test("two runs of a seed are the same, byte for byte, and another seed is another run", async (t) => {
  const lines: string[] = [];
  const first = await simulate({ seed: 7, host: simulationHost, traceLine: (line) => lines.push(line) });
  let different = -1;
  let place = 0;
  const second = await simulate({
    seed: 7, host: simulationHost,
    traceLine: (line) => {
      if (different < 0 && lines[place] !== line) different = place;
      place++;
    },
  });
  t.ok(lines.length > 1_000, `${lines.length} lines of trace`);
  t.equal(different, -1, "no line differs");
  t.equal(second.traceHash, first.traceHash);
  t.same(second.history, first.history);
  const other = await simulate({ seed: 8, host: simulationHost });
  t.not(other.traceHash, first.traceHash);
});

test("a world in which monitors are watched is the same in two runs, and its outages are looked at", async (t) => {
  const [first, second] = [await simulate({ seed: 35, host: simulationHost }), await simulate({ seed: 35, host: simulationHost })];
  t.equal(second.traceHash, first.traceHash);
  t.match(outages.check(first.history, CHECK_OPTIONS), { kind: "ok", checked: Number });
  t.ok(first.history.watching?.seen.every(({ monitors }) => monitors.some(({ incidents }) => incidents.length > 0)), "an outage made an incident");
  t.equal(first.history.watching?.seen.length, first.history.replicas.filter(({ role }) => role === "region").length, "every region was asked");
});

test("a fault that is taken out leaves the schedule of the others as it was", async (t) => {
  const whole = await simulate({ seed: 7, host: simulationHost });
  t.ok(whole.faults.length > 2, `${whole.faults.length} faults`);
  const kept = whole.faults.slice(1);
  const part = await simulate({ seed: 7, host: simulationHost, faults: new Set(kept.map(({ id }) => id)) });
  t.same(part.faults, kept);
});

test(`${SEEDS} seeds keep every promise, and meet every fault that is not rare`, { timeout: 600_000 }, async (t) => {
  const totals = new SwarmTotals();
  for (let seed = 1; seed <= SEEDS; seed++) {
    const summary = await runSeed({ seed, host: simulationHost });
    totals.add(summary);
    t.same(summary.failures, [], `npm run sim -- --seed ${seed}`);
  }
  t.comment(`${totals.operations} operations, ${totals.faults} faults, ${Math.round(totals.simulatedMs / 1_000)} simulated seconds`);
  t.ok(totals.operations > 3_000 && totals.faults > 200, "clients worked, and faults took place");
  const missing = SIMULATED_FAULTS.filter((kind) => !RARE_FAULTS.has(kind) && !totals.reached.has(`fault: ${kind}`));
  t.same(missing, []);
});

test("what fails with two of a hundred parts is shrunk to the two", async (t) => {
  let tries = 0;
  const kept = await shrink(Array.from({ length: 100 }, (_, i) => i), async (part) => {
    tries++;
    return part.includes(13) && part.includes(77);
  }, 500);
  t.same(kept, [13, 77]);
  t.ok(tries < 200, `${tries} tries`);
});
