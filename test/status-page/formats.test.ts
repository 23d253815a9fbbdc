/** What others read our pages with: Statuspage's client, feed readers, calendars, badges. */
import t, { type Test } from "tap";
import ICAL from "ical.js";
import nodeIcal from "node-ical";
import { parseFeed } from "feedsmith";
import RssParser from "rss-parser";
import { Statuspage } from "statuspage.io";
import { at, featureServer, type Client, type Json } from "../features/feature-server.js";

const WINDOW = { scheduled_for: "2030-07-01T10:00:00Z", scheduled_until: "2030-07-01T11:00:00Z" };

/** A page in a zone of its own, with a group, three components, incidents and maintenances of every kind. */
async function filledPage(t: Pick<Test, "teardown">) {
  const server = await featureServer(t);
  const { done } = server;
  // On a busy machine the replica may call itself overloaded right after its start.
  while ((await server.app.inject("/pages/default/badge.json")).statusCode === 503) await new Promise((resolve) => setTimeout(resolve, 50));
  await done("PATCH", "", { name: "Sample & Co", url: "https://status.example.com/", time_zone: "America/New_York" });
  const id = async (path: string, body: unknown) => String(at(await done("POST", path, body), "id"));
  const group = await id("/component-groups", { name: "Regions", description: "Where it runs" });
  const api = await id("/components", { name: "API", description: "All of it" });
  const europe = await id("/components", { name: "Europe", group_id: group });
  const asia = await id("/components", { name: "Asia", group_id: group, only_show_if_degraded: true });
  const over = await id("/incidents", { name: "Over", body: "It broke", components: { [api]: "major_outage" } });
  await done("PATCH", `/incidents/${over}`, { status: "resolved", body: "It works" });
  const open = await id("/incidents", { name: "Open <b>", body: "We look **into** it <script>alert(1)</script>", components: { [europe]: "partial_outage" }, labels: ["secret-label"] });
  const upcoming = await id("/maintenances", { name: "Upgrade", ...WINDOW, body: "Soon", components: { [api]: "under_maintenance" } });
  const active = await id("/maintenances", { name: "Move", ...WINDOW, status: "in_progress", components: { [asia]: "under_maintenance" } });
  await server.app.listen({ host: "127.0.0.1", port: 0 });
  const address = server.app.server.address();
  const base = typeof address === "object" && address !== null ? `http://127.0.0.1:${address.port}` : "";
  return { ...server, base, group, api, europe, asia, over, open, upcoming, active };
}

/** SEQUENCE counts seconds. */
async function nextSecond(): Promise<void> {
  const second = Math.floor(Date.now() / 1_000);
  while (Math.floor(Date.now() / 1_000) === second) await new Promise((resolve) => setTimeout(resolve, 20));
}

const get = async (server: Client, path: string) => {
  const answer = await server.app.inject({ url: `/pages/default${path}` });
  return { status: answer.statusCode, headers: answer.headers, text: answer.body };
};
const json = async (server: Client, path: string): Promise<Json> => JSON.parse((await get(server, path)).text) as Json;

t.test("the client of Statuspage reads every route, by path and by Host", async (t) => {
  const page = await filledPage(t);
  for (const base of [`${page.base}/pages/default`, page.base]) {
    const client = new Statuspage("default");
    client.setApiUrl(base);
    const summary = await client.api.getSummary();
    t.match(summary.page, { id: "default", name: "Sample & Co", url: "https://status.example.com", time_zone: "America/New_York" });
    t.same(summary.status, { indicator: "major", description: "Partial System Outage" });
    t.same(summary.components.map(({ name, group, group_id, status }) => ({ name, group, group_id, status })), [
      { name: "API", group: false, group_id: null, status: "operational" }, { name: "Regions", group: true, group_id: null, status: "partial_outage" },
      { name: "Europe", group: false, group_id: page.group, status: "partial_outage" }, { name: "Asia", group: false, group_id: page.group, status: "under_maintenance" },
    ]);
    t.same(summary.incidents.map(({ id }) => id), [page.open]);
    t.same(summary.scheduled_maintenances.map(({ id }) => id), [page.active, page.upcoming]);
    t.match(await client.api.getStatus(), { page: { id: "default" }, status: { indicator: "major" } });
    t.equal((await client.api.getComponents()).components.length, 4);
    t.same((await client.api.incidents.getAll()).incidents.map(({ id }) => id), [page.open, page.over]);
    t.same((await client.api.incidents.getUnresolved()).incidents.map(({ id }) => id), [page.open]);
    // This version of the client asks for the upcoming ones, whichever it is told to.
    const { scheduledMaintenances } = client.api;
    for (const read of [() => scheduledMaintenances.getAll(), () => scheduledMaintenances.getUpcoming(), () => scheduledMaintenances.getActive()]) {
      t.same((await read()).scheduled_maintenances.map(({ id }) => id), [page.upcoming]);
    }
  }
  t.same((await json(page, "/api/v2/scheduled-maintenances.json"))["scheduled_maintenances"]?.map((one: Json) => one["id"]), [page.active, page.upcoming]);
  t.same((await json(page, "/api/v2/scheduled-maintenances/active.json"))["scheduled_maintenances"]?.map((one: Json) => one["id"]), [page.active]);
});

t.test("Statuspage's answers have its fields in its order, and times in the page's zone", async (t) => {
  const page = await filledPage(t);
  const { scheduled_maintenances: maintenances, components, ...summary } = (await json(page, "/api/v2/summary.json")) as unknown as { [name: string]: Json[] };
  t.same(Object.keys(await json(page, "/api/v2/summary.json")), ["page", "components", "incidents", "scheduled_maintenances", "status"]);
  t.same(Object.keys(at(summary["page"] as unknown as Json, "id") && (summary["page"] as object)), ["id", "name", "url", "time_zone", "updated_at"]);
  t.same(Object.keys(components?.find((one) => one["name"] === "API") ?? {}), ["id", "name", "status", "created_at", "updated_at", "position", "description", "showcase", "start_date", "group_id", "page_id", "group", "only_show_if_degraded"]);
  t.same(components?.find((one) => one["name"] === "Regions")?.["components"], [page.europe, page.asia]);
  const fields = ["id", "name", "status", "created_at", "updated_at", "monitoring_at", "resolved_at", "impact", "shortlink", "started_at", "page_id", "incident_updates", "components", "reminder_intervals"];
  t.same(Object.keys(summary["incidents"]?.[0] ?? {}), fields);
  t.same(Object.keys(maintenances?.[0] ?? {}), [...fields, "scheduled_for", "scheduled_until"]);
  t.match(maintenances?.[1], { impact: "maintenance", scheduled_for: "2030-07-01T06:00:00.000-04:00", scheduled_until: "2030-07-01T07:00:00.000-04:00", shortlink: `https://status.example.com/maintenances/${page.upcoming}` });
  const update = at(at(summary["incidents"]?.[0], "incident_updates"), 0);
  t.same(Object.keys(update), ["id", "status", "body", "incident_id", "created_at", "updated_at", "display_at", "affected_components", "deliver_notifications", "custom_tweet", "tweet_id"]);
  t.same(update["affected_components"], [{ code: page.europe, name: "Europe", old_status: "operational", new_status: "partial_outage" }]);
  t.match(String(update["created_at"]), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}-0[45]:00$/);
});

t.test("nothing that is not public is in any answer", async (t) => {
  const page = await filledPage(t);
  await page.done("PUT", `/incidents/${page.over}/postmortem`, { body: "secret-draft" });
  for (const path of ["", "/history", "/uptime", `/incidents/${page.open}`, `/incidents/${page.over}`, "/api/v2/summary.json", "/api/v2/incidents.json", "/feed.atom", "/feed.rss", "/calendar.ics"]) {
    const { status, text } = await get(page, path);
    t.equal(status, 200, path);
    t.notMatch(text, /secret-label|secret-draft|updated_hlc|updated_region|has_conflicts|_claims|[0-9a-f]{32}/, path);
  }
  await page.done("POST", `/incidents/${page.over}/postmortem/publish`);
  t.match((await get(page, `/incidents/${page.over}`)).text, /secret-draft/, "what was published is there");
});

t.test("feed readers find one entry an incident, which is revised in place and cannot run scripts", async (t) => {
  const page = await filledPage(t);
  const read = async () => ({ atom: parseFeed((await get(page, "/feed.atom")).text), rss: parseFeed((await get(page, "/feed.rss")).text) });
  const before = await read();
  if (before.atom.format !== "atom" || before.rss.format !== "rss") throw new Error("the formats were not recognised");
  const ids = before.atom.feed.entries?.map(({ id }) => id) ?? [];
  t.equal(ids.length, 4);
  t.same([...ids].sort(), before.rss.feed.items?.map(({ guid }) => guid?.value).sort());
  await page.done("PATCH", `/incidents/${page.open}`, { status: "identified", body: "Found ]]> it" });
  const after = await read();
  if (after.atom.format !== "atom") throw new Error("no atom");
  t.same(after.atom.feed.entries?.map(({ id }) => id).sort(), [...ids].sort(), "no entry more");
  const entry = after.atom.feed.entries?.[0];
  t.equal(entry?.id, `urn:statusmesh:default:incident:${page.open}`, "the latest change comes first");
  t.equal(entry?.links?.[0]?.href, `https://status.example.com/incidents/${page.open}`);
  t.match(JSON.stringify(entry), /Found/);
  const parser = new RssParser();
  for (const name of ["/feed.atom", "/feed.rss"]) {
    const { text, headers } = await get(page, name);
    t.match(String(headers["content-type"]), name.endsWith("atom") ? /^application\/atom\+xml/ : /^application\/rss\+xml/);
    const parsed = await parser.parseString(text);
    t.equal(parsed.items.length, 4);
    for (const item of parsed.items) for (const part of [item.title, item.content, item["summary"], item["content:encoded"]]) t.notMatch(String(part), /<script|<b>/i, `${name}: ${part}`);
    t.match(parsed.items[0]?.link, page.open);
  }
});

t.test("calendars read maintenances, their changes, and that one was cancelled", async (t) => {
  const page = await filledPage(t);
  const read = async () => {
    const { text, headers } = await get(page, "/calendar.ics");
    t.match(String(headers["content-type"]), /^text\/calendar/);
    const events = new ICAL.Component(ICAL.parse(text) as never).getAllSubcomponents("vevent").map((event) => new ICAL.Event(event));
    const other = Object.values(nodeIcal.sync.parseICS(text)).filter((entry) => entry?.type === "VEVENT");
    t.equal(events.length, other.length, "both readers see the same");
    return new Map(events.map((event) => [event.uid, { sequence: event.sequence, summary: event.summary, start: event.startDate.toJSDate().toISOString(), status: String(event.component.getFirstPropertyValue("status")) }]));
  };
  const uid = `${page.upcoming}.default@statusmesh`;
  const first = (await read()).get(uid);
  t.match(first, { summary: "Upgrade", start: "2030-07-01T10:00:00.000Z", status: "CONFIRMED" });
  await nextSecond();
  await page.done("PATCH", `/maintenances/${page.upcoming}`, { scheduled_for: "2030-07-01T10:30:00Z" });
  const moved = (await read()).get(uid);
  t.match(moved, { start: "2030-07-01T10:30:00.000Z" });
  t.ok((moved?.sequence ?? 0) > (first?.sequence ?? 0), "the sequence grows");
  await nextSecond();
  await page.done("DELETE", `/maintenances/${page.upcoming}`);
  const gone = (await read()).get(uid);
  t.match(gone, { summary: "Upgrade", status: "CANCELLED" }, "a calendar that knows it hears that it was cancelled");
  t.ok((gone?.sequence ?? 0) > (moved?.sequence ?? 0));
});

t.test("names and bodies from outside stay text in every format, whatever they hold", async (t) => {
  const { done, ...server } = await filledPage(t);
  const emoji = "🔥👩‍👩‍👧‍👦".repeat(12);
  const hostile = `\u202eA\r\nBEGIN:VEVENT\r\nUID:x; , \\ <script>alert(1)</script> ]]> & \u0008${emoji}`;
  await done("PATCH", "", { name: hostile, description: hostile });
  const body = `${hostile}\n\n[a](javascript:alert(1)) [b](data:text/html;base64,AAAA) <img src=x onerror=alert(1)> <![CDATA[x]]>`;
  const component = String(at(await done("POST", "/components", { name: hostile }), "id"));
  const made = String(at(await done("POST", "/incidents", { name: hostile, body, components: { [component]: "major_outage" } }), "id"));
  await done("POST", "/maintenances", { name: hostile, ...WINDOW, body });
  const gone = String(at(await done("POST", "/maintenances", { name: hostile, ...WINDOW, body }), "id"));
  await done("DELETE", `/maintenances/${gone}`);
  const page = { ...server, done };

  const { text: calendar } = await get(page, "/calendar.ics");
  t.notMatch(calendar, /[^\r]\n|\r[^\n]/, "every line ends as lines end");
  const lines = calendar.split("\r\n");
  t.ok(lines.every((line) => Buffer.byteLength(line) <= 75 && !line.includes("\ufffd")), "folded between characters");
  t.equal(lines.filter((line) => line === "BEGIN:VEVENT").length, 4, "no name makes an event");
  const read = new ICAL.Component(ICAL.parse(calendar) as never);
  // This reader knows neither as text, and leaves them as they are written.
  for (const name of ["name", "x-wr-calname"]) t.match(read.getFirstPropertyValue(name), /^A BEGIN:VEVENT UID:x\\; \\, \\\\ <script>/);
  for (const event of read.getAllSubcomponents("vevent").map((one) => new ICAL.Event(one))) if (/BEGIN/.test(event.summary)) t.match(event.summary, `]]> & ${emoji}`);

  const parser = new RssParser();
  for (const name of ["/feed.atom", "/feed.rss"]) {
    const { text } = await get(page, name);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what XML cannot hold.
    t.notMatch(text, /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/, name);
    const items = (await parser.parseString(text)).items;
    for (const item of items) for (const part of [item.title, item.content, item["summary"], item["content:encoded"]]) t.notMatch(String(part), /<(?:script|img)|href="(?:javascript|data):/i, name);
    t.ok(items.some(({ title }) => title?.includes("]]")));
  }
  for (const path of ["/badge.svg", `/components/${component}/badge.svg`]) {
    const { text } = await get(page, path);
    t.notMatch(text, /<script|\u202e|\p{Cc}/u, path);
    t.match(text, /aria-label="A BEGIN:VEVENT UID:x; , \\ &lt;script&gt;/);
  }
  for (const path of ["", "/history", `/incidents/${made}`]) {
    const { text } = await get(page, path);
    t.notMatch(text.replace(/<script type="module" src="[^"]*"><\/script>/, ""), /<script|<img|href="(?:javascript|data):/i, path);
    t.match(text, /<meta property="og:site_name" content="A BEGIN:VEVENT UID:x; , \\ &lt;script>alert\(1\)&lt;\/script> ]]> &amp; 🔥/);
  }
});

t.test("badges tell the state of the page and of a component", async (t) => {
  const page = await filledPage(t);
  t.same(await json(page, "/badge.json"), { schemaVersion: 1, label: "Sample & Co", message: "partial outage", color: "#b64a0e" });
  t.match(await json(page, `/badge.json?component=${page.api}`), { label: "API", message: "operational" });
  t.match(await json(page, `/components/${page.europe}/badge.json`), { label: "Europe", message: "partial outage" });
  const svg = await get(page, "/badge.svg");
  t.match(svg.headers["content-type"], /^image\/svg\+xml/);
  t.match(svg.text, /^<svg [^>]*aria-label="Sample &amp; Co: partial outage">/);
  t.equal((await get(page, "/badge.svg?component=nothing")).status, 404);
});

t.test("the widget, robots and the sitemap are there, and other sites may read", async (t) => {
  const page = await filledPage(t);
  const embed = await get(page, "/embed.js");
  t.match(embed.headers, { "content-type": /javascript/, "access-control-allow-origin": "*" });
  t.ok(Buffer.byteLength(embed.text) < 5 * 1024);
  t.equal((await get(page, "/robots.txt")).text, "User-agent: *\nAllow: /\nSitemap: https://status.example.com/sitemap.xml\n");
  const sitemap = (await get(page, "/sitemap.xml")).text;
  t.same([...sitemap.matchAll(/<loc>https:\/\/status\.example\.com([^<]*)<\/loc>/g)].map(([, path]) => path).sort(), [
    "", "/history", "/uptime", `/incidents/${page.open}`, `/incidents/${page.over}`, `/maintenances/${page.active}`, `/maintenances/${page.upcoming}`,
  ].sort());
  const changed = String(at(await page.done("GET", `/incidents/${page.open}`), "updated_at"));
  t.match(sitemap, `<loc>https://status.example.com/incidents/${page.open}</loc><lastmod>${changed}</lastmod>`);
  t.equal((await get(page, "/api/v2/summary.json")).headers["access-control-allow-origin"], "*");
});

t.test("what is not there is a page for browsers and a problem for programs", async (t) => {
  const { app } = await featureServer(t);
  const ask = (url: string, accept: string) => app.inject({ url, headers: { accept, "accept-language": "de" } });
  for (const url of ["/pages/none", "/pages/default/incidents/none", "/pages/default/history?month=1999-01", "/pages/default/nowhere"]) {
    const lost = await ask(url, "text/html");
    t.equal(lost.statusCode, 404, url);
    t.match(lost.headers["content-type"], /^text\/html/, url);
    t.match(lost.body, /Hier gibt es keine Seite/);
    t.match(lost.headers["content-security-policy"], /default-src 'none'/);
  }
  for (const url of ["/pages/none/api/v2/summary.json", "/pages/default/api/v2/nothing.json", "/pages/none/feed.atom", "/pages/default/badge.svg?component=x", "/api/v3/x"]) {
    const lost = await ask(url, "text/html");
    t.match(lost, { statusCode: 404, headers: { "content-type": /^application\/problem\+json/ } }, url);
  }
});
