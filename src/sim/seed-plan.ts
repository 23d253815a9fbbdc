/** What a seed makes of a run before it begins: the world, what clients do, what is watched, and which faults are planned. */
import { MEMBERSHIP_FAULTS, scheduleOf, type PlannedFault } from "./fault-schedule.js";
import { watchShapeOf, type WatchShape } from "./outage-schedule.js";
import { SeededRandom } from "./seeded-random.js";
import { workloadShapeOf, type WorkloadShape } from "./workload.js";
import { shapeOf, type WorldShape } from "./world-shape.js";

export interface SeedPlan {
  readonly world: WorldShape;
  readonly workload: WorkloadShape;
  readonly watching: WatchShape | undefined;
  readonly durationMs: number;
  readonly faults: readonly PlannedFault[];
}

/** Runs in which something happens all the time that is rare elsewhere. */
export const EMPHASES = {
  /** What is written in one region reaches a second one long after the third, and is seen at a quorum and edited there meanwhile. */
  "late-edits": (plan: SeedPlan): SeedPlan => ({
    ...plan, watching: undefined, durationMs: 6_000, faults: [],
    world: { ...plan.world, replicas: plan.world.replicas.filter(({ replica }) => ["us-east-1", "eu-west-1", "ap-south-1"].includes(replica)), slowWay: { from: "ap-south", to: "us-east", extraMs: 1_500 } },
    workload: { ...plan.workload, clients: 6, thinkMs: 150, resourcesOfAType: 1, deleteRate: 0, quorumTimeoutMs: 5_000, hotRate: 0.85, hotType: "component", labelRate: 0, classes: { quorum: 0, mixed: 1, local: 0 } },
  }),
  /** One thing after the other is created at several levels in all regions at once, while one region after the other is cut off. */
  creations: (plan: SeedPlan): SeedPlan => ({
    ...plan, watching: undefined, durationMs: 8_000,
    faults: Array.from({ length: 4 }, (_, index) => ({ id: index + 1, kind: "isolate", atMs: 700 + 1_800 * index, lastsMs: 1_500 })),
    workload: {
      ...plan.workload, clients: 8, thinkMs: 60, resourcesOfAType: 30, deleteRate: 0, quorumTimeoutMs: 5_000, hotRate: 0.95, hotType: "component", meetsAtNew: true, labelRate: 0, classes: { quorum: 0, mixed: 1, local: 0 },
    },
  }),
} as const;
export type Emphasis = keyof typeof EMPHASES;

export function planOf(seed: number, emphasis?: Emphasis): SeedPlan {
  const random = new SeededRandom(String(seed));
  const world = shapeOf(random.fork("shape"));
  const watching = watchShapeOf(random.fork("watching"), [...new Set(world.replicas.map(({ region }) => region))]);
  const workload = workloadOf(workloadShapeOf(random.fork("workload shape")), watching);
  const durationMs = watching?.durationMs ?? (workload.hotRate > 0 ? 5_000 : random.fork("duration").pick([6_000, 9_000, 14_000, 24_000]));
  const plan = { world, workload, watching, durationMs, faults: plannedFaults(random, durationMs, watching) };
  return emphasis === undefined ? plan : EMPHASES[emphasis](plan);
}

/** Where monitors are watched the run is long, and clients do less. */
function workloadOf(shape: WorkloadShape, watching: WatchShape | undefined): WorkloadShape {
  return watching === undefined ? shape : { ...shape, clients: 2, thinkMs: 1_500, bursts: false, hotRate: 0 };
}

/** Where monitors are watched faults outlive the freshness of opinions, too. Who the members are stays: a watch knows its regions from the start. */
function plannedFaults(random: SeededRandom, durationMs: number, watching: WatchShape | undefined): readonly PlannedFault[] {
  const faults = scheduleOf(random.fork("faults"), durationMs);
  if (watching === undefined) return faults;
  return faults.filter(({ kind }) => !MEMBERSHIP_FAULTS.has(kind)).map((fault) => ({ ...fault, lastsMs: Math.min(fault.lastsMs * watching.faultsLast, Math.max(500, durationMs - fault.atMs)) }));
}
