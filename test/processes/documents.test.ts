import t from "tap";
import { COMPONENTS, created, INCIDENTS, ok } from "./workload.js";
import { settled, World } from "./world.js";
import type { Json } from "../../chaos/replica-process.js";

type Resource = { [name: string]: Json };

t.test("both sides of a cut write, then the cut heals", { timeout: 300_000 }, async (t) => {
  const world = await World.start(t);
  const component = `${COMPONENTS}/${created(await world.us.post(COMPONENTS, { name: "api" }))}`;
  const opened = async (fields: Resource = {}): Promise<string> => `${INCIDENTS}/${created(await world.us.post(INCIDENTS, { name: "slow", body: "looking", ...fields }))}`;
  const incident = await opened({ labels: ["a", "b"] });
  const closed = await opened({ name: "over" });
  const doomed = await opened({ name: "doomed" });
  ok(await world.us.patch(closed, { status: "resolved" }));
  await world.converged();
  world.isolate("ap-south");
  const both = async (route: string, us: Resource, ap: Resource): Promise<void> => {
    ok(await world.us.patch(route, us));
    ok(await world.ap.patch(route, ap));
  };
  await both(component, { status: "partial_outage", name: "name from us" }, { status: "degraded_performance", name: "name from ap" });
  await both(incident, { labels: ["b", "us"], body: "from us" }, { labels: ["a", "b", "ap"], body: "from ap" });
  // Reopened on one side; said to be over again, and later, on the other.
  await both(closed, { status: "investigating" }, { status: "resolved", body: "still over" });
  ok(await world.us.delete(doomed));
  ok(await world.ap.patch(doomed, { name: "edited" }));
  await settled("the link is refused", () => world.link("ap-south", "us-east").refused > 0);
  world.heal();
  await world.voting();
  await world.converged();
  const everywhere = async (route: string): Promise<Resource> => {
    const answers = await Promise.all(world.all.map((node) => node.get(route)));
    t.equal(new Set(answers.map(({ text }) => text)).size, 1, `${route} is the same in every region`);
    t.equal(new Set(answers.map(({ etag }) => etag)).size, 1, `${route} has the same ETag in every region`);
    return answers[0]?.body ?? {};
  };
  const conflictsOf = async (route: string): Promise<{ field: string; shown: Json; values: { value: Json; region: string; hlc: string; actor: string }[] }[]> =>
    (ok(await world.eu.get(`${route}/conflicts`)).body["data"] ?? []) as unknown as { field: string; shown: Json; values: { value: Json; region: string; hlc: string; actor: string }[] }[];

  await t.test("of two statuses of a component the worst is shown, and both are listed", async (t) => {
    const shown = await everywhere(component);
    t.match(shown, { status: "partial_outage", has_conflicts: true });
    const status = (await conflictsOf(component)).find(({ field }) => field === "status");
    t.equal(status?.shown, "partial_outage");
    t.same(status?.values.map(({ value }) => value).sort(), ["degraded_performance", "partial_outage"]);
  });

  await t.test("of two names the later is shown, the other is a sibling until someone resolves it", async (t) => {
    t.equal((await everywhere(component))["name"], "name from ap");
    const name = (await conflictsOf(component)).find(({ field }) => field === "name");
    t.same(name?.values.map(({ value, region }) => [value, region]).sort(), [["name from ap", "ap-south"], ["name from us", "us-east"]]);
    t.ok(name?.values.every(({ hlc, actor }) => hlc.length === 32 && actor !== ""), "each with HLC and key");
    const listed = ok(await world.us.get("/v1/pages/default/conflicts?limit=100")).body["data"] as { field: string }[];
    t.ok(listed.some(({ field }) => field === "name"), "the page lists it too");
    t.equal((await world.eu.post(`${component}/conflicts/name/resolve`, { value: "name from us" })).status, 200);
    t.equal((await world.eu.post(`${component}/conflicts/status/resolve`, { value: "operational" })).status, 200);
    await world.converged();
    t.match(await everywhere(component), { name: "name from us", status: "operational", has_conflicts: false });
    t.same(await conflictsOf(component), []);
  });

  await t.test("labels are united, and both updates stay", async (t) => {
    const shown = await everywhere(incident);
    t.same([...(shown["labels"] as string[])].sort(), ["ap", "b", "us"]);
    t.same((shown["incident_updates"] as { body: string; region: string }[]).map(({ body }) => body), ["from ap", "from us", "looking"]);
  });

  await t.test("an incident that one side reopened is open, although the other said later that it is over", async (t) => {
    const shown = await everywhere(closed);
    t.match(shown, { status: "investigating", resolved_at: null });
    t.ok((shown["incident_updates"] as { body: string }[]).some(({ body }) => body === "still over"), "both updates stay in the timeline");
  });

  await t.test("a deletion wins against an edit, which stays in the history", async (t) => {
    for (const node of world.all) {
      t.equal((await node.get(doomed)).status, 404, node.region);
      t.match((await node.get(`${doomed}/history`)).text, /edited/);
    }
    t.equal((await world.ap.patch(doomed, { name: "again" })).status, 404, "nothing brings it back");
  });
});

t.test("a document with many changes is folded away, and reads the same after a restart", { timeout: 300_000 }, async (t) => {
  const world = await World.start(t, { settings: { limits: { trimEveryMs: 100, logEntriesKept: 10 } } });
  const route = `${COMPONENTS}/${created(await world.us.post(COMPONENTS, { name: "busy" }))}`;
  for (let i = 1; i <= 60; i++) ok(await world.us.patch(route, { description: `change ${i}` }));
  await world.converged();
  const before = await world.eu.get(route);
  const history = await world.eu.get(`${route}/history?limit=100`);
  t.equal((history.body["data"] as unknown[]).length >= 61, true, "every change is in the history");
  await world.eu.kill();
  await world.startOne("eu-west");
  const after = await world.eu.get(route);
  t.equal(after.text, before.text);
  t.equal(after.etag, before.etag);
  t.same((await world.eu.get(`${route}/history?limit=100`)).body["data"], history.body["data"]);
  await settled("the regions are equal", async () => (await world.us.get(route)).etag === after.etag);
});
