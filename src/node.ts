/**
 * One replica, built from ports: the same assembly in production and in the simulator. The outer part (`ReplicaNode`) lives as
 * long as the process; the inner one is opened anew when the disk has failed or the store is in doubt.
 */
import { Fault } from "./core/errors.js";
import type { Limits } from "./core/limits.js";
import { StorageDamage, type Clock, type Random, type Storage, type Timer, type Timers, type Transport } from "./core/ports.js";
import type { Vector } from "./core/vector.js";
import type {
  AntiEntropyPeerReport, ClusterStatus, Command, CommitOptions, Committed, DataPlane, HistoryEntry, PlannedChange, Query, ReadOptions, ReadResult,
} from "./store/data-plane.js";
import type { Fold } from "./store/log-trimmer.js";
import type { Metrics } from "./store/metrics.js";
import { ReplicaEngine } from "./store/replica-engine.js";
import { decodeToken } from "./store/session-token.js";

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
  readonly antiEntropyIntervalMs: number;
  readonly limits: Limits;
  /** Documents that every replica of a new cluster makes for itself. */
  readonly genesis: readonly PlannedChange[];
}

export type NodeLog = (level: "info" | "warn" | "error", event: Readonly<Record<string, unknown>>, text: string) => void;

export interface NodePorts {
  /** Opens the store; called again after it was closed. `witness` names the folder on this disk. */
  openStorage(): Promise<{ readonly storage: Storage; readonly witness: string }>;
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
  /** A broken invariant: the process must stop. */
  fatal(error: unknown): void;
}

const RESTARTING = new Fault("overloaded", "This replica is opening its store.", { outcome: "rejected", retryAfterSeconds: 1 });

export class ReplicaNode implements DataPlane {
  private engine: ReplicaEngine | undefined;
  private reopening: Timer | undefined;
  private lastStatus: ClusterStatus | undefined;
  private readOnlyReason: string | undefined;
  private closed = false;

  private constructor(
    private readonly options: NodeOptions,
    private readonly ports: NodePorts,
  ) {}

  /** Opens the store and joins the mesh. Rejects with a `StorageDamage` or `StorageFailure` if the store cannot be used. */
  static async start(options: NodeOptions, ports: NodePorts): Promise<ReplicaNode> {
    const node = new ReplicaNode(options, ports);
    await node.open(undefined);
    return node;
  }

  private async open(doubt: string | undefined): Promise<void> {
    const { storage, witness } = await this.ports.openStorage();
    try {
      this.engine = await ReplicaEngine.open(this.options, this.ports, storage, witness, doubt, {
        diskFailed: (error) => this.diskFailed(error),
        doubt: (reason) => void this.renew(reason),
      });
    } catch (error) {
      await storage.close().catch(() => {});
      throw error;
    }
    this.readOnlyReason = undefined;
    await this.engine.originate(this.options.genesis);
  }

  /** True if the disk was empty when the process started. */
  get virgin(): boolean {
    return this.engine?.virgin === true;
  }

  /** The store may not be the one that this replica left: go on as a new incarnation. */
  private async renew(reason: string): Promise<void> {
    if (this.closed || this.engine === undefined) return;
    this.ports.log("warn", { event: "new-incarnation", reason }, "the store is in doubt; this replica rejoins as a new incarnation");
    await this.shut();
    await this.reopen(reason);
  }

  /** After an I/O error nothing is acknowledged; the store is opened anew once the disk takes writes again. */
  private diskFailed(error: Error): void {
    this.readOnlyReason = error instanceof StorageDamage
      ? `The store is damaged (${error.message}); rebuild it with --rebuild.`
      : `The disk does not take writes (${error.message}).`;
    this.ports.log("error", { event: "read-only", error: error.message }, "this replica is read-only");
    if (error instanceof StorageDamage) return;
    this.reopening ??= this.ports.timers.after(this.options.limits.reopenAfterMs, () => {
      this.reopening = undefined;
      void this.shut().then(() => this.reopen(undefined));
    });
  }

  private async shut(): Promise<void> {
    const { engine } = this;
    if (engine === undefined) return;
    this.lastStatus = this.degraded(engine.cluster());
    this.engine = undefined;
    await engine.close();
  }

  private async reopen(doubt: string | undefined): Promise<void> {
    if (this.closed) return;
    try {
      await this.open(doubt);
      this.ports.log("info", { event: "reopened" }, "the store was opened anew");
    } catch (error) {
      this.readOnlyReason = `The store cannot be opened (${error instanceof Error ? error.message : String(error)}).`;
      this.ports.log("error", { event: "reopen-failed", error: String(error) }, "the store could not be opened anew");
      this.reopening = this.ports.timers.after(this.options.limits.reopenAfterMs, () => {
        this.reopening = undefined;
        void this.reopen(doubt);
      });
    }
  }

  async close(): Promise<void> {
    this.closed = true;
    this.reopening?.cancel();
    const { engine } = this;
    this.engine = undefined;
    await engine?.close();
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

  private degraded(status: ClusterStatus): ClusterStatus {
    if (this.readOnlyReason === undefined) return status;
    return { ...status, degradation: { level: 5, reasons: [this.readOnlyReason, ...status.degradation.reasons.filter((reason) => reason !== this.readOnlyReason)] } };
  }

  async antiEntropy(): Promise<readonly AntiEntropyPeerReport[]> {
    return this.engine === undefined ? [] : this.engine.antiEntropy();
  }
}
