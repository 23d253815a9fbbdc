/** How a page's configuration reaches an edge, and what is told of who holds it. */
import { test } from "tap";
import { EDGE, worldWithEdge } from "./edge-world.js";
import { settled } from "./world.js";

const PAGE = "/v1/pages/default";
/** The goal, beyond the one-way time of the network, which is nothing here. */
const GOAL_MS = 300;
const CHANGES = 7;

const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;

test("a change of a page's branding is pushed to an edge at once, and its propagation is told", async (t) => {
  // With heartbeats so far apart, what is not pushed when it is durable comes far too late.
  const { world, edge } = await worldWithEdge(t, { settings: { limits: { heartbeatMs: 2_500, suspectAfterMs: 6_000, downAfterMs: 12_000 } } });
  await settled("the edge serves the page", async () => (await edge.get("/pages/default", { key: null })).status === 200, 30_000);
  const shown: number[] = [];
  const told: number[] = [];
  for (let n = 0; n < CHANGES; n++) {
    const colour = `#10${(0x1000 + n).toString(16)}`;
    const patched = await world.us.patch(PAGE, { theme: { brand_color: colour } });
    t.equal(patched.status, 200, patched.text);
    const answeredAt = performance.now();
    const since = (): number => performance.now() - answeredAt;
    await settled("the edge's page has the colour", async () => (await edge.get("/pages/default", { key: null })).text.includes(colour), 30_000);
    shown.push(since());
    await settled("us-east tells that everybody has it", async () => (await world.us.get(`${PAGE}/propagation?token=${encodeURIComponent(patched.token)}`)).body["everywhere"] === true, 30_000);
    told.push(since());
  }
  t.comment(`shown after ${shown.map(Math.round).join(", ")} ms, told after ${told.map(Math.round).join(", ")} ms`);
  t.ok(median(shown) < GOAL_MS, `half of the changes were there within ${GOAL_MS} ms`);
  t.ok(median(told) < GOAL_MS, "and were told to be");

  await edge.kill();
  const { token } = await world.us.patch(PAGE, { description: "while the edge is away" });
  const path = `${PAGE}/propagation?token=${encodeURIComponent(token)}`;
  await settled("all regions have it", async () => ((await world.us.get(path)).body["replicas"] as { role: string; holds: boolean }[]).every(({ role, holds }) => role === "edge" || holds), 30_000);
  const { body } = await world.us.get(path);
  t.match(body, { page_id: "default", everywhere: false });
  t.match((body["replicas"] as { replica: string }[]).find(({ replica }) => replica === EDGE), { region: "an-edge", role: "edge", holds: false });
  await edge.start();
  await settled("the edge has it too", async () => (await world.us.get(path)).body["everywhere"] === true, 60_000);
});
