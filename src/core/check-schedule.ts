/**
 * When each check is due: a binary heap over due times.
 *
 * Invariants:
 *  1. A check is due at its first time, at its second, and every interval after that: what runs late moves nothing that comes later.
 *  2. Times that passed while nobody looked are left out, all but the latest.
 *  3. A key that was set anew or dropped is not due by its former times.
 */
interface Entry {
  readonly key: string;
  readonly intervalMs: number;
  dueMs: number;
  /** What `dueMs` is next. */
  nextMs: number;
}

export interface DueCheck {
  readonly key: string;
  /** On the clock that `takeDue` was asked by, ms. */
  readonly dueMs: number;
}

export class CheckSchedule {
  private readonly heap: Entry[] = [];
  private readonly entries = new Map<string, Entry>();

  get size(): number {
    return this.entries.size;
  }

  /** `secondMs`: at most an interval after the first. */
  set(key: string, intervalMs: number, firstMs: number, secondMs = firstMs + intervalMs): void {
    const entry: Entry = { key, intervalMs, dueMs: firstMs, nextMs: secondMs };
    this.entries.set(key, entry);
    this.push(entry);
  }

  delete(key: string): void {
    this.entries.delete(key);
  }

  /** When the next check is due; undefined if there is none. */
  nextMs(): number | undefined {
    this.skipStale();
    return this.heap[0]?.dueMs;
  }

  /** The checks that are due, the longest due first; each is due again an interval later. */
  takeDue(nowMs: number): DueCheck[] {
    const due: DueCheck[] = [];
    for (let next = this.nextMs(); next !== undefined && next <= nowMs; next = this.nextMs()) {
      const entry = this.pop();
      if (entry === undefined) break;
      const missed = Math.max(0, 1 + Math.floor((nowMs - entry.nextMs) / entry.intervalMs));
      due.push({ key: entry.key, dueMs: missed === 0 ? entry.dueMs : entry.nextMs + (missed - 1) * entry.intervalMs });
      entry.dueMs = entry.nextMs + missed * entry.intervalMs;
      entry.nextMs = entry.dueMs + entry.intervalMs;
      this.push(entry);
    }
    return due;
  }

  private skipStale(): void {
    for (let first = this.heap[0]; first !== undefined && this.entries.get(first.key) !== first; first = this.heap[0]) this.pop();
  }

  private push(entry: Entry): void {
    const { heap } = this;
    let at = heap.push(entry) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = heap[parent];
      if (above === undefined || above.dueMs <= entry.dueMs) break;
      heap[at] = above;
      at = parent;
    }
    heap[at] = entry;
  }

  private pop(): Entry | undefined {
    const { heap } = this;
    const first = heap[0];
    const last = heap.pop();
    if (first === undefined || last === undefined || heap.length === 0) return first;
    let at = 0;
    for (;;) {
      const left = 2 * at + 1;
      const right = left + 1;
      const least = (heap[right]?.dueMs ?? Number.POSITIVE_INFINITY) < (heap[left]?.dueMs ?? Number.POSITIVE_INFINITY) ? right : left;
      const child = heap[least];
      if (child === undefined || child.dueMs >= last.dueMs) break;
      heap[at] = child;
      at = least;
    }
    heap[at] = last;
    return first;
  }
}

/** A number in [0, 1) that a text always gives (FNV-1a), for spreading checks over their interval. */
export function spreadOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index++) hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  // The last bytes of similar texts differ in the low bits only: mix them.
  hash ^= hash >>> 15;
  hash = Math.imul(hash, 0x85ebca6b);
  hash ^= hash >>> 13;
  return (hash >>> 0) / 2 ** 32;
}
