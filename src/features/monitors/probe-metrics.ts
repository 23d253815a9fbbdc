/**
 * What this region saw last of each monitor, as Prometheus reads it, under the names that blackbox_exporter uses.
 * Source: Prometheus text format 0.0.4; prometheus/blackbox_exporter.
 */
import type { Monitor } from "./monitor.js";
import type { StoredResult } from "./result-batch.js";
import { VERDICTS, type State } from "./opinion.js";

export interface ProbeReading {
  readonly monitor: Pick<Monitor, "page" | "id" | "name" | "type" | "target">;
  readonly verdict: State;
  /** Undefined where this region has not looked since it started. */
  readonly latest: StoredResult | undefined;
}

export const METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8";
/** Phases by the names of blackbox_exporter. */
const PHASES = [["resolve", "dns"], ["connect", "connect"], ["tls", "tls"], ["processing", "first_byte"]] as const;

const escaped = (text: string): string => text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n").replaceAll('"', '\\"');

function labels(pairs: Readonly<Record<string, string>>): string {
  return `{${Object.entries(pairs).map(([name, value]) => `${name}="${escaped(value)}"`).join(",")}}`;
}

/** One family after the other, each with its help and type. */
export function probeMetrics(readings: readonly ProbeReading[], region: string): string {
  const families: { readonly name: string; readonly help: string; readonly lines: string[] }[] = [];
  const family = (name: string, help: string): ((pairs: Readonly<Record<string, string>>, value: number) => void) => {
    const lines: string[] = [];
    families.push({ name, help, lines });
    return (pairs, value) => lines.push(`${name}${labels(pairs)} ${value}`);
  };
  const success = family("probe_success", "Displays whether or not the probe was a success");
  const duration = family("probe_duration_seconds", "Returns how long the probe took to complete in seconds");
  const lookup = family("probe_dns_lookup_time_seconds", "Returns the time taken for probe dns lookup in seconds");
  const phase = family("probe_http_duration_seconds", "Duration of http request by phase, summed over all redirects");
  const verdict = family("statusmesh_monitor_verdict", "1 for the state that the regions agree on, 0 for the others");
  for (const { monitor, verdict: agreed, latest } of readings) {
    const own = { monitor: monitor.id, name: monitor.name, type: monitor.type, target: monitor.target ?? "", region };
    for (const state of VERDICTS) verdict({ ...own, state }, state === agreed ? 1 : 0);
    // What the region cannot tell is neither a success nor a failure.
    if (latest === undefined || latest.state === "unknown") continue;
    success(own, latest.state === "down" ? 0 : 1);
    if (latest.phases.total !== null) duration(own, latest.phases.total / 1_000);
    if (latest.phases.dns !== null) lookup(own, latest.phases.dns / 1_000);
    if (monitor.type !== "http") continue;
    for (const [name, part] of PHASES) {
      const spent = latest.phases[part];
      if (spent !== null) phase({ ...own, phase: name }, spent / 1_000);
    }
  }
  return families.filter(({ lines }) => lines.length > 0).map(({ name, help, lines }) => `# HELP ${name} ${help}\n# TYPE ${name} gauge\n${lines.join("\n")}\n`).join("");
}
