/** Debian's Alertmanager, twice and gossiping, each sending to two of three real regions: one incident, everywhere. */
import { writeFile } from "node:fs/promises";
import path from "node:path";
import t from "tap";
import type { Json, ReplicaProcess } from "../../chaos/replica-process.js";
import { freePort } from "../../chaos/free-ports.js";
import { folderFor, missing, runPart, type RunningPart } from "./real-part.js";
import { list } from "./watch-world.js";
import { COMPONENTS, created, INCIDENTS, ok } from "./workload.js";
import { settled, World } from "./world.js";

const PROGRAM = "prometheus-alertmanager";
const PAGE = "/v1/pages/default";
const PATIENCE_MS = 60_000;

/** Both tell both regions, at once: what one has sent is known to the other too late. */
function configOf(targets: readonly string[], secret: string): string {
  const webhooks = targets.map((target) => `  - url: ${target}${PAGE}/webhooks/alertmanager
    max_alerts: 2
    http_config: { authorization: { credentials: "${secret}" } }`);
  return `route: { receiver: page, group_by: [alertname], group_wait: 1s, group_interval: 2s, repeat_interval: 1h }
receivers:
- name: page
  webhook_configs:
${webhooks.join("\n")}
`;
}

interface Manager {
  readonly base: string;
  readonly part: RunningPart;
}

t.test("two Alertmanagers and two regions make one incident, and it ends with the alerts", { timeout: 300_000, skip: missing(PROGRAM) }, async (t) => {
  const world = await World.start(t);
  const { us, eu, ap, all } = world;
  const api = created(await us.post(COMPONENTS, { name: "API" }));
  const hook = ok(await us.post(`${PAGE}/webhooks`, { name: "Alertmanager", source: "alertmanager", rules: [{ matchers: [{ name: "service", value: "api" }], component_id: api, component_status: "partial_outage" }] })).body;
  await world.converged();

  const folder = await folderFor(t);
  const config = path.join(folder, "alertmanager.yml");
  await writeFile(config, configOf([us.http, eu.http], String(hook["secret"])));
  const gossip = [await freePort(), await freePort()];
  const managers: Manager[] = [];
  for (const [index, port] of gossip.entries()) {
    const http = await freePort();
    const part = runPart(t, PROGRAM, [
      `--config.file=${config}`, `--storage.path=${path.join(folder, `data-${index}`)}`, `--web.listen-address=127.0.0.1:${http}`, `--cluster.listen-address=127.0.0.1:${port}`, "--cluster.peer-timeout=0s",
      "--cluster.advertise-address", `127.0.0.1:${port}`, ...(index === 0 ? [] : [`--cluster.peer=127.0.0.1:${gossip[0]}`]),
    ], folder);
    managers.push({ base: `http://127.0.0.1:${http}`, part });
  }
  const [first, second] = managers;
  if (first === undefined || second === undefined) throw new Error("two are started");
  await settled("the Alertmanagers gossip", async () => {
    const peers = await Promise.all(managers.map(async ({ base }) => ((await (await fetch(`${base}/api/v2/status`)).json()) as { cluster: { peers: unknown[]; status: string } }).cluster));
    return peers.every(({ peers: known, status }) => known.length === 2 && status === "ready");
  }, PATIENCE_MS);

  const startsAt = new Date().toISOString();
  const alert = (alertname: string, labels: Record<string, string>, end?: Date) => ({ labels: { alertname, ...labels }, annotations: {}, startsAt, ...(end === undefined ? {} : { endsAt: end.toISOString() }) });
  const tell = async (told: readonly Manager[], alerts: readonly object[]): Promise<void> => {
    for (const { base } of told) {
      const answer = await fetch(`${base}/api/v2/alerts`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(alerts) });
      if (!answer.ok) throw new Error(`${answer.status} ${await answer.text()}`);
    }
  };
  const incidents = (node: ReplicaProcess) => list(node, INCIDENTS);
  const everywhere = (what: string, holds: (incidents: readonly { [name: string]: Json }[]) => boolean) => settled(what, async () => {
    const found = await Promise.all(all.map(incidents));
    if (found.every(holds)) return true;
    throw new Error(`${JSON.stringify(found.map((some) => some.map(({ status }) => status)))} ${managers.map(({ part }) => part.said().slice(-500)).join("\n")}`);
  }, PATIENCE_MS);
  const accepted = async (node: ReplicaProcess): Promise<number> => Number(/statusmesh_alert_notifications_total\{source="alertmanager",outcome="accepted"\} (\d+)/.exec((await node.get("/metrics")).text)?.[1] ?? 0);

  await tell(managers, ["a", "b", "c"].map((instance) => alert("ApiDown", { service: "api", instance })));
  await everywhere("the incident is open in all regions", (found) => found.length === 1 && found[0]?.["status"] === "investigating");
  await settled("both regions heard of it", async () => (await accepted(us)) >= 1 && (await accepted(eu)) >= 1);
  await world.converged();
  const [here, there, elsewhere] = await Promise.all(all.map(incidents));
  t.strictSame(here, there);
  t.strictSame(here, elsewhere);
  t.match(here, [{ name: "API is failing", components: [{ id: api, status: "partial_outage" }], has_conflicts: false, incident_updates: { length: 1 } }]);
  for (const node of all) t.equal((await node.get(`${COMPONENTS}/${api}`)).body["status"], "partial_outage");
  t.match(await list(ap, `${PAGE}/alert-groups`), [{ firing: 2, truncated_alerts: 1, unmapped: 0, group_labels: { alertname: "ApiDown" }, receiver: "page" }], "one was left out, and that is shown");

  await tell(managers, [alert("Unknown", { service: "elsewhere" })]);
  await settled("what no rule maps is listed", async () => (await list(ap, `${PAGE}/alert-groups?unmapped=true`)).length === 1, PATIENCE_MS);

  await first.part.stop();
  await tell([second], ["a", "b", "c"].map((instance) => alert("ApiDown", { service: "api", instance }, new Date())));
  await everywhere("the incident is over in all regions", (found) => found.length === 1 && found[0]?.["status"] === "resolved");
  await world.converged();
  for (const node of all) t.equal((await node.get(`${COMPONENTS}/${api}`)).body["status"], "operational");
  t.equal((await incidents(ap)).length, 1);
});

t.test("a region that is away when an alert begins hears of it when it is back, since what it cannot take is sent again", { timeout: 300_000, skip: missing(PROGRAM) }, async (t) => {
  const world = await World.start(t);
  const { us } = world;
  const api = created(await us.post(COMPONENTS, { name: "API" }));
  const hook = ok(await us.post(`${PAGE}/webhooks`, { name: "Alertmanager", source: "alertmanager", rules: [{ matchers: [{ name: "alertname", value: "ApiDown" }], component_id: api }] })).body;
  const folder = await folderFor(t);
  const config = path.join(folder, "alertmanager.yml");
  const port = new URL(us.http).port;
  await writeFile(config, configOf([us.http], String(hook["secret"])).replace("group_interval: 2s", "group_interval: 60s"));
  const http = await freePort();
  runPart(t, PROGRAM, [`--config.file=${config}`, `--storage.path=${folder}/data`, `--web.listen-address=127.0.0.1:${http}`, "--cluster.listen-address="], folder);
  await settled("Alertmanager is ready", async () => (await fetch(`http://127.0.0.1:${http}/-/ready`)).ok, PATIENCE_MS);
  await us.kill();
  await fetch(`http://127.0.0.1:${http}/api/v2/alerts`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify([{ labels: { alertname: "ApiDown" } }]) });
  await settled("Alertmanager could not send", async () => /alertmanager_notifications_failed_total\{[^}]*integration="webhook"[^}]*\} [1-9]|alertmanager_notification_requests_failed_total\{[^}]*integration="webhook"[^}]*\} [1-9]/.test(await (await fetch(`http://127.0.0.1:${http}/metrics`)).text()), PATIENCE_MS);
  await world.writeConfig("us-east", { http: `127.0.0.1:${port}` });
  await world.startOne("us-east");
  await settled("the incident is open", async () => (await list(us, INCIDENTS)).length === 1, PATIENCE_MS);
  t.match(await list(us, INCIDENTS), [{ status: "investigating", components: [{ id: api }] }]);
});
