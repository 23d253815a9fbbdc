/** Atom and RSS: one entry an incident or maintenance, revised in place under an id that never changes. */
import { Feed } from "feed";
import { htmlOfMarkdown, plainOfMarkdown } from "./markdown.js";
import type { PublicEvent, PublicModel } from "./public-page.js";
import { pathOfEvent, statusInWords } from "./event-card.js";
import { oneLine } from "./plain-text.js";
import { Language } from "./language.js";

const DESCRIPTION_LENGTH_MAX = 300;

export interface FeedInput {
  readonly model: PublicModel;
  /** The latest incidents and maintenances. */
  readonly events: readonly PublicEvent[];
  /** Absolute, without a slash at its end. */
  readonly url: string;
}

/** Text that XML 1.0 can hold. */
function xmlSafe(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what XML cannot hold.
  return text.replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g, "");
}

function contentOf(event: PublicEvent, language: Language, address: string): string {
  const more = event.updateCount - event.updates.length;
  const parts = event.updates.map((update) => `<p><strong>${statusInWords(event, update.status, language)}</strong> · <time datetime="${update.displayAt}">${language.moment(update.displayAt)}</time></p>${htmlOfMarkdown(update.body)}`);
  if (more > 0) parts.push(`<p><a href="${asHtml(address).replaceAll('"', "&quot;")}">${language.counted(language.texts.moreUpdates, more)}</a></p>`);
  return event.postmortem === null ? parts.join("\n") : `<p><strong>${language.texts.postmortem}</strong></p>${htmlOfMarkdown(event.postmortem.body)}\n${parts.join("\n")}`;
}

/** Atom's titles and summaries are HTML, as the library writes them. */
function asHtml(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

/** RSS does not say whether they are HTML: what would be a tag must be none either way. */
function asEither(text: string): string {
  return text.replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

export function atomOf(input: FeedInput): string {
  return feedOf(input, asHtml).atom1();
}

export function rssOf(input: FeedInput): string {
  return feedOf(input, asEither).rss2();
}

/** In English, the language of feeds; latest change first. */
function feedOf({ model, events, url }: FeedInput, written: (text: string) => string): Feed {
  const { page } = model;
  const language = new Language("en", page.timeZone);
  const feed = new Feed({
    // Ids stay what they are when the page moves to another address.
    id: `urn:statusmesh:${page.id}`, title: xmlSafe(oneLine(page.name)), description: xmlSafe(page.description ?? `Incidents and maintenances of ${page.name}`), link: url, language: "en", copyright: "",
    updated: new Date(model.updatedAt), generator: "statusmesh", feedLinks: { atom: `${url}/feed.atom`, rss: `${url}/feed.rss` },
  });
  const sorted = [...events].sort((a, b) => (a.updatedAt < b.updatedAt ? 1 : a.updatedAt > b.updatedAt ? -1 : a.id < b.id ? 1 : -1));
  for (const event of sorted) {
    const last = event.updates[0];
    const status = statusInWords(event, event.status, language);
    feed.addItem({
      id: `urn:statusmesh:${page.id}:${event.kind}:${event.id}`, guid: `urn:statusmesh:${page.id}:${event.kind}:${event.id}`, title: written(xmlSafe(oneLine(event.name))), link: `${url}${pathOfEvent(event)}`,
      date: new Date(event.updatedAt), published: new Date(event.createdAt), category: [...new Set<string>([event.kind, event.impact])].map((name) => ({ name })),
      description: written(xmlSafe(last === undefined ? status : `${status}: ${plainOfMarkdown(last.body, DESCRIPTION_LENGTH_MAX)}`)), content: xmlSafe(contentOf(event, language, `${url}${pathOfEvent(event)}`)),
    });
  }
  return feed;
}
