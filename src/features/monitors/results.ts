/**
 * Raw results of this region, and their rollups by minute, hour and day: plain records in a store of their own, beside the
 * documents. A round of checks costs one synced write a second at most.
 *
 * Keys: `r/<page>/<monitor>/<time>-<count>` a result; `u/<tier>/<page>/<monitor>/<time>` a finished rollup; `o/<page>/<monitor>` the
 * rollups that are still open, with the last result in them, so that a restart adds what came after.
 */
import type { CheckError, Phases } from "../../core/check.js";
import { watchLimits } from "../../core/limits.js";
import type { Clock, Storage, StorageWrite, Timer, Timers } from "../../core/ports.js";
import type { State } from "./opinion.js";
import { EMPTY_ROLLUP, isEmpty, merged, withResult, type Rollup } from "./rollup.js";

export interface StoredResult {
  /** `<page>/<monitor>`. */
  readonly key: string;
  /** ms since the epoch. */
  readonly at: number;
  readonly state: State;
  readonly latency_ms: number | null;
  readonly phases: Phases;
  readonly error: CheckError | null;
  readonly attempt: number;
  /** What its round came to; the tries before are kept, and counted nowhere. */
  readonly isFinal: boolean;
}

export const TIERS = { minute: 60_000, hour: 3_600_000, day: 86_400_000 } as const;
export type Tier = keyof typeof TIERS;
const TIER_NAMES = Object.keys(TIERS) as Tier[];
const KEPT_MS: Readonly<Record<Tier, number>> = { minute: watchLimits.minutesKeptMs, hour: watchLimits.hoursKeptMs, day: watchLimits.daysKeptMs };

interface Open {
  /** Key of the last result that is in. */
  until: string;
  readonly tiers: Record<Tier, { start: number; rollup: Rollup }>;
  dirty: boolean;
}

export interface TimedRollup {
  readonly start: number;
  readonly rollup: Rollup;
}

const SAVE_OPEN_MS = 60_000;
const PRUNE_MS = 3_600_000;
const encoder = new TextEncoder();
const json = (value: unknown): Uint8Array => encoder.encode(JSON.stringify(value));
const parse = <T>(bytes: Uint8Array): T => JSON.parse(Buffer.from(bytes).toString()) as T;
const time = (ms: number): string => String(Math.max(0, Math.floor(ms))).padStart(14, "0");
const END = "~";

export class ResultStore implements AsyncDisposable {
  private readonly waiting: { storageKey: string; result: StoredResult }[] = [];
  private readonly open = new Map<string, Open>();
  private readonly last = new Map<string, StoredResult>();
  private timer: Timer | undefined;
  private flushing: Promise<void> = Promise.resolve();
  private savedAtMs: number;
  private prunedAtMs = Number.NEGATIVE_INFINITY;
  private count = 0;
  private broken = false;
  private closed = false;

  constructor(
    private readonly storage: Storage,
    private readonly clock: Clock,
    private readonly timers: Timers,
    private readonly onFailure: (error: unknown) => void,
  ) {
    this.savedAtMs = clock.monotonic();
  }

  /** Keeps a result; what comes while the disk refuses is dropped. */
  append(result: StoredResult): void {
    this.last.set(result.key, result);
    if (this.broken || this.closed || this.waiting.length >= watchLimits.resultsWaitingMax) return;
    this.count = (this.count + 1) % 1_000_000;
    this.waiting.push({ storageKey: `r/${result.key}/${time(result.at)}-${String(this.count).padStart(6, "0")}`, result });
    this.timer ??= this.timers.after(watchLimits.resultsFlushMs, () => {
      this.timer = undefined;
      void this.flush();
    });
  }

  latest(key: string): StoredResult | undefined {
    return this.last.get(key);
  }

  /** When a monitor was last seen up here, ms since the epoch. */
  async lastUp(key: string): Promise<number | undefined> {
    await this.flush();
    for await (const page of this.storage.scan({ from: `r/${key}/`, to: `r/${key}/${END}`, reverse: true, limit: watchLimits.resultsPerAnswerMax })) {
      for (const [, value] of page) if (parse<StoredResult>(value).state === "up") return parse<StoredResult>(value).at;
    }
    return undefined;
  }

  /** Results of a monitor from a time on, before another, newest first. */
  async query(key: string, fromMs: number, toMs: number, limit: number): Promise<StoredResult[]> {
    await this.flush();
    const found: StoredResult[] = [];
    const to = toMs >= Number.MAX_SAFE_INTEGER ? END : time(toMs);
    for await (const page of this.storage.scan({ from: `r/${key}/${time(fromMs)}`, to: `r/${key}/${to}`, reverse: true, limit })) {
      for (const [, value] of page) found.push({ ...parse<StoredResult>(value), key });
    }
    return found;
  }

  /** Rollups of a monitor that begin in a range, oldest first, the open one included. */
  async rollups(key: string, tier: Tier, fromMs: number, toMs: number): Promise<TimedRollup[]> {
    await this.flush();
    const found = new Map<number, Rollup>();
    for await (const page of this.storage.scan({ from: `u/${tier}/${key}/${time(fromMs)}`, to: `u/${tier}/${key}/${time(toMs)}` })) {
      for (const [storageKey, value] of page) found.set(Number(storageKey.slice(storageKey.lastIndexOf("/") + 1)), parse<Rollup>(value));
    }
    const current = (await this.restored(key)).tiers[tier];
    if (current.start >= fromMs && current.start < toMs && !isEmpty(current.rollup)) found.set(current.start, current.rollup);
    return [...found].map(([start, rollup]) => ({ start, rollup })).sort((a, b) => a.start - b.start);
  }

  /** Writes what waits. Never rejects. */
  flush(): Promise<void> {
    this.flushing = this.flushing.then(() => this.write(false));
    return this.flushing;
  }

  private async write(all: boolean): Promise<void> {
    if (this.broken) return;
    try {
      const batch: StorageWrite[] = [];
      const taken = this.waiting.splice(0);
      // Restoring reads what is on the disk: nothing of this batch is there yet.
      for (const key of new Set(taken.map(({ result }) => result.key))) await this.restored(key);
      for (const { storageKey, result } of taken) {
        const { key, ...value } = result;
        batch.push({ put: storageKey, value: json(value) });
        const open = this.open.get(key);
        if (open !== undefined) this.fold(open, storageKey, result, batch);
      }
      const now = this.clock.monotonic();
      if (all || now - this.savedAtMs >= SAVE_OPEN_MS) {
        this.savedAtMs = now;
        for (const [key, open] of this.open) {
          if (!open.dirty) continue;
          batch.push({ put: `o/${key}`, value: json({ until: open.until, tiers: open.tiers }) });
          open.dirty = false;
        }
      }
      if (batch.length > 0) await this.storage.write(batch);
      if (now - this.prunedAtMs >= PRUNE_MS) {
        this.prunedAtMs = now;
        await this.prune();
      }
    } catch (error) {
      this.broken = true;
      this.onFailure(error);
    }
  }

  private fold(open: Open, storageKey: string, result: StoredResult, batch: StorageWrite[]): void {
    open.until = storageKey > open.until ? storageKey : open.until;
    open.dirty = true;
    if (!result.isFinal) return;
    for (const tier of TIER_NAMES) {
      const current = open.tiers[tier];
      const start = Math.floor(result.at / TIERS[tier]) * TIERS[tier];
      if (start > current.start) {
        if (!isEmpty(current.rollup)) batch.push({ put: `u/${tier}/${result.key}/${time(current.start)}`, value: json(current.rollup) });
        open.tiers[tier] = { start, rollup: withResult(EMPTY_ROLLUP, result.state, result.latency_ms) };
      } else current.rollup = withResult(current.rollup, result.state, result.latency_ms);
    }
  }

  /** The open rollups of a monitor: those saved, and the results since. */
  private async restored(key: string): Promise<Open> {
    const known = this.open.get(key);
    if (known !== undefined) return known;
    const saved = await this.storage.get(`o/${key}`);
    const empty = (): Open["tiers"] => ({ minute: { start: 0, rollup: EMPTY_ROLLUP }, hour: { start: 0, rollup: EMPTY_ROLLUP }, day: { start: 0, rollup: EMPTY_ROLLUP } });
    const open: Open = saved === undefined ? { until: `r/${key}/`, tiers: empty(), dirty: false } : { ...parse<Pick<Open, "until" | "tiers">>(saved), dirty: false };
    const batch: StorageWrite[] = [];
    for await (const page of this.storage.scan({ from: `${open.until}\u0001`, to: `r/${key}/${END}` })) {
      for (const [storageKey, value] of page) this.fold(open, storageKey, { ...parse<StoredResult>(value), key }, batch);
    }
    if (batch.length > 0) await this.storage.write(batch);
    this.open.set(key, open);
    return open;
  }

  /** Deletes what is older than it is kept, monitor by monitor. */
  private async prune(): Promise<void> {
    const now = this.clock.now();
    await this.pruneTier("r", now - watchLimits.resultsKeptMs);
    for (const tier of TIER_NAMES) await this.pruneTier(`u/${tier}`, now - KEPT_MS[tier]);
  }

  private async pruneTier(prefix: string, beforeMs: number): Promise<void> {
    for (let from = `${prefix}/`; ; ) {
      let first: string | undefined;
      for await (const page of this.storage.scan({ from, to: `${prefix}/${END}`, limit: 1 })) first = page[0]?.[0];
      if (first === undefined) return;
      const monitor = first.slice(0, first.lastIndexOf("/") + 1);
      for await (const page of this.storage.scan({ from: monitor, to: `${monitor}${time(beforeMs)}` })) {
        if (page.length > 0) await this.storage.write(page.map(([del]) => ({ del })));
      }
      from = `${monitor}${END}`;
    }
  }

  /** One rollup of several. */
  static total(rollups: readonly TimedRollup[]): Rollup {
    return rollups.reduce((sum, { rollup }) => merged(sum, rollup), EMPTY_ROLLUP);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.closed = true;
    this.timer?.cancel();
    this.flushing = this.flushing.then(() => this.write(true));
    await this.flushing;
    await this.storage.close();
  }
}
