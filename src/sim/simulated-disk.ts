/**
 * A disk, and the store that a program has open on it. Keeps the contract of `Storage`, and breaks as `io/level-storage.ts` would show it.
 *
 * What is modelled, and how:
 *  - A write is durable some time after it was asked for, and is reported durable some time after that. A crash between the two leaves what
 *    was never acknowledged; a crash before the first leaves nothing of it, or all of it.
 *  - A torn batch: LevelDB writes a batch as one record of its log with checksums. The rest of one that was torn is either taken for the end
 *    of the log (nothing of the batch is there), or reported as dropped, and then the store opens as damaged.
 *  - Damage of a record: every read that meets it rejects with `StorageDamage`. The operator's way out is `--rebuild` (the disk is emptied).
 *  - A full disk: writes are refused, which is final for the open store; `probe` and `open` are refused until there is room again.
 *  - A copy that is put back: the folder has another witness, unless the whole volume was put back.
 *  - A store that lost its end (its log was cut short): what was written since an image is gone, witness and high-water mark stay.
 */
import { StorageDamage, StorageFailure, type HighWater, type HighWaterMark, type Storage, type StorageRange, type StorageWrite } from "../core/ports.js";
import { compareUtf8, firstAtOrAfter, PAGE_RECORDS, reservedKeyFault } from "../core/storage-bounds.js";
import type { EventQueue } from "./event-queue.js";
import type { SeededRandom } from "./seeded-random.js";
import type { SimulatedProcess } from "./simulated-process.js";

export interface DiskImage {
  readonly records: ReadonlyMap<string, Uint8Array>;
  readonly witness: string;
  readonly highWater: HighWater | undefined;
}

/** What comes back with an image: the folder under another name, the whole volume, or the store alone. */
export type Restored = "folder" | "volume" | "store";

interface PendingWrite {
  readonly batch: readonly StorageWrite[];
  fail(error: StorageFailure): void;
}

export interface DiskTimes {
  /** Typical time of a read and of an fsync, ms. */
  readonly readMs: number;
  readonly syncMs: number;
}

/** How a crash leaves what was being written. */
export type CrashLeaves = "nothing" | "everything" | "damage";

export class SimulatedDisk {
  private records = new Map<string, Uint8Array>();
  private keys: string[] = [];
  private witnesses = 1;
  witness: string;
  private mark: HighWater | undefined;
  full = false;
  /** Reads are refused (no descriptors, a controller that resets). */
  readsRefused = false;
  /** Times are multiplied by this. */
  slowness = 1;
  /** Why the store cannot be opened any more. */
  damage: string | undefined;
  /** A snapshot of the whole volume was put back: what is stored went back in time, and the program cannot see that at once. */
  wentBack = false;
  private readonly damagedKeys = new Set<string>();
  private readonly pending: PendingWrite[] = [];
  private lastDue = 0;
  /** Called when a write is asked for, and when it became durable but was not reported: where a crash hurts most. */
  onWriting: ((moment: "asked" | "durable") => void) | undefined;

  constructor(
    private readonly name: string,
    private readonly queue: EventQueue,
    private readonly random: SeededRandom,
    private readonly times: DiskTimes,
  ) {
    this.witness = `${name} 1`;
  }

  get empty(): boolean {
    return this.keys.length === 0;
  }

  get writing(): boolean {
    return this.pending.length > 0;
  }

  /** Opens the store for one program. */
  open(process: SimulatedProcess): SimulatedStorage {
    if (this.full) throw new StorageFailure("the disk refuses writes: planted: no space left");
    if (this.damage !== undefined) throw new StorageDamage(this.damage);
    return new SimulatedStorage(this, process);
  }

  image(): DiskImage {
    return { records: new Map(this.records), witness: this.witness, highWater: this.mark };
  }

  /** What is stored under a key, for those who look on. */
  peek(key: string): Uint8Array | undefined {
    return this.records.get(key);
  }

  /** As the folder keeps it beside the store: nothing that a crash interrupts. */
  get highWater(): HighWaterMark {
    return {
      read: () => Promise.resolve(this.mark),
      write: (mark) => {
        this.mark = mark;
        return Promise.resolve();
      },
    };
  }

  /** Puts an image back. */
  restore(image: DiskImage, what: Restored): void {
    const { witness, mark } = this;
    this.clear();
    this.records = new Map(image.records);
    this.keys = [...this.records.keys()].sort(compareUtf8);
    this.mark = what === "store" ? mark : image.highWater;
    if (what === "store") this.witness = witness;
    if (what !== "volume") return;
    this.witness = image.witness;
    this.wentBack = true;
  }

  /** A new, empty folder. */
  clear(): void {
    this.records = new Map();
    this.keys = [];
    this.mark = undefined;
    this.damagedKeys.clear();
    this.damage = undefined;
    this.witness = `${this.name} ${++this.witnesses}`;
  }

  /** Spoils one of the records whose key has a prefix. False if there is none. */
  spoil(prefix: string): boolean {
    const candidates = this.keys.filter((key) => key.startsWith(prefix));
    if (candidates.length === 0) return false;
    this.damagedKeys.add(this.random.pick(candidates));
    return true;
  }

  get spoiled(): boolean {
    return this.damagedKeys.size > 0 || this.damage !== undefined;
  }

  /** The program has died. Returns true if a write was under way. */
  crashed(leaves: CrashLeaves): boolean {
    const pending = this.pending.splice(0);
    const [first] = pending;
    if (first === undefined) return false;
    if (leaves === "everything") this.apply(first.batch);
    if (leaves === "damage") this.damage = `the store of ${this.name} is damaged: LevelDB left out records (planted)`;
    return true;
  }

  /** @internal */
  readDelay(): number {
    return this.slowness * this.times.readMs * this.random.between(0.3, 2);
  }

  /** @internal */
  lookUp(key: string): Uint8Array | undefined {
    if (this.damagedKeys.has(key)) throw new StorageDamage(`the record ${JSON.stringify(key)} is not what was written`);
    return this.records.get(key)?.slice();
  }

  /** @internal */
  range({ from, to, limit = Number.POSITIVE_INFINITY, reverse }: StorageRange): string[] {
    const keys = this.keys.slice(firstAtOrAfter(this.keys, from), firstAtOrAfter(this.keys, to));
    if (reverse === true) keys.reverse();
    return limit < keys.length ? keys.slice(0, limit) : keys;
  }

  /** @internal Calls back when the batch is durable, or refused. */
  write(batch: readonly StorageWrite[], done: (refused: StorageFailure | undefined) => void): void {
    const pending: PendingWrite = { batch, fail: done };
    this.pending.push(pending);
    const spike = this.random.chance(0.01) ? 20 : 1;
    this.lastDue = Math.max(this.lastDue, this.queue.now + this.slowness * spike * this.times.syncMs * this.random.between(0.5, 2));
    this.queue.at(this.lastDue, `${this.name} sync`, () => {
      const index = this.pending.indexOf(pending);
      if (index < 0) return;
      this.pending.splice(index, 1);
      if (this.full) return done(new StorageFailure("the disk refused a write: planted: no space left"));
      this.apply(batch);
      done(undefined);
      this.onWriting?.("durable");
    });
    this.onWriting?.("asked");
  }

  private apply(batch: readonly StorageWrite[]): void {
    for (const write of batch) {
      const key = "put" in write ? write.put : write.del;
      this.damagedKeys.delete(key);
      if ("put" in write) {
        if (!this.records.has(key)) this.keys.splice(firstAtOrAfter(this.keys, key), 0, key);
        this.records.set(key, write.value);
      } else if (this.records.delete(key)) this.keys.splice(firstAtOrAfter(this.keys, key), 1);
    }
  }
}

export class SimulatedStorage implements Storage {
  /** Why nothing is written any more. */
  private failure: StorageFailure | undefined;
  /** Why nothing is read any more either. */
  private closed: StorageFailure | undefined;

  constructor(private readonly disk: SimulatedDisk, private readonly process: SimulatedProcess) {}

  get(key: string): Promise<Uint8Array | undefined> {
    return this.reading("get", () => this.disk.lookUp(key));
  }

  getMany(keys: readonly string[]): Promise<(Uint8Array | undefined)[]> {
    return this.reading("getMany", () => keys.map((key) => this.disk.lookUp(key)));
  }

  async *scan(range: StorageRange): AsyncGenerator<readonly (readonly [string, Uint8Array])[]> {
    this.assertOpen();
    // A scan sees the records as they are when it begins; damage it meets where it is.
    const records = await this.reading("scan", () => this.disk.range(range).map((key): [string, Uint8Array | Error] => [key, this.found(key)]));
    for (let start = 0; start < records.length; start += PAGE_RECORDS) {
      if (start > 0) await this.reading("scan", () => undefined);
      yield records.slice(start, start + PAGE_RECORDS).map(([key, value]) => {
        if (value instanceof Error) throw value;
        return [key, value] as const;
      });
    }
  }

  private found(key: string): Uint8Array | Error {
    try {
      return this.disk.lookUp(key) ?? new Uint8Array(0);
    } catch (error) {
      return error instanceof Error ? error : new Error(String(error));
    }
  }

  async write(batch: readonly StorageWrite[]): Promise<void> {
    if (this.failure !== undefined) throw this.failure;
    for (const write of batch) {
      const fault = reservedKeyFault("put" in write ? write.put : write.del);
      if (fault !== undefined) throw new RangeError(fault);
    }
    if (batch.length === 0 || !this.process.alive) return this.process.alive ? undefined : never();
    const copy = batch.map((write) => ("put" in write ? { put: write.put, value: write.value.slice() } : write));
    await new Promise<void>((resolve, reject) => {
      this.disk.write(copy, (refused) => {
        this.process.after(0.01, `${this.process.replica} written`, () => {
          if (refused !== undefined) this.failure ??= refused;
          // A write under way beside one that failed was acknowledged by a store that is no longer believed.
          if (this.failure !== undefined && this.failure !== this.closed) reject(this.failure);
          else resolve();
        });
      });
    });
  }

  /** Takes calls again, if the disk does. */
  async reopen(): Promise<void> {
    if (this.disk.full) throw new StorageFailure("the disk refuses writes: planted: no space left");
    this.failure = undefined;
    this.closed = undefined;
  }

  async close(): Promise<void> {
    this.closed ??= new StorageFailure("the store is closed");
    this.failure ??= this.closed;
  }

  /** Reads after a while. What is read is what is there then. */
  private reading<T>(what: string, read: () => T): Promise<T> {
    if (this.closed !== undefined) return Promise.reject(this.closed);
    return new Promise((resolve, reject) => {
      this.process.after(this.disk.readDelay(), `${this.process.replica} ${what}`, () => {
        try {
          this.assertOpen();
          if (this.disk.readsRefused) throw new StorageFailure("the disk refused a read: planted");
          resolve(read());
        } catch (error) {
          reject(error instanceof Error ? error : new Error(String(error)));
        }
      });
    });
  }

  private assertOpen(): void {
    if (this.closed !== undefined) throw this.closed;
  }
}

/** What a program that has died waits for. */
function never(): Promise<never> {
  return new Promise(() => {});
}
