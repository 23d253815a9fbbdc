import t from "tap";
import { World } from "./contract-world.js";

const world = await World.start();
t.teardown(() => world.stop());
const owner = world.client();
const page = "/v1/pages/default";
const body = (status: "firing" | "resolved", version = "4") => ({
  version, groupKey: "{}:{}", truncatedAlerts: 0, status, receiver: "r", groupLabels: {}, commonLabels: {}, commonAnnotations: {}, externalURL: "http://alertmanager.example.com",
  alerts: [{ status, labels: { alertname: "Down" }, annotations: {}, startsAt: "2026-01-01T00:00:00.123456789Z", endsAt: status === "firing" ? "0001-01-01T00:00:00Z" : "2026-01-01T01:00:00Z", generatorURL: "", fingerprint: "0011223344556677" }],
});

t.test("a webhook is a resource like any other, but for its secret", async (t) => {
  const component = (await owner.post(`${page}/components`, { name: "c" })).body.id;
  const made = await owner.post(`${page}/webhooks`, { name: "w", source: "alertmanager", rules: [{ matchers: [{ name: "alertname", value: "Down" }], component_id: component }] }, { "idempotency-key": "once" });
  t.equal(made.status, 201);
  t.match(made.body.secret, /^smw_/);
  const again = await owner.post(`${page}/webhooks`, { name: "w", source: "alertmanager", rules: [{ matchers: [{ name: "alertname", value: "Down" }], component_id: component }] }, { "idempotency-key": "once" });
  t.equal(again.body.id, made.body.id);
  t.equal(again.body.secret, undefined, "a replay never repeats a secret");
  const url = `${page}/webhooks/${made.body.id}`;
  const read = await owner.get(url);
  t.equal(read.headers["etag"], made.headers["etag"]);
  t.equal((await owner.patch(url, { name: "x" }, { "if-match": read.headers["etag"] ?? "" })).status, 200);
  t.equal((await owner.patch(url, { name: "y" }, { "if-match": read.headers["etag"] ?? "" })).status, 412);
  t.equal((await owner.get(url, { "consistency-level": "LOCAL_QUORUM" })).status, 200);

  const sender = owner.as(made.body.secret);
  const heard = await sender.post(`${page}/webhooks/alertmanager`, body("firing"));
  t.match(heard, { status: 200, body: { data: [{ fingerprint: "0011223344556677", outcome: "firing", mapping: "mapped" }], next_cursor: null } });
  const incidents = await owner.get(`${page}/incidents`, { "session-token": heard.headers["session-token"] ?? "" });
  t.match(incidents.body.data, [{ name: "c is failing", status: "investigating" }]);
  const [group] = (await owner.get(`${page}/alert-groups`)).body.data;
  t.match(group, { source: "alertmanager", firing: 1, unmapped: 0, incident_id: incidents.body.data[0].id, alerts: [{ starts_at: "2026-01-01T00:00:00.123Z", component_id: component }] });
  const one = await owner.get(`${page}/alert-groups/${group.id}`);
  t.same(one.body, group);
  t.equal((await owner.get(`${page}/alert-groups/${group.id}`, { "if-none-match": one.headers["etag"] ?? "" })).status, 304);
  t.match((await sender.post(`${page}/webhooks/alertmanager`, body("resolved"))).body.data, [{ outcome: "resolved" }]);
  t.match((await owner.get(`${page}/incidents`)).body.data, [{ status: "resolved" }]);
  t.equal((await sender.post(`${page}/webhooks/grafana`, body("firing"))).status, 401);
  t.equal((await sender.get(`${page}/webhooks`)).status, 401, "the secret of a webhook is no key");
});

t.test("what is malformed is 4xx, what is too much is 503, and a large group is taken", async (t) => {
  const url = `${page}/webhooks/alertmanager`;
  t.equal((await owner.raw("POST", url, "{", { "content-type": "application/json" })).status, 400);
  t.equal((await owner.raw("POST", url, "", { "content-type": "application/json" })).status, 400);
  t.equal((await owner.post(url, body("firing", "5"))).status, 422);
  const [alert] = body("firing").alerts;
  const many = { ...body("firing"), groupKey: "large", alerts: Array.from({ length: 1_500 }, (_, index) => ({ ...alert, fingerprint: String(index), annotations: { description: "x".repeat(1_000) } })) };
  t.ok(JSON.stringify(many).length > 1024 * 1024, "more than other requests may have");
  t.equal((await owner.post(url, many)).body.data.length, 1_500);
  t.match((await owner.get(`${page}/alert-groups?unmapped=false`)).body.data.find(({ group_key: key }: { group_key: string }) => key === "large"), { firing: 1_500 });
  const limited = await World.start({ settings: { rateLimit: { perKeyPerSecond: 5, perAddressPerSecond: 40 } } });
  t.teardown(() => limited.stop());
  const client = limited.client();
  const statuses = new Set<number>();
  for (let i = 0; i < 60; i++) statuses.add((await client.post(url, body("firing"))).status);
  t.same([...statuses].sort(), [200, 503]);
});
