/** What the API says to requests that are wrong: one form for every failure. */
import { connect } from "node:net";
import type { AddressInfo } from "node:net";
import { once } from "node:events";
import type { InjectOptions } from "fastify";
import fc from "fast-check";
import t from "tap";
import { parseJsonBody } from "../../src/api/json-body.js";
import { Fault } from "../../src/core/errors.js";
import { ROOT_KEY, testServer } from "./test-server.js";

const auth = { authorization: `Bearer ${ROOT_KEY}` };
const json = { ...auth, "content-type": "application/json" };
const notes = "/v1/pages/default/notes";

t.test("every failure is a problem document with the request id, and never a stack", async (t) => {
  const { app } = await testServer(t);
  const cases: readonly (readonly [string, InjectOptions, number, string])[] = [
    ["unknown route", { url: "/v1/nothing" }, 404, "not-found"],
    ["wrong method", { method: "PUT", url: notes }, 405, "method-not-allowed"],
    ["malformed path", { url: "/%zz" }, 400, "malformed"],
    ["malformed JSON", { method: "POST", url: notes, headers: json, payload: '{"text":' }, 400, "malformed"],
    ["no body", { method: "POST", url: notes, headers: auth }, 400, "malformed"],
    ["empty body", { method: "POST", url: notes, headers: json, payload: "" }, 400, "malformed"],
    ["no UTF-8", { method: "POST", url: notes, headers: json, payload: Buffer.from([0x22, 0xff, 0x22]) }, 400, "malformed"],
    ["text", { method: "POST", url: notes, headers: { ...auth, "content-type": "text/plain" }, payload: "hi" }, 415, "unsupported-media-type"],
    ["over 1 MiB", { method: "POST", url: notes, headers: json, payload: JSON.stringify({ text: "x".repeat(1024 * 1024) }) }, 413, "payload-too-large"],
    ["deep JSON", { method: "POST", url: notes, headers: json, payload: "[".repeat(65) + "]".repeat(65) }, 400, "malformed"],
    ["__proto__", { method: "POST", url: notes, headers: json, payload: '{"text":"a","__proto__":{"x":1}}' }, 400, "malformed"],
    ["escaped __proto__", { method: "POST", url: notes, headers: json, payload: '{"text":"a","__pro\\u0074o__":{"x":1}}' }, 400, "malformed"],
    ["constructor.prototype", { method: "POST", url: notes, headers: json, payload: '{"constructor":{"prototype":{}}}' }, 400, "malformed"],
    ["unknown field", { method: "POST", url: notes, headers: auth, payload: { text: "a", txet: "b" } }, 422, "invalid"],
    ["number for text", { method: "POST", url: notes, headers: auth, payload: { text: 1 } }, 422, "invalid"],
    ["null body", { method: "POST", url: notes, headers: json, payload: "null" }, 422, "invalid"],
    ["bad limit", { url: `${notes}?limit=101`, headers: auth }, 400, "malformed"],
    ["unknown query parameter", { url: `${notes}?limt=1`, headers: auth }, 400, "malformed"],
    ["limit twice", { url: `${notes}?limit=1&limit=2`, headers: auth }, 400, "malformed"],
    ["bad cursor", { url: `${notes}?cursor=abc`, headers: auth }, 400, "malformed"],
    ["missing", { url: `${notes}/none`, headers: auth }, 404, "not-found"],
    ["empty Idempotency-Key", { method: "POST", url: notes, headers: { ...auth, "idempotency-key": "" }, payload: { text: "a" } }, 400, "malformed"],
    ["long Idempotency-Key", { method: "POST", url: notes, headers: { ...auth, "idempotency-key": "k".repeat(256) }, payload: { text: "a" } }, 400, "malformed"],
    ["unquoted If-Match", { method: "PATCH", url: `${notes}/none`, headers: { ...auth, "if-match": "abc" }, payload: {} }, 400, "malformed"],
  ];
  for (const [name, request, status, code] of cases) {
    const answer = await app.inject(request);
    const problem = answer.json();
    t.equal(answer.statusCode, status, name);
    t.match(answer.headers["content-type"], /^application\/problem\+json/, name);
    t.match(problem, { type: `/problems/${code}`, status, title: String, detail: String }, name);
    t.equal(problem.instance, answer.headers["x-request-id"], `${name}: instance`);
    t.equal(answer.headers["region"], "us-east", name);
    t.notMatch(answer.body, /\bat .*\.(ts|js):\d|node_modules|<html/i, name);
  }
});

t.test("a body that is not valid is answered with what is wrong where", async (t) => {
  const { app } = await testServer(t);
  const answer = await app.inject({ method: "POST", url: notes, headers: auth, payload: { mood: "great", "a/b": 1, position: 1.5 } });
  t.equal(answer.statusCode, 422);
  const pointers = answer.json().errors.map(({ pointer }: { pointer: string }) => pointer).sort();
  t.same(pointers, ["#/a~1b", "#/mood", "#/position", "#/text"]);
});

t.test("bodies are never coerced", async (t) => {
  const { app } = await testServer(t);
  t.equal((await app.inject({ method: "POST", url: notes, headers: auth, payload: { text: "a", position: "1" } })).statusCode, 422);
});

t.test("a method that the path does not take is told which it takes; OPTIONS and HEAD answer", async (t) => {
  const { app } = await testServer(t);
  const wrong = await app.inject({ method: "PUT", url: `${notes}/x` });
  t.equal(wrong.headers["allow"], "DELETE, GET, HEAD, OPTIONS, PATCH");
  const options = await app.inject({ method: "OPTIONS", url: notes });
  t.equal(options.statusCode, 204);
  t.equal(options.headers["allow"], "GET, HEAD, OPTIONS, POST");
  const created = await app.inject({ method: "POST", url: notes, headers: auth, payload: { text: "a" } });
  const head = await app.inject({ method: "HEAD", url: String(created.headers["location"]), headers: auth });
  t.equal(head.statusCode, 200);
  t.equal(head.body, "");
  t.equal(head.headers["etag"], created.headers["etag"]);
});

t.test("a sane request id of the caller is kept, another one replaced", async (t) => {
  const { app } = await testServer(t);
  const id = async (given: string) => (await app.inject({ url: "/healthz", headers: { "x-request-id": given } })).headers["x-request-id"];
  t.equal(await id("trace-7.a~b"), "trace-7.a~b");
  t.not(await id("a b\"<script>"), "a b\"<script>");
  t.not(await id("x".repeat(129)), "x".repeat(129));
});

t.test("a broken invariant is answered 500 without a word about it, and reported", async (t) => {
  const { app, defects } = await testServer(t);
  const answer = await app.inject({ method: "POST", url: "/v1/pages/default/explode", headers: auth });
  t.equal(answer.statusCode, 500);
  t.match(answer.json(), { type: "/problems/internal" });
  t.notMatch(answer.body, /planted/);
  t.equal(defects.length, 1);
});

t.test("bytes that are no request are answered and hung up on; huge headers get 431", async (t) => {
  const { app } = await testServer(t);
  await app.listen({ host: "127.0.0.1", port: 0 });
  const { port } = app.server.address() as AddressInfo;
  const say = async (text: string) => {
    const socket = connect(port, "127.0.0.1");
    let heard = "";
    socket.setEncoding("utf8").on("data", (data: string) => (heard += data)).on("error", () => {});
    socket.write(text);
    await once(socket, "close", { signal: AbortSignal.timeout(30_000) });
    return heard;
  };
  const nonsense = await say("HELLO THERE\r\n\r\n");
  t.match(nonsense, /^HTTP\/1\.1 400 Bad Request\r\nX-Request-Id: \S+\r\nRegion: us-east\r\nContent-Type: application\/problem\+json/);
  t.match(await say(`GET /healthz HTTP/1.1\r\nHost: a\r\nX: ${"x".repeat(20_000)}\r\n\r\n`), /^HTTP\/1\.1 431 /);
});

t.test("closing ends idle connections at once", async (t) => {
  const { app } = await testServer(t);
  await app.listen({ host: "127.0.0.1", port: 0 });
  const { port } = app.server.address() as AddressInfo;
  const socket = connect(port, "127.0.0.1");
  socket.write("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
  await once(socket, "data", { signal: AbortSignal.timeout(30_000) });
  const closed = once(socket, "close", { signal: AbortSignal.timeout(30_000) });
  await app.close();
  await t.resolves(closed);
});

t.test("any JSON value up to the depth limit comes through the parser as JSON.parse gives it", async (t) => {
  t.doesNotThrow(() => fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 20 }), (value) => {
      const text = JSON.stringify(value);
      const parsed = parseJsonBody(Buffer.from(text));
      return parsed instanceof Fault ? /__proto__|constructor/.test(text) : JSON.stringify(parsed) === text;
    }),
  ));
});
