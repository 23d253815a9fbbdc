import t from "tap";
import { slugOf, mergePatch } from "../../src/features/pages/page.js";
import { propagationOf } from "../../src/features/pages/propagation.js";
import type { ClusterStatus, PeerStatus } from "../../src/store/data-plane.js";
import { at, featureServer } from "./feature-server.js";

t.test("a page is created with a slug, changed, read and deleted with all under it", async (t) => {
  const { call } = await featureServer(t);
  const created = await call("POST", "/v1/pages", { id: "second", name: "Second", url: "https://status.example.com/", time_zone: "Europe/Berlin", theme: { colors: { brand: "#123" }, dark: true }, custom_domains: ["Status.Example.com"], support_url: "mailto:help@example.com", description: "All" });
  t.equal(created.status, 201);
  t.equal(created.headers["location"], "/v1/pages/second");
  t.match(created.body, { id: "second", page_id: "second", name: "Second", time_zone: "Europe/Berlin", custom_domains: ["status.example.com"], has_conflicts: false });
  const patched = await call("PATCH", "/v1/pages/second", { theme: { colors: { text: "#000" }, dark: null }, description: null });
  t.match(patched, { status: 200, body: { theme: { colors: { brand: "#123", text: "#000" } }, description: null } });
  t.notOk("dark" in at(patched.body, "theme"));
  const incident = await call("POST", "/v1/pages/second/incidents", { name: "x" });
  t.equal(incident.body["shortlink"], `https://status.example.com/incidents/${incident.body["id"]}`);
  t.equal((await call("POST", "/v1/pages", { id: "second", name: "Again" })).status, 409);
  t.equal((await call("DELETE", "/v1/pages/second")).status, 204);
  for (const path of ["", "/incidents", `/incidents/${incident.body["id"]}`, "/components", "/conflicts"]) t.equal((await call("GET", `/v1/pages/second${path}`)).status, 404, path);
  t.equal((await call("POST", "/v1/pages", { id: "second" })).status, 409, "ids are never used again");
});

t.test("a page without an id takes a slug of its name, and another if that is taken", async (t) => {
  const { call } = await featureServer(t);
  t.equal((await call("POST", "/v1/pages", { name: "Größe & Más!" })).body["id"], "grosse-mas");
  t.match((await call("POST", "/v1/pages", { name: "Größe & Más!" })).body["id"], /^grosse-mas-[0-9a-v]{8}$/);
  t.match((await call("POST", "/v1/pages", { name: "状态" })).body["id"], /^page-[0-9a-v]{8}$/);
  t.equal((await call("POST", "/v1/pages", { id: "only-id" })).body["name"], "only-id");
  t.match(slugOf("-".repeat(80) + "x".repeat(80)), /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/);
});

t.test("what a page cannot be is refused", async (t) => {
  const { call } = await featureServer(t);
  const cases: [unknown, string][] = [
    [{}, "#/name"], [{ id: "UPPER" }, "#/id"], [{ id: "-x" }, "#/id"], [{ id: "x", url: "javascript:alert(1)" }, "#/url"], [{ id: "x", time_zone: "Mars/Base" }, "#/time_zone"],
    [{ id: "x", support_url: "ftp://x" }, "#/support_url"], [{ id: "x", theme: { a: "y".repeat(20_000) } }, "#/theme"], [{ id: "x", custom_domains: ["no domain"] }, "#/custom_domains/0"],
    [{ id: "x", conflict_rules: { "component.nmae": "lww" } }, "#/conflict_rules/component.nmae"], [{ id: "x", conflict_rules: { "component.position": "lww" } }, "#/conflict_rules/component.position"],
    [{ id: "x", conflict_rules: { "component.name": "worst" } }, "#/conflict_rules/component.name"], [{ id: "x", conflict_rules: { "component.status": "custom:unknown" } }, "#/conflict_rules/component.status"],
    [{ id: "x", conflict_rules: ["lww"] }, "#/conflict_rules"], [{ id: "x", created_at: "2026-01-01T00:00:00Z" }, "#/created_at"],
  ];
  for (const [body, pointer] of cases) {
    const reply = await call("POST", "/v1/pages", body);
    t.equal(reply.status, 422, JSON.stringify(body).slice(0, 60));
    t.equal(reply.body["errors"]?.[0]?.["pointer"], pointer);
  }
  t.equal((await call("PATCH", "/v1/pages/default", { id: "y" })).status, 422);
  t.equal((await call("PATCH", "/v1/pages/default", { name: null })).status, 422);
});

t.test("a key of one page lists that page alone, and may not touch pages as such", async (t) => {
  const server = await featureServer(t);
  const authorization = `Bearer ${await server.addKey("k1", "admin", "default")}`;
  t.same(at((await server.call("GET", "/v1/pages", undefined, { authorization })).body, "data").map((page) => at(page, "id")), ["default"]);
  t.equal(at((await server.call("GET", "/v1/pages")).body, "data").length, 2);
  t.equal((await server.call("PATCH", "/v1/pages/default", { name: "Mine" }, { authorization })).status, 200);
  t.equal((await server.call("POST", "/v1/pages", { id: "x" }, { authorization })).status, 403);
  t.equal((await server.call("DELETE", "/v1/pages/default", undefined, { authorization })).status, 403);
  t.equal((await server.call("GET", "/v1/pages/other", undefined, { authorization })).status, 403);
  t.equal((await server.call("GET", "/v1/pages/nowhere", undefined, { authorization })).status, 403);
});

t.test("a page's own conflict is resolved under the page", async (t) => {
  const { call, data } = await featureServer(t);
  const seen = data.seen("~/page/default");
  await call("PATCH", "/v1/pages/default", { time_zone: "Asia/Kolkata" });
  data.write("~/page/default", [{ op: "set", section: "", field: "time_zone", value: "Europe/Paris", was: null }], "k", seen);
  t.match((await call("GET", "/v1/pages/default/conflicts")).body["data"], [{ type: "page", id: "default", field: "time_zone" }]);
  t.equal((await call("POST", "/v1/pages/default/conflicts/time_zone/resolve", { value: "Nowhere/None" })).status, 422);
  t.match(await call("POST", "/v1/pages/default/conflicts/time_zone/resolve", { value: "UTC" }), { status: 200, body: { time_zone: "UTC", has_conflicts: false } });
});

t.test("a merge patch does as its RFC says", async (t) => {
  t.same(mergePatch({ a: 1, b: { c: 2, d: 3 } }, { a: null, b: { c: [1], e: {} } }), { b: { c: [1], d: 3, e: {} } });
  t.same(mergePatch(["x"], { a: { b: null } }), { a: {} });
});

t.test("the propagation of a change names who holds it, who does not, and whom it does not concern", async (t) => {
  const { call } = await featureServer(t);
  const { headers } = await call("PATCH", "/v1/pages/default", { name: "Named" });
  const query = `token=${encodeURIComponent(String(headers["session-token"]))}`;
  const told = await call("GET", `/v1/pages/default/propagation?${query}`);
  t.match(told, { status: 200, body: { page_id: "default", everywhere: true, replicas: [{ replica: "us-east-1", holds: true, state: "up" }, { replica: "eu-west-1", role: "region" }] } });
  t.equal((await call("GET", "/v1/pages/default/propagation")).status, 400, "of which change?");
  t.equal((await call("GET", "/v1/pages/default/propagation?token=none")).status, 400);
  t.equal((await call("GET", `/v1/pages/nowhere/propagation?${query}`)).status, 404);

  const peer = (replica: string, seq: number, pages: readonly string[] | null): Partial<PeerStatus> => ({ replica, region: replica, role: "edge", state: "up", pages, vector: { "us-east-1.a": seq } });
  const cluster = { replica: "us-east-1", region: "us-east", role: "region", pages: null, vector: { "us-east-1.a": 9 }, peers: [peer("one", 5, null), peer("two", 4, ["other"]), peer("three", 4, ["shop", "other"])] } as unknown as ClusterStatus;
  const of = (page: string) => {
    const { everywhere, replicas } = propagationOf(page, { "us-east-1.a": 5 }, cluster);
    return [everywhere, ...replicas.map(({ holds }) => holds)];
  };
  t.same(of("shop"), [false, true, true, null, false], "an edge that keeps another page is not asked to hold this one");
  t.same(of("default"), [true, true, true, null, null]);
});
