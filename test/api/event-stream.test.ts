/** Event streams over real connections: bounds, heartbeats, and clients that do not read. */
import { connect, type AddressInfo, type Socket } from "node:net";
import Fastify from "fastify";
import { test, type Test } from "tap";
import { apiLimits } from "../../src/api/api-limits.js";
import { EventStreams, type EventStreamBounds } from "../../src/api/event-stream.js";
import { sendProblem } from "../../src/api/problem.js";
import type { Operation } from "../../src/core/change.js";
import { keyOf } from "../../src/core/document.js";
import type { Timer, Timers } from "../../src/core/ports.js";
import { systemTimers } from "../../src/io/system-clock.js";
import { FakeDataPlane, testClock } from "./fake-data-plane.js";

const DEADLINE_MS = 30_000;

/** What is due at once runs as ever; what is due later waits until a test says that the time has passed. */
class LaterTimers implements Timers {
  private readonly waiting: { readonly ms: number; readonly callback: () => void }[] = [];

  after(ms: number, callback: () => void): Timer {
    if (ms === 0) return systemTimers.after(0, callback);
    const one = { ms, callback };
    this.waiting.push(one);
    return { cancel: () => void this.waiting.splice(this.waiting.indexOf(one) >>> 0, 1) };
  }

  /** Of those that were due after `ms`. */
  pass(ms: number): number {
    const due = this.waiting.filter((one) => one.ms === ms);
    for (const one of due) {
      this.waiting.splice(this.waiting.indexOf(one), 1);
      one.callback();
    }
    return due.length;
  }
}

class StreamClient {
  received = "";
  ended = false;
  private constructor(readonly socket: Socket) {
    socket.on("data", (bytes: Buffer) => {
      this.received += bytes.toString();
    });
    socket.on("error", () => undefined);
    socket.on("close", () => {
      this.ended = true;
    });
  }

  static async open(port: number, path = "/default"): Promise<StreamClient> {
    const client = new StreamClient(connect(port, "127.0.0.1"));
    client.socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n`);
    await until(() => client.received.includes("\r\n\r\n"));
    return client;
  }
}

async function until(condition: () => boolean): Promise<void> {
  const last = performance.now() + DEADLINE_MS;
  while (!condition()) {
    if (performance.now() > last) throw new Error("it did not come to pass");
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

async function streamServer(t: Pick<Test, "teardown">, bounds: Partial<EventStreamBounds> = {}, present: () => string = () => "short") {
  const data = new FakeDataPlane(testClock);
  const timers = new LaterTimers();
  const streams = new EventStreams({ data, timers, clock: testClock, region: "us-east", log: { error: (event) => t.teardown(() => Promise.reject(new Error(JSON.stringify(event)))) }, bounds: { ...apiLimits, ...bounds } });
  const app = Fastify();
  app.decorateRequest("startedMs", 0);
  app.decorateRequest("record", null);
  app.get("/:page", (request, reply) => {
    const fault = streams.answer(request, reply, (request.params as { page: string }).page, "now", present);
    if (fault !== undefined) sendProblem(reply, fault);
  });
  await app.listen({ host: "127.0.0.1", port: 0 });
  const clients: StreamClient[] = [];
  t.teardown(async () => {
    for (const { socket } of clients) socket.destroy();
    streams.close();
    await app.close();
  });
  const { port } = app.server.address() as AddressInfo;
  const open = async (path?: string) => {
    const client = await StreamClient.open(port, path);
    clients.push(client);
    return client;
  };
  let count = 0;
  const happen = () => {
    const operations: Operation[] = [...(count === 0 ? [{ op: "create", section: "" } as const] : []), { op: "set", section: "", field: "name", value: `Name ${count++}`, was: null }];
    data.write(keyOf("default", "component", "api"), operations);
  };
  return { streams, timers, open, happen };
}

test("a client that does not read is told that it is too slow once a bound of bytes waits for it, and the others go on", async (t) => {
  const piece = "x".repeat(200_000);
  const { streams, open, happen } = await streamServer(t, { eventBufferBytes: 500_000 }, () => piece);
  const [slow, quick] = [await open(), await open()];
  await until(() => [slow, quick].every(({ received }) => received.includes("event: ready")));
  slow.socket.pause();
  let told = 0;
  // The kernel takes some megabytes in before anything waits here.
  for (; streams.tooSlow === 0 && told < 400; told++) {
    happen();
    await until(() => quick.received.split("event: component").length - 1 > told);
  }
  t.equal(streams.tooSlow, 1, `after ${told} events of 200 kB`);
  for (let more = 1; more <= 20; more++) {
    happen();
    await until(() => quick.received.split("event: component").length - 1 === told + more);
  }
  t.equal(quick.ended, false);
  slow.socket.resume();
  await until(() => slow.ended);
  t.match(slow.received.slice(-60), /event: close\ndata: \{"reason":"too slow"\}\n\n$/, "the last that it reads says why");
  const whole = slow.received.split("event: component").length - 1;
  t.ok(whole > 0 && whole <= told, "nothing was kept for it after that");
  t.equal(streams.open, 1);
});

test("one who does not even read the end is hung up on", async (t) => {
  const { streams, timers, open, happen } = await streamServer(t, { eventBufferBytes: 500_000 }, () => "x".repeat(200_000));
  const slow = await open();
  await until(() => slow.received.includes("event: ready"));
  slow.socket.pause();
  for (let told = 0; streams.tooSlow === 0 && told < 400; told++) {
    happen();
    const before = streams.sent;
    await until(() => streams.sent > before || streams.tooSlow > 0);
  }
  t.equal(streams.open, 1, "it has its time");
  t.equal(timers.pass(apiLimits.eventCloseMs), 1);
  await until(() => streams.open === 0);
});

test("streams are bounded, all together and for each address, and a place that is given up is free again", async (t) => {
  const { streams, open } = await streamServer(t, { eventStreamsMax: 3 });
  const clients = [await open(), await open(), await open()];
  const refused = await open();
  t.match(refused.received, /^HTTP\/1\.1 503 [\s\S]*retry-after: 5[\s\S]*too many open event streams/i);
  clients[0]?.socket.destroy();
  await until(() => streams.open === 2);
  t.match((await open()).received, /^HTTP\/1\.1 200 /);

  const other = await streamServer(t, { eventStreamsPerAddressMax: 2 });
  const held = [await other.open(), await other.open("/another")];
  t.match((await other.open()).received, /^HTTP\/1\.1 503 /, "the same address, on whatever page");
  held[1]?.socket.destroy();
  await until(() => other.streams.open === 1);
  t.match((await other.open()).received, /^HTTP\/1\.1 200 /);
});

test("a stream says first after how long a client may come again", async (t) => {
  const { open } = await streamServer(t, { eventRetryMs: 1_234 });
  const client = await open();
  await until(() => client.received.includes("event: ready"));
  t.match(client.received, /^HTTP\/1\.1 200 [\s\S]*?\r\n\r\nretry: 1234\n\n/);
});

test("a heartbeat comes after the heartbeat's time, with the position by now", async (t) => {
  const { timers, open, happen } = await streamServer(t);
  const client = await open("/another");
  await until(() => client.received.includes("event: ready"));
  const position = () => /.*id: (\S+)/s.exec(client.received)?.[1];
  const before = position();
  t.notMatch(client.received, /: heartbeat/);
  // Of another page: nothing is told of it here, but the position moves on.
  happen();
  await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
  for (const beats of [1, 2, 3]) {
    t.equal(timers.pass(apiLimits.eventHeartbeatMs), 1);
    await until(() => client.received.split(": heartbeat\n").length - 1 === beats);
  }
  t.not(position(), before);
  t.notMatch(client.received, /event: component/);
});
