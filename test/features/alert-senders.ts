/** What Alertmanager and Grafana put into their bodies, as they write it. */
export interface SentAlert {
  readonly name?: string;
  readonly status?: "firing" | "resolved";
  /** ms since the epoch. */
  readonly start?: number;
  readonly end?: number;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly fingerprint?: string;
}

export const START = Date.UTC(2026, 0, 1, 12);
const YEAR_1 = "0001-01-01T00:00:00Z";

/** Go writes as many digits as a time has. */
const goTime = (ms: number): string => new Date(ms).toISOString().replace("Z", "123456Z");

function alertOf({ name = "ApiDown", status = "firing", start = START, end, labels = {}, annotations = {}, fingerprint }: SentAlert) {
  return {
    status, labels: { alertname: name, ...labels }, annotations, startsAt: goTime(start), endsAt: status === "firing" && end === undefined ? YEAR_1 : goTime(end ?? start + 60_000),
    generatorURL: "http://prometheus.example.com/graph?g0.expr=up", fingerprint: fingerprint ?? Buffer.from(name.padEnd(8, ".")).toString("hex").slice(0, 16),
  };
}

/** Alertmanager's body, version 4. */
export function alertmanagerBody(alerts: readonly SentAlert[], { groupKey = '{}:{alertname="ApiDown"}', truncatedAlerts = 0 }: { groupKey?: string; truncatedAlerts?: number } = {}) {
  const sent = alerts.map(alertOf);
  return {
    receiver: "status page", status: sent.some(({ status }) => status === "firing") ? ("firing" as const) : ("resolved" as const), alerts: sent, groupLabels: { alertname: "ApiDown" }, commonLabels: { alertname: "ApiDown" },
    commonAnnotations: {}, externalURL: "http://alertmanager.example.com:9093", version: "4", groupKey, truncatedAlerts,
  };
}

/** Grafana's unified alerting adds members to it, and counts versions by itself. */
export function grafanaBody(alerts: readonly SentAlert[]) {
  const sent = alertmanagerBody(alerts);
  return {
    ...sent, version: "1", orgId: 1, title: "[FIRING:1] ApiDown", state: sent.status === "firing" ? "alerting" : "ok", message: "**Firing**",
    alerts: sent.alerts.map((alert) => ({ ...alert, silenceURL: "http://grafana.example.com/alerting/silence/new", dashboardURL: "", panelURL: "", values: { B: 1.5 }, valueString: "[ var='B' value=1.5 ]" })),
  };
}
