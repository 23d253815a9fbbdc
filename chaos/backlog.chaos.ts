/** A hundred thousand changes that wait behind a cut. */
import { INCIDENTS, writeBacklog } from "./backlog.js";
import { localServes, noted, refusesConnections } from "./hypotheses.js";
import type { Scenario } from "./scenario.js";
import { settled } from "./waiting.js";

const CHANGES = 100_000;
const EQUAL_WITHIN_S = 30;
const WRITING_MS_MAX = 240_000;

export const scenarios: readonly Scenario[] = [
  {
    name: "backlog", title: `${CHANGES.toLocaleString("en")} changes are made in one region while another is cut off; then the cut is healed.`,
    // The load goes on beside it, lightly: what is measured is the backlog.
    workload: { localClients: 1, quorumClients: 1, pauseMs: 250 }, equalWithinMs: 60_000,
    hypotheses: [
      refusesConnections, localServes,
      noted(`${CHANGES.toLocaleString("en")} changes were acknowledged behind the cut.`, "changes behind the cut", (value) => Number(value) >= CHANGES),
      noted(`They are in the region that was cut off within ${EQUAL_WITHIN_S} s of healing.`, "seconds until they were there", (value) => Number(value) <= EQUAL_WITHIN_S),
      noted("None of them is lost.", "changes missing", (value) => value === 0),
    ],
    play: async (stage) => {
      const { world, notes, recorder, say } = stage;
      const behind = "ap-south";
      const pairs = world.regions.filter((region) => region !== behind).map((region) => [region, behind] as const);
      const fault = recorder.fault("isolate", [behind], "cut off while a backlog grows");
      await world.cut(pairs);
      const written = await writeBacklog(world.node("us-east"), CHANGES, WRITING_MS_MAX, stage.stopping, (count) => say(`${count.toLocaleString("en")} of ${CHANGES.toLocaleString("en")} changes`));
      notes.set("changes behind the cut", written.acknowledged);
      say("the backlog is handed over");
      const healedAt = performance.now();
      await world.heal(pairs);
      fault.end();
      const node = world.node(behind);
      const missing = async (): Promise<number> => {
        let count = 0;
        for (const [id, bodies] of written.bodies) {
          const { status, body } = await node.get(`${INCIDENTS}/${id}`, { patienceMs: 20_000 });
          const held = new Set(status === 200 ? (body["incident_updates"] as { body: string }[]).map((update) => update.body) : []);
          for (const one of bodies) if (!held.has(one)) count++;
        }
        return count;
      };
      // The vectors tell it cheaply; the bodies are compared once.
      const { vector } = await world.node("us-east").cluster();
      await settled("the backlog is there", async () => {
        const there = (await node.cluster()).vector;
        return Object.entries(vector).every(([origin, seq]) => (there[origin] ?? 0) >= seq);
      }, 180_000).catch(() => undefined);
      notes.set("seconds until they were there", Number(((performance.now() - healedAt) / 1_000).toFixed(1)));
      notes.set("changes missing", await missing());
    },
  },
];
