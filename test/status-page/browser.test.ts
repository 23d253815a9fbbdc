/** The page in a real Chromium, over real replicas: what a visitor sees, with and without scripts, and what axe finds. Skipped where Debian's `chromium` is not installed. */
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { chromium, type Browser, type BrowserContextOptions, type Page } from "playwright-core";
import t, { type Test } from "tap";
import { INDEX, staticCopyOf } from "../../src/features/status-page/static-copy.js";
import { until, World } from "../contract/contract-world.js";
import { sampleContext, sampleHtml, sampleModel } from "./sample-page.js";

const CHROMIUM = "/usr/bin/chromium";
const skip = existsSync(CHROMIUM) ? false : "Chromium is not installed (Debian: apt-get install chromium)";
const AXE = readFileSync(fileURLToPath(import.meta.resolve("axe-core/axe.min.js")), "utf8");
const DEADLINE_MS = 60_000;
const ATTACK = `<img src=x onerror="document.title='hit'"><script>document.title='hit'</script> [a](javascript:document.title='hit') **bold**`;

t.setTimeout(300_000);

interface AxeResults {
  readonly violations: readonly { readonly id: string; readonly nodes: readonly { readonly html: string; readonly failureSummary?: string }[] }[];
}

interface Site {
  readonly world: World;
  readonly browser: Browser;
  readonly east: string;
  readonly west: string;
  readonly ids: { readonly api: string; readonly europe: string; readonly incident: string };
}

let site: Site | undefined;

async function start(): Promise<Site> {
  const world = await World.start({ running: ["us-east", "eu-west"] });
  const east = world.client("us-east");
  const made = async (path: string, body: unknown) => String((await east.post(`/v1/pages/default${path}`, body)).body.id);
  await until("the replica takes writes", async () => (await east.patch("/v1/pages/default", { name: "Sample Cloud", description: "How the sample cloud is doing.", theme: { brand_color: "#ffcc00" }, support_url: "https://example.com/support" })).status === 200, DEADLINE_MS);
  const group = await made("/component-groups", { name: "Regions" });
  const [api, europe] = [await made("/components", { name: "API" }), await made("/components", { name: "Europe", group_id: group })];
  await made("/components", { name: "Website" });
  const over = await made("/incidents", { name: "Over", components: { [api]: "major_outage" }, body: "Broken" });
  await east.patch(`/v1/pages/default/incidents/${over}`, { status: "resolved", body: "Mended" });
  const incident = await made("/incidents", { name: "Slow <b>answers</b>", body: ATTACK, components: { [europe]: "degraded_performance" } });
  await made("/maintenances", { name: "Upgrade", scheduled_for: "2040-01-01T10:00:00Z", scheduled_until: "2040-01-01T11:00:00Z", body: "Soon", components: { [api]: "under_maintenance" } });
  const west = world.client("eu-west");
  await until("the other region holds it", async () => (await west.get("/pages/default/api/v2/summary.json")).body?.scheduled_maintenances?.length === 1, DEADLINE_MS);
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox", "--disable-dev-shm-usage"] });
  return { world, browser, east: east.base, west: west.base, ids: { api, europe, incident } };
}

t.before(async () => {
  if (skip === false) site = await start();
});

t.teardown(async () => {
  await site?.browser.close();
  await site?.world.stop();
});

function running(): Site {
  if (site === undefined) throw new Error("the site does not run");
  return site;
}

async function open(path: string, options: BrowserContextOptions = {}): Promise<{ page: Page; complaints: string[]; close: () => Promise<void> }> {
  const { browser, east } = running();
  const context = await browser.newContext(options);
  const page = await context.newPage();
  page.setDefaultTimeout(DEADLINE_MS);
  const complaints: string[] = [];
  page.on("console", (message) => {
    if (message.type() === "error" && !/favicon|status of 404/.test(message.text())) complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(String(error)));
  await page.goto(path.startsWith("http") ? path : `${east}${path}`, { timeout: DEADLINE_MS });
  return { page, complaints, close: () => context.close() };
}

const PHONE: BrowserContextOptions = { viewport: { width: 375, height: 700 }, hasTouch: true, isMobile: true };

t.test("axe finds nothing: light, dark, on a phone, from right to left, on every page", { skip }, async (t) => {
  const { ids } = running();
  const views: readonly [name: string, path: string, options: BrowserContextOptions][] = [
    ["light", "/pages/default", {}], ["dark", "/pages/default", { colorScheme: "dark" }], ["phone", "/pages/default", PHONE], ["right to left", "/pages/default", { locale: "ar" }],
    ["dark phone, right to left", "/pages/default", { ...PHONE, colorScheme: "dark", locale: "ar" }], ["incident", `/pages/default/incidents/${ids.incident}`, {}], ["incident, dark", `/pages/default/incidents/${ids.incident}`, { colorScheme: "dark" }],
    ["history", "/pages/default/history", {}], ["uptime", "/pages/default/uptime", {}], ["uptime, dark phone", "/pages/default/uptime", { ...PHONE, colorScheme: "dark" }], ["not found", "/pages/nowhere", {}],
  ];
  for (const [name, path, options] of views) {
    const { page, complaints, close } = await open(path, { ...options, bypassCSP: true });
    await page.evaluate(AXE);
    const results = await page.evaluate(async () => (await (globalThis as unknown as { axe: { run(): Promise<AxeResults> } }).axe.run()));
    t.same(results.violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`).join(" | ")}`), [], name);
    t.ok(await page.evaluate(() => document.documentElement.scrollWidth <= document.documentElement.clientWidth), `${name}: nothing is wider than the window`);
    t.same(complaints, [], `${name}: the browser complains of nothing`);
    await close();
  }
});

t.test("axe finds nothing in latencies: light, dark, on a phone, from right to left", { skip }, async (t) => {
  const style = readFileSync(new URL("../../web/page/page.css", import.meta.url), "utf8");
  const model = { ...sampleModel, components: sampleModel.components.map((one) => ({ ...one, showLatency: true })) };
  for (const [code, options] of [["en", {}], ["en", { colorScheme: "dark" }], ["de", PHONE], ["ar", { ...PHONE, colorScheme: "dark" }]] as const) {
    const html = await sampleHtml({ context: sampleContext(code), model });
    const context = await running().browser.newContext(options);
    const page = await context.newPage();
    await page.setContent(html.replace("</head>", `<style>${style}</style></head>`));
    t.ok((await page.locator(".latency svg[role=img]").count()) > 3, "they are there");
    await page.evaluate(AXE);
    const results = await page.evaluate(async () => (await (globalThis as unknown as { axe: { run(): Promise<AxeResults> } }).axe.run()));
    t.same(results.violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html: node }) => node).join(" | ")}`), []);
    t.ok(await page.evaluate(() => document.documentElement.scrollWidth <= document.documentElement.clientWidth), "nothing is wider than the window");
    await context.close();
  }
});

t.test("what was sent as Markdown runs no script, anywhere", { skip }, async (t) => {
  const { ids, west } = running();
  for (const path of ["/pages/default", `/pages/default/incidents/${ids.incident}`, "/pages/default/history", `${west}/`]) {
    const { page, complaints, close } = await open(path);
    await page.locator("strong", { hasText: "bold" }).first().waitFor();
    t.not(await page.title(), "hit", path);
    t.equal(await page.locator("main img, main script, main a[href^=javascript]").count(), 0);
    t.same(complaints, [], "the content security policy had nothing to do");
    await close();
  }
});

t.test("the page is complete without scripts", { skip }, async (t) => {
  const { page, close } = await open("/pages/default", { javaScriptEnabled: false, locale: "de" });
  t.equal(await page.locator("html").getAttribute("lang"), "de");
  t.equal(await page.locator("h1").textContent(), "Einige Systeme sind beeinträchtigt");
  for (const text of ["API", "Europe", "Website", "Slow <b>answers</b>", "Upgrade", "Over", "Mended"]) t.ok(await page.getByText(text).first().isVisible(), text);
  t.equal(await page.locator(".bars").count(), 3);
  t.equal(await page.locator(".bars").first().locator("i").count(), 90);
  t.match(await page.locator(".bars").first().getAttribute("aria-label"), /verfügbar in 90 Tagen|Keine Daten/);
  t.match(await page.locator(".fresh").textContent(), /us-east/, "it says who serves");
  t.match(await page.locator(".fresh time").first().textContent(), /UTC/, "and times in the page's zone");
  await close();
});

t.test("times are shown in the visitor's zone", { skip }, async (t) => {
  const { page, close } = await open("/pages/default", { timezoneId: "Asia/Tokyo", locale: "en-GB" });
  const time = page.locator("#upcoming .window time").first();
  t.match(await time.textContent(), /1 Jan 2040.*19:00|Jan 1, 2040.*7:00\sPM/, "ten o'clock UTC is seven in the evening there");
  t.match(await page.locator("footer").textContent(), /your time zone/);
  await close();
});

t.test("an incident posted in another region is seen without a reload, and what was unfolded and focused stays so", { skip }, async (t) => {
  const { world, ids } = running();
  const { page, complaints, close } = await open("/pages/default");
  await page.evaluate(() => {
    (globalThis as unknown as { kept: boolean }).kept = true;
  });
  await page.locator("details summary").focus();
  await page.locator("details summary").press("Enter");
  t.equal(await page.locator("details").getAttribute("open"), null, "the visitor folded the group");
  const answer = await world.client("eu-west").post("/v1/pages/default/incidents", { name: "Lost packets", body: "We look into it", components: { [ids.api]: "major_outage" } });
  t.equal(answer.status, 201);
  await page.getByRole("heading", { name: "Lost packets" }).waitFor();
  await page.locator("h1", { hasText: "Major outage" }).waitFor();
  t.match(await page.locator(`#component-${ids.api} .status`).textContent(), /Major outage/);
  t.equal(await page.evaluate(() => (globalThis as unknown as { kept?: boolean }).kept), true, "it is the same document");
  t.equal(await page.locator("details").getAttribute("open"), null, "the group is still folded");
  t.equal(await page.evaluate(() => document.activeElement?.localName), "summary", "the focus is where it was");
  t.match(await page.locator("link#icon").getAttribute("href"), /icon-critical/);
  t.match(await page.locator(".checked").textContent(), /Up to date \d+ seconds? ago/);
  await world.client("eu-west").patch(`/v1/pages/default/incidents/${answer.body.id}`, { status: "resolved", body: "Found them" });
  await page.locator("#incidents", { hasText: "Lost packets" }).waitFor({ state: "detached" });
  await page.locator("#past", { hasText: "Found them" }).waitFor();
  t.same(complaints, []);
  await close();
});

t.test("a static copy on a plain file server looks like the page, says with every answer of when it is, and becomes the page when that is back", { skip }, async (t) => {
  const { browser, east } = running();
  const fetched = async (path: string) => {
    const answer = await fetch(`${east}${path}`);
    return { status: answer.status, body: new Uint8Array(await answer.arrayBuffer()) };
  };
  const copy = await staticCopyOf(fetched, "default", Date.now() - 3 * 3_600_000);
  if ("status" in copy) throw new Error(`${copy.path}: ${copy.status}`);
  const context = await browser.newContext({ locale: "en-GB" });
  const page = await context.newPage();
  const errors: string[] = [];
  page.on("pageerror", (error) => errors.push(String(error)));
  let isBack = false;
  let asked = 0;
  await page.route("http://copy.example/**", async (route) => {
    const { pathname } = new URL(route.request().url());
    const name = pathname === "/" ? INDEX : pathname.slice(1);
    if (name === INDEX) asked++;
    const body = isBack && name === INDEX ? (await fetched("/pages/default")).body : copy.find((file) => file.name === name)?.body;
    if (body === undefined) await route.fulfill({ status: 404 });
    else await route.fulfill({ status: 200, body: Buffer.from(body), contentType: { html: "text/html", css: "text/css", js: "text/javascript", svg: "image/svg+xml" }[name.split(".").at(-1) ?? ""] ?? "application/octet-stream" });
  });
  await page.clock.install();
  await page.goto("http://copy.example/", { timeout: DEADLINE_MS });
  await page.locator("#copied", { hasText: "This is a saved copy from" }).waitFor();
  await page.locator(".checked", { hasText: "Up to date 3 hours ago" }).waitFor();
  t.equal(await page.locator(".checked.open").count(), 0);
  t.ok(await page.evaluate(() => [...document.styleSheets].some(({ cssRules, href }) => href !== null && cssRules.length > 20)), "it has its style");
  await page.clock.runFor(50_000);
  await until("the page was asked for again", async () => asked > 1, DEADLINE_MS);
  await page.locator(".checked", { hasText: "Up to date 3 hours ago" }).waitFor();
  t.ok(await page.locator("#copied").isVisible(), "an answer from the folder makes it no younger");
  isBack = true;
  await page.clock.runFor(50_000);
  await page.locator("#copied").waitFor({ state: "detached" });
  await page.locator(".checked", { hasText: /Up to date \d+ seconds? ago/ }).waitFor();
  t.same(errors, []);
  await context.close();
});

t.test("a page that a cache gives while no region answers says at once how old it is, and warns when that is over a minute", { skip }, async (t) => {
  const { browser, east } = running();
  const date = (agoMs: number) => new Date(Date.now() - agoMs).toUTCString();
  const cases: readonly [name: string, language: string, headers: Record<string, string>, says: RegExp, warns: RegExp | undefined][] = [
    ["a cache that says an age", "en", { age: "45" }, /Up to date 4\d seconds ago/, undefined],
    ["a cache that says a high age", "en", { age: "300" }, /Up to date 5 minutes ago/, /No connection for 5 minutes/],
    ["nginx, which says when a region answered", "en", { date: date(0), "origin-date": date(600_000) }, /Up to date 10 minutes ago/, /No connection for 10 minutes/],
    ["days, in a language that bends them", "de", { age: "200000" }, /Stand vor 2 Tagen/, /Seit 55 Stunden keine Verbindung/],
    ["two, in a language that has a number of its own for them", "ar", { age: "130" }, /محدَّثة قبل دقيقتين/, /وكان آخر اتصال قبل دقيقتين/],
  ];
  for (const [name, language, headers, says, warns] of cases) {
    const context = await browser.newContext({ locale: "en-GB" });
    const page = await context.newPage();
    page.setDefaultTimeout(DEADLINE_MS);
    await page.route(`${east}/**`, async (route) => {
      const url = route.request().url();
      if (url.endsWith("/events")) return route.fulfill({ status: 503, body: "" });
      const answer = await fetch(url, { headers: { "accept-language": language } });
      return route.fulfill({ status: answer.status, headers: { "content-type": answer.headers.get("content-type") ?? "", ...(url.endsWith("/pages/default") ? headers : {}) }, body: Buffer.from(await answer.arrayBuffer()) });
    });
    // What is asked from time to time is not asked in this time.
    await page.clock.install();
    await page.goto(`${east}/pages/default`, { timeout: DEADLINE_MS });
    await until(`${name}: its age is known`, async () => {
      await page.clock.runFor(100);
      return says.test((await page.locator(".checked").textContent()) ?? "");
    }, DEADLINE_MS / 4);
    t.ok((await page.evaluate(() => performance.now())) < 20_000);
    t.equal(await page.locator("#stale").count(), warns === undefined ? 0 : 1, name);
    if (warns !== undefined) t.match(await page.locator("#stale").textContent(), warns);
    await context.close();
  }
});

/** What the widget shows; its root is closed, so another is put in its place that a test can look into. */
async function widgetOn(t: Test, markup: (source: string) => string, status?: { readonly page: { readonly url: string }; readonly status: { readonly indicator: string; readonly description: string } }) {
  const { east, west } = running();
  const context = await running().browser.newContext();
  const page = await context.newPage();
  page.setDefaultTimeout(DEADLINE_MS);
  await page.addInitScript(() => {
    const attach = Element.prototype.attachShadow;
    Element.prototype.attachShadow = function (init) {
      this.setAttribute("data-root", init.mode);
      return attach.call(this, { ...init, mode: "open" });
    };
  });
  if (status !== undefined) await page.route("**/api/v2/status.json", (route) => route.fulfill({ json: status, headers: { "access-control-allow-origin": "*" } }));
  await page.goto(`${west}/robots.txt`);
  const answer = page.waitForResponse((response) => response.url().endsWith("/api/v2/status.json"));
  await page.setContent(`<!doctype html><title>Other site</title><style>a { color: rgb(1, 2, 3) !important; } span { display: none; }</style><main><p>Before</p><div id="place"></div>${markup(`${east}/pages/default/embed.js`)}</main>`);
  t.equal((await answer).status(), 200, "other origins may ask");
  await page.locator("[data-root] a span").waitFor({ state: "attached" });
  const seen = await page.evaluate(() => {
    const host = document.querySelector<HTMLElement>("[data-root]");
    const link = host?.shadowRoot?.querySelector("a");
    const style = link ? getComputedStyle(link) : undefined;
    return {
      mode: host?.dataset["root"], inside: host?.children.length, parent: host?.parentElement?.id || host?.parentElement?.localName, text: link?.textContent, href: link?.getAttribute("href"),
      fill: link?.querySelector("circle")?.getAttribute("fill"), color: style?.color, ground: style?.backgroundColor,
    };
  });
  await context.close();
  return seen;
}

t.test("the widget shows the state of the page on another site, in a root of its own, and links to the page", { skip }, async (t) => {
  const { east } = running();
  const told = await (await fetch(`${east}/pages/default/api/v2/status.json`)).json() as { readonly status: { readonly description: string } };
  const seen = await widgetOn(t, (source) => `<script src="${source}"></script>`);
  t.match(seen, { mode: "closed", inside: 0, parent: "main", text: told.status.description, color: "rgb(21, 26, 33)", ground: "rgb(255, 255, 255)" });
  t.match(seen.href, /\/pages\/default$/);
});

t.test("the widget goes where it is told, in the colours that it is told, and follows no address that is none of the web", { skip }, async (t) => {
  const status = { page: { url: "javascript:alert(1)" }, status: { indicator: "critical", description: "Major <b>outage</b>" } };
  const seen = await widgetOn(t, (source) => `<script async src="${source}" data-target="#place" data-scheme="dark"></script>`, status);
  t.match(seen, { parent: "place", text: "Major <b>outage</b>", fill: "#cf2f2a", ground: "rgb(21, 26, 33)" });
  t.notMatch(seen.href, /^javascript:/);
});

t.test("a stream that was refused is asked for again, and what a bar means is told on pointing at it", { skip }, async (t) => {
  const { browser, east, ids } = running();
  const context = await browser.newContext({ locale: "en-GB" });
  const page = await context.newPage();
  page.setDefaultTimeout(DEADLINE_MS);
  let asked = 0;
  await page.route(`${east}/pages/default/events`, (route) => (++asked === 1 ? route.fulfill({ status: 503, body: "" }) : route.continue()));
  await page.clock.install();
  await page.goto(`${east}/pages/default`, { timeout: DEADLINE_MS });
  await until("it is refused", async () => asked === 1, DEADLINE_MS);
  await until("it is asked for again", async () => {
    await page.clock.runFor(1_000);
    return asked > 1;
  }, DEADLINE_MS / 2);
  await until("the page is live", async () => {
    await page.clock.runFor(1_000);
    return (await page.locator(".checked.open").count()) === 1;
  }, DEADLINE_MS / 2);
  const bars = page.locator(`#component-${ids.europe} .bars`);
  await bars.locator("i").last().hover();
  await page.locator("#tip", { hasText: new Date().toLocaleDateString("en", { day: "numeric", month: "long", year: "numeric", timeZone: "UTC" }) }).waitFor();
  t.match(await page.locator("#tip").textContent(), /Degraded.* \d+ minute/, "what its day saw");
  await page.keyboard.press("Escape");
  t.notOk(await page.locator("#tip").isVisible());
  await bars.locator("i").first().hover();
  t.match(await page.locator("#tip").textContent(), /No data/);
  await context.close();
});
