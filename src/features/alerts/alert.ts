/**
 * What other systems say of an alert, and what follows from hearing it more than once.
 *
 * Invariants:
 *  1. Hearing the same twice, from two senders or in two regions, changes nothing the second time.
 *  2. What comes late (a firing after its own end, an end of an earlier time) changes nothing.
 *  3. `later` is symmetric: regions that heard different things agree once they hold the same.
 * Source: Alertmanager's webhook payload, version 4, and its merging of alerts that overlap in time (provider/mem).
 */
import type { Json } from "../../core/change.js";
import { alertLimits } from "../../core/limits.js";

export const SOURCES = ["alertmanager", "grafana", "generic"] as const;
export type Source = (typeof SOURCES)[number];

export type Labels = Readonly<Record<string, string>>;

/** An alert as a notification tells it. */
export interface ToldAlert {
  readonly fingerprint: string;
  readonly status: "firing" | "resolved";
  /** ms since the epoch. */
  readonly start: number;
  /** ms since the epoch; null while it fires, or where no end was told. */
  readonly end: number | null;
  readonly labels: Labels;
  readonly annotations: Labels;
}

/** An alert as it is kept: what was last heard of it that counts. */
export interface Alert {
  readonly fingerprint: string;
  readonly status: "firing" | "resolved";
  readonly start: number;
  /** Null while it fires. */
  readonly end: number | null;
  /** Counts how often it began again with the same start. */
  readonly round: number;
  /** When it was heard, ms since the epoch. */
  readonly at: number;
  readonly labels: Labels;
  readonly annotations: Labels;
}

export interface Notification {
  readonly source: Source;
  readonly groupKey: string;
  readonly receiver: string;
  readonly groupLabels: Labels;
  readonly externalUrl: string;
  /** Alerts of the group that the sender left out. */
  readonly truncatedAlerts: number;
  readonly alerts: readonly ToldAlert[];
}

export type Heard = { readonly outcome: "firing" | "resolved"; readonly alert: Alert } | { readonly outcome: "duplicate" | "stale" };

/** What hearing an alert makes of it. `held`: what was known before. */
export function hear(held: Alert | undefined, told: ToldAlert, nowMs: number): Heard {
  const take = (change: Partial<Alert> = {}): Heard => {
    const end = told.status === "firing" ? null : Math.max(told.start, told.end ?? nowMs);
    return { outcome: told.status, alert: { ...told, end, round: 0, at: nowMs, ...change } };
  };
  if (held === undefined) return take();
  if (told.status === "firing") {
    // Two Prometheus servers see one alert begin at two times: the later one is kept, so that an older end does not end it.
    if (held.status === "firing") return told.start > held.start ? take() : { outcome: "duplicate" };
    if (told.start > (held.end ?? 0)) return take();
    return nowMs - held.at > alertLimits.refireAfterMs ? take({ round: held.round + 1 }) : { outcome: "stale" };
  }
  const end = told.end ?? nowMs;
  if (held.status === "firing") return end >= held.start ? take({ start: held.start, end, round: held.round }) : { outcome: "stale" };
  return told.start > (held.end ?? 0) ? take() : { outcome: "duplicate" };
}

/** Of two things that regions heard of one alert at the same time, what counts. */
export function later(a: Alert, b: Alert): Alert {
  const [firing, resolved] = a.status === "firing" ? [a, b] : [b, a];
  if (a.status !== b.status) return firing.start > (resolved.end ?? 0) || firing.round > resolved.round ? firing : resolved;
  for (const order of [(alert: Alert) => alert.round, (alert: Alert) => alert.end ?? alert.start, (alert: Alert) => alert.start, (alert: Alert) => -alert.at]) {
    if (order(a) !== order(b)) return order(a) > order(b) ? a : b;
  }
  return JSON.stringify(a) <= JSON.stringify(b) ? a : b;
}

/** Labels or annotations, shortened to about so many bytes of JSON: names first, then what fits. */
export function shortened(texts: Labels, bytesMax: number): Labels {
  let left = bytesMax;
  const kept: Record<string, string> = {};
  for (const [name, value] of Object.entries(texts)) {
    const text = value.slice(0, Math.floor(bytesMax / 2));
    const bytes = Buffer.byteLength(JSON.stringify([name, text])) + 2;
    if (bytes > left || name === "__proto__") continue;
    left -= bytes;
    kept[name] = text;
  }
  return kept;
}

/** An alert with what is kept of its labels and annotations: rules see the same whenever they are asked. */
export function bounded(told: ToldAlert): ToldAlert {
  return { ...told, labels: shortened(told.labels, (2 / 3) * alertLimits.alertBytes), annotations: shortened(told.annotations, alertLimits.alertBytes / 3) };
}

/** What an alert is kept as. */
export function alertJson({ labels, annotations, ...alert }: Alert): Json {
  return { ...alert, labels: { ...labels }, annotations: { ...annotations } };
}
