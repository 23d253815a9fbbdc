import t from "tap";
import { StorageDamage } from "../../src/core/ports.js";
import { MemoryStorage } from "../../src/io/memory-storage.js";
import { keyspace } from "../../src/store/keyspace.js";
import { openLog, type LogWorld } from "./log-world.js";

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
