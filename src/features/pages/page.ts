/** A page, the tenant: its schemas, what a request writes onto its document, and how it is shown. */
import { Type, type Static } from "typebox";
import type { Json } from "../../core/change.js";
import type { Fault, FaultDetail } from "../../core/errors.js";
import type { DocumentReader, Draft } from "../../store/document-reader.js";
import { CHOICES, isChoice, pageRules, RULES_FIELD } from "../../store/conflicts.js";
import { invalidAll, stamps, type Resource } from "../../store/resource.js";
import { closed, Name, stampProperties, Text } from "../../store/resource-schemas.js";
import { nullable } from "../../store/route-schemas.js";

const THEME_TEXT_MAX = 16 * 1024;
const THEME_DEPTH_MAX = 8;
const SLUG_MAX = 63;

export const PageId = Type.String({ pattern: "^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$", description: "A slug: a-z, 0-9 and hyphens inside, at most 63." });
const Url = Type.String({ minLength: 1, maxLength: 2_048 });
const TimeZone = Type.String({ minLength: 1, maxLength: 64, description: "A name of the IANA time zone database." });
const Theme = Type.Record(Type.String(), Type.Unknown(), { maxProperties: 100, description: "Up to 16 KiB of JSON." });
const Domains = Type.Array(Type.String({ maxLength: 253, pattern: "^(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\\.)*[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?$" }), { maxItems: 50 });

const ConflictRules = closed(Object.fromEntries(Object.entries(CHOICES).map(([field, rules]) => [field, Type.Optional(nullable(Type.Enum([...rules])))])));

const optional = {
  url: Type.Optional(nullable(Url)),
  time_zone: Type.Optional(nullable(TimeZone)),
  description: Type.Optional(nullable(Text)),
  theme: Type.Optional(nullable(Theme)),
  custom_domains: Type.Optional(nullable(Domains)),
  support_url: Type.Optional(nullable(Url)),
  conflict_rules: Type.Optional(Type.Union([ConflictRules, Type.Null()], {
    description: "Which of concurrent values of a field is shown, where the page chooses another rule than the built-in one: `<type>.<field>` to `lww` (the later write), `siblings` (the later, too), "
      + "`worst` (of statuses), or `custom:` and the name of a handler (`earliest`, `best`). null takes a choice back. All values stay listed under conflicts.",
  })),
};

export const PageCreate = closed({ id: Type.Optional(PageId), name: Type.Optional(Name), ...optional });
export type PageCreate = Static<typeof PageCreate>;
export const PagePatch = closed({ name: Type.Optional(Name), ...optional });
export type PagePatch = Static<typeof PagePatch>;

export const PageResource = Type.Object({
  id: Type.String(), page_id: Type.String(), name: Type.String(), url: nullable(Type.String()), time_zone: Type.String(), description: nullable(Type.String()),
  theme: Type.Record(Type.String(), Type.Unknown()), custom_domains: Type.Array(Type.String()), support_url: nullable(Type.String()),
  conflict_rules: Type.Record(Type.String(), Type.String()), ...stampProperties,
});

/** Schemas of the fields that concurrent writes may leave with siblings. */
export const pageFields = {
  name: Name, url: nullable(Url), time_zone: TimeZone, description: nullable(Text), theme: Theme, custom_domains: Domains, support_url: nullable(Url),
  [`${RULES_FIELD}.*`]: nullable(Type.String()),
};

/** A slug made of a name; "" if nothing of it can stand in one. */
export function slugOf(name: string): string {
  const ascii = name.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase().replaceAll("ß", "ss");
  return ascii.replace(/[^a-z0-9]+/g, "-").slice(0, SLUG_MAX).replace(/^-+|-+$/g, "");
}

function isUrl(text: string, protocols: readonly string[]): boolean {
  return URL.canParse(text) && protocols.includes(new URL(text).protocol);
}

function isTimeZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat("en", { timeZone: name });
    return !/^[+-]/.test(name);
  } catch {
    return false;
  }
}

function depth(value: unknown): number {
  if (typeof value !== "object" || value === null) return 0;
  return 1 + Math.max(0, ...Object.values(value).map(depth));
}

/** A sentence if the value does not suit the field, in ways that a schema cannot say. */
export function faultOfField(field: string, value: unknown): string | undefined {
  if (value === null || value === undefined) return undefined;
  if (field.startsWith(`${RULES_FIELD}.`) && !isChoice(field.slice(RULES_FIELD.length + 1), value)) return "is not a rule that this field can have";
  if (field === "url" && !isUrl(String(value), ["http:", "https:"])) return "must be an http or https URL";
  if (field === "support_url" && !isUrl(String(value), ["http:", "https:", "mailto:"])) return "must be an http, https or mailto URL";
  if (field === "time_zone" && !isTimeZone(String(value))) return "must be a time zone of the IANA database";
  if (field === "theme" && (JSON.stringify(value).length > THEME_TEXT_MAX || depth(value) > THEME_DEPTH_MAX)) return "must be at most 16 KiB of JSON, nested at most 8 deep";
  return undefined;
}

/** Source: RFC 7396. Members of `patch` replace those of `target`; null takes one out. */
export function mergePatch(target: Json, patch: Json): Json {
  if (!isObject(patch)) return patch;
  const merged = new Map(isObject(target) ? Object.entries(target) : []);
  for (const [name, value] of Object.entries(patch)) {
   if (value === null) merged.delete(name);
    else merged.set(name, mergePatch(merged.get(name) ?? null, value));
  }
  return Object.fromEntries(merged);
}

function isObject(value: Json): value is { readonly [key: string]: Json } {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

const FIELDS = ["name", "url", "time_zone", "description", "theme", "custom_domains", "support_url"] as const;

/** Writes what a request sets; null gives a field its default again. 422 for what no schema can tell. */
export function writePage(draft: Draft, document: DocumentReader | undefined, fields: PagePatch): Fault | undefined {
  const errors: FaultDetail[] = [];
  for (const field of FIELDS) {
    const given = fields[field] as Json | undefined;
    if (given === undefined) continue;
    const value = field === "theme" && given !== null ? mergePatch(document?.value("theme") ?? {}, given) : given;
    const message = faultOfField(field, value);
    if (message !== undefined) errors.push({ pointer: `#/${field}`, message });
    else draft.set(field, field === "custom_domains" && Array.isArray(value) ? [...new Set(value.map((domain) => String(domain).toLowerCase()))] : value);
  }
  writeRules(draft, document, fields.conflict_rules);
  return errors.length > 0 ? invalidAll(errors) : undefined;
}

/** A register for each rule: two regions that choose for different fields do not meet. */
function writeRules(draft: Draft, document: DocumentReader | undefined, rules: PagePatch["conflict_rules"]): void {
  if (rules === undefined) return;
  const prefix = `${RULES_FIELD}.`;
  const given = rules ?? Object.fromEntries((document?.fields("", prefix) ?? []).map((field) => [field.slice(prefix.length), null]));
  for (const [field, rule] of Object.entries(given)) if (rule !== undefined) draft.set(`${prefix}${field}`, rule as Json);
}

/** A page as it is returned. */
export function presentPage(document: DocumentReader): Resource {
  return {
    id: document.id, page_id: document.id, name: document.text("name"), url: document.value("url"), time_zone: document.value("time_zone") ?? "UTC",
    description: document.value("description"), theme: document.value("theme") ?? {}, custom_domains: document.value("custom_domains") ?? [],
    support_url: document.value("support_url"),
    conflict_rules: Object.fromEntries(pageRules(document.fields("", `${RULES_FIELD}.`), (field) => document.value(field))), ...stamps(document),
  };
}
