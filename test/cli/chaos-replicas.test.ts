import path from "node:path";
import { test } from "tap";
import { clusterFolder, statusmesh } from "./cluster-folder.js";

async function settled(what: string, condition: () => Promise<boolean>, withinMs = 30_000): Promise<void> {
  const until = performance.now() + withinMs;
  while (!(await condition().catch(() => false))) {
    if (performance.now() > until) throw new Error(`not within ${withinMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

test("replicas of a running cluster are paused, resumed and killed by name, and a paused one ends with the others", { timeout: 300_000 }, async (t) => {
  const { folder } = await clusterFolder(t, 2);
  const data = path.join(folder, "cluster");
  const up = statusmesh(["up", "--regions", folder, "--data", data, "--chaos", "--json"], folder);
  t.teardown(() => void up.child.kill("SIGKILL"));
  const ready = JSON.parse((await up.says(/^\{"event":"ready".*$/m))[0]) as { regions: { api: string }[] };
  const order = async (...args: readonly string[]): Promise<unknown> => {
    const run = statusmesh(["chaos", ...args, "--data", data, "--json"], folder);
    t.equal(await run.ended, 0, run.stderr);
    return JSON.parse(run.stdout);
  };
  const answers = async (region: number): Promise<boolean> => await fetch(`${new URL(ready.regions[region]?.api ?? "").origin}/healthz`, { signal: AbortSignal.timeout(1_000) }).then(({ ok }) => ok, () => false);
  t.same(await order("pause", "r1-1"), { action: "pause", replicas: ["r1-1"] });
  await settled("a paused replica does not answer", async () => !(await answers(1)));
  await order("resume", "r1");
  await settled("it goes on", async () => await answers(1));
  t.same(await order("kill", "r1-1"), { action: "kill", replicas: ["r1-1"] });
  await up.says(/r1-1 ended with signal SIGKILL/, "stderr");
  await settled("it is started again", async () => await answers(1));
  const unknown = statusmesh(["chaos", "kill", "atlantis", "--data", data], folder);
  t.equal(await unknown.ended, 1);
  t.match(unknown.stderr, /no region or replica "atlantis"; there are r0, r0-1/);
  // One that is paused must not keep the whole cluster from ending.
  await order("pause", "r0-1");

  up.child.kill("SIGTERM");
  t.equal(await up.ended, 0);
});
