/**
 * One run of a replica's program: what it may still do to the world, and when.
 *
 * Invariants:
 *  1. Whatever is to happen to or in the program goes through `after`: a program that is dead does nothing any more, one that is
 *     stopped (SIGSTOP) does it once it goes on, in the order in which it came.
 *  2. A program that has died stays dead; a start makes another one, with ports of its own.
 */
import type { Clock, Timer, Timers } from "../core/ports.js";
import type { EventQueue, Scheduled } from "./event-queue.js";

/** The clocks of one machine. They go on while its program does not run. */
export class SimulatedClock {
  private offsetMs = 0;
  /** What the wall clock shows while it is frozen. */
  private frozen: number | undefined;
  /** Beyond this the wall clock runs at another rate: ms gained each ms since `driftingFrom`. */
  private drift = 0;
  private driftingFrom = 0;

  constructor(private readonly queue: EventQueue, private readonly epochMs: number) {}

  now(): number {
    return Math.floor(this.frozen ?? this.epochMs + this.queue.now + this.offsetMs + this.drift * (this.queue.now - this.driftingFrom));
  }

  monotonic(): number {
    return this.queue.now;
  }

  /** Sets the wall clock off by this much. */
  skew(offsetMs: number): void {
    this.offsetMs = offsetMs;
    this.drift = 0;
  }

  runAt(drift: number): void {
    this.drift = drift;
    this.driftingFrom = this.queue.now;
  }

  freeze(frozen: boolean): void {
    this.frozen = undefined;
    if (frozen) this.frozen = this.now();
  }

  /** Right again. */
  correct(): void {
    this.frozen = undefined;
    this.skew(0);
  }
}

export class SimulatedProcess {
  private dead = false;
  private stopped = false;
  private waiting: { readonly label: string; readonly action: () => void }[] = [];
  private readonly ends: (() => void)[] = [];

  constructor(
    readonly replica: string,
    private readonly queue: EventQueue,
    private readonly machineClock: SimulatedClock,
  ) {}

  get alive(): boolean {
    return !this.dead;
  }

  get paused(): boolean {
    return this.stopped;
  }

  /** Lets something happen in the program. */
  after(delayMs: number, label: string, action: () => void): Scheduled {
    return this.queue.after(delayMs, label, () => this.happen(label, action));
  }

  private happen(label: string, action: () => void): void {
    if (this.dead) return;
    if (this.stopped) this.waiting.push({ label, action });
    else action();
  }

  /** Calls back when the program dies. */
  whenDead(callback: () => void): void {
    if (this.dead) callback();
    else this.ends.push(callback);
  }

  kill(): void {
    if (this.dead) return;
    this.dead = true;
    this.waiting = [];
    for (const end of this.ends.splice(0)) end();
  }

  pause(): void {
    this.stopped = true;
  }

  resume(): void {
    if (!this.stopped) return;
    this.stopped = false;
    const waiting = this.waiting;
    this.waiting = [];
    for (const { label, action } of waiting) this.after(0, label, action);
  }

  readonly timers: Timers = {
    after: (ms, callback): Timer => this.after(ms, `${this.replica} timer`, callback),
  };

  readonly clock: Clock = {
    now: () => this.machineClock.now(),
    monotonic: () => this.machineClock.monotonic(),
  };
}
