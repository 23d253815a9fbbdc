/** A page as static files: what they are, what the HTML says in a folder, and when a replica writes and removes them. */
import path from "node:path";
import { HtmlValidate } from "html-validate";
import t from "tap";
import { systemTimers } from "../../src/io/system-clock.js";
import { LANGUAGES } from "../../src/features/status-page/language.js";
import { keepLastKnown, lastKnownLimits, type CopyFolders } from "../../src/features/status-page/last-known.js";
import { assetsOf, copiedHtml, COPIED_PATHS, INDEX, MANY_VIEWS_HTML_MAX, staticCopyOf, type Ask, type CopyFile } from "../../src/features/status-page/static-copy.js";
import type { ViewContext } from "../../src/features/status-page/view-context.js";
import { themeOf } from "../../src/features/status-page/theme.js";
import { noMetrics } from "../../src/store/metrics.js";
import { settled } from "../../chaos/waiting.js";
import { testClock } from "../api/fake-data-plane.js";
import { at, featureServer, type Client } from "../features/feature-server.js";
import { sampleContext, sampleHtml, sampleModel, samplePage } from "./sample-page.js";

const AT = Date.parse("2026-11-26T15:04:05.678Z");
const validator = new HtmlValidate({
  extends: ["html-validate:recommended"],
  rules: {
    "long-title": "off", "no-trailing-whitespace": "off", "void-style": "off", "no-inline-style": "error", "doctype-style": "off", "prefer-native-element": "off", "attribute-boolean-style": "off", "attribute-empty-style": "off",
    "aria-label-misuse": ["error", { allowAnyNamable: true }], "require-sri": "off", "text-content": "off", "no-raw-characters": "off",
  },
});

const view = (context: ViewContext) => sampleHtml({ context, model: { ...sampleModel, page: context.page } });

const askOf = ({ app }: Client): Ask => async (url) => {
  const answer = await app.inject({ url });
  return { status: answer.statusCode, body: answer.rawPayload };
};

t.test("a copy is valid HTML in every language, and says in it, without scripts, of when it is", async (t) => {
  for (const code of LANGUAGES) {
    const html = copiedHtml(await view(sampleContext(code)), "sample", AT);
    const report = await validator.validateString(html);
    t.same(report.results.flatMap(({ messages }) => messages.map(({ message }) => message)), [], code);
    t.match(html, /<div id="notice"><p class="notice" id="copied".*?<time datetime="2026-11-26T15:04:05\.678Z" data-local="">[^<]*2026[^<]*<\/time>/, code);
    t.notMatch(html, /\{time\}/, code);
    t.match(html, /<span class="checked" data-since="2026-11-26T15:04:05\.678Z" /, `${code}: the age that the script shows counts from the copy`);
  }
  const cutOff = copiedHtml(await view(sampleContext("en", { cutOffSince: "2026-11-25T21:30:00.000Z" })), "sample", AT);
  t.match(cutOff, /class="checked"[^>]* data-since="2026-11-25T21:30:00\.000Z"/, "a page that was cut off is as old as that");
  t.notMatch(cutOff, /<span class="checked"[^>]* data-since="2026-11-26/);
});

const hrefs = (html: string) => [...html.matchAll(/ (?:href|src)="([^"]*)"/g)].map(([, href = ""]) => href);

t.test("in a copy, what the folder holds is named from there, and the rest where the page lives", async (t) => {
  const original = await view(sampleContext());
  const seen = hrefs(copiedHtml(original, "sample", AT));
  t.same(seen.filter((href) => href.startsWith("/")), [], "nothing is looked for at the root of whoever shows the copy");
  for (const name of ["assets/page.css", "assets/page.js", "assets/icon.svg", "feed.atom", "feed.rss", "calendar.ics"]) t.ok(seen.includes(name), name);
  t.ok(seen.includes("./"), "the page itself");
  for (const below of ["/history", "/uptime", "/incidents/slow", "?lang=de"]) t.ok(seen.includes(`https://status.example.com${below}`), below);
  t.ok(seen.includes("https://example.com/plan"), "links of others stay");
  t.same(assetsOf(original), ["assets/icon.svg", "assets/page.css", "assets/page.js", "assets/preview-major.png"]);
  const { canonical, without } = { canonical: /rel="canonical"/, without: await view(sampleContext("en", { page: { ...samplePage, url: null } })) };
  t.notMatch(without, canonical);
  const kept = hrefs(copiedHtml(without, "sample", AT)).filter((href) => href.startsWith("/"));
  t.ok(kept.includes("/pages/sample/history") && kept.includes("/pages/sample?lang=de"), "without an address of its own, other pages are where they were");
  t.same(kept.filter((href) => href.startsWith("/assets/")), []);
});

t.test("a logo elsewhere, a page whose name begins alike and what a text says are left alone", async (t) => {
  const theme = { logo_url: "https://cdn.example.com/assets/logo-1.png" };
  const html = await view(sampleContext("en", { page: { ...samplePage, theme }, theme: themeOf(theme) }));
  t.notOk(assetsOf(html).some((name) => name.includes("logo")), "it is no file of the site");
  t.match(copiedHtml(html, "sample", AT), /src="https:\/\/cdn\.example\.com\/assets\/logo-1\.png"/);
  t.match(copiedHtml('<a href="/pages/sample-2/history">x</a>', "sample", AT), /href="\/pages\/sample-2\/history"/);
  t.match(copiedHtml('<p>write href="/assets/page.css" there</p>', "sample", AT), /write href="\/assets\/page\.css" there/);
});

t.test("a copy holds every route of the public API v2, feeds, calendar, badge and widget as they are served, and each file that its page names", async (t) => {
  const server = await featureServer(t);
  const shown: string[] = [];
  await server.done("PATCH", "", { url: "https://status.example.com" });
  await server.done("POST", "/components", { name: "API", status: "major_outage" });
  const copy = await staticCopyOf(askOf(server), "default", AT);
  if ("status" in copy) throw new Error(`${copy.path}: ${copy.status}`);
  const names = copy.map(({ name }) => name);
  const { paths } = (await server.app.inject("/openapi.json")).json() as { paths: Record<string, unknown> };
  for (const path of Object.keys(paths)) if (/^\/pages\/\{page\}\/(?:api|feed|calendar|badge|embed)/.test(path)) shown.push(path.slice("/pages/{page}/".length));
  t.same(names.filter((name) => !name.startsWith("assets/") && !name.endsWith(INDEX)).sort(), shown.sort());
  t.equal(names.at(-1), INDEX, "the page comes last");
  const html = Buffer.from(copy.at(-1)?.body ?? []).toString();
  for (const href of hrefs(html).filter((name) => !/^(?:https?:|mailto:|#)/.test(name))) t.ok(names.includes(href.endsWith("/") ? path.posix.join(href, INDEX) : href), href);
  t.ok(names.some((name) => name.startsWith("assets/preview-critical")), "the picture for links too");
  for (const name of COPIED_PATHS) t.ok(Buffer.from((await server.app.inject(`/pages/default/${name}`)).rawPayload).equals(copy.find((file) => file.name === name)?.body ?? Buffer.of()), name);
});

t.test("a copy holds the page in every language, its history, its calendar and what it shows of incidents and maintenances; all of it leads to what is in it", async (t) => {
  const server = await featureServer(t);
  await server.done("PATCH", "", { theme: { language: "de" } });
  const open = String(at(await server.done("POST", "/incidents", { name: "Still open", body: "Looking" }), "id"));
  const over = String(at(await server.done("POST", "/incidents", { name: "Over", body: "Was so" }), "id"));
  await server.done("PATCH", `/incidents/${over}`, { status: "resolved" });
  const planned = String(at(await server.done("POST", "/maintenances", { name: "Planned", scheduled_for: "2040-01-01T10:00:00Z", scheduled_until: "2040-01-01T11:00:00Z" }), "id"));
  const copy = await staticCopyOf(askOf(server), "default", AT);
  if ("status" in copy) throw new Error(`${copy.path}: ${copy.status}`);
  const names = copy.map(({ name }) => name);
  const views = names.filter((name) => name.endsWith(INDEX));
  t.same([...views].sort(), [INDEX, ...["ar", "en", "es", "fr", "ja", "pt", "history", "uptime", `incidents/${open}`, `incidents/${over}`, `maintenances/${planned}`].map((folder) => `${folder}/${INDEX}`)].sort());
  const htmlOf = (name: string) => Buffer.from(copy.find((file) => file.name === name)?.body ?? []).toString();
  t.match(htmlOf(INDEX), /<html lang="de"/, "the page is in its own language");
  t.match(htmlOf(`ar/${INDEX}`), /<html lang="ar" dir="rtl"/);
  t.match(htmlOf(`incidents/${open}/${INDEX}`), "Still open");
  for (const name of views) {
    const html = htmlOf(name);
    t.match(html, /id="copied"/, `${name} says of when it is`);
    const outside: string[] = [];
    for (const href of hrefs(html).filter((one) => !/^(?:https?:|mailto:|#)/.test(one))) {
      if (href.startsWith("/")) outside.push(href);
      else t.ok(names.includes(path.posix.join(path.posix.dirname(name), href, ...(href.endsWith("/") ? [INDEX] : []))), `${name}: ${href}`);
    }
    const isOfPage = /^(?:[a-z]{2}\/)?index\.html$/.test(name);
    t.same(outside.filter((href) => isOfPage || !href.includes("?lang=")), [], `${name}: everything that it leads to is there, but for other languages of what is not the page`);
  }
});

t.test("a copy of a page that takes long to render holds it once, with its history and what it shows of incidents", async (t) => {
  const whole = askOf(await featureServer(t));
  const has = (files: readonly CopyFile[], name: string): boolean => files.some((file) => file.name === name);
  const padded = (length: number): Ask => async (url) => {
    const answer = await whole(url);
    return url === "/pages/default" ? { ...answer, body: Buffer.concat([answer.body, Buffer.alloc(Math.max(0, length - answer.body.length), " ")]) } : answer;
  };
  const copied = async (length: number): Promise<readonly CopyFile[]> => {
    const files = await staticCopyOf(padded(length), "default", AT);
    if ("path" in files) throw new Error(files.path);
    return files;
  };
  const [short, long] = [await copied(MANY_VIEWS_HTML_MAX), await copied(MANY_VIEWS_HTML_MAX + 4_096)];
  for (const name of [INDEX, "history/index.html", "feed.atom", "api/v2/summary.json"]) t.ok(has(short, name) && has(long, name), name);
  for (const name of ["de/index.html", "ar/index.html", "uptime/index.html"]) t.same([has(short, name), has(long, name)], [true, false], name);
  const html = Buffer.from(long.find(({ name }) => name === INDEX)?.body ?? new Uint8Array()).toString();
  t.ok(hrefs(html).includes("/pages/default?lang=de"), "what is not in it is where it was");
});

t.test("what the folders of a copy are called leads to the live page once it answers again", async (t) => {
  const { app, done } = await featureServer(t);
  await done("PATCH", "", { custom_domains: ["status.example.com"] });
  for (const [url, to] of [["/pages/default/history/", "/pages/default/history"], ["/pages/default/incidents/abc/", "/pages/default/incidents/abc"], ["/pages/default/de/", "/pages/default?lang=de"]]) t.equal((await app.inject(url ?? "")).headers["location"], to);
  const byHost = (url: string) => app.inject({ url, headers: { host: "status.example.com" } });
  for (const [url, to] of [["/uptime/", "/uptime"], ["/de/", "/?lang=de"]]) t.equal((await byHost(url ?? "")).headers["location"], to);
  t.equal((await byHost("/xx/")).statusCode, 404);
});

t.test("no copy is made of a page that is not there, of what is no status page, and where one file is missing", async (t) => {
  const server = await featureServer(t);
  const ask = askOf(server);
  t.same(await staticCopyOf(ask, "nobody", AT), { path: "/pages/nobody", status: 404 });
  t.same(await staticCopyOf(async () => ({ status: 200, body: Buffer.from("<p>It works!</p>") }), "default", AT), { path: "/pages/default", status: 200 });
  t.same(await staticCopyOf(async (path) => (path.endsWith("feed.rss") ? { status: 503, body: Buffer.of() } : ask(path)), "default", AT), { path: "/pages/default/feed.rss", status: 503 });
});

class MemoryFolders implements CopyFolders {
  readonly copies = new Map<string, { readonly files: readonly CopyFile[]; readonly atMs: number }>();
  writes = 0;
  fault: Error | undefined;
  pages = async () => [...this.copies.keys()];
  writtenAtMs = async (page: string) => this.copies.get(page)?.atMs;
  write = async (page: string, files: readonly CopyFile[]) => {
    this.writes++;
    if (this.fault !== undefined) throw this.fault;
    this.copies.set(page, { files, atMs: Date.now() });
  };
  remove = async (page: string) => void this.copies.delete(page);
  shows = (page: string) => Buffer.from(this.copies.get(page)?.files.at(-1)?.body ?? []).toString();
}

t.test("a replica writes what changed, not what is up to date, removes what was deleted, keeps what it does not know, and goes on after a failure", async (t) => {
  const server = await featureServer(t);
  const folders = new MemoryFolders();
  const old = { files: [], atMs: Date.now() + 60_000 };
  folders.copies.set("lost", old).set("other", old).set("not-kept", old);
  const warnings: unknown[] = [];
  const ask = askOf(server);
  const close = keepLastKnown({
    data: server.data, clock: testClock, timers: systemTimers, metrics: noMetrics, folders, keeps: (page) => page !== "not-kept", warn: (event) => warnings.push(event),
    ask: async (path) => ({ ...(await ask(path)), lastModified: String((await server.app.inject(path)).headers["last-modified"]) }),
  });
  t.teardown(close);
  await settled("a page without a copy has one", () => folders.shows("default") !== "");
  folders.fault = new Error("ENOSPC");
  await server.done("POST", "/components", { name: "First" });
  await settled("writing fails", () => warnings.length > 0);
  await server.done("POST", "/components", { name: "Second" });
  folders.fault = undefined;
  await settled("it is tried again", () => folders.shows("default").includes("Second"));
  t.equal(warnings.length, 1);
  t.equal(folders.copies.get("other"), old, "newer than its page");
  t.equal(folders.copies.get("lost"), old, "a page that this replica has never heard of may have been lost here");
  const before = folders.writes;
  const fromMs = performance.now();
  for (let n = 0; n < 20; n++) await server.done("POST", "/components", { name: `Many ${n}` });
  await settled("all of them are shown", () => folders.shows("default").includes("Many 19"));
  const seconds = (performance.now() - fromMs) / 1_000;
  t.ok(folders.writes - before <= 1 + seconds, `${folders.writes - before} copies for 20 changes in ${seconds} s`);
  t.notOk(folders.copies.has("not-kept"), "an edge removes what it does not keep any more");
  t.equal((await server.call("DELETE", "/v1/pages/other")).status, 204);
  await settled("a deleted page has no copy", () => !folders.copies.has("other"));
});

t.test("a page that takes long rests for a while, and holds up no other", async (t) => {
  const server = await featureServer(t);
  const folders = new MemoryFolders();
  const ask = askOf(server);
  let tookMs = 0;
  const close = keepLastKnown({
    data: server.data, clock: { now: testClock.now, monotonic: () => performance.now() + tookMs }, timers: systemTimers, metrics: noMetrics, folders, keeps: () => true, warn: () => undefined,
    ask: async (path) => {
      if (path === "/pages/default") {
        tookMs += lastKnownLimits.ownRestMaxMs;
        const answer = await ask(path);
        await server.done("POST", "/components", { name: "Too soon, while it is copied" });
        return { ...answer, lastModified: undefined };
      }
      return { ...(await ask(path)), lastModified: undefined };
    },
  });
  t.teardown(close);
  await settled("a page without a copy has one", () => folders.shows("default") !== "");
  tookMs += lastKnownLimits.restMaxMs;
  await server.done("POST", "/components", { name: "Too soon" });
  t.equal((await server.call("POST", "/v1/pages", { id: "quick", name: "Quick" })).status, 201);
  await settled("another page is written", () => folders.shows("quick") !== "");
  t.notMatch(folders.shows("default"), /Too soon/);
  tookMs += lastKnownLimits.ownRestMaxMs;
  // The clock was put forward, which its timer has not noticed.
  t.equal((await server.call("POST", "/v1/pages", { id: "third", name: "Third" })).status, 201);
  await settled("it is copied again", () => folders.shows("default").includes("Too soon"));
});

t.test("between two answers of a copy everything else has its turn", async (t) => {
  const server = await featureServer(t);
  const folders = new MemoryFolders();
  const answered = await askOf(server)("/pages/default");
  let hadTurn = true;
  const turns: boolean[] = [];
  const close = keepLastKnown({
    data: server.data, clock: testClock, timers: systemTimers, metrics: noMetrics, folders, keeps: () => true, warn: () => undefined,
    // At once, as what is rendered in one turn.
    ask: async (path) => {
      turns.push(hadTurn);
      hadTurn = false;
      setImmediate(() => (hadTurn = true));
      return { ...(path === "/pages/default" ? answered : { status: 200, body: answered.body }), lastModified: undefined };
    },
  });
  t.teardown(close);
  await settled("a page without a copy has one", () => folders.shows("default") !== "");
  t.ok(turns.length > 20);
  t.notOk(turns.includes(false));
});

t.test("while changes come in by the hundreds copies wait, and one is made when it is over, or after a minute", async (t) => {
  const server = await featureServer(t);
  const folders = new MemoryFolders();
  type Follower = Parameters<typeof server.data.feed.follow>[0];
  let follower: Follower | undefined;
  const feed = {
    follow(given: Follower) {
      follower = given;
      return server.data.feed.follow(given);
    },
  };
  // The clock goes on with each batch, so that a slow machine makes no pause between them.
  let [askedFor, nowMs] = [0, 1_000_000];
  const close = keepLastKnown({
    data: Object.create(server.data, { feed: { value: feed } }) as typeof server.data, clock: { now: testClock.now, monotonic: () => nowMs }, timers: systemTimers, metrics: noMetrics, folders, keeps: () => true,
    warn: () => undefined,
    ask: async (path) => {
      if (path === "/pages/default") askedFor++;
      return { ...(await askOf(server)(path)), lastModified: undefined };
    },
  });
  t.teardown(close);
  await settled("a page without a copy has one", () => folders.shows("default") !== "");
  nowMs += lastKnownLimits.restMaxMs;
  const flood = (): void => {
    nowMs += 0.7 * lastKnownLimits.gatherMs;
    const changes = Array.from({ length: lastKnownLimits.floodChanges }, () => ({ document: "default/component/api" }));
    follower?.changed({ changes } as unknown as Parameters<Follower["changed"]>[0]);
  };
  const before = askedFor;
  flood();
  const flooding = setInterval(flood, 100);
  t.teardown(() => clearInterval(flooding));
  const untilMs = performance.now() + 3 * lastKnownLimits.gatherMs;
  await settled("it lasts three times as long as changes are gathered", () => performance.now() > untilMs);
  t.equal(askedFor, before, "nothing is rendered meanwhile");
  const first = folders.copies.get("default");
  await settled("after a minute a copy is made all the same", () => askedFor > before && folders.copies.get("default") !== first);
  clearInterval(flooding);
  const during = askedFor;
  nowMs += lastKnownLimits.restMaxMs + lastKnownLimits.floodWaitsMaxMs;
  flood();
  nowMs += 2 * lastKnownLimits.gatherMs;
  // The clock was put forward, which timers have not noticed: a change of another page has them look at it.
  follower?.changed({ changes: [{ document: "other/component/api" }] } as unknown as Parameters<Follower["changed"]>[0]);
  await settled("and one when it is over", () => askedFor > during);
});

t.test("while a peer that is back is sent what it missed copies wait, also one that is half made, and they go on when it has it or is gone", async (t) => {
  const server = await featureServer(t);
  const folders = new MemoryFolders();
  const backlog: { state: "up" | "down"; unacknowledged_changes: number } = { state: "up", unacknowledged_changes: lastKnownLimits.floodChanges };
  const cluster = () => {
    const status = server.data.cluster();
    return { ...status, peers: status.peers.map((peer) => ({ ...peer, ...backlog })) };
  };
  const asked: string[] = [];
  let startsAgainAt = Number.POSITIVE_INFINITY;
  const close = keepLastKnown({
    data: Object.create(server.data, { cluster: { value: cluster } }) as typeof server.data, clock: testClock, timers: systemTimers, metrics: noMetrics, folders, keeps: () => true, warn: () => undefined,
    ask: async (path) => {
      asked.push(path);
      if (asked.length === startsAgainAt) Object.assign(backlog, { state: "up", unacknowledged_changes: lastKnownLimits.floodChanges });
      return { ...(await askOf(server)(path)), lastModified: undefined };
    },
  });
  t.teardown(close);
  const someTime = async (): Promise<void> => {
    const untilMs = performance.now() + 2.5 * lastKnownLimits.gatherMs;
    await settled("some time passes", () => performance.now() > untilMs);
  };
  await someTime();
  t.same(asked, [], "a copy is due, and waits");
  startsAgainAt = 5;
  backlog.unacknowledged_changes = lastKnownLimits.floodChanges - 1;
  await settled("it is begun once the peer has nearly everything", () => asked.length >= startsAgainAt);
  await someTime();
  t.equal(asked.length, startsAgainAt, "the peer is behind again");
  t.equal(folders.shows("default"), "");
  backlog.state = "down";
  await settled("nobody waits for a peer that is gone", () => folders.shows("default") !== "");
});
