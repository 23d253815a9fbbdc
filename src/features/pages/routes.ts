/** `/v1/pages`: the pages themselves, and the conflicts of everything on one. */
import { Type } from "typebox";
import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import type { Json } from "../../core/change.js";
import { Fault } from "../../core/errors.js";
import { invalid, pageKey, SYSTEM } from "../../store/resource.js";
import { readList, readOne, refuseUnnameable } from "../../store/resource-queries.js";
import { Nothing, PageConflict, PageParams, Resolution } from "../../store/resource-schemas.js";
import type { RouteContext, RouteOptions, RouteRequest } from "../../store/route-context.js";
import { listOf, listQuery, plainQuery } from "../../store/route-schemas.js";
import { createPage, deletePage, patchPage, resolvePageConflict } from "./commands.js";
import { PageCreate, PagePatch, PageResource, presentPage, slugOf } from "./page.js";
import { readPageConflicts } from "./page-conflicts.js";
import { propagationRoutes } from "./propagation.js";

const TYPE = "page";
const base = "/v1/pages";
const one = `${base}/:page`;
const tags = ["pages"];
const viewer = { role: "viewer" } as const;
const admin = { role: "admin" } as const;
const owner = { role: "owner" } as const;

export const routes: FastifyPluginAsyncTypebox<RouteOptions> = async (app, { context }) => {
  app.addHook("preHandler", refuseUnnameable(context));
  await app.register(propagationRoutes, { context });

  app.get(base, { config: viewer, schema: { tags, summary: "List the pages that the key is for", querystring: listQuery, response: { 200: listOf(PageResource) } } },
    (request, reply) => {
      const { page } = context.caller(request);
      const visible = page === null ? undefined : (document: { readonly id: string }) => document.id === page;
      return context.read(request, reply, readList(context, request, SYSTEM, TYPE, "by position", presentPage, visible));
    });

  app.post(base, { config: owner, schema: { tags, summary: "Create a page", querystring: plainQuery, body: PageCreate, response: { 201: PageResource } } },
    async (request, reply) => {
      const id = await idOfNewPage(context, request, request.body);
      return id instanceof Fault ? context.fail(request, reply, id) : context.commit(request, reply, createPage(id, request.body));
    });

  app.get(one, { config: viewer, schema: { tags, summary: "Read a page", params: PageParams, querystring: plainQuery, response: { 200: PageResource } } },
    (request, reply) => context.read(request, reply, readOne(SYSTEM, TYPE, request.params.page, presentPage)));

  app.patch(one, { config: admin, schema: { tags, summary: "Change a page", params: PageParams, querystring: plainQuery, body: PagePatch, response: { 200: PageResource } } },
    (request, reply) => context.commit(request, reply, patchPage(request.params.page, request.body)));

  app.delete(one, { config: owner, schema: { tags, summary: "Delete a page", params: PageParams, querystring: plainQuery, response: { 204: Nothing } } },
    (request, reply) => context.commit(request, reply, deletePage(request.params.page)));

  app.get(`${one}/conflicts`, { config: viewer, schema: { tags, summary: "List all conflicts of a page", params: PageParams, querystring: listQuery, response: { 200: listOf(PageConflict) } } },
    (request, reply) => context.read(request, reply, readPageConflicts(context, request, request.params.page)));

  app.post(`${one}/conflicts/:field/resolve`, { config: admin, schema: { tags, summary: "Resolve a conflict of the page itself", params: Type.Object({ page: Type.String(), field: Type.String() }), querystring: plainQuery, body: Resolution, response: { 200: PageResource } } },
    (request, reply) => context.commit(request, reply, resolvePageConflict(request.params.page, request.params.field, request.body.value as Json)));
};

/** The id that was asked for, else a slug of the name; one that is taken on this replica gets a suffix. */
async function idOfNewPage(context: RouteContext, request: RouteRequest, body: PageCreate): Promise<string | Fault> {
  if (body.id !== undefined) return body.id;
  if (body.name === undefined) return invalid("#/name", "a page needs an id or a name");
  const suffix = context.idFor(request).slice(0, 8);
  const slug = slugOf(body.name);
  if (slug === "") return `page-${suffix}`;
  const known = await context.data.read({ documents: [], render: (snapshot) => snapshot.taken(pageKey(slug)) }, { level: "LOCAL" });
  if (known instanceof Fault) return known;
  return known.value ? `${slug.slice(0, 54).replace(/-+$/, "")}-${suffix}` : slug;
}
