/** Results of one store in another: each batch once, in order, and rollups that come to the same. */
import t from "tap";
import fc from "fast-check";
import { limits, watchLimits } from "../../src/core/limits.js";
import type { Storage } from "../../src/core/ports.js";
import type { Tier } from "../../src/features/monitors/origin-results.js";
import type { State } from "../../src/features/monitors/opinion.js";
import type { Whose } from "../../src/features/monitors/results.js";
import { DAY_MS } from "../../src/features/monitors/uptime.js";
import { MemoryStorage } from "../../src/io/memory-storage.js";
import { pull, pullOlder, result, store, T0, type TestStore } from "./result-stores.js";

const HOUR_MS = 3_600_000;
const ALL = Number.MAX_SAFE_INTEGER;
const everyone: Whose = () => true;
const us: Whose = (replica) => replica === "us-east-1";
const EVERYTHING = { from: "\u0001", to: "\u{10ffff}" };

async function recordsIn(storage: Storage, prefix: string): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for await (const page of storage.scan({ ...EVERYTHING, from: prefix, to: `${prefix}~` })) for (const [key, value] of page) found.set(key, Buffer.from(value).toString());
  return found;
}

/** A store as a crash at this moment leaves it. */
async function copyOf(storage: Storage): Promise<MemoryStorage> {
  const copy = new MemoryStorage();
  for await (const page of storage.scan(EVERYTHING)) await copy.write(page.map(([put, value]) => ({ put, value })));
  return copy;
}

const times = async ({ results }: TestStore, whose = everyone) => (await results.query("default/m", 0, ALL, 1_000, whose)).map(({ at }) => at);
const numbers = async (from: TestStore) => (await from.results.read({}, 1_000_000)).records.map(({ number }) => number);

t.test("every flush is one batch, numbered without a gap, also over a crash", async (t) => {
  const storage = new MemoryStorage();
  const first = store(storage);
  for (let flush = 0; flush < 3; flush++) {
    for (let index = 0; index < 4; index++) first.results.append(result(T0 + flush * 1_000 + index));
    await first.results.flush();
  }
  await first.results.flush();
  t.same(await numbers(first), [1, 2, 3]);
  first.results.append(result(T0 + 9_000));
  const again = store(await copyOf(storage));
  again.results.append(result(T0 + 10_000));
  await again.results.flush();
  t.same(await numbers(again), [1, 2, 3, 4]);
  t.same(Object.keys(await again.results.cursors()), Object.keys(await first.results.cursors()), "it is the same origin");
  const other = store(new MemoryStorage(), { replica: "eu-west-1" });
  await pull(other, again);
  t.same(await times(other), await times(again));
  t.equal((await times(other)).length, 13);
  t.same((await other.results.query("default/m", 0, ALL, 1, everyone))[0], { ...result(T0 + 10_000), replica: "us-east-1" });
  t.same(await times(other, us), await times(other));
  t.same(await other.results.query("default/m", 0, ALL, 10), [], "none of them is its own");
  t.equal(await other.results.lastUp("default/m"), undefined);
});

t.test("a flush that is larger than a record is several of them", async (t) => {
  const from = store(new MemoryStorage());
  for (let index = 0; index < 200; index++) from.results.append({ ...result(T0 + index, "down"), error: { code: "status", message: "é".repeat(2_500) } });
  await from.results.flush();
  const { records, more } = await from.results.read({}, 100_000_000);
  t.ok(records.length > 10 && records.every(({ body }) => body.length <= limits.recordBytesMax), `${records.length} records`);
  t.notOk(more);
  const other = store(new MemoryStorage(), { replica: "eu-west-1" });
  await other.results.keep(records, {});
  t.equal((await times(other)).length, 200);
});

t.test("what is held is passed over, what lies beyond the next is refused, and so is what is no member's or too large", async (t) => {
  const from = store(new MemoryStorage());
  for (let flush = 0; flush < 4; flush++) {
    from.results.append(result(T0 + flush));
    await from.results.flush();
  }
  const { records } = await from.results.read({}, 1_000_000);
  const [one, two, three, four] = records;
  if (one === undefined || two === undefined || three === undefined || four === undefined) throw new Error("four records");
  const to = store(new MemoryStorage(), { replica: "eu-west-1" });
  t.equal(await to.results.keep([two], {}), false);
  t.equal(await to.results.keep([one, one, two], {}), true);
  t.equal(await to.results.keep([one, two], {}), false, "nothing is new");
  t.equal(await to.results.keep([four], {}), false);
  t.same(await times(to), [T0 + 1, T0]);
  t.same(to.refusals, ["us-east-1 gap", "us-east-1 gap"]);
  t.equal(await to.results.keep([{ ...one, origin: "mars-1.x" }, { ...one, origin: "no origin" }, { ...three, body: new Uint8Array(limits.recordBytesMax + 1) }], {}), false);
  t.equal(await to.results.keep([{ ...three, number: 10 ** 12 }], { [three.origin]: 10 ** 12 - 1 }), false);
  t.same(to.refusals.slice(2), ["mars-1 stranger", "no origin stranger", "us-east-1 oversized", "us-east-1 oversized"]);
  await pull(to, from);
  t.equal((await times(to)).length, 4);
});

t.test("a batch that cannot be read is kept as it is, counted, and stops nothing", async (t) => {
  const from = store(new MemoryStorage());
  from.results.append(result(T0));
  await from.results.flush();
  const { records: [good] } = await from.results.read({}, 1_000_000);
  if (good === undefined) throw new Error("a record");
  const text = Buffer.from(good.body).toString();
  const bad = ["", "{", "[]", "{\"at\":1,\"results\":7}", "{\"at\":1,\"results\":[7]}", text.replace("default/m", "../x"), text.replace("\"up\"", "\"fine\""), text.replace(String(T0), "-1"), text.replace(",10,", ",1e999,")];
  const changed = bad.map((body, index) => ({ origin: good.origin, number: index + 1, body: Buffer.from(body) }));
  const to = store(new MemoryStorage(), { replica: "eu-west-1" });
  // What is old is deleted at the first write.
  await to.results.flush();
  t.equal(await to.results.keep([...changed, { ...good, number: changed.length + 1 }], {}), true);
  t.same(to.refusals, bad.map(() => "us-east-1 malformed"));
  t.same(await times(to), [T0]);
  t.equal((await numbers(to)).length, changed.length + 1, "a third replica sees the same numbers");
});

t.test("a store that may be a copy, or that has lost its end, takes another name and gets back what it had written", async (t) => {
  const storage = new MemoryStorage();
  const own = store(storage);
  own.results.append(result(T0));
  await own.results.flush();
  const old = await copyOf(storage);
  for (let index = 1; index < 3; index++) {
    own.results.append(result(T0 + index));
    await own.results.flush();
  }
  const peer = store(new MemoryStorage(), { replica: "eu-west-1" });
  await pull(peer, own);
  for (const [name, how] of [["a copy", { witness: "elsewhere" }], ["a lost end", {}]] as const) {
    const back = store(await copyOf(old), how);
    back.results.append(result(T0 + 10));
    await back.results.flush();
    if (name === "a lost end") {
      t.equal(Object.keys(await back.results.cursors()).length, 1, "it cannot know");
      await back.results.read(await peer.results.cursors(), 0);
      back.results.append(result(T0 + 11));
      await back.results.flush();
    }
    t.equal(Object.keys(await back.results.cursors()).length, 2, `${name} has another origin`);
    const before = await times(back, us);
    await pull(back, peer);
    t.same((await times(back, us)).filter((at) => !before.includes(at)), name === "a copy" ? [T0 + 2, T0 + 1] : [T0 + 2], `${name}: what the peer held comes back`);
    t.equal((await back.results.rollups("default/m", "day", 0, ALL))[0]?.rollup.up, (await times(back, us)).length, "counted once");
    t.equal(await pull(back, peer), false);
  }
  const told = store(await copyOf(old));
  await told.results.keep((await peer.results.read({}, 1_000_000)).records, {});
  told.results.append(result(T0 + 20));
  await told.results.flush();
  t.same(Object.values(await told.results.cursors()).sort(), [1, 3], "so has one that is sent more of itself than it holds");
});

t.test("what nobody has any more is gone on beyond; what is not held yet comes by and by, every origin in each answer", async (t) => {
  const [one, two] = [store(new MemoryStorage()), store(new MemoryStorage(), { replica: "eu-west-1" })];
  for (const from of [one, two]) {
    for (let index = 0; index < 60; index++) {
      from.time.nowMs = T0 + index * HOUR_MS;
      from.results.append(result(from.time.nowMs));
      await from.results.flush();
    }
    from.time.monotonicMs += 2 * HOUR_MS;
    await from.results.flush();
  }
  await pull(one, two);
  const to = store(new MemoryStorage(), { replica: "ap-south-1" });
  const { records, floor, more } = await one.results.read({}, 2_000);
  t.equal(new Set(records.map(({ origin }) => origin)).size, 2);
  t.ok(more);
  t.same(Object.values(floor), [11, 11]);
  t.equal(await to.results.keep(records, { ...floor, [records[0]?.origin ?? ""]: 5 }), true, "only a floor just below is gone on from");
  t.match(to.refusals, [/gap/]);
  await pull(to, one, 2_000);
  t.same(await times(to, us), await times(one, us));
  t.equal((await times(to, us)).length, 49);
  t.equal((await one.results.read(await to.results.cursors(), 1_000)).records.length, 0);
  // It is not older than the others: it serves from the same number on.
  t.same((await to.results.read({}, 1_000)).floor, floor);
});

t.test("what is older than raw results are kept is deleted of all origins; rollups stay", async (t) => {
  const [own, to] = [store(new MemoryStorage()), store(new MemoryStorage(), { replica: "eu-west-1" })];
  for (let index = 0; index < 3; index++) {
    own.results.append(result(T0 + index));
    await own.results.flush();
  }
  await pull(to, own);
  to.time.nowMs = T0 + watchLimits.resultsKeptMs + DAY_MS;
  to.time.monotonicMs = 2 * HOUR_MS;
  await to.results.flush();
  t.same(await times(to), []);
  t.same(await numbers(to), []);
  t.match(await to.results.rollups("default/m", "day", 0, ALL, everyone), [{ rollup: { up: 3 } }]);
  t.equal(await pull(to, own), false, "it is not fetched again");
  own.results.append(result(T0 + 5 * DAY_MS, "down"));
  own.results.append(result(T0 + 3, "down"));
  await own.results.flush();
  await pull(to, own);
  t.same(await to.results.rollups("default/m", "day", 0, ALL, everyone), await own.results.rollups("default/m", "day", 0, ALL), "what was dropped from memory is gone on with");
});

t.test("wherever a crash comes, what was open holds every result once", async (t) => {
  const left: MemoryStorage[] = [];
  const storage = new MemoryStorage();
  const write = storage.write.bind(storage);
  storage.write = async (batch) => {
    await write(batch);
    left.push(await copyOf(storage));
  };
  const own = store(storage);
  const monitors = Array.from({ length: 2 * watchLimits.slice + 50 }, (_none, index) => `default/m${index}`);
  for (let flush = 0; flush < 3; flush++) {
    for (const key of monitors) own.results.append(result(T0 + flush * 1_000, "up", 10, key));
    own.time.monotonicMs += 200_000;
    await own.results.flush();
  }
  t.ok(left.length > 6, `${left.length} moments, some of them between two parts of a save`);
  for (const moment of left) {
    const { results } = store(moment);
    const held = await Promise.all(monitors.map(async (key) => [(await results.query(key, 0, ALL, 10)).length, (await results.rollups(key, "day", 0, ALL))[0]?.rollup.up ?? 0]));
    t.same(held.filter(([kept, counted]) => kept !== counted), []);
  }
});

t.test("whatever is written, lost, sent twice and out of step: rollups are equal at the origin and where they came to", async () => {
  const step = fc.oneof(
    { weight: 6, arbitrary: fc.record({ kind: fc.constant("append" as const), monitor: fc.constantFrom("a", "b"), aheadMs: fc.integer({ min: -5_000, max: 2 * HOUR_MS }), state: fc.constantFrom<State>("up", "down", "degraded", "unknown"), latency: fc.option(fc.double({ min: 0.01, max: 10_000, noNaN: true })), isFinal: fc.boolean() }) },
    { weight: 3, arbitrary: fc.constant({ kind: "flush" as const }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant("pull" as const), to: fc.constantFrom(1, 2), from: fc.constantFrom(0, 1, 2), bytes: fc.integer({ min: 1, max: 5_000 }) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("crash" as const), which: fc.constantFrom(0, 1, 2) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("save" as const), which: fc.constantFrom(0, 1, 2) }) },
  );
  await fc.assert(fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
    const replicas = ["us-east-1", "eu-west-1", "ap-south-1"];
    const storages = replicas.map(() => new MemoryStorage());
    const stores = storages.map((storage, index) => store(storage, { replica: replicas[index] ?? "" }));
    const at = (index: number): TestStore => stores[index] ?? stores[0] as TestStore;
    let now = T0;
    for (const one of steps) {
      if (one.kind === "append") {
        now += Math.max(0, one.aheadMs);
        at(0).results.append({ ...result(now + Math.min(0, one.aheadMs), one.state, one.latency, `default/${one.monitor}`), isFinal: one.isFinal });
      } else if (one.kind === "flush") await at(0).results.flush();
      else if (one.kind === "pull" && one.to !== one.from) await pull(at(one.to), at(one.from), one.bytes);
      else if (one.kind === "crash") {
        storages[one.which] = await copyOf(storages[one.which] ?? new MemoryStorage());
        stores[one.which] = store(storages[one.which] ?? new MemoryStorage(), { replica: replicas[one.which] ?? "" });
      } else if (one.kind === "save") {
        at(one.which).time.monotonicMs += 400_000;
        await at(one.which).results.flush();
      }
    }
    await at(0).results.flush();
    await pull(at(1), at(0));
    await pull(at(2), at(1));
    const rollupsOf = async ({ results }: TestStore) => JSON.stringify(await Promise.all(["a", "b"].flatMap((monitor) => (["minute", "hour", "day"] as Tier[]).map((tier) => results.rollups(`default/${monitor}`, tier, 0, ALL, us)))));
    const [origin, second, third] = await Promise.all([0, 1, 2].map((index) => rollupsOf(at(index))));
    const [batches, theirs] = await Promise.all([storages[0], storages[2]].map(async (storage) => JSON.stringify([...(await recordsIn(storage ?? new MemoryStorage(), "n/us-east-1"))])));
    const found = await Promise.all([0, 2].map(async (index) => JSON.stringify(await at(index).results.query("default/a", 0, ALL, 1_000, us))));
    const days = await at(2).results.rollups("default/a", "day", 0, ALL, us);
    const counted = days.reduce((sum, { rollup }) => sum + rollup.up + rollup.down + rollup.degraded + rollup.unknown, 0);
    const finals = (await at(2).results.query("default/a", 0, ALL, 1_000, us)).filter(({ isFinal }) => isFinal).length;
    return origin === second && origin === third && batches === theirs && found[0] === found[1] && counted === finals && stores.every(({ failures, refusals }) => failures.length + refusals.length === 0);
  }), { numRuns: 150 });
});

const TIERS_OLDER = ["day", "hour"] as const;

/** A store that has looked at three monitors for days, at one of them only in the beginning, at one until what is kept of the results begins. */
async function watchedForDays(days: number, storage: Storage = new MemoryStorage(), from = store(storage)): Promise<TestStore> {
  const hours = 24 * days + 8;
  for (let hour = 0; hour < hours; hour++) {
    const at = T0 + hour * HOUR_MS;
    for (let index = 0; index < 3; index++) from.results.append(result(at + index * 600_000, index === 0 && hour % 5 === 0 ? "down" : "up", 1 + ((hour * 7 + index) % 90)));
    if (hour < 30) from.results.append(result(at + 1, "degraded", 5, "default/idle"));
    if (hour < hours - 46) from.results.append(result(at + 2, "up", 6, "default/paused"));
    from.time.nowMs = at + HOUR_MS;
    from.time.monotonicMs += HOUR_MS;
    await from.results.flush();
  }
  return from;
}

const olderOf = async ({ results }: TestStore, key = "default/m", whose = everyone) =>
  Object.fromEntries(await Promise.all(TIERS_OLDER.map(async (tier) => [tier, await results.rollups(key, tier, 0, ALL, whose)] as const)));

function later(one: TestStore, other: TestStore): TestStore {
  one.time.nowMs = other.time.nowMs;
  return one;
}

t.test("a store that was emptied gets the rollups of hours and days back that nobody has the results of any more, its own too", async (t) => {
  const from = await watchedForDays(6);
  const lost = later(store(new MemoryStorage(), { replica: "us-east-1" }), from);
  await pull(later(store(new MemoryStorage(), { replica: "ap-south-1" }), from), from);
  const kept = later(store(new MemoryStorage(), { replica: "eu-west-1" }), from);
  await pull(kept, from);
  t.not((await olderOf(kept))["day"]?.length, (await olderOf(from))["day"]?.length, "what came after the loss of the results lacks them");
  t.ok((await pullOlder(kept, from, "ap-south-1")) > 0);
  t.same(await olderOf(kept), await olderOf(from));
  for (const key of ["default/idle", "default/paused"]) t.same(await olderOf(kept, key), await olderOf(from, key), "also of what nobody looks at any more");
  t.equal((await olderOf(from, "default/idle"))["hour"]?.length, 30);

  await pull(lost, kept);
  t.ok((await pullOlder(lost, kept, "eu-west-1", 2_000)) > 10, "in many answers");
  t.same(await olderOf(lost, "default/m", us), await olderOf(from, "default/m", us));
  t.same([...lost.refusals, ...lost.failures, ...kept.refusals, ...kept.failures], []);
});

t.test("what a replica folded from some of the results never takes the place of what another folded from all, whatever comes first", async (t) => {
  const from = await watchedForDays(5);
  for (const order of ["results first", "rollups first"]) {
    const storage = new MemoryStorage();
    let to = later(store(storage, { replica: "eu-west-1" }), from);
    if (order === "results first") await pull(to, from);
    await pullOlder(to, from, "us-east-1");
    // Its folding begins within a day that is finished elsewhere.
    to = later(store(await copyOf(storage), { replica: "eu-west-1" }), from);
    await pull(to, from);
    t.same(await olderOf(to), await olderOf(from), order);
    const again = later(store(await copyOf(storage), { replica: "eu-west-1" }), from);
    await pull(again, from);
    t.same(await olderOf(again), await olderOf(from), `${order}, once more from the disk`);
  }
});

t.test("who was away for longer than results are kept gets what it has missed, once", async (t) => {
  const from = await watchedForDays(1);
  const to = later(store(new MemoryStorage(), { replica: "eu-west-1" }), from);
  await pull(to, from);
  await pullOlder(to, from, "us-east-1");
  t.equal(to.results.olderWanted("ap-south-1"), "", "one that may miss something itself does not make it whole");
  await pullOlder(to, from, "ap-south-1");
  t.equal(to.results.olderWanted("ap-south-1"), undefined, "every other one does");
  await pullOlder(from, to, "eu-west-1");
  t.equal(from.results.olderWanted("ap-south-1"), undefined, "and so does one that misses nothing");
  from.time.nowMs += 3 * DAY_MS;
  await watchedForDays(5, undefined, from);
  later(to, from);
  await pull(to, from);
  t.equal(to.results.olderWanted("us-east-1"), "");
  await pullOlder(to, from, "us-east-1");
  t.same(await olderOf(to), await olderOf(from));
  t.equal(to.results.olderWanted("ap-south-1"), undefined);
});

t.test("rollups from outside are held against their form, and against the bounds of what is kept", async (t) => {
  const from = await watchedForDays(4);
  const { records } = await from.results.readOlder("", 1_000_000);
  const good = records.find(({ name }) => name.startsWith("day/default/m/"));
  if (good === undefined) throw new Error("a day");
  const to = later(store(new MemoryStorage(), { replica: "eu-west-1" }), from);
  const rollup = JSON.parse(Buffer.from(good.body).toString()) as Record<string, unknown>;
  const bad = [
    { ...good, name: "week/default/m/00000000000001" }, { ...good, name: "day/default/../x/00000000000001" }, { ...good, name: good.name.replace("day", "minute") }, { ...good, body: Buffer.from("{") },
    { ...good, body: Buffer.from("null") }, ...[{ up: -1 }, { sum: "1" }, { min: -1 }, { buckets: [[1]] }, { buckets: [[2, 1], [1, 1]] }, { buckets: [[1, 0]] }].map((wrong) => ({ ...good, body: Buffer.from(JSON.stringify({ ...rollup, ...wrong })) })),
    { ...good, body: Buffer.concat([good.body, Buffer.alloc(limits.recordBytesMax, " ")]) }, { ...good, origin: "mars-1.0011223344556677" },
  ];
  await to.results.keepOlder("us-east-1", { records: bad, next: "more", whole: true });
  t.same(to.refusals, [...bad.slice(1).map(() => "us-east-1 malformed"), "mars-1 stranger"]);
  const foreign = { ...good, body: Buffer.from(JSON.stringify({ ...rollup, more: "of it" })) };
  const early = { ...good, name: "hour/default/m/00000000000001" };
  await to.results.keepOlder("us-east-1", { records: [foreign, early], next: "more", whole: true });
  const found = await olderOf(to);
  t.same(found["hour"], [], "what is too old to be kept is not kept");
  t.same(found["day"], (await olderOf(from))["day"]?.slice(0, 1));
});

t.test("an origin of which nothing is kept any more is forgotten, and taken up again where it goes on", async (t) => {
  const from = store(new MemoryStorage());
  for (let hour = 0; hour < 3; hour++) from.results.append(result(T0 + hour * HOUR_MS));
  await from.results.flush();
  const storage = new MemoryStorage();
  const to = store(storage, { replica: "eu-west-1" });
  await pull(to, from);
  const passes = async (days: number) => {
    for (const { results, time } of [to, from]) {
      time.nowMs += days * DAY_MS;
      time.monotonicMs += DAY_MS;
      await results.flush();
    }
  };
  await passes(790);
  t.equal((await olderOf(to))["day"]?.length, 2, "days are kept so long");
  await passes(11);
  t.same([await olderOf(to), await recordsIn(storage, "s/"), (await recordsIn(storage, "k/")).size], [{ day: [], hour: [] }, new Map(), 0]);
  t.equal((await recordsIn(storage, "m/")).size, 1);
  from.results.append(result(from.time.nowMs));
  await from.results.flush();
  await pull(to, from);
  t.same(await times(to), [from.time.nowMs]);
  t.same([...to.refusals, ...to.failures], []);
});
