/** Purges, against local servers that take the documented request forms. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { test, type Test } from "tap";
import type { Change } from "../../src/core/change.js";
import { HttpSender } from "../../src/io/http-sender.js";
import { PurgeMarksFile } from "../../src/io/purge-marks-file.js";
import { cloudflare, cloudfront, fastly, ownCache } from "../../src/io/purge-targets.js";
import { systemClock, systemRandom, systemTimers } from "../../src/io/system-clock.js";
import { Feed } from "../../src/store/feed.js";
import type { LogItem } from "../../src/store/page-events.js";
import { noMetrics } from "../../src/store/metrics.js";
import { purgeCaches, type PurgeMarks, type PurgeTarget } from "../../src/store/purge.js";

interface Taken {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
  readonly atMs: number;
}

/** `answer`: the status for the request of this number. */
async function cacheApi(t: Pick<Test, "teardown">, answer: (count: number) => number = () => 200) {
  const taken: Taken[] = [];
  const server = createServer((request, response) => {
    let body = "";
    request.on("data", (bytes: Buffer) => (body += bytes.toString()));
    request.on("end", () => {
      taken.push({ method: request.method ?? "", path: request.url ?? "", headers: request.headers, body, atMs: performance.now() });
      const status = answer(taken.length);
      response.writeHead(status, status === 429 ? { "retry-after": "2" } : {}).end("{}");
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.teardown(() => void server.close());
  return { taken, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

/** A replica with a log, whose process may be killed and started again; it keeps no more than `entriesKept` entries. */
class Replica {
  private log: LogItem[] = [];
  private seq = 0;
  private running: { readonly feed: Feed; readonly end: () => Promise<void>; readonly sender: HttpSender } | undefined;
  readonly figures = new Map<string, number>();

  constructor(
    private readonly marks: PurgeMarks,
    private readonly entriesKept = 20_000,
  ) {}

  start(...targets: readonly PurgeTarget[]): this {
    const feed = new Feed((error) => {
      throw error;
    });
    feed.opened(this.vector);
    const sender = new HttpSender();
    const metrics = { ...noMetrics, counter: (name: string) => ({ add: (by: number, ...labels: readonly string[]) => void this.figures.set([name, ...labels].join(), (this.figures.get([name, ...labels].join()) ?? 0) + by) }) };
    const latest = async (most: number) => this.log.slice(-this.entriesKept).slice(-most);
    // What a killed process had under way does not go on.
    let isDead = false;
    const marks: PurgeMarks = { read: () => this.marks.read(), write: async (text) => (isDead ? undefined : this.marks.write(text)) };
    const end = purgeCaches({ feed, latest }, targets, { marks, sender, clock: systemClock, timers: systemTimers, random: systemRandom, metrics, warn: () => undefined });
    this.running = {
      feed, sender,
      end: async () => {
        isDead = true;
        await end();
      },
    };
    return this;
  }

  private get vector() {
    return this.seq === 0 ? {} : { "us-1.1": this.seq };
  }

  changed(...documents: readonly string[]): void {
    for (const document of documents) {
      const dot = { origin: "us-1.1", seq: ++this.seq };
      this.log.push({ ...dot, document, dot, change: { document } as Change });
      this.running?.feed.applied(this.seq, document, { document } as Change, dot);
      this.running?.feed.logged(this.seq, dot, document, dot);
    }
    this.running?.feed.flushed(this.seq, this.vector);
  }

  /** Brought by anti-entropy: it stands in no log. */
  repaired(document: string): void {
    this.running?.feed.applied(this.seq, document, { document } as Change, { origin: "eu-1.1", seq: 1 });
    this.running?.feed.flushed(this.seq, this.vector);
  }

  /** Nothing that waits is sent or written down any more. */
  async kill(): Promise<void> {
    await this.running?.end();
    await this.running?.sender.close();
    this.running = undefined;
  }
}

class InMemory implements PurgeMarks {
  text: string | undefined;

  async read(): Promise<string | undefined> {
    return this.text;
  }

  async write(text: string): Promise<void> {
    this.text = text;
  }
}

function follow(t: Pick<Test, "teardown">, ...targets: readonly PurgeTarget[]) {
  const replica = new Replica(new InMemory()).start(...targets);
  t.teardown(() => replica.kill());
  return (...documents: readonly string[]) => replica.changed(...documents);
}

async function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  const end = performance.now() + 20_000;
  while (!(await condition())) {
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

const keysOf = (taken: readonly Taken[]): string[] => [...new Set(taken.flatMap(({ headers }) => String(headers["surrogate-key"]).split(" ")))].sort();

test("what a cache was not told when a replica was killed it is told after the next start, and nothing that it was told before", async (t) => {
  const folder = await mkdtemp(path.join(tmpdir(), "statusmesh-purge-"));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const marks = new PurgeMarksFile(folder);
  const marked = (seq: number) => until(`the mark at ${seq}`, async () => (await marks.read())?.includes(`"us-1.1":${seq}}`) === true);
  let isAway = false;
  const { taken, url } = await cacheApi(t, () => (isAway ? 500 : 200));
  const replica = new Replica(marks).start(ownCache("own", url));
  t.teardown(() => replica.kill());
  replica.changed("default/component/told");
  await until("the purge", () => taken.length === 1);
  await marked(1);
  isAway = true;
  replica.changed("default/incident/lost");
  await until("a purge that fails", () => taken.length > 1);
  replica.changed("default/incident/waiting", "~/key/one");
  await replica.kill();
  isAway = false;
  const before = taken.length;
  replica.changed("default/maintenance/meanwhile");
  replica.start(ownCache("own", url));
  await until("the purge after the start", () => taken.length > before);
  t.same(keysOf(taken.slice(before)), ["default/incident", "default/incident/lost", "default/incident/waiting", "default/maintenance", "default/maintenance/meanwhile"]);
  await marked(5);
  await replica.kill();
  const done = taken.length;
  replica.start(ownCache("own", url));
  replica.changed("default/component/next");
  await until("the next purge", () => taken.length > done);
  t.same(keysOf(taken.slice(done)), ["default/component", "default/component/next"]);

  await replica.kill();
  await writeFile(path.join(folder, "PURGED"), (await readFile(path.join(folder, "PURGED"), "utf8")).slice(0, 20));
  const whole = taken.length;
  replica.start(ownCache("own", url));
  await until("everything is purged", () => taken.length > whole);
  t.same(keysOf(taken.slice(whole)), ["*"], "marks that cannot be read: everything");
});

test("everything is purged where it is not known any more what a cache was not told, and nothing in a cache that is new", async (t) => {
  const { taken, url } = await cacheApi(t);
  const marks = new InMemory();
  const replica = new Replica(marks, 3).start(ownCache("own", url));
  t.teardown(() => replica.kill());
  replica.changed("default/component/told");
  await until("the mark", () => marks.text?.includes(`"us-1.1":1`) === true);
  await replica.kill();
  replica.changed("default/incident/a", "default/incident/b", "default/incident/c", "default/incident/d");
  let before = taken.length;
  const other = await cacheApi(t);
  replica.start(ownCache("own", url), ownCache("other", other.url));
  await until("a purge", () => taken.length > before);
  t.same(keysOf(taken.slice(before)), ["*"], "the log does not reach back");
  await until("the mark", () => marks.text?.split(`"us-1.1":5`).length === 3);
  t.same(other.taken, []);

  await replica.kill();
  const away = await cacheApi(t, () => 500);
  replica.start(ownCache("away", away.url));
  await until("the mark", () => marks.text?.includes(away.url) === true);
  replica.repaired("default/incident/repaired");
  await until("a purge that fails", () => away.taken.length > 0);
  await until("the mark", () => marks.text?.includes(`"${away.url}":null`) === true);
  await replica.kill();
  before = away.taken.length;
  replica.start(ownCache("away", away.url));
  await until("a purge after the start", () => away.taken.length > before);
  t.same(keysOf(away.taken.slice(before)), ["*"], "no log tells of a repair");
});

test("a cache that asks for time is given it, and how its requests end is counted", async (t) => {
  const { taken, url } = await cacheApi(t, (count) => (count === 1 ? 429 : 200));
  const replica = new Replica(new InMemory()).start(ownCache("own", url));
  t.teardown(() => replica.kill());
  replica.changed("default/component/api");
  await until("both", () => taken.length === 2);
  t.ok((taken[1]?.atMs ?? 0) - (taken[0]?.atMs ?? 0) >= 1_950, "two seconds, as it said");
  await until("the counts", () => replica.figures.get("statusmesh_purge_requests,own,done") === 1);
  t.equal(replica.figures.get("statusmesh_purge_requests,own,failed"), 1);
});

test("everything at once has a form of its own at each cache", async (t) => {
  const { taken, url } = await cacheApi(t, () => 200);
  const aws = { accessKeyId: "AKIDEXAMPLE", secretAccessKey: "a-secret", nowMs: () => 1 };
  const targets = [fastly({ service: "one", token: "a-token", api: url, soft: true }), cloudflare({ zone: "zone", token: "a-token", api: url }), cloudfront({ distribution: "ABC", paths: ["/a&b/*"], api: url, ...aws })];
  const changed = follow(t, ...targets);
  changed(...Array.from({ length: 10_001 }, (_, n) => `default/incident/i${n}`));
  await until("all three", () => taken.length === 3);
  const of = (part: string) => taken.find((one) => one.path.includes(part));
  t.match(of("/service/"), { method: "POST", path: "/service/one/purge_all", headers: { "fastly-key": "a-token" } });
  t.same(JSON.parse(of("/zones/")?.body ?? ""), { purge_everything: true });
  t.match(of("/distribution/")?.body, "<Path>/a&amp;b/*</Path>");
});
