/** What a seed makes of a run before it begins: the world, what clients do, what is watched, and which faults are planned. */
import { MEMBERSHIP_FAULTS, scheduleOf, type PlannedFault, type SimulatedFault } from "./fault-schedule.js";
import { watchShapeOf, type WatchShape } from "./outage-schedule.js";
import { SeededRandom } from "./seeded-random.js";
import { workloadShapeOf, type ResourceClass, type WorkloadShape } from "./workload.js";
import { shapeOf, type WorldShape } from "./world-shape.js";

export interface SeedPlan {
  readonly world: WorldShape;
  readonly workload: WorkloadShape;
  readonly watching: WatchShape | undefined;
  readonly durationMs: number;
  readonly faults: readonly PlannedFault[];
}

/** Clients that meet at one component, at the levels of one class. */
function meeting(shape: WorkloadShape, at: ResourceClass): WorkloadShape {
  return { ...shape, thinkMs: 60, resourcesOfAType: 1, deleteRate: 0, quorumTimeoutMs: 5_000, hotRate: 0.9, hotType: "component", labelRate: 0, classes: { quorum: 0, mixed: 0, local: 0, [at]: 1 } };
}

const THREE_REGIONS = ["us-east", "eu-west", "ap-south"] as const;

/** One replica in each of three regions. */
function ofThree(world: WorldShape): WorldShape {
  return { ...world, replicas: world.replicas.filter(({ replica }) => THREE_REGIONS.some((region) => replica === `${region}-1`)) };
}

/** Three regions, and one way of three that is slower by far. */
function withSlowWay(world: WorldShape, extraMs: number): WorldShape {
  return { ...ofThree(world), slowWay: { from: "ap-south", to: "us-east", extraMs } };
}

/** Faults of one kind, one after the other. */
function everyNow(kind: SimulatedFault, count: number, firstMs: number, everyMs: number, lastsMs: number): PlannedFault[] {
  return Array.from({ length: count }, (_, index) => ({ id: index + 1, kind, atMs: firstMs + everyMs * index, lastsMs }));
}

const LONELY_OUTAGES: WatchShape = {
  durationMs: 60_000, faultsLast: 1,
  monitors: THREE_REGIONS.map((region, index) => ({
    id: `watched-${index + 1}`, intervalSeconds: 5, retries: 0, confirmSeconds: 0, recoverSeconds: 0, outages: [{ fromMs: 8_000, untilMs: 58_000, seenFrom: [region] }], downFromMs: undefined, calm: "none", byHand: false,
  })),
};

/** Runs in which something happens all the time that is rare elsewhere. */
export const EMPHASES = {
  /** What is written in one region reaches a second one long after the third, and is seen at a quorum and edited there meanwhile. Links come up in time all the same. */
  "late-edits": (plan: SeedPlan): SeedPlan => ({
    ...plan, watching: undefined, durationMs: 6_000, faults: [],
    world: withSlowWay(plan.world, plan.world.jitter > 2 ? 700 : 1_500), workload: { ...meeting(plan.workload, "mixed"), clients: 9, thinkMs: 150, resourcesOfAType: 3, hotRate: 0, toldAfterMs: 5 },
  }),
  /** One thing after the other is created at several levels in all regions at once, while one region after the other is cut off. */
  creations: (plan: SeedPlan): SeedPlan => ({
    ...plan, watching: undefined, durationMs: 8_000,
    faults: everyNow("isolate", 4, 700, 1_800, 1_500), workload: { ...meeting(plan.workload, "mixed"), clients: 8, resourcesOfAType: 30, hotRate: 0.95, meetsAtNew: true },
  }),
  /** What others edit at a quorum is deleted at any level, so that a write may be decided when its document is gone. */
  deletions: (plan: SeedPlan): SeedPlan => ({
    ...plan, watching: undefined, durationMs: 6_000, faults: [], workload: { ...meeting(plan.workload, "mixed"), clients: 6, deleteRate: 0.12 },
  }),
  /** Many write at a quorum, and wait for a short time only: what was handed over has little of it left. */
  handovers: (plan: SeedPlan): SeedPlan => ({
    ...plan, watching: undefined, durationMs: 6_000, faults: [], workload: { ...meeting(plan.workload, "quorum"), clients: 8, compareRate: 0.1, quorumTimeoutMs: 400 },
  }),
  /** As `late-edits`, at a quorum only, and most edits name an ETag: one that a colleague told is newer than what is held there. Some links hardly come up. */
  "told-tags": (plan: SeedPlan): SeedPlan => ({
    ...plan, watching: undefined, durationMs: 6_000, faults: [], world: withSlowWay(plan.world, 1_500),
    workload: { ...meeting(plan.workload, "quorum"), clients: 6, thinkMs: 150, hotRate: 0.85, compareRate: 0.6 },
  }),
  /** Clients meet at one resource after the other that nobody has created yet, without a quorum, while programs stand still and clocks are off. */
  "repeated-creations": (plan: SeedPlan): SeedPlan => ({
    ...plan, watching: undefined, durationMs: 6_000,
    faults: [...everyNow("pause", 4, 300, 1_400, 600), ...everyNow("clock-skew", 3, 1_000, 1_400, 600)].map((fault, index) => ({ ...fault, id: index + 1 })),
    workload: { ...meeting(plan.workload, "local"), clients: 8, thinkMs: 100, resourcesOfAType: 20, hotRate: 1, meetsAtNew: true },
  }),
  /** Labels of one incident are given and taken in all regions at once, without a quorum. */
  labels: (plan: SeedPlan): SeedPlan => ({
    ...plan, watching: undefined, durationMs: 2_500, faults: [], workload: { ...meeting(plan.workload, "local"), clients: 5, hotType: "incident", labelRate: 0.7 },
  }),
  /** Volumes are put back one after the other, while clients write to many resources without a quorum. */
  volumes: (plan: SeedPlan): SeedPlan => ({
    ...plan, watching: undefined, durationMs: 10_000, faults: everyNow("disk-restored", 4, 700, 2_500, 600),
    workload: { ...meeting(plan.workload, "local"), clients: 6, resourcesOfAType: 2, hotRate: 0, quorumTimeoutMs: 1_000 },
  }),
  /** Each of three targets is down for another region alone, while one region after the other is cut off, and cannot tell. */
  "lonely-outages": (plan: SeedPlan): SeedPlan => ({
    ...plan, durationMs: 60_000, world: ofThree(plan.world), faults: everyNow("isolate", 5, 9_000, 10_000, 6_000), workload: workloadOf(plan.workload, LONELY_OUTAGES), watching: LONELY_OUTAGES,
  }),
  /** Entries are altered on their way, again and again. */
  "altered-entries": (plan: SeedPlan): SeedPlan => ({
    ...plan, watching: undefined, durationMs: 6_000, faults: everyNow("altered-entry", 8, 500, 600, 1_500), workload: { ...meeting(plan.workload, "mixed"), clients: 6, hotRate: 0, labelRate: 0.2 },
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
