import t from "tap";
import fc from "fast-check";
import { Fault } from "../../src/core/errors.js";
import { createComponent, createGroup, deleteComponent, deleteGroup, patchComponent } from "../../src/features/components/commands.js";
import { presentComponent } from "../../src/features/components/component.js";
import { createIncident, deleteIncident, patchIncident, resolveIncidentConflict } from "../../src/features/incidents/commands.js";
import { presentIncident } from "../../src/features/incidents/incident.js";
import { createMaintenance, dueTransitions, patchMaintenance } from "../../src/features/maintenances/commands.js";
import { presentMaintenance } from "../../src/features/maintenances/maintenance.js";
import { createPage, defaultPage, deletePage } from "../../src/features/pages/commands.js";
import { createUpdate } from "../../src/store/timeline-commands.js";
import { World, type Region } from "./merge-world.js";

const PAGE = "default";
const INCIDENT = { type: "incident", page: PAGE, id: "i1" } as const;

function world(): World {
  const made = new World();
  made.a.body(defaultPage());
  made.a.body(createComponent(PAGE, "c1", { name: "API" }));
  made.a.body(createComponent(PAGE, "c2", { name: "Web" }));
  made.a.body(createIncident(PAGE, "i1", "u1", { name: "Slow", components: { c1: "degraded_performance" } }));
  made.heal();
  return made;
}

const incident = (region: Region, id = "i1") => presentIncident(region.reader(`${PAGE}/incident/${id}`), region.snapshot);
const component = (region: Region, id = "c1") => presentComponent(region.reader(`${PAGE}/component/${id}`), region.snapshot);
const fieldOf = (region: Region, key: string) => region.reader(key).conflicts().map(({ field }) => field);

function same(t: Tap, made: World): void {
  for (const key of made.a.documents.keys()) t.equal(made.a.snapshot.document(key)?.etag, made.b.snapshot.document(key)?.etag, `${key} is equal in both regions`);
  t.same(incident(made.a), incident(made.b), "the incident reads the same in both regions");
  t.same(component(made.a), component(made.b), "the component reads the same in both regions");
}
type Tap = Pick<typeof t, "equal" | "same">;

t.test("two regions post an update each, cut from one another: both stay, newest first", async (t) => {
  const made = world();
  made.a.body(createUpdate(INCIDENT, "ua", { body: "from A" }));
  made.b.body(createUpdate(INCIDENT, "ub", { body: "from B" }));
  made.heal();
  same(t, made);
  t.same((incident(made.a)["incident_updates"] as { body: string; region: string }[]).map(({ body, region }) => [body, region]), [["from B", "eu-west"], ["from A", "us-east"], ["", "us-east"]]);
});

t.test("two regions state different statuses of a component: the worst is shown, both are listed", async (t) => {
  const made = world();
  made.a.body(patchIncident(PAGE, "i1", "ua", { components: { c1: "major_outage" } }));
  made.b.body(patchIncident(PAGE, "i1", "ub", { components: { c1: "partial_outage" } }));
  made.heal();
  same(t, made);
  t.equal(component(made.a)["status"], "major_outage");
  t.equal(incident(made.a)["impact"], "critical");
  t.same(fieldOf(made.a, `${PAGE}/incident/i1`), ["components.c1"]);
  t.same(fieldOf(made.a, `${PAGE}/component/c1`), ["status"]);
  made.b.body(resolveIncidentConflict(PAGE, "i1", "components.c1", "partial_outage"));
  made.heal();
  t.equal(incident(made.a)["has_conflicts"], false);
  t.same(incident(made.a)["components"], [{ id: "c1", name: "API", status: "partial_outage" }]);
  t.equal(incident(made.a)["impact"], "critical", "the impact is the worst since it began");
});

t.test("an incident is reopened in one region and resolved again in another: it is open", async (t) => {
  const made = world();
  made.a.body(patchIncident(PAGE, "i1", "u2", { status: "resolved" }));
  made.heal();
  made.a.body(patchIncident(PAGE, "i1", "ua", { status: "identified" }));
  made.b.body(patchIncident(PAGE, "i1", "ub", { status: "resolved" }));
  made.heal();
  same(t, made);
  t.equal(incident(made.a)["status"], "identified");
  t.equal(incident(made.a)["resolved_at"], null);
  t.equal((incident(made.a)["incident_updates"] as unknown[]).length, 4);
});

t.test("one region says again what stands, another resolves earlier: the later says", async (t) => {
  const made = world();
  made.a.body(patchIncident(PAGE, "i1", "ua", { status: "resolved" }));
  made.b.body(patchIncident(PAGE, "i1", "ub", { status: "investigating" }));
  made.heal();
  same(t, made);
  t.equal(incident(made.b)["status"], "investigating");
});

t.test("labels added in one region survive their neighbours' removal in another", async (t) => {
  const made = world();
  made.a.body(patchIncident(PAGE, "i1", "x", { labels: ["dns", "eu"] }));
  made.heal();
  made.a.body(patchIncident(PAGE, "i1", "x", { labels: ["dns", "eu", "us"] }));
  made.b.body(patchIncident(PAGE, "i1", "x", { labels: ["eu"] }));
  made.heal();
  same(t, made);
  t.same(incident(made.a)["labels"], ["eu", "us"]);
});

t.test("an incident deleted in one region stays deleted, whatever another wrote into it", async (t) => {
  const made = world();
  made.a.body(deleteIncident(PAGE, "i1"));
  made.b.body(patchIncident(PAGE, "i1", "ub", { name: "Slower", components: { c1: "operational" } }));
  made.heal();
  for (const region of [made.a, made.b]) {
    t.equal(region.snapshot.document(`${PAGE}/incident/i1`), undefined);
    t.match(region.run(patchIncident(PAGE, "i1", "u9", { name: "Back" })), { code: "not-found" });
  }
  t.same(component(made.a), component(made.b));
});

t.test("two regions create the same incident from one idempotency key: one incident without conflicts", async (t) => {
  const made = world();
  const request = { name: "Twice", status: "identified", body: "Found", components: { c2: "major_outage" }, labels: ["x"] } as const;
  const first = made.a.body(createIncident(PAGE, "i2", "u-i2", { ...request, labels: [...request.labels] }));
  made.b.body(createIncident(PAGE, "i2", "u-i2", { ...request, labels: [...request.labels] }));
  made.heal();
  t.same(incident(made.a, "i2"), incident(made.b, "i2"));
  t.equal(incident(made.b, "i2")["created_at"], first["created_at"], "the earlier creation counts");
  t.equal(incident(made.a, "i2")["has_conflicts"], false);
  t.equal((incident(made.a, "i2")["incident_updates"] as unknown[]).length, 1);
});

t.test("two regions begin a maintenance by themselves: it begins once", async (t) => {
  const made = world();
  const hour = 3_600_000;
  const at = (ms: number) => new Date(made.nowMs + ms).toISOString();
  made.a.body(createMaintenance(PAGE, "m1", "um1", { name: "Upgrade", scheduled_for: at(hour), scheduled_until: at(2 * hour), auto_in_progress: true, auto_completed: true, components: { c2: "under_maintenance" } }));
  made.heal();
  const maintenance = (region: Region) => presentMaintenance(region.reader(`${PAGE}/maintenance/m1`), region.snapshot);
  t.same(dueTransitions(made.a.snapshot, PAGE), [], "nothing is due before its time");
  t.equal(component(made.a, "c2")["status"], "operational");
  made.nowMs += hour;
  for (const region of [made.a, made.b]) for (const command of dueTransitions(region.snapshot, PAGE)) region.body(command);
  made.heal();
  t.equal(maintenance(made.a)["status"], "in_progress");
  t.equal((maintenance(made.a)["incident_updates"] as unknown[]).length, 2);
  t.equal(maintenance(made.a)["has_conflicts"], false);
  t.same(maintenance(made.a), maintenance(made.b));
  t.equal(component(made.b, "c2")["status"], "under_maintenance");
  t.same(dueTransitions(made.a.snapshot, PAGE), []);
  made.nowMs += hour;
  for (const command of dueTransitions(made.b.snapshot, PAGE)) made.b.body(command);
  made.heal();
  t.equal(maintenance(made.a)["status"], "completed");
  t.type(maintenance(made.a)["completed_at"], "string");
  t.equal(component(made.a, "c2")["status"], "operational");
  made.a.body(patchMaintenance(PAGE, "m1", "um2", { status: "scheduled" }));
  t.same(dueTransitions(made.a.snapshot, PAGE), [], "who turns it back by hand is not overruled");
});

t.test("a page deleted in one region takes no more writes in any", async (t) => {
  const made = world();
  made.a.body(deletePage(PAGE));
  made.b.body(createComponent(PAGE, "c3", { name: "Late" }));
  made.heal();
  for (const region of [made.a, made.b]) t.match(region.run(createComponent(PAGE, "c4", { name: "Later" })), { code: "not-found" });
  made.a.body(defaultPage());
  t.match(made.a.run(createPage(PAGE, { name: "Again" })), { code: "conflict" }, "ids are never used again");
});

t.test("a component moved into a group that another region deletes has no group", async (t) => {
  const made = world();
  made.a.body(createGroup(PAGE, "g1", { name: "Core" }));
  made.heal();
  made.a.body(deleteGroup(PAGE, "g1"));
  made.b.body(patchComponent(PAGE, "c1", { group_id: "g1" }));
  made.heal();
  same(t, made);
  t.equal(component(made.b)["group_id"], null);
});

t.test("two regions rename a component of an open incident: the incident agrees with the component, and has no conflict of its own", async (t) => {
  const made = world();
  made.a.body(patchComponent(PAGE, "c1", { name: "Gateway" }));
  made.b.body(patchComponent(PAGE, "c1", { name: "Front door" }));
  made.heal();
  same(t, made);
  t.match(incident(made.a), { components: [{ name: "Front door" }], has_conflicts: false });
  t.match(component(made.a), { name: "Front door", has_conflicts: true });
});

t.test("a component that is gone stays on record in its incident, and breaks no later update", async (t) => {
  const made = world();
  made.a.body(deleteComponent(PAGE, "c1"));
  made.a.body(patchIncident(PAGE, "i1", "u2", { status: "resolved" }));
  t.same(incident(made.a)["components"], [{ id: "c1", name: "API", status: "operational" }]);
  t.match(made.a.run(patchIncident(PAGE, "i1", "u3", { components: { c1: "operational" } })), { code: "invalid", extra: { errors: [{ pointer: "#/components/c1" }] } });
});

t.test("whatever two regions do to an incident and its components, both read the same after healing", async (t) => {
  const status = fc.constantFrom("investigating", "identified", "monitoring", "resolved", "postmortem");
  const component = fc.constantFrom("operational", "degraded_performance", "partial_outage", "major_outage", "under_maintenance");
  const action = fc.record({
    inA: fc.boolean(), heals: fc.boolean(), seed: fc.integer(),
    kind: fc.oneof({ weight: 6, arbitrary: fc.constant("patch") }, { weight: 1, arbitrary: fc.constant("rename") }, { weight: 1, arbitrary: fc.constant("second") }),
    status: fc.option(status), statuses: fc.dictionary(fc.constantFrom("c1", "c2"), fc.option(component)),
  });
  const seed = Number(process.env["SEED"] ?? Date.now() % 1_000_000);
  t.comment(`seed ${seed}`);
  fc.assert(fc.property(fc.array(action, { maxLength: 14 }), (actions) => {
    const made = world();
    actions.forEach((step, index) => {
      const region = step.inA ? made.a : made.b;
      const components = step.statuses as Record<string, "operational" | null>;
      const stated = Object.fromEntries(Object.entries(components).filter((entry): entry is [string, "operational"] => entry[1] !== null));
      if (step.kind === "rename") region.run(patchComponent(PAGE, "c1", { name: `API ${index}` }));
      else if (step.kind === "second") region.run(createIncident(PAGE, `s${index}`, `us${index}`, { name: "Second", components: stated }));
      else {
        const answer = region.run(patchIncident(PAGE, "i1", `u-${index}`, { components, ...(step.status === null ? {} : { status: step.status as "resolved" }) }));
        if (answer instanceof Fault) throw new Error(answer.detail);
      }
      if (step.heals) made.heal((entries) => [...entries].sort((x, y) => ((x.dot.seq * 31 + step.seed) % 7) - ((y.dot.seq * 31 + step.seed) % 7)));
    });
    made.heal();
    same({ equal: (x: unknown, y: unknown) => assertEqual(x, y), same: (x: unknown, y: unknown) => assertEqual(JSON.stringify(x), JSON.stringify(y)) } as Tap, made);
  }), { seed, numRuns: 200 });
});

function assertEqual(x: unknown, y: unknown): true {
  if (x !== y) throw new Error(`${String(x)} is not ${String(y)}`);
  return true;
}
