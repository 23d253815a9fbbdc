/** Links that are slow, narrow, or change what they carry. */
import { bandwidth, corruptBytes, corruptChunks, during, latency } from "./faults.js";
import { localServes, quorumServes, tookPlace } from "./hypotheses.js";
import type { Outcome, Scenario } from "./scenario.js";

const measuredRoundTrip = (leastMs: number) =>
  tookPlace(`replicas measure round trips of ${leastMs} ms or more.`, ({ stage }: Outcome) => {
    const rtt = Number(stage.notes.get("round trip") ?? 0);
    return { kept: rtt >= leastMs, measured: `${Math.round(rtt)} ms` };
  });

/** The longest round trip that a replica has measured. */
async function noteRoundTrip({ world, notes }: Outcome["stage"]): Promise<void> {
  const clusters = await Promise.all(world.all.map((node) => node.cluster()));
  notes.set("round trip", Math.max(...clusters.flatMap(({ peers }) => peers.map(({ rtt_ms: rtt }) => rtt ?? 0))));
}

export const scenarios: readonly Scenario[] = [
  {
    name: "latency-500ms", title: "Every round trip takes half a second more. Quorums may take 15 s: a list waits for every write that is under way.",
    workload: { quorumTimeoutMs: 15_000 },
    hypotheses: [measuredRoundTrip(400), localServes, quorumServes],
    play: async (stage) => {
      const end = await latency(500, false)(stage);
      await stage.hold(20_000);
      await noteRoundTrip(stage);
      await end();
    },
  },
  {
    name: "latency-5s", title: "Every round trip takes five seconds more: longer than anybody waits for a quorum.",
    hypotheses: [localServes], equalWithinMs: 40_000,
    play: async (stage) => await during(stage, latency(5_000, true), 25_000),
  },
  {
    name: "corruption", title: "One bit in 1 % of what arrives is changed, on links without TLS, so that nothing but the product's own checks finds it.",
    world: { settings: { tls: "off" } }, needsCorruption: true, hypotheses: [localServes],
    play: async (stage) => await during(stage, corruptChunks, 25_000),
  },
  {
    name: "corruption-of-bytes", title: "1 % of all bytes are changed: no message can get through.",
    needsCorruption: true, hypotheses: [localServes],
    play: async (stage) => await during(stage, corruptBytes, 15_000),
  },
  {
    name: "bandwidth-64kbit", title: "Every direction of every link carries 64 kbit/s.",
    hypotheses: [localServes], equalWithinMs: 40_000,
    play: async (stage) => await during(stage, bandwidth(64), 25_000),
  },
];
