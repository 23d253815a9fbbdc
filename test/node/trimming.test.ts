import t from "tap";
import { isFault } from "../../src/core/errors.js";
import type { ReplicaNode } from "../../src/node.js";
import { keyspace } from "../../src/store/keyspace.js";
import { Cluster, component, read, setting, write } from "./cluster.js";

async function keys(cluster: Cluster, name: string, range: { from: string; to: string }): Promise<string[]> {
  const found: string[] = [];
  for await (const page of cluster.disk(name).storage.scan(range)) for (const [key] of page) found.push(key);
  return found;
}

async function written(node: ReplicaNode, id: string): Promise<string[]> {
  const history = await node.history(component(id), { level: "LOCAL" });
  if (isFault(history)) throw new Error(history.detail);
  return history.value.map(({ to }) => String(to)).filter((to) => to.startsWith("value")).reverse();
}

t.test("what every member holds leaves the log, and the history stays complete, also after a restart", async (t) => {
  await using cluster = new Cluster({ limits: { logEntriesKept: 20, trimEveryMs: 20 } });
  await cluster.start();
  await cluster.voting();
  const us = cluster.node("us-east");
  const wanted: string[] = [];
  for (let i = 0; i < 120; i++) {
    await write(i % 3 === 0 ? cluster.node("eu-west") : us, setting(`c-${i % 4}`, { name: `value ${i}` }), i % 6 === 0 ? { level: "GLOBAL_QUORUM" } : {});
    if (i % 4 === 1) wanted.push(`value ${i}`);
  }
  await cluster.converged();
  for (const name of cluster.names) {
    await cluster.settled(`${name} has trimmed`, async () => (await keys(cluster, name, keyspace.allArrivals)).length <= 20);
    t.ok((await keys(cluster, name, keyspace.changes(component("c-1")))).length <= 20, "bodies are gone from the log");
    t.ok((await keys(cluster, name, keyspace.archives(component("c-1")))).length > 0, "and in the archive");
    t.same((await written(cluster.node(name), "c-1")).sort(), [...wanted].sort(), `${name} remembers all`);
  }
  await cluster.stop("us-east-1");
  await cluster.start("us-east-1");
  t.same((await written(cluster.node("us-east"), "c-1")).sort(), [...wanted].sort());
  await write(cluster.node("us-east"), setting("c-1", { name: "value after" }));
  t.equal((await written(cluster.node("us-east"), "c-1")).at(-1), "value after");
  t.same(cluster.fatals, []);
});

t.test("while a member is away nothing that it lacks is trimmed, and the log bridges its absence", async (t) => {
  await using cluster = new Cluster({ limits: { logEntriesKept: 10, trimEveryMs: 10 } });
  await cluster.start();
  await cluster.voting();
  cluster.isolate("ap-south-1");
  for (let i = 0; i < 60; i++) await write(cluster.node("us-east"), setting("api", { name: `value ${i}` }));
  await cluster.settled("eu-west has all", async () => (await read(cluster.node("eu-west"), "api"))?.["name"] === "value 59");
  t.ok((await keys(cluster, "us-east-1", keyspace.allArrivals)).length >= 60);
  cluster.rejoin("ap-south-1");
  await cluster.converged();
  t.equal((await written(cluster.node("ap-south"), "api")).length, 60);
  await cluster.settled("then it is trimmed", async () => (await keys(cluster, "us-east-1", keyspace.allArrivals)).length <= 10);
});

t.test("a member behind the trim gets everything by anti-entropy, and then follows the log again", async (t) => {
  await using cluster = new Cluster({ limits: { logEntriesKept: 10, logBytesMax: 4_000, trimEveryMs: 10 } });
  await cluster.start();
  await cluster.voting();
  await write(cluster.node("us-east"), setting("api", { name: "value before" }));
  await write(cluster.node("ap-south"), setting("own", { name: "value own" }));
  await cluster.converged();
  cluster.isolate("ap-south-1");
  for (let i = 0; i < 80; i++) await write(cluster.node(i % 2 === 0 ? "us-east" : "eu-west"), setting(`c-${i % 5}`, { name: `value ${i}` }), i % 8 === 0 ? { level: "GLOBAL_QUORUM" } : {});
  await write(cluster.node("ap-south"), setting("own", { name: "value meanwhile" }));
  const lacks = cluster.node("ap-south").cluster().vector;
  await cluster.settled("both have trimmed beyond it", async () => {
    const counts = await Promise.all(["us-east-1", "eu-west-1"].map(async (name) => (await keys(cluster, name, keyspace.allArrivals)).length));
    return counts.every((count) => count < 60);
  });
  t.ok(Object.values(lacks).reduce((sum, seq) => sum + seq, 0) < 10);
  cluster.rejoin("ap-south-1");
  await cluster.converged();
  const ap = cluster.node("ap-south");
  for (let i = 0; i < 5; i++) t.same((await written(ap, `c-${i}`)).sort(), (await written(cluster.node("us-east"), `c-${i}`)).sort());
  t.same(await read(cluster.node("us-east"), "own"), { name: "value meanwhile" });
  const { token } = await write(cluster.node("us-east"), setting("c-0", { name: "value later" }));
  t.same(await read(ap, "c-0", { level: "LOCAL", session: ap.parseToken(token) ?? {}, sessionWaitMs: 5_000 }), { name: "value later" }, "it holds the positions too");
  await write(ap, setting("c-0", { name: "value decided" }), { level: "GLOBAL_QUORUM" });
  t.same(await read(cluster.node("eu-west"), "c-0", { level: "GLOBAL_QUORUM" }), { name: "value decided" });
  t.same(cluster.fatals, []);
});

t.test("histories are read while writers never pause", async (t) => {
  await using cluster = new Cluster();
  await cluster.start("us-east-1");
  const us = cluster.node("us-east");
  const { storage } = cluster.disk("us-east-1");
  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  const storageWrite = storage.write.bind(storage);
  storage.write = async (batch) => {
    for (let turns = 0; turns < 3; turns++) await turn();
    await storageWrite(batch);
  };
  await write(us, setting("api", { name: "value 1" }));
  let writing = true;
  const writers = [(async () => {
    // Something new is staged in every turn, so a batch is always under way.
    const all: Promise<unknown>[] = [];
    for (let i = 0; writing; i++) {
      all.push(write(us, setting(`busy-${i % 3}`, { name: `value ${i}` })));
      await turn();
    }
    await Promise.all(all);
  })()];
  t.same(await Promise.race([written(us, "api"), new Promise((resolve) => setTimeout(() => resolve("late"), 20_000))]), ["value 1"]);
  writing = false;
  await Promise.all(writers);
});
