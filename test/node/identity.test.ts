import t from "tap";
import { isFault } from "../../src/core/errors.js";
import type { Message } from "../../src/core/messages.js";
import { keyspace } from "../../src/store/keyspace.js";
import { Cluster, component, copyOf, newDisk, read, setting, write } from "./cluster.js";

const GLOBAL = { level: "GLOBAL_QUORUM" } as const;
const VOTES = new Set(["voted", "promised", "accepted"]);

/** Votes that one replica sends. */
function counting(replica: string): { votes: number; tamper(from: string, to: string, message: Message): Message | undefined } {
  const count = {
    votes: 0,
    tamper: (from: string, _to: string, message: Message): Message | undefined => {
      if (from === replica && message.$case === "quorum" && message.value.body !== undefined && VOTES.has(message.value.body.$case)) count.votes += 1;
      return message;
    },
  };
  return count;
}

t.test("a replica that starts again on its disk goes on with its incarnation and its log, and knows everything", async (t) => {
  await using cluster = new Cluster();
  await cluster.start();
  await cluster.voting();
  await write(cluster.node("us-east"), setting("api", { name: "local" }));
  await write(cluster.node("us-east"), setting("web", { name: "decided" }), GLOBAL);
  const before = cluster.node("us-east").cluster();
  await cluster.stop("us-east-1");
  await cluster.start("us-east-1");
  const after = cluster.node("us-east").cluster();
  t.equal(after.incarnation, before.incarnation);
  t.same(after.vector, before.vector);
  t.equal(after.merkle_root, before.merkle_root);
  await cluster.settled("it votes, once a peer has said that it knows nothing later of it", () => cluster.node("us-east").cluster().voting);
  t.same(await read(cluster.node("us-east"), "api"), { name: "local" });
  await write(cluster.node("us-east"), setting("api", { name: "more" }));
  await cluster.converged();
  t.same(Object.keys(cluster.node("us-east").cluster().vector).filter((origin) => origin.startsWith("us-east-1.")).length, 1);
});

t.test("a replica whose disk was emptied takes a new incarnation, does not vote before it has caught up, and gets everything back", async (t) => {
  const counted = counting("us-east-1");
  await using cluster = new Cluster({ tamper: counted.tamper });
  await cluster.start();
  await cluster.voting();
  const us = cluster.node("us-east");
  for (let i = 0; i < 20; i++) await write(us, setting(`c-${i % 5}`, { [`field_${i}`]: i }), i % 2 === 0 ? GLOBAL : {});
  await cluster.converged();
  const before = us.cluster();
  await cluster.stop("us-east-1");
  cluster.disks.set("us-east-1", newDisk("another folder"));
  cluster.isolate("us-east-1");
  counted.votes = 0;
  await cluster.start("us-east-1");
  const emptied = cluster.node("us-east");
  t.ok(emptied.cluster().incarnation > before.incarnation);
  t.equal(emptied.cluster().voting, false);
  await write(emptied, setting("local", { name: "served meanwhile" }));
  // With one other region only it cannot learn from a majority beside itself, so a write there finds no majority.
  cluster.mesh.heal("us-east-1", "eu-west-1");
  cluster.isolate("ap-south-1");
  const eu = cluster.node("eu-west");
  await cluster.settled("it is linked", () => eu.cluster().peers.some(({ replica, state }) => replica === "us-east-1" && state === "up"));
  const refused = await eu.commit(setting("c-0", { name: "by eu-west and an emptied disk" }), { ...GLOBAL, actor: "test", quorumTimeoutMs: 400 });
  t.ok(isFault(refused) && refused.code === "quorum-unavailable");
  t.equal(counted.votes, 0, "no vote left it");
  t.equal(emptied.cluster().voting, false);
  cluster.rejoin("ap-south-1");
  await cluster.settled("it votes", () => emptied.cluster().voting);
  await cluster.converged();
  for (let i = 0; i < 5; i++) t.same(await read(emptied, `c-${i}`), await read(eu, `c-${i}`));
  t.same(await read(eu, "local"), { name: "served meanwhile" });
  t.same(cluster.fatals, []);
});

t.test("a replica that starts on an old copy of its disk takes a new incarnation and loses nothing that others hold", async (t) => {
  await using cluster = new Cluster();
  await cluster.start();
  await cluster.voting();
  await write(cluster.node("us-east"), setting("api", { name: "old" }), GLOBAL);
  await cluster.converged();
  const copy = await copyOf(cluster.disk("us-east-1"), "the copy");
  await write(cluster.node("us-east"), setting("api", { name: "new" }), GLOBAL);
  const { token } = await write(cluster.node("us-east"), setting("web", { name: "Web" }));
  await cluster.converged();
  const before = cluster.node("us-east").cluster().incarnation;
  await cluster.stop("us-east-1");
  cluster.disks.set("us-east-1", copy);
  await cluster.start("us-east-1");
  const us = cluster.node("us-east");
  t.ok(us.cluster().incarnation > before);
  t.same(await read(us, "web", { level: "LOCAL", session: us.parseToken(token) ?? {}, sessionWaitMs: 5_000 }), { name: "Web" });
  t.same(await read(us, "api", { ...GLOBAL, quorumTimeoutMs: 5_000 }), { name: "new" });
  await write(us, setting("api", { name: "newer" }), { ...GLOBAL, quorumTimeoutMs: 5_000 });
  await cluster.converged();
  t.equal(us.cluster().incarnation, cluster.node("us-east").cluster().incarnation);
  t.same(await read(cluster.node("eu-west"), "api"), { name: "newer" });
});

t.test("a disk that went back in its place is noticed by what peers know, and the replica goes on as a new incarnation", async (t) => {
  await using cluster = new Cluster();
  await cluster.start();
  await cluster.voting();
  await write(cluster.node("us-east"), setting("api", { name: "old" }));
  await cluster.converged();
  const rolledBack = await copyOf(cluster.disk("us-east-1"), "us-east-1");
  await write(cluster.node("us-east"), setting("api", { name: "new" }));
  await cluster.converged();
  const before = cluster.node("us-east").cluster().incarnation;
  await cluster.stop("us-east-1");
  cluster.disks.set("us-east-1", rolledBack);
  await cluster.start("us-east-1");
  await cluster.settled("it took a new incarnation", () => cluster.nodes.get("us-east-1")?.cluster().incarnation !== before);
  await cluster.converged();
  await cluster.voting();
  t.same(await read(cluster.node("us-east"), "api"), { name: "new" });
  await write(cluster.node("us-east"), setting("api", { name: "newer" }), { ...GLOBAL, quorumTimeoutMs: 5_000 });
  t.equal(cluster.logged.filter(({ event }) => event["event"] === "new-incarnation").length, 1, "once");
  t.same(cluster.fatals, []);
});

t.test("a disk that went back in its place writes while it is cut off: no number is given to two changes, and all are kept everywhere", async (t) => {
  await using cluster = new Cluster({ limits: { introductionMs: 100 } });
  await cluster.start();
  await cluster.voting();
  await write(cluster.node("us-east"), setting("api", { name: "old" }));
  await cluster.converged();
  const rolledBack = await copyOf(cluster.disk("us-east-1"), "us-east-1");
  await write(cluster.node("us-east"), setting("api", { name: "new", seen: true }));
  await write(cluster.node("us-east"), setting("web", { name: "gone with the disk" }));
  await cluster.converged();
  const before = cluster.node("us-east").cluster().incarnation;
  await cluster.stop("us-east-1");
  cluster.disks.set("us-east-1", rolledBack);
  cluster.isolate("us-east-1");
  await cluster.start("us-east-1");
  // As many as were lost and more, so that a log that went on would be no shorter than what the others hold of it.
  for (let i = 0; i < 4; i++) await write(cluster.node("us-east"), setting(`alone-${i}`, { name: `alone ${i}` }));
  await write(cluster.node("us-east"), setting("api", { [`alone`]: true }));
  cluster.rejoin("us-east-1");
  await cluster.settled("it took a new incarnation", () => cluster.nodes.get("us-east-1")?.cluster().incarnation !== before);
  await cluster.voting();
  await cluster.converged();
  for (const node of cluster.nodes.values()) {
    t.same(await read(node, "web"), { name: "gone with the disk" });
    t.same(await read(node, "api"), { name: "new", seen: true, alone: true });
    for (let i = 0; i < 4; i++) t.same(await read(node, `alone-${i}`), { name: `alone ${i}` });
  }
  t.same(cluster.fatals, []);
});

t.test("a disk that went back in its place takes no write before its peers have said what they hold", async (t) => {
  await using cluster = new Cluster({ delayMs: 50 });
  await cluster.start();
  await cluster.voting();
  await write(cluster.node("us-east"), setting("api", { name: "old" }));
  await cluster.converged();
  const rolledBack = await copyOf(cluster.disk("us-east-1"), "us-east-1");
  await write(cluster.node("us-east"), setting("web", { name: "gone with the disk" }));
  await cluster.converged();
  await cluster.stop("us-east-1");
  cluster.disks.set("us-east-1", rolledBack);
  await cluster.start("us-east-1");
  const refused = await cluster.node("us-east").commit(setting("db", { name: "too early" }), { level: "LOCAL", actor: "test" });
  t.ok(isFault(refused) && refused.extra.outcome === "rejected", "the store is opened anew");
  await cluster.voting();
  await write(cluster.node("us-east"), setting("db", { name: "later" }));
  await cluster.converged();
  for (const node of cluster.nodes.values()) {
    t.same(await read(node, "web"), { name: "gone with the disk" });
    t.same(await read(node, "db"), { name: "later" });
  }
  t.same(cluster.fatals, []);
});

t.test("a store that lost its end takes a new incarnation before it meets anybody: what it writes alone takes nobody's number, and its clock goes on", async (t) => {
  await using cluster = new Cluster();
  await cluster.start();
  await cluster.voting();
  await write(cluster.node("us-east"), setting("api", { name: "old" }));
  await cluster.converged();
  const shortened = await copyOf(cluster.disk("us-east-1"), "us-east-1");
  for (let i = 0; i < 3; i++) await write(cluster.node("us-east"), setting("api", { name: `lost ${i}` }));
  await write(cluster.node("us-east"), setting("web", { name: "decided" }), GLOBAL);
  await cluster.converged();
  const before = cluster.node("us-east").cluster();
  await cluster.stop("us-east-1");
  shortened.highWater.mark = cluster.disk("us-east-1").highWater.mark;
  cluster.disks.set("us-east-1", shortened);
  cluster.isolate("us-east-1");
  await cluster.start("us-east-1");
  const us = cluster.node("us-east");
  t.ok(us.cluster().incarnation > before.incarnation);
  t.ok(us.cluster().clock.hlc >= before.clock.hlc, "its clock has not gone back");
  t.equal(us.cluster().voting, false, "what it had voted it does not know");
  await write(us, setting("alone", { name: "written alone" }));
  cluster.rejoin("us-east-1");
  await cluster.converged();
  await cluster.voting();
  for (const region of ["us-east", "eu-west", "ap-south"]) {
    t.same(await read(cluster.node(region), "api"), { name: "lost 2" }, `${region}: the peers had kept it`);
    t.same(await read(cluster.node(region), "alone"), { name: "written alone" }, `${region}: it collides with nothing`);
  }
  t.equal(cluster.logged.filter(({ event }) => event["event"] === "new-incarnation").length, 0, "nobody had to tell it");
  t.same(cluster.fatals, []);
});

t.test("a document that vanished from the disk is noticed at the start and comes back from the peers", async (t) => {
  await using cluster = new Cluster();
  await cluster.start();
  await cluster.voting();
  await write(cluster.node("us-east"), setting("api", { name: "API" }));
  await write(cluster.node("us-east"), setting("web", { name: "Web" }));
  await cluster.converged();
  await cluster.stop("us-east-1");
  const { storage } = cluster.disk("us-east-1");
  await storage.reopen();
  await storage.write([{ del: keyspace.header(component("api")) }, { del: `${keyspace.sections(component("api")).from}` }]);
  await write(cluster.node("eu-west"), setting("api", { description: "changed meanwhile" }));
  await cluster.start("us-east-1");
  await cluster.converged();
  t.same(await read(cluster.node("us-east"), "api"), { name: "API", description: "changed meanwhile" });
  await cluster.voting();
  await cluster.stop("us-east-1");
  const { incarnation } = await (async () => { await cluster.start("us-east-1"); return cluster.node("us-east").cluster(); })();
  await cluster.stop("us-east-1");
  await cluster.start("us-east-1");
  t.equal(cluster.node("us-east").cluster().incarnation, incarnation, "afterwards the disk is trusted again");
  t.same(cluster.fatals, []);
});

t.test("replicas that are configured with other members refuse each other", async (t) => {
  await using cluster = new Cluster({ membershipOf: { "ap-south-1": "another set" } });
  await cluster.start();
  await cluster.settled("the two others vote", () => cluster.node("us-east").cluster().peers.some(({ replica, state }) => replica === "eu-west-1" && state === "up"));
  await write(cluster.node("us-east"), setting("api", { name: "API" }));
  await cluster.settled("eu-west has it", async () => (await read(cluster.node("eu-west"), "api")) !== null);
  t.ok(cluster.node("ap-south").cluster().peers.every(({ state }) => state === "down"));
  t.equal(await read(cluster.node("ap-south"), "api"), null);
});

t.test("a cluster whose folders were all copied to new disks votes again once all are there, with everything that was decided", async (t) => {
  await using cluster = new Cluster();
  await cluster.start();
  await cluster.voting();
  const { etag } = await write(cluster.node("us-east"), setting("api", { name: "decided" }), GLOBAL);
  await cluster.converged();
  for (const name of cluster.names) await cluster.stop(name);
  for (const name of cluster.names) cluster.disk(name).witness = `${name} on another disk`;
  await cluster.start("us-east-1", "eu-west-1");
  await cluster.settled("two have met", () => cluster.node("us-east").cluster().peers.some((peer) => peer.state === "up"));
  t.equal(cluster.node("us-east").cluster().voting, false, "two of three cannot know what the third has promised");
  await cluster.start("ap-south-1");
  await cluster.voting();
  t.same(await read(cluster.node("ap-south"), "api", { level: "GLOBAL_QUORUM" }), { name: "decided" });
  await write(cluster.node("eu-west"), setting("api", { name: "next" }), { ...GLOBAL, ifMatch: [etag] });
  const late = await cluster.node("ap-south").commit(setting("api", { name: "late" }), { ...GLOBAL, actor: "test", ifMatch: [etag] });
  t.ok(isFault(late) && late.code === "precondition-failed");
});

t.test("a replica that had begun a log of another name loses its disk soon after: it rejoins and votes", async (t) => {
  await using cluster = new Cluster({ limits: { introductionMs: 50 } });
  await cluster.start();
  await cluster.voting();
  await write(cluster.node("us-east"), setting("api", { name: "first" }));
  await cluster.converged();
  await cluster.stop("us-east-1");
  cluster.isolate("ap-south-1");
  await cluster.start("us-east-1");
  // One peer has not said what it holds.
  await write(cluster.node("us-east"), setting("api", { name: "in another log" }));
  cluster.rejoin("ap-south-1");
  await cluster.converged();
  const own = Object.keys(cluster.node("us-east").cluster().vector).filter((origin) => origin.startsWith("us-east-1."));
  t.equal(own.length, 2, own.join());
  await cluster.stop("us-east-1");
  cluster.disks.set("us-east-1", newDisk("another folder"));
  await cluster.start("us-east-1");
  await cluster.voting();
  await write(cluster.node("us-east"), setting("api", { name: "voted" }), GLOBAL);
  await cluster.converged();
  t.same(cluster.fatals, []);
});
