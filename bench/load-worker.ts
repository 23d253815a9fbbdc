/** The process that makes load: takes jobs over its channel, one at a time, and answers each with what it saw. */
import { HttpConnection, requestBytes } from "./http-connection.js";
import type { LoadJob, LoadResult } from "./load.js";
import { percentile } from "./measurement.js";

class Tally {
  private readonly latencies: number[] = [];
  private readonly statuses = new Map<number, number>();

  count(status: number, ms: number): void {
    this.statuses.set(status, (this.statuses.get(status) ?? 0) + 1);
    this.latencies.push(ms);
  }

  result(seconds: number): LoadResult {
    const latencies = Float64Array.from(this.latencies);
    const good = [...this.statuses].reduce((sum, [status, count]) => sum + (status >= 200 && status < 300 ? count : 0), 0);
    return {
      seconds, requests: latencies.length, perSecond: good / seconds, failures: latencies.length - good, statuses: Object.fromEntries(this.statuses),
      p50: percentile(latencies, 0.5), p99: percentile(latencies, 0.99), max: percentile(latencies, 1),
    };
  }
}

async function run(job: LoadJob): Promise<LoadResult> {
  const { hostname, port } = new URL(job.base);
  const requests = job.requests.map((request) => requestBytes(`${hostname}:${port}`, { ...request, headers: { ...job.headers, ...request.headers } }));
  const connections = await Promise.all(Array.from({ length: job.connections }, () => HttpConnection.open(hostname, Number(port))));
  try {
    return job.perSecond === undefined ? await closedLoop(job, connections, requests) : await openLoop(job, connections, requests, job.perSecond);
  } finally {
    for (const connection of connections) connection.close();
  }
}

/** Set by a message: the job under way ends with the answers that are out. */
let isStopped = false;

/** Every connection sends its next request as soon as it has its answer. Connection k takes the requests k, k + connections, … in turn. */
async function closedLoop(job: LoadJob, connections: readonly HttpConnection[], requests: readonly Buffer[]): Promise<LoadResult> {
  const tally = new Tally();
  const started = performance.now();
  const end = job.seconds === undefined ? Number.POSITIVE_INFINITY : started + job.seconds * 1_000;
  let left = job.count ?? Number.POSITIVE_INFINITY;
  await Promise.all(connections.map(async (connection, index) => {
    const own = requests.filter((_, i) => i % connections.length === index);
    const mine = own.length > 0 ? own : [requests[index % requests.length] ?? Buffer.alloc(0)];
    for (let turn = 0; left > 0 && !isStopped; turn++) {
      left--;
      const sent = performance.now();
      if (sent >= end) break;
      const status = await connection.exchange(mine[turn % mine.length] ?? Buffer.alloc(0));
      tally.count(status, performance.now() - sent);
    }
  }));
  return tally.result((performance.now() - started) / 1_000);
}

/** Requests become due at a steady rate, whether or not earlier ones were answered; latency counts from when each was due. */
async function openLoop(job: LoadJob, connections: readonly HttpConnection[], requests: readonly Buffer[], perSecond: number): Promise<LoadResult> {
  const tally = new Tally();
  const started = performance.now();
  const total = Math.round(perSecond * (job.seconds ?? 1));
  let next = 0;
  await Promise.all(connections.map(async (connection) => {
    while (next < total && !isStopped) {
      const turn = next++;
      const due = started + (turn * 1_000) / perSecond;
      const early = due - performance.now();
      if (early > 0) await new Promise((resolve) => setTimeout(resolve, early));
      const status = await connection.exchange(requests[turn % requests.length] ?? Buffer.alloc(0));
      // A timer that came a fraction of a millisecond early must not make a latency negative.
      tally.count(status, Math.max(0, performance.now() - due));
    }
  }));
  return tally.result((performance.now() - started) / 1_000);
}

process.on("disconnect", () => process.exit());
process.on("message", (job: LoadJob | { readonly stop: true }) => {
  isStopped = "stop" in job;
  if ("stop" in job) return;
  run(job).then((result) => process.send?.({ result }), (error: unknown) => process.send?.({ error: error instanceof Error ? error.message : String(error) }));
});
process.send?.({ ready: true });
