/** Tells when requests must be shed because the event loop has been late for seconds on end. */
import { monitorEventLoopDelay } from "node:perf_hooks";
import type { Clock, Timer, Timers } from "../core/ports.js";

/** How often the loop is asked to turn, in ms. */
const RESOLUTION_MS = 10;
const NS_PER_MS = 1e6;

export interface LatenessBounds {
  /** A wait of a request, in ms, that is longer than this counts as late. */
  readonly lateMs: number;
  readonly sampleMs: number;
  /** How long lateness must last, in ms, before anything is shed. */
  readonly shedAfterMs: number;
}

/**
 * The time, in ms, for which the turn of the loop lasts that a request meets which arrives at any moment:
 * turns are weighted by their lengths, as a long one is met by more requests (the inspection paradox: W. Feller,
 * An Introduction to Probability Theory, vol. 2, I.4). The plain mean of all turns would hide a stall of seconds among a few hundred short ones.
 * @param turns mean and standard deviation of the turns' lengths, in ns; NaN where there was none
 */
export function turnMet({ mean, stddev }: { readonly mean: number; readonly stddev: number }): number {
  return mean > 0 ? (mean + stddev ** 2 / mean) / NS_PER_MS : 0;
}

/** Samples how late the event loop is. One stall (a start, a collection, a busy neighbour) sheds nobody: it is over before requests could be told to go. */
export class EventLoopLateness {
  readonly #turns = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  readonly #timers: Timers;
  readonly #bounds: LatenessBounds;
  readonly #lasting: Lasting;
  #timer: Timer | undefined;

  constructor(clock: Pick<Clock, "monotonic">, timers: Timers, bounds: LatenessBounds) {
    this.#timers = timers;
    this.#bounds = bounds;
    this.#lasting = new Lasting(clock, bounds.shedAfterMs);
  }

  /** Samples from now on, until `close`. What was late before requests came (a slow start) counts for nothing. */
  start(): void {
    this.#turns.enable();
    const { lateMs, sampleMs } = this.#bounds;
    const sample = (): void => {
      this.#lasting.look(turnMet(this.#turns) > lateMs);
      this.#turns.reset();
      this.#timer = this.#timers.after(sampleMs, sample);
    };
    this.#timer = this.#timers.after(sampleMs, sample);
  }

  /** Whether requests are to be shed. */
  isLong(): boolean {
    return this.#lasting.isLong();
  }

  close(): void {
    this.#timer?.cancel();
    this.#turns.disable();
  }
}

/** Whether a condition that is looked at now and then has held for `ms` at every look. */
export class Lasting {
  readonly #clock: Pick<Clock, "monotonic">;
  readonly #ms: number;
  #since: number | undefined;
  #isLong = false;

  constructor(clock: Pick<Clock, "monotonic">, ms: number) {
    this.#clock = clock;
    this.#ms = ms;
  }

  look(holds: boolean): void {
    if (!holds) {
      this.#since = undefined;
      this.#isLong = false;
      return;
    }
    const now = this.#clock.monotonic();
    this.#since ??= now;
    this.#isLong = now - this.#since >= this.#ms;
  }

  /** As of the last look. */
  isLong(): boolean {
    return this.#isLong;
  }
}
