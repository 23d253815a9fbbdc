/** @jsxRuntime automatic @jsxImportSource preact */
/** What surrounds every view: head, header, footer, the signs that statuses are drawn with. */
import type { ComponentChildren } from "preact";
import { LANGUAGES, Language, filled } from "./language.js";
import type { Indicator } from "./overall-status.js";
import { cutTo, oneLine } from "./plain-text.js";
import type { ViewContext } from "./view-context.js";

/** Paths of the signs, 20 × 20. Each status has a shape of its own, so that nobody needs its colour. */
const SIGNS: Readonly<Record<string, string>> = {
  operational: "M10 1a9 9 0 1 0 0 18 9 9 0 0 0 0-18Zm4.4 6.9-5 5.6a1 1 0 0 1-1.45.04L5.6 11.2A1 1 0 0 1 7 9.8l1.6 1.6 4.3-4.8a1 1 0 0 1 1.5 1.3Z",
  under_maintenance: "M10 1a9 9 0 1 0 0 18 9 9 0 0 0 0-18ZM5.8 8.2h8.4a1 1 0 0 1 0 2H5.8a1 1 0 0 1 0-2Zm0 3.4h5.4a1 1 0 0 1 0 2H5.8a1 1 0 0 1 0-2Z",
  degraded_performance: "M10 1a9 9 0 1 0 0 18 9 9 0 0 0 0-18ZM6 9h8a1 1 0 0 1 0 2H6a1 1 0 0 1 0-2Z",
  partial_outage: "M8.7 2.1a1.5 1.5 0 0 1 2.6 0l7.5 13.6a1.5 1.5 0 0 1-1.3 2.2h-15a1.5 1.5 0 0 1-1.3-2.2L8.7 2.1ZM10 6.5a1 1 0 0 0-1 1v4a1 1 0 0 0 2 0v-4a1 1 0 0 0-1-1Zm0 7a1.2 1.2 0 1 0 0 2.4 1.2 1.2 0 0 0 0-2.4Z",
  major_outage: "M10 1a9 9 0 1 0 0 18 9 9 0 0 0 0-18ZM7.4 6l2.6 2.6L12.6 6 14 7.4 11.4 10l2.6 2.6-1.4 1.4-2.6-2.6L7.4 14 6 12.6 8.6 10 6 7.4 7.4 6Z",
  no_data: "M10 1a9 9 0 1 0 0 18 9 9 0 0 0 0-18Zm0 2a7 7 0 1 1 0 14 7 7 0 0 1 0-14Z",
};

const DESCRIPTION_LENGTH_MAX = 200;

const STATUS_OF_INDICATOR: Readonly<Record<Indicator, string>> = {
  none: "operational", maintenance: "under_maintenance", minor: "degraded_performance", major: "partial_outage", critical: "major_outage",
};

export function Signs() {
  return (
    <svg class="signs" width="0" height="0" aria-hidden="true" focusable="false">
      {Object.entries(SIGNS).map(([status, path]) => <symbol key={status} id={`s-${status}`} viewBox="0 0 20 20"><path fill="currentColor" fill-rule="evenodd" d={path} /></symbol>)}
    </svg>
  );
}

export function Sign({ status }: { status: string }) {
  return <svg class="sign" aria-hidden="true" focusable="false"><use href={`#s-${status}`} /></svg>;
}

export function statusOfIndicator(indicator: Indicator): string {
  return STATUS_OF_INDICATOR[indicator];
}

/** A time that the script shows in the visitor's zone. */
export function Moment({ at, language }: { at: string; language: Language }) {
  return <time datetime={at} data-local="">{language.moment(at)}</time>;
}

interface ShellProps {
  readonly context: ViewContext;
  /** Of this view; the page's name stands beside it. */
  readonly title: string;
  readonly description: string;
  /** Where the view stands within the page, such as `/history`. */
  readonly path: string;
  readonly indicator: Indicator;
  /** True where the content follows the page's events. */
  readonly live: boolean;
  readonly children: ComponentChildren;
}

export function Shell(props: ShellProps) {
  const { context, live, children } = props;
  const { language, base, region, cutOffSince } = context;
  const { texts } = language;
  return (
    <html lang={language.code} dir={language.direction}>
      <Head {...props} />
      <body data-region={region} {...(live ? { "data-events": `${base}/events` } : {})} data-stale={texts.stale}>
        <a class="skip" href="#status">{texts.skip}</a>
        <Signs />
        <TopBar context={context} />
        <main id="status" class="wrap">
          <div id="notice">
            {cutOffSince !== null && <p class="notice" role="status"><Sign status="partial_outage" /><span>{split(texts.cutOff, "time", <Moment at={cutOffSince} language={language} />)}</span></p>}
          </div>
          {children}
        </main>
        <Foot context={context} path={props.path} />
      </body>
    </html>
  );
}

/** A text with something more than text in the place of `{name}`. */
function split(text: string, name: string, node: ComponentChildren): ComponentChildren {
  const [before = "", after = ""] = text.split(`{${name}}`);
  return <>{before}{node}{after}</>;
}

function Head({ context, title, description, path, indicator }: ShellProps) {
  const { page, theme, base, assets, language } = context;
  const address = page.url === null ? null : `${page.url}${path}`;
  const full = title === page.name ? oneLine(title) : `${oneLine(title)} · ${oneLine(page.name)}`;
  const summary = cutTo(oneLine(description), DESCRIPTION_LENGTH_MAX);
  return (
    <head>
      <meta charset="utf-8" />
      <meta name="viewport" content="width=device-width, initial-scale=1" />
      <title>{full}</title>
      <meta name="description" content={summary} />
      <meta name="color-scheme" content="light dark" />
      <meta name="theme-color" content={theme.color} />
      <link rel="stylesheet" href={assets.style} />
      <style dangerouslySetInnerHTML={{ __html: theme.css }} />
      <link id="icon" rel="icon" href={theme.favicon ?? assets.icon(indicator)} />
      <link rel="alternate" type="application/atom+xml" title={page.name} href={`${base}/feed.atom`} />
      <link rel="alternate" type="application/rss+xml" title={page.name} href={`${base}/feed.rss`} />
      {address !== null && <link rel="canonical" href={address} />}
      <meta property="og:type" content="website" />
      <meta property="og:site_name" content={oneLine(page.name)} />
      <meta property="og:title" content={full} />
      <meta property="og:description" content={summary} />
      <meta property="og:locale" content={language.code} />
      {address !== null && <meta property="og:url" content={address} />}
      {page.url !== null && <meta property="og:image" content={`${page.url}${assets.preview(indicator)}`} />}
      {page.url !== null && <meta property="og:image:alt" content={language.texts.overall[indicator]} />}
      <meta name="twitter:card" content="summary_large_image" />
      <script type="module" src={assets.script} />
    </head>
  );
}

function TopBar({ context }: { context: ViewContext }) {
  const { page, theme, base, language, subscribing } = context;
  const { texts } = language;
  return (
    <header class="top">
      <div class="wrap">
        <a class="brand" href={base === "" ? "/" : base}>
          {theme.logo !== null && <img class={theme.logoDark === null ? "logo" : "logo light-only"} src={theme.logo} alt="" height="32" />}
          {theme.logoDark !== null && <img class="logo dark-only" src={theme.logoDark} alt="" height="32" />}
          <span>{page.name}</span>
        </a>
        <nav aria-label={page.name}>
          {page.supportUrl !== null && <a class="button quiet" href={page.supportUrl}>{texts.support}</a>}
          {subscribing && <a class="button" href={`${base}/subscribe`}>{texts.subscribe}</a>}
        </nav>
      </div>
    </header>
  );
}

function Foot({ context, path }: { context: ViewContext; path: string }) {
  const { page, base, language, region } = context;
  const { texts } = language;
  const here = path === "" ? (base === "" ? "/" : base) : `${base}${path}`;
  return (
    <footer class="foot wrap">
      <nav aria-label={texts.history}>
        <a href={base === "" ? "/" : base}>{texts.backToPage}</a>
        <a href={`${base}/history`}>{texts.history}</a>
        <a href={`${base}/uptime`}>{texts.uptime}</a>
        <a href={`${base}/feed.atom`}>Atom</a>
        <a href={`${base}/feed.rss`}>RSS</a>
        <a href={`${base}/calendar.ics`}>{texts.calendar}</a>
      </nav>
      <nav class="languages" aria-label={texts.languages}>
        {LANGUAGES.map((code) => {
          const { texts: own, direction } = new Language(code, "UTC");
          return <a key={code} href={`${here}?lang=${code}`} lang={code} dir={direction} hreflang={code} {...(code === language.code ? { "aria-current": "true" as const } : {})}>{own.name}</a>;
        })}
      </nav>
      <p><span data-zone={texts.timesYours}>{filled(texts.timesIn, { zone: page.timeZone })}</span> · <span>{filled(texts.servedBy, { region })}</span></p>
    </footer>
  );
}
