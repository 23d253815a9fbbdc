/**
 * LOCAL_QUORUM: a majority of the replicas of one region. A write waits until so many hold it; a read learns from so many
 * what they hold, and waits until this replica holds all of it. Since each answer is what is durable, any two majorities share a
 * replica that knows every acknowledged write.
 */
import { Fault } from "../core/errors.js";
import { copyVector, joinInto, type Vector } from "../core/vector.js";

interface Question {
  readonly answers: Map<string, Vector>;
  readonly resolve: (joined: Vector | undefined) => void;
  timer: { cancel(): void };
}

export interface RegionPorts {
  /** Durable here. */
  held(): Vector;
  ask(peer: string, request: number): void;
  /** What a peer has acknowledged. */
  acknowledged(peer: string): Vector;
  after(ms: number, callback: () => void): { cancel(): void };
}

export class RegionQuorum {
  private readonly questions = new Map<number, Question>();
  private readonly writes = new Set<{ readonly origin: string; readonly seq: number; readonly resolve: (reached: boolean) => void; readonly timer: { cancel(): void } }>();
  private requests = 0;
  private closed = false;

  constructor(
    /** The other replicas of the region that vote in it. */
    private readonly peers: readonly string[],
    private readonly ports: RegionPorts,
  ) {}

  /** Replicas beside this one that make a majority with it. */
  private get others(): number {
    return Math.floor((this.peers.length + 1) / 2);
  }

  /** True once a majority of the region's replicas hold the entry durably. */
  written(origin: string, seq: number, timeoutMs: number): Promise<boolean> {
    if (this.isWritten(origin, seq)) return Promise.resolve(true);
    if (this.closed) return Promise.resolve(false);
    return new Promise((resolve) => {
      const write = {
        origin, seq, resolve,
        timer: this.ports.after(timeoutMs, () => {
          this.writes.delete(write);
          resolve(false);
        }),
      };
      this.writes.add(write);
    });
  }

  private isWritten(origin: string, seq: number): boolean {
    return this.peers.filter((peer) => (this.ports.acknowledged(peer)[origin] ?? 0) >= seq).length >= this.others;
  }

  /** A peer acknowledged more. */
  acknowledged(): void {
    for (const write of this.writes) {
      if (!this.isWritten(write.origin, write.seq)) continue;
      this.writes.delete(write);
      write.timer.cancel();
      write.resolve(true);
    }
  }

  /** What a majority of the region's replicas hold, joined; undefined if they do not answer in time. */
  learn(timeoutMs: number): Promise<Vector | undefined> {
    if (this.others === 0) return Promise.resolve(this.ports.held());
    if (this.closed) return Promise.resolve(undefined);
    const request = ++this.requests;
    return new Promise((resolve) => {
      const timer = this.ports.after(timeoutMs, () => {
        this.questions.delete(request);
        resolve(undefined);
      });
      this.questions.set(request, { answers: new Map(), resolve, timer });
      for (const peer of this.peers) this.ports.ask(peer, request);
    });
  }

  /** A link came up: asks again what that replica may not have heard. */
  connected(peer: string): void {
    if (!this.peers.includes(peer)) return;
    for (const [request, { answers }] of this.questions) if (!answers.has(peer)) this.ports.ask(peer, request);
  }

  answered(peer: string, request: number, vector: Vector): void {
    const question = this.questions.get(request);
    if (question === undefined || !this.peers.includes(peer)) return;
    question.answers.set(peer, vector);
    if (question.answers.size < this.others) return;
    this.questions.delete(request);
    question.timer.cancel();
    const joined = copyVector(this.ports.held());
    for (const answer of question.answers.values()) joinInto(joined, answer);
    question.resolve(joined);
  }

  /** Nobody is answered any more: what waits is told so. */
  close(): void {
    this.closed = true;
    for (const { timer, resolve } of this.writes) {
      timer.cancel();
      resolve(false);
    }
    this.writes.clear();
    for (const { timer, resolve } of this.questions.values()) {
      timer.cancel();
      resolve(undefined);
    }
    this.questions.clear();
  }

  static unavailable(outcome?: "rejected" | "unknown"): Fault {
    return new Fault("local-quorum-unavailable", "A majority of this region's replicas could not be reached in time.", {
      retryAfterSeconds: 1, ...(outcome === undefined ? {} : { outcome }),
    });
  }
}
