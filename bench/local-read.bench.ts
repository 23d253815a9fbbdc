/** LOCAL reads of an incident, against bare Fastify that sends the same bytes. */
import { BareFastify } from "./bare-fastify.js";
import { CONNECTIONS, inTurn, RUNS, type BenchWorld } from "./bench.js";
import { AUTHORIZATION, Cluster, UPDATE_BODY } from "./cluster.js";
import { sampleOf } from "./measurement.js";

export async function localRead({ load, quick, found }: BenchWorld): Promise<void> {
  await using cluster = await Cluster.start();
  const region = cluster.at("us-east");
  const [id = ""] = await region.openIncidents(1);
  for (let i = 0; i < 3; i++) await region.call("POST", `/v1/pages/default/incidents/${id}/updates`, { body: UPDATE_BODY });
  const path = `/v1/pages/default/incidents/${id}`;
  const { body } = await region.call<object>("GET", path);
  await using bare = await BareFastify.start(JSON.stringify(body));
  const common = { headers: AUTHORIZATION, connections: CONNECTIONS, seconds: quick ? 0.5 : 2 };
  const readOurs = () => load.run({ ...common, base: region.base, requests: [{ method: "GET", path }] });
  const readBare = () => load.run({ ...common, base: bare.base, requests: [{ method: "GET", path: "/bytes" }] });
  await readOurs();
  await readBare();
  const [ours = [], theirs = []] = await inTurn(RUNS, [readOurs, readBare]);
  found({
    metric: "LOCAL read of an incident, 50 connections", unit: "requests/s", value: sampleOf(ours.map(({ perSecond }) => perSecond)),
    beside: { name: "bare Fastify, same bytes", value: sampleOf(theirs.map(({ perSecond }) => perSecond)) },
    goal: { text: "≥ 0.75 ×", of: "ratio", atLeast: 0.75 }, note: `${JSON.stringify(body).length} bytes`,
  });
  found({
    metric: "LOCAL read, p99", unit: "ms", value: sampleOf(ours.map(({ p99 }) => p99)),
    beside: { name: "bare Fastify", value: sampleOf(theirs.map(({ p99 }) => p99)) },
  });
}
