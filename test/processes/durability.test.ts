import t from "tap";
import { cp, open, readdir, rm, stat, truncate } from "node:fs/promises";
import path from "node:path";
import { COMPONENTS, created, Dice, ok, RegisterClients, Writers } from "./workload.js";
import { settled, World, type RegionName } from "./world.js";

const REGIONS: readonly RegionName[] = ["us-east", "eu-west", "ap-south"];
const dice = new Dice();
/** `STATUSMESH_TEST_KILLS=200` for a long run. */
const KILLS = Number(process.env["STATUSMESH_TEST_KILLS"] ?? 12);
t.comment(`seed ${dice.seed}`);

t.test("replicas are killed again and again under load, one by one and all at once: no acknowledged write is lost", { timeout: 300_000 + KILLS * 10_000 }, async (t) => {
  const world = await World.start(t);
  const writers = new Writers(world.all, { LOCAL: 2, GLOBAL_QUORUM: 1 });
  let kills = 0;
  for (let round = 0; kills < KILLS; round++) {
    await writers.reaches(writers.acknowledged.size + 1 + dice.below(60));
    const victims = round % 2 === 1 ? REGIONS : [dice.pick(REGIONS)];
    await Promise.all(victims.map((region) => world.node(region).kill()));
    kills += victims.length;
    await Promise.all(victims.map((region) => world.startOne(region)));
  }
  await writers.reaches(writers.acknowledged.size + 20);
  await writers.stop();
  await world.voting();
  await world.converged();
  t.ok(kills >= KILLS, `${kills} kills`);
  t.ok([...writers.acknowledged.values()].some((name) => name.includes("GLOBAL_QUORUM")), "some writes were decided by quorum");
  t.comment(`${kills} kills, ${writers.acknowledged.size} acknowledged, statuses ${JSON.stringify([...writers.statuses])}`);
  t.same(await writers.missing(world), [], "every acknowledged write is in every region");
  for (const node of world.all) t.equal((await node.cluster()).quarantined, 0, `nothing is quarantined in ${node.region}`);
});

t.test("a replica, and the ways in which its folder can be lost", { timeout: 300_000 }, async (t) => {
  const world = await World.start(t);

  await t.test("killed and started again, it goes on as the same incarnation", async (t) => {
    const before = await world.us.cluster();
    const id = created(await world.us.post(COMPONENTS, { name: "before the kill" }));
    await world.us.kill();
    await world.startOne("us-east");
    t.equal((await world.us.cluster()).incarnation, before.incarnation);
    t.equal((await world.us.get(`${COMPONENTS}/${id}`)).status, 200);
    await world.voting();
  });

  await t.test("its data folder is emptied: it does not vote until it has heard a majority, then catches up as a new incarnation", async (t) => {
    const ids: string[] = [];
    for (let i = 0; i < 20; i++) ids.push(created(await world.us.post(COMPONENTS, { name: `kept ${i}` }, { level: i % 2 === 0 ? "LOCAL" : "GLOBAL_QUORUM" })));
    await world.converged();
    const before = await world.us.cluster();
    await world.us.kill();
    await rm(world.us.data, { recursive: true });
    world.isolate("us-east");
    await world.startOne("us-east");
    const alone = await world.us.cluster();
    t.not(alone.incarnation, before.incarnation, "a new incarnation");
    t.equal(alone.voting, false, "no vote while nobody has told it what it may have promised");
    t.equal((await world.us.post(COMPONENTS, { name: "local while alone" })).status, 201, "LOCAL is served meanwhile");
    // One other replica is no majority of the others' answers: with it alone, a vote could contradict a forgotten one.
    for (const proxy of [world.link("us-east", "eu-west"), world.link("eu-west", "us-east")]) proxy.heal();
    await settled("it sees one peer", async () => (await world.us.cluster()).peers.some(({ state }) => state === "up"));
    await settled("it holds what that peer holds", async () => (await world.us.get(`${COMPONENTS}/${ids[0] ?? ""}`)).status === 200);
    t.equal((await world.us.cluster()).voting, false, "one answer is not enough");
    world.heal();
    await world.voting();
    await world.converged();
    for (const id of ids) t.equal((await world.us.get(`${COMPONENTS}/${id}`)).status, 200);
    t.equal((await world.us.post(COMPONENTS, { name: "votes again" }, { level: "GLOBAL_QUORUM" })).status, 201);
  });

  await t.test("its data folder is put back from an old copy: a new incarnation, and nothing is lost", async (t) => {
    const old = created(await world.eu.post(COMPONENTS, { name: "in the copy" }));
    const exit = await world.eu.stop();
    t.equal(exit.code, 0);
    const copy = path.join(world.folder, "old-copy");
    await cp(world.eu.data, copy, { recursive: true });
    await world.startOne("eu-west");
    await world.voting();
    const before = await world.eu.cluster();
    const later: string[] = [];
    for (let i = 0; i < 10; i++) later.push(created(await world.eu.post(COMPONENTS, { name: `after the copy ${i}` }, { level: i % 2 === 0 ? "LOCAL" : "GLOBAL_QUORUM" })));
    await world.converged();
    await world.eu.kill();
    await rm(world.eu.data, { recursive: true });
    await cp(copy, world.eu.data, { recursive: true });
    await world.startOne("eu-west");
    t.not((await world.eu.cluster()).incarnation, before.incarnation, "a new incarnation");
    const fresh = created(await world.eu.post(COMPONENTS, { name: "after putting back" }));
    await world.voting();
    await world.converged();
    for (const node of world.all) for (const id of [old, ...later, fresh]) t.equal((await node.get(`${COMPONENTS}/${id}`)).status, 200, `${id} in ${node.region}`);
  });

  await t.test("its store loses its end: alone, it takes a new incarnation by itself, so that no number is used twice and its clock goes on", async (t) => {
    await world.us.stop();
    await world.startOne("us-east");
    await world.voting();
    const kept = created(await world.us.post(COMPONENTS, { name: "before" }));
    const log = await logOf(world.us.data);
    const { size } = await stat(log);
    const lost: string[] = [];
    for (let i = 0; i < 5; i++) lost.push(created(await world.us.post(COMPONENTS, { name: `cut off ${i}` })));
    await world.converged();
    const before = await world.us.cluster();
    await world.us.kill();
    t.ok((await stat(log)).size > size, "what is cut off was in that file");
    await truncate(log, size);
    world.isolate("us-east");
    await world.startOne("us-east");
    const alone = await world.us.cluster();
    t.ok(alone.incarnation > before.incarnation, "a new incarnation");
    t.ok(alone.clock.hlc >= before.clock.hlc, "the clock has not gone back");
    t.equal((await world.us.get(`${COMPONENTS}/${lost.at(-1) ?? ""}`)).status, 404, "they are not there: the fault took place");
    const fresh = created(await world.us.post(COMPONENTS, { name: "after" }));
    world.heal();
    await world.voting();
    await world.converged();
    for (const node of world.all) for (const id of [kept, ...lost, fresh]) t.equal((await node.get(`${COMPONENTS}/${id}`)).status, 200, `${id} in ${node.region}`);
  });

  await t.test("its store is damaged: it refuses to start and says why, and --rebuild fetches all from the peers", async (t) => {
    const id = created(await world.ap.post(COMPONENTS, { name: "before the damage" }, { level: "GLOBAL_QUORUM" }));
    await world.converged();
    const incarnation = (await world.ap.cluster()).incarnation;
    await world.ap.stop();
    const store = path.join(world.ap.data, "store");
    const whole = path.join(world.folder, "whole");
    await cp(store, whole, { recursive: true });
    const damages: readonly (readonly [string, () => Promise<void>])[] = [
      ["flipped bytes", () => flip(store)],
      ["a lost CURRENT", () => rm(path.join(store, "CURRENT"))],
      ["an emptied store", () => rm(store, { recursive: true })],
    ];
    for (const [what, damage] of damages) {
      await rm(store, { recursive: true, force: true });
      await cp(whole, store, { recursive: true });
      await damage();
      const exit = await world.ap.run();
      t.not(exit.code, 0, `${what}: refused (exit code ${exit.code ?? exit.signal})`);
      t.match(world.ap.stderr, /--rebuild/, `${what}: says what to do: ${world.ap.stderr.trim()}`);
    }
    await world.startOne("ap-south", "--rebuild");
    await world.voting();
    await world.converged();
    t.not((await world.ap.cluster()).incarnation, incarnation, "a new incarnation");
    t.equal((await world.ap.get(`${COMPONENTS}/${id}`)).status, 200);
  });
});

/** The log that LevelDB appends to: the one with the highest number. */
async function logOf(data: string): Promise<string> {
  const store = path.join(data, "store");
  const name = (await readdir(store)).filter((one) => one.endsWith(".log")).sort().at(-1);
  if (name === undefined) throw new Error("the store has no log");
  return path.join(store, name);
}

/** Flips bytes in the middle of every log and table file of a store. */
async function flip(store: string): Promise<void> {
  for (const name of await readdir(store)) {
    if (!/\.(ldb|log)$/.test(name)) continue;
    const file = await open(path.join(store, name), "r+");
    const { size } = await file.stat();
    for (let at = 64; at < size; at += 512) {
      const byte = Buffer.alloc(1);
      await file.read(byte, 0, 1, at);
      byte.writeUInt8(byte.readUInt8(0) ^ 0x55, 0);
      await file.write(byte, 0, 1, at);
    }
    await file.close();
  }
}

t.test("replicas lose their disks and are killed while clients work at GLOBAL_QUORUM: the history is linearizable", { timeout: 300_000 }, async (t) => {
  const world = await World.start(t);
  const clients = await RegisterClients.start(world.all, 2, dice);
  for (let round = 0; round < 6; round++) {
    await clients.reaches(clients.answered + 15 + dice.below(20));
    const region = dice.pick(REGIONS);
    const node = world.node(region);
    const before = (await node.cluster()).incarnation;
    await node.kill();
    // A second disk is not lost before the first replica votes again: what a majority has forgotten nobody can know.
    if (round % 2 === 0) await rm(node.data, { recursive: true });
    await world.startOne(region);
    if (round % 2 === 0) t.not((await node.cluster()).incarnation, before);
    await world.voting();
  }
  await clients.reaches(clients.answered + 20);
  await clients.stop();
  t.comment(`${clients.operations.length} operations, ${clients.answered} answered`);
  const { verdict } = clients;
  t.equal(verdict.kind, "ok", "some order explains what every client saw");
  if (verdict.kind !== "ok") t.comment(JSON.stringify({ verdict, operations: clients.operations }));
  await world.converged();
  const values = new Set(await Promise.all(world.all.map(async (node) => JSON.stringify(ok(await node.get(COMPONENTS)).body["data"]))));
  t.equal(values.size, 1, "all regions end alike");
});
