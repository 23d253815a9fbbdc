/** `/v1/pages/{page}/webhooks`: who may send alerts and what they mean; `/v1/pages/{page}/alert-groups`: what was heard. */
import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import { Type } from "typebox";
import { keyOf } from "../../core/document.js";
import { Fault } from "../../core/errors.js";
import type { Query } from "../../store/data-plane.js";
import { derivedId } from "../../store/derived-incidents.js";
import { find, pageKey } from "../../store/resource.js";
import { readList, readOne, refuseUnnameable } from "../../store/resource-queries.js";
import { Nothing, PageParams, ResourceParams } from "../../store/resource-schemas.js";
import { rendered, type Rendered, type RouteOptions } from "../../store/route-context.js";
import { listOf, listQuery, plainQuery } from "../../store/route-schemas.js";
import { ALERT_GROUP, AlertGroupResource, hasUnmapped, presentGroup } from "./alert-group.js";
import { createWebhook, deleteWebhook, patchWebhook, presentWebhook, rotateWebhook, WEBHOOK, WebhookCreate, WebhookPatch, WebhookResource } from "./webhook.js";

const base = "/v1/pages/:page/webhooks";
const one = `${base}/:id`;
const groups = "/v1/pages/:page/alert-groups";
const tags = ["alerts"];
const viewer = { role: "viewer" } as const;
const admin = { role: "admin" } as const;

const groupQuery = Type.Object({
  ...listQuery.properties, unmapped: Type.Optional(Type.Boolean({ description: "Only groups in which something fires that no rule maps (or, if false, only the others)." })),
}, { additionalProperties: false });

/** A group as the rules of now read it: what it shows is made of more than its document, and so is its tag. */
function readGroup(page: string, id: string): Query<Rendered> {
  return {
    documents: [pageKey(page), keyOf(page, ALERT_GROUP, id)], lists: [{ partition: page, type: WEBHOOK }],
    render(snapshot) {
      const document = find(snapshot, page, ALERT_GROUP, id);
      if (document instanceof Fault) return document;
      const resource = presentGroup(document, snapshot);
      return rendered(resource, derivedId(resource));
    },
  };
}

export const routes: FastifyPluginAsyncTypebox<RouteOptions> = async (app, { context }) => {
  app.addHook("preHandler", refuseUnnameable(context));

  app.get(base, { config: viewer, schema: { tags, summary: "List webhooks", params: PageParams, querystring: listQuery, response: { 200: listOf(WebhookResource) } } },
    (request, reply) => context.read(request, reply, readList(context, request, request.params.page, WEBHOOK, "by position", presentWebhook)));

  app.post(base, { config: admin, schema: { tags, summary: "Create a webhook", params: PageParams, querystring: plainQuery, body: WebhookCreate, response: { 201: WebhookResource } } },
    (request, reply) => context.commit(request, reply, createWebhook(request.params.page, context.idFor(request), context.newSecret(), request.body)));

  app.get(one, { config: viewer, schema: { tags, summary: "Read a webhook", params: ResourceParams, querystring: plainQuery, response: { 200: WebhookResource } } },
    (request, reply) => context.read(request, reply, readOne(request.params.page, WEBHOOK, request.params.id, presentWebhook)));

  app.patch(one, { config: admin, schema: { tags, summary: "Change a webhook", params: ResourceParams, querystring: plainQuery, body: WebhookPatch, response: { 200: WebhookResource } } },
    (request, reply) => context.commit(request, reply, patchWebhook(request.params.page, request.params.id, request.body)));

  app.post(`${one}/rotate`, { config: admin, schema: { tags, summary: "Replace a webhook's secret", params: ResourceParams, querystring: plainQuery, response: { 200: WebhookResource } } },
    (request, reply) => context.commit(request, reply, rotateWebhook(request.params.page, request.params.id, context.newSecret())));

  app.delete(one, { config: admin, schema: { tags, summary: "Delete a webhook", params: ResourceParams, querystring: plainQuery, response: { 204: Nothing } } },
    (request, reply) => context.commit(request, reply, deleteWebhook(request.params.page, request.params.id)));

  app.get(groups, { config: viewer, schema: { tags, summary: "List groups of alerts", params: PageParams, querystring: groupQuery, response: { 200: listOf(AlertGroupResource) } } },
    (request, reply) => {
      const { unmapped } = request.query;
      const query = readList(context, request, request.params.page, ALERT_GROUP, "by position", presentGroup);
      if (unmapped === undefined) return context.read(request, reply, query);
      return context.read(request, reply, {
        ...query,
        render: (snapshot) => readList(context, request, request.params.page, ALERT_GROUP, "by position", presentGroup, (document) => hasUnmapped(document, snapshot) === unmapped).render(snapshot),
      });
    });

  app.get(`${groups}/:id`, { config: viewer, schema: { tags, summary: "Read a group of alerts", params: ResourceParams, querystring: plainQuery, response: { 200: AlertGroupResource } } },
    (request, reply) => context.read(request, reply, readGroup(request.params.page, request.params.id)));
};
