/** Real regions behind Debian's Varnish and nginx: a change is seen soon, and with every region gone the caches serve on. */
import { spawn, type ChildProcess } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { test, type Test } from "tap";
import { checkout } from "../../chaos/checkout.js";
import { freePort } from "../../chaos/free-ports.js";
import { environmentOf } from "../../chaos/replica-process.js";
import { settled, World } from "./world.js";

const VARNISH = "/usr/sbin/varnishd";
const NGINX = "/usr/sbin/nginx";
const PATH = "/pages/default/api/v2/summary.json";
const missing = (program: string): string | false => (existsSync(program) ? false : `there is no ${program}`);

/** A program that runs until the test is over. */
async function run(t: Pick<Test, "teardown">, program: string, args: readonly string[], folder: string): Promise<void> {
  const child: ChildProcess = spawn(program, [...args], { stdio: "ignore", env: environmentOf() });
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  t.teardown(async () => {
    child.kill("SIGTERM");
    const last = setTimeout(() => child.kill("SIGKILL"), 5_000);
    await ended;
    clearTimeout(last);
    await rm(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
  });
}

interface Seen {
  readonly status: number;
  readonly text: string;
  readonly names: readonly string[];
}

async function seenAt(base: string): Promise<Seen> {
  const answer = await fetch(`${base}${PATH}`, { signal: AbortSignal.timeout(5_000) });
  const text = await answer.text();
  const { components = [] } = answer.ok ? (JSON.parse(text) as { components?: { name: string }[] }) : {};
  return { status: answer.status, text, names: components.map(({ name }) => name) };
}

/** A configuration of `deploy`, with the regions where they listen. */
async function deployed(name: string, world: World, more: readonly (readonly [from: string, to: string])[] = []): Promise<string> {
  let text = await readFile(path.join(checkout, "deploy", name), "utf8");
  for (const [from, to] of [...world.all.map((node, at) => [`808${at + 1}`, new URL(node.http).port] as const), ...more]) {
    if (!text.includes(from)) throw new Error(`deploy/${name} does not name ${from}`);
    text = text.replaceAll(from, to);
  }
  return text;
}

const PAGE = "/pages/default";
/** How long Varnish keeps what no purge names. */
const KEPT_SECONDS = 10;

/** Each coding's answer, and that its own tag is known again. */
async function codingsAt(t: Test, cache: string): Promise<void> {
  const texts = new Set<string>();
  for (const coding of ["identity", "gzip", "br, gzip"]) {
    const headers = { "accept-language": "en", "accept-encoding": coding };
    const whole = await fetch(`${cache}${PAGE}`, { headers });
    texts.add(await whole.text());
    const tag = whole.headers.get("etag") ?? "";
    t.match(tag, /^(?:W\/)?"[\w-]{22}/, coding);
    t.equal((await fetch(`${cache}${PAGE}`, { headers: { ...headers, "if-none-match": tag } })).status, 304, `${coding}: not modified`);
    const head = await fetch(`${cache}${PAGE}`, { method: "HEAD", headers });
    t.equal(head.status, 200);
    t.equal(head.headers.get("etag"), tag, `${coding}: HEAD`);
  }
  t.equal(texts.size, 1, "all codings say the same");
}

/** A visitor who claims another host, and those who come after. */
async function notPoisoned(t: Test, world: World, cache: string): Promise<void> {
  t.equal((await world.us.post("/v1/pages", { id: "other", name: "Other page", custom_domains: ["other.example.com"] })).status, 201);
  const titleFor = async (headers: Record<string, string>) => /<title>(.*?)<\/title>/.exec(await (await fetch(`${cache}/`, { headers })).text())?.[1];
  await settled("the region knows the host", async () => (await (await fetch(`${world.us.http}/`, { headers: { "x-forwarded-host": "other.example.com" } })).text()).includes("<title>Other page"));
  const claimed = await titleFor({ "x-forwarded-host": "other.example.com" });
  t.ok(claimed !== undefined && claimed !== "Other page", `a visitor cannot name the host: ${claimed}`);
  t.equal(await titleFor({}), claimed);
}

async function pageAt(cache: string, language: string) {
  const answer = await fetch(`${cache}${PAGE}`, { headers: { "accept-language": language }, signal: AbortSignal.timeout(10_000) });
  return { status: answer.status, language: answer.headers.get("content-language"), age: Number(answer.headers.get("age")), html: await answer.text(), headers: answer.headers };
}

test("behind Varnish a change is seen within a second of its purge, and with every region gone it serves on", { skip: missing(VARNISH) }, async (t) => {
  const port = await freePort();
  // Only what Varnish asks for is to be rendered.
  const world = await World.prepare(t, { settings: { lastKnown: "off", trustProxy: true, publicCaching: { sharedMaxAgeSeconds: KEPT_SECONDS }, purge: { caches: [`http://127.0.0.1:${port}/`] } } });
  await world.startAll();
  await world.voting(30_000);
  const folder = await mkdtemp(path.join(tmpdir(), "statusmesh-varnish-"));
  const file = path.join(folder, "default.vcl");
  await writeFile(file, await deployed("varnish.vcl", world));
  await run(t, VARNISH, ["-j", "none", "-F", "-n", path.join(folder, "work"), "-a", `127.0.0.1:${port}`, "-f", file, "-s", "malloc,32m"], folder);
  const cache = `http://127.0.0.1:${port}`;
  await settled("Varnish serves", async () => (await seenAt(cache)).status === 200, 30_000);
  await world.us.post("/v1/pages/default/components", { name: "First" });
  await settled("the component is seen", async () => (await seenAt(cache)).names.includes("First"));
  const asked = (route: string) => world.us.metric(`statusmesh_http_request_duration_seconds_count{method="GET",route="${route}",status="2xx"}`);
  const before = await asked("/pages/:page/api/v2/summary.json");
  t.ok((before ?? 0) > 0);
  for (let i = 0; i < 20; i++) await seenAt(cache);
  t.ok(((await asked("/pages/:page/api/v2/summary.json")) ?? 0) <= (before ?? 0) + 1, "Varnish answers from what it holds");
  // In another region: the one that Varnish asks purges once it has the change.
  const second = await world.eu.post("/v1/pages/default/components", { name: "Second" });
  await settled("us-east has it", async () => (await seenAt(world.us.http)).names.includes("Second"));
  const changedAt = performance.now();
  await settled("Varnish shows it", async () => (await seenAt(cache)).names.includes("Second"));
  t.comment(`${Math.round(performance.now() - changedAt)} ms after it was readable in the region behind`);
  await settled("nothing waits to be purged", async () => (await Promise.all(world.all.map((node) => node.metric('statusmesh_purge_waiting_keys{cache="cache-1"}')))).every((waiting) => waiting === 0));
  const again = (headers: Record<string, string>) => fetch(`${cache}${PATH}`, { headers });
  const beforeCookies = await asked("/pages/:page/api/v2/summary.json");
  for (let i = 0; i < 5; i++) await (await again({ cookie: `visitor=${i}` })).text();
  t.ok(((await asked("/pages/:page/api/v2/summary.json")) ?? 0) <= (beforeCookies ?? 0) + 1, "cookies of other sites change nothing");
  const beforeTokens = await asked("/pages/:page/api/v2/summary.json");
  for (let i = 0; i < 5; i++) t.equal((await again({ "session-token": second.token })).status, 200);
  t.ok(((await asked("/pages/:page/api/v2/summary.json")) ?? 0) >= (beforeTokens ?? 0) + 5, "who has seen something is answered by a region");
  t.equal((await again({ "consistency-level": "GLOBAL_QUORUM" })).status, 400);
  await notPoisoned(t, world, cache);
  await codingsAt(t, cache);
  t.equal((await pageAt(cache, "de-CH, en;q=0.5")).language, "de");
  const askedForPage = await asked("/pages/:page");
  for (const list of ["de", "de-DE, de;q=0.9, en;q=0.5", "nl, de", "nl;q=0.9, de;q=0.1", "DE-at"]) t.equal((await pageAt(cache, list)).language, "de", list);
  t.ok(((await asked("/pages/:page")) ?? 0) <= (askedForPage ?? 0) + 1, "one copy a language");
  t.equal((await pageAt(cache, "nl")).language, "en", "who speaks none of them gets the page's own");
  const last = await seenAt(cache);
  await world.killAll();
  for (let i = 0; i < 5; i++) t.equal((await seenAt(cache)).text, last.text);
  const lone = await pageAt(cache, "ja");
  t.match(lone, { status: 200, language: "en" }, "a language that nobody asked for before: the page's own");
  t.match(lone.html, "Second");
  await settled("the copy is older than it was to be kept while a region answered, and says so", async () => (await pageAt(cache, "de")).age > KEPT_SECONDS, 30_000);
  t.equal((await seenAt(cache)).text, last.text);
  t.equal((await fetch(`${cache}/v1/pages/default/components`, { method: "POST" })).status, 503, "what the API is asked is refused");
  // Back where Varnish looks for it.
  await world.writeConfig("us-east", { http: new URL(world.us.http).host });
  await world.startAll();
  t.equal((await world.ap.post("/v1/pages/default/components", { name: "Third" })).status, 201);
  await settled("Varnish follows again", async () => (await seenAt(cache)).names.includes("Third"), 30_000);
});

const NGINX_CONF = (folder: string): string => `daemon off; master_process off; pid ${folder}/pid; error_log ${folder}/error.log;
events { worker_connections 64; }
http {
  access_log off; client_body_temp_path ${folder}/body; proxy_temp_path ${folder}/proxy; fastcgi_temp_path ${folder}/fastcgi; uwsgi_temp_path ${folder}/uwsgi; scgi_temp_path ${folder}/scgi;
  include ${folder}/site.conf;
}
`;

test("behind nginx a change is seen a second later, and with every region gone it serves on and says of when it is", { skip: missing(NGINX) }, async (t) => {
  const world = await World.prepare(t, { settings: { lastKnown: "off", trustProxy: true } });
  await world.startAll();
  await world.voting(30_000);
  const folder = await mkdtemp(path.join(tmpdir(), "statusmesh-nginx-"));
  const port = await freePort();
  const file = path.join(folder, "nginx.conf");
  await writeFile(path.join(folder, "site.conf"), await deployed("nginx.conf", world, [["listen 80;", `listen 127.0.0.1:${port};`], ["127.0.0.1:8079", `127.0.0.1:${await freePort()}`], ["/var/cache/nginx/statusmesh", `${folder}/cache`]]));
  await writeFile(file, NGINX_CONF(folder));
  await run(t, NGINX, ["-p", folder, "-c", file], folder);
  const cache = `http://127.0.0.1:${port}`;
  await settled("nginx serves", async () => (await seenAt(cache)).status === 200, 30_000);
  const made = await world.us.post("/v1/pages/default/components", { name: "First" });
  const madeAt = performance.now();
  await settled("the component is seen", async () => (await seenAt(cache)).names.includes("First"), 20_000);
  t.comment(`${Math.round(performance.now() - madeAt)} ms after it was answered`);
  const rendered = await world.us.metric("statusmesh_public_renderings");
  // In every part of a second.
  for (let round = 0; round < 6; round++) {
    await seenAt(cache);
    await new Promise((resolve) => setTimeout(resolve, 150));
    await seenAt(cache);
    await world.us.post("/v1/pages/default/components", { name: `Round ${round}` });
    const answeredAt = performance.now();
    while (performance.now() < answeredAt + 1_000) await new Promise((resolve) => setTimeout(resolve, 5));
    t.ok((await seenAt(cache)).names.includes(`Round ${round}`), `who asks a second after change ${round} was answered is shown it`);
  }
  const asked = () => world.us.metric('statusmesh_http_request_duration_seconds_count{method="GET",route="/pages/:page/api/v2/summary.json",status="2xx"}');
  const [askedBefore, fromMs] = [await asked(), performance.now()];
  for (let i = 0; i < 200; i++) await seenAt(cache);
  const seconds = Math.ceil((performance.now() - fromMs) / 1_000);
  t.ok(((await asked()) ?? 0) <= (askedBefore ?? 0) + seconds + 1, `a region is asked once a second at most, for 200 requests in ${seconds} s`);
  t.ok(((await world.us.metric("statusmesh_public_renderings")) ?? 0) > (rendered ?? 0));
  t.equal((await fetch(`${cache}${PATH}`, { headers: { "session-token": made.token } })).status, 200);
  t.equal((await fetch(`${cache}${PATH}`, { headers: { "consistency-level": "GLOBAL_QUORUM" } })).status, 400);
  await notPoisoned(t, world, cache);
  await codingsAt(t, cache);
  t.equal((await pageAt(cache, "de-CH, en;q=0.5")).language, "de");
  t.equal((await pageAt(cache, "nl")).language, "en", "who speaks none of them gets the page's own");
  const events = await fetch(`${cache}${PAGE}/events`, { signal: AbortSignal.timeout(10_000) });
  t.match(new TextDecoder().decode((await events.body?.getReader().read())?.value), /^retry: /, "streams pass at once");
  await world.killAll();
  const last = await seenAt(cache);
  const until = performance.now() + 3_000;
  while (performance.now() < until) {
    const seen = await seenAt(cache);
    if (seen.status !== 200 || seen.text !== last.text) throw new Error(`${seen.status} ${seen.text.slice(0, 200)}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  t.pass("it served what it held, long after its time was over");
  t.equal((await pageAt(cache, "nl, de")).language, "de", "one copy a language");
  t.match(await pageAt(cache, "ja"), { status: 200, language: "en" }, "a language that nobody asked for before: the page's own");
  const { headers } = await pageAt(cache, "en");
  t.ok(Date.parse(headers.get("date") ?? "") - Date.parse(headers.get("origin-date") ?? "") >= 2_000, "and says when a region said it");
});
