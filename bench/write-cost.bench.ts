/**
 * What a LOCAL write costs each region in processor time: the one that takes it, and the ones that receive it. Unlike a rate, this
 * figure stays the same when other programs use the processors too.
 */
import type { BenchWorld } from "./bench.js";
import { CONNECTIONS, RUNS } from "./bench.js";
import { AUTHORIZATION, Cluster, UPDATE_BODY } from "./cluster.js";
import { sampleOf } from "./measurement.js";
import { REGIONS } from "./regions.js";

const DOCUMENTS = 50;

export async function writeCost({ load, quick, found }: BenchWorld): Promise<void> {
  const count = quick ? 4_000 : 10_000;
  await using cluster = await Cluster.start();
  const region = cluster.at("us-east");
  const ids = await region.openIncidents(DOCUMENTS);
  const requests = ids.map((id) => ({ method: "POST", path: `/v1/pages/default/incidents/${id}/updates`, body: UPDATE_BODY }));
  const job = { base: region.base, headers: AUTHORIZATION, connections: CONNECTIONS, requests };
  await load.run({ ...job, count: quick ? 3_000 : 5_000 });
  await cluster.equal();
  const costs = new Map(REGIONS.map((name) => [name, [] as number[]]));
  const rates: number[] = [];
  const slowest: number[] = [];
  for (let run = 0; run < (quick ? 3 : RUNS); run++) {
    const before = new Map(REGIONS.map((name) => [name, cluster.at(name).processorMs()]));
    const result = await load.run({ ...job, count });
    await cluster.equal();
    rates.push(result.perSecond);
    slowest.push(result.p99);
    for (const name of REGIONS) costs.get(name)?.push((1_000 * (cluster.at(name).processorMs() - (before.get(name) ?? 0))) / count);
  }
  for (const name of REGIONS) found({ metric: `processor time of a LOCAL write, ${name}${name === "us-east" ? ", which takes it" : ", which receives it"}`, unit: "µs", value: sampleOf(costs.get(name) ?? []) });
  found({ metric: "LOCAL writes while this was measured", unit: "writes/s", value: sampleOf(rates) });
  found({ metric: "LOCAL writes while this was measured, p99", unit: "ms", value: sampleOf(slowest) });
}
