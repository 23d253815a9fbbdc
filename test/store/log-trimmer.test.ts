import t from "tap";
import { EMPTY_VECTOR, type Vector } from "../../src/core/vector.js";
import { limits as builtIn, type Limits } from "../../src/core/limits.js";
import { MemoryStorage } from "../../src/io/memory-storage.js";
import { HistoryOfDocument } from "../../src/store/document-history.js";
import { foldChanges } from "../../src/store/documents.js";
import { keyspace } from "../../src/store/keyspace.js";
import { LogTrimmer, type Fold } from "../../src/store/log-trimmer.js";
import { openLog, type LogWorld } from "./log-world.js";

const DOCUMENT = "default/component/api";

interface World extends LogWorld {
  readonly trimmer: LogTrimmer;
  readonly history: HistoryOfDocument;
  readonly storage: MemoryStorage;
  readonly warnings: unknown[];
  stable: Vector;
  monotonicMs: number;
}

async function world(given: Partial<Record<keyof Limits, number>>, fold: Fold = async (before, document, changes) => foldChanges(before, document, changes)): Promise<World> {
  const changed = { arrivalsPerRecord: 1, ...given };
  const storage = new MemoryStorage();
  const opened = await openLog(storage, {}, changed);
  const history = new HistoryOfDocument(storage, opened.log);
  opened.log.archived = (key) => history.archivedChange(key);
  const warnings: unknown[] = [];
  const made: World = { ...opened, storage, history, warnings, stable: EMPTY_VECTOR, monotonicMs: 0, trimmer: new LogTrimmer(storage, opened.log, history, fold, { ...builtIn, ...changed } as Limits, { stable: () => made.stable, monotonic: () => made.monotonicMs, warn: (event) => void warnings.push(event) }) };
  return made;
}

async function count(storage: MemoryStorage, range: { from: string; to: string }): Promise<number> {
  let found = 0;
  for await (const page of storage.scan(range)) found += page.length;
  return found;
}

async function values(history: HistoryOfDocument): Promise<unknown[]> {
  return (await history.entries(DOCUMENT)).filter(({ field }) => field === "name").map(({ to }) => to).reverse();
}

t.test("only what every member holds is trimmed, and only beyond what is kept; the history stays as it was", async (t) => {
  const at = await world({ logEntriesKept: 5 });
  const { log, storage, trimmer, history } = at;
  for (let i = 0; i < 30; i++) at.set("api", "name", String(i));
  await log.batch.flushed();
  await trimmer.run();
  t.equal(log.state.tail, 1, "nobody is known to hold anything");
  at.stable = { [log.state.origin]: 10 };
  await trimmer.run();
  t.same([log.state.tail, log.state.floor[log.state.origin]], [11, 10]);
  t.equal(await count(storage, keyspace.allArrivals), 20);
  t.same(await values(history), [...Array(30).keys()].map(String));
  at.stable = { [log.state.origin]: 30 };
  await trimmer.run();
  t.equal(await count(storage, keyspace.allArrivals), 5);
  t.equal(await count(storage, keyspace.changes(DOCUMENT)), 5);
  t.same(await values(history), [...Array(30).keys()].map(String));
  t.equal((await openLog(storage)).opened.doubt, undefined, "the store opens as before");
});

t.test("entries of one record leave together, and not before all of them may", async (t) => {
  const at = await world({ logEntriesKept: 0, arrivalsPerRecord: 10 });
  for (let i = 0; i < 30; i++) at.set("api", "name", String(i));
  await at.log.batch.flushed();
  t.equal(await count(at.storage, keyspace.allArrivals), 3);
  at.stable = { [at.log.state.origin]: 19 };
  await at.trimmer.run();
  t.same([at.log.state.tail, at.log.state.floor[at.log.state.origin]], [11, 10]);
  at.stable = { [at.log.state.origin]: 20 };
  await at.trimmer.run();
  t.same([at.log.state.tail, at.log.state.floor[at.log.state.origin]], [21, 20]);
  t.same(await values(at.history), [...Array(30).keys()].map(String));
});

t.test("above the byte bound what a member lacks goes too", async (t) => {
  const at = await world({ logEntriesKept: 5, logBytesMax: 3_000 });
  for (let i = 0; i < 40; i++) at.set("api", "name", String(i));
  await at.log.batch.flushed();
  await at.trimmer.run();
  t.ok(at.log.state.logBytes <= 3_000);
  t.ok(at.log.state.tail > 1);
  t.same(await values(at.history), [...Array(40).keys()].map(String));
});

t.test("a document that cannot be archived keeps its changes, and the others are trimmed", async (t) => {
  const at = await world({ logEntriesKept: 0 }, async (before, document, changes) => {
    if (document.endsWith("/bad")) throw new Error("poison");
    return foldChanges(before, document, changes);
  });
  for (let i = 0; i < 10; i++) at.set(i % 2 === 0 ? "bad" : "api", "name", String(i));
  await at.log.batch.flushed();
  at.stable = { ...at.log.vector };
  await at.trimmer.run();
  t.equal(await count(at.storage, keyspace.changes("default/component/bad")), 5);
  t.equal(await count(at.storage, keyspace.changes(DOCUMENT)), 0);
  t.match(at.warnings, [{ event: "unfolded", document: "default/component/bad" }]);
});

t.test("while writes come fast the trimmer rests, until the log has grown too long", async (t) => {
  const at = await world({ logEntriesKept: 2_150, logEntriesMax: 2_000 });
  for (let i = 0; i < 1_100; i++) at.set("api", "name", "x");
  await at.log.batch.flushed();
  at.stable = { ...at.log.vector };
  await at.trimmer.run();
  t.equal(at.log.state.tail, 1);
  for (let i = 0; i < 1_100; i++) at.set("api", "name", "x");
  await at.log.batch.flushed();
  at.stable = { ...at.log.vector };
  await at.trimmer.run();
  t.equal(at.log.state.tail, 1_001, "the log is too long: it works, one slice at a time");
  for (const entries of [1_100, 0]) {
    const resting = await world({ logEntriesKept: 1_050 });
    for (let i = 0; i < 1_100; i++) resting.set("api", "name", "x");
    await resting.log.batch.flushed();
    resting.stable = { ...resting.log.vector };
    if (entries === 0) await resting.trimmer.run();
    await resting.trimmer.run();
    t.equal(resting.log.state.tail, entries === 0 ? 51 : 1, entries === 0 ? "nothing came since: it works" : "it rests");
  }
});

/** Twenty documents of which each takes 100 ms to fold. */
async function slowToFold(given: Partial<Record<keyof Limits, number>>): Promise<World & { readonly folded: string[] }> {
  const folded: string[] = [];
  const at: World = await world({ logEntriesKept: 0, trimEveryMs: 2_000, ...given }, async (before, document, changes) => {
    folded.push(document);
    at.monotonicMs += 100;
    return foldChanges(before, document, changes);
  });
  for (let i = 0; i < 200; i++) at.set(`c${i % 20}`, "name", String(i));
  await at.log.batch.flushed();
  at.stable = { ...at.log.vector };
  return Object.assign(at, { folded });
}

t.test("within its bounds the log is archived for a quarter of the time only, and what is archived is stored before its entries go", async (t) => {
  const at = await slowToFold({});
  await at.trimmer.run();
  t.equal(at.folded.length, 6, "over 500 of 2,000 ms are enough");
  t.equal(at.log.state.tail, 1, "not all documents of these entries are archived, so none of them goes");
  t.equal(await count(at.storage, { from: keyspace.archive("default/component/c"), to: keyspace.archive("default/component/d") }), 6);
  for (let runs = 2; runs <= 4; runs++) await at.trimmer.run();
  t.equal(at.log.state.tail, 201);
  t.equal(at.folded.length, 20);
  t.equal(new Set(at.folded).size, 20, "each was folded once");
  t.equal((await at.history.entries("default/component/c7")).filter(({ field }) => field === "name").length, 10);
  t.equal((await openLog(at.storage)).opened.doubt, undefined, "the store opens as before");
});

t.test("a log that is too long is archived without a rest", async (t) => {
  const at = await slowToFold({ logEntriesMax: 100 });
  await at.trimmer.run();
  t.equal(at.folded.length, 20);
  t.equal(at.log.state.tail, 201);
});

t.test("an archive that holds a slice's changes is not read again for it", async (t) => {
  const at = await world({ logEntriesKept: 0 });
  const asked = t.capture(at.history, "archive", at.history.archive.bind(at.history));
  for (let i = 0; i < 3_500; i++) at.set("api", "name", "x");
  await at.log.batch.flushed();
  at.stable = { ...at.log.vector };
  await at.trimmer.run();
  await at.trimmer.run();
  t.equal(at.log.state.tail, 3_501, "in four slices");
  t.equal(asked().length, 1);
  at.set("api", "name", "y");
  await at.log.batch.flushed();
  at.stable = { ...at.log.vector };
  await at.trimmer.run();
  t.equal(asked().length, 1, "what is new is");
});
