/** `/v1/pages/{page}/component-groups`: component groups and their conflicts. */
import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import type { Json } from "../../core/change.js";
import { readConflicts, readList, readOne, refuseUnnameable } from "../../store/resource-queries.js";
import { ConflictParams, Nothing, PageParams, Resolution, ResourceParams } from "../../store/resource-schemas.js";
import type { RouteOptions } from "../../store/route-context.js";
import { conflict, listOf, listQuery, plainQuery } from "../../store/route-schemas.js";
import { createGroup, deleteGroup, patchGroup, resolveGroupConflict } from "./commands.js";
import { GroupCreate, GroupPatch, GroupResource, presentGroup } from "./component-group.js";

const TYPE = "component-group" as const;
const base = "/v1/pages/:page/component-groups";
const one = `${base}/:id`;
const tags = ["component-groups"];
const viewer = { role: "viewer" } as const;
const editor = { role: "editor" } as const;
const admin = { role: "admin" } as const;

export const groupRoutes: FastifyPluginAsyncTypebox<RouteOptions> = async (app, { context }) => {
  app.addHook("preHandler", refuseUnnameable(context));

  app.get(base, { config: viewer, schema: { tags, summary: "List component groups", params: PageParams, querystring: listQuery, response: { 200: listOf(GroupResource) } } },
    (request, reply) => context.read(request, reply, readList(context, request, request.params.page, TYPE, "by position", presentGroup)));

  app.post(base, { config: editor, schema: { tags, summary: "Create a component group", params: PageParams, querystring: plainQuery, body: GroupCreate, response: { 201: GroupResource } } },
    (request, reply) => context.commit(request, reply, createGroup(request.params.page, context.idFor(request), request.body)));

  app.get(one, { config: viewer, schema: { tags, summary: "Read a component group", params: ResourceParams, querystring: plainQuery, response: { 200: GroupResource } } },
    (request, reply) => context.read(request, reply, readOne(request.params.page, TYPE, request.params.id, presentGroup)));

  app.patch(one, { config: editor, schema: { tags, summary: "Change a component group", params: ResourceParams, querystring: plainQuery, body: GroupPatch, response: { 200: GroupResource } } },
    (request, reply) => context.commit(request, reply, patchGroup(request.params.page, request.params.id, request.body)));

  app.delete(one, { config: admin, schema: { tags, summary: "Delete a component group", params: ResourceParams, querystring: plainQuery, response: { 204: Nothing } } },
    (request, reply) => context.commit(request, reply, deleteGroup(request.params.page, request.params.id)));

  app.get(`${one}/conflicts`, { config: viewer, schema: { tags, summary: "List a component group's conflicts", params: ResourceParams, querystring: listQuery, response: { 200: listOf(conflict) } } },
    (request, reply) => context.read(request, reply, readConflicts(context, request, request.params.page, TYPE, request.params.id)));

  app.post(`${one}/conflicts/:field/resolve`, { config: editor, schema: { tags, summary: "Resolve a conflict of a component group", params: ConflictParams, querystring: plainQuery, body: Resolution, response: { 200: GroupResource } } },
    (request, reply) => context.commit(request, reply, resolveGroupConflict(request.params.page, request.params.id, request.params.field, request.body.value as Json)));
};
