import t from "tap";
import { COMPONENTS, created, INCIDENTS, listAll, ok } from "./workload.js";
import { settled, World } from "./world.js";

const MAINTENANCES = "/v1/pages/default/maintenances";
const GROUPS = "/v1/pages/default/component-groups";

t.test("three regions, and every resource", { timeout: 300_000 }, async (t) => {
  const world = await World.start(t);

  await t.test("what one region creates the others show, byte for byte, with the same ETag", async (t) => {
    const group = created(await world.us.post(GROUPS, { name: "core" }));
    const component = created(await world.us.post(COMPONENTS, { name: "api", group_id: group }));
    const incident = created(await world.us.post(INCIDENTS, { name: "slow", body: "looking", components: { [component]: "partial_outage" } }));
    ok(await world.us.post(`${INCIDENTS}/${incident}/updates`, { status: "identified", body: "found" }));
    ok(await world.us.put(`${INCIDENTS}/${incident}/postmortem`, { body: "what happened" }));
    const times = { scheduled_for: "2099-01-01T00:00:00.000Z", scheduled_until: "2099-01-01T01:00:00.000Z" };
    const maintenance = created(await world.us.post(MAINTENANCES, { name: "upgrade", ...times }));
    ok(await world.us.post("/v1/pages", { id: "second", name: "Second" }));
    const routes = [`${GROUPS}/${group}`, `${COMPONENTS}/${component}`, `${INCIDENTS}/${incident}`, `${INCIDENTS}/${incident}/updates`, `${INCIDENTS}/${incident}/postmortem`, `${INCIDENTS}/${incident}/history`, `${MAINTENANCES}/${maintenance}`, "/v1/pages/second", "/v1/pages", COMPONENTS, INCIDENTS];
    await world.converged();
    for (const route of routes) {
      const answers = await Promise.all(world.all.map((node) => node.get(route)));
      t.same(answers.map(({ status }) => status), [200, 200, 200], route);
      t.equal(new Set(answers.map(({ text }) => text)).size, 1, `${route} reads the same`);
      t.equal(new Set(answers.map(({ etag }) => etag)).size, 1, `${route} has one ETag`);
    }
    t.equal((await world.ap.get(`${COMPONENTS}/${component}`)).body["status"], "partial_outage", "the incident moved its component");
    ok(await world.ap.patch(`${INCIDENTS}/${incident}`, { status: "resolved" }));
    await world.converged();
    t.equal((await world.us.get(`${COMPONENTS}/${component}`)).body["status"], "operational", "resolving restores it everywhere");
  });

  await t.test("a list is read page by page from one region to the next while items come and go: what was there comes once", async (t) => {
    const ids = new Set<string>();
    for (let i = 0; i < 25; i++) ids.add(created(await world.us.post(INCIDENTS, { name: `listed ${i}` })));
    await world.converged();
    const seen: string[] = [];
    let cursor = "";
    for (let turn = 0; ; turn++) {
      const node = world.all[turn % 3] ?? world.us;
      const answer = ok(await node.get(`${INCIDENTS}?limit=7${cursor}`));
      seen.push(...(answer.body["data"] as { id: string }[]).map(({ id }) => id));
      created(await world.eu.post(INCIDENTS, { name: `meanwhile ${turn}` }));
      if (typeof answer.body["next_cursor"] !== "string") break;
      cursor = `&cursor=${encodeURIComponent(answer.body["next_cursor"])}`;
    }
    t.same(seen.filter((id) => ids.has(id)).length, ids.size, "all of them");
    t.equal(new Set(seen).size, seen.length, "none twice");
  });

  await t.test("an If-Match that is stale is 412, and a validation fault names its place, in any region", async (t) => {
    const route = `${COMPONENTS}/${created(await world.us.post(COMPONENTS, { name: "matched" }))}`;
    await world.converged();
    const { etag } = await world.eu.get(route);
    t.equal((await world.eu.patch(route, { description: "one" }, { ifMatch: etag })).status, 200);
    t.equal((await world.eu.patch(route, { description: "two" }, { ifMatch: etag })).status, 412);
    const invalid = await world.ap.post(INCIDENTS, { name: "typo", impcat: "major" });
    t.equal(invalid.status, 422);
    t.match(invalid.text, /#\/impcat/);
    t.match(invalid.headers["content-type"], /application\/problem\+json/);
  });

  await t.test("keys of one page stay on it, in every region, and a rotated secret replaces the old one", async (t) => {
    const made = await world.eu.post("/v1/keys", { name: "viewer", role: "viewer", page: "second" });
    const secret = String(made.body["secret"]);
    await world.converged();
    for (const node of world.all) {
      t.equal((await node.get("/v1/pages/second", { key: secret })).status, 200);
      t.equal((await node.get("/v1/pages/default", { key: secret })).status, 403);
      t.equal((await node.get("/v1/pages/none", { key: secret })).status, 403, "whether it exists or not");
      t.equal((await node.post("/v1/pages/second/components", { name: "no" }, { key: secret })).status, 403);
      t.equal((await node.get("/v1/pages/second", { key: null })).status, 401);
    }
    const rotated = String(ok(await world.us.call("POST", `/v1/keys/${created(made)}/rotate`)).body["secret"]);
    for (const node of world.all) {
      await settled(`the old secret is refused in ${node.region}`, async () => (await node.get("/v1/pages/second", { key: secret })).status === 401);
      t.equal((await node.get("/v1/pages/second", { key: rotated })).status, 200);
    }
  });

  await t.test("a deleted page takes everything on it along, everywhere", async (t) => {
    created(await world.us.post("/v1/pages/second/components", { name: "gone soon" }));
    t.equal((await world.eu.delete("/v1/pages/second")).status, 204);
    await world.converged();
    for (const node of world.all) t.equal((await node.get("/v1/pages/second/components")).status, 404);
    t.equal((await world.us.post("/v1/pages", { id: "second" })).status, 409, "ids are never used again");
    t.ok((await listAll(world.ap, "/v1/pages")).every(({ id }) => id !== "second"));
  });
});
