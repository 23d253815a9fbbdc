/**
 * Group commit: everything that is staged while one batch is being fsynced goes into the next one.
 *
 * Invariants:
 *  1. Batches reach the disk one after the other, in the order of their numbers; each holds all that was staged before it was taken.
 *  2. What waits for a batch (answers, messages) goes on only after that batch is durable.
 *  3. After a failed write nothing is acknowledged any more until the store was opened anew (LevelDB acknowledges lies after a full disk).
 */
import type { Storage, StorageWrite } from "../core/ports.js";

/** Serialises what is dirty at the moment a batch is taken. */
export type Collector = () => readonly StorageWrite[];

export interface BatchObserver {
  flushed(changes: number, writes: number, ms: number): void;
  failed(error: Error): void;
}

export class DurableBatch {
  /** Number of the last durable batch. */
  private durable = 0;
  /** Number of the batch that staged writes go into. */
  private next = 1;
  private staged = new Map<string, Uint8Array | null>();
  private stagedChanges = 0;
  private waiting: (() => void)[] = [];
  private inFlight: (() => void)[] = [];
  private rejections = new Set<(error: Error) => void>();
  private running = false;
  private dirty = false;
  private failure: Error | undefined;
  private idle: (() => void)[] = [];

  constructor(
    private readonly storage: Pick<Storage, "write">,
    private readonly collect: Collector,
    private readonly monotonic: () => number,
    private readonly observer: BatchObserver,
  ) {}

  get flushedBatch(): number {
    return this.durable;
  }

  /** Number of the batch that the next staged write goes into. */
  get stagingBatch(): number {
    return this.next;
  }

  get queuedChanges(): number {
    return this.stagedChanges;
  }

  get broken(): Error | undefined {
    return this.failure;
  }

  put(key: string, value: Uint8Array): void {
    this.staged.set(key, value);
    this.touch();
  }

  delete(key: string): void {
    this.staged.set(key, null);
    this.touch();
  }

  /** Says that the collector will have something to write. `changes`: how many changes were staged. */
  touch(changes = 0): void {
    this.stagedChanges += changes;
    this.dirty = true;
    if (!this.running && this.failure === undefined) {
      this.running = true;
      queueMicrotask(() => void this.run());
    }
  }

  /** Calls back once everything staged so far is durable; at once if it is. Never calls back after a failure. */
  afterFlush(callback: () => void): void {
    if (this.failure !== undefined) return;
    if (this.dirty) this.waiting.push(callback);
    else if (this.durable < this.next - 1) this.inFlight.push(callback);
    else callback();
  }

  /** Resolves once everything staged so far is durable; rejects if the disk refuses. */
  flushed(): Promise<void> {
    if (this.failure !== undefined) return Promise.reject(this.failure);
    if (!this.dirty && this.durable === this.next - 1) return Promise.resolve();
    return new Promise((resolve, reject) => {
      this.rejections.add(reject);
      this.afterFlush(() => {
        this.rejections.delete(reject);
        resolve();
      });
    });
  }

  /** Resolves once the batch of this number is durable. */
  reached(batch: number): Promise<void> {
    if (batch <= this.durable) return Promise.resolve();
    if (this.failure !== undefined) return Promise.reject(this.failure);
    if (batch >= this.next) return this.flushed();
    return new Promise((resolve, reject) => {
      this.rejections.add(reject);
      this.inFlight.push(() => {
        this.rejections.delete(reject);
        resolve();
      });
    });
  }

  /** Resolves when nothing is staged or under way, or the disk has failed. */
  drained(): Promise<void> {
    if (!this.running) return Promise.resolve();
    return new Promise((resolve) => this.idle.push(resolve));
  }

  private async run(): Promise<void> {
    while (this.dirty && this.failure === undefined) {
      this.dirty = false;
      this.inFlight = this.waiting;
      this.waiting = [];
      const number = this.next++;
      const changes = this.stagedChanges;
      this.stagedChanges = 0;
      const writes: StorageWrite[] = [];
      for (const [key, value] of this.staged) writes.push(value === null ? { del: key } : { put: key, value });
      this.staged = new Map();
      for (const write of this.collect()) writes.push(write);
      const startedAt = this.monotonic();
      try {
        await this.storage.write(writes);
      } catch (error) {
        this.fail(error instanceof Error ? error : new Error(String(error)));
        break;
      }
      this.durable = number;
      this.observer.flushed(changes, writes.length, this.monotonic() - startedAt);
      const callbacks = this.inFlight;
      this.inFlight = [];
      for (const callback of callbacks) callback();
    }
    this.running = false;
    for (const resolve of this.idle.splice(0)) resolve();
  }

  /** Stops acknowledging. Also called when a read finds the store damaged. */
  fail(error: Error): void {
    if (this.failure !== undefined) return;
    this.failure = error;
    this.waiting = [];
    this.inFlight = [];
    for (const reject of this.rejections) reject(error);
    this.rejections.clear();
    this.observer.failed(error);
  }
}
