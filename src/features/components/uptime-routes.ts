/** `/v1/pages/{page}/components/{id}/uptime`: per day of the page's time zone seconds per status, and the share without outages. */
import { createHash } from "node:crypto";
import { Type } from "typebox";
import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import { isFault } from "../../core/errors.js";
import { keyOf } from "../../core/document.js";
import { dayAfter, dayOf } from "../../store/zoned-days.js";
import { uptimeOfSeconds, type DayUptime } from "../../store/component-history.js";
import { COMPONENT_STATUSES } from "../../store/conflicts.js";
import { find, pageKey, type Resource } from "../../store/resource.js";
import { ResourceParams } from "../../store/resource-schemas.js";
import { rendered, type RouteOptions } from "../../store/route-context.js";
import { nullable } from "../../store/route-schemas.js";

const DAYS = 90;
const Day = Type.String({ minLength: 10, maxLength: 10, description: "YYYY-MM-DD, in the page's time zone." });
const Seconds = Type.Object({
  operational: Type.Integer(), degraded_performance: Type.Integer(), partial_outage: Type.Integer(), major_outage: Type.Integer(), under_maintenance: Type.Integer(), no_data: Type.Integer(),
});
const Percentage = nullable(Type.Number({ description: "Share of the known time without outages, partial outages counting with 30 %." }));
const Uptime = Type.Object({
  component_id: Type.String(), page_id: Type.String(), time_zone: Type.String(), from: Type.String(), to: Type.String(), seconds: Seconds, uptime_percentage: Percentage,
  days: Type.Array(Type.Object({ date: Type.String(), total_seconds: Type.Integer(), seconds: Seconds, uptime_percentage: Percentage })),
});
const query = Type.Object({ from: Type.Optional(Day), to: Type.Optional(Day), consistency: Type.Optional(Type.String()) }, { additionalProperties: false });

const percentage = (share: number | null): number | null => (share === null ? null : Math.round(share * 10_000_000) / 100_000);

function total(days: readonly DayUptime[]): DayUptime["seconds"] {
  const sum = { operational: 0, degraded_performance: 0, partial_outage: 0, major_outage: 0, under_maintenance: 0, no_data: 0 };
  for (const { seconds } of days) for (const status of [...COMPONENT_STATUSES, "no_data"] as const) sum[status] += seconds[status];
  return sum;
}

export const uptimeRoutes: FastifyPluginAsyncTypebox<RouteOptions> = async (app, { context }) => {
  app.get("/v1/pages/:page/components/:id/uptime", {
    config: { role: "viewer", localOnly: true },
    schema: { tags: ["components"], summary: "A component's status by day; without `from` and `to` the last 90 days", params: ResourceParams, querystring: query, response: { 200: Uptime } },
  }, async (request, reply) => {
    const { page, id } = request.params;
    const known = await context.data.read({
      documents: [pageKey(page), keyOf(page, "component", id)],
      render: (snapshot) => {
        const component = find(snapshot, page, "component", id);
        return isFault(component) ? component : { timeZone: snapshot.document(pageKey(page))?.text("time_zone") || "UTC", atMs: snapshot.atMs };
      },
    }, { level: "LOCAL" });
    if (isFault(known)) return context.fail(request, reply, known);
    const { timeZone, atMs } = known.value;
    const to = request.query.to ?? dayOf(atMs, timeZone);
    const from = request.query.from ?? (Number.isNaN(Date.parse(to)) ? to : dayAfter(to, 1 - DAYS));
    const days = await context.uptime(page, id, from, to, timeZone, atMs);
    if (isFault(days)) return context.fail(request, reply, days);
    const seconds = total(days);
    const body: Resource = {
      component_id: id, page_id: page, time_zone: timeZone, from, to, seconds, uptime_percentage: percentage(uptimeOfSeconds(seconds)),
      days: days.map((day) => ({ date: day.day, total_seconds: day.totalSeconds, seconds: day.seconds, uptime_percentage: percentage(day.uptime) })),
    };
    // It changes with time alone, so its tag is that of its bytes.
    const etag = createHash("sha256").update(JSON.stringify(body)).digest("base64url").slice(0, 22);
    return context.read(request, reply, { documents: [], render: () => rendered(body, etag) });
  });
};
