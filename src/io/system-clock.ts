/** Clock, timers and randomness of the real world. */
import { randomBytes } from "node:crypto";
import { performance } from "node:perf_hooks";
import type { Clock, Random, Timer, Timers } from "../core/ports.js";

/** The longest delay that a Node timer takes, ms; longer ones are waited for in pieces. */
const LONGEST_DELAY_MS = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
};

/** The system's clock, wrong by so many milliseconds: for tests of what wrong clocks do. */
export function skewedClock(offsetMs: number): Clock {
  return { now: () => Date.now() + offsetMs, monotonic: systemClock.monotonic };
}

class SystemTimer implements Timer {
  private handle: NodeJS.Timeout | undefined;

  constructor(
    private readonly dueMs: number,
    private readonly callback: () => void,
  ) {
    this.wait();
  }

  cancel(): void {
    clearTimeout(this.handle);
    this.handle = undefined;
  }

  private wait(): void {
    const left = Math.max(0, Math.ceil(this.dueMs - performance.now()));
    this.handle = setTimeout(() => this.fire(), Math.min(left, LONGEST_DELAY_MS));
    this.handle.unref();
  }

  private fire(): void {
    if (performance.now() < this.dueMs) this.wait();
    else {
      this.handle = undefined;
      this.callback();
    }
  }
}

export const systemTimers: Timers = {
  after: (ms, callback) => new SystemTimer(performance.now() + Math.max(0, ms), callback),
};

/** Random bytes are drawn in bulk: a call for sixteen of them costs as much as one for thousands. */
const POOL_BYTES = 8_192;
let pool = new Uint8Array(0);
let used = 0;

function drawn(length: number): Uint8Array {
  if (length > POOL_BYTES / 8) return new Uint8Array(randomBytes(length));
  if (used + length > pool.length) {
    pool = new Uint8Array(randomBytes(POOL_BYTES));
    used = 0;
  }
  const bytes = pool.slice(used, used + length);
  // What was given out is not kept.
  pool.fill(0, used, used + length);
  used += length;
  return bytes;
}

export const systemRandom: Random = {
  bytes: drawn,
  // 53 bits, as many as a double holds without rounding up to 1.
  uniform: () => Number(randomBytes(8).readBigUInt64LE() >> 11n) / 2 ** 53,
};

/** Resolves after `ms`, or as soon as `signal` is aborted. Keeps the process alive meanwhile, as timers of a replica do not. */
export function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted === true) return resolve();
    const end = (): void => {
      clearTimeout(handle);
      signal?.removeEventListener("abort", end);
      resolve();
    };
    const handle = setTimeout(end, ms);
    signal?.addEventListener("abort", end, { once: true });
  });
}

/** Resolves when `signal` is aborted, and keeps the process alive until then. */
export async function untilAborted(signal: AbortSignal): Promise<void> {
  while (!signal.aborted) await pause(LONGEST_DELAY_MS, signal);
}

/** Calls back in a later turn of the event loop, when no promise is left that could go on. */
export function nextTurn(callback: () => void): void {
  setImmediate(callback);
}
