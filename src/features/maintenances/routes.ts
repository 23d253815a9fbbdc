/** `/v1/pages/{page}/maintenances`: maintenances, their updates, history and conflicts. */
import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import type { Json } from "../../core/change.js";
import { keyOf } from "../../core/document.js";
import { notFound } from "../../store/resource.js";
import { readConflicts, readList, readOne, readPart, readUpdates, refuseUnnameable } from "../../store/resource-queries.js";
import { ConflictParams, Nothing, PageParams, Resolution, ResourceParams, SectionParams } from "../../store/resource-schemas.js";
import type { RouteOptions } from "../../store/route-context.js";
import { conflict, historyEntry, listOf, listQuery, plainQuery } from "../../store/route-schemas.js";
import { UpdateResource, updateResource } from "../../store/timeline.js";
import { createUpdate, deleteUpdate, patchUpdate } from "../../store/timeline-commands.js";
import { createMaintenance, deleteMaintenance, patchMaintenance, resolveMaintenanceConflict } from "./commands.js";
import { MaintenanceCreate, MaintenancePatch, MaintenanceResource, MaintenanceUpdateCreate, MaintenanceUpdatePatch, presentMaintenance } from "./maintenance.js";

const TYPE = "maintenance" as const;
const base = "/v1/pages/:page/maintenances";
const one = `${base}/:id`;
const tags = ["maintenances"];
const viewer = { role: "viewer" } as const;
const editor = { role: "editor" } as const;
const admin = { role: "admin" } as const;

export const routes: FastifyPluginAsyncTypebox<RouteOptions> = async (app, { context }) => {
  app.addHook("preHandler", refuseUnnameable(context));

  app.get(base, { config: viewer, schema: { tags, summary: "List maintenances", params: PageParams, querystring: listQuery, response: { 200: listOf(MaintenanceResource) } } },
    (request, reply) => context.read(request, reply, readList(context, request, request.params.page, TYPE, "newest first", presentMaintenance)));

  app.post(base, { config: editor, schema: { tags, summary: "Schedule a maintenance", params: PageParams, querystring: plainQuery, body: MaintenanceCreate, response: { 201: MaintenanceResource } } },
    (request, reply) => context.commit(request, reply, createMaintenance(request.params.page, context.idFor(request), context.idFor(request, "update"), request.body)));

  app.get(one, { config: viewer, schema: { tags, summary: "Read a maintenance", params: ResourceParams, querystring: plainQuery, response: { 200: MaintenanceResource } } },
    (request, reply) => context.read(request, reply, readOne(request.params.page, TYPE, request.params.id, presentMaintenance)));

  app.patch(one, { config: editor, schema: { tags, summary: "Change a maintenance", params: ResourceParams, querystring: plainQuery, body: MaintenancePatch, response: { 200: MaintenanceResource } } },
    (request, reply) => context.commit(request, reply, patchMaintenance(request.params.page, request.params.id, context.idFor(request, "update"), request.body)));

  app.delete(one, { config: admin, schema: { tags, summary: "Delete a maintenance", params: ResourceParams, querystring: plainQuery, response: { 204: Nothing } } },
    (request, reply) => context.commit(request, reply, deleteMaintenance(request.params.page, request.params.id)));

  app.get(`${one}/history`, { config: viewer, schema: { tags, summary: "Every change of a maintenance", params: ResourceParams, querystring: listQuery, response: { 200: listOf(historyEntry) } } },
    (request, reply) => context.history(request, reply, keyOf(request.params.page, TYPE, request.params.id)));

  app.get(`${one}/conflicts`, { config: viewer, schema: { tags, summary: "List a maintenance's conflicts", params: ResourceParams, querystring: listQuery, response: { 200: listOf(conflict) } } },
    (request, reply) => context.read(request, reply, readConflicts(context, request, request.params.page, TYPE, request.params.id)));

  app.post(`${one}/conflicts/:field/resolve`, { config: editor, schema: { tags, summary: "Resolve a conflict of a maintenance", params: ConflictParams, querystring: plainQuery, body: Resolution, response: { 200: MaintenanceResource } } },
    (request, reply) => context.commit(request, reply, resolveMaintenanceConflict(request.params.page, request.params.id, request.params.field, request.body.value as Json)));

  await app.register(updateRoutes, { context });
};

const updateRoutes: FastifyPluginAsyncTypebox<RouteOptions> = async (app, { context }) => {
  app.get(`${one}/updates`, { config: viewer, schema: { tags, summary: "List a maintenance's updates", params: ResourceParams, querystring: listQuery, response: { 200: listOf(UpdateResource) } } },
    (request, reply) => context.read(request, reply, readUpdates(context, request, request.params.page, TYPE, request.params.id)));

  app.post(`${one}/updates`, { config: editor, schema: { tags, summary: "Post an update", params: ResourceParams, querystring: plainQuery, body: MaintenanceUpdateCreate, response: { 201: UpdateResource } } },
    (request, reply) => context.commit(request, reply, createUpdate({ ...request.params, type: TYPE }, context.idFor(request), request.body)));

  app.get(`${one}/updates/:update`, { config: viewer, schema: { tags, summary: "Read an update", params: SectionParams, querystring: plainQuery, response: { 200: UpdateResource } } },
    (request, reply) => context.read(request, reply, readPart(request.params.page, TYPE, request.params.id, (document) => updateResource(document, request.params.update) ?? notFound("update"))));

  app.patch(`${one}/updates/:update`, { config: editor, schema: { tags, summary: "Correct an update", params: SectionParams, querystring: plainQuery, body: MaintenanceUpdatePatch, response: { 200: UpdateResource } } },
    (request, reply) => context.commit(request, reply, patchUpdate({ ...request.params, type: TYPE }, request.params.update, request.body)));

  app.delete(`${one}/updates/:update`, { config: admin, schema: { tags, summary: "Delete an update", params: SectionParams, querystring: plainQuery, response: { 204: Nothing } } },
    (request, reply) => context.commit(request, reply, deleteUpdate({ ...request.params, type: TYPE }, request.params.update)));
};
