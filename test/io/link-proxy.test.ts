import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";
import fc from "fast-check";
import { type Test, test } from "tap";
import { LinkProxy } from "../../src/io/link-proxy.js";

interface World {
  readonly proxy: LinkProxy;
  readonly server: Server;
  /** Connections that came through, in order. */
  readonly arrived: Socket[];
  dial(): Promise<Socket>;
  /** A dial that is refused: resolves when it is. */
  attempt(): Promise<void>;
}

/** A server behind a proxy; what comes is handed to `serve`. */
async function world(t: Test, serve: (socket: Socket) => void): Promise<World> {
  const arrived: Socket[] = [];
  const dialled: Socket[] = [];
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    arrived.push(socket);
    socket.on("error", () => undefined);
    serve(socket);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const proxy = await LinkProxy.listen({ target: { host: "127.0.0.1", port: (server.address() as AddressInfo).port } });
  t.teardown(async () => {
    for (const socket of [...arrived, ...dialled]) socket.destroy();
    await proxy[Symbol.asyncDispose]();
    await new Promise((resolve) => server.close(resolve));
  });
  const start = (): Socket => {
    const socket = connect({ host: "127.0.0.1", port: proxy.port, allowHalfOpen: true, noDelay: true });
    dialled.push(socket);
    socket.on("error", () => undefined);
    return socket;
  };
  const dial = async (): Promise<Socket> => {
    const socket = start();
    await once(socket, "connect");
    return socket;
  };
  return { proxy, server, arrived, dial, attempt: () => closed(start()) };
}

const echo = (socket: Socket): void => void socket.pipe(socket);

async function read(socket: Socket, bytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of socket.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    length += chunk.length;
    if (length >= bytes) break;
  }
  return Buffer.concat(chunks);
}

/** Resolves when the socket is closed, be it by an error. */
async function closed(socket: Socket): Promise<void> {
  socket.resume();
  if (!socket.closed) await new Promise<void>((resolve) => socket.once("close", () => resolve()));
}

/** Resolves when the proxy holds no connection; the socket at its other end may close a moment earlier. */
async function emptied(proxy: LinkProxy): Promise<void> {
  const deadline = AbortSignal.timeout(30_000);
  while (proxy.open > 0) {
    deadline.throwIfAborted();
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Milliseconds from a byte's departure to its return. */
async function roundTripMs(socket: Socket): Promise<number> {
  const startedAt = performance.now();
  socket.write("x");
  await read(socket, 1);
  return performance.now() - startedAt;
}

test("bytes go through both ways, are counted, and an end on one side leaves the other open", { timeout: 30_000 }, async (t) => {
  const { proxy, dial } = await world(t, (socket) => {
    const chunks: Buffer[] = [];
    socket.on("data", (chunk) => chunks.push(chunk));
    // The answer comes only after the end of the question.
    socket.on("end", () => socket.end(Buffer.concat([Buffer.from("heard "), ...chunks])));
  });
  for (const delayMs of [0, 30]) {
    proxy.forth.delayMs = delayMs;
    const before = [proxy.forth.bytes, proxy.back.bytes] as const;
    const socket = await dial();
    socket.end("question");
    t.equal((await read(socket, Number.POSITIVE_INFINITY)).toString(), "heard question");
    await closed(socket);
    t.same([proxy.forth.bytes - before[0], proxy.back.bytes - before[1]], [8, 14]);
  }
  t.equal(proxy.accepted, 2);
});

test("last bytes that are still on the way arrive after their sender has closed", { timeout: 30_000 }, async (t) => {
  const { proxy, dial } = await world(t, (socket) => socket.end("farewell"));
  proxy.back.delayMs = 100;
  const socket = await dial();
  socket.end();
  t.equal((await read(socket, Number.POSITIVE_INFINITY)).toString(), "farewell");
  await closed(socket);
  await emptied(proxy);
});

test("each direction has its delay, and a change of it holds at once", { timeout: 30_000 }, async (t) => {
  const { proxy, dial } = await world(t, echo);
  const socket = await dial();
  await roundTripMs(socket);
  proxy.forth.delayMs = 40;
  proxy.back.delayMs = 80;
  const slow = await roundTripMs(socket);
  t.ok(slow >= 118 && slow < 1_000, `${slow} ms`);
  proxy.forth.delayMs = 0;
  proxy.back.delayMs = 0;
  const quick = Math.min(await roundTripMs(socket), await roundTripMs(socket), await roundTripMs(socket));
  t.ok(quick < 40, `${quick} ms`);
});

test("bytes keep their order while the delay jumps", { timeout: 60_000 }, async (t) => {
  const { proxy, dial } = await world(t, echo);
  const steps = fc.array(fc.record({ delayMs: fc.integer({ min: 0, max: 8 }), bytes: fc.integer({ min: 1, max: 40_000 }) }), { minLength: 1, maxLength: 12 });
  const result = await fc.check(
    fc.asyncProperty(steps, async (chunks) => {
      const socket = await dial();
      const sent: Buffer[] = [];
      let next = 0;
      for (const { delayMs, bytes } of chunks) {
        proxy.forth.delayMs = delayMs;
        proxy.back.delayMs = 8 - delayMs;
        const chunk = Buffer.from(Uint8Array.from({ length: bytes }, () => next++ % 251));
        sent.push(chunk);
        socket.write(chunk);
        await new Promise((resolve) => setImmediate(resolve));
      }
      const whole = Buffer.concat(sent);
      const isSame = (await read(socket, whole.length)).equals(whole);
      socket.end();
      await closed(socket);
      return isSame;
    }),
    { numRuns: 40 },
  );
  t.notOk(result.failed, `seed ${result.seed}, ${JSON.stringify(result.counterexample)}`);
});

test("a delay costs no bandwidth: 32 MiB take little longer than the delay", { timeout: 60_000 }, async (t) => {
  const length = 32 * 1024 * 1024;
  let received = 0;
  let done: (at: number) => void = () => undefined;
  const arrival = new Promise<number>((resolve) => {
    done = resolve;
  });
  const { proxy, dial } = await world(t, (socket) =>
    socket.on("data", (chunk) => {
      received += chunk.length;
      if (received === length) done(performance.now());
    }),
  );
  proxy.forth.delayMs = 300;
  const socket = await dial();
  const startedAt = performance.now();
  socket.write(Buffer.alloc(length));
  const tookMs = (await arrival) - startedAt;
  // One chunk of 64 KiB a delay, which is what waiting for each would give, is over two minutes.
  t.ok(tookMs >= 299 && tookMs < 5_000, `${tookMs} ms`);
  t.equal(proxy.forth.bytes, length);
});

test("a receiver that does not read makes the sender wait", { timeout: 60_000 }, async (t) => {
  const { proxy, dial, arrived } = await world(t, (socket) => void socket.pause());
  const socket = await dial();
  const chunk = Buffer.alloc(1024 * 1024);
  let written = 0;
  // Until the sender's own buffer stays full for a whole second.
  for (;;) {
    written += chunk.length;
    if (socket.write(chunk)) continue;
    const isDrained = await Promise.race([once(socket, "drain").then(() => true), new Promise<false>((resolve) => setTimeout(() => resolve(false), 1_000))]);
    if (!isDrained) break;
    if (written > 256 * 1024 * 1024) break;
  }
  t.ok(written < 64 * 1024 * 1024, `${written} bytes were taken`);
  let received = 0;
  arrived[0]?.on("data", (bytes) => (received += bytes.length)).resume();
  socket.end();
  await once(arrived[0] ?? socket, "end");
  t.equal(received, written, "and all of it arrives when it reads again");
  t.equal(proxy.forth.bytes, written);
});

test("a cut resets what is connected, swallows what is on the way, refuses what comes, and heals", { timeout: 30_000 }, async (t) => {
  const heard: string[] = [];
  const { proxy, dial, attempt, arrived } = await world(t, (socket) => {
    socket.on("data", (chunk) => {
      heard.push(chunk.toString());
      socket.write(chunk);
    });
  });
  const socket = await dial();
  await roundTripMs(socket);
  proxy.forth.delayMs = 50;
  socket.write("late");
  await new Promise((resolve) => setImmediate(resolve));
  proxy.cut();
  t.ok(proxy.isCut);
  await Promise.all([closed(socket), closed(arrived[0] ?? socket)]);
  t.equal(proxy.open, 0);
  await attempt();
  t.equal(proxy.refused, 1);
  t.equal(arrived.length, 1, "nothing came through");
  proxy.forth.delayMs = 0;
  proxy.heal();
  const again = await dial();
  await roundTripMs(again);
  t.same(heard, ["x", "x"], "what was on the way at the cut never arrived");
  t.equal(proxy.open, 1);
});

test("without a target, or with one that nobody listens at, connections end", { timeout: 30_000 }, async (t) => {
  const { proxy, server, attempt } = await world(t, echo);
  const { target } = proxy;
  proxy.target = undefined;
  await attempt();
  t.equal(proxy.refused, 1);
  proxy.target = target;
  await new Promise((resolve) => server.close(resolve));
  await attempt();
  await emptied(proxy);
});

test("it takes no port that is to be avoided", { timeout: 30_000 }, async (t) => {
  const avoid = new Set(Array.from({ length: 65_536 }, (_, port) => port).filter((port) => port % 2 === 0));
  for (let i = 0; i < 4; i++) {
    const proxy = await LinkProxy.listen({ avoid });
    t.equal(proxy.port % 2, 1);
    await proxy[Symbol.asyncDispose]();
  }
});
