/** From an answer in one region to the first LOCAL read in another that shows the write, while the first takes 1,000 writes a second. */
import { RUNS, type BenchWorld } from "./bench.js";
import { AUTHORIZATION, Cluster, UPDATE_BODY, type RegionProcess } from "./cluster.js";
import { percentile, sampleOf } from "./measurement.js";
import { roundTripMs, type Region } from "./regions.js";

const WRITES_PER_SECOND = 1_000;
const PROBES_PER_SECOND = 20;
const DOCUMENTS = 50;
const PROBE_MS_MAX = 10_000;
/** Looking begins so much before the update can be there. */
const AHEAD_MS = 8;

const OTHERS = ["eu-west", "ap-south"] as const satisfies readonly Region[];
const oneWayMs = (region: Region): number => roundTripMs("us-east", region) / 2;
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** ms from `answeredAt` until `region` shows the update. */
async function shownAfter(region: RegionProcess, path: string, answeredAt: number): Promise<number> {
  await pause(Math.max(0, oneWayMs(region.region) - AHEAD_MS));
  for (;;) {
    const { status } = await region.call("GET", path);
    const elapsed = performance.now() - answeredAt;
    if (status === 200) return elapsed;
    if (elapsed > PROBE_MS_MAX) throw new Error(`${region.region} did not show an update in ${PROBE_MS_MAX} ms`);
    await pause(1);
  }
}

async function probe(cluster: Cluster, incident: string): Promise<readonly number[]> {
  const path = `/v1/pages/default/incidents/${incident}/updates`;
  const { status, body } = await cluster.at("us-east").call("POST", path, { body: UPDATE_BODY });
  const answeredAt = performance.now();
  if (status !== 201) throw new Error(`a probe was answered ${status}`);
  return Promise.all(OTHERS.map((region) => shownAfter(cluster.at(region), `${path}/${body.id}`, answeredAt)));
}

interface Run {
  /** By probe and region of `OTHERS`, ms. */
  readonly lags: readonly (readonly number[])[];
  /** Writes that were taken meanwhile. */
  readonly perSecond: number;
}

export async function replicationLag({ load, quick, found }: BenchWorld): Promise<void> {
  await using cluster = await Cluster.start({ links: "delayed" });
  const source = cluster.at("us-east");
  const ids = await source.openIncidents(DOCUMENTS);
  const probed = (await source.openIncidents(DOCUMENTS)).slice();
  await cluster.equal();
  const seconds = quick ? 2 : 4;
  const run = async (): Promise<Run> => {
    const writing = load.run({
      base: source.base, headers: AUTHORIZATION, connections: 50, seconds, perSecond: WRITES_PER_SECOND,
      requests: ids.map((id) => ({ method: "POST", path: `/v1/pages/default/incidents/${id}/updates`, body: UPDATE_BODY })),
    });
    // A probe that fails ends the bench; what the load says then is of no use.
    writing.catch(() => undefined);
    const probes: Promise<readonly number[]>[] = [];
    await pause(300);
    for (let i = 0; i < (seconds - 0.6) * PROBES_PER_SECOND; i++) {
      probes.push(probe(cluster, probed[i % probed.length] ?? ""));
      await pause(1_000 / PROBES_PER_SECOND);
    }
    const lags = await Promise.all(probes);
    return { lags, perSecond: (await writing).perSecond };
  };
  await run();
  const runs: Run[] = [];
  for (let i = 0; i < (quick ? 2 : RUNS); i++) runs.push(await run());
  OTHERS.forEach((region, i) => {
    const ofRuns = (share: number) => sampleOf(runs.map(({ lags }) => percentile(lags.map((lag) => lag[i] ?? Number.NaN), share)));
    const beside = { name: "one way", value: oneWayMs(region) };
    const note = `at ${sampleOf(runs.map(({ perSecond }) => perSecond)).median.toFixed(0)} writes/s; the reads that look cost about 2 ms of it`;
    found({ metric: `commit in us-east → readable in ${region}, p50`, unit: "ms", value: ofRuns(0.5), beside, goal: { text: "≤ + 15 ms", of: "excess", atMost: 15 }, note });
    found({ metric: `commit in us-east → readable in ${region}, p99`, unit: "ms", value: ofRuns(0.99), beside, goal: { text: "≤ + 60 ms", of: "excess", atMost: 60 }, note });
  });
}
