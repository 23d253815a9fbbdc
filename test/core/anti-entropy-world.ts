/** Replicas in memory that run the anti-entropy engine against each other, for the tests beside it. */
import { createHash } from "node:crypto";
import { AntiEntropyEngine } from "../../src/core/anti-entropy.js";
import {
  ANTI_ENTROPY_BOUNDS,
  type AntiEntropyBounds,
  type AntiEntropyEffect,
  type AntiEntropyEvent,
  type AntiEntropyReport,
  type DottedChange,
} from "../../src/core/anti-entropy-events.js";
import type { AntiEntropy } from "../../src/core/anti-entropy-messages.js";
import { messageBytes } from "../../src/core/anti-entropy-size.js";
import { ALL_PAGES, type KeptPages } from "../../src/core/kept-pages.js";
import { MerkleTree } from "../../src/core/merkle.js";
import { copyVector, EMPTY_VECTOR, joinInto, type MutableVector, type Vector } from "../../src/core/vector.js";

export const sha = (...parts: (string | Uint8Array)[]): Uint8Array => {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest().subarray(0, 16);
};

interface Held {
  readonly changes: DottedChange[];
  readonly vector: MutableVector;
  readonly digest: Uint8Array;
}

/** What a replica holds: documents as ordered lists of changes. */
export class Replica {
  readonly documents = new Map<string, Held>();
  readonly tree = new MerkleTree((key, digest) => sha(key, "\0", digest));
  readonly vector = copyVector(EMPTY_VECTOR);
  readonly engine: AntiEntropyEngine;
  readonly reports: AntiEntropyReport[] = [];
  /** Documents of which nothing can be stored here. */
  readonly poison = new Set<string>();

  constructor(
    readonly name: string,
    bounds: Partial<AntiEntropyBounds> = {},
    kept: KeptPages = ALL_PAGES,
  ) {
    this.engine = new AntiEntropyEngine(
      {
        tree: this.tree,
        replicaVector: () => this.vector,
        documentVector: (key) => this.documents.get(key)?.vector,
        hash: (text) => sha(text),
      },
      { ...ANTI_ENTROPY_BOUNDS, ...bounds },
      kept,
    );
  }

  /** Applies changes in order; returns how many were new. */
  apply(key: string, changes: readonly DottedChange[]): number {
    const held = this.documents.get(key) ?? { changes: [], vector: copyVector(EMPTY_VECTOR), digest: new Uint8Array(16) };
    let applied = 0;
    for (const change of changes) {
      if ((held.vector[change.origin] ?? 0) >= change.seq) continue;
      held.changes.push(change);
      held.vector[change.origin] = change.seq;
      joinInto(this.vector, { [change.origin]: change.seq });
      const identity = sha(change.body);
      for (let i = 0; i < 16; i++) held.digest[i] = (held.digest[i] ?? 0) ^ (identity[i] ?? 0);
      applied++;
    }
    if (applied > 0) {
      this.documents.set(key, held);
      this.tree.set(key, held.digest);
    }
    return applied;
  }

  load(key: string, beyond: Vector): DottedChange[] {
    return (this.documents.get(key)?.changes ?? []).filter(({ origin, seq }) => seq > (beyond[origin] ?? 0));
  }

  /** Everything held, as text that is equal for equal contents. */
  contents(): string {
    return [...this.documents]
      .map(
        ([key, { changes }]) =>
          `${key}: ${changes
            .map(({ origin, seq, body }) => `${origin}/${seq}/${Buffer.from(body).toString("hex")}`)
            .sort()
            .join(" ")}`,
      )
      .sort()
      .join("\n");
  }
}

type Task = { readonly run: () => void; readonly lane: string };

/** Replicas joined by links that keep order, disks that answer whenever they like. */
export class World {
  nowMs = 0;
  bytes = 0;
  messages = 0;
  readonly traffic: Record<string, number> = {};
  private readonly tasks: Task[] = [];

  constructor(
    readonly replicas: readonly Replica[],
    /** A number in [0, 1): which of the things that can happen next does. */
    private readonly choose: () => number = () => 0,
    /** True: the message is lost. */
    private readonly loses: (message: AntiEntropy, count: number) => boolean = () => false,
  ) {}

  step(replica: Replica, event: AntiEntropyEvent): void {
    for (const effect of replica.engine.step(event, this.nowMs)) this.carryOut(replica, effect);
  }

  /** Runs until nothing is left to happen; then lets time pass until every session is over. */
  settle(between: () => void = () => undefined): void {
    for (let rounds = 0; rounds < 100; rounds++) {
      while (this.tasks.length > 0) {
        this.next();
        between();
      }
      if (this.replicas.every((replica) => replica.engine.sessions === 0)) return;
      this.nowMs += 1_000;
      for (const replica of this.replicas) this.step(replica, { kind: "tick" });
    }
    throw new Error("a session never ended");
  }

  /** One round of `from` with `to`, to its end. */
  round(from: Replica, to: Replica, number: number): AntiEntropyReport {
    const before = from.reports.length;
    this.step(from, { kind: "begin", peer: to.name, number });
    this.settle();
    const report = from.reports[before];
    if (report === undefined) throw new Error("no report came");
    return report;
  }

  private next(): void {
    const lanes = new Map<string, number>();
    for (const [i, task] of this.tasks.entries()) if (!lanes.has(task.lane)) lanes.set(task.lane, i);
    const heads = [...lanes.values()];
    const chosen = heads[Math.floor(this.choose() * heads.length)] ?? 0;
    this.tasks.splice(chosen, 1)[0]?.run();
  }

  private carryOut(replica: Replica, effect: AntiEntropyEffect): void {
    if (effect.kind === "finished") replica.reports.push(effect.report);
    else if (effect.kind === "send") this.deliver(replica, effect.to, effect.message);
    else if (effect.kind === "load") {
      const { session, document, beyond } = effect;
      this.tasks.push({
        lane: `${replica.name} ${document}`,
        run: () => this.step(replica, { kind: "loaded", session, document, changes: replica.load(document, beyond) }),
      });
    } else {
      const { session, document, changes } = effect;
      const run = (): void => {
        const refused = replica.poison.has(document);
        const applied = refused ? 0 : replica.apply(document, changes);
        this.step(replica, { kind: "stored", session, document, applied, failed: refused ? changes.length : 0 });
      };
      this.tasks.push({ lane: `${replica.name} ${document}`, run });
    }
  }

  private deliver(from: Replica, to: string, message: AntiEntropy): void {
    const bytes = messageBytes(message);
    this.bytes += bytes;
    const name = message.body?.$case ?? "none";
    this.traffic[name] = (this.traffic[name] ?? 0) + bytes;
    if (this.loses(message, this.messages++)) return;
    const receiver = this.replicas.find(({ name }) => name === to);
    if (receiver === undefined) throw new Error(`no replica ${to}`);
    this.tasks.push({ lane: `${from.name} → ${to}`, run: () => this.step(receiver, { kind: "received", from: from.name, message }) });
  }
}
