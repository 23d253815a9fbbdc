/** `/metrics`: prom-client's registry, fed by the store through `Metrics` and by the routes through `RequestLatency`. */
import type { FastifyInstance } from "fastify";
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry, type Metric, type OpenMetricsContentType } from "prom-client";
import type { Clock } from "../core/ports.js";
import type { DataPlane } from "../store/data-plane.js";
import type { Metrics } from "../store/metrics.js";

const SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30] as const;

export class PromMetrics implements Metrics {
  readonly registry: Registry<OpenMetricsContentType> = new Registry<OpenMetricsContentType>();
  private readonly counters = new Map<string, Counter>();
  private readonly histograms = new Map<string, Histogram>();

  /** `process`: also the process's own (memory, event loop, garbage collection); once a process. */
  constructor(options: { readonly process: boolean }) {
    this.registry.setContentType(Registry.OPENMETRICS_CONTENT_TYPE);
    if (options.process) {
      collectDefaultMetrics({ register: this.registry });
      // Gauges under names of counters; those without the suffix say more, by type.
      for (const what of ["handles", "requests", "resources"]) this.registry.removeSingleMetric(`nodejs_active_${what}_total`);
    }
  }

  counter(name: string, help: string, labels: readonly string[] = []) {
    const counter = this.counters.get(name) ?? new Counter({ name, help, labelNames: [...labels], registers: [this.registry] });
    this.counters.set(name, counter);
    return { add: (by = 1, ...values: readonly string[]) => (values.length === 0 ? counter.inc(by) : counter.labels(...values).inc(by)) };
  }

  histogram(name: string, help: string, labels: readonly string[] = [], buckets: readonly number[] = SECONDS) {
    const histogram = this.histograms.get(name) ?? new Histogram({ name, help, labelNames: [...labels], buckets: [...buckets], registers: [this.registry] });
    this.histograms.set(name, histogram);
    return { observe: (value: number, ...values: readonly string[]) => (values.length === 0 ? histogram.observe(value) : histogram.labels(...values).observe(value)) };
  }

  gauge(name: string, help: string, labels: readonly string[], read: () => Iterable<readonly [value: number, ...labels: string[]]>): void {
    // A replica that was opened anew reads its own values.
    this.registry.removeSingleMetric(name);
    new Gauge({
      name,
      help,
      labelNames: [...labels],
      registers: [this.registry],
      collect() {
        this.reset();
        for (const [value, ...values] of read()) this.set(Object.fromEntries(labels.map((label, index) => [label, values[index] ?? ""])), value);
      },
    });
  }
}

/** Requests of one route and status class: counts by bucket, without a lookup for each request. */
interface Tally {
  readonly labels: Readonly<Record<string, string>>;
  readonly counts: Float64Array;
  sum: number;
}

/**
 * The latency histogram of all routes. prom-client's own looks its labels up by a text built anew for each observation,
 * which costs a tenth of a LOCAL read; here every route holds its tallies, and the texts are made when scraped.
 */
export class RequestLatency {
  private readonly tallies: Tally[] = [];

  constructor(
    metrics: PromMetrics,
    private readonly clock: Clock,
  ) {
    const metric = {
      name: "statusmesh_http_request_duration_seconds",
      help: "From the arrival of a request's headers until its answer was handed to the socket.",
      type: "histogram",
      aggregator: "sum",
      get: async () => ({ name: metric.name, help: metric.help, type: metric.type, aggregator: metric.aggregator, values: this.values(metric.name) }),
      reset: () => {},
    };
    // The registry calls only `name`, `get` and `reset` of what it holds; its type asks for one of its own classes.
    metrics.registry.registerMetric(metric as unknown as Metric<string>);
  }

  /** Gives the recorder of a route: when (monotonic ms) each request came, and the status of its answer. */
  ofRoute(method: string, route: string): (startedMs: number, status: number) => void {
    const classes: (Tally | undefined)[] = [];
    return (startedMs, status) => {
      const seconds = (this.clock.monotonic() - startedMs) / 1000;
      const statusClass = Math.floor(status / 100);
      let tally = classes[statusClass];
      if (tally === undefined) {
        tally = { labels: { method, route, status: `${statusClass}xx` }, counts: new Float64Array(SECONDS.length + 1), sum: 0 };
        classes[statusClass] = tally;
        this.tallies.push(tally);
      }
      let bucket = 0;
      while (bucket < SECONDS.length && seconds > (SECONDS[bucket] ?? Infinity)) bucket++;
      tally.counts[bucket] = (tally.counts[bucket] ?? 0) + 1;
      tally.sum += seconds;
    };
  }

  private values(name: string) {
    return this.tallies.flatMap(({ labels, counts, sum }) => {
      let total = 0;
      const buckets = [...counts].map((count, index) => {
        total += count;
        const bound = SECONDS[index];
        return { metricName: `${name}_bucket`, labels: { ...labels, le: bound === undefined ? "+Inf" : String(bound) }, value: total };
      });
      return [...buckets, { metricName: `${name}_sum`, labels, value: sum }, { metricName: `${name}_count`, labels, value: total }];
    });
  }
}

/** The gauges that `/v1/cluster` also shows. Nothing here names a page. */
export function clusterGauges(metrics: Metrics, data: DataPlane): void {
  const peers = (read: (peer: ReturnType<DataPlane["cluster"]>["peers"][number]) => number | null) =>
    function* (): Iterable<readonly [number, ...string[]]> {
      for (const peer of data.cluster().peers) {
        const value = read(peer);
        if (value !== null) yield [value, peer.replica, peer.region];
      }
    };
  const labels = ["peer", "peer_region"];
  metrics.gauge("statusmesh_peer_up", "1 if heartbeats of the peer arrive.", labels, peers((peer) => (peer.state === "up" ? 1 : 0)));
  metrics.gauge("statusmesh_peer_unacknowledged_changes", "Changes held here that the peer has not acknowledged.", labels, peers((peer) => peer.unacknowledged_changes));
  metrics.gauge("statusmesh_peer_oldest_unacknowledged_seconds", "Age of the oldest of those.", labels, peers((peer) => peer.oldest_unacknowledged_ms / 1000));
  metrics.gauge("statusmesh_peer_round_trip_seconds", "Round-trip time of heartbeats.", labels, peers((peer) => (peer.rtt_ms === null ? null : peer.rtt_ms / 1000)));
  metrics.gauge("statusmesh_peer_clock_offset_seconds", "The peer's wall clock, less ours.", labels, peers((peer) => (peer.clock_offset_ms === null ? null : peer.clock_offset_ms / 1000)));
  metrics.gauge("statusmesh_peer_in_sync", "1 if the Merkle roots are equal.", labels, peers((peer) => (peer.in_sync ? 1 : 0)));
  metrics.gauge("statusmesh_degradation_level", "0 normal, 1 a peer lags, 2 quorum slow, 3 no majority, 4 alone, 5 read-only.", [], () => [[data.cluster().degradation.level]]);
  metrics.gauge("statusmesh_documents", "Living documents held.", [], () => [[data.cluster().documents]]);
  metrics.gauge("statusmesh_quarantined", "Changes and documents set aside as damaged or hostile.", [], () => [[data.cluster().quarantined]]);
  metrics.gauge("statusmesh_voting", "1 if the replica votes.", [], () => [[data.cluster().voting ? 1 : 0]]);
}

/** Open event streams, and what went over them. */
export function eventStreamMetrics(metrics: Metrics, streams: { readonly open: number; readonly sent: number; readonly tooSlow: number }): void {
  metrics.gauge("statusmesh_event_streams", "Open event streams.", [], () => [[streams.open]]);
  metrics.gauge("statusmesh_event_streams_told", "Events told since the start, each counted once.", [], () => [[streams.sent]]);
  metrics.gauge("statusmesh_event_streams_too_slow", "Streams ended because the client did not read, since the start.", [], () => [[streams.tooSlow]]);
}

/** OpenMetrics as the older text format: there a counter's name is that of its sample. Source: Prometheus' "Exposition formats", 0.0.4. */
export function asPlainText(openMetrics: string): string {
  const lines = openMetrics.split("\n").filter((line) => line !== "# EOF");
  const counters = new Set(lines.flatMap((line) => /^# TYPE (\S+) counter$/.exec(line)?.[1] ?? []));
  return lines.map((line) => line.replace(/^# (HELP|TYPE) (\S+)/, (head, kind: string, name: string) => (counters.has(name) ? `# ${kind} ${name}_total` : head))).join("\n");
}

const PLAIN_TEXT = "text/plain; version=0.0.4; charset=utf-8";

/** True for a client that asks for the older format, and not for OpenMetrics. */
function wantsPlainText(accept: string | undefined): boolean {
  return accept !== undefined && /\btext\/plain\b/.test(accept) && !accept.includes("application/openmetrics-text");
}

export function metricsRoute(app: FastifyInstance, metrics: PromMetrics): void {
  const text = { schema: { type: "string" } };
  const content = { "application/openmetrics-text": text, "text/plain": text };
  app.get("/metrics", { config: { public: true, unreplicated: true }, schema: { tags: ["operations"], summary: "Metrics (OpenMetrics, or Prometheus' older text)", response: { 200: { description: "All metrics as text.", content } } } }, async (request, reply) => {
    const openMetrics = await metrics.registry.metrics();
    reply.header("vary", "accept");
    return wantsPlainText(request.headers.accept) ? reply.type(PLAIN_TEXT).send(asPlainText(openMetrics)) : reply.type(metrics.registry.contentType).send(openMetrics);
  });
}
