import t from "tap";
import { isFault } from "../../src/core/errors.js";
import { Cluster, component, read, setting, write } from "./cluster.js";

const LOCAL_QUORUM = { level: "LOCAL_QUORUM" } as const;
const REPLICAS = ["us-east-1", "us-east-2", "us-east-3", "eu-west-1"];

t.test("a LOCAL_QUORUM read on any replica of a region shows every LOCAL_QUORUM write of it", async (t) => {
  await using cluster = new Cluster({ replicas: REPLICAS, delayMs: 10 });
  await cluster.start();
  await cluster.settled("all are linked", () => [...cluster.nodes.values()].every((node) => node.cluster().peers.every(({ state }) => state === "up")));
  for (const [index, writer] of REPLICAS.slice(0, 3).entries()) {
    const id = `c-${index}`;
    await write(cluster.node(writer), setting(id, { name: writer }), LOCAL_QUORUM);
    for (const reader of REPLICAS.slice(0, 3)) t.same(await read(cluster.node(reader), id, LOCAL_QUORUM), { name: writer }, `${reader} reads what ${writer} wrote`);
  }
  t.same(await write(cluster.node("eu-west-1"), setting("eu", {}), LOCAL_QUORUM).then(() => "alone in its region"), "alone in its region");
});

t.test("with one of three replicas gone LOCAL_QUORUM goes on, with two gone it fails and says so", async (t) => {
  await using cluster = new Cluster({ replicas: REPLICAS });
  await cluster.start();
  await cluster.settled("all are linked", () => [...cluster.nodes.values()].every((node) => node.cluster().peers.every(({ state }) => state === "up")));
  await cluster.stop("us-east-3");
  const one = cluster.node("us-east-1");
  await write(one, setting("api", { name: "by two" }), LOCAL_QUORUM);
  t.same(await read(cluster.node("us-east-2"), "api", LOCAL_QUORUM), { name: "by two" });
  await cluster.stop("us-east-2");
  const unwritten = await one.commit(setting("api", { name: "alone" }), { ...LOCAL_QUORUM, actor: "test", quorumTimeoutMs: 150 });
  t.ok(isFault(unwritten) && unwritten.code === "local-quorum-unavailable" && unwritten.extra.outcome === "unknown");
  const unread = await one.read({ documents: [component("api")], render: () => 1 }, { ...LOCAL_QUORUM, quorumTimeoutMs: 150 });
  t.ok(isFault(unread) && unread.code === "local-quorum-unavailable" && unread.extra.outcome === undefined);
  await write(one, setting("web", { name: "LOCAL goes on" }));
  const waiting = read(one, "api", { ...LOCAL_QUORUM, quorumTimeoutMs: 10_000 });
  await cluster.start("us-east-2");
  t.same(await waiting, { name: "alone" }, "a question is asked again of a replica that comes back");
});
