/** A component's days in real regions of which one has a wrong clock: equal everywhere after a cut, and where a store was rebuilt. */
import { rm } from "node:fs/promises";
import { test } from "tap";
import { settled, World } from "./world.js";

const COMPONENTS = "/v1/pages/default/components";
const SKEW_MS = 50_000;

test("after a cut every region tells the same of a component's days, also where a clock is wrong or a store was lost", { timeout: 300_000 }, async (t) => {
  const world = await World.start(t, { settings: { lastKnown: "off" }, environment: (region) => (region === "eu-west" ? { STATUSMESH_TEST_CLOCK_OFFSET_MS: String(SKEW_MS) } : {}) });
  const one = `${COMPONENTS}/${String((await world.us.post(COMPONENTS, { name: "API" })).body["id"])}`;
  await world.converged();
  const set = async (node: typeof world.us, status: string) => t.equal((await node.patch(one, { status })).status, 200, `${node.region}: ${status}`);
  const seconds = async (node: typeof world.us) => (await node.get(`${one}/uptime`)).body["seconds"] as Readonly<Record<string, number>>;
  /** Until a status has lasted a second where it was set. */
  const lasts = (node: typeof world.us, status: string) => settled(`${status} lasts in ${node.region}`, async () => ((await seconds(node))[status] ?? 0) >= 1);
  await set(world.us, "degraded_performance");
  await lasts(world.us, "degraded_performance");
  world.isolate("us-east");
  await settled("us-east is alone", async () => (await world.us.cluster()).degradation.level === 4);
  await Promise.all([set(world.us, "major_outage"), set(world.eu, "partial_outage")]);
  await lasts(world.us, "major_outage");
  await lasts(world.eu, "partial_outage");
  await set(world.eu, "degraded_performance");
  await set(world.us, "partial_outage");
  world.heal();
  await world.converged();
  await set(world.eu, "operational");
  await world.converged();

  /** All that is over: what lasts grows by the clock of each. */
  const told = async (node: typeof world.us) => JSON.stringify({ ...(await seconds(node)), operational: 0, no_data: 0 });
  const equal = async (when: string) => {
    const all = await Promise.all(world.all.map(told));
    t.same(new Set(all), new Set([all[0]]), when);
    return all[0] ?? "";
  };
  const before = await equal("after the cut");
  const { major_outage: down = 0, partial_outage: partly = 0 } = JSON.parse(before) as Record<string, number>;
  t.ok(down > 0 && partly > SKEW_MS / 1_000 - 20, before);
  await world.ap.kill();
  await rm(world.dataFolder("ap-south"), { recursive: true, force: true });
  await world.startOne("ap-south");
  await world.voting(60_000);
  await world.converged(60_000);
  t.equal(await equal("with a store that was lost"), before);
  await world.us.stop();
  await world.startOne("us-east", "--rebuild");
  await world.voting(60_000);
  await world.converged(60_000);
  t.equal(await equal("with one that was set aside"), before);
});
