import t from "tap";
import type { Answer, Json } from "./contract-client.js";
import { until, World } from "./contract-world.js";

const world = await World.start();
t.teardown(() => world.stop());
const owner = world.client();
const page = "/v1/pages/default";
const incidents = `${page}/incidents`;
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

const fieldsOf = (body: Json): string[] => Object.keys(body).sort();
const pointersOf = (answer: Answer): string[] => [...new Set<string>((answer.body.errors ?? []).map(({ pointer }: { pointer: string }) => pointer))];
async function made(path: string, body: Json): Promise<Json> {
  const answer = await owner.post(path, body);
  if (answer.status !== 201) throw new Error(`${path}: ${answer.text}`);
  return answer.body;
}
const component = (name: string, more: Json = {}): Promise<Json> => made(`${page}/components`, { name, ...more });
const statusOf = async ({ id }: Json): Promise<string> => (await owner.get(`${page}/components/${id}`)).body.status;
const read = async ({ id }: Json): Promise<Json> => (await owner.get(`${incidents}/${id}`)).body;

t.test("an incident as returned has the contract's fields, each of its kind", async (t) => {
  const api = await component("api");
  const incident = await made(incidents, { name: "Down", body: "We look into it.", components: { [api.id]: "partial_outage" }, labels: ["eu", "db"], deliver_notifications: false });
  const contract = ["id", "page_id", "name", "status", "impact", "impact_override", "created_at", "updated_at", "started_at", "monitoring_at", "resolved_at", "shortlink", "labels", "components", "incident_updates", "postmortem", "updated_hlc", "updated_region", "has_conflicts"];
  t.same(fieldsOf(incident).filter((field) => field !== "deliver_notifications"), [...contract].sort());
  t.match(incident, { page_id: "default", name: "Down", status: "investigating", impact: "major", impact_override: null, created_at: TIME, started_at: TIME, monitoring_at: null, resolved_at: null, postmortem: null, updated_region: "us-east", has_conflicts: false });
  t.same([...incident.labels].sort(), ["db", "eu"]);
  t.same(incident.components, [{ id: api.id, name: "api", status: "partial_outage" }]);
  t.equal(incident.shortlink, `/pages/default/incidents/${incident.id}`, "a path while the page has no url");
  t.equal(incident.incident_updates.length, 1);
  const [update] = incident.incident_updates;
  t.same(fieldsOf(update).filter((field) => field !== "deliver_notifications"), ["id", "incident_id", "status", "body", "affected_components", "created_at", "display_at", "updated_at", "region"].sort());
  t.match(update, { incident_id: incident.id, status: "investigating", body: "We look into it.", created_at: TIME, updated_at: TIME, region: "us-east", deliver_notifications: false });
  t.equal(update.display_at, update.created_at);
  t.same(update.affected_components, [{ id: api.id, name: "api", old_status: "operational", new_status: "partial_outage" }]);
  t.equal(await statusOf(api), "partial_outage", "the component took the status");
  await owner.delete(`${incidents}/${incident.id}`);
  t.equal(await statusOf(api), "operational", "a deleted incident lets its components go");
});

t.test("the defaults of an incident, and what it refuses", async (t) => {
  t.match(await made(incidents, { name: "bare" }), { status: "investigating", impact: "none", labels: [], components: [], incident_updates: [{ status: "investigating", body: "", affected_components: [] }] });
  const api = await component("api");
  for (const [data, pointer] of [
    [{ status: "open" }, "#/status"], [{ impact_override: "huge" }, "#/impact_override"], [{ impact: "major" }, "#/impact"], [{ impcat: "major" }, "#/impcat"], [{ components: { none: "major_outage" } }, "#/components/none"],
    [{ components: { [api.id]: "down" } }, `#/components/${api.id}`], [{ components: [api.id] }, "#/components"], [{ labels: "a" }, "#/labels"], [{ labels: [1] }, "#/labels/0"], [{ body: 5 }, "#/body"], [{ deliver_notifications: "yes" }, "#/deliver_notifications"],
    [{ resolved_at: "2030-01-01T00:00:00.000Z" }, "#/resolved_at"], [{ incident_updates: [] }, "#/incident_updates"], [{ postmortem: null }, "#/postmortem"], [{ shortlink: "x" }, "#/shortlink"], [{ components: { "a/b": "operational" } }, "#/components/a~1b"],
  ] as const) {
    const before = (await owner.get(`${incidents}?limit=100`)).body.data.length;
    const answer = await owner.post(incidents, { name: "x", ...data });
    t.equal(answer.status, 422, JSON.stringify(data));
    t.same(pointersOf(answer), [pointer]);
    t.equal((await owner.get(`${incidents}?limit=100`)).body.data.length, before, "nothing was written");
  }
  const mixed = await owner.post(incidents, { name: "x", components: { [api.id]: "major_outage", none: "major_outage" } });
  t.equal(mixed.status, 422);
  t.equal(await statusOf(api), "operational", "nor was its component");
});

t.test("the life of an incident, from PATCH to PATCH", async (t) => {
  const [api, web] = [await component("api"), await component("web")];
  const incident = await made(incidents, { name: "i", components: { [api.id]: "degraded_performance" } });
  const url = `${incidents}/${incident.id}`;
  t.equal(incident.impact, "minor");
  const worse = (await owner.patch(url, { status: "identified", body: "found", components: { [web.id]: "major_outage" } })).body;
  t.match(worse, { status: "identified", impact: "critical", monitoring_at: null, resolved_at: null });
  t.same(worse.components.map(({ name, status }: Json) => [name, status]).sort(), [["api", "degraded_performance"], ["web", "major_outage"]]);
  t.same(worse.incident_updates.map(({ status, body }: Json) => [status, body]), [["identified", "found"], ["investigating", ""]], "newest first");
  t.same(worse.incident_updates[0].affected_components, [{ id: web.id, name: "web", old_status: "operational", new_status: "major_outage" }]);
  const bodyOnly = (await owner.patch(url, { body: "more" })).body;
  t.match(bodyOnly.incident_updates[0], { status: "identified", body: "more", affected_components: [] });
  const corrected = await owner.patch(`${url}/updates/${bodyOnly.incident_updates[0].id}`, { components: { [api.id]: "partial_outage" } });
  t.same(corrected.body.affected_components, [{ id: api.id, name: "api", old_status: "degraded_performance", new_status: "partial_outage" }], "a PATCH of an update corrects what it says of components");
  t.equal(await statusOf(api), "degraded_performance", "and changes none");
  t.same((await owner.patch(`${url}/updates/${bodyOnly.incident_updates[0].id}`, { components: { none: "operational" } })).body.errors.map(({ pointer }: Json) => pointer), ["#/components/none"]);
  t.same((await owner.patch(`${url}/updates/${bodyOnly.incident_updates[0].id}`, { components: { [api.id]: null } })).body.affected_components, []);
  const better = (await owner.patch(url, { components: { [web.id]: "operational" } })).body;
  t.equal(better.incident_updates.length, 4, "components append an update");
  t.equal(better.impact, "critical", "impact is the worst since it began");
  t.equal(await statusOf(web), "operational");
  const renamed = (await owner.patch(url, { name: "renamed", labels: ["x"], impact_override: "minor" })).body;
  t.equal(renamed.incident_updates.length, 4, "other fields append none");
  t.match(renamed, { name: "renamed", labels: ["x"], impact: "minor", impact_override: "minor" });
  t.match((await owner.patch(url, { impact_override: null })).body, { impact: "critical", impact_override: null });
  const watched = (await owner.patch(url, { status: "monitoring" })).body;
  t.equal(watched.monitoring_at, watched.incident_updates[0].created_at);
  t.equal(watched.resolved_at, null);
  const resolved = (await owner.patch(url, { status: "resolved", body: "over" })).body;
  t.match(resolved, { status: "resolved", monitoring_at: watched.monitoring_at, impact: "critical" });
  t.equal(resolved.resolved_at, resolved.incident_updates[0].created_at);
  t.equal(await statusOf(api), "operational", "resolving restores");
  t.match(resolved.incident_updates[0].affected_components.find(({ id }: Json) => id === api.id), { old_status: "degraded_performance", new_status: "operational" });
  const reopened = (await owner.patch(url, { status: "investigating", components: { [api.id]: "partial_outage" } })).body;
  t.match(reopened, { status: "investigating", resolved_at: null });
  t.equal(await statusOf(api), "partial_outage");
  const times = reopened.incident_updates.map(({ created_at }: Json) => created_at);
  t.same(times, [...times].sort().reverse());
  t.same((await read(incident)), reopened);
});

t.test("resolving leaves components what others say of them, or what the update says", async (t) => {
  const [shared, own, said] = [await component("shared"), await component("own"), await component("said")];
  const first = await made(incidents, { name: "first", components: { [shared.id]: "major_outage", [own.id]: "major_outage", [said.id]: "major_outage" } });
  const second = await made(incidents, { name: "second", components: { [shared.id]: "degraded_performance" } });
  const third = await made(incidents, { name: "third", components: { [shared.id]: "partial_outage" } });
  await owner.patch(`${incidents}/${first.id}`, { status: "resolved", components: { [said.id]: "under_maintenance" } });
  t.equal(await statusOf(shared), "partial_outage", "the worst of the others");
  t.equal(await statusOf(own), "operational");
  t.equal(await statusOf(said), "under_maintenance");
  await owner.post(`${incidents}/${third.id}/updates`, { status: "resolved", body: "over" });
  t.equal(await statusOf(shared), "degraded_performance", "an update resolves as a PATCH does");
  await owner.delete(`${incidents}/${second.id}`);
  t.equal(await statusOf(shared), "operational");
});

t.test("an incident entered as resolved touches no component", async (t) => {
  const api = await component("api");
  const incident = await made(incidents, { name: "past", status: "resolved", components: { [api.id]: "major_outage" } });
  t.equal(await statusOf(api), "operational");
  t.equal(incident.impact, "critical");
  t.equal(incident.resolved_at, incident.incident_updates[0].created_at);
});

t.test("taking a component out of an incident", async (t) => {
  const [api, web] = [await component("api"), await component("web")];
  const incident = await made(incidents, { name: "i", components: { [api.id]: "major_outage", [web.id]: "major_outage" } });
  const patched = (await owner.patch(`${incidents}/${incident.id}`, { components: { [api.id]: null } })).body;
  t.same(patched.components.map(({ id }: Json) => id), [web.id]);
  t.equal(await statusOf(api), "operational");
  const cleared = (await owner.patch(`${incidents}/${incident.id}`, { components: null })).body;
  t.same(cleared.components, []);
  t.equal(await statusOf(web), "operational");
  t.equal(cleared.impact, "critical");
});

t.test("updates have a life of their own", async (t) => {
  const api = await component("api");
  const incident = await made(incidents, { name: "i" });
  const updates = `${incidents}/${incident.id}/updates`;
  const posted = await owner.post(updates, { body: "one", status: "identified", components: { [api.id]: "partial_outage" }, display_at: "2026-01-02T03:04:05+02:00", deliver_notifications: false });
  t.equal(posted.status, 201);
  t.match(posted.body, { incident_id: incident.id, status: "identified", body: "one", display_at: "2026-01-02T01:04:05.000Z", region: "us-east", affected_components: [{ id: api.id, name: "api", old_status: "operational", new_status: "partial_outage" }] });
  t.equal(posted.headers["location"], `${updates}/${posted.body.id}`);
  t.match(await read(incident), { status: "identified", impact: "major", components: [{ id: api.id, status: "partial_outage" }] });
  t.same((await owner.get(`${updates}/${posted.body.id}`)).body, posted.body);
  const later = await made(updates, { body: "two" });
  t.equal(later.status, "identified", "an update without a status keeps it");
  const list = (await owner.get(updates)).body;
  t.same(list.data.map(({ body }: Json) => body), ["two", "one", ""], "newest first");
  t.same((await read(incident)).incident_updates.map(({ id }: Json) => id), list.data.map(({ id }: Json) => id));
  const edited = await owner.patch(`${updates}/${posted.body.id}`, { body: "corrected", display_at: null });
  t.equal(edited.status, 200);
  t.match(edited.body, { body: "corrected", created_at: posted.body.created_at, display_at: posted.body.created_at });
  t.ok(edited.body.updated_at >= posted.body.updated_at);
  t.same((await read(incident)).incident_updates[1].body, "corrected");
  for (const [id, pointer] of [["é", "#/components/%C3%A9"], ["a/b~", "#/components/a~1b~0"], ["", "#/components/"], ["x".repeat(100), `#/components/${"x".repeat(100)}`]] as const) {
    t.same(pointersOf(await owner.patch(`${updates}/${posted.body.id}`, { components: { [id]: "operational" } })), [pointer], "a component that cannot be");
  }
  const before = (await owner.get(`${incidents}/${incident.id}`)).headers["etag"] ?? "";
  t.equal((await owner.delete(`${updates}/${posted.body.id}`, { "if-match": '"x"' })).status, 412);
  t.equal((await owner.delete(`${updates}/${posted.body.id}`)).status, 204);
  for (const method of ["GET", "PATCH", "DELETE"]) t.equal((await owner.send(method, `${updates}/${posted.body.id}`, method === "PATCH" ? { body: "x" } : undefined)).status, 404, method);
  t.equal((await read(incident)).incident_updates.length, 2);
  t.not((await owner.get(`${incidents}/${incident.id}`)).headers["etag"], before);
  for (const [data, pointer] of [[{}, "#/body"], [{ body: "" }, "#/body"], [{ body: "x", status: "scheduled" }, "#/status"], [{ body: "x", components: { none: "operational" } }, "#/components/none"], [{ body: "x", display_at: "yesterday" }, "#/display_at"], [{ body: "x", created_at: "2026-01-01T00:00:00.000Z" }, "#/created_at"], [{ body: "x", name: "y" }, "#/name"]] as const) {
    const answer = await owner.post(updates, data);
    t.equal(answer.status, 422, JSON.stringify(data));
    t.same(pointersOf(answer), [pointer]);
  }
  t.equal((await owner.post(`${incidents}/none/updates`, { body: "x" })).status, 404);
  const pages = (await owner.get(`${updates}?limit=1`)).body;
  t.same((await owner.get(`${updates}?limit=1&cursor=${pages.next_cursor}`)).body.data.length, 1);
});

t.test("labels are changed by what the caller changed", async (t) => {
  const incident = await made(incidents, { name: "i", labels: ["a", "b"] });
  const url = `${incidents}/${incident.id}`;
  t.same((await owner.patch(url, { labels: ["b", "c", "c"] })).body.labels.sort(), ["b", "c"]);
  t.same((await owner.patch(url, { labels: null })).body.labels, []);
  t.same((await owner.patch(url, { labels: ["z"] })).body.labels, ["z"]);
  t.equal((await owner.patch(url, { labels: ["z"] })).body.incident_updates.length, 1);
});

t.test("a postmortem is written, published, and removed", async (t) => {
  const incident = await made(incidents, { name: "i", status: "resolved" });
  const url = `${incidents}/${incident.id}/postmortem`;
  t.equal((await owner.get(url)).status, 404);
  t.equal((await owner.post(`${url}/publish`)).status, 404);
  t.equal((await owner.delete(url)).status, 404);
  const written = await owner.put(url, { body: "# What happened" });
  t.equal(written.status, 200);
  t.match(written.body, { body: "# What happened" });
  t.same((await owner.get(url)).body, written.body);
  t.match((await read(incident)).postmortem, { body: "# What happened" });
  t.match((await owner.put(url, { body: "better" }, { "if-match": written.headers["etag"] ?? "" })).body, { body: "better" });
  t.equal((await owner.put(url, { body: "stale" }, { "if-match": written.headers["etag"] ?? "" })).status, 412);
  for (const [data, pointer] of [[{}, "#/body"], [{ body: "" }, "#/body"], [{ body: "x", x: 1 }, "#/x"]] as const) {
    const answer = await owner.put(url, data);
    t.equal(answer.status, 422);
    t.same(pointersOf(answer), [pointer]);
  }
  const published = await owner.post(`${url}/publish`);
  t.equal(published.status, 200);
  t.match(published.body, { body: "better", published_at: TIME });
  t.match(await read(incident), { status: "postmortem", postmortem: { body: "better", published_at: TIME }, resolved_at: TIME });
  t.equal((await owner.delete(url)).status, 204);
  t.equal((await owner.get(url)).status, 404);
  t.match(await read(incident), { postmortem: null, status: "resolved" });
});

t.test("an ETag changes with whatever the incident shows: the page's url, a component's name", async (t) => {
  const api = await component("before");
  const incident = await made(incidents, { name: "i", components: { [api.id]: "major_outage" } });
  const seen = new Map<string, string>();
  const check = async (what: string): Promise<Json> => {
    const { text, headers, body } = await owner.get(`${incidents}/${incident.id}`);
    const known = seen.get(headers["etag"] ?? "");
    t.ok(known === undefined || known === text, `${what}: one ETag, one representation`);
    seen.set(headers["etag"] ?? "", text);
    return body;
  };
  await check("at first");
  await owner.patch(`${page}/components/${api.id}`, { name: "after" });
  t.equal((await check("after a component was renamed")).components[0].name, "after");
  await owner.patch(page, { url: "https://status.example.com/" });
  t.equal((await check("after the page got a url")).shortlink, `https://status.example.com/incidents/${incident.id}`);
  await owner.patch(page, { url: null });
  t.equal((await check("after it lost it")).shortlink, `/pages/default/incidents/${incident.id}`);
  await owner.delete(`${page}/components/${api.id}`);
  await check("after a component was deleted");
  t.equal((await owner.patch(`${incidents}/${incident.id}`, { status: "resolved" })).status, 200, "and can be resolved still");
});

t.test("a maintenance, its defaults, and what it refuses", async (t) => {
  const path = `${page}/maintenances`;
  const api = await component("api");
  const times = { scheduled_for: "2040-01-01T10:00:00Z", scheduled_until: "2040-01-01T12:00:00.5+01:00" };
  const maintenance = await made(path, { name: "m", body: "planned", components: { [api.id]: "under_maintenance" }, remind_minutes: 60, ...times, scheduled_until: "2040-01-01T13:00:00.5+01:00" });
  for (const field of ["id", "page_id", "name", "status", "scheduled_for", "scheduled_until", "auto_in_progress", "auto_completed", "remind_minutes", "components", "incident_updates", "created_at", "updated_at", "updated_hlc", "updated_region", "has_conflicts", "shortlink"]) t.ok(field in maintenance, field);
  t.match(maintenance, { status: "scheduled", scheduled_for: "2040-01-01T10:00:00.000Z", scheduled_until: "2040-01-01T12:00:00.500Z", remind_minutes: 60, components: [{ id: api.id, status: "under_maintenance" }], incident_updates: [{ status: "scheduled", body: "planned" }] });
  t.equal(await statusOf(api), "operational", "nothing happens before it begins");
  const url = `${path}/${maintenance.id}`;
  for (const [data, pointer] of [
    [{ name: "x" }, "#/scheduled_for #/scheduled_until"], [{ name: "x", ...times, scheduled_until: times.scheduled_for }, "#/scheduled_until"], [{ name: "x", ...times, scheduled_for: "tomorrow" }, "#/scheduled_for"], [{ name: "x", ...times, scheduled_for: "2040-13-01T00:00:00Z" }, "#/scheduled_for"],
    [{ name: "x", ...times, scheduled_for: "2040-01-01T10:00:00+0530" }, "#/scheduled_for"], [{ name: "x", ...times, scheduled_for: "2040-01-01T10:00:00" }, "#/scheduled_for"],
    [{ name: "x", ...times, scheduled_for: 5 }, "#/scheduled_for"], [{ name: "x", ...times, status: "resolved" }, "#/status"], [{ name: "x", ...times, remind_minutes: -1 }, "#/remind_minutes"], [{ name: "x", ...times, components: { none: "operational" } }, "#/components/none"], [{ name: "x", ...times, impact_override: "minor" }, "#/impact_override"],
    [{ ...times }, "#/name"], [{ name: "x", ...times, auto_completed: "yes" }, "#/auto_completed"],
  ] as const) {
    const answer = await owner.post(path, data);
    t.equal(answer.status, 422, JSON.stringify(data));
    t.equal(pointersOf(answer).sort().join(" "), pointer);
  }
  t.same(pointersOf(await owner.patch(url, { scheduled_until: "2039-01-01T00:00:00Z" })), ["#/scheduled_until"]);
  t.same(pointersOf(await owner.patch(url, { scheduled_for: null })), ["#/scheduled_for"]);
  const begun = (await owner.patch(url, { status: "in_progress" })).body;
  t.equal(begun.status, "in_progress");
  t.equal(await statusOf(api), "under_maintenance");
  t.equal((await owner.post(`${url}/updates`, { body: "checking", status: "verifying" })).status, 201);
  t.equal(await statusOf(api), "under_maintenance");
  const done = (await owner.patch(url, { status: "completed" })).body;
  t.same(done.incident_updates.map(({ status }: Json) => status), ["completed", "verifying", "in_progress", "scheduled"]);
  t.equal(await statusOf(api), "operational");
  t.equal((await owner.delete(url)).status, 204);
  t.equal((await owner.get(url)).status, 404);
  t.equal((await owner.get(`${url}/history`)).status, 200);
});

t.test("a maintenance begins and ends by itself, and an incident's word outlasts it", async (t) => {
  const path = `${page}/maintenances`;
  const [api, web] = [await component("api"), await component("web")];
  const from = Date.now() + 300;
  const maintenance = await made(path, {
    name: "m", scheduled_for: new Date(from).toISOString(), scheduled_until: new Date(from + 1_500).toISOString(), auto_in_progress: true, auto_completed: true, components: { [api.id]: "under_maintenance", [web.id]: "under_maintenance" },
  });
  const manual = await made(path, { name: "by hand", scheduled_for: new Date(from).toISOString(), scheduled_until: new Date(from + 500).toISOString() });
  const now = async ({ id }: Json): Promise<Json> => (await owner.get(`${path}/${id}`)).body;
  await until("it is in progress", async () => (await now(maintenance)).status === "in_progress");
  t.equal(await statusOf(api), "under_maintenance");
  await made(incidents, { name: "meanwhile", components: { [web.id]: "degraded_performance" } });
  await until("it is completed", async () => (await now(maintenance)).status === "completed");
  t.equal(await statusOf(api), "operational");
  t.equal(await statusOf(web), "degraded_performance");
  t.same((await now(maintenance)).incident_updates.map(({ status }: Json) => status), ["completed", "in_progress", "scheduled"]);
  t.equal((await now(manual)).status, "scheduled", "what was not asked for does not happen");
  const history = (await owner.get(`${path}/${maintenance.id}/history?limit=100`)).body.data;
  t.ok(history.some(({ field, to, actor }: Json) => field === "status" && to === "completed" && actor === "system"));
});
