import t from "tap";
import { until, World } from "./contract-world.js";

const world = await World.start();
t.teardown(() => world.stop());
const owner = world.client();
const components = "/v1/pages/default/components";
const QUORUM = { "consistency-level": "GLOBAL_QUORUM", "quorum-timeout": "300" };

t.test("a region without its peers: GLOBAL_QUORUM is 503 with its outcome, LOCAL and LOCAL_QUORUM go on", async (t) => {
  const made = await owner.post(components, { name: "here" });
  const url = `${components}/${made.body.id}`;
  await until("it knows that it has been without a majority for over 2 s", async () => {
    const askedAt = Date.now();
    const answer = await owner.post(components, { name: "there" }, QUORUM);
    t.equal(answer.status, 503);
    t.equal(answer.body.type, "/problems/quorum-unavailable");
    t.ok(["rejected", "unknown"].includes(answer.body.outcome));
    return answer.body.outcome === "rejected" && Date.now() - askedAt < 250;
  });
  for (const [method, path, body] of [["POST", components, { name: "x" }], ["PATCH", url, { name: "x" }], ["DELETE", url, undefined], ["PATCH", "/v1/pages/default", { name: "x" }], ["POST", "/v1/pages/default/incidents", { name: "x", components: { [made.body.id]: "major_outage" } }]] as const) {
    const startedAt = Date.now();
    const answer = await owner.send(method, path, body, { "consistency-level": "GLOBAL_QUORUM" });
    t.match(answer, { status: 503, body: { type: "/problems/quorum-unavailable", outcome: "rejected" } }, `${method} ${path}`);
    t.ok(Date.now() - startedAt < 1_000, "at once");
  }
  for (const path of [url, components, `${components}/none`, `${url}/history`, `${url}/conflicts`, "/v1/pages/default/conflicts"]) {
    const answer = await owner.get(path, QUORUM);
    t.equal(answer.status, 503, path);
    t.equal(answer.body.type, "/problems/quorum-unavailable");
    t.equal(answer.body.outcome, undefined, "reads carry no outcome");
    t.equal(answer.headers["consistency-level"], undefined, "no level was served");
  }
  t.equal((await owner.get(url)).body.name, "here", "nothing that was refused was written");
  t.same((await owner.get(`${components}?limit=100`)).body.data.map(({ name }: { name: string }) => name), ["here"]);
  for (const level of ["LOCAL", "LOCAL_QUORUM"]) {
    t.equal((await owner.patch(url, { description: level }, { "consistency-level": level })).status, 200);
    t.equal((await owner.get(url, { "consistency-level": level })).body.description, level);
  }
  const ready = await owner.as(null).get("/readyz");
  t.equal(ready.status, 200, "ready at level 4");
  await until("the level says that it is alone", async () => (await owner.get("/v1/cluster")).body.degradation.level === 4);
  t.ok((await owner.get("/v1/cluster")).body.degradation.reasons.length > 0);
});
