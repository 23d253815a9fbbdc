/**
 * A page as files that any web server can show when no replica answers: which of its representations belong to it, under which names, and what its HTML says
 * otherwise there. Nothing here knows where the answers come from, or where the files go.
 */
import { isLanguage, Language, LANGUAGES } from "./language.js";

export interface CopyFile {
  /** Within the folder, with slashes. */
  readonly name: string;
  readonly body: Uint8Array;
}

export interface CopyAnswer {
  readonly status: number;
  readonly body: Uint8Array;
}

/** Asks for a path of the site, as a visitor would who asks for no language. */
export type Ask = (path: string) => Promise<CopyAnswer>;

/** Why there is no copy: what was answered to a path. */
export interface CopyFault {
  readonly path: string;
  /** 200 where what came is no status page. */
  readonly status: number;
}

const V2 = ["summary", "status", "components", "incidents", "incidents/unresolved", "scheduled-maintenances", "scheduled-maintenances/upcoming", "scheduled-maintenances/active"];

/** Beside the views and their assets: paths below the page, which are the files' names too. */
export const COPIED_PATHS: readonly string[] = [...V2.map((name) => `api/v2/${name}.json`), "feed.atom", "feed.rss", "calendar.ics", "badge.svg", "badge.json", "embed.js"];

export const INDEX = "index.html";

/** Folders that hold nothing but views of a copy: what is in one of them and not in the copy is of an incident that is not shown any more. */
export const EVENT_FOLDERS: readonly string[] = ["incidents", "maintenances"];

/** Incidents and maintenances whose own pages are in a copy: those that the page shows first. */
export const COPIED_EVENTS_MAX = 20;

/**
 * A page whose HTML is longer (some 250 components with their bars) is in its copy in one language, and without its calendar: nine views of
 * it after each change would be most of what a replica does.
 */
export const MANY_VIEWS_HTML_MAX = 512 * 1024;

/** A view that is in the copy. */
interface CopiedView {
  /** The folder of its `index.html`: empty for the page itself. */
  readonly folder: string;
  /** Below the page's address. */
  readonly below: string;
}

/** All files of a page's copy, the page itself last: what it names is there before it. `atMs`: what the copy says of its time. */
export async function staticCopyOf(ask: Ask, page: string, atMs: number): Promise<readonly CopyFile[] | CopyFault> {
  const base = `/pages/${page}`;
  const asked: { readonly view: CopiedView; readonly html: string }[] = [];
  const wanted: CopiedView[] = [{ folder: "", below: "" }];
  // The page says which views there are: it comes first.
  for (let next = wanted.shift(); next !== undefined; next = wanted.shift()) {
    const { status, body } = await ask(base + next.below);
    const html = Buffer.from(body).toString();
    if (status !== 200 || !html.includes(NOTICE)) return { path: base + next.below, status };
    asked.push({ view: next, html });
    if (next.folder === "") wanted.push(...viewsBeside(html, base));
  }
  const views = asked.map(({ view }) => view);
  const files: CopyFile[] = [];
  const assets = [...new Set(asked.flatMap(({ html }) => assetsOf(html)))].sort();
  for (const [path, name] of [...assets.map((asset) => [`/${asset}`, asset] as const), ...COPIED_PATHS.map((name) => [`${base}/${name}`, name] as const)]) {
    const { status, body } = await ask(path);
    if (status !== 200) return { path, status };
    files.push({ name, body });
  }
  const copied = asked.map(({ view, html }) => ({ name: view.folder === "" ? INDEX : `${view.folder}/${INDEX}`, body: Buffer.from(copiedHtml(html, page, atMs, view, views)) }));
  return [...files, ...copied.reverse()];
}

/** The page in its other languages, the history, the calendar, and the incidents and maintenances that it shows. */
function viewsBeside(html: string, base: string): CopiedView[] {
  const own = languageOf(html);
  const events = new Set<string>();
  for (const [, path = ""] of html.matchAll(/ href="([^"?#]*)[^"]*"/g)) {
    const below = path.startsWith(`${base}/`) ? path.slice(base.length + 1) : "";
    // What is no name of a file is nobody's folder.
    if (events.size < COPIED_EVENTS_MAX && /^(?:incidents|maintenances)\/[\w-]{1,64}$/.test(below)) events.add(below);
  }
  const isLong = html.length > MANY_VIEWS_HTML_MAX;
  return [
    ...(isLong ? [] : LANGUAGES.filter((code) => code !== own)).map((code) => ({ folder: code, below: `?lang=${code}` })),
    ...["history", ...(isLong ? [] : ["uptime"]), ...events].map((folder) => ({ folder, below: `/${folder}` })),
  ];
}

/** The files that a page loads, such as `assets/page-1f2e3d4c5b.css`, and its picture for links, which it names by an absolute address. */
export function assetsOf(html: string): readonly string[] {
  const names = [...html.matchAll(/(?: (?:href|src)="\/|<meta property="og:image" content="[^"]*\/)(assets\/[a-z0-9-]+\.[a-z0-9]+)"/g)].map(([, name = ""]) => name);
  return [...new Set(names)].sort();
}

const NOTICE = '<div id="notice">';
/** A tag that refers to something. No text has an unescaped `<`, and no attribute a quotation mark. */
const TAG = /<(?:a|link|script|img)(?:\s+[\w:-]+(?:="[^"]*")?)*\s*\/?>/g;
const REFERENCE = /( (?:href|src)=")(\/[^"]*)"/g;
const THE_PAGE: CopiedView = { folder: "", below: "" };

/**
 * A view as it stands in its folder: what the copy holds is named from there; the rest where the page lives, or, where it has no address of its own, as it was. It says of when it is, and the age that
 * the page's script shows counts from then.
 */
export function copiedHtml(html: string, page: string, atMs: number, view = THE_PAGE, views: readonly CopiedView[] = [THE_PAGE]): string {
  const canonical = /<link rel="canonical" href="([^"]*)"/.exec(html)?.[1];
  const path = view.below.replace(/\?.*$/, "");
  const address = canonical?.slice(0, canonical.length - path.length);
  const at = new Date(atMs).toISOString();
  const folders = new Map(views.map(({ folder, below }) => [below, folder]));
  // The language that has no folder is the page's own.
  const own = LANGUAGES.filter((code) => !folders.has(`?lang=${code}`));
  if (own.length === 1) folders.set(`?lang=${own[0]}`, "");
  const up = "../".repeat(view.folder === "" ? 0 : view.folder.split("/").length);
  const reference = (to: string): string => {
    if (to.startsWith("/assets/")) return up + to.slice(1);
    const base = `/pages/${page}`;
    if (to !== base && !to.startsWith(`${base}/`) && !to.startsWith(`${base}?`)) return to;
    const below = to.slice(base.length);
    if (COPIED_PATHS.includes(below.slice(1))) return up + below.slice(1);
    const folder = folders.get(below);
    if (folder !== undefined) return folder === "" ? up || "./" : `${up}${folder}/`;
    return address === undefined ? to : address + below;
  };
  return html
    .replace(TAG, (tag) => tag.replace(REFERENCE, (_whole, before: string, to: string) => `${before}${reference(to)}"`))
    .replace(NOTICE, () => NOTICE + notice(html, at))
    .replace('<span class="checked" ', (span) => (/<span class="checked"[^>]* data-since=/.test(html) ? span : `${span}data-since="${at}" `));
}

function languageOf(html: string): string {
  return /<html lang="([^"]*)"/.exec(html)?.[1] ?? "";
}

function notice(html: string, at: string): string {
  const code = languageOf(html);
  const language = new Language(isLanguage(code) ? code : "en", "UTC");
  const [before = "", after = ""] = language.texts.copied.split("{time}");
  return `<p class="notice" id="copied" role="status"><svg class="sign" aria-hidden="true" focusable="false"><use href="#s-partial_outage"></use></svg><span>${before}<time datetime="${at}" data-local="">${language.moment(at)}</time>${after}</span></p>`;
}
