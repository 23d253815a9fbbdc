/** `/pages/{page}/events` for everyone, `/v1/pages/{page}/events` with a key, and the uptime of a component. */
import { Type } from "typebox";
import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import { requirePage } from "../../store/resource.js";
import { refuseUnnameable } from "../../store/resource-queries.js";
import { PageParams } from "../../store/resource-schemas.js";
import { renderedList, type PresentEvent, type RouteOptions } from "../../store/route-context.js";
import { listOf, listQuery, nullable } from "../../store/route-schemas.js";
import { logEntry, pageOf, presentEvent, type Presenters } from "./public-event.js";

const tags = ["events"];
const lastEventId = { last_event_id: Type.Optional(Type.String({ maxLength: 4_096, description: "Where to go on from, where the header `Last-Event-ID` cannot be set." })) };
const consistency = { consistency: Type.Optional(Type.String()) };
const streamed = Type.Object({ ...lastEventId, ...consistency }, { additionalProperties: false });
const logQuery = Type.Object({ ...listQuery.properties, ...lastEventId }, { additionalProperties: false });

const stream = { 200: { description: "Events as they happen; `id` is a position that any region goes on from.", content: { "text/event-stream": { schema: Type.String() } } } };

const LogEntry = Type.Object({
  id: Type.String(), type: Type.String(), at: Type.String(), hlc: Type.String(), region: Type.String(), page_id: Type.String(), resource_type: Type.String(),
  resource_id: Type.String(), update_id: nullable(Type.String()),
});

/** True if a client would rather have a stream than JSON. */
function wantsStream(accept: string | string[] | undefined): boolean {
  return typeof accept === "string" && accept.split(",").some((part) => part.trim().toLowerCase().startsWith("text/event-stream"));
}

export function eventRoutes(presenters: Presenters): FastifyPluginAsyncTypebox<RouteOptions> {
  const present: PresentEvent = (event, snapshot) => presentEvent(presenters, event, snapshot);
  return async (app, { context }) => {
    app.addHook("preHandler", refuseUnnameable(context));

    app.get("/pages/:page/events", { config: { public: true }, schema: { tags, summary: "What changes on a page, as server-sent events", params: PageParams, querystring: streamed, response: stream } },
      (request, reply) => context.stream(request, reply, request.params.page, present));

    app.get("/v1/pages/:page/events", {
      config: { role: "viewer", localOnly: true },
      schema: { tags, summary: "What changed on a page, latest first; as server-sent events with `Accept: text/event-stream`", params: PageParams, querystring: logQuery, response: { 200: listOf(LogEntry) } },
    }, async (request, reply) => {
      const { page } = request.params;
      if (wantsStream(request.headers.accept)) return context.stream(request, reply, page, present);
      const events = await context.events(page);
      return context.read(request, reply, {
        documents: [pageOf(page)],
        render: (snapshot) => {
          const missing = requirePage(snapshot, page);
          if (missing !== undefined) return missing;
          const part = context.paginate(request, `${page}/events`, events, ({ id }) => [id, ""], "descending");
          return "items" in part ? renderedList(part.items.map(logEntry), part.nextCursor) : part;
        },
      });
    });
  };
}
