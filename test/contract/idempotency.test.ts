import t from "tap";
import type { Json } from "./contract-client.js";
import { until, World } from "./contract-world.js";

const world = await World.start({ running: ["us-east", "eu-west", "ap-south"] });
t.teardown(() => world.stop());
const [owner, west, south] = [world.client("us-east"), world.client("eu-west"), world.client("ap-south")];
const regions = [owner, west, south];
const page = "/v1/pages/default";
const incidents = `${page}/incidents`;
let keys = 0;
const newKey = (): { "idempotency-key": string } => ({ "idempotency-key": `key ${keys++} !~` });
const TAKEN = "/problems/idempotency-key-reused";

async function made(path: string, body: Json): Promise<Json> {
  const answer = await owner.post(path, body);
  if (answer.status !== 201) throw new Error(`${path}: ${answer.text}`);
  return answer.body;
}

t.test("a repetition returns the first answer, and says so", async (t) => {
  const key = newKey();
  const first = await owner.post(incidents, { name: "once", labels: ["a"] }, key);
  t.equal(first.status, 201);
  t.equal(first.headers["idempotent-replayed"], undefined);
  await owner.patch(`${incidents}/${first.body.id}`, { name: "changed meanwhile" });
  const again = await owner.post(incidents, { name: "once", labels: ["a"] }, key);
  t.equal(again.status, 201);
  t.equal(again.headers["idempotent-replayed"], "true");
  t.same(again.body, first.body);
  for (const name of ["location", "etag"]) t.equal(again.headers[name], first.headers[name], name);
  const spaced = await owner.raw("POST", incidents, '{ "labels": ["a"],\n "name": "once" }', { "content-type": "application/json", ...key });
  t.same([spaced.status, spaced.headers["idempotent-replayed"]], [201, "true"], "the same JSON is the same body");
  const found = (await owner.get(`${incidents}?limit=100`)).body.data.filter(({ id }: Json) => id === first.body.id);
  t.equal(found.length, 1);
});

t.test("the same key with another body is 422; on another page, path or method it is another key", async (t) => {
  const key = newKey();
  const first = await owner.post(incidents, { name: "one" }, key);
  const other = await owner.post(incidents, { name: "two" }, key);
  t.equal(other.status, 422);
  t.equal(other.body.type, TAKEN);
  t.equal((await owner.post(incidents, { name: "one", labels: [] }, key)).status, 422);
  await owner.post("/v1/pages", { id: "second", name: "Second" });
  for (const [method, path] of [["POST", `${page}/components`], ["POST", "/v1/pages/second/incidents"], ["PATCH", `${incidents}/${first.body.id}`]] as const) {
    const answer = await owner.send(method, path, { name: "one" }, key);
    t.ok(answer.status < 300, `${method} ${path} ${answer.status}`);
    t.equal(answer.headers["idempotent-replayed"], undefined);
    t.not(answer.body.id === first.body.id && method === "POST", true);
  }
});

t.test("PATCH, DELETE, PUT and actions are repeated safely", async (t) => {
  const { id } = await made(incidents, { name: "i", status: "resolved" });
  const url = `${incidents}/${id}`;
  const [patching, updating, putting, publishing, deleting] = [newKey(), newKey(), newKey(), newKey(), newKey()];
  for (const replayed of [undefined, "true"]) {
    const patched = await owner.patch(url, { body: "an update" }, patching);
    t.same([patched.status, patched.headers["idempotent-replayed"]], [200, replayed]);
    const updated = await owner.post(`${url}/updates`, { body: "posted" }, updating);
    t.same([updated.status, updated.headers["idempotent-replayed"]], [201, replayed]);
    const put = await owner.put(`${url}/postmortem`, { body: "p" }, putting);
    t.same([put.status, put.headers["idempotent-replayed"]], [200, replayed]);
    const published = await owner.post(`${url}/postmortem/publish`, undefined, publishing);
    t.same([published.status, published.headers["idempotent-replayed"]], [200, replayed]);
  }
  t.equal((await owner.get(url)).body.incident_updates.length, 3, "one by the creation, one by each");
  for (const replayed of [undefined, "true"]) {
    const deleted = await owner.delete(url, deleting);
    t.same([deleted.status, deleted.headers["idempotent-replayed"]], [204, replayed]);
  }
});

t.test("a body that its schema refuses is refused under its key, in every region: another body with that key is a reuse", async (t) => {
  const { id } = await made(`${page}/components`, { name: "of a refusal" });
  for (const [method, path, wrong, right] of [
    ["POST", `${page}/components`, { name: "x", statsu: "operational" }, { name: "x" }],
    ["PATCH", `${page}/components/${id}`, { position: "first" }, { position: 1 }],
    ["POST", "/v1/pages", { url: "https://status.example.org" }, { name: "Of a refusal" }],
  ] as const) {
    const key = newKey();
    const refused = await owner.send(method, path, wrong, key);
    t.same([refused.status, refused.body.type, refused.headers["idempotent-replayed"]], [422, "/problems/invalid", undefined], path);
    const again = await owner.send(method, path, wrong, key);
    t.same([again.status, again.body.type, again.body.errors, again.headers["idempotent-replayed"]], [422, "/problems/invalid", refused.body.errors, "true"], path);
    for (const region of [owner, west]) {
      const other = await region.send(method, path, right, { ...key, "session-token": again.headers["session-token"] ?? "" });
      t.same([other.status, other.body.type], [422, TAKEN], path);
    }
    const first = newKey();
    t.ok((await owner.send(method, path, right, first)).status < 300, path);
    t.equal((await owner.send(method, path, wrong, first)).body.type, TAKEN, path);
  }
  t.equal((await owner.get(`${page}/components/${id}`)).body.position, 1);
});

t.test("final refusals are kept, too", async (t) => {
  const { id } = await made(`${page}/components`, { name: "c" });
  const url = `${page}/components/${id}`;
  const cases = [
    [() => owner.patch(url, { name: "x" }, { "if-match": '"no"', ...stale }), 412],
    [() => owner.post("/v1/pages", { id: "default", name: "x" }, taken), 409],
    [() => owner.patch(`${page}/components/none`, { name: "x" }, missing), 404],
    [() => owner.post(`${page}/components`, { name: "x", group_id: "none" }, unknown), 422],
  ] as const;
  const [stale, taken, missing, unknown] = [newKey(), newKey(), newKey(), newKey()];
  for (const [send, status] of cases) {
    const [first, again] = [await send(), await send()];
    t.same([first.status, again.status], [status, status]);
    t.equal(first.headers["idempotent-replayed"], undefined, `${status} at first`);
    t.equal(again.headers["idempotent-replayed"], "true", `${status} replayed`);
    t.same({ ...again.body, instance: "" }, { ...first.body, instance: "" });
  }
  t.equal((await owner.patch(url, { name: "x" }, stale)).status, 412, "the first answer, though this request would have passed");
});

t.test("a key that is no key is 400", async (t) => {
  for (const bad of ["", "x".repeat(256), "tab\there", "é"]) {
    const answer = await owner.post(incidents, { name: "x" }, { "idempotency-key": bad });
    t.equal(answer.status, 400, JSON.stringify(bad).slice(0, 20));
  }
  t.equal((await owner.post(incidents, { name: "x" }, { "idempotency-key": "x".repeat(255) })).status, 201);
});

t.test("a refusal for want of a right is not kept", async (t) => {
  const key = newKey();
  const viewer = await made("/v1/keys", { name: "v", role: "viewer", page: "default" });
  t.equal((await owner.as(viewer.secret).post(incidents, { name: "x" }, key)).status, 403);
  t.equal((await owner.post(incidents, { name: "x" }, key)).status, 201);
});

t.test("a replay never repeats a secret, in any region", async (t) => {
  const key = newKey();
  const first = await owner.post("/v1/keys", { name: "k", role: "viewer", page: "default" }, key);
  t.ok(first.body.secret);
  const again = await owner.post("/v1/keys", { name: "k", role: "viewer", page: "default" }, key);
  t.same([again.status, again.headers["idempotent-replayed"], "secret" in again.body], [201, "true", false]);
  t.equal(again.body.id, first.body.id);
  const elsewhere = await west.post("/v1/keys", { name: "k", role: "viewer", page: "default" }, { ...key, "session-token": first.headers["session-token"] ?? "" });
  t.same([elsewhere.status, elsewhere.headers["idempotent-replayed"], "secret" in elsewhere.body], [201, "true", false]);
  const rotating = newKey();
  t.ok((await owner.post(`/v1/keys/${first.body.id}/rotate`, undefined, rotating)).body.secret);
  t.notOk("secret" in (await owner.post(`/v1/keys/${first.body.id}/rotate`, undefined, rotating)).body);
  t.notMatch((await owner.get(`/v1/keys/${first.body.id}`)).text, "secret");
});

t.test("many at once in one region get the one result", async (t) => {
  const key = newKey();
  const answers = await Promise.all(Array.from({ length: 20 }, () => owner.post(incidents, { name: "at once" }, key)));
  t.same(new Set(answers.map(({ status }) => status)), new Set([201]));
  t.equal(new Set(answers.map(({ text }) => text)).size, 1);
  t.equal(answers.filter(({ headers }) => headers["idempotent-replayed"] === undefined).length, 1, "one is the first");
  const mixed = newKey();
  const rivals = await Promise.all(["a", "b", "a", "b"].map((name) => owner.post(incidents, { name }, mixed)));
  t.same(rivals.map(({ status }) => status).sort(), [201, 201, 422, 422]);
});

for (const level of ["LOCAL", "GLOBAL_QUORUM"]) {
  t.test(`the same request in three regions at once, at ${level}: one resource with one id`, async (t) => {
    for (let round = 0; round < 5; round++) {
      const key = newKey();
      const api = await owner.post(`${page}/components`, { name: "c" }, { "consistency-level": "GLOBAL_QUORUM" });
      await Promise.all([west, south].map((region) => region.get(`${page}/components`, { "session-token": api.headers["session-token"] ?? "" })));
      const body = { name: `round ${round}`, body: "b", components: { [api.body.id]: "major_outage" } };
      const answers = await Promise.all(regions.map((region) => region.post(incidents, body, { ...key, "consistency-level": level })));
      t.same(answers.map(({ status }) => status), [201, 201, 201]);
      t.equal(new Set(answers.map((answer) => answer.body.id)).size, 1, "one id");
      const [{ body: incident }] = answers as [Json, Json, Json];
      const shown = async (): Promise<Json[]> => Promise.all(regions.map(async (region) => (await region.get(`${incidents}/${incident.id}`)).body));
      await until("all regions show the same", async () => {
        const [one, ...others] = (await shown()).map((each) => JSON.stringify(each));
        return others.every((other) => other === one) && JSON.parse(one ?? "{}").id === incident.id;
      });
      const [merged] = await shown();
      t.equal(merged.incident_updates.length, 1, "one update");
      t.equal(merged.has_conflicts, false);
      t.equal(merged.created_at, answers.map((answer) => answer.body.created_at).sort()[0], "created at the earlier time");
      for (const region of regions) {
        const again = await region.post(incidents, body, key);
        t.same([again.status, again.headers["idempotent-replayed"], again.body.id], [201, "true", incident.id]);
        t.equal((await region.post(incidents, { ...body, name: "other" }, key)).body.type, TAKEN);
      }
    }
  });
}

t.test("one key at LOCAL in one region and at GLOBAL_QUORUM in another is one request", async (t) => {
  for (let round = 0; round < 5; round++) {
    const key = newKey();
    const [here, there] = await Promise.all([owner.post(incidents, { name: "mixed" }, key), west.post(incidents, { name: "mixed" }, { ...key, "consistency-level": "GLOBAL_QUORUM" })]);
    t.same([here.status, there.status], [201, 201]);
    t.equal(here.body.id, there.body.id);
    const url = `${incidents}/${here.body.id}`;
    await until("they merge", async () => new Set(await Promise.all(regions.map(async (region) => (await region.get(url)).text))).size === 1);
    t.match((await south.get(url)).body, { name: "mixed", has_conflicts: false, incident_updates: { length: 1 } });
  }
});

t.test("a kept refusal is replayed in another region", async (t) => {
  const key = newKey();
  const refused = await owner.post("/v1/pages", { id: "default", name: "x" }, key);
  t.equal(refused.status, 409);
  const elsewhere = await south.post("/v1/pages", { id: "default", name: "x" }, { ...key, "session-token": refused.headers["session-token"] ?? "" });
  t.same([elsewhere.status, elsewhere.headers["idempotent-replayed"]], [409, "true"]);
});

t.test("an update posted twice at once in two regions is one update", async (t) => {
  const { id } = (await owner.post(incidents, { name: "i" }, { "consistency-level": "GLOBAL_QUORUM" })).body;
  await until("it is everywhere", async () => (await Promise.all(regions.map((region) => region.get(`${incidents}/${id}`)))).every(({ status }) => status === 200));
  for (const level of ["LOCAL", "GLOBAL_QUORUM"]) {
    const key = newKey();
    const answers = await Promise.all(regions.map((region) => region.post(`${incidents}/${id}/updates`, { body: level, status: "identified" }, { ...key, "consistency-level": level })));
    t.same(answers.map(({ status }) => status), [201, 201, 201]);
    t.equal(new Set(answers.map(({ body }) => body.id)).size, 1);
    await until("all show it", async () => new Set(await Promise.all(regions.map(async (region) => (await region.get(`${incidents}/${id}`)).text))).size === 1);
    t.equal((await owner.get(`${incidents}/${id}`)).body.incident_updates.filter(({ body }: Json) => body === level).length, 1);
  }
});
