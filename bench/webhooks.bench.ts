/** Notifications of Alertmanager at one region while three replicate, beside bare Fastify that takes the same bodies by schema and does nothing with them. */
import { BareFastify } from "./bare-fastify.js";
import { CONNECTIONS, inTurn, RUNS, type BenchWorld } from "./bench.js";
import { AUTHORIZATION, Cluster, type RegionProcess } from "./cluster.js";
import type { LoadJob } from "./load.js";
import { sampleOf } from "./measurement.js";

const PATH = "/v1/pages/default/webhooks/alertmanager";
const COMPONENTS = 50;
const GROUPS = 500;
/** How many notifications a second the design aims at. */
const AIM_PER_SECOND = 10_000;

interface Told {
  readonly group: string;
  readonly fingerprint: string;
  readonly service: string;
}

/** About what Alertmanager sends for one alert, and about as long. */
function bodyOf({ fingerprint, group, service }: Told): string {
  const labels = { alertname: "HighErrorRate", service, instance: `10.0.0.7:9100-${fingerprint}`, job: "api", severity: "page", cluster: "eu-1" };
  return JSON.stringify({
    receiver: "status-page", status: "firing", groupLabels: { alertname: "HighErrorRate", service }, commonLabels: labels,
    commonAnnotations: { summary: "Error rate above 5 % for ten minutes", runbook: "https://runbooks.example.com/high-error-rate" },
    alerts: [{
      status: "firing", labels, annotations: { summary: "Error rate above 5 % for ten minutes", description: "The API answers more than one in twenty requests with an error." },
      startsAt: "2026-01-01T12:00:00.123456789Z", endsAt: "0001-01-01T00:00:00Z", generatorURL: "http://prometheus.example.com/graph?g0.expr=rate", fingerprint,
    }],
    externalURL: "http://alertmanager.example.com:9093", version: "4", groupKey: `{}:{group="${group}"}`, truncatedAlerts: 0,
  });
}

async function mapped(region: RegionProcess): Promise<void> {
  const rules = [];
  for (let index = 0; index < COMPONENTS; index++) {
    const { body } = await region.call("POST", "/v1/pages/default/components", { body: { name: `Service ${index}` } });
    rules.push({ matchers: [{ name: "service", value: `service-${index}` }], component_id: body.id });
  }
  const { status } = await region.call("POST", "/v1/pages/default/webhooks", { body: { name: "Alertmanager", source: "alertmanager", rules } });
  if (status !== 201) throw new Error(`the webhook was answered ${status}`);
}

export async function webhooks({ load, quick, found }: BenchWorld): Promise<void> {
  await using cluster = await Cluster.start();
  const region = cluster.at("us-east");
  await mapped(region);
  await using bare = await BareFastify.start("{}");
  const seconds = quick ? 0.5 : 2;
  const count = quick ? 200 : 1_500;
  const post = (body: string) => ({ method: "POST", path: PATH, body });
  const ours: Omit<LoadJob, "requests"> = { base: region.base, headers: AUTHORIZATION, connections: CONNECTIONS };
  let next = 0;
  const fresh = (told: (index: number) => Told) => Array.from({ length: count }, () => post(bodyOf(told(next++))));
  const known = bodyOf({ group: "known", fingerprint: "known", service: "elsewhere" });

  await load.run({ ...ours, seconds, requests: [post(known)] });
  await load.run({ base: bare.base, connections: CONNECTIONS, seconds, requests: [{ method: "POST", path: "/alerts", body: known }] });
  const [theirs = [], repeated = [], news = [], opening = []] = await inTurn(RUNS, [
    () => load.run({ base: bare.base, connections: CONNECTIONS, seconds, requests: [{ method: "POST", path: "/alerts", body: known }] }),
    () => load.run({ ...ours, seconds, requests: [post(known)] }),
    () => load.run({ ...ours, count, requests: fresh((index) => ({ group: String(index % GROUPS), fingerprint: String(index), service: "elsewhere" })) }),
    () => load.run({ ...ours, count, requests: fresh((index) => ({ group: `opens-${index}`, fingerprint: String(index), service: `service-${index % COMPONENTS}` })) }),
  ]);
  const beside = { name: "bare Fastify, same body by schema", value: sampleOf(theirs.map(({ perSecond }) => perSecond)) };
  const goal = { text: `${AIM_PER_SECOND.toLocaleString("en")}/s (aim)`, of: "value", atLeast: AIM_PER_SECOND } as const;
  const rate = (runs: readonly { readonly perSecond: number }[]) => sampleOf(runs.map(({ perSecond }) => perSecond));
  found({ metric: "Alertmanager's notification of a known alert, 50 connections", unit: "requests/s", value: rate(repeated), beside, goal, note: `${known.length} bytes` });
  found({ metric: "a notification of a new alert, unmapped", unit: "requests/s", value: rate(news), beside, goal });
  found({ metric: "a notification that opens an incident", unit: "requests/s", value: rate(opening), beside });
  found({ metric: "a notification that opens an incident, p99", unit: "ms", value: sampleOf(opening.map(({ p99 }) => p99)) });
}
