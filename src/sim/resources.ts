/** The resources that simulated clients work on, with the product's own commands and queries. */
import type { Json } from "../core/change.js";
import { createComponent, createGroup, deleteComponent, deleteGroup, patchComponent, patchGroup, resolveComponentConflict, resolveGroupConflict } from "../features/components/commands.js";
import { presentGroup } from "../features/components/component-group.js";
import { presentComponent } from "../features/components/component.js";
import { createIncident, deleteIncident, patchIncident, resolveIncidentConflict } from "../features/incidents/commands.js";
import { presentIncident } from "../features/incidents/incident.js";
import type { Command, Query } from "../store/data-plane.js";
import { readConflicts, readList, readOne, type ListOrder, type Presenter } from "../store/resource-queries.js";
import type { Rendered, RouteContext, RouteRequest } from "../store/route-context.js";
import { createUpdate } from "../store/timeline-commands.js";
import type { ListedResource, Sight } from "./history.js";

export const PAGE = "default";

export const TYPES = ["component", "component-group", "incident"] as const;
export type ResourceType = (typeof TYPES)[number];

interface Kind {
  create(id: string, name: string, key: string): Command;
  patch(id: string, fields: Readonly<Record<string, Json>>, updateId: string): Command;
  delete(id: string): Command;
  resolve(id: string, field: string, value: Json): Command;
  readonly present: Presenter;
  readonly order: ListOrder;
  /** Registers that are shown and compared. */
  readonly fields: readonly string[];
  readonly sets: boolean;
}

const KINDS: Readonly<Record<ResourceType, Kind>> = {
  component: {
    create: (id, name) => createComponent(PAGE, id, { name, position: 1 }),
    patch: (id, fields) => patchComponent(PAGE, id, fields),
    delete: (id) => deleteComponent(PAGE, id),
    resolve: (id, field, value) => resolveComponentConflict(PAGE, id, field, value),
    present: presentComponent, order: "by position", fields: ["name", "description", "status"], sets: false,
  },
  "component-group": {
    create: (id, name) => createGroup(PAGE, id, { name, position: 1 }),
    patch: (id, fields) => patchGroup(PAGE, id, fields),
    delete: (id) => deleteGroup(PAGE, id),
    resolve: (id, field, value) => resolveGroupConflict(PAGE, id, field, value),
    present: presentGroup, order: "by position", fields: ["name", "description"], sets: false,
  },
  incident: {
    create: (id, name, key) => createIncident(PAGE, id, `u-${key}`, { name, body: `first ${key}` }),
    patch: (id, fields, updateId) => patchIncident(PAGE, id, updateId, fields),
    delete: (id) => deleteIncident(PAGE, id),
    resolve: (id, field, value) => resolveIncidentConflict(PAGE, id, field, value),
    present: presentIncident, order: "newest first", fields: ["name", "status"], sets: true,
  },
};

export function kindOf(type: ResourceType): Kind {
  return KINDS[type];
}

/** `route`: the text of an update, which is its element in the set `updates`. */
export function postUpdate(id: string, updateId: string, body: string): Command {
  return createUpdate({ type: "incident", page: PAGE, id }, updateId, { body });
}

/** Of the routes' context, queries use nothing but its pagination: here a list is one page. */
const CONTEXT = { paginate: (_request: unknown, _list: unknown, items: unknown) => ({ items, nextCursor: null }) } as unknown as RouteContext;
const REQUEST = { id: "", method: "GET", url: "", headers: {}, params: {}, query: {}, body: undefined } satisfies RouteRequest;

export function readResource(type: ResourceType, id: string): Query<Rendered> {
  return readOne(PAGE, type, id, KINDS[type].present);
}

export function readAll(type: ResourceType): Query<Rendered> {
  return readList(CONTEXT, REQUEST, PAGE, type, KINDS[type].order, KINDS[type].present);
}

export function readConflictsOf(type: ResourceType, id: string): Query<Rendered> {
  return readConflicts(CONTEXT, REQUEST, PAGE, type, id);
}

type Body = { readonly [key: string]: Json };

/** What a resource's representation shows. */
export function sightOf(type: ResourceType, body: Body, etag: string | null): Sight {
  const { fields, sets } = KINDS[type];
  return {
    found: true,
    ...(etag === null ? {} : { etag }),
    fields: Object.fromEntries(fields.map((field) => [field, body[field] ?? null])),
    ...(sets ? { sets: { labels: texts(body["labels"]), updates: bodies(body["incident_updates"]) } } : {}),
    hasConflicts: body["has_conflicts"] === true,
  };
}

export function listedOf(type: ResourceType, body: Body): ListedResource[] {
  const data = Array.isArray(body["data"]) ? (body["data"] as readonly Body[]) : [];
  return data.map((item) => ({ id: String(item["id"]), ...sightOf(type, item, null) }));
}

function texts(value: Json | undefined): string[] {
  return Array.isArray(value) ? value.map(String) : [];
}

function bodies(value: Json | undefined): string[] {
  return Array.isArray(value) ? value.map((update) => String((update as Body)["body"])) : [];
}
