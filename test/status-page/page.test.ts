/** The page as text: whole, valid, small, in every language; what it leaves out. Over the fake data plane, and from samples. */
import { createHash } from "node:crypto";
import { gzipSync } from "node:zlib";
import { HtmlValidate } from "html-validate";
import { h } from "preact";
import t from "tap";
import { htmlDocument } from "../../src/features/status-page/html-document.js";
import { isLanguage, LANGUAGES, Language, accepted } from "../../src/features/status-page/language.js";
import { HistoryView } from "../../src/features/status-page/history-view.js";
import { uptimeParts } from "../../src/features/status-page/uptime-view.js";
import { overallIndicator } from "../../src/features/status-page/overall-status.js";
import { pathOf, topOf } from "../../src/features/status-page/latency-graph.js";
import { statusParts, type LatencyOfComponent, type StatusViewProps } from "../../src/features/status-page/status-view.js";
import { contrast, themeOf } from "../../src/features/status-page/theme.js";
import { monthAfter, daysOfMonth, zonedTimestamp } from "../../src/features/status-page/zoned-time.js";
import { at, featureServer, type Client } from "../features/feature-server.js";
import { component, group, joined, sampleContext, sampleDays, sampleHtml, sampleModel, sampleProps, samplePast } from "./sample-page.js";

const validator = new HtmlValidate({
  extends: ["html-validate:recommended"],
  rules: {
    // Matters of taste, or of how the text is laid out.
    "long-title": "off", "no-trailing-whitespace": "off", "void-style": "off", "no-inline-style": "error", "doctype-style": "off", "prefer-native-element": "off", "attribute-boolean-style": "off", "attribute-empty-style": "off",
    // `aria-label` is allowed on everything with a role.
    "aria-label-misuse": ["error", { allowAnyNamable: true }], "require-sri": "off", "text-content": "off", "no-raw-characters": "off",
  },
});

async function complaintsOf(html: string): Promise<string[]> {
  const report = await validator.validateString(html);
  return report.results.flatMap(({ messages }) => messages.map(({ ruleId, message, line, column }) => `${ruleId}: ${message} (${line}:${column}) ${html.split("\n")[line - 1]?.slice(column - 1, column + 80)}`));
}

const view = (more: Partial<StatusViewProps> = {}) => sampleHtml({ context: sampleContext(), ...more });

async function ready(server: Client): Promise<Client> {
  while ((await server.app.inject("/pages/default/badge.json")).statusCode === 503) await new Promise((resolve) => setTimeout(resolve, 50));
  return server;
}

t.test("the page is valid HTML in every language, and says what is what in that language", async (t) => {
  for (const code of LANGUAGES) {
    const html = await view({ context: sampleContext(code, { cutOffSince: "2026-11-25T21:30:00.000Z" }) });
    t.same(await complaintsOf(html), [], code);
    t.match(html, new RegExp(`<html lang="${code}" dir="${code === "ar" ? "rtl" : "ltr"}">`));
    t.match(html, new Language(code, "UTC").texts.overall.major);
    t.notMatch(html, /\{(?:n|time|region|percent|from|until|zone)\}/, `${code}: every gap is filled`);
  }
});

t.test("the first part of a page is its head, its shell and how things stand; then come what is going on and one component after the other", async (t) => {
  const parts: string[] = [];
  for await (const part of statusParts(sampleProps({ context: sampleContext() }))) parts.push(part);
  const [first = "", ...rest] = parts;
  t.match(first, /^<!doctype html><html lang="en" dir="ltr"><head>.*<link rel="stylesheet".*<script type="module".*<\/head><body.*<header.*<main id="status".*<section class="overall i-major" id="overall">.*<h1 aria-live="polite">Partial outage<\/h1>/s);
  t.notMatch(first, /class="component"|id="incidents"|id="past"/);
  t.ok(rest.every((part) => (part.match(/class="component"/g) ?? []).length <= 1), "each component is a part");
  t.ok(parts.findIndex((part) => part.includes('id="incidents"')) < parts.findIndex((part) => part.includes('id="component-api"')));
  t.match(parts.at(-1), /<\/main>.*<\/body><\/html>\n$/s);
  const calendar: string[] = [];
  for await (const part of uptimeParts({ context: sampleContext(), model: sampleModel, indicator: "none", daysOf: sampleDays, months: ["2026-10", "2026-11"], earlier: null, later: null })) calendar.push(part);
  t.ok(calendar.every((part) => (part.match(/class="card calendar"/g) ?? []).length <= 1), "and so it is in the calendar");
});

t.test("the page and its calendar are sent as they are made, and whole from then on", async (t) => {
  const { done, app } = await ready(await featureServer(t));
  await done("POST", "/components", { name: "API" });
  const origin = await app.listen({ host: "127.0.0.1", port: 0 });
  for (const path of ["/pages/default", "/pages/default/uptime"]) {
    const made = await fetch(origin + path);
    const html = await made.text();
    t.equal(made.headers.get("transfer-encoding"), "chunked", path);
    t.match(html, /<\/html>\n$/);
    const kept = await fetch(origin + path);
    t.equal(await kept.text(), html);
    t.ok(Number(kept.headers.get("content-length")) > 0);
    t.equal(kept.headers.get("etag"), made.headers.get("etag"));
  }
});

t.test("fifty components with ninety days each, in ten groups, take less than 40 KB", async (t) => {
  const groups = Array.from({ length: 10 }, (_none, index) => group(`group-${index}`, `Group number ${index}`, index));
  const components = Array.from({ length: 50 }, (_none, index) => component(`c${createHash("sha256").update(String(index)).digest("hex").slice(0, 25)}`, `Component number ${index}`, index, { groupId: `group-${index % 10}`, description: `What component ${index} does for those who use it` }));
  const html = await view({ model: { ...sampleModel, groups, components } });
  t.equal(html.match(/class="bars"/g)?.length, 50);
  const bytes = gzipSync(html).length;
  t.ok(bytes < 40 * 1024, `${bytes} bytes of ${html.length}`);
  t.same(await complaintsOf(html), []);
});

t.test("a component of whose days nothing is told is there without bars", async (t) => {
  const html = await view({ daysOf: (id, first, last) => (id === "web" ? [] : sampleDays(id, first, last)) });
  t.match(html, /id="component-web"><p class="component-head"><span class="name" dir="auto">Website<\/span>/);
  t.equal(html.match(/class="bars"/g)?.length, ((await view()).match(/class="bars"/g)?.length ?? 0) - 1);
  t.same(await complaintsOf(html), []);
});

t.test("fifty components with bars and the latencies of three regions take less than 40 KB", async (t) => {
  const components = Array.from({ length: 50 }, (_none, index) => component(`c${createHash("sha256").update(String(index)).digest("hex").slice(0, 25)}`, `Component number ${index}`, index, { description: `What component ${index} does for those who use it`, showLatency: true }));
  const drawn = (seed: number) => Number.parseInt(createHash("sha256").update(String(seed)).digest("hex").slice(0, 8), 16) / 2 ** 32;
  const latencyOf: LatencyOfComponent = (id) => [{
    name: id, lines: ["ap-south", "eu-west", "us-east"].map((region, at) => ({ region, medians: Array.from({ length: 24 }, (_hour, hour) => 20 + 100 * drawn(id.charCodeAt(1) + id.charCodeAt(2) * 7 + at * 1_000 + hour)) })),
  }];
  const html = await view({ model: { ...sampleModel, groups: [], components }, latencyOf });
  t.equal(html.match(/class="latency"/g)?.length, 50);
  const bytes = gzipSync(html).length;
  t.ok(bytes < 40 * 1024, `${bytes} bytes of ${html.length}`);
  t.same(await complaintsOf(html), []);
});

t.test("latencies are drawn line by line, with gaps where nothing is known, and said in words", async (t) => {
  const lines = [{ region: "eu-west", medians: [10, 20, null, 40, null] }, { region: "us-east", medians: [null, null, null, null, 83.4] }, { region: "ap-south", medians: [null, null, null, null, null] }];
  t.equal(topOf(lines), 100);
  t.equal(pathOf(lines[0]?.medians ?? [], 100), "M0 36l1 -4M3 24h-.3", "a line where two hours follow each other, a stroke where one stands alone");
  const html = await view({ model: { ...sampleModel, components: [component("api", "API", 1, { showLatency: true })] }, latencyOf: () => [{ name: "Secret name", lines }] });
  t.match(html, /aria-label="Response time by region, past 5 hours\. eu-west: 10 ms – 40 ms; us-east: 83 ms – 83 ms"/);
  t.equal(html.match(/<path class="l\d" d="M/g)?.length, 2, "a region that knows nothing has no line");
  t.match(html, /eu-west<\/span> 40 ms.*us-east<\/span> 83 ms/, "the latest of each");
  t.notMatch(html, /Secret name/, "a monitor's name is told only where a component has several");
  t.notMatch(await view({ latencyOf: () => [{ name: "m", lines }] }), /class="latency"/, "nothing is shown of components that do not ask for it");
  t.notMatch(await view({ model: { ...sampleModel, components: [component("api", "API", 1, { showLatency: true })] }, latencyOf: () => [{ name: "m", lines: lines.slice(2) }] }), /class="latency"/, "nor where nothing is known");
});

t.test("bars tell no data from down, and say in words what they show", async (t) => {
  const html = await view();
  const bars = /<div class="bars" role="img" aria-label="([^"]*)" data-end="2026-11-25">(.*?)<\/div>/.exec(html);
  const classes = [...(bars?.[2] ?? "").matchAll(/<i class="(\w)"/g)].map(([, name]) => name);
  t.equal(classes.length, 90);
  for (const kind of ["o", "d", "p", "m", "w", "n"]) t.ok(classes.includes(kind), `a day of kind ${kind}`);
  t.match(bars?.[1], /^99\.\d\d% uptime over 90 days, \d+ days with disruptions; November \d+, 2026: .*Major outage 40 minutes.*; No data: \d+ days/);
  const shares = (of: string) => /<span class="share"><span class="long">([^<]*)<\/span><span class="short">([^<]*)<\/span><\/span>/.exec(of)?.slice(1);
  const of = (first: string): number => {
    const seconds = sampleDays("api", first, "2026-11-25").map((day) => day.seconds);
    const known = seconds.flatMap((one) => Object.values(one)).reduce((sum, value) => sum + value, 0);
    const down = seconds.reduce((sum, { major_outage: major = 0, partial_outage: partial = 0 }) => sum + major + 0.3 * partial, 0);
    return Math.floor(10_000 * (1 - down / known)) / 100;
  };
  t.same(shares(html), [`${of("2026-08-28").toFixed(2)}% uptime`, `${of("2026-10-27").toFixed(2)}% uptime`], "of the days that are shown, thirty on a phone");
  t.match(shares(await view({ context: sampleContext("de") }))?.[0], /^99,\d\d\s% verfügbar$/);
});

t.test("a page without components, incidents and history is a page all the same", async (t) => {
  const html = await view({ model: { ...sampleModel, groups: [], components: [], openIncidents: [], activeMaintenances: [], upcomingMaintenances: [] }, past: [] });
  t.same(await complaintsOf(html), []);
  t.match(html, /All systems operational/);
  t.match(html, /No components have been added/);
  t.match(html, /November 12\s–\s25, 2026<\/h3><p class="quiet-day">No incidents reported/, "quiet days stand together");
});

t.test("what shows only when degraded, groups, order and bars follow their settings", async (t) => {
  const server = await ready(await featureServer(t));
  const { done, app } = server;
  const make = async (path: string, body: unknown) => String(at(await done("POST", path, body), "id"));
  const folded = await make("/component-groups", { name: "Folded", collapsed: true, position: 1 });
  await make("/component-groups", { name: "Empty group", position: 2 });
  await make("/components", { name: "Inner", group_id: folded });
  await make("/components", { name: "Second", position: 20, show_uptime: false });
  await make("/components", { name: "First", position: 10 });
  const shy = await make("/components", { name: "Shy", only_show_if_degraded: true, position: 30 });
  const gone = await make("/components", { name: "Gone" });
  await done("DELETE", `/components/${gone}`);
  const page = async () => (await app.inject("/pages/default")).body;
  const before = await page();
  t.notMatch(before, />(?:Shy|Gone|Empty group)</);
  t.ok(before.indexOf(">Folded<") < before.indexOf(">First<") && before.indexOf(">First<") < before.indexOf(">Second<"), "in order of position");
  t.match(before, /<details class="group" id="[^"]*">/, "the folded group is folded");
  t.equal(before.match(/class="bars"/g)?.length, 2, "bars only where uptime is shown");
  await done("PATCH", `/components/${shy}`, { status: "degraded_performance" });
  await done("PATCH", `/components/${at(at(at(await done("GET", "/components"), "data"), 0), "id")}`, { status: "major_outage" });
  const after = await page();
  t.match(after, />Shy</, "now it is shown");
});

t.test("history tells month by month what began in it, the latest first, with a word on how it ended, and leads to earlier and later months", async (t) => {
  const html = htmlDocument(h(HistoryView, {
    context: sampleContext(), indicator: "none", months: [{ month: "2026-11", events: samplePast }, { month: "2026-10", events: [] }], earlier: "2026-07", later: "2026-12",
  }) as never);
  const text = html.replaceAll(/<[^>]*>/g, " ");
  t.match(text, /November 2026\s+November 22, 2026\s+Log-in failed for some users.*Critical impact.*Resolved.*Lasted\s+1 hour, 48 minutes.*A certificate had run out\..*November 17, 2026\s+Delayed e-mail.*October 2026\s+No incidents were reported in this month/s);
  t.match(html, /<a class="button quiet" rel="prev" href="\/pages\/sample\/history\?month=2026-07">Earlier <span class="month-name">July 2026/);
  t.match(html, /rel="next" href="\/pages\/sample\/history\?month=2026-12">/);
  t.same(await complaintsOf(html), []);
});

t.test("months of history and calendar end where the page begins, and none is yet to come", async (t) => {
  const { app, done } = await ready(await featureServer(t));
  await done("POST", "/incidents", { name: "Began this month", body: "Now" });
  const now = new Date().toISOString().slice(0, 7);
  for (const path of ["/history", "/uptime"]) {
    const html = (await app.inject(`/pages/default${path}?month=${now}`)).body;
    t.equal((await app.inject(`/pages/default${path}`)).body.match(/<main.*<\/main>/s)?.[0], html.match(/<main.*<\/main>/s)?.[0], "this month is what is shown unless told");
    t.notMatch(html, /rel="(?:prev|next)"/, "there is nothing before, and nothing after");
    for (const month of [monthAfter(now, 1), monthAfter(now, -4), "2026-13", "x"]) t.equal((await app.inject(`/pages/default${path}?month=${month}`)).statusCode, 404, `${path} ${month}`);
  }
});

t.test("each month of the history holds what began in it, by the page's own time zone", async (t) => {
  let now = Date.parse("2026-07-31T12:00:00Z");
  const { app, done } = await ready(await featureServer(t, [], {}, { now: () => now, monotonic: () => performance.now() }));
  await done("PATCH", "", { time_zone: "America/New_York" });
  const begin = async (name: string, time: string): Promise<void> => {
    now = Date.parse(time);
    await done("POST", "/incidents", { name, body: name });
  };
  await begin("Last of July", "2026-08-01T03:59:59.990Z");
  await begin("First of August", "2026-08-01T04:00:00Z");
  await begin("In summer time", "2026-10-31T23:00:00Z");
  await begin("Last of October", "2026-11-01T03:59:59.990Z");
  await begin("First of November", "2026-11-01T04:00:00Z");
  now = Date.parse("2026-12-01T04:59:00Z");
  const months = async (query: string): Promise<unknown> => {
    const html = (await app.inject(`/pages/default/history${query}`)).body;
    return [...html.matchAll(/<section class="month" aria-labelledby="m-([\d-]+)">(.*?)<\/section>/gs)].map(([, month, within = ""]) => [month, ["Last of July", "First of August", "In summer time", "Last of October", "First of November"].filter((name) => within.includes(name))]);
  };
  t.same(await months(""), [["2026-11", ["First of November"]], ["2026-10", ["In summer time", "Last of October"]], ["2026-09", []]], "New York has November until five in the morning");
  t.same(await months("?month=2026-08"), [["2026-08", ["First of August"]], ["2026-07", ["Last of July"]], ["2026-06", []]]);
  t.same(await months("?month=2026-07"), [["2026-07", ["Last of July"]], ["2026-06", []], ["2026-05", []]]);
  const links = async (query: string): Promise<unknown> => [...(await app.inject(`/pages/default/history${query}`)).body.matchAll(/rel="(prev|next)" href="[^"]*month=([\d-]+)"/g)].map(([, way, month]) => [way, month]);
  t.same(await links(""), [["prev", "2026-08"]]);
  t.same(await links("?month=2026-08"), [["next", "2026-11"]]);
  t.same(await links("?month=2026-07"), [["next", "2026-10"]]);
  for (const month of ["2026-12", "2026-06"]) t.equal((await app.inject(`/pages/default/history?month=${month}`)).statusCode, 404, month);
});

t.test("the calendar says of each day, also in words, what it saw, and tells days that are yet to come from those that nobody knows of", async (t) => {
  const html = await joined(uptimeParts({ context: sampleContext(), model: sampleModel, indicator: "none", daysOf: sampleDays, months: ["2026-10", "2026-11"], earlier: "2026-08", later: null }));
  const calendar = /aria-labelledby="u-api">.*?<\/section>/s.exec(html)?.[0] ?? "";
  const days = sampleDays("api", "2026-11-01", "2026-11-25");
  const bad = days.find((day) => (day.seconds.major_outage ?? 0) > 0);
  if (bad === undefined) throw new Error("the sample has a bad day");
  t.match(calendar, new RegExp(`<li class="m[^>]*title="[^"]*Major outage[^"]*">${Number(bad.day.slice(-2))}<span class="vh">: [^<]*Major outage`));
  t.match(calendar, /<li class="f">26<\/li>/, "a day that is yet to come");
  t.equal(calendar.match(/<li /g)?.length, 61, "every day of both months");
  t.match(calendar, /<h3>November 2026 <span class="share">\d\d(?:\.\d\d)?%/);
  t.notMatch(html, /aria-labelledby="u-docs"/, "nothing of a component that shows none");
  t.match(html, /rel="prev" href="\/pages\/sample\/uptime\?month=2026-08"/);
  t.same(await complaintsOf(html), []);
});

t.test("a link to the page is shown elsewhere with its name, its state and its picture", async (t) => {
  const meta = Object.fromEntries([...(await view()).matchAll(/<meta property="og:([a-z:_]+)" content="([^"]*)"/g)].map(([, name = "", content]) => [name, content]));
  t.match(meta, { type: "website", site_name: "Sample Cloud", title: "Sample Cloud", url: "https://status.example.com", locale: "en", "image:alt": "Partial outage" });
  t.match(meta["image"], /^https:\/\/status\.example\.com\/assets\/preview/);
  t.match(meta["description"], /^How the services/);
  for (const indicator of ["none", "critical"] as const) {
    const components = [component("api", "API", 1, { status: indicator === "none" ? "operational" : "major_outage" })];
    t.match(await view({ model: { ...sampleModel, openIncidents: [], activeMaintenances: [], components } }), `<meta property="og:image" content="https://status.example.com${sampleContext().assets.preview(indicator)}"`, `the picture of ${indicator}`);
  }
  t.match(await view(), /<meta name="twitter:card" content="summary_large_image"/, "where the picture is shown large only if it is asked for");
});

t.test("the page says what is going on and what is to come with all that was said of it, when it was last changed, and who serves it", async (t) => {
  const html = await view();
  const part = (id: string) => new RegExp(`<div id="${id}">(.*?)</section></div>`, "s").exec(html)?.[1] ?? "";
  t.match(part("incidents"), /<h3 dir="auto"><a href="\/pages\/sample\/incidents\/slow">Slow responses in Europe<\/a><\/h3>/, "with its permalink");
  t.match(part("incidents"), /<ol class="timeline"><li class="u-identified">.*<strong>network path<\/strong>.*<li class="u-investigating">.*take longer than usual/s, "the latest first");
  t.match(part("active-maintenance"), /\/pages\/sample\/maintenances\/jobs".*Jobs wait up to ten minutes/s);
  t.match(part("upcoming"), /\/pages\/sample\/maintenances\/db".*Database upgrade.*class="window".*<time datetime="2026-11-27T23:40:00.000Z".*Writes pause/s);
  const past = /<div id="past".*?<\/section>/s.exec(html)?.[0] ?? "";
  t.match(past.replaceAll(/<[^>]*>/g, " "), /November 23\s–\s25, 2026\s+No incidents reported\s+November 22, 2026\s+Log-in failed for some users\s+Critical impact\s+Resolved .*Lasted\s+1 hour, 48 minutes.*A certificate had run out.*November 17, 2026\s+Delayed e-mail/s);
  t.match(past, '<a href="/pages/sample/incidents/login">Log-in failed');
  const fresh = /<p class="fresh">(.*?)<\/p>/.exec(html)?.[1] ?? "";
  t.match(fresh, `<time datetime="${sampleModel.updatedAt}"`);
  t.match(fresh.replaceAll(/<[^>]*>/g, ""), /Last change .* UTCServed by eu-west/);
});

t.test("a page has its own logo, another one in the dark, and its own icon", async (t) => {
  const themed = (theme: Record<string, string>) => view({ context: { ...sampleContext(), theme: themeOf(theme) } });
  const logos = (html: string) => [...html.matchAll(/<img class="([^"]*)" src="([^"]*)" alt/g)].map(([, name, src]) => `${name} ${src}`);
  t.same(logos(await view()), []);
  t.same(logos(await themed({ logo_url: "https://cdn.example.com/a.svg" })), ["logo https://cdn.example.com/a.svg"]);
  const both = await themed({ logo_url: "https://cdn.example.com/a.svg", logo_dark_url: "https://cdn.example.com/b.svg", favicon_url: "https://cdn.example.com/f.png" });
  t.same(logos(both), ["logo light-only https://cdn.example.com/a.svg", "logo dark-only https://cdn.example.com/b.svg"]);
  t.match(both, /<link id="icon" rel="icon" href="https:\/\/cdn\.example\.com\/f\.png"/);
  t.same(await complaintsOf(both), []);
});

t.test("a name that turns letters around does so within itself only, and a text that is cut keeps its characters whole", async (t) => {
  const turned = "\u202etxt.exe";
  const [open] = sampleModel.openIncidents;
  if (open === undefined) throw new Error("the sample has an open incident");
  const html = await view({
    context: sampleContext("en", { page: { ...sampleContext().page, name: `Page ${turned}`, description: "🔥".repeat(150) } }),
    model: { ...sampleModel, openIncidents: [{ ...open, name: turned, components: [{ id: "a", name: turned, status: "major_outage" }, { id: "b", name: "Other", status: "major_outage" }] }] },
  });
  t.match(html, `<bdi>${turned}</bdi> and <bdi>Other</bdi>`);
  t.match(html, /<title>Page txt\.exe<\/title>/, "where there is no markup it does not at all");
  t.match(html, `content="${"🔥".repeat(99)}…"`);
  t.equal(Buffer.from(html).toString(), html, "nor is any cut in two elsewhere");
  t.same(await complaintsOf(html), []);
});

t.test("subscribing is offered where there is something to subscribe to", async (t) => {
  t.match(await view({ context: sampleContext("en", { subscribing: true }) }), /<a class="button" href="\/pages\/sample\/subscribe">Subscribe<\/a>/);
  t.notMatch(await view(), /subscribe/i);
});

t.test("updates stand at the time that they are said to be from", async (t) => {
  const { done, app } = await ready(await featureServer(t));
  const id = at(await done("POST", "/incidents", { name: "Late report", body: "Now" }), "id");
  await done("POST", `/incidents/${id}/updates`, { body: "How it began", display_at: "2020-01-02T03:04:05Z" });
  const html = (await app.inject(`/pages/default/incidents/${id}`)).body;
  t.match(html, /datetime="2020-01-02T03:04:05.000Z"/);
  t.ok(html.indexOf("<p>Now</p>") < html.indexOf("<p>How it began</p>"), "the one from before stands below");
  t.same(await complaintsOf(html), []);
});

t.test("every view of a page is valid HTML, by path and at the root of its host", async (t) => {
  const { done, app } = await ready(await featureServer(t));
  await done("PATCH", "", { name: "Sample", custom_domains: ["status.example.com"], url: "https://status.example.com" });
  const api = String(at(await done("POST", "/components", { name: "API" }), "id"));
  const id = at(await done("POST", "/incidents", { name: "A & <b>", body: "> quoted\n\n- a\n- b\n\n| a | b |\n|---|---|\n| 1 | 2 |", components: { [api]: "partial_outage" } }), "id");
  for (const path of ["", "/history", "/uptime", `/incidents/${id}`, "/incidents/none"]) {
    const byPath = await app.inject({ url: `/pages/default${path}`, headers: { accept: "text/html" } });
    t.same(await complaintsOf(byPath.body), [], path);
    const byHost = await app.inject({ url: path === "" ? "/" : path, headers: { host: "status.example.com", accept: "text/html" } });
    t.equal(byHost.statusCode, byPath.statusCode);
    if (byHost.statusCode === 200) {
      t.notMatch(byHost.body, /\/pages\/default/, "its own host needs no path");
      t.match(byHost.body, /data-events="\/events"/);
      t.match(byPath.body, /data-events="\/pages\/default\/events"/);
      t.match(byPath.headers, { vary: /Accept-Language/, "content-language": "en", etag: String, "cache-control": /stale-if-error/ });
    }
  }
  const policy = String((await app.inject("/pages/default")).headers["content-security-policy"]);
  t.notMatch(policy, /unsafe/);
  const style = /<style>(.*?)<\/style>/.exec((await app.inject("/pages/default")).body)?.[1] ?? "";
  t.match(policy, createHash("sha256").update(style).digest("base64"), "the theme's declarations are named by their hash");
});

t.test("a copy that is cut off says since when, and a page that is well does not", async (t) => {
  const { app, data } = await ready(await featureServer(t));
  t.notMatch((await app.inject("/pages/default")).body, /class="notice"/);
  data.level = 4;
  for (;;) {
    const { body } = await app.inject("/pages/default");
    if (body.includes('class="notice"')) {
      t.match(body, /cut off from the other regions since <time/);
      t.match(body, /class="checked"[^>]* data-since="\d{4}-/, "and its age is counted from then on");
      break;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
});

t.test("files that pages load are kept for ever, and are small", async (t) => {
  const { app } = await ready(await featureServer(t));
  const html = (await app.inject("/pages/default")).body;
  const paths = [...html.matchAll(/(?:href|src)="(\/assets\/[^"]+)"/g)].map(([, path]) => String(path));
  t.equal(paths.length, 3);
  for (const path of paths) {
    const file = await app.inject({ url: path, headers: { "accept-encoding": "br" } });
    t.match(file, { statusCode: 200, headers: { "cache-control": /immutable/, "content-encoding": "br" } }, path);
    t.ok(file.rawPayload.length < 10 * 1024, `${path}: ${file.rawPayload.length} bytes`);
  }
  t.equal((await app.inject("/assets/page-000000000000.css")).statusCode, 404);
});

t.test("a visitor is answered in the best language that the page has", async (t) => {
  t.equal(accepted("fr-CH, fr;q=0.9, en;q=0.8, de;q=0.7, *;q=0.5"), "fr");
  t.equal(accepted("nl, de;q=0.2, en;q=0.1"), "de");
  t.equal(accepted("en;q=0.1, ja"), "ja");
  t.equal(accepted("*"), null);
  t.equal(accepted(undefined), null);
  t.equal(accepted(`${"x,".repeat(10_000)}de`), null, "a list without an end is cut");
  t.equal(isLanguage("__proto__"), false);
  const arabic = new Language("ar", "UTC");
  t.equal(arabic.counted(arabic.texts.hours, 2), "ساعتان");
  t.equal(new Language("en", "UTC").percent(0.99999), "99.99%", "a share is never rounded up to a whole");
  const { app, done } = await ready(await featureServer(t));
  const languageAt = async (url: string, accept = "nl") => /<html lang="([a-z]+)"/.exec((await app.inject({ url, headers: { "accept-language": accept } })).body)?.[1];
  t.equal(await languageAt("/pages/default"), "en");
  await done("PATCH", "", { theme: { language: "de" } });
  t.equal(await languageAt("/pages/default"), "de", "who asks for none that there is is answered in the page's own");
  t.equal(await languageAt("/pages/default/history"), "de");
  t.equal(await languageAt("/pages/default", "en"), "en");
  await done("PATCH", "", { theme: { language: "tlh" } });
  t.equal(await languageAt("/pages/default"), "en");
  t.match((await app.inject({ url: "/pages/default?lang=ja", headers: { "accept-language": "de" } })).body, /<html lang="ja"/, "who asks for one gets it");
});

t.test("no theme makes a page that cannot be read", async (t) => {
  const rgb = (css: string, name: string, nth: number) => [...css.matchAll(new RegExp(`${name}:#([0-9a-f]{6})`, "g"))][nth]?.[1]?.match(/../g)?.map((digits) => Number.parseInt(digits, 16)) as unknown as [number, number, number];
  for (const brand_color of ["#ffff00", "#ffffff", "#000000", "#777777", "#fff", "#0f0"]) {
    const { css } = themeOf({ brand_color });
    for (const [nth, ground] of [[0, [255, 255, 255]], [1, [0x15, 0x1a, 0x21]]] as const) {
      t.ok(contrast(rgb(css, "--brand", nth), ground as [number, number, number]) >= 4.5, `${brand_color} as a link`);
      t.ok(contrast(rgb(css, "--brand", nth), rgb(css, "--on-brand", nth)) >= 4.5, `${brand_color} as a button`);
    }
  }
  const hostile = themeOf({ brand_color: "red;}body{display:none}", logo_url: "javascript:alert(1)", favicon_url: "http://example.com/x.png", logo_dark_url: "data:text/html;base64,AAAA" });
  t.match(hostile, { logo: null, favicon: null, logoDark: null, pictureOrigins: [] });
  t.notMatch(hostile.css, /display|red/);
  t.match(themeOf({ logo_url: "https://cdn.example.com/logo.svg" }), { logo: "https://cdn.example.com/logo.svg", pictureOrigins: ["https://cdn.example.com"] });
});

t.test("the whole page is as its worst part", async (t) => {
  const none = { components: [], openIncidents: [], activeMaintenances: [] };
  t.equal(overallIndicator(none), "none");
  t.equal(overallIndicator({ ...none, activeMaintenances: sampleModel.activeMaintenances }), "maintenance");
  t.equal(overallIndicator({ ...none, components: [component("a", "A", 1, { status: "major_outage" })] }), "critical");
  t.equal(overallIndicator({ ...none, openIncidents: sampleModel.openIncidents }), "major");
});

t.test("times are written with the offset that the zone has then", async (t) => {
  t.equal(zonedTimestamp("2026-07-01T12:00:00.123Z", "America/New_York"), "2026-07-01T08:00:00.123-04:00");
  t.equal(zonedTimestamp("2026-12-01T12:00:00.000Z", "America/New_York"), "2026-12-01T07:00:00.000-05:00");
  t.equal(zonedTimestamp("2026-12-01T20:00:00.000Z", "Asia/Kathmandu"), "2026-12-02T01:45:00.000+05:45");
  t.equal(zonedTimestamp("2026-12-01T20:00:00.000Z", "UTC"), "2026-12-01T20:00:00.000Z");
  // On the day on which the clocks change, the second before and the one at which they do, in either order.
  for (const [at, local] of [["2026-10-25T00:59:59.000Z", "02:59:59.000+02:00"], ["2026-10-25T01:00:00.000Z", "02:00:00.000+01:00"], ["2026-10-25T00:00:00.000Z", "02:00:00.000+02:00"], ["2026-10-24T23:59:59.999Z", "01:59:59.999+02:00"], ["2026-10-26T00:00:00.000Z", "01:00:00.000+01:00"]] as const) t.match(zonedTimestamp(at, "Europe/Berlin"), new RegExp(`T${local.replace("+", "\\+")}$`), at);
  t.equal(zonedTimestamp("2026-04-04T15:00:00.000Z", "Australia/Lord_Howe"), "2026-04-05T01:30:00.000+10:30", "a zone that changes by half an hour");
  t.equal(monthAfter("2026-01", -2), "2025-11");
  t.equal(daysOfMonth("2028-02").length, 29);
});
