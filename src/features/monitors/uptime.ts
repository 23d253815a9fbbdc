/** How long a monitor was in each state, day by day (UTC), in seconds that add up exactly to the seconds of the day. Pure. */
import type { State } from "./opinion.js";

export const DAY_MS = 86_400_000;

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

/** Days from that of `fromMs` to that of `toMs`, oldest first; the present day up to `nowMs`. */
export function uptimeByDay(changes: readonly VerdictChange[], fromMs: number, toMs: number, nowMs: number): Day[] {
  const ordered = [...changes].sort((a, b) => a.since - b.since || (a.hlc < b.hlc ? -1 : 1));
  const days: Day[] = [];
  let next = 0;
  let state: State = "unknown";
  for (let start = Math.floor(fromMs / DAY_MS) * DAY_MS; start <= Math.min(toMs, nowMs); start += DAY_MS) {
    const end = Math.min(start + DAY_MS, nowMs);
    const spans: Spans = { up: 0, degraded: 0, down: 0, unknown: 0 };
    let at = start;
    for (let change = ordered[next]; change !== undefined && change.since < end; change = ordered[++next]) {
      if (change.since > at) {
        spans[state] += change.since - at;
        at = change.since;
      }
      state = change.state;
    }
    spans[state] += end - at;
    const seconds = wholeSeconds(spans);
    const known = spans.up + spans.degraded + spans.down;
    days.push({
      date: new Date(start).toISOString().slice(0, 10), up_seconds: seconds.up, degraded_seconds: seconds.degraded, down_seconds: seconds.down, unknown_seconds: seconds.unknown,
      uptime: known === 0 ? null : (spans.up + spans.degraded) / known,
    });
  }
  return days;
}
