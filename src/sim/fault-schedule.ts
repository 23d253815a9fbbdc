/**
 * Which faults befall a world, and when: made from the seed before the run, so that a failing run can be tried again with fewer of them.
 * Each fault has its own stream of chance, so that the others stay as they are when one is taken out.
 */
import type { FaultKind } from "./history.js";
import type { SeededRandom } from "./seeded-random.js";

export interface PlannedFault {
  /** Its number in the schedule of the seed; stays when others are taken out. */
  readonly id: number;
  readonly kind: SimulatedFault;
  readonly atMs: number;
  readonly lastsMs: number;
}

/** Kinds that the simulator makes. `loss`, `duplication` and `reordering` are what they do to streams: see `simulated-network.ts`. */
export const SIMULATED_FAULTS = [
  "partition", "one-way-cut", "bridge", "ring", "isolate", "flap", "delay", "loss", "duplication", "reordering", "corruption", "altered-entry", "bandwidth", "reset",
  "crash", "crash-all", "restart", "pause", "clock-skew", "clock-jump", "clock-freeze",
  "disk-torn-write", "disk-lost-unsynced", "disk-read-error", "disk-full", "disk-emptied", "disk-flipped", "disk-restored", "disk-slow", "member-added", "member-removed",
] as const;
export type SimulatedFault = (typeof SIMULATED_FAULTS)[number];

/** How a fault is called in a history. */
export function historyKind(kind: SimulatedFault | FaultKind): FaultKind {
  switch (kind) {
    case "altered-entry": return "corruption";
    case "crash-all": return "crash";
    case "disk-slow": return "delay";
    default: return kind;
  }
}

/** How often each is drawn, compared with the others. */
const WEIGHTS: Readonly<Record<SimulatedFault, number>> = {
  partition: 3, "one-way-cut": 3, bridge: 1.5, ring: 1, isolate: 4, flap: 1.5, delay: 3, loss: 2, duplication: 3, reordering: 2, corruption: 1.5, "altered-entry": 1.5, bandwidth: 1, reset: 4,
  crash: 6, "crash-all": 1, restart: 2, pause: 4, "clock-skew": 1.5, "clock-jump": 1.5, "clock-freeze": 1,
  "disk-torn-write": 2, "disk-lost-unsynced": 3, "disk-read-error": 0.7, "disk-full": 1.2, "disk-emptied": 1.2, "disk-flipped": 0.7, "disk-restored": 1.5, "disk-slow": 1,
  "member-added": 1, "member-removed": 1.5,
};

export const MEMBERSHIP_FAULTS: ReadonlySet<SimulatedFault> = new Set<SimulatedFault>(["member-added", "member-removed"]);

export function scheduleOf(random: SeededRandom, durationMs: number): PlannedFault[] {
  // A swarm: each run has some kinds of faults only, so that they meet in many mixtures and none hides the others.
  const enabled = SIMULATED_FAULTS.filter(() => random.chance(0.45));
  const weights = Object.fromEntries(enabled.map((kind) => [kind, WEIGHTS[kind]])) as Partial<Record<SimulatedFault, number>>;
  const faults: PlannedFault[] = [];
  const calmMs = random.pick([500, 2_000, 6_000]);
  let changesMembers = false;
  if (enabled.length === 0 || random.chance(0.04)) return faults;
  for (let at = random.between(1_000, 4_000); at < durationMs; at += random.between(0.2, 2) * calmMs) {
    const kind = random.weighted(weights);
    const lastsMs = random.weighted({ short: 0.5, middle: 0.35, long: 0.15 });
    const drawn = lastsMs === "short" ? random.between(50, 1_000) : lastsMs === "middle" ? random.between(1_000, 6_000) : random.between(6_000, 20_000);
    if (MEMBERSHIP_FAULTS.has(kind)) {
      if (changesMembers) continue;
      changesMembers = true;
    }
    faults.push({ id: faults.length + 1, kind, atMs: at, lastsMs: Math.min(drawn, Math.max(500, durationMs - at)) });
  }
  return faults;
}
