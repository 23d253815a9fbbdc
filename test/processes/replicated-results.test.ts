/** Results of checks in every region: through a third one, after their own has died, and each once. */
import path from "node:path";
import t from "tap";
import { batchTime, decodeBatch } from "../../src/features/monitors/result-batch.js";
import type { Rollup } from "../../src/features/monitors/rollup.js";
import { LevelStorage } from "../../src/io/level-storage.js";
import { created, ok } from "./workload.js";
import { settled, type RegionName } from "./world.js";
import { list, REGIONS, Target, WatchWorld } from "./watch-world.js";
import type { Json, ReplicaProcess } from "../../chaos/replica-process.js";

const MONITORS = "/v1/pages/default/monitors";
const PATIENCE_MS = 90_000;
const INTERVAL_MS = 5_000;
const END = "~";

/** What the store of results of a replica that has ended holds of an origin. */
interface Kept {
  /** Bodies by number. */
  readonly batches: ReadonlyMap<number, string>;
  /** Keys and values of results and finished rollups. */
  readonly derived: ReadonlyMap<string, string>;
  /** Rounds in the rollups of a day, finished and open. */
  readonly rounds: number;
}

async function keptIn(folder: string): Promise<Map<string, Kept>> {
  const storage = await LevelStorage.open(path.join(folder, "results"));
  const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString();
  const read = async (prefix: string) => {
    const found = new Map<string, string>();
    for await (const page of storage.scan({ from: prefix, to: `${prefix}${END}` })) for (const [key, value] of page) found.set(key.slice(prefix.length), text(value));
    return found;
  };
  try {
    const kept = new Map<string, Kept>();
    for (const origin of (await read("k/")).keys()) {
      const batches = new Map([...(await read(`n/${origin}/`))].map(([number, body]) => [Number(number), body]));
      const results = await read(`s/${origin}/r/`);
      const rollups = await read(`s/${origin}/u/`);
      const rounds = [...rollups].filter(([key]) => key.startsWith("day/")).map(([, rollup]) => JSON.parse(rollup) as Rollup);
      for (const open of (await read(`s/${origin}/o/`)).values()) rounds.push((JSON.parse(open) as { readonly tiers: { readonly day: { readonly rollup: Rollup } } }).tiers.day.rollup);
      kept.set(origin, { batches, derived: new Map([...results, ...rollups]), rounds: rounds.reduce((sum, { up, degraded, down, unknown }) => sum + up + degraded + down + unknown, 0) });
    }
    return kept;
  } finally {
    await storage.close();
  }
}

t.test("results of every region are in every region", { timeout: 600_000 }, async (t) => {
  const target = await Target.listen(t);
  const { world } = await WatchWorld.start(t);
  const id = created(await world.us.post(MONITORS, { name: "Target", type: "http", target: target.url, interval_seconds: INTERVAL_MS / 1_000, retries: 0, timeout_ms: 2_000, open_incident: false }));
  const listed = async (node: ReplicaProcess, region: RegionName) => list(node, `${MONITORS}/${id}/results?region=${region}&limit=1000`);
  const names = (results: readonly { [name: string]: Json }[]) => results.map((result) => JSON.stringify(result));
  const holds = (node: ReplicaProcess, region: RegionName, wanted: readonly string[]) => settled(`${node.region} holds what ${region} saw`, async () => {
    const held = new Set(names(await listed(node, region)));
    const missing = wanted.filter((name) => !held.has(name));
    if (missing.length === 0) return true;
    throw new Error(`${missing.length} of ${wanted.length} are missing, such as ${missing[0]}`);
  }, PATIENCE_MS);
  const looksOn = async (node: ReplicaProcess, region: RegionName, more: number): Promise<string[]> => {
    const before = (await listed(node, region)).length;
    await settled(`${region} looks on`, async () => (await listed(node, region)).length >= before + more, PATIENCE_MS);
    return names(await listed(node, region));
  };
  await settled("the monitor is everywhere", async () => (await Promise.all(world.all.map((node) => node.get(`${MONITORS}/${id}`)))).every(({ status }) => status === 200), PATIENCE_MS);
  for (const node of world.all) for (const { region } of world.all) await settled(`${node.region} has results of ${region}`, async () => (await listed(node, region as RegionName)).length > 0, PATIENCE_MS);

  await t.test("with the link of two cut, they come through the third", { timeout: 200_000 }, async (t) => {
    world.cut("us-east", "ap-south");
    await settled("the link is cut", async () => (await world.us.cluster()).peers.find(({ region }) => region === "ap-south")?.state === "down", PATIENCE_MS);
    await holds(world.us, "ap-south", await looksOn(world.ap, "ap-south", 2));
    t.equal((await world.us.cluster()).peers.find(({ region }) => region === "ap-south")?.state, "down", "there was no other way");
    world.heal();
  });

  await t.test("what a region saw while it was cut off comes once it is back", { timeout: 200_000 }, async (t) => {
    world.isolate("ap-south");
    await settled("it is cut off", async () => (await world.ap.cluster()).peers.every(({ state }) => state === "down"), PATIENCE_MS);
    const saw = await looksOn(world.ap, "ap-south", 3);
    const us = await looksOn(world.us, "us-east", 1);
    t.ok((await listed(world.us, "ap-south")).length < saw.length, "it has not come yet");
    world.heal();
    await holds(world.us, "ap-south", saw);
    await holds(world.ap, "us-east", us);
  });

  await t.test("a region is killed: another one lists all that it saw, and draws its latencies", { timeout: 200_000 }, async (t) => {
    const saw = names(await listed(world.ap, "ap-south"));
    await holds(world.us, "ap-south", saw);
    await world.ap.kill();
    await settled("what one of the others has both have", async () => names(await listed(world.us, "ap-south")).join() === names(await listed(world.eu, "ap-south")).join(), PATIENCE_MS);
    const left = names(await listed(world.us, "ap-south"));
    t.ok(saw.length > 5 && saw.every((name) => left.includes(name)), `${saw.length} results that the dead region listed are there`);
    const rollups = await list(world.us, `${MONITORS}/${id}/rollups?region=ap-south&tier=day`);
    t.equal(rollups.reduce((sum, { up, down, unknown }) => sum + Number(up) + Number(down) + Number(unknown), 0), left.length, "rollups count each once");
    const days = await list(world.eu, `${MONITORS}/${id}/uptime`);
    const all = (await Promise.all(REGIONS.map((region) => listed(world.eu, region)))).flat().filter(({ state }) => state === "up");
    t.ok(days.reduce((sum, day) => sum + Number((day["latency_ms"] as { readonly count: number }).count), 0) >= all.length, "uptime has the latencies of all regions");
    await world.startOne("ap-south");
    await world.voting(PATIENCE_MS);
    await looksOn(world.us, "ap-south", 2);
  });

  await t.test("in the end all hold the same batches, without a gap, and each result once", { timeout: 200_000 }, async (t) => {
    ok(await world.us.patch(`${MONITORS}/${id}`, { paused: true }));
    for (const region of REGIONS) await settled(`${region} looks no more, and all list the same of it`, async () => {
      const said = await Promise.all(world.all.map((node) => listed(node, region)));
      const isOver = said.every(([newest]) => Date.now() - Date.parse(String(newest?.["at"])) > INTERVAL_MS + 2_000);
      return isOver && new Set(said.map((results) => names(results).join())).size === 1;
    }, PATIENCE_MS);
    await Promise.all(world.all.map((node) => node.stop()));
    const stores = await Promise.all(REGIONS.map((region) => keptIn(world.dataFolder(region))));
    const [first] = stores;
    t.equal(first?.size, REGIONS.length, "an origin a region, also after it was killed");
    for (const [origin, kept] of first ?? []) {
      for (const store of stores) t.strictSame(store.get(origin), kept, `${origin} is the same everywhere`);
      t.same([...kept.batches.keys()], [...kept.batches.keys()].map((_number, index) => index + 1), "numbers without a gap");
      const results = [...kept.batches.values()].flatMap((body) => decodeBatch(Buffer.from(body)) ?? []);
      t.ok([...kept.batches.values()].every((body) => batchTime(Buffer.from(body)) > 0));
      t.equal([...kept.derived.keys()].filter((key) => key.startsWith("default/")).length, results.length, `${results.length} results, each once`);
      t.equal(kept.rounds, results.filter(({ isFinal }) => isFinal).length, "each counted once");
    }
  });
});
