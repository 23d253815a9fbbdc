import t from "tap";
import { created, ok } from "./workload.js";
import { settled } from "./world.js";
import { list, Target, WatchWorld } from "./watch-world.js";
import type { ReplicaProcess } from "../../chaos/replica-process.js";
import { watchLimits } from "../../src/core/limits.js";

const MONITORS = "/v1/pages/default/monitors";
const INCIDENTS = "/v1/pages/default/incidents";
const PATIENCE_MS = 90_000;

t.test("three regions that are cut apart watch a target", { timeout: 600_000 }, async (t) => {
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

  await t.test("a region that stood still ends no outage with what it thought before", { timeout: 300_000 }, async (t) => {
    const own = created(await world.us.post(MONITORS, { name: "Two", type: "http", target: target.url, interval_seconds: 5, retries: 0, timeout_ms: 2_000, regions: ["us-east", "ap-south"] }));
    await verdicts(own, "up");
    await settled("both regions have looked", async () => Object.values(await opinions(world.us, own)).join() === "up,up", PATIENCE_MS);
    const of = async (node: ReplicaProcess) => (await list(node, INCIDENTS)).filter(({ name }) => name === "Two is down");
    // Before anything was cut: a region that has just come back is not counted yet, and would leave the verdict to the other alone.
    const stoppedAtMs = performance.now();
    world.ap.signal("SIGSTOP");
    t.teardown(() => world.ap.signal("SIGCONT"));
    target.isDown = true;
    await verdicts(own, "down", [world.us]);
    await settled("it is told of", async () => (await of(world.us)).length === 1, PATIENCE_MS);
    t.ok(performance.now() - stoppedAtMs > watchLimits.opinionAgesOutMs, "its opinion had to age out first");
    world.ap.signal("SIGCONT");
    await settled("it sees it too", async () => (await opinions(world.us, own))["ap-south"] === "down", PATIENCE_MS);
    for (const node of world.all) await settled(`${node.region} has one incident that goes on`, async () => (await of(node)).map(({ status }) => status).join() === "investigating", PATIENCE_MS);
    const updates = (await of(world.us))[0]?.["incident_updates"] as unknown as readonly { readonly body: string }[];
    t.notOk(updates.some(({ body }) => body.includes("up again")), JSON.stringify(updates));
    target.isDown = false;
    await verdicts(own, "up");
    for (const node of world.all) t.equal((await of(node)).length, 1);
    // It would open incidents of its own in what follows.
    t.equal((await world.us.delete(`${MONITORS}/${own}`)).status, 204);
    await world.converged(PATIENCE_MS);
  });

  await t.test("a region whose uplink is cut calls nothing down", { timeout: 300_000 }, async (t) => {
    const before = (await list(world.us, INCIDENTS)).length;
    watching.cutUplink("ap-south");
    target.unreachableFrom.add("ap-south");
    await settled("the region does not trust itself", async () => (await opinions(world.ap, id))["ap-south"] === "unknown", PATIENCE_MS);
    await settled("the others are past the age of its opinions", async () => (await world.ap.cluster()).peers.every(({ state }) => state === "down"), PATIENCE_MS);
    const asked = target.asked.get("ap-south") ?? 0;
    await settled("it goes on trying", () => (target.asked.get("ap-south") ?? 0) > asked + 2, PATIENCE_MS);
    t.equal((await list(world.ap, INCIDENTS)).length, before, "nothing was opened by the region that is cut off");
    t.equal((await list(world.us, INCIDENTS)).length, before, "nor by the others");
    t.equal((await monitor(world.us, id))["verdict"], "up");
    target.unreachableFrom.clear();
    watching.heal();
    await verdicts(id, "up");
    await settled("it trusts itself again", async () => (await opinions(world.us, id))["ap-south"] === "up", PATIENCE_MS);
    t.equal((await list(world.us, INCIDENTS)).length, before);
  });

  await t.test("both sides of a cut see a target down: one incident after healing", { timeout: 300_000 }, async (t) => {
    const before = (await list(world.us, INCIDENTS)).length;
    world.isolate("ap-south");
    target.isDown = true;
    await verdicts(id, "down");
    for (const node of [world.us, world.ap]) await settled(`${node.region} opens one`, async () => (await list(node, INCIDENTS)).length === before + 1, PATIENCE_MS);
    watching.heal();
    await world.converged(PATIENCE_MS);
    const found = await Promise.all(world.all.map(async (node) => (await list(node, INCIDENTS)).filter(({ status }) => status !== "resolved")));
    t.same(found.map((incidents) => incidents.length), [1, 1, 1]);
    t.equal(found[0]?.[0]?.["has_conflicts"], false);
    target.isDown = false;
    await verdicts(id, "up");
  });
});
