/** @jsxRuntime automatic @jsxImportSource preact */
/**
 * Every public representation of a page: what it is called, what it depends on beside the documents, and how it is made of one snapshot. Pure: the same snapshot,
 * the same view and the same variant give the same bytes, so that a cache may keep them until something of them changes.
 */
import { createHash } from "node:crypto";
import { Fault } from "../../core/errors.js";
import { limits } from "../../core/limits.js";
import type { Snapshot } from "../../store/data-plane.js";
import { badgeOf, badgeOfComponent, badgeSvg, shieldsJson, type Badge } from "./badge.js";
import type { DaysOfComponent } from "./component-days.js";
import { EventView } from "./event-view.js";
import { feedOf } from "./feeds.js";
import { HistoryView } from "./history-view.js";
import { contentSecurityPolicy, htmlDocument } from "./html-document.js";
import { Language, type LanguageCode } from "./language.js";
import { calendarOf } from "./maintenance-calendar.js";
import { overallIndicator } from "./overall-status.js";
import {
  firstEventMs, readCancelled, readEventOfId, readEvents, readEventsBetween, readModel, type EventKind, type Presenters, type PublicModel,
} from "./public-page.js";
import { STATUSPAGE_LIST_MAX, StatuspageFormat } from "./statuspage-format.js";
import { StatusView } from "./status-view.js";
import { themeOf } from "./theme.js";
import { UptimeView } from "./uptime-view.js";
import type { AssetPaths, ViewContext } from "./view-context.js";
import { dayAfter, dayBeginsMs, dayOf, monthAfter } from "./zoned-time.js";

/** A representation as it is sent. */
export interface Representation {
  readonly type: string;
  readonly body: string;
  /** Beside the type: what belongs to this body (its content security policy, its language). */
  readonly headers: Readonly<Record<string, string>>;
  /** RFC 3339. */
  readonly lastModified: string;
  /** What it shows, for purging: `page/<id>`, `component/<id>`, `incident/<id>`, `maintenance/<id>`. */
  readonly surrogateKeys: readonly string[];
  /** When it is to be made anew although nothing was written, ms since the epoch: its day ends. */
  readonly validUntilMs: number;
}

/** What a representation depends on that is no document. */
export interface Variant {
  /** What stands before the page's paths: empty on a host of its own. */
  readonly base: string;
  /** `https://status.example.com`: where the request came to. Used only where the page names no address of its own. */
  readonly origin: string;
  readonly language: LanguageCode;
  readonly region: string;
  readonly cutOffSince: string | null;
}

export interface Surroundings {
  readonly presenters: Presenters;
  readonly assets: AssetPaths;
  /** What components went through, from the same state as the snapshot. `timeZone`: whose days. */
  daysOf(snapshot: Snapshot, page: string, timeZone: string): DaysOfComponent;
  readonly subscribing: boolean;
}

/** A representation's name and parameters. */
export type View =
  | { readonly name: "status" | "summary" | "status.json" | "components" | "incidents" | "unresolved" | "maintenances" | "upcoming" | "active" | "atom" | "rss" | "calendar" | "robots" | "sitemap" }
  | { readonly name: "history" | "uptime"; readonly month: string | null }
  | { readonly name: EventKind; readonly id: string }
  | { readonly name: "badge.svg" | "badge.json"; readonly component: string | null };

/** Views in a language; the others are the same in all. */
export const HTML_VIEWS: ReadonlySet<View["name"]> = new Set(["status", "history", "uptime", "incident", "maintenance"]);

const MONTHS_SHOWN = 3;
const HTML = "text/html; charset=utf-8";
const JSON_TYPE = "application/json; charset=utf-8";

const noPage = () => new Fault("not-found", "There is no such page.");
const nothing = (what: string) => new Fault("not-found", `There is no such ${what}.`);

/** Makes a representation; Fault `not-found` where there is nothing to show. */
export function represent(snapshot: Snapshot, pageId: string, view: View, variant: Variant, surroundings: Surroundings): Representation | Fault {
  const model = readModel(snapshot, surroundings.presenters, pageId);
  if (model === undefined) return noPage();
  return new Rendering(snapshot, model, variant, surroundings).of(view);
}

class Rendering {
  private readonly zone: string;
  private readonly today: string;
  private readonly shown = new Set<string>();

  constructor(
    private readonly snapshot: Snapshot,
    private readonly model: PublicModel,
    private readonly variant: Variant,
    private readonly surroundings: Surroundings,
  ) {
    this.zone = model.page.timeZone;
    this.today = dayOf(model.atMs, this.zone);
  }

  of(view: View): Representation | Fault {
    switch (view.name) {
      case "status": return this.status();
      case "history": return this.history(view.month);
      case "uptime": return this.uptime(view.month);
      case "incident":
      case "maintenance": return this.event(view.name, view.id);
      case "atom": return this.text("application/atom+xml; charset=utf-8", feedOf(this.feedInput()).atom1());
      case "rss": return this.text("application/rss+xml; charset=utf-8", feedOf(this.feedInput()).rss2());
      case "calendar": return this.calendar();
      case "robots": return this.text("text/plain; charset=utf-8", `User-agent: *\nAllow: /\nSitemap: ${this.url}/sitemap.xml\n`);
      case "sitemap": return this.sitemap();
      case "badge.svg":
      case "badge.json": return this.badge(view.name, view.component);
      default: return this.json(view.name);
    }
  }

  /** Where the page lives, absolute. */
  private get url(): string {
    return this.model.page.url ?? `${this.variant.origin}${this.variant.base}`;
  }

  private context(): ViewContext {
    const { page } = this.model;
    const { base, language, region, cutOffSince } = this.variant;
    const { assets, subscribing } = this.surroundings;
    return { page, theme: themeOf(page.theme), language: new Language(language, page.timeZone), base, region, cutOffSince, assets, subscribing };
  }

  private text(type: string, body: string, headers: Readonly<Record<string, string>> = {}): Representation {
    const { model } = this;
    const keys = [`page/${model.page.id}`, ...model.components.map(({ id }) => `component/${id}`), ...[...model.openIncidents, ...model.activeMaintenances, ...model.upcomingMaintenances].map(({ kind, id }) => `${kind}/${id}`), ...this.shown];
    return { type, body, headers, lastModified: model.updatedAt, surrogateKeys: [...new Set(keys)], validUntilMs: dayBeginsMs(dayAfter(this.today), this.zone) };
  }

  private html(context: ViewContext, body: string): Representation {
    return this.text(HTML, body, {
      "content-security-policy": contentSecurityPolicy(context.theme), "content-language": this.variant.language, "referrer-policy": "strict-origin-when-cross-origin", vary: "Accept-Language, Accept-Encoding",
    });
  }

  private between(fromMs: number, untilMs: number) {
    const events = readEventsBetween(this.snapshot, this.surroundings.presenters, this.model.page.id, fromMs, untilMs);
    for (const { kind, id } of events) this.shown.add(`${kind}/${id}`);
    return events;
  }

  private daysOf(): DaysOfComponent {
    return this.surroundings.daysOf(this.snapshot, this.model.page.id, this.zone);
  }

  private status(): Representation {
    const context = this.context();
    const { publicPastDays: pastDays, publicBarDays: barDays } = limits;
    const open = new Set(this.model.openIncidents.map(({ id }) => id));
    const past = this.between(dayBeginsMs(dayAfter(this.today, 1 - pastDays), this.zone), Number.POSITIVE_INFINITY).filter(({ kind, id }) => kind !== "incident" || !open.has(id));
    return this.html(context, htmlDocument(<StatusView context={context} model={this.model} past={past} daysOf={this.daysOf()} barDays={barDays} pastDays={pastDays} />));
  }

  private event(kind: EventKind, id: string): Representation | Fault {
    const event = readEventOfId(this.snapshot, this.surroundings.presenters, this.model.page.id, kind, id);
    if (event === undefined) return nothing(kind);
    this.shown.add(`${kind}/${id}`);
    const context = this.context();
    const html = this.html(context, htmlDocument(<EventView context={context} event={event} indicator={overallIndicator(this.model)} />));
    return { ...html, lastModified: [event.updatedAt, html.lastModified].sort()[1] ?? html.lastModified };
  }

  /** Three months up to one, the latest unless told; a month that the page has nothing of, because it was before or is yet to come, is not found. */
  private months(last: string | null): { months: string[]; earlier: string | null; later: string | null } | Fault {
    const now = this.today.slice(0, 7);
    const month = last ?? now;
    const firstMs = firstEventMs(this.snapshot, this.model.page.id) ?? this.model.atMs;
    const first = dayOf(firstMs, this.zone).slice(0, 7);
    if (!/^\d{4}-(?:0[1-9]|1[0-2])$/.test(month) || month > now || (month < first && month !== now)) return nothing("month");
    const months = [month];
    for (let back = 1; back < MONTHS_SHOWN; back++) months.push(monthAfter(month, -back));
    const earlier = monthAfter(month, -MONTHS_SHOWN);
    const later = monthAfter(month, MONTHS_SHOWN);
    return { months, earlier: earlier >= first ? earlier : null, later: month === now ? null : ([later, now].sort()[0] ?? now) };
  }

  private history(month: string | null): Representation | Fault {
    const range = this.months(month);
    if (range instanceof Fault) return range;
    const context = this.context();
    const months = range.months.map((each) => ({ month: each, events: this.between(dayBeginsMs(`${each}-01`, this.zone), dayBeginsMs(`${monthAfter(each, 1)}-01`, this.zone)) }));
    return this.html(context, htmlDocument(<HistoryView context={context} indicator={overallIndicator(this.model)} months={months} earlier={range.earlier} later={range.later} />));
  }

  private uptime(month: string | null): Representation | Fault {
    const range = this.months(month);
    if (range instanceof Fault) return range;
    const context = this.context();
    return this.html(context, htmlDocument(<UptimeView context={context} model={this.model} indicator={overallIndicator(this.model)} daysOf={this.daysOf()} months={[...range.months].reverse()} earlier={range.earlier} later={range.later} />));
  }

  private latest(kind: EventKind) {
    const events = readEvents(this.snapshot, this.surroundings.presenters, this.model.page.id, kind, STATUSPAGE_LIST_MAX);
    for (const { id } of events) this.shown.add(`${kind}/${id}`);
    return events;
  }

  private feedInput() {
    return { model: this.model, events: [...this.latest("incident"), ...this.latest("maintenance")], url: this.url };
  }

  private calendar(): Representation {
    const { model, snapshot, surroundings } = this;
    return this.text("text/calendar; charset=utf-8", calendarOf({
      model, maintenances: readEvents(snapshot, surroundings.presenters, model.page.id, "maintenance", limits.publicEventsShownMax), cancelled: readCancelled(snapshot, model.page.id), url: this.url,
    }));
  }

  private json(name: Exclude<View["name"], "status" | "history" | "uptime" | EventKind | "badge.svg" | "badge.json" | "atom" | "rss" | "calendar" | "robots" | "sitemap">): Representation {
    const { model } = this;
    const format = new StatuspageFormat({ model, url: this.url });
    const made = () => {
      switch (name) {
        case "summary": return format.summary();
        case "status.json": return format.status();
        case "components": return format.components();
        case "incidents": return format.incidents(this.latest("incident"));
        case "unresolved": return format.incidents(model.openIncidents);
        case "maintenances": return format.maintenances(this.latest("maintenance"));
        case "upcoming": return format.maintenances(model.upcomingMaintenances);
        case "active": return format.maintenances(model.activeMaintenances);
      }
    };
    return this.text(JSON_TYPE, JSON.stringify(made()));
  }

  private badge(name: "badge.svg" | "badge.json", id: string | null): Representation | Fault {
    const component = this.model.components.find((one) => one.id === id);
    if (id !== null && component === undefined) return nothing("component");
    const badge: Badge = component === undefined ? badgeOf(this.model.page.name, overallIndicator(this.model)) : badgeOfComponent(component.name, component.status);
    return name === "badge.json" ? this.text(JSON_TYPE, JSON.stringify(shieldsJson(badge))) : this.text("image/svg+xml; charset=utf-8", badgeSvg(badge), { "content-security-policy": "default-src 'none'; sandbox" });
  }

  private sitemap(): Representation {
    const entries = [
      { path: "", at: this.model.updatedAt }, { path: "/history", at: this.model.updatedAt }, { path: "/uptime", at: null },
      ...this.latest("incident").map(({ id, updatedAt }) => ({ path: `/incidents/${id}`, at: updatedAt })), ...this.latest("maintenance").map(({ id, updatedAt }) => ({ path: `/maintenances/${id}`, at: updatedAt })),
    ];
    const escaped = (text: string) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;");
    const body = entries.map(({ path, at }) => `<url><loc>${escaped(this.url + path)}</loc>${at === null ? "" : `<lastmod>${at}</lastmod>`}</url>`).join("");
    return this.text("application/xml; charset=utf-8", `<?xml version="1.0" encoding="UTF-8"?>\n<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">${body}</urlset>\n`);
  }
}

/** Strong, without quotes: of the bytes. */
export function etagOf({ body, headers }: Pick<Representation, "body" | "headers">): string {
  return createHash("sha256").update(JSON.stringify(headers)).update(body).digest("base64url").slice(0, 22);
}
