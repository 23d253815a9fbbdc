import t from "tap";
import { isFault } from "../../src/core/errors.js";
import type { Committed } from "../../src/store/data-plane.js";
import type { ReplicaNode } from "../../src/node.js";
import { keyspace } from "../../src/store/keyspace.js";
import { Cluster, component, newDisk, read, setting, write } from "./cluster.js";

const idempotency = { scope: "scope-1", request: "request-1" };

async function once(node: ReplicaNode, name: string, request = idempotency): Promise<Committed> {
  const result = await node.commit(setting("api", { name }), { level: "LOCAL", actor: "test", idempotency: request });
  if (isFault(result)) throw new Error(`${result.code}: ${result.detail}`);
  return result;
}

async function writes(node: ReplicaNode): Promise<number> {
  const history = await node.history(component("api"), { level: "LOCAL" });
  if (isFault(history)) throw new Error(history.detail);
  return history.value.filter(({ field }) => field === "name").length;
}

t.test("a request that is repeated, here, elsewhere, at once and after a restart, takes effect once", async (t) => {
  await using cluster = new Cluster();
  await cluster.start();
  await cluster.voting();
  const [first, twin] = await Promise.all([once(cluster.node("us-east"), "API"), once(cluster.node("us-east"), "API")]);
  t.same([first.replayed, twin.replayed], [false, true]);
  t.equal(twin.body, first.body);
  await cluster.converged();
  await cluster.settled("eu-west keeps the answer", () => Object.entries(cluster.node("us-east").cluster().vector).every(([origin, seq]) => (cluster.node("eu-west").cluster().vector[origin] ?? 0) >= seq));
  const elsewhere = await once(cluster.node("eu-west"), "another body that would be written");
  t.ok(elsewhere.replayed);
  t.equal(elsewhere.body, first.body);
  t.equal(elsewhere.etag, first.etag);
  await cluster.stop("us-east-1");
  await cluster.start("us-east-1");
  t.ok((await once(cluster.node("us-east"), "API")).replayed);
  t.equal(await writes(cluster.node("us-east")), 1);
  const other = await cluster.node("eu-west").commit(setting("api", { name: "x" }), { level: "LOCAL", actor: "test", idempotency: { ...idempotency, request: "request-2" } });
  t.ok(isFault(other) && other.code === "idempotency-key-reused");
});

t.test("a request repeated on both sides of a cut gives one resource, and afterwards one answer", async (t) => {
  await using cluster = new Cluster();
  await cluster.start();
  await cluster.voting();
  cluster.isolate("us-east-1");
  const first = await once(cluster.node("us-east"), "API");
  await cluster.later();
  const second = await once(cluster.node("eu-west"), "API");
  t.same([first.replayed, second.replayed], [false, false], "neither side knew of the other");
  cluster.rejoin("us-east-1");
  await cluster.converged();
  await cluster.settled("all hold both answers", () => new Set([...cluster.nodes.values()].map((node) => JSON.stringify(Object.entries(node.cluster().vector).sort()))).size === 1);
  const bodies = new Set<string | null>();
  for (const node of cluster.nodes.values()) {
    const again = await once(node, "API");
    t.ok(again.replayed);
    bodies.add(again.etag);
    t.same(await read(node, "api"), { name: "API" });
  }
  t.same([...bodies], [first.etag], "the earlier answer, everywhere");
});

t.test("a creation that is repeated on the other side of a cut takes back no edit of the first, and shows as no conflict", async (t) => {
  await using cluster = new Cluster();
  await cluster.start();
  await cluster.voting();
  cluster.isolate("ap-south-1");
  await once(cluster.node("us-east"), "API");
  await cluster.settled("eu-west holds it", async () => (await read(cluster.node("eu-west"), "api")) !== null);
  const edited = await write(cluster.node("eu-west"), setting("api", { name: "API, edited" }));
  await cluster.later();
  await once(cluster.node("ap-south"), "API");
  cluster.rejoin("ap-south-1");
  await cluster.converged();
  const views = await Promise.all([...cluster.nodes.values()].map(async (node) => {
    const found = await node.read({ documents: [component("api")], render: (snapshot) => snapshot.document(component("api")) }, { level: "LOCAL" });
    if (isFault(found) || found.value === undefined) throw new Error("it is not there");
    const { value } = found;
    return { name: value.value("name"), conflicts: value.conflicts(), hasConflicts: value.hasConflicts, createdAt: value.createdAt, etag: value.etag };
  }));
  for (const view of views) t.match(view, { name: "API, edited", conflicts: [], hasConflicts: false });
  t.equal(new Set(views.map(({ createdAt, etag }) => `${createdAt} ${etag}`)).size, 1, "created when it was first created, everywhere");
  t.not(views[0]?.etag, edited.etag, "the document has one change more, and so another tag");
  await write(cluster.node("us-east"), setting("api", { name: "API, edited again" }), { ifMatch: [views[0]?.etag ?? ""] });
  await cluster.stop("ap-south-1");
  await cluster.start("ap-south-1");
  await cluster.voting();
  await cluster.converged();
  for (const node of cluster.nodes.values()) t.same(await read(node, "api"), { name: "API, edited again" });
});

t.test("a request that is repeated while the first one arrives from elsewhere, changed since, gets the first answer", async (t) => {
  await using cluster = new Cluster();
  await cluster.start();
  await cluster.voting();
  // A slow disk: it is read before the first answer is there, and heard of after that.
  const { storage } = cluster.disk("eu-west-1");
  const scan = storage.scan.bind(storage);
  let reached = (): void => undefined;
  let open = (): void => undefined;
  const isReached = new Promise<void>((resolve) => {
    reached = resolve;
  });
  const isOpen = new Promise<void>((resolve) => {
    open = resolve;
  });
  let isSlow = true;
  storage.scan = async function* (...args: Parameters<typeof scan>) {
    const pages: (typeof scan extends (...args: never) => AsyncIterable<infer Page> ? Page : never)[] = [];
    for await (const page of scan(...args)) pages.push(page);
    if (isSlow) {
      isSlow = false;
      reached();
      await isOpen;
    }
    yield* pages;
  };
  const repeated = once(cluster.node("eu-west"), "API");
  await isReached;
  const first = await once(cluster.node("us-east"), "API");
  await cluster.node("us-east").commit(setting("api", { name: "changed since" }), { level: "LOCAL", actor: "test" });
  await cluster.settled("eu-west holds all of it", () => Object.entries(cluster.node("us-east").cluster().vector).every(([origin, seq]) => (cluster.node("eu-west").cluster().vector[origin] ?? 0) >= seq));
  open();
  const again = await repeated;
  t.ok(again.replayed);
  t.equal(again.body, first.body);
  t.equal(again.etag, first.etag);
  t.same(await read(cluster.node("eu-west"), "api"), { name: "changed since" });
});

t.test("a final refusal is kept, a passing one is not", async (t) => {
  await using cluster = new Cluster();
  await cluster.start("us-east-1");
  const us = cluster.node("us-east");
  const missing = { level: "LOCAL", actor: "test", ifMatch: ["*"], idempotency } as const;
  const refused = await us.commit(setting("api", { name: "a" }), missing);
  t.ok(isFault(refused) && refused.extra.replayed === undefined);
  const again = await us.commit(setting("api", { name: "a" }), missing);
  t.ok(isFault(again) && again.code === "precondition-failed" && again.extra.replayed === true);
  const passing = { scope: "scope-2", request: "r" };
  const behind = await us.commit(setting("api", {}), { level: "LOCAL", actor: "test", session: { "eu-west-1.zzz": 5 }, sessionWaitMs: 0, idempotency: passing });
  t.ok(isFault(behind));
  t.notOk((await once(us, "API", passing)).replayed);
});

t.test("a replica that was emptied, and got everything by anti-entropy, gives the first answers too", async (t) => {
  await using cluster = new Cluster({ limits: { logEntriesKept: 5, trimEveryMs: 20, answersPerMessage: 2 } });
  await cluster.start();
  await cluster.voting();
  const us = cluster.node("us-east");
  const keys = Array.from({ length: 5 }, (_, i) => ({ scope: `scope-${i}`, request: "r" }));
  const first: Committed[] = [];
  for (const key of keys) first.push(await once(us, `name ${key.scope}`, key));
  for (let i = 0; i < 60; i++) await once(us, `later ${i}`, { scope: `later-${i}`, request: "r" });
  await cluster.converged();
  const tail = async (name: string): Promise<number> => {
    let places = 0;
    for await (const page of cluster.disk(name).storage.scan(keyspace.allArrivals)) places += page.length;
    return places;
  };
  await cluster.settled("the logs have lost the answers", async () => (await tail("us-east-1")) <= 20 && (await tail("eu-west-1")) <= 20);
  await cluster.stop("ap-south-1");
  cluster.disks.set("ap-south-1", newDisk("another folder"));
  await cluster.start("ap-south-1");
  await cluster.converged();
  const south = cluster.node("ap-south");
  await cluster.settled("it has taken over what the logs passed", () => Object.entries(us.cluster().vector).every(([origin, seq]) => (south.cluster().vector[origin] ?? 0) >= seq));
  for (const [index, key] of keys.entries()) {
    const again = await once(south, "another name", key);
    t.same([again.replayed, again.body, again.etag], [true, first[index]?.body, first[index]?.etag], key.scope);
    const reused = await south.commit(setting("api", { name: "x" }), { level: "LOCAL", actor: "test", idempotency: { ...key, request: "other" } });
    t.ok(isFault(reused) && reused.code === "idempotency-key-reused");
  }
  t.same(cluster.fatals, []);
});
