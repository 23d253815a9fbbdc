import { test } from "tap";
import { skewedClock } from "../../src/io/system-clock.js";
import { clusterFolder, statusmesh } from "../cli/cluster-folder.js";

test("a clock with an offset is wrong by it, and goes at the same pace", (t) => {
  const clock = skewedClock(-600_000);
  const offset = clock.now() - Date.now();
  t.ok(Math.abs(offset + 600_000) < 1_000, `${offset} ms`);
  t.ok(Math.abs(clock.monotonic() - performance.now()) < 1_000);
  t.end();
});

test("a replica with a clock offset says so, stamps its changes by it, and refuses an offset that is none", { timeout: 150_000 }, async (t) => {
  const { folder, files } = await clusterFolder(t, 1, { tls: "off" });
  const [file = ""] = files;
  const environment = { STATUSMESH_ROOT_KEY: "a-root-key-for-this-test" };
  const node = statusmesh(["node", "--config", file], folder, { ...environment, STATUSMESH_TEST_CLOCK_OFFSET_MS: "600000" });
  t.teardown(() => void node.child.kill("SIGKILL"));
  await node.says(/"level":"warn".*STATUSMESH_TEST_CLOCK_OFFSET_MS is set/);
  const [, http] = await node.says(/"event":"listening","http":"([^"]+)"/);
  const answer = await fetch(`http://${http}/v1/pages/default/components`, { method: "POST", headers: { authorization: `Bearer ${environment.STATUSMESH_ROOT_KEY}`, "content-type": "application/json" }, body: '{"name":"later"}' });
  const { created_at: createdAt } = (await answer.json()) as { created_at: string };
  const aheadMs = Date.parse(createdAt) - Date.now();
  t.ok(aheadMs > 540_000 && aheadMs <= 600_000, `${aheadMs} ms ahead`);
  node.child.kill("SIGTERM");
  t.equal(await node.ended, 0);
  const refused = statusmesh(["node", "--config", file], folder, { ...environment, STATUSMESH_TEST_CLOCK_OFFSET_MS: "soon" });
  t.equal(await refused.ended, 78);
  t.match(refused.stderr, /whole number of milliseconds/);
});
