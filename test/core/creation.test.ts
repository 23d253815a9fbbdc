import fc from "fast-check";
import { randomInt } from "node:crypto";
import t from "tap";
import type { Operation } from "../../src/core/change.js";
import { canonical, decodeSection, DocumentState, encodeSection } from "../../src/core/document.js";
import { DocumentReader } from "../../src/store/document-reader.js";
import { ruleOf, type PageRules } from "../../src/store/conflicts.js";
import { chooser, identityOf, ORIGINS, playHistory, reorder, type HistoryEntry, type Step } from "../store/random-history.js";

const seed = Number(process.env["STATUSMESH_TEST_SEED"] ?? randomInt(2 ** 31));
t.comment(`seed ${seed}`);
const options = { seed, numRuns: 400 };

const KEY = "acme/component/api";
const FIELDS = ["name", "status"] as const;
const STATUSES = ["operational", "degraded_performance", "major_outage"];

/** What regions do with one component: create it, as long as they hold none, or edit it; and exchange what they hold. */
const deeds = fc.array(
  fc.oneof(
    { weight: 3, arbitrary: fc.record({ at: fc.nat({ max: 2 }), decided: fc.boolean(), field: fc.constantFrom(...FIELDS, "labels" as const), choice: fc.nat({ max: 2 }) }) },
    { weight: 2, arbitrary: fc.record({ from: fc.nat({ max: 2 }), to: fc.nat({ max: 2 }) }) },
  ),
  { minLength: 2, maxLength: 24, size: "max" },
);

/** Two bodies that a creation may have, so that most of them meet their like. */
function creation(choice: number): Operation[] {
  const body = choice === 2 ? 1 : 0;
  return [
    { op: "create", section: "" }, { op: "set", section: "", field: "name", value: `created ${body}`, was: null },
    { op: "set", section: "", field: "status", value: STATUSES[2 * body] ?? "", was: null }, { op: "add", section: "", field: "labels", element: "first" },
  ];
}

function scriptOf(done: typeof deeds extends fc.Arbitrary<infer T> ? T : never): Step[] {
  const holds = ORIGINS.map(() => false);
  return done.map((deed, number): Step => {
    if ("from" in deed) {
      holds[deed.to] ||= holds[deed.from] === true;
      return deed;
    }
    const { at, decided, field, choice } = deed;
    const isNew = holds[at] !== true;
    holds[at] = true;
    if (isNew) return { write: at, decided, operations: creation(choice) };
    const edit: Operation = field === "labels"
      ? { op: choice === 0 ? "add" : "remove", section: "", field, element: "first" }
      : { op: "set", section: "", field, value: field === "name" ? `edit ${number}` : (STATUSES[choice] ?? ""), was: null };
    return { write: at, decided, operations: [edit] };
  });
}

function replay(entries: readonly HistoryEntry[]): DocumentState {
  const state = new DocumentState(KEY);
  for (const { change, dot, body } of entries) state.apply(change, dot, identityOf(body));
  return state;
}

function stored(state: DocumentState): DocumentState {
  const copy = state.clone();
  for (const [id, section] of state.sections) copy.sections.set(id, decodeSection(encodeSection(section)));
  return copy;
}

/** Everything that clients are shown. */
function viewOf(state: DocumentState, rules?: PageRules): string {
  const reader = new DocumentReader(state, () => rules);
  return canonical(JSON.parse(JSON.stringify({
    fields: FIELDS.map((field) => [field, reader.value(field), reader.author(field)]), labels: reader.elements("labels"),
    conflicts: reader.conflicts(), has: reader.hasConflicts, created: reader.createdAt, etag: reader.etag,
  })));
}

const sees = (later: HistoryEntry, earlier: HistoryEntry): boolean => (later.change.context[earlier.dot.origin] ?? 0) >= earlier.dot.seq;
const isCreation = ({ change }: HistoryEntry): boolean => change.operations.some(({ op }) => op === "create");
const contentOf = ({ change }: HistoryEntry): string => canonical(JSON.parse(JSON.stringify(change.operations)));
const writtenTo = ({ change }: HistoryEntry, field: string): unknown => change.operations.flatMap((operation) => (operation.op === "set" && operation.field === field ? [operation.value] : []))[0];

/** The writes of a field or set that count, found from the changes alone: a creation's is out once an edit has seen a creation that says the same. */
function standingOf(entries: readonly HistoryEntry[], field: string): HistoryEntry[] {
  const writes = entries.filter(({ change }) => change.operations.some((operation) => "field" in operation && operation.field === field));
  const likes = (entry: HistoryEntry): HistoryEntry[] => (isCreation(entry) ? writes.filter((other) => isCreation(other) && contentOf(other) === contentOf(entry)) : [entry]);
  return writes.filter((write) => !writes.some((later) => !isCreation(later) && likes(write).some((like) => later !== like && sees(later, like))));
}

t.test("however the changes came, a creation shows where nobody has edited, and is listed only if nobody has seen its like", async (t) => {
  let repeated = 0;
  fc.assert(
    fc.property(deeds, fc.integer(), (done, order) => {
      const { entries, state } = playHistory(scriptOf(done), KEY);
      if (!state.alive) return;
      const other = replay(reorder(entries, chooser(order)));
      for (const one of [other, stored(other), stored(state)]) if (viewOf(one) !== viewOf(state)) throw new Error(`${viewOf(one)}\n${viewOf(state)}`);
      const reader = new DocumentReader(state);
      for (const field of FIELDS) {
        const standing = standingOf(entries, field);
        const edits = standing.filter((entry) => !isCreation(entry));
        const latest = [...(edits.length > 0 ? edits : standing)].sort((a, b) => (a.change.hlc > b.change.hlc ? -1 : 1));
        const severity = (entry: HistoryEntry): number => STATUSES.indexOf(String(writtenTo(entry, field)));
        const expected = ruleOf("component", field) === "worst" ? latest.reduce((worst, entry) => (severity(entry) > severity(worst) ? entry : worst)) : latest[0];
        if (reader.value(field) !== writtenTo(expected as HistoryEntry, field)) throw new Error(`${field} shows ${String(reader.value(field))} and not ${String(writtenTo(expected as HistoryEntry, field))}`);
        const values = new Set(standing.map((entry) => writtenTo(entry, field)));
        const listed = reader.conflicts().find((conflict) => conflict.field === field)?.values.map(({ value }) => value) ?? [];
        if (canonical([...new Set(listed)].sort() as string[]) !== canonical((values.size < 2 ? [] : [...values]).sort() as string[])) throw new Error(`${field} lists ${listed.join()} and not ${[...values].join()}`);
        if (standing.length < (state.root?.registers.get(field)?.length ?? 0)) repeated++;
      }
      const isIn = standingOf(entries, "labels").some(({ change }) => change.operations.some(({ op }) => op === "add"));
      if (reader.elements("labels").includes("first") !== isIn) throw new Error(`the label is ${isIn ? "gone" : "back"}`);
    }),
    options,
  );
  t.ok(repeated > 0, "creations came late");
});

t.test("no rule that a page may choose lets a creation win over an edit", async (t) => {
  fc.assert(
    fc.property(deeds, fc.constantFrom("lww", "worst", "siblings", "custom:earliest", "custom:best"), (done, rule) => {
      const { entries, state } = playHistory(scriptOf(done), KEY);
      if (!state.alive) return true;
      const edits = standingOf(entries, "status").filter((entry) => !isCreation(entry));
      const author = new DocumentReader(state, () => new Map([["component.status", rule]])).author("status");
      return edits.length === 0 || edits.some(({ change }) => change.hlc === author?.hlc);
    }),
    options,
  );
  t.pass("edits are shown");
});

t.test("a section stored by a version that noted no creations is read, and its values rank as edits", async (t) => {
  const { state } = playHistory([{ write: 0, decided: false, operations: creation(0) }, { write: 1, decided: false, operations: creation(0) }], KEY);
  const root = state.root;
  if (root === undefined) throw new Error("there is no root");
  const { f: noted, ...before } = JSON.parse(encodeSection(root)) as Record<string, unknown>;
  t.equal((noted as unknown[]).length, 2);
  const read = decodeSection(JSON.stringify(before));
  t.same(read.creations, []);
  t.equal(read.registers.get("name")?.length, 2);
});

t.test("two runs of one request are one creation, though a default came out differently", async (t) => {
  const create = (position: number): Operation[] => [...creation(0), { op: "set", section: "", field: "position", value: position, was: null }];
  const rename: Operation = { op: "set", section: "", field: "name", value: "renamed", was: "created 0" };
  const shown = (operationIds: readonly string[]): readonly [unknown, number] => {
    const { entries } = playHistory([{ write: 0, decided: false, operations: create(3) }, { write: 0, decided: false, operations: [rename] }, { write: 1, decided: false, operations: create(4) }], KEY);
    const ids = ["first request", ...operationIds];
    const reader = new DocumentReader(replay(entries.map((entry, number) => ({ ...entry, change: number === 1 ? entry.change : { ...entry.change, operationIds: [ids[number === 0 ? 0 : 1] ?? ""] } }))));
    return [reader.value("name"), reader.conflicts().filter(({ field }) => field === "name").length];
  };
  t.same(shown(["first request"]), ["renamed", 0]);
  t.same(shown(["another request"]), ["renamed", 1], "another request under this id waits for a decision");
});

t.test("an update that is posted on both sides of a cut and corrected on one stays corrected", async (t) => {
  const post: Operation[] = [{ op: "create", section: "u1" }, { op: "set", section: "u1", field: "body", value: "We look into it.", was: null }];
  const { state } = playHistory([
    { write: 0, decided: false, operations: creation(0) }, { from: 0, to: 1 },
    { write: 0, decided: false, operations: post },
    { write: 0, decided: false, operations: [{ op: "set", section: "u1", field: "body", value: "We have found it.", was: "We look into it." }] },
    { write: 1, decided: false, operations: post },
  ], KEY);
  const reader = new DocumentReader(state);
  t.equal(reader.value("body", "u1"), "We have found it.");
  t.notOk(reader.sectionHasConflicts("u1"));
  t.same(reader.conflicts(), []);
});
