/**
 * The parts of one replica wired to each other, from the opening of its store to its closing.
 */
import type { Change } from "../core/change.js";
import type { Dot } from "../core/document.js";
import { Fault } from "../core/errors.js";
import { encodeHlc, HybridClock } from "../core/hlc.js";
import type { Limits } from "../core/limits.js";
import { KeptPages } from "../core/kept-pages.js";
import { degradation, peerState, type PeerHealth } from "../core/membership.js";
import { MerkleTree } from "../core/merkle.js";
import type { Hello, Message, Status } from "../core/messages.js";
import { StorageDamage, StorageFailure, type Clock, type OpenedStore, type Random, type Storage, type Timer, type Timers, type Transport, type TransportHandler } from "../core/ports.js";
import { latestNumber, numberOf, originOf, ownerOf } from "../core/replica.js";
import { copyVector, dominates, EMPTY_VECTOR, parseVector, type Vector } from "../core/vector.js";
import { AnswerTransfer } from "./answer-transfer.js";
import { AntiEntropyRunner } from "./anti-entropy-runner.js";
import { ChangeLog, type LogObserver, type LoggedEntry } from "./change-log.js";
import { CommitPath } from "./commit.js";
import type {
  AntiEntropyPeerReport, ClusterStatus, Command, CommitOptions, Committed, DocumentChange, HistoryEntry, PeerStatus, PlannedChange, Query, ReadOptions, ReadResult,
} from "./data-plane.js";
import { HistoryOfDocument } from "./document-history.js";
import { Introduction } from "./introduction.js";
import { DocumentTable, type DocumentRecord } from "./document-table.js";
import { keyspace } from "./keyspace.js";
import { LogTrimmer, type Fold } from "./log-trimmer.js";
import type { Feed } from "./feed.js";
import type { Histogram, Metrics } from "./metrics.js";
import type { LogItem } from "./page-events.js";
import { QuorumCoordinator } from "./quorum-coordinator.js";
import { ReadPath } from "./read.js";
import { RecordExchange, type RecordSource } from "./record-exchange.js";
import { encodeCoverage } from "./page-coverage.js";
import { recover, type Opened } from "./recovery.js";
import { RegionQuorum } from "./region-quorum.js";
import { Replication } from "./replication.js";
import { encodeToken } from "./session-token.js";
import { SessionWaits } from "./session.js";

export const PROTOCOL_VERSION = 2;
/** The time of documents that every replica makes for itself, ms since the epoch: the same everywhere. */
const GENESIS_MS = Date.UTC(2026, 0, 1);

export interface EngineMember {
  readonly region: string;
  readonly role: "region" | "edge";
  readonly voter: boolean;
}

export interface EngineOptions extends EngineMember {
  readonly replica: string;
  readonly clusterId: string;
  readonly membership: string;
  readonly peers: Readonly<Record<string, EngineMember>>;
  /** Ids of the pages that this replica keeps; absent or empty: all. */
  readonly pages?: readonly string[];
  readonly antiEntropyIntervalMs: number;
  readonly limits: Limits;
}

export interface EnginePorts {
  newTransport(): Transport;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  sha256(bytes: Uint8Array): Uint8Array;
  readonly metrics: Metrics;
  log(level: "info" | "warn" | "error", event: Readonly<Record<string, unknown>>, text: string): void;
  fatal(error: unknown): void;
  readonly fold: Fold;
  /** Hears of every durable change. */
  readonly feed?: Feed;
  /** What a feature keeps beside the documents, for every replica. */
  readonly records?: RecordSource | undefined;
}

/** Why the store may not be the one that this replica left, and the latest incarnation of it that anybody knows. */
export interface Doubt {
  readonly reason: string;
  readonly above: number;
}

export interface EngineEvents {
  diskFailed(error: Error): void;
  /** `above`: the latest incarnation of this replica that anybody knows. */
  doubt(reason: string, above: number): void;
}

/** Among so many numbers the name of another log is drawn. */
const NAMES = 60_000;
const OPENING = new Fault("overloaded", "This replica is opening its store.", { outcome: "rejected", retryAfterSeconds: 1 });
const IDEMPOTENCY_SWEEP_MS = 600_000;
const SKEW_SAID_EVERY_MS = 60_000;
const SCRUB_PAUSE_MS = 20;
const LATEST_AT_ONCE = 500;
const EVERYTHING = { from: " ", to: "\u{10ffff}" } as const;
const encoder = new TextEncoder();
const decoder = new TextDecoder();
/** Round trip assumed of a peer that has not answered a heartbeat yet, ms. */
const UNKNOWN_ROUND_TRIP_MS = 200;

export class ReplicaEngine {
  private readonly storage: Storage;
  private readonly transport: Transport;
  private readonly log: ChangeLog;
  private readonly replication: Replication;
  private readonly quorum: QuorumCoordinator;
  private readonly region: RegionQuorum;
  private readonly sessions: SessionWaits;
  private readonly reads: ReadPath;
  private readonly commits: CommitPath;
  private readonly antiEntropyRunner: AntiEntropyRunner;
  private readonly answers: AnswerTransfer;
  private readonly records: RecordExchange | undefined;
  private readonly historyOf: HistoryOfDocument;
  private readonly trimmer: LogTrimmer;
  private readonly introduction: Introduction;
  private readonly timers = new Set<Timer>();
  private readonly peerIds: readonly string[];
  private readonly skewSaidMs = new Map<string, number>();
  private readonly needsAntiEntropy = new Set<string>();
  private readonly kept: KeptPages;
  /** The pages of which all is here that the vector says; those that were added last may still be on their way. */
  private whole: KeptPages;
  /** What regions held when they were first heard: once all of it is here, the pages that were added are whole. */
  private readonly wholeAt = new Map<string, Vector>();
  private retired: ReadonlySet<string> = new Set();
  private tokenOf: { vector: Vector; retired: ReadonlySet<string>; text: string } | undefined;
  private operations = 0;
  private readonly instance: string;
  private failure: Error | undefined;
  private closing = false;
  private closed = false;
  private quorumMs: { at: number; ms: number } | undefined;
  private readonly fsyncSeconds: Histogram;
  private readonly quorumSeconds: Histogram;

  static async open(options: EngineOptions, ports: EnginePorts, store: OpenedStore, doubt: Doubt | undefined, events: EngineEvents): Promise<ReplicaEngine> {
    const { limits } = options;
    const { storage, witness, highWater } = store;
    let flushedBatch: () => number = () => 0;
    const table = new DocumentTable(storage, limits, () => flushedBatch());
    const tree = new MerkleTree((key, digest) => {
      const name = encoder.encode(key);
      const bytes = new Uint8Array(name.length + digest.length);
      bytes.set(name);
      bytes.set(digest, name.length);
      return ports.sha256(bytes).subarray(0, 16);
    });
    const node = Buffer.from(ports.sha256(encoder.encode(`${options.clusterId}/${options.replica}`))).toString("hex").slice(0, 12);
    const clock = new HybridClock(node);
    const opened = await recover(storage, highWater, table, tree, clock, {
      kept: new KeptPages(options.pages ?? []), replica: options.replica, clusterId: options.clusterId, witness, doubt: doubt?.reason, above: doubt?.above ?? 0, nowMs: ports.clock.now(), verifyBytesMax: limits.startVerifyBytes,
    });
    const engine = new ReplicaEngine(options, ports, store, table, tree, clock, opened, events);
    flushedBatch = () => engine.log.batch.flushedBatch;
    await engine.begin();
    return engine;
  }

  private constructor(
    private readonly options: EngineOptions,
    private readonly ports: EnginePorts,
    { storage, highWater }: OpenedStore,
    private readonly table: DocumentTable,
    private readonly tree: MerkleTree,
    hybridClock: HybridClock,
    private readonly opened: Opened,
    private readonly events: EngineEvents,
  ) {
    const { limits, peers } = options;
    this.storage = storage;
    this.peerIds = Object.keys(peers).sort();
    this.kept = opened.coverage.kept;
    this.whole = opened.coverage.whole;
    if (opened.fresh || opened.doubt !== undefined) for (const peer of this.peerIds) this.needsAntiEntropy.add(peer);
    this.instance = Buffer.from(ports.random.bytes(6)).toString("hex");
    this.fsyncSeconds = ports.metrics.histogram("statusmesh_batch_fsync_seconds", "Time to make one batch durable");
    this.quorumSeconds = ports.metrics.histogram("statusmesh_quorum_operation_seconds", "Time of GLOBAL_QUORUM operations", ["kind"]);
    const time = { now: () => ports.clock.now(), monotonic: () => ports.clock.monotonic() };
    this.log = new ChangeLog(opened.state, storage, highWater, table, tree, hybridClock, options, opened.coverage.kept, limits, (bytes) => ports.sha256(bytes), time, this.observer());
    // Nobody can hold anything of a log that was begun just now.
    const isNewLog = opened.fresh || opened.doubt !== undefined;
    this.log.anotherName = () => this.anotherName();
    this.introduction = new Introduction(isNewLog ? [] : this.peerIds, () => {
      this.log.anotherName = undefined;
    });
    this.transport = ports.newTransport();
    this.historyOf = new HistoryOfDocument(storage, this.log);
    this.log.archived = (key) => this.historyOf.archivedChange(key);
    this.trimmer = new LogTrimmer(storage, this.log, this.historyOf, ports.fold, limits, {
      stable: () => this.stable(),
      monotonic: time.monotonic,
      warn: (event, text) => ports.log("warn", event, text),
    });
    this.replication = this.newReplication();
    this.quorum = this.newQuorum();
    this.sessions = new SessionWaits(() => this.log.durableVector, (ms, callback) => this.after(ms, callback), () => this.replication.step({ kind: "tick" }));
    const regionPeers = this.peerIds.filter((id) => peers[id]?.region === options.region && peers[id]?.role === "region");
    this.region = new RegionQuorum(regionPeers, {
      held: () => this.log.durableVector,
      ask: (peer, request) => void this.transport.send(peer, { $case: "vectorRequest", value: { request } }),
      acknowledged: (peer) => this.replication.replica.vectorOf(peer),
      after: (ms, callback) => this.after(ms, callback),
    });
    const shared = {
      log: this.log, sessions: this.sessions, quorum: this.quorum, region: this.region, limits, wall: time.now, monotonic: time.monotonic,
      newOperation: () => `${this.instance}-${(++this.operations).toString(36)}`, token: () => this.token(), retired: () => this.retired,
    };
    this.reads = new ReadPath(shared);
    this.commits = new CommitPath({ ...shared, reads: this.reads, readOnly: () => this.readOnly(), fingerprint: (text) => this.fingerprint(text) });
    this.answers = new AnswerTransfer(storage, this.log, limits, { send: (peer, message) => this.transport.send(peer, message), after: (ms, callback) => this.after(ms, callback), wall: time.now });
    this.records = ports.records === undefined ? undefined : new RecordExchange(ports.records, limits, {
      send: (peer, message) => this.transport.send(peer, message),
      queuedBytes: (peer) => this.transport.queuedBytes(peer),
      after: (ms, callback) => this.after(ms, callback),
      warn: (event, text) => ports.log("warn", event, text),
      fatal: (error) => this.fatal(error),
    });
    this.antiEntropyRunner = new AntiEntropyRunner(this.log, tree, this.historyOf, limits, {
      send: (peer, message) => void this.transport.send(peer, { $case: "antiEntropy", value: message }),
      monotonic: time.monotonic,
      randomNumber: () => 1 + Math.floor(ports.random.uniform() * 0xfffffffe),
      hash: (text) => ports.sha256(encoder.encode(text)).subarray(0, 16),
      peersHold: () => this.replication.replica.peersHold(),
      floorOf: (peer) => this.floorOf(peer),
      copyAnswers: (peer) => this.answers.copy(peer),
      adopted: (peer) => this.replication.step({ kind: "gap", peer }),
      quarantined: (document, fault) => ports.log("warn", { event: "unrepaired", document, fault }, "a document could not be repaired"),
      pause: () => new Promise((resolve) => this.after(0, resolve)),
      fatal: (error) => this.fatal(error),
    });
  }

  private newReplication(): Replication {
    const { ports, options } = this;
    return new Replication(this.log, { status: () => this.status(), wall: () => ports.clock.now() }, this.peerIds, options.limits, {
      send: (peer, message) => this.transport.send(peer, message),
      monotonic: () => ports.clock.monotonic(),
      after: (ms, callback) => void this.after(ms, callback),
      antiEntropyNeeded: (peer) => this.repairFrom(peer),
      repair: async (peer) => this.replication.replica.isConnected(peer) && (await this.antiEntropyRunner.round(peer)).outcome === "done",
      warn: (event, text) => ports.log("warn", event, text),
      fatal: (error) => this.fatal(error),
    }, ports.metrics);
  }

  private newQuorum(): QuorumCoordinator {
    const { ports, options, opened } = this;
    const voters = [...this.peerIds.filter((id) => options.peers[id]?.voter === true), ...(options.voter ? [options.replica] : [])].sort();
    return new QuorumCoordinator(this.log, {
      replica: options.replica, voters, incarnation: opened.state.incarnation, instance: this.instance, random: () => ports.random.uniform(),
      limits: options.limits, state: opened.quorumState, slots: opened.slots, position: opened.state.votes,
    }, { roundTripMs: (peer) => this.replication.replica.roundTripMs(peer) ?? UNKNOWN_ROUND_TRIP_MS }, {
      send: (peer, message) => void this.transport.send(peer, { $case: "quorum", value: message }),
      push: () => this.replication.step({ kind: "flushed", urgent: true }),
      monotonic: () => ports.clock.monotonic(),
      wall: () => ports.clock.now(),
      after: (ms, callback) => this.after(ms, callback),
      doubt: (reason) => this.events.doubt(reason, this.quorum.engine.state.incarnations[options.replica] ?? 0),
      warn: (event, text) => ports.log("warn", event, text),
      voting: () => ports.log("info", { event: "voting" }, "this replica votes"),
      fatal: (error) => this.fatal(error),
    }, ports.metrics);
  }

  private async begin(): Promise<void> {
    this.ports.feed?.opened(this.log.durableVector);
    await this.transport.open(this.handler());
    // From now on it counts how long it has been without a majority.
    this.quorum.step({ kind: "tick" });
    this.after(this.options.limits.introductionMs, () => this.introduction.giveUp());
    this.every(this.options.limits.heartbeatMs, () => this.tick());
    this.every(this.options.limits.trimEveryMs, () => void this.trimmer.run().catch((error: unknown) => this.fatal(error)));
    this.every(IDEMPOTENCY_SWEEP_MS, () => void this.log.forgetAnswers(this.ports.clock.now() - this.options.limits.idempotencyKeptMs).catch((error: unknown) => this.fatal(error)));
    this.every(this.options.limits.scrubEveryMs, () => void this.scrub().catch((error: unknown) => this.fatal(error)));
    this.records?.start();
    if (this.options.role === "edge") this.every(this.options.limits.heardNotedMs, () => this.noteHeard());
    this.gauges();
    this.scheduleAntiEntropy();
  }

  /** Notes that a region is heard: after a restart without any, what is shown is as old as that. */
  private noteHeard(): void {
    const { clock } = this.ports;
    const hears = this.replication.replica.reports(clock.monotonic()).some(({ peer, connected, heardAt }) => this.options.peers[peer]?.role === "region" && peerState(connected, clock.monotonic() - heardAt, this.options.limits) === "up");
    if (!hears) return;
    this.log.state.heardMs = clock.now();
    this.log.batch.touch();
  }

  /** Documents that every replica makes for itself, the same everywhere; those that exist or existed stay as they are. */
  async originate(changes: readonly PlannedChange[]): Promise<void> {
    for (const { document, operations } of changes) this.log.originate(document, operations, encodeHlc(GENESIS_MS, 0, "0".repeat(12)));
    await this.log.batch.flushed();
  }

  get virgin(): boolean {
    return this.opened.fresh;
  }

  // Timers that end with the engine.

  private after(ms: number, callback: () => void): Timer {
    const timer = this.ports.timers.after(ms, () => {
      this.timers.delete(timer);
      if (!this.closed) callback();
    });
    this.timers.add(timer);
    return {
      cancel: () => {
        timer.cancel();
        this.timers.delete(timer);
      },
    };
  }

  private every(ms: number, callback: () => void): void {
    this.after(ms, () => {
      callback();
      this.every(ms, callback);
    });
  }

  private tick(): void {
    this.replication.step({ kind: "tick" });
    this.antiEntropyRunner.tick();
    this.retire();
    this.completePages();
  }

  /** The pages that were added are whole once all is here that most of the regions held when they were first heard: one alone may have come back empty. */
  private completePages(): void {
    if (this.whole.covers(this.kept)) return;
    const regions = this.peerIds.filter((id) => this.options.peers[id]?.role === "region").length;
    if (2 * this.wholeAt.size <= regions || ![...this.wholeAt.values()].every((vector) => dominates(this.log.durableVector, vector))) return;
    this.whole = this.kept;
    this.log.batch.put(keyspace.pages, encodeCoverage({ kept: this.kept, whole: this.kept }));
    this.ports.log("info", { event: "pages-whole", pages: this.kept.ids }, "all pages that this edge keeps are here");
  }

  /** True if a page's documents are here as far as the vector says. */
  holdsPage(page: string): boolean {
    return this.whole.keepsPartition(page);
  }

  private scheduleAntiEntropy(): void {
    const interval = this.options.antiEntropyIntervalMs * (0.8 + 0.4 * this.ports.random.uniform());
    this.after(interval, () => {
      void this.antiEntropy().catch((error: unknown) => this.fatal(error));
      this.scheduleAntiEntropy();
    });
  }

  // What the log tells.

  private observer(): LogObserver {
    return {
      applied: (record: DocumentRecord, change: Change, dot: Dot) => {
        this.ports.feed?.applied(this.log.batch.stagingBatch, record.key, change, dot);
        this.quorum.documentAdvanced(record.key);
      },
      logged: (entry: LoggedEntry, document: string, dot: Dot) => this.ports.feed?.logged(this.log.batch.stagingBatch, entry, document, dot),
      skewed: (origin, hlc) => this.saySkewed(origin, hlc),
      flushed: (_changes, _writes, ms) => {
        this.fsyncSeconds.observe(ms / 1000);
        // Before anybody is answered: what is cached of the documents must not be given out any more.
        this.ports.feed?.flushed(this.log.batch.flushedBatch, this.log.durableVector);
        this.sessions.advanced();
        this.replication.flushed(false);
        this.replication.poke();
        this.quorum.vectorAdvanced();
      },
      failed: (error) => {
        this.failure = error;
        this.events.diskFailed(error);
        this.log.revert().catch((fault: unknown) => this.ports.log("error", { event: "unreadable", error: String(fault) }, "the store cannot be read back"));
      },
    };
  }

  private fatal(error: unknown): void {
    if (this.closed) return;
    if (isDiskError(error)) {
      this.log.batch.fail(error);
      return;
    }
    this.ports.fatal(error);
  }

  private readOnly(): string | undefined {
    return this.failure === undefined ? undefined : `This replica is read-only: ${this.failure.message}.`;
  }

  // The mesh.

  private handler(): TransportHandler {
    return {
      hello: () => this.hello(),
      admit: (hello) => this.admit(hello),
      connected: (peer, hello) => {
        this.ports.log("info", { event: "peer-up", peer }, "a peer is connected");
        if (this.learn(peer, hello.status)) this.introduction.met(peer);
        this.replication.step({ kind: "connected", peer, status: hello.status, kept: new KeptPages(hello.pages) });
        if (this.options.peers[peer]?.role === "region" && !this.wholeAt.has(peer)) this.wholeAt.set(peer, this.parse(hello.status?.vector));
        this.quorum.step({ kind: "peer", replica: peer, up: true });
        this.region.connected(peer);
        if (hello.records) this.records?.connected(peer);
        // What a peer holds in no log (documents that it made for itself, what it trimmed) comes only so.
        if (this.needsAntiEntropy.has(peer)) this.repairFrom(peer);
      },
      disconnected: (peer, reason) => {
        this.ports.log("info", { event: "peer-down", peer, reason }, "a peer is gone");
        this.replication.step({ kind: "disconnected", peer });
        this.antiEntropyRunner.disconnected(peer);
        this.answers.disconnected(peer);
        this.records?.disconnected(peer);
        this.quorum.step({ kind: "peer", replica: peer, up: false });
      },
      received: (peer, message) => {
        try {
          this.received(peer, message);
        } catch (error) {
          this.fatal(error);
        }
      },
    };
  }

  private received(peer: string, message: Message): void {
    if (this.closing || this.failure !== undefined) return;
    switch (message.$case) {
      case "entries":
        this.replication.receive(peer, message.value.entries);
        return;
      case "ack":
        this.replication.step({ kind: "ack", peer, vector: this.parse(message.value.vector), consumedBytes: message.value.consumedBytes });
        this.region.acknowledged();
        return;
      case "heartbeat":
        this.learn(peer, message.value.status);
        this.replication.step({ kind: "heartbeat", peer, heartbeat: message.value });
        this.region.acknowledged();
        return;
      case "want":
        this.replication.step({ kind: "want", peer, vector: this.parse(message.value.vector) });
        return;
      case "vectorRequest":
        this.transport.send(peer, { $case: "vectorAnswer", value: { request: message.value.request, vector: copyVector(this.log.durableVector) } });
        return;
      case "vectorAnswer":
        this.region.answered(peer, message.value.request, this.parse(message.value.vector));
        return;
      case "quorum":
        this.quorum.received(peer, message.value);
        return;
      case "answersRequest":
        this.answers.serve(peer, message.value).catch((error: unknown) => this.fatal(error));
        return;
      case "answers":
        this.answers.received(peer, message.value);
        return;
      case "recordsRequest":
        this.records?.serve(peer, message.value).catch((error: unknown) => this.fatal(error));
        return;
      case "records":
        this.records?.received(peer, message.value);
        return;
      case "antiEntropy":
        this.antiEntropyRunner.received(peer, message.value);
    }
  }

  /** Once in a while for each log: a clock that is wrong stamps every change. */
  private saySkewed(origin: string, hlc: string): void {
    const now = this.ports.clock.monotonic();
    if (now - (this.skewSaidMs.get(origin) ?? Number.NEGATIVE_INFINITY) < SKEW_SAID_EVERY_MS) return;
    this.skewSaidMs.set(origin, now);
    this.ports.log("warn", { event: "clock-ahead", origin, hlc }, "a change is stamped too far in the future; its clock is not adopted (said once a minute for each log)");
  }

  private parse(vector: unknown): Vector {
    return parseVector(vector, this.options.limits.originsMax) ?? EMPTY_VECTOR;
  }

  /** Notices where a peer knows more of us than our disk does. True if it has told what it knows, and that is not more. */
  private learn(peer: string, status: Status | undefined): boolean {
    if (status === undefined) return false;
    const { replica } = this.options;
    const { incarnation } = this.log.state;
    const known = status.incarnations[replica] ?? 0;
    if (known > incarnation) {
      this.events.doubt(`${peer} knows a later incarnation of this replica`, known);
      return false;
    }
    const theirs = this.parse(status.vector);
    for (const origin in theirs) {
      // Of earlier lives others may hold more: this disk had lost them.
      if (ownerOf(origin) !== replica || numberOf(origin) < incarnation || (theirs[origin] ?? 0) <= (this.log.vector[origin] ?? 0)) continue;
      this.events.doubt(`${peer} holds more of our log than we do`, Math.max(incarnation, numberOf(origin)));
      return false;
    }
    this.quorum.engine.observe(peer, status.incarnations[peer] ?? 0, status.position);
    return true;
  }

  /** A name for a log that nobody knows: were this store put back again, chance keeps the next name from being the same. */
  private anotherName(): string {
    const { replica } = this.options;
    const { incarnation, vector } = this.log.state;
    const latest = Math.max(Math.floor(this.ports.clock.now()), latestNumber(replica, vector, incarnation));
    return originOf(replica, latest + 1 + Math.floor(this.ports.random.uniform() * NAMES));
  }

  private hello(): Hello {
    const { options } = this;
    return {
      clusterId: options.clusterId, protocolVersion: PROTOCOL_VERSION, replica: options.replica, region: options.region, role: options.role,
      membership: options.membership, incarnation: this.log.state.incarnation, origin: this.log.state.origin, status: this.status(), pages: [...this.kept.ids], records: this.records !== undefined,
    };
  }

  private admit(hello: Hello): string | undefined {
    const { options } = this;
    const peer = options.peers[hello.replica];
    if (peer === undefined) return `${hello.replica} is no configured peer`;
    if (hello.clusterId !== options.clusterId) return `it belongs to cluster ${hello.clusterId}, not ${options.clusterId}`;
    if (hello.protocolVersion !== PROTOCOL_VERSION) return `it speaks protocol version ${hello.protocolVersion}, not ${PROTOCOL_VERSION}`;
    if (hello.region !== peer.region || hello.role !== peer.role) return `it says region ${hello.region} and role ${hello.role}, configured are ${peer.region} and ${peer.role}`;
    if (hello.membership !== options.membership) return "its region files name other members than ours";
    if (hello.pages.length > options.limits.keptPagesMax) return `it names more than ${options.limits.keptPagesMax} pages`;
    if (hello.pages.length > 0 && hello.role !== "edge") return "it keeps some pages only, and is no edge";
    return undefined;
  }

  private status(): Status {
    const { state } = this.log;
    return {
      // What is not kept here is nothing that a peer could fetch: nobody must wait for it.
      vector: this.toldVector(), floor: this.kept.all ? copyVector(state.floor) : {}, incarnations: { ...this.quorum.engine.state.incarnations, [this.options.replica]: state.incarnation },
      position: this.log.durableVotes, voting: this.quorum.engine.voting, virgin: this.quorum.engine.state.virgin, hlc: this.log.clock.latest(),
      merkleRoot: this.tree.root(), level: this.failure === undefined ? 0 : 5,
    };
  }

  private toldVector(): Record<string, number> {
    return copyVector(this.log.durableVector);
  }

  private floorOf(peer: string): Vector {
    const report = this.replication.replica.reports(this.ports.clock.monotonic()).find((link) => link.peer === peer);
    return this.parse(report?.status?.floor ?? {});
  }

  private repairFrom(peer: string): void {
    this.needsAntiEntropy.delete(peer);
    if (!this.replication.replica.keptBy(peer).covers(this.kept)) return;
    this.antiEntropyRunner.round(peer).then((report) => {
      if (report.outcome !== "done") this.needsAntiEntropy.add(peer);
      if (report.more || (report.outcome !== "done" && this.replication.replica.isConnected(peer))) this.after(this.options.limits.heartbeatMs, () => this.repairFrom(peer));
    }, (error: unknown) => this.fatal(error));
  }

  /** Origins that their owners write to no more, and that every member holds completely: tokens need not name them any more. */
  private retire(): void {
    const stable = this.stable();
    const held = this.log.durableVector;
    const { origin: own } = this.log.state;
    const current = new Map<string, string>([[this.options.replica, own]]);
    for (const { peer, status } of this.replication.replica.reports(this.ports.clock.monotonic())) {
      // A peer that has said nothing yet may still live under any of its origins.
      if (status !== undefined) current.set(peer, originOf(peer, latestNumber(peer, status.vector, status.incarnations[peer] ?? 0)));
    }
    const isOver = (origin: string): boolean => {
      const known = current.get(ownerOf(origin));
      return known !== undefined && known !== origin;
    };
    const retired = Object.keys(held).filter((origin) => isOver(origin) && (stable[origin] ?? 0) >= (held[origin] ?? 0));
    if (retired.length !== this.retired.size || retired.some((origin) => !this.retired.has(origin))) this.retired = new Set(retired);
  }

  /** What every member holds. Edges do not count. */
  private stable(): Vector {
    return this.replication.replica.stableVector(this.peerIds.filter((id) => this.options.peers[id]?.role === "region"));
  }

  // The data plane.

  commit(command: Command, options: CommitOptions): Promise<Committed | Fault> {
    return this.timed(options, "write", () => this.guarded(true, async () => ((await this.introduction.wait()) ? this.commits.commit(command, options) : OPENING)));
  }

  read<T>(query: Query<T>, options: ReadOptions): Promise<ReadResult<T> | Fault> {
    return this.timed(options, "read", () => this.guarded(false, () => this.reads.read(query, options)));
  }

  /** A store that cannot be read is no defect of the program: the replica goes read-only, and the request is told so. */
  private async guarded<T>(isWrite: boolean, work: () => Promise<T | Fault>): Promise<T | Fault> {
    try {
      return await work();
    } catch (error) {
      if (!isDiskError(error)) throw error;
      this.fatal(error);
      return new Fault("read-only", "This replica cannot read its store.", { retryAfterSeconds: 5, ...(isWrite ? { outcome: "unknown" as const } : {}) });
    }
  }

  private async timed<T>(options: ReadOptions, kind: string, work: () => Promise<T | Fault>): Promise<T | Fault> {
    if (options.level !== "GLOBAL_QUORUM") return work();
    const startedAt = this.ports.clock.monotonic();
    const result = await work();
    const at = this.ports.clock.monotonic();
    this.quorumSeconds.observe((at - startedAt) / 1000, kind);
    if (this.quorumMs === undefined || at - this.quorumMs.at > this.options.limits.laggingAfterMs || at - startedAt > this.quorumMs.ms) this.quorumMs = { at, ms: at - startedAt };
    return result;
  }

  history(key: string, options: ReadOptions): Promise<ReadResult<readonly HistoryEntry[]> | Fault> {
    return this.guarded(false, () => this.historyAt(key, options));
  }

  private async historyAt(key: string, options: ReadOptions): Promise<ReadResult<readonly HistoryEntry[]> | Fault> {
    // The read brings this replica up to the level; an unknown document is a 404 at that level.
    const known = await this.reads.read({ documents: [key], render: (snapshot) => snapshot.taken(key) }, options);
    if (known instanceof Fault) return known;
    if (!known.value) return new Fault("not-found", "There is no such resource.");
    return { value: await this.historyOf.entries(key), token: known.token };
  }

  /** Every change of a document, in an order in which each follows all that it depends on; empty if there is none. */
  async changes(key: string): Promise<readonly DocumentChange[] | Fault> {
    return this.guarded(false, async () => (await this.historyOf.changes(key)).map(({ dot, change }) => ({ dot, change })));
  }

  recentChanges(key: string, beyond: Vector): Promise<readonly DocumentChange[] | Fault> {
    return this.guarded(false, async () => (await this.historyOf.unfolded(key, beyond)).map(({ dot, change }) => ({ dot, change })));
  }

  projection(key: string): Promise<{ readonly text: string | undefined; readonly vector: Vector } | Fault> {
    return this.guarded(false, async () => {
      const bytes = await this.storage.get(keyspace.projection(key));
      return { text: bytes === undefined ? undefined : decoder.decode(bytes), vector: copyVector(this.log.table.find(key)?.vector ?? EMPTY_VECTOR) };
    });
  }

  keepProjections(texts: ReadonlyMap<string, string>): void {
    for (const [key, text] of texts) this.log.batch.put(keyspace.projection(key), encoder.encode(text));
  }

  /** The latest entries of the log, at most so many, in order of arrival. */
  latest(most: number): Promise<readonly LogItem[] | Fault> {
    return this.guarded(false, async () => {
      const items: LogItem[] = [];
      const { log } = this;
      for (let place = Math.max(log.state.tail, log.durableHead - most + 1); place <= log.durableHead; ) {
        const { entries, through } = await log.readFrom(place, LATEST_AT_ONCE);
        for (const { origin, seq, body } of entries) {
          const change = log.parse(body);
          if ("fault" in change) items.push({ origin, seq, document: "", dot: { origin, seq }, change: undefined });
          else items.push({ origin, seq, document: change.document, dot: log.dotOf(origin, seq, change), change });
        }
        place = (through ?? place + LATEST_AT_ONCE - 1) + 1;
      }
      return items;
    });
  }

  token(): string {
    const { shownVector } = this.log;
    if (this.tokenOf === undefined || this.tokenOf.vector !== shownVector || this.tokenOf.retired !== this.retired) {
      this.tokenOf = { vector: shownVector, retired: this.retired, text: encodeToken(shownVector, this.retired) };
    }
    return this.tokenOf.text;
  }

  private fingerprint(text: string): string {
    return Buffer.from(this.ports.sha256(encoder.encode(text)).subarray(0, 24)).toString("base64url");
  }

  cluster(): ClusterStatus {
    const { options, ports, log, tree } = this;
    const now = ports.clock.monotonic();
    const root = Buffer.from(tree.root()).toString("hex");
    const health: PeerHealth[] = [];
    const peers: PeerStatus[] = [];
    for (const link of this.replication.replica.reports(now)) {
      const member = options.peers[link.peer];
      if (member === undefined) continue;
      const state = peerState(link.connected, now - link.heardAt, options.limits);
      const peerRoot = link.status === undefined ? null : Buffer.from(link.status.merkleRoot).toString("hex");
      health.push({ peer: link.peer, region: member.region, counts: member.role === "region", state, oldestUnacknowledgedMs: link.oldestUnacknowledgedMs });
      peers.push({
        replica: link.peer, region: member.region, role: member.role, state, rtt_ms: link.connected && link.rttMs !== undefined ? round(link.rttMs) : null,
        unacknowledged_changes: link.unacknowledgedChanges, oldest_unacknowledged_ms: Math.round(link.oldestUnacknowledgedMs), vector: { ...link.vector },
        merkle_root: peerRoot, pages: pagesOf(link.kept), in_sync: (peerRoot === root || !link.kept.all || !this.kept.all) && dominates(link.vector, log.durableVector) && dominates(log.durableVector, link.vector),
        clock_offset_ms: link.clockOffsetMs === undefined ? null : round(link.clockOffsetMs),
      });
    }
    const quorumMs = this.quorumMs !== undefined && now - this.quorumMs.at < options.limits.laggingAfterMs ? this.quorumMs.ms : undefined;
    const offsets = peers.map((peer) => peer.clock_offset_ms).filter((offset): offset is number => offset !== null).sort((a, b) => a - b);
    return {
      replica: options.replica, region: options.region, role: options.role, pages: pagesOf(this.kept), incarnation: log.state.incarnation, voting: this.quorum.engine.voting,
      vector: { ...log.durableVector }, merkle_root: root, clock: { hlc: log.clock.latest(), offset_ms: offsets[Math.floor(offsets.length / 2)] ?? 0 },
      degradation: degradation({
        peers: health, readOnly: this.readOnly(), majorityReachable: this.quorum.engine.majorityReachable, majorityVotes: this.majorityVotes(), voting: this.quorum.engine.voting, isVoter: options.voter, quorumMs,
      }, options.limits),
      quarantined: log.state.quarantined, documents: this.table.living, heard_at: log.state.heardMs === undefined ? null : new Date(log.state.heardMs).toISOString(), peers,
    };
  }

  private majorityVotes(): boolean {
    const voters = this.peerIds.filter((id) => this.options.peers[id]?.voter === true);
    const links = this.replication.replica.reports(this.ports.clock.monotonic());
    const voting = voters.filter((id) => links.some((link) => link.peer === id && link.connected && link.status?.voting === true)).length;
    const all = voters.length + (this.options.voter ? 1 : 0);
    return voting + (this.quorum.engine.voting && this.options.voter ? 1 : 0) > all / 2;
  }

  /** Reads the whole store, slowly, so that damage is found before it is needed. */
  private async scrub(): Promise<void> {
    for await (const page of this.storage.scan(EVERYTHING)) {
      for (const [key, value] of page) {
        const record = key.startsWith("d/") ? this.table.find(key.slice(2)) : undefined;
        // A header of a document that is being written is behind for a moment; one at rest is equal.
        if (record !== undefined && record.stagedBatch === 0 && !this.table.isAsStored(record, value)) throw new StorageDamage(`the record of ${record.key} is not what was read at the start`);
      }
      if (this.closed || this.failure !== undefined) return;
      await new Promise<void>((resolve) => this.after(SCRUB_PAUSE_MS, resolve));
    }
  }

  private gauges(): void {
    const { metrics } = this.ports;
    metrics.gauge("statusmesh_link_queued_bytes", "Bytes that wait in the outbox of a link.", ["peer"], () => this.peerIds.map((peer) => [this.transport.queuedBytes(peer), peer] as const));
    metrics.gauge("statusmesh_replication_waiting_bytes", "Bytes of log entries that wait for what they depend on.", [], () => [[this.replication.waitingBytes]]);
    metrics.gauge("statusmesh_staged_changes", "Changes that wait for the disk.", [], () => [[this.log.batch.queuedChanges]]);
    metrics.gauge("statusmesh_log_entries", "Entries in the log.", [], () => [[this.log.state.head - this.log.state.tail + 1]]);
    metrics.gauge("statusmesh_log_bytes", "Bytes of changes in the log.", [], () => [[this.log.state.logBytes]]);
    metrics.gauge("statusmesh_document_cache_bytes", "Bytes of documents' bodies in memory, roughly.", [], () => [[this.table.cachedBytes]]);
  }

  async antiEntropy(): Promise<readonly AntiEntropyPeerReport[]> {
    const { replica } = this.replication;
    const connected = this.peerIds.filter((peer) => replica.isConnected(peer) && replica.keptBy(peer).covers(this.kept));
    const reports = await Promise.all(connected.map((peer) => this.antiEntropyRunner.round(peer)));
    return reports.map((report) => ({
      replica: report.peer, documents_compared: report.documentsCompared, documents_repaired: report.documentsRepaired, bytes: report.bytes,
      round_trips: report.roundTrips, equal: report.equal,
    }));
  }

  async close(): Promise<void> {
    if (this.closed) return;
    this.trimmer.stop();
    this.introduction.close();
    this.quorum.close();
    this.sessions.close();
    this.region.close();
    // Peers go on sending; what they send is not acknowledged, and comes again after the start.
    this.closing = true;
    await this.log.batch.drained();
    this.closed = true;
    for (const timer of this.timers) timer.cancel();
    this.timers.clear();
    await this.transport.close();
    await this.log.batch.drained();
    await this.storage.close();
  }
}

function isDiskError(error: unknown): error is StorageDamage | StorageFailure {
  return error instanceof StorageDamage || error instanceof StorageFailure;
}

/** Null: all. */
function pagesOf(kept: KeptPages): readonly string[] | null {
  return kept.all ? null : kept.ids;
}

function round(ms: number): number {
  return Math.round(ms * 100) / 100;
}
