/** @jsxRuntime automatic @jsxImportSource preact */
/**
 * Every public representation of a page: what it is called, what it depends on beside the documents, and how it is made of one snapshot. Pure: the same snapshot,
 * the same view and the same variant give the same bytes, so that a cache may keep them until something of them changes.
 */
import { Fault } from "../../core/errors.js";
import { limits } from "../../core/limits.js";
import type { Snapshot } from "../../store/data-plane.js";
import type { Preparation, Publication } from "../../store/representation.js";
import { badgeOf, badgeOfComponent, badgeSvg, shieldsJson, type Badge } from "./badge.js";
import type { DaysOfComponent } from "./component-days.js";
import { EventView } from "./event-view.js";
import { atomOf, rssOf } from "./feeds.js";
import { HistoryView } from "./history-view.js";
import { htmlDocument, pageHeaders } from "./html-document.js";
import { Language, type LanguageCode } from "./language.js";
import type { LatencyLine } from "./latency-graph.js";
import { calendarOf } from "./maintenance-calendar.js";
import { overallIndicator } from "./overall-status.js";
import {
  firstEventMs, LATEST_UPDATE, NO_UPDATES, readEventOfId, readEvents, readEventsOf, readModel, UPDATES_IN_FEED, UPDATES_IN_LIST, UPDATES_ON_OWN_PAGE, UPDATES_ON_PAGE,
  type CancelledMaintenance, type EventKind, type Presenters, type PublicModel, type UpdateBounds,
} from "./public-page.js";
import { STATUSPAGE_LIST_MAX, StatuspageFormat } from "./statuspage-format.js";
import { statusParts } from "./status-view.js";
import { themeOf } from "./theme.js";
import { uptimeParts } from "./uptime-view.js";
import type { AssetPaths, ViewContext } from "./view-context.js";
import { dayAfter, dayOf, startOfDay } from "../../store/zoned-days.js";
import { monthAfter } from "./zoned-time.js";

/** What a representation depends on that is no document. */
export interface Variant {
  /** `http://127.0.0.1:8081` where the request came by a loopback address, else empty: for a page that names no address, so that its feeds can be tried. */
  readonly origin: string;
  /** What stands before the page's paths: empty on a host of its own. */
  readonly base: string;
  /** Null: none that the visitor asked for is there. The page's own, then. */
  readonly language: LanguageCode | null;
  readonly region: string;
  readonly cutOffSince: string | null;
}

export interface Surroundings {
  readonly presenters: Presenters;
  readonly assets: AssetPaths;
  readonly subscribing: boolean;
}

/** The latencies of monitors, by component. */
export interface ShownLatencies {
  readonly ofComponent: ReadonlyMap<string, readonly { readonly name: string; readonly lines: readonly LatencyLine[] }[]>;
  /** ms since the epoch. */
  readonly freshUntilMs: number;
}

export const NO_LATENCIES: ShownLatencies = { ofComponent: new Map(), freshUntilMs: Number.POSITIVE_INFINITY };

/** What a view is prepared with, since no snapshot holds it. */
export interface Prepared {
  /** For views with bars; asked while they are made. */
  readonly uptimeOf: Preparation["uptimeOf"];
  /** What monitors say of components that show it, and until when that is worth to be shown. */
  readonly latencies: ShownLatencies;
  /** For the calendar. */
  readonly cancelled: readonly CancelledMaintenance[];
}

const UNPREPARED: Prepared = { uptimeOf: async () => [], latencies: NO_LATENCIES, cancelled: [] };

/** A representation's name and parameters. */
export type View =
  | { readonly name: "status" | "summary" | "status.json" | "components" | "incidents" | "unresolved" | "maintenances" | "upcoming" | "active" | "atom" | "rss" | "calendar" | "robots" | "sitemap" }
  | { readonly name: "history" | "uptime"; readonly month: string | null }
  /** `after`: the id of the update that the page goes on from; empty for the latest. */
  | { readonly name: EventKind; readonly id: string; readonly after: string }
  | { readonly name: "badge.svg" | "badge.json"; readonly component: string | null };

/** Views in a language; the others are the same in all. */
const HTML_VIEWS: ReadonlySet<View["name"]> = new Set(["status", "history", "uptime", "incident", "maintenance"]);

const MONTHS_SHOWN = 3;
const MONTH = /^(?:19[7-9]|2\d\d)\d-(?:0[1-9]|1[0-2])$/;
const HTML = "text/html; charset=utf-8";
const JSON_TYPE = "application/json; charset=utf-8";

const noPage = () => new Fault("not-found", "There is no such page.");
const nothing = (what: string) => new Fault("not-found", `There is no such ${what}.`);

export function isHtml({ name }: View): boolean {
  return HTML_VIEWS.has(name);
}

/** What of updates a view shows of what is open or to come. */
function boundsOf(name: View["name"]): UpdateBounds {
  switch (name) {
    case "status": return UPDATES_ON_PAGE;
    case "summary":
    case "unresolved":
    case "upcoming":
    case "active": return UPDATES_IN_LIST;
    default: return NO_UPDATES;
  }
}

/** Makes a representation; Fault `not-found` where there is nothing to show. */
export function represent(snapshot: Snapshot, pageId: string, view: View, variant: Variant, surroundings: Surroundings, prepared: Prepared = UNPREPARED): Publication | Fault {
  const model = readModel(snapshot, surroundings.presenters, pageId, boundsOf(view.name));
  if (model === undefined) return noPage();
  return new Rendering(snapshot, model, variant, surroundings, prepared).of(view);
}

class Rendering {
  private readonly zone: string;
  private readonly today: string;

  constructor(
    private readonly snapshot: Snapshot,
    private readonly model: PublicModel,
    private readonly variant: Variant,
    private readonly surroundings: Surroundings,
    private readonly prepared: Prepared,
  ) {
    this.zone = model.page.timeZone;
    this.today = dayOf(model.atMs, this.zone);
  }

  of(view: View): Publication | Fault {
    switch (view.name) {
      case "status": return this.status();
      case "history": return this.history(view.month);
      case "uptime": return this.uptime(view.month);
      case "incident":
      case "maintenance": return this.event(view.name, view.id, view.after);
      case "atom": return this.text("application/atom+xml; charset=utf-8", atomOf(this.feedInput()));
      case "rss": return this.text("application/rss+xml; charset=utf-8", rssOf(this.feedInput()));
      case "calendar": return this.calendar();
      case "robots": return this.text("text/plain; charset=utf-8", `User-agent: *\nAllow: /\n${this.model.page.url === null ? "" : `Sitemap: ${this.url}/sitemap.xml\n`}`);
      case "sitemap": return this.sitemap();
      case "badge.svg":
      case "badge.json": return this.badge(view.name, view.component);
      default: return this.json(view.name);
    }
  }

  /** Where the page lives, absolute. A host that the request names by itself is not believed: the bytes are kept for all. */
  private get url(): string {
    return this.model.page.url ?? `${this.variant.origin || "http://localhost"}/pages/${this.model.page.id}`;
  }

  private context(): ViewContext {
    const { page } = this.model;
    const { base, region, cutOffSince } = this.variant;
    const { assets, subscribing } = this.surroundings;
    return { page, theme: themeOf(page.theme), language: new Language(this.variant.language ?? page.language, page.timeZone), base, region, cutOffSince, assets, subscribing };
  }

  private text(contentType: string, body: Publication["body"], headers: Readonly<Record<string, string>> = {}): Publication {
    const { model } = this;
    const midnightMs = startOfDay(dayAfter(this.today), this.zone);
    // While something is wrong, today's seconds of it grow.
    const isTroubled = model.components.some(({ status }) => status !== "operational");
    return { contentType, body, headers, freshUntilMs: isTroubled && contentType === HTML ? Math.min(midnightMs, model.atMs + limits.publicTroubledFreshMs) : midnightMs };
  }

  private html(context: ViewContext, body: Publication["body"]): Publication {
    return { ...this.text(HTML, body, { ...pageHeaders(context.theme), "content-language": context.language.code }), vary: "Accept-Language" };
  }

  private readonly daysOf: DaysOfComponent = (component, first, last) => this.prepared.uptimeOf(component, first, last, this.zone);

  private status(): Publication {
    const context = this.context();
    const { publicPastDays: pastDays, publicBarDays: barDays } = limits;
    const open = new Set(this.model.openIncidents.map(({ id }) => id));
    const [began = []] = readEventsOf(this.snapshot, this.surroundings.presenters, this.model.page.id, [{ fromMs: startOfDay(dayAfter(this.today, 1 - pastDays), this.zone), untilMs: Number.POSITIVE_INFINITY }]);
    const past = began.filter(({ kind, id }) => kind !== "incident" || !open.has(id));
    const { ofComponent, freshUntilMs } = this.prepared.latencies;
    const page = this.html(context, statusParts({ context, model: this.model, past, daysOf: this.daysOf, latencyOf: (component) => ofComponent.get(component) ?? [], barDays, pastDays }));
    return { ...page, freshUntilMs: Math.min(page.freshUntilMs ?? freshUntilMs, freshUntilMs) };
  }

  private event(kind: EventKind, id: string, after: string): Publication | Fault {
    const event = readEventOfId(this.snapshot, this.surroundings.presenters, this.model.page.id, kind, id, after, UPDATES_ON_OWN_PAGE);
    if (event === undefined) return nothing(kind);
    const last = event.updates.at(-1)?.id;
    const earlier = last !== undefined && readEventOfId(this.snapshot, this.surroundings.presenters, this.model.page.id, kind, id, last, LATEST_UPDATE)?.updates.length === 1 ? last : null;
    const context = this.context();
    return this.html(context, htmlDocument(<EventView context={context} event={event} indicator={overallIndicator(this.model)} isLatest={after === ""} earlier={earlier} />));
  }

  /** Three months up to one, the latest unless told; a month that the page has nothing of, because it was before or is yet to come, is not found. */
  private months(last: string | null): { months: string[]; earlier: string | null; later: string | null } | Fault {
    const now = this.today.slice(0, 7);
    const month = last ?? now;
    const firstMs = firstEventMs(this.snapshot, this.model.page.id) ?? this.model.atMs;
    const first = dayOf(firstMs, this.zone).slice(0, 7);
    if (!MONTH.test(month) || month > now || (month < first && month !== now)) return nothing("month");
    const months = [month];
    for (let back = 1; back < MONTHS_SHOWN; back++) months.push(monthAfter(month, -back));
    const earlier = monthAfter(month, -MONTHS_SHOWN);
    const later = monthAfter(month, MONTHS_SHOWN);
    return { months, earlier: earlier >= first ? earlier : null, later: month === now ? null : ([later, now].sort()[0] ?? now) };
  }

  private history(month: string | null): Publication | Fault {
    const range = this.months(month);
    if (range instanceof Fault) return range;
    const context = this.context();
    const spans = range.months.map((each) => ({ fromMs: startOfDay(`${each}-01`, this.zone), untilMs: startOfDay(`${monthAfter(each, 1)}-01`, this.zone) }));
    const events = readEventsOf(this.snapshot, this.surroundings.presenters, this.model.page.id, spans);
    const months = range.months.map((each, at) => ({ month: each, events: events[at] ?? [] }));
    return this.html(context, htmlDocument(<HistoryView context={context} indicator={overallIndicator(this.model)} months={months} earlier={range.earlier} later={range.later} />));
  }

  private uptime(month: string | null): Publication | Fault {
    const range = this.months(month);
    if (range instanceof Fault) return range;
    const context = this.context();
    return this.html(context, uptimeParts({ context, model: this.model, indicator: overallIndicator(this.model), daysOf: this.daysOf, months: [...range.months].reverse(), earlier: range.earlier, later: range.later }));
  }

  private latest(bounds: UpdateBounds, ...kinds: readonly EventKind[]) {
    return readEvents(this.snapshot, this.surroundings.presenters, this.model.page.id, kinds, STATUSPAGE_LIST_MAX, bounds);
  }

  private feedInput() {
    return { model: this.model, events: this.latest(UPDATES_IN_FEED, "incident", "maintenance"), url: this.url };
  }

  private calendar(): Publication {
    const { model, snapshot, surroundings } = this;
    return this.text("text/calendar; charset=utf-8", calendarOf({
      model, maintenances: readEvents(snapshot, surroundings.presenters, model.page.id, ["maintenance"], limits.publicEventsShownMax, LATEST_UPDATE), cancelled: this.prepared.cancelled, url: this.url,
    }));
  }

  private json(name: Exclude<View["name"], "status" | "history" | "uptime" | EventKind | "badge.svg" | "badge.json" | "atom" | "rss" | "calendar" | "robots" | "sitemap">): Publication {
    const { model } = this;
    const format = new StatuspageFormat({ model, url: this.url });
    const made = () => {
      switch (name) {
        case "summary": return format.summary();
        case "status.json": return format.status();
        case "components": return format.components();
        case "incidents": return format.incidents(this.latest(UPDATES_IN_LIST, "incident"));
        case "unresolved": return format.incidents(model.openIncidents);
        case "maintenances": return format.maintenances(this.latest(UPDATES_IN_LIST, "maintenance"));
        case "upcoming": return format.maintenances(model.upcomingMaintenances);
        case "active": return format.maintenances(model.activeMaintenances);
      }
    };
    return this.text(JSON_TYPE, JSON.stringify(made()));
  }

  private badge(name: "badge.svg" | "badge.json", id: string | null): Publication | Fault {
    const component = this.model.components.find((one) => one.id === id);
    if (id !== null && component === undefined) return nothing("component");
    const badge: Badge = component === undefined ? badgeOf(this.model.page.name, overallIndicator(this.model)) : badgeOfComponent(component.name, component.status);
    return name === "badge.json" ? this.text(JSON_TYPE, JSON.stringify(shieldsJson(badge))) : this.text("image/svg+xml; charset=utf-8", badgeSvg(badge), { "content-security-policy": "default-src 'none'; sandbox" });
  }

  private sitemap(): Publication {
    const entries = [
      { path: "", at: this.model.updatedAt }, { path: "/history", at: this.model.updatedAt }, { path: "/uptime", at: null },
      ...this.latest(NO_UPDATES, "incident").map(({ id, updatedAt }) => ({ path: `/incidents/${id}`, at: updatedAt })), ...this.latest(NO_UPDATES, "maintenance").map(({ id, updatedAt }) => ({ path: `/maintenances/${id}`, at: updatedAt })),
    ];
    const escaped = (text: string) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;");
    const body = entries.map(({ path, at }) => `<url><loc>${escaped(this.url + path)}</loc>${at === null ? "" : `<lastmod>${at}</lastmod>`}</url>`).join("");
    return this.text("application/xml; charset=utf-8", `<?xml version="1.0" encoding="UTF-8"?>\n<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">${body}</urlset>\n`);
  }
}
