/**
 * What the public may see of a page, read from one snapshot: the only place where documents become public. Drafts of postmortems, labels, stamps,
 * regions of updates and conflicts are not among it.
 */
import type { Json } from "../../core/change.js";
import { keyOf } from "../../core/document.js";
import { limits } from "../../core/limits.js";
import { isLanguage, type LanguageCode } from "./language.js";
import { hlcTime } from "../../core/hlc.js";
import type { DocumentChange, Snapshot } from "../../store/data-plane.js";
import type { DocumentReader } from "../../store/document-reader.js";
import { lookUp, pageKey, type Resource } from "../../store/resource.js";
import type { ComponentStatusName } from "../../store/resource-schemas.js";
import { shownUpdates } from "../../store/timeline.js";
import { timelineOf } from "../../store/timeline-index.js";
import { CLOSED_STATUSES } from "../../store/conflicts.js";

/** How the other rooms show their documents; handed in, since rooms do not import each other. */
export interface Presenters {
  page(document: DocumentReader): Resource;
  component(document: DocumentReader, snapshot: Snapshot): Resource;
  group(document: DocumentReader): Resource;
  /** Both without their updates. */
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
  /** For visitors who ask for no language that there is. */
  readonly language: LanguageCode;
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
  /** The latest of its updates by the time that they show, latest first: as many as were asked for and as the answer has room for. */
  readonly updates: readonly PublicUpdate[];
  /** How many it has. */
  readonly updateCount: number;
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
  /** True for a page that comes with every cluster and that nobody has touched: nothing ever changed. */
  readonly isUntouched: boolean;
  /** ms since the epoch. */
  readonly atMs: number;
}

/** What every replica makes for itself is from no region and no time. */
const GENESIS_REGION = "genesis";

export type EventKind = PublicEvent["kind"];

const text = (value: Json | undefined): string => (typeof value === "string" ? value : "");
const textOrNull = (value: Json | undefined): string | null => (typeof value === "string" && value !== "" ? value : null);
const list = (value: Json | undefined): readonly Resource[] => (Array.isArray(value) ? (value as readonly Resource[]) : []);

/** The page itself; undefined if there is none of this id. */
export function readPage(snapshot: Snapshot, presenters: Presenters, page: string): { page: PublicPage; updatedAt: string; isUntouched: boolean } | undefined {
  const document = lookUp(snapshot, pageKey(page));
  if (document === undefined) return undefined;
  const resource = presenters.page(document);
  const theme = resource["theme"];
  const language = typeof theme === "object" && theme !== null && !Array.isArray(theme) ? text((theme as { readonly [key: string]: Json })["language"]) : "";
  const domain = Array.isArray(resource["custom_domains"]) ? text(resource["custom_domains"][0]) : "";
  return {
    page: {
      id: document.id, name: text(resource["name"]) || document.id, url: textOrNull(resource["url"])?.replace(/\/+$/, "") ?? (domain === "" ? null : `https://${domain}`), timeZone: text(resource["time_zone"]) || "UTC",
      description: textOrNull(resource["description"]), supportUrl: textOrNull(resource["support_url"]),
      theme: typeof theme === "object" && theme !== null && !Array.isArray(theme) ? theme as { readonly [key: string]: Json } : {},
      language: isLanguage(language) ? language : "en",
    },
    updatedAt: document.updatedAt, isUntouched: document.updatedRegion === GENESIS_REGION,
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

/** What of the updates an answer shows. */
export interface UpdateBounds {
  /** Of one incident or maintenance. */
  readonly ofEventMax: number;
  /** Of all together: updates, and characters of their bodies. The one that goes beyond is the last. */
  readonly updatesMax: number;
  readonly charactersMax: number;
}

const rendered = { updatesMax: limits.publicUpdatesRenderedMax, charactersMax: limits.publicCharactersRenderedMax } as const;
export const NO_UPDATES: UpdateBounds = { ofEventMax: 0, updatesMax: 0, charactersMax: 0 };
/** Each event's last word. */
export const LATEST_UPDATE: UpdateBounds = { ...rendered, ofEventMax: 1 };
export const UPDATES_ON_PAGE: UpdateBounds = { ...rendered, ofEventMax: limits.publicUpdatesOnPageMax };
export const UPDATES_ON_OWN_PAGE: UpdateBounds = { ...rendered, ofEventMax: limits.publicUpdatesOnOwnPageMax };
export const UPDATES_IN_FEED: UpdateBounds = { ...rendered, ofEventMax: limits.publicUpdatesInFeedMax };
export const UPDATES_IN_LIST: UpdateBounds = { ofEventMax: limits.publicUpdatesInListMax, updatesMax: limits.publicUpdatesListedMax, charactersMax: limits.publicCharactersListedMax };

/** An event whose updates are not read yet. */
interface Head extends PublicEvent {
  readonly document: DocumentReader;
}

function readHead(document: DocumentReader, snapshot: Snapshot, presenters: Presenters, kind: EventKind): Head {
  const resource = kind === "incident" ? presenters.incident(document, snapshot) : presenters.maintenance(document, snapshot);
  const postmortem = resource["postmortem"] as Resource | null | undefined;
  return {
    kind, id: document.id, name: text(resource["name"]), status: text(resource["status"]), impact: text(resource["impact"]) as PublicEvent["impact"],
    createdAt: document.createdAt, updatedAt: document.updatedAt,
    startedAt: kind === "incident" ? text(resource["started_at"]) : text(resource["started_at"]) || text(resource["scheduled_for"]),
    monitoringAt: textOrNull(resource["monitoring_at"]), endedAt: textOrNull(resource[kind === "incident" ? "resolved_at" : "completed_at"]),
    scheduledFor: textOrNull(resource["scheduled_for"]), scheduledUntil: textOrNull(resource["scheduled_until"]), shortlink: text(resource["shortlink"]),
    components: list(resource["components"]).map((one) => ({ id: text(one["id"]), name: text(one["name"]), status: text(one["status"]) })),
    updates: [], updateCount: timelineOf(document).count,
    postmortem: postmortem?.["status"] === "published" ? { body: text(postmortem["body"]), publishedAt: text(postmortem["published_at"]) } : null, document,
  };
}

/** Events with their updates: the latest of each first, so that none that is long leaves nothing to the others, and then more of them in turn. */
function withUpdates(heads: readonly Head[], bounds: UpdateBounds): PublicEvent[] {
  let updatesLeft = bounds.updatesMax;
  let charactersLeft = bounds.charactersMax;
  const taken = heads.map((): PublicUpdate[] => []);
  for (const countMax of [Math.min(1, bounds.ofEventMax), bounds.ofEventMax]) {
    heads.forEach(({ document }, at) => {
      const updates = taken[at] ?? [];
      const wanted = Math.min(countMax - updates.length, updatesLeft);
      if (wanted <= 0 || charactersLeft <= 0) return;
      for (const resource of shownUpdates(document, wanted, updates.at(-1)?.id) ?? []) {
        if (charactersLeft <= 0) break;
        const update = readUpdate(resource);
        updates.push(update);
        updatesLeft--;
        charactersLeft -= update.body.length;
      }
    });
  }
  return heads.map(({ document, ...event }, at) => ({ ...event, updates: taken[at] ?? [] }));
}

/** One incident or maintenance, with the updates that follow `after` (an update's id; empty: from the latest on); undefined if the page has none of this id, or it no such update. */
export function readEventOfId(snapshot: Snapshot, presenters: Presenters, page: string, kind: EventKind, id: string, after: string, bounds: UpdateBounds): PublicEvent | undefined {
  const document = lookUp(snapshot, keyOf(page, kind, id));
  if (document === undefined) return undefined;
  const resources = shownUpdates(document, bounds.ofEventMax, after === "" ? undefined : after);
  if (resources === undefined) return undefined;
  let charactersLeft = bounds.charactersMax;
  const updates: PublicUpdate[] = [];
  for (const update of resources.map(readUpdate)) {
    if (charactersLeft <= 0) break;
    updates.push(update);
    charactersLeft -= update.body.length;
  }
  const { document: _read, ...event } = readHead(document, snapshot, presenters, kind);
  return { ...event, updates };
}

function readHeads(snapshot: Snapshot, presenters: Presenters, page: string, kind: EventKind, countMax: number, wanted: (document: DocumentReader) => boolean = () => true): Head[] {
  const found: Head[] = [];
  for (const { key } of snapshot.list(page, kind).slice(0, limits.publicEventsScannedMax)) {
    if (found.length >= countMax) break;
    const document = snapshot.document(key);
    if (document !== undefined && wanted(document)) found.push(readHead(document, snapshot, presenters, kind));
  }
  return found;
}

/** The latest incidents or maintenances, or both, newest first by creation, `countMax` of each at most. */
export function readEvents(snapshot: Snapshot, presenters: Presenters, page: string, kinds: readonly EventKind[], countMax: number, bounds: UpdateBounds): PublicEvent[] {
  return withUpdates(kinds.flatMap((kind) => readHeads(snapshot, presenters, page, kind, countMax)), bounds);
}

/** Timelines of a page that are long and not looked at yet: a rendering that looked at them all would keep everybody waiting. */
export function unreadTimelines(snapshot: Snapshot, page: string): DocumentReader[] {
  return (["incident", "maintenance"] as const).flatMap((kind) => snapshot.list(page, kind).slice(0, limits.publicEventsScannedMax).flatMap(({ key }) => {
    const document = snapshot.document(key);
    return document === undefined || document.changedElementCount <= limits.timelineSliceUpdates ? [] : [document];
  }));
}

/** A span of time, ms since the epoch; `untilMs` is outside. */
export interface Span {
  readonly fromMs: number;
  readonly untilMs: number;
}

/** Incidents that began, and maintenances that ended or were to begin, within each of some spans; the latest first, with the last word on each. */
export function readEventsOf(snapshot: Snapshot, presenters: Presenters, page: string, spans: readonly Span[]): PublicEvent[][] {
  const heads = spans.map(({ fromMs, untilMs }) => {
    const scanned = (kind: EventKind) => readHeads(snapshot, presenters, page, kind, limits.publicEventsShownMax, (document) => {
      const at = Date.parse(kind === "incident" ? document.createdAt : document.text("scheduled_for"));
      return at >= fromMs && at < untilMs && (kind === "incident" || document.text("status") === "completed");
    });
    return [...scanned("incident"), ...scanned("maintenance")].sort((a, b) => (a.startedAt < b.startedAt ? 1 : a.startedAt > b.startedAt ? -1 : a.id < b.id ? 1 : -1));
  });
  const events = withUpdates(heads.flat(), LATEST_UPDATE);
  return heads.map(({ length }) => events.splice(0, length));
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

type PresentState = Pick<PublicModel, "components" | "openIncidents" | "activeMaintenances" | "upcomingMaintenances">;

/** What of the present decides how the page is doing; undefined if there is no such page. */
export function readState(snapshot: Snapshot, presenters: Presenters, pageId: string, bounds: UpdateBounds = NO_UPDATES): PresentState | undefined {
  if (lookUp(snapshot, pageKey(pageId)) === undefined) return undefined;
  const shownMax = limits.publicEventsShownMax;
  const maintenances = readHeads(snapshot, presenters, pageId, "maintenance", shownMax, (document) => document.value("status") !== "completed");
  const parts = [
    readHeads(snapshot, presenters, pageId, "incident", shownMax, (document) => !CLOSED_STATUSES.includes(document.value("status"))),
    maintenances.filter(({ status }) => status !== "scheduled"),
    maintenances.filter(({ status }) => status === "scheduled").sort((a, b) => ((a.scheduledFor ?? "") < (b.scheduledFor ?? "") ? -1 : 1)),
  ];
  const events = withUpdates(parts.flat(), bounds);
  const [openIncidents = [], activeMaintenances = [], upcomingMaintenances = []] = parts.map(({ length }) => events.splice(0, length));
  return { components: readComponents(snapshot, presenters, pageId), openIncidents, activeMaintenances, upcomingMaintenances };
}

/** All that the page shows of the present; undefined if there is no such page. */
export function readModel(snapshot: Snapshot, presenters: Presenters, pageId: string, bounds: UpdateBounds): PublicModel | undefined {
  const read = readPage(snapshot, presenters, pageId);
  const state = readState(snapshot, presenters, pageId, bounds);
  if (read === undefined || state === undefined) return undefined;
  const groups = readGroups(snapshot, presenters, pageId);
  const latest = [snapshot.list(pageId, "incident")[0], snapshot.list(pageId, "maintenance")[0]].flatMap((header) => (header === undefined ? [] : snapshot.document(header.key)?.updatedAt ?? []));
  const shown = [...groups, ...state.components, ...state.openIncidents, ...state.activeMaintenances, ...state.upcomingMaintenances];
  const times = [read.updatedAt, ...shown.map(({ updatedAt }) => updatedAt), ...latest];
  return { page: read.page, groups, ...state, updatedAt: times.sort().at(-1) ?? read.updatedAt, isUntouched: read.isUntouched && shown.length === 0 && latest.length === 0, atMs: snapshot.atMs };
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
