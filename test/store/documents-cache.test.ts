import { getBackend, init } from "@automerge/automerge";
import t from "tap";
import { encodeChange, type Operation } from "../../src/core/change.js";
import { encodeHlc } from "../../src/core/hlc.js";
import { archivedChanges, DocumentsCache, foldChanges, heads, type ArchivedDocument, type NamedChange } from "../../src/store/documents.js";
import { DOCUMENT, playHistory } from "./random-history.js";

const ORIGIN = "us-east-1.1";
const MIB = 1024 * 1024;

function changeOf(document: string, seq: number, operations: readonly Operation[]): NamedChange {
  const hlc = encodeHlc(1_763_696_000_000 + seq, 0, "0000000000aa");
  const context = seq === 1 ? {} : { [ORIGIN]: seq - 1 };
  return { dot: { origin: ORIGIN, seq }, body: encodeChange({ document, hlc, region: "us-east", replica: "us-east-1", actor: "key_1", context, operations }) };
}

function updates(document: string, from: number, count: number): NamedChange[] {
  return Array.from({ length: count }, (_, i) =>
    changeOf(document, from + i, [
      { op: "create", section: `u${from + i}` },
      { op: "set", section: `u${from + i}`, field: "body", value: `Requests fail with error ${(from + i) * 7919}, ${"we are looking into it ".repeat(8)}`, was: null },
      { op: "set", section: "", field: "status", value: (from + i) % 2 === 0 ? "identified" : "monitoring", was: null },
    ]),
  );
}

t.test("a document that grows is compacted now and then, and its chunks never outweigh its base", async (t) => {
  using cache = new DocumentsCache();
  let archived = foldChanges(undefined, DOCUMENT, updates(DOCUMENT, 1, 20), cache);
  let compactions = 0;
  let bytes = 0;
  for (let round = 1; round <= 60; round++) {
    const next = foldChanges(archived, DOCUMENT, updates(DOCUMENT, round * 20 + 1, 20), cache);
    if (next.base !== archived.base) {
      compactions++;
      t.equal(next.chunks.length, 0);
    }
    archived = next;
    bytes = archived.chunks.reduce((sum, chunk) => sum + chunk.length, 0);
    if (bytes > archived.base.length) t.fail("the chunks outweigh the base");
  }
  t.ok(compactions >= 3 && compactions <= 15, `${compactions} compactions in 60 folds`);
  t.equal(archived.count, 1_220);
  const json = archivedChanges(archived).reduce((sum, { body }) => sum + body.length, 0);
  t.ok(archived.base.length + bytes < json, `${archived.base.length + bytes} bytes stored for ${json} bytes of changes`);
  t.same(heads(archived), heads(foldChanges(undefined, DOCUMENT, updates(DOCUMENT, 1, 1_220))));
});

t.test("the cache holds no more documents than it may, and what left it folds on as before", async (t) => {
  using cache = new DocumentsCache(3);
  const archives = new Map<string, ArchivedDocument>();
  for (let round = 0; round < 3; round++) {
    for (let i = 0; i < 8; i++) {
      const document = `acme/incident/d${i}`;
      archives.set(document, foldChanges(archives.get(document), document, updates(document, round * 5 + 1, 5), cache));
      t.ok(cache.size <= 3);
    }
  }
  for (const [document, archived] of archives) t.same(heads(archived), heads(foldChanges(undefined, document, updates(document, 1, 15))));
});

t.test("a cached document is not used for an older archive of it", async (t) => {
  using cache = new DocumentsCache();
  const first = foldChanges(undefined, DOCUMENT, updates(DOCUMENT, 1, 3), cache);
  const second = foldChanges(first, DOCUMENT, updates(DOCUMENT, 4, 3), cache);
  const again = foldChanges(first, DOCUMENT, updates(DOCUMENT, 4, 3), cache);
  t.same(heads(again), heads(second));
  t.equal(again.count, 6);
});

t.test("changes without an operation, which only close a version, are folded and come back", async (t) => {
  const empty = { decided: true, operations: [] };
  const { entries } = playHistory([
    { write: 0, ...empty }, { write: 1, decided: false, operations: [{ op: "create", section: "" }] }, { from: 0, to: 1 }, { write: 1, ...empty }, { write: 1, ...empty },
  ]);
  let archived: ArchivedDocument | undefined;
  for (const entry of entries) archived = foldChanges(archived, DOCUMENT, [entry]);
  if (archived === undefined) throw new Error("nothing was folded");
  t.equal(archivedChanges(archived).length, 4);
  t.equal(archivedChanges(foldChanges(undefined, DOCUMENT, entries.slice(0, 1))).length, 1, "alone too");
  t.same(heads(archived), heads(foldChanges(undefined, DOCUMENT, entries)));
});

t.test("when Automerge's module traps, the document is loaded anew once; if it traps again, the error names the document", async (t) => {
  const handle = getBackend(init());
  const prototype = Object.getPrototypeOf(handle) as { applyChanges: (changes: Uint8Array[]) => void };
  handle.free();
  const original = prototype.applyChanges;
  t.teardown(() => {
    prototype.applyChanges = original;
  });
  let traps = 0;
  const trap = (times: number): void => {
    traps = 0;
    prototype.applyChanges = function (changes) {
      if (traps >= times) return original.call(this, changes);
      traps++;
      throw Object.assign(new Error("unreachable"), { name: "RuntimeError" });
    };
  };
  using cache = new DocumentsCache();
  trap(1);
  const archived = foldChanges(undefined, DOCUMENT, updates(DOCUMENT, 1, 3), cache);
  t.equal(traps, 1, "it trapped");
  t.equal(archived.count, 3);
  trap(2);
  t.throws(() => foldChanges(archived, DOCUMENT, updates(DOCUMENT, 4, 40), cache), { name: "ArchiveFailure", document: DOCUMENT });
  t.equal(traps, 2, "it trapped twice");
  trap(0);
  t.equal(foldChanges(archived, DOCUMENT, updates(DOCUMENT, 4, 40), cache).count, 43, "the snapshot is as good as before");
});

t.test("folding 2,000 documents leaves no memory behind", async (t) => {
  using cache = new DocumentsCache(8);
  const fold = (from: number, to: number): void => {
    for (let i = from; i < to; i++) foldChanges(undefined, `acme/incident/m${i}`, updates(`acme/incident/m${i}`, 1, 20), cache);
  };
  fold(0, 200);
  const before = process.memoryUsage();
  fold(200, 2_200);
  const after = process.memoryUsage();
  const foreign = after.external - after.arrayBuffers - (before.external - before.arrayBuffers);
  t.ok(foreign < 16 * MIB, `${Math.round(foreign / MIB)} MiB more beside the heap`);
  t.ok(after.rss - before.rss < 96 * MIB, `${Math.round((after.rss - before.rss) / MIB)} MiB more resident`);
});
