/**
 * GLOBAL_QUORUM: every document has a chain of versions, and each quorum write decides the next one by consensus.
 *
 * Invariants:
 *  1. At most one candidate is ever decided for a version of a document, and it stands on the version before.
 *  2. Quorum operations are linearizable in the decided versions, for documents and lists; what one quorum read of a document showed
 *     every later one shows, and every later quorum write supersedes.
 *  3. A conditional write is decided only on the state whose tag it named.
 *  4. What a voter has promised or voted is durable before anybody hears of it; a vote counts for one incarnation of its voter.
 *  5. All that is kept is bounded: operations, held requests, remembered ids and shown vectors (`limits.ts`).
 * Pure and synchronous: `step` takes an event and returns effects; see `quorum-events.ts` for what they oblige to.
 * Source: Rystsov, "CASPaxos", 2018 (arXiv:1802.07000); Lamport, "Fast Paxos", 2006; checked by a model before it was written.
 */
import { assert } from "./errors.js";
import type { Acknowledgement } from "./quorum-ballots.js";
import { QuorumAcceptor } from "./quorum-acceptor.js";
import { QuorumChain } from "./quorum-chain.js";
import type { WaitingWrite } from "./quorum-course.js";
import type { Effect, FailureCause, QuorumEvent, QuorumHost, QuorumOptions, QuorumState } from "./quorum-events.js";
import type { Quorum } from "./quorum-messages.js";
import { QuorumReads } from "./quorum-reads.js";
import { QuorumRejoin } from "./quorum-rejoin.js";
import { QuorumSelf } from "./quorum-self.js";

export type * from "./quorum-events.js";
export { freshState } from "./quorum-events.js";

type WriteEvent = Extract<QuorumEvent, { kind: "write" }>;
type ReadEvent = Extract<QuorumEvent, { kind: "read" | "list" }>;

export class QuorumEngine {
  private readonly self: QuorumSelf;
  private readonly acceptor: QuorumAcceptor;
  private readonly chain: QuorumChain;
  private readonly reads: QuorumReads;
  private readonly rejoin: QuorumRejoin;
  private readonly writes = new Map<string, WaitingWrite>();
  private readonly deadlines = new Map<string, number>();
  private wake: number | undefined;
  /** Since when no majority is reachable. */
  private lostSince: number | undefined;
  private begun = false;

  constructor(host: QuorumHost, options: QuorumOptions) {
    const wakeAt = (time: number): void => {
      if (this.wake === undefined || time < this.wake) this.wake = time;
    };
    this.self = new QuorumSelf(host, options);
    this.acceptor = new QuorumAcceptor(this.self, wakeAt);
    this.chain = new QuorumChain(this.self, this.acceptor, {
      readFor: (write) => this.reads.readDocument(readOf(write), write.document, write.deadline, () => this.chain.freshened(write)),
      finished: (write, outcome) => {
        this.forget(write.operation);
        this.self.emit({ kind: "done", operation: write.operation, outcome });
      },
      failed: (write, outcome, cause) => {
        this.forget(write.operation);
        this.self.emit({ kind: "failed", operation: write.operation, outcome, cause });
      },
      handedOver: (write, to) => {
        this.forget(write.operation);
        this.self.emit({ kind: "handover", operation: write.operation, to });
      },
      nothingDecided: (document, version, operations) => this.reads.nothingDecided(document, version, operations),
      rejoined: (document) => this.rejoin.settled(document),
      wakeAt,
    });
    this.reads = new QuorumReads(this.self, this.acceptor, {
      captured: (operation) => this.self.emit({ kind: "captured", operation }),
      finished: (operation, outcome) => {
        this.deadlines.delete(operation);
        this.self.emit({ kind: "done", operation, outcome });
      },
      failed: (operation, cause) => {
        this.deadlines.delete(operation);
        this.self.emit({ kind: "failed", operation, outcome: "unavailable", cause });
      },
      want: (document, version, operation) => this.chain.want(document, version, operation),
      unwant: (document, operation) => this.chain.unwant(document, operation),
      wakeAt,
    });
    this.rejoin = new QuorumRejoin(this.self, this.acceptor, this.chain, {
      voting: () => {
        this.self.emit({ kind: "voting" });
        this.chain.voting();
      },
      doubt: (reason) => this.doubt(reason),
      wakeAt,
    });
  }

  /** Takes one event; returns what is to be done, in order. `now`: ms that never go back. */
  step(event: QuorumEvent, now: number): Effect[] {
    const { self } = this;
    assert(now >= self.now || !this.begun, "the clock of the engine does not go back");
    self.now = now;
    if (!this.begun) {
      this.begun = true;
      if (!self.reachable) this.lostSince = now;
      this.rejoin.begin();
    }
    switch (event.kind) {
      case "write": this.write(event); break;
      case "read":
      case "list": this.read(event); break;
      case "built": this.chain.built(event.build, event.candidate, event.refused); break;
      case "message": this.receive(event.from, event.message); break;
      case "advanced": this.advanced(event.documents); break;
      case "peer": this.peer(event.replica, event.up); break;
      case "tick": this.tick(); break;
      case "cancel": this.abandon(event.operation, undefined); break;
    }
    return self.takeEffects();
  }

  /** When the next `tick` is due, on the clock of `step`; undefined: not before another event. May be early. */
  nextWake(): number | undefined {
    return this.wake;
  }

  /** May vote at this moment. */
  get voting(): boolean {
    return this.self.voting;
  }

  /** As saved last. */
  get state(): QuorumState {
    return this.self.state;
  }

  /** Counts the durable promises and votes of this incarnation. */
  get position(): number {
    return this.self.position;
  }

  /** A majority of the voters, this one included if it is one, has its links up. */
  get majorityReachable(): boolean {
    return this.self.reachable;
  }

  get load(): { readonly open: number; readonly operations: number; readonly held: number } {
    return { open: this.acceptor.openSlots, operations: this.deadlines.size, held: this.acceptor.heldCount };
  }

  /** A heartbeat or handshake told a peer's position; kept so that the peer can be told if its disk goes back. */
  observe(peer: string, incarnation: number, position: number): void {
    this.self.observe(peer, incarnation, position);
  }

  private write(event: WriteEvent): void {
    const { operation, document, deadline } = event;
    const { self } = this;
    if (self.host.hasOperation(document, operation)) {
      self.emit({ kind: "done", operation, outcome: "decided" });
      return;
    }
    const cause = this.refusal(deadline);
    if (cause !== undefined) {
      self.emit({ kind: "failed", operation, outcome: "rejected", cause });
      return;
    }
    assert(!this.deadlines.has(operation), "an operation is given once");
    const write: WaitingWrite = {
      operation, document, deadline, ifMatch: event.ifMatch, forwarded: event.forwarded ?? false, losses: 0, fresh: false, reading: false, proposed: 0, refusedAfter: 0,
    };
    this.writes.set(operation, write);
    this.expect(operation, deadline);
    this.chain.write(write);
  }

  private read(event: ReadEvent): void {
    const { operation, deadline } = event;
    const cause = this.refusal(deadline);
    if (cause !== undefined) {
      this.self.emit({ kind: "failed", operation, outcome: "unavailable", cause });
      return;
    }
    assert(!this.deadlines.has(operation), "an operation is given once");
    this.expect(operation, deadline);
    if (event.kind === "read") this.reads.readDocument(operation, event.document, deadline);
    else this.reads.readList(operation, event.scope, deadline);
  }

  /** Why an operation cannot begin. */
  private refusal(deadline: number): FailureCause | undefined {
    if (!this.self.isMember) return "not-a-voter";
    if (this.self.doubted) return "doubt";
    if (deadline <= this.self.now) return "deadline";
    if (this.deadlines.size >= this.self.options.limits.quorumOperationsMax) return "overloaded";
    return this.lostForLong() ? "no-majority" : undefined;
  }

  private expect(operation: string, deadline: number): void {
    this.deadlines.set(operation, deadline);
    let wake = deadline;
    if (this.lostSince !== undefined) wake = Math.min(wake, this.lostSince + this.self.options.limits.majorityLostMs);
    if (this.wake === undefined || wake < this.wake) this.wake = wake;
  }

  private forget(operation: string): void {
    this.deadlines.delete(operation);
    const write = this.writes.get(operation);
    this.writes.delete(operation);
    if (write?.reading === true) this.reads.abandon(readOf(write), undefined);
  }

  private abandon(operation: string, cause: FailureCause | undefined): void {
    const write = this.writes.get(operation);
    if (write === undefined) this.reads.abandon(operation, cause);
    else this.chain.abandon(write, cause);
    this.forget(operation);
  }

  private receive(from: string, message: Quorum): void {
    const { self } = this;
    const { body } = message;
    if (body === undefined || !self.members.includes(from) || self.doubted) return;
    // What an earlier life of a member said is void.
    if (message.incarnation < self.knownIncarnation(from)) return;
    self.observe(from, message.incarnation, message.position);
    const acknowledgement: Acknowledgement = { incarnation: message.incarnation, incarnations: message.incarnations };
    switch (body.$case) {
      case "seed": return this.rejoin.seed(from, message, body.value.incarnation);
      case "seeded": return this.rejoin.seeded(from, message, body.value);
      case "voted":
      case "promised":
      case "accepted":
      case "refused": return this.chain.receive(from, message.operation, acknowledgement, body);
      case "answered":
      case "listAnswered": return this.reads.receive(from, message.operation, acknowledgement, body);
      default: return this.acceptor.receive(from, message);
    }
  }

  private advanced(documents: readonly string[]): void {
    for (const document of documents) {
      this.acceptor.settle(document);
      this.chain.advanced(document);
      this.reads.advanced(document);
      this.release(document);
    }
    this.reads.advancedAll();
    this.rejoin.advanced();
  }

  /** Receives again what waited for a document. */
  private release(document: string): void {
    for (const { from, message } of this.acceptor.release(document)) this.receive(from, message);
  }

  private peer(replica: string, up: boolean): void {
    const { self } = this;
    if (!self.members.includes(replica) || replica === self.replica) return;
    if (up) self.up.add(replica);
    else self.up.delete(replica);
    if (self.reachable) this.lostSince = undefined;
    else if (this.lostSince === undefined) {
      this.lostSince = self.now;
      const wake = self.now + self.options.limits.majorityLostMs;
      if (this.wake === undefined || wake < this.wake) this.wake = wake;
    }
    if (!up) return;
    this.rejoin.connected(replica);
    this.chain.connected(replica);
    this.reads.connected(replica);
  }

  private lostForLong(): boolean {
    return this.lostSince !== undefined && this.self.now - this.lostSince >= this.self.options.limits.majorityLostMs;
  }

  private tick(): void {
    const { self } = this;
    if (this.wake === undefined || this.wake > self.now) return;
    const lost = this.lostForLong();
    for (const [operation, deadline] of [...this.deadlines]) {
      if (lost) this.abandon(operation, "no-majority");
      else if (deadline <= self.now) this.abandon(operation, "deadline");
    }
    this.wake = undefined;
    const reservations = this.acceptor.tick();
    for (const document of reservations.ended) this.release(document);
    const times = [reservations.next, this.chain.tick(), this.reads.tick(), this.rejoin.tick()];
    if (!lost && this.lostSince !== undefined && this.deadlines.size > 0) times.push(this.lostSince + self.options.limits.majorityLostMs);
    for (const deadline of this.deadlines.values()) times.push(deadline);
    for (const time of times) if (time !== undefined && (this.wake === undefined || time < this.wake)) this.wake = time;
  }

  private doubt(reason: string): void {
    const { self } = this;
    if (self.doubted) return;
    self.voting = false;
    self.doubted = true;
    for (const operation of [...this.deadlines.keys()]) this.abandon(operation, "doubt");
    self.emit({ kind: "doubt", reason });
  }
}

/** The id of the read that a write waits for. */
function readOf(write: WaitingWrite): string {
  return `${write.operation} read`;
}
