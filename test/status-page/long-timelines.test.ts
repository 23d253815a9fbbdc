/** Incidents and maintenances with many updates, or long ones: every public format shows the latest, leads to the rest, and costs no more than with few. */
import t from "tap";
import { encodeSection, type DocumentState } from "../../src/core/document.js";
import { limits } from "../../src/core/limits.js";
import { at, featureServer, type Client } from "../features/feature-server.js";

const MANY = 10_000;
const FORMATS = [
  "", "/history", "/uptime", "/badge.svg", "/badge.json", "/feed.atom", "/feed.rss", "/calendar.ics", "/sitemap.xml", "/robots.txt", "/api/v2/summary.json", "/api/v2/status.json", "/api/v2/components.json",
  "/api/v2/incidents.json", "/api/v2/incidents/unresolved.json", "/api/v2/scheduled-maintenances.json",
];

/** Updates as a replica has them in memory once it has loaded an incident: none looked at yet. */
function addUpdates({ data }: Client, id: string, from: number, count: number, body = (n: number) => `Word **${n}** of it`): void {
  const key = `default/incident/${id}`;
  const name = (n: number) => `n${String(n).padStart(6, "0")}`;
  data.write(key, Array.from({ length: count }, (_none, at) => [
    { op: "create", section: name(from + at) } as const, { op: "set", section: name(from + at), field: "status", value: "investigating", was: null } as const, { op: "set", section: name(from + at), field: "body", value: body(from + at), was: null } as const,
  ]).flat());
  const state = (data as unknown as { documents: Map<string, DocumentState> }).documents.get(key);
  for (const [section, held] of state?.sections ?? []) if (section !== "") state?.sections.pack(section, Buffer.from(encodeSection(held)));
}

async function incidentOf(server: Client, count: number): Promise<string> {
  const id = String(at(await server.done("POST", "/incidents", { name: "Long", body: "How it began" }), "id"));
  addUpdates(server, id, 0, count);
  return id;
}

/** Processor time of one answer after a change, ms: the least of some. */
async function costOf(server: Client, id: string, path: string, first: number): Promise<number> {
  const costs: number[] = [];
  for (let n = 0; n < 5; n++) {
    addOne(server, id, first + n);
    const before = process.cpuUsage();
    const answer = await server.app.inject(`/pages/default${path}`);
    const { user, system } = process.cpuUsage(before);
    if (answer.statusCode !== 200) throw new Error(`${path}: ${answer.statusCode}`);
    costs.push((user + system) / 1_000);
  }
  return Math.min(...costs);
}

function addOne({ data }: Client, id: string, n: number): void {
  const section = `z${n}`;
  data.write(`default/incident/${id}`, [{ op: "create", section }, { op: "set", section, field: "status", value: "monitoring", was: null }, { op: "set", section, field: "body", value: `Later ${n}`, was: null }]);
}

async function ready(server: Client): Promise<Client> {
  while ((await server.app.inject("/pages/default/badge.json")).statusCode === 503) await new Promise((resolve) => setTimeout(resolve, 50));
  return server;
}

// Timers of the product keep no process alive, and nothing else is open here.
const alive = setInterval(() => {}, 1_000);
t.teardown(() => clearInterval(alive));

t.test("every format costs about the same for an incident of ten thousand updates as for one of two hundred", async (t) => {
  const few = await ready(await featureServer(t));
  const many = await ready(await featureServer(t));
  const [fewId, manyId] = [await incidentOf(few, 200), await incidentOf(many, MANY)];
  for (const [index, path] of [...FORMATS, "/incidents/"].entries()) {
    const own = (id: string) => (path === "/incidents/" ? path + id : path);
    const [small, large] = [await costOf(few, fewId, own(fewId), index * 10), await costOf(many, manyId, own(manyId), index * 10)];
    t.ok(large < 3 * small + 15, `${own(manyId) || "/"}: ${large.toFixed(1)} ms beside ${small.toFixed(1)} ms`);
  }
});

t.test("a long timeline that nobody has looked at is read in many turns", async (t) => {
  const server = await ready(await featureServer(t));
  await incidentOf(server, MANY);
  let isOver = false;
  let turns = 0;
  const turn = (): void => {
    turns++;
    if (!isOver) setImmediate(turn);
  };
  turn();
  const answer = await server.app.inject("/pages/default/badge.json");
  isOver = true;
  t.equal(answer.statusCode, 200);
  t.ok(turns > MANY / limits.timelineSliceUpdates, `${turns} turns`);
});

t.test("the page shows the latest updates of an incident, and leads to all others, page by page", async (t) => {
  const server = await ready(await featureServer(t));
  const id = await incidentOf(server, 234);
  const wordsOf = (html: string) => [...html.matchAll(/Word <strong>(\d+)<\/strong>|How it began(?=<\/p>)/g)].map(([, n]) => (n === undefined ? -1 : Number(n)));
  const page = (await server.app.inject("/pages/default")).body;
  t.same(wordsOf(page), Array.from({ length: limits.publicUpdatesOnPageMax }, (_none, n) => 233 - n));
  const link = /<a href="(\/pages\/default\/incidents\/[^"]*\?after=[^"]*)">185 earlier updates<\/a>/.exec(page)?.[1];
  t.ok(link, "it says how many more there are");
  const seen = wordsOf(page);
  for (let next = link, pages = 0; next !== undefined && pages < 10; pages++) {
    const answer = await server.app.inject(next);
    t.equal(answer.statusCode, 200);
    seen.push(...wordsOf(answer.body));
    t.match(answer.body, new RegExp(`rel="next" href="/pages/default/incidents/${id}">Latest updates`));
    next = /rel="prev" href="([^"]*)"/.exec(answer.body)?.[1];
  }
  t.same(seen, [...Array.from({ length: 234 }, (_none, n) => 233 - n), -1], "nothing is missed, nothing comes twice");
  const own = (await server.app.inject(`/pages/default/incidents/${id}`)).body;
  t.equal(wordsOf(own).length, limits.publicUpdatesOnOwnPageMax);
  t.notMatch(own, />Latest updates/);
  t.equal((await server.app.inject(`/pages/default/incidents/${id}?after=nothing`)).statusCode, 404);
});

t.test("feeds and Statuspage's lists keep to their bounds, newest first; what is within them is whole", async (t) => {
  const server = await ready(await featureServer(t));
  const id = await incidentOf(server, 150);
  const summary = (await server.app.inject("/pages/default/api/v2/summary.json")).json() as { incidents: { incident_updates: { body: string }[] }[] };
  t.same(summary.incidents[0]?.incident_updates.map(({ body }) => body), Array.from({ length: limits.publicUpdatesInListMax }, (_none, n) => `Word **${149 - n}** of it`));
  const atom = (await server.app.inject("/pages/default/feed.atom")).body;
  t.equal(atom.match(/Word &lt;strong&gt;|Word <strong>/g)?.length, limits.publicUpdatesInFeedMax);
  t.match(atom, new RegExp(`/incidents/${id}(?:"|&quot;)>126 earlier updates`));
  const small = String(at(await server.done("POST", "/incidents", { name: "Small", body: "One" }), "id"));
  for (let n = 0; n < 30; n++) await server.done("POST", `/incidents/${small}/updates`, { body: `Two ${n}` });
  const list = (await server.app.inject("/pages/default/api/v2/incidents.json")).json() as { incidents: { id: string; incident_updates: { body: string }[] }[] };
  t.equal(list.incidents.find((one) => one.id === small)?.incident_updates.length, 31);
});

t.test("long bodies of one incident leave the others their last word, and an answer its size", async (t) => {
  const server = await ready(await featureServer(t));
  const ids: string[] = [];
  for (let n = 0; n < 3; n++) {
    const id = String(at(await server.done("POST", "/incidents", { name: `Talk ${n}`, body: `Last word ${n}` }), "id"));
    ids.push(id);
  }
  const [, , chatty = ""] = ids;
  addUpdates(server, chatty, 0, 20, (n) => `Body ${n} ${"of many words ".repeat(2_000)}`);
  const page = (await server.app.inject("/pages/default")).body;
  t.match(page, /Last word 0/);
  t.match(page, /Last word 1/);
  t.ok(page.match(/Body \d+ of/g)?.length, "it shows some");
  t.ok(page.length < 2 * limits.publicCharactersRenderedMax, `${page.length} characters`);
  t.match(page, />1\d earlier updates</);
});

t.test("a page that nobody has touched says so, in place of a time", async (t) => {
  const { app, done, data } = await ready(await featureServer(t));
  const state = (data as unknown as { documents: Map<string, DocumentState> }).documents.get("~/page/default");
  const root = state?.root;
  if (root === undefined || state?.touched == null || root.born === null) throw new Error("there is no page");
  state.touched = { ...state.touched, region: "genesis" };
  const html = (await app.inject("/pages/default")).body;
  t.match(html, /<p class="fresh"><span>Nothing has been published yet<\/span>/);
  await done("POST", "/components", { name: "API" });
  t.match((await app.inject("/pages/default")).body, /<p class="fresh"><span>Last change <time/);
});
