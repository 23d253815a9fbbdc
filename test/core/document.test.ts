import fc from "fast-check";
import { randomInt } from "node:crypto";
import t from "tap";
import { CHAIN, type Operation } from "../../src/core/change.js";
import { canonical, createdMs, decodeSection, disagree, DocumentState, encodeSection } from "../../src/core/document.js";
import { equalVectors } from "../../src/core/vector.js";
import { chooser, DOCUMENT, identityOf, playHistory, reorder, steps, type HistoryEntry, type Step } from "../store/random-history.js";

const seed = Number(process.env["STATUSMESH_TEST_SEED"] ?? randomInt(2 ** 31));
t.comment(`seed ${seed}`);
const options = { seed, numRuns: 200 };

function replay(entries: readonly HistoryEntry[]): DocumentState {
  const state = new DocumentState(DOCUMENT);
  for (const { change, dot, body } of entries) state.apply(change, dot, identityOf(body));
  return state;
}

/** Everything that a state holds, as a text. Sections and fields in a fixed order. */
function textOf(state: DocumentState): string {
  const sections = [...state.sections].sort(([a], [b]) => (a < b ? -1 : 1)).map(([id, section]) => {
    const sorted = <T>(map: ReadonlyMap<string, T>): [string, T][] => [...map].sort(([a], [b]) => (a < b ? -1 : 1));
    const sets = sorted(section.sets).filter(([, set]) => set.size > 0).map(([field, set]) => [field, sorted(set)]);
    return [id, section.born, section.dead, section.touched, section.creations, sorted(section.registers), sets, sorted(section.counters)];
  });
  return canonical(JSON.parse(JSON.stringify({ sections, touched: state.touched, alive: state.alive, deleted: state.deleted, version: state.version })));
}

function covered(entry: HistoryEntry, by: HistoryEntry): boolean {
  return (by.change.context[entry.dot.origin] ?? 0) >= entry.dot.seq;
}

t.test("the same changes in any causal order give the same state, vector and digest", async (t) => {
  fc.assert(
    fc.property(steps, fc.integer(), (script, order) => {
      const { entries, state } = playHistory(script);
      const other = replay(reorder(entries, chooser(order)));
      return textOf(other) === textOf(state) && equalVectors(other.vector, state.vector) && Buffer.from(other.digest).equals(state.digest);
    }),
    options,
  );
  t.pass("converged");
});

t.test("the siblings of a register are exactly the writes that no other write saw, the latest first", async (t) => {
  fc.assert(
    fc.property(steps, (script) => {
      const { entries, state } = playHistory(script);
      for (const [id, section] of state.sections) {
        if (section.dead !== null) {
          if (section.registers.size + section.sets.size + section.counters.size > 0) return false;
          continue;
        }
        for (const [field, siblings] of section.registers) {
          const isWrite = ({ change }: HistoryEntry): boolean => change.operations.some((operation) => operation.op === "set" && operation.section === id && operation.field === field);
          const writes = entries.filter(isWrite);
          const expected = writes.filter((write) => !writes.some((other) => other !== write && covered(write, other)));
          const found = siblings.map(({ origin, seq }) => `${origin} ${seq}`).sort();
          if (canonical(found) !== canonical(expected.map(({ dot }) => `${dot.origin} ${dot.seq}`).sort())) return false;
          if (siblings.some((sibling, index) => index > 0 && sibling.hlc > (siblings[index - 1]?.hlc ?? ""))) return false;
        }
      }
      return true;
    }),
    options,
  );
  t.pass("siblings");
});

t.test("an element is in a set exactly while an add of it was not seen by a remove", async (t) => {
  fc.assert(
    fc.property(steps, (script) => {
      const { entries, state } = playHistory(script);
      const touches = ({ change }: HistoryEntry, id: string, field: string, element: string): Operation[] =>
        change.operations.filter((operation) => (operation.op === "add" || operation.op === "remove") && operation.section === id && operation.field === field && operation.element === element);
      for (const [id, section] of state.sections) {
        if (section.dead !== null) continue;
        for (const [field, set] of section.sets) {
          const elements = new Set(entries.flatMap(({ change }) => change.operations.flatMap((operation) => (operation.op === "add" && operation.section === id && operation.field === field ? [operation.element] : []))));
          for (const element of elements) {
            const touching = entries.filter((entry) => touches(entry, id, field, element).length > 0);
            const isIn = touching.some((entry) => touches(entry, id, field, element).at(-1)?.op === "add" && !touching.some((other) => other !== entry && covered(entry, other)));
            if (set.has(element) !== isIn) return false;
          }
        }
      }
      return true;
    }),
    options,
  );
  t.pass("add wins");
});

t.test("a section comes back from its bytes as it was, and goes on merging", async (t) => {
  fc.assert(
    fc.property(steps, (script) => {
      const { state, entries } = playHistory(script);
      const copy = replay(entries);
      for (const [id, section] of copy.sections) copy.sections.set(id, decodeSection(encodeSection(section)));
      return textOf(copy) === textOf(state);
    }),
    options,
  );
  t.pass("equal");
});

t.test("a copy shares nothing: what is written to it does not show in the original", async (t) => {
  fc.assert(
    fc.property(steps, fc.nat(), (script, cut) => {
      const { entries } = playHistory(script);
      const half = cut % (entries.length + 1);
      const original = replay(entries.slice(0, half));
      const before = textOf(original);
      const copy = original.clone();
      for (const { change, dot, body } of entries.slice(half)) copy.apply(change, dot, identityOf(body));
      return textOf(original) === before && textOf(copy) === textOf(replay(entries));
    }),
    options,
  );
  t.pass("apart");
});

const create: Step = { write: 0, decided: false, operations: [{ op: "create", section: "" }, { op: "set", section: "", field: "name", value: "API", was: null }] };

t.test("a delete wins over a concurrent edit and over everything that comes later", async (t) => {
  const { state } = playHistory([
    create, { from: 0, to: 1 },
    { write: 0, decided: false, operations: [{ op: "delete", section: "" }] },
    { write: 1, decided: false, operations: [{ op: "set", section: "", field: "name", value: "edited", was: "API" }, { op: "create", section: "" }] },
    { from: 0, to: 1 },
    { write: 1, decided: false, operations: [{ op: "set", section: "", field: "name", value: "later", was: null }, { op: "add", section: "", field: "labels", element: "x" }, { op: "count", section: "", field: "n", by: 5 }] },
  ]);
  t.ok(state.deleted);
  t.notOk(state.alive);
  t.equal(state.root?.registers.size, 0);
  t.equal(state.root?.sets.size, 0);
  t.ok(createdMs(state) > 0, "when it was created stays known");
});

t.test("concurrent counts add up, and one change is applied once", async (t) => {
  const { entries, state } = playHistory([create, { from: 0, to: 1 }, { from: 0, to: 2 }, ...[0, 1, 2].map((write): Step => ({ write, decided: false, operations: [{ op: "count", section: "", field: "n", by: write + 1 }] }))]);
  t.equal(state.root?.counters.get("n"), 6);
  const last = entries.at(-1);
  if (last === undefined) throw new Error("no entry");
  t.throws(() => state.apply(last.change, last.dot, identityOf(last.body)), /once/);
  t.throws(() => new DocumentState(DOCUMENT).apply(last.change, last.dot, identityOf(last.body)), /depends on/);
  t.throws(() => new DocumentState("default/component/other").apply(last.change, last.dot, identityOf(last.body)), /own document/);
});

t.test("versions of a chain follow each other", async (t) => {
  const { entries } = playHistory([create, { write: 0, decided: true, operations: [] }]);
  const decided = entries[1];
  if (decided === undefined) throw new Error("no entry");
  const state = replay(entries.slice(0, 1));
  t.throws(() => state.apply(decided.change, { origin: CHAIN, seq: 2 }, identityOf(decided.body)), /follow each other/);
  state.apply(decided.change, decided.dot, identityOf(decided.body));
  t.equal(state.version, 1);
});

t.test("siblings with one value do not disagree, whatever the order of their members", async (t) => {
  const sibling = { origin: "a.1", seq: 1, hlc: "0".repeat(32), region: "r", replica: "r-1", actor: "k", was: null };
  t.notOk(disagree([]));
  t.notOk(disagree([{ ...sibling, value: { a: 1, b: [2] } }, { ...sibling, seq: 2, value: { b: [2], a: 1 } }]));
  t.ok(disagree([{ ...sibling, value: 1 }, { ...sibling, seq: 2, value: "1" }]));
});
