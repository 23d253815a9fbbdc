import t from "tap";
import { CHAIN, decodeChange, encodeChange } from "../../src/core/change.js";
import { encodeHlc } from "../../src/core/hlc.js";
import { limits } from "../../src/core/limits.js";
import { StorageFailure } from "../../src/core/ports.js";
import { MemoryStorage } from "../../src/io/memory-storage.js";
import { keyspace } from "../../src/store/keyspace.js";
import { entriesOf, highWaterOf, openLog, sha256, type LogWorld } from "./log-world.js";

const hex = (bytes: Uint8Array | undefined): string => Buffer.from(bytes ?? []).toString("hex");

/** Hands the entries of one log to another, as replication does. */
async function copyTo(from: LogWorld, to: LogWorld): Promise<void> {
  for (const entry of await entriesOf(from.log)) {
    if (entry.seq !== (to.log.vector[entry.origin] ?? 0) + 1) continue;
    const change = to.log.parse(entry.body);
    if ("fault" in change) throw new Error(change.fault);
    await to.table.load([change.document]);
    to.log.accept(entry, change);
  }
  await to.log.batch.flushed();
}

const peer = (storage = new MemoryStorage()): Promise<LogWorld> => openLog(storage, { replica: "eu-west-1" });

t.test("what is written is in the log, in the document and, once flushed, on the disk: all of it in one batch", async (t) => {
  const storage = new MemoryStorage();
  const world = await openLog(storage);
  const batches: number[] = [];
  const write = storage.write.bind(storage);
  storage.write = (batch) => {
    batches.push(batch.length);
    return write(batch);
  };
  const dots = [world.set("api", "name", "API"), world.set("web", "name", "Web"), world.set("api", "name", "API 2")];
  t.same(dots.map(({ seq }) => seq), [1, 2, 3]);
  t.same({ ...world.log.durableVector }, {}, "nothing is durable yet");
  await world.log.batch.flushed();
  t.equal(batches.length, 1);
  t.same({ ...world.log.durableVector }, { [world.log.state.origin]: 3 });
  const again = await openLog(storage);
  t.same({ ...again.log.vector }, { ...world.log.vector });
  t.equal(hex(again.table.find("default/component/api")?.digest), hex(world.table.find("default/component/api")?.digest));
  await again.table.load(["default/component/api"]);
  t.equal(again.table.find("default/component/api")?.state?.root?.registers.get("name")?.[0]?.value, "API 2");
  t.same(again.table.list("default", "component").map(({ id }) => id), ["api", "web"]);
});

t.test("a peer that takes the entries over holds the same documents, logs and order", async (t) => {
  const us = await openLog(new MemoryStorage());
  const eu = await peer();
  for (let i = 0; i < 30; i++) us.set(`c-${i % 3}`, "name", String(i));
  await copyTo(us, eu);
  t.equal(hex(us.log.merkle.root()), hex(eu.log.merkle.root()));
  t.same((await entriesOf(eu.log)).map(({ seq }) => seq), (await entriesOf(us.log)).map(({ seq }) => seq));
  t.throws(() => eu.log.accept({ origin: us.log.state.origin, seq: 99, body: new Uint8Array(), checksum: new Uint8Array() }, { document: "default/component/c-0", hlc: encodeHlc(1, 0, "0000000000ab"), region: "r", replica: "r", actor: "a", context: {}, operations: [] }), /without a gap/);
});

t.test("a decided change that comes in two logs takes effect once, and both entries are served", async (t) => {
  const us = await openLog(new MemoryStorage());
  const eu = await peer();
  const body = us.log.draft({ document: "default/component/api", operations: [{ op: "create", section: "" }, { op: "count", section: "", field: "n", by: 1 }], actor: "a", hlc: us.log.clock.send(1_000), context: {}, version: 1, operationIds: ["op-1"] });
  for (const { log, table } of [us, eu]) {
    const change = log.parse(body);
    if ("fault" in change) throw new Error(change.fault);
    table.ensure(change.document);
    log.appendDecided(body, change);
  }
  await copyTo(us, eu);
  const record = eu.table.find("default/component/api");
  t.equal(record?.state?.root?.counters.get("n"), 1);
  t.same({ ...record?.vector }, { "~": 1 });
  t.same(record?.operationIds, ["op-1"]);
  t.same((await entriesOf(eu.log)).map(({ origin }) => origin), [eu.log.state.origin, us.log.state.origin]);
  t.same({ ...eu.log.decidedIn("default/component") }, { [eu.log.state.origin]: 1, [us.log.state.origin]: 1 });
});

t.test("a quarantined entry is kept as it came and served on, and its document stays as it was", async (t) => {
  const eu = await peer();
  const body = Buffer.from("no change");
  eu.log.quarantine({ origin: "us-east-1.1", seq: 1, body, checksum: sha256(body).subarray(0, 16) });
  const [entry] = await entriesOf(eu.log);
  t.equal(Buffer.from(entry?.body ?? []).toString(), "no change");
  t.equal(eu.log.state.quarantined, 1);
  t.equal(eu.table.records.size, 0);
});

t.test("places are found in memory and on the disk; what is trimmed or not held is told apart", async (t) => {
  const storage = new MemoryStorage();
  const world = await openLog(storage, {}, { recentLogBytes: 500 });
  for (let i = 0; i < 20; i++) world.set("api", "name", String(i));
  await world.log.batch.flushed();
  const { origin } = world.log.state;
  t.equal(world.log.recentFrom(1, 5), undefined, "the oldest are not in memory");
  t.same((await world.log.readFrom(1, 3)).entries.map(({ seq, place }) => [seq, place]), [[1, 1], [2, 2], [3, 3]]);
  t.same(await world.log.readFrom(4, 3, () => false), { entries: [], through: 6 }, "nothing of it is wanted");
  t.same(await world.log.readFrom(21, 3), { entries: [], through: undefined });
  t.equal(await world.log.locate(origin, 2), 2);
  t.equal(await world.log.locate(origin, 20), 20);
  t.equal(await world.log.locate(origin, 21), 21);
  world.log.state.floor[origin] = 4;
  t.equal(await world.log.locate(origin, 4), undefined);
  t.same(world.log.recentFrom(21, 5), []);
});

t.test("a repaired change takes effect without a log entry, and what a peer held is taken over", async (t) => {
  const us = await openLog(new MemoryStorage());
  const eu = await peer();
  us.set("api", "name", "API");
  const [entry] = await entriesOf(us.log);
  if (entry === undefined) throw new Error("no entry");
  const change = decodeChange(entry.body, limits);
  if ("fault" in change) throw new Error(change.fault);
  eu.log.repair({ origin: entry.origin, seq: 1 }, entry.body, change, us.log.vector);
  eu.log.adopt({ [entry.origin]: 7 });
  await eu.log.batch.flushed();
  t.equal(hex(us.log.merkle.root()), hex(eu.log.merkle.root()));
  t.equal(eu.log.state.head, 0);
  t.same([eu.log.vector[entry.origin], eu.log.state.floor[entry.origin]], [7, 7]);
});

t.test("what repairs show beyond the logs belongs into tokens once it is durable, also after a start, until the logs reach it", async (t) => {
  const us = await openLog(new MemoryStorage());
  us.set("api", "name", "API");
  us.set("web", "name", "Web");
  us.set("api", "name", "API 2");
  const entries = await entriesOf(us.log);
  const storage = new MemoryStorage();
  const eu = await openLog(storage, { replica: "eu-west-1" });
  const { origin } = us.log.state;
  for (const entry of entries.filter(({ seq }) => seq !== 2)) {
    const change = decodeChange(entry.body, limits);
    if ("fault" in change) throw new Error(change.fault);
    eu.log.repair({ origin, seq: entry.seq }, entry.body, change, us.log.vector);
  }
  t.equal(eu.log.shownVector[origin], undefined, "nothing of it is durable");
  await eu.log.batch.flushed();
  t.same([eu.log.shownVector[origin], eu.log.durableVector[origin]], [3, undefined]);
  const again = await openLog(storage, { replica: "eu-west-1" });
  t.same([again.log.shownVector[origin], again.log.durableVector[origin]], [3, undefined], "after a start");
  again.log.adopt({ [origin]: 2 });
  await again.log.batch.flushed();
  t.same([again.log.shownVector[origin], again.log.state.ahead], [3, { [origin]: 3 }]);
  again.log.adopt({ [origin]: 4 });
  await again.log.batch.flushed();
  t.same([again.log.shownVector[origin], again.log.state.ahead], [4, undefined]);
  t.equal(again.log.shownVector, again.log.durableVector, "no work where nothing is ahead");
});

t.test("a repaired decision stands in the logs where its source knows", async (t) => {
  const us = await openLog(new MemoryStorage());
  us.set("api", "name", "API");
  const [entry] = await entriesOf(us.log);
  const change = decodeChange(entry?.body ?? new Uint8Array(), limits);
  if (entry === undefined || "fault" in change) throw new Error("no entry");
  const eu = await openLog(new MemoryStorage(), { replica: "eu-west-1" });
  eu.log.repair({ origin: CHAIN, seq: 1 }, entry.body, { ...change, version: 1 }, { "us-east-1:1": 9, "ap-south-1:1": 4 });
  await eu.log.batch.flushed();
  t.same(eu.log.shownVector, { "us-east-1:1": 9, "ap-south-1:1": 4 });
});

t.test("the first answer to a request is the earliest, and is forgotten after its time", async (t) => {
  const storage = new MemoryStorage();
  const { log } = await openLog(storage);
  const answer = (body: string) => ({ scope: "s1", request: "r", status: 201, location: null, etag: null, body });
  log.writeAnswer("default", answer("later"), encodeHlc(900, 0, "0000000000aa"), "a");
  log.writeAnswer("default", answer("earlier"), encodeHlc(800, 0, "0000000000ab"), "a");
  log.writeAnswer("default", { ...answer("other"), scope: "s10" }, encodeHlc(1, 0, "0000000000ab"), "a");
  await log.batch.flushed();
  t.equal((await log.recall("s1", 0))?.body, "earlier");
  t.equal((await log.recall("s1", 850))?.body, "later");
  t.equal(await log.recall("s1", 901), undefined);
  await log.forgetAnswers(850);
  const left: string[] = [];
  for await (const page of storage.scan(keyspace.idempotencies)) for (const [key] of page) left.push(key);
  t.equal(left.length, 1);
});

t.test("a document that every replica makes for itself is the same everywhere, and is not made twice", async (t) => {
  const storage = new MemoryStorage();
  const [us, eu] = [await openLog(storage), await peer()];
  for (const { log } of [us, eu, us]) log.originate("~/page/default", [{ op: "create", section: "" }], encodeHlc(5, 0, "000000000000"));
  await us.log.batch.flushed();
  t.equal(hex(us.log.merkle.root()), hex(eu.log.merkle.root()));
  t.same({ ...us.log.vector }, {});
  const again = await openLog(storage);
  again.log.originate("~/page/default", [{ op: "create", section: "" }, { op: "count", section: "", field: "n", by: 1 }], encodeHlc(5, 0, "000000000000"));
  t.equal(hex(again.log.merkle.root()), hex(us.log.merkle.root()));
});

t.test("a stamp too far ahead is told and not adopted; a failed write stops the log", async (t) => {
  let failure: Error | undefined;
  const storage = new MemoryStorage({ failWrites: () => failure });
  const world = await openLog(storage);
  const hlc = encodeHlc(1_000 + limits.clockSkewMsMax + 1, 0, "0000000000ab");
  const change = { document: "default/component/api", hlc, region: "eu-west", replica: "eu-west-1", actor: "a", context: {}, operations: [] };
  const body = encodeChange(change);
  world.log.accept({ origin: "eu-west-1.1", seq: 1, body, checksum: world.log.checksum(body) }, change);
  t.same(world.skewed, [hlc]);
  t.ok(world.log.clock.latest() < hlc);
  await world.log.batch.flushed();
  const before = { ...world.log.durableVector };
  failure = new Error("no space left");
  world.set("api", "name", "lost");
  await t.rejects(world.log.batch.flushed());
  t.equal(world.failures.length, 1);
  t.same({ ...world.log.durableVector }, before);
});

t.test("nothing is acknowledged before its high-water mark is written, and nothing at all where the disk refuses that", async (t) => {
  const storage = new MemoryStorage();
  const highWater = highWaterOf(storage);
  const world = await openLog(storage);
  const write = highWater.write.bind(highWater);
  let acknowledgedAtMark: number | undefined;
  highWater.write = async (mark) => {
    acknowledgedAtMark = world.log.durableVector[world.log.state.origin];
    await write(mark);
  };
  world.set("c-1", "name", "first");
  await world.log.batch.flushed();
  t.equal(acknowledgedAtMark, undefined, "the mark came first");
  t.match(highWater.mark, { incarnation: world.log.state.incarnation, batches: 1, hlc: world.log.clock.latest() });

  highWater.write = () => Promise.reject(new StorageFailure("planted"));
  world.set("c-2", "name", "refused");
  await t.rejects(world.log.batch.flushed(), /planted/);
  t.equal(world.log.durableVector[world.log.state.origin], 1);
  t.equal(world.failures.length, 1);
});
