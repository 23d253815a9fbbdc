/**
 * Runs `core/quorum.ts` on the log and the mesh: builds candidates from waiting writes, keeps captured views, carries out effects.
 *
 * Invariants:
 *  1. A message, and the answer to an operation, leaves only after everything staged before it is durable.
 *  2. The body of a document with an open slot or a waiting write stays in memory, so that a decision is applied at once.
 */
import type { Change, Operation } from "../core/change.js";
import { CHAIN } from "../core/change.js";
import type { DocumentState } from "../core/document.js";
import { Fault } from "../core/errors.js";
import type { Limits } from "../core/limits.js";
import { quorumMessageFault } from "../core/quorum-message-check.js";
import type { Quorum } from "../core/quorum-messages.js";
import { QuorumEngine, type Effect, type QuorumEvent, type QuorumHost, type QuorumOptions, type QuorumState } from "../core/quorum.js";
import { copyVector, EMPTY_VECTOR } from "../core/vector.js";
import type { ChangeLog } from "./change-log.js";
import { keyspace } from "./keyspace.js";
import type { Counter, Metrics } from "./metrics.js";
import { TurnSnapshot, tryTurn } from "./snapshot.js";
import { sometimes } from "../core/sometimes.js";

/** A write that waits for its place in the chain of one document. */
export interface QuorumWrite {
  /** The same for a repetition of the same request; else unique. */
  readonly operation: string;
  readonly document: string;
  readonly actor: string;
  readonly ifMatch?: readonly string[];
  readonly timeoutMs: number;
  /** It was handed over once: keep it, unless another region holds the document for longer. */
  readonly forwarded: boolean;
  /** Called in the turn in which the chain is known to hold the write. */
  decided?(): void;
  /** Operations on the document as it is in the snapshot; empty if there is nothing to write. */
  plan(snapshot: TurnSnapshot): readonly Operation[] | Fault;
}

export interface QuorumPorts {
  send(peer: string, message: Quorum): void;
  /** Sends entries that wait, before a message that stands on them. */
  push(): void;
  monotonic(): number;
  wall(): number;
  after(ms: number, callback: () => void): { cancel(): void };
  doubt(reason: string): void;
  voting(): void;
  warn(event: Record<string, unknown>, text: string): void;
  fatal(error: unknown): void;
}

/** A read or list: `capture` is called when the view must be kept. */
export interface QuorumRead {
  readonly operation: string;
  readonly target: { readonly document: string } | { readonly scope: string };
  readonly timeoutMs: number;
  capture(): void;
}

/** A write that keeps losing: to be run at the replica that wins, under the same operation id. */
export class Handover {
  constructor(readonly to: string) {}
}

export type QuorumResult = Fault | "done" | "idle" | Handover;

interface Waiting {
  readonly write?: QuorumWrite;
  readonly read?: QuorumRead;
  fault?: Fault;
  /** The plan had nothing to write. */
  idle?: boolean;
  resolve(result: QuorumResult): void;
}

const UNAVAILABLE = "A majority of the regions could not be reached in time.";
const encoder = new TextEncoder();

export class QuorumCoordinator {
  readonly engine: QuorumEngine;
  private readonly waiting = new Map<string, Waiting>();
  private readonly advanced = new Set<string>();
  private readonly openSlots = new Set<string>();
  private stepping = false;
  private readonly queue: QuorumEvent[] = [];
  private wake: { at: number; timer: { cancel(): void } } | undefined;
  private readonly outcomes: Counter;
  private closed = false;
  private readonly limits: Limits;

  constructor(
    private readonly log: ChangeLog,
    options: Omit<QuorumOptions, "limits"> & { readonly limits: Limits },
    host: Pick<QuorumHost, "roundTripMs">,
    private readonly ports: QuorumPorts,
    metrics: Metrics,
  ) {
    const { table } = log;
    this.limits = options.limits;
    this.outcomes = metrics.counter("statusmesh_quorum_operations", "GLOBAL_QUORUM operations by how they ended", ["outcome"]);
    for (const [document] of options.slots) this.holdOpen(document);
    this.engine = new QuorumEngine({
      version: (document) => table.find(document)?.vector[CHAIN] ?? 0,
      vector: (document) => table.find(document)?.vector ?? EMPTY_VECTOR,
      etag: (document) => {
        const record = table.find(document);
        return record?.alive === true ? Buffer.from(record.digest).toString("base64url") : "";
      },
      hasOperation: (document, operation) => table.find(document)?.operationIds.includes(operation) === true,
      replicaVector: () => log.vector,
      scopeDecided: (scope) => log.decidedIn(scope),
      roundTripMs: host.roundTripMs,
    }, { ...options, handover: true });
  }

  close(): void {
    this.closed = true;
    this.wake?.timer.cancel();
    for (const { resolve, write } of this.waiting.values()) resolve(unavailable(write === undefined ? undefined : "unknown"));
    this.waiting.clear();
  }

  /** Resolves once decided ("done"), or with nothing to write ("idle"), or with the fault. */
  async write(write: QuorumWrite): Promise<QuorumResult> {
    if (this.closed) return unavailable("rejected");
    const { table } = this.log;
    table.pin(write.document);
    try {
      await table.load([write.document]);
      // It may have been closed while the body was loaded.
      if (this.closed) return unavailable("rejected");
      return await new Promise((resolve) => {
        this.waiting.set(write.operation, { write, resolve });
        this.step({
          kind: "write", operation: write.operation, document: write.document, deadline: this.ports.monotonic() + write.timeoutMs, forwarded: write.forwarded,
          ...(write.ifMatch === undefined ? {} : { ifMatch: write.ifMatch }),
        });
      });
    } finally {
      table.unpin(write.document);
    }
  }

  /** Resolves with "done" once the view captured last may be shown. */
  read(read: QuorumRead): Promise<QuorumResult> {
    if (this.closed) return Promise.resolve(unavailable(undefined));
    return new Promise((resolve) => {
      this.waiting.set(read.operation, { read, resolve });
      const deadline = this.ports.monotonic() + read.timeoutMs;
      if ("document" in read.target) this.step({ kind: "read", operation: read.operation, document: read.target.document, deadline });
      else this.step({ kind: "list", operation: read.operation, scope: read.target.scope, deadline });
    });
  }

  /** A document moved on. The engine hears of it at the end of the turn. */
  documentAdvanced(document: string): void {
    if (this.advanced.size === 0) queueMicrotask(() => this.tellAdvanced());
    this.advanced.add(document);
  }

  /** More of the logs is held: lists that wait for it may go on. */
  vectorAdvanced(): void {
    if (this.advanced.size === 0 && this.engine.load.operations > 0) this.step({ kind: "advanced", documents: [] });
  }

  private tellAdvanced(): void {
    if (this.advanced.size === 0 || this.closed) return;
    const documents = [...this.advanced];
    this.advanced.clear();
    this.step({ kind: "advanced", documents });
  }

  /** A message from a peer; what is malformed is dropped. */
  received(peer: string, message: Quorum): void {
    const fault = quorumMessageFault(message, this.limits);
    if (fault === undefined) this.step({ kind: "message", from: peer, message });
    else this.ports.warn({ event: "malformed-quorum-message", peer, fault }, "a quorum message is malformed and dropped");
  }

  step(event: QuorumEvent): void {
    if (this.closed) return;
    this.queue.push(event);
    if (this.stepping) return;
    this.stepping = true;
    try {
      for (let next = this.queue.shift(); next !== undefined; next = this.queue.shift()) {
        for (const effect of this.engine.step(next, this.ports.monotonic())) this.run(effect);
      }
    } catch (error) {
      this.ports.fatal(error);
    } finally {
      this.stepping = false;
    }
    this.schedule();
  }

  private schedule(): void {
    const at = this.engine.nextWake();
    if (at === undefined || this.closed) return;
    if (this.wake !== undefined && this.wake.at <= at) return;
    this.wake?.timer.cancel();
    const timer = this.ports.after(Math.max(1, Math.ceil(at - this.ports.monotonic())), () => {
      this.wake = undefined;
      this.step({ kind: "tick" });
    });
    this.wake = { at, timer };
  }

  private run(effect: Effect): void {
    const { batch, state } = this.log;
    switch (effect.kind) {
      case "send":
        batch.afterFlush(() => {
          this.ports.push();
          this.ports.send(effect.to, effect.message);
        });
        return;
      case "save":
        // Steps nest, so a later position may come first.
        state.votes = Math.max(state.votes, effect.position);
        if (effect.slot === null) {
          batch.delete(keyspace.slot(effect.document));
          if (this.openSlots.delete(effect.document)) this.log.table.unpin(effect.document);
        } else {
          batch.put(keyspace.slot(effect.document), encodeSlot(effect.slot));
          this.holdOpen(effect.document);
        }
        return;
      case "saveReplica":
        batch.put(keyspace.quorum, encoder.encode(JSON.stringify(effect.state satisfies QuorumState)));
        return;
      case "build":
        this.build(effect.build, effect.document, effect.version, effect.operations);
        return;
      case "append":
        this.append(effect.candidate.change, effect.candidate.document);
        return;
      case "captured":
        this.waiting.get(effect.operation)?.read?.capture();
        return;
      case "done":
        this.finish(effect.operation, effect.outcome);
        return;
      case "failed":
        this.outcomes.add(1, effect.outcome);
        this.settle(effect.operation, failure(effect, this.waiting.get(effect.operation)?.write !== undefined));
        return;
      case "handover":
        sometimes("quorum: a write was handed over");
        this.settle(effect.operation, new Handover(effect.to));
        return;
      case "voting":
        batch.afterFlush(() => this.ports.voting());
        return;
      case "doubt":
        this.ports.doubt(effect.reason);
    }
  }

  private holdOpen(document: string): void {
    if (this.openSlots.has(document)) return;
    this.openSlots.add(document);
    this.log.table.pin(document);
    this.log.table.load([document]).catch((error: unknown) => this.ports.fatal(error));
  }

  private finish(operation: string, outcome: string): void {
    const waiting = this.waiting.get(operation);
    if (waiting === undefined) return;
    this.outcomes.add(1, outcome);
    if (outcome === "precondition") this.settle(operation, new Fault("precondition-failed", "The resource has changed since the given ETag.", { outcome: "rejected" }));
    else if (outcome === "refused") this.settle(operation, waiting.idle === true ? "idle" : (waiting.fault ?? new Fault("conflict", "The write cannot be carried out on the present state.")));
    else {
      waiting.write?.decided?.();
      this.settle(operation, "done");
    }
  }

  private settle(operation: string, result: QuorumResult): void {
    const waiting = this.waiting.get(operation);
    if (waiting === undefined) return;
    this.waiting.delete(operation);
    if (this.log.batch.broken !== undefined) waiting.resolve(unavailable(waiting.write === undefined ? undefined : "unknown"));
    else this.log.batch.flushed().then(() => waiting.resolve(result), () => waiting.resolve(unavailable(waiting.write === undefined ? undefined : "unknown")));
  }

  /** Builds one change for the waiting writes; each sees what those before it wrote. */
  private build(build: number, document: string, version: number, operations: readonly string[]): void {
    const { log } = this;
    const { table } = log;
    const record = table.ensure(document);
    const held = table.body(record);
    if (held === undefined) {
      this.retryBuild([document], build, document, version, operations);
      return;
    }
    const base = copyVector(record.vector);
    const hlc = log.clock.send(this.ports.wall());
    const collected: Operation[] = [];
    const included: string[] = [];
    const refused: string[] = [];
    let actor = "system";
    let drafted: DocumentState | undefined;
    for (const operation of operations) {
      const write = this.waiting.get(operation)?.write;
      const waiting = this.waiting.get(operation);
      if (write === undefined || waiting === undefined) continue;
      // A change names one key, so writes of another key wait for the next version.
      if (included.length > 0 && write.actor !== actor) continue;
      const snapshot = new TurnSnapshot(table, this.ports.wall(), drafted === undefined ? undefined : new Map([[document, drafted]]));
      const attempt = tryTurn(snapshot, () => write.plan(snapshot));
      if ("missing" in attempt) {
        this.retryBuild(attempt.missing, build, document, version, operations);
        return;
      }
      const planned = attempt.value;
      if (planned instanceof Fault || planned.length === 0) {
        if (planned instanceof Fault) waiting.fault = planned;
        waiting.idle = !(planned instanceof Fault);
        refused.push(operation);
        continue;
      }
      if (collected.length + planned.length > 4_000) break;
      // What shares a change with the deletion could not be shown to those who wrote it.
      if (included.length > 0 && planned.some(({ op, section }) => op === "delete" && section === "")) break;
      waiting.idle = false;
      collected.push(...planned);
      included.push(operation);
      actor = write.actor;
      if (included.length < operations.length) {
        drafted = held.clone();
        drafted.apply({ document, hlc, region: "-", replica: "-", actor, context: base, operations: collected }, { origin: "draft.0", seq: 1 }, new Uint8Array(16));
      }
    }
    const candidate = included.length === 0 && operations.length > 0
      ? null
      : { change: log.draft({ document, operations: collected, actor, hlc, context: base, version, operationIds: included }), base, operations: included };
    table.dropIfEmpty(document);
    this.step({ kind: "built", build, candidate, refused });
  }

  private retryBuild(missing: readonly string[], build: number, document: string, version: number, operations: readonly string[]): void {
    this.log.table.withBodies([document, ...missing], () => {
      if (!this.closed) this.build(build, document, version, operations);
    }).catch((error: unknown) => this.ports.fatal(error));
  }

  private append(body: Uint8Array, document: string): void {
    const change = this.log.parse(body);
    if ("fault" in change) {
      this.ports.fatal(new Error(`a decided change of ${document} ${change.fault}`));
      return;
    }
    const record = this.log.table.ensure(document);
    if (this.log.table.body(record) === undefined) {
      this.log.table.withBodies([document], () => this.appendLoaded(body, change)).catch((error: unknown) => this.ports.fatal(error));
      return;
    }
    this.appendLoaded(body, change);
  }

  private appendLoaded(body: Uint8Array, change: Change): void {
    if ((this.log.table.find(change.document)?.vector[CHAIN] ?? 0) >= (change.version ?? 0)) return;
    this.log.appendDecided(body, change);
    this.advanced.delete(change.document);
    this.step({ kind: "advanced", documents: [change.document] });
    this.log.batch.afterFlush(() => this.ports.push());
  }
}

function encodeSlot(slot: unknown): Uint8Array {
  return encoder.encode(JSON.stringify(slot, (_key, value: unknown) => (value instanceof Uint8Array ? { $bytes: Buffer.from(value).toString("base64") } : value)));
}

/** Parses a stored slot. */
export function decodeSlot<T>(bytes: Uint8Array): T {
  return JSON.parse(Buffer.from(bytes).toString(), (_key, value: unknown) =>
    typeof value === "object" && value !== null && "$bytes" in value ? new Uint8Array(Buffer.from(String(value.$bytes), "base64")) : value,
  ) as T;
}

function unavailable(outcome: "rejected" | "unknown" | undefined): Fault {
  return new Fault("quorum-unavailable", UNAVAILABLE, { retryAfterSeconds: 1, ...(outcome === undefined ? {} : { outcome }) });
}

function failure(effect: Extract<Effect, { kind: "failed" }>, isWrite: boolean): Fault {
  if (effect.cause === "overloaded") return new Fault("overloaded", "Too many GLOBAL_QUORUM operations are under way.", { retryAfterSeconds: 1, ...(isWrite ? { outcome: "rejected" as const } : {}) });
  return unavailable(isWrite ? (effect.outcome === "unknown" ? "unknown" : "rejected") : undefined);
}
