/**
 * What Alertmanager, Grafana and others send: schemas, and the one form that all become.
 *
 * Members that are not named here are let through: senders add some with every version, and refusing them would lose alerts.
 * Source: Prometheus' documentation of `<webhook_config>` (version 4), Grafana's of the webhook contact point.
 */
import { Type, type Static } from "typebox";
import { alertLimits } from "../../core/limits.js";
import { derivedId } from "../../store/derived-incidents.js";
import { closed } from "../../store/resource-schemas.js";
import { bounded, type Labels, type Notification, type ToldAlert } from "./alert.js";

const Texts = () => Type.Record(Type.String(), Type.String());
/** Go writes nanoseconds and an offset; year 1 stands for "not set". */
const Time = Type.String({ minLength: 20, maxLength: 40, pattern: "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:[.][0-9]{1,9})?(?:Z|[+-][0-9]{2}:[0-9]{2})$", description: "RFC 3339." });
const Status = Type.Enum(["firing", "resolved"]);
const GroupKey = Type.String({ minLength: 1, maxLength: 8_192 });
const Fingerprint = Type.String({ minLength: 1, maxLength: 128 });
const Count = Type.Integer({ minimum: 0, maximum: 1_000_000_000 });
const alertsOf = <T extends Type.TSchema>(alert: T) => Type.Array(alert, { maxItems: alertLimits.alertsPerNotificationMax });

const PrometheusAlert = Type.Object({
  status: Status, labels: Texts(), annotations: Type.Optional(Type.Union([Texts(), Type.Null()])), startsAt: Time, endsAt: Type.Optional(Time), generatorURL: Type.Optional(Type.String()),
  fingerprint: Type.Optional(Fingerprint),
});

const group = {
  groupKey: GroupKey, status: Type.Optional(Status), receiver: Type.Optional(Type.String()), groupLabels: Type.Optional(Type.Union([Texts(), Type.Null()])),
  externalURL: Type.Optional(Type.String()), truncatedAlerts: Type.Optional(Count), alerts: alertsOf(PrometheusAlert),
};

export const AlertmanagerPayload = Type.Object({ version: Type.Literal("4"), ...group });
/** Grafana's version is "1", and its groups are Alertmanager's. */
export const GrafanaPayload = Type.Object({ version: Type.Optional(Type.String()), ...group });
type GroupPayload = Static<typeof GrafanaPayload>;

const GenericAlert = closed({
  fingerprint: Type.String({ minLength: 1, maxLength: 128, description: "Names the alert within its group." }), status: Status, starts_at: Time, ends_at: Type.Optional(Type.Union([Time, Type.Null()])),
  labels: Type.Optional(Texts()), annotations: Type.Optional(Texts()),
});
export const GenericPayload = closed({ group_key: GroupKey, truncated_alerts: Type.Optional(Count), alerts: alertsOf(GenericAlert) });
export type GenericPayload = Static<typeof GenericPayload>;

/** ms since the epoch; null for year 1, Go's time that was never set. Undefined for what is no time. */
function timeOf(text: string | null | undefined): number | null | undefined {
  if (text === undefined || text === null || text.startsWith("0001-01-0")) return null;
  const ms = Date.parse(text);
  return Number.isNaN(ms) ? undefined : ms;
}

/** Pointers to the times of a payload that do not exist, such as 30 February. */
export function timeFaults(alerts: readonly { readonly [name: string]: unknown }[], names: readonly [start: string, end: string]): string[] {
  return alerts.flatMap((alert, index) => names.filter((name) => timeOf(alert[name] as string | null | undefined) === undefined).map((name) => `#/alerts/${index}/${name}`));
}

interface Times {
  readonly startsAt: string;
  readonly endsAt: string | null | undefined;
}

function toldAlert(fingerprint: string, status: "firing" | "resolved", { startsAt, endsAt }: Times, labels: Labels, annotations: Labels): ToldAlert {
  const end = timeOf(endsAt) ?? null;
  return bounded({ fingerprint, status, start: timeOf(startsAt) ?? 0, end: status === "firing" ? null : end, labels, annotations });
}

/** `endsAt` of a firing alert is year 1, or when it would end if nobody repeated it: only `status` says whether it has ended. */
export function fromPrometheus(source: "alertmanager" | "grafana", payload: GroupPayload): Notification {
  return {
    source, groupKey: payload.groupKey, receiver: payload.receiver ?? "", groupLabels: payload.groupLabels ?? {}, externalUrl: payload.externalURL ?? "",
    truncatedAlerts: payload.truncatedAlerts ?? 0,
    alerts: payload.alerts.map(({ annotations, endsAt, fingerprint, labels, startsAt, status }) =>
      toldAlert(fingerprint ?? derivedId(...Object.entries(labels).map(([name, value]) => [name, value]).sort()), status, { startsAt, endsAt }, labels, annotations ?? {})),
  };
}

export function fromGeneric(payload: GenericPayload): Notification {
  return {
    source: "generic", groupKey: payload.group_key, receiver: "", groupLabels: {}, externalUrl: "", truncatedAlerts: payload.truncated_alerts ?? 0,
    alerts: payload.alerts.map(({ annotations, ends_at, fingerprint, labels, starts_at, status }) => toldAlert(fingerprint, status, { startsAt: starts_at, endsAt: ends_at }, labels ?? {}, annotations ?? {})),
  };
}
