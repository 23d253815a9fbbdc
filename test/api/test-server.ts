/** A server on the fake data plane, with keys and a small feature of its own. */
import type { Test } from "tap";
import type { FastifyInstance } from "fastify";
import pino from "pino";
import Type from "typebox";
import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import { apiDefaults, type ApiConfig, type FeatureRoutes } from "../../src/api/api-config.js";
import { PromMetrics } from "../../src/api/metrics.js";
import { bearerToken, ROOT_KEY_ID, SecretHasher } from "../../src/api/secrets.js";
import { buildServer } from "../../src/api/server.js";
import { Fault, isFault, InvariantViolation } from "../../src/core/errors.js";
import { keyOf } from "../../src/core/document.js";
import type { Clock } from "../../src/core/ports.js";
import type { Command } from "../../src/store/data-plane.js";
import { systemTimers } from "../../src/io/system-clock.js";
import { Draft } from "../../src/store/document-reader.js";
import { rendered, renderedList, type Role, type RouteOptions } from "../../src/store/route-context.js";
import { listQuery, plainQuery } from "../../src/store/route-schemas.js";
import { countingRandom, FakeDataPlane, testClock } from "./fake-data-plane.js";

export const ROOT_KEY = "root-key-of-the-tests";
const secretOf = (id: string) => `secret-of-${id}-0123456789`;
export const tokenOf = (id: string) => bearerToken(id, secretOf(id));

export interface TestServer {
  readonly app: FastifyInstance;
  readonly data: FakeDataPlane;
  readonly defects: InvariantViolation[];
  addKey(id: string, role: Role, page: string | null): Promise<string>;
}

export async function testServer(t: Pick<Test, "teardown">, config: Partial<ApiConfig> = {}, features: readonly FeatureRoutes[] = [noteRoutes], clock: Clock = testClock): Promise<TestServer> {
  const data = new FakeDataPlane(clock);
  const hasher = new SecretHasher();
  const defects: InvariantViolation[] = [];
  const app = await buildServer({
    config: { region: "us-east", replica: "us-east-1", version: "0.0.0", ...apiDefaults, ...config },
    ports: { data, clock, timers: systemTimers, random: countingRandom(), log: pino({ level: "silent" }), metrics: new PromMetrics({ process: false }), onDefect: (error) => defects.push(error) },
    features,
    hasher,
  });
  // A replica's timers keep no process alive, and requests that are injected have no socket that would.
  const alive = setInterval(() => undefined, 60_000);
  t.teardown(() => {
    clearInterval(alive);
    return app.close();
  });
  const store = (id: string, role: Role, page: string | null, hash: string | Fault) => {
    if (isFault(hash)) throw new Error(hash.detail);
    const values = { name: id, role, page, hash };
    const operations = Object.entries(values).map(([field, value]) => ({ op: "set", section: "", field, value, was: null }) as const);
    data.write(keyOf("~", "key", id), [{ op: "create", section: "" }, ...operations]);
  };
  store(ROOT_KEY_ID, "owner", null, await hasher.hashRootKey(ROOT_KEY, "tests"));
  for (const page of ["default", "other"]) data.write(keyOf("~", "page", page), [{ op: "create", section: "" }]);
  return {
    app,
    data,
    defects,
    addKey: async (id, role, page) => {
      store(id, role, page, await hasher.hash(secretOf(id), countingRandom().bytes(16)));
      return tokenOf(id);
    },
  };
}

const noteKey = (page: string, id: string) => keyOf(page, "note", id);
const pageMissing = new Fault("not-found", "There is no such page.");
const noteMissing = new Fault("not-found", "There is no such note.");

/** The smallest feature: notes with a text, read, listed, created, changed and deleted. */
export const noteRoutes: FastifyPluginAsyncTypebox<RouteOptions> = async (app, { context }) => {
  const params = Type.Object({ page: Type.String(), id: Type.String() });
  const body = Type.Object({ text: Type.String({ minLength: 1, maxLength: 100 }), mood: Type.Optional(Type.Union([Type.Enum(["good", "bad"]), Type.Null()])), position: Type.Optional(Type.Integer()) }, { additionalProperties: false });
  const note = Type.Object({ id: Type.String(), text: Type.String(), mood: Type.Union([Type.String(), Type.Null()]) });
  const write = (page: string, id: string, values: Partial<{ text: string; mood: string | null; position: number }>, status: number): Command => ({
    name: "note.write",
    subject: noteKey(page, id),
    plan: (snapshot) => {
      if (snapshot.document(keyOf("~", "page", page)) === undefined) return pageMissing;
      const document = snapshot.document(noteKey(page, id));
      if (status === 200 && document === undefined) return noteMissing;
      if (status === 201 && snapshot.taken(noteKey(page, id))) return new Fault("conflict", "The id is taken.");
      const draft = new Draft(document);
      if (document === undefined) draft.create();
      for (const [field, value] of Object.entries(values)) draft.set(field, value);
      return { changes: [{ document: noteKey(page, id), operations: draft.operations }] };
    },
    answer: (snapshot) => ({
      status,
      body: { id, text: snapshot.document(noteKey(page, id))?.value("text") ?? null, mood: snapshot.document(noteKey(page, id))?.value("mood") ?? null },
      etagOf: noteKey(page, id),
      ...(status === 201 ? { location: `/v1/pages/${page}/notes/${id}`, secret: { secret: "shown once" } } : {}),
    }),
  });
  app.get("/v1/pages/:page/notes/:id", { config: { role: "viewer" }, schema: { params, querystring: plainQuery, response: { 200: note } } }, (request, reply) => {
    const { page, id } = request.params;
    const key = noteKey(page, id);
    return context.read(request, reply, {
      documents: [keyOf("~", "page", page), key],
      cacheKey: `note ${key}`,
      render: (snapshot) => {
        const document = snapshot.document(key);
        return document === undefined ? noteMissing : rendered({ id, text: document.value("text"), mood: document.value("mood") }, document.etag);
      },
    });
  });
  app.get("/v1/pages/:page/notes", { config: { role: "viewer" }, schema: { querystring: listQuery } }, (request, reply) => {
    const { page } = request.params as { page: string };
    return context.read(request, reply, {
      documents: [keyOf("~", "page", page)],
      lists: [{ partition: page, type: "note" }],
      render: (snapshot) => {
        const part = context.paginate(request, `${page}/note`, snapshot.list(page, "note"), (header) => [header.position, header.id], "ascending");
        return isFault(part) ? part : renderedList(part.items.map(({ id, key }) => ({ id, text: snapshot.document(key)?.value("text") ?? null })), part.nextCursor);
      },
    });
  });
  app.get("/v1/pages/:page/notes/:id/history", { config: { role: "viewer" }, schema: { params, querystring: listQuery } }, (request, reply) =>
    context.history(request, reply, noteKey(request.params.page, request.params.id)),
  );
  app.get("/v1/pages/:page/projection", { config: { role: "viewer", localOnly: true } }, (request, reply) => context.read(request, reply, { documents: [], render: () => rendered({ at: 1 }, null) }));
  app.post("/v1/pages/:page/notes", { config: { role: "editor" }, schema: { body, response: { 201: note } } }, (request, reply) =>
    context.commit(request, reply, write((request.params as { page: string }).page, context.idFor(request), request.body, 201)),
  );
  app.patch("/v1/pages/:page/notes/:id", { config: { role: "editor" }, schema: { params, body: Type.Partial(body, { additionalProperties: false }) } }, (request, reply) =>
    context.commit(request, reply, write(request.params.page, request.params.id, request.body, 200)),
  );
  app.delete("/v1/pages/:page/notes/:id", { config: { role: "admin" }, schema: { params } }, (request, reply) => {
    const key = noteKey(request.params.page, request.params.id);
    return context.commit(request, reply, {
      name: "note.delete",
      subject: key,
      plan: (snapshot) => (snapshot.document(key) === undefined ? noteMissing : { changes: [{ document: key, operations: [{ op: "delete", section: "" }] }] }),
      answer: () => ({ status: 204, body: null }),
    });
  });
  app.post("/v1/pages/:page/explode", { config: { role: "viewer" } }, () => {
    throw new InvariantViolation("planted");
  });
};
