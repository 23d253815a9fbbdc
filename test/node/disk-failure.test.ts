import t from "tap";
import { isFault } from "../../src/core/errors.js";
import { Cluster, read, setting, write } from "./cluster.js";

const level = (cluster: Cluster, name: string): number => cluster.node(name).cluster().degradation.level;

t.test("a disk that refuses a write makes the replica read-only; reopened, it holds all that it acknowledged", async (t) => {
  await using cluster = new Cluster({ limits: { reopenAfterMs: 50 } });
  await cluster.start();
  await cluster.voting();
  const us = cluster.node("us-east");
  const disk = cluster.disk("us-east-1");
  const acknowledged: string[] = [];
  let refused = 0;
  const writers = [...Array(60).keys()].map(async (index) => {
    await new Promise((resolve) => setImmediate(resolve));
    if (index === 30) disk.failure = new Error("no space left");
    const result = await us.commit(setting(`c-${index}`, { name: String(index) }), { level: "LOCAL", actor: "test" });
    if (!isFault(result)) acknowledged.push(`c-${index}`);
    else {
      t.equal(result.code, "read-only");
      refused += 1;
    }
  });
  await Promise.all(writers);
  t.ok(acknowledged.length > 0 && refused > 0, `the fault took place: ${acknowledged.length} acknowledged, ${refused} refused`);
  t.equal(level(cluster, "us-east"), 5);
  t.ok(await read(us, acknowledged[0] ?? ""), "it still reads");
  const { token } = await write(cluster.node("eu-west"), setting("eu", { name: "elsewhere writes go on" }));
  await cluster.settled("it tried to reopen in vain", () => cluster.logged.some(({ replica, event }) => replica === "us-east-1" && event["event"] === "reopen-failed") || cluster.logged.some(({ event }) => event["event"] === "reopened"));
  disk.failure = undefined;
  await cluster.settled("it takes writes again", async () => !isFault(await us.commit(setting("after", { name: "x" }), { level: "LOCAL", actor: "test" })));
  for (const id of acknowledged) t.ok(await read(us, id), id);
  t.same(await read(us, "eu", { level: "LOCAL", session: us.parseToken(token) ?? {}, sessionWaitMs: 5_000 }), { name: "elsewhere writes go on" });
  await cluster.converged();
  for (const id of acknowledged) t.ok(await read(cluster.node("ap-south"), id), `${id} in ap-south`);
  t.ok(level(cluster, "us-east") < 3);
  t.same(cluster.fatals, []);
});

t.test("a write that the disk refused is seen nowhere", async (t) => {
  await using cluster = new Cluster({ limits: { reopenAfterMs: 60_000 } });
  await cluster.start();
  await cluster.voting();
  const us = cluster.node("us-east");
  await write(us, setting("api", { name: "good" }));
  await cluster.converged();
  cluster.disk("us-east-1").failure = new Error("no space left");
  t.ok(isFault(await us.commit(setting("api", { name: "lost" }), { level: "LOCAL", actor: "test" })));
  const here = await us.read({ documents: [], render: (snapshot) => snapshot.document("default/component/api")?.value("name") }, { level: "LOCAL" });
  t.ok(isFault(here) || here.value === "good", "not shown here");
  await cluster.settled("reads of what was durable go on, of single documents and of lists", async () => {
    const after = await us.read({ documents: [], render: (snapshot) => snapshot.list("default", "component").map(({ key }) => snapshot.document(key)?.value("name") ?? null) }, { level: "LOCAL" });
    return !isFault(after) && JSON.stringify(after.value) === '["good"]';
  });
  await write(cluster.node("eu-west"), setting("web", {}));
  await cluster.settled("the others go on", async () => (await read(cluster.node("ap-south"), "web")) !== null);
  t.same(await read(cluster.node("ap-south"), "api"), { name: "good" });
});

t.test("a replica that cannot read its store goes read-only and says so", async (t) => {
  await using cluster = new Cluster({ limits: { documentCacheBytes: 64, reopenAfterMs: 60_000 } });
  await cluster.start("us-east-1");
  const us = cluster.node("us-east");
  for (let i = 0; i < 5; i++) await write(us, setting(`c-${i}`, { name: "x".repeat(100) }));
  await cluster.disk("us-east-1").storage.close();
  const unread = await us.read({ documents: [], render: (snapshot) => snapshot.document("default/component/c-0")?.value("name") }, { level: "LOCAL" });
  t.ok(isFault(unread) && unread.code === "read-only");
  t.equal(level(cluster, "us-east"), 5);
});
