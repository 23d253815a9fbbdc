/**
 * The latencies that pages show: the median of each hour of the last day, of each monitor, as each region saw it. A region has the results of
 * all and looks at its own store; an edge, which keeps none, asks a region. Both in the background, for pages that somebody looks at: a page
 * is rendered from what is at hand, and never waits.
 *
 * Invariants:
 *  1. A page is looked up at most once in `latencyFreshMs` (`latencyPartialMs` while nothing is known of a region), however often it is rendered.
 *  2. What was known last is kept while nobody answers, until it is older than what is shown.
 */
import { watchLimits } from "../../core/limits.js";
import type { Clock, Forwarder } from "../../core/ports.js";
import { latencyFigures } from "./rollup.js";
import { TIERS } from "./origin-results.js";
import type { Members } from "./presence.js";
import type { ResultStore } from "./results.js";

/** One hour of a monitor as one region saw it. */
export interface LatencyHour {
  readonly monitor: string;
  readonly region: string;
  /** When the hour begins, ms since the epoch. */
  readonly start: number;
  readonly median: number;
  /** Looks that it is the median of. */
  readonly count: number;
}

export interface LatencyLine {
  readonly region: string;
  /** Medians in ms, the oldest first and that of the present hour last; null where nothing is known. */
  readonly medians: readonly (number | null)[];
}

export interface ShownLatencies {
  /** By monitor; lines by region. */
  readonly lines: ReadonlyMap<string, readonly LatencyLine[]>;
  /** From when on it is worth to ask again, ms since the epoch. */
  readonly freshUntilMs: number;
}

/** Where hours come from; undefined where nobody answers. Never rejects. */
export type LatencySource = (page: string, monitors: readonly string[], nowMs: number) => Promise<readonly LatencyHour[] | undefined>;

export interface LatencyBoardParts {
  readonly clock: Clock;
  /** Replicas of regions, and their regions. */
  readonly members: Members;
  readonly source: LatencySource;
}

interface Asked {
  hours: readonly LatencyHour[];
  monitors: string;
  dueAtMs: number;
  isAsking: boolean;
}

/** Of 32 regions. */
const HOURS_MAX = 32 * watchLimits.latencyMonitorsMax * (watchLimits.latencyHours + 1);
/** While others are being asked: soon enough for who looks again. */
const ASKING_MS = watchLimits.fetchTimeoutMs + 500;

/** The hours of monitors that are in the store, of the last day, by region. */
export async function latencyHours(results: ResultStore, members: Members, page: string, monitors: readonly string[], nowMs: number): Promise<LatencyHour[]> {
  const hours: LatencyHour[] = [];
  for (const monitor of monitors) {
    for (const region of [...new Set(members.values())].sort()) {
      for (const { start, rollup } of await results.rollups(`${page}/${monitor}`, "hour", firstHour(nowMs), nowMs + 1, (replica) => members.get(replica) === region)) {
        const { count, p50 } = latencyFigures(rollup);
        if (p50 !== null) hours.push({ monitor, region, start, median: p50, count });
      }
    }
  }
  return hours;
}

/** Of a region: its own store. */
export function storedLatencies(results: ResultStore, members: Members): LatencySource {
  return (page, monitors, nowMs) => latencyHours(results, members, page, monitors, nowMs).catch(() => undefined);
}

/** Of an edge: the first region that answers. */
export function askedLatencies(forwarder: Forwarder, members: Members): LatencySource {
  return async (page) => {
    for (const replica of members.keys()) {
      const hours = hoursIn(await forwarder.send(replica, { method: "GET", path: latencyPath(page), headers: {}, body: undefined }, watchLimits.fetchTimeoutMs));
      if (hours !== undefined) return hours;
    }
    return undefined;
  };
}

function firstHour(nowMs: number): number {
  return (Math.floor(nowMs / TIERS.hour) - watchLimits.latencyHours + 1) * TIERS.hour;
}

export function latencyPath(page: string): string {
  return `/pages/${page}/latency.json`;
}

export class LatencyBoard {
  /** The page that was asked about last comes last. */
  private readonly pages = new Map<string, Asked>();

  constructor(private readonly parts: LatencyBoardParts) {}

  /** What is known of these monitors of a page. Begins to ask where that is old. */
  of(page: string, monitors: readonly string[]): ShownLatencies {
    const nowMs = this.parts.clock.now();
    if (monitors.length === 0) return { lines: new Map(), freshUntilMs: Number.POSITIVE_INFINITY };
    const asked = this.pages.get(page) ?? { hours: [], monitors: "", dueAtMs: 0, isAsking: false };
    this.pages.delete(page);
    this.pages.set(page, asked);
    for (const oldest of this.pages.keys()) if (this.pages.size > watchLimits.latencyPagesMax) this.pages.delete(oldest);
    if (!asked.isAsking && (nowMs >= asked.dueAtMs || asked.monitors !== monitors.join())) void this.ask(page, monitors, asked);
    return { lines: linesOf(asked.hours, monitors, nowMs), freshUntilMs: asked.isAsking ? nowMs + ASKING_MS : asked.dueAtMs };
  }

  /** The same as it was told, of an edge's own `latency.json`. */
  hours(page: string, monitors: readonly string[]): { readonly hours: readonly LatencyHour[]; readonly freshUntilMs: number } {
    const { freshUntilMs } = this.of(page, monitors);
    return { hours: (this.pages.get(page)?.hours ?? []).filter(({ monitor }) => monitors.includes(monitor)), freshUntilMs };
  }

  /** Never rejects. */
  private async ask(page: string, monitors: readonly string[], asked: Asked): Promise<void> {
    const { clock, members, source } = this.parts;
    asked.isAsking = true;
    asked.monitors = monitors.join();
    const found = await source(page, monitors, clock.now());
    asked.hours = found ?? asked.hours;
    // What is not known of a region may be on its way.
    const known = new Set(found?.map(({ region }) => region));
    const freshMs = [...members.values()].every((region) => known.has(region)) ? watchLimits.latencyFreshMs : watchLimits.latencyPartialMs;
    asked.dueAtMs = (Math.floor(clock.now() / freshMs) + 1) * freshMs;
    asked.isAsking = false;
  }
}

/** What another replica has answered; undefined for what is no such answer. */
function hoursIn(answer: { readonly status: number; readonly body: string } | undefined): readonly LatencyHour[] | undefined {
  if (answer?.status !== 200) return undefined;
  try {
    const { data } = JSON.parse(answer.body) as { data?: unknown };
    return Array.isArray(data) ? data.slice(0, HOURS_MAX).filter(isHour) : undefined;
  } catch {
    return undefined;
  }
}

function isHour(value: unknown): value is LatencyHour {
  const { monitor, region, start, median, count } = (value ?? {}) as Partial<Record<keyof LatencyHour, unknown>>;
  return typeof monitor === "string" && typeof region === "string" && [start, median, count].every((number) => typeof number === "number" && Number.isFinite(number) && number >= 0);
}

function linesOf(hours: readonly LatencyHour[], monitors: readonly string[], nowMs: number): Map<string, LatencyLine[]> {
  const first = firstHour(nowMs);
  const found = new Map<string, Map<string, (number | null)[]>>();
  for (const { monitor, region, start, median } of hours) {
    const place = (start - first) / TIERS.hour;
    if (!Number.isInteger(place) || place < 0 || place >= watchLimits.latencyHours) continue;
    const lines = found.get(monitor) ?? new Map<string, (number | null)[]>();
    const line = lines.get(region) ?? Array<number | null>(watchLimits.latencyHours).fill(null);
    line[place] = median;
    found.set(monitor, lines.set(region, line));
  }
  return new Map(monitors.map((monitor) => [
    monitor, [...(found.get(monitor) ?? [])].map(([region, medians]) => ({ region, medians })).sort((a, b) => (a.region < b.region ? -1 : 1)),
  ]));
}
