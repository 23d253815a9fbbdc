/** The contract of a Toxiproxy server, spoken to by its client alone: ours always, and a real one where TOXIPROXY_URL names it. */
import fc from "fast-check";
import { type Test, test } from "tap";
import { once } from "node:events";
import { Toxiproxy } from "toxiproxy-node-client";
import { ToxiproxyServer } from "../../src/io/toxiproxy-server.js";
import { closed, echo, proxied, read, roundTripMs } from "./proxied-server.js";

const real = process.env["TOXIPROXY_URL"];

/** The status and, from ours, the sentence of a request that the client has no call for. */
async function ask(url: string, method: string, body?: string, headers: Readonly<Record<string, string>> = {}): Promise<{ status: number; text: string }> {
  const answer = await fetch(url, { method, headers, ...(body === undefined ? {} : { body }) });
  return { status: answer.status, text: await answer.text() };
}

async function settled(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  const until = performance.now() + 20_000;
  while (!(await condition())) {
    if (performance.now() > until) throw new Error(`never: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

function contract(name: string, server: (t: Test) => Promise<string> | string, skip: string | false): void {
  const scenario = (title: string, run: (t: Test, url: string) => Promise<void>): void => {
    test(`${name}: ${title}`, { timeout: 150_000, skip }, async (t) => await run(t, await server(t)));
  };

  scenario("proxies are created, listed, changed, populated and deleted, each with the status that Toxiproxy gives", async (t, url) => {
    const client = new Toxiproxy(url);
    t.match(JSON.parse(await client.getVersion()), { version: /^\d+\.\d+/ });
    const made = await client.createProxy({ name: "contract-a", listen: "127.0.0.1:0", upstream: "127.0.0.1:9" });
    t.match(made.listen, /^127\.0\.0\.1:[1-9]\d*$/);
    t.equal(made.enabled, true);
    t.equal((await ask(`${url}/proxies`, "POST", JSON.stringify({ name: "contract-a", upstream: "127.0.0.1:9" }))).status, 409);
    t.equal((await ask(`${url}/proxies`, "POST", JSON.stringify({ name: "contract-b" }))).status, 400);
    t.equal((await ask(`${url}/proxies`, "POST", "{")).status, 400);
    t.equal((await ask(`${url}/proxies/none`, "GET")).status, 404);
    const patched = await ask(`${url}/proxies/contract-a`, "PATCH", JSON.stringify({ enabled: false }));
    t.match(JSON.parse(patched.text), { name: "contract-a", listen: made.listen, upstream: "127.0.0.1:9", enabled: false, toxics: [] });
    t.equal((await client.get("contract-a")).enabled, false);
    await client.reset();
    t.equal((await client.get("contract-a")).enabled, true, "reset enables all");
    const populated = await client.populate([
      { name: "contract-a", listen: made.listen, upstream: "127.0.0.1:9" },
      { name: "contract-b", listen: "127.0.0.1:0", upstream: "127.0.0.1:10" },
    ]);
    t.same(Object.keys(populated).sort(), ["contract-a", "contract-b"]);
    t.equal(populated["contract-a"]?.listen, made.listen, "what is the same already is left alone");
    t.ok(Object.keys(await client.getAll()).includes("contract-b"));
    for (const proxy of Object.values(populated)) await proxy.remove();
    t.equal((await ask(`${url}/proxies/contract-a`, "DELETE")).status, 404);
    for (const path of ["contract", "proxies/contract-a/toxins"]) t.equal((await ask(`${url}/${path}`, "GET")).status, 404);
  });

  scenario("toxics are added, shown, changed by POST and by PATCH, and removed", async (t, url) => {
    const { proxy } = await proxied(t, url, echo);
    const path = `${url}/proxies/${proxy.name}/toxics`;
    const toxic = await proxy.addToxic({ name: "", type: "latency", stream: "downstream", toxicity: 1, attributes: { latency: 10, jitter: 2 } });
    t.equal(toxic.name, "latency_downstream", "named by type and stream");
    t.equal((await ask(path, "POST", JSON.stringify({ type: "latency" }))).status, 409);
    for (const body of [{ type: "rain" }, { type: "latency", stream: "sideways" }]) t.equal((await ask(path, "POST", JSON.stringify(body))).status, 400, JSON.stringify(body));
    const changed = await toxic.update({ ...toxic.toJson(), attributes: { latency: 30, jitter: 2 } });
    t.match(changed.attributes, { latency: 30, jitter: 2 });
    const patched = JSON.parse((await ask(`${path}/latency_downstream`, "PATCH", JSON.stringify({ attributes: { jitter: 0 } }))).text);
    t.match(patched, { name: "latency_downstream", type: "latency", stream: "downstream", toxicity: 1, attributes: { latency: 30, jitter: 0 } });
    t.match(JSON.parse((await ask(path, "GET")).text), [patched]);
    await toxic.remove();
    await t.rejects(proxy.getToxic("latency_downstream"), /404/);
    t.same(JSON.parse((await ask(path, "GET")).text), []);
  });

  scenario("browsers are refused", async (t, url) => {
    t.equal((await ask(`${url}/proxies`, "GET", undefined, { "user-agent": "Mozilla/5.0" })).status, 403);
  });

  scenario("bytes go through both ways, and an end on one side leaves the other open", async (t, url) => {
    const { proxy, dial } = await proxied(t, url, (socket) => {
      const chunks: Buffer[] = [];
      socket.on("data", (chunk) => chunks.push(chunk));
      // The answer comes only after the end of the question.
      socket.on("end", () => socket.end(Buffer.concat([Buffer.from("heard "), ...chunks])));
    });
    for (const latency of [0, 30]) {
      const toxic = latency === 0 ? undefined : await proxy.addToxic({ name: "l", type: "latency", stream: "upstream", toxicity: 1, attributes: { latency, jitter: 0 } });
      const socket = await dial();
      socket.end("question");
      t.equal((await read(socket, Number.POSITIVE_INFINITY)).toString(), "heard question");
      await closed(socket);
      await toxic?.remove();
    }
  });

  scenario("latency: each direction has its own, for what arrives from then on, and it costs no bandwidth", async (t, url) => {
    const { proxy, dial } = await proxied(t, url, echo);
    const socket = await dial();
    await roundTripMs(socket);
    const forth = await proxy.addToxic({ name: "forth", type: "latency", stream: "upstream", toxicity: 1, attributes: { latency: 40, jitter: 0 } });
    const back = await proxy.addToxic({ name: "back", type: "latency", stream: "downstream", toxicity: 1, attributes: { latency: 80, jitter: 0 } });
    const slow = await roundTripMs(socket);
    t.ok(slow >= 118, `${slow} ms`);
    await forth.remove();
    await back.remove();
    const quick = Math.min(await roundTripMs(socket), await roundTripMs(socket), await roundTripMs(socket));
    t.ok(quick < 100, `${quick} ms`);
    await proxy.addToxic({ name: "forth", type: "latency", stream: "upstream", toxicity: 1, attributes: { latency: 300, jitter: 0 } });
    const length = 16 * 1024 * 1024;
    const startedAt = performance.now();
    socket.write(Buffer.alloc(length));
    t.equal((await read(socket, length)).length, length);
    const tookMs = performance.now() - startedAt;
    // One chunk of 64 KiB a delay, which is what waiting for each would give, is over a minute.
    t.ok(tookMs >= 299 && tookMs < 20_000, `${tookMs} ms`);
  });

  scenario("bytes keep their order while latency, slicer and their attributes come, change and go", async (t, url) => {
    const { proxy, dial } = await proxied(t, url, echo);
    const steps = fc.array(fc.record({ latency: fc.integer({ min: 0, max: 8 }), slices: fc.boolean(), bytes: fc.integer({ min: 1, max: 40_000 }) }), { minLength: 1, maxLength: 8 });
    const result = await fc.check(
      fc.asyncProperty(steps, async (chunks) => {
        const socket = await dial();
        const sent: Buffer[] = [];
        let next = 0;
        for (const { latency, slices, bytes } of chunks) {
          const toxic = await proxy.addToxic({ name: "l", type: "latency", stream: "upstream", toxicity: 1, attributes: { latency, jitter: 3 } });
          const slicer = slices ? await proxy.addToxic({ name: "s", type: "slicer", stream: "downstream", toxicity: 1, attributes: { average_size: 500, size_variation: 400, delay: 10 } }) : undefined;
          const chunk = Buffer.from(Uint8Array.from({ length: bytes }, () => next++ % 251));
          sent.push(chunk);
          socket.write(chunk);
          await slicer?.remove();
          await toxic.remove();
        }
        const whole = Buffer.concat(sent);
        const isSame = (await read(socket, whole.length)).equals(whole);
        socket.end();
        await closed(socket);
        return isSame;
      }),
      { numRuns: 15 },
    );
    t.notOk(result.failed, `seed ${result.seed}, ${JSON.stringify(result.counterexample)}`);
  });

  scenario("bandwidth: so many kilobytes a second", async (t, url) => {
    const { proxy, dial } = await proxied(t, url, echo);
    await proxy.addToxic({ name: "b", type: "bandwidth", stream: "upstream", toxicity: 1, attributes: { rate: 100 } });
    const socket = await dial();
    const startedAt = performance.now();
    socket.write(Buffer.alloc(50_000));
    t.equal((await read(socket, 50_000)).length, 50_000);
    t.ok(performance.now() - startedAt >= 400, `${performance.now() - startedAt} ms`);
  });

  scenario("a receiver that does not read makes the sender wait", async (t, url) => {
    const { dial, arrived } = await proxied(t, url, (socket) => void socket.pause());
    const socket = await dial();
    const chunk = Buffer.alloc(1024 * 1024);
    let written = 0;
    // Until the sender's own buffer stays full for a whole second.
    for (;;) {
      written += chunk.length;
      if (socket.write(chunk)) continue;
      const isDrained = await Promise.race([once(socket, "drain").then(() => true), new Promise<false>((resolve) => setTimeout(() => resolve(false), 1_000))]);
      if (!isDrained || written > 256 * 1024 * 1024) break;
    }
    t.ok(written < 64 * 1024 * 1024, `${written} bytes were taken`);
    let received = 0;
    arrived[0]?.on("data", (bytes) => (received += bytes.length)).resume();
    socket.end();
    await once(arrived[0] ?? socket, "end");
    t.equal(received, written, "and all of it arrives when it reads again");
  });

  scenario("slow_close: the end comes later", async (t, url) => {
    const { proxy, dial } = await proxied(t, url, (socket) => socket.end("bye"));
    await proxy.addToxic({ name: "c", type: "slow_close", stream: "downstream", toxicity: 1, attributes: { delay: 300 } });
    const startedAt = performance.now();
    const socket = await dial();
    socket.end();
    t.equal((await read(socket, Number.POSITIVE_INFINITY)).toString(), "bye");
    await closed(socket);
    t.ok(performance.now() - startedAt >= 299, `${performance.now() - startedAt} ms`);
  });

  scenario("timeout: nothing gets through one way, then the connection ends; with 0 it stays until the toxic goes", async (t, url) => {
    const { proxy, dial, arrived } = await proxied(t, url, echo);
    const heard: string[] = [];
    const socket = await dial();
    await roundTripMs(socket);
    arrived[0]?.on("data", (chunk) => heard.push(chunk.toString()));
    const toxic = await proxy.addToxic({ name: "t", type: "timeout", stream: "upstream", toxicity: 1, attributes: { timeout: 0 } });
    socket.write("lost");
    arrived[0]?.write("back");
    t.equal((await read(socket, 4)).toString(), "back", "the other direction is open");
    t.same(heard, []);
    await toxic.remove();
    await closed(socket);
    await proxy.addToxic({ name: "t", type: "timeout", stream: "upstream", toxicity: 1, attributes: { timeout: 200 } });
    const startedAt = performance.now();
    const other = await dial();
    other.write("lost");
    await closed(other);
    t.ok(performance.now() - startedAt >= 150, `${performance.now() - startedAt} ms`);
    t.same(heard, []);
  });

  scenario("reset_peer: the connection is reset", async (t, url) => {
    const { proxy, dial } = await proxied(t, url, echo);
    await proxy.addToxic({ name: "r", type: "reset_peer", stream: "upstream", toxicity: 1, attributes: { timeout: 0 } });
    const socket = await dial();
    const failure = once(socket, "error") as Promise<[NodeJS.ErrnoException]>;
    socket.write("x");
    socket.resume();
    t.equal((await failure)[0].code, "ECONNRESET");
  });

  scenario("limit_data: the connection ends after so many bytes", async (t, url) => {
    const { proxy, dial } = await proxied(t, url, (socket) => socket.write(Buffer.alloc(1_000)));
    await proxy.addToxic({ name: "d", type: "limit_data", stream: "downstream", toxicity: 1, attributes: { bytes: 100 } });
    const socket = await dial();
    t.equal((await read(socket, Number.POSITIVE_INFINITY)).length, 100);
    await closed(socket);
  });

  scenario("toxicity: only some connections are affected", async (t, url) => {
    const { proxy, dial } = await proxied(t, url, echo);
    await proxy.addToxic({ name: "half", type: "reset_peer", stream: "upstream", toxicity: 0.5, attributes: { timeout: 0 } });
    const outcomes = await Promise.all(Array.from({ length: 40 }, async () => {
      const socket = await dial();
      socket.write("x");
      return await Promise.race([new Promise((resolve) => socket.once("data", () => resolve("served"))), closed(socket).then(() => "reset")]);
    }));
    const reset = outcomes.filter((outcome) => outcome === "reset").length;
    // Outside of this once in ten million times.
    t.ok(reset > 4 && reset < 36, `${reset} of 40`);
  });

  scenario("disabled: what is connected is closed, what was on the way is gone, what comes is refused, until it is enabled", async (t, url) => {
    const heard: string[] = [];
    const { proxy, start, dial, arrived } = await proxied(t, url, (socket) => {
      socket.on("data", (chunk) => {
        heard.push(chunk.toString());
        socket.write(chunk);
      });
    });
    const socket = await dial();
    await roundTripMs(socket);
    await proxy.addToxic({ name: "l", type: "latency", stream: "upstream", toxicity: 1, attributes: { latency: 2_000, jitter: 0 } });
    socket.write("late");
    const { listen, upstream } = proxy;
    await proxy.update({ listen, upstream, enabled: false });
    await Promise.all([closed(socket), closed(arrived[0] ?? socket)]);
    await closed(start());
    t.equal(arrived.length, 1, "nothing came through");
    await (await proxy.getToxic("l")).remove();
    await proxy.update({ listen, upstream, enabled: true });
    await roundTripMs(await dial());
    t.same(heard, ["x", "x"], "what was on the way never arrived");
  });

  scenario("an upstream that nobody listens at ends connections; another one can be named", async (t, url) => {
    const { proxy, start, dial, close } = await proxied(t, url, echo);
    await close();
    await closed(start());
    const other = await proxied(t, url, echo);
    const { upstream } = other.proxy;
    t.equal((await proxy.update({ listen: proxy.listen, upstream, enabled: true })).upstream, upstream);
    await roundTripMs(await dial());
  });
}

contract("our server", async (t) => {
  const server = await ToxiproxyServer.listen({ secretPath: "a-secret" });
  t.teardown(() => server[Symbol.asyncDispose]());
  return server.url;
}, false);
contract("a real server", () => real ?? "", real === undefined ? "TOXIPROXY_URL names no server" : false);

test("our server without its secret path, for another host, or from a web page, gives nothing and does nothing", { timeout: 30_000 }, async (t) => {
  const server = await ToxiproxyServer.listen({ secretPath: "a-secret" });
  t.teardown(() => server[Symbol.asyncDispose]());
  const { origin } = new URL(server.url);
  for (const path of ["/proxies", "/another/proxies", "/a-secre/proxies"]) t.equal((await ask(`${origin}${path}`, "GET")).status, 404, path);
  t.equal((await ask(`${server.url}/proxies`, "GET", undefined, { origin: "http://pages.example" })).status, 403);
  t.equal((await ask(`${server.url}/proxies`, "POST", JSON.stringify({ name: "out", listen: "0.0.0.0:0", upstream: "127.0.0.1:9" }))).status, 400);
  t.equal((await ask(`${server.url}/proxies`, "POST", `"${"x".repeat(2 * 1024 * 1024)}"`).catch(() => ({ status: 413 }))).status, 413);
  t.same(await new Toxiproxy(server.url).getAll(), {});
});

test("our server counts what went through, and chooses no port that is to be avoided", { timeout: 30_000 }, async (t) => {
  const avoid = new Set(Array.from({ length: 65_536 }, (_, port) => port).filter((port) => port % 2 === 0));
  const server = await ToxiproxyServer.listen({ avoid });
  t.teardown(() => server[Symbol.asyncDispose]());
  const { proxy, dial } = await proxied(t, server.url, (socket) => socket.on("data", () => socket.end("answer")));
  t.equal(Number(proxy.listen.split(":").at(-1)) % 2, 1);
  const socket = await dial();
  socket.end("ask");
  t.equal((await read(socket, 6)).toString(), "answer");
  await closed(socket);
  const shown = async (): Promise<unknown> => (JSON.parse((await ask(`${server.url}/proxies/${proxy.name}`, "GET")).text) as { traffic: unknown }).traffic;
  await settled("the connection is over", async () => JSON.stringify(await shown()).includes('"connections":0'));
  t.match(await shown(), { connections: 0, accepted: 1, refused: 0, upstreamBytes: 3, downstreamBytes: 6 });
});

test("our server corrupts about as many bytes, and as many chunks, as it is told", { timeout: 30_000 }, async (t) => {
  const server = await ToxiproxyServer.listen();
  t.teardown(() => server[Symbol.asyncDispose]());
  const { proxy, dial } = await proxied(t, server.url, echo);
  const path = `${server.url}/proxies/${proxy.name}/toxics`;
  const add = async (attributes: Readonly<Record<string, number>>): Promise<number> => (await ask(path, "POST", JSON.stringify({ type: "corrupt", stream: "upstream", attributes }))).status;
  t.equal(await add({ byte_rate: 2 }), 400);
  t.equal(await add({ byte_rate: 0.01 }), 200);
  const length = 200_000;
  const socket = await dial();
  socket.write(Buffer.alloc(length));
  const received = await read(socket, length);
  const changed = received.filter((byte) => byte !== 0).length;
  t.equal(received.length, length);
  t.ok(changed > 1_700 && changed < 2_300, `${changed} of ${length} bytes`);
  t.equal((await ask(`${path}/corrupt_upstream`, "PATCH", JSON.stringify({ attributes: { byte_rate: 0, chunk_rate: 1 } }))).status, 200);
  for (let i = 0; i < 20; i++) {
    socket.write(Buffer.alloc(100));
    const chunk = await read(socket, 100);
    t.equal(chunk.reduce((bits, byte) => bits + byte.toString(2).replaceAll("0", "").length, 0), 1, "one bit");
  }
});
