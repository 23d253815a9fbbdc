/** What every `Transport` must do, whatever it is made of. */
import type { Test } from "tap";
import { limits } from "../../src/core/limits.js";
import type { Hello, Message } from "../../src/core/messages.js";
import type { Transport, TransportHandler } from "../../src/core/ports.js";

export const REPLICAS = ["ap-south-1", "eu-west-1", "us-east-1"] as const;

export interface JoinOptions {
  /** Whom the replica's certificate names, if not itself. */
  readonly named?: string;
  readonly outboxBytes?: number;
}

/** A world of three replicas that the contract runs in. */
export interface MeshWorld {
  /** A transport that is not open yet; all the other replicas are its peers. */
  join(replica: string, options?: JoinOptions): Promise<Transport>;
  cut(a: string, b: string): void;
  heal(a: string, b: string): void;
  close(): Promise<void>;
}

/** A handler that writes down what it is told. */
export class Recorder implements TransportHandler {
  readonly links: string[] = [];
  readonly messages: { peer: string; message: Message; bytes: number }[] = [];
  readonly linked = new Set<string>();
  refusal: string | undefined;
  asked = 0;
  clusterId = "test";
  protocolVersion = 1;

  constructor(readonly replica: string) {}

  hello(): Hello {
    const status = { vector: { [`${this.replica}.1`]: 3 }, floor: {}, incarnations: { [this.replica]: 1 }, position: 7, voting: true, virgin: false, hlc: "0".repeat(32), merkleRoot: new Uint8Array(16), level: 0 };
    return { clusterId: this.clusterId, protocolVersion: this.protocolVersion, replica: this.replica, region: this.replica.slice(0, -2), role: "region", membership: "m", incarnation: 1, origin: `${this.replica}.1`, status, pages: [], records: false };
  }

  admit(): string | undefined {
    this.asked++;
    return this.refusal;
  }

  connected(peer: string, hello: Hello): void {
    if (this.linked.has(peer)) throw new Error(`${peer} is connected twice`);
    if (hello.replica !== peer) throw new Error("the Hello is somebody else's");
    this.linked.add(peer);
    this.links.push(`+${peer}`);
  }

  disconnected(peer: string): void {
    if (!this.linked.delete(peer)) throw new Error(`${peer} was not connected`);
    this.links.push(`-${peer}`);
  }

  received(peer: string, message: Message, bytes: number): void {
    if (!this.linked.has(peer)) throw new Error(`a message of ${peer} without a link`);
    this.messages.push({ peer, message, bytes });
  }
}

/** Waits until `condition` holds; fails with `what` after `withinMs`. */
export async function until(what: string, condition: () => boolean, withinMs = 30_000): Promise<void> {
  const deadline = performance.now() + withinMs;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`not within ${withinMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** Milliseconds since a moment, without those in which this process did not get its turn. */
export class RunningTime {
  private static readonly turnMs = 5;
  private readonly startedAt = performance.now();
  private lastTurnAt = this.startedAt;
  private stalledMs = 0;
  private readonly timer = setInterval(() => {
    const now = performance.now();
    this.stalledMs += Math.max(0, now - this.lastTurnAt - 2 * RunningTime.turnMs);
    this.lastTurnAt = now;
  }, RunningTime.turnMs);
  stop(): number {
    clearInterval(this.timer);
    return performance.now() - this.startedAt - this.stalledMs;
  }
}

/** Lets `ms` pass while `condition` holds all the time: for what must not happen. */
export async function throughout(what: string, condition: () => boolean, ms: number): Promise<void> {
  const end = performance.now() + ms;
  while (performance.now() < end) {
    if (!condition()) throw new Error(`no longer true: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

export function numbered(request: number): Message {
  return { $case: "vectorRequest", value: { request } };
}

export function entriesOf(count: number, bodyBytes: number): Message {
  const entries = Array.from({ length: count }, (_, i) => ({ origin: "us-east-1.1", seq: i + 1, body: new Uint8Array(bodyBytes).fill(i % 251), checksum: new Uint8Array(16).fill(7) }));
  return { $case: "entries", value: { entries } };
}

function requests(recorder: Recorder, peer: string): number[] {
  return recorder.messages.flatMap((got) => (got.peer === peer && got.message.$case === "vectorRequest" ? [got.message.value.request] : []));
}

const [A, B, C] = REPLICAS;

/** Runs the contract; `newWorld` makes a fresh world for each scenario. */
export function meshContract(t: Test, name: string, newWorld: () => Promise<MeshWorld>): void {
  const scenario = (title: string, run: (t: Test, world: MeshWorld) => Promise<void>): void => {
    t.test(`${name}: ${title}`, async (t) => {
      const world = await newWorld();
      try {
        await run(t, world);
      } finally {
        await world.close();
      }
    });
  };
  const open = async (world: MeshWorld, replica: string, options: JoinOptions = {}, change: (recorder: Recorder) => void = () => {}): Promise<{ transport: Transport; recorder: Recorder }> => {
    const transport = await world.join(replica, options);
    const recorder = new Recorder(replica);
    change(recorder);
    await transport.open(recorder);
    return { transport, recorder };
  };
  const pair = async (world: MeshWorld, options: JoinOptions = {}): Promise<{ a: Awaited<ReturnType<typeof open>>; b: Awaited<ReturnType<typeof open>> }> => {
    const a = await open(world, A, options);
    const b = await open(world, B, options);
    await until("both are linked", () => a.recorder.linked.has(B) && b.recorder.linked.has(A));
    return { a, b };
  };

  scenario("three replicas form a full mesh", async (t, world) => {
    const all = await Promise.all(REPLICAS.map((replica) => open(world, replica)));
    await until("everybody is linked with everybody", () => all.every(({ recorder }) => recorder.linked.size === 2));
    for (const { recorder } of all) t.equal(recorder.links.length, 2, "no link came twice");
  });

  scenario("messages of one link arrive once and in the order sent, both ways", async (t, world) => {
    const { a, b } = await pair(world);
    const numbers = Array.from({ length: 2_000 }, (_, i) => i);
    for (const number of numbers) {
      if (!a.transport.send(B, numbered(number)) || !b.transport.send(A, numbered(number))) throw new Error(`message ${number} was dropped`);
    }
    await until("all arrived", () => requests(b.recorder, A).length >= 2_000 && requests(a.recorder, B).length >= 2_000);
    t.strictSame(requests(b.recorder, A), numbers);
    t.strictSame(requests(a.recorder, B), numbers);
  });

  scenario("every kind of message arrives as it was sent", async (t, world) => {
    const { a, b } = await pair(world);
    const hello = a.recorder.hello();
    const sent: Message[] = [
      entriesOf(3, 100),
      { $case: "ack", value: { vector: { "us-east-1.1": 5 }, consumedBytes: 2 ** 40 } },
      { $case: "heartbeat", value: { status: hello.status, sentAt: 1.5, echo: 0.25, echoDelay: 3, wall: 1_700_000_000_000.5, relay: ["x.1"] } },
      { $case: "want", value: { vector: { "a.1": 1, constructor: 2 } } },
      { $case: "vectorAnswer", value: { request: 9, vector: {} } },
      { $case: "quorum", value: { operation: "o", incarnation: 1, incarnations: { [A]: 2 }, rejoined: { [A]: 2 }, position: 3, body: { $case: "propose", value: { candidate: { document: "p/component/c", version: 4, operationIds: ["x", "y"], proposer: A, base: { "~": 3 }, change: new Uint8Array([1, 2, 3]), incarnation: 5 } } } } },
    ];
    for (const message of sent) t.ok(a.transport.send(B, message));
    await until("all arrived", () => b.recorder.messages.length === sent.length);
    t.same(b.recorder.messages.map(({ message }) => structuredClone(message)), sent);
    for (const { bytes } of b.recorder.messages) t.ok(bytes > 0);
    const want = b.recorder.messages.find(({ message }) => message.$case === "want")?.message;
    if (want?.$case === "want") t.equal(Object.getPrototypeOf(want.value.vector), null, "maps of a peer have no prototype");
  });

  scenario("a message near the size limit arrives, one above it is dropped", async (t, world) => {
    const { a, b } = await pair(world);
    t.ok(a.transport.send(B, entriesOf(1, limits.messageBytesMax - 1_000)));
    await until("it arrived", () => b.recorder.messages.length === 1);
    const [got] = b.recorder.messages;
    const body = got?.message.$case === "entries" ? got.message.value.entries[0]?.body : undefined;
    t.ok(body !== undefined && Buffer.compare(body, new Uint8Array(limits.messageBytesMax - 1_000)) === 0);
    t.notOk(a.transport.send(B, entriesOf(1, limits.messageBytesMax + 1)));
    t.ok(a.transport.send(B, numbered(1)), "the link goes on");
    await until("the next arrived", () => requests(b.recorder, A).length === 1);
  });

  scenario("a full outbox refuses messages until it has drained", async (t, world) => {
    const { a, b } = await pair(world, { outboxBytes: 100_000 });
    let accepted = 0;
    while (accepted < 1_000 && a.transport.send(B, entriesOf(1, 1_000))) accepted++;
    t.ok(accepted > 50 && accepted < 100, `${accepted} messages of 1 KB fit in 100 KB`);
    t.ok(a.transport.queuedBytes(B) <= 100_000);
    await until("what was accepted arrives", () => b.recorder.messages.length === accepted);
    await until("the outbox is empty", () => a.transport.queuedBytes(B) === 0);
    t.ok(a.transport.send(B, numbered(1)));
  });

  scenario("a cut link is reported on both sides, refuses messages, and comes back", async (t, world) => {
    const { a, b } = await pair(world);
    const c = await open(world, C);
    await until("all linked", () => c.recorder.linked.size === 2);
    world.cut(A, B);
    await until("both sides know", () => !a.recorder.linked.has(B) && !b.recorder.linked.has(A));
    t.notOk(a.transport.send(B, numbered(1)));
    t.equal(a.transport.queuedBytes(B), 0);
    t.ok(a.transport.send(C, numbered(2)), "other links go on");
    await throughout("the cut holds", () => !a.recorder.linked.has(B), 300);
    world.heal(A, B);
    await until("linked again", () => a.recorder.linked.has(B) && b.recorder.linked.has(A));
    t.ok(a.transport.send(B, numbered(3)));
    await until("it arrived", () => requests(b.recorder, A).includes(3));
    t.strictSame(c.recorder.links.length, 2, "the third replica saw nothing of it");
  });

  scenario("a peer that goes and comes back is linked anew", async (t, world) => {
    const { a, b } = await pair(world);
    await b.transport.close();
    await until("the loss is known", () => !a.recorder.linked.has(B));
    const again = await open(world, B);
    await until("linked again", () => a.recorder.linked.has(B) && again.recorder.linked.has(A));
    t.strictSame(a.recorder.links, [`+${B}`, `-${B}`, `+${B}`]);
  });

  scenario("a peer that is not admitted gets no link until it is", async (t, world) => {
    const a = await open(world, A, {}, (recorder) => {
      recorder.refusal = "the membership differs";
    });
    const b = await open(world, B);
    await until("it was asked twice", () => a.recorder.asked >= 2);
    t.equal(a.recorder.links.length + b.recorder.links.length, 0);
    a.recorder.refusal = undefined;
    await until("linked", () => a.recorder.linked.has(B) && b.recorder.linked.has(A));
  });

  for (const [what, change] of [
    ["another cluster", (recorder: Recorder) => { recorder.clusterId = "other"; }],
    ["another protocol version", (recorder: Recorder) => { recorder.protocolVersion = 2; }],
  ] as const) {
    scenario(`a replica of ${what} is refused`, async (t, world) => {
      const a = await open(world, A, {}, change);
      const b = await open(world, B);
      const c = await open(world, C);
      await until("the others are linked", () => b.recorder.linked.has(C) && c.recorder.linked.has(B));
      await throughout("no link with the stranger", () => a.recorder.linked.size === 0, 300);
      t.equal(a.recorder.asked, 0, "admission was not even asked");
    });
  }

  scenario("a replica whose certificate names another one is refused, whoever dials", async (t, world) => {
    const b = await open(world, B);
    const c = await open(world, C);
    const a = await open(world, A, { named: C });
    await until("the others are linked", () => b.recorder.linked.has(C) && c.recorder.linked.has(B));
    await throughout("no link with the impostor", () => a.recorder.linked.size === 0 && b.recorder.linked.size === 1, 1_000);
    t.equal(b.recorder.asked, 1, "only the honest one was considered");
  });
}
