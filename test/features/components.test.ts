import t from "tap";
import { at, featureServer } from "./feature-server.js";

const BASE = "/v1/pages/default";

t.test("a component is created with defaults, after the last, changed and deleted", async (t) => {
  const { call, done } = await featureServer(t);
  const created = await call("POST", `${BASE}/components`, { name: "API" });
  t.equal(created.status, 201);
  const id = created.body["id"];
  t.equal(created.headers["location"], `${BASE}/components/${id}`);
  t.match(created.body, { page_id: "default", name: "API", description: null, group_id: null, position: 1, status: "operational", show_uptime: true, only_show_if_degraded: false, has_conflicts: false, updated_region: "us-east", updated_hlc: /^[0-9a-f]{32}$/ });
  t.equal((await done("POST", "/components", { name: "Web" }))["position"], 2);
  t.equal((await done("POST", "/components", { name: "First", position: -5 }))["position"], -5);
  t.same(at(await done("GET", "/components"), "data").map((component) => component["name"]), ["First", "API", "Web"]);
  t.match(await call("PATCH", `${BASE}/components/${id}`, { status: "major_outage", show_uptime: false }), { status: 200, body: { status: "major_outage", show_uptime: false } });
  t.match(await call("PATCH", `${BASE}/components/${id}`, { show_uptime: null, status: null }), { status: 200, body: { status: "operational", show_uptime: true } });
  t.equal((await call("DELETE", `${BASE}/components/${id}`)).status, 204);
  t.equal((await call("GET", `${BASE}/components/${id}`)).status, 404);
  t.equal((await call("PATCH", `${BASE}/components/${id}`, { name: "x" })).status, 404);
  t.equal((await call("GET", `${BASE}/components/${id}/history`)).status, 200);
});

t.test("a group that is deleted leaves its components without one, under new ETags", async (t) => {
  const { call, done } = await featureServer(t);
  const group = await call("POST", `${BASE}/component-groups`, { name: "Core", collapsed: true });
  t.match(group, { status: 201, body: { name: "Core", collapsed: true, position: 1, description: null } });
  const component = await call("POST", `${BASE}/components`, { name: "API", group_id: group.body["id"] });
  t.equal(component.body["group_id"], group.body["id"]);
  t.match(await call("PATCH", `${BASE}/component-groups/${group.body["id"]}`, { name: "Heart", collapsed: null }), { status: 200, body: { name: "Heart", collapsed: false } });
  t.equal((await call("DELETE", `${BASE}/component-groups/${group.body["id"]}`)).status, 204);
  const read = await call("GET", `${BASE}/components/${component.body["id"]}`);
  t.equal(read.body["group_id"], null);
  t.not(read.headers["etag"], component.headers["etag"]);
  t.equal(at(await done("GET", "/component-groups"), "data").length, 0);
});

t.test("what is wrong with a component is said where it is wrong", async (t) => {
  const { call } = await featureServer(t);
  const cases: [unknown, string][] = [
    [{}, "#/name"], [{ name: "  " }, "#/name"], [{ name: null }, "#/name"], [{ name: "x", group_id: "none" }, "#/group_id"], [{ name: "x", status: "broken" }, "#/status"],
    [{ name: "x", position: 1.5 }, "#/position"], [{ name: "x", updated_hlc: "0" }, "#/updated_hlc"],
  ];
  for (const [body, pointer] of cases) {
    const reply = await call("POST", `${BASE}/components`, body);
    t.equal(reply.status, 422, JSON.stringify(body));
    t.equal(reply.body["errors"]?.[0]?.["pointer"], pointer);
  }
  t.equal((await call("GET", `${BASE}/components?limit=0`)).status, 400);
  t.equal((await call("GET", `${BASE}/components?limt=5`)).status, 400);
  t.equal((await call("GET", `${BASE}/components?cursor=nonsense`)).status, 400);
  t.equal((await call("POST", "/v1/pages/none/components", { name: "x" })).status, 404);
});

t.test("viewers read, editors write, admins delete", async (t) => {
  const server = await featureServer(t);
  const as = async (role: "viewer" | "editor" | "admin") => ({ authorization: `Bearer ${await server.addKey(role, role, "default")}` });
  const [viewer, editor, admin] = [await as("viewer"), await as("editor"), await as("admin")];
  t.equal((await server.call("POST", `${BASE}/components`, { name: "x" }, viewer)).status, 403);
  const created = await server.call("POST", `${BASE}/components`, { name: "x" }, editor);
  t.equal(created.status, 201);
  const path = `${BASE}/components/${created.body["id"]}`;
  t.equal((await server.call("GET", path, undefined, viewer)).status, 200);
  t.equal((await server.call("DELETE", path, undefined, editor)).status, 403);
  t.equal((await server.call("DELETE", path, undefined, admin)).status, 204);
});

t.test("concurrent statuses of a component show the worst until someone decides", async (t) => {
  const { call, data, done } = await featureServer(t);
  const id = at(await done("POST", "/components", { name: "API" }), "id");
  const seen = data.seen(`default/component/${id}`);
  await done("PATCH", `/components/${id}`, { status: "major_outage" });
  data.write(`default/component/${id}`, [{ op: "set", section: "", field: "status", value: "degraded_performance", was: "operational" }], "k", seen);
  t.match(await done("GET", `/components/${id}`), { status: "major_outage", has_conflicts: true });
  t.match((await done("GET", `/components/${id}/conflicts`))["data"], [{ field: "status", rule: "worst", shown: "major_outage" }]);
  t.equal((await call("POST", `${BASE}/components/${id}/conflicts/status/resolve`, { value: "sideways" })).status, 422);
  t.match(await call("POST", `${BASE}/components/${id}/conflicts/status/resolve`, { value: "operational" }), { status: 200, body: { status: "operational", has_conflicts: false } });
});
