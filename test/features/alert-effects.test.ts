/** Alerts that two regions take in, while they are together and while they are cut apart. */
import fc from "fast-check";
import t from "tap";
import { keyOf } from "../../src/core/document.js";
import { isFault } from "../../src/core/errors.js";
import { alertLimits } from "../../src/core/limits.js";
import { hear, later, type Alert, type ToldAlert } from "../../src/features/alerts/alert.js";
import { receiveCommand, settleCommand } from "../../src/features/alerts/alert-effects.js";
import { groupKeyOf, presentGroup } from "../../src/features/alerts/alert-group.js";
import { fromPrometheus } from "../../src/features/alerts/payloads.js";
import { createWebhook } from "../../src/features/alerts/webhook.js";
import { createComponent, patchComponent } from "../../src/features/components/commands.js";
import { createIncident, patchIncident } from "../../src/features/incidents/commands.js";
import { presentIncident } from "../../src/features/incidents/incident.js";
import { createMaintenance, patchMaintenance } from "../../src/features/maintenances/commands.js";
import { alertmanagerBody, START, type SentAlert } from "./alert-senders.js";
import { World as MergeWorld, type Region } from "./merge-world.js";

const incidents = { open: createIncident };

class World extends MergeWorld {
  constructor() {
    super();
    this.nowMs = START;
    const page = keyOf("~", "page", "default");
    this.a.run({ name: "page", subject: page, plan: () => ({ changes: [{ document: page, operations: [{ op: "create", section: "" }] }] }), answer: () => ({ status: 204, body: null }) });
    for (const [id, name] of [["api", "API"], ["shop", "Shop"]] as const) this.a.body(createComponent("default", id, { name }));
    this.a.body(createWebhook("default", "w", "secret", { name: "w", source: "alertmanager", rules: [
      { matchers: [{ name: "severity", value: "warning" }], component_id: "api", component_status: "partial_outage" }, { matchers: [{ name: "service", value: "shop" }], component_id: "shop" },
      { matchers: [{ name: "alertname", operator: "!=", value: "Other" }], component_id: "api" },
    ] }));
    this.heal();
  }

  /** A notification arrives in a region. */
  sends(region: Region, ...alerts: SentAlert[]): string[] {
    this.nowMs += 1_000;
    const notification = fromPrometheus("alertmanager", alertmanagerBody(alerts));
    const key = groupKeyOf(region.snapshot, "default", "alertmanager", notification.groupKey);
    if (isFault(key)) throw new Error(key.detail);
    let outcomes: string[] = [];
    const answer = region.run(receiveCommand({ page: "default", key, notification, alerts: notification.alerts, incidents, observe: (seen) => { outcomes = seen.map(({ outcome }) => outcome); } }), "system");
    if (isFault(answer)) throw new Error(answer.detail);
    return outcomes;
  }

  /** The regions exchange what they have, and look at every group until nothing is left to do. */
  settle(): void {
    this.heal();
    for (let round = 0; round < 4; round++) {
      for (const region of [this.a, this.b]) for (const { key } of region.snapshot.list("default", "alert-group")) region.run(settleCommand(key, incidents), "system");
      this.heal();
    }
  }

  incidents(region: Region) {
    return region.snapshot.list("default", "incident").map(({ key }) => presentIncident(region.reader(key), region.snapshot));
  }

  groups(region: Region) {
    return region.snapshot.list("default", "alert-group").map(({ key }) => presentGroup(region.reader(key), region.snapshot));
  }

  status(region: Region, component = "api"): unknown {
    return region.reader(keyOf("default", "component", component)).value("status");
  }

  get writes(): number {
    return this.a.log.length + this.b.log.length;
  }
}

t.test("two regions that take in the same alert make one incident with one first update, and its end ends it in both", async (t) => {
  const world = new World();
  for (const region of [world.a, world.b]) t.same(world.sends(region, {}), ["firing"]);
  world.settle();
  t.equal(world.incidents(world.a).length, 1);
  t.strictSame(world.incidents(world.a), world.incidents(world.b));
  t.match(world.incidents(world.a)[0], { status: "investigating", has_conflicts: false, incident_updates: { length: 1 } });
  for (const region of [world.a, world.b]) {
    t.equal(world.status(region), "major_outage");
    t.notOk(region.reader(keyOf("default", "component", "api")).hasConflicts);
  }
  for (const region of [world.a, world.b]) world.sends(region, { status: "resolved" });
  world.settle();
  t.match(world.incidents(world.b), [{ status: "resolved", incident_updates: { length: 2 } }]);
  t.strictSame(world.incidents(world.a), world.incidents(world.b));
  t.equal(world.status(world.a), "operational");
  const { writes } = world;
  for (const region of [world.a, world.b]) for (const status of ["firing", "resolved"] as const) world.sends(region, { status });
  world.settle();
  t.equal(world.writes, writes, "what comes again writes nothing");
});

t.test("one side of a cut hears the end, the other still the beginning: one incident, and it is over", async (t) => {
  const world = new World();
  world.sends(world.a, {});
  world.sends(world.a, { status: "resolved" });
  world.sends(world.b, {});
  t.match(world.incidents(world.b), [{ status: "investigating" }]);
  world.settle();
  for (const region of [world.a, world.b]) {
    t.match(world.incidents(region), [{ status: "resolved" }]);
    t.equal(world.incidents(region).length, 1);
    t.equal(world.status(region), "operational");
    t.notOk(region.reader(keyOf("default", "component", "api")).hasConflicts);
  }
});

t.test("an incident that got worse on the side that did not hear of its end leaves nothing behind", async (t) => {
  const world = new World();
  const warning: SentAlert = { name: "a", labels: { severity: "warning" } };
  world.sends(world.a, warning);
  world.settle();
  t.equal(world.status(world.b), "partial_outage");
  world.sends(world.a, { ...warning, status: "resolved" });
  world.sends(world.b, warning, { name: "b", start: START + 1_000 });
  t.equal(world.status(world.b), "major_outage");
  world.settle();
  t.equal(world.status(world.a), world.status(world.b));
  world.sends(world.b, { name: "b", start: START + 1_000, status: "resolved" });
  world.settle();
  for (const region of [world.a, world.b]) {
    t.equal(world.status(region), "operational");
    for (const incident of world.incidents(region)) t.equal(incident["status"], "resolved");
  }
  t.strictSame(world.incidents(world.a), world.incidents(world.b));
});

t.test("sides that heard of the group from different alerts on keep the earlier incident", async (t) => {
  const world = new World();
  world.sends(world.a, { name: "late", start: START + 60_000 });
  world.sends(world.b, { name: "early" }, { name: "late", start: START + 60_000 });
  world.settle();
  t.same(world.incidents(world.a).map(({ status }) => status).sort(), ["investigating", "resolved"]);
  t.strictSame(world.incidents(world.a), world.incidents(world.b));
  t.equal(world.status(world.a), "major_outage");
  world.sends(world.a, { name: "early", status: "resolved", end: START + 90_000 }, { name: "late", start: START + 60_000, status: "resolved", end: START + 90_000 });
  world.settle();
  t.same(new Set(world.incidents(world.b).map(({ status }) => status)), new Set(["resolved"]));
  t.equal(world.status(world.b), "operational");
});

t.test("what an operator did is left alone", async (t) => {
  const world = new World();
  world.sends(world.a, {});
  world.settle();
  const id = String(world.incidents(world.a)[0]?.["id"]);
  world.a.body(patchComponent("default", "api", { status: "degraded_performance" }));
  world.settle();
  world.sends(world.b, {}, { name: "more", labels: { severity: "warning" }, start: START + 5_000 });
  world.settle();
  t.equal(world.status(world.b), "degraded_performance", "a component that was set by hand");
  world.sends(world.b, { status: "resolved" }, { name: "more", status: "resolved", start: START + 5_000 });
  world.settle();
  t.equal(world.status(world.a), "degraded_performance", "also when the alerts are over");
  t.match(world.incidents(world.a), [{ id, status: "resolved" }]);

  world.sends(world.a, { start: START + 3_600_000 });
  world.settle();
  const second = String(world.incidents(world.b)[0]?.["id"]);
  t.not(second, id);
  world.b.body(patchIncident("default", second, "by-hand", { status: "resolved" }));
  world.sends(world.a, { start: START + 3_600_000 }, { name: "more", start: START + 3_601_000 });
  world.settle();
  t.match(world.incidents(world.a).map(({ status }) => status), ["resolved", "resolved"], "an incident that somebody ended is not opened again");
});

t.test("an alert that begins again with its old start, long after its end, fires again", async (t) => {
  const world = new World();
  world.sends(world.a, {});
  world.sends(world.a, { status: "resolved" });
  world.settle();
  t.same(world.sends(world.b, {}), ["stale"]);
  world.nowMs += alertLimits.refireAfterMs;
  for (const region of [world.a, world.b]) t.same(world.sends(region, {}), ["firing"]);
  world.settle();
  t.same(world.incidents(world.a).map(({ status }) => status).sort(), ["investigating", "resolved"]);
  t.strictSame(world.incidents(world.a), world.incidents(world.b));
});

t.test("a maintenance of its component keeps the incident away until it is over", async (t) => {
  const world = new World();
  world.a.body(createMaintenance("default", "mt", "u1", { name: "M", status: "in_progress", scheduled_for: "2026-01-01T00:00:00Z", scheduled_until: "2026-01-02T00:00:00Z", components: { api: "under_maintenance" } }));
  world.sends(world.a, {});
  world.settle();
  t.same(world.incidents(world.b), []);
  t.equal(world.status(world.b), "under_maintenance");
  world.a.body(patchMaintenance("default", "mt", "u2", { status: "completed" }));
  world.settle();
  t.equal(world.incidents(world.b).length, 1);
});

t.test("a group is forgotten when it has had its time, and comes back as another document", async (t) => {
  const world = new World();
  world.sends(world.a, {});
  world.settle();
  world.nowMs += 2 * alertLimits.alertGroupKeptMs;
  world.settle();
  t.equal(world.groups(world.a).length, 1, "not while something fires");
  world.sends(world.a, { status: "resolved", end: world.nowMs });
  world.settle();
  world.nowMs += alertLimits.alertGroupKeptMs + 1_000;
  world.settle();
  t.same(world.groups(world.b), []);
  const start = world.nowMs;
  for (const region of [world.a, world.b]) world.sends(region, { start });
  world.settle();
  t.equal(world.groups(world.b).length, 1);
  t.equal(world.incidents(world.b).length, 2);
  t.strictSame(world.incidents(world.a), world.incidents(world.b));
});

t.test("however notifications are repeated and mixed, both regions agree, and what is over everywhere is over", async (t) => {
  const seed = Date.now() % 2 ** 31;
  t.comment(`seed ${seed}`);
  const alert = fc.record({ name: fc.constantFrom("a", "b"), status: fc.constantFrom("firing", "resolved"), start: fc.constantFrom(START, START + 200_000) });
  const step = fc.record({ region: fc.constantFrom("a", "b"), alerts: fc.array(alert, { minLength: 1, maxLength: 2 }), heals: fc.boolean() });
  let opened = 0;
  fc.assert(fc.property(fc.array(step, { minLength: 1, maxLength: 8 }), (steps) => {
    const world = new World();
    for (const { region, alerts, heals } of steps) {
      world.sends(world[region as "a" | "b"], ...(alerts as SentAlert[]));
      if (heals) world.heal();
    }
    world.settle();
    const fires = world.groups(world.a).some((group) => Number(group["firing"]) > 0);
    const [here, there] = [world.a, world.b].map((region) => world.incidents(region));
    const open = here?.filter(({ status }) => status === "investigating").length ?? 0;
    opened += open;
    if (JSON.stringify(here) !== JSON.stringify(there)) return false;
    if (open !== (fires ? 1 : 0)) return false;
    if (world.status(world.a) !== (fires ? "major_outage" : "operational")) return false;
    for (const name of ["a", "b"]) for (const start of [START, START + 200_000]) world.sends(world.b, { name, start, status: "resolved", end: START + 999_999 });
    world.settle();
    return world.incidents(world.a).every(({ status }) => status === "resolved") && world.status(world.a) === "operational";
  }), { numRuns: 150, seed });
  t.ok(opened > 0, "some of them opened incidents");
});

t.test("what counts of two things that were heard does not depend on their order", async (t) => {
  const seed = Date.now() % 2 ** 31;
  t.comment(`seed ${seed}`);
  const told: fc.Arbitrary<ToldAlert> = fc.record({ fingerprint: fc.constant("f"), status: fc.constantFrom("firing", "resolved"), start: fc.integer({ min: 1, max: 5 }), end: fc.option(fc.integer({ min: 1, max: 6 })), labels: fc.constant({}), annotations: fc.constant({}) });
  const heard = fc.tuple(told, fc.array(told, { maxLength: 3 }), fc.integer({ min: 1, max: 9 })).map(([first, rest, now]) => [first, ...rest].reduce<Alert | undefined>((held, next) => {
    const outcome = hear(held, next, now);
    return "alert" in outcome ? outcome.alert : held;
  }, undefined));
  fc.assert(fc.property(heard, heard, (a, b) => a !== undefined && b !== undefined && JSON.stringify(later(a, b)) === JSON.stringify(later(b, a))), { seed, numRuns: 2_000 });
});
