/** Public answers: rendered once per change, conditional, coded, by Host, LOCAL only. */
import { brotliDecompressSync, gunzipSync } from "node:zlib";
import Type from "typebox";
import { Agent, request } from "node:http";
import type { AddressInfo } from "node:net";
import { test, type Test } from "tap";
import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import { keyOf } from "../../src/core/document.js";
import type { Operation } from "../../src/core/change.js";
import type { ApiConfig } from "../../src/api/api-config.js";
import { notFound, pageKey } from "../../src/store/resource.js";
import { purgeKeysOf, surrogateKeys } from "../../src/store/surrogate-keys.js";
import type { RouteOptions } from "../../src/store/route-context.js";
import { plainQuery } from "../../src/store/route-schemas.js";
import { testServer, type TestServer } from "./test-server.js";

const set = (field: string, value: string | readonly string[]): Operation => ({ op: "set", section: "", field, value, was: null });
const create: Operation = { op: "create", section: "" };

/** A page that lists its components, and counts how often it is rendered. */
async function publicServer(t: Pick<Test, "teardown">, config: Partial<ApiConfig> = {}) {
  const count = { renderings: 0, routed: 0 };
  const routes: FastifyPluginAsyncTypebox<RouteOptions> = async (app, { context }) => {
    app.addHook("onRequest", (_request, _reply, done) => {
      count.routed++;
      done();
    });
    const schema = { params: Type.Object({ page: Type.String() }), querystring: plainQuery };
    for (const url of ["/pages/:page", "/pages/:page/api/v2/components.json"]) {
      app.get(url, { config: { public: true }, schema }, (request, reply) => context.publish(request, reply, {
        page: request.params.page, name: url,
        render: (snapshot) => {
          const { page } = request.params;
          if (snapshot.document(pageKey(page)) === undefined) return notFound("page");
          count.renderings++;
          const names = snapshot.list(page, "component").map(({ key }) => snapshot.document(key)?.text("name") ?? "");
          return { contentType: "application/json; charset=utf-8", body: JSON.stringify({ page, names, filler: "x".repeat(2_000) }), headers: { "content-security-policy": "default-src 'none'" } };
        },
      }));
    }
  };
  const server = await testServer(t, config, [routes]);
  server.data.write(keyOf("default", "component", "api"), [create, set("name", "API")]);
  const get = async (url: string, headers: Record<string, string> = {}, method: "GET" | "HEAD" = "GET") => {
    for (;;) {
      const answer = await server.app.inject({ method, url, headers });
      // A machine that is busy with other tests may be overloaded for a moment.
      if (!answer.body.includes("/problems/overloaded")) return answer;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  };
  return { ...server, count, get };
}

interface Heard {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

/** Asks over connections that stay open, as clients do; `inject` goes straight to the router. */
async function overTheWire(t: Pick<Test, "teardown">, server: TestServer) {
  if (!server.app.server.listening) await server.app.listen({ host: "127.0.0.1", port: 0 });
  const { port } = server.app.server.address() as AddressInfo;
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  t.teardown(async () => agent.destroy());
  return (path: string, headers: Record<string, string> = {}, method = "GET"): Promise<Heard> =>
    new Promise((resolve, reject) => {
      const asked = request({ host: "127.0.0.1", port, path, method, headers: { host: "status.example.org", ...headers }, agent }, (answer) => {
        const pieces: Buffer[] = [];
        answer.on("data", (piece: Buffer) => pieces.push(piece));
        answer.on("end", () => resolve({ status: answer.statusCode ?? 0, headers: answer.headers as Record<string, string>, body: Buffer.concat(pieces) }));
      });
      asked.on("error", reject);
      asked.end();
    });
}

/** What differs between two equal answers. */
const lasting = ({ status, headers: { date: _, "x-request-id": __, ...headers }, body }: Heard) => ({ status, headers, body: body.toString("latin1") });

const rename = (data: TestServer["data"], page: string, id: string, name: string) => data.write(keyOf(page, "component", id), [set("name", name)]);

test("a public answer is rendered once per change, and not for changes of what it does not show", async (t) => {
  const { get, data, count } = await publicServer(t);
  const path = "/pages/default/api/v2/components.json";
  const first = await get(path);
  t.equal(first.statusCode, 200, first.body);
  t.same(first.json().names, ["API"]);
  for (let i = 0; i < 5; i++) t.equal((await get(path)).headers.etag, first.headers.etag);
  t.equal(count.renderings, 1);
  data.write(keyOf("other", "component", "api"), [create, set("name", "Elsewhere")]);
  data.write(keyOf("default", "subscriber", "one"), [create]);
  await get(path);
  t.equal(count.renderings, 1, "what it does not show leaves it as it is");
  rename(data, "default", "api", "API 2");
  const second = await get(path);
  t.same(second.json().names, ["API 2"]);
  t.not(second.headers.etag, first.headers.etag);
  t.ok(Date.parse(String(second.headers["last-modified"])) > Date.parse(String(first.headers["last-modified"])), "Last-Modified moves with the bytes, within one second too");
  data.write(keyOf("default", "component", "web"), [create, set("name", "Web")]);
  t.same((await get(path)).json().names.sort(), ["API 2", "Web"], "a list that it shows grew");
  t.equal(count.renderings, 3);
  await Promise.all(Array.from({ length: 20 }, async () => get("/pages/default")));
  t.equal(count.renderings, 4, "requests at the same time share a rendering");
});

test("public answers say how long they may be kept, and what they show", async (t) => {
  const { get } = await publicServer(t);
  const { headers } = await get("/pages/default");
  t.match(headers["cache-control"], /^public, max-age=\d+, stale-while-revalidate=\d+, stale-if-error=\d+$/);
  t.equal(headers["surrogate-key"], "page/default default/component default/component/api");
  t.equal(headers["cache-tag"], "page/default,default/component,default/component/api");
  t.match(headers, { vary: "Accept-Encoding", "consistency-level": "LOCAL", region: "us-east", "access-control-allow-origin": "*", "content-security-policy": "default-src 'none'" });
  t.notOk("session-token" in headers);
});

test("how long answers may be kept is as it was configured, for browsers and for caches that are told of changes", async (t) => {
  const { get } = await publicServer(t, { publicCaching: { maxAgeSeconds: 2, sharedMaxAgeSeconds: 300, staleWhileRevalidateSeconds: 40, staleIfErrorSeconds: 5_000 } });
  t.equal((await get("/pages/default")).headers["cache-control"], "public, max-age=2, s-maxage=300, stale-while-revalidate=40, stale-if-error=5000");
});

test("an answer of more documents than a header holds is named by their lists, which a change of any of them names too", async (t) => {
  const ids = Array.from({ length: 151 }, (_, n) => `default/incident/i${n}`);
  const few = surrogateKeys("default", new Set(["default/incident", ...ids.slice(0, 149), "~/page/default", "other/incident/x"]));
  t.equal(few.length, 151);
  t.ok(few.includes("default/incident/i7"));
  const many = surrogateKeys("default", new Set([...ids, "default/component", "default/component/api"]));
  t.same(many, ["page/default", "default/component", "default/incident"]);
  for (const document of [...ids, "default/component/api", "~/page/default"]) t.ok(purgeKeysOf(document).some((key) => many.includes(key)), document);
});

test("Last-Modified moves on with every change, however quickly they come", async (t) => {
  const { get, data } = await publicServer(t);
  let last = 0;
  for (let n = 0; n < 5; n++) {
    rename(data, "default", "api", `Name ${n}`);
    const at = Date.parse(String((await get("/pages/default")).headers["last-modified"]));
    t.ok(at > last);
    last = at;
  }
});

test("conditional requests and HEAD", async (t) => {
  const { get } = await publicServer(t);
  const whole = await get("/pages/default");
  const etag = String(whole.headers.etag);
  const same = await get("/pages/default", { "if-none-match": `"other", W/${etag}` });
  t.equal(same.statusCode, 304);
  t.equal(same.body, "");
  t.match(same.headers, { etag, "cache-control": String(whole.headers["cache-control"]) });
  const modified = String(whole.headers["last-modified"]);
  t.equal((await get("/pages/default", { "if-modified-since": modified })).statusCode, 304);
  t.equal((await get("/pages/default", { "if-modified-since": modified, "if-none-match": '"other"' })).statusCode, 200, "the tag decides");
  t.equal((await get("/pages/default", { "if-modified-since": "Thu, 01 Jan 1970 00:00:01 GMT" })).statusCode, 200);
  const head = await get("/pages/default", {}, "HEAD");
  t.equal(head.statusCode, 200);
  t.equal(head.body, "");
  t.equal(head.headers["content-length"], whole.headers["content-length"]);
});

test("answers are coded as the client likes, each coding with a tag of its own", async (t) => {
  const { get } = await publicServer(t);
  const plain = await get("/pages/default");
  const gzip = await get("/pages/default", { "accept-encoding": "gzip" });
  const brotli = await get("/pages/default", { "accept-encoding": "gzip, deflate, br" });
  t.equal(gzip.headers["content-encoding"], "gzip");
  t.equal(brotli.headers["content-encoding"], "br");
  t.equal(gunzipSync(gzip.rawPayload).toString(), plain.body);
  t.equal(brotliDecompressSync(brotli.rawPayload).toString(), plain.body);
  t.equal(new Set([plain, gzip, brotli].map(({ headers }) => headers.etag)).size, 3);
  t.equal((await get("/pages/default", { "accept-encoding": "br;q=0, gzip;q=0.5, *;q=0.1" })).headers["content-encoding"], "gzip");
  t.equal((await get("/pages/default", { "accept-encoding": "identity" })).headers["content-encoding"], undefined);
  t.equal((await get("/pages/default", { "accept-encoding": "gzip", "if-none-match": String(brotli.headers.etag) })).statusCode, 304, "the same state in another coding");
});

test("public routes are LOCAL, wait for a session, and need no key", async (t) => {
  const { get, data } = await publicServer(t);
  for (const level of ["GLOBAL_QUORUM", "LOCAL_QUORUM", "SOMETHING"]) {
    t.equal((await get("/pages/default", { "consistency-level": level })).statusCode, 400);
    t.equal((await get(`/pages/default?consistency=${level}`)).statusCode, 400);
  }
  t.equal((await get("/pages/default", { "consistency-level": "LOCAL", "session-token": data.token() })).statusCode, 200);
  const ahead = data.tokenOf({ "eu-west-1.1": 7 });
  t.equal((await get("/pages/default", { "session-token": ahead, "session-wait": "0" })).statusCode, 503);
  t.equal((await get("/pages/nowhere")).statusCode, 404);
  t.equal((await get("/pages/nowhere")).json().type, "/problems/not-found");
});

test("a page answers at the root of its own hosts; the default page at every other", async (t) => {
  const { get, data } = await publicServer(t);
  data.write(pageKey("other"), [set("custom_domains", ["status.example.com"])]);
  const pageAt = async (url: string, headers: Record<string, string>) => {
    const answer = await get(url, headers);
    return answer.json().page ?? answer.json().detail;
  };
  // The names are read when the page's change is durable, a turn later.
  await new Promise((resolve) => setImmediate(resolve));
  t.equal(await pageAt("/", { host: "Status.Example.com:8443" }), "other");
  t.equal(await pageAt("/?x=1", { host: "status.example.com" }), "The query is not valid: #/x is not a field that a client may set here.", "an unknown parameter is refused there as at the path");
  t.equal(await pageAt("/api/v2/components.json", { host: "status.example.com" }), "other");
  t.equal(await pageAt("/pages/default", { host: "status.example.com" }), "default", "paths that name a page are taken as they are");
  for (const host of ["127.0.0.1:8081", "localhost", "elsewhere.example.org"]) t.equal(await pageAt("/", { host }), "default", host);
  t.equal(await pageAt("/", { host: "127.0.0.1", "x-forwarded-host": "status.example.com" }), "default", "who asks cannot name the host");
  t.equal((await get("/healthz", { host: "status.example.com" })).statusCode, 200);
  t.equal((await get("/v1/pages/default", { host: "status.example.com" })).statusCode, 404);
});

test("behind a proxy that is trusted the forwarded host counts", async (t) => {
  const { get, data } = await publicServer(t, { trustProxy: true });
  data.write(pageKey("other"), [set("custom_domains", ["status.example.com"])]);
  await new Promise((resolve) => setImmediate(resolve));
  t.equal((await get("/", { host: "10.0.0.1", "x-forwarded-host": "status.example.com, inner" })).json().page, "other");
});

test("a request that was answered before is answered again without the router, to the last header", async (t) => {
  const server = await publicServer(t);
  const ask = await overTheWire(t, server);
  const path = "/pages/default?consistency=LOCAL";
  const etag = (await ask(path)).headers["etag"] ?? "";
  const asked: readonly [headers: Record<string, string>, method?: string][] = [
    [{}], [{}, "HEAD"], [{ "accept-encoding": "gzip" }], [{ "accept-encoding": "gzip, br" }], [{ "if-none-match": etag }], [{ "if-none-match": '"other"' }], [{ "if-modified-since": new Date().toUTCString() }],
    [{ range: "bytes=0-9" }], [{ "accept-language": "de" }], [{ "accept-encoding": "br", "if-none-match": `W/${etag}` }, "HEAD"],
  ];
  for (const [headers, method] of asked) {
    const wholeWay = await ask(path, { ...headers, "consistency-level": "LOCAL" }, method);
    // The first of its kind leaves the shortcut.
    await ask(path, headers, method);
    const before = server.count.routed;
    const again = await ask(path, headers, method);
    t.equal(server.count.routed, before, `${method ?? "GET"} ${JSON.stringify(headers)} is not routed`);
    t.same(lasting(again), lasting(wholeWay), "and is the same");
    t.ok(again.headers["x-request-id"] !== wholeWay.headers["x-request-id"] && again.headers["date"] !== undefined);
  }
  t.equal((await ask(path, { "x-request-id": "my-own" })).headers["x-request-id"], "my-own");
  t.equal(server.count.renderings, 1);
  const metrics = (await server.app.inject("/metrics")).body;
  t.match(metrics, new RegExp(`duration_seconds_count\\{method="GET",route="/pages/:page",status="2xx"\\} ${1 + 3 * 6 + 1}\n`), "each is counted under its route");
});

test("a shortcut ends with what it leads to: a change, another page at the host, a level, a server that stops", async (t) => {
  const server = await publicServer(t);
  const { data, count } = server;
  const ask = await overTheWire(t, server);
  const names = async () => JSON.parse(String((await ask("/")).body)) as { page: string; names: string[] };
  for (let i = 0; i < 3; i++) t.same((await names()).names, ["API"]);
  const routed = count.routed;
  rename(data, "default", "api", "API 2");
  t.same((await names()).names, ["API 2"], "in the very next answer");
  t.equal(count.routed, routed + 1);
  await names();
  data.write(pageKey("other"), [set("custom_domains", ["status.example.org"])]);
  await new Promise((resolve) => setImmediate(resolve));
  t.equal((await names()).page, "other");
  t.equal((await names()).page, "other");
  t.equal((await ask("/", { "consistency-level": "GLOBAL_QUORUM" })).status, 400);
  t.equal((await ask("/", { "session-token": data.tokenOf({ "eu-west-1.1": 7 }), "session-wait": "0" })).status, 503);
  t.equal((await ask("/", {}, "DELETE")).status, 405);
  t.equal((await ask("/", { host: "elsewhere.example.org" })).body.includes('"page":"default"'), true, "another host has a shortcut of its own");
  data.level = 4;
  const before = count.routed;
  await t.resolves(until(async () => (await ask("/")).status === 200 && count.routed > before), "a region that is cut off looks again");
  const closing = server.app.close();
  const last = await ask("/").catch(() => undefined);
  t.ok(last === undefined || last.headers["connection"] === "close", "a server that stops keeps no connection");
  await closing;
});

test("a connection too many is refused, whatever lies ready for it", async (t) => {
  const server = await publicServer(t, { connectionsMax: 1 });
  const ask = await overTheWire(t, server);
  for (let i = 0; i < 3; i++) t.equal((await ask("/pages/default")).status, 200);
  const other = await overTheWire(t, server);
  const refused = await other("/pages/default");
  t.equal(refused.status, 503);
  t.equal(refused.headers["connection"], "close");
  t.equal((await ask("/pages/default")).status, 200);
});

test("an address may have what lies ready as often as it likes, and is refused what must be looked up more often than its limit", async (t) => {
  const server = await publicServer(t, { requestsPerAddress: 5 });
  const ask = await overTheWire(t, server);
  const path = "/pages/default";
  await ask(path);
  await ask(path);
  const routed = server.count.routed;
  for (let i = 0; i < 40; i++) t.equal((await ask(path)).status, 200);
  t.equal(server.count.routed, routed, "all from memory");
  const answers = await Promise.all(Array.from({ length: 40 }, (_, i) => server.app.inject({ url: `${path}?other=${i}` })));
  const refused = answers.filter(({ statusCode }) => statusCode === 429);
  t.ok(refused.length >= 20, "most of what had to be looked up was refused");
  t.match(refused[0]?.json(), { type: "/problems/too-many-requests" });
  t.equal(refused[0]?.headers["retry-after"], "1");
  t.equal((await ask(path)).status, 200, "what lies ready is still there");
  t.equal((await server.app.inject("/healthz")).statusCode, 200);
});

async function until(condition: () => Promise<boolean>): Promise<void> {
  const last = performance.now() + 30_000;
  while (!(await condition())) if (performance.now() > last) throw new Error("it did not come to pass");
}
