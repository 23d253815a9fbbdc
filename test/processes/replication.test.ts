import t from "tap";
import { COMPONENTS, created, ok } from "./workload.js";
import { settled, World } from "./world.js";

t.test("three regions whose links are cut, slowed and reset", { timeout: 300_000 }, async (t) => {
  const world = await World.start(t);
  const reaches = (node: typeof world.us, route: string) => settled(`${route} is in ${node.region}`, async () => (await node.get(route)).status === 200);

  await t.test("a write is readable in the other regions", async () => {
    const route = `${COMPONENTS}/${created(await world.us.post(COMPONENTS, { name: "everywhere" }))}`;
    await Promise.all([reaches(world.eu, route), reaches(world.ap, route)]);
  });

  await t.test("a change reaches a region whose direct link is cut, by way of the third", async (t) => {
    world.cut("us-east", "ap-south");
    await settled("the link is down", async () => (await world.us.cluster()).peers.some(({ replica, state }) => replica === "ap-south-1" && state === "down"));
    const route = `${COMPONENTS}/${created(await world.us.post(COMPONENTS, { name: "by way of eu-west" }))}`;
    await reaches(world.ap, route);
    await settled("the direct link is refused", () => world.link("ap-south", "us-east").refused > 0);
    t.equal((await world.ap.patch(route, { description: "and back" }, { level: "GLOBAL_QUORUM" })).status, 200);
    await settled("it comes back", async () => (await world.us.get(route)).body["description"] === "and back");
    world.heal();
    await world.voting();
  });

  await t.test("only the address that the larger id dials is open: the link comes up by that one", async (t) => {
    const before = world.link("us-east", "ap-south").accepted;
    world.link("ap-south", "us-east").cut();
    // After the cut before, either side may have been the first to dial: a link that came up by the open address goes too.
    world.link("us-east", "ap-south").reset();
    await settled("the other direction is dialled", () => world.link("us-east", "ap-south").accepted > before);
    await world.voting();
    const route = `${COMPONENTS}/${created(await world.us.post(COMPONENTS, { name: "dialled by the larger" }))}`;
    await reaches(world.ap, route);
    t.ok(world.link("ap-south", "us-east").refused > 0);
    world.heal();
    await world.voting();
  });

  await t.test("links that are reset again and again under load lose nothing and repeat nothing", async (t) => {
    const ids: string[] = [];
    for (let i = 0; i < 120; i++) {
      ids.push(created(await world.all[i % 3]?.post(COMPONENTS, { name: `reset ${i}` }) ?? fail()));
      if (i % 10 === 5) for (const [a, b] of [["ap-south", "us-east"], ["ap-south", "eu-west"], ["eu-west", "us-east"]] as const) {
        world.link(a, b).reset();
        world.link(b, a).reset();
      }
    }
    await world.voting();
    await world.converged();
    for (const id of ids) for (const node of world.all) t.equal((await node.get(`${COMPONENTS}/${id}`)).status, 200);
    const history = ok(await world.eu.get(`${COMPONENTS}/${ids[0] ?? ""}/history?limit=100`)).body["data"] as { field: string }[];
    t.equal(history.filter(({ field }) => field === "name").length, 1, "each change took effect once");
  });

  await t.test("a link that swallows one direction is noticed, and the change goes by the third region", async (t) => {
    world.swallow("us-east", "ap-south");
    const route = `${COMPONENTS}/${created(await world.us.post(COMPONENTS, { name: "swallowed" }))}`;
    await settled("ap-south has it", async () => (await world.ap.get(route)).status === 200);
    t.pass("it arrived");
    world.heal();
    await world.voting();
  });

  await t.test("a replica that slept for a while takes up where it was", async (t) => {
    world.eu.signal("SIGSTOP");
    const ids: string[] = [];
    for (let i = 0; i < 200; i++) ids.push(created(await world.us.post(COMPONENTS, { name: `while asleep ${i}` })));
    await settled("it is missed", async () => (await world.us.cluster()).peers.some(({ replica, state, unacknowledged_changes }) => replica === "eu-west-1" && state !== "up" && unacknowledged_changes >= 200));
    t.equal((await world.us.post(COMPONENTS, { name: "without it" }, { level: "GLOBAL_QUORUM" })).status, 201);
    world.eu.signal("SIGCONT");
    await world.voting();
    await world.converged();
    t.equal((await world.eu.get(`${COMPONENTS}/${ids.at(-1) ?? ""}`)).status, 200);
  });

  await t.test("a revoked key is refused in every region", async (t) => {
    const made = await world.us.post("/v1/keys", { name: "short-lived", role: "editor", page: "default" });
    const key = String(made.body["secret"]);
    for (const node of world.all) await settled(`the key works in ${node.region}`, async () => (await node.get(COMPONENTS, { key })).status === 200);
    t.equal((await world.eu.delete(`/v1/keys/${created(made)}`)).status, 204);
    for (const node of world.all) await settled(`the key is refused in ${node.region}`, async () => (await node.get(COMPONENTS, { key })).status === 401);
  });

  await t.test("a replica of another cluster is refused, and one whose certificate names another replica", async (t) => {
    const config = await world.readConfig("ap-south");
    const tls = config["tls"] as { ca: string; cert: string; key: string };
    const mistakes = [
      ["another cluster", { clusterId: "another-cluster", data: `${world.folder}/data/stranger` }, /another-cluster|belongs to the cluster/],
      ["another replica's certificate", { tls: { ...tls, cert: tls.cert.replace("ap-south", "eu-west"), key: tls.key.replace("ap-south", "eu-west") } }, /does not name|certificate/],
    ] as const;
    for (const [what, settings, complaint] of mistakes) {
      await world.ap.stop();
      await world.writeConfig("ap-south", settings);
      const from = world.us.log.length;
      await world.startOne("ap-south");
      const id = created(await world.ap.post(COMPONENTS, { name: what }));
      await settled(`${what}: us-east says so`, () => world.us.logged(complaint, from) || world.ap.logged(complaint));
      t.ok((await world.us.cluster()).peers.some(({ replica, state }) => replica === "ap-south-1" && state === "down"), what);
      t.equal((await world.us.get(`${COMPONENTS}/${id}`)).status, 404, `${what}: nothing of it comes through`);
    }
    await world.ap.stop();
    await world.writeConfig("ap-south");
    await world.startOne("ap-south");
    await world.voting();
    await world.converged();
  });
});

function fail(): never {
  throw new Error("no replica");
}
