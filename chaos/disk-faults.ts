/**
 * What may befall a data folder: emptied, cut short, flipped bits, put back from an old copy. Before it, no client goes to the replica and
 * what it holds is everywhere: what only a lost disk held nobody can bring back.
 */
import { cp, open, readdir, rm, stat, truncate } from "node:fs/promises";
import path from "node:path";
import type { FaultKind } from "../src/sim/history.js";
import type { End, Fault } from "./faults.js";
import type { Stage } from "./scenario.js";
import { settled } from "./waiting.js";
import type { RegionName } from "./world.js";

async function quieten(stage: Stage, region: RegionName): Promise<void> {
  stage.workload.avoid(region, true);
  await settled(`nobody waits for ${region}`, () => stage.recorder.underWay(region) === 0, 30_000);
  await stage.world.replicated(region);
}

/** Kills the replica, does something to its folder, and starts it again: as it is, or with `--rebuild` if it says so. */
function damaging(kind: FaultKind, detail: string, damage: (stage: Stage, region: RegionName) => Promise<void>, only?: RegionName): Fault {
  return async (stage) => {
    const region = only ?? stage.dice.pick(stage.world.regions);
    stage.say(`${detail}: ${region}`);
    await quieten(stage, region);
    const node = stage.world.node(region);
    const { incarnation } = await node.cluster();
    const fault = stage.recorder.fault(kind, [region], detail);
    stage.world.stops(region);
    await node.kill();
    await damage(stage, region);
    await startDamaged(stage, region);
    return ending(stage, region, incarnation, () => fault.end());
  };
}

function ending(stage: Stage, region: RegionName, incarnation: number, end: () => void): End {
  return async () => {
    await settled(`${region} votes again`, async () => (await stage.world.node(region).cluster()).voting, 60_000);
    stage.notes.set("incarnations", `${incarnation} → ${(await stage.world.node(region).cluster()).incarnation}`);
    stage.workload.avoid(region, false);
    end();
  };
}

async function startDamaged(stage: Stage, region: RegionName): Promise<void> {
  try {
    await stage.world.startNode(region);
    stage.notes.set("started", "by itself");
  } catch (error) {
    const sentence = error instanceof Error ? error.message : String(error);
    stage.notes.set("refusal", sentence);
    if (!sentence.includes("--rebuild")) throw error;
    await stage.world.startNode(region, "--rebuild");
    stage.notes.set("started", "with --rebuild, as it had said");
  }
}

export const emptyFolder: Fault = damaging("disk-emptied", "the data folder is emptied", async ({ world }, region) => await rm(world.dataFolder(region), { recursive: true }));

export const truncateStore: Fault = damaging("disk-truncated", "every file of the store loses its second half", async ({ world, notes }, region) => {
  let count = 0;
  for (const file of await storeFiles(world.dataFolder(region))) {
    const { size } = await stat(file);
    if (size < 2) continue;
    await truncate(file, Math.floor(size / 2));
    count++;
  }
  notes.set("damaged files", count);
});

export const flipBits: Fault = damaging("disk-flipped", "a bit in every 4 KiB of the store is flipped", async ({ world, notes }, region) => {
  let count = 0;
  for (const name of await storeFiles(world.dataFolder(region))) {
    const file = await open(name, "r+");
    const { size } = await file.stat();
    for (let at = 64; at < size; at += 4_096) {
      const byte = Buffer.alloc(1);
      await file.read(byte, 0, 1, at);
      byte.writeUInt8(byte.readUInt8(0) ^ 0x10, 0);
      await file.write(byte, 0, 1, at);
      count++;
    }
    await file.close();
  }
  notes.set("flipped bits", count);
});

/** The replica goes back to what it was some seconds before. */
export const restoreOldCopy: Fault = async (stage) => {
  const { world } = stage;
  const region = stage.dice.pick(world.regions);
  stage.say(`${region} is stopped for a copy of its folder`);
  const node = world.node(region);
  const copy = path.join(world.folder, "old-copy");
  const copying = stage.recorder.fault("restart", [region], "stopped in order, copied, started");
  world.stops(region, false);
  await node.stop();
  await cp(world.dataFolder(region), copy, { recursive: true });
  await world.startNode(region);
  copying.end();
  await stage.hold(6_000);
  const put = damaging("disk-restored", "the data folder is put back from an old copy", async () => {
    await rm(world.dataFolder(region), { recursive: true });
    await cp(copy, world.dataFolder(region), { recursive: true });
    await rm(copy, { recursive: true });
  }, region);
  return await put(stage);
};

async function storeFiles(data: string): Promise<readonly string[]> {
  const store = path.join(data, "store");
  return (await readdir(store)).filter((name) => /\.(ldb|log)$/.test(name)).sort().map((name) => path.join(store, name));
}
