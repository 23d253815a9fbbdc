/**
 * Tells shared caches what has changed. Each replica does so when a change is durable with it, so the last purge comes after the last
 * replica that a cache may ask has the change.
 *
 * Invariants:
 *  1. A key is purged after its change is durable here, and again if it changes while a purge is under way.
 *  2. One request at a time goes to a cache; what comes meanwhile goes into the next. Beyond a bound of keys everything is purged.
 *  3. A purge that failed is tried again, later each time, for as long as the process runs.
 */
import type { Clock, OutboundRequest, Random, Sender, Timer, Timers } from "../core/ports.js";
import type { ChangeFeed } from "./feed.js";
import type { Counter, Metrics } from "./metrics.js";
import { purgeKeysOf } from "./surrogate-keys.js";

/** What a cache is asked: these surrogate keys, or everything. */
export type PurgeDemand = readonly string[] | "everything";

export interface PurgeTarget {
  /** Names it in metrics. */
  readonly name: string;
  /** Keys that one request takes. */
  readonly keysMax: number;
  /** Time from one request to the next, at least, ms. */
  readonly pauseMs: number;
  requestOf(demand: PurgeDemand): Promise<OutboundRequest> | OutboundRequest;
}

export const purgeLimits = { keysMax: 10_000, gatherMs: 20, answerMs: 10_000, retryMinMs: 500, retryMaxMs: 60_000 } as const;

export interface PurgePorts {
  readonly sender: Sender;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly metrics: Metrics;
  warn(event: Readonly<Record<string, unknown>>, text: string): void;
}

/** The queue of one cache. */
class PurgeQueue {
  private readonly keys = new Set<string>();
  private everything = false;
  private timer: Timer | undefined;
  private isSending = false;
  private isClosed = false;
  private failures = 0;
  private sentAtMs = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly target: PurgeTarget,
    private readonly ports: PurgePorts,
    private readonly requests: Counter,
  ) {}

  get waiting(): number {
    return this.everything ? purgeLimits.keysMax : this.keys.size;
  }

  get name(): string {
    return this.target.name;
  }

  add(keys: Iterable<string>): void {
    if (this.everything) return this.schedule();
    for (const key of keys) this.keys.add(key);
    if (this.keys.size > purgeLimits.keysMax) {
      this.keys.clear();
      this.everything = true;
    }
    this.schedule();
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
      this.schedule();
      return;
    }
    if (this.failures === 0) this.ports.warn({ event: "purge-failed", cache: this.target.name, fault }, "a cache could not be told of changes; it is tried again");
    this.failures++;
    if (demand === "everything") this.everything = true;
    else this.add(demand);
    const backoffMs = Math.min(purgeLimits.retryMaxMs, purgeLimits.retryMinMs * 2 ** Math.min(this.failures - 1, 16)) * (0.5 + 0.5 * this.ports.random.uniform());
    this.timer?.cancel();
    this.timer = undefined;
    this.schedule(Math.max(backoffMs, retryAfterMs));
  }
}

/** Follows the log and purges. Returns what ends it. */
export function purgeCaches(feed: ChangeFeed, targets: readonly PurgeTarget[], ports: PurgePorts): () => void {
  const requests = ports.metrics.counter("statusmesh_purge_requests", "Requests to shared caches to forget what has changed.", ["cache", "outcome"]);
  const queues = targets.map((target) => new PurgeQueue(target, ports, requests));
  ports.metrics.gauge("statusmesh_purge_waiting_keys", "Surrogate keys that wait to be purged.", ["cache"], () => queues.map((queue) => [queue.waiting, queue.name] as const));
  const leave = feed.follow({
    changed: ({ changes }) => {
      const keys = new Set<string>();
      for (const { document } of changes) for (const key of purgeKeysOf(document)) keys.add(key);
      if (keys.size > 0) for (const queue of queues) queue.add(keys);
    },
    // Only durable changes were ever shown: there is nothing to take back.
    reset: () => {},
  });
  return () => {
    leave();
    for (const queue of queues) queue.close();
  };
}
