/** Every shape that a partition can have. */
import { bridge, during, flapping, isolateOne, oneWayCut, ring, splitAll } from "./faults.js";
import { localServes, quorumNeedsMajority, quorumServes, refusesConnections } from "./hypotheses.js";
import type { Scenario } from "./scenario.js";

export const scenarios: readonly Scenario[] = [
  {
    name: "isolate-one", title: "One region is cut off from the others.",
    hypotheses: [refusesConnections, localServes, quorumServes, quorumNeedsMajority()],
    play: async (stage) => await during(stage, isolateOne, 20_000),
  },
  {
    name: "full-split", title: "Every region is cut off from every other.",
    hypotheses: [refusesConnections, localServes, quorumNeedsMajority()],
    play: async (stage) => await during(stage, splitAll, 15_000),
  },
  {
    name: "bridge", title: "Two regions see each other only through the third.",
    hypotheses: [refusesConnections, localServes, quorumServes],
    play: async (stage) => await during(stage, bridge, 20_000),
  },
  {
    name: "ring", title: "Five regions in a ring: each sees its two neighbours, and each another majority. Quorums may take 15 s.",
    world: { regions: 5 }, workload: { localClients: 1, quorumClients: 1, pauseMs: 200, quorumTimeoutMs: 15_000 },
    hypotheses: [refusesConnections, localServes, quorumServes],
    play: async (stage) => await during(stage, ring, 20_000),
  },
  {
    name: "flapping", title: "The link of two regions is cut and healed, second after second.",
    hypotheses: [refusesConnections, localServes],
    play: async (stage) => {
      await during(stage, flapping(8), 0);
      await stage.hold(3_000);
    },
  },
  {
    name: "one-way-cut", title: "One region cannot be heard by another, and hears it.",
    hypotheses: [localServes],
    play: async (stage) => await during(stage, oneWayCut, 20_000),
  },
];
