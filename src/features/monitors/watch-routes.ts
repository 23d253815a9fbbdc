/** What watching a monitor has brought: `…/opinions`, `…/results`, `…/rollups`, `…/uptime`, `POST …/run`, and the addresses that heartbeats call. */
import { timingSafeEqual } from "node:crypto";
import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import { Type, type Static } from "typebox";
import type { Json } from "../../core/change.js";
import { keyOf } from "../../core/document.js";
import { Fault, isFault } from "../../core/errors.js";
import { watchLimits } from "../../core/limits.js";
import type { Clock } from "../../core/ports.js";
import type { Query, Snapshot } from "../../store/data-plane.js";
import type { DocumentReader } from "../../store/document-reader.js";
import { entityTag } from "../../store/entity-tag.js";
import { find, lookUp, notFound, pageKey, requirePage } from "../../store/resource.js";
import { refuseUnnameable } from "../../store/resource-queries.js";
import { PageParams, ResourceParams } from "../../store/resource-schemas.js";
import { rendered, renderedList, type Rendered, type RouteContext, type RouteOptions, type RouteReply, type RouteRequest } from "../../store/route-context.js";
import { listOf, nullable, plainQuery } from "../../store/route-schemas.js";
import { heartbeatUrl, MONITOR, monitorOf } from "./monitor.js";
import type { Members } from "./presence.js";
import { opinionsOf, verdictOf, VERDICTS, watchKey, type State } from "./opinion.js";
import { METRICS_TYPE, probeMetrics, type ProbeReading } from "./probe-metrics.js";
import { latencyFigures } from "./rollup.js";
import { TIERS, type Tier, type TimedRollup } from "./origin-results.js";
import type { StoredResult } from "./result-batch.js";
import { ResultStore, type Whose } from "./results.js";
import { DAY_MS, unwatchedSpans, uptimeByDay, type VerdictChange } from "./uptime.js";
import type { Watch } from "./watch.js";

export interface WatchServices {
  readonly watch: Watch;
  readonly results: ResultStore;
  readonly clock: Clock;
  readonly region: string;
  /** Replicas that watch, this one among them, and their regions. */
  readonly members: Members;
}

const base = "/v1/pages/:page/monitors/:id";
const tags = ["monitors"];
const viewer = { role: "viewer", localOnly: true } as const;
const admin = { role: "admin", localOnly: true } as const;
const UPTIME_DAYS_DEFAULT = 90;

const phases = Type.Object({ dns: nullable(Type.Number()), connect: nullable(Type.Number()), tls: nullable(Type.Number()), first_byte: nullable(Type.Number()), total: nullable(Type.Number()) });
const error = nullable(Type.Object({ code: Type.String(), message: Type.String() }));
const state = Type.Enum([...VERDICTS]);
const ResultItem = Type.Object({ at: Type.String(), region: Type.String(), state, latency_ms: nullable(Type.Number()), phases, error, attempt: Type.Integer() });
const OpinionItem = Type.Object({
  region: Type.String(), state, since: Type.String(), hlc: Type.String(),
  checked_at: Type.String({ description: "When the region last looked: this region's own up to now, of others when they last changed their opinion." }),
  evidence: Type.Object({ error, latency_ms: nullable(Type.Number()), phases }),
});
const RollupItem = Type.Object({
  at: Type.String(), region: Type.String(), up: Type.Integer(), degraded: Type.Integer(), down: Type.Integer(), unknown: Type.Integer(), sum: Type.Number(), min: nullable(Type.Number()),
  max: nullable(Type.Number()), buckets: Type.Array(Type.Array(Type.Number())),
});
const UptimeItem = Type.Object({
  date: Type.String(), up_seconds: Type.Integer(), degraded_seconds: Type.Integer(), down_seconds: Type.Integer(), unknown_seconds: Type.Integer(), uptime: nullable(Type.Number()),
  latency_ms: Type.Object({
    count: Type.Integer(), mean: nullable(Type.Number()), min: nullable(Type.Number()), max: nullable(Type.Number()), p50: nullable(Type.Number()), p95: nullable(Type.Number()), p99: nullable(Type.Number()),
  }),
});

const heartbeatParams = () => Type.Object({ page: Type.String({ maxLength: 64 }), id: Type.String({ maxLength: 64 }), secret: Type.String({ maxLength: 128 }) });
const Beat = Type.Object({ ok: Type.Boolean() });
const When = Type.String({ minLength: 1, maxLength: 40, description: "RFC 3339, or a date." });
const consistency = Type.Optional(Type.String({ description: "Only `LOCAL`." }));
const ResultQuery = Type.Object({
  region: Type.Optional(Type.String({ minLength: 1, maxLength: 48, description: "Default: all regions." })), from: Type.Optional(When), to: Type.Optional(When),
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: watchLimits.resultsPerAnswerMax, default: 100 })), cursor: Type.Optional(Type.String({ pattern: "^[0-9]{1,15}\\.[0-9]{1,4}$" })), consistency,
}, { additionalProperties: false });
const RollupQuery = Type.Object({
  region: Type.Optional(Type.String({ minLength: 1, maxLength: 48 })), tier: Type.Optional(Type.Enum(Object.keys(TIERS), { default: "hour" })), from: Type.Optional(When), to: Type.Optional(When), consistency,
}, { additionalProperties: false });
const UptimeQuery = Type.Object({ from: Type.Optional(When), to: Type.Optional(When), consistency }, { additionalProperties: false });

const iso = (ms: number): string => new Date(ms).toISOString();

/** The range that a query asks for, ms; 400 for what is no time. */
function rangeOf(query: { readonly from?: string | undefined; readonly to?: string | undefined }, fallback: { from: number; to: number }): { from: number; to: number } | Fault {
  const read = (text: string | undefined, otherwise: number): number => (text === undefined ? otherwise : /^\d{4}-\d{2}-\d{2}/.test(text) ? Date.parse(text) : Number.NaN);
  const [from, to] = [read(query.from, fallback.from), read(query.to, fallback.to)];
  if (Number.isNaN(from) || Number.isNaN(to)) return new Fault("malformed", "`from` and `to` must be RFC 3339 times or dates.");
  return { from: Math.max(0, from), to };
}

/** Reads what the store of documents does not hold, shown only where the monitor exists. */
function ofMonitor(page: string, id: string, render: (document: DocumentReader, snapshot: Snapshot) => Rendered): Query<Rendered> {
  return {
    documents: [pageKey(page), keyOf(page, MONITOR, id)],
    render(snapshot) {
      const document = find(snapshot, page, MONITOR, id);
      return document instanceof Fault ? document : render(document, snapshot);
    },
  };
}

type Item = { readonly [name: string]: Json };

function presentResult(result: StoredResult, region: string): Item {
  const { at, attempt, error: said, latency_ms, phases: spent, state: found } = result;
  return { at: iso(at), region, state: found, latency_ms, phases: { ...spent }, error: said === null ? null : { ...said }, attempt };
}

/** A part of a list that is ordered by time. The cursor: the time of the last item that was given, and how many of that time were. */
function pageOf(found: readonly Item[], after: { readonly at: string; readonly given: number } | undefined, limit: number): { readonly items: readonly Item[]; readonly next: string | null } {
  const first = after === undefined ? 0 : Math.min(after.given, found.filter((item) => item["at"] === after.at).length);
  const items = found.slice(first, first + limit);
  const last = items.at(-1);
  if (last === undefined || found.length <= first + limit) return { items, next: null };
  const sameTime = found.slice(0, first + limit).filter((item) => item["at"] === last["at"]).length;
  return { items, next: `${Date.parse(String(last["at"]))}.${sameTime}` };
}

/** Verdicts over time, from what was written of them. */
/** Histories of verdicts that were read, the one read last at the end. */
class VerdictHistories {
  private readonly kept = new Map<string, { readonly etag: string; readonly changes: readonly VerdictChange[] }>();

  /** What a monitor's verdict was. Its history is read again only when it has changed. */
  async of(context: RouteContext, page: string, id: string): Promise<readonly VerdictChange[]> {
    const key = watchKey(page, id);
    const found = await context.data.read({ documents: [], render: (snapshot) => snapshot.document(key)?.etag ?? "" }, { level: "LOCAL" });
    // A history that is read after its tag holds that much at least.
    const etag = isFault(found) ? "" : found.value;
    const known = this.kept.get(key);
    this.kept.delete(key);
    const changes = known !== undefined && known.etag === etag && etag !== "" ? known.changes : await this.read(context, key);
    if (changes === undefined) return [];
    this.kept.set(key, { etag, changes });
    for (const oldest of this.kept.keys()) {
      if (this.kept.size <= HISTORIES_KEPT_MAX) break;
      this.kept.delete(oldest);
    }
    return changes;
  }

  private async read(context: RouteContext, key: string): Promise<readonly VerdictChange[] | undefined> {
    const history = await context.data.history(key, { level: "LOCAL" });
    if (isFault(history)) return undefined;
    return history.value.flatMap(({ field, hlc, to }) => {
      const verdict = field === "verdict" ? (to as { readonly state?: State; readonly since?: number | null } | null) : null;
      return verdict?.state === undefined || typeof verdict.since !== "number" ? [] : [{ state: verdict.state, since: verdict.since, hlc }];
    });
  }
}

const HISTORIES_KEPT_MAX = 200;

/** Routes of one replica's watch. */
export function watchRoutes(services: WatchServices): FastifyPluginAsyncTypebox<RouteOptions> {
  const { watch, results, clock, members, region: own } = services;
  const regionOf = (replica: string): string => members.get(replica) ?? "";
  const ofRegion = (region: string | undefined): Whose => (replica) => members.has(replica) && (region === undefined || members.get(replica) === region);

  return async (app, { context }) => {
    const histories = new VerdictHistories();
    app.addHook("preHandler", refuseUnnameable(context));
    const knows = (region: string | undefined): boolean => region === undefined || region === own || [...members.values()].includes(region);
    const unknownRegion = new Fault("malformed", "There is no such region.");

    app.get(`${base}/opinions`, { config: viewer, schema: { tags, summary: "What each region thinks of a monitor", params: ResourceParams, querystring: plainQuery, response: { 200: listOf(OpinionItem) } } },
      (request, reply) => {
        const { page, id } = request.params;
        const look = watch.lastLook(page, id);
        return context.read(request, reply, ofMonitor(page, id, (_document, snapshot) => renderedList(opinionsOf(snapshot.document(watchKey(page, id))).map((opinion): Item => {
          const fresh = opinion.region === own && look !== undefined && look.isFinal && look.state === opinion.state && look.at >= opinion.checkedAt ? look : undefined;
          const { error: said, latency_ms, phases: spent } = fresh ?? opinion.evidence;
          return {
            region: opinion.region, state: opinion.state, since: iso(opinion.since), hlc: opinion.hlc, checked_at: iso(fresh?.at ?? opinion.checkedAt),
            evidence: { error: said === null ? null : { ...said }, latency_ms, phases: { ...spent } },
          };
        }), null)));
      });

    app.get(`${base}/results`, { config: viewer, schema: { tags, summary: "Raw results of a monitor, newest first", params: ResourceParams, querystring: ResultQuery, response: { 200: listOf(ResultItem) } } },
      async (request, reply) => {
        const { page, id } = request.params;
        const { region, limit = 100, cursor } = request.query;
        const range = rangeOf(request.query, { from: 0, to: Number.MAX_SAFE_INTEGER });
        if (isFault(range)) return context.fail(request, reply, range);
        if (!knows(region)) return context.fail(request, reply, unknownRegion);
        const [before, given] = cursor === undefined ? [undefined, 0] : cursor.split(".").map(Number);
        const to = before === undefined ? range.to : Math.min(range.to, before + 1);
        const wanted = Math.min(watchLimits.resultsPerAnswerMax, limit + (given ?? 0) + 1);
        const found = (await results.query(`${page}/${id}`, range.from, to, wanted, ofRegion(region))).map((result) => presentResult(result, regionOf(result.replica)));
        const part = pageOf(found, before === undefined ? undefined : { at: iso(before), given: given ?? 0 }, limit);
        return context.read(request, reply, ofMonitor(page, id, () => renderedList(part.items, part.next)));
      });

    app.get(`${base}/rollups`, { config: viewer, schema: { tags, summary: "Rollups of a monitor's results, with mergeable sketches of their latencies", params: ResourceParams, querystring: RollupQuery, response: { 200: listOf(RollupItem) } } },
      async (request, reply) => {
        const { page, id } = request.params;
        const { region = own, tier = "hour" } = request.query;
        const range = rangeOf(request.query, { from: clock.now() - (tier === "day" ? 90 * DAY_MS : tier === "hour" ? 2 * DAY_MS : 2 * TIERS.hour), to: clock.now() + 1 });
        if (isFault(range)) return context.fail(request, reply, range);
        if (!knows(region)) return context.fail(request, reply, unknownRegion);
        const found = (await results.rollups(`${page}/${id}`, tier as Tier, range.from, range.to, ofRegion(region))).map((one) => presentRollup(one, region));
        return context.read(request, reply, ofMonitor(page, id, () => renderedList(found, null)));
      });

    app.get(`${base}/uptime`, { config: viewer, schema: { tags, summary: "How long a monitor was up, day by day", params: ResourceParams, querystring: UptimeQuery, response: { 200: listOf(UptimeItem) } } },
      async (request, reply) => {
        const { page, id } = request.params;
        const now = clock.now();
        const asked = rangeOf(request.query, { from: 0, to: now });
        if (isFault(asked)) return context.fail(request, reply, asked);
        const isOpen = request.query.from === undefined;
        if (!isOpen && asked.to - asked.from > watchLimits.uptimeDaysMax * DAY_MS) {
          return context.fail(request, reply, new Fault("malformed", `At most ${watchLimits.uptimeDaysMax} days can be asked for at once.`));
        }
        const changes = await histories.of(context, page, id);
        const found = await context.data.read({ documents: [], render: (snapshot) => {
          const document = lookUp(snapshot, keyOf(page, MONITOR, id));
          return document === undefined ? undefined : monitorOf(document);
        } }, { level: "LOCAL" });
        const monitor = isFault(found) ? undefined : found.value;
        const from = isOpen ? Math.max(asked.to - (UPTIME_DAYS_DEFAULT - 1) * DAY_MS, monitor?.createdAtMs ?? now) : asked.from;
        const span = { from: Math.floor(from / DAY_MS) * DAY_MS, to: asked.to + 1 };
        const latencies = await results.rollups(`${page}/${id}`, "day", span.from, span.to, ofRegion(undefined));
        // A heartbeat is not looked at: its calls come, or do not.
        const unwatched = monitor === undefined || monitor.type === "heartbeat" ? [] : unwatchedSpans({
          hours: await results.starts(`${page}/${id}`, "hour", now - watchLimits.hoursKeptMs, now, ofRegion(undefined)),
          days: await results.starts(`${page}/${id}`, "day", 0, now, ofRegion(undefined)),
        }, monitor.intervalMs, watchLimits.hoursKeptMs, now);
        const days = uptimeByDay(changes, from, asked.to, now, unwatched).map((day): Item => {
          const latency = latencyFigures(ResultStore.total(latencies.filter(({ start }) => iso(start).slice(0, 10) === day.date)));
          return { ...day, latency_ms: { ...latency } };
        });
        return context.read(request, reply, ofMonitor(page, id, () => renderedList(days, null)));
      });

    app.post(`${base}/run`, { config: admin, schema: { tags, summary: "Check a monitor now, from this region", params: ResourceParams, querystring: plainQuery, response: { 200: ResultItem } } },
      async (request, reply) => {
        const { page, id } = request.params;
        const known = await context.data.read(ofMonitor(page, id, (document) => rendered({ type: document.text("type") }, null)), { level: "LOCAL" });
        if (isFault(known)) return context.fail(request, reply, known);
        if (known.value.body.includes("\"heartbeat\"")) return context.fail(request, reply, new Fault("conflict", "A heartbeat is not checked: it is called."));
        const ran = await watch.runNow(page, id);
        if (ran === undefined) return context.fail(request, reply, new Fault("overloaded", "The check did not come back.", { retryAfterSeconds: 1 }));
        const { at, attempt, error: said, latencyMs, phases: spent } = ran.result;
        const result = presentResult({ key: "", at, state: ran.state, latency_ms: latencyMs, phases: spent, error: said, attempt, isFinal: true }, own);
        return context.read(request, reply, ofMonitor(page, id, (document, snapshot) => rendered(result, entityTag(document, snapshot))));
      });

    const heartbeat = async (request: RouteRequest & { readonly params: Static<ReturnType<typeof heartbeatParams>> }, reply: RouteReply): Promise<{ ok: boolean }> => {
      const { page, id, secret } = request.params;
      const url = await context.data.read({
        documents: [], render: (snapshot) => {
          const document = lookUp(snapshot, keyOf(page, MONITOR, id));
          return document === undefined ? null : heartbeatUrl(document);
        },
      }, { level: "LOCAL" });
      const [called, right] = [`/heartbeats/${page}/${id}/${secret}`, isFault(url) ? null : url.value].map((text) => Buffer.from(text ?? ""));
      if (called === undefined || right === undefined || called.length !== right.length || !timingSafeEqual(called, right)) return context.fail(request, reply, notFound("heartbeat"));
      watch.beat(page, id);
      reply.code(200);
      return { ok: true };
    };
    app.get("/v1/pages/:page/monitor-metrics", { config: viewer, schema: { tags, summary: "What this region saw last, for Prometheus", params: PageParams, querystring: plainQuery, produces: ["text/plain"], response: { 200: Type.String() } } },
      async (request, reply) => {
        const { page } = request.params;
        const readings = await context.data.read({
          documents: [pageKey(page)], lists: [{ partition: page, type: MONITOR }],
          render: (snapshot) => requirePage(snapshot, page) ?? snapshot.list(page, MONITOR).flatMap(({ key, id }): ProbeReading[] => {
            const document = snapshot.document(key);
            return document === undefined ? [] : [{ monitor: monitorOf(document), verdict: verdictOf(snapshot, page, id).state, latest: watch.lastLook(page, id) }];
          }),
        }, { level: "LOCAL" });
        if (isFault(readings)) return context.fail(request, reply, readings);
        reply.header("content-type", METRICS_TYPE).header("consistency-level", "LOCAL").header("session-token", readings.token);
        return probeMetrics(readings.value, own);
      });

    // HEAD comes with GET, so that whatever a scheduler can call will do.
    for (const method of ["GET", "POST"] as const) {
      app.route({ method, url: "/heartbeats/:page/:id/:secret", config: { public: true, unreplicated: true }, schema: { tags, summary: "Call a heartbeat", params: heartbeatParams(), response: { 200: Beat } }, handler: heartbeat });
    }
  };
}

function presentRollup({ start, rollup }: TimedRollup, region: string): Item {
  const { buckets, ...counts } = rollup;
  return { at: iso(start), region, ...counts, buckets: buckets.map((pair) => [...pair]) };
}
