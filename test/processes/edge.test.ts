/** A real edge beside three real regions. */
import { test } from "tap";
import { EDGE, worldWithEdge } from "./edge-world.js";
import { EventReader } from "./event-reader.js";
import { LinkProxy } from "./link-proxy.js";
import { settled } from "./world.js";

test("an edge hands writes and quorum reads to a region, and its caller reads what it wrote; it never writes and never votes", async (t) => {
  const { world, edge } = await worldWithEdge(t);
  const made = await edge.post("/v1/pages/default/incidents", { name: "Through the edge" });
  t.equal(made.status, 201);
  const one = `/v1/pages/default/incidents/${String(made.body["id"])}`;
  t.equal((await edge.get(one)).body["name"], "Through the edge", "read-your-writes at the edge, without a token");
  t.equal((await edge.get(one, { token: made.token })).status, 200);
  const decided = await edge.patch(one, { name: "Decided" }, { level: "GLOBAL_QUORUM", ifMatch: made.etag });
  t.equal(decided.status, 200);
  t.equal(decided.headers["consistency-level"], "GLOBAL_QUORUM");
  t.equal((await edge.get(one, { level: "GLOBAL_QUORUM" })).body["name"], "Decided");
  t.equal((await edge.patch(one, { name: "Too late" }, { ifMatch: made.etag })).status, 412, "refusals of the region are passed on");
  t.equal((await edge.delete(one, { key: null })).status, 401);
  const cluster = await edge.cluster();
  t.equal(cluster.voting, false);
  t.notOk(Object.keys(cluster.vector).some((origin) => origin.startsWith(EDGE)), "no change has its origin at the edge");
  t.ok(!Object.keys((await world.us.cluster()).vector).some((origin) => origin.startsWith(EDGE)));
});

test("with the nearest region gone an edge hands writes to the next; with all gone it serves on, read-only, across a restart", async (t) => {
  const { world, edge } = await worldWithEdge(t, { edge: { limits: { heardNotedMs: 200 } } });
  const component = await edge.post("/v1/pages/default/components", { name: "API" });
  t.equal(component.status, 201);
  const reader = new EventReader(() => edge.http);
  t.teardown(() => reader.close());
  await settled("the stream is open", () => reader.of("ready").length === 1, 30_000);
  await world.us.kill();
  const second = await edge.post("/v1/pages/default/components", { name: "Web" });
  t.equal(second.status, 201, second.text);
  await settled("the stream tells it", () => reader.of("component.created").some(({ data }) => data["id"] === second.body["id"]), 20_000);
  await world.eu.kill();
  await world.ap.kill();
  const refused = await edge.post("/v1/pages/default/components", { name: "Nobody" }, { patienceMs: 60_000 });
  t.equal(refused.status, 503);
  t.match(refused.body["outcome"], /unknown|rejected/);
  t.equal((await edge.get(`/v1/pages/default/components/${String(second.body["id"])}`)).status, 200);
  await edge.stop();
  const stoppedAt = Date.now();
  await edge.start();
  t.equal((await edge.get(`/v1/pages/default/components/${String(second.body["id"])}`)).body["name"], "Web");
  await settled("the page says that it is cut off", async () => (await edge.get("/pages/default", { key: null })).text.includes("data-since"), 30_000);
  const since = Date.parse(/data-since="([^"]+)"/.exec((await edge.get("/pages/default", { key: null })).text)?.[1] ?? "");
  t.ok(since <= stoppedAt, "as old as it is since it heard a region, not since it was started");
  t.equal((await edge.get("/readyz", { key: null })).status, 200);
  t.equal((await edge.post("/v1/pages/default/components", { name: "Nobody" })).status, 503);
});

test("an edge that is away holds up neither trimming nor a quorum, and catches up when it is back", async (t) => {
  const { world, edge } = await worldWithEdge(t, { settings: { limits: { logEntriesKept: 20, trimEveryMs: 100 } } });
  const made = await world.us.post("/v1/pages/default/incidents", { name: "Long" });
  const one = `/v1/pages/default/incidents/${String(made.body["id"])}`;
  await settled("the edge has it", async () => (await edge.get(one)).status === 200);
  await edge.kill();
  for (let n = 0; n < 60; n++) await world.us.post(`${one}/updates`, { body: `Update ${n}` });
  await settled("the log is trimmed without the edge", async () => ((await world.us.metric("statusmesh_log_entries")) ?? 1_000) <= 30, 30_000);
  t.equal((await world.us.patch(one, { name: "Decided" }, { level: "GLOBAL_QUORUM" })).status, 200);
  await edge.start();
  await settled("the edge has caught up", async () => (await edge.cluster()).merkle_root === (await world.us.cluster()).merkle_root, 30_000);
  t.equal((await edge.get(one)).body["name"], "Decided");
});

test("an edge hands its writes to the region that is nearest by round trip, and to another once that is nearer; its caller reads them there at once", async (t) => {
  const ways = new Map<string, LinkProxy>();
  for (const region of ["us-east", "eu-west", "ap-south"]) ways.set(region, await LinkProxy.listen());
  t.teardown(() => Promise.all([...ways.values()].map((way) => way.close())));
  const slow = (region: string, ms: number): void => {
    ways.get(region)?.delay("upstream", ms);
    // What a region has written is not at the edge when it answers.
    ways.get(region)?.delay("downstream", 150);
  };
  slow("us-east", 150);
  slow("eu-west", 20);
  slow("ap-south", 80);
  const { edge } = await worldWithEdge(t, {
    way: (node) => {
      const way = ways.get(node.region);
      way?.leadTo(node.meshPort);
      return way?.port ?? 0;
    },
  });
  const order = async () => [...(await edge.cluster()).peers].sort((a, b) => (a.rtt_ms ?? Infinity) - (b.rtt_ms ?? Infinity)).map(({ region }) => region);
  const writtenIn = async () => {
    const made = await edge.post("/v1/pages/default/incidents", { name: "Where" });
    t.equal(made.status, 201, made.text);
    t.equal((await edge.get(`/v1/pages/default/incidents/${String(made.body["id"])}`)).status, 200, "its caller reads it at the edge at once");
    return made.body["updated_region"];
  };
  await settled("the edge has measured", async () => (await order()).join() === "eu-west,ap-south,us-east", 30_000);
  t.equal(await writtenIn(), "eu-west");
  slow("eu-west", 300);
  slow("us-east", 0);
  await settled("the edge has measured again", async () => (await order()).join() === "us-east,ap-south,eu-west", 30_000);
  t.equal(await writtenIn(), "us-east");
});
