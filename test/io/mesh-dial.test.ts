/** Who dials whom, when, and what becomes of links that go silent or double. */
import { type AddressInfo, createServer } from "node:net";
import t, { type Test } from "tap";
import type { Timers } from "../../src/core/ports.js";
import { systemTimers } from "../../src/io/system-clock.js";
import { numbered, Recorder, RunningTime, throughout, until } from "./mesh-contract.js";
import { GrpcWorld, type GrpcWorldOptions } from "./mesh-world.js";

const [A, B] = ["ap-south-1", "eu-west-1"] as const;

async function pairIn(world: GrpcWorld) {
  const [a, b] = await Promise.all([world.join(A), world.join(B)]);
  const [atA, atB] = [new Recorder(A), new Recorder(B)];
  return { a, b, atA, atB, linked: () => atA.linked.has(B) && atB.linked.has(A) };
}

function scenario(title: string, options: GrpcWorldOptions, run: (t: Test, world: GrpcWorld) => Promise<void>): void {
  t.test(title, async (t) => {
    const world = await GrpcWorld.create(options);
    t.teardown(() => world.close());
    await run(t, world);
  });
}

scenario("the smaller id dials, the other one waits", {}, async (t, world) => {
  const { a, b, atA, atB, linked } = await pairIn(world);
  await Promise.all([a.open(atA), b.open(atB)]);
  await until("linked", linked);
  t.ok(world.log.some(({ sentence }) => sentence.includes(`dialled by ${A}`)));
  t.equal(world.proxy(B, A).accepted, 0);
});

scenario("where only the larger id can dial, its link is used", { bounds: { patienceMs: 200 } }, async (t, world) => {
  const { a, b, atA, atB, linked } = await pairIn(world);
  world.proxy(A, B).cut();
  await Promise.all([a.open(atA), b.open(atB)]);
  await until("linked", linked);
  t.ok(world.log.some(({ sentence }) => sentence.includes(`dialled by ${B}`)));
  t.ok(world.log.some(({ replica, sentence }) => replica === A && sentence.startsWith("no link with")), "the failed dial is said");
  world.proxy(A, B).heal();
  await throughout("the link that works is kept", linked, 500);
  t.strictSame([atA.links, atB.links], [[`+${B}`], [`+${A}`]]);
});

scenario("with the default patience the larger id has a link within three seconds", {}, async (t, world) => {
  const { a, b, atA, atB, linked } = await pairIn(world);
  world.proxy(A, B).blackhole();
  const time = new RunningTime();
  await Promise.all([a.open(atA), b.open(atB)]);
  await until("linked", linked);
  const ms = time.stop();
  t.ok(ms < 3_000, `${Math.round(ms)} ms`);
});

for (let round = 0; round < 5; round++) {
  scenario(`both sides dial at once and agree on one link (round ${round + 1})`, { bounds: { patienceMs: 0, reconnectMinMs: 5, reconnectMaxMs: 20 } }, async (t, world) => {
    world.proxy(A, B).delayMs = round * 3;
    const { a, b, atA, atB, linked } = await pairIn(world);
    await Promise.all([a.open(atA), b.open(atB)]);
    await until("linked", linked);
    let sent = 0;
    await throughout("whatever happened at first is over", () => true, 100);
    const [changesOfA, changesOfB] = [atA.links.length, atB.links.length];
    await throughout("the link stays", () => linked() && a.send(B, numbered(sent++)) && b.send(A, numbered(sent)), 300);
    t.strictSame([atA.links.length, atB.links.length], [changesOfA, changesOfB]);
    await until("everything arrived", () => atB.messages.length === sent && atA.messages.length === sent);
  });
}

scenario("a link that goes deaf is noticed on both sides within three seconds", {}, async (t, world) => {
  const { a, b, atA, atB, linked } = await pairIn(world);
  await Promise.all([a.open(atA), b.open(atB)]);
  await until("linked", linked);
  const time = new RunningTime();
  world.proxy(A, B).blackhole();
  world.proxy(B, A).blackhole();
  await until("both sides know", () => !atA.linked.has(B) && !atB.linked.has(A));
  const ms = time.stop();
  t.ok(ms < 3_400, `${Math.round(ms)} ms`);
  world.heal(A, B);
  await until("linked again", linked);
});

scenario("an idle link stays up", { bounds: { silenceMs: 240 } }, async (t, world) => {
  const { a, b, atA, atB, linked } = await pairIn(world);
  await Promise.all([a.open(atA), b.open(atB)]);
  await until("linked", linked);
  await throughout("nobody hangs up", linked, 1_500);
  t.strictSame([atA.links, atB.links], [[`+${B}`], [`+${A}`]]);
});

t.test("redialling backs off, with jitter, up to its bound", async (t) => {
  const waits: number[] = [];
  const timers: Timers = {
    after: (ms, callback) => {
      if (ms < 400) waits.push(ms);
      return systemTimers.after(Math.min(ms, 400), callback);
    },
  };
  const silent = createServer((socket) => socket.on("error", () => {}).resume());
  await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
  const port = (silent.address() as AddressInfo).port;
  const world = await GrpcWorld.create({ timers, random: { bytes: (length) => new Uint8Array(length), uniform: () => 0.5 }, bounds: { reconnectMinMs: 8, reconnectMaxMs: 100, handshakeMs: 5_000, lingerMs: 1_000 } });
  t.teardown(async () => {
    await world.close();
    await new Promise<void>((resolve) => silent.close(() => resolve()));
  });
  world.proxy(A, B).cut();
  world.proxy(A, "us-east-1").target = `127.0.0.1:${port}`;
  const a = await world.join(A);
  await a.open(new Recorder(A));
  await until("several attempts", () => waits.filter((ms) => ms > 0).length >= 7);
  t.strictSame(waits.filter((ms) => ms > 0).slice(0, 7), [6, 12, 24, 48, 75, 75, 75]);
  const complaints = world.log.filter(({ sentence }) => sentence.startsWith("no link with"));
  t.equal(complaints.length, 1, "a fault that repeats is not said at every attempt");
});

t.test("nothing stays open after closing", async (t) => {
  const world = await GrpcWorld.create();
  const { a, b, atA, atB, linked } = await pairIn(world);
  await Promise.all([a.open(atA), b.open(atB)]);
  await until("linked", linked);
  t.ok(process.getActiveResourcesInfo().some((name) => name.startsWith("TCP")), "there were sockets before");
  await world.close();
  await until("no socket and no server is left", () => !process.getActiveResourcesInfo().some((name) => name.startsWith("TCP")));
});
