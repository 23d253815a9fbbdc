/** Watching: what a check costs beside blackbox_exporter, how far the schedule drifts, what the API notices, and how soon an outage is an incident everywhere. */
import { hasBlackboxExporter, BlackboxExporter } from "./blackbox-exporter.js";
import { CONNECTIONS, RUNS, type BenchWorld } from "./bench.js";
import { Child, until } from "./children.js";
import { AUTHORIZATION, Cluster, type RegionProcess } from "./cluster.js";
import type { LoadTool } from "./load.js";
import { percentile, sampleOf, type Sample } from "./measurement.js";
import { REGIONS } from "./regions.js";
import type { WatchTargetOrder, WatchTargetStarted } from "./watch-target.js";

const MONITORS = "/v1/pages/default/monitors";
const INCIDENTS = "/v1/pages/default/incidents";
/** The goal's schedule. */
const WATCHED = 5_000;
const INTERVAL_S = 30;
/** As often as a monitor may look, and so many more that the runner has all that a core can do, or more. */
const SHORTEST_S = 5;
const HURRIED = 5_000;
/** Of readers that ask no more than this, a latency tells how long they wait. */
const READERS_PER_SECOND = 200;
const CREATING = 32;

class WatchTarget {
  private constructor(private readonly child: Child, readonly port: number, readonly mortals: readonly number[]) {}

  static async start(): Promise<WatchTarget> {
    const child = Child.program("watch-target.ts");
    const { mortals, port } = await child.message<WatchTargetStarted>();
    return new WatchTarget(child, port, mortals);
  }

  url(index: number): string {
    return `http://127.0.0.1:${this.port}/${index}`;
  }

  async does<T>(order: WatchTargetOrder): Promise<T> {
    this.child.send(order);
    return this.child.message<T>();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.child.stop();
  }
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function create(region: RegionProcess, bodies: readonly object[]): Promise<void> {
  const left = bodies.values();
  await Promise.all(Array.from({ length: CREATING }, async () => {
    for (const body of left) {
      const { status } = await region.call("POST", MONITORS, { body });
      if (status !== 201) throw new Error(`a monitor was answered ${status}`);
    }
  }));
}

/** One region's looks at targets so far. */
async function looks(region: RegionProcess): Promise<number> {
  const text = await (await fetch(`${region.base}/metrics`)).text();
  return [...text.matchAll(/^statusmesh_checks_total\{.*?\} (\S+)$/gm)].reduce((sum, [, count]) => sum + Number(count), 0);
}

/** Time from a target's death until all three regions list the incident. */
async function fromDeathToIncident({ found }: BenchWorld, cluster: Cluster, target: WatchTarget): Promise<void> {
  const region = cluster.at("us-east");
  for (const [index, port] of target.mortals.entries()) {
    const { status } = await region.call("POST", MONITORS, { body: { name: `Mortal ${index}`, type: "http", target: `http://127.0.0.1:${port}/`, interval_seconds: SHORTEST_S, retries: 1, timeout_ms: 2_000 } });
    if (status !== 201) throw new Error(`a monitor was answered ${status}`);
  }
  await until("all are up", async () => (await region.call<{ data: { verdict: string }[] }>("GET", `${MONITORS}?limit=100`)).body.data.every(({ verdict }) => verdict === "up"), 60_000, 200);
  const died = new Map<string, number>();
  const die = async (): Promise<void> => {
    for (const mortal of target.mortals.keys()) {
      died.set(`Mortal ${mortal} is down`, performance.now());
      await target.does({ order: "die", mortal });
      // Each at another point of its interval.
      await pause((1_000 * SHORTEST_S) / target.mortals.length);
    }
  };
  const dying = die();
  const seen = new Map<string, number>();
  await until("all regions tell of all incidents", async () => {
    const lists = await Promise.all(REGIONS.map((name) => cluster.at(name).call<{ data: { name: string }[] }>("GET", `${INCIDENTS}?limit=100`)));
    const everywhere = lists.map(({ body }) => new Set(body.data.map(({ name }) => name)));
    for (const name of everywhere[0] ?? []) if (!seen.has(name) && everywhere.every((names) => names.has(name))) seen.set(name, (performance.now() - (died.get(name) ?? Number.NaN)) / 1_000);
    return seen.size >= target.mortals.length;
  }, 60_000, 20);
  await dying;
  found({
    metric: "from a target's death to the incident in all three regions", unit: "s", value: sampleOf([...seen.values()]),
    beside: { name: "interval of the checks", value: SHORTEST_S }, note: `${target.mortals.length} targets that die one after the other, one retry`,
  });
}

async function drift({ quick, found }: BenchWorld, region: RegionProcess, target: WatchTarget, withoutMiB: number): Promise<void> {
  await target.does({ order: "forget" });
  await pause(1_000 * (quick ? INTERVAL_S + 5 : 2.2 * INTERVAL_S));
  const { asked } = await target.does<{ asked: readonly (readonly number[])[] }>({ order: "tell" });
  const late = asked.flatMap(([first, ...others]) => others.map((at, index) => Math.abs(at - (first ?? 0) - (index + 1) * INTERVAL_S * 1_000)));
  found({
    metric: `drift of the schedule, ${WATCHED.toLocaleString("en")} monitors at ${INTERVAL_S} s, p99, as the targets see it`, unit: "ms", value: percentile(late, 0.99),
    goal: { text: "≤ 100 ms", of: "value", atMost: 100 }, note: `${late.length} intervals of ${asked.length} monitors`,
  });
  found({ metric: "the same, worst", unit: "ms", value: percentile(late, 1) });
  found({ metric: `resident memory, us-east watching ${WATCHED.toLocaleString("en")} monitors`, unit: "MiB", value: region.residentMiB(), beside: { name: "before they were made", value: withoutMiB } });
}

/** Looks for a while: looks per second of processor time, and per second. */
async function rates(seconds: number, processorMs: () => number, looked: () => Promise<number>): Promise<{ readonly perCore: number; readonly perSecond: number }> {
  const [startedMs, before, spentMs] = [performance.now(), await looked(), processorMs()];
  await pause(1_000 * seconds);
  const count = (await looked()) - before;
  return { perCore: (1_000 * count) / (processorMs() - spentMs), perSecond: (1_000 * count) / (performance.now() - startedMs) };
}

/** blackbox_exporter, asked as fast as it answers. */
async function peerRates(load: LoadTool, target: WatchTarget, seconds: number): Promise<Sample> {
  await using exporter = await BlackboxExporter.start();
  const requests = Array.from({ length: 500 }, (_, index) => ({ method: "GET" as const, path: exporter.probe(target.url(index)) }));
  const perCore: number[] = [];
  for (let run = 0; run <= RUNS; run++) {
    const spentMs = exporter.processorMs();
    const result = await load.run({ base: exporter.base, connections: CONNECTIONS, seconds, requests });
    // The first one warms it up.
    if (run > 0) perCore.push((1_000 * result.requests) / (exporter.processorMs() - spentMs));
  }
  return sampleOf(perCore);
}

export async function watching(world: BenchWorld): Promise<void> {
  const { load, quick, found, skipped } = world;
  await using target = await WatchTarget.start();
  await using cluster = await Cluster.start({ settings: { allowPrivateTargets: true } });
  const region = cluster.at("us-east");
  await fromDeathToIncident(world, cluster, target);

  const [incident = ""] = await region.openIncidents(1);
  const seconds = quick ? 1 : 2;
  const read = async (): Promise<number> => (await load.run({ base: region.base, headers: AUTHORIZATION, connections: 20, seconds, perSecond: READERS_PER_SECOND, requests: [{ method: "GET", path: `${INCIDENTS}/${incident}` }] })).p99;
  await read();
  const idle: number[] = [];
  for (let run = 0; run < RUNS; run++) idle.push(await read());

  const monitorsOf = (first: number, count: number, interval: number) => Array.from({ length: count }, (_, index) => ({
    name: `Watched ${first + index}`, type: "http", target: target.url(first + index), interval_seconds: interval, timeout_ms: 10_000, regions: ["us-east"],
  }));
  const withoutMiB = region.residentMiB();
  await create(region, monitorsOf(0, WATCHED, INTERVAL_S));
  // From their second time on they are spread over the interval.
  const spread = pause(1_000 * (INTERVAL_S + 1));
  const theirs = hasBlackboxExporter() ? await peerRates(load, target, seconds) : undefined;
  if (theirs === undefined) skipped("blackbox_exporter", "it is not installed");
  await spread;
  await drift(world, region, target, withoutMiB);

  const hurried = quick ? HURRIED / 10 : HURRIED;
  const due = `${Math.round(WATCHED / INTERVAL_S + hurried / SHORTEST_S).toLocaleString("en")} checks/s due`;
  await create(region, monitorsOf(WATCHED, hurried, SHORTEST_S));
  await pause(2_000 * SHORTEST_S);
  const ours: { readonly perCore: number; readonly perSecond: number }[] = [];
  for (let run = 0; run < RUNS; run++) ours.push(await rates(seconds, () => region.processorMs(), () => looks(region)));
  found({
    metric: `checks per second of processor time, the whole region, ${due}`, unit: "checks/s", value: sampleOf(ours.map(({ perCore }) => perCore)),
    ...(theirs === undefined ? {} : { beside: { name: "blackbox_exporter, same targets", value: theirs } }), goal: { text: "≥ 1.5 ×", of: "ratio", atLeast: 1.5 },
  });
  found({ metric: `checks per second, ${due}`, unit: "checks/s", value: sampleOf(ours.map(({ perSecond }) => perSecond)) });
  const saturated: number[] = [];
  for (let run = 0; run < RUNS; run++) saturated.push(await read());
  found({ metric: `LOCAL read, ${READERS_PER_SECOND}/s, p99, ${due}`, unit: "ms", value: sampleOf(saturated), beside: { name: "while nothing is watched", value: sampleOf(idle) } });
}
