/**
 * What one origin saw: its batches as they came, the results in them, and their rollups by minute, hour and day. The same code folds the
 * batches of this replica and those of others, so that all come to the same.
 *
 * Keys, `<o>` being the origin: `k/<o>` how far it has come; `n/<o>/<number>` a batch; `s/<o>/r/<page>/<monitor>/<time>-<number>-<index>` a
 * result; `s/<o>/u/<tier>/<page>/<monitor>/<time>` a finished rollup; `s/<o>/o/<page>/<monitor>` rollups that are still open.
 *
 * Invariants:
 *  1. Batches are applied in the order of their numbers, each once. All that follows from one goes into the write that stores it.
 *  2. Open rollups hold every batch up to `applied` in memory, and up to their own `until` on the disk; what is on the disk lacks nothing up to
 *     `saved`. After a crash the batches beyond `saved` are folded again, each into those that do not hold it.
 *  3. A finished rollup of an hour or a day gives way only to one of more rounds: one that was folded from some of its batches never
 *     takes the place of one that another replica has folded from all.
 */
import { limits, watchLimits } from "../../core/limits.js";
import type { NamedRecord, NumberedRecord } from "../../core/messages.js";
import type { Storage, StorageWrite } from "../../core/ports.js";
import { batchTime, decodeBatch, type StoredResult } from "./result-batch.js";
import { EMPTY_ROLLUP, isEmpty, rollupIn, roundsOf, withResult, type Rollup } from "./rollup.js";

export const TIERS = { minute: 60_000, hour: 3_600_000, day: 86_400_000 } as const;
export type Tier = keyof typeof TIERS;
const TIER_NAMES = Object.keys(TIERS) as Tier[];
const KEPT_MS: Readonly<Record<Tier, number>> = { minute: watchLimits.minutesKeptMs, hour: watchLimits.hoursKeptMs, day: watchLimits.daysKeptMs };

export interface TimedRollup {
  readonly start: number;
  readonly rollup: Rollup;
}

interface SavedOpen {
  /** The last batch that is in it. */
  readonly until: number;
  readonly tiers: Record<Tier, TimedRollup>;
}
interface Open extends SavedOpen {
  /** It has changed since it was read or saved; `until` is of then. */
  isDirty: boolean;
}
interface Progress {
  readonly number: number;
  readonly saved: number;
  readonly floor: number;
  /** When the latest of the rollups begins that others have folded, ms since the epoch. */
  readonly given?: number;
}
/** Rollups that outlive their batches by so much that replicas which have missed those get them from others. */
const OLDER_TIERS = ["day", "hour"] as const satisfies readonly Tier[];
const OLDER_NAME = /^(day|hour)\/([a-z0-9-]{1,63}\/[A-Za-z0-9_-]{1,64})\/(\d{14})$/;

/** Rollups that begin before a time, by position; at the end of what was looked at, `next` is empty. */
export interface OlderRollups {
  readonly records: NamedRecord[];
  readonly bytes: number;
  readonly next: string;
}

/** Batches that are read at once where many are. */
const BATCHES_AT_ONCE = 16;
const encoder = new TextEncoder();
const json = (value: unknown): Uint8Array => encoder.encode(JSON.stringify(value));
const parse = <T>(bytes: Uint8Array): T => JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString()) as T;
/** Numbers have so many digits in keys, so that they sort. */
const DIGITS = 12;
export const NUMBER_MAX = 10 ** DIGITS - 1;
const padded = (value: number, digits: number): string => String(Math.max(0, Math.floor(value))).padStart(digits, "0");
const time = (ms: number): string => padded(ms, 14);
const END = "~";
/** Comes before the name of every origin. */
export const PROGRESS = "k/";

/** What a batch counts for in an answer: many small ones are work too. */
export function sizeOf(body: Uint8Array): number {
  return body.length + limits.recordOverheadBytes;
}

function rollupOf(body: Uint8Array): Rollup | undefined {
  try {
    return rollupIn(parse<unknown>(body));
  } catch {
    return undefined;
  }
}

export class OriginResults {
  /** The last batch that is on the disk, and the last that is gone from it. */
  private durable = 0;
  private floor = 0;
  private applied = 0;
  private saved = 0;
  private given = -1;
  private readonly open = new Map<string, Open>();

  private constructor(
    private readonly storage: Storage,
    readonly origin: string,
  ) {}

  /** As the disk has it. */
  static async load(storage: Storage, origin: string): Promise<OriginResults> {
    const loaded = new OriginResults(storage, origin);
    const known = await storage.get(`${PROGRESS}${origin}`);
    if (known === undefined) return loaded;
    const { number, saved, floor, given = -1 } = parse<Progress>(known);
    loaded.durable = number;
    loaded.applied = number;
    loaded.saved = saved;
    loaded.floor = floor;
    loaded.given = given;
    for await (const batch of loaded.batches(saved, number)) await loaded.foldAll(batch.number, decodeBatch(batch.body) ?? [], []);
    return loaded;
  }

  /** The last batch that is durable here; 0: none. */
  get number(): number {
    return this.durable;
  }

  get lost(): number {
    return this.floor;
  }

  /** The number that the next batch must have. */
  get next(): number {
    return this.applied + 1;
  }

  /** Goes on beyond batches that nobody has any more. */
  skipTo(number: number): void {
    this.applied = number;
    this.floor = number;
  }

  /** What the next batch makes of the store. False for `isWhole`: it holds no results that could be read, and is kept as it is. */
  async apply(body: Uint8Array): Promise<{ readonly writes: readonly StorageWrite[]; readonly isWhole: boolean }> {
    const number = ++this.applied;
    const results = decodeBatch(body);
    const writes: StorageWrite[] = [{ put: `n/${this.origin}/${padded(number, DIGITS)}`, value: body }];
    for (const [index, { key, ...value }] of (results ?? []).entries()) {
      writes.push({ put: this.key(`r/${key}/${time(value.at)}-${padded(number, DIGITS)}-${padded(index, 4)}`), value: json(value) });
    }
    await this.foldAll(number, results ?? [], writes);
    return { writes, isWhole: results !== undefined };
  }

  /** How far it has come: belongs into every write that holds what `apply` gave. */
  progress(): StorageWrite {
    const progress: Progress = { number: this.applied, saved: this.saved, floor: this.floor, ...(this.given < 0 ? {} : { given: this.given }) };
    return { put: `${PROGRESS}${this.origin}`, value: json(progress) };
  }

  /** What was applied is on the disk. */
  written(): void {
    this.durable = this.applied;
  }

  /** Makes all rollups durable that are open and changed. Nothing may be applied meanwhile. */
  async save(): Promise<void> {
    if (this.saved === this.applied) return;
    const writes: StorageWrite[] = [];
    for (const [key, open] of this.open) {
      if (!open.isDirty) continue;
      const saved: SavedOpen = { until: this.applied, tiers: open.tiers };
      open.isDirty = false;
      writes.push({ put: this.key(`o/${key}`), value: json(saved) });
      if (writes.length >= watchLimits.slice) await this.storage.write(writes.splice(0));
    }
    this.saved = this.applied;
    await this.storage.write([...writes, this.progress()]);
  }

  private async foldAll(number: number, results: readonly StoredResult[], writes: StorageWrite[]): Promise<void> {
    for (const result of results) {
      if (!result.isFinal) continue;
      const open = this.open.get(result.key) ?? (await this.restore(result.key));
      if (number > open.until) await this.fold(open, result, writes);
    }
  }

  private async fold(open: Open, { key, at, state, latency_ms }: StoredResult, writes: StorageWrite[]): Promise<void> {
    open.isDirty = true;
    for (const tier of TIER_NAMES) {
      const current = open.tiers[tier];
      const start = Math.floor(at / TIERS[tier]) * TIERS[tier];
      if (start > current.start) {
        if (!isEmpty(current.rollup)) writes.push(...(await this.finished(tier, key, current)));
        open.tiers[tier] = { start, rollup: withResult(EMPTY_ROLLUP, state, latency_ms) };
      } else open.tiers[tier] = { start: current.start, rollup: withResult(current.rollup, state, latency_ms) };
    }
  }

  /** What a rollup makes of the store that is complete, or that another replica has folded. */
  private async finished(tier: Tier, key: string, { start, rollup }: TimedRollup): Promise<StorageWrite[]> {
    const put = this.key(`u/${tier}/${key}/${time(start)}`);
    const bytes = start > this.given ? undefined : await this.storage.get(put);
    return bytes !== undefined && roundsOf(parse<Rollup>(bytes)) >= roundsOf(rollup) ? [] : [{ put, value: json(rollup) }];
  }

  private async restore(key: string): Promise<Open> {
    const open: Open = { ...(await this.savedOpen(key)), isDirty: false };
    this.open.set(key, open);
    return open;
  }

  private async savedOpen(key: string): Promise<SavedOpen> {
    const bytes = await this.storage.get(this.key(`o/${key}`));
    const none = { start: 0, rollup: EMPTY_ROLLUP };
    return bytes === undefined ? { until: 0, tiers: { minute: none, hour: none, day: none } } : parse<SavedOpen>(bytes);
  }

  private key(name: string): string {
    return `s/${this.origin}/${name}`;
  }

  /** Durable batches beyond a number, up to another. */
  private async *batches(after: number, to: number): AsyncGenerator<NumberedRecord> {
    const end = `n/${this.origin}/${padded(to + 1, DIGITS)}`;
    for (let from = `n/${this.origin}/${padded(after + 1, DIGITS)}`; ; ) {
      let last: string | undefined;
      for await (const page of this.storage.scan({ from, to: end, limit: BATCHES_AT_ONCE })) {
        for (const [storageKey, body] of page) {
          last = storageKey;
          yield { origin: this.origin, number: Number(storageKey.slice(storageKey.lastIndexOf("/") + 1)), body };
        }
      }
      if (last === undefined) return;
      from = `${last}!`;
    }
  }

  /** Batches beyond a number, without gaps, of so many bytes at most, but one at least. */
  async read(after: number, bytesMax: number): Promise<NumberedRecord[]> {
    const found: NumberedRecord[] = [];
    let bytes = 0;
    for await (const batch of this.batches(after, this.durable)) {
      if (found.length > 0 && bytes + sizeOf(batch.body) > bytesMax) break;
      found.push(batch);
      bytes += sizeOf(batch.body);
    }
    return found;
  }

  /** Results of a monitor from a time on, before another, newest first. */
  async query(key: string, fromMs: number, toMs: number, limit: number): Promise<StoredResult[]> {
    const found: StoredResult[] = [];
    for await (const page of this.results(key, fromMs, toMs, limit)) found.push(...page);
    return found;
  }

  /** When a monitor was last seen up, ms since the epoch. */
  async lastUp(key: string): Promise<number | undefined> {
    for await (const page of this.results(key, 0, Number.MAX_SAFE_INTEGER, watchLimits.resultsPerAnswerMax)) {
      const up = page.find(({ state }) => state === "up");
      if (up !== undefined) return up.at;
    }
    return undefined;
  }

  private async *results(key: string, fromMs: number, toMs: number, limit: number): AsyncGenerator<StoredResult[]> {
    const to = toMs >= Number.MAX_SAFE_INTEGER ? END : time(toMs);
    for await (const page of this.storage.scan({ from: this.key(`r/${key}/${time(fromMs)}`), to: this.key(`r/${key}/${to}`), reverse: true, limit })) {
      yield page.map(([, value]) => ({ ...parse<StoredResult>(value), key }));
    }
  }

  /** Rollups of a monitor that begin in a range, the open one included. */
  async rollups(key: string, tier: Tier, fromMs: number, toMs: number): Promise<TimedRollup[]> {
    const found = new Map<number, Rollup>();
    for await (const page of this.storage.scan({ from: this.key(`u/${tier}/${key}/${time(fromMs)}`), to: this.key(`u/${tier}/${key}/${time(toMs)}`) })) {
      for (const [storageKey, value] of page) found.set(Number(storageKey.slice(storageKey.lastIndexOf("/") + 1)), parse<Rollup>(value));
    }
    const { start, rollup: current } = (this.open.get(key) ?? (await this.savedOpen(key))).tiers[tier];
    if (start >= fromMs && start < toMs && roundsOf(current) > roundsOf(found.get(start) ?? EMPTY_ROLLUP)) found.set(start, current);
    return [...found].map(([from, rollup]) => ({ start: from, rollup }));
  }

  /** When the rollups of a monitor begin that are not empty, in a range. Reads none of them. */
  async starts(key: string, tier: Tier, fromMs: number, toMs: number): Promise<number[]> {
    const found: number[] = [];
    for await (const page of this.storage.scan({ from: this.key(`u/${tier}/${key}/${time(fromMs)}`), to: this.key(`u/${tier}/${key}/${time(toMs)}`) })) {
      for (const [storageKey] of page) found.push(Number(storageKey.slice(storageKey.lastIndexOf("/") + 1)));
    }
    const { start, rollup } = (this.open.get(key) ?? (await this.savedOpen(key))).tiers[tier];
    if (start >= fromMs && start < toMs && !isEmpty(rollup)) found.push(start);
    return found;
  }

  /**
   * Rollups of hours and days that begin before a time, those that are open and will be for ever among them, from beyond a position on, of about
   * so many bytes at most. What is looked at counts, not only what is found.
   */
  async older(after: string, beforeMs: number, bytesMax: number): Promise<OlderRollups> {
    const records: NamedRecord[] = [];
    let bytes = 0;
    for await (const { position, rollups } of this.olderFrom(after)) {
      bytes += limits.recordOverheadBytes;
      for (const { tier, key, start, rollup } of rollups) {
        if (start >= beforeMs || isEmpty(rollup)) continue;
        const body = json(rollup);
        bytes += body.length;
        records.push({ origin: this.origin, name: `${tier}/${key}/${time(start)}`, body });
      }
      if (bytes >= bytesMax) return { records, bytes, next: position };
    }
    return { records, bytes, next: "" };
  }

  private async *olderFrom(after: string): AsyncGenerator<{ readonly position: string; readonly rollups: readonly (TimedRollup & { readonly tier: Tier; readonly key: string })[] }> {
    const scan = (part: string) => this.storage.scan({ from: after > part ? this.key(`${after}!`) : this.key(part), to: this.key(`${part}${END}`) });
    for await (const page of after < `o/${END}` ? scan("o/") : []) {
      for (const [storageKey, value] of page) {
        const key = storageKey.slice(this.key("o/").length);
        const { tiers } = this.open.get(key) ?? parse<SavedOpen>(value);
        yield { position: `o/${key}`, rollups: OLDER_TIERS.map((tier) => ({ ...tiers[tier], tier, key })) };
      }
    }
    for (const tier of OLDER_TIERS) {
      for await (const page of after < `u/${tier}/${END}` ? scan(`u/${tier}/`) : []) {
        for (const [storageKey, value] of page) {
          const key = storageKey.slice(this.key(`u/${tier}/`).length, storageKey.lastIndexOf("/"));
          yield { position: storageKey.slice(this.key("").length), rollups: [{ tier, key, start: Number(storageKey.slice(storageKey.lastIndexOf("/") + 1)), rollup: parse<Rollup>(value) }] };
        }
      }
    }
  }

  /** What a rollup that another replica has folded makes of the store; undefined for what is none. */
  async takeOlder({ name, body }: NamedRecord, nowMs: number): Promise<readonly StorageWrite[] | undefined> {
    const [, tier, key, from] = OLDER_NAME.exec(name) ?? [];
    const rollup = rollupOf(body);
    if (tier === undefined || key === undefined || rollup === undefined) return undefined;
    const start = Number(from);
    if (start < nowMs - KEPT_MS[tier as Tier] || start > nowMs || isEmpty(rollup)) return [];
    this.given = Math.max(this.given, start);
    return this.finished(tier as Tier, key, { start, rollup });
  }

  /** Deletes what is older than it is kept. Nothing may be unsaved. */
  async prune(nowMs: number): Promise<void> {
    // Of what is not looked at any more nothing stays in memory.
    for (const [key, { tiers }] of this.open) if (tiers.day.start < nowMs - watchLimits.resultsKeptMs) this.open.delete(key);
    await this.pruneBatches(nowMs - watchLimits.resultsKeptMs);
    await this.pruneTimes(this.key("r"), nowMs - watchLimits.resultsKeptMs);
    for (const tier of TIER_NAMES) await this.pruneTimes(this.key(`u/${tier}`), nowMs - KEPT_MS[tier]);
  }

  /** True if nothing is left of it that is kept: no batch, no result, no finished rollup, and none that is open and young enough. */
  async isSpent(nowMs: number): Promise<boolean> {
    if (this.durable !== this.floor) return false;
    for (const part of ["r/", "u/"]) {
      for await (const page of this.storage.scan({ from: this.key(part), to: this.key(`${part}${END}`), limit: 1 })) if (page.length > 0) return false;
    }
    for await (const page of this.storage.scan({ from: this.key("o/"), to: this.key(`o/${END}`) })) {
      if (page.some(([, value]) => parse<SavedOpen>(value).tiers.day.start >= nowMs - KEPT_MS.day)) return false;
    }
    return true;
  }

  /** Deletes what is left of one that is spent. */
  async forget(): Promise<void> {
    for await (const page of this.storage.scan({ from: this.key("o/"), to: this.key(`o/${END}`) })) await this.storage.write(page.map(([del]) => ({ del })));
    await this.storage.write([{ del: `${PROGRESS}${this.origin}` }]);
  }

  private async pruneBatches(beforeMs: number): Promise<void> {
    const old: StorageWrite[] = [];
    const flush = async (): Promise<void> => {
      if (old.length > 0) await this.storage.write([...old.splice(0), this.progress()]);
    };
    for await (const { number, body } of this.batches(0, this.durable)) {
      if (batchTime(body) >= beforeMs) break;
      this.floor = Math.max(this.floor, number);
      old.push({ del: `n/${this.origin}/${padded(number, DIGITS)}` });
      if (old.length >= watchLimits.slice) await flush();
    }
    await flush();
  }

  /** Monitor by monitor. */
  private async pruneTimes(prefix: string, beforeMs: number): Promise<void> {
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
}
