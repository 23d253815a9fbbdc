import t from "tap";
import { COMPONENTS, created, Dice, INCIDENTS, listAll, ok, RegisterClients } from "./workload.js";
import { settled, World } from "./world.js";

const dice = new Dice();
t.comment(`seed ${dice.seed}`);

t.test("three regions, and what each level promises", { timeout: 300_000 }, async (t) => {
  const world = await World.start(t);
  const component = async (fields = {}): Promise<string> => `${COMPONENTS}/${created(await world.us.post(COMPONENTS, { name: "component", ...fields }, { level: "GLOBAL_QUORUM" }))}`;

  await t.test("a session token read in another region waits for a slow link, and Session-Wait 0 is answered at once", async (t) => {
    // Longer than the requests that must not wait take on a busy machine, and shorter than what makes a region suspect.
    world.delay("us-east", "eu-west", 1_000);
    world.cut("us-east", "ap-south");
    const written = await world.us.post(COMPONENTS, { name: "seen in us-east" });
    const route = `${COMPONENTS}/${created(written)}`;
    const refused = await world.eu.get(route, { token: written.token, sessionWait: 0 });
    t.equal(refused.status, 503);
    t.equal(refused.body["type"], "/problems/session-behind");
    const write = await world.eu.patch(route, { name: "too early" }, { token: written.token, sessionWait: 0 });
    t.match({ status: write.status, outcome: write.body["outcome"] }, { status: 503, outcome: "rejected" });
    t.equal((await world.eu.get(COMPONENTS, { token: written.token, sessionWait: 0 })).status, 503, "lists too");
    const startedAt = performance.now();
    const waited = await world.eu.get(route, { token: written.token });
    t.equal(waited.status, 200);
    t.ok(performance.now() - startedAt > 50, "it did wait");
    t.equal((await world.eu.get(route, { token: "no token" })).status, 400);
    world.heal();
    await world.voting();
  });

  await t.test("three regions compare-and-set one ETag at once: one succeeds, the others get 412", async (t) => {
    for (let round = 0; round < 8; round++) {
      const route = await component();
      const { etag } = await world.us.get(route, { level: "GLOBAL_QUORUM" });
      const answers = await Promise.all(world.all.map((node) => node.patch(route, { description: node.region }, { level: "GLOBAL_QUORUM", ifMatch: etag })));
      const statuses = answers.map(({ status }) => status).sort();
      t.same(statuses, [200, 412, 412]);
      const winner = world.all[answers.findIndex(({ status }) => status === 200)];
      for (const node of world.all) t.equal((await node.get(route, { level: "GLOBAL_QUORUM" })).body["description"], winner?.region);
    }
  });

  await t.test("a write at GLOBAL_QUORUM is seen by the next quorum read and list of every region, and so is a deletion", async (t) => {
    const route = await component({ name: "listed" });
    const id = route.slice(COMPONENTS.length + 1);
    for (const node of world.all) t.ok((await listAll(node, COMPONENTS, "GLOBAL_QUORUM")).some((item) => item["id"] === id), node.region);
    ok(await world.eu.delete(route, { level: "GLOBAL_QUORUM" }));
    for (const node of world.all) {
      t.equal((await node.get(route, { level: "GLOBAL_QUORUM" })).status, 404, node.region);
      t.notOk((await listAll(node, COMPONENTS, "GLOBAL_QUORUM")).some((item) => item["id"] === id), node.region);
    }
  });

  await t.test("clients of three regions work on one register while links are cut and slowed: the history is linearizable", async (t) => {
    const clients = await RegisterClients.start(world.all, 2, dice);
    for (let round = 0; round < 6; round++) {
      await clients.reaches(clients.answered + 15);
      const region = dice.pick(["us-east", "eu-west", "ap-south"] as const);
      if (round % 2 === 0) world.isolate(region);
      else for (const other of ["us-east", "eu-west", "ap-south"] as const) if (other !== region) world.delay(region, other, 5 + dice.below(80));
      await clients.reaches(clients.answered + 15);
      world.heal();
    }
    await clients.stop();
    await world.voting();
    t.comment(`${clients.operations.length} operations, ${clients.answered} answered`);
    const { verdict } = clients;
    t.equal(verdict.kind, "ok", "some order explains what every client saw");
    if (verdict.kind !== "ok") t.comment(JSON.stringify({ verdict, operations: clients.operations }));
  });

  await t.test("a region that is cut off takes LOCAL writes and refuses GLOBAL_QUORUM; the two others go on", async (t) => {
    const route = await component();
    world.isolate("us-east");
    const unknown = await world.us.patch(route, { description: "unknown" }, { level: "GLOBAL_QUORUM", quorumTimeout: 300 });
    t.equal(unknown.status, 503);
    t.equal(unknown.body["type"], "/problems/quorum-unavailable");
    if (unknown.body["outcome"] === "unknown") t.not((await world.us.get(route)).body["description"], "unknown", "LOCAL reads do not show it");
    await settled("a write is refused at once", async () => {
      const startedAt = performance.now();
      const answer = await world.us.patch(route, { description: "refused" }, { level: "GLOBAL_QUORUM" });
      return answer.status === 503 && answer.body["outcome"] === "rejected" && performance.now() - startedAt < 300;
    });
    const read = await world.us.get(route, { level: "GLOBAL_QUORUM" });
    t.equal(read.status, 503);
    t.notOk("outcome" in read.body, "reads carry no outcome");
    const local = await world.us.post(COMPONENTS, { name: "local in the cut region" });
    t.equal(local.status, 201);
    t.equal(local.headers["consistency-level"], "LOCAL");
    // They have a majority, and however slow the machine is, they find it.
    const patient = { level: "GLOBAL_QUORUM", quorumTimeout: 18_000 } as const;
    for (const node of [world.eu, world.ap]) {
      t.equal((await node.patch(route, { description: node.region }, patient)).status, 200, `${node.region} writes`);
      t.equal((await node.get(route, patient)).body["description"], node.region, `${node.region} reads`);
      const list = await node.get(COMPONENTS, patient);
      t.equal(list.status, 200, `${node.region} lists${list.status === 200 ? "" : `: ${list.text}`}`);
    }
    world.heal();
    await world.voting();
    await world.converged();
    for (const node of world.all) t.equal((await node.get(`${COMPONENTS}/${created(local)}`)).status, 200, `the LOCAL write is in ${node.region}`);
    t.equal((await world.us.get(route, { level: "GLOBAL_QUORUM" })).body["description"], "ap-south");
  });

  await t.test("an idempotency key is used in two regions at once, and on both sides of a cut: one resource with one id", async (t) => {
    for (const level of ["LOCAL", "GLOBAL_QUORUM"] as const) {
      const key = `at once ${level} ${dice.seed}`;
      const both = await Promise.all([world.us, world.eu].map((node) => node.post(INCIDENTS, { name: "once", body: "first" }, { idempotency: key, level })));
      t.same(both.map(({ status }) => status), [201, 201], level);
      t.equal(created(both[0] ?? fail()), created(both[1] ?? fail()), `one id at ${level}`);
    }
    world.isolate("us-east");
    const sides = await Promise.all([world.us, world.eu].map((node) => node.post(INCIDENTS, { name: "cut", body: "first", labels: ["x"] }, { idempotency: `cut ${dice.seed}` })));
    const id = created(sides[0] ?? fail());
    t.equal(created(sides[1] ?? fail()), id);
    world.heal();
    await world.voting();
    await world.converged();
    const shown = await Promise.all(world.all.map((node) => node.get(`${INCIDENTS}/${id}`)));
    t.equal(new Set(shown.map(({ text }) => text)).size, 1, "the same in every region");
    t.equal(new Set(shown.map(({ etag }) => etag)).size, 1, "with the same ETag");
    t.equal((shown[0]?.body["incident_updates"] as unknown[] | undefined)?.length, 1, "one first update");
    t.equal(shown[0]?.body["has_conflicts"], false);
    const earlier = sides.map(({ body }) => String(body["created_at"])).sort()[0];
    t.equal(shown[0]?.body["created_at"], earlier, "created_at is the earlier one");
    const again = await world.ap.post(INCIDENTS, { name: "cut", body: "first", labels: ["x"] }, { idempotency: `cut ${dice.seed}` });
    t.match({ status: again.status, replayed: again.headers["idempotent-replayed"], id: again.body["id"] }, { status: 201, replayed: "true", id });
    t.equal((await world.ap.post(INCIDENTS, { name: "other" }, { idempotency: `cut ${dice.seed}` })).status, 422);
    t.equal((await listAll(world.ap, INCIDENTS)).filter(({ name }) => name === "cut").length, 1);
  });
});

function fail(): never {
  throw new Error("no answer");
}
