/** `/v1/pages/{page}/monitors`: monitors, their history and conflicts. */
import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import type { Json } from "../../core/change.js";
import { keyOf } from "../../core/document.js";
import type { DataPlane, Query } from "../../store/data-plane.js";
import { readConflicts, readList, readOne, refuseUnnameable } from "../../store/resource-queries.js";
import { ConflictParams, Nothing, PageParams, Resolution, ResourceParams } from "../../store/resource-schemas.js";
import type { Rendered, RouteContext, RouteOptions, RouteRequest } from "../../store/route-context.js";
import { conflict, historyEntry, listOf, listQuery, plainQuery } from "../../store/route-schemas.js";
import { createMonitor, deleteMonitor, patchMonitor, resolveMonitorConflict } from "./commands.js";
import { MONITOR, MonitorCreate, MonitorPatch, MonitorResource, presentMonitor, presentMonitorWhole } from "./monitor.js";

const base = "/v1/pages/:page/monitors";
const one = `${base}/:id`;
const tags = ["monitors"];
const viewer = { role: "viewer" } as const;
const admin = { role: "admin" } as const;

/** The regions that run checks: those of the members. */
export function regionsOf(data: DataPlane): string[] {
  const { region, peers } = data.cluster();
  return [...new Set([region, ...peers.map((peer) => peer.region)])].sort();
}

function mayWrite(context: RouteContext, request: RouteRequest): boolean {
  const { role } = context.caller(request);
  return role === "admin" || role === "owner";
}

/** One monitor, as the caller may see it; the two sights are kept apart. */
function readMonitor(context: RouteContext, request: RouteRequest, page: string, id: string): Query<Rendered> {
  if (!mayWrite(context, request)) return readOne(page, MONITOR, id, presentMonitor);
  return { ...readOne(page, MONITOR, id, presentMonitorWhole), cacheKey: `monitor:${keyOf(page, MONITOR, id)}` };
}

export const routes: FastifyPluginAsyncTypebox<RouteOptions> = async (app, { context }) => {
  app.addHook("preHandler", refuseUnnameable(context));

  app.get(base, { config: viewer, schema: { tags, summary: "List monitors", params: PageParams, querystring: listQuery, response: { 200: listOf(MonitorResource) } } },
    (request, reply) => context.read(request, reply, readList(context, request, request.params.page, MONITOR, "by position", mayWrite(context, request) ? presentMonitorWhole : presentMonitor)));

  app.post(base, { config: admin, schema: { tags, summary: "Create a monitor", params: PageParams, querystring: plainQuery, body: MonitorCreate, response: { 201: MonitorResource } } },
    (request, reply) => context.commit(request, reply, createMonitor(request.params.page, context.idFor(request), context.newSecret(), request.body, regionsOf(context.data))));

  app.get(one, { config: viewer, schema: { tags, summary: "Read a monitor", params: ResourceParams, querystring: plainQuery, response: { 200: MonitorResource } } },
    (request, reply) => context.read(request, reply, readMonitor(context, request, request.params.page, request.params.id)));

  app.patch(one, { config: admin, schema: { tags, summary: "Change a monitor", params: ResourceParams, querystring: plainQuery, body: MonitorPatch, response: { 200: MonitorResource } } },
    (request, reply) => context.commit(request, reply, patchMonitor(request.params.page, request.params.id, context.newSecret(), request.body, regionsOf(context.data))));

  app.delete(one, { config: admin, schema: { tags, summary: "Delete a monitor", params: ResourceParams, querystring: plainQuery, response: { 204: Nothing } } },
    (request, reply) => context.commit(request, reply, deleteMonitor(request.params.page, request.params.id)));

  app.get(`${one}/history`, { config: viewer, schema: { tags, summary: "Every change of a monitor", params: ResourceParams, querystring: listQuery, response: { 200: listOf(historyEntry) } } },
    (request, reply) => context.history(request, reply, keyOf(request.params.page, MONITOR, request.params.id)));

  app.get(`${one}/conflicts`, { config: viewer, schema: { tags, summary: "List a monitor's conflicts", params: ResourceParams, querystring: listQuery, response: { 200: listOf(conflict) } } },
    (request, reply) => context.read(request, reply, readConflicts(context, request, request.params.page, MONITOR, request.params.id)));

  app.post(`${one}/conflicts/:field/resolve`, { config: admin, schema: { tags, summary: "Resolve a conflict of a monitor", params: ConflictParams, querystring: plainQuery, body: Resolution, response: { 200: MonitorResource } } },
    (request, reply) => context.commit(request, reply, resolveMonitorConflict(request.params.page, request.params.id, request.params.field, request.body.value as Json)));
};
