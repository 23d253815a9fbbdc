import t from "tap";
import { encodeToken } from "../../src/store/session-token.js";
import type { Answer, Client, Json } from "./contract-client.js";
import { until, World } from "./contract-world.js";

const world = await World.start({ running: ["us-east", "eu-west", "ap-south"] });
t.teardown(() => world.stop());
const [east, west, south] = [world.client("us-east"), world.client("eu-west"), world.client("ap-south")];
const regions = [east, west, south];
const page = "/v1/pages/default";
const components = `${page}/components`;
const QUORUM = { "consistency-level": "GLOBAL_QUORUM" };
const LEVELS = ["LOCAL", "LOCAL_QUORUM", "GLOBAL_QUORUM"];

async function made(path: string, body: Json, client: Client = east): Promise<Json> {
  const answer = await client.post(path, body, QUORUM);
  if (answer.status !== 201) throw new Error(`${path}: ${answer.text}`);
  return answer.body;
}
const seen = (answer: Answer): { "session-token": string } => ({ "session-token": answer.headers["session-token"] ?? "" });

/** Waits until all regions show the same of a path, and returns it. */
async function settled(path: string): Promise<Answer> {
  let answers: Answer[] = [];
  await until(`${path} is equal in all regions`, async () => {
    answers = await Promise.all(regions.map((region) => region.get(path)));
    // Concurrent values of which one is still on its way may look the same: only the tag tells that a region lacks it.
    return new Set(answers.map(({ text, status, headers }) => `${status} ${headers["etag"]} ${text.replace(/"instance":"[^"]*"/, "")}`)).size === 1;
  });
  const [first] = answers;
  if (first === undefined) throw new Error("no answers");
  return first;
}

t.test("every replicated route takes every level, by header or by query, and names the one served", async (t) => {
  const { id } = await made(components, { name: "levels" });
  const incident = await made(`${page}/incidents`, { name: "levels", status: "resolved" });
  const paths = ["/v1/pages", page, components, `${components}/${id}`, `${components}/${id}/history`, `${components}/${id}/conflicts`, `${page}/conflicts`, `${page}/incidents`, `${page}/incidents/${incident.id}`, `${page}/incidents/${incident.id}/updates`, `${page}/incidents/${incident.id}/updates/${incident.incident_updates[0].id}`, `${page}/component-groups`, `${page}/maintenances`, "/v1/keys", "/v1/keys/root"];
  for (const level of LEVELS) {
    for (const path of paths) {
      const [named, asked, both] = [await east.get(path, { "consistency-level": level }), await east.get(`${path}?consistency=${level}`), await east.get(`${path}?consistency=NONSENSE`, { "consistency-level": level })];
      t.same([named.status, asked.status, both.status], [200, 200, 200], `${path} at ${level}`);
      t.same([named.headers["consistency-level"], asked.headers["consistency-level"], both.headers["consistency-level"]], [level, level, level]);
    }
    for (const [method, path, body] of [["POST", components, { name: "x" }], ["PATCH", `${components}/${id}`, { description: level }], ["PATCH", `${components}/${id}`, {}], ["POST", `${page}/incidents/${incident.id}/updates`, { body: level }], ["PUT", `${page}/incidents/${incident.id}/postmortem`, { body: level }]] as const) {
      const answer = await west.send(method, path, body, { "consistency-level": level });
      t.ok(answer.status < 300, `${method} ${path} at ${level}: ${answer.status}`);
      t.equal(answer.headers["consistency-level"], level);
    }
    t.equal((await east.get(`${components}/none`, { "consistency-level": level })).status, 404);
  }
  t.equal((await east.get(components)).headers["consistency-level"], "LOCAL", "the default");
});

t.test("bad levels, tokens and waiting times are 400, on reads, lists and writes alike", async (t) => {
  const token = (await east.get(page)).headers["session-token"] ?? "";
  const bad: Record<string, readonly string[]> = {
    "consistency-level": ["QUORUM", "local", "", "LOCAL, LOCAL", "GLOBAL_QUORUM "  + "x"],
    "session-token": ["nonsense", "", "v1.", "v2.abc", token.slice(0, -1), `${token}A`, token.toUpperCase(), "x".repeat(513), "v1.e30"].filter((text) => text !== "v1."),
    "session-wait": ["-1", "30001", "1.5", "x", "", "1e3", " "],
    "quorum-timeout": ["99", "30001", "0", "-5", "x", "", "100.5"],
  };
  for (const [header, values] of Object.entries(bad)) for (const value of values) {
    for (const [method, path, body] of [["GET", page, undefined], ["GET", components, undefined], ["POST", components, { name: "x" }], ["GET", `${components}/none`, undefined]] as const) {
      const answer = await east.send(method, path, body, { [header]: value });
      t.equal(answer.status, 400, `${method} ${path} ${header}: ${value.slice(0, 30)}`);
    }
  }
  for (const [header, values] of [["session-wait", ["0", "30000"]], ["quorum-timeout", ["100", "30000"]]] as const) for (const value of values) t.equal((await east.get(page, { [header]: value })).status, 200, `${header}: ${value}`);
});

t.test("a session token of any region shows its writes in every region", async (t) => {
  const { id } = await made(components, { name: "session" });
  for (let round = 0; round < 10; round++) {
    const [writer, ...readers] = [...regions.slice(round % 3), ...regions.slice(0, round % 3)];
    if (writer === undefined) throw new Error("no writer");
    const answer = await writer.patch(`${components}/${id}`, { description: `round ${round}` }, { "session-token": (await settledToken()) });
    t.equal(answer.status, 200);
    for (const reader of readers) {
      t.equal((await reader.get(`${components}/${id}`, seen(answer))).body.description, `round ${round}`, `${writer.region} → ${reader.region}`);
      t.equal((await reader.get(`${components}?limit=100`, seen(answer))).body.data.find((item: Json) => item.id === id)?.description, `round ${round}`, "in the list as well");
    }
    const created = await writer.post(components, { name: `by ${writer.region}` });
    t.equal((await Promise.all(readers.map((reader) => reader.patch(`${components}/${created.body.id}`, { description: "follows" }, seen(created))))).every(({ status }) => status === 200), true, "writes follow reads");
    const deleted = await writer.delete(`${components}/${created.body.id}`);
    for (const reader of readers) t.equal((await reader.get(`${components}/${created.body.id}`, seen(deleted))).status, 404);
  }
  async function settledToken(): Promise<string> {
    return (await east.get(page)).headers["session-token"] ?? "";
  }
});

t.test("a token that saw more than can be had within Session-Wait is 503, on reads, lists and writes", async (t) => {
  const ahead = encodeToken({ "us-east-1.1": 900_000_000, "eu-west-1.zz": 5 }, new Set());
  for (const [method, path, body] of [["GET", page, undefined], ["GET", components, undefined], ["GET", `${components}/none`, undefined], ["POST", components, { name: "x" }], ["DELETE", `${components}/none`, undefined], ["GET", `${components}/none/history`, undefined]] as const) {
    const startedAt = Date.now();
    const answer = await east.send(method, path, body, { "session-token": ahead, "session-wait": "100" });
    t.equal(answer.status, 503, `${method} ${path}`);
    t.equal(answer.body.type, "/problems/session-behind");
    t.equal(answer.body.outcome, method === "GET" ? undefined : "rejected");
    const tookMs = Date.now() - startedAt;
    t.ok(tookMs >= 90 && tookMs < 1_500, `waited ${tookMs} ms`);
  }
  const startedAt = Date.now();
  t.equal((await east.get(page, { "session-token": ahead, "session-wait": "0" })).status, 503);
  t.ok(Date.now() - startedAt < 500);
  const defaultFrom = Date.now();
  t.equal((await east.get(page, { "session-token": ahead })).status, 503);
  const tookMs = Date.now() - defaultFrom;
  t.ok(tookMs >= 1_900 && tookMs < 3_500, `waited ${tookMs} ms by default`);
});

t.test("what GLOBAL_QUORUM has written, GLOBAL_QUORUM shows everywhere at once: resources, lists, 404s", async (t) => {
  for (let round = 0; round < 6; round++) {
    const [writer, ...readers] = [...regions.slice(round % 3), ...regions.slice(0, round % 3)];
    if (writer === undefined) throw new Error("no writer");
    const { id } = await made(components, { name: `q${round}` }, writer);
    const url = `${components}/${id}`;
    for (const reader of readers) {
      t.equal((await reader.get(url, QUORUM)).status, 200);
      t.ok((await reader.get(`${components}?limit=100`, QUORUM)).body.data.some((item: Json) => item.id === id));
    }
    t.equal((await readers[0]?.patch(url, { description: "other" }, QUORUM))?.status, 200);
    for (const reader of regions) t.equal((await reader.get(url, QUORUM)).body.description, "other");
    t.equal((await readers[1]?.delete(url, QUORUM))?.status, 204);
    for (const reader of regions) {
      t.equal((await reader.get(url, QUORUM)).status, 404);
      t.notOk((await reader.get(`${components}?limit=100`, QUORUM)).body.data.some((item: Json) => item.id === id));
    }
  }
});

t.test("of writers with one ETag in three regions at most one succeeds, also among plain quorum writes", async (t) => {
  const { id } = await made(components, { name: "cas" });
  const url = `${components}/${id}`;
  for (let round = 0; round < 8; round++) {
    const etag = (await east.get(url, QUORUM)).headers["etag"] ?? "";
    const answers = await Promise.all(regions.flatMap((region, index) => [0, 1].map((copy) => region.patch(url, { description: `${round} ${index} ${copy}` }, { ...QUORUM, "if-match": etag }))));
    const statuses = answers.map(({ status }) => status).sort();
    t.same(statuses, [200, 412, 412, 412, 412, 412], `round ${round}`);
    const winner = answers.find(({ status }) => status === 200);
    t.equal((await west.get(url, QUORUM)).body.description, winner?.body.description);
    const tag = (await west.get(url, QUORUM)).headers["etag"] ?? "";
    const [guarded, plain] = await Promise.all([east.patch(url, { description: "guarded" }, { ...QUORUM, "if-match": tag }), south.patch(url, { description: "plain" }, QUORUM)]);
    t.equal(plain.status, 200);
    t.ok([200, 412].includes(guarded.status));
    if (guarded.status === 412) t.equal((await west.get(url, QUORUM)).body.description, "plain");
  }
});

t.test("of quorum creations of one id in three regions one succeeds, the others get 409", async (t) => {
  for (let round = 0; round < 6; round++) {
    const id = `race-${round}`;
    const answers = await Promise.all(regions.map((region) => region.post("/v1/pages", { id, name: `by ${region.region}` }, QUORUM)));
    t.same(answers.map(({ status }) => status).sort(), [201, 409, 409], id);
    const winner = answers.find(({ status }) => status === 201);
    t.same((await Promise.all(regions.map(async (region) => (await region.get(`/v1/pages/${id}`, QUORUM)).body.name))), Array(3).fill(winner?.body.name));
  }
});

t.test("refusals that looked at the state carry level and token, too", async (t) => {
  const { id } = await made(components, { name: "refused" });
  const refusals: readonly (readonly [string, string, Json, Record<string, string>, number])[] = [
    ["GET", `${components}/none`, undefined, {}, 404], ["PATCH", `${components}/none`, { name: "x" }, {}, 404], ["DELETE", `${components}/none`, undefined, {}, 404],
    // No precondition hides what is not there.
    ["PATCH", `${components}/none`, { name: "x" }, { "if-match": '"no"' }, 404], ["DELETE", `${components}/none`, undefined, { "if-match": "*" }, 404], ["GET", `${components}/none/history`, undefined, {}, 404],
    ["POST", "/v1/pages", { id: "default", name: "x" }, {}, 409], ["PATCH", `${components}/${id}`, { name: "x" }, { "if-match": '"no"' }, 412], ["PATCH", `${components}/${id}`, { group_id: "none" }, {}, 422],
  ];
  for (const level of LEVELS) for (const [method, path, body, headers, status] of refusals) {
    const answer = await west.send(method, path, body, { ...headers, "consistency-level": level });
    t.equal(answer.status, status, `${method} ${path} at ${level}`);
    t.equal(answer.headers["consistency-level"], level);
    t.match(answer.headers["session-token"], /./);
  }
});

t.test("quorum edits against a quorum delete: no edit succeeds after it, and nothing comes back", async (t) => {
  for (let round = 0; round < 6; round++) {
    const { id } = await made(components, { name: "contested" });
    const url = `${components}/${id}`;
    const [first, deleted, last] = await Promise.all([east.patch(url, { description: "a" }, QUORUM), west.delete(url, QUORUM), south.patch(url, { description: "b" }, QUORUM)]);
    t.equal(deleted.status, 204);
    for (const { status } of [first, last]) t.ok(status === 200 || status === 404, `${status}`);
    for (const region of regions) t.equal((await region.get(url, QUORUM)).status, 404);
    t.equal((await east.patch(url, { description: "late" }, QUORUM)).status, 404);
  }
});

t.test("a quorum write of an incident writes its components, and resolving restores them, seen from anywhere", async (t) => {
  const api = await made(components, { name: "api" });
  const incident = await made(`${page}/incidents`, { name: "i", components: { [api.id]: "major_outage" } });
  t.equal((await south.get(`${components}/${api.id}`, QUORUM)).body.status, "major_outage");
  const resolved = await west.post(`${page}/incidents/${incident.id}/updates`, { status: "resolved", body: "over" }, QUORUM);
  t.equal(resolved.status, 201);
  t.equal((await south.get(`${components}/${api.id}`, QUORUM)).body.status, "operational");
  const shown = (await east.get(`${page}/incidents/${incident.id}`, QUORUM)).body;
  t.match(shown, { status: "resolved", incident_updates: [{ region: "eu-west" }, { region: "us-east" }] });
});

/** Lets all regions write at once until the writes were concurrent: none of them saw another. */
async function concurrently(path: string, bodies: readonly Json[], prepare: () => Promise<unknown> = async () => {}): Promise<Answer> {
  for (let attempt = 0; attempt < 30; attempt++) {
    await prepare();
    await settled(path);
    const answers = await Promise.all(bodies.map((body, index) => (regions[index] ?? east).patch(path, body)));
    for (const answer of answers) if (answer.status !== 200) throw new Error(answer.text);
    const after = await settled(path);
    if (after.body.has_conflicts) return after;
  }
  throw new Error("the writes were never concurrent");
}

t.test("concurrent names are siblings: listed with their regions, resolved by anyone, equal everywhere", async (t) => {
  const { id } = await made(components, { name: "start" });
  const url = `${components}/${id}`;
  const conflicted = await concurrently(url, [{ name: "from east" }, { name: "from west" }, { name: "from south" }]);
  const { body } = await settled(`${url}/conflicts`);
  t.equal(body.data.length, 1);
  const [conflict] = body.data;
  t.same(Object.keys(conflict).sort(), ["field", "rule", "shown", "values"]);
  t.match(conflict, { field: "name", rule: "siblings", shown: conflicted.body.name });
  t.ok(conflict.values.length >= 2);
  for (const value of conflict.values) {
    t.same(Object.keys(value).sort(), ["actor", "hlc", "region", "value"]);
    t.equal(value.actor, "root");
  }
  const latest = [...conflict.values].sort((a: Json, b: Json) => (a.hlc < b.hlc ? 1 : -1))[0];
  t.equal(conflict.shown, latest.value, "the later HLC is shown");
  const ofPage = (await settled(`${page}/conflicts`)).body.data.filter((entry: Json) => entry.id === id);
  t.match(ofPage, [{ type: "component", id, field: "name", shown: conflict.shown }]);
  const resolve = (value: Json, client: Client = south): Promise<Answer> => client.post(`${url}/conflicts/name/resolve`, { value });
  t.equal((await resolve("")).status, 422);
  t.equal((await resolve(5)).status, 422);
  t.equal((await resolve(null)).status, 422);
  t.equal((await south.post(`${url}/conflicts/description/resolve`, { value: "x" })).status, 404, "a field without a conflict");
  const resolved = await resolve("agreed");
  t.equal(resolved.status, 200);
  t.match(resolved.body, { id, name: "agreed", has_conflicts: false });
  t.match((await settled(url)).body, { name: "agreed", has_conflicts: false });
  t.same((await settled(`${url}/conflicts`)).body.data, []);
  t.equal((await resolve("again")).status, 404);
});

t.test("of concurrent statuses of a component the worst is shown", async (t) => {
  const { id } = await made(components, { name: "status" });
  const url = `${components}/${id}`;
  const { body } = await concurrently(url, [{ status: "degraded_performance" }, { status: "major_outage" }, { status: "partial_outage" }], () => east.patch(url, { status: "operational" }));
  const [conflict] = (await settled(`${url}/conflicts`)).body.data;
  t.match(conflict, { field: "status", rule: "worst", shown: body.status });
  const order = ["operational", "under_maintenance", "degraded_performance", "partial_outage", "major_outage"];
  const worst = conflict.values.map(({ value }: Json) => value).sort((a: string, b: string) => order.indexOf(b) - order.indexOf(a))[0];
  t.equal(body.status, worst);
  t.match((await east.post(`${url}/conflicts/status/resolve`, { value: "operational" }, QUORUM)).body, { status: "operational", has_conflicts: false });
  t.equal((await settled(url)).body.status, "operational");
});

t.test("concurrent updates and labels are all kept; reopening beats resolving", async (t) => {
  const incident = await made(`${page}/incidents`, { name: "i", labels: ["old"] });
  const url = `${page}/incidents/${incident.id}`;
  for (let round = 0; round < 5; round++) {
    await settled(url);
    // Each writer saw what its region shows now. What arrives from elsewhere before its write does, it has not seen, and does not take away.
    const tokens = await Promise.all(regions.map(async (region) => seen(await region.get(url))));
    await Promise.all(regions.map((region, index) => region.patch(url, { labels: ["old", `${region.region}-${round}`], body: `${region.region} ${round}` }, tokens[index])));
  }
  const { body } = await settled(url);
  for (const region of regions) for (let round = 0; round < 5; round++) t.ok(body.incident_updates.some((update: Json) => update.body === `${region.region} ${round}` && update.region === region.region));
  for (const region of regions) t.ok(body.labels.includes(`${region.region}-4`), "labels of the last round");
  for (let round = 0; round < 6; round++) {
    await east.patch(url, { status: "resolved" }, QUORUM);
    await settled(url);
    // A resolve that says the same again, and a reopening, neither of which saw the other.
    const [reopened, resolved] = await Promise.all([west.patch(url, { status: "investigating", body: "again" }), east.patch(url, { status: "resolved", body: "still over" })]);
    t.same([reopened.status, resolved.status], [200, 200]);
    const after = await settled(url);
    const statuses = after.body.incident_updates.slice(0, 2).map(({ status }: Json) => status).sort();
    t.same(statuses, ["investigating", "resolved"], "both stay in the timeline");
    const { data } = (await settled(`${url}/conflicts`)).body;
    if (data.some(({ field }: Json) => field === "status")) t.equal(after.body.status, "investigating", "reopening wins");
  }
});

t.test("a delete beats a concurrent edit, everywhere, and the history keeps both", async (t) => {
  for (let round = 0; round < 5; round++) {
    const { id } = await made(components, { name: "doomed" });
    const url = `${components}/${id}`;
    await settled(url);
    const [edited, deleted] = await Promise.all([east.patch(url, { description: "edit" }), west.delete(url)]);
    t.equal(deleted.status, 204);
    t.ok([200, 404].includes(edited.status));
    await until("it is gone everywhere", async () => (await Promise.all(regions.map((region) => region.get(url)))).every(({ status }) => status === 404));
    const { body } = await settled(`${url}/history?limit=100`);
    t.ok(body.data.some(({ field }: Json) => field === "deleted"));
    if (edited.status === 200) t.ok(body.data.some(({ field, to, region }: Json) => field === "description" && to === "edit" && region === "us-east"), "the acknowledged edit stays in the history");
  }
});

t.test("the same state has the same ETags, lists and cursors in every region", async (t) => {
  for (const path of ["/v1/pages", page, `${components}?limit=100`, `${page}/incidents?limit=100`, `${page}/conflicts`]) await settled(path);
  const all = (await east.get(`${components}?limit=100`)).body.data.map(({ id }: Json) => id);
  const found: string[] = [];
  let cursor: string | null = "";
  for (let step = 0; cursor !== null; step++) {
    const region = regions[step % 3] ?? east;
    const { body } = await region.get(`${components}?limit=2${cursor === "" ? "" : `&cursor=${cursor}`}`);
    found.push(...body.data.map(({ id }: Json) => id));
    cursor = body.next_cursor;
  }
  t.same(found, all, "a cursor of one region goes on in another");
});

t.test("the cluster's state has the contract's members, and a round of anti-entropy reports on every peer", async (t) => {
  for (const region of regions) {
    const { body } = await region.get("/v1/cluster");
    for (const member of ["replica", "region", "role", "incarnation", "vector", "merkle_root", "clock", "degradation", "quarantined", "peers"]) t.ok(member in body, member);
    t.match(body, { replica: `${region.region}-1`, region: region.region, role: "region", clock: { hlc: /./, offset_ms: Number }, degradation: { level: 0, reasons: [] } });
    t.equal(body.peers.length, 2);
    for (const peer of body.peers) {
      for (const member of ["replica", "region", "state", "rtt_ms", "unacknowledged_changes", "oldest_unacknowledged_ms", "vector", "merkle_root", "in_sync", "clock_offset_ms"]) t.ok(member in peer, member);
      t.equal(peer.state, "up");
    }
  }
  await until("all regions have one root", async () => new Set(await Promise.all(regions.map(async (region) => (await region.get("/v1/cluster")).body.merkle_root))).size === 1);
  const round = await east.post("/v1/cluster/anti-entropy");
  t.equal(round.status, 200);
  t.same(round.body.peers.map(({ replica }: Json) => replica).sort(), ["ap-south-1", "eu-west-1"]);
  for (const peer of round.body.peers) t.same(Object.keys(peer).sort(), ["bytes", "documents_compared", "documents_repaired", "equal", "replica", "round_trips"]);
  t.ok(round.body.peers.every(({ equal }: Json) => equal === true));
  t.equal((await east.post("/v1/cluster/anti-entropy", {})).status < 500, true);
});
