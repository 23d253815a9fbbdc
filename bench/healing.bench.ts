/** Many changes behind a cut: how soon the regions are equal after it heals, and what readers notice meanwhile. */
import { CONNECTIONS, type BenchWorld } from "./bench.js";
import { AUTHORIZATION, Cluster, UPDATE_BODY, type RegionProcess } from "./cluster.js";
import { LoadTool, type LoadJob } from "./load.js";

const READS_PER_SECOND = 300;
const HEAL_MS_MAX = 120_000;
/** So many that each request is sent when it is due: with a few, which wait for one another, the load tool's own queue would be measured. */
const READERS = 64;

const readers = (region: RegionProcess, id: string, seconds: number): LoadJob => ({
  base: region.base, headers: AUTHORIZATION, connections: READERS, seconds, perSecond: READS_PER_SECOND, requests: [{ method: "GET", path: `/v1/pages/default/incidents/${id}` }],
});

export async function healing({ load, quick, found }: BenchWorld): Promise<void> {
  const changes = quick ? 5_000 : 100_000;
  await using cluster = await Cluster.start({ links: "proxied" });
  await using otherLoad = await LoadTool.start();
  const [source, cutOff] = [cluster.at("us-east"), cluster.at("ap-south")];
  const [quiet = ""] = await source.openIncidents(1);
  const ids = await source.openIncidents(50);
  await cluster.equal();
  await Promise.all([load.run(readers(source, quiet, 1)), otherLoad.run(readers(cutOff, quiet, 1))]);
  const before = await Promise.all([load.run(readers(source, quiet, quick ? 2 : 5)), otherLoad.run(readers(cutOff, quiet, quick ? 2 : 5))]);
  cluster.isolate("ap-south");
  await load.run({
    base: source.base, headers: AUTHORIZATION, connections: CONNECTIONS, count: changes,
    requests: Array.from({ length: 50 }, (_, i) => ({ method: "POST", path: `/v1/pages/default/incidents/${ids[i] ?? ""}/updates`, body: UPDATE_BODY })),
  });
  await cluster.equal(["us-east", "eu-west"]);
  const isBehind = (await cutOff.state()).merkle_root !== (await source.state()).merkle_root;
  if (!isBehind) throw new Error("the cut did not hold");
  const reading = [load.run(readers(source, quiet, HEAL_MS_MAX / 1_000)), otherLoad.run(readers(cutOff, quiet, HEAL_MS_MAX / 1_000))] as const;
  // Whoever fails first is awaited below.
  for (const run of reading) run.catch(() => undefined);
  cluster.heal();
  const ms = await cluster.equal(undefined, HEAL_MS_MAX).finally(() => {
    for (const tool of [load, otherLoad]) tool.stop();
  });
  const meanwhile = await Promise.all(reading);
  found({ metric: `${changes.toLocaleString("en-US")} changes behind a cut, equal after healing`, unit: "ms", value: ms, goal: { text: "≤ 30 s", of: "value", atMost: 30_000 }, note: "reconnecting included" });
  for (const [i, place] of ["us-east, which sends", "ap-south, which catches up"].entries()) {
    found({
      metric: `readers' p99 while it heals, ${place}`, unit: "ms", value: meanwhile[i]?.p99 ?? Number.NaN, beside: { name: "before the cut", value: before[i]?.p99 ?? Number.NaN },
      goal: { text: "≤ 2 ×", of: "ratio", atMost: 2 }, note: `${READS_PER_SECOND} reads/s; p50 ${meanwhile[i]?.p50.toFixed(2)} against ${before[i]?.p50.toFixed(2)} ms`,
    });
  }
}
