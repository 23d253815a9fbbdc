import t from "tap";
import { MemoryStorage } from "../../src/io/memory-storage.js";
import { result, store, T0, type TestStore } from "../features/result-stores.js";
import { Cluster, read, setting, write } from "./cluster.js";

const ALL = Number.MAX_SAFE_INTEGER;

t.test("results go to every replica that takes them, past a cut link; one of an earlier version is never asked, and its link goes on", async (t) => {
  const stores = new Map<string, TestStore>(["us-east-1", "eu-west-1", "ap-south-1"].map((replica) => [replica, store(new MemoryStorage(), { replica })]));
  const sent: string[] = [];
  await using cluster = new Cluster({
    replicas: ["us-east-1", "eu-west-1", "ap-south-1", "sa-east-1"], limits: { recordsEveryMs: 30 }, recordsOf: (name) => stores.get(name)?.results,
    tamper: (from, to, message) => {
      if (message.$case === "records" || message.$case === "recordsRequest") sent.push(`${from} ${to} ${message.$case}`);
      return message;
    },
  });
  await cluster.start();
  await cluster.voting();
  cluster.mesh.cut("us-east-1", "ap-south-1");
  await cluster.settled("the cut shows", () => cluster.node("us-east").cluster().peers.some(({ replica, state }) => replica === "ap-south-1" && state === "down"));
  for (let index = 0; index < 500; index++) stores.get("us-east-1")?.results.append(result(T0 + index, "up", index));
  stores.get("ap-south-1")?.results.append(result(T0, "down"));
  const held = async (replica: string) => (await stores.get(replica)?.results.query("default/m", 0, ALL, 1_000, () => true))?.length;
  for (const replica of stores.keys()) await cluster.settled(`${replica} holds all`, async () => (await held(replica)) === 501);
  await write(cluster.node("us-east"), setting("api", { name: "API" }));
  await cluster.settled("what says nothing of results follows", async () => (await read(cluster.node("sa-east"), "api")) !== null);
  t.ok(sent.length > 0);
  t.same(sent.filter((name) => name.includes("sa-east-1")), []);
  t.same([...stores.values()].flatMap(({ failures, refusals }) => [...failures, ...refusals]), []);
  t.same(cluster.fatals, []);
  t.same(cluster.logged.filter(({ event }) => event["event"] === "peer-down" && (event["peer"] === "sa-east-1")), []);
});

t.test("a replica that was emptied has the rollups again whose results nobody has any more", async (t) => {
  const stores = new Map<string, TestStore>(["us-east-1", "eu-west-1", "ap-south-1"].map((replica) => [replica, store(new MemoryStorage(), { replica })]));
  const from = stores.get("us-east-1");
  if (from === undefined) throw new Error("a store");
  for (let hour = 0; hour < 90; hour++) {
    from.results.append(result(T0 + hour * 3_600_000));
    from.time.nowMs = T0 + hour * 3_600_000;
    from.time.monotonicMs += 3_600_000;
    await from.results.flush();
  }
  for (const { time } of stores.values()) time.nowMs = from.time.nowMs;
  const days = async (replica: string) => stores.get(replica)?.results.rollups("default/m", "day", 0, ALL, () => true);
  await using cluster = new Cluster({ replicas: [...stores.keys()], limits: { recordsEveryMs: 30 }, recordsOf: (name) => stores.get(name)?.results });
  await cluster.start();
  for (const replica of stores.keys()) await cluster.settled(`${replica} has all days`, async () => (await days(replica))?.reduce((sum, { rollup }) => sum + rollup.up, 0) === 90);
  t.equal((await days("eu-west-1"))?.length, 5);
  for (const [name, { results }] of stores) await cluster.settled(`${name} lacks nothing`, async () => [...stores.keys()].every((peer) => peer === name || results.olderWanted(peer) === undefined));
  t.same([...stores.values()].flatMap(({ failures, refusals }) => [...failures, ...refusals]), []);
});
