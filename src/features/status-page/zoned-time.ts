/** Months and timestamps in a page's time zone, and formats that are made once. Days: `store/zoned-days.ts`. */
import { dayAfter } from "../../store/zoned-days.js";

const FORMATS_MAX = 100;

const formats = new Map<string, Intl.DateTimeFormat>();

/** A format, made once: making one costs a thousand times what using it does. */
export function dateFormat(language: string, timeZone: string, options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  const key = `${language} ${timeZone} ${JSON.stringify(options)}`;
  let format = formats.get(key);
  if (format === undefined) {
    if (formats.size >= FORMATS_MAX) formats.clear();
    format = new Intl.DateTimeFormat(language, { ...options, timeZone });
    formats.set(key, format);
  }
  return format;
}

function partsOf(atMs: number, timeZone: string): Record<string, number> {
  const format = dateFormat("en-u-ca-iso8601", timeZone, { year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
  return Object.fromEntries(format.formatToParts(atMs).map(({ type, value }) => [type, Number(value)]));
}

/** What a zone's clocks show, as ms since the epoch of a clock that shows UTC; whole seconds. */
function wallMs(atMs: number, timeZone: string): number {
  const { year = 1970, month = 1, day = 1, hour = 0, minute = 0, second = 0 } = partsOf(atMs, timeZone);
  return Date.UTC(year, month - 1, day, hour, minute, second);
}

const DAY_MS = 86_400_000;
const OFFSETS_MAX = 10_000;
/** By zone and UTC day; null for a day in which the clocks change. Asking `Intl` costs twenty times as much, and a list holds thousands of times. */
const offsets = new Map<string, number | null>();

/** How far a zone is ahead of UTC at a time, ms. */
export function zoneOffsetMs(atMs: number, timeZone: string): number {
  const day = Math.floor(atMs / DAY_MS);
  const name = `${day} ${timeZone}`;
  let offset = offsets.get(name);
  if (offset === undefined) {
    const [first, last] = [exactOffsetMs(day * DAY_MS, timeZone), exactOffsetMs((day + 1) * DAY_MS - 1, timeZone)];
    offset = first === last ? first : null;
    if (offsets.size >= OFFSETS_MAX) offsets.clear();
    offsets.set(name, offset);
  }
  return offset ?? exactOffsetMs(atMs, timeZone);
}

function exactOffsetMs(atMs: number, timeZone: string): number {
  return wallMs(atMs, timeZone) - Math.floor(atMs / 1_000) * 1_000;
}

/** RFC 3339 with milliseconds and the zone's offset, `Z` where that is UTC: as Statuspage writes times. */
export function zonedTimestamp(rfc3339: string, timeZone: string): string {
  const atMs = Date.parse(rfc3339);
  const offsetMs = zoneOffsetMs(atMs, timeZone);
  const text = new Date(atMs + offsetMs).toISOString();
  if (offsetMs === 0) return text;
  const minutes = Math.round(Math.abs(offsetMs) / 60_000);
  const two = (value: number) => String(value).padStart(2, "0");
  return `${text.slice(0, -1)}${offsetMs < 0 ? "-" : "+"}${two(Math.floor(minutes / 60))}:${two(minutes % 60)}`;
}

/** `2026-11` and so many months later. */
export function monthAfter(month: string, months: number): string {
  const [year = 1970, number = 1] = month.split("-").map(Number);
  return new Date(Date.UTC(year, number - 1 + months, 1)).toISOString().slice(0, 7);
}

export function daysOfMonth(month: string): string[] {
  const days: string[] = [];
  for (let day = `${month}-01`; day.startsWith(month); day = dayAfter(day)) days.push(day);
  return days;
}
