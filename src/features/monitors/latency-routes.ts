/** The latencies that a page shows: public, since the page shows them, and read by edges. */
import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import { Type } from "typebox";
import { lookUp, notFound, pageKey } from "../../store/resource.js";
import { PageParams } from "../../store/resource-schemas.js";
import type { RouteOptions } from "../../store/route-context.js";
import { shownMonitors } from "../../store/shown-monitors.js";
import { latencyHours, latencyPath, type LatencyHour } from "./latency-board.js";
import type { Members } from "./presence.js";
import type { ResultStore } from "./results.js";

const FRESH_MS = 60_000;

const Hours = Type.Object({
  data: Type.Array(Type.Object({
    monitor: Type.String(), region: Type.String(), start: Type.Number({ description: "When the hour begins, ms since the epoch." }), median: Type.Number({ description: "ms" }), count: Type.Integer({ description: "Looks that were up." }),
  })),
});

/** What is known of the latencies of a page's monitors, and until when that is worth to be told, ms since the epoch. */
export type KnownLatencies = (page: string, monitors: readonly string[], atMs: number) => Promise<{ readonly hours: readonly LatencyHour[]; readonly freshUntilMs: number }>;

/** Of a region: what is in its store. */
export function latenciesInStore(results: ResultStore, members: Members): KnownLatencies {
  return async (page, monitors, atMs) => ({ hours: await latencyHours(results, members, page, monitors, atMs), freshUntilMs: atMs + FRESH_MS });
}

export function latencyRoutes(known: KnownLatencies): FastifyPluginAsyncTypebox<RouteOptions> {
  return async (app, { context }) => {
    app.get(latencyPath(":page"), {
      config: { public: true },
      schema: {
        tags: ["public"], summary: "Latencies of the last day by hour, as each region saw them, of monitors whose components show them", params: PageParams,
        querystring: Type.Object({ consistency: Type.Optional(Type.String({ description: "LOCAL; another level is refused." })) }), response: { 200: { description: "Hours", content: { "application/json": { schema: Hours } } } },
      },
    }, (request, reply) => {
      const { page } = request.params;
      return context.publish<Awaited<ReturnType<KnownLatencies>>>(request, reply, {
        page, name: "latency",
        prepare: async (preparation) => {
          const monitors = await preparation.look((snapshot) => shownMonitors(snapshot, page));
          return known(page, monitors.map(({ id }) => id), preparation.atMs);
        },
        render: (snapshot, { hours, freshUntilMs }) => (lookUp(snapshot, pageKey(page)) === undefined
          ? notFound("page") : { contentType: "application/json; charset=utf-8", body: JSON.stringify({ data: hours }), freshUntilMs }),
      });
    });
  };
}
