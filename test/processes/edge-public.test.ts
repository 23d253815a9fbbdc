/** What a real edge has for the public of its own: latencies that it asks regions for, and a static copy of its pages on its own disk. */
import { readFile } from "node:fs/promises";
import path from "node:path";
import { test } from "tap";
import { worldWithEdge } from "./edge-world.js";
import { Target } from "./watch-world.js";
import { settled } from "./world.js";

const PATIENCE_MS = 90_000;
const PAGE = "/v1/pages/default";

test("an edge draws the latencies that regions measured, and keeps a static copy that outlives all regions and itself", { timeout: 300_000 }, async (t) => {
  const { world, edge } = await worldWithEdge(t, { settings: { allowPrivateTargets: true } });
  const target = await Target.listen(t);
  const component = await world.us.post(`${PAGE}/components`, { name: "Watched", show_latency: true });
  t.equal(component.status, 201, component.text);
  const monitor = await world.us.post(`${PAGE}/monitors`, { name: "Front", type: "http", target: target.url, interval_seconds: 5 });
  t.equal(monitor.status, 201, monitor.text);
  const one = `${PAGE}/monitors/${String(monitor.body["id"])}`;
  for (const node of world.all) {
    await settled(`${node.region} has results of all regions`, async () => {
      const counts = await Promise.all(world.all.map(async ({ region }) => ((await node.get(`${one}/results?region=${region}`)).body["data"] as unknown[]).length));
      return counts.every((count) => count > 0);
    }, PATIENCE_MS);
  }
  // From now on it is shown: whoever looks asks at once.
  t.equal((await world.us.patch(one, { component_id: String(component.body["id"]) })).status, 200);
  const drawn = (html: string) => [...html.matchAll(/<li><i class="l\d" aria-hidden="true"><\/i><span dir="ltr">([^<]+)<\/span> [\d.]+ ms<\/li>/g)].map(([, region]) => region).join();
  const page = async () => (await edge.get("/pages/default", { key: null })).text;
  await settled("the edge draws a line for each region", async () => drawn(await page()) === "ap-south,eu-west,us-east", PATIENCE_MS);
  const told = (await edge.get("/pages/default/latency.json", { key: null })).body["data"] as { readonly region: string; readonly monitor: string }[];
  t.same([...new Set(told.map(({ region }) => region))].sort(), ["ap-south", "eu-west", "us-east"], "an edge tells them, too");
  t.ok(told.every((hour) => hour.monitor === monitor.body["id"]));

  const opened = await edge.post(`${PAGE}/incidents`, { name: "Told through the edge", body: "We know of it." });
  t.equal(opened.status, 201, opened.text);
  const copy = path.join(edge.data, "last-known", "default");
  const copied = (name: string) => readFile(path.join(copy, name), "utf8").catch(() => "");
  await settled("its own copy has it", async () => (await copied("index.html")).includes("Told through the edge"), PATIENCE_MS);
  t.match(await copied("index.html"), /class="latency"/, "with the latencies");
  t.match(await copied("index.html"), /data-region="an-edge"/, "it is the copy of what this edge showed");
  t.match(await copied(path.join("incidents", String(opened.body["id"]), "index.html")), "We know of it.");

  await world.killAll();
  await settled("the edge knows that it is alone", async () => (await page()).includes('class="notice"'), PATIENCE_MS);
  t.equal(drawn(await page()), "ap-south,eu-west,us-east", "what was said last is drawn on");
  await edge.kill();
  t.match(await copied("index.html"), "Told through the edge", "the copy needs nobody");
});
