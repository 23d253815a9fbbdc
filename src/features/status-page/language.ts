/** Which language a visitor is answered in, and how that language writes times, numbers and counts. */
import { arabic } from "./texts/arabic.js";
import { english } from "./texts/english.js";
import { french } from "./texts/french.js";
import { german } from "./texts/german.js";
import { japanese } from "./texts/japanese.js";
import { portuguese } from "./texts/portuguese.js";
import { spanish } from "./texts/spanish.js";
import type { Plural, Texts } from "./texts/texts.js";
import { dateFormat } from "./zoned-time.js";

const TEXTS = { en: english, ar: arabic, de: german, es: spanish, fr: french, ja: japanese, pt: portuguese } as const;

export type LanguageCode = keyof typeof TEXTS;
export const LANGUAGES = Object.keys(TEXTS) as LanguageCode[];
const RIGHT_TO_LEFT: ReadonlySet<string> = new Set(["ar"]);
/** Longer lists of languages than any browser sends are cut. */
const HEADER_LENGTH_MAX = 500;
const NEGOTIATIONS_MAX = 1_000;

export function isLanguage(code: string): code is LanguageCode {
  return Object.hasOwn(TEXTS, code);
}

const negotiations = new Map<string, LanguageCode | null>();

/** The best of `Accept-Language`; null if it names none of ours. Source: RFC 9110, RFC 4647 (lookup). */
export function accepted(header: string | undefined): LanguageCode | null {
  if (header === undefined || header === "") return null;
  let known = negotiations.get(header);
  if (known === undefined) {
    // Browsers send few different ones; a cached page is found faster than one of them is read.
    if (negotiations.size >= NEGOTIATIONS_MAX) negotiations.clear();
    known = bestOf(header);
    if (header.length <= HEADER_LENGTH_MAX) negotiations.set(header, known);
  }
  return known;
}

function bestOf(header: string): LanguageCode | null {
  let best: LanguageCode | null = null;
  let bestQuality = 0;
  for (const part of header.slice(0, HEADER_LENGTH_MAX).split(",")) {
    const [range = "", ...parameters] = part.trim().toLowerCase().split(";");
    const quality = Number(parameters.find((parameter) => parameter.trim().startsWith("q="))?.trim().slice(2) ?? 1);
    const code = range.split("-", 1)[0] ?? "";
    if (!isLanguage(code) || !(quality > bestQuality && quality <= 1)) continue;
    best = code;
    bestQuality = quality;
  }
  return best;
}

interface Formats {
  readonly number: Intl.NumberFormat;
  readonly percent: Intl.NumberFormat;
  /** For a whole share, without decimals. */
  readonly whole: Intl.NumberFormat;
  readonly plural: Intl.PluralRules;
  readonly units: Intl.ListFormat;
  readonly milliseconds: Intl.NumberFormat;
  /** The same, below ten. */
  readonly fine: Intl.NumberFormat;
}

/** Making one takes longer than all else that a page does with it. */
const formats = new Map<LanguageCode, Formats>();

function formatsOf(code: LanguageCode): Formats {
  const known = formats.get(code);
  if (known !== undefined) return known;
  const share = (minimumFractionDigits: number) => new Intl.NumberFormat(code, { style: "percent", minimumFractionDigits, maximumFractionDigits: 2 });
  const milliseconds = (maximumFractionDigits: number) => new Intl.NumberFormat(code, { style: "unit", unit: "millisecond", unitDisplay: "short", maximumFractionDigits });
  const made = { milliseconds: milliseconds(0), fine: milliseconds(1), number: new Intl.NumberFormat(code), percent: share(2), whole: share(0), plural: new Intl.PluralRules(code), units: new Intl.ListFormat(code, { type: "unit", style: "short" }) };
  formats.set(code, made);
  return made;
}

export class Language {
  readonly direction: "ltr" | "rtl";
  readonly texts: Texts;

  constructor(readonly code: LanguageCode, readonly timeZone: string) {
    this.texts = TEXTS[code];
    this.direction = RIGHT_TO_LEFT.has(code) ? "rtl" : "ltr";
  }

  private format(options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
    return dateFormat(this.code, this.timeZone, options);
  }

  /** Day and time, as in `25 Nov 2026, 21:40 UTC`. */
  moment(rfc3339: string): string {
    return this.format({ day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", timeZoneName: "short" }).format(Date.parse(rfc3339));
  }

  /** A calendar day, such as `2026-11-25`, in words. */
  day(day: string, options: Intl.DateTimeFormatOptions = { day: "numeric", month: "long", year: "numeric" }): string {
    return dateFormat(this.code, "UTC", options).format(Date.parse(`${day}T00:00:00Z`));
  }

  /** Several calendar days, as in `12 – 18 November 2026`. */
  days(first: string, last: string): string {
    if (first === last) return this.day(first);
    return dateFormat(this.code, "UTC", { day: "numeric", month: "long", year: "numeric" }).formatRange(Date.parse(`${first}T00:00:00Z`), Date.parse(`${last}T00:00:00Z`));
  }

  month(month: string): string {
    return this.day(`${month}-01`, { month: "long", year: "numeric" });
  }

  number(value: number): string {
    return formatsOf(this.code).number.format(value);
  }

  /** A share of one, never rounded up to a whole that it is not. */
  percent(share: number): string {
    const floored = Math.floor(share * 10_000) / 10_000;
    const { whole, percent } = formatsOf(this.code);
    return (share === 1 ? whole : percent).format(floored);
  }

  /** A span of time that is short, as in `23 ms`. */
  milliseconds(value: number): string {
    const { fine, milliseconds } = formatsOf(this.code);
    return (value < 10 ? fine : milliseconds).format(value);
  }

  counted(forms: Plural, n: number, values: Readonly<Record<string, string>> = {}): string {
    return filled(forms[formatsOf(this.code).plural.select(n)] ?? forms.other, { n: this.number(n), ...values });
  }

  /** A span of time in its largest unit or two: minutes below an hour, hours and minutes below a day, days and hours above. */
  span(seconds: number): string {
    const minutes = Math.max(1, Math.round(seconds / 60));
    const hours = Math.floor(minutes / 60);
    const days = Math.floor(hours / 24);
    const { texts } = this;
    const join = (...parts: (string | false)[]) => formatsOf(this.code).units.format(parts.filter((part) => part !== false));
    if (hours === 0) return this.counted(texts.minutes, minutes);
    if (days === 0) return join(this.counted(texts.hours, hours), minutes % 60 > 0 && this.counted(texts.minutes, minutes % 60));
    return join(this.counted(texts.days, days), hours % 24 > 0 && this.counted(texts.hours, hours % 24));
  }
}

/** Fills `{name}` in a text. */
export function filled(text: string, values: Readonly<Record<string, string>>): string {
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => values[name] ?? whole);
}
