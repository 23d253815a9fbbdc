/** Three regions in memory that seal what they wrote, at an hour that has come by a clock of the test. */
import t from "tap";
import { NO_PHASES } from "../../src/core/check.js";
import { isFault } from "../../src/core/errors.js";
import { hlcMs } from "../../src/core/hlc.js";
import type { Timer } from "../../src/core/ports.js";
import { createMonitor, deleteMonitor } from "../../src/features/monitors/commands.js";
import { opinionCommand } from "../../src/features/monitors/opinion-command.js";
import type { State } from "../../src/features/monitors/opinion.js";
import { checkProof, proofOf, proofText } from "../../src/features/monitors/proof.js";
import { ResultStore } from "../../src/features/monitors/results.js";
import { sealHash, type Seal, type SealedRecord } from "../../src/features/monitors/seal.js";
import { chainOf, chainsIn, sealedOn, sealsOf } from "../../src/features/monitors/seal-store.js";
import { Sealer } from "../../src/features/monitors/sealer.js";
import { createPage } from "../../src/features/pages/commands.js";
import { MemoryStorage } from "../../src/io/memory-storage.js";
import { systemRandom, systemTimers } from "../../src/io/system-clock.js";
import type { Command, Snapshot } from "../../src/store/data-plane.js";
import { Cluster, newDisk } from "./cluster.js";

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** A test that begins at the end of an hour must not find it over: it is ten minutes past for all of them. */
const SHIFT_MS = 600_000 - (Date.now() % HOUR_MS);
const nowMs = (): number => Date.now() + SHIFT_MS;
const REGIONS = ["us-east", "eu-west", "ap-south"];

interface RegionSealer {
  /** Wakes it once, and waits until it has nothing left to do. */
  look(): Promise<void>;
  readonly results: ResultStore;
}

class World {
  /** How far the regions' clocks are ahead, ms. */
  aheadMs = 0;
  /** How much farther the sealers' are, ms. */
  sealersAheadMs = 0;
  readonly clock = { now: () => nowMs() + this.aheadMs, monotonic: () => performance.now() };
  readonly cluster = new Cluster({ clock: this.clock });

  static async start(t: { teardown(end: () => Promise<void>): void }): Promise<World> {
    const world = new World();
    t.teardown(() => world.cluster[Symbol.asyncDispose]());
    await world.cluster.start();
    await world.cluster.voting();
    await world.run("us-east", createPage("shop", { name: "Shop" }));
    await world.run("us-east", createMonitor("shop", "m", "secret", { name: "API", type: "tcp", target: "example.com:80" }, REGIONS));
    await world.cluster.converged();
    return world;
  }

  async run(region: string, command: Command): Promise<void> {
    const done = await this.cluster.node(region).commit(command, { level: "LOCAL", actor: "system" });
    if (isFault(done)) throw new Error(done.detail);
  }

  async thinks(region: string, state: State, monitor = "m", message = "the connection was refused"): Promise<void> {
    const now = this.clock.now();
    await this.run(region, opinionCommand("shop", monitor, region, { state, since: now, checkedAt: now, evidence: { error: state === "down" ? { code: "ECONNREFUSED", message } : null, latency_ms: 4.25, phases: NO_PHASES } }));
  }

  /** A sealer of a region, as after a start of its replica. */
  sealer(t: { teardown(end: () => Promise<void>): void }, region: string): RegionSealer {
    const waiting: (() => void)[] = [];
    const clock = { ...this.clock, now: () => this.clock.now() + this.sealersAheadMs };
    const results = new ResultStore({
      storage: new MemoryStorage(), clock, timers: systemTimers, random: systemRandom, replica: `${region}-1`, members: new Set([`${region}-1`]), witness: "",
      onFailure: (error) => t.teardown(() => Promise.reject(error)), refused: (origin, reason) => t.teardown(() => Promise.reject(new Error(`${origin}: ${reason}`))),
    });
    const timers = { after: (_ms: number, callback: () => void): Timer => {
      waiting.push(callback);
      return { cancel: () => void waiting.splice(waiting.indexOf(callback) >>> 0, 1) };
    } };
    const defects: unknown[] = [];
    const sealer = new Sealer({ data: this.cluster.node(region), clock, timers, replica: `${region}-1`, region, results, log: () => undefined, onDefect: (error) => defects.push(error) });
    sealer.start();
    t.teardown(async () => {
      await sealer.stop();
      await results[Symbol.asyncDispose]();
    });
    return {
      results,
      look: async () => {
        waiting.shift()?.();
        await this.cluster.settled("the sealer has looked", () => waiting.length > 0 || defects.length > 0);
        if (defects.length > 0) throw defects[0];
      },
    };
  }

  /** Name of the chain that a region's replica extends now. */
  chain(region: string): string {
    return chainOf({ replica: `${region}-1`, incarnation: this.cluster.node(region).cluster().incarnation });
  }

  async read<T>(region: string, render: (snapshot: Snapshot) => T): Promise<T> {
    const read = await this.cluster.node(region).read({ documents: [], render }, { level: "LOCAL" });
    if (isFault(read)) throw new Error(read.detail);
    return read.value;
  }

  seals(region: string, chain: string): Promise<Seal[]> {
    return this.read(region, (snapshot) => sealsOf(snapshot, "shop", chain));
  }

  /** All that a region's seals hold, by number. */
  async records(region: string, chain: string): Promise<SealedRecord[][]> {
    const found: SealedRecord[][] = [];
    for (const { number, until } of await this.seals(region, chain)) {
      const sealed = await this.read(region, (snapshot) => sealedOn(snapshot, "shop", until.slice(0, 10), (of) => of === chain));
      found.push(sealed.filter((part) => part.number === number).flatMap(({ texts }) => texts.map((text) => JSON.parse(text) as SealedRecord)));
    }
    return found;
  }

  async proof(region: string, chain: string, number: number, index: number): Promise<Buffer> {
    const seals = (await this.seals(region, chain)).filter((seal) => seal.number >= number);
    const [first, ...others] = seals;
    if (first === undefined) throw new Error(`${region} has no seal ${number} of ${chain}`);
    const texts = (await this.read(region, (snapshot) => sealedOn(snapshot, "shop", first.until.slice(0, 10)))).find((part) => part.chain === chain && part.number === number)?.texts ?? [];
    return Buffer.from(proofText(proofOf(texts, index, [first, ...others])));
  }
}

t.test("each region seals what it wrote, once, and all regions give the same proofs", async (t) => {
  const world = await World.start(t);
  const [us, eu] = [world.sealer(t, "us-east"), world.sealer(t, "eu-west")];
  await world.thinks("us-east", "up");
  await world.thinks("us-east", "down");
  await world.thinks("eu-west", "up");
  await world.cluster.converged();
  await us.look();
  t.same(await world.seals("us-east", world.chain("us-east")), [], "the hour is not over");
  world.aheadMs = HOUR_MS + 61_000;
  await us.look();
  await eu.look();
  await us.look();
  await world.cluster.converged();
  t.same(await world.read("ap-south", (snapshot) => chainsIn(snapshot, "shop")), [world.chain("eu-west"), world.chain("us-east")]);
  t.match(await world.records("ap-south", world.chain("us-east")), [[{ kind: "opinion", monitor: "m", region: "us-east", value: { state: "up" } }, { value: { state: "down" } }]]);
  t.match(await world.records("ap-south", world.chain("eu-west")), [[{ kind: "opinion", region: "eu-west", value: { state: "up" } }]]);
  t.match(await world.seals("ap-south", world.chain("us-east")), [{ number: 1, previous: null, from: null, records: 2, late: 0, origin: /^us-east-1\.\d+$/ }]);

  world.aheadMs += HOUR_MS;
  await us.look();
  t.equal((await world.seals("us-east", world.chain("us-east"))).length, 1, "an hour in which nothing was written has no seal");
  await world.thinks("us-east", "up");
  world.aheadMs += HOUR_MS;
  await us.look();
  await world.cluster.converged();
  const proofs = await Promise.all(REGIONS.map((region) => world.proof(region, world.chain("us-east"), 1, 1)));
  for (const proof of proofs) t.ok(proof.equals(proofs[0] ?? Buffer.alloc(0)), "the same bytes everywhere");
  t.match(checkProof(proofs[2] ?? Buffer.alloc(0)), { holds: true, record: { value: { state: "down" } }, proof: { seals: [{ number: 1 }, { number: 2 }] } });
});

t.test("what was sealed is not sealed again after a restart, and what was missed is", async (t) => {
  const world = await World.start(t);
  await world.thinks("us-east", "up");
  world.aheadMs = HOUR_MS + 61_000;
  await world.sealer(t, "us-east").look();
  await world.thinks("us-east", "down");
  world.aheadMs += HOUR_MS;
  // Another sealer: whatever the first one remembered is gone.
  await world.sealer(t, "us-east").look();
  t.match((await world.records("us-east", world.chain("us-east"))).map((records) => records.map(({ value }) => value)), [[{ state: "up" }], [{ state: "down" }]]);
});

t.test("what was written by a clock that was set back comes into a later seal, which says so", async (t) => {
  const world = await World.start(t);
  const us = world.sealer(t, "us-east");
  await world.thinks("us-east", "up");
  // As if this region's clock had been ahead when it sealed: its hour is not over by the clock that stamps changes.
  world.sealersAheadMs = HOUR_MS + 61_000;
  await us.look();
  await world.thinks("us-east", "down");
  world.sealersAheadMs += HOUR_MS;
  await us.look();
  t.match((await world.records("us-east", world.chain("us-east"))).map((records) => records.map(({ value }) => value)), [[{ state: "up" }], [{ state: "down" }]]);
  t.match(await world.seals("us-east", world.chain("us-east")), [{ late: 0 }, { late: 1 }]);
});

t.test("a monitor that was deleted is sealed up to its end, and halves of characters do not stop it", async (t) => {
  const world = await World.start(t);
  const us = world.sealer(t, "us-east");
  await us.look();
  await world.thinks("us-east", "down", "m", "half \ud83d");
  await world.run("us-east", deleteMonitor("shop", "m"));
  world.aheadMs = HOUR_MS + 61_000;
  await us.look();
  t.match(await world.records("us-east", world.chain("us-east")), [[{ monitor: "m", value: { evidence: { error: { message: "half \ufffd" } } } }]]);
  t.match(checkProof(await world.proof("us-east", world.chain("us-east"), 1, 0)), { holds: true });
});

t.test("a new life of a replica begins a chain that names the old one, and seals what the old one had not", async (t) => {
  const world = await World.start(t);
  const old = world.chain("us-east");
  await world.thinks("us-east", "up");
  world.aheadMs = HOUR_MS + 61_000;
  await world.sealer(t, "us-east").look();
  await world.thinks("us-east", "down");
  await world.cluster.converged();
  await world.cluster.stop("us-east-1");
  world.cluster.disks.set("us-east-1", newDisk("another disk"));
  await world.cluster.start("us-east-1");
  await world.cluster.converged();
  world.aheadMs += HOUR_MS;
  await world.sealer(t, "us-east").look();
  t.not(world.chain("us-east"), old);
  t.match(await world.seals("us-east", world.chain("us-east")), [{ number: 1, previous: sealHash((await world.seals("us-east", old))[0] as Seal), from: null }]);
  t.match(await world.records("us-east", world.chain("us-east")), [[{ value: { state: "down" } }]]);
});

t.test("a day is sealed once it has been over for an hour, with what the replica's own results add up to", async (t) => {
  const world = await World.start(t);
  const us = world.sealer(t, "us-east");
  await us.look();
  const today = Math.floor(nowMs() / DAY_MS) * DAY_MS;
  for (let index = 0; index < 10; index++) us.results.append({ key: "shop/m", at: today + index * 1_000, state: index === 0 ? "down" : "up", latency_ms: 10, phases: NO_PHASES, error: null, attempt: 1, isFinal: true });
  // Midnight is over, not an hour ago.
  world.aheadMs = today + DAY_MS + 62_000 - nowMs();
  await us.look();
  t.same((await world.records("us-east", world.chain("us-east"))).flat().filter(({ kind }) => kind === "day"), []);
  world.aheadMs += HOUR_MS;
  await us.look();
  world.aheadMs += HOUR_MS;
  await us.look();
  const days = (await world.records("us-east", world.chain("us-east"))).flat().filter(({ kind }) => kind === "day");
  t.match(days, [{ id: new Date(today).toISOString().slice(0, 10), at: new Date(today + DAY_MS).toISOString(), value: { up: 9, down: 1, degraded: 0, unknown: 0, latency_ms: { count: 9, p99: 10 } } }]);
  t.equal(days.length, 1);
});

t.test("more records than fit one seal come into several, and none is lost", async (t) => {
  const world = await World.start(t);
  const message = "x".repeat(100_000);
  for (let index = 0; index < 20; index++) await world.thinks("us-east", index % 2 === 0 ? "down" : "up", "m", message);
  world.aheadMs = HOUR_MS + 61_000;
  await world.sealer(t, "us-east").look();
  const seals = await world.seals("us-east", world.chain("us-east"));
  t.ok(seals.length > 1, `${seals.length} seals`);
  const records = (await world.records("us-east", world.chain("us-east"))).flat();
  t.same(records.map(({ id }) => hlcMs(id)), records.map(({ id }) => hlcMs(id)).sort());
  t.equal(records.length, 20);
  for (const { number } of seals) t.match(checkProof(await world.proof("us-east", world.chain("us-east"), number, 0)), { holds: true });
});
