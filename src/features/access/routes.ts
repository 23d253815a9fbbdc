/** `/v1/keys`: who may do what. */
import { Type } from "typebox";
import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import { keyOf } from "../../core/document.js";
import { Fault } from "../../core/errors.js";
import { find, SYSTEM } from "../../store/resource.js";
import { readList, refuseUnnameable } from "../../store/resource-queries.js";
import { Nothing } from "../../store/resource-schemas.js";
import { rendered, type RouteContext, type RouteOptions } from "../../store/route-context.js";
import { listOf, listQuery, plainQuery } from "../../store/route-schemas.js";
import { createKey, patchKey, revokeKey, rotateKey, type NewSecret } from "./commands.js";
import { forbidden, KeyCreate, KeyPatch, KeyResource, KeyWithSecret, mayManage, pageOf, presentKey, roleOf } from "./key.js";

const TYPE = "key";
const base = "/v1/keys";
const one = `${base}/:id`;
const tags = ["keys"];
const admin = { role: "admin" } as const;
const KeyParams = Type.Object({ id: Type.String() });

export const routes: FastifyPluginAsyncTypebox<RouteOptions> = async (app, { context }) => {
  app.addHook("preHandler", refuseUnnameable(context));

  app.get(base, { config: admin, schema: { tags, summary: "List the keys that the caller manages", querystring: listQuery, response: { 200: listOf(KeyResource) } } },
    (request, reply) => {
      const caller = context.caller(request);
      return context.read(request, reply, readList(
        context, request, SYSTEM, TYPE, "by position", (document) => presentKey(document, context.lastUsedAt(document.id)),
        (document) => mayManage(caller, pageOf(document), roleOf(document)),
      ));
    });

  app.post(base, { config: admin, schema: { tags, summary: "Create a key", querystring: plainQuery, body: KeyCreate, response: { 201: KeyWithSecret } } },
    async (request, reply) => {
      const id = context.idFor(request);
      const secret = await newSecret(context, id);
      return secret instanceof Fault ? context.fail(request, reply, secret) : context.commit(request, reply, createKey(id, secret, context.caller(request), request.body));
    });

  app.get(one, { config: admin, schema: { tags, summary: "Read a key", params: KeyParams, querystring: plainQuery, response: { 200: KeyResource } } },
    (request, reply) => {
      const caller = context.caller(request);
      const { id } = request.params;
      return context.read(request, reply, {
        documents: [keyOf(SYSTEM, TYPE, id)],
        render(snapshot) {
          const document = find(snapshot, SYSTEM, TYPE, id);
          if (document instanceof Fault) return document;
          return mayManage(caller, pageOf(document), roleOf(document)) ? rendered(presentKey(document, context.lastUsedAt(id)), document.etag) : forbidden();
        },
      });
    });

  app.patch(one, { config: admin, schema: { tags, summary: "Change a key", params: KeyParams, querystring: plainQuery, body: KeyPatch, response: { 200: KeyResource } } },
    (request, reply) => context.commit(request, reply, patchKey(request.params.id, context.caller(request), request.body, context.lastUsedAt(request.params.id))));

  app.post(`${one}/rotate`, { config: admin, schema: { tags, summary: "Give a key a new secret", params: KeyParams, querystring: plainQuery, response: { 200: KeyWithSecret } } },
    async (request, reply) => {
      const { id } = request.params;
      const secret = await newSecret(context, id);
      return secret instanceof Fault ? context.fail(request, reply, secret) : context.commit(request, reply, rotateKey(id, secret, context.caller(request), context.lastUsedAt(id)));
    });

  app.delete(one, { config: admin, schema: { tags, summary: "Revoke a key", params: KeyParams, querystring: plainQuery, response: { 204: Nothing } } },
    (request, reply) => context.commit(request, reply, revokeKey(request.params.id, context.caller(request))));
};

async function newSecret(context: RouteContext, id: string): Promise<NewSecret | Fault> {
  const secret = context.newSecret();
  const hash = await context.hashSecret(secret);
  return hash instanceof Fault ? hash : { hash, token: context.bearerToken(id, secret) };
}
