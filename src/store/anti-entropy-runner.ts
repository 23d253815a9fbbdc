/**
 * Runs `core/anti-entropy.ts` on the store: reads and applies the documents that differ, and takes over a peer's vector where the
 * logs could not have bridged the gap.
 */
import type { Limits } from "../core/limits.js";
import { AntiEntropyEngine } from "../core/anti-entropy.js";
import type { AntiEntropy } from "../core/anti-entropy-messages.js";
import { ANTI_ENTROPY_BOUNDS, type AntiEntropyEffect, type AntiEntropyReport, type AntiEntropySight, type DottedChange } from "../core/anti-entropy-events.js";
import type { MerkleTree } from "../core/merkle.js";
import type { Change } from "../core/change.js";
import { dominates, isOrigin, type Vector } from "../core/vector.js";
import type { ChangeLog } from "./change-log.js";
import { holdsDot } from "./document-table.js";
import type { HistoryOfDocument } from "./document-history.js";
import { sometimes } from "../core/sometimes.js";

export interface AntiEntropyPorts {
  send(peer: string, message: AntiEntropy): void;
  monotonic(): number;
  randomNumber(): number;
  hash(text: string): Uint8Array;
  /** What the peers are known to hold, joined: the log entries of what anti-entropy brings lie below it. */
  peersHold(): Vector;
  /** The highest numbers that a peer has trimmed. */
  floorOf(peer: string): Vector;
  /** Brings the kept answers of a peer, which are no documents; false if it could not. */
  copyAnswers(peer: string): Promise<boolean>;
  /** The logs go on above what was taken over: ask the peer for it. */
  adopted(peer: string): void;
  quarantined(document: string, fault: string): void;
  /** Lets other work come between. */
  pause(): Promise<void>;
  fatal(error: unknown): void;
}

/** Changes that are applied in one turn of the event loop. */
const STORED_AT_ONCE = 100;

export class AntiEntropyRunner {
  private readonly engine: AntiEntropyEngine;
  private readonly rounds = new Map<string, { readonly promise: Promise<AntiEntropyReport>; readonly resolve: (report: AntiEntropyReport) => void }>();

  constructor(
    private readonly log: ChangeLog,
    tree: MerkleTree,
    private readonly history: HistoryOfDocument,
    limits: Limits,
    private readonly ports: AntiEntropyPorts,
  ) {
    const sight: AntiEntropySight = {
      tree,
      replicaVector: () => log.durableVector,
      documentVector: (key) => {
        const record = log.table.find(key);
        return record === undefined || Object.keys(record.vector).length === 0 ? undefined : record.vector;
      },
      hash: ports.hash,
    };
    this.engine = new AntiEntropyEngine(sight, { ...ANTI_ENTROPY_BOUNDS, originsMax: limits.originsMax, changeBytesMax: limits.changeBytesMax }, log.kept);
  }

  /** One round with a peer; a round that is under way is joined. */
  round(peer: string): Promise<AntiEntropyReport> {
    const running = this.rounds.get(peer);
    if (running !== undefined) return running.promise;
    let resolve: (report: AntiEntropyReport) => void = () => {};
    const promise = new Promise<AntiEntropyReport>((settle) => {
      resolve = settle;
    });
    this.rounds.set(peer, { promise, resolve });
    this.carry(this.engine.step({ kind: "begin", peer, number: this.ports.randomNumber() }, this.ports.monotonic()));
    return promise;
  }

  received(peer: string, message: AntiEntropy): void {
    this.carry(this.engine.step({ kind: "received", from: peer, message }, this.ports.monotonic()));
  }

  disconnected(peer: string): void {
    this.carry(this.engine.step({ kind: "disconnected", peer }, this.ports.monotonic()));
  }

  tick(): void {
    this.carry(this.engine.step({ kind: "tick" }, this.ports.monotonic()));
  }

  private carry(effects: readonly AntiEntropyEffect[]): void {
    for (const effect of effects) {
      switch (effect.kind) {
        case "send":
          this.log.batch.afterFlush(() => this.ports.send(effect.to, effect.message));
          break;
        case "load":
          this.load(effect.session, effect.document, effect.beyond).catch((error: unknown) => this.ports.fatal(error));
          break;
        case "store":
          this.store(effect.session, effect.document, effect.changes).catch((error: unknown) => this.ports.fatal(error));
          break;
        case "finished":
          this.finish(effect.report).catch((error: unknown) => this.ports.fatal(error));
      }
    }
  }

  private async load(session: string, document: string, beyond: Vector): Promise<void> {
    let failed = false;
    let changes: DottedChange[] = [];
    try {
      changes = (await this.history.changesBeyond(document, beyond)).map(({ dot, body }) => ({ origin: dot.origin, seq: dot.seq, body }));
    } catch (error) {
      failed = true;
      this.ports.quarantined(document, String(error));
    }
    this.carry(this.engine.step({ kind: "loaded", session, document, changes, failed }, this.ports.monotonic()));
  }

  private async store(session: string, document: string, changes: readonly DottedChange[]): Promise<void> {
    const { table } = this.log;
    let applied = 0;
    let failed = 0;
    for (const [index, { origin, seq, body }] of changes.entries()) {
      if (index % STORED_AT_ONCE === STORED_AT_ONCE - 1) await this.ports.pause();
      const change = this.log.parse(body);
      const fault = "fault" in change ? change.fault : this.misfit(document, origin, seq, change);
      if (fault !== undefined || "fault" in change) {
        failed++;
        this.ports.quarantined(document, fault ?? "is no change");
        continue;
      }
      const dot = { origin, seq };
      if (holdsDot(table.find(document), dot)) continue;
      const repaired = await table.withBodies([document], () => {
        // Replication may have brought it, or taken the store down, while the body was loaded.
        if (this.log.batch.broken !== undefined || holdsDot(table.find(document), dot)) return undefined;
        if (!this.log.ready(change)) return false;
        this.log.repair(dot, body, change, this.ports.peersHold());
        return true;
      });
      if (repaired === true) sometimes("anti-entropy: documents were repaired");
      if (repaired === true) applied++;
      else if (repaired === false) failed++;
    }
    await this.log.batch.flushed();
    this.carry(this.engine.step({ kind: "stored", session, document, applied, failed }, this.ports.monotonic()));
  }

  /** Why a change does not belong where the peer put it. */
  private misfit(document: string, origin: string, seq: number, change: Change): string | undefined {
    if (change.document !== document) return "belongs to another document";
    if (!this.log.kept.keeps(document)) return "is of a page that is not kept here";
    if (!isOrigin(origin)) return "has no origin";
    return (change.version !== undefined) === (origin === "~") && (change.version ?? seq) === seq ? undefined : "does not match its place";
  }

  private async finish(report: AntiEntropyReport): Promise<void> {
    const round = this.rounds.get(report.peer);
    const { peerVectorAtStart } = report;
    const isBehind = report.complete && peerVectorAtStart !== undefined && !dominates(this.log.vector, this.ports.floorOf(report.peer));
    // Without its answers its vector is not taken over: being behind its floor, we come back for both. An edge for some pages answers no writes.
    if (isBehind && (!this.log.kept.all || (await this.ports.copyAnswers(report.peer)))) {
      this.log.adopt(peerVectorAtStart);
      await this.log.batch.flushed();
      this.ports.adopted(report.peer);
    }
    this.rounds.delete(report.peer);
    round?.resolve(report);
  }
}
