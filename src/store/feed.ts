/**
 * What the log has made durable, told to those who follow it: caches, projections, event streams. Outlives the engines of its replica.
 *
 * Invariants:
 *  1. A change is told once, after the batch that holds it is durable, and before the writer that waits for it is answered.
 *  2. Changes are told in an order in which each comes after all that it depends on.
 *  3. Nobody who follows is waited for: a listener returns at once and keeps its own bounded queue.
 */
import type { Change } from "../core/change.js";
import type { Dot } from "../core/document.js";
import { copyVector, EMPTY_VECTOR, type Vector } from "../core/vector.js";

/** A change that has just become durable here. */
export interface DurableChange {
  readonly document: string;
  readonly change: Change;
  readonly dot: Dot;
  /** Its entry in a log; undefined where anti-entropy brought it, which goes by no log. */
  readonly entry: { readonly origin: string; readonly seq: number } | undefined;
}

export interface SilentEntry {
  readonly origin: string;
  readonly seq: number;
  readonly document: string;
  readonly dot: Dot;
}

export interface FeedBatch {
  readonly changes: readonly DurableChange[];
  /** Changes and silent entries that stand in a log, in its order. */
  readonly entries: readonly (DurableChange | SilentEntry)[];
  /** Log entries that say nothing new: a decided change that another log has told, kept answers, quarantine. */
  readonly silent: readonly SilentEntry[];
  /** What is durable here with this batch. */
  readonly vector: Vector;
}

export interface FeedListener {
  /** Synchronous, and quick. */
  changed(batch: FeedBatch): void;
  /** The store was opened anew: what was told may not be all, and anything may have changed. */
  reset(): void;
}

export interface ChangeFeed {
  /** What is durable here. */
  readonly vector: Vector;
  /** Ends with the returned call. */
  follow(listener: FeedListener): () => void;
}

interface Staged {
  readonly batch: number;
  readonly document: string;
  readonly change: Change;
  readonly dot: Dot;
  entry: { readonly origin: string; readonly seq: number } | undefined;
}

export class Feed implements ChangeFeed {
  vector: Vector = EMPTY_VECTOR;
  private readonly listeners = new Set<FeedListener>();
  private staged: (Staged | { readonly batch: number; readonly silent: SilentEntry })[] = [];

  constructor(private readonly failed: (error: unknown) => void) {}

  follow(listener: FeedListener): () => void {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  }

  /** An engine begins. `vector`: what its disk holds. */
  opened(vector: Vector): void {
    this.staged = [];
    this.vector = copyVector(vector);
    this.each((listener) => listener.reset());
  }

  /** A document took a change; `batch` is the one that will make it durable. */
  applied(batch: number, document: string, change: Change, dot: Dot): void {
    this.staged.push({ batch, document, change, dot, entry: undefined });
  }

  /** A log took an entry, which told the change of `dot` if it was applied just before. */
  logged(batch: number, entry: { readonly origin: string; readonly seq: number }, document: string, dot: Dot): void {
    const last = this.staged.at(-1);
    if (last !== undefined && "change" in last && last.entry === undefined && last.document === document && last.dot.origin === dot.origin && last.dot.seq === dot.seq) last.entry = { origin: entry.origin, seq: entry.seq };
    else this.staged.push({ batch, silent: { origin: entry.origin, seq: entry.seq, document, dot } });
  }

  /** All batches up to this number are durable. */
  flushed(batch: number, vector: Vector): void {
    let count = 0;
    const changes: DurableChange[] = [];
    const silent: SilentEntry[] = [];
    const entries: (DurableChange | SilentEntry)[] = [];
    for (const item of this.staged) {
      if (item.batch > batch) break;
      count++;
      if ("silent" in item) {
        silent.push(item.silent);
        entries.push(item.silent);
      } else {
        changes.push(item);
        if (item.entry !== undefined) entries.push(item);
      }
    }
    this.staged.splice(0, count);
    this.vector = vector;
    if (this.listeners.size === 0) return;
    const told: FeedBatch = { changes, entries, silent, vector };
    this.each((listener) => listener.changed(told));
  }

  /** One who follows must not disturb the log, nor the others. */
  private each(tell: (listener: FeedListener) => void): void {
    for (const listener of this.listeners) {
      try {
        tell(listener);
      } catch (error) {
        this.failed(error);
      }
    }
  }
}
