import t from "tap";
import type { Answer, Json } from "./contract-client.js";
import { World } from "./contract-world.js";

const world = await World.start();
t.teardown(() => world.stop());
const owner = world.client();
const page = "/v1/pages/default";
const STAMPS = ["created_at", "updated_at", "updated_hlc", "updated_region", "has_conflicts"];
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

const fieldsOf = (body: Json): string[] => Object.keys(body).sort();
const pointersOf = (answer: Answer): string[] => [...new Set<string>((answer.body.errors ?? []).map(({ pointer }: { pointer: string }) => pointer))];
const made = async (path: string, body: Json): Promise<Json> => {
  const answer = await owner.post(path, body);
  if (answer.status !== 201) throw new Error(`${path}: ${answer.text}`);
  return answer.body;
};

const TYPES = [
  { path: `${page}/components`, fields: ["id", "page_id", "name", "description", "group_id", "position", "status", "show_uptime", "show_latency", "only_show_if_degraded"] },
  { path: `${page}/component-groups`, fields: ["id", "page_id", "name", "description", "position", "collapsed"] },
  { path: `${page}/incidents`, fields: ["id", "page_id", "name", "status", "impact", "impact_override", "started_at", "monitoring_at", "resolved_at", "shortlink", "labels", "components", "incident_updates", "postmortem"] },
] as const;

for (const { path, fields } of TYPES) {
  t.test(`${path} goes through its life`, async (t) => {
    const created = await owner.post(path, { name: "first" });
    t.equal(created.status, 201);
    const { body } = created;
    for (const field of [...fields, ...STAMPS]) t.ok(field in body, `has ${field}`);
    t.match(body.id, /^[A-Za-z0-9_-]{1,64}$/);
    t.equal(body.page_id, "default");
    t.match(body.created_at, TIME);
    t.equal(body.updated_at, body.created_at);
    t.equal(body.updated_region, "us-east");
    t.equal(body.has_conflicts, false);
    t.equal(created.headers["location"], `${path}/${body.id}`);
    const url = `${path}/${body.id}`;
    const read = await owner.get(url);
    t.same(read.body, body, "a GET shows what the POST returned");
    t.equal(read.headers["etag"], created.headers["etag"]);
    t.ok((await owner.get(`${path}?limit=100`)).body.data.some((item: Json) => JSON.stringify(item) === JSON.stringify(body)), "the list shows the same");

    const same = await owner.patch(url, {});
    t.equal(same.status, 200, "an empty PATCH");
    t.same(same.body, body);
    t.equal(same.headers["etag"], created.headers["etag"], "changes nothing");
    const named = await owner.patch(url, { name: "second" });
    t.equal(named.status, 200);
    t.match(named.body, { ...body, name: "second", updated_at: TIME, updated_hlc: /./ });
    t.not(named.headers["etag"], created.headers["etag"]);
    t.ok(named.body.updated_hlc > body.updated_hlc && named.body.updated_at >= body.updated_at && named.body.created_at === body.created_at);
    t.same((await owner.get(url)).body, named.body);

    const gone = await owner.delete(url);
    t.equal(gone.status, 204);
    for (const [method, at, data] of [["GET", url, undefined], ["PATCH", url, { name: "x" }], ["PATCH", url, {}], ["DELETE", url, undefined], ["GET", `${url}/conflicts`, undefined]] as const) {
      t.equal((await owner.send(method, at, data)).status, 404, `${method} ${at} after the deletion`);
    }
    t.notOk((await owner.get(`${path}?limit=100`)).body.data.some(({ id }: Json) => id === body.id));
  });

  t.test(`${path} refuses bodies that are not valid, each fault with its pointer`, async (t) => {
    const { id } = await made(path, { name: "target" });
    const long = "x".repeat(10_000);
    for (const [data, pointer] of [
      [{}, "#/name"], [{ name: "" }, "#/name"], [{ name: "   " }, "#/name"], [{ name: 1 }, "#/name"], [{ name: null }, "#/name"], [{ name: long }, "#/name"], [{ name: ["x"] }, "#/name"],
      [{ name: "a", nmae: "b" }, "#/nmae"], [{ name: "a", "x/y~z": 1 }, "#/x~1y~0z"], [{ name: "a", id: "mine" }, "#/id"], [{ name: "a", page_id: "default" }, "#/page_id"], [{ name: "a", created_at: "2020-01-01T00:00:00.000Z" }, "#/created_at"],
      [{ name: "a", has_conflicts: false }, "#/has_conflicts"], [{ name: "a", updated_hlc: "0" }, "#/updated_hlc"],
    ] as const) {
      const answer = await owner.post(path, data);
      t.equal(answer.status, 422, JSON.stringify(data).slice(0, 80));
      t.same(pointersOf(answer), [pointer]);
    }
    for (const [data, pointer] of [[{ name: null }, "#/name"], [{ impcat: "major" }, "#/impcat"], [{ id: "x" }, "#/id"], [{ updated_at: "2020-01-01T00:00:00.000Z" }, "#/updated_at"]] as const) {
      const answer = await owner.patch(`${path}/${id}`, data);
      t.equal(answer.status, 422, JSON.stringify(data));
      t.same(pointersOf(answer), [pointer]);
    }
    const both = await owner.post(path, { nmae: "x", name: 5 });
    t.same(pointersOf(both).sort(), ["#/name", "#/nmae"], "all faults at once");
  });

  t.test(`${path} keeps what it is told, letter for letter`, async (t) => {
    const name = `Zoë "quoted" <b>\\ \u{1f6a8} \u2028 ${"é".normalize("NFD")}`;
    const { id } = await made(path, { name });
    t.equal((await owner.get(`${path}/${id}`)).body.name, name);
  });

  t.test(`If-Match guards ${path}`, async (t) => {
    const created = await owner.post(path, { name: "guarded" });
    const url = `${path}/${created.body.id}`;
    const etag = created.headers["etag"] ?? "";
    const patch = (name: string, tag: string) => owner.patch(url, { name }, { "if-match": tag });
    t.equal((await patch("one", '"other"')).status, 412);
    t.equal((await patch("one", `W/${etag}`)).status, 412, "a weak tag never matches strongly");
    t.equal((await patch("one", '"a", "b"')).status, 412);
    t.equal((await owner.get(url)).headers["etag"], etag, "nothing was written");
    t.equal((await patch("two", `"a", ${etag} , W/"b"`)).status, 200, "one of several matches");
    t.equal((await patch("three", etag)).status, 412, "the tag is spent");
    t.equal((await patch("four", "*")).status, 200);
    const listed = (await owner.get(url)).headers["etag"] ?? "";
    for (const list of [`${listed},`, `,${listed}`, ` , ${listed} ,, "a",`]) t.equal((await owner.patch(url, {}, { "if-match": list })).status, 200, `empty elements: ${list}`);
    for (const bad of [",", "*,", ",*"]) t.equal((await owner.patch(url, {}, { "if-match": bad })).status, 400, `If-Match: ${bad}`);
    for (const bad of ["unquoted", '"a', "", '"a" "b"', '*, "a"']) t.equal((await patch("five", bad)).status, 400, `If-Match: ${bad}`);
    t.equal((await owner.delete(url, { "if-match": etag })).status, 412);
    const current = (await owner.get(url)).headers["etag"] ?? "";
    t.equal((await owner.patch(url, {}, { "if-match": etag })).status, 412, "an empty PATCH is checked, too");
    t.equal((await owner.patch(url, {}, { "if-match": current })).status, 200);
    const racers = await Promise.all(Array.from({ length: 12 }, (_, index) => patch(`racer ${index}`, current)));
    t.same(racers.map(({ status }) => status).sort(), [200, ...Array(11).fill(412)], "of many with one tag one succeeds");
    t.equal((await owner.delete(url, { "if-match": (await owner.get(url)).headers["etag"] ?? "" })).status, 204);
    t.equal((await owner.get(url)).status, 404);
    for (const tag of ["*", etag]) t.equal((await owner.patch(url, { name: "x" }, { "if-match": tag })).status, 404, "nothing there");
  });
}

t.test("If-None-Match spares the body of what the client has", async (t) => {
  const { headers } = await owner.get(page);
  const again = await owner.get(page, { "if-none-match": headers["etag"] ?? "" });
  t.equal(again.status, 304);
  t.equal(again.text, "");
  t.equal(again.headers["etag"], headers["etag"]);
  t.equal((await owner.get(page, { "if-none-match": '"other"' })).status, 200);
});

t.test("a component's defaults, enums, references and clearing", async (t) => {
  const component = await made(`${page}/components`, { name: "api" });
  t.match(component, { description: null, group_id: null, status: "operational", show_uptime: true, show_latency: false, only_show_if_degraded: false, position: Number });
  t.same(fieldsOf(component), [...TYPES[0].fields, ...STAMPS].sort(), "exactly these fields");
  const url = `${page}/components/${component.id}`;
  for (const status of ["operational", "degraded_performance", "partial_outage", "major_outage", "under_maintenance"]) t.equal((await owner.patch(url, { status })).body.status, status);
  const group = await made(`${page}/component-groups`, { name: "core" });
  t.same(fieldsOf(group), [...TYPES[1].fields, ...STAMPS].sort(), "exactly these fields of a group");
  const set = await owner.patch(url, { description: "d", group_id: group.id, position: 7, show_uptime: false, only_show_if_degraded: true });
  t.match(set.body, { description: "d", group_id: group.id, position: 7, show_uptime: false, only_show_if_degraded: true, status: "under_maintenance", name: "api" });
  const cleared = await owner.patch(url, { description: null, group_id: null });
  t.match(cleared.body, { description: null, group_id: null, position: 7 });
  for (const [data, pointer] of [[{ status: "down" }, "#/status"], [{ position: "1" }, "#/position"], [{ position: 1.5 }, "#/position"], [{ show_uptime: "true" }, "#/show_uptime"], [{ show_uptime: 1 }, "#/show_uptime"], [{ group_id: "none" }, "#/group_id"], [{ group_id: component.id }, "#/group_id"], [{ group_id: "../x" }, "#/group_id"], [{ description: 1 }, "#/description"]] as const) {
    for (const answer of [await owner.patch(url, data), await owner.post(`${page}/components`, { name: "x", ...data })]) {
      t.equal(answer.status, 422, JSON.stringify(data));
      t.same(pointersOf(answer), [pointer]);
    }
  }
  const inGroup = await made(`${page}/components`, { name: "member", group_id: group.id });
  const before = (await owner.get(`${page}/components/${inGroup.id}`)).headers["etag"];
  t.equal((await owner.delete(`${page}/component-groups/${group.id}`)).status, 204);
  const orphan = await owner.get(`${page}/components/${inGroup.id}`);
  t.equal(orphan.body.group_id, null, "the group is gone, the component stays");
  t.not(orphan.headers["etag"], before, "a representation that changed has another ETag");
});

t.test("a page: defaults, slugs, conflicts, validation, deletion", async (t) => {
  const standard = (await owner.get(page)).body;
  t.match(standard, { id: "default" });
  const PAGE = ["id", "name", "url", "time_zone", "description", "theme", "custom_domains", "support_url"];
  const created = await owner.post("/v1/pages", { id: "acme", name: "Acme", url: "https://status.example.com", time_zone: "Europe/Paris", description: "d", theme: { colour: { main: "#fff" } }, custom_domains: ["status.example.org"], support_url: "https://example.com/help" });
  t.equal(created.status, 201);
  for (const field of [...PAGE, ...STAMPS]) t.ok(field in created.body, field);
  t.match(created.body, { id: "acme", name: "Acme", url: "https://status.example.com", time_zone: "Europe/Paris", description: "d", theme: { colour: { main: "#fff" } }, custom_domains: ["status.example.org"], support_url: "https://example.com/help" });
  const taken = await owner.post("/v1/pages", { id: "acme", name: "Other" });
  t.equal(taken.status, 409);
  t.equal(taken.body.type, "/problems/conflict");
  const slugged = await owner.post("/v1/pages", { name: "Ünïcode & Co." });
  t.equal(slugged.status, 201, "an id is made where none is given");
  t.match(slugged.body.id, /^[a-z0-9-]{1,64}$/);
  t.equal((await owner.post("/v1/pages", { name: "Ünïcode & Co." })).status, 201, "and another one for the same name");
  for (const [data, pointer] of [[{ id: "Has Space", name: "x" }, "#/id"], [{ id: "", name: "x" }, "#/id"], [{ id: "x".repeat(65), name: "x" }, "#/id"], [{ id: "a/b", name: "x" }, "#/id"], [{ id: "~", name: "x" }, "#/id"], [{ id: 5, name: "x" }, "#/id"], [{ name: "x", time_zone: "Mars/Base" }, "#/time_zone"], [{ name: "x", url: "not a url" }, "#/url"], [{ name: "x", url: "javascript:alert(1)" }, "#/url"], [{ name: "x", support_url: "javascript:alert(1)" }, "#/support_url"], [{ name: "x", custom_domains: "a.example" }, "#/custom_domains"], [{ name: "x", custom_domains: ["not a domain"] }, "#/custom_domains/0"], [{ name: "x", theme: "dark" }, "#/theme"]] as const) {
    const answer = await owner.post("/v1/pages", data);
    t.equal(answer.status, 422, JSON.stringify(data).slice(0, 80));
    t.same(pointersOf(answer), [pointer]);
  }
  t.equal((await owner.patch("/v1/pages/acme", { id: "other" })).status, 422, "an id is for good");
  const merged = await owner.patch("/v1/pages/acme", { theme: { colour: { text: "#000" }, font: "serif" }, description: null, url: null });
  t.same(merged.body.theme, { colour: { main: "#fff", text: "#000" }, font: "serif" }, "objects merge, as RFC 7396 says");
  t.match(merged.body, { description: null, url: null, name: "Acme" });
  t.same((await owner.patch("/v1/pages/acme", { theme: { colour: null } })).body.theme, { font: "serif" });
  const component = await made("/v1/pages/acme/components", { name: "c" });
  const incident = await made("/v1/pages/acme/incidents", { name: "i", components: { [component.id]: "major_outage" } });
  t.equal((await owner.delete("/v1/pages/acme")).status, 204);
  for (const path of ["", "/components", `/components/${component.id}`, "/incidents", `/incidents/${incident.id}`, `/incidents/${incident.id}/updates`, "/conflicts"]) t.equal((await owner.get(`/v1/pages/acme${path}`)).status, 404, `/v1/pages/acme${path} after the deletion`);
  t.equal((await owner.post("/v1/pages/acme/components", { name: "c" })).status, 404);
  t.equal((await owner.post("/v1/pages", { id: "acme", name: "Again" })).status, 409, "ids are never reused");
  t.notOk((await owner.get("/v1/pages?limit=100")).body.data.some(({ id }: Json) => id === "acme"));
});

t.test("everything under a page that does not exist is 404", async (t) => {
  for (const { method, path, description } of world.openapi.operations) {
    // Public pages are no routes of the API: their 404 is a page for people.
    if (!path.startsWith("/v1/") || !path.includes("{page}") || /\/(history|resolve)$/.test(path)) continue;
    const url = path.replace("{page}", "nowhere").replace(/\{[a-z]+\}/g, "x1");
    const isMaintenance = /maintenances$/.test(path);
    const told = { version: "4", groupKey: "g", group_key: "g", alerts: [] };
    const body = description.requestBody === undefined || /\/(publish|run|rotate)$/.test(path) ? undefined : /webhooks\/generic$/.test(path) ? { group_key: "g", alerts: [] } : /webhooks\/(alertmanager|grafana)$/.test(path) ? told : /webhooks$/.test(path) ? { name: "x", source: "generic" } : method === "PATCH" ? {} : /updates$|postmortem$/.test(path) ? { body: "x" } : isMaintenance ? { name: "x", scheduled_for: "2030-01-01T00:00:00Z", scheduled_until: "2030-01-02T00:00:00Z" } : /monitors$/.test(path) ? { name: "x", type: "http", target: "https://www.example.com/" } : { name: "x" };
    t.equal((await owner.send(method, url, body)).status, 404, `${method} ${url}`);
  }
});

t.test("the history holds every change, newest first, and stays after the deletion", async (t) => {
  const { id } = await made(`${page}/components`, { name: "h", description: "one" });
  const url = `${page}/components/${id}`;
  await owner.patch(url, { description: "two", status: "major_outage" });
  await owner.patch(url, { description: null });
  await owner.patch(url, {});
  const { body } = await owner.get(`${url}/history`);
  for (const entry of body.data) {
    t.same(fieldsOf(entry), ["actor", "at", "field", "from", "hlc", "region", "replica", "to"].sort());
    t.match(entry, { at: TIME, region: "us-east", replica: "us-east-1", actor: "root" });
  }
  const hlcs = body.data.map(({ hlc }: Json) => hlc);
  t.same(hlcs, [...hlcs].sort().reverse(), "newest first");
  const described = body.data.filter(({ field }: Json) => field === "description").map(({ from, to }: Json) => [from, to]);
  t.same(described, [["two", null], ["one", "two"], [null, "one"]]);
  t.match(body.data.find(({ field }: Json) => field === "status"), { from: "operational", to: "major_outage" });
  t.notOk(body.data.some(({ field }: Json) => field.startsWith("_")), "without the service's bookkeeping");
  const first = (await owner.get(`${url}/history?limit=2`)).body;
  t.equal(first.data.length, 2);
  const rest = (await owner.get(`${url}/history?limit=100&cursor=${first.next_cursor}`)).body;
  t.same([...first.data, ...rest.data], body.data, "by pages, too");
  await owner.delete(url);
  const after = await owner.get(`${url}/history`);
  t.equal(after.status, 200);
  t.equal(after.body.data.length, body.data.length + 1);
  t.equal((await owner.get(`${page}/components/never-was/history`)).status, 404);
});

t.test("a write of a value that is there already is no conflict, and conflicts of what has none are empty", async (t) => {
  const { id } = await made(`${page}/components`, { name: "calm" });
  for (const path of [`${page}/components/${id}/conflicts`, `${page}/conflicts`]) t.same((await owner.get(path)).body, { data: [], next_cursor: null });
  t.equal((await owner.post(`${page}/components/${id}/conflicts/name/resolve`, { value: "x" })).status, 404);
  t.equal((await owner.post(`${page}/components/none/conflicts/name/resolve`, { value: "x" })).status, 404);
  t.equal((await owner.post(`${page}/components/${id}/conflicts/name/resolve`, {})).status, 422);
});
