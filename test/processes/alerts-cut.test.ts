/** Alerts that two sides of a cut take in, and groups that are looked at again by themselves. */
import t from "tap";
import type { ReplicaProcess } from "../../chaos/replica-process.js";
import { alertmanagerBody, START, type SentAlert } from "../features/alert-senders.js";
import { list } from "./watch-world.js";
import { COMPONENTS, created, INCIDENTS, ok } from "./workload.js";
import { settled, World } from "./world.js";

const PAGE = "/v1/pages/default";
const PATIENCE_MS = 60_000;

t.test("one side of a cut hears the end, the other still the beginning; and a rule is added later", { timeout: 300_000 }, async (t) => {
  const world = await World.start(t);
  const { us, ap, all } = world;
  const api = created(await us.post(COMPONENTS, { name: "API" }));
  const hook = created(await us.post(`${PAGE}/webhooks`, { name: "w", source: "alertmanager", rules: [{ matchers: [{ name: "alertname", value: "ApiDown" }], component_id: api }] }));
  await world.converged();
  const send = async (node: ReplicaProcess, ...alerts: SentAlert[]): Promise<unknown> =>
    ok(await node.post(`${PAGE}/webhooks/alertmanager`, JSON.parse(JSON.stringify(alertmanagerBody(alerts))))).body["data"];

  world.isolate("ap-south");
  t.match(await send(us, {}), [{ outcome: "firing", mapping: "mapped" }]);
  t.match(await send(us, { status: "resolved" }), [{ outcome: "resolved" }]);
  t.match(await send(ap, {}), [{ outcome: "firing" }]);
  t.match(await list(us, INCIDENTS), [{ status: "resolved" }]);
  t.match(await list(ap, INCIDENTS), [{ status: "investigating" }], "each side goes by what it heard");
  world.heal();
  await settled("one incident, and it is over, in all regions", async () => {
    const found = await Promise.all(all.map((node) => list(node, INCIDENTS)));
    if (found.every((incidents) => incidents.length === 1 && incidents[0]?.["status"] === "resolved")) return true;
    throw new Error(JSON.stringify(found.map((incidents) => incidents.map(({ status }) => status))));
  }, PATIENCE_MS);
  await settled("the component is free, in all regions", async () => (await Promise.all(all.map((node) => node.get(`${COMPONENTS}/${api}`)))).every(({ body }) => body["status"] === "operational" && body["has_conflicts"] === false), PATIENCE_MS);

  t.match(await send(us, { name: "ShopDown", start: START + 3_600_000 }), [{ outcome: "firing", mapping: "unmapped" }]);
  t.equal((await list(us, INCIDENTS)).length, 1);
  ok(await us.patch(`${PAGE}/webhooks/${hook}`, { rules: [{ matchers: [{ name: "alertname", operator: "=~", value: ".*Down" }], component_id: api }] }));
  await settled("what the new rule maps has an incident, in all regions", async () => (await Promise.all(all.map((node) => list(node, INCIDENTS)))).every((incidents) => incidents.length === 2 && incidents[0]?.["status"] === "investigating"), PATIENCE_MS);
  await send(ap, { name: "ShopDown", status: "resolved", start: START + 3_600_000, end: START + 3_700_000 });
  await world.converged();
  t.match((await list(us, INCIDENTS)).map(({ status }) => status), ["resolved", "resolved"]);
});
