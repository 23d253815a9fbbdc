import t from "tap";
import { NO_PHASES } from "../../src/core/check.js";
import { probeMetrics } from "../../src/features/monitors/probe-metrics.js";

const monitor = { page: "default", id: "m", name: 'The "API"', type: "http", target: "http://example.com/" } as const;
const latest = { key: "default/m", at: 1, latency_ms: 120, phases: { ...NO_PHASES, dns: 10, connect: 20, total: 120 }, error: null, attempt: 1, isFinal: true } as const;

t.test("what was seen last is told under the names of blackbox_exporter", async (t) => {
  const text = probeMetrics([{ monitor, verdict: "up", latest: { ...latest, state: "up" } }], "us-east");
  const own = 'monitor="m",name="The \\"API\\"",type="http",target="http://example.com/",region="us-east"';
  for (const line of [
    "# TYPE probe_success gauge", `probe_success{${own}} 1`, `probe_duration_seconds{${own}} 0.12`, `probe_dns_lookup_time_seconds{${own}} 0.01`,
    `probe_http_duration_seconds{${own},phase="connect"} 0.02`, `statusmesh_monitor_verdict{${own},state="up"} 1`, `statusmesh_monitor_verdict{${own},state="down"} 0`,
  ]) t.ok(text.split("\n").includes(line), `${line} in\n${text}`);
  t.equal(text.match(/# TYPE probe_success/g)?.length, 1);
});

t.test("a region that cannot tell reports neither success nor failure", async (t) => {
  t.notMatch(probeMetrics([{ monitor, verdict: "down", latest: { ...latest, state: "unknown" } }, { monitor, verdict: "down", latest: undefined }], "us-east"), /probe_success/);
  t.match(probeMetrics([{ monitor, verdict: "down", latest: { ...latest, state: "down" } }], "us-east"), /probe_success\{.*\} 0/);
});
