/** LOCAL writes while three regions replicate: spread over many incidents, on one, and on one that is long already. */
import { ClassicLevel } from "classic-level";
import path from "node:path";
import { BareFastify } from "./bare-fastify.js";
import { CONNECTIONS, inTurn, RUNS, type BenchWorld } from "./bench.js";
import { TemporaryFolder } from "./children.js";
import { AUTHORIZATION, Cluster, UPDATE_BODY, type RegionProcess } from "./cluster.js";
import { Etcd, hasEtcd, putRequest } from "./etcd.js";
import type { LoadJob } from "./load.js";
import { sampleOf } from "./measurement.js";

const DOCUMENTS = 50;

const postUpdate = (id: string) => ({ method: "POST", path: `/v1/pages/default/incidents/${id}/updates`, body: UPDATE_BODY });

const updatesJob = (region: RegionProcess, ids: readonly string[], seconds: number): LoadJob => ({
  base: region.base, headers: AUTHORIZATION, connections: CONNECTIONS, seconds, requests: ids.map(postUpdate),
});

export async function localWrite({ load, quick, found, skipped }: BenchWorld): Promise<void> {
  const seconds = quick ? 0.7 : 3;
  const runs = quick ? 3 : RUNS;
  const ours = await (async () => {
    await using cluster = await Cluster.start();
    const region = cluster.at("us-east");
    const ids = await region.openIncidents(DOCUMENTS);
    await using bare = await BareFastify.start("{}");
    await load.run(updatesJob(region, ids, quick ? 1 : 2));
    const [written = [], bareWritten = [], level = []] = await inTurn(runs, [
      () => load.run(updatesJob(region, ids, seconds)),
      () => load.run({ base: bare.base, connections: CONNECTIONS, seconds: seconds / 2, requests: [{ method: "POST", path: "/updates", body: UPDATE_BODY }] }),
      async () => ({ perSecond: await levelPutsPerSecond(seconds * 500), p99: Number.NaN }),
    ]);
    const perSecond = sampleOf(written.map((run) => run.perSecond));
    found({ metric: "LOCAL write, 50 connections, 50 incidents, against Fastify", unit: "writes/s", value: perSecond, beside: { name: "bare Fastify POST", value: sampleOf(bareWritten.map((run) => run.perSecond)) } });
    found({ metric: "LOCAL write, 50 connections, 50 incidents, against LevelDB", unit: "writes/s", value: perSecond, beside: { name: "classic-level, 50 writers, one synced batch a group", value: sampleOf(level.map((run) => run.perSecond)) } });
    const lagMs = await cluster.equal();
    found({ metric: "the other regions are equal after the writes", unit: "ms", value: lagMs, note: "from the last answer" });
    return { perSecond, p99: sampleOf(written.map((run) => run.p99)) };
  })();
  const p99Goal = { text: "≤ 25 ms", of: "value", atMost: 25 } as const;
  if (!hasEtcd()) {
    skipped("etcd's puts beside ours", "etcd is not installed (Debian: etcd-server)");
    found({ metric: "LOCAL write, 50 connections, 50 incidents, p99", unit: "ms", value: ours.p99, goal: p99Goal });
    return;
  }
  await using etcd = await Etcd.start({ delayed: false });
  const puts = Array.from({ length: DOCUMENTS }, (_, i) => putRequest(`incident/${i}`, UPDATE_BODY));
  const put = () => load.run({ base: etcd.base("us-east"), connections: CONNECTIONS, seconds, requests: puts });
  await put();
  const [theirs = []] = await inTurn(runs, [put]);
  found({
    metric: "LOCAL write, 50 connections, 50 incidents", unit: "writes/s", value: ours.perSecond,
    beside: { name: "etcd put, 3 members", value: sampleOf(theirs.map((run) => run.perSecond)) }, goal: { text: "≥ 1.5 ×", of: "ratio", atLeast: 1.5 },
  });
  found({ metric: "LOCAL write, 50 connections, 50 incidents, p99", unit: "ms", value: ours.p99, beside: { name: "etcd put", value: sampleOf(theirs.map((run) => run.p99)) }, goal: p99Goal });
}

/** 50 writers that wait for their put; what waits meanwhile goes into one synced batch. */
async function levelPutsPerSecond(ms: number): Promise<number> {
  using folder = new TemporaryFolder();
  const level = new ClassicLevel<string, string>(path.join(folder.path, "level"));
  await level.open();
  let waiting: { readonly key: string; readonly done: () => void }[] = [];
  let isFlushing = false;
  const flush = async (): Promise<void> => {
    isFlushing = true;
    while (waiting.length > 0) {
      const group = waiting;
      waiting = [];
      await level.batch(group.map(({ key }) => ({ type: "put", key, value: UPDATE_BODY })), { sync: true });
      for (const { done } of group) done();
    }
    isFlushing = false;
  };
  let puts = 0;
  const started = performance.now();
  await Promise.all(Array.from({ length: CONNECTIONS }, async (_, writer) => {
    while (performance.now() - started < ms) {
      await new Promise<void>((done) => {
        waiting.push({ key: `incident/${writer}/${puts++}`, done });
        if (!isFlushing) void flush();
      });
    }
  }));
  const seconds = (performance.now() - started) / 1_000;
  await level.close();
  return puts / seconds;
}

export async function hotDocument({ load, quick, found }: BenchWorld): Promise<void> {
  const seconds = quick ? 0.7 : 2;
  await using cluster = await Cluster.start();
  const region = cluster.at("us-east");
  const ids = await region.openIncidents(DOCUMENTS);
  await load.run(updatesJob(region, ids, quick ? 1 : 2));
  const [spread = [], hot = []] = await inTurn(quick ? 3 : RUNS, [
    () => load.run(updatesJob(region, ids, seconds)),
    async () => load.run(updatesJob(region, await region.openIncidents(1), seconds)),
  ]);
  found({
    metric: "LOCAL write, 50 connections, all on one incident", unit: "writes/s", value: sampleOf(hot.map(({ perSecond }) => perSecond)),
    beside: { name: "ours on 50 incidents", value: sampleOf(spread.map(({ perSecond }) => perSecond)) }, goal: { text: "≥ 0.5 ×", of: "ratio", atLeast: 0.5 },
  });
  await costByLength({ load, quick, found }, cluster);
}

/** One writer, so that the cost of a write is not hidden behind a group's fsync. */
async function costByLength({ load, quick, found }: Pick<BenchWorld, "load" | "quick" | "found">, cluster: Cluster): Promise<void> {
  const region = cluster.at("us-east");
  const long = quick ? 2_000 : 10_000;
  const [ofLong = ""] = await region.openIncidents(1);
  const fill = { base: region.base, headers: AUTHORIZATION, connections: CONNECTIONS };
  await load.run({ ...fill, count: long, requests: [postUpdate(ofLong)] });
  await cluster.equal();
  const costUs = async (id: string): Promise<number> => 1e6 / (await load.run({ ...fill, connections: 1, count: quick ? 200 : 400, requests: [postUpdate(id)] })).perSecond;
  const [short = [], afterMany = []] = await inTurn(RUNS, [
    async () => {
      const [ofShort = ""] = await region.openIncidents(1);
      await load.run({ ...fill, connections: 1, count: 10, requests: [postUpdate(ofShort)] });
      return costUs(ofShort);
    },
    () => costUs(ofLong),
  ]);
  found({
    metric: `one write on an incident of ${long.toLocaleString("en-US")} updates`, unit: "µs", value: sampleOf(afterMany),
    beside: { name: "on one of 10 to 400", value: sampleOf(short) }, goal: { text: "≤ 1.5 ×", of: "ratio", atMost: 1.5 },
  });
}
