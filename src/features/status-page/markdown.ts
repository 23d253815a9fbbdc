/**
 * Bodies of updates and postmortems: Markdown from outside, made into harmless HTML. Two layers: the renderer takes no HTML, no pictures and no scheme but
 * http, https and mailto; what it made is then read again as HTML, and only listed elements and attributes are kept. For pages, feeds and e-mail alike.
 */
import MarkdownIt from "markdown-it";
import sanitizeHtml from "sanitize-html";
import { limits } from "../../core/limits.js";
import { cutTo, wholeCharacters } from "./plain-text.js";

const SCHEMES = ["http", "https", "mailto"];

// The preset `commonmark` also bounds how deep a text may nest.
const markdown = new MarkdownIt("commonmark", { html: false, linkify: true, breaks: true }).enable(["linkify", "strikethrough", "table"]).disable(["image"]);
markdown.validateLink = (url) => {
  const scheme = /^\s*([a-z][a-z0-9+.-]*):/i.exec(url)?.[1];
  return scheme === undefined ? /^[/#?]/.test(url) && !url.startsWith("//") : SCHEMES.includes(scheme.toLowerCase());
};

const ALLOWED: sanitizeHtml.IOptions = {
  allowedTags: ["p", "br", "strong", "em", "s", "code", "pre", "blockquote", "ul", "ol", "li", "a", "hr", "table", "thead", "tbody", "tr", "th", "td"],
  allowedAttributes: { a: ["href", "rel"], ol: ["start"] },
  allowedSchemes: SCHEMES,
  allowProtocolRelative: false,
  transformTags: {
    a: (_tag, { href }) => ({ tagName: "a", attribs: { ...(href === undefined ? {} : { href }), rel: "nofollow noopener noreferrer ugc" } }),
    // The page has its own outline: headings of a body would stand anywhere in it.
    ...Object.fromEntries(["h1", "h2", "h3", "h4", "h5", "h6"].map((tag) => [tag, sanitizeHtml.simpleTransform("p", {})])),
  },
};

const kept = new Map<string, string>();
let keptBytes = 0;

/** Safe HTML of a Markdown text. The same text is rendered once for all languages and pages, as long as it is remembered. */
export function htmlOfMarkdown(text: string): string {
  const known = kept.get(text);
  if (known !== undefined) return known;
  const html = sanitizeHtml(markdown.render(text), ALLOWED).trim();
  const bytes = 2 * (text.length + html.length);
  if (keptBytes + bytes > limits.markdownKeptBytes) {
    kept.clear();
    keptBytes = 0;
  }
  kept.set(text, html);
  keptBytes += bytes;
  return html;
}

/** Marks and addresses that a text may have for each of its words, so that a text is not read to its end for its first words. */
const SOURCE_FACTOR = 8;

/** The words of a Markdown text on one line, `lengthMax` characters at most. */
export function plainOfMarkdown(text: string, lengthMax: number): string {
  const words = sanitizeHtml(htmlOfMarkdown(wholeCharacters(text, SOURCE_FACTOR * lengthMax)).replace(/<\/(?:p|li|tr|pre)>|<br \/>/g, " "), { allowedTags: [], allowedAttributes: {}, textFilter: decoded }).replace(/\s+/g, " ").trim();
  return cutTo(words, lengthMax);
}

const ENTITIES: Readonly<Record<string, string>> = { "&amp;": "&", "&lt;": "<", "&gt;": ">", "&quot;": '"' };

function decoded(escaped: string): string {
  return escaped.replace(/&(?:amp|lt|gt|quot);/g, (entity) => ENTITIES[entity] ?? entity);
}
