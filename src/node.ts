/**
 * One replica, built from ports: the same assembly in production and in the simulator. The outer part (`ReplicaNode`) lives as
 * long as the process; the inner one is opened anew when the disk has failed or the store is in doubt.
 */
import { Fault } from "./core/errors.js";
import type { Limits } from "./core/limits.js";
import { StorageDamage, type Clock, type OpenedStore, type Random, type Timer, type Timers, type Transport } from "./core/ports.js";
import type { Vector } from "./core/vector.js";
import type {
  AntiEntropyPeerReport, ClusterStatus, Command, CommitOptions, Committed, DataPlane, DocumentChange, HistoryEntry, PlannedChange, Query, ReadOptions, ReadResult,
} from "./store/data-plane.js";
import type { Fold } from "./store/log-trimmer.js";
import type { Metrics } from "./store/metrics.js";
import type { RecordSource } from "./store/record-exchange.js";
import { Feed } from "./store/feed.js";
import type { LogItem } from "./store/page-events.js";
import { ReplicaEngine, type Doubt } from "./store/replica-engine.js";
import { decodeToken } from "./store/session-token.js";
import { sometimes } from "./core/sometimes.js";

export interface MemberOptions {
  readonly region: string;
  readonly role: "region" | "edge";
  readonly voter: boolean;
}

export interface NodeOptions extends MemberOptions {
  readonly replica: string;
  readonly clusterId: string;
  /** Hash over the configured members; unequal ones refuse each other. */
  readonly membership: string;
  readonly peers: Readonly<Record<string, MemberOptions>>;
  /** Ids of the pages that this replica keeps; absent or empty: all. */
  readonly pages?: readonly string[];
  readonly antiEntropyIntervalMs: number;
  readonly limits: Limits;
  /** Documents that every replica of a new cluster makes for itself. */
  readonly genesis: readonly PlannedChange[];
}

export type NodeLog = (level: "info" | "warn" | "error", event: Readonly<Record<string, unknown>>, text: string) => void;

export interface NodePorts {
  /** Opens the store; called again after it was closed. */
  openStorage(): Promise<OpenedStore>;
  /** Resolves once the disk takes writes again; rejects while it does not. Does not touch the open store. */
  probeStorage(): Promise<void>;
  /** A new transport, not yet open. */
  newTransport(): Transport;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  sha256(bytes: Uint8Array): Uint8Array;
  readonly metrics: Metrics;
  readonly log: NodeLog;
  /** Folds changes into Automerge documents; may run elsewhere. */
  readonly fold: Fold;
  /** What a feature keeps beside the documents, for every replica. */
  readonly records?: RecordSource | undefined;
  /** A broken invariant: the process must stop. */
  fatal(error: unknown): void;
}

const RESTARTING = new Fault("overloaded", "This replica is opening its store.", { outcome: "rejected", retryAfterSeconds: 1 });

export class ReplicaNode implements DataPlane {
  readonly feed: Feed;
  private engine: ReplicaEngine | undefined;
  private reopening: Timer | undefined;
  private lastStatus: ClusterStatus | undefined;
  private readOnlyReason: string | undefined;
  private closed = false;
  /** Counts the openings of the store: what an engine reports after it was replaced is void. */
  private generation = 0;
  /** Openings and closings, one after the other. */
  private lifecycle: Promise<void> = Promise.resolve();

  private constructor(
    private readonly options: NodeOptions,
    private readonly ports: NodePorts,
  ) {
    this.feed = new Feed((error) => ports.log("error", { event: "feed", error: String(error) }, "one who follows the log has failed"));
  }

  /** Opens the store and joins the mesh. Rejects with a `StorageDamage` or `StorageFailure` if the store cannot be used. */
  static async start(options: NodeOptions, ports: NodePorts): Promise<ReplicaNode> {
    const node = new ReplicaNode(options, ports);
    try {
      await node.inTurn(() => node.open(undefined));
    } catch (error) {
      await node.close();
      throw error;
    }
    return node;
  }

  /** Runs after all that was asked for before. */
  private inTurn(work: () => Promise<void>): Promise<void> {
    const done = this.lifecycle.then(work);
    this.lifecycle = done.catch(() => {});
    return done;
  }

  private async open(doubt: Doubt | undefined): Promise<void> {
    const generation = ++this.generation;
    const store = await this.ports.openStorage();
    try {
      this.engine = await ReplicaEngine.open(this.options, { ...this.ports, feed: this.feed }, store, doubt, {
        diskFailed: (error) => this.diskFailed(generation, error),
        doubt: (reason, above) => this.renew(generation, { reason, above }),
      });
    } catch (error) {
      await store.storage.close().catch(() => {});
      throw error;
    }
    this.readOnlyReason = undefined;
    try {
      await this.engine.originate(this.options.genesis);
    } catch (error) {
      await this.shut();
      throw error;
    }
  }

  /** True if the disk was empty when the process started. */
  get virgin(): boolean {
    return this.engine?.virgin === true;
  }

  /** The store may not be the one that this replica left: go on as a new incarnation. */
  private renew(generation: number, doubt: Doubt): void {
    this.replace(generation, doubt, () => {
      this.ports.log("warn", { event: "new-incarnation", reason: doubt.reason }, "the store is in doubt; this replica rejoins as a new incarnation");
    });
  }

  /** After an I/O error nothing is acknowledged; the store is opened anew once the disk takes writes again. */
  private diskFailed(generation: number, error: Error): void {
    this.readOnlyReason = error instanceof StorageDamage
      ? `The store is damaged (${error.message}); rebuild it with --rebuild.`
      : `The disk does not take writes (${error.message}).`;
    this.ports.log("error", { event: "read-only", error: error.message }, "this replica is read-only");
    if (error instanceof StorageDamage || this.closed) return;
    this.reopenLater(generation);
  }

  /** Reads go on from the failed store until the disk takes writes again. */
  private reopenLater(generation: number): void {
    this.reopening ??= this.ports.timers.after(this.options.limits.reopenAfterMs, () => {
      this.reopening = undefined;
      this.ports.probeStorage().then(() => this.replace(generation, undefined, () => {}), (error: unknown) => {
        if (this.closed || generation !== this.generation) return;
        this.ports.log("error", { event: "reopen-failed", error: String(error) }, "the disk still takes no writes");
        this.reopenLater(generation);
      });
    });
  }

  /** Closes the engine of this generation, if it still is the one, and opens the store anew. */
  private replace(generation: number, doubt: Doubt | undefined, begun: () => void): void {
    const done = this.inTurn(async () => {
      if (this.closed || generation !== this.generation) return;
      begun();
      await this.shut();
      await this.reopen(doubt);
    });
    done.catch((error: unknown) => this.ports.fatal(error));
  }

  private async shut(): Promise<void> {
    const { engine } = this;
    if (engine === undefined) return;
    this.lastStatus = this.degraded(engine.cluster());
    this.engine = undefined;
    await engine.close();
  }

  private async reopen(doubt: Doubt | undefined): Promise<void> {
    try {
      await this.open(doubt);
      sometimes("recovery: the store was opened anew after a failure");
      this.ports.log("info", { event: "reopened" }, "the store was opened anew");
    } catch (error) {
      this.readOnlyReason = `The store cannot be opened (${error instanceof Error ? error.message : String(error)}).`;
      this.ports.log("error", { event: "reopen-failed", error: String(error) }, "the store could not be opened anew");
      if (this.closed) return;
      const { generation } = this;
      this.reopening?.cancel();
      this.reopening = this.ports.timers.after(this.options.limits.reopenAfterMs, () => {
        this.reopening = undefined;
        this.replace(generation, doubt, () => {});
      });
    }
  }

  async close(): Promise<void> {
    this.closed = true;
    this.reopening?.cancel();
    await this.inTurn(async () => {
      const { engine } = this;
      this.engine = undefined;
      await engine?.close();
    });
  }

  private get fault(): Fault {
    return this.readOnlyReason === undefined ? RESTARTING : new Fault("read-only", this.readOnlyReason, { outcome: "rejected", retryAfterSeconds: 5 });
  }

  async commit(command: Command, options: CommitOptions): Promise<Committed | Fault> {
    return this.engine === undefined ? this.fault : this.engine.commit(command, options);
  }

  async read<T>(query: Query<T>, options: ReadOptions): Promise<ReadResult<T> | Fault> {
    return this.engine === undefined ? this.fault : this.engine.read(query, options);
  }

  async history(key: string, options: ReadOptions): Promise<ReadResult<readonly HistoryEntry[]> | Fault> {
    return this.engine === undefined ? this.fault : this.engine.history(key, options);
  }

  async changes(key: string): Promise<readonly DocumentChange[] | Fault> {
    return this.engine === undefined ? this.fault : this.engine.changes(key);
  }

  async recentChanges(key: string, beyond: Vector): Promise<readonly DocumentChange[] | Fault> {
    return this.engine === undefined ? this.fault : this.engine.recentChanges(key, beyond);
  }

  async projection(key: string): Promise<{ readonly text: string | undefined; readonly vector: Vector } | Fault> {
    return this.engine === undefined ? this.fault : this.engine.projection(key);
  }

  async keepProjections(texts: ReadonlyMap<string, string>): Promise<void> {
    this.engine?.keepProjections(texts);
  }

  async latest(most: number): Promise<readonly LogItem[] | Fault> {
    return this.engine === undefined ? this.fault : this.engine.latest(most);
  }

  parseToken(token: string): Vector | undefined {
    return decodeToken(token, this.options.limits.sessionTokenBytes);
  }

  token(): string {
    return this.engine?.token() ?? "v1.";
  }

  cluster(): ClusterStatus {
    if (this.engine !== undefined) {
      const status = this.engine.cluster();
      return this.readOnlyReason === undefined ? status : this.degraded(status);
    }
    if (this.lastStatus === undefined) throw new Error("the replica has not been opened");
    return this.lastStatus;
  }

  holdsPage(page: string): boolean {
    // While the store is opened anew, the answer is that it is not there.
    return this.engine?.holdsPage(page) ?? true;
  }

  private degraded(status: ClusterStatus): ClusterStatus {
    if (this.readOnlyReason === undefined) return status;
    return { ...status, degradation: { level: 5, reasons: [this.readOnlyReason, ...status.degradation.reasons.filter((reason) => reason !== this.readOnlyReason)] } };
  }

  async antiEntropy(): Promise<readonly AntiEntropyPeerReport[]> {
    return this.engine === undefined ? [] : this.engine.antiEntropy();
  }
}
