/**
 * Hybrid logical clocks.
 *
 * Invariants:
 *  1. A stamp given by `send` is later than every stamp given or adopted before, whatever the wall clock does.
 *  2. A received stamp that is further ahead of the wall clock than the bound is not adopted.
 *  3. The text form (32 hex digits: 48 bits of ms, 32 bits of counter, 48 bits of node) sorts as time.
 * Source: Kulkarni et al., "Logical Physical Clocks and Consistent Snapshots in Globally Distributed Databases", 2014.
 */
export type Hlc = string;

export interface HlcState {
  /** Milliseconds since the epoch of the latest stamp. */
  ms: number;
  counter: number;
}

const MAX_COUNTER = 0xffffffff;
const MAX_MS = 0xffffffffffff;
const TEXT = /^[0-9a-f]{32}$/;

export const HLC_ZERO: Hlc = "0".repeat(32);

export function encodeHlc(ms: number, counter: number, node: string): Hlc {
  return ms.toString(16).padStart(12, "0") + counter.toString(16).padStart(8, "0") + node;
}

/** Milliseconds since the epoch of a stamp. */
export function hlcMs(stamp: Hlc): number {
  return Number.parseInt(stamp.slice(0, 12), 16);
}

export function hlcCounter(stamp: Hlc): number {
  return Number.parseInt(stamp.slice(12, 20), 16);
}

export function isHlc(value: unknown): value is Hlc {
  return typeof value === "string" && TEXT.test(value);
}

export function laterHlc(a: Hlc, b: Hlc): Hlc {
  return a >= b ? a : b;
}

const DAY_MS = 86_400_000;
const TWO = Array.from({ length: 60 }, (_, i) => String(i).padStart(2, "0"));
const THREE = Array.from({ length: 1_000 }, (_, i) => String(i).padStart(3, "0"));
/** The day that was asked for last, as text up to the hour: most stamps of a document are of few days. */
let latestDay = { number: Number.NaN, text: "" };

/** RFC 3339 in UTC with milliseconds: what `Date` says, in a quarter of its time. An answer may hold thousands. */
export function hlcTime(stamp: Hlc): string {
  const ms = hlcMs(stamp);
  const number = Math.floor(ms / DAY_MS);
  // Without "00:00:00.000Z".
  if (number !== latestDay.number) latestDay = { number, text: new Date(number * DAY_MS).toISOString().slice(0, -13) };
  const left = ms - number * DAY_MS;
  const seconds = Math.floor(left / 1_000);
  const minutes = Math.floor(seconds / 60);
  return `${latestDay.text}${TWO[Math.floor(minutes / 60)]}:${TWO[minutes % 60]}:${TWO[seconds % 60]}.${THREE[left % 1_000]}Z`;
}

/** The clock of one replica. `node` is 12 hex digits and breaks ties between replicas. */
export class HybridClock {
  private ms = 0;
  private counter = 0;

  constructor(readonly node: string) {
    if (!/^[0-9a-f]{12}$/.test(node)) throw new RangeError("the node of a clock is 12 hex digits");
  }

  /** A new stamp, later than all before. `wallMs`: the wall clock now. */
  send(wallMs: number): Hlc {
    const wall = Math.min(Math.floor(wallMs), MAX_MS);
    if (wall > this.ms) {
      this.ms = wall;
      this.counter = 0;
    } else if (this.counter === MAX_COUNTER) {
      this.ms += 1;
      this.counter = 0;
    } else {
      this.counter += 1;
    }
    return encodeHlc(this.ms, this.counter, this.node);
  }

  /**
   * Learns a stamp of another replica (or of the own disk). Returns false, and does not adopt it, if it is more than
   * `maxAheadMs` ahead of the wall clock.
   */
  receive(stamp: Hlc, wallMs: number, maxAheadMs: number): boolean {
    const ms = hlcMs(stamp);
    if (ms - wallMs > maxAheadMs) return false;
    const counter = hlcCounter(stamp);
    if (ms > this.ms) {
      this.ms = ms;
      this.counter = counter;
    } else if (ms === this.ms && counter > this.counter) {
      this.counter = counter;
    }
    return true;
  }

  /** The latest stamp given or adopted. */
  latest(): Hlc {
    return encodeHlc(this.ms, this.counter, this.node);
  }
}
