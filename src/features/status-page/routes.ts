/** Every public route of a page, under `/pages/:page` (and by Host at the root, see `api/page-paths.ts`), and the files that pages load. */
import { Type, type TSchema } from "typebox";
import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import { keyOf } from "../../core/document.js";
import { Fault, isFault } from "../../core/errors.js";
import { limits } from "../../core/limits.js";
import type { Preparation, WholePublication } from "../../store/representation.js";
import { notFound } from "../../store/resource.js";
import { PageParams, ResourceParams } from "../../store/resource-schemas.js";
import type { RouteContext, RouteOptions, RouteReply, RouteRequest } from "../../store/route-context.js";
import { shownMonitors } from "../../store/shown-monitors.js";
import { loadAssets, type Assets } from "./assets.js";
import { pageHeaders } from "./html-document.js";
import { accepted, isLanguage, Language, type LanguageCode } from "./language.js";
import type { LatencyLine } from "./latency-graph.js";
import { notFoundDocument } from "./not-found-view.js";
import { cancelledOf, deletedMaintenances, readPage, unreadTimelines, type CancelledMaintenance, type Presenters } from "./public-page.js";
import { isHtml, NO_LATENCIES, represent, type Prepared, type ShownLatencies, type Surroundings, type Variant, type View } from "./representations.js";
import { BadgeAnswer, ComponentsAnswer, IncidentsAnswer, MaintenancesAnswer, StatusAnswer, SummaryAnswer } from "./statuspage-schemas.js";

const tags = ["public"];
const open = { public: true } as const;
const IMMUTABLE = "public, max-age=31536000, immutable";
const NAME_LENGTH_MAX = 64;

const consistency = Type.Optional(Type.String({ description: "LOCAL; another level is refused." }));
const lang = Type.Optional(Type.String({ maxLength: NAME_LENGTH_MAX, description: "A language of the page; wins over `Accept-Language`." }));
const month = Type.Optional(Type.String({ maxLength: NAME_LENGTH_MAX, description: "The last month to show, `2026-11`." }));
// Links to a page carry parameters of others, which change nothing.
const anyQuery = Type.Object({ consistency });
const htmlQuery = Type.Object({ consistency, lang });
const eventQuery = Type.Object({ consistency, lang, after: Type.Optional(Type.String({ maxLength: NAME_LENGTH_MAX, description: "Id of an update: the page shows those before it." })) });
const monthQuery = Type.Object({ consistency, lang, month });
const badgeQuery = Type.Object({ consistency, component: Type.Optional(Type.String({ maxLength: NAME_LENGTH_MAX, description: "Id of a component; without it, the whole page." })) });

const sent = (type: string, schema: TSchema | { readonly type: "string" }, description: string) => ({ 200: { description, content: { [type]: { schema } } } });
const html = sent("text/html", { type: "string" }, "A page for people.");

/** Paths of Statuspage's API below a page. */
const JSON_ROUTES: readonly [path: string, name: "summary" | "status.json" | "components" | "incidents" | "unresolved" | "maintenances" | "upcoming" | "active", summary: string, answer: TSchema][] = [
  ["summary", "summary", "State, components, unresolved incidents and maintenances", SummaryAnswer],
  ["status", "status.json", "State of the page", StatusAnswer],
  ["components", "components", "Components and groups", ComponentsAnswer],
  ["incidents", "incidents", "The latest 50 incidents", IncidentsAnswer],
  ["incidents/unresolved", "unresolved", "Incidents that are not over", IncidentsAnswer],
  ["scheduled-maintenances", "maintenances", "The latest 50 maintenances", MaintenancesAnswer],
  ["scheduled-maintenances/upcoming", "upcoming", "Maintenances to come", MaintenancesAnswer],
  ["scheduled-maintenances/active", "active", "Maintenances under way", MaintenancesAnswer],
];

const FILE_ROUTES: readonly [path: string, name: "atom" | "rss" | "calendar" | "robots" | "sitemap", type: string, summary: string][] = [
  ["feed.atom", "atom", "application/atom+xml", "Incidents and maintenances as an Atom feed"],
  ["feed.rss", "rss", "application/rss+xml", "Incidents and maintenances as an RSS feed"],
  ["calendar.ics", "calendar", "text/calendar", "Maintenances as an iCalendar"],
  ["robots.txt", "robots", "text/plain", "What search engines may visit"],
  ["sitemap.xml", "sitemap", "application/xml", "What there is to visit"],
];

interface PublicRequest extends RouteRequest {
  readonly originalUrl: string;
}

/** Knows the latencies of monitors, and answers at once. */
export interface LatencySource {
  /** Lines by monitor, and until when they are worth to be shown, ms since the epoch. */
  of(page: string, monitors: readonly string[]): { readonly lines: ReadonlyMap<string, readonly LatencyLine[]>; readonly freshUntilMs: number };
}

/** Answers the views of pages. */
class StatusPages {
  private readonly surroundings: Surroundings;
  private region: string | undefined;

  constructor(private readonly context: RouteContext, presenters: Presenters, readonly assets: Assets, private readonly latencies: LatencySource | undefined) {
    this.surroundings = { presenters, assets, subscribing: false };
  }

  answer(request: PublicRequest, reply: RouteReply, page: string, view: View): Promise<never> {
    const forPeople = isHtml(view);
    const language = forPeople ? languageOf(request) : null;
    const variant: Variant = {
      origin: forPeople ? "" : loopbackOrigin(request), base: request.originalUrl.startsWith(`/pages/${page}`) ? `/pages/${page}` : "", language, region: forPeople ? this.ownRegion() : "", cutOffSince: forPeople ? this.context.cutOffSince() : null,
    };
    return this.context.publish<Prepared>(request, reply, {
      page, name: nameOf(view, variant, forPeople),
      prepare: (preparation) => this.prepare(preparation, page, view),
      render: (snapshot, prepared) => represent(snapshot, page, view, variant, this.surroundings, prepared),
      ...(forPeople ? { missing: () => this.missing(language ?? "en", view.name === "status" ? null : variant.base || "/") } : {}),
    });
  }

  private async prepare(preparation: Preparation, page: string, view: View): Promise<Prepared> {
    await preparation.readAhead((snapshot) => unreadTimelines(snapshot, page));
    const cancelled: CancelledMaintenance[] = [];
    const deleted = view.name === "calendar" ? await preparation.look((snapshot) => deletedMaintenances(snapshot, page)) : [];
    for (const id of deleted) {
      const changes = await this.context.data.changes(keyOf(page, "maintenance", id));
      if (isFault(changes)) throw changes;
      const one = cancelledOf(id, changes, preparation.atMs);
      if (one !== undefined) cancelled.push(one);
    }
    return { uptimeOf: preparation.uptimeOf, cancelled, latencies: view.name === "status" ? await this.latenciesOf(preparation, page) : NO_LATENCIES };
  }

  private async latenciesOf(preparation: Preparation, page: string): Promise<ShownLatencies> {
    const monitors = this.latencies === undefined ? [] : await preparation.look((snapshot) => shownMonitors(snapshot, page));
    if (this.latencies === undefined || monitors.length === 0) return NO_LATENCIES;
    const { lines, freshUntilMs } = this.latencies.of(page, monitors.map(({ id }) => id));
    const ofComponent = new Map<string, { name: string; lines: readonly LatencyLine[] }[]>();
    for (const { id, name, component } of monitors) ofComponent.set(component, [...(ofComponent.get(component) ?? []), { name, lines: lines.get(id) ?? [] }]);
    return { ofComponent, freshUntilMs };
  }

  /** The widget is the same for all pages, and there for those that exist. */
  embed(request: RouteRequest, reply: RouteReply, page: string): Promise<never> {
    return this.context.publish(request, reply, {
      page, name: "embed",
      render: (snapshot) => (readPage(snapshot, this.surroundings.presenters, page) === undefined ? notFound("page") : { contentType: "text/javascript; charset=utf-8", body: this.assets.embed }),
    });
  }

  /** For browsers, where no route is. */
  lost(request: PublicRequest, reply: RouteReply): Promise<never> {
    const accept = String(request.headers["accept"] ?? "");
    const path = request.originalUrl.split("?", 1)[0] ?? "";
    if (!accept.includes("text/html") || /\/(?:api|v\d+)(?:\/|$)/.test(path)) return this.context.fail(request, reply, new Fault("not-found", "There is no such route."));
    const language = languageOf(request);
    return this.context.publish(request, reply, { page: "", name: "lost", render: () => notFound("page"), missing: () => this.missing(language ?? "en", null) });
  }

  private missing(code: LanguageCode, home: string | null): WholePublication {
    const language = new Language(code, "UTC");
    return { contentType: "text/html; charset=utf-8", body: notFoundDocument(language, this.assets, home), headers: { ...pageHeaders(null), "content-language": code }, vary: "Accept-Language" };
  }

  private ownRegion(): string {
    this.region ??= this.context.data.cluster().region;
    return this.region;
  }
}

/** Where a folder of a static copy is found, whose visitors come back when a replica answers again; undefined if the path is none's. */
function liveAddressOf(url: string): string | undefined {
  const [, base = "", language, view] = /^((?:\/pages\/[^/?]+)?)\/(?:([a-z]{2})|(history|uptime|(?:incidents|maintenances)\/[\w-]+))\/(?:\?|$)/.exec(url) ?? [];
  if (view !== undefined) return `${base}/${view}`;
  return language !== undefined && isLanguage(language) ? `${base || "/"}?lang=${language}` : undefined;
}

function loopbackOrigin({ headers: { host } }: RouteRequest): string {
  return typeof host === "string" && /^(?:localhost|127\.0\.0\.1|\[::1\])(?::\d{1,5})?$/.test(host) ? `http://${host}` : "";
}

function languageOf(request: RouteRequest): LanguageCode | null {
  const asked = (request.query as { readonly lang?: string }).lang;
  if (asked !== undefined && isLanguage(asked)) return asked;
  const header = request.headers["accept-language"];
  return accepted(Array.isArray(header) ? header.join() : header);
}

/** Everything that the bytes depend on beside the documents. */
function nameOf(view: View, variant: Variant, forPeople: boolean): string {
  const parameter = "month" in view ? view.month : "id" in view ? view.id : "component" in view ? view.component : null;
  const parts = [view.name, parameter?.slice(0, limits.publicNameLengthMax) ?? "", ...("after" in view ? [view.after] : [])];
  if (!forPeople) parts.push(variant.origin);
  else parts.push(variant.base === "" ? "host" : "path", variant.language ?? "", variant.cutOffSince ?? "");
  return parts.join(" ");
}

/** `presenters`: how the other rooms show their documents. `latencies`: without it, no page shows any. */
export function statusPageRoutes(presenters: Presenters, latencies?: LatencySource): FastifyPluginAsyncTypebox<RouteOptions> {
  return async (app, { context }) => {
    const pages = new StatusPages(context, presenters, loadAssets(), latencies);
    const base = "/pages/:page";

    app.get(base, { config: open, schema: { tags, summary: "The status page", params: PageParams, querystring: htmlQuery, response: html } },
      (request, reply) => pages.answer(request, reply, request.params.page, { name: "status" }));
    app.get(`${base}/`, { config: { ...open, unreplicated: true }, schema: { hide: true, params: PageParams } },
      (request, reply) => reply.redirect(`/pages/${encodeURIComponent(request.params.page)}`, 301));
    app.get(`${base}/history`, { config: open, schema: { tags, summary: "Past incidents by month", params: PageParams, querystring: monthQuery, response: html } },
      (request, reply) => pages.answer(request, reply, request.params.page, { name: "history", month: request.query.month ?? null }));
    app.get(`${base}/uptime`, { config: open, schema: { tags, summary: "Calendar of uptime", params: PageParams, querystring: monthQuery, response: html } },
      (request, reply) => pages.answer(request, reply, request.params.page, { name: "uptime", month: request.query.month ?? null }));
    for (const [path, kind] of [["incidents", "incident"], ["maintenances", "maintenance"]] as const) {
      app.get(`${base}/${path}/:id`, { config: open, schema: { tags, summary: `The page of one ${kind}`, params: ResourceParams, querystring: eventQuery, response: html } },
        (request, reply) => pages.answer(request, reply, request.params.page, { name: kind, id: request.params.id, after: request.query.after ?? "" }));
    }
    for (const [path, name, summary, answer] of JSON_ROUTES) {
      app.get(`${base}/api/v2/${path}.json`, { config: open, schema: { tags, summary: `${summary}, as Statuspage tells it`, params: PageParams, querystring: anyQuery, response: sent("application/json", answer, summary) } },
        (request, reply) => pages.answer(request, reply, request.params.page, { name }));
    }
    for (const [path, name, type, summary] of FILE_ROUTES) {
      app.get(`${base}/${path}`, { config: open, schema: { tags, summary, params: PageParams, querystring: anyQuery, response: sent(type, { type: "string" }, summary) } },
        (request, reply) => pages.answer(request, reply, request.params.page, { name }));
    }
    for (const [name, type, schema] of [["badge.svg", "image/svg+xml", { type: "string" }], ["badge.json", "application/json", BadgeAnswer]] as const) {
      const response = sent(type, schema, "The badge.");
      app.get(`${base}/${name}`, { config: open, schema: { tags, summary: "A badge of the page, or of a component", params: PageParams, querystring: badgeQuery, response } },
        (request, reply) => pages.answer(request, reply, request.params.page, { name, component: request.query.component ?? null }));
      app.get(`${base}/components/:id/${name}`, { config: open, schema: { tags, summary: "A badge of a component", params: ResourceParams, querystring: anyQuery, response } },
        (request, reply) => pages.answer(request, reply, request.params.page, { name, component: request.params.id }));
    }
    app.get(`${base}/embed.js`, { config: open, schema: { tags, summary: "A widget for other sites", params: PageParams, querystring: anyQuery, response: sent("text/javascript", { type: "string" }, "The script.") } },
      (request, reply) => pages.embed(request, reply, request.params.page));
    app.get(`${base}/*`, { config: open, schema: { hide: true, querystring: htmlQuery } }, (request, reply) => {
      const address = liveAddressOf(request.originalUrl);
      return address === undefined ? pages.lost(request, reply) : reply.redirect(address, 302);
    });

    app.get("/assets/:file", { config: { ...open, unreplicated: true }, schema: { tags, summary: "A file that pages load; its name changes with its content", params: Type.Object({ file: Type.String() }), response: sent("*/*", { type: "string" }, "The file.") } },
      (request, reply) => {
        const asset = pages.assets.all.get(`/assets/${request.params.file}`);
        if (asset === undefined) return context.fail(request, reply, notFound("file"));
        const accepted = request.headers["accept-encoding"] ?? "";
        const [coding, body] = asset.brotli !== null && /\bbr\b/.test(String(accepted)) ? ["br", asset.brotli] : asset.gzip !== null && /\bgzip\b/.test(String(accepted)) ? ["gzip", asset.gzip] : [null, asset.body];
        if (coding !== null) reply.header("content-encoding", coding);
        return reply.type(asset.type).header("cache-control", IMMUTABLE).header("vary", "Accept-Encoding").header("access-control-allow-origin", "*").header("content-security-policy", "default-src 'none'").send(body) as never;
      });
  };
}
