/**
 * GLOBAL_QUORUM reads of single documents and of lists.
 *
 * Invariants:
 *  1. A read's answer holds every version that was decided, and everything that a quorum read had shown, before it began.
 *  2. What a read answers is left with a majority as shown, or stands on a decided version that is.
 *  3. A list is answered from one view; a majority had, after it was captured, neither votes nor decisions beyond it.
 */
import { counted, type Acknowledgement } from "./quorum-ballots.js";
import { scopeOf, type QuorumAcceptor } from "./quorum-acceptor.js";
import type { FailureCause } from "./quorum-events.js";
import type { Answered, ListAnswered, QuorumBody } from "./quorum-messages.js";
import type { QuorumSelf } from "./quorum-self.js";
import { CHAIN } from "./change.js";
import { copyVector, dominates, EMPTY_VECTOR, joinInto, type MutableVector, type Vector } from "./vector.js";
import { sometimes } from "./sometimes.js";

interface Asking {
  readonly operation: string;
  readonly deadline: number;
  id: string;
  attempt: number;
  phase: "asking" | "waiting";
  acknowledgements: Map<string, Acknowledgement>;
  wakeAt: number;
}

interface DocumentRead extends Asking {
  readonly kind: "document";
  readonly document: string;
  /** Called instead of answering: the read that a write needs, which shows nothing. */
  readonly then: (() => void) | undefined;
  /** What the captured view holds, and its version. */
  captured: Vector;
  capturedVersion: number;
  /** The version that must be held, and what must be held beside. */
  version: number;
  readonly shown: MutableVector;
  second: boolean;
}

interface ListRead extends Asking {
  readonly kind: "list";
  readonly scope: string;
  captured: Vector;
  /** Documents of the scope that moved on since the view was captured. */
  readonly moved: Set<string>;
  /** Who knows of more than the view holds. */
  readonly beyond: Set<string>;
  /** What must be held before it is worth while to ask again. */
  readonly versions: Map<string, number>;
  decided: MutableVector;
}

export interface ReadListener {
  captured(operation: string): void;
  finished(operation: string, outcome: "read" | "listed"): void;
  failed(operation: string, cause: FailureCause): void;
  want(document: string, version: number, operation: string): void;
  unwant(document: string, operation: string): void;
  wakeAt(time: number): void;
}

export class QuorumReads {
  private readonly reads = new Map<string, DocumentRead | ListRead>();
  private readonly byAttempt = new Map<string, DocumentRead | ListRead>();
  private readonly byDocument = new Map<string, Set<DocumentRead>>();
  private readonly byScope = new Map<string, Set<ListRead>>();

  constructor(private readonly self: QuorumSelf, private readonly acceptor: QuorumAcceptor, private readonly listener: ReadListener) {}

  get size(): number {
    return this.reads.size;
  }

  readDocument(operation: string, document: string, deadline: number, then?: () => void): void {
    const read: DocumentRead = {
      kind: "document", operation, document, deadline, then, id: "", attempt: 0, phase: "asking", acknowledgements: new Map(), wakeAt: 0,
      captured: EMPTY_VECTOR, capturedVersion: 0, version: 0, shown: copyVector(EMPTY_VECTOR), second: false,
    };
    this.reads.set(operation, read);
    addTo(this.byDocument, document, read);
    read.version = this.self.host.version(document) + (this.acceptor.slot(document)?.vote != null ? 1 : 0);
    joinInto(read.shown, this.acceptor.shown(document));
    this.ask(read);
  }

  readList(operation: string, scope: string, deadline: number): void {
    const list: ListRead = {
      kind: "list", operation, scope, deadline, id: "", attempt: 0, phase: "asking", acknowledgements: new Map(), wakeAt: 0,
      captured: EMPTY_VECTOR, moved: new Set(), beyond: new Set(), versions: new Map(), decided: copyVector(EMPTY_VECTOR),
    };
    this.reads.set(operation, list);
    addTo(this.byScope, scope, list);
    this.ask(list);
  }

  /** Ends a read without an answer; with a cause, its failure is reported. */
  abandon(operation: string, cause: FailureCause | undefined): void {
    const read = this.reads.get(operation);
    if (read === undefined) return;
    this.forget(read);
    if (cause !== undefined && (read.kind === "list" || read.then === undefined)) this.listener.failed(operation, cause);
  }

  has(operation: string): boolean {
    return this.reads.has(operation);
  }

  private forget(read: DocumentRead | ListRead): void {
    this.reads.delete(read.operation);
    this.byAttempt.delete(read.id);
    if (read.kind === "document") {
      removeFrom(this.byDocument, read.document, read);
      this.listener.unwant(read.document, read.operation);
    } else {
      removeFrom(this.byScope, read.scope, read);
      for (const document of read.versions.keys()) this.listener.unwant(document, read.operation);
    }
  }

  /** Captures the view and asks the others about it. */
  private ask(read: DocumentRead | ListRead): void {
    this.byAttempt.delete(read.id);
    read.attempt++;
    read.id = this.self.attemptId();
    read.phase = "asking";
    read.acknowledgements = new Map();
    this.byAttempt.set(read.id, read);
    if (read.kind === "list" && !this.captureList(read)) return;
    if (read.kind === "document") this.captureDocument(read);
    if (this.self.voting) read.acknowledgements.set(this.self.replica, this.self.acknowledgement());
    this.self.broadcast(read.id, request(read));
    this.wake(read, 2.2 * this.self.farMs);
    this.check(read);
  }

  private captureDocument(read: DocumentRead): void {
    const { document } = read;
    read.captured = copyVector(this.self.host.vector(document));
    read.capturedVersion = this.self.host.version(document);
    if (read.then !== undefined) return;
    this.acceptor.addShown(document, read.captured);
    this.listener.captured(read.operation);
  }

  /** False if open votes of our own must be settled first. */
  private captureList(list: ListRead): boolean {
    list.moved.clear();
    list.beyond.clear();
    if (list.attempt > 1) sometimes("quorum: a list captured its view again");
    if (list.attempt > 1 && this.self.voting) this.acceptor.reserve(list.scope, this.self.replica);
    list.decided = copyVector(EMPTY_VECTOR);
    list.versions.clear();
    for (const [document, version] of Object.entries(this.self.voting ? this.acceptor.openVotes(list.scope) : {})) list.versions.set(document, version);
    if (list.versions.size > 0) {
      this.waitFor(list);
      return false;
    }
    list.captured = copyVector(this.self.host.replicaVector());
    this.listener.captured(list.operation);
    return true;
  }

  receive(from: string, id: string, acknowledgement: Acknowledgement, body: QuorumBody): void {
    const read = this.byAttempt.get(id);
    if (read === undefined || read.phase !== "asking") return;
    if (body.$case === "answered" && read.kind === "document" && body.value.attempt === read.attempt) this.answered(read, from, acknowledgement, body.value);
    else if (body.$case === "listAnswered" && read.kind === "list" && body.value.attempt === read.attempt) this.listAnswered(read, from, acknowledgement, body.value);
  }

  private answered(read: DocumentRead, from: string, acknowledgement: Acknowledgement, { version, shown }: Answered): void {
    if (!read.second) {
      read.version = Math.max(read.version, version);
      joinInto(read.shown, shown);
    }
    read.acknowledgements.set(from, acknowledgement);
    this.check(read);
  }

  private listAnswered(list: ListRead, from: string, acknowledgement: Acknowledgement, { open, decided }: ListAnswered): void {
    let beyond = !dominates(list.captured, decided);
    for (const [document, version] of Object.entries(open)) {
      if (this.self.host.version(document) >= version && !list.moved.has(document)) continue;
      beyond = true;
      list.versions.set(document, Math.max(version, list.versions.get(document) ?? 0));
    }
    if (beyond) {
      joinInto(list.decided, decided);
      list.beyond.add(from);
    } else {
      list.beyond.delete(from);
      list.acknowledgements.set(from, acknowledgement);
    }
    this.check(list);
  }

  private check(read: DocumentRead | ListRead): void {
    if (read.phase === "asking") {
      const valid = counted(read.acknowledgements, this.self.state.incarnations).length;
      if (valid < this.self.majority) {
        if (read.kind === "list" && read.beyond.size > this.self.members.length - this.self.majority) this.waitFor(read);
        return;
      }
      if (read.kind === "list") return this.finish(read);
      read.phase = "waiting";
    }
    if (read.kind === "document") this.checkDocument(read);
    else this.checkList(read);
  }

  private checkDocument(read: DocumentRead): void {
    const { host } = this.self;
    const { document, captured } = read;
    const held = host.vector(document);
    if (host.version(document) < read.version) {
      this.listener.want(document, read.version, read.operation);
      return;
    }
    if (!dominates(held, read.shown)) return;
    if (read.then !== undefined) {
      this.forget(read);
      return read.then();
    }
    if (read.second || (read.capturedVersion >= read.version && dominates(captured, read.shown))) return this.finish(read);
    if (dominatesBesideChain(captured, held) && dominatesBesideChain(captured, read.shown)) {
      // What is held beyond the captured view is decided: every later read finds it without our help.
      this.listener.captured(read.operation);
      return this.finish(read);
    }
    read.second = true;
    sometimes("quorum: a read captured its view again");
    this.ask(read);
  }

  private waitFor(list: ListRead): void {
    list.phase = "waiting";
    for (const [document, version] of list.versions) this.listener.want(document, version, list.operation);
    this.wake(list, 2.2 * this.self.farMs);
    this.checkList(list);
  }

  private checkList(list: ListRead): void {
    const { host } = this.self;
    for (const [document, version] of list.versions) if (host.version(document) >= version) list.versions.delete(document);
    if (list.versions.size > 0 || !dominates(host.replicaVector(), list.decided)) return;
    this.ask(list);
  }

  private finish(read: DocumentRead | ListRead): void {
    this.forget(read);
    this.listener.finished(read.operation, read.kind === "list" ? "listed" : "read");
  }

  /** What is held of a document moved on. */
  advanced(document: string): void {
    for (const list of this.byScope.get(scopeOf(document)) ?? []) list.moved.add(document);
    for (const read of [...(this.byDocument.get(document) ?? [])]) if (read.phase === "waiting") this.check(read);
  }

  /** The replica's vector moved on. */
  advancedAll(): void {
    for (const lists of [...this.byScope.values()]) for (const list of [...lists]) if (list.phase === "waiting") this.check(list);
  }

  /** A version was found open, with nothing decided, after these operations had begun to wait. */
  nothingDecided(document: string, version: number, operations: ReadonlySet<string>): void {
    for (const operation of operations) {
      const read = this.reads.get(operation);
      if (read === undefined || read.phase !== "waiting") continue;
      if (read.kind === "document" && read.document === document) read.version = Math.min(read.version, version - 1);
      else if (read.kind === "list" && read.versions.get(document) === version) read.versions.delete(document);
      else continue;
      this.check(read);
    }
  }

  connected(peer: string): void {
    for (const read of this.reads.values()) if (read.phase === "asking" && !read.acknowledgements.has(peer)) this.self.send(peer, read.id, request(read));
  }

  /** Asks again where answers are late. Returns when to come again. */
  tick(): number | undefined {
    let next: number | undefined;
    for (const read of [...this.reads.values()]) {
      if (read.wakeAt <= this.self.now) this.late(read);
      if (this.reads.has(read.operation) && (next === undefined || read.wakeAt < next)) next = read.wakeAt;
    }
    return next;
  }

  private late(read: DocumentRead | ListRead): void {
    this.wake(read, 4 * this.self.farMs);
    // A list whose answers came from a view that has long moved on does better with a new one.
    if (read.kind === "list" && (read.beyond.size > 0 || read.phase === "waiting")) return read.phase === "waiting" ? this.check(read) : this.ask(read);
    if (read.phase === "asking") for (const peer of this.self.others) if (!read.acknowledgements.has(peer)) this.self.send(peer, read.id, request(read));
  }

  private wake(read: DocumentRead | ListRead, delayMs: number): void {
    read.wakeAt = this.self.now + delayMs;
    this.listener.wakeAt(read.wakeAt);
  }
}

function request(read: DocumentRead | ListRead): QuorumBody {
  const { attempt } = read;
  if (read.kind === "list") return { $case: "listQuery", value: { scope: read.scope, attempt, vector: { ...read.captured } } };
  // A read for a write's sake shows nothing to anybody.
  return { $case: "query", value: { document: read.document, attempt, shown: read.then === undefined ? { ...read.captured } : {} } };
}

function dominatesBesideChain(a: Vector, b: Vector): boolean {
  return dominates({ ...a, [CHAIN]: b[CHAIN] ?? 0 }, b);
}

function addTo<T>(index: Map<string, Set<T>>, key: string, value: T): void {
  const values = index.get(key);
  if (values === undefined) index.set(key, new Set([value]));
  else values.add(value);
}

function removeFrom<T>(index: Map<string, Set<T>>, key: string, value: T): void {
  const values = index.get(key);
  values?.delete(value);
  if (values?.size === 0) index.delete(key);
}
