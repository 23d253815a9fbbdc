/**
 * Tells shared caches what has changed. Each replica does so when a change is durable with it, so the last purge comes after the last
 * replica that a cache may ask has the change.
 *
 * Invariants:
 *  1. A key is purged after its change is durable here, and again if it changes while a purge is under way.
 *  2. One request at a time goes to a cache; what comes meanwhile goes into the next. Beyond a bound of keys everything is purged.
 *  3. A purge that failed is tried again, later each time.
 *  4. A cache's mark is a position up to which it was told everything. The next start goes on from there, also after a kill; where what lies
 *     beyond is not known any more, everything is purged.
 */
import type { Clock, OutboundRequest, Random, Sender, Timer, Timers } from "../core/ports.js";
import { isFault } from "../core/errors.js";
import { copyVector, surplus, type Vector } from "../core/vector.js";
import type { DataPlane } from "./data-plane.js";
import type { Counter, Metrics } from "./metrics.js";
import { purgeKeysOf } from "./surrogate-keys.js";

/** What a cache is asked: these surrogate keys, or everything. */
export type PurgeDemand = readonly string[] | "everything";

export interface PurgeTarget {
  /** Names it in metrics. */
  readonly name: string;
  /** Tells it from every other cache: one that is configured anew owes nothing to a mark of before. */
  readonly address: string;
  /** Keys that one request takes. */
  readonly keysMax: number;
  /** Time from one request to the next, at least, ms. */
  readonly pauseMs: number;
  requestOf(demand: PurgeDemand): Promise<OutboundRequest> | OutboundRequest;
}

export const purgeLimits = { keysMax: 10_000, entriesReadMax: 10_000, gatherMs: 20, answerMs: 10_000, retryMinMs: 500, retryMaxMs: 60_000, marksWrittenMs: 500 } as const;

/** Where the marks outlive the process: one text, written whole. */
export interface PurgeMarks {
  /** Undefined if there is none yet. */
  read(): Promise<string | undefined>;
  write(text: string): Promise<void>;
}

export interface PurgePorts {
  readonly marks: PurgeMarks;
  readonly sender: Sender;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly metrics: Metrics;
  warn(event: Readonly<Record<string, unknown>>, text: string): void;
}

const MARKS_FORMAT = 1;

/** The queue of one cache. */
class PurgeQueue {
  private readonly keys = new Set<string>();
  private everything = false;
  private timer: Timer | undefined;
  private isSending = false;
  private isClosed = false;
  private failures = 0;
  /** True while it is not known what this cache was not told before the start. */
  private isBehind = true;
  /** What this replica held when it last told what is waiting; undefined while nothing was told. */
  private reached: Vector | undefined;
  /** All up to here was told; null: what was not told is not known, so everything must be. Undefined before the first time. */
  mark: Vector | null | undefined;
  private sentAtMs = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly target: PurgeTarget,
    private readonly ports: PurgePorts,
    private readonly requests: Counter,
    private readonly marked: (when?: "at once") => void,
  ) {}

  get waiting(): number {
    return this.everything ? purgeLimits.keysMax : this.keys.size;
  }

  get name(): string {
    return this.target.name;
  }

  get address(): string {
    return this.target.address;
  }

  /** `reached`: what this replica holds with these. `repaired`: some of them stand in no log, so that a start could not find them. */
  add(keys: ReadonlySet<string>, reached: Vector, repaired = false): void {
    this.reached = reached;
    if (keys.size === 0) {
      if (this.waiting === 0 && !this.isSending) this.settled(reached);
      return;
    }
    if (repaired && this.mark !== null) {
      this.mark = null;
      this.marked("at once");
    }
    this.wait(keys);
  }

  private wait(keys: Iterable<string>): void {
    if (!this.everything) for (const key of keys) this.keys.add(key);
    if (this.keys.size > purgeLimits.keysMax) this.all();
    this.schedule();
  }

  private all(): void {
    this.keys.clear();
    this.everything = true;
  }

  /** It is known what was not told before: these keys (of what was held at `reached`), or everything. */
  caughtUp(keys: ReadonlySet<string> | "everything", reached: Vector): void {
    this.isBehind = false;
    this.reached ??= reached;
    if (keys === "everything") this.all();
    else this.wait(keys);
    if (this.waiting === 0 && !this.isSending) this.settled(this.reached);
    else this.schedule();
  }

  /** All that was held then has been told. */
  private settled(reached: Vector | undefined): void {
    if (this.isBehind || reached === undefined) return;
    this.mark = reached;
    this.marked();
  }

  close(): void {
    this.isClosed = true;
    this.timer?.cancel();
  }

  private schedule(afterMs = 0): void {
    if (this.isClosed || this.isSending || this.timer !== undefined || this.waiting === 0) return;
    const restMs = this.sentAtMs + this.target.pauseMs - this.ports.clock.monotonic();
    this.timer = this.ports.timers.after(Math.max(purgeLimits.gatherMs, afterMs, restMs), () => {
      this.timer = undefined;
      void this.send();
    });
  }

  private async send(): Promise<void> {
    const demand: PurgeDemand = this.everything ? "everything" : [...this.keys].slice(0, this.target.keysMax);
    if (demand === "everything") this.everything = false;
    else for (const key of demand) this.keys.delete(key);
    // With the last that waits, all is told that is held now.
    const reached = this.waiting === 0 ? this.reached : undefined;
    this.isSending = true;
    this.sentAtMs = this.ports.clock.monotonic();
    let fault: string | undefined;
    let retryAfterMs = 0;
    try {
      const answer = await this.ports.sender.send(await this.target.requestOf(demand), purgeLimits.answerMs);
      if (answer === undefined) fault = "no answer";
      else if (answer.status >= 300) fault = `status ${answer.status}`;
      retryAfterMs = Math.min(purgeLimits.retryMaxMs, (Number(answer?.headers["retry-after"]) || 0) * 1_000);
    } catch (error) {
      fault = String(error);
    }
    this.isSending = false;
    this.requests.add(1, this.target.name, fault === undefined ? "done" : "failed");
    if (fault === undefined) {
      this.failures = 0;
      this.settled(reached);
      this.schedule();
      return;
    }
    if (this.failures === 0) this.ports.warn({ event: "purge-failed", cache: this.target.name, fault }, "a cache could not be told of changes; it is tried again");
    this.failures++;
    if (demand === "everything") this.all();
    else this.wait(demand);
    const backoffMs = Math.min(purgeLimits.retryMaxMs, purgeLimits.retryMinMs * 2 ** Math.min(this.failures - 1, 16)) * (0.5 + 0.5 * this.ports.random.uniform());
    this.timer?.cancel();
    this.timer = undefined;
    this.schedule(Math.max(backoffMs, retryAfterMs));
  }
}

/** Follows the log and purges, from where it was left. Returns what ends it. */
export function purgeCaches(data: Pick<DataPlane, "feed" | "latest">, targets: readonly PurgeTarget[], ports: PurgePorts): () => Promise<void> {
  const requests = ports.metrics.counter("statusmesh_purge_requests", "Requests to shared caches to forget what has changed.", ["cache", "outcome"]);
  const queues: PurgeQueue[] = [];
  const file = new MarksFile(queues, ports);
  for (const target of targets) queues.push(new PurgeQueue(target, ports, requests, (when) => (when === undefined ? file.writeLater() : file.write())));
  ports.metrics.gauge("statusmesh_purge_waiting_keys", "Surrogate keys that wait to be purged.", ["cache"], () => queues.map((queue) => [queue.waiting, queue.name] as const));
  const { feed } = data;
  const leave = feed.follow({
    changed: ({ changes, vector }) => {
      const keys = new Set<string>();
      for (const { document } of changes) for (const key of purgeKeysOf(document)) keys.add(key);
      const repaired = changes.some(({ entry }) => entry === undefined);
      for (const queue of queues) queue.add(keys, vector, repaired);
    },
    // Only durable changes were ever shown: there is nothing to take back.
    reset: () => {},
  });
  const start = copyVector(feed.vector);
  const reading = file.read().then(async (marks) => {
    for (const queue of queues) queue.caughtUp(marks === "damaged" ? "everything" : await keysBeyond(data, marks.get(queue.address), start), start);
  }).catch((error: unknown) => {
    ports.warn({ event: "purge-marks", fault: String(error) }, "it could not be read what caches were told before: they are told to forget everything");
    for (const queue of queues) queue.caughtUp("everything", start);
  });
  return async () => {
    leave();
    for (const queue of queues) queue.close();
    await reading;
    await file.close();
  };
}

/** What is to be purged for what came between two positions. No mark: a cache that is new here, which holds nothing from before. */
async function keysBeyond(data: Pick<DataPlane, "latest">, mark: Vector | null | undefined, reached: Vector): Promise<ReadonlySet<string> | "everything"> {
  const keys = new Set<string>();
  if (mark === undefined) return keys;
  if (mark === null) return "everything";
  const missing = surplus(reached, mark);
  if (missing === 0) return keys;
  if (missing > purgeLimits.entriesReadMax) return "everything";
  const items = await data.latest(purgeLimits.entriesReadMax);
  if (isFault(items)) return "everything";
  const beyond = items.filter(({ origin, seq }) => seq > (mark[origin] ?? 0) && seq <= (reached[origin] ?? 0));
  // What anti-entropy brought stands in no log.
  if (beyond.length < missing) return "everything";
  for (const { document } of beyond) if (document !== "") for (const key of purgeKeysOf(document)) keys.add(key);
  return keys;
}

/** The marks of all caches, by address. */
class MarksFile {
  private timer: Timer | undefined;
  private writing: Promise<void> = Promise.resolve();
  private isClosed = false;
  private hasFailed = false;

  constructor(
    private readonly queues: readonly PurgeQueue[],
    private readonly ports: PurgePorts,
  ) {}

  async read(): Promise<ReadonlyMap<string, Vector | null> | "damaged"> {
    const text = await this.ports.marks.read();
    if (text === undefined) return new Map();
    try {
      const { format, marks } = JSON.parse(text) as { readonly format: number; readonly marks: Readonly<Record<string, Vector | null>> };
      return format === MARKS_FORMAT ? new Map(Object.entries(marks)) : "damaged";
    } catch {
      return "damaged";
    }
  }

  writeLater(): void {
    if (this.isClosed) return;
    this.timer ??= this.ports.timers.after(purgeLimits.marksWrittenMs, () => {
      this.write();
    });
  }

  async close(): Promise<void> {
    this.isClosed = true;
    if (this.timer !== undefined) this.write();
    await this.writing;
  }

  write(): void {
    this.timer?.cancel();
    this.timer = undefined;
    this.writing = this.writing.then(async () => {
      const marks = Object.fromEntries(this.queues.flatMap(({ address, mark }) => (mark === undefined ? [] : [[address, mark]])));
      await this.ports.marks.write(JSON.stringify({ format: MARKS_FORMAT, marks }));
      this.hasFailed = false;
    }).catch((error: unknown) => {
      if (!this.hasFailed) this.ports.warn({ event: "purge-marks", fault: String(error) }, "what caches were told could not be written down: after a restart they may be told again");
      this.hasFailed = true;
    });
  }
}
