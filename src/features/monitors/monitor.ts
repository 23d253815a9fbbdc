/** A monitor: its schemas, what a request writes onto its document, and how it is shown. */
import { Type, type Static } from "typebox";
import type { Json } from "../../core/change.js";
import { keyOf } from "../../core/document.js";
import type { Fault, FaultDetail } from "../../core/errors.js";
import type { Snapshot } from "../../store/data-plane.js";
import type { DocumentReader, Draft } from "../../store/document-reader.js";
import { invalidAll, lookUp, stamps, type Resource } from "../../store/resource.js";
import { closed, ComponentStatus, Name, stampProperties, Text, TEXT_MAX, Timestamp, type ComponentStatusName } from "../../store/resource-schemas.js";
import { nullable } from "../../store/route-schemas.js";
import { MONITOR_TYPES, Options, optionFaults, targetFault, type MonitorType } from "./options.js";
import { openIncidentOf, verdictOf, VERDICTS } from "./opinion.js";

export const MONITOR = "monitor";
/** Register of the secret in a heartbeat's address: bookkeeping, so that no history and no conflict shows it. */
export const HEARTBEAT_SECRET = "_heartbeat";
/** Monitors that one may explain through one another. */
const DEPENDENCIES_MAX = 16;

const Id = Type.String({ minLength: 1, maxLength: 64 });
const Seconds = Type.Integer({ minimum: 0, maximum: 86_400 });
const Target = Type.String({ minLength: 1, maxLength: 2_048, description: "A URL for http and smesh, host:port for tcp, tls and grpc, a host for icmp, a name for dns, none for heartbeat." });
const Regions = Type.Array(Type.String({ minLength: 1, maxLength: 48 }), { minItems: 1, maxItems: 32, uniqueItems: true });

/** From then, until just before then. */
const Window = closed({ starts_at: Timestamp, ends_at: Timestamp });
type Window = Static<typeof Window>;
const Windows = Type.Array(Window, { maxItems: 50, description: "While one lasts, a failure opens no incident, and the component does not follow." });

const IncidentBody = Type.String({ minLength: 1, maxLength: TEXT_MAX, description: "The first update of an incident that the monitor opens." });

/** What stands for something in the name and body of an incident: `{{monitor}}`. */
export const PLACEHOLDERS = ["monitor", "component", "target"] as const;
const PLACEHOLDER = /\{\{\s*([^{}]*?)\s*\}\}/g;

/** A template with its placeholders filled in, `lengthMax` UTF-16 units at most. Texts are not templates again. */
export function filled(template: string, values: Readonly<Record<(typeof PLACEHOLDERS)[number], string>>, lengthMax: number): string {
  const text = template.replace(PLACEHOLDER, (placeholder, name: string) => (Object.hasOwn(values, name) ? values[name as keyof typeof values] : placeholder));
  // No half of a character is left at the end.
  return text.slice(0, lengthMax).replace(/[\uD800-\uDBFF]$/, "");
}

function unknownPlaceholder(template: string): string | undefined {
  return [...template.matchAll(PLACEHOLDER)].find(([, name = ""]) => !(PLACEHOLDERS as readonly string[]).includes(name))?.[0];
}

const optional = {
  target: Type.Optional(nullable(Target)),
  interval_seconds: Type.Optional(nullable(Type.Integer({ minimum: 5, maximum: 3_600 }))),
  timeout_ms: Type.Optional(nullable(Type.Integer({ minimum: 100, maximum: 120_000 }))),
  retries: Type.Optional(nullable(Type.Integer({ minimum: 0, maximum: 10, description: "Tries after the first that must fail too before a failure counts." }))),
  retry_delay_ms: Type.Optional(nullable(Type.Integer({ minimum: 0, maximum: 60_000 }))),
  regions: Type.Optional(nullable(Regions)),
  quorum: Type.Optional(nullable(Type.Integer({ minimum: 1, maximum: 32, description: "Regions that must say it. Null: a majority of those with a fresh opinion." }))),
  confirm_seconds: Type.Optional(nullable(Seconds)),
  recover_seconds: Type.Optional(nullable(Seconds)),
  degraded_above_ms: Type.Optional(nullable(Type.Integer({ minimum: 1, maximum: 120_000 }))),
  component_id: Type.Optional(nullable(Id)),
  component_status: Type.Optional(nullable(ComponentStatus)),
  open_incident: Type.Optional(nullable(Type.Boolean())),
  incident_name: Type.Optional(nullable(Name)),
  incident_body: Type.Optional(nullable(IncidentBody)),
  depends_on: Type.Optional(nullable(Id)),
  paused: Type.Optional(nullable(Type.Boolean())),
  maintenance_windows: Type.Optional(nullable(Windows)),
  options: Type.Optional(nullable(Options)),
};

export const MonitorCreate = closed({ name: Name, type: Type.Enum([...MONITOR_TYPES]), ...optional });
export type MonitorCreate = Static<typeof MonitorCreate>;
export const MonitorPatch = closed({ name: Type.Optional(Name), type: Type.Optional(Type.Enum([...MONITOR_TYPES])), ...optional });
export type MonitorPatch = Static<typeof MonitorPatch>;

export const MonitorResource = Type.Object({
  id: Type.String(), page_id: Type.String(), name: Type.String(), type: Type.Enum([...MONITOR_TYPES]), target: nullable(Type.String()),
  interval_seconds: Type.Integer(), timeout_ms: Type.Integer(), retries: Type.Integer(), retry_delay_ms: Type.Integer(),
  regions: nullable(Type.Array(Type.String(), { description: "Null: all." })), quorum: nullable(Type.Integer()), confirm_seconds: Type.Integer(), recover_seconds: Type.Integer(),
  degraded_above_ms: nullable(Type.Integer()), component_id: nullable(Type.String()), component_status: ComponentStatus, open_incident: Type.Boolean(),
  incident_name: nullable(Type.String()), incident_body: nullable(Type.String()), depends_on: nullable(Type.String()), paused: Type.Boolean(), maintenance_windows: Windows, options: Type.Record(Type.String(), Type.Unknown()),
  verdict: Type.Enum([...VERDICTS]), verdict_since: nullable(Type.String()), open_incident_id: nullable(Type.String()),
  heartbeat_url: nullable(Type.String({ description: "A path of any region's API that must be called in time; shown to those who may change the monitor." })),
  ...stampProperties,
});

/** Schemas of the fields that concurrent writes may leave with siblings. */
export const monitorFields = {
  name: Name, type: Type.Enum([...MONITOR_TYPES]), target: nullable(Target), description: nullable(Text), interval_seconds: Type.Integer({ minimum: 5, maximum: 3_600 }),
  timeout_ms: Type.Integer({ minimum: 100, maximum: 120_000 }), retries: Type.Integer({ minimum: 0, maximum: 10 }), retry_delay_ms: Type.Integer({ minimum: 0, maximum: 60_000 }),
  confirm_seconds: Seconds, recover_seconds: Seconds, degraded_above_ms: nullable(Type.Integer({ minimum: 1, maximum: 120_000 })), component_status: ComponentStatus,
  open_incident: Type.Boolean(), incident_name: nullable(Name), incident_body: nullable(IncidentBody), paused: Type.Boolean(), maintenance_windows: Windows,
};

/** What a field is that no request has set. */
export const DEFAULTS = {
  target: null, interval_seconds: 30, timeout_ms: 10_000, retries: 1, retry_delay_ms: 0, regions: null, quorum: null, confirm_seconds: 0, recover_seconds: 0,
  degraded_above_ms: null, component_id: null, component_status: "major_outage", open_incident: true, incident_name: null, incident_body: null, depends_on: null, paused: false, maintenance_windows: [], options: {},
} as const satisfies Readonly<Record<string, Json>>;
type Field = keyof typeof DEFAULTS;
const FIELDS = Object.keys(DEFAULTS) as Field[];

/** A monitor as the parts that watch see it. */
export interface Monitor {
  readonly page: string;
  readonly id: string;
  readonly name: string;
  readonly type: MonitorType;
  readonly target: string | null;
  readonly intervalMs: number;
  readonly timeoutMs: number;
  readonly retries: number;
  readonly retryDelayMs: number;
  /** Null: all. */
  readonly regions: readonly string[] | null;
  readonly quorum: number | null;
  readonly confirmMs: number;
  readonly recoverMs: number;
  readonly degradedAboveMs: number | null;
  readonly componentId: string | null;
  readonly componentStatus: ComponentStatusName;
  readonly opensIncident: boolean;
  /** Templates (`filled`); null: the name of the monitor says it. */
  readonly incidentName: string | null;
  readonly incidentBody: string | null;
  readonly dependsOn: string | null;
  readonly paused: boolean;
  /** ms since the epoch. */
  readonly windows: readonly { readonly fromMs: number; readonly untilMs: number }[];
  readonly options: Options;
  /** ms since the epoch. */
  readonly createdAtMs: number;
}

function settingOf(document: DocumentReader, field: Field): Json {
  return document.value(field) ?? DEFAULTS[field];
}

/** What a document says of its monitor. */
export function monitorOf(document: DocumentReader): Monitor {
  const value = <T>(field: Field): T => settingOf(document, field) as T;
  return {
    page: document.partition, id: document.id, name: document.text("name"), type: document.text("type") as MonitorType, target: value("target"),
    intervalMs: value<number>("interval_seconds") * 1_000, timeoutMs: value("timeout_ms"), retries: value("retries"), retryDelayMs: value("retry_delay_ms"),
    regions: value("regions"), quorum: value("quorum"), confirmMs: value<number>("confirm_seconds") * 1_000, recoverMs: value<number>("recover_seconds") * 1_000,
    degradedAboveMs: value("degraded_above_ms"), componentId: value("component_id"), componentStatus: value("component_status"), opensIncident: value("open_incident"),
    incidentName: value("incident_name"), incidentBody: value("incident_body"), dependsOn: value("depends_on"), paused: value("paused"),
    windows: value<readonly Window[]>("maintenance_windows").map(({ starts_at, ends_at }) => ({ fromMs: Date.parse(starts_at), untilMs: Date.parse(ends_at) })), options: value("options"), createdAtMs: Date.parse(document.createdAt),
  };
}

/** Writes what a request sets; null gives a field its default again. 422 for what does not fit together or does not exist. */
export function writeMonitor(draft: Draft, document: DocumentReader | undefined, snapshot: Snapshot, page: string, fields: MonitorPatch, regions: readonly string[]): Fault | undefined {
  const faults = faultsOf(document, snapshot, page, fields, regions);
  if (faults.length > 0) return invalidAll(faults);
  if (fields.name !== undefined) draft.set("name", fields.name);
  if (fields.type !== undefined) draft.set("type", fields.type);
  for (const field of FIELDS) {
    const given = field === "maintenance_windows" && fields[field] ? plainWindows(fields[field]) : fields[field];
    if (given !== undefined) draft.set(field, (given ?? DEFAULTS[field]) as Json);
  }
  return undefined;
}

/** With their times as they are shown. */
export function plainWindows(windows: readonly Window[]): Window[] {
  return windows.map(({ starts_at, ends_at }) => ({ starts_at: new Date(starts_at).toISOString(), ends_at: new Date(ends_at).toISOString() }));
}

function faultsOf(document: DocumentReader | undefined, snapshot: Snapshot, page: string, fields: MonitorPatch, regions: readonly string[]): FaultDetail[] {
  const after = <T>(field: Field): T => (fields[field] === undefined ? (document === undefined ? DEFAULTS[field] : settingOf(document, field)) : (fields[field] ?? DEFAULTS[field])) as T;
  const type = fields.type ?? (document?.text("type") as MonitorType);
  const faults: FaultDetail[] = [];
  if (fields.type !== undefined || fields.target !== undefined) {
    const message = targetFault(type, after("target"));
    if (message !== undefined) faults.push({ pointer: "#/target", message });
  }
  if (fields.type !== undefined || fields.options !== undefined) faults.push(...optionFaults(type, after("options")));
  for (const [index, region] of (fields.regions ?? []).entries()) if (!regions.includes(region)) faults.push({ pointer: `#/regions/${index}`, message: "there is no such region" });
  for (const [index, { starts_at, ends_at }] of (fields.maintenance_windows ?? []).entries()) {
    if (Date.parse(ends_at) <= Date.parse(starts_at)) faults.push({ pointer: `#/maintenance_windows/${index}/ends_at`, message: "must be after starts_at" });
  }
  for (const field of ["incident_name", "incident_body"] as const) {
    const unknown = unknownPlaceholder(fields[field] ?? "");
    if (unknown !== undefined) faults.push({ pointer: `#/${field}`, message: `has no value for ${unknown}; there are ${PLACEHOLDERS.map((name) => `{{${name}}}`).join(", ")}` });
  }
  if (fields.quorum !== undefined || fields.regions !== undefined) {
    const quorum = after<number | null>("quorum");
    if (quorum !== null && quorum > (after<readonly string[] | null>("regions") ?? regions).length) faults.push({ pointer: "#/quorum", message: "is more than the regions that watch" });
  }
  if (typeof fields.component_id === "string" && lookUp(snapshot, keyOf(page, "component", fields.component_id)) === undefined) {
    faults.push({ pointer: "#/component_id", message: "there is no such component" });
  }
  if (typeof fields.depends_on === "string") {
    const message = dependencyFault(snapshot, page, document?.id, fields.depends_on);
    if (message !== undefined) faults.push({ pointer: "#/depends_on", message });
  }
  return faults;
}

/** A sentence if a monitor cannot be explained by that one. */
export function dependencyFault(snapshot: Snapshot, page: string, own: string | undefined, dependsOn: string): string | undefined {
  let next: Json = dependsOn;
  for (let steps = 0; typeof next === "string"; steps++) {
    if (next === own) return "a monitor cannot explain itself";
    if (steps === DEPENDENCIES_MAX) return `is explained by a chain of more than ${DEPENDENCIES_MAX} monitors`;
    const other = lookUp(snapshot, keyOf(page, MONITOR, next));
    if (other === undefined) return steps === 0 ? "there is no such monitor" : undefined;
    next = other.value("depends_on");
  }
  return undefined;
}

/** A monitor as it is returned to those who may only read. */
export function presentMonitor(document: DocumentReader, snapshot: Snapshot): Resource {
  const { page, id } = { page: document.partition, id: document.id };
  const verdict = verdictOf(snapshot, page, id);
  const component = settingOf(document, "component_id");
  const dependsOn = settingOf(document, "depends_on");
  const settings = Object.fromEntries(FIELDS.map((field) => [field, settingOf(document, field)]));
  return {
    id, page_id: page, name: document.text("name"), type: document.text("type"), ...settings,
    component_id: typeof component === "string" && lookUp(snapshot, keyOf(page, "component", component)) !== undefined ? component : null,
    depends_on: typeof dependsOn === "string" && lookUp(snapshot, keyOf(page, MONITOR, dependsOn)) !== undefined ? dependsOn : null,
    verdict: verdict.state, verdict_since: verdict.since === null ? null : new Date(verdict.since).toISOString(), open_incident_id: openIncidentOf(snapshot, page, verdict),
    heartbeat_url: null, ...stamps(document),
  };
}

/** The path that a heartbeat's sender calls; null for monitors of other types. */
export function heartbeatUrl(document: DocumentReader): string | null {
  const secret = document.text(HEARTBEAT_SECRET);
  return document.value("type") === "heartbeat" && secret !== "" ? `/heartbeats/${document.partition}/${document.id}/${secret}` : null;
}

/** A monitor as it is returned to those who may change it. */
export function presentMonitorWhole(document: DocumentReader, snapshot: Snapshot): Resource {
  return { ...presentMonitor(document, snapshot), heartbeat_url: heartbeatUrl(document) };
}
