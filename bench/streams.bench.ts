/** Event streams: from an answer in one region to a client of another; memory and fan-out of 1,000 and 10,000 streams at one region. */
import { RUNS, type BenchWorld } from "./bench.js";
import { Child } from "./children.js";
import { Cluster, UPDATE_BODY } from "./cluster.js";
import { percentile, sampleOf } from "./measurement.js";
import { roundTripMs } from "./regions.js";

const PROBES = 100;
const SETTLE_MS = 2_000;
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const wallMs = (): number => performance.timeOrigin + performance.now();

class Streams {
  private constructor(private readonly child: Child) {}

  static async open(base: string, streams: number): Promise<Streams> {
    const child = Child.program("stream-worker.ts");
    await child.message();
    child.send({ base, streams });
    const { error } = await child.message<{ error?: string }>();
    if (error !== undefined) throw new Error(error);
    return new Streams(child);
  }

  /** Runs `happen` and gives when the first and the last stream had read the marker that it causes. */
  async hear<T>(marker: string, happen: () => Promise<T>): Promise<{ result: T; first: number; last: number }> {
    this.child.send({ marker });
    await this.child.message();
    const heard = this.child.message<{ first: number; last: number }>();
    const result = await happen();
    return { result, ...(await heard) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.child.stop();
  }
}

/** Posts an update that holds the marker; gives when it was answered, ms of the wall clock. */
async function post(cluster: Cluster, incident: string, marker: string): Promise<number> {
  const { status } = await cluster.at("us-east").call("POST", `/v1/pages/default/incidents/${incident}/updates`, { body: { ...(JSON.parse(UPDATE_BODY) as object), body: marker } });
  if (status !== 201) throw new Error(`an update was answered ${status}`);
  return wallMs();
}

async function delay({ quick, found }: BenchWorld): Promise<void> {
  await using cluster = await Cluster.start({ links: "delayed" });
  const [incident = ""] = await cluster.at("us-east").openIncidents(1);
  await cluster.equal();
  await using streams = await Streams.open(cluster.at("eu-west").base, 1);
  const lags: number[] = [];
  for (let i = 0; i < (quick ? 10 : PROBES); i++) {
    const marker = `marker-${i}-end`;
    const { result: answeredAt, first } = await streams.hear(marker, () => post(cluster, incident, marker));
    lags.push(first - answeredAt);
  }
  const way = roundTripMs("us-east", "eu-west") / 2;
  found({
    metric: "from an answer in us-east to the event at a client of eu-west, p50", unit: "ms", value: percentile(lags, 0.5), beside: { name: "the way there", value: way },
    goal: { text: "≤ + 30 ms", of: "excess", atMost: 30 }, note: `p99 ${percentile(lags, 0.99).toFixed(1)} ms`,
  });
}

async function many({ quick, found }: BenchWorld, count: number): Promise<void> {
  await using cluster = await Cluster.start();
  const region = cluster.at("us-east");
  const [incident = ""] = await region.openIncidents(1);
  await using one = await Streams.open(region.base, 1);
  await one.hear("marker-warm-end", () => post(cluster, incident, "marker-warm-end"));
  await pause(SETTLE_MS);
  const before = region.residentMiB();
  await using streams = await Streams.open(region.base, count);
  await pause(SETTLE_MS);
  const after = region.residentMiB();
  const spans: number[] = [];
  const lags: number[] = [];
  for (let i = 0; i < (quick ? 2 : RUNS); i++) {
    const marker = `marker-${i}-end`;
    const { result: answeredAt, first, last } = await streams.hear(marker, () => post(cluster, incident, marker));
    spans.push(last - first);
    lags.push(last - answeredAt);
    await pause(200);
  }
  const name = `${count.toLocaleString("en-US")} streams`;
  found({ metric: `${name}: memory of one`, unit: "KiB", value: ((after - before) * 1_024) / count, goal: { text: "≤ 15", of: "value", atMost: 15 }, note: `${before.toFixed(0)} → ${after.toFixed(0)} MiB` });
  found({ metric: `${name}: from the first client that has an event to the last`, unit: "ms", value: sampleOf(spans), goal: { text: "≤ 300", of: "value", atMost: 300 }, note: `${sampleOf(lags).median.toFixed(0)} ms after the answer` });
}

export async function eventStreams(world: BenchWorld): Promise<void> {
  await delay(world);
  for (const count of world.quick ? [1_000] : [1_000, 10_000]) await many(world, count);
}
