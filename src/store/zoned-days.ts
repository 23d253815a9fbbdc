/** The days of a time zone as instants. Days with a change of the clock have 23, 25 or other numbers of hours; a day that a zone skipped has none. */

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** No zone is further from UTC than this. */
const OFFSET_MS_MAX = 16 * HOUR_MS;
const KEPT_MAX = 20_000;
const DAY = /^(\d{4})-(\d{2})-(\d{2})$/;

const formats = new Map<string, Intl.DateTimeFormat>();
const starts = new Map<string, number>();
/** Dates to those after them: a page goes through the same ninety for each of its components. */
const nexts = new Map<string, string>();

function formatOf(timeZone: string): Intl.DateTimeFormat {
  let format = formats.get(timeZone);
  if (format === undefined) {
    format = new Intl.DateTimeFormat("en-CA", { timeZone, calendar: "iso8601", numberingSystem: "latn", year: "numeric", month: "2-digit", day: "2-digit" });
    if (formats.size >= 1_000) formats.clear();
    formats.set(timeZone, format);
  }
  return format;
}

/** The local date of an instant, `YYYY-MM-DD`. `timeZone`: a name of the IANA database. */
export function dayOf(ms: number, timeZone: string): string {
  const parts: Record<string, string> = {};
  for (const { type, value } of formatOf(timeZone).formatToParts(ms)) parts[type] = value;
  return `${(parts["year"] ?? "").padStart(4, "0")}-${parts["month"]}-${parts["day"]}`;
}

/** True for a date that the calendar has, `YYYY-MM-DD`. */
export function isDay(text: string): boolean {
  return DAY.test(text) && text >= "1970-01-02" && !Number.isNaN(Date.parse(text)) && new Date(Date.parse(text)).toISOString().startsWith(text);
}

/** The date so many days later, or earlier. */
export function dayAfter(day: string, days = 1): string {
  const known = days === 1 ? nexts.get(day) : undefined;
  if (known !== undefined) return known;
  const found = new Date(Date.parse(day) + days * DAY_MS).toISOString().slice(0, 10);
  if (days !== 1) return found;
  if (nexts.size >= KEPT_MAX) nexts.clear();
  nexts.set(day, found);
  return found;
}

/** The first instant of a local date, ms since the epoch; of a date that the zone skipped, the first instant after it. Whole seconds. */
export function startOfDay(day: string, timeZone: string): number {
  const name = `${timeZone} ${day}`;
  const known = starts.get(name);
  if (known !== undefined) return known;
  const utc = Date.parse(day);
  let low = utc - OFFSET_MS_MAX;
  let high = utc + OFFSET_MS_MAX;
  // Local dates never go back by a day, so the first instant of the date or of a later one can be searched by halves.
  while (high - low > 1_000) {
    const middle = Math.floor((low + high) / 2_000) * 1_000;
    if (dayOf(middle, timeZone) >= day) high = middle;
    else low = middle;
  }
  if (starts.size >= KEPT_MAX) starts.clear();
  starts.set(name, high);
  return high;
}
