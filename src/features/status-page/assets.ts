/** The files that pages load: read once, named by their content, so that a cache may keep them for ever. */
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { brotliCompressSync, gzipSync } from "node:zlib";
import { INDICATORS, type Indicator } from "./overall-status.js";
import type { AssetPaths } from "./view-context.js";

/** `web/page`: two folders above the program that is made of this module and others, and three above this module as it is. */
const THREE_ABOVE = new URL("../../../web/page/", import.meta.url);
const TWO_ABOVE = new URL("../../web/page/", import.meta.url);
const FOLDER = existsSync(TWO_ABOVE) ? TWO_ABOVE : THREE_ABOVE;

export interface Asset {
  /** `/assets/page-1f2e3d4c5b.css`. */
  readonly path: string;
  readonly type: string;
  readonly body: Buffer;
  /** Compressed; null where that saves nothing (pictures). */
  readonly gzip: Buffer | null;
  readonly brotli: Buffer | null;
}

const COLORS: Readonly<Record<Indicator, string>> = { none: "#1f9a63", maintenance: "#3c74d6", minor: "#b98000", major: "#d9611c", critical: "#cf2f2a" };
const MARKS: Readonly<Record<Indicator, string>> = { none: "M9 17l5 5 9-11", maintenance: "M9 13h14M9 19h9", minor: "M9 16h14", major: "M16 8v10M16 23v.1", critical: "M11 11l10 10M21 11l-10 10" };

function iconOf(indicator: Indicator): string {
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><circle cx="16" cy="16" r="15" fill="${COLORS[indicator]}"/><path d="${MARKS[indicator]}" fill="none" stroke="#fff" stroke-width="3.5" stroke-linecap="round" stroke-linejoin="round"/></svg>`;
}

function named(name: string, extension: string, type: string, body: Buffer): Asset {
  const hash = createHash("sha256").update(body).digest("hex").slice(0, 12);
  const isText = extension !== "png";
  const gzip = once(() => (isText ? gzipSync(body, { level: 9 }) : null));
  const brotli = once(() => (isText ? brotliCompressSync(body) : null));
  return {
    path: `/assets/${name}-${hash}.${extension}`, type, body,
    get gzip() {
      return gzip();
    },
    get brotli() {
      return brotli();
    },
  };
}

/** Made when it is first asked for: a replica that starts in the middle of an outage has other things to do. */
function once<Value>(make: () => Value): () => Value {
  let made: { readonly value: Value } | undefined;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
}

const read = (name: string): Buffer => readFileSync(new URL(name, FOLDER));

export interface Assets extends AssetPaths {
  readonly all: ReadonlyMap<string, Asset>;
  /** The widget for other sites; served at a path of the page. */
  readonly embed: string;
}

/** Throws if the files are not there: then the program is not whole. */
export function loadAssets(): Assets {
  const style = named("page", "css", "text/css; charset=utf-8", read("page.css"));
  const script = named("page", "js", "text/javascript; charset=utf-8", read("page.js"));
  const icons = new Map(INDICATORS.map((indicator) => [indicator as string, named(`icon-${indicator}`, "svg", "image/svg+xml", Buffer.from(iconOf(indicator)))]));
  const previews = new Map(INDICATORS.map((indicator) => [indicator as string, named(`preview-${indicator}`, "png", "image/png", read(`preview-${indicator}.png`))]));
  const of = (kind: ReadonlyMap<string, Asset>, indicator: string) => kind.get(indicator)?.path ?? "";
  return {
    style: style.path, script: script.path, icon: (indicator) => of(icons, indicator), preview: (indicator) => of(previews, indicator),
    all: new Map([style, script, ...icons.values(), ...previews.values()].map((asset) => [asset.path, asset])), embed: read("embed.js").toString(),
  };
}
