import t from "tap";
import { at, featureServer } from "./feature-server.js";

const BASE = "/v1/pages/default";
const WINDOW = { scheduled_for: "2030-01-01T10:00:00+01:00", scheduled_until: "2030-01-01T11:00:00Z" };

t.test("a maintenance goes from its schedule to its end", async (t) => {
  const { call, done } = await featureServer(t);
  const id = at(await done("POST", "/components", { name: "API" }), "id");
  const status = async () => (await done("GET", `/components/${id}`))["status"];
  const created = await call("POST", `${BASE}/maintenances`, { name: "Upgrade", ...WINDOW, components: { [id]: "under_maintenance" }, body: "Soon", remind_minutes: 60, auto_completed: true });
  t.equal(created.status, 201);
  const path = `${BASE}/maintenances/${created.body["id"]}`;
  t.equal(created.headers["location"], path);
  t.match(created.body, {
    name: "Upgrade", status: "scheduled", scheduled_for: "2030-01-01T09:00:00.000Z", scheduled_until: "2030-01-01T11:00:00.000Z", auto_in_progress: false, auto_completed: true, remind_minutes: 60,
    started_at: null, completed_at: null, components: [{ id, name: "API", status: "under_maintenance" }], incident_updates: [{ status: "scheduled", body: "Soon", affected_components: [] }],
  });
  t.equal(await status(), "operational", "nothing happens before it begins");
  const begun = await call("POST", `${path}/updates`, { body: "Begun", status: "in_progress" });
  t.match(begun, { status: 201, body: { status: "in_progress", affected_components: [{ id, old_status: "operational", new_status: "under_maintenance" }] } });
  t.equal(await status(), "under_maintenance");
  t.match((await call("PATCH", path, { status: "verifying" })).body, { status: "verifying", started_at: begun.body["created_at"] });
  t.equal(await status(), "under_maintenance");
  t.match((await call("PATCH", path, { status: "completed" })).body, { status: "completed", completed_at: String });
  t.equal(await status(), "operational");
  t.equal(at(await done("GET", `/maintenances/${created.body["id"]}/updates`), "data").length, 4);
  t.match(at(await done("GET", `/maintenances/${created.body["id"]}/history`), "data").length, Number);
  t.equal((await call("DELETE", path)).status, 204);
  t.equal((await call("GET", path)).status, 404);
});

t.test("deleting a maintenance that is in progress restores its components", async (t) => {
  const { call, done } = await featureServer(t);
  const id = at(await done("POST", "/components", { name: "API" }), "id");
  const maintenance = await done("POST", "/maintenances", { name: "Now", ...WINDOW, status: "in_progress", components: { [id]: "under_maintenance" } });
  t.equal((await done("GET", `/components/${id}`))["status"], "under_maintenance");
  await call("DELETE", `${BASE}/maintenances/${maintenance["id"]}`);
  t.equal((await done("GET", `/components/${id}`))["status"], "operational");
});

t.test("a component already down stays down while maintenance begins on it", async (t) => {
  const { done } = await featureServer(t);
  const id = at(await done("POST", "/components", { name: "API" }), "id");
  await done("POST", "/incidents", { name: "Down", components: { [id]: "major_outage" } });
  const maintenance = await done("POST", "/maintenances", { name: "Now", ...WINDOW, components: { [id]: "under_maintenance" } });
  await done("PATCH", `/maintenances/${maintenance["id"]}`, { status: "in_progress" });
  t.equal((await done("GET", `/components/${id}`))["status"], "major_outage");
});

t.test("a maintenance ends after it begins", async (t) => {
  const { call, done } = await featureServer(t);
  const create = (times: object) => call("POST", `${BASE}/maintenances`, { name: "x", ...times });
  t.match(await create({ ...WINDOW, scheduled_until: WINDOW.scheduled_for }), { status: 422, body: { errors: [{ pointer: "#/scheduled_until" }] } });
  t.match(await create({ scheduled_for: WINDOW.scheduled_for }), { status: 422, body: { errors: [{ pointer: "#/scheduled_until" }] } });
  t.match(await create({ ...WINDOW, scheduled_for: "tomorrow" }), { status: 422, body: { errors: [{ pointer: "#/scheduled_for" }] } });
  t.match(await create({ ...WINDOW, scheduled_for: "2030-02-31T00:00:00Z" }), { status: 422 });
  const made = await done("POST", "/maintenances", { name: "x", ...WINDOW });
  t.match(await call("PATCH", `${BASE}/maintenances/${made["id"]}`, { scheduled_for: "2031-01-01T00:00:00Z" }), { status: 422, body: { errors: [{ pointer: "#/scheduled_for" }] } });
  t.equal((await call("PATCH", `${BASE}/maintenances/${made["id"]}`, { scheduled_for: "2031-01-01T00:00:00Z", scheduled_until: "2031-01-02T00:00:00Z" })).status, 200);
});
