/** Faults of links and processes: each happens when it is called, is written down, and gives back how to end it. */
import { rm, writeFile } from "node:fs/promises";
import type { FaultKind } from "../src/sim/history.js";
import type { Stage } from "./scenario.js";
import { settled } from "./waiting.js";
import type { RegionName, WayToxic } from "./world.js";

export type End = () => Promise<void>;
export type Fault = (stage: Stage) => Promise<End>;
type Pair = readonly [RegionName, RegionName];

export function allPairs(regions: readonly RegionName[]): readonly Pair[] {
  return regions.flatMap((a, i) => regions.slice(i + 1).map((b) => [a, b] as const));
}

function cutting(kind: FaultKind, detail: string, choose: (stage: Stage) => readonly Pair[]): Fault {
  return async (stage) => {
    const pairs = choose(stage);
    stage.say(detail);
    const fault = stage.recorder.fault(kind, pairs.map(([a, b]) => `${a}<>${b}`), detail);
    await stage.world.cut(pairs);
    return async () => {
      await stage.world.heal(pairs);
      fault.end();
    };
  };
}

export const isolateOne: Fault = cutting("isolate", "one region is cut off", ({ world, dice }) => {
  const region = dice.pick(world.regions);
  return allPairs(world.regions).filter((pair) => pair.includes(region));
});
export const splitAll: Fault = cutting("partition", "every region is cut off", ({ world }) => allPairs(world.regions));
export const bridge: Fault = cutting("bridge", "two halves see each other only through one region", ({ world, dice }) => {
  const hub = dice.pick(world.regions);
  const others = world.regions.filter((region) => region !== hub);
  const half = others.slice(0, Math.floor(others.length / 2));
  return allPairs(others).filter(([a, b]) => half.includes(a) !== half.includes(b));
});
export const ring: Fault = cutting("ring", "each region sees its two neighbours", ({ world: { regions } }) =>
  allPairs(regions).filter(([a, b]) => {
    const distance = Math.abs(regions.indexOf(a) - regions.indexOf(b));
    return distance !== 1 && distance !== regions.length - 1;
  }),
);

/** Cut for a second, open for a second, so many times. */
export function flapping(times: number): Fault {
  return async (stage) => {
    const pair = stage.dice.pick(allPairs(stage.world.regions));
    const fault = stage.recorder.fault("flap", [pair.join("<>")], `${times} times cut and healed`);
    for (let i = 0; i < times && !stage.stopping.aborted; i++) {
      stage.say(`flapping, ${i + 1} of ${times}`);
      await stage.world.cut([pair]);
      await stage.hold(1_000);
      await stage.world.heal([pair]);
      await stage.hold(1_000);
    }
    fault.end();
    return async () => undefined;
  };
}

/** One direction between two regions swallows everything; the other one is open. */
export const oneWayCut: Fault = async (stage) => {
  const [from, to] = stage.dice.uniform() < 0.5 ? stage.dice.pick(allPairs(stage.world.regions)) : ([...stage.dice.pick(allPairs(stage.world.regions))].reverse() as unknown as Pair);
  stage.say(`${from} cannot be heard in ${to}`);
  const fault = stage.recorder.fault("one-way-cut", [`${from}>${to}`]);
  stage.world.doubt([[from, to]]);
  await stage.world.poison(from, to, { type: "timeout", attributes: { timeout: 0 } });
  return async () => {
    await stage.world.heal([[from, to]]);
    fault.end();
  };
};

/** The same toxic on every direction of every link. */
function poisoning(kind: FaultKind, detail: string, toxic: WayToxic, isDoubtful: boolean): Fault {
  return async (stage) => {
    const { world } = stage;
    stage.say(detail);
    const pairs = allPairs(world.regions);
    const fault = stage.recorder.fault(kind, pairs.map(([a, b]) => `${a}<>${b}`), detail);
    if (isDoubtful) world.doubt(pairs);
    for (const [a, b] of pairs) {
      await Promise.all([world.poison(a, b, toxic), world.poison(b, a, toxic)]);
    }
    return async () => {
      await world.heal(pairs);
      fault.end();
    };
  };
}

/** Added to a round trip, half in each direction. */
export function latency(roundTripMs: number, isDoubtful: boolean): Fault {
  return poisoning("delay", `${roundTripMs} ms more a round trip, on every link`, { type: "latency", attributes: { latency: roundTripMs / 2, jitter: roundTripMs / 20 } }, isDoubtful);
}

export function bandwidth(kilobitsPerSecond: number): Fault {
  return poisoning("bandwidth", `${kilobitsPerSecond} kbit/s in each direction of every link`, { type: "bandwidth", attributes: { rate: kilobitsPerSecond / 8 } }, true);
}

export const corruptBytes: Fault = poisoning("corruption", "1 % of all bytes are changed", { type: "corrupt", attributes: { byte_rate: 0.01 } }, true);
export const corruptChunks: Fault = poisoning("corruption", "one bit in 1 % of what arrives is changed", { type: "corrupt", attributes: { chunk_rate: 0.01 } }, true);

/** kill -9 of so many regions, at once; ended by starting them again. */
export function kill(count: number | "all"): Fault {
  return async (stage) => {
    const victims = chosen(stage, count === "all" ? stage.world.regions.length : count);
    stage.say(`kill -9 of ${victims.join(", ")}`);
    const fault = stage.recorder.fault("crash", victims, "kill -9");
    for (const region of victims) stage.world.stops(region);
    await Promise.all(victims.map((region) => stage.world.node(region).kill()));
    return async () => {
      await Promise.all(victims.map((region) => stage.world.startNode(region)));
      fault.end();
    };
  };
}

/** SIGSTOP of one region; ended by SIGCONT. */
export const pauseOne: Fault = async (stage) => {
  const region = stage.dice.pick(stage.world.regions);
  stage.say(`${region} is paused`);
  const fault = stage.recorder.fault("pause", [region], "SIGSTOP");
  stage.world.stops(region);
  stage.world.node(region).signal("SIGSTOP");
  return async () => {
    stage.world.stirs(region);
    stage.world.node(region).signal("SIGCONT");
    await settled(`${region} answers again`, async () => (await stage.world.node(region).get("/readyz", { key: null, patienceMs: 5_000 })).status === 200, 30_000);
    stage.world.serves(region);
    fault.end();
  };
};

/** One region's process gets a clock that is wrong by so many ms; ended by giving it the right one. */
export function skewClock(offsetMs: number, choose: (stage: Stage) => RegionName = ({ dice, world }) => dice.pick(world.regions)): Fault {
  return async (stage) => {
    const region = choose(stage);
    stage.say(`the clock of ${region} is ${offsetMs / 60_000} minutes off`);
    const fault = stage.recorder.fault("clock-skew", [region], `${offsetMs} ms`);
    const { environment } = stage.world.node(region);
    await restart(stage, region, { ...environment, STATUSMESH_TEST_CLOCK_OFFSET_MS: String(offsetMs) });
    return async () => {
      await restart(stage, region, environment);
      fault.end();
    };
  };
}

async function restart(stage: Stage, region: RegionName, environment: Readonly<Record<string, string>>): Promise<void> {
  const node = stage.world.node(region);
  // What is under way is finished first.
  stage.world.stops(region, false);
  await node.stop();
  node.environment = environment;
  await stage.world.startNode(region);
}

/** Writes of one region's disk fail as if it were full. */
export const fillDisk: Fault = async (stage) => {
  const { world } = stage;
  const region = stage.dice.pick(world.regions);
  stage.say(`the disk of ${region} is full`);
  const fault = stage.recorder.fault("disk-full", [region]);
  // It votes no more, but it does what needs no disk.
  world.stops(region, false);
  await writeFile(world.diskFullFile(region), "");
  return async () => {
    await rm(world.diskFullFile(region), { force: true });
    await settled(`${region} takes writes again`, async () => (await world.node(region).get("/readyz", { key: null })).status === 200, 60_000);
    world.serves(region);
    fault.end();
  };
};

/** Regions, each at most once. */
function chosen({ world, dice }: Stage, count: number): readonly RegionName[] {
  const left = [...world.regions];
  return Array.from({ length: count }, () => left.splice(dice.below(left.length), 1)).flat();
}

/** Lets a fault be for a while. */
export async function during(stage: Stage, fault: Fault, ms: number): Promise<void> {
  const end = await fault(stage);
  await stage.hold(ms);
  await end();
}
