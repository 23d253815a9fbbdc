/** The same replicas on a clock: round trips of 80, 150 and 180 ms, links in order, nothing lost. */
import { generator, World, type Replica } from "./quorum-world.js";

/** One way between the regions, ms. */
const ONE_WAY = [
  [0, 40, 90],
  [40, 0, 75],
  [90, 75, 0],
] as const;
/** Round trip of each region to its nearest majority, ms. */
export const NEAREST = [80, 80, 150] as const;
const STREAM_EVERY_MS = 10;

interface Timed {
  readonly at: number;
  readonly order: number;
  readonly act: () => void;
}

export class ClockWorld {
  readonly world: World;
  now = 0;
  readonly latencies = new Map<string, number[]>();
  readonly failures = new Map<string, number>();
  private readonly random: () => number;
  private readonly places: readonly [number, number, number];
  private readonly queue: Timed[] = [];
  private order = 0;
  private readonly lastArrival = new Map<string, number>();
  private readonly waiting = new Map<string, { name: string; begun: number; home: number; document: string; then: (() => void) | undefined }>();
  private readonly streamed = new Map<number, string>();
  private operations = 0;

  constructor(seed: number, options: { readonly handover?: boolean; readonly vectorTags?: boolean; readonly places?: readonly [number, number, number] } = {}) {
    this.random = generator(seed);
    this.places = options.places ?? [0, 1, 2];
    this.world = new World({ replicas: 3, random: this.random, roundTripMs: (from, to) => 2 * this.oneWay(from, to), ...options });
    this.world.onFinished = ({ replica, operation, outcome }) => this.finished(operation, outcome, replica);
    this.world.onHandover = (replica, operation, to) => this.handOver(replica, operation, to);
    this.at(0, () => {});
    this.run(2_000);
  }

  private oneWay(from: number, to: number): number {
    return ONE_WAY[this.places[from] ?? 0]?.[this.places[to] ?? 0] ?? 0;
  }

  at(time: number, act: () => void): void {
    this.queue.push({ at: time, order: this.order++, act });
  }

  /** Runs until the clock says `until`. */
  run(until: number): void {
    this.flush();
    for (;;) {
      this.queue.sort((a, b) => a.at - b.at || a.order - b.order);
      const next = this.queue[0];
      const waker = this.firstWake();
      if (waker !== undefined && waker.wake <= until && (next === undefined || waker.wake <= next.at)) {
        this.advance(Math.max(this.now, waker.wake));
        waker.replica.step({ kind: "tick" });
      } else if (next !== undefined && next.at <= until) {
        this.queue.shift();
        this.advance(next.at);
        next.act();
      } else break;
      this.flush();
    }
    this.advance(until);
  }

  private firstWake(): { replica: Replica; wake: number } | undefined {
    let first: { replica: Replica; wake: number } | undefined;
    for (const replica of this.world.replicas) {
      const wake = replica.wakeAt;
      if (wake !== undefined && (first === undefined || wake < first.wake)) first = { replica, wake };
    }
    return first;
  }

  private advance(time: number): void {
    this.now = time;
    for (const replica of this.world.replicas) replica.now = time;
  }

  private flush(): void {
    for (const envelope of this.world.net.splice(0)) this.carry(envelope.from, envelope.to, () => this.world.replicas[envelope.to]?.deliver(envelope));
    for (const replica of this.world.replicas) this.stream(replica);
  }

  private carry(from: number, to: number, act: () => void): void {
    const link = `${from}>${to}`;
    const at = Math.max(this.now + this.oneWay(from, to) + 2 * this.random(), this.lastArrival.get(link) ?? 0);
    this.lastArrival.set(link, at);
    this.at(at, act);
  }

  private stream(replica: Replica): void {
    const held = JSON.stringify(replica.disk.vector);
    if (this.streamed.get(replica.index) === held) return;
    this.streamed.set(replica.index, held);
    this.at(this.now + STREAM_EVERY_MS * this.random(), () => {
      const vector = { ...replica.disk.vector };
      for (const to of this.world.replicas) if (to !== replica) this.world.net.push({ from: replica.index, to: to.index, message: null, vector });
    });
  }

  /** Begins an operation; `then` is called when it is over. */
  invoke(kind: "write" | "read" | "list" | "swap", home: number, then?: () => void, document = "page/component/d"): void {
    const operation = `${kind}-${home}-${++this.operations}`;
    const replica = this.world.replicas[home];
    this.waiting.set(operation, { name: `${kind} ${home}`, begun: this.now, home, document, then });
    const deadline = this.now + 30_000;
    if (kind === "read") replica?.step({ kind: "read", operation, document, deadline });
    else if (kind === "list") replica?.step({ kind: "list", operation, scope: "page/component", deadline });
    else if (kind === "swap") replica?.step({ kind: "write", operation, document, ifMatch: [replica.etag(document)], deadline });
    else replica?.step({ kind: "write", operation, document, deadline });
  }

  private handOver(from: number, operation: string, to: number): void {
    const waiting = this.waiting.get(operation);
    if (waiting === undefined) return;
    this.carry(from, to, () => this.world.replicas[to]?.step({ kind: "write", operation, document: waiting.document, deadline: waiting.begun + 30_000, forwarded: true }));
  }

  private finished(operation: string, outcome: string, replica: number): void {
    const waiting = this.waiting.get(operation);
    if (waiting === undefined) return;
    this.waiting.delete(operation);
    const answered = (): void => {
      if (outcome === "unknown" || outcome === "unavailable" || outcome === "rejected") this.failures.set(waiting.name, (this.failures.get(waiting.name) ?? 0) + 1);
      const latencies = this.latencies.get(waiting.name) ?? [];
      latencies.push(this.now - waiting.begun);
      this.latencies.set(waiting.name, latencies);
      waiting.then?.();
    };
    if (replica === waiting.home) answered();
    else this.carry(replica, waiting.home, answered);
  }

  /** A client that goes on and on, with about `pauseMs` between an answer and the next operation. */
  loop(kind: "write" | "read" | "list" | "swap", home: number, pauseMs: number): void {
    const next = (): void => this.invoke(kind, home, () => this.at(this.now + pauseMs * (0.5 + this.random()), next));
    this.at(this.now + pauseMs * this.random(), next);
  }

  localLoop(home: number, pauseMs: number, document = "page/component/d"): void {
    const next = (): void => {
      this.world.replicas[home]?.local(document, `local-${home}-${++this.operations}`);
      this.at(this.now + pauseMs * (0.5 + this.random()), next);
    };
    this.at(this.now + pauseMs * this.random(), next);
  }

  quantile(name: string, fraction: number): number {
    const sorted = [...(this.latencies.get(name) ?? [])].sort((a, b) => a - b);
    return sorted[Math.min(sorted.length - 1, Math.floor(fraction * sorted.length))] ?? Number.NaN;
  }
}
