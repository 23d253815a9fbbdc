/** A view as the text that is sent, and the policy that says what it may load. */
import { createHash } from "node:crypto";
import { h, type VNode } from "preact";
import { renderToString } from "preact-render-to-string";
import type { Theme } from "./theme.js";

const DOCTYPE = "<!doctype html>";

export function htmlDocument(view: VNode): string {
  return `${DOCTYPE}${renderToString(view)}\n`;
}

/**
 * A page that is made part by part, each small enough for one turn of the event loop. `shell`: has a `Slot` where the parts belong; what stands before it goes out with
 * the first part.
 */
export async function* documentParts(shell: VNode, parts: AsyncIterable<string>): AsyncGenerator<string, void, undefined> {
  const [before, after] = around(shell);
  let head = `${DOCTYPE}${before}`;
  for await (const part of parts) {
    yield head + part;
    head = "";
  }
  yield `${head}${after}\n`;
}

const SLOT = "x-slot";

/** The place of parts that are made one after the other. */
export function Slot(): VNode {
  return h(SLOT, null);
}

/** What stands before the `Slot` of a view, and after it. Throws where there is not exactly one. Text from outside has no unescaped `<`, and sanitized Markdown no such element. */
export function around(view: VNode): [before: string, after: string] {
  const [before, after, more] = renderToString(view).split(`<${SLOT}></${SLOT}>`);
  if (before === undefined || after === undefined || more !== undefined) throw new Error("a view of parts has one slot");
  return [before, after];
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
