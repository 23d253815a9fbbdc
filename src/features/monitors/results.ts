/**
 * Results of checks, those of this replica and those of all others, and their rollups: plain records in a store of their own, beside the
 * documents. A round of checks costs one synced write a second at most. What a flush writes is one numbered batch of this replica's origin,
 * and other replicas fetch it as it is (`RecordSource`).
 *
 * Invariants:
 *  1. Numbers of an origin have no gaps and are used once: a store that may be the copy of another, or that has lost its end, takes a new origin.
 *  2. A batch that is held is passed over when it comes again; one beyond the next is refused, unless nobody has what lies before it.
 *  3. Everything that writes runs in turn.
 *  4. A store that is new, or has gone on beyond batches that nobody had any more, says so of itself until it has been given the rollups that
 *     follow from what it missed: by one that misses nothing, or by every other.
 */
import { limits, watchLimits } from "../../core/limits.js";
import type { NumberedRecord, Older, Records } from "../../core/messages.js";
import type { Clock, Random, Storage, StorageWrite, Timer, Timers } from "../../core/ports.js";
import { ownerOf } from "../../core/replica.js";
import { copyVector, EMPTY_VECTOR, isOrigin, type Vector } from "../../core/vector.js";
import type { RecordSource } from "../../store/record-exchange.js";
import { NUMBER_MAX, OriginResults, PROGRESS, sizeOf, type Tier, type TimedRollup } from "./origin-results.js";
import { encodeBatches, type StoredResult } from "./result-batch.js";
import { EMPTY_ROLLUP, merged, type Rollup } from "./rollup.js";

export interface ResultStoreParts {
  readonly storage: Storage;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly replica: string;
  /** Replicas whose results are kept, this one among them. */
  readonly members: ReadonlySet<string>;
  /** Names the folder on this disk; a copy of the folder has another. */
  readonly witness: string;
  /** Nothing is kept any more. */
  onFailure(error: unknown): void;
  /** What another replica sent was not taken as it was. */
  refused(origin: string, reason: Refusal): void;
}

export type Refusal = "gap" | "stranger" | "oversized" | "malformed";
export interface SeenResult extends StoredResult {
  readonly replica: string;
}

/** Which replicas' results are meant. */
export type Whose = (replica: string) => boolean;

const OWN = "m/own";
/** Says that nothing is missed; not there: something may be. */
const WHOLE = "m/whole";
/** After all positions. */
const PASSED = "~";
const SAVE_MS = 300_000;
const PRUNE_MS = 3_600_000;
/** What others sent is made durable in parts of about so many bytes: what a reader waits for at most. */
const PART_BYTES = 16 * 1024;
const EVERYTHING = { from: "\u0001", to: "\u{10ffff}" } as const;

export class ResultStore implements AsyncDisposable, RecordSource {
  private readonly waiting: StoredResult[] = [];
  private readonly origins = new Map<string, OriginResults>();
  private readonly last = new Map<string, StoredResult>();
  private readonly isOwn: Whose = (replica) => replica === this.parts.replica;
  private own: OriginResults | undefined;
  private timer: Timer | undefined;
  private turn: Promise<void>;
  private savedAtMs: number;
  private prunedAtMs = Number.NEGATIVE_INFINITY;
  private isWhole = false;
  /** How far this replica has come in the rollups of peers; empty: it has been given all that they hold. */
  private readonly positions = new Map<string, string>();
  private isBroken = false;
  private isClosed = false;

  constructor(private readonly parts: ResultStoreParts) {
    this.savedAtMs = parts.clock.monotonic();
    this.turn = Promise.resolve();
    void this.inTurn(() => this.load());
  }

  /** Runs after all that was asked for before; a disk that fails ends all work. Never rejects. */
  private inTurn(work: () => Promise<void>): Promise<void> {
    this.turn = this.turn.then(async () => {
      if (!this.isBroken) await work();
    }).catch((error: unknown) => {
      this.isBroken = true;
      this.parts.onFailure(error);
    });
    return this.turn;
  }

  /** Reads between what writes, so that it sees the whole of it. */
  private async inOrder<T>(read: () => Promise<T>): Promise<T> {
    void this.flush();
    const found = this.turn.then(read);
    this.turn = found.then(() => undefined, () => undefined);
    return found;
  }

  private async load(): Promise<void> {
    const { storage, witness } = this.parts;
    const bytes = await storage.get(OWN);
    const known = bytes === undefined ? undefined : (JSON.parse(Buffer.from(bytes).toString()) as { readonly origin: string; readonly witness: string });
    // Without a name it is new, or of a form that this program does not read.
    if (known === undefined) for await (const page of storage.scan(EVERYTHING)) await storage.write(page.map(([del]) => ({ del })));
    for await (const page of storage.scan({ from: PROGRESS, to: `${PROGRESS}~` })) {
      for (const [key] of page) await this.originOf(key.slice(PROGRESS.length));
    }
    this.isWhole = (await storage.get(WHOLE)) !== undefined;
    if (known?.witness === witness) this.own = await this.originOf(known.origin);
    else await this.takeNewOrigin();
  }

  private async originOf(origin: string): Promise<OriginResults> {
    const loaded = this.origins.get(origin) ?? (await OriginResults.load(this.parts.storage, origin));
    this.origins.set(origin, loaded);
    return loaded;
  }

  private async takeNewOrigin(): Promise<OriginResults> {
    const { random, replica, storage, witness } = this.parts;
    const origin = `${replica}.${Buffer.from(random.bytes(8)).toString("hex")}`;
    await storage.write([{ put: OWN, value: Buffer.from(JSON.stringify({ origin, witness })) }]);
    this.own = await this.originOf(origin);
    return this.own;
  }

  /** Keeps a result; what comes while the disk refuses is dropped. */
  append(result: StoredResult): void {
    this.last.set(result.key, result);
    if (this.isBroken || this.isClosed || this.waiting.length >= watchLimits.resultsWaitingMax) return;
    this.waiting.push(result);
    this.timer ??= this.parts.timers.after(watchLimits.resultsFlushMs, () => {
      this.timer = undefined;
      void this.flush();
    });
  }

  /** What this replica saw last of a monitor. */
  latest(key: string): StoredResult | undefined {
    return this.last.get(key);
  }

  /** Writes what waits. Never rejects. */
  flush(): Promise<void> {
    return this.inTurn(() => this.write(false));
  }

  private async write(isLast: boolean): Promise<void> {
    const { clock, storage } = this.parts;
    const own = this.own ?? (await this.takeNewOrigin());
    const writes: StorageWrite[] = [];
    for (const body of encodeBatches(this.waiting.splice(0), clock.now())) {
      const applied = await own.apply(body);
      if (!applied.isWhole) this.parts.refused(own.origin, "malformed");
      writes.push(...applied.writes);
    }
    if (writes.length > 0) await storage.write([...writes, own.progress()]);
    own.written();
    await this.maintain(isLast);
  }

  /** Saves open rollups, and deletes what is old, from time to time. */
  private async maintain(isLast: boolean): Promise<void> {
    const { clock } = this.parts;
    const now = clock.monotonic();
    const isPruning = now - this.prunedAtMs >= PRUNE_MS;
    if (!isLast && !isPruning && now - this.savedAtMs < SAVE_MS) return;
    this.savedAtMs = now;
    for (const origin of this.origins.values()) {
      await origin.save();
      if (!isPruning || isLast) continue;
      await origin.prune(clock.now());
      // There is room for so many only, and each disk that was lost has left one.
      if (origin === this.own || !(await origin.isSpent(clock.now()))) continue;
      await origin.forget();
      this.origins.delete(origin.origin);
    }
    if (isPruning && !isLast) this.prunedAtMs = now;
  }

  // What other replicas fetch, and what is fetched from them.

  async cursors(): Promise<Vector> {
    await this.turn;
    const cursors = copyVector(EMPTY_VECTOR);
    for (const { origin, number } of this.of((replica) => this.parts.members.has(replica))) if (number > 0) cursors[origin] = number;
    return cursors;
  }

  async read(after: Vector, bytesMax: number): Promise<Pick<Records, "records" | "floor" | "more">> {
    const answer: Pick<Records, "records" | "floor" | "more"> = { records: [], floor: {}, more: false };
    await this.inTurn(async () => {
      const { own } = this;
      if (own !== undefined && (after[own.origin] ?? 0) > own.number) await this.takeNewOrigin();
      const beyond = this.of((replica) => this.parts.members.has(replica)).filter(({ origin, number, lost }) => number > Math.max(after[origin] ?? 0, lost));
      let left = bytesMax;
      for (const [index, from] of beyond.entries()) {
        const held = Math.max(after[from.origin] ?? 0, from.lost);
        // Each has a share, so that none waits for the whole of another.
        const records = left > 0 ? await from.read(held, left / (beyond.length - index)) : [];
        if (records.length > 0 && held > (after[from.origin] ?? 0)) answer.floor[from.origin] = held;
        left -= records.reduce((sum, { body }) => sum + sizeOf(body), 0);
        answer.records.push(...records);
        answer.more ||= (records.at(-1)?.number ?? held) < from.number;
      }
    });
    return answer;
  }

  async keep(records: readonly NumberedRecord[], floor: Vector): Promise<boolean> {
    let isNew = false;
    await this.inTurn(async () => {
      for (let next = 0; next < records.length; ) {
        const touched = new Set<OriginResults>();
        const writes: StorageWrite[] = [];
        let hasSkipped = false;
        for (let bytes = 0; next < records.length && bytes < PART_BYTES; next++) {
          const record = records[next];
          const origin = record === undefined ? undefined : await this.takerOf(record, floor);
          if (record === undefined || origin === undefined) continue;
          if (record.number !== origin.next) {
            origin.skipTo(record.number - 1);
            hasSkipped = true;
          }
          const applied = await origin.apply(record.body);
          if (!applied.isWhole) this.parts.refused(record.origin, "malformed");
          writes.push(...applied.writes);
          touched.add(origin);
          bytes += record.body.length;
        }
        if (touched.size === 0) continue;
        isNew = true;
        if (hasSkipped) writes.push(...this.missSomething());
        await this.parts.storage.write([...writes, ...[...touched].map((origin) => origin.progress())]);
        for (const origin of touched) origin.written();
      }
      await this.maintain(false);
    });
    return isNew && !this.isBroken;
  }

  /** The origin whose next batch this is; undefined: it is held already, or refused. */
  private async takerOf({ origin, number, body }: NumberedRecord, floor: Vector): Promise<OriginResults | undefined> {
    const refuse = (reason: Refusal): undefined => {
      this.parts.refused(origin, reason);
      return undefined;
    };
    const known = this.origins.get(origin);
    if (known !== undefined && number < known.next) return undefined;
    if (!this.isTakeable(origin)) return refuse("stranger");
    if (body.length > limits.recordBytesMax || number > NUMBER_MAX) return refuse("oversized");
    if (number !== (known?.next ?? 1) && floor[origin] !== number - 1) return refuse("gap");
    // Somebody holds more of this store than the store itself.
    if (known !== undefined && known === this.own) await this.takeNewOrigin();
    return known ?? (await this.originOf(origin));
  }

  private missSomething(): StorageWrite[] {
    this.isWhole = false;
    this.positions.clear();
    return [{ del: WHOLE }];
  }

  olderWanted(peer: string): string | undefined {
    const position = this.positions.get(peer);
    return this.isWhole || this.isBroken || position === PASSED ? undefined : (position ?? "");
  }

  async readOlder(after: string, bytesMax: number): Promise<Older> {
    const records: Older["records"] = [];
    const [first = "", ...name] = after.split("/");
    let next = "";
    await this.inTurn(async () => {
      let left = bytesMax;
      for (const origin of this.of((replica) => this.parts.members.has(replica)).filter(({ origin }) => origin >= first)) {
        const found = await origin.older(origin.origin === first ? name.join("/") : "", this.parts.clock.now() - watchLimits.resultsKeptMs, left);
        records.push(...found.records);
        left -= found.bytes;
        if (found.next === "" && left > 0) continue;
        next = `${origin.origin}/${found.next === "" ? "~" : found.next}`;
        return;
      }
    });
    return { records, next, whole: this.isWhole };
  }

  async keepOlder(peer: string, { records, next, whole }: Older): Promise<void> {
    if (this.olderWanted(peer) === undefined) return;
    await this.inTurn(async () => {
      for (let from = 0; from < records.length; from += watchLimits.slice) await this.keepOlderSlice(records.slice(from, from + watchLimits.slice));
      this.positions.set(peer, next === "" ? PASSED : next);
      const others = [...this.parts.members].filter((member) => member !== this.parts.replica);
      if (next !== "" || (!whole && !others.every((member) => this.positions.get(member) === PASSED))) return;
      await this.parts.storage.write([{ put: WHOLE, value: Buffer.from("1") }]);
      this.isWhole = true;
      this.positions.clear();
    });
  }

  private async keepOlderSlice(records: Older["records"]): Promise<void> {
    const writes: StorageWrite[] = [];
    const touched = new Set<OriginResults>();
    for (const record of records) {
      const origin = record.origin === this.own?.origin ? undefined : await this.olderTakerOf(record.origin);
      const taken = record.body.length > limits.recordBytesMax ? undefined : await origin?.takeOlder(record, this.parts.clock.now());
      if (origin !== undefined && taken === undefined) this.parts.refused(record.origin, "malformed");
      if (origin === undefined || taken === undefined || taken.length === 0) continue;
      writes.push(...taken);
      touched.add(origin);
    }
    if (writes.length > 0) await this.parts.storage.write([...writes, ...[...touched].map((origin) => origin.progress())]);
  }

  /** The origin of which a peer has rollups; undefined: it is refused. */
  private async olderTakerOf(origin: string): Promise<OriginResults | undefined> {
    if (this.isTakeable(origin)) return this.originOf(origin);
    this.parts.refused(origin, "stranger");
    return undefined;
  }

  private isTakeable(origin: string): boolean {
    return this.origins.has(origin) || (isOrigin(origin) && this.parts.members.has(ownerOf(origin)) && this.origins.size < limits.recordOriginsMax);
  }

  // What is told of results.

  private of(whose: Whose): OriginResults[] {
    return [...this.origins.values()].filter(({ origin }) => whose(ownerOf(origin))).sort((a, b) => (a.origin < b.origin ? -1 : 1));
  }

  /** When this replica last saw a monitor up, ms since the epoch. */
  async lastUp(key: string): Promise<number | undefined> {
    const times = await this.inOrder(() => Promise.all(this.of(this.isOwn).map((origin) => origin.lastUp(key))));
    return times.reduce((latest, at) => (latest === undefined || (at !== undefined && at > latest) ? at : latest), undefined);
  }

  /** Results of a monitor from a time on, before another, newest first, those of one time by origin. `whose`: this replica's unless told. */
  async query(key: string, fromMs: number, toMs: number, limit: number, whose: Whose = this.isOwn): Promise<SeenResult[]> {
    const found = await this.inOrder(() => Promise.all(this.of(whose).map(async (origin) => {
      const replica = ownerOf(origin.origin);
      return (await origin.query(key, fromMs, toMs, limit)).map((result): SeenResult => ({ ...result, replica }));
    })));
    return found.flat().sort((a, b) => b.at - a.at).slice(0, limit);
  }

  /** Rollups of a monitor that begin in a range, oldest first, the open one included; one for all replicas that are meant. */
  async rollups(key: string, tier: Tier, fromMs: number, toMs: number, whose: Whose = this.isOwn): Promise<TimedRollup[]> {
    const parts = await this.inOrder(() => Promise.all(this.of(whose).map((origin) => origin.rollups(key, tier, fromMs, toMs))));
    const found = new Map<number, Rollup>();
    for (const { start, rollup } of parts.flat()) found.set(start, merged(found.get(start) ?? EMPTY_ROLLUP, rollup));
    return [...found].map(([start, rollup]) => ({ start, rollup })).sort((a, b) => a.start - b.start);
  }

  /** When the rollups begin that `rollups` would give, in no order. */
  async starts(key: string, tier: Tier, fromMs: number, toMs: number, whose: Whose): Promise<ReadonlySet<number>> {
    const parts = await this.inOrder(() => Promise.all(this.of(whose).map((origin) => origin.starts(key, tier, fromMs, toMs))));
    return new Set(parts.flat());
  }

  /** One rollup of several. */
  static total(rollups: readonly TimedRollup[]): Rollup {
    return rollups.reduce((sum, { rollup }) => merged(sum, rollup), EMPTY_ROLLUP);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.isClosed = true;
    this.timer?.cancel();
    await this.inTurn(() => this.write(true));
    this.isBroken = true;
    await this.parts.storage.close();
  }
}
