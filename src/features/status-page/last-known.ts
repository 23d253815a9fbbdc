/**
 * Keeps a static copy of each page on disk, for when nothing is left that can render.
 *
 * Invariants:
 *  1. A page's copy is written at most once a second, one page at a time, and the rest between two is longer the longer the last took.
 *     A page that takes long rests by itself, 20 s at most, while others are copied: how long is measured by the clock on the wall, so that it may just be a busy machine.
 *     Between two of its answers a copy rests for as long as the last one took, and while it is flooded: what it has rendered would otherwise be one turn of the event loop, which nobody else gets into.
 *     While changes come in by the hundreds a second, or a peer that is back is sent as many, copies wait, a minute at most: each would be outdated when it
 *     is written, and who makes up for a backlog has better things to do.
 *  2. What cannot be written is tried again, and disturbs nothing else. It is said once.
 *  3. A copy goes only with its page: not because this replica does not know the page (any more, or yet).
 */
import { parseKey, keyOf } from "../../core/document.js";
import { isFault } from "../../core/errors.js";
import type { Clock, Timer, Timers } from "../../core/ports.js";
import type { DataPlane } from "../../store/data-plane.js";
import type { Counter, Metrics } from "../../store/metrics.js";
import { staticCopyOf, type CopyAnswer, type CopyFile } from "./static-copy.js";

/** Where the copies are, a folder a page. Rejects with the error of the file system. */
export interface CopyFolders {
  pages(): Promise<readonly string[]>;
  /** When the page's copy was written, ms since the epoch; undefined if there is none. */
  writtenAtMs(page: string): Promise<number | undefined>;
  write(page: string, files: readonly CopyFile[]): Promise<void>;
  remove(page: string): Promise<void>;
}

export interface LastKnownPorts {
  readonly data: DataPlane;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly metrics: Metrics;
  readonly folders: CopyFolders;
  /** False for a page that this replica does not keep. */
  keeps(page: string): boolean;
  /** Asks this replica itself. */
  ask(path: string): Promise<CopyAnswer & { readonly lastModified?: string | undefined }>;
  warn(event: Readonly<Record<string, unknown>>, text: string): void;
}

export const lastKnownLimits = { gatherMs: 1_000, retryMs: 5_000, restFactor: 20, restMaxMs: 10_000, ownRestMaxMs: 20_000, turnRestMaxMs: 250, floodChanges: 500, floodWaitsMaxMs: 60_000 } as const;

/** Documents of a page that its public representations show. */
const PUBLIC_TYPES: ReadonlySet<string> = new Set(["component", "component-group", "incident", "maintenance"]);
/** As `features/pages` takes them: what is no such name is no folder's either. */
const PAGE_ID = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

interface Due {
  /** Monotonic. */
  readonly atMs: number;
  /** Only if the copy that is there is older than the page. */
  readonly ifOlder: boolean;
}

type Outcome = "written" | "removed" | "as-it-was" | "not-yet";

class LastKnown {
  /** Pages that are to be written. */
  private readonly due = new Map<string, Due>();
  /** Pages that took long, and until when they rest. Monotonic. */
  private readonly ownRestUntilMs = new Map<string, number>();
  private readonly copies: Counter;
  private readonly leave: () => void;
  private timer: Timer | undefined;
  private running: Promise<void> | undefined;
  /** Of the copy that is being made: the time between its answers. */
  private restedMs = 0;
  private restUntilMs = Number.NEGATIVE_INFINITY;
  /** Changes since `countedSinceMs`, for a second each. Monotonic. */
  private counted = 0;
  private countedSinceMs = Number.NEGATIVE_INFINITY;
  private floodSinceMs = Number.NEGATIVE_INFINITY;
  private floodUntilMs = Number.NEGATIVE_INFINITY;
  private isClosed = false;
  private isFailing = false;

  constructor(private readonly ports: LastKnownPorts) {
    this.copies = ports.metrics.counter("statusmesh_last_known_copies", "Static copies of pages on disk: written, removed, or failed and tried again.", ["outcome"]);
    ports.metrics.gauge("statusmesh_last_known_waiting_pages", "Pages whose static copy is to be written.", [], () => [[this.due.size]]);
    this.leave = ports.data.feed.follow({
      changed: ({ changes }) => {
        this.count(changes.length);
        for (const { document } of changes) this.changed(document);
      },
      reset: () => void this.lookAtAll(),
    });
    void this.lookAtAll();
  }

  async close(): Promise<void> {
    this.isClosed = true;
    this.leave();
    this.timer?.cancel();
    await this.running;
  }

  private count(changes: number): void {
    const now = this.ports.clock.monotonic();
    if (now - this.countedSinceMs >= lastKnownLimits.gatherMs) {
      this.counted = 0;
      this.countedSinceMs = now;
    }
    this.counted += changes;
    if (this.counted >= lastKnownLimits.floodChanges) this.flooded();
  }

  private flooded(): void {
    const now = this.ports.clock.monotonic();
    if (now > this.floodUntilMs) this.floodSinceMs = now;
    this.floodUntilMs = now + lastKnownLimits.gatherMs;
  }

  private isFlooded(): boolean {
    const { clock, data } = this.ports;
    if (data.cluster().peers.some(({ state, unacknowledged_changes: changes }) => state === "up" && changes >= lastKnownLimits.floodChanges)) this.flooded();
    return this.calmAtMs > clock.monotonic();
  }

  /** Until when copies wait for a flood to end, monotonic ms. */
  private get calmAtMs(): number {
    return Math.min(this.floodUntilMs, this.floodSinceMs + lastKnownLimits.floodWaitsMaxMs);
  }

  private changed(document: string): void {
    const { partition, type, id } = parseKey(document);
    if (partition === "~" ? type === "page" : PUBLIC_TYPES.has(type)) this.add(partition === "~" ? id : partition, false);
  }

  /** Pages that are here, and those that copies are there of. */
  private async lookAtAll(): Promise<void> {
    try {
      const pages = await this.ports.data.read({ documents: [], render: (snapshot) => snapshot.list("~", "page").map(({ id }) => id) }, { level: "LOCAL" });
      if (!isFault(pages)) for (const page of pages.value) if (this.ports.keeps(page)) this.add(page, true);
      for (const page of await this.ports.folders.pages()) this.add(page, true);
    } catch (error) {
      this.failed("", error);
    }
  }

  private add(page: string, ifOlder: boolean, afterMs: number = lastKnownLimits.gatherMs): void {
    const known = this.due.get(page);
    if (!PAGE_ID.test(page) || (known !== undefined && (ifOlder || !known.ifOlder))) return;
    this.due.set(page, { atMs: known?.atMs ?? this.ports.clock.monotonic() + afterMs, ifOlder });
    this.timer?.cancel();
    this.timer = undefined;
    this.schedule();
  }

  private schedule(): void {
    const next = this.first();
    if (this.isClosed || this.running !== undefined || this.timer !== undefined || next === undefined) return;
    this.timer = this.ports.timers.after(Math.max(0, Math.max(this.turnOf(next), this.restUntilMs, this.calmAtMs) - this.ports.clock.monotonic()), () => {
      this.timer = undefined;
      if (this.isFlooded()) return this.schedule();
      this.running = this.next().finally(() => {
        this.running = undefined;
        this.schedule();
      });
    });
  }

  private first(): readonly [string, Due] | undefined {
    let first: readonly [string, Due] | undefined;
    for (const entry of this.due) if (first === undefined || this.turnOf(entry) < this.turnOf(first)) first = entry;
    return first;
  }

  /** When a page may be copied, monotonic ms: what changed while a slow copy was made waits as well. */
  private turnOf([page, { atMs }]: readonly [string, Due]): number {
    return Math.max(atMs, this.ownRestUntilMs.get(page) ?? atMs);
  }

  private async next(): Promise<void> {
    const first = this.first();
    if (first === undefined) return;
    const [page, { ifOlder }] = first;
    this.due.delete(page);
    const { clock } = this.ports;
    const startedMs = clock.monotonic();
    this.restedMs = 0;
    try {
      const outcome = await this.keep(page, ifOlder);
      if (outcome === "not-yet") this.add(page, ifOlder, lastKnownLimits.retryMs);
      else if (outcome !== "as-it-was") {
        this.copies.add(1, outcome);
        this.isFailing = false;
      }
      const restMs = lastKnownLimits.restFactor * (clock.monotonic() - startedMs - this.restedMs);
      this.restUntilMs = clock.monotonic() + Math.min(lastKnownLimits.restMaxMs, restMs);
      if (restMs > lastKnownLimits.restMaxMs) this.ownRestUntilMs.set(page, clock.monotonic() + Math.min(lastKnownLimits.ownRestMaxMs, restMs));
      else this.ownRestUntilMs.delete(page);
    } catch (error) {
      this.failed(page, error);
      this.restUntilMs = clock.monotonic() + lastKnownLimits.retryMs;
      this.add(page, ifOlder);
    }
  }

  private failed(page: string, error: unknown): void {
    this.copies.add(1, "failed");
    if (!this.isFailing && !this.isClosed) this.ports.warn({ event: "last-known-failed", page, err: error }, "the static copy of a page could not be written; it is tried again");
    this.isFailing = true;
  }

  private async askInTurn(path: string): Promise<CopyAnswer> {
    const { ask, clock } = this.ports;
    const startedMs = clock.monotonic();
    const answer = await ask(path);
    const answeredMs = clock.monotonic();
    await this.rest(answeredMs - startedMs);
    while (this.isFlooded() && !this.isClosed) await this.rest(lastKnownLimits.turnRestMaxMs);
    this.restedMs += clock.monotonic() - answeredMs;
    return answer;
  }

  private rest(ms: number): Promise<void> {
    return new Promise((resolve) => void this.ports.timers.after(Math.min(lastKnownLimits.turnRestMaxMs, ms), resolve));
  }

  private async keep(page: string, ifOlder: boolean): Promise<Outcome> {
    const { ask, clock, data, folders, keeps } = this.ports;
    const key = keyOf("~", "page", page);
    const seen = await data.read({ documents: [], render: (snapshot) => ({ isThere: snapshot.document(key) !== undefined, isKnown: snapshot.taken(key) }) }, { level: "LOCAL" });
    if (isFault(seen)) throw seen;
    const writtenAtMs = await folders.writtenAtMs(page);
    if (!keeps(page) || (seen.value.isKnown && !seen.value.isThere)) {
      if (writtenAtMs === undefined) return "as-it-was";
      await folders.remove(page);
      return "removed";
    }
    if (!seen.value.isThere) return "as-it-was";
    if (!data.holdsPage(page)) return "not-yet";
    // HTTP tells whole seconds.
    if (ifOlder && writtenAtMs !== undefined && Date.parse((await ask(`/pages/${page}`)).lastModified ?? "") + 1_000 <= writtenAtMs) return "as-it-was";
    const copy = await staticCopyOf((path) => this.askInTurn(path), page, clock.now());
    if ("status" in copy) throw new Error(`${copy.path} was answered with ${copy.status}`);
    await folders.write(page, copy);
    return "written";
  }
}

/** Follows the log and keeps the copies. Returns what ends it. */
export function keepLastKnown(ports: LastKnownPorts): () => Promise<void> {
  const kept = new LastKnown(ports);
  return () => kept.close();
}
