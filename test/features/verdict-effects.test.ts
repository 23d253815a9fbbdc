/** Verdicts of regions in memory that are cut apart and meet again. */
import t from "tap";
import { keyOf } from "../../src/core/document.js";
import { isFault } from "../../src/core/errors.js";
import { createComponent, patchComponent } from "../../src/features/components/commands.js";
import { createIncident, patchIncident } from "../../src/features/incidents/commands.js";
import { presentIncident } from "../../src/features/incidents/incident.js";
import { createMaintenance, patchMaintenance } from "../../src/features/maintenances/commands.js";
import { createMonitor, deleteMonitor } from "../../src/features/monitors/commands.js";
import { courseOf, tellCommand, verdictCommand, type IncidentRoom } from "../../src/features/monitors/effects.js";
import { presentMonitor } from "../../src/features/monitors/monitor.js";
import { opinionCommand } from "../../src/features/monitors/opinion-command.js";
import type { State } from "../../src/features/monitors/opinion.js";
import { World as MergeWorld, type Region } from "./merge-world.js";

const REGIONS = ["us-east", "eu-west"];
const incidents: IncidentRoom = { open: createIncident };
const phases = { dns: 1, connect: 2, tls: null, first_byte: null, total: 4 };

class World extends MergeWorld {
  present: ReadonlySet<string> = new Set(REGIONS);

  constructor(fields: Record<string, unknown> = {}) {
    super();
    this.a.run({ name: "page", subject: keyOf("~", "page", "default"), plan: () => ({ changes: [{ document: keyOf("~", "page", "default"), operations: [{ op: "create", section: "" }] }] }), answer: () => ({ status: 204, body: null }) });
    this.a.body(createComponent("default", "api", { name: "API" }));
    this.a.body(createMonitor("default", "m", "secret", { name: "API", type: "tcp", target: "example.com:80", component_id: "api", ...fields }, REGIONS));
    this.nowMs += 3_600_000;
    this.heal();
  }

  /** The region comes to an opinion, and does what follows. */
  thinks(region: Region, state: State, id = "m"): void {
    this.nowMs += 1_000;
    region.run(opinionCommand("default", id, region.name, {
      state, since: this.nowMs, checkedAt: this.nowMs, evidence: { error: state === "down" ? { code: "ECONNREFUSED", message: "the connection was refused" } : null, latency_ms: 4, phases },
    }), "system");
    this.acts(region, id);
  }

  /** What a region does in one round. */
  acts(region: Region, id = "m", present = this.present): void {
    const surroundings = { incidents, attendance: { present, unsettled: new Set<string>() } };
    region.run(verdictCommand("default", id, surroundings), "system");
    const course = courseOf(region.snapshot, "default", id, surroundings);
    if (isFault(course)) throw new Error(course.detail);
    for (const opinion of course.untold) region.run(tellCommand("default", id, opinion.region), "system");
  }

  settle(id = "m"): void {
    this.heal();
    for (let round = 0; round < 3; round++) {
      for (const region of [this.a, this.b]) this.acts(region, id);
      this.heal();
    }
  }

  incidents(region: Region) {
    return region.snapshot.list("default", "incident").map(({ key }) => presentIncident(region.reader(key), region.snapshot));
  }

  status(region: Region): unknown {
    return region.reader(keyOf("default", "component", "api")).value("status");
  }

  monitor(region: Region, id = "m") {
    return presentMonitor(region.reader(keyOf("default", "monitor", id)), region.snapshot);
  }
}

/** Both regions see it up first. */
function watched(fields: Record<string, unknown> = {}): World {
  const world = new World(fields);
  for (const region of [world.a, world.b]) world.thinks(region, "up");
  world.settle();
  return world;
}

t.test("an incident is opened with the name and the text that the monitor has for it", async (t) => {
  const outage = (fields: Parameters<typeof watched>[0]): unknown => {
    const world = watched(fields);
    for (const replica of [world.a, world.b]) world.thinks(replica, "down");
    world.settle();
    t.strictSame(world.incidents(world.a), world.incidents(world.b));
    return world.incidents(world.a)[0];
  };
  t.match(outage({ name: "Probe", incident_name: "{{component}} fails ({{ monitor }})", incident_body: "We look into it: {{target}}. {{monitor}}" }), {
    name: "API fails (Probe)", incident_updates: { 2: { body: "We look into it: example.com:80. Probe" } },
  });
  t.match(outage({ name: "{{target}}", incident_name: "{{monitor}}" }), { name: "{{target}}", incident_updates: { 2: { body: "{{target}} is down." } } }, "a name is no template");
  const long = outage({ incident_name: `${"x".repeat(254)}\u{1F6A7}{{monitor}}` }) as { readonly name: string };
  t.equal(long.name, "x".repeat(254), "no half of a character is left");
});

t.test("an outage opens one incident that says who saw what, and the end of it resolves it", async (t) => {
  const world = watched();
  t.match(world.monitor(world.a), { verdict: "up", open_incident_id: null });
  world.thinks(world.a, "down");
  world.heal();
  t.same(world.incidents(world.b), [], "one region of two is not enough");
  world.thinks(world.b, "down");
  world.settle();
  t.equal(world.incidents(world.a).length, 1);
  t.strictSame(world.incidents(world.a), world.incidents(world.b));
  const incident = world.incidents(world.a)[0];
  t.match(incident, { name: "API is down", status: "investigating", impact: "critical", components: [{ id: "api", status: "major_outage" }], has_conflicts: false });
  const bodies = ((incident?.["incident_updates"] ?? []) as unknown as { body: string }[]).map(({ body }) => body);
  t.equal(bodies.length, 3);
  for (const region of REGIONS) t.ok(bodies.some((body) => body.startsWith(`${region} sees it down since`) && body.includes("ECONNREFUSED") && body.includes("total 4 ms")), bodies.join());
  t.equal(world.status(world.b), "major_outage");
  t.match(world.monitor(world.b), { verdict: "down", open_incident_id: incident?.["id"] });
  world.thinks(world.a, "up");
  world.thinks(world.b, "up");
  world.settle();
  t.match(world.incidents(world.b), [{ id: incident?.["id"], status: "resolved" }]);
  t.equal(world.status(world.a), "operational");
  t.match(world.monitor(world.b), { verdict: "up", open_incident_id: null });
});

t.test("two sides of a cut that both see it down make one incident", async (t) => {
  const world = watched();
  for (const region of [world.a, world.b]) {
    world.present = new Set([region.name]);
    world.thinks(region, "down");
    t.equal(world.incidents(region).length, 1, `${region.name} opens one by itself`);
  }
  world.present = new Set(REGIONS);
  world.settle();
  t.equal(world.incidents(world.a).length, 1);
  t.strictSame(world.incidents(world.a), world.incidents(world.b));
  t.match(world.incidents(world.a)[0], { status: "investigating", has_conflicts: false, incident_updates: { length: 3 } });
  t.notOk(world.a.reader(keyOf("default", "component", "api")).hasConflicts);
});

t.test("one side of a cut sees the end of the outage and the other still its beginning: one incident, and it ends", async (t) => {
  const world = watched();
  world.present = new Set(["us-east"]);
  world.thinks(world.a, "down");
  world.thinks(world.a, "up");
  world.present = new Set(["eu-west"]);
  world.thinks(world.b, "down");
  world.present = new Set(REGIONS);
  world.heal();
  world.thinks(world.b, "up");
  world.settle();
  for (const region of [world.a, world.b]) {
    t.match(world.incidents(region), [{ status: "resolved" }]);
    t.equal(world.incidents(region).length, 1);
    t.equal(world.status(region), "operational");
    t.notOk(region.reader(keyOf("default", "component", "api")).hasConflicts);
  }
});

t.test("the next outage is another incident", async (t) => {
  const world = watched();
  for (const state of ["down", "up", "down"] as const) {
    for (const region of [world.a, world.b]) world.thinks(region, state);
    world.settle();
  }
  t.match(world.incidents(world.a).map(({ status }) => status), ["investigating", "resolved"]);
});

t.test("what an operator did is left alone", async (t) => {
  const world = watched();
  for (const region of [world.a, world.b]) world.thinks(region, "down");
  world.settle();
  const id = String(world.incidents(world.a)[0]?.["id"]);
  world.a.body(patchIncident("default", id, "by-hand", { status: "resolved" }));
  world.settle();
  t.match(world.incidents(world.b), [{ status: "resolved" }], "an incident that somebody resolved is not opened again");
  t.equal(world.incidents(world.b).length, 1);
  world.a.body(patchComponent("default", "api", { status: "partial_outage" }));
  world.heal();
  for (const region of [world.a, world.b]) world.thinks(region, "up");
  world.settle();
  t.equal(world.status(world.b), "partial_outage");
});

t.test("a status that an operator sets during an outage outlives it", async (t) => {
  const world = watched();
  for (const region of [world.a, world.b]) world.thinks(region, "down");
  world.settle();
  world.a.body(patchComponent("default", "api", { status: "degraded_performance" }));
  world.heal();
  for (const region of [world.a, world.b]) world.thinks(region, "up");
  world.settle();
  t.match(world.incidents(world.a), [{ status: "resolved" }]);
  t.equal(world.status(world.b), "degraded_performance");
});

t.test("without an incident the component follows the verdict", async (t) => {
  const world = watched({ open_incident: false, component_status: "partial_outage" });
  for (const [state, status] of [["down", "partial_outage"], ["degraded", "degraded_performance"], ["up", "operational"]] as const) {
    for (const region of [world.a, world.b]) world.thinks(region, state);
    world.settle();
    t.equal(world.status(world.a), status, state);
  }
  t.same(world.incidents(world.a), []);
});

t.test("a maintenance of its component keeps the incident away until it is over", async (t) => {
  const world = watched();
  world.a.body(createMaintenance("default", "mt", "u1", { name: "M", status: "in_progress", scheduled_for: "2026-01-01T00:00:00Z", scheduled_until: "2026-01-02T00:00:00Z", components: { api: "under_maintenance" } }));
  world.heal();
  for (const region of [world.a, world.b]) world.thinks(region, "down");
  world.settle();
  t.same(world.incidents(world.a), []);
  t.match(world.monitor(world.a), { verdict: "down" });
  world.a.body(patchMaintenance("default", "mt", "u2", { status: "completed" }));
  world.settle();
  t.equal(world.incidents(world.a).length, 1);
});

t.test("a maintenance window keeps the incident away, and the component as it is, until it is over", async (t) => {
  const start = new World().nowMs;
  const iso = (ms: number): string => new Date(ms).toISOString();
  const windows = [{ starts_at: iso(start - 60_000), ends_at: iso(start + 300_000) }, { starts_at: iso(start + 900_000), ends_at: iso(start + 1_000_000) }];
  const world = watched({ maintenance_windows: windows });
  for (const region of [world.a, world.b]) world.thinks(region, "degraded");
  world.settle();
  t.equal(world.status(world.a), "operational");
  for (const region of [world.a, world.b]) world.thinks(region, "down");
  world.settle();
  t.same(world.incidents(world.a), []);
  t.match(world.monitor(world.a), { verdict: "down" });
  const course = courseOf(world.a.snapshot, "default", "m", { incidents, attendance: { present: world.present, unsettled: new Set() } });
  t.match(course, { dueAtMs: world.a.snapshot.atMs + 10_000 }, "it is looked at again");
  world.nowMs = start + 301_000;
  world.settle();
  t.match(world.incidents(world.a).map(({ status }) => status), ["investigating"]);
  t.equal(world.status(world.b), "major_outage");
});

t.test("what a monitor depends on explains its failure", async (t) => {
  const world = watched();
  world.a.body(createMonitor("default", "leaf", "secret", { name: "Leaf", type: "tcp", target: "example.com:81", depends_on: "m", interval_seconds: 5 }, REGIONS));
  world.heal();
  world.nowMs += 3_600_000;
  for (const region of [world.a, world.b]) world.thinks(region, "up", "leaf");
  world.settle("leaf");
  for (const region of [world.a, world.b]) world.thinks(region, "down", "leaf");
  world.settle("leaf");
  t.same(world.incidents(world.a), [], "the leaf waits for a round of what it depends on");
  for (const region of [world.a, world.b]) world.thinks(region, "down");
  world.settle();
  world.nowMs += 600_000;
  world.settle("leaf");
  t.match(world.incidents(world.a), [{ name: "API is down" }]);
  t.equal(world.incidents(world.a).length, 1);
  for (const region of [world.a, world.b]) world.thinks(region, "up");
  world.settle();
  world.nowMs += 600_000;
  world.settle("leaf");
  t.match(world.incidents(world.a).map(({ name, status }) => `${name} ${status}`).sort(), ["API is down resolved", "Leaf is down investigating"]);
});

t.test("an opinion about a monitor that was deleted goes nowhere", async (t) => {
  const world = watched();
  world.a.run(deleteMonitor("default", "m"));
  world.heal();
  world.thinks(world.b, "down");
  world.settle();
  t.same(world.incidents(world.b), []);
});
