import fc from "fast-check";
import { randomInt } from "node:crypto";
import t from "tap";
import { encodeChange } from "../../src/core/change.js";
import { canonical, type DocumentState } from "../../src/core/document.js";
import { equalVectors } from "../../src/core/vector.js";
import { archivedChanges, ArchiveDamage, archiveOf, DocumentsCache, foldChanges, heads, materialize, UnfoldableChange, type ArchivedDocument, type ArchivedSection } from "../../src/store/documents.js";
import { batches, chooser, DOCUMENT, identityOf, ORIGINS, playHistory, reorder, steps, type HistoryEntry, type Step } from "./random-history.js";

const seed = Number(process.env["STATUSMESH_TEST_SEED"] ?? randomInt(2 ** 31));
t.comment(`seed ${seed}`);
const options = { seed, numRuns: Number(process.env["STATUSMESH_TEST_RUNS"] ?? 150), endOnFailure: false };

function foldInBatches(ordered: readonly HistoryEntry[], choose: (bound: number) => number, cache?: DocumentsCache): ArchivedDocument {
  let archived: ArchivedDocument | undefined;
  for (const batch of batches(ordered, choose)) archived = foldChanges(archived, DOCUMENT, batch, cache);
  if (archived === undefined) throw new Error("nothing was folded");
  return archived;
}

const writes = steps.filter((script) => script.some((step) => "write" in step));

t.test("regions that fold the same changes in different orders and batches get the same Automerge heads", async (t) => {
  fc.assert(
    fc.property(writes, fc.integer(), fc.integer(), (script, first, second) => {
      const { entries } = playHistory(script);
      using cache = new DocumentsCache(2);
      const a = foldInBatches(entries, chooser(first), cache);
      const b = foldInBatches(reorder(entries, chooser(second)), chooser(first ^ second));
      const c = foldChanges(undefined, DOCUMENT, reorder(entries, chooser(first)));
      return canonical(heads(a)) === canonical(heads(b)) && canonical(heads(b)) === canonical(heads(c)) && equalVectors(a.vector, b.vector) && a.count === entries.length;
    }),
    options,
  );
  t.pass("equal heads");
});

t.test("the Automerge document shows the siblings, sets, counters and deletions that the merged state holds", async (t) => {
  fc.assert(
    fc.property(writes, fc.integer(), (script, order) => {
      const { entries, state } = playHistory(script);
      const archived = foldInBatches(reorder(entries, chooser(order)), chooser(order));
      const shown = canonical(viewOfArchive(materialize(archived)));
      const merged = canonical(viewOfState(state));
      if (shown !== merged) throw new Error(`Automerge: ${shown}\nmerged: ${merged}`);
    }),
    options,
  );
  t.pass("equal views");
});

t.test("an archive gives back every change byte for byte, in an order in which each follows its context", async (t) => {
  fc.assert(
    fc.property(writes, fc.integer(), (script, order) => {
      const { entries, state } = playHistory(script);
      const back = archivedChanges(foldInBatches(reorder(entries, chooser(order)), chooser(order)));
      const identities = (changes: readonly { body: Uint8Array }[]): string[] => changes.map(({ body }) => Buffer.from(identityOf(body)).toString("hex")).sort();
      if (canonical(identities(back)) !== canonical(identities(entries))) throw new Error("other changes came back");
      const replayed = playBack(back, state.key);
      return Buffer.from(replayed.digest).equals(state.digest) && equalVectors(replayed.vector, state.vector);
    }),
    options,
  );
  t.pass("equal bodies");
});

t.test("a change that comes again is passed over, in the same batch and in a later one", async (t) => {
  const { entries } = playHistory(concurrentUpdates);
  const once = foldChanges(undefined, DOCUMENT, entries);
  t.same(heads(foldChanges(undefined, DOCUMENT, [...entries, ...entries])), heads(once));
  t.equal(foldChanges(once, DOCUMENT, entries), once, "nothing to do gives the snapshot itself");
});

const concurrentUpdates: Step[] = [
  { write: 0, decided: false, operations: [{ op: "create", section: "" }, { op: "set", section: "", field: "name", value: "API errors", was: null }] },
  { from: 0, to: 1 },
  { write: 0, decided: false, operations: [{ op: "create", section: "u1" }, { op: "set", section: "u1", field: "body", value: "from us-east", was: null }] },
  { write: 1, decided: false, operations: [{ op: "create", section: "u1" }, { op: "set", section: "u1", field: "status", value: "identified", was: null }, { op: "set", section: "u1", field: "body", value: "from eu-west", was: null }] },
  { from: 1, to: 0 },
  { write: 0, decided: true, operations: [{ op: "set", section: "", field: "name", value: "Errors", was: "API errors" }] },
];

t.test("a release that encodes changes otherwise than the one before is noticed", async (t) => {
  // Regions of different releases must get the same heads. Where this changes, stored archives no longer open.
  const { entries } = playHistory(concurrentUpdates);
  t.same(heads(foldChanges(undefined, DOCUMENT, entries)), ["f6c7f472993aad69d33f09fbf0aa255fa9274910a538c847e6424bd070eb7458"]);
});

t.test("two regions that begin the same section at once lose neither one's fields", async (t) => {
  const { entries } = playHistory(concurrentUpdates);
  const section = materialize(foldChanges(undefined, DOCUMENT, entries)).get("u1");
  t.same(section?.registers.get("status"), ["identified"]);
  t.same([...(section?.registers.get("body") ?? [])].sort(), ["from eu-west", "from us-east"]);
});

t.test("a delete hides a section for ever, and the edit made beside it stays in the history", async (t) => {
  const { entries } = playHistory([
    ...concurrentUpdates.slice(0, 2),
    { write: 0, decided: false, operations: [{ op: "delete", section: "" }] },
    { write: 1, decided: false, operations: [{ op: "set", section: "", field: "name", value: "Edited beside the delete", was: "API errors" }] },
  ]);
  const archived = foldChanges(undefined, DOCUMENT, entries);
  const root = materialize(archived).get("");
  t.equal(root?.dead, entries[1]?.change.hlc);
  t.equal(root?.registers.size, 0);
  t.match(Buffer.from(archivedChanges(archived)[2]?.body ?? []).toString(), /Edited beside/);
});

t.test("a change before its context, of another document, or that is not JSON is refused, and the snapshot stays good", async (t) => {
  const { entries } = playHistory(concurrentUpdates);
  const [first, second, third, decided] = entries;
  if (first === undefined || second === undefined || third === undefined || decided === undefined) throw new Error("the history is too short");
  using cache = new DocumentsCache();
  const archived = foldChanges(undefined, DOCUMENT, [first], cache);
  t.throws(() => foldChanges(archived, DOCUMENT, [second, decided], cache), UnfoldableChange);
  t.throws(() => foldChanges(archived, DOCUMENT, [{ dot: { origin: ORIGINS[2], seq: 1 }, body: encodeChange({ ...second.change, document: "acme/incident/other" }) }], cache), UnfoldableChange);
  t.throws(() => foldChanges(archived, DOCUMENT, [{ dot: { origin: ORIGINS[2], seq: 1 }, body: Buffer.from([0xff, 0xfe]) }], cache), UnfoldableChange);
  t.same(heads(foldChanges(archived, DOCUMENT, [third, second, decided], cache)), heads(foldChanges(undefined, DOCUMENT, entries)));
});

t.test("every flipped byte of a base or a chunk is told as damage", async (t) => {
  const archived = withChunks();
  const records = [archived.base, ...archived.chunks];
  let flips = 0;
  for (const [which, bytes] of records.entries()) {
    for (let i = 0; i < bytes.length; i += 7) {
      const [base, ...chunks] = records.map((record) => (record === bytes ? record.map((byte, at) => (at === i ? byte ^ 0x10 : byte)) : record));
      if (base === undefined) throw new Error("no base");
      flips++;
      for (const read of [() => archivedChanges({ ...archived, base, chunks }), () => foldChanges({ ...archived, base, chunks }, DOCUMENT, []), () => archiveOf(DOCUMENT, base, chunks)]) {
        if (!(failureOf(read) instanceof ArchiveDamage)) t.fail(`byte ${i} of record ${which} was flipped: ${String(failureOf(read))}`);
      }
    }
  }
  t.ok(flips > 500, `${flips} bytes flipped, one at a time`);
});

function failureOf(work: () => unknown): unknown {
  try {
    work();
    return undefined;
  } catch (error) {
    return error;
  }
}

t.test("a chunk that is missing, out of order, or of another document is told as damage", async (t) => {
  const archived = withChunks();
  const [first, second] = archived.chunks;
  if (first === undefined || second === undefined) throw new Error("no chunks");
  t.equal(archiveOf(DOCUMENT, archived.base, archived.chunks).count, archived.count, "whole, it opens");
  for (const chunks of [[second], [second, first], [first, first, second]]) t.throws(() => archivedChanges({ ...archived, chunks }), ArchiveDamage);
  t.throws(() => archivedChanges({ ...archived, chunks: [first] }), ArchiveDamage, "the last one missing");
  t.throws(() => archivedChanges({ ...archived, key: "acme/incident/other" }), ArchiveDamage);
});

function withChunks(): ArchivedDocument {
  const script = Array.from({ length: 60 }, (_, i): Step => ({ write: i % 3, decided: false, operations: [{ op: "set", section: `u${i}`, field: "body", value: `We see errors ${i * 7919}`, was: null }] }));
  const { entries } = playHistory(script);
  let archived = foldChanges(undefined, DOCUMENT, entries.slice(0, 56));
  archived = foldChanges(archived, DOCUMENT, entries.slice(56, 58));
  archived = foldChanges(archived, DOCUMENT, entries.slice(58));
  if (archived.chunks.length !== 2) throw new Error(`${archived.chunks.length} chunks instead of 2`);
  return archived;
}

interface View {
  readonly [section: string]: { born: string | null; dead: string | null; registers: [string, string[]][]; sets: [string, string[]][]; counters: [string, number][] };
}

function viewOfArchive(sections: ReadonlyMap<string, ArchivedSection>): View {
  return view([...sections].map(([id, { born, dead, registers, sets, counters }]) => ({ id, born, dead, registers: [...registers], sets: [...sets].map(([field, set]) => [field, [...set]]), counters: [...counters] })));
}

function viewOfState(state: DocumentState): View {
  return view(
    [...state.sections].map(([id, { born, dead, registers, sets, counters }]) => ({
      id, born: born?.hlc ?? null, dead: dead?.hlc ?? null,
      registers: [...registers].map(([field, siblings]) => [field, siblings.map(({ value }) => value)]),
      sets: [...sets].map(([field, set]) => [field, [...set.keys()]]), counters: [...counters],
    })),
  );
}

interface Listed {
  id: string;
  born: string | null;
  dead: string | null;
  registers: [string, Parameters<typeof canonical>[0][]][];
  sets: [string, string[]][];
  counters: [string, number][];
}

/** Sorted, without sections and sets that hold nothing. */
function view(sections: readonly Listed[]): View {
  const shown: [string, View[string]][] = [];
  for (const { id, born, dead, registers, sets, counters } of sections) {
    const filled = sets.filter(([, elements]) => elements.length > 0);
    if (born === null && dead === null && registers.length + filled.length + counters.length === 0) continue;
    shown.push([`§${id}`, {
      born, dead, registers: registers.map(([field, values]): [string, string[]] => [field, values.map(canonical).sort()]).sort(byName),
      sets: filled.map(([field, elements]): [string, string[]] => [field, elements.map((element) => JSON.stringify(element)).sort()]).sort(byName), counters: [...counters].sort(byName),
    }]);
  }
  return Object.fromEntries(shown.sort(byName));
}

function byName(a: readonly [string, unknown], b: readonly [string, unknown]): number {
  return a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0;
}

function playBack(changes: ReturnType<typeof archivedChanges>, key: string): DocumentState {
  const { entries } = { entries: changes.map(({ dot, body }) => ({ dot, body, change: JSON.parse(Buffer.from(body).toString()) })) };
  const state = playHistory([], key).state;
  for (const { change, dot, body } of entries) state.apply(change, dot, identityOf(body));
  return state;
}
