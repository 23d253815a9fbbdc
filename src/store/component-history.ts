/**
 * A component's status over time, folded from its document's changes, and what that makes of each day.
 *
 * Invariants:
 *  1. The status at a time is a function of the set of changes alone: of those whose time is not later, merged by the conflict rules.
 *     So it is equal in every region that holds the same changes, in whatever order they came, and comes out the same when it is built anew.
 *  2. A change counts from its own time on, and not before anything that its author saw: a clock that is behind moves nothing before its cause.
 *  3. The seconds of a day add up to its length exactly.
 */
import { hlcMs } from "../core/hlc.js";
import type { Json } from "../core/change.js";
import { contenders, creationsIn, type Creation } from "../core/creation.js";
import type { Sibling } from "../core/document.js";
import { Fault, isFault } from "../core/errors.js";
import { COMPONENT_STATUSES, shown } from "./conflicts.js";
import type { DataPlane, DocumentChange } from "./data-plane.js";
import type { ComponentStatusName } from "./resource-schemas.js";
import { dayAfter, isDay, startOfDay } from "./zoned-days.js";

/** Status or, before the component was there, after it was deleted and in the future, `no_data`. */
export type HistoryStatus = ComponentStatusName | "no_data";

export interface Transition {
  /** ms since the epoch. */
  readonly atMs: number;
  readonly status: HistoryStatus;
}

export interface DayUptime {
  /** Local date of the time zone asked for, `YYYY-MM-DD`. */
  readonly day: string;
  /** Its first instant, ms since the epoch. */
  readonly startMs: number;
  /** Length of the day; usually 86,400, not on days when the clocks change. */
  readonly totalSeconds: number;
  /** Adds up to `totalSeconds`. */
  readonly seconds: Readonly<Record<HistoryStatus, number>>;
  /** Share of the known time, maintenance included, in which there was no outage, 0 to 1; partial outages count with 30 %, as Statuspage does. Null without known time. */
  readonly uptime: number | null;
}

export const UPTIME_DAYS_MAX = 366;
/** What of an outage's time counts as down. Source: Atlassian, "Display historical uptime of components". */
const DOWN_SHARE: Readonly<Record<string, number>> = { partial_outage: 0.3, major_outage: 1 };

interface StatusChange {
  readonly origin: string;
  readonly seq: number;
  readonly timed: DocumentChange;
  readonly atMs: number;
}

/** The fold. `changes`: all of the document, each after what it depends on. */
export function transitionsOf(changes: readonly DocumentChange[]): Transition[] {
  const transitions: Transition[] = [];
  let siblings: readonly Sibling[] = [];
  let creations: readonly Creation[] = [];
  let born = false;
  let dead = false;
  for (const { timed: { change, dot }, atMs } of timed(changes)) {
    for (const operation of change.operations) {
      if (operation.section !== "") continue;
      if (operation.op === "create") born = true;
      else if (operation.op === "delete") dead = true;
      else if (operation.op === "set" && operation.field === "status") {
        const { hlc, region, replica, actor, context } = change;
        const kept = siblings.filter(({ origin, seq }) => (context[origin] ?? 0) < seq && !(origin === dot.origin && seq === dot.seq));
        siblings = [...kept, { ...dot, hlc, region, replica, actor, value: operation.value, was: operation.was }].sort(latestFirst);
      }
    }
    const creation = creationsIn(change, dot).get("");
    if (creation !== undefined) creations = [...creations, creation];
    const status = !born || dead ? "no_data" : statusOf(shown("component", "status", contenders(siblings, creations))?.value);
    const last = transitions.at(-1);
    if (last?.atMs === atMs) transitions.pop();
    if ((transitions.at(-1)?.status ?? "no_data") !== status) transitions.push({ atMs, status });
  }
  return transitions;
}

function latestFirst(a: Sibling, b: Sibling): number {
  return a.hlc > b.hlc ? -1 : a.hlc < b.hlc ? 1 : a.origin < b.origin ? -1 : a.origin > b.origin ? 1 : a.seq - b.seq;
}

function statusOf(value: Json | undefined): ComponentStatusName {
  return COMPONENT_STATUSES.find((status) => status === value) ?? "operational";
}

/** Gives each change its time, not before that of anything it depends on, and sorts by it; causes stay before effects. */
function timed(changes: readonly DocumentChange[]): StatusChange[] {
  const found: StatusChange[] = [];
  let latestMs = 0;
  for (const change of changes) {
    let atMs = hlcMs(change.change.hlc);
    // Changes come sorted by time but for those of clocks that are apart: only then is there anything to search.
    if (atMs < latestMs) for (const before of found) if (before.atMs > atMs && (change.change.context[before.origin] ?? 0) >= before.seq) atMs = before.atMs;
    latestMs = Math.max(latestMs, atMs);
    found.push({ origin: change.dot.origin, seq: change.dot.seq, timed: change, atMs });
  }
  return found.sort((a, b) => a.atMs - b.atMs);
}

/** What the days from one to another were made of, both included. `nowMs`: later than this is not known. */
export function daysOf(transitions: readonly Transition[], fromDay: string, toDay: string, timeZone: string, nowMs: number): DayUptime[] {
  const days: DayUptime[] = [];
  const nowSecond = Math.floor(nowMs / 1_000);
  let next = 0;
  let status: HistoryStatus = "no_data";
  for (let day = fromDay; day <= toDay; day = dayAfter(day)) {
    const startMs = startOfDay(day, timeZone);
    const start = startMs / 1_000;
    const end = startOfDay(dayAfter(day), timeZone) / 1_000;
    const seconds: Record<HistoryStatus, number> = { operational: 0, degraded_performance: 0, partial_outage: 0, major_outage: 0, under_maintenance: 0, no_data: 0 };
    let at = start;
    const upTo = (second: number): void => {
      const known = Math.min(second, Math.max(at, nowSecond));
      seconds[status] += known - at;
      seconds.no_data += second - known;
      at = second;
    };
    for (let transition = transitions[next]; transition !== undefined; transition = transitions[++next]) {
      const second = Math.floor(transition.atMs / 1_000);
      if (second >= end) break;
      if (second > at) upTo(second);
      status = transition.status;
    }
    upTo(end);
    days.push({ day, startMs, totalSeconds: end - start, seconds, uptime: uptimeOfSeconds(seconds) });
  }
  return days;
}

/** Share of the known time that was not lost to outages, 0 to 1; null if nothing is known. */
export function uptimeOfSeconds(seconds: Readonly<Record<HistoryStatus, number>>): number | null {
  let known = 0;
  let down = 0;
  for (const status of COMPONENT_STATUSES) {
    known += seconds[status];
    down += seconds[status] * (DOWN_SHARE[status] ?? 0);
  }
  return known === 0 ? null : 1 - down / known;
}

interface Kept {
  readonly transitions: readonly Transition[];
}

export class ComponentHistory {
  /** Least recently used first. */
  private readonly kept = new Map<string, Kept | Promise<Kept | Fault>>();
  private readonly leave: () => void;

  constructor(
    private readonly data: DataPlane,
    private readonly bounds: { readonly componentsMax: number },
  ) {
    this.leave = data.feed.follow({
      changed: ({ changes }) => {
        for (const { document } of changes) this.kept.delete(document);
      },
      reset: () => this.kept.clear(),
    });
  }

  close(): void {
    this.leave();
    this.kept.clear();
  }

  /**
   * What each day from `fromDay` to `toDay` (both included, `YYYY-MM-DD`, at most `UPTIME_DAYS_MAX`) was made of. `timeZone`: a name of the
   * IANA database. Fault `malformed` for days that are none; the days of a component that never was are all without data.
   */
  async uptimeOf(page: string, component: string, fromDay: string, toDay: string, timeZone: string, nowMs: number): Promise<readonly DayUptime[] | Fault> {
    if (!isDay(fromDay) || !isDay(toDay)) return new Fault("malformed", "A day is written YYYY-MM-DD.");
    if (fromDay > toDay || dayAfter(fromDay, UPTIME_DAYS_MAX) <= toDay) return new Fault("malformed", `From one to ${UPTIME_DAYS_MAX} days, the earlier first.`);
    const transitions = await this.transitions(page, component);
    return isFault(transitions) ? transitions : daysOf(transitions, fromDay, toDay, timeZone, nowMs);
  }

  /** When the status changed, and to what, oldest first. */
  async transitions(page: string, component: string): Promise<readonly Transition[] | Fault> {
    const key = `${page}/component/${component}`;
    const known = this.kept.get(key);
    if (known !== undefined) {
      this.kept.delete(key);
      this.kept.set(key, known);
    }
    const kept = await (known ?? this.build(key));
    return isFault(kept) ? kept : kept.transitions;
  }

  private build(key: string): Promise<Kept | Fault> {
    const building = this.data.changes(key).then((changes): Kept | Fault => {
      const done = isFault(changes) ? changes : { transitions: transitionsOf(changes) };
      // A change that came meanwhile has taken the promise away: what was built lacks it, and is not kept.
      if (this.kept.get(key) === building) {
        if (isFault(done)) this.kept.delete(key);
        else this.kept.set(key, done);
      }
      return done;
    });
    this.kept.set(key, building);
    building.catch(() => this.kept.delete(key));
    for (const oldest of this.kept.keys()) {
      if (this.kept.size <= this.bounds.componentsMax) break;
      this.kept.delete(oldest);
    }
    return building;
  }
}
