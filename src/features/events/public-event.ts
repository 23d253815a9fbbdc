/** What a stream tells of an event: the document's public form, as it is now, and the state of the whole page. */
import type { Json } from "../../core/change.js";
import { limits } from "../../core/limits.js";
import { hlcTime } from "../../core/hlc.js";
import { keyOf, parseKey } from "../../core/document.js";
import type { Snapshot } from "../../store/data-plane.js";
import type { DocumentReader } from "../../store/document-reader.js";
import type { PageEvent } from "../../store/page-events.js";
import { lookUp, type Resource } from "../../store/resource.js";
import { presentUpdate, shownUpdates } from "../../store/timeline.js";

/** How the other rooms show their documents; handed in, since rooms do not import each other. */
export interface Presenters {
  page(document: DocumentReader): Resource;
  component(document: DocumentReader, snapshot: Snapshot): Resource;
  group(document: DocumentReader): Resource;
  /** Both without their updates. */
  incident(document: DocumentReader, snapshot: Snapshot): Resource;
  maintenance(document: DocumentReader, snapshot: Snapshot): Resource;
  /** How the whole page is doing; null if it is gone. */
  overall(snapshot: Snapshot, page: string): Resource | null;
}

const COMMON = ["id", "page_id", "name", "created_at", "updated_at"] as const;
/** Members of the API's resources that are for everyone. What is not named here is not public. */
const PUBLIC: Readonly<Record<string, readonly string[]>> = {
  page: [...COMMON, "url", "time_zone", "description", "support_url", "theme"],
  component: [...COMMON, "description", "group_id", "position", "status", "show_uptime", "show_latency", "only_show_if_degraded"],
  "component-group": [...COMMON, "description", "position", "collapsed"],
  incident: [...COMMON, "status", "impact", "started_at", "monitoring_at", "resolved_at", "shortlink", "components"],
  maintenance: [...COMMON, "status", "impact", "scheduled_for", "scheduled_until", "started_at", "completed_at", "shortlink", "components"],
};
const PUBLIC_UPDATE = ["id", "incident_id", "status", "body", "affected_components", "created_at", "display_at", "updated_at"] as const;

function only(resource: Resource, names: readonly string[]): Resource {
  return Object.fromEntries(names.filter((name) => resource[name] !== undefined).map((name) => [name, resource[name] ?? null]));
}

function publicForm(presenters: Presenters, document: DocumentReader, snapshot: Snapshot): Resource {
  const { type } = document;
  const resource = type === "page" ? presenters.page(document) : type === "component" ? presenters.component(document, snapshot)
    : type === "component-group" ? presenters.group(document) : type === "incident" ? presenters.incident(document, snapshot) : presenters.maintenance(document, snapshot);
  const shown = only(resource, PUBLIC[type] ?? []);
  if (type !== "incident" && type !== "maintenance") return shown;
  const postmortem = resource["postmortem"] as Resource | null | undefined;
  const published = postmortem != null && postmortem["status"] === "published" ? { postmortem: { body: postmortem["body"] ?? "", published_at: postmortem["published_at"] ?? null } } : {};
  return { ...shown, incident_updates: (shownUpdates(document, limits.publicUpdatesInEventMax) ?? []).map((update) => only(update, PUBLIC_UPDATE)), ...published };
}

/** Of one sight of the documents: all events of a batch tell the same. */
const overalls = new WeakMap<Snapshot, Map<string, Resource | null>>();

function overallOf(presenters: Presenters, snapshot: Snapshot, page: string): Resource | null {
  const known = overalls.get(snapshot) ?? new Map<string, Resource | null>();
  overalls.set(snapshot, known);
  let overall = known.get(page);
  if (overall === undefined) {
    overall = presenters.overall(snapshot, page);
    known.set(page, overall);
  }
  return overall;
}

/** `data` of an event: who, what, when; the resource in its public form (null once it is gone), and the page's status. */
export function presentEvent(presenters: Presenters, event: PageEvent, snapshot: Snapshot): Json {
  const { type, id } = parseKey(event.document);
  const document = lookUp(snapshot, event.document);
  const resource = document === undefined ? null : publicForm(presenters, document, snapshot);
  const name = type.replace("-", "_");
  const section = event.section === "" ? undefined : document?.section(event.section);
  const update = document === undefined || section === undefined ? null : only(presentUpdate(document, section), PUBLIC_UPDATE);
  return {
    event_id: event.id, type: event.type, page_id: event.page, at: hlcTime(event.hlc), id: event.section === "" ? id : event.section,
    [name]: resource, ...(event.section === "" ? {} : { [`${name}_id`]: id, update }),
    status: overallOf(presenters, snapshot, event.page),
  };
}

/** An entry of the event log, for those with a key. */
export function logEntry(event: PageEvent): Resource {
  const { type, id } = parseKey(event.document);
  return {
    id: event.id, type: event.type, at: hlcTime(event.hlc), hlc: event.hlc, region: event.region, page_id: event.page, resource_type: type.replace("-", "_"), resource_id: id,
    update_id: event.section === "" ? null : event.section,
  };
}

/** Key of the page, for what must be there. */
export const pageOf = (page: string): string => keyOf("~", "page", page);
