import t from "tap";
import { StorageDamage } from "../../src/core/ports.js";
import { MemoryStorage } from "../../src/io/memory-storage.js";
import { keyspace } from "../../src/store/keyspace.js";
import { highWaterOf, openLog, type LogWorld } from "./log-world.js";

type Records = readonly (readonly [string, Uint8Array])[];

async function imageOf(storage: MemoryStorage): Promise<Records> {
  const records: (readonly [string, Uint8Array])[] = [];
  for await (const page of storage.scan({ from: "", to: "\u{10ffff}" })) records.push(...page);
  return records;
}

async function storageOf(records: Records): Promise<MemoryStorage> {
  const storage = new MemoryStorage();
  await storage.write(records.map(([put, value]) => ({ put, value })));
  return storage;
}

async function written(storage: MemoryStorage): Promise<LogWorld> {
  const world = await openLog(storage, {}, { arrivalsPerRecord: 1 });
  for (let i = 0; i < 5; i++) world.set(`c-${i % 2}`, "name", String(i));
  world.log.batch.put(keyspace.quorum, Buffer.from(JSON.stringify({ ...world.opened.quorumState, voting: true, virgin: false })));
  world.log.batch.put(keyspace.slot("default/component/c-0"), Buffer.from(JSON.stringify({ version: 1, promised: 7, vote: null })));
  world.log.state.votes = 3;
  await world.log.batch.flushed();
  return world;
}

t.test("an empty disk begins a new, virgin replica, whose identity is written at once", async (t) => {
  const storage = new MemoryStorage();
  const { opened } = await openLog(storage, { nowMs: 5_000 });
  t.ok(opened.fresh);
  t.match(opened, { doubt: undefined, state: { incarnation: 5_000, origin: "us-east-1.3uw", head: 0 }, quorumState: { voting: false, virgin: true } });
  const again = await openLog(storage, { nowMs: 9_000 });
  t.match(again.opened, { fresh: false, state: { incarnation: 5_000 } });
});

t.test("the same disk in the same folder goes on: incarnation, log, votes and clock", async (t) => {
  const storage = new MemoryStorage();
  const before = await written(storage);
  const { opened, log } = await openLog(storage, { nowMs: 1 });
  t.equal(opened.doubt, undefined);
  t.equal(opened.state.origin, before.log.state.origin);
  t.equal(opened.state.votes, 3);
  t.ok(opened.quorumState.voting);
  t.same(opened.slots, [["default/component/c-0", { version: 1, promised: 7, vote: null }]]);
  t.ok(log.clock.send(1) > before.log.clock.latest(), "a wall clock that went back changes nothing");
});

t.test("a copy of the folder, a doubt, a missing document or lost votes give a new incarnation without any vote, with the old log closed", async (t) => {
  const cases: [string, (storage: MemoryStorage) => Promise<unknown>, Parameters<typeof openLog>[1]][] = [
    ["a copy", async () => {}, { witness: "another folder" }],
    ["a doubt", async () => {}, { doubt: "a peer knows more" }],
    ["a missing document", (storage) => storage.write([{ del: keyspace.header("default/component/c-0") }]), {}],
    ["lost votes", (storage) => storage.write([{ del: keyspace.quorum }]), {}],
  ];
  for (const [name, harm, changed] of cases) {
    const storage = new MemoryStorage();
    const before = (await written(storage)).log.state;
    await harm(storage);
    const { opened, set, log } = await openLog(storage, changed);
    t.type(opened.doubt, "string", name);
    t.ok(opened.state.incarnation > before.incarnation, name);
    t.not(opened.state.origin, before.origin);
    t.equal(opened.state.vector[before.origin], 5, "what it holds of its old log it goes on holding");
    t.match(opened, { slots: [], quorumState: { voting: false, virgin: false }, state: { votes: 0 } });
    const known = changed?.witness === undefined ? {} : { witness: changed.witness };
    t.equal((await openLog(storage, known)).opened.doubt, undefined, `${name}: it doubts once, also where it stops before it wrote anything`);
    t.equal(set("c-9", "name", "new").seq, 1);
    await log.batch.flushed();
    const again = await openLog(storage, known);
    t.equal(again.opened.doubt, undefined, `${name}: afterwards the disk is trusted`);
    t.equal(again.opened.state.origin, opened.state.origin);
  }
});

t.test("a store that lost its end is noticed by its high-water mark: a new incarnation, no number twice, and a clock that goes on", async (t) => {
  const cut = new MemoryStorage();
  const whole = await written(cut);
  const early = await imageOf(cut);
  const lost = whole.set("c-0", "name", "acknowledged and lost");
  await whole.log.batch.flushed();
  const latest = whole.log.clock.latest();
  const image = await storageOf(early);
  highWaterOf(image).mark = highWaterOf(cut).mark;
  const { opened, log, set } = await openLog(image, { nowMs: 1 });
  t.match(opened.doubt, /lost writes that it had acknowledged/);
  t.not(opened.state.origin, lost.origin);
  t.match(opened, { slots: [], quorumState: { voting: false } });
  t.ok(log.clock.send(1) > latest, "its clock begins beyond what the lost writes were stamped with");
  set("c-9", "name", "new");
  await log.batch.flushed();
  t.equal((await openLog(image, { nowMs: 1 })).opened.doubt, undefined, "it doubts once");
});

t.test("a mark that is behind the store, as a crash leaves it, is no reason for doubt", async (t) => {
  const storage = new MemoryStorage();
  const world = await written(storage);
  const { mark } = highWaterOf(storage);
  world.set("c-0", "name", "durable, and not answered");
  await world.log.batch.flushed();
  highWaterOf(storage).mark = mark;
  const { opened } = await openLog(storage);
  t.equal(opened.doubt, undefined);
  t.equal(opened.state.origin, world.log.state.origin);
  t.equal(highWaterOf(storage).mark?.batches, opened.state.batches, "and it is right again");
});

t.test("a lost mark is a reason for doubt; a store from before there were marks gets one", async (t) => {
  const storage = new MemoryStorage();
  const before = (await written(storage)).log.state;
  highWaterOf(storage).mark = undefined;
  const { opened } = await openLog(storage);
  t.match(opened.doubt, /high-water mark/);
  t.ok(opened.state.incarnation > before.incarnation);
  t.equal((await openLog(storage)).opened.doubt, undefined, "once");

  const old = new MemoryStorage();
  const { batches: _, ...state } = (await written(old)).log.state;
  await old.write([{ put: keyspace.state, value: Buffer.from(JSON.stringify(state)) }]);
  highWaterOf(old).mark = undefined;
  const upgraded = await openLog(old);
  t.equal(upgraded.opened.doubt, undefined);
  t.equal(upgraded.opened.state.origin, state.origin);
  upgraded.set("c-9", "name", "after the upgrade");
  await upgraded.log.batch.flushed();
  t.ok((highWaterOf(old).mark?.batches ?? 0) > 0);
  t.equal((await openLog(old)).opened.doubt, undefined);
});

t.test("a store that was set aside leaves its mark: what begins anew is later in clock and incarnation", async (t) => {
  const storage = new MemoryStorage();
  const before = await written(storage);
  const empty = new MemoryStorage();
  highWaterOf(empty).mark = highWaterOf(storage).mark;
  const { opened, log } = await openLog(empty, { nowMs: 1 });
  t.ok(opened.fresh);
  t.match(opened.quorumState, { voting: false, virgin: false }, "who may have voted founds nothing anew: a majority of rebuilt stores would do without what the others decided");
  t.ok(opened.state.incarnation > before.log.state.incarnation);
  t.ok(log.clock.send(1) > before.log.clock.latest());
  t.equal((await openLog(empty, { nowMs: 1 })).opened.doubt, undefined);
});

t.test("a store that is damaged, of another format or another replica is refused", async (t) => {
  const harms: [RegExp, (storage: MemoryStorage) => Promise<unknown>, Parameters<typeof openLog>[1]?][] = [
    [/says whose it is/, (storage) => storage.write([{ del: keyspace.sentinel }])],
    [/state record/, (storage) => storage.write([{ del: keyspace.state }])],
    [/entry 3 is missing/, (storage) => storage.write([{ del: keyspace.arrival(3) }])],
    [/entries 5 to 5 are missing/, (storage) => storage.write([{ del: keyspace.arrival(5) }])],
    [/format 99/, (storage) => storage.write([{ put: keyspace.sentinel, value: Buffer.from(JSON.stringify({ format: 99 })) }])],
    [/belongs to replica us-east-1/, async () => {}, { replica: "eu-west-1" }],
    [/of cluster test/, async () => {}, { clusterId: "another" }],
  ];
  for (const [message, harm, changed] of harms) {
    const storage = new MemoryStorage();
    await written(storage);
    await harm(storage);
    const error: unknown = await openLog(storage, changed).then(() => undefined, (thrown: unknown) => thrown);
    t.ok(error instanceof StorageDamage && message.test(error.message), String(message));
  }
});
