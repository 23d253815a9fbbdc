/** `/v1/pages/{page}/incidents`: incidents, their updates, postmortem, history and conflicts. */
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
import { createIncident, deleteIncident, deletePostmortem, patchIncident, publishIncidentPostmortem, putPostmortem, resolveIncidentConflict } from "./commands.js";
import { IncidentCreate, IncidentPatch, IncidentResource, IncidentUpdateCreate, IncidentUpdatePatch, presentIncident } from "./incident.js";
import { PostmortemPut, PostmortemResource, presentPostmortem } from "./postmortem.js";

const TYPE = "incident" as const;
const base = "/v1/pages/:page/incidents";
const one = `${base}/:id`;
const tags = ["incidents"];
const viewer = { role: "viewer" } as const;
const editor = { role: "editor" } as const;
const admin = { role: "admin" } as const;

export const routes: FastifyPluginAsyncTypebox<RouteOptions> = async (app, { context }) => {
  app.addHook("preHandler", refuseUnnameable(context));

  app.get(base, { config: viewer, schema: { tags, summary: "List incidents", params: PageParams, querystring: listQuery, response: { 200: listOf(IncidentResource) } } },
    (request, reply) => context.read(request, reply, readList(context, request, request.params.page, TYPE, "newest first", presentIncident)));

  app.post(base, { config: editor, schema: { tags, summary: "Open an incident", params: PageParams, querystring: plainQuery, body: IncidentCreate, response: { 201: IncidentResource } } },
    (request, reply) => context.commit(request, reply, createIncident(request.params.page, context.idFor(request), context.idFor(request, "update"), request.body)));

  app.get(one, { config: viewer, schema: { tags, summary: "Read an incident", params: ResourceParams, querystring: plainQuery, response: { 200: IncidentResource } } },
    (request, reply) => context.read(request, reply, readOne(request.params.page, TYPE, request.params.id, presentIncident)));

  app.patch(one, { config: editor, schema: { tags, summary: "Change an incident", params: ResourceParams, querystring: plainQuery, body: IncidentPatch, response: { 200: IncidentResource } } },
    (request, reply) => context.commit(request, reply, patchIncident(request.params.page, request.params.id, context.idFor(request, "update"), request.body)));

  app.delete(one, { config: admin, schema: { tags, summary: "Delete an incident", params: ResourceParams, querystring: plainQuery, response: { 204: Nothing } } },
    (request, reply) => context.commit(request, reply, deleteIncident(request.params.page, request.params.id)));

  app.get(`${one}/history`, { config: viewer, schema: { tags, summary: "Every change of an incident", params: ResourceParams, querystring: listQuery, response: { 200: listOf(historyEntry) } } },
    (request, reply) => context.history(request, reply, keyOf(request.params.page, TYPE, request.params.id)));

  app.get(`${one}/conflicts`, { config: viewer, schema: { tags, summary: "List an incident's conflicts", params: ResourceParams, querystring: listQuery, response: { 200: listOf(conflict) } } },
    (request, reply) => context.read(request, reply, readConflicts(context, request, request.params.page, TYPE, request.params.id)));

  app.post(`${one}/conflicts/:field/resolve`, { config: editor, schema: { tags, summary: "Resolve a conflict of an incident", params: ConflictParams, querystring: plainQuery, body: Resolution, response: { 200: IncidentResource } } },
    (request, reply) => context.commit(request, reply, resolveIncidentConflict(request.params.page, request.params.id, request.params.field, request.body.value as Json)));

  await app.register(updateRoutes, { context });
  await app.register(postmortemRoutes, { context });
};

const updateRoutes: FastifyPluginAsyncTypebox<RouteOptions> = async (app, { context }) => {
  app.get(`${one}/updates`, { config: viewer, schema: { tags, summary: "List an incident's updates", params: ResourceParams, querystring: listQuery, response: { 200: listOf(UpdateResource) } } },
    (request, reply) => context.read(request, reply, readUpdates(context, request, request.params.page, TYPE, request.params.id)));

  app.post(`${one}/updates`, { config: editor, schema: { tags, summary: "Post an update", params: ResourceParams, querystring: plainQuery, body: IncidentUpdateCreate, response: { 201: UpdateResource } } },
    (request, reply) => context.commit(request, reply, createUpdate({ ...request.params, type: TYPE }, context.idFor(request), request.body)));

  app.get(`${one}/updates/:update`, { config: viewer, schema: { tags, summary: "Read an update", params: SectionParams, querystring: plainQuery, response: { 200: UpdateResource } } },
    (request, reply) => context.read(request, reply, readPart(request.params.page, TYPE, request.params.id, (document) => updateResource(document, request.params.update) ?? notFound("update"))));

  app.patch(`${one}/updates/:update`, { config: editor, schema: { tags, summary: "Correct an update", params: SectionParams, querystring: plainQuery, body: IncidentUpdatePatch, response: { 200: UpdateResource } } },
    (request, reply) => context.commit(request, reply, patchUpdate({ ...request.params, type: TYPE }, request.params.update, request.body)));

  app.delete(`${one}/updates/:update`, { config: admin, schema: { tags, summary: "Delete an update", params: SectionParams, querystring: plainQuery, response: { 204: Nothing } } },
    (request, reply) => context.commit(request, reply, deleteUpdate({ ...request.params, type: TYPE }, request.params.update)));
};

const postmortemRoutes: FastifyPluginAsyncTypebox<RouteOptions> = async (app, { context }) => {
  const path = `${one}/postmortem`;
  app.get(path, { config: viewer, schema: { tags, summary: "Read the postmortem", params: ResourceParams, querystring: plainQuery, response: { 200: PostmortemResource } } },
    (request, reply) => context.read(request, reply, readPart(request.params.page, TYPE, request.params.id, (document) => presentPostmortem(document) ?? notFound("postmortem"))));

  app.put(path, { config: editor, schema: { tags, summary: "Write the postmortem", params: ResourceParams, querystring: plainQuery, body: PostmortemPut, response: { 200: PostmortemResource } } },
    (request, reply) => context.commit(request, reply, putPostmortem(request.params.page, request.params.id, request.body.body)));

  app.delete(path, { config: admin, schema: { tags, summary: "Delete the postmortem", params: ResourceParams, querystring: plainQuery, response: { 204: Nothing } } },
    (request, reply) => context.commit(request, reply, deletePostmortem(request.params.page, request.params.id)));

  app.post(`${path}/publish`, { config: editor, schema: { tags, summary: "Publish the postmortem", params: ResourceParams, querystring: plainQuery, response: { 200: PostmortemResource } } },
    (request, reply) => context.commit(request, reply, publishIncidentPostmortem(request.params.page, request.params.id)));
};
