/** All faults in random order, for as long as one likes: a link fault and a process fault may meet, a lost disk comes alone. */
import { emptyFolder, flipBits, restoreOldCopy, truncateStore } from "./disk-faults.js";
import { bandwidth, bridge, corruptBytes, corruptChunks, fillDisk, flapping, isolateOne, kill, latency, oneWayCut, pauseOne, skewClock, splitAll, type Fault } from "./faults.js";
import { localServes, noted, quorumNeedsMajority } from "./hypotheses.js";
import type { Scenario, Stage } from "./scenario.js";

const LINKS: readonly Fault[] = [isolateOne, splitAll, bridge, flapping(3), oneWayCut, latency(500, true), latency(5_000, true), bandwidth(64)];
const CORRUPTIONS: readonly Fault[] = [corruptBytes, corruptChunks];
const PROCESSES: readonly Fault[] = [kill(1), kill(2), kill("all"), pauseOne, skewClock(600_000), skewClock(-600_000), fillDisk];
const DISKS: readonly Fault[] = [emptyFolder, truncateStore, flipBits, restoreOldCopy];

async function round(stage: Stage): Promise<number> {
  const { dice, world } = stage;
  const links = world.offersCorruption ? [...LINKS, ...CORRUPTIONS] : LINKS;
  const choice = dice.uniform();
  if (choice < 0.15) {
    await world.voting(60_000);
    const end = await dice.pick(DISKS)(stage);
    await stage.hold(dice.below(4_000));
    await end();
    return 1;
  }
  const faults = choice < 0.5 ? [dice.pick(links)] : choice < 0.8 ? [dice.pick(PROCESSES)] : [dice.pick(links), dice.pick(PROCESSES)];
  const ends: (() => Promise<void>)[] = [];
  for (const fault of faults) {
    ends.push(await fault(stage));
    await stage.hold(dice.below(2_000));
  }
  await stage.hold(1_000 + dice.below(8_000));
  for (const end of dice.uniform() < 0.5 ? ends : ends.reverse()) await end();
  return faults.length;
}

export const scenarios: readonly Scenario[] = [
  {
    name: "random", title: "All faults in random order.",
    workload: { pauseMs: 150 }, equalWithinMs: 60_000,
    hypotheses: [noted("Faults took place.", "faults", (count) => Number(count) > 0), localServes, quorumNeedsMajority(0)],
    play: async (stage) => {
      const until = performance.now() + stage.minutes * 60_000;
      let faults = 0;
      while (performance.now() < until && !stage.stopping.aborted) {
        faults += await round(stage);
        await stage.hold(500 + stage.dice.below(4_000));
      }
      stage.notes.set("faults", faults);
    },
  },
];
