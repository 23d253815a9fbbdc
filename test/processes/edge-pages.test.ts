/** A real edge that keeps some pages only: what it keeps, what it says of the rest, and what it must never be taken for. */
import { readdir, readFile, rm } from "node:fs/promises";
import path from "node:path";
import { test } from "tap";
import type { ReplicaProcess } from "../../chaos/replica-process.js";
import { EDGE, worldWithEdge } from "./edge-world.js";
import { EventReader } from "./event-reader.js";
import { settled, type World } from "./world.js";

const OTHER = "/v1/pages/other";
const DEFAULT = "/v1/pages/default";

/** True if a text stands in any file of a replica's store. */
async function isOnDisk(node: ReplicaProcess, text: string): Promise<boolean> {
  const folders = [node.data, path.join(node.data, "store")];
  for (const entry of await readdir(node.data, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    if ((await readFile(path.join(entry.parentPath ?? folders[0] ?? "", entry.name))).includes(text)) return true;
  }
  return false;
}

async function twoPages(world: World): Promise<{ own: string; other: string; incident: string }> {
  const page = await world.us.post("/v1/pages", { id: "other", name: "Other" });
  if (page.status !== 201) throw new Error(page.text);
  const own = await world.us.post(`${DEFAULT}/components`, { name: "Zinnwald-Own" });
  const other = await world.us.post(`${OTHER}/components`, { name: "Quersumme-Other" });
  const incident = await world.us.post(`${OTHER}/incidents`, { name: "Xylograph", body: "Wachsfigur-Body", components: { [String(other.body["id"])]: "partial_outage" } });
  if (incident.status !== 201) throw new Error(incident.text);
  return { own: String(own.body["id"]), other: String(other.body["id"]), incident: String(incident.body["id"]) };
}

const caughtUp = (edge: ReplicaProcess, world: World): Promise<unknown> => settled("the edge has seen what us-east holds", async () => {
  const [at, here] = [(await world.us.cluster()).vector, (await edge.cluster()).vector];
  return Object.entries(at).every(([origin, seq]) => (here[origin] ?? 0) >= seq);
}, 30_000);

const met = (edge: ReplicaProcess): Promise<unknown> => settled("the edge and the regions have met", async () => (await edge.cluster()).peers.every(({ state }) => state === "up"), 30_000);

test("an edge for one page stores nothing of another, has a region answer for it, and serves its own with all regions dead", async (t) => {
  const { world, edge, restartEdge, lead, cutEdge, healEdge } = await worldWithEdge(t, { settings: { limits: { logEntriesKept: 20, trimEveryMs: 100 } }, edge: { pages: ["default"] }, front: true });
  const { own, other, incident } = await twoPages(world);
  await caughtUp(edge, world);
  t.match(await edge.cluster(), { role: "edge", pages: ["default"], quarantined: 0 });
  t.match((await world.us.cluster()).peers.find(({ replica }) => replica === EDGE), { pages: ["default"], in_sync: true, unacknowledged_changes: 0 });

  const page = await edge.get("/pages/other", { key: null });
  t.equal(page.status, 200);
  t.match(page.text, "Quersumme-Other", "a region answers for the page that is not here");
  t.ok(page.headers["content-security-policy"], "with the headers that make it safe");
  t.equal((await edge.get("/pages/nobodys", { key: null })).status, 404);
  t.match((await edge.get("/pages/other/api/v2/summary.json", { key: null })).body, { components: [{ name: "Quersumme-Other", status: "partial_outage" }] });
  t.equal((await edge.get(`${OTHER}/components/${other}`)).body["name"], "Quersumme-Other");
  t.equal((await edge.get(`${OTHER}/components/${other}`, { key: "smk_nobody_nothing" })).status, 401);
  const written = await edge.post(`${OTHER}/components`, { name: "Through the edge" });
  t.equal(written.status, 201, written.text);
  t.equal((await edge.get(`${OTHER}/components/${String(written.body["id"])}`, { token: written.token })).status, 200);
  t.same((await edge.get("/v1/pages")).body["data"], (await world.us.get("/v1/pages")).body["data"], "that a page exists is known everywhere");
  t.match(await edge.get("/pages/other/events", { key: null }), { status: 503, body: { type: "/problems/page-not-held" } });
  const reader = new EventReader(() => edge.http);
  t.teardown(() => reader.close());
  await settled("the stream of its own page is open", () => reader.of("ready").length === 1, 30_000);

  await world.killAll();
  await edge.stop();
  t.ok(await isOnDisk(edge, "Zinnwald-Own"), "what is kept is found on its disk");
  for (const text of ["Quersumme-Other", "Xylograph", "Wachsfigur-Body", "Through the edge"]) t.notOk(await isOnDisk(edge, text), `${text} is not`);
  await edge.start();
  const alone = await edge.get("/pages/default", { key: null });
  t.equal(alone.status, 200);
  t.match(alone.text, "Zinnwald-Own");
  t.equal((await edge.get(`${DEFAULT}/components/${own}`)).status, 200);
  for (const url of ["/pages/other", `${OTHER}/components/${other}`]) {
    const lost = await edge.get(url, { patienceMs: 60_000 });
    t.equal(lost.status, 503, "never an empty page, never a 404");
    t.equal(lost.body["type"], "/problems/page-not-held");
    t.ok(lost.headers["retry-after"]);
  }

  await t.test("a page that it is told to keep later is fetched whole before it is served, also where the logs do not reach back; one that it is told no more is dropped", async (t) => {
    await world.startAll();
    lead();
    await met(edge);
    for (let n = 0; n < 60; n++) await world.us.post(`${OTHER}/incidents/${incident}/updates`, { body: `Update ${n}` });
    await settled("the log is trimmed", async () => ((await world.us.metric("statusmesh_log_entries")) ?? 1_000) <= 30, 30_000);
    await caughtUp(edge, world);

    await t.test("not while nobody can give it", async (t) => {
      cutEdge();
      await restartEdge({ pages: ["default", "other"] });
      t.equal((await edge.get(`${DEFAULT}/components/${own}`)).status, 200, "what was there is served");
      t.equal((await edge.get("/pages/other", { key: null, patienceMs: 60_000 })).status, 503, "what was not is not");
    });

    const before = edge.log.length;
    healEdge();
    await settled("it is whole", () => edge.logged(/pages-whole/, before), 30_000);
    await caughtUp(edge, world);
    t.equal((await edge.cluster()).merkle_root, (await world.us.cluster()).merkle_root, "two pages are all that there is");
    await world.us.post(`${OTHER}/incidents/${incident}/updates`, { body: "The last one" });
    await settled("what is written now comes by the log", async () => ((await edge.get(`${OTHER}/incidents/${incident}`)).body["incident_updates"] as unknown[]).length === 62, 30_000);
    cutEdge();
    await settled("the edge is alone", async () => (await edge.cluster()).peers.every(({ state }) => state === "down"), 30_000);
    t.match((await edge.get("/pages/other", { key: null })).text, "Quersumme-Other");
    t.equal(((await edge.get(`${OTHER}/components/${other}/history`)).body["data"] as unknown[]).length > 0, true);

    await restartEdge({ pages: ["other"] });
    t.equal((await edge.get(`${OTHER}/components/${other}`)).status, 200);
    t.equal((await edge.get(`${DEFAULT}/components/${own}`, { patienceMs: 60_000 })).status, 503);
    healEdge();
    await settled("a region answers again", async () => (await edge.get(`${DEFAULT}/components/${own}`, { patienceMs: 60_000 })).status === 200, 30_000);
    await edge.post("/v1/cluster/anti-entropy", null);
    // Another region may have answered before us-east heard of the edge again.
    await settled("us-east hears what the edge keeps now", async () => JSON.stringify((await world.us.cluster()).peers.find(({ replica }) => replica === EDGE)?.pages) === '["other"]', 30_000);
  });
});

test("a region that lost its disk takes nothing for held because an edge for another page has seen it", async (t) => {
  const { world, edge, lead } = await worldWithEdge(t, { settings: { limits: { logEntriesKept: 20, trimEveryMs: 100 }, antiEntropyIntervalMs: 500 }, edge: { pages: ["default"] }, front: true });
  const { own, other, incident } = await twoPages(world);
  for (let n = 0; n < 60; n++) await world.us.post(`${OTHER}/incidents/${incident}/updates`, { body: `Update ${n}` });
  await settled("logs are trimmed, and the edge's log too", async () => ((await world.us.metric("statusmesh_log_entries")) ?? 1_000) <= 30 && ((await world.eu.metric("statusmesh_log_entries")) ?? 1_000) <= 30, 30_000);
  await caughtUp(edge, world);
  const before = (await world.eu.cluster()).vector;
  const seenByEdge = (await edge.cluster()).vector;
  await world.killAll();
  await rm(world.dataFolder("us-east"), { recursive: true });
  await world.startOne("us-east");
  lead();
  await settled("us-east and the edge have met", async () => (await edge.cluster()).peers.some(({ region, state }) => region === "us-east" && state === "up"), 30_000);
  const round = await world.us.post("/v1/cluster/anti-entropy", null);
  t.same(round.body["peers"], [], "nobody who has everything is there to ask");
  await edge.post("/v1/cluster/anti-entropy", null);
  await settled("what the edge keeps has come back from it", async () => (await world.us.get(`${DEFAULT}/components/${own}`)).status === 200, 30_000);
  const { vector } = await world.us.cluster();
  t.ok(Object.keys(before).length > 0 && Object.keys(before).every((origin) => (seenByEdge[origin] ?? 0) >= (before[origin] ?? 0)), "the edge has seen all of what is gone");
  t.same(Object.keys(before).filter((origin) => (vector[origin] ?? 0) > 0), [], "us-east claims nothing at all of the logs that it does not have");
  t.equal((await world.us.get(`${OTHER}/components/${other}`)).status, 404);
  await Promise.all([world.startOne("eu-west"), world.startOne("ap-south")]);
  await world.converged();
  const whole = await world.us.get(`${OTHER}/incidents/${incident}`);
  t.equal((whole.body["incident_updates"] as unknown[]).length, 61, "what it lost came from those who have it");
  t.equal((await world.us.post(`${OTHER}/components`, { name: "Later" }, { level: "GLOBAL_QUORUM" })).status, 201);
});
