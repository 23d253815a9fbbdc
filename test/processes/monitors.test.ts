import t from "tap";
import { created, ok } from "./workload.js";
import { settled } from "./world.js";
import { list, REGIONS, Target, WatchWorld } from "./watch-world.js";
import type { ReplicaProcess } from "../../chaos/replica-process.js";

const MONITORS = "/v1/pages/default/monitors";
const INCIDENTS = "/v1/pages/default/incidents";
const PATIENCE_MS = 90_000;

t.test("three regions watch a target", { timeout: 600_000 }, async (t) => {
  const target = await Target.listen(t);
  const watching = await WatchWorld.start(t);
  const { world } = watching;
  const monitor = async (node: ReplicaProcess, id: string) => ok(await node.get(`${MONITORS}/${id}`)).body;
  const verdicts = (id: string, wanted: string, nodes = world.all) => settled(`${nodes.map(({ region }) => region).join()} say ${wanted}`, async () => {
    const found = await Promise.all(nodes.map(async (node) => (await monitor(node, id))["verdict"]));
    if (found.every((verdict) => verdict === wanted)) return true;
    throw new Error(found.join());
  }, PATIENCE_MS);
  const opinions = async (node: ReplicaProcess, id: string) => Object.fromEntries((await list(node, `${MONITORS}/${id}/opinions`)).map((opinion) => [opinion["region"], opinion["state"]]));

  const id = created(await world.us.post(MONITORS, { name: "Target", type: "http", target: target.url, interval_seconds: 5, retries: 0, timeout_ms: 2_000 }));
  await verdicts(id, "up");

  await t.test("every region has an opinion and results, and any of them tells of all", { timeout: 300_000 }, async (t) => {
    await settled("three opinions are everywhere", async () => (await Promise.all(world.all.map((node) => opinions(node, id)))).every((found) => REGIONS.every((region) => found[region] === "up")), PATIENCE_MS);
    for (const node of world.all) {
      await settled(`${node.region} gives results of all regions`, async () => new Set((await list(node, `${MONITORS}/${id}/results`)).map(({ region }) => region)).size === REGIONS.length, PATIENCE_MS);
      const results = await list(node, `${MONITORS}/${id}/results`);
      t.match(results[0], { state: "up", error: null, attempt: 1, latency_ms: Number, phases: { connect: Number, total: Number } });
      const times = results.map(({ at }) => String(at));
      t.same(times, [...times].sort().reverse(), "newest first");
    }
    const [day] = await list(world.eu, `${MONITORS}/${id}/uptime`);
    t.match(day, { uptime: 1, down_seconds: 0, latency_ms: { p50: Number, p99: Number } });
    t.ok(((day?.["latency_ms"] ?? { count: 0 }) as { count: number }).count >= 3, "latencies of all regions");
    t.match((await world.ap.post(`${MONITORS}/${id}/run`, null)).body, { region: "ap-south", state: "up", latency_ms: Number });
    const metrics = await world.us.get("/v1/pages/default/monitor-metrics");
    t.match(metrics.headers["content-type"], /^text\/plain/);
    t.match(metrics.text, new RegExp(`^probe_success\\{monitor="${id}".*region="us-east"\\} 1$`, "m"));
    t.equal((await world.ap.get(`${MONITORS}/${id}/results`, { level: "GLOBAL_QUORUM" })).status, 400);
  });

  await t.test("the page of every region draws what all regions measured, and goes on with it when one is gone", { timeout: 300_000 }, async (t) => {
    const component = created(await world.us.post("/v1/pages/default/components", { name: "Shop", show_latency: true }));
    ok(await world.us.patch(`${MONITORS}/${id}`, { component_id: component }));
    await world.converged(PATIENCE_MS);
    const regionsOf = async (node: ReplicaProcess) => [...(await node.get("/pages/default", { key: null })).text.matchAll(/<li><i class="l\d" aria-hidden="true"><\/i><span dir="ltr">([^<]+)<\/span> [\d.]+ ms<\/li>/g)].map(([, region]) => region);
    for (const node of world.all) await settled(`${node.region} draws three lines`, async () => (await regionsOf(node)).join() === "ap-south,eu-west,us-east", PATIENCE_MS);
    const { body } = ok(await world.eu.get("/pages/default/latency.json", { key: null }));
    t.match(body["data"], ["ap-south", "eu-west", "us-east"].map((region) => ({ monitor: id, region, start: Number, median: Number, count: Number })));
    t.equal((await world.eu.get("/pages/nowhere/latency.json", { key: null })).status, 404);
    await world.ap.kill();
    ok(await world.us.patch(`/v1/pages/default/components/${component}`, { name: "Shop 2" }));
    await settled("the page is rendered anew", async () => (await world.us.get("/pages/default", { key: null })).text.includes("Shop 2"));
    t.same(await regionsOf(world.us), ["ap-south", "eu-west", "us-east"]);
    await world.startOne("ap-south");
    await world.voting(PATIENCE_MS);
    ok(await world.us.patch(`${MONITORS}/${id}`, { component_id: null }));
    await settled("nothing is shown of what is shown no more", async () => (await regionsOf(world.us)).length === 0);
  });

  await t.test("a target goes down while one region is cut off: one incident, everywhere, and it ends", { timeout: 300_000 }, async (t) => {
    world.isolate("ap-south");
    target.isDown = true;
    await verdicts(id, "down", [world.us, world.eu]);
    await settled("the incident is open", async () => (await list(world.eu, INCIDENTS)).length === 1 && (await list(world.us, INCIDENTS)).length === 1, PATIENCE_MS);
    watching.heal();
    await verdicts(id, "down");
    await world.converged(PATIENCE_MS);
    const found = await Promise.all(world.all.map((node) => list(node, INCIDENTS)));
    t.same(found.map((incidents) => incidents.length), [1, 1, 1]);
    t.equal((await monitor(world.ap, id))["open_incident_id"], found[0]?.[0]?.["id"]);
    await settled("the incident says who saw what", async () => /sees it down since .* the status is 503 \(status\)/.test(JSON.stringify(await list(world.ap, INCIDENTS))), PATIENCE_MS);
    target.isDown = false;
    await verdicts(id, "up");
    await settled("the incident is resolved", async () => (await list(world.ap, INCIDENTS)).every(({ status }) => status === "resolved"), PATIENCE_MS);
    const downSeconds = async (node: ReplicaProcess) => (await list(node, `${MONITORS}/${id}/uptime`)).reduce((sum, day) => sum + Number(day["down_seconds"]), 0);
    t.ok((await downSeconds(world.eu)) >= 1, "it counts as down, also where the uptime had been looked at before");
    const [here, there] = await Promise.all([downSeconds(world.eu), downSeconds(world.ap)]);
    t.equal(here, there);
  });

  await t.test("a heartbeat that stops is down, and up again with the next call", { timeout: 300_000 }, async (t) => {
    const beat = ok(await world.eu.post(MONITORS, { name: "Backup", type: "heartbeat", interval_seconds: 5, open_incident: false })).body;
    const url = String(beat["heartbeat_url"]);
    await settled("the address is known", async () => (await world.us.get(url, { key: null })).status === 200);
    await verdicts(String(beat["id"]), "up");
    t.equal((await world.us.get(url.replace(/.$/, "!"), { key: null })).status, 404);
    await verdicts(String(beat["id"]), "down");
    ok(await world.eu.post(url, null, { key: null }));
    await verdicts(String(beat["id"]), "up");
  });

  await t.test("what results a region has kept is there after it was killed", { timeout: 300_000 }, async (t) => {
    const before = (await list(world.us, `${MONITORS}/${id}/results?region=us-east&limit=1000`)).length;
    await world.us.kill();
    await world.startOne("us-east");
    await world.voting(PATIENCE_MS);
    t.ok((await list(world.us, `${MONITORS}/${id}/results?region=us-east&limit=1000`)).length >= before - 1, "but for what was not written yet");
  });
});
