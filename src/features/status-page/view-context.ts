/** What every view is told beside its model. */
import type { Language } from "./language.js";
import type { PublicPage } from "./public-page.js";
import type { Theme } from "./theme.js";

/** Addresses of the files that pages load, with a hash of their content in the name. */
export interface AssetPaths {
  readonly style: string;
  readonly script: string;
  icon(indicator: string): string;
  preview(indicator: string): string;
}

export interface ViewContext {
  readonly page: PublicPage;
  readonly theme: Theme;
  readonly language: Language;
  /** What stands before every path of the page: empty where the page has a host of its own. */
  readonly base: string;
  readonly assets: AssetPaths;
  /** The region that serves. */
  readonly region: string;
  /** Since when this copy hears from no other region, RFC 3339; null while it does. */
  readonly cutOffSince: string | null;
  /** Whether there is something to subscribe to. */
  readonly subscribing: boolean;
}
