import t from "tap";
import { at, featureServer } from "./feature-server.js";

const BASE = "/v1/pages/default";

t.test("an incident goes from its first update to its postmortem", async (t) => {
  const { call, done } = await featureServer(t);
  const api = await done("POST", "/components", { name: "API" });
  const created = await call("POST", `${BASE}/incidents`, { name: "Slow", body: "Looking", components: { [at(api, "id")]: "partial_outage" }, labels: ["eu", "dns"] });
  t.equal(created.status, 201);
  const incident = created.body;
  const path = `/incidents/${incident["id"]}`;
  t.equal(created.headers["location"], `${BASE}${path}`);
  t.match(created.headers["etag"], /^".+"$/);
  t.match(incident, { page_id: "default", status: "investigating", impact: "major", impact_override: null, monitoring_at: null, resolved_at: null, labels: ["dns", "eu"], postmortem: null, has_conflicts: false, updated_region: "us-east" });
  t.equal(incident["started_at"], incident["created_at"]);
  t.equal(incident["shortlink"], `/pages/default/incidents/${incident["id"]}`);
  t.same(incident["components"], [{ id: api["id"], name: "API", status: "partial_outage" }]);
  t.match(incident["incident_updates"], [{ incident_id: incident["id"], status: "investigating", body: "Looking", region: "us-east", affected_components: [{ id: api["id"], name: "API", old_status: "operational", new_status: "partial_outage" }] }]);
  t.equal((await done("GET", `/components/${api["id"]}`))["status"], "partial_outage");

  const update = await call("POST", `${BASE}${path}/updates`, { body: "Watching", status: "monitoring", display_at: "2026-01-01T10:00:00+02:00" });
  t.equal(update.status, 201);
  t.match(update.body, { status: "monitoring", body: "Watching", display_at: "2026-01-01T08:00:00.000Z", incident_id: incident["id"], affected_components: [] });
  t.equal(update.headers["location"], `${BASE}${path}/updates/${update.body["id"]}`);
  t.equal((await call("GET", `${BASE}${path}/updates/${update.body["id"]}`)).headers["etag"], update.headers["etag"]);

  const resolved = await done("PATCH", path, { status: "resolved" });
  t.match(resolved, { status: "resolved", impact: "major", resolved_at: String, monitoring_at: update.body["created_at"] });
  t.match(at(resolved, "incident_updates")[0], { status: "resolved", body: "", affected_components: [{ old_status: "partial_outage", new_status: "operational" }] });
  t.equal((await done("GET", `/components/${api["id"]}`))["status"], "operational");

  t.equal((await call("GET", `${BASE}${path}/postmortem`)).status, 404);
  t.equal((await call("POST", `${BASE}${path}/postmortem/publish`)).status, 404);
  const put = await call("PUT", `${BASE}${path}/postmortem`, { body: "Why" });
  t.equal(put.status, 200);
  t.match(put.body, { body: "Why", status: "draft", published_at: null });
  const published = await call("POST", `${BASE}${path}/postmortem/publish`);
  t.equal(published.status, 200);
  t.match(published.body, { status: "published", published_at: String });
  t.match(await done("GET", path), { status: "postmortem", resolved_at: resolved["resolved_at"], postmortem: { body: "Why" } });
  t.equal((await call("DELETE", `${BASE}${path}/postmortem`)).status, 204);
  t.match(await done("GET", path), { status: "resolved", postmortem: null });
});

t.test("components return to the worst that other open incidents and running maintenances say", async (t) => {
  const { done } = await featureServer(t);
  const id = at(await done("POST", "/components", { name: "API" }), "id");
  const status = async () => (await done("GET", `/components/${id}`))["status"];
  const one = await done("POST", "/incidents", { name: "One", components: { [id]: "major_outage" } });
  const two = await done("POST", "/incidents", { name: "Two", components: { [id]: "degraded_performance" } });
  t.equal(await status(), "degraded_performance", "the latest statement stands");
  const window = { scheduled_for: "2026-01-01T00:00:00Z", scheduled_until: "2026-01-01T01:00:00Z" };
  const maintenance = await done("POST", "/maintenances", { name: "M", ...window, status: "in_progress", components: { [id]: "under_maintenance" } });
  await done("POST", `/incidents/${two["id"]}/updates`, { body: "Over", status: "resolved" });
  t.equal(await status(), "major_outage");
  t.equal((await done("GET", `/incidents/${two["id"]}`))["impact"], "minor", "what another incident says is no impact of this one");
  await done("DELETE", `/incidents/${one["id"]}`);
  t.equal(await status(), "under_maintenance");
  await done("POST", `/maintenances/${maintenance["id"]}/updates`, { body: "Not all well", status: "completed", components: { [id]: "partial_outage" } });
  t.equal(await status(), "partial_outage", "unless the update says otherwise");
});

t.test("taking a component out of an incident restores it", async (t) => {
  const { done } = await featureServer(t);
  const id = at(await done("POST", "/components", { name: "API" }), "id");
  const incident = await done("POST", "/incidents", { name: "One", components: { [id]: "major_outage" } });
  const patched = await done("PATCH", `/incidents/${incident["id"]}`, { components: { [id]: null } });
  t.same(patched["components"], []);
  t.equal(patched["impact"], "critical");
  t.equal((await done("GET", `/components/${id}`))["status"], "operational");
});

t.test("an open incident shows the new name of a component, under a new ETag", async (t) => {
  const { call, done } = await featureServer(t);
  const id = at(await done("POST", "/components", { name: "API" }), "id");
  const incident = await call("POST", `${BASE}/incidents`, { name: "One", components: { [id]: "major_outage" } });
  await done("PATCH", `/components/${id}`, { name: "Gateway" });
  const read = await call("GET", `${BASE}/incidents/${incident.body["id"]}`);
  t.match(read.body["components"], [{ name: "Gateway" }]);
  t.not(read.headers["etag"], incident.headers["etag"]);
});

t.test("a PATCH of status, body or components appends an update, others do not, an empty one changes nothing", async (t) => {
  const { call, done } = await featureServer(t);
  const created = await call("POST", `${BASE}/incidents`, { name: "One" });
  const path = `${BASE}/incidents/${created.body["id"]}`;
  const count = async () => at((await call("GET", path)).body, "incident_updates").length;
  t.equal((await call("PATCH", path, {})).headers["etag"], created.headers["etag"]);
  t.match(await call("PATCH", path, { name: "Two", impact_override: "critical", labels: ["a"] }), { status: 200, body: { name: "Two", impact: "critical", labels: ["a"] } });
  t.equal(await count(), 1);
  await call("PATCH", path, { body: "More" });
  t.equal(await count(), 2);
  t.match(await call("PATCH", path, { impact_override: null, labels: null }), { status: 200, body: { impact: "none", impact_override: null, labels: [] } });
  t.equal((await call("PATCH", path, { name: null })).status, 422);
  t.equal((await call("PATCH", path, { name: "Three" }, { "if-match": created.headers["etag"] as string })).status, 412);
  const update = at(at(await done("GET", `/incidents/${created.body["id"]}/updates`), "data"), 0);
  t.match(await call("PATCH", `${path}/updates/${update["id"]}`, { body: "Better", status: "resolved" }), { status: 200, body: { body: "Better", status: "resolved" } });
  t.equal((await call("GET", path)).body["status"], "investigating", "correcting an update does not change the incident");
  t.equal((await call("DELETE", `${path}/updates/${update["id"]}`)).status, 204);
  t.equal((await call("GET", `${path}/updates/${update["id"]}`)).status, 404);
  t.equal(await count(), 1);
});

t.test("what is wrong with an incident is said where it is wrong", async (t) => {
  const { call } = await featureServer(t);
  const cases: [unknown, string][] = [
    [{}, "#/name"], [{ name: "" }, "#/name"], [{ name: "x".repeat(256) }, "#/name"], [{ name: "x", impcat: "none" }, "#/impcat"], [{ name: "x", id: "y" }, "#/id"],
    [{ name: "x", status: "done" }, "#/status"], [{ name: "x", components: { nope: "operational" } }, "#/components/nope"],
    [{ name: "x", components: { "a/b": "operational" } }, "#/components/a~1b"], [{ name: "x", labels: [""] }, "#/labels/0"], [{ name: "x", body: 1 }, "#/body"],
  ];
  for (const [body, pointer] of cases) {
    const reply = await call("POST", `${BASE}/incidents`, body);
    t.equal(reply.status, 422, JSON.stringify(body));
    t.equal(reply.body["errors"]?.[0]?.["pointer"], pointer);
  }
  for (const path of ["/v1/pages/none/incidents", `${BASE}/incidents/none`, "/v1/pages/UPPER/incidents", `${BASE}/incidents/a%2Fb`, `${BASE}/incidents/none/updates`, `${BASE}/incidents/none/conflicts`]) {
    t.equal((await call("GET", path)).status, 404, path);
  }
  t.equal((await call("POST", `${BASE}/incidents/none/updates`, { body: "x" })).status, 404);
});

t.test("lists go newest first, page by page", async (t) => {
  const { done } = await featureServer(t);
  const ids: string[] = [];
  for (let i = 0; i < 5; i++) ids.unshift(at(await done("POST", "/incidents", { name: `n${i}` }), "id"));
  const incident = ids[0] ?? "";
  for (let i = 0; i < 4; i++) await done("POST", `/incidents/${incident}/updates`, { body: `b${i}` });
  const walk = async (path: string) => {
    const found: string[] = [];
    for (let cursor: string | null = ""; cursor !== null;) {
      const page = await done("GET", `${path}?limit=2${cursor === "" ? "" : `&cursor=${cursor}`}`);
      found.push(...at(page, "data").map((item) => at(item, "id")));
      cursor = page["next_cursor"] as string | null;
    }
    return found;
  };
  t.same((await walk("/incidents")).toSorted(), ids.toSorted());
  const all = at(await done("GET", `/incidents/${incident}`), "incident_updates");
  t.same(await walk(`/incidents/${incident}/updates`), all.map((update) => at(update, "id")));
  t.same(all.map((update) => update["body"]), ["b3", "b2", "b1", "b0", ""]);
});

t.test("an idempotent POST gives one incident, with one first update", async (t) => {
  const { call, done } = await featureServer(t);
  const headers = { "idempotency-key": "k1" };
  const first = await call("POST", `${BASE}/incidents`, { name: "One", body: "x" }, headers);
  const second = await call("POST", `${BASE}/incidents`, { name: "One", body: "x" }, headers);
  t.same(second.body, first.body);
  t.equal(second.headers["idempotent-replayed"], "true");
  t.equal(at(await done("GET", "/incidents"), "data").length, 1);
});

t.test("a conflict is listed, resolved with a value that fits, and gone", async (t) => {
  const { call, data, done } = await featureServer(t);
  const id = at(await done("POST", "/incidents", { name: "One" }), "id");
  const key = `default/incident/${id}`;
  const seen = data.seen(key);
  await done("PATCH", `/incidents/${id}`, { name: "Two" });
  data.write(key, [{ op: "set", section: "", field: "name", value: "Three", was: "One" }], "k9", seen);
  t.equal((await done("GET", `/incidents/${id}`))["has_conflicts"], true);
  const listed = await done("GET", `/incidents/${id}/conflicts`);
  t.match(listed, { data: [{ field: "name", rule: "siblings", shown: "Three", values: [{ value: "Three", actor: "k9", region: "us-east" }, { value: "Two" }] }], next_cursor: null });
  t.match((await done("GET", "/conflicts"))["data"], [{ type: "incident", id, field: "name" }]);
  const resolve = (field: string, body: unknown) => call("POST", `${BASE}/incidents/${id}/conflicts/${field}/resolve`, body);
  t.match(await resolve("name", { value: "" }), { status: 422, body: { errors: [{ pointer: "#/value" }] } });
  t.equal((await resolve("name", {})).status, 422);
  t.equal((await resolve("status", { value: "resolved" })).status, 404);
  t.match(await resolve("name", { value: "Four" }), { status: 200, body: { id, name: "Four", has_conflicts: false } });
  t.equal((await resolve("name", { value: "Four" })).status, 404);
  t.same((await done("GET", "/conflicts"))["data"], []);
});

t.test("history tells every change, newest first, also after deletion", async (t) => {
  const { call, done } = await featureServer(t);
  const id = at(await done("POST", "/incidents", { name: "One" }), "id");
  await done("PATCH", `/incidents/${id}`, { name: "Two" });
  t.match(at(await done("GET", `/incidents/${id}/history`), "data")[0], { field: "name", from: "One", to: "Two", actor: "root" });
  t.equal((await call("DELETE", `${BASE}/incidents/${id}`)).status, 204);
  t.equal((await call("GET", `${BASE}/incidents/${id}`)).status, 404);
  t.equal((await call("DELETE", `${BASE}/incidents/${id}`)).status, 404);
  t.equal((await call("GET", `${BASE}/incidents/${id}/history`)).status, 200);
});
