/**
 * `POST /v1/pages/{page}/webhooks/{alertmanager|grafana|generic}`: what other monitors send.
 *
 * Alertmanager tries again on 5xx only, and drops an alert that is answered 4xx: what may pass later is answered 503 with
 * `Retry-After`, and a 4xx means that the same would be refused again (a malformed body, no valid secret, no such page).
 */
import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import { Type } from "typebox";
import { isFault, type Fault } from "../../core/errors.js";
import { alertLimits } from "../../core/limits.js";
import type { Clock } from "../../core/ports.js";
import { SYSTEM_ACTOR, type IncidentRoom } from "../../store/derived-incidents.js";
import type { Metrics } from "../../store/metrics.js";
import { invalidAll, requirePage } from "../../store/resource.js";
import { refuseUnnameable } from "../../store/resource-queries.js";
import { PageParams } from "../../store/resource-schemas.js";
import type { RouteOptions, RouteReply, RouteRequest } from "../../store/route-context.js";
import { listOf, plainQuery } from "../../store/route-schemas.js";
import type { Notification, Source } from "./alert.js";
import { receiveCommand, type AlertOutcome } from "./alert-effects.js";
import { groupKeyOf } from "./alert-group.js";
import { AlertmanagerPayload, fromGeneric, fromPrometheus, GenericPayload, GrafanaPayload, timeFaults } from "./payloads.js";
import { senderFault, SIGNATURE_HEADER } from "./sender.js";
import { WEBHOOK_TOKEN_PREFIX, webhooksOf } from "./webhook.js";

export interface AlertServices {
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly incidents: IncidentRoom;
}

const tags = ["alerts"];
const access = { role: "editor", localOnly: true, senders: { signatureHeader: SIGNATURE_HEADER, tokenPrefix: WEBHOOK_TOKEN_PREFIX } } as const;
const OutcomeItem = Type.Object({
  fingerprint: Type.String(), outcome: Type.Enum(["firing", "resolved", "duplicate", "stale", "dropped"]),
  mapping: Type.Enum(["mapped", "ignored", "unmapped"]),
});

/** Whether a request without a key proves itself by the secret of a webhook. */
function checkSender(context: RouteOptions["context"], clock: Clock, source: Source) {
  return async (request: RouteRequest, reply: RouteReply): Promise<unknown> => {
    if (context.hasCaller(request)) return undefined;
    const { page } = request.params as { readonly page: string };
    const webhooks = await context.data.read({ documents: [], render: (snapshot) => webhooksOf(snapshot, page, source) }, { level: "LOCAL" });
    const fault = isFault(webhooks) ? webhooks : senderFault(request, webhooks.value, clock.now());
    return fault === undefined ? undefined : context.fail(request, reply, fault);
  };
}

/** What counts for the sender: whether it may come again. */
function outcomeOf(status: number): string {
  if (status < 300) return "accepted";
  if (status >= 500) return "deferred";
  return status === 401 || status === 403 || status === 404 ? "refused" : "malformed";
}

/** Routes of one replica. */
export function receiveRoutes({ clock, incidents, metrics }: AlertServices): FastifyPluginAsyncTypebox<RouteOptions> {
  const notifications = metrics.counter("statusmesh_alert_notifications", "Notifications of other monitors, by what became of them.", ["source", "outcome"]);
  const heard = metrics.counter("statusmesh_alerts", "Alerts in notifications that were taken in, by what was heard, and whether a rule maps them.", ["source", "outcome", "mapping"]);
  const truncated = metrics.counter("statusmesh_alerts_truncated", "Alerts that senders left out of their notifications.", ["source"]);

  return async (app, { context }) => {
    app.addHook("preHandler", refuseUnnameable(context));
    // Refusals of the body come before the handler: all are counted here.
    app.addHook("onSend", (request, reply, _payload, done) => {
      notifications.add(1, request.routeOptions.url?.split("/").at(-1) ?? "", outcomeOf(reply.statusCode));
      done();
    });

    /** Takes a notification in; a large one in several writes. */
    const receive = async (page: string, notification: Notification): Promise<{ readonly token: string; readonly outcomes: readonly AlertOutcome[] } | Fault> => {
      const found = await context.data.read({ documents: [], render: (snapshot) => requirePage(snapshot, page) ?? groupKeyOf(snapshot, page, notification.source, notification.groupKey) }, { level: "LOCAL" });
      if (isFault(found)) return found;
      const outcomes: AlertOutcome[] = [];
      let { token } = found;
      for (let from = 0; from === 0 || from < notification.alerts.length; from += alertLimits.alertsPerBatch) {
        let part: readonly AlertOutcome[] = [];
        const command = receiveCommand({
          page, key: found.value, notification, alerts: notification.alerts.slice(from, from + alertLimits.alertsPerBatch), incidents,
          observe: (seen) => {
            part = seen;
          },
        });
        const committed = await context.data.commit(command, { level: "LOCAL", actor: SYSTEM_ACTOR });
        if (isFault(committed)) return committed;
        outcomes.push(...part);
        token = committed.token;
      }
      return { token, outcomes };
    };

    const answer = async (request: RouteRequest, reply: RouteReply, page: string, notification: Notification): Promise<{ data: AlertOutcome[]; next_cursor: null }> => {
      const received = await receive(page, notification);
      if (isFault(received)) return context.fail(request, reply, received);
      for (const { mapping, outcome } of received.outcomes) heard.add(1, notification.source, outcome, mapping);
      if (notification.truncatedAlerts > 0) truncated.add(notification.truncatedAlerts, notification.source);
      reply.code(200);
      reply.header("session-token", received.token);
      reply.header("consistency-level", "LOCAL");
      return { data: [...received.outcomes], next_cursor: null };
    };

    const schemaOf = (name: string) => ({ tags, summary: `Take in what ${name} sends`, params: PageParams, querystring: plainQuery, response: { 200: listOf(OutcomeItem) } });
    const optionsOf = (source: Source) => ({ config: access, bodyLimit: alertLimits.notificationBytes, preValidation: checkSender(context, clock, source) });
    const badTimes = (pointers: readonly string[]): Fault => invalidAll(pointers.map((pointer) => ({ pointer, message: "is no time" })));

    for (const [source, payload, name] of [["alertmanager", AlertmanagerPayload, "Alertmanager"], ["grafana", GrafanaPayload, "Grafana"]] as const) {
      app.post(`/v1/pages/:page/webhooks/${source}`, { ...optionsOf(source), schema: { ...schemaOf(name), body: payload } },
        (request, reply) => {
          const bad = timeFaults(request.body.alerts, ["startsAt", "endsAt"]);
          return bad.length > 0 ? context.fail(request, reply, badTimes(bad)) : answer(request, reply, request.params.page, fromPrometheus(source, request.body));
        });
    }
    app.post("/v1/pages/:page/webhooks/generic", { ...optionsOf("generic"), schema: { ...schemaOf("any other monitor"), body: GenericPayload } },
      (request, reply) => {
        const bad = timeFaults(request.body.alerts, ["starts_at", "ends_at"]);
        return bad.length > 0 ? context.fail(request, reply, badTimes(bad)) : answer(request, reply, request.params.page, fromGeneric(request.body));
      });
  };
}
