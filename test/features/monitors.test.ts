import t from "tap";
import { keyOf } from "../../src/core/document.js";
import { at, featureServer, type Json } from "./feature-server.js";

const BASE = "/v1/pages/default/monitors";
const pointers = (body: Json): unknown[] => at(body, "errors").map((error) => error["pointer"]);

t.test("a monitor is created with defaults, changed, listed and deleted", async (t) => {
  const { call, done } = await featureServer(t);
  const created = await call("POST", BASE, { name: "API", type: "http", target: "https://example.com/health" });
  t.equal(created.status, 201);
  const id = created.body["id"];
  t.equal(created.headers["location"], `${BASE}/${id}`);
  t.match(created.body, {
    page_id: "default", name: "API", type: "http", target: "https://example.com/health", interval_seconds: 30, timeout_ms: 10_000, retries: 1, retry_delay_ms: 0,
    regions: null, quorum: null, confirm_seconds: 0, recover_seconds: 0, degraded_above_ms: null, component_id: null, component_status: "major_outage", open_incident: true,
    incident_name: null, incident_body: null, depends_on: null, paused: false, maintenance_windows: [], options: {}, verdict: "unknown", verdict_since: null, open_incident_id: null, heartbeat_url: null, has_conflicts: false,
  });
  t.match(await call("PATCH", `${BASE}/${id}`, { interval_seconds: 5, regions: ["us-east"], quorum: 1, paused: true }), { status: 200, body: { interval_seconds: 5, regions: ["us-east"], quorum: 1, paused: true } });
  t.match(await call("PATCH", `${BASE}/${id}`, { interval_seconds: null, regions: null }), { status: 200, body: { interval_seconds: 30, regions: null } });
  const window = { starts_at: "2026-01-01T02:00:00+02:00", ends_at: "2026-01-01T01:00:00Z" };
  t.match(await call("PATCH", `${BASE}/${id}`, { maintenance_windows: [window] }), { status: 200, body: { maintenance_windows: [{ starts_at: "2026-01-01T00:00:00.000Z", ends_at: "2026-01-01T01:00:00.000Z" }] } });
  t.match(await call("PATCH", `${BASE}/${id}`, { maintenance_windows: null }), { status: 200, body: { maintenance_windows: [] } });
  t.same(at(await done("GET", "/monitors"), "data").map((monitor) => monitor["id"]), [id]);
  t.equal((await call("DELETE", `${BASE}/${id}`)).status, 204);
  t.equal((await call("GET", `${BASE}/${id}`)).status, 404);
  t.equal((await call("GET", `${BASE}/${id}/history`)).status, 200);
});

t.test("what does not fit a type is refused with its place", async (t) => {
  const { call } = await featureServer(t);
  const refused = async (body: Record<string, unknown>, ...expected: string[]): Promise<void> => {
    const answer = await call("POST", BASE, { name: "m", ...body });
    t.equal(answer.status, 422, JSON.stringify(body));
    t.same(pointers(answer.body), expected, JSON.stringify(answer.body));
  };
  await refused({ type: "http" }, "#/target");
  await refused({ type: "http", target: "ftp://example.com" }, "#/target");
  await refused({ type: "http", target: "https://user:secret@example.com" }, "#/target");
  await refused({ type: "tcp", target: "example.com" }, "#/target");
  await refused({ type: "tcp", target: "example.com:70000" }, "#/target");
  await refused({ type: "heartbeat", target: "example.com" }, "#/target");
  await refused({ type: "dns", target: "not a name" }, "#/target");
  await refused({ type: "dns", target: "example.com", options: { record: "ANY" } }, "#/options/record");
  await refused({ type: "icmp", target: "example.com", options: { method: "GET" } }, "#/options/method");
  await refused({ type: "http", target: "https://example.com", options: { expected_status: ["2xx", "9xx"] } }, "#/options/expected_status/1");
  await refused({ type: "http", target: "https://example.com", options: { expected_status: "299-200" } }, "#/options/expected_status");
  await refused({ type: "http", target: "https://example.com", options: { body_matches: "(?=ahead)" } }, "#/options/body_matches");
  await refused({ type: "http", target: "https://example.com", options: { json_path: "$[" } }, "#/options/json_path");
  await refused({ type: "http", target: "https://example.com", options: { headers: { Host: "other" } } }, "#/options/headers/Host");
  await refused({ type: "http", target: "https://example.com", interval_seconds: 4 }, "#/interval_seconds");
  await refused({ type: "http", target: "https://example.com", intervall_seconds: 5 }, "#/intervall_seconds");
  await refused({ type: "http", target: "https://example.com", verdict: "up" }, "#/verdict");
  await refused({ type: "http", target: "https://example.com", regions: ["us-east", "atlantis"] }, "#/regions/1");
  await refused({ type: "http", target: "https://example.com", regions: ["us-east"], quorum: 2 }, "#/quorum");
  await refused({ type: "http", target: "https://example.com", component_id: "nothing" }, "#/component_id");
  await refused({ type: "http", target: "https://example.com", incident_name: "{{monitor}} or {{ region }}" }, "#/incident_name");
  await refused({ type: "http", target: "https://example.com", incident_body: "{{}}" }, "#/incident_body");
  await refused({ type: "http", target: "https://example.com", incident_body: "" }, "#/incident_body");
  await refused({ type: "http", target: "https://example.com", depends_on: "nothing" }, "#/depends_on");
  await refused({ type: "http", target: "https://example.com", maintenance_windows: [{ starts_at: "2026-01-01T00:00:00Z", ends_at: "2026-01-01T00:00:00Z" }] }, "#/maintenance_windows/0/ends_at");
});

t.test("a patch is held against the whole monitor", async (t) => {
  const { call, done } = await featureServer(t);
  const id = (await done("POST", "/monitors", { name: "m", type: "http", target: "https://example.com", options: { method: "HEAD" } }))["id"];
  t.same(pointers((await call("PATCH", `${BASE}/${id}`, { type: "tcp" })).body), ["#/target", "#/options/method"]);
  t.same(pointers((await call("PATCH", `${BASE}/${id}`, { depends_on: id })).body), ["#/depends_on"]);
  const other = (await done("POST", "/monitors", { name: "n", type: "tcp", target: "[::1]:80", depends_on: id }))["id"];
  t.same(pointers((await call("PATCH", `${BASE}/${id}`, { depends_on: other })).body), ["#/depends_on"]);
  t.match(await call("PATCH", `${BASE}/${id}`, { type: "tcp", target: "example.com:80", options: { send: "x" } }), { status: 200, body: { type: "tcp", options: { send: "x" } } });
});

t.test("viewers read monitors and only administrators write them", async (t) => {
  const { call, addKey } = await featureServer(t);
  const as = async (role: "viewer" | "editor" | "admin") => ({ authorization: `Bearer ${await addKey(`k-${role}`, role, "default")}` });
  const [viewer, editor, admin] = [await as("viewer"), await as("editor"), await as("admin")];
  const body = { name: "m", type: "tcp", target: "example.com:80" };
  t.equal((await call("POST", BASE, body, viewer)).status, 403);
  t.equal((await call("POST", BASE, body, editor)).status, 403);
  const created = await call("POST", BASE, body, admin);
  t.equal(created.status, 201);
  t.equal((await call("GET", `${BASE}/${created.body["id"]}`, undefined, viewer)).status, 200);
  t.equal((await call("DELETE", `${BASE}/${created.body["id"]}`, undefined, editor)).status, 403);
});

t.test("a heartbeat's address is shown to those who may write, and nowhere else", async (t) => {
  const { call, addKey } = await featureServer(t);
  const created = await call("POST", BASE, { name: "backup", type: "heartbeat", interval_seconds: 60 }, { "idempotency-key": "once" });
  const url = String(created.body["heartbeat_url"]);
  t.match(url, /^\/heartbeats\/default\/[^/]+\/[\w-]{32}$/);
  const secret = url.slice(url.lastIndexOf("/") + 1);
  const one = `${BASE}/${created.body["id"]}`;
  const replayed = await call("POST", BASE, { name: "backup", type: "heartbeat", interval_seconds: 60 }, { "idempotency-key": "once" });
  t.equal(replayed.headers["idempotent-replayed"], "true");
  t.notMatch(JSON.stringify(replayed.body), secret);
  t.equal((await call("GET", one)).body["heartbeat_url"], url);
  t.equal((await call("GET", BASE)).body["data"]?.[0]?.["heartbeat_url"], url);
  const viewer = { authorization: `Bearer ${await addKey("reader", "viewer", "default")}` };
  t.equal((await call("GET", one, undefined, viewer)).body["heartbeat_url"], null);
  t.equal((await call("GET", BASE, undefined, viewer)).body["data"]?.[0]?.["heartbeat_url"], null);
});

t.test("a reference whose goal is deleted is shown as none, under another ETag", async (t) => {
  const { call, done } = await featureServer(t);
  const component = (await done("POST", "/components", { name: "API" }))["id"];
  const monitor = await call("POST", BASE, { name: "m", type: "icmp", target: "example.com", component_id: component });
  const one = `${BASE}/${monitor.body["id"]}`;
  t.equal(monitor.body["component_id"], component);
  const before = (await call("GET", one)).headers["etag"];
  await call("DELETE", `/v1/pages/default/components/${component}`);
  const after = await call("GET", one);
  t.equal(after.body["component_id"], null);
  t.not(after.headers["etag"], before);
});

t.test("concurrent names of a monitor are a conflict of it and of its page", async (t) => {
  const { call, done, data } = await featureServer(t);
  const id = String((await done("POST", "/monitors", { name: "one", type: "icmp", target: "example.com" }))["id"]);
  const key = keyOf("default", "monitor", id);
  const seen = data.seen(key);
  for (const name of ["two", "three"]) data.write(key, [{ op: "set", section: "", field: "name", value: name, was: "one" }], "someone", seen);
  t.equal((await call("GET", `${BASE}/${id}`)).body["has_conflicts"], true);
  t.match(at(await done("GET", "/conflicts"), "data"), [{ type: "monitor", id, field: "name" }]);
  t.equal((await call("POST", `${BASE}/${id}/conflicts/name/resolve`, { value: "two" })).status, 200);
  t.match((await call("GET", `${BASE}/${id}`)).body, { name: "two", has_conflicts: false });
});
