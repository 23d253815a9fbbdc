/** Which regions, replicas and edges a simulated world has, how far apart they are, and which bounds it runs with. All from the seed. */
import { limits, type Limits } from "../core/limits.js";
import type { DiskTimes } from "./simulated-disk.js";
import type { SeededRandom } from "./seeded-random.js";

export interface ReplicaShape {
  readonly replica: string;
  readonly region: string;
  readonly role: "region" | "edge";
  readonly voter: boolean;
}

export interface WorldShape {
  readonly replicas: readonly ReplicaShape[];
  readonly roundTripsMs: Readonly<Record<string, number>>;
  /** A way between two regions that is slower in one direction than back, as where routes differ. */
  readonly slowWay: { readonly from: string; readonly to: string; readonly extraMs: number } | undefined;
  readonly limits: Limits;
  readonly antiEntropyIntervalMs: number;
  readonly disk: DiskTimes;
  /** A message takes up to this many times its latency. */
  readonly jitter: number;
}

const REGIONS = ["us-east", "eu-west", "ap-south", "sa-east", "af-south"] as const;

/** ms between regions, of the order of real ones. */
const ROUND_TRIPS_MS: Readonly<Record<string, number>> = {
  "us-east eu-west": 80, "us-east ap-south": 180, "us-east sa-east": 120, "us-east af-south": 220, "eu-west ap-south": 150,
  "eu-west sa-east": 190, "eu-west af-south": 140, "ap-south sa-east": 300, "ap-south af-south": 260, "sa-east af-south": 330,
};
const WITHIN_A_REGION_MS = 1;

export function roundTripMs(shape: WorldShape, a: string, b: string): number {
  return a === b ? WITHIN_A_REGION_MS : (shape.roundTripsMs[`${a} ${b}`] ?? shape.roundTripsMs[`${b} ${a}`] ?? 100);
}

/** One way between two replicas, ms. */
export function oneWayMs(shape: WorldShape, from: ReplicaShape, to: ReplicaShape): number {
  const isSlow = shape.slowWay?.from === from.region && shape.slowWay.to === to.region;
  return roundTripMs(shape, from.region, to.region) / 2 + (isSlow ? (shape.slowWay?.extraMs ?? 0) : 0);
}

/** Bounds that make rare paths common: a short log, a small cache, few bytes on the way. */
function boundsOf(random: SeededRandom): Limits {
  const chosen: Partial<Record<keyof Limits, number>> = {};
  if (random.chance(0.3)) chosen.logEntriesKept = random.integer(5, 60);
  if (random.chance(0.3)) chosen.documentCacheBytes = random.integer(2_000, 20_000);
  if (random.chance(0.3)) chosen.entriesPerMessage = random.integer(1, 4);
  if (random.chance(0.2)) chosen.linkWindowBytes = 70_000;
  if (random.chance(0.15)) chosen.logEntriesMax = random.integer(30, 100);
  return { ...limits, ...chosen } as Limits;
}

export function shapeOf(random: SeededRandom): WorldShape {
  const regions = REGIONS.slice(0, Number(random.weighted({ 3: 0.76, 4: 0.12, 5: 0.12 })));
  const wide = random.chance(0.2) ? random.pick(regions) : undefined;
  const replicas: ReplicaShape[] = regions.flatMap((region) =>
    Array.from({ length: region === wide ? 3 : 1 }, (_, index) => ({ replica: `${region}-${index + 1}`, region, role: "region" as const, voter: index === 0 })));
  if (random.chance(0.2)) {
    const region = random.pick(regions);
    replicas.push({ replica: `${region}-edge-1`, region, role: "edge", voter: false });
  }
  return {
    replicas, roundTripsMs: ROUND_TRIPS_MS, limits: boundsOf(random), antiEntropyIntervalMs: random.pick([3_000, 10_000, 300_000]),
    jitter: random.pick([1.05, 1.5, 4]),
    disk: { readMs: random.pick([0.05, 0.3]), syncMs: random.pick([0.3, 2, 8]) },
    slowWay: random.chance(0.4) ? slowWayOf(regions, random) : undefined,
  };
}

function slowWayOf(regions: readonly string[], random: SeededRandom): WorldShape["slowWay"] {
  const [from = "", to = ""] = random.shuffled(regions);
  return { from, to, extraMs: random.pick([100, 300, 700]) };
}
