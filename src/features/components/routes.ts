/** `/v1/pages/{page}/components`: components, their history and conflicts. */
import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import type { Json } from "../../core/change.js";
import { keyOf } from "../../core/document.js";
import { readConflicts, readList, readOne, refuseUnnameable } from "../../store/resource-queries.js";
import { ConflictParams, Nothing, PageParams, Resolution, ResourceParams } from "../../store/resource-schemas.js";
import type { RouteOptions } from "../../store/route-context.js";
import { conflict, historyEntry, listOf, listQuery, plainQuery } from "../../store/route-schemas.js";
import { createComponent, deleteComponent, patchComponent, resolveComponentConflict } from "./commands.js";
import { ComponentCreate, ComponentPatch, ComponentResource, presentComponent } from "./component.js";
import { groupRoutes } from "./group-routes.js";
import { uptimeRoutes } from "./uptime-routes.js";

const TYPE = "component" as const;
const base = "/v1/pages/:page/components";
const one = `${base}/:id`;
const tags = ["components"];
const viewer = { role: "viewer" } as const;
const editor = { role: "editor" } as const;
const admin = { role: "admin" } as const;

export const routes: FastifyPluginAsyncTypebox<RouteOptions> = async (app, { context }) => {
  app.addHook("preHandler", refuseUnnameable(context));

  app.get(base, { config: viewer, schema: { tags, summary: "List components", params: PageParams, querystring: listQuery, response: { 200: listOf(ComponentResource) } } },
    (request, reply) => context.read(request, reply, readList(context, request, request.params.page, TYPE, "by position", presentComponent)));

  app.post(base, { config: editor, schema: { tags, summary: "Create a component", params: PageParams, querystring: plainQuery, body: ComponentCreate, response: { 201: ComponentResource } } },
    (request, reply) => context.commit(request, reply, createComponent(request.params.page, context.idFor(request), request.body)));

  app.get(one, { config: viewer, schema: { tags, summary: "Read a component", params: ResourceParams, querystring: plainQuery, response: { 200: ComponentResource } } },
    (request, reply) => context.read(request, reply, readOne(request.params.page, TYPE, request.params.id, presentComponent)));

  app.patch(one, { config: editor, schema: { tags, summary: "Change a component", params: ResourceParams, querystring: plainQuery, body: ComponentPatch, response: { 200: ComponentResource } } },
    (request, reply) => context.commit(request, reply, patchComponent(request.params.page, request.params.id, request.body)));

  app.delete(one, { config: admin, schema: { tags, summary: "Delete a component", params: ResourceParams, querystring: plainQuery, response: { 204: Nothing } } },
    (request, reply) => context.commit(request, reply, deleteComponent(request.params.page, request.params.id)));

  app.get(`${one}/history`, { config: viewer, schema: { tags, summary: "Every change of a component", params: ResourceParams, querystring: listQuery, response: { 200: listOf(historyEntry) } } },
    (request, reply) => context.history(request, reply, keyOf(request.params.page, TYPE, request.params.id)));

  app.get(`${one}/conflicts`, { config: viewer, schema: { tags, summary: "List a component's conflicts", params: ResourceParams, querystring: listQuery, response: { 200: listOf(conflict) } } },
    (request, reply) => context.read(request, reply, readConflicts(context, request, request.params.page, TYPE, request.params.id)));

  app.post(`${one}/conflicts/:field/resolve`, { config: editor, schema: { tags, summary: "Resolve a conflict of a component", params: ConflictParams, querystring: plainQuery, body: Resolution, response: { 200: ComponentResource } } },
    (request, reply) => context.commit(request, reply, resolveComponentConflict(request.params.page, request.params.id, request.params.field, request.body.value as Json)));

  await app.register(groupRoutes, { context });
  await app.register(uptimeRoutes, { context });
};
