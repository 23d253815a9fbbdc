/** What a toxic does to the bytes of one direction of one connection: a stage that they go through. */
import type { Toxic } from "./toxics.js";

/** Bytes, or that the sender has ended. */
export type Parcel = Buffer | "end";

/** What a stage may do to the connection that it is on. */
export interface StageWorld {
  /** Hands on to what comes after the stage. */
  readonly pass: (parcel: Parcel) => void;
  /** Closes both sockets in order, once what was handed on is sent. */
  readonly finish: () => void;
  readonly reset: () => void;
  /** From 0 to below 1. */
  readonly uniform: () => number;
}

export interface Stage {
  /** Bytes that wait in it. */
  readonly heldBytes: number;
  take(parcel: Parcel): void;
  /** The toxic goes: what is held is handed on at once. */
  release(): void;
  /** The connection is over. */
  stop(): void;
}

/** A timer fires up to a millisecond late, so that half of one early is nearer. */
const EARLY_MS = 0.5;
/** Bandwidth is given out in tenths of a second. */
const PIECES_PER_SECOND = 10;

export function stageOf(toxic: Toxic, world: StageWorld): Stage {
  switch (toxic.type) {
    case "latency":
    case "bandwidth":
    case "slow_close":
    case "slicer":
      return new WaitingStage(world, scheduleOf(toxic, world));
    case "timeout":
      return new TimeoutStage(toxic, world);
    case "reset_peer":
      return new ResetStage(toxic, world);
    case "limit_data":
      return new LimitStage(toxic, world);
    case "corrupt":
      return new CorruptStage(toxic, world);
  }
}

interface Waiting {
  readonly parcel: Parcel;
  readonly dueMs: number;
}

/** Cuts a parcel into pieces, each with the moment at which it leaves; `lastMs` is that of the piece before. */
type Schedule = (parcel: Parcel, nowMs: number, lastMs: number) => readonly Waiting[];

function scheduleOf(toxic: Toxic, { uniform }: StageWorld): Schedule {
  const value = (name: string): number => toxic.attributes[name] ?? 0;
  switch (toxic.type) {
    case "latency":
      return (parcel, nowMs) => [{ parcel, dueMs: nowMs + Math.max(0, value("latency") + (2 * uniform() - 1) * value("jitter")) }];
    case "slow_close":
      return (parcel, nowMs) => [{ parcel, dueMs: parcel === "end" ? nowMs + value("delay") : nowMs }];
    case "slicer":
      return (parcel, nowMs, lastMs) => {
        let dueMs = Math.max(nowMs, lastMs);
        return sliced(parcel, () => Math.round(value("average_size") + (2 * uniform() - 1) * value("size_variation"))).map((piece) => {
          dueMs += value("delay") / 1_000;
          return { parcel: piece, dueMs };
        });
      };
    default: {
      // A kilobyte a second is a byte a millisecond.
      const bytesPerMs = value("rate");
      if (bytesPerMs === 0) return (parcel, nowMs) => [{ parcel, dueMs: nowMs }];
      return (parcel, nowMs, lastMs) => {
        let dueMs = Math.max(nowMs, lastMs);
        return sliced(parcel, () => Math.ceil((bytesPerMs * 1_000) / PIECES_PER_SECOND)).map((piece) => {
          dueMs += piece === "end" ? 0 : piece.length / bytesPerMs;
          return { parcel: piece, dueMs };
        });
      };
    }
  }
}

function sliced(parcel: Parcel, nextSize: () => number): Parcel[] {
  if (parcel === "end") return [parcel];
  const pieces: Buffer[] = [];
  for (let at = 0; at < parcel.length; ) {
    const size = Math.max(1, nextSize());
    pieces.push(parcel.subarray(at, at + size));
    at += size;
  }
  return pieces;
}

/** Parcels wait until they are due, and leave in the order in which they came. */
class WaitingStage implements Stage {
  heldBytes = 0;
  /** First come, first gone; `head` is the first that has not gone, so that taking one moves none. */
  private waiting: Waiting[] = [];
  private head = 0;
  private lastMs = 0;
  private timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly world: StageWorld,
    private readonly schedule: Schedule,
  ) {}

  take(parcel: Parcel): void {
    for (const { parcel: piece, dueMs } of this.schedule(parcel, performance.now(), this.lastMs)) {
      this.lastMs = Math.max(this.lastMs, dueMs);
      this.waiting.push({ parcel: piece, dueMs: this.lastMs });
      this.heldBytes += bytesOf(piece);
    }
    if (this.timer === undefined) this.pass();
  }

  release(): void {
    clearTimeout(this.timer);
    const rest = this.waiting.slice(this.head);
    this.stop();
    for (const { parcel } of rest) this.world.pass(parcel);
  }

  stop(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.waiting = [];
    this.head = 0;
    this.heldBytes = 0;
  }

  private pass(): void {
    this.timer = undefined;
    for (;;) {
      const next = this.waiting[this.head];
      if (next === undefined || next.dueMs > performance.now() + EARLY_MS) break;
      this.head++;
      this.heldBytes -= bytesOf(next.parcel);
      this.world.pass(next.parcel);
    }
    const next = this.waiting[this.head];
    if (next === undefined || this.head >= 1_024) {
      this.waiting = this.waiting.slice(this.head);
      this.head = 0;
    }
    if (next !== undefined) this.timer = setTimeout(() => this.pass(), Math.max(0, next.dueMs - performance.now()));
  }
}

/** Nothing gets through; after the timeout, unless it is 0, the connection is closed. */
class TimeoutStage implements Stage {
  readonly heldBytes = 0;
  private readonly timer: NodeJS.Timeout | undefined;
  private swallowed = false;

  constructor(
    toxic: Toxic,
    private readonly world: StageWorld,
  ) {
    const ms = toxic.attributes["timeout"] ?? 0;
    if (ms > 0) this.timer = setTimeout(() => world.finish(), ms);
  }

  take(): void {
    this.swallowed = true;
  }

  /** A stream that lacks bytes in its middle cannot go on. */
  release(): void {
    this.stop();
    if (this.swallowed) this.world.finish();
  }

  stop(): void {
    clearTimeout(this.timer);
  }
}

/** At the first bytes, or the timeout after them, the connection is reset. */
class ResetStage implements Stage {
  readonly heldBytes = 0;
  private timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly toxic: Toxic,
    private readonly world: StageWorld,
  ) {}

  take(): void {
    this.timer ??= setTimeout(() => this.world.reset(), this.toxic.attributes["timeout"] ?? 0);
  }

  release(): void {
    if (this.timer !== undefined) this.world.reset();
  }

  stop(): void {
    clearTimeout(this.timer);
  }
}

/** After so many bytes the connection is closed. */
class LimitStage implements Stage {
  readonly heldBytes = 0;
  private passed = 0;

  constructor(
    private readonly toxic: Toxic,
    private readonly world: StageWorld,
  ) {}

  take(parcel: Parcel): void {
    if (parcel === "end") return this.world.pass(parcel);
    const left = (this.toxic.attributes["bytes"] ?? 0) - this.passed;
    this.passed += parcel.length;
    if (left > 0) this.world.pass(parcel.subarray(0, left));
    if (parcel.length >= left) this.world.finish();
  }

  release(): void {}

  stop(): void {}
}

/** Extension of this server: changes bytes on the way. */
class CorruptStage implements Stage {
  readonly heldBytes = 0;

  constructor(
    private readonly toxic: Toxic,
    private readonly world: StageWorld,
  ) {}

  take(parcel: Parcel): void {
    this.world.pass(parcel === "end" ? parcel : this.changed(parcel));
  }

  release(): void {}

  stop(): void {}

  private changed(bytes: Buffer): Buffer {
    const { uniform } = this.world;
    const { byte_rate: byteRate = 0, chunk_rate: chunkRate = 0 } = this.toxic.attributes;
    let copy: Buffer | undefined;
    const flip = (at: number, mask: number): void => {
      copy ??= Buffer.from(bytes);
      copy[at] = (copy[at] ?? 0) ^ mask;
    };
    // From one changed byte to the next, instead of asking for each.
    const gap = (): number => (byteRate >= 1 ? 1 : 1 + Math.floor(Math.log(1 - uniform()) / Math.log(1 - byteRate)));
    if (byteRate > 0) for (let at = gap() - 1; at < bytes.length; at += gap()) flip(at, 1 + Math.floor(uniform() * 255));
    if (chunkRate > 0 && uniform() < chunkRate) flip(Math.floor(uniform() * bytes.length), 1 << Math.floor(uniform() * 8));
    return copy ?? bytes;
  }
}

function bytesOf(parcel: Parcel): number {
  return parcel === "end" ? 0 : parcel.length;
}
