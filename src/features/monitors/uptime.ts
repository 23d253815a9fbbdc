/** How long a monitor was in each state, day by day (UTC), in seconds that add up exactly to the seconds of the day. Pure. */
import type { State } from "./opinion.js";

export const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;
/** So long after its end what regions saw in an hour is known to all. */
const HOUR_IS_TOLD_MS = 15 * 60_000;

export interface VerdictChange {
  readonly state: State;
  /** ms since the epoch. */
  readonly since: number;
  /** Decides between two that begin at the same time: the later counts. */
  readonly hlc: string;
}

export interface Day {
  /** `2026-01-31`. */
  readonly date: string;
  readonly up_seconds: number;
  readonly degraded_seconds: number;
  readonly down_seconds: number;
  readonly unknown_seconds: number;
  /** Share of the time that is known in which it was not down, 0 to 1; null if nothing is known. */
  readonly uptime: number | null;
}

type Spans = Record<State, number>;
const STATES: readonly State[] = ["up", "degraded", "down", "unknown"];

/** Whole seconds of each state whose sum is that of the whole time, by largest remainders. */
function wholeSeconds(spans: Spans): Spans {
  const totalSeconds = Math.floor(STATES.reduce((sum, state) => sum + spans[state], 0) / 1_000);
  const seconds = Object.fromEntries(STATES.map((state) => [state, Math.floor(spans[state] / 1_000)])) as Spans;
  let left = totalSeconds - STATES.reduce((sum, state) => sum + seconds[state], 0);
  for (const state of [...STATES].sort((a, b) => (spans[b] % 1_000) - (spans[a] % 1_000))) {
    if (left === 0) break;
    seconds[state]++;
    left--;
  }
  return seconds;
}

/** A time from `fromMs` up to `toMs`, ms since the epoch. */
export interface Span {
  readonly fromMs: number;
  readonly toMs: number;
}

/**
 * When nobody looked at a target that is checked every so often, by the hours and days in which any region did; older than hours are kept, only
 * by whole days. Spans follow each other. What lies before the first look is not told.
 */
export function unwatchedSpans(looked: { readonly hours: ReadonlySet<number>; readonly days: ReadonlySet<number> }, intervalMs: number, hoursKeptMs: number, nowMs: number): Span[] {
  const spans: Span[] = [];
  const firstDay = Math.min(...looked.days);
  const byHoursMs = Math.ceil((nowMs - hoursKeptMs) / DAY_MS) * DAY_MS;
  for (let day = firstDay; day < byHoursMs; day += DAY_MS) if (!looked.days.has(day)) spans.push({ fromMs: day, toMs: day + DAY_MS });
  // Of checks that are up to an hour apart, an hour may hold none.
  const leastMs = intervalMs > HOUR_MS / 2 ? 2 * HOUR_MS : HOUR_MS;
  const untilMs = Math.floor((nowMs - HOUR_IS_TOLD_MS) / HOUR_MS) * HOUR_MS;
  let fromMs: number | undefined;
  for (let hour = firstDay < byHoursMs ? byHoursMs : Math.min(...looked.hours); hour <= untilMs; hour += HOUR_MS) {
    if (hour < untilMs && !looked.hours.has(hour)) fromMs ??= hour;
    else {
      if (fromMs !== undefined && hour - fromMs >= leastMs) spans.push({ fromMs, toMs: hour });
      fromMs = undefined;
    }
  }
  return spans;
}

/**
 * Days from that of `fromMs` to that of `toMs`, oldest first; the present day up to `nowMs`. In `unwatched` spans, which follow each other, nothing
 * is known.
 */
export function uptimeByDay(changes: readonly VerdictChange[], fromMs: number, toMs: number, nowMs: number, unwatched: readonly Span[] = []): Day[] {
  const ordered = [...changes].sort((a, b) => a.since - b.since || (a.hlc < b.hlc ? -1 : 1));
  const days: Day[] = [];
  let next = 0;
  let state: State = "unknown";
  for (let start = Math.floor(fromMs / DAY_MS) * DAY_MS; start <= Math.min(toMs, nowMs); start += DAY_MS) {
    const end = Math.min(start + DAY_MS, nowMs);
    const spans: Spans = { up: 0, degraded: 0, down: 0, unknown: 0 };
    const within = unwatched.filter((span) => span.toMs > start && span.fromMs < end);
    const add = (from: number, to: number): void => {
      const unwatchedMs = within.reduce((sum, span) => sum + Math.max(0, Math.min(to, span.toMs) - Math.max(from, span.fromMs)), 0);
      spans.unknown += unwatchedMs;
      spans[state] += to - from - unwatchedMs;
    };
    let at = start;
    for (let change = ordered[next]; change !== undefined && change.since < end; change = ordered[++next]) {
      if (change.since > at) {
        add(at, change.since);
        at = change.since;
      }
      state = change.state;
    }
    add(at, end);
    const seconds = wholeSeconds(spans);
    const known = spans.up + spans.degraded + spans.down;
    days.push({
      date: new Date(start).toISOString().slice(0, 10), up_seconds: seconds.up, degraded_seconds: seconds.degraded, down_seconds: seconds.down, unknown_seconds: seconds.unknown,
      uptime: known === 0 ? null : (spans.up + spans.degraded) / known,
    });
  }
  return days;
}
