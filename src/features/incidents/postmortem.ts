/** The postmortem of an incident: registers of the incident's document. It exists once it has a body. */
import { Type, type Static } from "typebox";
import { hlcTime, laterHlc } from "../../core/hlc.js";
import type { DocumentReader, Draft } from "../../store/document-reader.js";
import type { Resource } from "../../store/resource.js";
import { closed, TEXT_MAX } from "../../store/resource-schemas.js";
import { nullable } from "../../store/route-schemas.js";

export const PostmortemPut = closed({ body: Type.String({ minLength: 1, maxLength: TEXT_MAX }) });
export type PostmortemPut = Static<typeof PostmortemPut>;

export const PostmortemResource = Type.Object({
  incident_id: Type.String(), page_id: Type.String(), body: Type.String(), status: Type.Enum(["draft", "published"]), published_at: nullable(Type.String()),
  updated_at: Type.String(), updated_hlc: Type.String(), updated_region: Type.String(), has_conflicts: Type.Boolean(),
});

const BODY = "postmortem_body";
const PUBLISHED = "postmortem_published";

export function hasPostmortem(document: DocumentReader): boolean {
  return document.value(BODY) !== null;
}

export function writePostmortem(draft: Draft, body: string): void {
  draft.set(BODY, body);
}

export function publishPostmortem(draft: Draft): void {
  draft.set(PUBLISHED, true);
}

export function removePostmortem(draft: Draft): void {
  draft.set(BODY, null).set(PUBLISHED, null);
}

/** As it stands in the incident; null if there is none. */
export function postmortemSummary(document: DocumentReader): Resource | null {
  const author = document.author(BODY);
  if (!hasPostmortem(document) || author === undefined) return null;
  const published = document.value(PUBLISHED) === true ? document.author(PUBLISHED) : undefined;
  return {
    body: document.text(BODY), status: published === undefined ? "draft" : "published",
    published_at: published === undefined ? null : hlcTime(published.hlc), updated_at: hlcTime(laterHlc(author.hlc, published?.hlc ?? author.hlc)),
  };
}

/** As its own routes return it; undefined if there is none. */
export function presentPostmortem(document: DocumentReader): Resource | undefined {
  const summary = postmortemSummary(document);
  const author = document.author(BODY);
  if (summary === null || author === undefined) return undefined;
  const published = document.author(PUBLISHED);
  const latest = document.value(PUBLISHED) === true && published !== undefined && published.hlc > author.hlc ? published : author;
  return {
    incident_id: document.id, page_id: document.partition, ...summary, updated_hlc: latest.hlc, updated_region: latest.region,
    has_conflicts: document.conflicts().some(({ field }) => field === BODY || field === PUBLISHED),
  };
}
