/**
 * Keeps the log bounded: what every member holds is folded into the documents' archives and then deleted from the log; above a
 * size bound also what a member lacks, which anti-entropy brings it then.
 *
 * Invariants:
 *  1. An entry leaves the log in the same batch in which its document's archive is known to hold its change.
 *  2. `floor` rises with every entry deleted, so that no peer waits for it.
 *  3. Entries that were stored in one record leave together.
 *  4. It never takes longer than a slice between two turns of the event loop, and rests while writers wait.
 *  5. While the log is within its bounds, archiving takes a part of the time only: a peer that comes back with much to take in needs
 *     the processor more. What is archived already is not looked at again for each slice.
 */
import type { Limits } from "../core/limits.js";
import type { Storage, StorageWrite } from "../core/ports.js";
import type { Vector } from "../core/vector.js";
import { QUARANTINED, readArrivals, type Arrival } from "./arrivals.js";
import type { ChangeLog } from "./change-log.js";
import type { HistoryOfDocument } from "./document-history.js";
import type { ArchivedDocument, NamedChange } from "./documents.js";
import { keyspace } from "./keyspace.js";
import { sometimes } from "../core/sometimes.js";

/** Folds changes into an archive; in production on another thread. */
export type Fold = (snapshot: ArchivedDocument | undefined, document: string, changes: readonly NamedChange[]) => Promise<ArchivedDocument>;

const SLICE_ENTRIES = 1_000;
/** Entries between two runs that make the trimmer rest. */
const BUSY_ENTRIES = 1_000;
/** Of the time between two runs, what archiving may take while the log is within its bounds. */
const ARCHIVING_SHARE = 0.25;
/** Documents whose archives' vectors are remembered over slices. */
const ARCHIVED_KNOWN_MAX = 10_000;

export class LogTrimmer {
  private running = false;
  private headBefore = 0;
  private stopped = false;
  /** Archives that could not be written; their documents keep their log entries. */
  readonly failed = new Set<string>();
  /** Document → what its stored archive holds. Only this class writes archives, and they only grow. */
  private readonly archived = new Map<string, Vector>();
  private archivingMs = 0;

  constructor(
    private readonly storage: Storage,
    private readonly log: ChangeLog,
    private readonly history: HistoryOfDocument,
    private readonly fold: Fold,
    private readonly limits: Limits,
    private readonly ports: {
      /** What every member holds. */
      stable(): Vector;
      /** Milliseconds that never go back. */
      monotonic(): number;
      warn(event: Record<string, unknown>, text: string): void;
    },
  ) {}

  stop(): void {
    this.stopped = true;
  }

  /** Deletes what may go, in slices. Resolves when nothing may go any more. */
  async run(): Promise<void> {
    if (this.running || this.isBusy()) return;
    this.running = true;
    this.archivingMs = 0;
    try {
      // Each slice waits for its batch, so writers come between; when they come in numbers, the rest is left for later.
      while (!this.stopped && this.log.batch.broken === undefined && (await this.slice()) && !this.isBusy(BUSY_ENTRIES / 10));
    } finally {
      this.running = false;
    }
  }

  /** True while writes come fast and the log may still grow: they go first. */
  private isBusy(entriesMax = BUSY_ENTRIES): boolean {
    const { head, tail, logBytes } = this.log.state;
    const grown = head - this.headBefore;
    this.headBefore = head;
    return grown > entriesMax && head - tail < this.limits.logEntriesMax && logBytes <= this.limits.logBytesMax;
  }

  /** True if something was deleted. */
  private async slice(): Promise<boolean> {
    const { state } = this.log;
    const surplus = state.head - state.tail + 1 - this.limits.logEntriesKept;
    const overflow = state.logBytes > this.limits.logBytesMax || state.head - state.tail >= this.limits.logEntriesMax;
    if (surplus <= 0 && !overflow) return false;
    const records = await readArrivals(this.storage, state.tail, overflow ? SLICE_ENTRIES : Math.min(surplus, SLICE_ENTRIES), Math.min(this.log.durableHead, overflow ? Number.POSITIVE_INFINITY : state.tail + surplus - 1));
    const stable = this.ports.stable();
    const end = overflow ? -1 : records.findIndex(({ arrivals }) => arrivals.some(({ origin, seq }) => seq > (stable[origin] ?? 0)));
    const whole = end < 0 ? records : records.slice(0, end);
    const trimmed = whole.flatMap(({ arrivals }) => arrivals);
    if (trimmed.length === 0) return false;
    sometimes("trimming: entries left the log");
    const writes: StorageWrite[] = [];
    const isArchived = await this.archiveAll(trimmed, writes, overflow);
    if (this.stopped) return false;
    if (!isArchived) {
      // What was archived so far is stored, and the entries stay for the next run.
      this.stage(writes);
      await this.log.batch.flushed();
      return false;
    }
    const bodies = await this.storage.getMany(trimmed.map(({ body }) => body));
    const bytes = bodies.reduce((sum, body) => sum + (body?.length ?? 0), 0);
    for (const { key } of whole) writes.push({ del: key });
    for (const { document, body } of trimmed) if (document !== QUARANTINED && !this.failed.has(document)) writes.push({ del: body });
    this.stage(writes);
    for (const { place, origin, seq } of trimmed) {
      state.floor[origin] = Math.max(state.floor[origin] ?? 0, seq);
      state.tail = place + 1;
    }
    state.logBytes = Math.max(0, state.logBytes - bytes);
    await this.log.batch.flushed();
    return true;
  }

  private stage(writes: readonly StorageWrite[]): void {
    for (const write of writes) {
      if ("put" in write) this.log.batch.put(write.put, write.value);
      else this.log.batch.delete(write.del);
    }
  }

  /** Archives the documents of these entries into `writes`. False if the time was over first and there was no need to go on. */
  private async archiveAll(trimmed: readonly Arrival[], writes: StorageWrite[], isUrgent: boolean): Promise<boolean> {
    const latest = new Map<string, Map<string, number>>();
    for (const { document, origin, seq } of trimmed) {
      if (document === QUARANTINED || document.split("/")[1] === "idempotency") continue;
      const of = latest.get(document) ?? new Map<string, number>();
      of.set(origin, Math.max(of.get(origin) ?? 0, seq));
      latest.set(document, of);
    }
    for (const [document, needed] of latest) {
      const known = this.archived.get(document);
      if (known !== undefined && [...needed].every(([origin, seq]) => (known[origin] ?? 0) >= seq)) continue;
      if (!isUrgent && this.archivingMs > this.limits.trimEveryMs * ARCHIVING_SHARE) return false;
      const startedMs = this.ports.monotonic();
      for (const write of await this.archive(document)) writes.push(write);
      this.archivingMs += this.ports.monotonic() - startedMs;
      if (this.stopped) return false;
    }
    return true;
  }

  /** Folds everything of a document that is not folded yet; the writes that store its archive. */
  private async archive(document: string): Promise<StorageWrite[]> {
    try {
      const before = await this.history.archive(document);
      const changes = await this.history.unfolded(document, before?.vector ?? {});
      const after = changes.length === 0 ? before : await this.fold(before, document, changes);
      if (after === undefined) return [];
      this.remember(document, after.vector);
      return after === before ? [] : archiveWrites(document, before, after);
    } catch (error) {
      this.failed.add(document);
      this.ports.warn({ event: "unfolded", document, error: String(error) }, "a document could not be archived; its changes are kept as they are");
      return [];
    }
  }

  private remember(document: string, vector: Vector): void {
    this.archived.delete(document);
    this.archived.set(document, vector);
    for (const oldest of this.archived.keys()) {
      if (this.archived.size <= ARCHIVED_KNOWN_MAX) break;
      this.archived.delete(oldest);
    }
  }
}

/** Numbers of chunks sort; a new base replaces all chunks. */
function archiveWrites(document: string, before: ArchivedDocument | undefined, after: ArchivedDocument): StorageWrite[] {
  const writes: StorageWrite[] = [];
  const name = (index: number): string => keyspace.archiveChunk(document, String(index).padStart(6, "0"));
  if (before?.base !== after.base) {
    writes.push({ put: keyspace.archive(document), value: after.base });
    for (let index = 0; index < (before?.chunks.length ?? 0); index++) writes.push({ del: name(index) });
  }
  after.chunks.forEach((chunk, index) => {
    if (before?.base !== after.base || before.chunks[index] !== chunk) writes.push({ put: name(index), value: chunk });
  });
  return writes;
}
