/**
 * A page as files that any web server can show when no replica answers: which of its representations belong to it, under which names, and what its HTML says
 * otherwise there. Nothing here knows where the answers come from, or where the files go.
 */
import { isLanguage, Language } from "./language.js";

export interface CopyFile {
  /** Within the folder, with slashes. */
  readonly name: string;
  readonly body: Uint8Array;
}

export interface CopyAnswer {
  readonly status: number;
  readonly body: Uint8Array;
}

/** Asks for a path of the site, as a visitor would. */
export type Ask = (path: string) => Promise<CopyAnswer>;

/** Why there is no copy: what was answered to a path. */
export interface CopyFault {
  readonly path: string;
  /** 200 where what came is no status page. */
  readonly status: number;
}

const V2 = ["summary", "status", "components", "incidents", "incidents/unresolved", "scheduled-maintenances", "scheduled-maintenances/upcoming", "scheduled-maintenances/active"];

/** Beside the page and its assets: paths below the page, which are the files' names too. */
export const COPIED_PATHS: readonly string[] = [...V2.map((name) => `api/v2/${name}.json`), "feed.atom", "feed.rss", "calendar.ics", "badge.svg", "badge.json", "embed.js"];

export const INDEX = "index.html";

/** All files of a page's copy, the page itself last: what it names is there before it. `atMs`: what the copy says of its time. */
export async function staticCopyOf(ask: Ask, page: string, atMs: number): Promise<readonly CopyFile[] | CopyFault> {
  const base = `/pages/${page}`;
  const index = await ask(base);
  const html = Buffer.from(index.body).toString();
  if (index.status !== 200 || !html.includes(NOTICE)) return { path: base, status: index.status };
  const files: CopyFile[] = [];
  for (const [path, name] of [...assetsOf(html).map((asset) => [`/${asset}`, asset] as const), ...COPIED_PATHS.map((name) => [`${base}/${name}`, name] as const)]) {
    const { status, body } = await ask(path);
    if (status !== 200) return { path, status };
    files.push({ name, body });
  }
  return [...files, { name: INDEX, body: Buffer.from(copiedHtml(html, page, atMs)) }];
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

/**
 * The page as it stands in a folder: what the folder holds is named from there; the rest where the page lives, or, where it has no address of its own, as it was. It says of when it is, and the age that
 * the page's script shows counts from then.
 */
export function copiedHtml(html: string, page: string, atMs: number): string {
  const address = /<link rel="canonical" href="([^"]*)"/.exec(html)?.[1];
  const at = new Date(atMs).toISOString();
  return html
    .replace(TAG, (tag) => tag.replace(REFERENCE, (_whole, before: string, path: string) => `${before}${reference(path, `/pages/${page}`, address)}"`))
    .replace(NOTICE, () => NOTICE + notice(html, at))
    .replace('<span class="checked" ', (span) => (/<span class="checked"[^>]* data-since=/.test(html) ? span : `${span}data-since="${at}" `));
}

function reference(path: string, base: string, address: string | undefined): string {
  if (path.startsWith("/assets/")) return path.slice(1);
  if (path !== base && !path.startsWith(`${base}/`) && !path.startsWith(`${base}?`)) return path;
  const below = path.slice(base.length);
  if (COPIED_PATHS.includes(below.slice(1))) return below.slice(1);
  return address === undefined ? path : address + below;
}

function notice(html: string, at: string): string {
  const code = /<html lang="([^"]*)"/.exec(html)?.[1] ?? "";
  const language = new Language(isLanguage(code) ? code : "en", "UTC");
  const [before = "", after = ""] = language.texts.copied.split("{time}");
  return `<p class="notice" id="copied" role="status"><svg class="sign" aria-hidden="true" focusable="false"><use href="#s-partial_outage"></use></svg><span>${before}<time datetime="${at}" data-local="">${language.moment(at)}</time>${after}</span></p>`;
}
