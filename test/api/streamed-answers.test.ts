/** Public answers that are made in parts: the first is with its reader before the last is made, and nobody takes a part for the whole. */
import { connect, type AddressInfo } from "node:net";
import { request, type ClientRequest, type IncomingMessage } from "node:http";
import { createBrotliDecompress, createGunzip } from "node:zlib";
import { PassThrough, type Duplex } from "node:stream";
import Type from "typebox";
import { test, type Test } from "tap";
import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import { keyOf } from "../../src/core/document.js";
import type { Operation } from "../../src/core/change.js";
import type { RouteOptions } from "../../src/store/route-context.js";
import { plainQuery } from "../../src/store/route-schemas.js";
import { settled } from "../../chaos/waiting.js";
import { testServer } from "./test-server.js";

const set = (field: string, value: string): Operation => ({ op: "set", section: "", field, value, was: null });
const PATH = "/pages/default";
const LAST = "the last part";
const FILLER = "x".repeat(4_000);

interface Gate {
  readonly opened: Promise<void>;
  open(error?: Error): void;
}

function gate(): Gate {
  let open: Gate["open"] = () => undefined;
  const opened = new Promise<void>((resolve, reject) => {
    open = (error) => (error === undefined ? resolve() : reject(error));
  });
  opened.catch(() => undefined);
  return { opened, open };
}

/** A page of two parts. A rendering whose number has a gate waits there after its first. */
async function streamingServer(t: Pick<Test, "teardown">) {
  const gates = new Map<number, Gate>();
  const count = { begun: 0 };
  // One that is still closed when a test has failed would keep the server from closing.
  t.teardown(() => {
    for (const held of gates.values()) held.open();
  });
  const routes: FastifyPluginAsyncTypebox<RouteOptions> = async (app, { context }) => {
    const schema = { params: Type.Object({ page: Type.String() }), querystring: plainQuery };
    app.get("/pages/:page", { config: { public: true }, schema }, (request, reply) => context.publish(request, reply, {
      page: request.params.page, name: "parts",
      render: (snapshot) => {
        const name = snapshot.document(keyOf("default", "component", "api"))?.text("name") ?? "";
        const nth = count.begun++;
        const body = async function* () {
          yield `${name}, the first part ${FILLER}`;
          await gates.get(nth)?.opened;
          yield `${LAST} ${FILLER}`;
        };
        return { contentType: "text/plain; charset=utf-8", body: body(), headers: { "x-name": name } };
      },
    }));
    app.get("/pages/:page/long", { config: { public: true }, schema }, (request, reply) => context.publish(request, reply, {
      page: request.params.page, name: "long",
      render: () => ({
        contentType: "text/plain; charset=utf-8",
        body: (async function* () {
          for (let part = 0; part < 200; part++) {
            const until = performance.now() + 2;
            while (performance.now() < until);
            yield "part ";
          }
        })(),
      }),
    }));
  };
  const server = await testServer(t, {}, [routes]);
  const write = (name: string) => server.data.write(keyOf("default", "component", "api"), [set("name", name)]);
  server.data.write(keyOf("default", "component", "api"), [{ op: "create", section: "" }, set("name", "API")]);
  await server.app.listen({ host: "127.0.0.1", port: 0 });
  const { port } = server.app.server.address() as AddressInfo;
  return { ...server, gates, count, write, port };
}

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | undefined>>;
  /** What was decoded so far. */
  text(): string;
  readonly ended: Promise<"whole" | "cut">;
  readonly asked: ClientRequest;
}

function ask(port: number, headers: Record<string, string> = {}, method = "GET", path = PATH): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const asked = request({ host: "127.0.0.1", port, path, method, headers, agent: false }, (answer: IncomingMessage) => {
      const coding = answer.headers["content-encoding"];
      const decoder: Duplex = coding === "br" ? createBrotliDecompress() : coding === "gzip" ? createGunzip() : new PassThrough();
      let text = "";
      const ended = new Promise<"whole" | "cut">((end) => {
        answer.on("aborted", () => end("cut"));
        answer.on("error", () => end("cut"));
        decoder.on("data", (bytes: Buffer) => (text += bytes.toString()));
        decoder.on("end", () => end("whole"));
        decoder.on("error", () => end("cut"));
      });
      answer.pipe(decoder);
      resolve({ status: answer.statusCode ?? 0, headers: answer.headers as Answer["headers"], text: () => text, ended, asked });
    });
    asked.on("error", reject);
    asked.setTimeout(10_000, () => asked.destroy(new Error("nothing was heard for 10 s")));
    asked.end();
  });
}

const read = (answer: Answer, text: string) => settled(text, () => answer.text().includes(text), 10_000);

for (const coding of ["identity", "gzip", "br"] as const) {
  test(`the first part is read before the last is made, in coding ${coding}, and the kept answer is the same`, async (t) => {
    const { port, gates } = await streamingServer(t);
    const held = gate();
    gates.set(0, held);
    const accept = { "accept-encoding": coding };
    const streamed = await ask(port, accept);
    await read(streamed, "API, the first part");
    t.notMatch(streamed.text(), LAST, "the last part is not made yet");
    t.equal(streamed.status, 200);
    t.match(streamed.headers, { "content-type": "text/plain; charset=utf-8", "surrogate-key": "page/default default/component/api", "cache-tag": "page/default,default/component/api", "x-name": "API", region: "us-east" });
    t.match(streamed.headers["cache-control"], /^public, max-age=\d+, stale-while-revalidate=\d+, stale-if-error=\d+$/);
    t.match(streamed.headers["etag"], coding === "identity" ? /^"[\w-]{22}"$/ : new RegExp(`^"[\\w-]{22}\\.${coding}"$`));
    t.ok(Date.parse(streamed.headers["last-modified"] ?? "") > 0);
    t.equal(streamed.headers["content-encoding"], coding === "identity" ? undefined : coding);
    held.open();
    t.equal(await streamed.ended, "whole");

    const kept = await ask(port, accept);
    t.equal(await kept.ended, "whole");
    t.ok(Number(kept.headers["content-length"]) > 0, "what is kept has a length");
    t.equal(kept.text(), streamed.text());
    for (const name of ["etag", "last-modified", "surrogate-key", "content-encoding", "vary"]) t.equal(kept.headers[name], streamed.headers[name], name);
    const again = await ask(port, { ...accept, "if-none-match": streamed.headers["etag"] ?? "" });
    t.equal(again.status, 304, "what was streamed can be asked about");
  });
}

test("readers of one rendering share it, each in the coding that it takes, whenever they come", async (t) => {
  const { port, gates, count } = await streamingServer(t);
  const held = gate();
  gates.set(0, held);
  const readers = await Promise.all(["identity", "br", "gzip", "br"].map((coding) => ask(port, { "accept-encoding": coding })));
  for (const reader of readers) await read(reader, "the first part");
  const late = await ask(port, { "accept-encoding": "br" });
  await read(late, "the first part");
  held.open();
  for (const reader of [...readers, late]) {
    t.equal(await reader.ended, "whole");
    t.match(reader.text(), LAST);
  }
  t.equal(count.begun, 1);
  t.equal(new Set([...readers, late].map(({ headers }) => headers["etag"]?.replace(/\.\w+"$/, '"'))).size, 1);
});

test("a condition, HEAD and HTTP/1.0 are answered when the whole is known", async (t) => {
  const { port, gates, count } = await streamingServer(t);
  const held = gate();
  gates.set(0, held);
  const streamed = await ask(port);
  const etag = streamed.headers["etag"] ?? "";
  const waiting = [ask(port, { "if-none-match": etag }), ask(port, { "if-none-match": '"other"' }), ask(port, {}, "HEAD")];
  const old = connect(port, "127.0.0.1");
  t.teardown(() => old.destroy());
  let oldText = "";
  old.on("data", (bytes: Buffer) => (oldText += bytes.toString()));
  old.write(`GET ${PATH} HTTP/1.0\r\n\r\n`);
  await read(streamed, "the first part");
  // A later request on the way has been taken up when a whole round trip of another is over.
  await ask(port, {}, "GET", "/healthz");
  t.equal(oldText, "", "HTTP/1.0 can not tell a part from the whole");
  held.open();
  const [same, other, head] = await Promise.all(waiting);
  t.equal(same?.status, 304);
  t.equal(same?.headers["etag"], etag);
  t.equal(other?.status, 200);
  t.equal(other?.headers["etag"], etag);
  t.ok(Number(head?.headers["content-length"]) > 8_000);
  await settled("the answer of HTTP/1.0", () => oldText.includes(LAST));
  t.match(oldText, /content-length: \d+\r\n/);
  t.equal(count.begun, 1);
});

test("a page that can not be made to its end is cut off, not passed off as whole, and made anew for the next", async (t) => {
  const { port, gates, count } = await streamingServer(t);
  for (const coding of ["identity", "br"]) {
    const broken = gate();
    gates.set(count.begun, broken);
    const answer = await ask(port, { "accept-encoding": coding });
    await read(answer, "the first part");
    broken.open(new Error("the disk is gone"));
    t.equal(await answer.ended, "cut", coding);
  }
  const next = await ask(port);
  t.equal(await next.ended, "whole");
  t.match(next.text(), LAST);
  t.equal(count.begun, 3);
});

test("a reader that leaves takes nothing from the others, and what it began is kept", async (t) => {
  const { port, gates, count } = await streamingServer(t);
  const held = gate();
  gates.set(0, held);
  const [leaver, stayer] = [await ask(port), await ask(port)];
  await read(leaver, "the first part");
  leaver.asked.on("error", () => undefined);
  leaver.asked.destroy();
  await leaver.ended;
  held.open();
  t.equal(await stayer.ended, "whole");
  t.equal(await (await ask(port)).ended, "whole");
  t.equal(count.begun, 1);
});

test("what changes while a page is made is in the next, which is made once for all who wait for it", async (t) => {
  const { port, gates, count, write } = await streamingServer(t);
  const [first, second] = [gate(), gate()];
  gates.set(0, first);
  gates.set(1, second);
  const before = await ask(port);
  await read(before, "API, the first part");
  write("API 2");
  const waiting = Array.from({ length: 10 }, () => ask(port, { "accept-encoding": "br" }));
  await ask(port, {}, "GET", "/healthz");
  t.equal(count.begun, 1, "one at a time");
  first.open();
  t.equal(await before.ended, "whole");
  const after = await Promise.all(waiting);
  for (const answer of after) await read(answer, "API 2, the first part");
  second.open();
  for (const answer of after) t.equal(await answer.ended, "whole");
  t.equal(count.begun, 2);
  t.not(after[0]?.headers["etag"], before.headers["etag"]);
  t.ok(Date.parse(after[0]?.headers["last-modified"] ?? "") > Date.parse(before.headers["last-modified"] ?? ""), "Last-Modified moves with the bytes");
});

test("what is outdated before it is sent is kept by no cache as new: it may have been told to forget it before it was given it", async (t) => {
  const { port, gates, write } = await streamingServer(t);
  const held = gate();
  gates.set(0, held);
  const streamed = await ask(port);
  const waiting = ask(port, { "if-none-match": '"other"' });
  await read(streamed, "API, the first part");
  await ask(port, {}, "GET", "/healthz");
  write("API 2");
  held.open();
  const outdated = await waiting;
  t.equal(await outdated.ended, "whole");
  t.match(outdated.text(), "API, the first part");
  t.match(outdated.headers["cache-control"], /^public, max-age=0, s-maxage=0, stale-while-revalidate=\d+, stale-if-error=\d+$/);
  t.notMatch(streamed.headers["cache-control"], /s-maxage=0/, "whose head had gone out before is forgotten by the purge");
  const next = await ask(port);
  await read(next, "API 2, the first part");
  t.notMatch(next.headers["cache-control"], /s-maxage=0/);
  t.equal(await next.ended, "whole");
  t.notMatch((await ask(port)).headers["cache-control"], /s-maxage=0/);
});

test("a page that takes long to make holds up nobody else", async (t) => {
  const { port } = await streamingServer(t);
  const long = await ask(port, {}, "GET", "/pages/default/long");
  let isOver = false;
  const over = long.ended.then(() => (isOver = true));
  for (let other = 0; other < 5; other++) t.equal((await ask(port, {}, "GET", "/healthz")).status, 200);
  t.notOk(isOver, "five others were answered meanwhile");
  await over;
  t.equal(long.text(), "part ".repeat(200));
});
