/**
 * Runs `core/replica.ts` on the log and the transport: takes entries in, applies them when they are ready, serves the log.
 *
 * Invariants:
 *  1. An entry is applied only after all that it depends on, and acknowledged only after it is durable.
 *  2. What waits for its dependencies is bounded per link; above the bound it is dropped and asked for again.
 *  3. A backlog is looked at, applied and made durable in slices, so that requests come between.
 *  4. Whatever a peer sends, the link goes on: damaged bytes are asked for again, what cannot be applied is quarantined.
 */
import type { Change } from "../core/change.js";
import type { Limits } from "../core/limits.js";
import type { Entry, Message } from "../core/messages.js";
import { Replica, type ReplicaEffect, type ReplicaEvent, type ReplicaHost } from "../core/replica.js";
import { EMPTY_VECTOR, isOrigin, type Vector } from "../core/vector.js";
import type { ChangeLog } from "./change-log.js";
import type { Counter, Metrics } from "./metrics.js";
import { sometimes } from "../core/sometimes.js";

interface Pending {
  readonly entry: Entry;
  /** Undefined: it cannot be applied and goes into quarantine. */
  readonly change: Change | undefined;
  readonly peer: string;
}

export interface ReplicationPorts {
  send(peer: string, message: Message): boolean;
  monotonic(): number;
  /** Called once in `ms`; the callback comes back on the event loop. */
  after(ms: number, callback: () => void): void;
  antiEntropyNeeded(peer: string): void;
  /** Runs a round of anti-entropy with a peer; true if it came to its end. */
  repair(peer: string): Promise<boolean>;
  warn(event: Record<string, unknown>, text: string): void;
  /** A broken invariant or a damaged store. */
  fatal(error: unknown): void;
}

/** Entries of one origin whose documents are loaded together. */
const LOAD_AHEAD = 500;
/** Entries between two looks at the clock. */
const CLOCK_EVERY = 8;

export class Replication {
  readonly replica: Replica;
  /** Entries by origin, contiguous from just beyond the vector. */
  private readonly pending = new Map<string, Pending[]>();
  private readonly pendingBytes = new Map<string, number>();
  /** What links delivered and nobody looked at yet; the links' windows bound it. */
  private inbox: { readonly peer: string; readonly entries: readonly Entry[] }[] = [];
  private sorting = false;
  private working = false;
  private again = false;
  private pushTimer = false;
  /** Rounds of anti-entropy on behalf of documents that lack what the logs have passed. */
  private readonly repairs = new Map<string, "running" | "over">();
  private readonly damagedEntries: Counter;
  private readonly quarantinedChanges: Counter;

  constructor(
    private readonly log: ChangeLog,
    host: Omit<ReplicaHost, "kept" | "durableVector" | "floor" | "ownOrigin" | "durableHead" | "recent">,
    peers: readonly string[],
    private readonly limits: Limits,
    private readonly ports: ReplicationPorts,
    metrics: Metrics,
  ) {
    this.damagedEntries = metrics.counter("statusmesh_replication_damaged_entries", "Log entries that arrived damaged and were asked for again", ["peer"]);
    this.quarantinedChanges = metrics.counter("statusmesh_replication_quarantined_changes", "Changes that could not be applied and were put aside");
    this.replica = new Replica({
      ...host,
      kept: log.kept,
      durableVector: () => log.durableVector,
      floor: () => log.state.floor,
      ownOrigin: () => log.state.origin,
      durableHead: () => log.durableHead,
      recent: (place, most) => log.recentFrom(place, Math.min(most, log.durableHead - place + 1)),
    }, peers, limits);
  }

  step(event: ReplicaEvent): void {
    for (const effect of this.replica.step(event, this.ports.monotonic())) this.run(effect);
  }

  private run(effect: ReplicaEffect): void {
    switch (effect.kind) {
      case "send":
        if (!this.ports.send(effect.peer, effect.message) && effect.message.$case === "entries") {
          this.step({ kind: "unsent", peer: effect.peer, bytes: effect.message.value.entries.reduce((sum, { body }) => sum + body.length, 0) });
        }
        return;
      case "locate":
        void this.locate(effect.peer, effect.ticket, effect.beyond).catch((error: unknown) => this.ports.fatal(error));
        return;
      case "readLog":
        void this.log.readFrom(effect.place, effect.most, (origin) => effect.isWanted(origin)).then(
          ({ entries, through }) => this.step({ kind: "read", peer: effect.peer, ticket: effect.ticket, entries, through }),
          (error: unknown) => this.ports.fatal(error),
        );
        return;
      case "antiEntropy":
        this.ports.antiEntropyNeeded(effect.peer);
    }
  }

  private async locate(peer: string, ticket: number, beyond: Vector): Promise<void> {
    let place = this.log.durableHead + 1;
    for (const origin in beyond) {
      const found = await this.log.locate(origin, (beyond[origin] ?? 0) + 1);
      if (found !== undefined && found < place) place = found;
    }
    this.step({ kind: "located", peer, ticket, place });
  }

  /** More is durable. Entries go out at once on a quiet link, else together after a short delay. */
  flushed(urgent: boolean): void {
    this.step({ kind: "flushed", urgent });
    if (this.pushTimer) return;
    this.pushTimer = true;
    this.ports.after(this.limits.pushDelayMs, () => {
      this.pushTimer = false;
      this.step({ kind: "flushed", urgent: true });
    });
  }

  /** Entries of a link. */
  receive(peer: string, entries: readonly Entry[]): void {
    this.step({ kind: "delivered", peer });
    this.inbox.push({ peer, entries });
    if (!this.sorting) this.sort();
  }

  /** Checks and queues what was delivered, as much as a slice takes. */
  private sort(): void {
    this.sorting = true;
    const slice = this.newSlice();
    while (this.inbox.length > 0 && !slice.isOver()) {
      const { peer, entries } = this.inbox.shift() ?? { peer: "", entries: [] };
      const taken = entries.slice(0, this.limits.sliceEntries);
      if (taken.length < entries.length) this.inbox.unshift({ peer, entries: entries.slice(taken.length) });
      this.queue(peer, taken);
    }
    this.work();
    this.sorting = this.inbox.length > 0;
    if (this.sorting) this.ports.after(0, () => this.sort());
  }

  private newSlice(): { isOver(): boolean; left: number } {
    const until = this.ports.monotonic() + this.limits.sliceMs;
    return { left: this.limits.sliceEntries, isOver: () => this.ports.monotonic() >= until };
  }

  private queue(peer: string, entries: readonly Entry[]): void {
    let gap = false;
    for (const entry of entries) {
      if (entry.origin === this.log.state.origin) {
        // Nobody writes our log but we; a peer that holds more of it puts us in doubt.
        this.consume(peer, entry.body.length);
        continue;
      }
      if (!this.isWellFormed(entry)) {
        this.consume(peer, entry.body.length);
        this.damagedEntries.add(1, peer);
        sometimes("replication: a damaged entry was asked for again");
        this.ports.warn({ event: "damaged-entry", peer, origin: entry.origin, seq: entry.seq }, "a log entry arrived damaged; it is asked for again");
        gap = true;
        continue;
      }
      const queue = this.pending.get(entry.origin) ?? [];
      const expected = (this.log.vector[entry.origin] ?? 0) + queue.length + 1;
      if (entry.seq !== expected) {
        this.consume(peer, entry.body.length);
        if (entry.seq > expected) gap = true;
        else sometimes("replication: an entry came twice");
        continue;
      }
      const parsed = this.log.parse(entry.body);
      if ("fault" in parsed) this.ports.warn({ event: "poison-change", peer, origin: entry.origin, seq: entry.seq, fault: parsed.fault }, "a change is put into quarantine");
      queue.push({ entry, change: "fault" in parsed ? undefined : parsed, peer });
      this.pending.set(entry.origin, queue);
      this.pendingBytes.set(peer, (this.pendingBytes.get(peer) ?? 0) + entry.body.length);
    }
    if (gap) this.step({ kind: "gap", peer });
  }

  private isWellFormed(entry: Entry): boolean {
    if (!isOrigin(entry.origin) || entry.origin === "~" || !Number.isSafeInteger(entry.seq) || entry.seq < 1) return false;
    return Buffer.compare(this.log.checksum(entry.body), entry.checksum) === 0;
  }

  /** Gives the bytes of entries back to the sender's window, once what was staged before is durable. */
  private consume(peer: string, bytes: number): void {
    this.log.batch.afterFlush(() => this.step({ kind: "consumed", peer, bytes }));
  }

  /** Called when a document has moved on by other means (own writes, repairs): something may be ready now. */
  poke(): void {
    if (this.pending.size > 0) this.work();
  }

  private work(): void {
    if (this.working) {
      this.again = true;
      return;
    }
    this.working = true;
    this.drain().catch((error: unknown) => this.ports.fatal(error));
  }

  private async drain(): Promise<void> {
    try {
      await this.drainPending();
    } finally {
      // In the turn in which the last look found nothing, or a call in between would be lost.
      this.working = false;
    }
  }

  private async drainPending(): Promise<void> {
    let ahead = LOAD_AHEAD;
    do {
      this.again = false;
      const wanted = new Set<string>();
      for (const queue of this.pending.values()) {
        for (const { change } of queue.slice(0, ahead)) if (change !== undefined && this.log.kept.keeps(change.document)) wanted.add(change.document);
      }
      // A batch is put together in one turn: it must not grow with the backlog.
      if (this.log.batch.queuedChanges >= this.limits.batchedEntries && !(await this.batchTaken())) return;
      // Where the cache is too small for all that is loaded ahead, the heads alone, held in memory, still make progress.
      const applyReady = (): boolean => this.log.batch.broken === undefined && this.applyReady();
      const any = ahead === 1 ? await this.log.table.withBodies(wanted, applyReady) : await this.log.table.load(wanted).then(applyReady);
      if (this.log.batch.broken !== undefined) return;
      ahead = any ? LOAD_AHEAD : 1;
      // A backlog is taken in slices, so that requests come between.
      if (this.again) await new Promise<void>((resolve) => this.ports.after(0, resolve));
    } while (this.again && this.log.batch.broken === undefined);
    this.dropSurplus();
  }

  /** Waits until what is staged is on its way to the disk; false if the disk refuses. */
  private batchTaken(): Promise<boolean> {
    const { batch } = this.log;
    return batch.reached(batch.stagingBatch - 1).then(() => true, () => false);
  }

  /** Applies what is ready among loaded documents; true if anything was. */
  private applyReady(): boolean {
    let any = false;
    const slice = this.newSlice();
    let { left } = slice;
    const consumed = new Map<string, number>();
    for (let progress = true; progress && left > 0; ) {
      progress = false;
      for (const [origin, queue] of this.pending) {
        let taken = 0;
        for (const item of queue) {
          if (left <= 0) {
            this.again = true;
            break;
          }
          left--;
          if (left % CLOCK_EVERY === 0 && slice.isOver()) left = 0;
          const expected = (this.log.vector[origin] ?? 0) + 1;
          if (item.entry.seq >= expected) {
            if (item.entry.seq !== expected || !this.canApply(item)) {
              if (item.change !== undefined && !this.log.ready(item.change)) sometimes("replication: an entry waited for what it depends on");
              break;
            }
            this.applyOne(item);
          }
          consumed.set(item.peer, (consumed.get(item.peer) ?? 0) + item.entry.body.length);
          taken++;
        }
        if (taken === 0) continue;
        progress = any = true;
        if (taken === queue.length) this.pending.delete(origin);
        else this.pending.set(origin, queue.slice(taken));
      }
    }
    for (const [peer, bytes] of consumed) {
      this.pendingBytes.set(peer, (this.pendingBytes.get(peer) ?? 0) - bytes);
      this.consume(peer, bytes);
    }
    if (any) this.log.batch.afterFlush(() => this.step({ kind: "flushed", urgent: false }));
    return any;
  }

  private canApply(item: Pending): boolean {
    const { change } = item;
    if (change === undefined || !this.log.kept.keeps(change.document)) return true;
    if (!this.log.ready(change)) return this.isOrphan(item, change);
    const record = this.log.table.find(change.document);
    if (record === undefined || record.state !== undefined) return true;
    this.again = true;
    return false;
  }

  private applyOne(item: Pending): void {
    const { change, entry } = item;
    if (change !== undefined && !this.log.kept.keeps(change.document)) {
      this.log.pass(entry);
      return;
    }
    if (change !== undefined && this.log.ready(change)) {
      this.repairs.delete(change.document);
      this.log.accept(entry, change);
      return;
    }
    this.quarantinedChanges.add();
    this.log.quarantine(entry);
    if (change !== undefined) this.ports.warn({ event: "poison-change", origin: entry.origin, seq: entry.seq, fault: "follows a change that could not be applied" }, "a change is put into quarantine");
  }

  /**
   * True if what a change depends on passed by in the logs without reaching its document (it is in quarantine, or the document was
   * damaged here) and anti-entropy could not bring it either: waiting longer would stop the link for ever.
   */
  private isOrphan(item: Pending, change: Change): boolean {
    const { document, context } = change;
    const held = this.log.table.find(document)?.vector ?? EMPTY_VECTOR;
    const passed = Object.keys(context).some((origin) => (context[origin] ?? 0) > (held[origin] ?? 0) && (this.log.vector[origin] ?? 0) >= (context[origin] ?? 0));
    if (!passed) return false;
    const repair = this.repairs.get(document);
    if (repair === "over") return true;
    if (repair === "running") return false;
    this.repairs.set(document, "running");
    this.ports.repair(item.peer).then((finished) => {
      if (finished) this.repairs.set(document, "over");
      else this.repairs.delete(document);
      this.work();
    }, (error: unknown) => this.ports.fatal(error));
    return false;
  }

  /** Drops what waits for its dependencies where a link has more of it than its bound; the link is asked again later. */
  private dropSurplus(): void {
    for (const [peer, bytes] of this.pendingBytes) {
      if (bytes <= this.limits.pendingEntriesBytes) continue;
      for (const [origin, queue] of this.pending) {
        const first = queue.findIndex((item) => item.peer === peer);
        if (first < 0) continue;
        for (const item of queue.slice(first)) {
          this.pendingBytes.set(item.peer, (this.pendingBytes.get(item.peer) ?? 0) - item.entry.body.length);
          this.consume(item.peer, item.entry.body.length);
        }
        if (first === 0) this.pending.delete(origin);
        else this.pending.set(origin, queue.slice(0, first));
      }
      this.step({ kind: "gap", peer });
    }
  }

  /** Bytes of entries that wait for what they depend on. */
  get waitingBytes(): number {
    let bytes = 0;
    for (const waiting of this.pendingBytes.values()) bytes += waiting;
    return bytes;
  }
}
