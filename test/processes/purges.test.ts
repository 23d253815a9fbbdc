/** Real regions that are killed while a shared cache is away: what it was not told of changes it is told afterwards. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "tap";
import { settled, World } from "./world.js";

test("a cache that was away while all regions were killed is told of what changed, once the regions listen again", async (t) => {
  const told: string[] = [];
  let isAway = false;
  const server = createServer((request, response) => {
    if (!isAway) told.push(...String(request.headers["surrogate-key"]).split(" "));
    response.writeHead(isAway ? 503 : 200).end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.teardown(() => void server.close());
  const world = await World.prepare(t, { settings: { lastKnown: "off", purge: { caches: [`http://127.0.0.1:${(server.address() as AddressInfo).port}/`] } } });
  await world.startAll();
  await world.voting();
  const posted = async (name: string) => {
    const { status, body } = await world.us.post("/v1/pages/default/components", { name });
    t.equal(status, 201);
    return `default/component/${String(body["id"])}`;
  };
  const waiting = () => Promise.all(world.all.map((node) => node.metric('statusmesh_purge_waiting_keys{cache="cache-1"}')));
  const before = await posted("Before");
  await settled("it is told by all", async () => told.filter((key) => key === before).length >= 3 && (await waiting()).every((count) => count === 0));
  isAway = true;
  const lost = await posted("While the cache is away");
  await settled("all regions wait to tell it", async () => (await waiting()).every((count) => (count ?? 0) >= 2));
  t.notOk(told.includes(lost));
  await world.killAll();
  isAway = false;
  t.notOk(told.includes(lost));
  await world.startAll();
  await settled("it is told by all", async () => told.filter((key) => key === lost).length >= 3);
  t.notOk(told.includes("*"), "of what changed, and of no more");
});
