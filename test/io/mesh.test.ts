/** The gRPC mesh against hostile bytes, long distances and probes. */
import { randomBytes } from "node:crypto";
import { deflateRawSync } from "node:zlib";
import { Client, type ClientDuplexStream, credentials } from "@grpc/grpc-js";
import t, { type Test } from "tap";
import { limits } from "../../src/core/limits.js";
import { isLoopback } from "../../src/io/grpc-mesh-streams.js";
import { encodeBatch, encodeHello, encodeMessage, KEEPALIVE_FRAME } from "../../src/io/frame-codec.js";
import { HealthCheckRequest, HealthCheckResponse, HealthCheckResponse_ServingStatus as Serving } from "../../src/io/generated/grpc/health/v1/health.js";
import { Frame } from "../../src/io/generated/replication.js";
import { LINK_METHOD } from "../../src/io/grpc-mesh-streams.js";
import type { GrpcMesh } from "../../src/io/grpc-mesh.js";
import { TestAuthority } from "./mesh-certificates.js";
import { entriesOf, numbered, Recorder, throughout, until } from "./mesh-contract.js";
import { GrpcWorld } from "./mesh-world.js";

const [A, B] = ["ap-south-1", "eu-west-1"] as const;
const asBytes = (bytes: Buffer): Buffer => bytes;

/** A peer that writes whatever it likes. */
class RawPeer {
  readonly frames: Frame[] = [];
  ended = false;
  private readonly client: Client;
  private readonly call: ClientDuplexStream<Buffer, Buffer>;

  constructor(address: string) {
    this.client = new Client(address, credentials.createInsecure(), { "grpc.enable_http_proxy": 0 });
    this.call = this.client.makeBidiStreamRequest(LINK_METHOD.path, asBytes, asBytes);
    this.call.on("data", (bytes: Buffer) => this.frames.push(Frame.decode(bytes)));
    this.call.on("error", () => {});
    this.call.on("status", () => {
      this.ended = true;
    });
  }

  write(...frames: Buffer[]): void {
    for (const frame of frames) this.call.write(frame);
  }

  get goodbye(): string | undefined {
    for (const { content } of this.frames) if (content?.$case === "goodbye") return content.value.reason;
    return undefined;
  }

  close(): void {
    this.call.cancel();
    this.client.close();
  }
}

async function listening(t: Test, bounds = {}): Promise<{ mesh: GrpcMesh; recorder: Recorder; world: GrpcWorld }> {
  const world = await GrpcWorld.create({ bounds: { reconnectMinMs: 1_000, ...bounds } });
  t.teardown(() => world.close());
  const mesh = await world.join(B);
  const recorder = new Recorder(B);
  await mesh.open(recorder);
  return { mesh, recorder, world };
}

function batchOf(...bytes: Uint8Array[]): Buffer {
  const frames: Buffer[] = [];
  encodeBatch(bytes.map((body) => ({ bytes: body, bulky: false })), (frame) => frames.push(frame));
  return frames[0] ?? Buffer.alloc(0);
}

const zeros = deflateRawSync(Buffer.alloc(64 * 1024 * 1024), { level: 9 });
const compressed = (deflated: Buffer, inflatedBytes: number): Buffer => Buffer.from(Frame.encode({ content: { $case: "compressed", value: { deflated, inflatedBytes } } }).finish());

for (const [what, frame, fault] of [
  ["bytes that are no frame", Buffer.from("ffffffffffff", "hex"), "cannot be decoded"],
  ["an empty frame", Buffer.alloc(0), "unknown content"],
  ["a message of unknown kind", batchOf(Buffer.from([0xfa, 0x07, 0x00])), "unknown kind"],
  ["a message cut short", batchOf(encodeMessage(entriesOf(1, 100)).bytes.subarray(0, 60)), "cannot be decoded"],
  ["a number beyond 2^53", batchOf(Buffer.from("2a0a08ffffffffffffffff7f", "hex")), "cannot be decoded"],
  ["a batch that says it inflates beyond the bound", compressed(zeros, 64 * 1024 * 1024), "over the bound"],
  ["a batch that inflates to more than it says", compressed(zeros, 1_000), "cannot be decoded"],
  ["a second Hello", encodeHello(new Recorder(A).hello()), "Hello twice"],
] as const) {
  t.test(`${what} ends the link with a reason, and the mesh lives on`, async (t) => {
    const { mesh, recorder } = await listening(t);
    const peer = new RawPeer(mesh.address);
    t.teardown(() => peer.close());
    peer.write(encodeHello(new Recorder(A).hello()), KEEPALIVE_FRAME);
    await until("linked", () => recorder.linked.has(A));
    peer.write(frame);
    await until("hung up on", () => peer.ended && !recorder.linked.has(A));
    t.match(peer.goodbye, fault);
    t.equal(mesh.counters().malformed, 1);
    t.equal(mesh.counters().peers[A]?.malformed, 1);
    const again = new RawPeer(mesh.address);
    t.teardown(() => again.close());
    again.write(encodeHello(new Recorder(A).hello()), batchOf(encodeMessage(numbered(5)).bytes));
    await until("an honest peer is heard", () => recorder.messages.length === 1);
  });
}

t.test("what comes without a Hello, or with a stranger's, is refused", async (t) => {
  const { mesh, recorder } = await listening(t, { handshakeMs: 1_500 });
  const hello = new Recorder(A).hello();
  const cases: readonly (readonly [Buffer[], string])[] = [
    [[batchOf(encodeMessage(numbered(1)).bytes)], "before its Hello"],
    [[encodeHello({ ...hello, replica: "mars-1" })], "mars-1 is not a configured peer"],
    [[encodeHello({ ...hello, replica: B })], "not a configured peer"],
    [[encodeHello({ ...hello, replica: "__proto__" })], "not a configured peer"],
    [[encodeHello({ ...hello, clusterId: "x\n{evil}" })], "belongs to the cluster x?{evil}"],
    [[encodeHello({ ...hello, protocolVersion: 99 })], "speaks version 99"],
    [[], "no handshake within 1500 ms"],
    [[encodeHello(hello)], "no handshake within 1500 ms"],
  ];
  for (const [frames, reason] of cases) {
    const peer = new RawPeer(mesh.address);
    peer.write(...frames);
    await until(reason, () => peer.ended);
    if (peer.goodbye !== undefined) t.match(peer.goodbye, reason);
    peer.close();
  }
  t.equal(recorder.links.length, 0);
  t.equal(mesh.counters().refused, 5);
});

t.test("a hundred streams that never say Hello do not keep a peer out", async (t) => {
  const { mesh, recorder } = await listening(t, { handshakeMs: 300, strangersMax: 8 });
  const idle = Array.from({ length: 100 }, () => new RawPeer(mesh.address));
  await until("those above the bound were turned away", () => idle.filter((peer) => peer.ended).length >= 92);
  await until("the others too, after their time", () => idle.every((peer) => peer.ended));
  for (const peer of idle) peer.close();
  const peer = new RawPeer(mesh.address);
  t.teardown(() => peer.close());
  peer.write(encodeHello(new Recorder(A).hello()), KEEPALIVE_FRAME);
  await until("linked", () => recorder.linked.has(A));
});

t.test("a link at its outbox bound holds no more memory and says what it dropped", async (t) => {
  const world = await GrpcWorld.create();
  t.teardown(() => world.close());
  const [a, b] = await Promise.all([world.join(A), world.join(B)]);
  const [atA, atB] = [new Recorder(A), new Recorder(B)];
  await Promise.all([a.open(atA), b.open(atB)]);
  await until("linked", () => atA.linked.has(B));
  world.proxy(A, B).blackhole();
  world.proxy(B, A).blackhole();
  const megabyte = entriesOf(1, 1024 * 1024);
  let accepted = 0;
  for (let i = 0; i < 200; i++) {
    if (a.send(B, megabyte)) accepted++;
    if (i % 20 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  t.ok(accepted >= 15 && accepted <= 40, `${accepted} MB were accepted before the bound of ${limits.linkOutboxBytes / 1024 / 1024} MB and what the kernel takes`);
  t.ok(a.queuedBytes(B) <= limits.linkOutboxBytes);
  t.equal(a.counters().peers[B]?.droppedMessages, 200 - accepted);
});

for (const compressLocal of [true, false]) {
  t.test(`entries travel ${compressLocal ? "compressed" : "as they are where they stay on this machine"}, and both sides count the same bytes`, async (t) => {
    const world = await GrpcWorld.create({ bounds: { compressLocal } });
    t.teardown(() => world.close());
    const [a, b] = await Promise.all([world.join(A), world.join(B)]);
    const [atA, atB] = [new Recorder(A), new Recorder(B)];
    await Promise.all([a.open(atA), b.open(atB)]);
    await until("linked", () => atA.linked.has(B));
    await until("the handshake is over", () => atB.linked.has(A));
    const [before, beforeAtB] = [a.counters().bytesOut, b.counters().bytesIn];
    let bytes = 0;
    for (const bodyBytes of [1_000, 50_000]) {
      const message = entriesOf(3, bodyBytes);
      const size = encodeMessage(message).bytes.length;
      bytes += size;
      a.send(B, message);
      await until("it arrived", () => atB.messages.some(({ bytes: received }) => received === size));
    }
    await until("counted", () => b.counters().bytesIn - beforeAtB === a.counters().bytesOut - before);
    const sent = a.counters().bytesOut - before;
    t.ok(compressLocal ? sent < 10_000 : sent >= bytes, `${sent} bytes on the wire`);
    t.equal(a.counters().connected, 1);
  });
}

t.test("an address of the loopback interface is told from others", async (t) => {
  for (const address of ["127.0.0.1:9081", "localhost:1", "[::1]:9081", "::1:9081", "::ffff:127.0.0.1:80"]) t.ok(isLoopback(address), address);
  for (const address of ["10.0.0.1:9081", "127.0.0.1.example.org:9081", "eu.example.org:9081", "1270.0.0.1:1", "unknown"]) t.notOk(isLoopback(address), address);
});

for (const direction of ["from the dialer", "from the acceptor"] as const) {
  t.test(`over a round trip of 180 ms a link carries more than 5 MB/s ${direction}`, async (t) => {
    const world = await GrpcWorld.create({ authority: await TestAuthority.create() });
    t.teardown(() => world.close());
    const [a, b] = await Promise.all([world.join(A), world.join(B)]);
    const [atA, atB] = [new Recorder(A), new Recorder(B)];
    await Promise.all([a.open(atA), b.open(atB)]);
    await until("linked", () => atA.linked.has(B) && atB.linked.has(A));
    const [sender, receiver, to] = direction === "from the dialer" ? [a, atB, B] : [b, atA, A];
    const noise = randomBytes(240 * 1024);
    const message = { $case: "entries" as const, value: { entries: [{ origin: "a.1", seq: 1, body: noise, checksum: new Uint8Array(16) }] } };
    const count = 60;
    const transfer = async (): Promise<number> => {
      const before = receiver.messages.length;
      const start = performance.now();
      for (let sent = 0; sent < count; ) {
        if (sender.send(to, message)) sent++;
        else await new Promise((resolve) => setImmediate(resolve));
      }
      await until("all arrived", () => receiver.messages.length === before + count);
      return performance.now() - start;
    };
    // What this machine needs without any delay is not the link's doing.
    const undelayedMs = await transfer();
    world.proxy(A, B).delayMs = 90;
    await throughout("the delay is in force", () => true, 400);
    const delayedMs = await transfer();
    const megabytes = (count * noise.length) / 1e6;
    t.comment(`${(megabytes / (delayedMs / 1_000)).toFixed(1)} MB/s ${direction}, without the delay ${(megabytes / (undelayedMs / 1_000)).toFixed(1)} MB/s`);
    t.ok(delayedMs - undelayedMs < (megabytes / 5) * 1_000, `${Math.round(delayedMs)} ms, without the delay ${Math.round(undelayedMs)} ms`);
  });
}

t.test("probes learn over gRPC whether the replica serves", async (t) => {
  const { mesh } = await listening(t);
  const client = new Client(mesh.address, credentials.createInsecure(), { "grpc.enable_http_proxy": 0 });
  t.teardown(() => client.close());
  const request = (service: string): Buffer => Buffer.from(HealthCheckRequest.encode({ service }).finish());
  const check = (service: string): Promise<Serving | string> =>
    new Promise((resolve) => {
      client.makeUnaryRequest("/grpc.health.v1.Health/Check", asBytes, HealthCheckResponse.decode, request(service), (error, answer) => resolve(error?.details ?? answer?.status ?? "nothing"));
    });
  t.equal(await check(""), Serving.SERVING);
  t.equal(await check("statusmesh.replication.v1.Replication"), Serving.SERVING);
  t.match(await check("nothing.like.it"), "no such service");
  const seen: Serving[] = [];
  const watch = client.makeServerStreamRequest("/grpc.health.v1.Health/Watch", asBytes, HealthCheckResponse.decode, request(""));
  watch.on("data", (answer: HealthCheckResponse) => seen.push(answer.status));
  watch.on("error", () => {});
  await until("the first answer", () => seen.length === 1);
  mesh.setServing(false);
  await until("the change", () => seen.length === 2);
  t.strictSame(seen, [Serving.SERVING, Serving.NOT_SERVING]);
  t.equal(await check(""), Serving.NOT_SERVING);
});

t.test("a port that is taken is a clear error", async (t) => {
  const { mesh, world } = await listening(t);
  const other = await world.join("us-east-1");
  Reflect.set(other, "options", { ...Reflect.get(other, "options"), listen: mesh.address });
  await t.rejects(other.open(new Recorder("us-east-1")), /cannot listen on 127\.0\.0\.1:\d+/);
});
