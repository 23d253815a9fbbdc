import t from "tap";
import { ALL_PAGES, KeptPages } from "../../src/core/kept-pages.js";
import { limits as builtIn, type Limits } from "../../src/core/limits.js";
import type { Heartbeat, Status } from "../../src/core/messages.js";
import { ownerOf, Replica, type PlacedEntry, type ReplicaEffect } from "../../src/core/replica.js";
import { copyVector, EMPTY_VECTOR, type MutableVector, type Vector } from "../../src/core/vector.js";

const OWN = "us-east-1.1";
const PEER = "eu-west-1.1";
const OTHER = "ap-south-1.1";

/** A replica with a log that is a list, and the effects that it asked for. */
class World {
  readonly log: PlacedEntry[] = [];
  readonly vector: MutableVector = copyVector(EMPTY_VECTOR);
  floor: Vector = EMPTY_VECTOR;
  durable = 0;
  now = 0;
  inMemory = true;
  readonly replica: Replica;
  /** Entries whose bodies were asked for. */
  readonly readFromDisk: string[] = [];

  constructor(changed: Partial<Record<keyof Limits, number>> = {}, kept: KeptPages = ALL_PAGES) {
    this.replica = new Replica({
      kept, durableVector: () => this.vector, floor: () => this.floor, status: () => statusOf(this.vector), ownOrigin: () => OWN, durableHead: () => this.durable,
      recent: (place, most) => (this.inMemory ? this.log.slice(place - 1, Math.min(place - 1 + most, this.durable)) : undefined), wall: () => 1_000_000,
    }, ["eu-west-1", "ap-south-1"], { ...builtIn, ...changed } as Limits);
  }

  append(origin: string, count: number, bytes = 10): void {
    for (let i = 0; i < count; i++) {
      const seq = (this.vector[origin] ?? 0) + 1;
      this.vector[origin] = seq;
      this.log.push({ origin, seq, body: new Uint8Array(bytes), checksum: new Uint8Array(16), place: this.log.length + 1 });
    }
    this.durable = this.log.length;
  }

  /** Steps, and answers what asks for the log at once. */
  step(event: Parameters<Replica["step"]>[0]): ReplicaEffect[] {
    const done: ReplicaEffect[] = [];
    for (const effect of this.replica.step(event, this.now)) {
      done.push(effect);
      if (effect.kind === "locate") {
        const places = Object.entries(effect.beyond).flatMap(([origin, seq]) => this.log.find((entry) => entry.origin === origin && entry.seq === seq + 1)?.place ?? []);
        done.push(...this.step({ kind: "located", peer: effect.peer, ticket: effect.ticket, place: places.length === 0 ? undefined : Math.min(...places) }));
      } else if (effect.kind === "readLog") {
        const looked = this.log.slice(effect.place - 1, effect.place - 1 + effect.most);
        const entries = looked.filter(({ origin }) => effect.isWanted(origin));
        this.readFromDisk.push(...entries.map(({ origin, seq }) => `${origin} ${seq}`));
        done.push(...this.step({ kind: "read", peer: effect.peer, ticket: effect.ticket, entries, through: looked.at(-1)?.place }));
      }
    }
    return done;
  }

  connect(peer = "eu-west-1", vector: Vector = EMPTY_VECTOR, kept: KeptPages = ALL_PAGES): ReplicaEffect[] {
    return this.step({ kind: "connected", peer, status: statusOf(vector, peer), kept });
  }
}

function statusOf(vector: Vector, peer = "us-east-1", floor: Vector = EMPTY_VECTOR): Status {
  return { vector: { ...vector }, floor: { ...floor }, incarnations: { [peer]: 1 }, position: 0, voting: true, virgin: false, hlc: "0".repeat(32), merkleRoot: new Uint8Array(), level: 0 };
}

function heartbeat(status: Status, relay: readonly string[] = []): Heartbeat {
  return { status, sentAt: 1, echo: 0, echoDelay: 0, wall: 1_000_000, relay: [...relay] };
}

function sent(effects: readonly ReplicaEffect[], peer = "eu-west-1"): string[] {
  return effects.flatMap((effect) => (effect.kind === "send" && effect.peer === peer && effect.message.$case === "entries" ? effect.message.value.entries.map(({ origin, seq }) => `${origin} ${seq}`) : []));
}

function wants(effects: readonly ReplicaEffect[]): Vector[] {
  return effects.flatMap((effect) => (effect.kind === "send" && effect.message.$case === "want" ? [effect.message.value.vector] : []));
}

t.test("a peer gets our own entries beyond what it holds, in order, once, and only what is durable", async (t) => {
  const world = new World();
  world.append(OWN, 5);
  world.durable = 4;
  t.same(sent(world.connect("eu-west-1", { [OWN]: 2 })), [`${OWN} 3`, `${OWN} 4`]);
  world.durable = 5;
  world.now += 10;
  t.same(sent(world.step({ kind: "flushed", urgent: true })), [`${OWN} 5`]);
  t.same(sent(world.step({ kind: "flushed", urgent: true })), []);
});

t.test("entries that are in memory no more are read from the disk", async (t) => {
  const world = new World();
  world.append(OWN, 250);
  world.inMemory = false;
  const effects = world.connect();
  t.equal(effects.filter(({ kind }) => kind === "readLog").length, 3);
  t.equal(sent(effects).length, 250);
});

t.test("of what is read from the disk only what the peer is to get is asked for, and what lies behind the others is found", async (t) => {
  const world = new World({ entriesPerMessage: 3 });
  world.append("ap-south-1:1", 10);
  world.append(OWN, 2);
  world.append("ap-south-1:1", 1);
  world.append(OWN, 1);
  world.inMemory = false;
  t.same(sent(world.step({ kind: "connected", peer: "eu-west-1", status: statusOf({ "ap-south-1:1": 4 }, "eu-west-1"), kept: ALL_PAGES })), [1, 2, 3].map((seq) => `${OWN} ${seq}`));
  t.same(world.readFromDisk, [1, 2, 3].map((seq) => `${OWN} ${seq}`));
});

t.test("no more than the window is under way, and an acknowledgement opens it again", async (t) => {
  const world = new World({ linkWindowBytes: 1_000, entriesMessageBytes: 100, entriesPerMessage: 10 });
  world.append(OWN, 300);
  const first = sent(world.connect());
  t.equal(first.length, 100);
  t.same(sent(world.step({ kind: "tick" })), []);
  t.equal(sent(world.step({ kind: "ack", peer: "eu-west-1", vector: { [OWN]: 50 }, consumedBytes: 500 })).length, 50);
  t.same(sent(world.step({ kind: "ack", peer: "eu-west-1", vector: { [OWN]: 50 }, consumedBytes: 1e9 })), [], "more than was sent cannot be consumed");
});

t.test("other origins go only to those that ask for them", async (t) => {
  const world = new World();
  world.append(OTHER, 3);
  t.same(sent(world.connect()), []);
  t.same(sent(world.step({ kind: "heartbeat", peer: "eu-west-1", heartbeat: heartbeat(statusOf({ [OTHER]: 1 }, "eu-west-1"), [OTHER]) })), [`${OTHER} 2`, `${OTHER} 3`]);
});

t.test("we ask a third replica to relay what its owner cannot send us, and stop once the owner is back", async (t) => {
  const world = new World();
  world.connect("eu-west-1");
  const relayOf = (effects: readonly ReplicaEffect[]): string[] => effects.flatMap((effect) => (effect.kind === "send" && effect.peer === "eu-west-1" && effect.message.$case === "heartbeat" ? effect.message.value.relay : []));
  world.step({ kind: "heartbeat", peer: "eu-west-1", heartbeat: heartbeat(statusOf({ [OTHER]: 3 }, "eu-west-1")) });
  t.same(relayOf(world.step({ kind: "tick" })), [OTHER]);
  world.connect("ap-south-1", { [OTHER]: 3 });
  t.same(relayOf(world.step({ kind: "tick" })), []);
  world.step({ kind: "disconnected", peer: "ap-south-1" });
  t.same(relayOf(world.step({ kind: "tick" })), [OTHER]);
});

t.test("what the link refused is sent anew at the next tick and does not use up the window", async (t) => {
  const world = new World({ linkWindowBytes: 1_000 });
  world.append(OWN, 60);
  t.equal(sent(world.connect()).length, 60);
  for (let again = 0; again < 5; again++) {
    world.step({ kind: "unsent", peer: "eu-west-1", bytes: 600 });
    t.equal(sent(world.step({ kind: "flushed", urgent: true })).length, 0, "not at once");
    t.equal(sent(world.step({ kind: "tick" })).length, 60);
  }
});

t.test("a peer that holds more of its own log and stays silent is asked for it", async (t) => {
  const world = new World();
  world.connect("eu-west-1", { [PEER]: 4 });
  world.vector[PEER] = 1;
  t.same(wants(world.step({ kind: "tick" })), []);
  world.now = 1_500;
  t.same(wants(world.step({ kind: "tick" })).map((vector) => ({ ...vector })), [{ [PEER]: 1 }]);
  t.same(wants(world.step({ kind: "tick" })), [], "not again at once");
  world.vector[PEER] = 4;
  world.now = 9_000;
  t.same(wants(world.step({ kind: "tick" })), []);
});

t.test("a want sends everything again from where the peer stands", async (t) => {
  const world = new World();
  world.append(OWN, 4);
  t.equal(sent(world.connect()).length, 4);
  t.same(sent(world.step({ kind: "want", peer: "eu-west-1", vector: { [OWN]: 2 } })), [`${OWN} 3`, `${OWN} 4`]);
});

t.test("what lies below our floor is not sent, and a peer's floor above us asks for anti-entropy", async (t) => {
  const world = new World();
  world.append(OWN, 4);
  world.floor = { [OWN]: 2 };
  t.same(sent(world.connect()), []);
  const behind = world.step({ kind: "heartbeat", peer: "eu-west-1", heartbeat: heartbeat(statusOf({ [PEER]: 9 }, "eu-west-1", { [PEER]: 5 })) });
  t.same(behind.filter(({ kind }) => kind === "antiEntropy"), [{ kind: "antiEntropy", peer: "eu-west-1" }]);
  world.vector[PEER] = 5;
  t.same(world.step({ kind: "heartbeat", peer: "eu-west-1", heartbeat: heartbeat(statusOf({ [PEER]: 9 }, "eu-west-1", { [PEER]: 5 })) }).filter(({ kind }) => kind === "antiEntropy"), []);
});

t.test("an answer that belongs to an earlier connection is passed over", async (t) => {
  const world = new World();
  world.append(OWN, 2);
  const [locate] = world.replica.step({ kind: "connected", peer: "eu-west-1", status: statusOf(EMPTY_VECTOR, "eu-west-1"), kept: ALL_PAGES }, 0).filter((effect) => effect.kind === "locate");
  if (locate === undefined) throw new Error("nothing was located");
  world.step({ kind: "disconnected", peer: "eu-west-1" });
  world.replica.step({ kind: "connected", peer: "eu-west-1", status: statusOf({ [OWN]: 2 }, "eu-west-1"), kept: ALL_PAGES }, 0);
  t.same(sent(world.step({ kind: "located", peer: "eu-west-1", ticket: locate.ticket, place: 1 })), []);
});

t.test("what every member holds is stable, and the age of what a peer lacks grows until it acknowledges", async (t) => {
  const world = new World();
  t.same({ ...world.replica.stableVector(["eu-west-1", "ap-south-1"]) }, {});
  world.append(OWN, 4);
  world.connect("eu-west-1", { [OWN]: 3 });
  world.connect("ap-south-1", { [OWN]: 2 });
  t.same({ ...world.replica.stableVector(["eu-west-1", "ap-south-1"]) }, { [OWN]: 2 });
  t.same({ ...world.replica.stableVector(["eu-west-1"]) }, { [OWN]: 3 });
  world.now = 1_000;
  world.step({ kind: "flushed", urgent: false });
  world.now = 6_000;
  const lag = (): number[] => world.replica.reports(world.now).flatMap(({ unacknowledgedChanges, oldestUnacknowledgedMs }) => [unacknowledgedChanges, oldestUnacknowledgedMs]);
  t.same(lag(), [1, 5_000, 2, 5_000]);
  world.step({ kind: "ack", peer: "eu-west-1", vector: { [OWN]: 4 }, consumedBytes: 0 });
  t.same(lag(), [0, 0, 2, 5_000]);
  t.equal(ownerOf("us-east-1.mwpx"), "us-east-1");
});

t.test("the round trip and the offset of a clock are told from heartbeats", async (t) => {
  const world = new World();
  world.connect();
  world.now = 500;
  world.step({ kind: "heartbeat", peer: "eu-west-1", heartbeat: { ...heartbeat(statusOf(EMPTY_VECTOR, "eu-west-1")), echo: 380, echoDelay: 20, wall: 1_000_200 } });
  const [report] = world.replica.reports(world.now);
  t.equal(report?.rttMs, 100);
  t.equal(report?.clockOffsetMs, 250);
  world.step({ kind: "heartbeat", peer: "eu-west-1", heartbeat: { ...heartbeat(statusOf(EMPTY_VECTOR, "eu-west-1")), echo: 99_999 } });
  t.equal(world.replica.roundTripMs("eu-west-1"), 100, "an echo from the future says nothing");
});

t.test("nobody asks an edge for some pages to relay, nor waits for what it has seen; and it relays nothing", async (t) => {
  const SOME = new KeptPages(["page"]);
  const region = new World();
  region.connect("eu-west-1", { [OTHER]: 5 }, SOME);
  region.now = 10_000;
  const asked = region.step({ kind: "tick" });
  t.match(asked.find((effect) => effect.kind === "send"), { message: { value: { relay: [] } } }, "although it says that it is ahead");
  t.notOk(asked.some((effect) => effect.kind === "send" && effect.message.$case === "want"));
  t.same(region.replica.peersHold(), {}, "what it has seen is nothing that could be fetched");
  const floor = region.step({ kind: "heartbeat", peer: "eu-west-1", heartbeat: { status: statusOf({ [OTHER]: 5 }, "eu-west-1", { [OTHER]: 3 }), sentAt: 1, echo: 0, echoDelay: 0, wall: 0, relay: [] } });
  t.notOk(floor.some(({ kind }) => kind === "antiEntropy"));

  const edge = new World({}, SOME);
  edge.append(OTHER, 3);
  edge.connect("eu-west-1");
  const sent = edge.step({ kind: "heartbeat", peer: "eu-west-1", heartbeat: { status: statusOf(EMPTY_VECTOR, "eu-west-1"), sentAt: 1, echo: 0, echoDelay: 0, wall: 0, relay: [OTHER] } });
  t.notOk([...sent, ...edge.step({ kind: "tick" })].some((effect) => effect.kind === "send" && effect.message.$case === "entries"));
});
