/** Alerts of other monitors over HTTP: who may send them, what they become, and what is refused. */
import { createHmac } from "node:crypto";
import t, { type Test } from "tap";
import { PromMetrics } from "../../src/api/metrics.js";
import { keyOf } from "../../src/core/document.js";
import { Fault } from "../../src/core/errors.js";
import { createIncident } from "../../src/features/incidents/commands.js";
import { settleCommand } from "../../src/features/alerts/alert-effects.js";
import { receiveRoutes } from "../../src/features/alerts/receive-routes.js";
import { routes } from "../../src/features/alerts/routes.js";
import type { ApiConfig } from "../../src/api/api-config.js";
import { testClock } from "../api/fake-data-plane.js";
import { alertmanagerBody, grafanaBody, START, type SentAlert } from "./alert-senders.js";
import { at, featureServer, type Json, type Reply } from "./feature-server.js";

const WEBHOOKS = "/v1/pages/default/webhooks";
const incidents = { open: createIncident };
const MATCHERS = [{ name: "alertname", value: "ApiDown" }];

async function alertServer(t: Pick<Test, "teardown">, config: Partial<ApiConfig> = {}) {
  const metrics = new PromMetrics({ process: false });
  const server = await featureServer(t, [routes, receiveRoutes({ clock: testClock, metrics, incidents })], config);
  const api = (await server.done("POST", "/components", { name: "API" }))["id"] as string;
  const shop = (await server.done("POST", "/components", { name: "Shop" }))["id"] as string;
  return {
    ...server, api, shop, metrics: () => metrics.registry.metrics(),
    webhook: (source: string, rules: unknown[] = [{ matchers: MATCHERS, component_id: api }]) => server.done("POST", "/webhooks", { name: "w", source, rules }),
    send: (alerts: readonly SentAlert[], options?: Parameters<typeof alertmanagerBody>[1]) => server.call("POST", `${WEBHOOKS}/alertmanager`, alertmanagerBody(alerts, options)),
    incidents: async () => [...at(await server.done("GET", "/incidents"), "data")],
    groups: async (query = "") => [...at(await server.done("GET", `/alert-groups${query}`), "data")],
    status: async (component: string) => (await server.done("GET", `/components/${component}`))["status"],
  };
}

const outcomes = (reply: Reply): string[] => at(reply.body, "data").map((item) => `${item["outcome"]} ${item["mapping"]}`);
const pointers = (body: Json): unknown[] => at(body, "errors").map((error) => error["pointer"]);

t.test("a webhook is created, changed, listed and deleted; its secret is shown once", async (t) => {
  const { api, call, webhook, addKey, done } = await alertServer(t);
  const made = await webhook("alertmanager");
  t.match(made, { name: "w", source: "alertmanager", url: `${WEBHOOKS}/alertmanager`, secret: /^smw_[a-z0-9]{26}_.{32}$/, rules: [{ matchers: MATCHERS, component_id: api }] });
  const url = `${WEBHOOKS}/${made["id"]}`;
  const read = await call("GET", url);
  t.notOk("secret" in read.body);
  t.notMatch(JSON.stringify((await call("GET", WEBHOOKS)).body), String(made["secret"]));
  t.match(await call("PATCH", url, { name: "x", rules: [] }), { status: 200, body: { name: "x", rules: [], source: "alertmanager" } });
  const rotated = await call("POST", `${url}/rotate`);
  t.equal(rotated.status, 200);
  t.match(rotated.body["secret"], /^smw_/);
  t.not(rotated.body["secret"], made["secret"]);
  const viewer = { authorization: `Bearer ${await addKey("v", "viewer", "default")}` };
  const editor = { authorization: `Bearer ${await addKey("e", "editor", "default")}` };
  t.equal((await call("GET", url, undefined, viewer)).status, 200);
  t.equal((await call("PATCH", url, {}, editor)).status, 403);
  t.equal((await call("POST", `${WEBHOOKS}/alertmanager`, alertmanagerBody([]), viewer)).status, 403);
  t.equal((await call("POST", `${WEBHOOKS}/alertmanager`, alertmanagerBody([]), editor)).status, 200);
  await done("DELETE", `/webhooks/${made["id"]}`);
  t.equal((await call("GET", url)).status, 404);
});

t.test("rules are refused with their place", async (t) => {
  const { api, call } = await alertServer(t);
  const refused = async (rules: unknown, ...expected: string[]): Promise<void> => {
    const answer = await call("POST", WEBHOOKS, { name: "w", source: "grafana", rules });
    t.equal(answer.status, 422);
    t.same(pointers(answer.body), expected);
  };
  await refused([{ matchers: MATCHERS, component_id: "none" }], "#/rules/0/component_id");
  await refused([{ matchers: [{ name: "a", operator: "=~", value: "(" }], component_id: api }], "#/rules/0/matchers/0/value");
  await refused([{ matchers: [{ name: "a", operator: "~", value: "x" }], component_id: api }], "#/rules/0/matchers/0/operator");
  await refused([{ matchers: [], component_id: api }], "#/rules/0/matchers");
  await refused([{ matchers: MATCHERS, component_id: api, component_status: "down" }], "#/rules/0/component_status");
  await refused([{ matchers: MATCHERS }], "#/rules/0/component_id");
  t.same(pointers((await call("POST", WEBHOOKS, { name: "w", source: "nagios" })).body), ["#/source"]);
});

t.test("an alert opens an incident, the same again changes nothing, and its end resolves it", async (t) => {
  const server = await alertServer(t);
  await server.webhook("alertmanager");
  t.same(outcomes(await server.send([{}])), ["firing mapped"]);
  t.match(await server.incidents(), [{ name: "API is failing", status: "investigating", impact: "critical", components: [{ id: server.api, status: "major_outage" }], incident_updates: [{ body: "API is failing." }] }]);
  t.equal(await server.status(server.api), "major_outage");
  const token = server.data.token();
  t.same(outcomes(await server.send([{}])), ["duplicate mapped"], "the other one of a pair");
  t.equal(server.data.token(), token, "nothing was written");
  t.same(outcomes(await server.send([{ status: "resolved" }])), ["resolved mapped"]);
  t.match(await server.incidents(), [{ status: "resolved" }]);
  t.equal(await server.status(server.api), "operational");
  const after = server.data.token();
  t.same(outcomes(await server.send([{ status: "resolved" }])), ["duplicate mapped"]);
  t.same(outcomes(await server.send([{}])), ["stale mapped"], "a firing that comes late");
  t.equal(server.data.token(), after);
  t.same(outcomes(await server.send([{ start: START + 3_600_000 }])), ["firing mapped"], "the next outage");
  t.match((await server.incidents()).map(({ status }) => status), ["investigating", "resolved"]);
});

t.test("only the status says whether an alert has ended: year 1, an end to come and a past end all fire", async (t) => {
  const server = await alertServer(t);
  await server.webhook("alertmanager");
  await server.send([{ name: "a" }, { name: "b", end: Date.now() + 600_000 }, { name: "c", end: START + 1 }]);
  const [group] = await server.groups();
  t.match(group, { firing: 3, alerts: [{ ends_at: null }, { ends_at: null }, { ends_at: null }] });
  t.same(outcomes(await server.send([{ name: "d", status: "resolved", end: -62_135_596_800_000 }])), ["resolved unmapped"], "resolved, and no end told: it ended when that was heard");
});

t.test("an end that comes before its beginning is kept, so that the beginning opens nothing", async (t) => {
  const server = await alertServer(t);
  await server.webhook("alertmanager");
  t.same(outcomes(await server.send([{ status: "resolved" }])), ["resolved mapped"]);
  t.same(outcomes(await server.send([{}])), ["stale mapped"]);
  t.same(await server.incidents(), []);
});

t.test("an older end does not end what began after it", async (t) => {
  const server = await alertServer(t);
  await server.webhook("alertmanager");
  await server.send([{ start: START }]);
  await server.send([{ start: START + 600_000 }]);
  t.same(outcomes(await server.send([{ status: "resolved", start: START, end: START + 60_000 }])), ["stale mapped"]);
  t.match(await server.incidents(), [{ status: "investigating" }]);
  t.same(outcomes(await server.send([{ status: "resolved", start: START + 590_000, end: START + 700_000 }])), ["resolved mapped"], "told with the start that the other Prometheus saw");
  t.match(await server.incidents(), [{ status: "resolved" }]);
});

t.test("alerts of a group share an incident whose components follow them", async (t) => {
  const server = await alertServer(t);
  const rule = (value: string, component: string, status: string) => ({ matchers: [{ name: "severity", operator: "=~", value }], component_id: component, component_status: status });
  await server.webhook("alertmanager", [rule("warn.*", server.api, "degraded_performance"), rule("page", server.api, "major_outage"), rule("shop", server.shop, "partial_outage")]);
  const warning = { name: "a", labels: { severity: "warning" } };
  const paging = { name: "b", labels: { severity: "page" }, start: START + 1_000 };
  const shop = { name: "c", labels: { severity: "shop" }, start: START + 2_000 };
  await server.send([warning]);
  t.equal(await server.status(server.api), "degraded_performance");
  await server.send([warning, paging, shop]);
  const [incident] = await server.incidents();
  t.match(incident, { impact: "critical", components: { length: 2 } });
  t.same(String(incident?.["incident_updates"]?.[0]?.["body"]).replace(/\.$/, "").split("; ").sort(), ["API: major outage", "Shop: partial outage"]);
  t.equal(await server.status(server.api), "major_outage");
  t.equal(await server.status(server.shop), "partial_outage");
  await server.send([warning, { ...paging, status: "resolved" }, { ...shop, status: "resolved" }]);
  t.equal(await server.status(server.api), "degraded_performance");
  t.equal(await server.status(server.shop), "operational");
  await server.send([warning, { ...paging, start: START + 900_000 }]);
  t.equal(await server.status(server.api), "major_outage", "what was so once may be so again");
  await server.send([warning, { ...paging, start: START + 900_000, status: "resolved" }]);
  t.equal(await server.status(server.api), "degraded_performance");
  await server.send([{ ...warning, status: "resolved", end: START + 999_000 }]);
  t.equal((await server.incidents()).length, 1);
  t.match(await server.incidents(), [{ status: "resolved" }]);
  t.equal(await server.status(server.api), "operational");
});

t.test("what no rule maps is taken in, counted and listed, and a rule that is added takes effect", async (t) => {
  const server = await alertServer(t);
  const made = await server.webhook("alertmanager", [{ matchers: [{ name: "alertname", value: "Watchdog" }], component_id: null }]);
  t.same(outcomes(await server.send([{}, { name: "Watchdog" }])), ["firing unmapped", "firing ignored"]);
  t.same(await server.incidents(), []);
  const [group] = await server.groups("?unmapped=true");
  t.match(group, { source: "alertmanager", unmapped: 1, firing: 2, incident_id: null, receiver: "status page", group_labels: { alertname: "ApiDown" } });
  t.match(group?.["alerts"]?.find((alert: Json) => alert["labels"]?.["alertname"] === "ApiDown"), { component_id: null, is_ignored: false, status: "firing" });
  t.same(await server.groups("?unmapped=false"), []);
  t.match(await server.metrics(), /statusmesh_alerts_total\{source="alertmanager",outcome="firing",mapping="unmapped"\} 1/);
  const one = `/v1/pages/default/alert-groups/${group?.["id"]}`;
  const before = (await server.call("GET", one)).headers["etag"];
  await server.done("PATCH", `/webhooks/${made["id"]}`, { rules: [{ matchers: MATCHERS, component_id: server.api }] });
  const read = await server.call("GET", one);
  t.match(read, { status: 200, body: { unmapped: 1 } }, "the watchdog is not known any more");
  t.not(read.headers["etag"], before);
  await server.data.commit(settleCommand(keyOf("default", "alert-group", String(group?.["id"])), incidents), { level: "LOCAL", actor: "system" });
  t.match(await server.incidents(), [{ name: "API is failing" }]);
  t.match(await server.groups(), [{ incident_id: (await server.incidents())[0]?.["id"] }]);
  await server.done("PATCH", `/webhooks/${made["id"]}`, { rules: [] });
  await server.data.commit(settleCommand(keyOf("default", "alert-group", String(group?.["id"])), incidents), { level: "LOCAL", actor: "system" });
  t.match(await server.incidents(), [{ status: "resolved" }], "and a rule that is taken away");
  await server.done("PATCH", `/webhooks/${made["id"]}`, { rules: [{ matchers: MATCHERS, component_id: server.api }] });
  await server.data.commit(settleCommand(keyOf("default", "alert-group", String(group?.["id"])), incidents), { level: "LOCAL", actor: "system" });
  t.match((await server.incidents()).map(({ status }) => status).sort(), ["investigating", "resolved"], "and one that comes back while the alert fires");
});

t.test("what the sender left out is shown", async (t) => {
  const server = await alertServer(t);
  await server.webhook("alertmanager");
  await server.send([{}], { truncatedAlerts: 7 });
  t.match(await server.groups(), [{ truncated_alerts: 7 }]);
  t.match(await server.metrics(), /statusmesh_alerts_truncated_total\{source="alertmanager"\} 7/);
  await server.send([{}]);
  t.match(await server.groups(), [{ truncated_alerts: 0 }]);
});

t.test("what an alert says is published only where the rule says so", async (t) => {
  const server = await alertServer(t);
  await server.webhook("alertmanager", [
    { matchers: [{ name: "team", value: "open" }], component_id: server.api, show_annotations: true }, { matchers: [{ name: "team", value: "named" }], component_id: server.api, incident_name: "Trouble" },
    { matchers: MATCHERS, component_id: server.api },
  ]);
  const annotations = { summary: "db-17.internal is down", description: "No route to it." };
  for (const team of ["open", "named", "closed"]) await server.send([{ labels: { team }, annotations }], { groupKey: team });
  t.match((await server.incidents()).map((incident) => `${incident["name"]} ${incident["incident_updates"]?.[0]?.["body"]}`).sort(), [
    "API is failing API is failing.", "Trouble API is failing.", "db-17.internal is down No route to it.",
  ]);
});

t.test("a webhook's secret is good for its page and source, as a bearer token", async (t) => {
  const server = await alertServer(t);
  const { secret } = (await server.webhook("alertmanager")) as unknown as { secret: string };
  const send = (path: string, authorization: string) => server.call("POST", path, alertmanagerBody([{}]), { authorization });
  t.equal((await send(`${WEBHOOKS}/alertmanager`, `Bearer ${secret}`)).status, 200);
  for (const [path, header] of [
    [`${WEBHOOKS}/grafana`, `Bearer ${secret}`], ["/v1/pages/other/webhooks/alertmanager", `Bearer ${secret}`], [`${WEBHOOKS}/alertmanager`, `Bearer ${secret}x`], [`${WEBHOOKS}/alertmanager`, "Bearer smw_x_y"],
    [`${WEBHOOKS}/alertmanager`, `Basic ${secret}`], ["/v1/pages/default/components", `Bearer ${secret}`],
  ] as const) {
    const answer = await send(path, header);
    t.equal(answer.status, 401, `${path} ${header.slice(0, 8)}`);
    t.match(answer.headers["www-authenticate"], /^Bearer/);
  }
  await server.call("POST", `${WEBHOOKS}/${secret.split("_")[1]}/rotate`);
  t.equal((await send(`${WEBHOOKS}/alertmanager`, `Bearer ${secret}`)).status, 401, "not after it was replaced");
});

t.test("Grafana signs its body, with the time or without", async (t) => {
  const server = await alertServer(t);
  const { secret } = (await server.webhook("grafana")) as unknown as { secret: string };
  const text = JSON.stringify(grafanaBody([{}]), null, 1);
  const send = async (payload: string, headers: Record<string, string>) => {
    const answer = await server.app.inject({ method: "POST", url: `${WEBHOOKS}/grafana`, payload, headers: { "content-type": "application/json", ...headers } });
    return answer.statusCode;
  };
  const sign = (signed: string, key = secret): string => createHmac("sha256", key).update(signed).digest("hex");
  const seconds = Math.floor(Date.now() / 1_000);
  const timed = (time: number | string, signed = String(time)) => ({ "x-grafana-alerting-signature": sign(`${signed}:${text}`), "x-grafana-alerting-timestamp": String(time) });
  t.equal(await send(text, { "x-grafana-alerting-signature": sign(text) }), 200);
  t.equal(await send(text, timed(seconds)), 200);
  t.match(await server.incidents(), [{ status: "investigating" }]);
  t.equal(await send(text, { "x-grafana-alerting-signature": sign(text, "another") }), 401);
  t.equal(await send(text.replace("ApiDown", "ApiUp"), { "x-grafana-alerting-signature": sign(text) }), 401, "a body that was changed");
  t.equal(await send(text, timed(seconds - 3_600)), 401, "an old one, sent again");
  t.equal(await send(text, timed("soon")), 401);
  t.equal(await send(text, timed(seconds, String(seconds - 10))), 401, "another time than was signed");
  t.equal(await send("{\"x\":1}", { "x-grafana-alerting-signature": sign(text) }), 401, "who it is comes before what it says");
  t.equal(await send(text, {}), 401);
});

t.test("a body of another form is refused for good, with its place, and counted", async (t) => {
  const server = await alertServer(t);
  const body = alertmanagerBody([{}]);
  const refused = async (change: object, ...expected: string[]): Promise<void> => {
    const answer = await server.call("POST", `${WEBHOOKS}/alertmanager`, { ...body, ...change });
    t.equal(answer.status, 422);
    t.same(pointers(answer.body), expected);
  };
  await refused({ version: "3" }, "#/version");
  await refused({ groupKey: undefined }, "#/groupKey");
  await refused({ alerts: [{ ...body.alerts[0], status: "on" }] }, "#/alerts/0/status");
  await refused({ alerts: [{ ...body.alerts[0], startsAt: "yesterday, or so, it was" }] }, "#/alerts/0/startsAt");
  await refused({ alerts: [{ ...body.alerts[0], startsAt: "2026-02-30T25:00:00Z" }] }, "#/alerts/0/startsAt");
  await refused({ alerts: [{ ...body.alerts[0], labels: { a: 1 } }] }, "#/alerts/0/labels/a");
  t.equal((await server.app.inject({ method: "POST", url: `${WEBHOOKS}/alertmanager`, payload: "{", headers: { "content-type": "application/json", authorization: "Bearer root-key-of-the-tests" } })).statusCode, 400);
  t.equal((await server.call("POST", "/v1/pages/nowhere/webhooks/alertmanager", body)).status, 404);
  t.match(await server.metrics(), /statusmesh_alert_notifications_total\{source="alertmanager",outcome="malformed"\} 7/);
});

t.test("what may pass later is 503 with Retry-After: overload, a disk that takes nothing, a limit that is passed", async (t) => {
  const server = await alertServer(t, { requestsPerKey: 12 });
  await server.webhook("alertmanager");
  for (const code of ["overloaded", "read-only"] as const) {
    server.data.refuse = (options) => ("actor" in options && options.actor === "system" ? new Fault(code, "Not now.") : undefined);
    t.match(await server.send([{}]), { status: 503, headers: { "retry-after": /^\d+$/ } }, code);
  }
  server.data.refuse = () => undefined;
  const statuses = new Set<number>();
  for (let i = 0; i < 30; i++) {
    const answer = await server.send([{}]);
    statuses.add(answer.status);
    if (answer.status === 503) t.match(answer.headers, { "retry-after": "1" });
  }
  t.same([...statuses].sort(), [200, 503]);
  t.match(await server.metrics(), /outcome="deferred"\} [1-9]/);
  t.equal((await server.call("GET", WEBHOOKS)).status, 429, "other routes say it as ever");
});

t.test("a notification is one write, a large one a few", async (t) => {
  const server = await alertServer(t);
  await server.webhook("alertmanager");
  const many = (count: number) => Array.from({ length: count }, (_, index) => ({ name: "ApiDown", fingerprint: `f${index}`, labels: { instance: `host-${index}` } }));
  const writes = () => server.data.committed.filter(({ command }) => command.name === "alerts.receive").length;
  t.equal(outcomes(await server.send(many(300))).length, 300);
  t.equal(writes(), 1);
  t.match(await server.groups(), [{ firing: 300 }]);
  t.equal(outcomes(await server.send(many(900), { groupKey: "large" })).length, 900);
  t.equal(writes(), 4);
  t.equal((await server.incidents()).length, 2);
});

t.test("any other monitor has a form of its own", async (t) => {
  const server = await alertServer(t);
  await server.webhook("generic", [{ matchers: [{ name: "check", value: "api" }], component_id: server.api }]);
  const send = (alert: object, more: object = {}) => server.call("POST", `${WEBHOOKS}/generic`, { group_key: "api", alerts: [{ fingerprint: "api", starts_at: "2026-01-01T12:00:00+02:00", labels: { check: "api" }, ...alert }], ...more });
  t.same(outcomes(await send({ status: "firing" })), ["firing mapped"]);
  t.match(await server.groups(), [{ source: "generic", alerts: [{ starts_at: "2026-01-01T10:00:00.000Z" }] }]);
  t.same(outcomes(await send({ status: "resolved", ends_at: null })), ["resolved mapped"]);
  t.match(await server.incidents(), [{ status: "resolved" }]);
  t.same(pointers((await send({ status: "firing" }, { colour: "red" })).body), ["#/colour"]);
});
