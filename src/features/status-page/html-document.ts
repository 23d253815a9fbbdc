/** A view as the text that is sent, and the policy that says what it may load. */
import { createHash } from "node:crypto";
import type { VNode } from "preact";
import { renderToString } from "preact-render-to-string";
import type { Theme } from "./theme.js";

export function htmlDocument(view: VNode): string {
  return `<!doctype html>${renderToString(view)}\n`;
}

/** Headers of every page for people. */
export function pageHeaders(theme: Pick<Theme, "css" | "pictureOrigins"> | null): Record<string, string> {
  return { "content-security-policy": contentSecurityPolicy(theme), "referrer-policy": "strict-origin-when-cross-origin" };
}

/** The content security policy of a page: its own files, the theme's few declarations by their hash, the theme's pictures. */
export function contentSecurityPolicy(theme: Pick<Theme, "css" | "pictureOrigins"> | null): string {
  const hash = theme === null ? "" : ` 'sha256-${createHash("sha256").update(theme.css).digest("base64")}'`;
  const pictures = theme === null ? [] : theme.pictureOrigins;
  return [
    "default-src 'none'", "script-src 'self'", `style-src 'self'${hash}`, ["img-src 'self' data:", ...pictures].join(" "), "connect-src 'self'", "base-uri 'none'", "form-action 'self'",
    "frame-ancestors 'self'",
  ].join("; ");
}
