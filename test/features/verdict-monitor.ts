/** A monitor on which tests of verdicts are made. */
import type { Monitor } from "../../src/features/monitors/monitor.js";

export const T0 = Date.UTC(2026, 0, 1);
export const LONG_AGO = T0 - 86_400_000;

export function monitor(over: Partial<Monitor> = {}): Monitor {
  return {
    page: "default", id: "m", name: "API", type: "http", target: "http://example.com", intervalMs: 30_000, timeoutMs: 1_000, retries: 0, retryDelayMs: 0, regions: null, quorum: null,
    confirmMs: 0, recoverMs: 0, degradedAboveMs: null, componentId: null, componentStatus: "major_outage", opensIncident: true, incidentName: null, incidentBody: null, dependsOn: null, paused: false, windows: [],
    options: {}, createdAtMs: LONG_AGO, ...over,
  };
}

export const phases = { dns: null, connect: null, tls: null, first_byte: null, total: null };
