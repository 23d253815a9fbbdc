/**
 * How many requests a key and an address may make in a second.
 *
 * Guarded routes count in a table of their own: two counts for each request through @fastify/rate-limit cost a quarter of a
 * LOCAL read (measured: 3 of 13 µs), since it answers by promises. The plugin limits the routes without a key.
 */
import { Fault } from "../core/errors.js";
import { apiLimits } from "./api-limits.js";

export const RATE_WINDOW_MS = 1_000;

interface Window {
  startedMs: number;
  count: number;
}

/** Counts in windows of one second. At most `rateLimitTracked` names are remembered; the one that is longest known goes first. */
export class RateLimit {
  private readonly windows = new Map<string, Window>();

  /** `max`: requests per second; 0: no limit. `what`: what a name stands for, such as `key`. */
  constructor(
    private readonly max: number,
    private readonly what: string,
  ) {}

  /** Counts one request; a Fault if it is one too many. `nowMs`: monotonic. */
  take(name: string, nowMs: number): Fault | undefined {
    if (this.max === 0) return undefined;
    const window = this.windows.get(name);
    if (window === undefined) {
      this.remember(name, nowMs);
      return undefined;
    }
    if (nowMs - window.startedMs >= RATE_WINDOW_MS) {
      window.startedMs = nowMs;
      window.count = 0;
    }
    if (++window.count <= this.max) return undefined;
    return new Fault("too-many-requests", `The ${this.what} makes more than ${this.max} requests per second.`, { retryAfterSeconds: 1 });
  }

  private remember(name: string, startedMs: number): void {
    if (this.windows.size >= apiLimits.rateLimitTracked) {
      const oldest = this.windows.keys().next();
      if (oldest.done !== true) this.windows.delete(oldest.value);
    }
    this.windows.set(name, { startedMs, count: 1 });
  }
}
