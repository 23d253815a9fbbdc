/** Purges, against local servers that take the documented request forms. */
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { test, type Test } from "tap";
import type { Change } from "../../src/core/change.js";
import { HttpSender } from "../../src/io/http-sender.js";
import { cloudflare, cloudfront, fastly, ownCache } from "../../src/io/purge-targets.js";
import { systemClock, systemRandom, systemTimers } from "../../src/io/system-clock.js";
import { Feed } from "../../src/store/feed.js";
import { noMetrics } from "../../src/store/metrics.js";
import { purgeCaches, type PurgeTarget } from "../../src/store/purge.js";

interface Taken {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
}

/** `answer`: the status for the request of this number. */
async function cacheApi(t: Pick<Test, "teardown">, answer: (count: number) => number = () => 200) {
  const taken: Taken[] = [];
  const server = createServer((request, response) => {
    let body = "";
    request.on("data", (bytes: Buffer) => (body += bytes.toString()));
    request.on("end", () => {
      taken.push({ method: request.method ?? "", path: request.url ?? "", headers: request.headers, body });
      response.writeHead(answer(taken.length)).end("{}");
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.teardown(() => void server.close());
  return { taken, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

function follow(t: Pick<Test, "teardown">, ...targets: readonly PurgeTarget[]) {
  const feed = new Feed((error) => {
    throw error;
  });
  const sender = new HttpSender();
  const end = purgeCaches(feed, targets, { sender, clock: systemClock, timers: systemTimers, random: systemRandom, metrics: noMetrics, warn: () => undefined });
  t.teardown(async () => {
    end();
    await sender.close();
  });
  let count = 0;
  return (...documents: readonly string[]) => {
    for (const document of documents) feed.applied(count, document, { document } as Change, { origin: "us-1.1", seq: ++count });
    feed.flushed(count, {});
  };
}

async function until(what: string, condition: () => boolean): Promise<void> {
  const end = performance.now() + 20_000;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`not in time: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

test("Fastly is told of surrogate keys, softly, with its token", async (t) => {
  const { taken, url } = await cacheApi(t);
  const changed = follow(t, fastly({ service: "SU1Z0isxPaozGVKXdv0eY", token: "a-token", api: url, soft: true }));
  changed("default/component/api", "~/key/one", "~/page/default");
  await until("a purge", () => taken.length === 1);
  const [purge] = taken;
  t.match(purge, { method: "POST", path: "/service/SU1Z0isxPaozGVKXdv0eY/purge", headers: { "fastly-key": "a-token", "fastly-soft-purge": "1" } });
  t.same(JSON.parse(purge?.body ?? "").surrogate_keys, ["default/component/api", "default/component", "page/default"]);
});

test("Cloudflare is told of tags, at most thirty at a time", async (t) => {
  const { taken, url } = await cacheApi(t);
  const changed = follow(t, cloudflare({ zone: "023e105f4ecef8ad9ca31a8372d0c353", token: "a-token", api: url }));
  changed(...Array.from({ length: 50 }, (_, n) => `default/incident/i${n}`));
  await until("both purges", () => taken.length === 2);
  t.match(taken[0], { method: "POST", path: "/client/v4/zones/023e105f4ecef8ad9ca31a8372d0c353/purge_cache", headers: { authorization: "Bearer a-token" } });
  const tags = taken.flatMap(({ body }) => (JSON.parse(body) as { tags: string[] }).tags);
  t.equal(tags.length, 51);
  t.ok(taken.every(({ body }) => (JSON.parse(body) as { tags: string[] }).tags.length <= 30));
});

test("CloudFront is told of paths, signed", async (t) => {
  const { taken, url } = await cacheApi(t, () => 201);
  const changed = follow(t, cloudfront({ distribution: "EDFDVBD632BHDS5", paths: ["/pages/*"], api: url, accessKeyId: "AKIDEXAMPLE", secretAccessKey: "a-secret", nowMs: () => 1 }));
  changed("default/component/api");
  await until("a purge", () => taken.length === 1);
  const [purge] = taken;
  t.match(purge, { method: "POST", path: "/2020-05-31/distribution/EDFDVBD632BHDS5/invalidation" });
  t.match(purge?.headers["authorization"], /^AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE\/\d{8}\/us-east-1\/cloudfront\/aws4_request, SignedHeaders=.*host.*, Signature=[0-9a-f]{64}$/);
  t.match(purge?.body, /<CallerReference>statusmesh-1-1<\/CallerReference><Paths><Items><Path>\/pages\/\*<\/Path><\/Items><Quantity>1<\/Quantity><\/Paths>/);
});

test("a purge that failed is tried again with what came meanwhile, and a storm becomes one request for everything", async (t) => {
  const { taken, url } = await cacheApi(t, (count) => (count === 1 ? 503 : 200));
  const changed = follow(t, ownCache("own", url));
  changed("default/component/api");
  await until("a purge", () => taken.length === 1);
  changed("default/component/web");
  await until("another", () => taken.length === 2);
  t.equal(taken[1]?.method, "PURGE");
  t.same(String(taken[1]?.headers["surrogate-key"]).split(" ").sort(), ["default/component", "default/component/api", "default/component/web"]);
  changed(...Array.from({ length: 10_001 }, (_, n) => `default/incident/i${n}`));
  await until("a third", () => taken.length === 3);
  t.equal(taken[2]?.headers["surrogate-key"], "*");
});
