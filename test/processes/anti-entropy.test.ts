import t from "tap";
import { LevelStorage } from "../../src/io/level-storage.js";
import { keyspace, withPrefix } from "../../src/store/keyspace.js";
import { COMPONENTS, created, ok } from "./workload.js";
import { settled, World } from "./world.js";

interface Round {
  readonly replica: string;
  readonly documents_compared: number;
  readonly documents_repaired: number;
  readonly bytes: number;
  readonly round_trips: number;
  readonly equal: boolean;
}

/** Takes a document out of a stopped replica's store, as no replica ever would. */
async function removeBehindTheBack(folder: string, document: string): Promise<number> {
  const storage = await LevelStorage.open(folder);
  try {
    const keys: string[] = [keyspace.header(document)];
    for (const range of [keyspace.sections(document), keyspace.changes(document), keyspace.archives(document), withPrefix(keyspace.slot(document))]) {
      for await (const page of storage.scan(range)) keys.push(...page.map(([key]) => key));
    }
    await storage.write(keys.map((key) => ({ del: key })));
    return keys.length;
  } finally {
    await storage.close();
  }
}

t.test("three regions that compare what they hold", { timeout: 300_000 }, async (t) => {
  const world = await World.start(t);
  const ids: string[] = [];
  for (let i = 0; i < 30; i++) ids.push(created(await world.us.post(COMPONENTS, { name: `component ${i}` })));
  await world.converged();
  const [first = "", second = "", third = ""] = ids;

  await t.test("equal regions find so in one round trip and few bytes", async (t) => {
    const answer = ok(await world.us.post("/v1/cluster/anti-entropy", {}));
    const rounds = answer.body["peers"] as unknown as Round[];
    t.same(rounds.map(({ replica }) => replica).sort(), ["ap-south-1", "eu-west-1"]);
    for (const round of rounds) {
      t.match(round, { equal: true, round_trips: 1, documents_repaired: 0 });
      t.ok(round.bytes <= 256, `${round.bytes} bytes`);
    }
  });

  await t.test("a document deleted behind the store's back returns", async (t) => {
    await world.eu.stop();
    t.ok((await removeBehindTheBack(world.eu.data, `default/component/${first}`)) > 1, "records were removed");
    await world.startOne("eu-west");
    await world.voting();
    ok(await world.eu.post("/v1/cluster/anti-entropy", {}));
    await settled("it is back", async () => (await world.eu.get(`${COMPONENTS}/${first}`)).status === 200);
    await world.converged();
    t.equal((await world.eu.get(`${COMPONENTS}/${first}`)).text, (await world.us.get(`${COMPONENTS}/${first}`)).text);
    const history = (node: typeof world.us) => node.get(`${COMPONENTS}/${first}/history`).then(({ body }) => body["data"]);
    t.same(await history(world.eu), await history(world.us), "with its history");
  });

  await t.test("by itself too, every antiEntropyIntervalMs", async (t) => {
    await world.eu.stop();
    t.ok((await removeBehindTheBack(world.eu.data, `default/component/${second}`)) > 1);
    await world.writeConfig("eu-west", { antiEntropyIntervalMs: 300 });
    await world.startOne("eu-west");
    await settled("it is back", async () => (await world.eu.get(`${COMPONENTS}/${second}`)).status === 200);
    await world.converged();
    t.pass();
  });

  await t.test("a deleted document never comes back, from no replica", async (t) => {
    world.isolate("ap-south");
    t.equal((await world.us.delete(`${COMPONENTS}/${third}`)).status, 204);
    t.equal((await world.ap.patch(`${COMPONENTS}/${third}`, { description: "edited while it is deleted elsewhere" })).status, 200);
    world.heal();
    await world.voting();
    await world.converged();
    await world.ap.kill();
    await world.startOne("ap-south");
    await world.voting();
    for (const node of world.all) ok(await node.post("/v1/cluster/anti-entropy", {}));
    await world.converged();
    for (const node of world.all) {
      t.equal((await node.get(`${COMPONENTS}/${third}`)).status, 404, node.region);
      const history = await node.get(`${COMPONENTS}/${third}/history`);
      t.equal(history.status, 200, "its history stays");
      t.match(history.text, /edited while it is deleted elsewhere/, "with the edit that was answered 2xx");
    }
  });
});

t.test("a peer that is behind the trimmed log is served by anti-entropy", { timeout: 300_000 }, async (t) => {
  const world = await World.start(t, { settings: { limits: { logEntriesKept: 1, trimEveryMs: 100, logBytesMax: 40_000 } } });
  world.isolate("ap-south");
  const ids: string[] = [];
  for (let i = 0; i < 150; i++) ids.push(created(await world.us.post(COMPONENTS, { name: `unseen ${i} ${"x".repeat(200)}` })));
  await settled("eu-west has them all", async () => (await world.eu.get(`${COMPONENTS}/${ids.at(-1) ?? ""}`)).status === 200);
  await settled("all but the last entries are trimmed, or the bytes are", async () => ((await world.us.metric("statusmesh_log_entries")) ?? 150) < 150);
  world.heal();
  await world.voting();
  await world.converged(30_000);
  for (const id of ids) t.equal((await world.ap.get(`${COMPONENTS}/${id}`)).status, 200);
});
