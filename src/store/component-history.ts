/**
 * What a component's status over time (`status-fold.ts`) makes of each day, and where the folds are kept.
 *
 * Invariants:
 *  1. The seconds of a day add up to its length exactly.
 *  2. A fold that is given out holds every change that its document holds. One that was written down is where it begins: it is brought up to
 *     that first, and where it cannot be, all changes are folded anew.
 *  3. What is written down holds no change that is not durable.
 */
import { Fault, isFault } from "../core/errors.js";
import type { Timer, Timers } from "../core/ports.js";
import { dominates } from "../core/vector.js";
import { COMPONENT_STATUSES } from "./conflicts.js";
import type { DataPlane } from "./data-plane.js";
import type { DurableChange } from "./feed.js";
import { StatusFold, type HistoryStatus, type Transition } from "./status-fold.js";
import { dayAfter, isDay, startOfDay } from "./zoned-days.js";

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

interface DayBounds {
  readonly day: string;
  readonly startMs: number;
  /** Seconds since the epoch. */
  readonly end: number;
}

let latestBounds: { readonly name: string; readonly days: readonly DayBounds[] } = { name: "", days: [] };

/** A page asks for the same ones for each of its components. */
function boundsOf(fromDay: string, toDay: string, timeZone: string): readonly DayBounds[] {
  const name = `${fromDay} ${toDay} ${timeZone}`;
  if (latestBounds.name === name) return latestBounds.days;
  const days: DayBounds[] = [];
  for (let day = fromDay; day <= toDay; day = dayAfter(day)) days.push({ day, startMs: startOfDay(day, timeZone), end: startOfDay(dayAfter(day), timeZone) / 1_000 });
  latestBounds = { name, days };
  return days;
}

/** What the days from one to another were made of, both included. `nowMs`: later than this is not known, but what a clock that is ahead has written has happened, for whoever holds it. */
export function daysOf(transitions: readonly Transition[], fromDay: string, toDay: string, timeZone: string, nowMs: number): DayUptime[] {
  const days: DayUptime[] = [];
  const nowSecond = Math.floor(Math.max(nowMs, transitions.at(-1)?.atMs ?? 0) / 1_000);
  let next = 0;
  let status: HistoryStatus = "no_data";
  for (const { day, startMs, end } of boundsOf(fromDay, toDay, timeZone)) {
    const start = startMs / 1_000;
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
  readonly fold: StatusFold;
  /** Changes since it was written down. */
  unwritten: number;
}

export interface ComponentHistoryPorts {
  readonly data: DataPlane;
  readonly timers: Timers;
  /** Hears of what could not be written down. */
  failed(error: unknown): void;
}

export interface ComponentHistoryBounds {
  /** Folds in memory, and components that wait to be written down. */
  readonly componentsMax: number;
  readonly writeAfterMs: number;
}

/** A long fold is written down once changes came for this share of its transitions, so that each change costs little. */
const WRITTEN_SHARE = 1 / 32;
const WRITTEN_AT_ONCE = 200;

export class ComponentHistory {
  /** By document, least recently used first. */
  private readonly kept = new Map<string, Kept | Promise<Kept | Fault>>();
  /** Changed since they were written down. */
  private readonly unwritten = new Set<string>();
  private readonly leave: () => void;
  private timer: Timer | undefined;
  private writing: Promise<void> = Promise.resolve();
  private isClosed = false;
  /** How often all changes of a component were read. */
  rebuilt = 0;

  constructor(
    private readonly ports: ComponentHistoryPorts,
    private readonly bounds: ComponentHistoryBounds,
  ) {
    this.leave = ports.data.feed.follow({
      changed: ({ changes }) => {
        for (const change of changes) if (change.document.split("/", 2)[1] === "component") this.take(change);
      },
      reset: () => this.kept.clear(),
    });
  }

  /** Writes down what is not yet. */
  async close(): Promise<void> {
    this.leave();
    this.isClosed = true;
    this.timer?.cancel();
    await this.writing;
    await this.write(0).catch((error: unknown) => this.ports.failed(error));
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
    const document = `${page}/component/${component}`;
    const known = this.kept.get(document);
    if (known !== undefined) {
      this.kept.delete(document);
      this.kept.set(document, known);
    }
    const kept = await (known ?? this.build(document));
    return isFault(kept) ? kept : kept.fold.transitions;
  }

  private take({ document, change, dot }: DurableChange): void {
    const kept = this.kept.get(document);
    // What is being built may lack the change: it is built again when it is asked for.
    if (kept instanceof Promise || (kept !== undefined && !kept.fold.take({ change, dot }))) this.kept.delete(document);
    else if (kept !== undefined) kept.unwritten++;
    this.writeLater(document);
  }

  private build(document: string): Promise<Kept | Fault> {
    const building = this.fold(document).then((done): Kept | Fault => {
      // A change that came meanwhile has taken the promise away: what was built may lack it, and is not kept.
      if (this.kept.get(document) === building) {
        if (isFault(done)) this.kept.delete(document);
        else this.kept.set(document, done);
      }
      if (!isFault(done) && done.unwritten > 0) this.writeLater(document);
      return done;
    });
    this.kept.set(document, building);
    building.catch(() => this.kept.delete(document));
    for (const oldest of this.kept.keys()) {
      if (this.kept.size <= this.bounds.componentsMax) break;
      this.kept.delete(oldest);
    }
    return building;
  }

  /** From what was written down and what came since, or from all changes. */
  private async fold(document: string): Promise<Kept | Fault> {
    const { data } = this.ports;
    const stored = await data.projection(document);
    if (isFault(stored)) return stored;
    const fold = stored.text === undefined ? undefined : StatusFold.decode(stored.text);
    if (fold !== undefined) {
      if (dominates(fold.vector, stored.vector)) return { fold, unwritten: 0 };
      const recent = await data.recentChanges(document, fold.vector);
      if (isFault(recent)) return recent;
      if (recent.every((change) => fold.take(change)) && dominates(fold.vector, stored.vector)) return { fold, unwritten: recent.length };
    }
    this.rebuilt++;
    const changes = await data.changes(document);
    return isFault(changes) ? changes : { fold: StatusFold.of(changes), unwritten: changes.length };
  }

  private writeLater(document: string): void {
    if (this.unwritten.size < this.bounds.componentsMax) this.unwritten.add(document);
    this.timer ??= this.isClosed ? undefined : this.ports.timers.after(this.bounds.writeAfterMs, () => {
      this.writing = this.write(WRITTEN_SHARE).catch((error: unknown) => this.ports.failed(error)).finally(() => {
        this.timer = undefined;
        const [waiting] = this.unwritten;
        if (waiting !== undefined) this.writeLater(waiting);
      });
    });
  }

  /** Writes down the folds of which at least a share has changed. */
  private async write(share: number): Promise<void> {
    const documents = [...this.unwritten];
    for (let from = 0; from < documents.length; from += WRITTEN_AT_ONCE) {
      const texts = new Map<string, string>();
      for (const document of documents.slice(from, from + WRITTEN_AT_ONCE)) {
        const kept = await (this.kept.get(document) ?? this.build(document));
        // One that a change has overtaken stays for the next time.
        if (isFault(kept) || this.kept.get(document) !== kept || kept.unwritten < kept.fold.transitions.length * share) continue;
        this.unwritten.delete(document);
        if (kept.unwritten > 0) texts.set(document, kept.fold.encode());
        kept.unwritten = 0;
      }
      if (texts.size > 0) await this.ports.data.keepProjections(texts);
    }
  }
}
