import fc from "fast-check";
import { randomInt } from "node:crypto";
import t from "tap";
import type { Json } from "../../src/core/change.js";
import type { Sibling } from "../../src/core/document.js";
import { COMPONENT_STATUSES, IMPACTS, ruleOf, shown } from "../../src/store/conflicts.js";

const seed = Number(process.env["STATUSMESH_TEST_SEED"] ?? randomInt(2 ** 31));
t.comment(`seed ${seed}`);

/** Siblings as a register holds them: the latest first. */
function siblings(...values: readonly (readonly [value: Json, was?: Json])[]): Sibling[] {
  return values.map(([value, was], index) => ({ origin: `r${index}.1`, seq: 1, hlc: String(values.length - index).padStart(32, "0"), region: "r", replica: "r-1", actor: "k", value, was: was ?? null }));
}

const value = (type: string, field: string, found: readonly Sibling[]): Json => shown(type, field, found)?.value ?? null;

t.test("of concurrent component statuses the worst is shown, however late it was written", async (t) => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...COMPONENT_STATUSES), { minLength: 1, maxLength: 5 }), (statuses) => {
      const worst = Math.max(...statuses.map((status) => COMPONENT_STATUSES.indexOf(status)));
      const found = siblings(...statuses.map((status) => [status] as const));
      return value("component", "status", found) === COMPONENT_STATUSES[worst] && value("incident", "components.c1", found) === COMPONENT_STATUSES[worst];
    }),
    { seed },
  );
  for (const [index, impact] of IMPACTS.entries()) t.equal(value("incident", "impact_override", siblings([IMPACTS[0]], [impact], [null])), IMPACTS[index]);
});

t.test("a concurrent reopening wins over every concurrent resolve, otherwise the later one is shown", async (t) => {
  const status = (...values: readonly (readonly [Json, Json?])[]): Json => value("incident", "status", siblings(...values));
  t.equal(status(["resolved", "investigating"], ["monitoring", "investigating"]), "resolved");
  t.equal(status(["monitoring", "investigating"], ["resolved", "investigating"]), "monitoring");
  t.equal(status(["postmortem", "resolved"], ["investigating", "resolved"]), "investigating");
  t.equal(status(["resolved", "monitoring"], ["identified", "resolved"], ["investigating", "postmortem"]), "identified");
});

t.test("of other fields the latest is shown, and a text keeps its siblings", async (t) => {
  t.equal(value("component", "name", siblings(["later"], ["earlier"])), "later");
  t.equal(ruleOf("component", "name"), "siblings");
  t.equal(ruleOf("component", "position"), "lww");
  t.equal(ruleOf("incident", "components.anything"), "worst");
  t.equal(shown("component", "name", undefined), undefined);
  t.equal(shown("component", "name", []), undefined);
});

t.test("no name that a peer makes up finds a rule that is none", async (t) => {
  const names = ["constructor", "__proto__", "toString", "__proto__.x", "constructor.y", "hasOwnProperty"];
  for (const type of [...names, "component", "incident", "maintenance"]) {
    for (const field of names) {
      t.equal(ruleOf(type, field), "siblings", `${type} ${field}`);
      t.equal(value(type, field, siblings([1], [2])), 1);
    }
  }
});

t.test("what a page chose decides only where it is a choice, and a handler of another version is none", async (t) => {
  const found = siblings(["operational"], ["major_outage"], ["partial_outage"]);
  const by = (rule: string, field = "component.status") => shown("component", "status", found, () => new Map([[field, rule]]))?.value;
  t.same(["lww", "siblings", "worst", "custom:best", "custom:earliest"].map((rule) => by(rule)), ["operational", "operational", "major_outage", "operational", "partial_outage"]);
  for (const rule of ["custom:later-version", "incident-status", "toString", ""]) t.equal(by(rule), "major_outage", rule);
  t.equal(by("lww", "incident.status"), "major_outage", "of another field");
  t.equal(shown("incident", "components.c1", found, () => new Map([["incident.components", "lww"]]))?.value, "operational", "one choice for all components");
  t.equal(ruleOf("component", "position", new Map([["component.position", "custom:earliest"]])), "lww", "the order of a list is nobody's choice");
});
