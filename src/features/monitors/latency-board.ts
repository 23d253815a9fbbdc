/**
 * The latencies that pages show: the median of each hour of the last day, of each monitor, as each region saw it. Regions keep their
 * results to themselves, so this asks the others for theirs, in the background, for pages that somebody looks at: a page is rendered from
 * what is at hand, and never waits.
 *
 * Invariants:
 *  1. A page is asked about at most once in `latencyFreshMs` (`latencyPartialMs` while a replica says nothing), however often it is rendered.
 *  2. What a replica said last is kept while it does not answer, until it is older than what is shown.
 */
import { watchLimits } from "../../core/limits.js";
import type { Clock, Forwarder } from "../../core/ports.js";
import { latencyFigures } from "./rollup.js";
import { TIERS, type ResultStore } from "./results.js";

/** One hour of a monitor as one replica saw it. */
export interface LatencyHour {
  readonly monitor: string;
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

export interface LatencyBoardParts {
  readonly clock: Clock;
  readonly forwarder: Forwarder;
  readonly replica: string;
  /** Replicas of regions, this one among them if it is one, and their regions. */
  readonly members: ReadonlyMap<string, string>;
  /** Of an edge: none. */
  readonly results: ResultStore | undefined;
}

interface Asked {
  /** By replica. */
  readonly hours: Map<string, readonly LatencyHour[]>;
  monitors: string;
  dueAtMs: number;
  isAsking: boolean;
}

/** While others are being asked: soon enough for who looks again. */
const ASKING_MS = watchLimits.fetchTimeoutMs + 500;

/** The hours of a monitor that this replica has results of, of the last day. */
export async function latencyHours(results: ResultStore, page: string, monitors: readonly string[], nowMs: number): Promise<LatencyHour[]> {
  const hours: LatencyHour[] = [];
  for (const monitor of monitors) {
    for (const { start, rollup } of await results.rollups(`${page}/${monitor}`, "hour", firstHour(nowMs), nowMs + 1)) {
      const { count, p50 } = latencyFigures(rollup);
      if (p50 !== null) hours.push({ monitor, start, median: p50, count });
    }
  }
  return hours;
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
    const asked = this.pages.get(page) ?? { hours: new Map(), monitors: "", dueAtMs: 0, isAsking: false };
    this.pages.delete(page);
    this.pages.set(page, asked);
    for (const oldest of this.pages.keys()) if (this.pages.size > watchLimits.latencyPagesMax) this.pages.delete(oldest);
    if (!asked.isAsking && (nowMs >= asked.dueAtMs || asked.monitors !== monitors.join())) void this.ask(page, monitors, asked);
    return { lines: linesOf(asked.hours, this.parts.members, monitors, nowMs), freshUntilMs: asked.isAsking ? nowMs + ASKING_MS : asked.dueAtMs };
  }

  /** Never rejects. */
  private async ask(page: string, monitors: readonly string[], asked: Asked): Promise<void> {
    const { clock, forwarder, members, replica, results } = this.parts;
    asked.isAsking = true;
    asked.monitors = monitors.join();
    const nowMs = clock.now();
    const said = await Promise.all([...members.keys()].map(async (member) => {
      const hours = member === replica && results !== undefined
        ? await latencyHours(results, page, monitors, nowMs).catch(() => undefined)
        : hoursIn(await forwarder.send(member, { method: "GET", path: latencyPath(page), headers: {}, body: undefined }, watchLimits.fetchTimeoutMs));
      if (hours !== undefined) asked.hours.set(member, hours);
      return hours?.length ?? 0;
    }));
    // Who had nothing to say may have been on the way to it.
    const freshMs = said.includes(0) ? watchLimits.latencyPartialMs : watchLimits.latencyFreshMs;
    asked.dueAtMs = (Math.floor(clock.now() / freshMs) + 1) * freshMs;
    asked.isAsking = false;
  }
}

/** What another replica has answered; undefined for what is no such answer. */
function hoursIn(answer: { readonly status: number; readonly body: string } | undefined): readonly LatencyHour[] | undefined {
  if (answer?.status !== 200) return undefined;
  try {
    const { data } = JSON.parse(answer.body) as { data?: unknown };
    return Array.isArray(data) ? data.slice(0, watchLimits.latencyMonitorsMax * (watchLimits.latencyHours + 1)).filter(isHour) : undefined;
  } catch {
    return undefined;
  }
}

function isHour(value: unknown): value is LatencyHour {
  const { monitor, start, median, count } = (value ?? {}) as Partial<Record<keyof LatencyHour, unknown>>;
  return typeof monitor === "string" && [start, median, count].every((number) => typeof number === "number" && Number.isFinite(number) && number >= 0);
}

/** Of several replicas of a region that saw the same hour the one counts that looked more often. */
function linesOf(known: ReadonlyMap<string, readonly LatencyHour[]>, members: ReadonlyMap<string, string>, monitors: readonly string[], nowMs: number): Map<string, LatencyLine[]> {
  const first = firstHour(nowMs);
  const best = new Map<string, Map<string, (LatencyHour | undefined)[]>>();
  for (const [replica, hours] of known) {
    const region = members.get(replica) ?? "";
    for (const hour of hours) {
      const place = (hour.start - first) / TIERS.hour;
      if (!Number.isInteger(place) || place < 0 || place >= watchLimits.latencyHours) continue;
      const lines = best.get(hour.monitor) ?? new Map<string, (LatencyHour | undefined)[]>();
      const line = lines.get(region) ?? Array<LatencyHour | undefined>(watchLimits.latencyHours).fill(undefined);
      if ((line[place]?.count ?? 0) < hour.count) line[place] = hour;
      best.set(hour.monitor, lines.set(region, line));
    }
  }
  return new Map(monitors.map((monitor) => [
    monitor,
    [...(best.get(monitor) ?? [])].map(([region, hours]) => ({ region, medians: hours.map((hour) => hour?.median ?? null) })).sort((a, b) => (a.region < b.region ? -1 : 1)),
  ]));
}
