/** Processes that die or stand still, and clocks that are wrong. */
import { during, kill, pauseOne, skewClock } from "./faults.js";
import { localServes, quorumNeedsMajority, quorumServes, tookPlace } from "./hypotheses.js";
import type { Hypothesis, Scenario } from "./scenario.js";

const TEN_MINUTES_MS = 600_000;

const kills = (least: number): Hypothesis =>
  tookPlace(`at least ${least} processes were killed.`, ({ history }) => {
    const count = history.faults.filter(({ kind }) => kind === "crash").reduce((sum, { targets }) => sum + targets.length, 0);
    return { kept: count >= least, measured: `${count} killed` };
  });

export const scenarios: readonly Scenario[] = [
  {
    name: "kill-one", title: "One region is killed (kill -9), and comes back.",
    hypotheses: [kills(1), localServes, quorumServes],
    play: async (stage) => await during(stage, kill(1), 12_000),
  },
  {
    name: "kill-majority", title: "Two of three regions are killed at once.",
    hypotheses: [kills(2), localServes, quorumNeedsMajority()],
    play: async (stage) => await during(stage, kill(2), 12_000),
  },
  {
    name: "kill-all", title: "All regions are killed at once, three times.",
    hypotheses: [kills(9), localServes],
    play: async (stage) => {
      for (let round = 0; round < 3; round++) {
        await during(stage, kill("all"), 500);
        await stage.hold(4_000);
      }
    },
  },
  {
    name: "kill-loop", title: "One region after the other is killed under load and started at once, eight times.",
    hypotheses: [kills(8), localServes],
    play: async (stage) => {
      for (let round = 0; round < 8 && !stage.stopping.aborted; round++) {
        await during(stage, kill(1), stage.dice.below(300));
        await stage.hold(500 + stage.dice.below(1_500));
      }
    },
  },
  {
    name: "pause-60s", title: "One region stands still for a minute (SIGSTOP), and goes on as if nothing had been.",
    hypotheses: [localServes, quorumServes],
    workload: { pauseMs: 120 },
    play: async (stage) => await during(stage, pauseOne, 60_000),
  },
  {
    name: "clock-skew", title: "One region's clock is ten minutes ahead, another's ten minutes behind.",
    hypotheses: [
      localServes,
      quorumServes,
      tookPlace("the replicas run with wrong clocks, and say so in their logs.", ({ stage }) => {
        const said = stage.world.all.filter((node) => node.logged(/clock-offset/)).length;
        return { kept: said === 2, measured: `${said} logs with a warning` };
      }),
    ],
    play: async (stage) => {
      const ends = [await skewClock(TEN_MINUTES_MS, () => "us-east")(stage), await skewClock(-TEN_MINUTES_MS, () => "eu-west")(stage)];
      await stage.hold(20_000);
      for (const end of ends) await end();
    },
  },
];
