/**
 * What the public may see of a page, read from one snapshot: the only place where documents become public. Drafts of postmortems, labels, stamps,
 * regions of updates and conflicts are not among it.
 */
import type { Json } from "../../core/change.js";
import { keyOf } from "../../core/document.js";
import { limits } from "../../core/limits.js";
import { hlcTime } from "../../core/hlc.js";
import type { DocumentChange, Snapshot } from "../../store/data-plane.js";
import type { DocumentReader } from "../../store/document-reader.js";
import { lookUp, pageKey, type Resource } from "../../store/resource.js";
import type { ComponentStatusName } from "../../store/resource-schemas.js";
import { CLOSED_STATUSES } from "../../store/conflicts.js";

/** How the other rooms show their documents; handed in, since rooms do not import each other. */
export interface Presenters {
  page(document: DocumentReader): Resource;
  component(document: DocumentReader, snapshot: Snapshot): Resource;
  group(document: DocumentReader): Resource;
  incident(document: DocumentReader, snapshot: Snapshot): Resource;
  maintenance(document: DocumentReader, snapshot: Snapshot): Resource;
}

export type Impact = "none" | "minor" | "major" | "critical";
export type IncidentStatusName = "investigating" | "identified" | "monitoring" | "resolved" | "postmortem";
export type MaintenanceStatusName = "scheduled" | "in_progress" | "verifying" | "completed";

export interface PublicPage {
  readonly id: string;
  readonly name: string;
  /** Where the page lives (its `url`, else its first domain), without a slash at its end; null: at its path on any region. */
  readonly url: string | null;
  readonly timeZone: string;
  readonly description: string | null;
  readonly supportUrl: string | null;
  readonly theme: { readonly [key: string]: Json };
}

export interface PublicGroup {
  readonly id: string;
  readonly name: string;
  readonly description: string | null;
  readonly position: number;
  readonly collapsed: boolean;
  readonly createdAt: string;
  readonly updatedAt: string;
}

export interface PublicComponent {
  readonly id: string;
  readonly name: string;
  readonly description: string | null;
  readonly groupId: string | null;
  readonly position: number;
  readonly status: ComponentStatusName;
  readonly showUptime: boolean;
  readonly showLatency: boolean;
  readonly onlyShowIfDegraded: boolean;
  readonly createdAt: string;
  readonly updatedAt: string;
}

export interface PublicUpdate {
  readonly id: string;
  readonly status: string;
  /** Markdown from outside. */
  readonly body: string;
  readonly affected: readonly { readonly id: string; readonly name: string; readonly oldStatus: string; readonly newStatus: string }[];
  readonly createdAt: string;
  readonly displayAt: string;
  readonly updatedAt: string;
  readonly deliverNotifications: boolean;
}

/** An incident or a maintenance. */
export interface PublicEvent {
  readonly kind: "incident" | "maintenance";
  readonly id: string;
  readonly name: string;
  readonly status: string;
  readonly impact: Impact | "maintenance";
  readonly createdAt: string;
  readonly updatedAt: string;
  /** When it began, or is to begin. */
  readonly startedAt: string;
  readonly monitoringAt: string | null;
  /** When it was resolved or completed; null while it is not over. */
  readonly endedAt: string | null;
  /** Of a maintenance. */
  readonly scheduledFor: string | null;
  readonly scheduledUntil: string | null;
  readonly shortlink: string;
  readonly components: readonly { readonly id: string; readonly name: string; readonly status: string }[];
  /** Newest first by the time that they show. */
  readonly updates: readonly PublicUpdate[];
  /** Of a published postmortem. */
  readonly postmortem: { readonly body: string; readonly publishedAt: string } | null;
}

export interface PublicModel {
  readonly page: PublicPage;
  /** In order of position. */
  readonly groups: readonly PublicGroup[];
  readonly components: readonly PublicComponent[];
  /** Newest first. */
  readonly openIncidents: readonly PublicEvent[];
  readonly activeMaintenances: readonly PublicEvent[];
  /** The next first. */
  readonly upcomingMaintenances: readonly PublicEvent[];
  /** When anything of this last changed, RFC 3339. */
  readonly updatedAt: string;
  /** ms since the epoch. */
  readonly atMs: number;
}

export type EventKind = PublicEvent["kind"];

const text = (value: Json | undefined): string => (typeof value === "string" ? value : "");
const textOrNull = (value: Json | undefined): string | null => (typeof value === "string" && value !== "" ? value : null);
const list = (value: Json | undefined): readonly Resource[] => (Array.isArray(value) ? (value as readonly Resource[]) : []);

/** The page itself; undefined if there is none of this id. */
export function readPage(snapshot: Snapshot, presenters: Presenters, page: string): { page: PublicPage; updatedAt: string } | undefined {
  const document = lookUp(snapshot, pageKey(page));
  if (document === undefined) return undefined;
  const resource = presenters.page(document);
  const theme = resource["theme"];
  const domain = Array.isArray(resource["custom_domains"]) ? text(resource["custom_domains"][0]) : "";
  return {
    page: {
      id: document.id, name: text(resource["name"]) || document.id, url: textOrNull(resource["url"])?.replace(/\/+$/, "") ?? (domain === "" ? null : `https://${domain}`), timeZone: text(resource["time_zone"]) || "UTC",
      description: textOrNull(resource["description"]), supportUrl: textOrNull(resource["support_url"]),
      theme: typeof theme === "object" && theme !== null && !Array.isArray(theme) ? theme as { readonly [key: string]: Json } : {},
    },
    updatedAt: document.updatedAt,
  };
}

function readComponents(snapshot: Snapshot, presenters: Presenters, page: string): PublicComponent[] {
  return documents(snapshot, page, "component").map((document) => {
    const resource = presenters.component(document, snapshot);
    return {
      id: document.id, name: text(resource["name"]), description: textOrNull(resource["description"]), groupId: textOrNull(resource["group_id"]),
      position: Number(resource["position"] ?? 0), status: text(resource["status"]) as ComponentStatusName, showUptime: resource["show_uptime"] !== false, showLatency: resource["show_latency"] === true,
      onlyShowIfDegraded: resource["only_show_if_degraded"] === true, createdAt: document.createdAt, updatedAt: document.updatedAt,
    };
  });
}

function readGroups(snapshot: Snapshot, presenters: Presenters, page: string): PublicGroup[] {
  return documents(snapshot, page, "component-group").map((document) => {
    const resource = presenters.group(document);
    return {
      id: document.id, name: text(resource["name"]), description: textOrNull(resource["description"]), position: Number(resource["position"] ?? 0),
      collapsed: resource["collapsed"] === true, createdAt: document.createdAt, updatedAt: document.updatedAt,
    };
  });
}

function documents(snapshot: Snapshot, page: string, type: string): DocumentReader[] {
  return snapshot.list(page, type).flatMap(({ key }) => snapshot.document(key) ?? []);
}

function readUpdate(resource: Resource): PublicUpdate {
  return {
    id: text(resource["id"]), status: text(resource["status"]), body: text(resource["body"]),
    affected: list(resource["affected_components"]).map((one) => ({ id: text(one["id"]), name: text(one["name"]), oldStatus: text(one["old_status"]), newStatus: text(one["new_status"]) })),
    createdAt: text(resource["created_at"]), displayAt: text(resource["display_at"]), updatedAt: text(resource["updated_at"]),
    deliverNotifications: resource["deliver_notifications"] !== false,
  };
}

function readEvent(document: DocumentReader, snapshot: Snapshot, presenters: Presenters, kind: EventKind): PublicEvent {
  const resource = kind === "incident" ? presenters.incident(document, snapshot) : presenters.maintenance(document, snapshot);
  const updates = list(resource["incident_updates"]).map(readUpdate);
  const postmortem = resource["postmortem"] as Resource | null | undefined;
  return {
    kind, id: document.id, name: text(resource["name"]), status: text(resource["status"]), impact: text(resource["impact"]) as PublicEvent["impact"],
    createdAt: document.createdAt, updatedAt: document.updatedAt,
    startedAt: kind === "incident" ? text(resource["started_at"]) : text(resource["started_at"]) || text(resource["scheduled_for"]),
    monitoringAt: textOrNull(resource["monitoring_at"]), endedAt: textOrNull(resource[kind === "incident" ? "resolved_at" : "completed_at"]),
    scheduledFor: textOrNull(resource["scheduled_for"]), scheduledUntil: textOrNull(resource["scheduled_until"]), shortlink: text(resource["shortlink"]),
    components: list(resource["components"]).map((one) => ({ id: text(one["id"]), name: text(one["name"]), status: text(one["status"]) })),
    // Sorting is stable: updates that show the same time stay newest first.
    updates: updates.sort((a, b) => (a.displayAt < b.displayAt ? 1 : a.displayAt > b.displayAt ? -1 : 0)),
    postmortem: postmortem?.["status"] === "published" ? { body: text(postmortem["body"]), publishedAt: text(postmortem["published_at"]) } : null,
  };
}

/** One incident or maintenance; undefined if the page has none of this id. */
export function readEventOfId(snapshot: Snapshot, presenters: Presenters, page: string, kind: EventKind, id: string): PublicEvent | undefined {
  const document = lookUp(snapshot, keyOf(page, kind, id));
  return document === undefined ? undefined : readEvent(document, snapshot, presenters, kind);
}

/** The latest incidents or maintenances, newest first by creation, `countMax` at most, of those that `wanted` takes. */
export function readEvents(snapshot: Snapshot, presenters: Presenters, page: string, kind: EventKind, countMax: number, wanted: (document: DocumentReader) => boolean = () => true): PublicEvent[] {
  const found: PublicEvent[] = [];
  for (const { key } of snapshot.list(page, kind).slice(0, limits.publicEventsScannedMax)) {
    if (found.length >= countMax) break;
    const document = snapshot.document(key);
    if (document !== undefined && wanted(document)) found.push(readEvent(document, snapshot, presenters, kind));
  }
  return found;
}

/** Incidents that began, and maintenances that ended or were to begin, between two times (ms since the epoch; `untilMs` is outside). Latest first. */
export function readEventsBetween(snapshot: Snapshot, presenters: Presenters, page: string, fromMs: number, untilMs: number): PublicEvent[] {
  const scanned = (kind: EventKind) => readEvents(snapshot, presenters, page, kind, limits.publicEventsShownMax, (document) => {
    const at = Date.parse(kind === "incident" ? document.createdAt : document.text("scheduled_for"));
    return at >= fromMs && at < untilMs && (kind === "incident" || document.text("status") === "completed");
  });
  return [...scanned("incident"), ...scanned("maintenance")].sort((a, b) => (a.startedAt < b.startedAt ? 1 : a.startedAt > b.startedAt ? -1 : a.id < b.id ? 1 : -1));
}

/** A maintenance that was deleted. */
export interface CancelledMaintenance {
  readonly id: string;
  readonly name: string;
  readonly scheduledFor: string;
  readonly scheduledUntil: string;
  readonly updatedAt: string;
}

/** Ids of maintenances that were deleted, the latest deletion first. */
export function deletedMaintenances(snapshot: Snapshot, page: string): string[] {
  const remains = [...(snapshot.remains?.(page, "maintenance") ?? [])].sort((a, b) => (a.updatedHlc < b.updatedHlc ? 1 : -1));
  return remains.slice(0, limits.publicCancelledMax).map(({ id }) => id);
}

/**
 * What a deleted maintenance was, from all its changes: nothing else is kept of it. Of concurrent values the later one, as everywhere. Undefined if it is long over.
 */
export function cancelledOf(id: string, changes: readonly DocumentChange[], atMs: number): CancelledMaintenance | undefined {
  const latest = new Map<string, { readonly rank: string; readonly value: Json }>();
  let updated = "";
  for (const { change: { hlc, operations } } of changes) {
    if (hlc > updated) updated = hlc;
    // A creation that was repeated elsewhere takes no edit back.
    const rank = operations.some(({ op, section }) => op === "create" && section === "") ? "" : hlc;
    for (const operation of operations) {
      if (operation.op !== "set" || operation.section !== "" || rank < (latest.get(operation.field)?.rank ?? "")) continue;
      latest.set(operation.field, { rank, value: operation.value });
    }
  }
  const of = (field: string) => text(latest.get(field)?.value);
  const [scheduledFor, scheduledUntil] = [of("scheduled_for"), of("scheduled_until")];
  if (scheduledFor === "" || updated === "" || Date.parse(scheduledUntil) < atMs - limits.publicCancelledKeptMs) return undefined;
  return { id, name: of("name"), scheduledFor, scheduledUntil, updatedAt: hlcTime(updated) };
}

/** The earliest time that the page has anything of, ms since the epoch: its first incident or component. */
export function firstEventMs(snapshot: Snapshot, page: string): number | undefined {
  const times = (["incident", "maintenance", "component"] as const).flatMap((type) => snapshot.list(page, type).map(({ createdMs }) => createdMs));
  return times.length === 0 ? undefined : times.reduce((first, at) => Math.min(first, at));
}

/** What of the present decides how the page is doing; undefined if there is no such page. */
export function readState(snapshot: Snapshot, presenters: Presenters, pageId: string): Pick<PublicModel, "components" | "openIncidents" | "activeMaintenances" | "upcomingMaintenances"> | undefined {
  if (lookUp(snapshot, pageKey(pageId)) === undefined) return undefined;
  const shownMax = limits.publicEventsShownMax;
  const maintenances = readEvents(snapshot, presenters, pageId, "maintenance", shownMax, (document) => document.value("status") !== "completed");
  return {
    components: readComponents(snapshot, presenters, pageId),
    openIncidents: readEvents(snapshot, presenters, pageId, "incident", shownMax, (document) => !CLOSED_STATUSES.includes(document.value("status"))),
    activeMaintenances: maintenances.filter(({ status }) => status !== "scheduled"),
    upcomingMaintenances: maintenances.filter(({ status }) => status === "scheduled").sort((a, b) => ((a.scheduledFor ?? "") < (b.scheduledFor ?? "") ? -1 : 1)),
  };
}

/** All that the page shows of the present; undefined if there is no such page. */
export function readModel(snapshot: Snapshot, presenters: Presenters, pageId: string): PublicModel | undefined {
  const read = readPage(snapshot, presenters, pageId);
  const state = readState(snapshot, presenters, pageId);
  if (read === undefined || state === undefined) return undefined;
  const groups = readGroups(snapshot, presenters, pageId);
  const latest = [snapshot.list(pageId, "incident")[0], snapshot.list(pageId, "maintenance")[0]].flatMap((header) => (header === undefined ? [] : snapshot.document(header.key)?.updatedAt ?? []));
  const shown = [...groups, ...state.components, ...state.openIncidents, ...state.activeMaintenances, ...state.upcomingMaintenances];
  const times = [read.updatedAt, ...shown.map(({ updatedAt }) => updatedAt), ...latest];
  return { page: read.page, groups, ...state, updatedAt: times.sort().at(-1) ?? read.updatedAt, atMs: snapshot.atMs };
}

/** Groups and components without one, as they follow each other on the page; a group without a component that is shown is left out. */
export type Block = { readonly group: PublicGroup; readonly components: readonly PublicComponent[] } | { readonly group: null; readonly components: readonly [PublicComponent] };

export function blocksOf(model: Pick<PublicModel, "groups" | "components">): Block[] {
  const shown = model.components.filter(({ onlyShowIfDegraded, status }) => !onlyShowIfDegraded || status !== "operational");
  const blocks: (Block & { position: number; id: string })[] = [
    ...model.groups.map((group) => ({ group, components: shown.filter(({ groupId }) => groupId === group.id), position: group.position, id: group.id })).filter(({ components }) => components.length > 0),
    ...shown.filter(({ groupId }) => groupId === null).map((component) => ({ group: null, components: [component] as const, position: component.position, id: component.id })),
  ];
  // Positions of groups and of components are counted apart: at the same place the component comes first.
  return blocks.sort((a, b) => a.position - b.position || Number(a.group !== null) - Number(b.group !== null) || (a.id < b.id ? -1 : 1));
}
