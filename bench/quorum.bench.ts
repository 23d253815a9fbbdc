/** GLOBAL_QUORUM across injected round trips: writes, reads and compare-and-set from each region, and three regions that write one document. */
import { once } from "node:events";
import { connect, createServer, type AddressInfo } from "node:net";
import type { BenchWorld } from "./bench.js";
import { Cluster, UPDATE_BODY, type RegionProcess } from "./cluster.js";
import { Etcd, hasEtcd, putRequest, rangeRequest } from "./etcd.js";
import { LinkProxy } from "./link-proxy.js";
import { percentile, sampleOf, type Sample } from "./measurement.js";
import { nearest, REGIONS, roundTripMs, type Region } from "./regions.js";

const PARTS = 5;
const GLOBAL = { "consistency-level": "GLOBAL_QUORUM" } as const;

type Operation = (turn: number) => Promise<void>;

/** Median round trip through a proxy as it stands on each link, ms. */
async function measuredRoundTrip(a: Region, b: Region): Promise<number> {
  const server = createServer({ noDelay: true }, (socket) => socket.pipe(socket).on("error", () => socket.destroy()));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  await using proxy = await LinkProxy.listen({ delayMs: () => roundTripMs(a, b) / 2 });
  proxy.target = (server.address() as AddressInfo).port;
  const socket = connect({ host: "127.0.0.1", port: proxy.port, noDelay: true });
  const times: number[] = [];
  for (let i = 0; i < 15; i++) {
    const sent = performance.now();
    socket.write(Buffer.alloc(200));
    await once(socket, "data");
    times.push(performance.now() - sent);
  }
  socket.destroy();
  await new Promise((resolve) => server.close(resolve));
  return percentile(times.slice(2), 0.5);
}

/** The p50 of an operation that one client repeats: of each of `PARTS` parts, in order. */
async function latency(operation: Operation, turns: number): Promise<Sample> {
  const parts: number[][] = Array.from({ length: PARTS }, () => []);
  await operation(0);
  for (let turn = 0; turn < turns; turn++) {
    const started = performance.now();
    await operation(turn + 1);
    parts[Math.floor((turn * PARTS) / turns)]?.push(performance.now() - started);
  }
  return sampleOf(parts.map((part) => percentile(part, 0.5)));
}

async function expect(status: number, answer: Promise<{ readonly status: number; readonly etag: string; readonly body?: unknown }>): Promise<string> {
  const result = await answer;
  if (result.status !== status) throw new Error(`answered ${result.status} instead of ${status}: ${JSON.stringify(result.body)}`);
  return result.etag;
}

async function operationsOf(region: RegionProcess): Promise<Readonly<Record<"write" | "read" | "compare-and-set", Operation>>> {
  const [id = ""] = await region.openIncidents(1);
  const path = `/v1/pages/default/incidents/${id}`;
  let etag: string | undefined;
  return {
    write: async () => void (await expect(201, region.call("POST", `${path}/updates`, { body: UPDATE_BODY, headers: GLOBAL }))),
    read: async () => void (await expect(200, region.call("GET", path, { headers: GLOBAL }))),
    "compare-and-set": async (turn) => {
      etag ??= await expect(200, region.call("GET", path, { headers: GLOBAL }));
      etag = await expect(200, region.call("PATCH", path, { body: { name: `Attempt ${turn}` }, headers: { ...GLOBAL, "if-match": etag } }));
    },
  };
}

/** p50 of etcd's puts and linearizable reads from each region. */
async function etcdLatencies(turns: number): Promise<ReadonlyMap<string, Sample>> {
  const found = new Map<string, Sample>();
  await using etcd = await Etcd.start({ delayed: true });
  const check = async (answer: Promise<{ status: number; text: string }>): Promise<void> => {
    const { status, text } = await answer;
    if (status !== 200) throw new Error(`etcd answered ${status}: ${text}`);
  };
  await Promise.all(REGIONS.map(async (region) => {
    found.set(`write ${region}`, await latency(() => check(etcd.call(region, putRequest(region, UPDATE_BODY))), turns));
  }));
  await Promise.all(REGIONS.map(async (region) => {
    found.set(`read ${region}`, await latency(() => check(etcd.call(region, rangeRequest(region))), turns));
  }));
  return found;
}

export async function quorum({ quick, found, skipped }: BenchWorld): Promise<void> {
  const turns = quick ? 10 : 40;
  const roundTrips = new Map(await Promise.all(REGIONS.map(async (region) => [region, await measuredRoundTrip(region, nearest(region))] as const)));
  const ours = new Map<string, Sample>();
  {
    await using cluster = await Cluster.start({ links: "delayed" });
    const operations = new Map(await Promise.all(REGIONS.map(async (region) => [region, await operationsOf(cluster.at(region))] as const)));
    await cluster.equal();
    for (const kind of ["write", "read", "compare-and-set"] as const) {
      await Promise.all([...operations].map(async ([region, of]) => void ours.set(`${kind} ${region}`, await latency(of[kind], turns))));
      for (const region of REGIONS) {
        const roundTrip = roundTrips.get(region) ?? Number.NaN;
        const extraMs = kind === "read" ? 3 : 5;
        found({
          metric: `GLOBAL_QUORUM ${kind} in ${region}, p50`, unit: "ms", value: ours.get(`${kind} ${region}`) ?? Number.NaN,
          beside: { name: `round trip to ${nearest(region)}`, value: roundTrip }, goal: { text: `≤ 1.1 × + ${extraMs} ms`, of: "value", atMost: 1.1 * roundTrip + extraMs },
        });
      }
    }
    await loopingWriters(cluster, roundTrips, { quick, found });
  }
  if (!hasEtcd()) {
    skipped("etcd's latencies from each region", "etcd is not installed (Debian: etcd-server)");
    return;
  }
  const theirs = await etcdLatencies(turns);
  for (const kind of ["write", "read"] as const) {
    for (const region of REGIONS) {
      const isLeader = region === "us-east";
      found({
        metric: `GLOBAL_QUORUM ${kind} in ${region}, p50, against etcd`, unit: "ms", value: ours.get(`${kind} ${region}`) ?? Number.NaN,
        beside: { name: `etcd ${kind === "write" ? "put" : "linearizable read"}${isLeader ? " at its leader" : ""}`, value: theirs.get(`${kind} ${region}`) ?? Number.NaN },
        ...(isLeader ? {} : { goal: { text: "≤ 0.6 ×", of: "ratio", atMost: 0.6 } as const }),
      });
    }
  }
}

async function loopingWriters(cluster: Cluster, roundTrips: ReadonlyMap<Region, number>, { quick, found }: Pick<BenchWorld, "quick" | "found">): Promise<void> {
  const [id = ""] = await cluster.at("us-east").openIncidents(1);
  await cluster.equal();
  const end = performance.now() + (quick ? 4_000 : 15_000);
  const latencies = await Promise.all(REGIONS.map(async (region) => {
    const times: number[] = [];
    while (performance.now() < end) {
      const started = performance.now();
      await expect(201, cluster.at(region).call("POST", `/v1/pages/default/incidents/${id}/updates`, { body: UPDATE_BODY, headers: { ...GLOBAL, "quorum-timeout": "20000" } }));
      times.push(performance.now() - started);
    }
    return times;
  }));
  REGIONS.forEach((region, i) => {
    const times = latencies[i] ?? [];
    const roundTrip = roundTrips.get(region) ?? Number.NaN;
    found({
      metric: `three regions loop on one document: ${region}, p50`, unit: "ms", value: percentile(times, 0.5),
      beside: { name: `round trip to ${nearest(region)}`, value: roundTrip }, goal: { text: "≤ 5 ×", of: "ratio", atMost: 5 }, note: `${times.length} writes, slowest ${percentile(times, 1).toFixed(0)} ms`,
    });
  });
  const counts = latencies.map((times) => times.length);
  found({ metric: "three regions loop on one document: fewest writes of a region", unit: "writes", value: Math.min(...counts), beside: { name: "most writes of a region", value: Math.max(...counts) }, goal: { text: "nobody starves (≥ 0.2 ×)", of: "ratio", atLeast: 0.2 } });
}
