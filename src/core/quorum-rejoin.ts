/**
 * How a replica comes to vote: after an ordinary start, with an empty disk, and at the very beginning of a cluster.
 *
 * Invariants:
 *  1. After a start nobody votes before enough peers said that they know no later position of it (rollback).
 *  2. A new incarnation votes only after a majority of voting members, itself not counted, told it all that they know, it holds that, and
 *     every version that was open there is settled from others' votes only.
 *     Where too few vote, all members must be there and hold what any of them holds: then no vote is left that could count.
 *     Whoever settles and hears of a later life of a member begins again: it may be one that was counted upon, and is waited for.
 *     With more than three members it says first that all is settled, and a majority, itself not counted, knows: candidates of its earlier lives are void then.
 *  3. Only where a majority, itself counted, began empty and knows of no earlier life of anybody, there is nothing to be told (bootstrap).
 */
import { ALL_TELL_MEMBERS_MAX, counted, joinLives, type Acknowledgement } from "./quorum-ballots.js";
import type { QuorumAcceptor } from "./quorum-acceptor.js";
import type { QuorumChain } from "./quorum-chain.js";
import type { Quorum, QuorumBody, Seed, Seeded } from "./quorum-messages.js";
import type { QuorumSelf } from "./quorum-self.js";
import { copyVector, dominates, EMPTY_VECTOR, joinInto } from "./vector.js";
import { sometimes } from "./sometimes.js";

/** Asked again after this long without enough answers, ms. */
const ASK_AGAIN_MS = 500;

interface Answer extends Acknowledgement {
  readonly seeded: Seeded;
}

export interface RejoinListener {
  voting(): void;
  doubt(reason: string): void;
  wakeAt(time: number): void;
}

export class QuorumRejoin {
  private phase: "begin" | "confirming" | "seeding" | "settling" | "announcing" | "voting" = "begin";
  private id: string;
  private readonly answers = new Map<string, Answer>();
  private readonly unsettled = new Set<string>();
  private wakeTime = 0;

  constructor(private readonly self: QuorumSelf, private readonly acceptor: QuorumAcceptor, private readonly chain: QuorumChain, private readonly listener: RejoinListener) {
    this.id = self.attemptId();
  }

  /** Called at the first step. */
  begin(): void {
    if (this.phase !== "begin") return;
    const { self } = this;
    this.phase = self.state.voting ? "confirming" : "seeding";
    if (!self.isMember) {
      this.phase = "voting";
      return;
    }
    self.learn({ [self.replica]: self.options.incarnation });
    if (self.members.length === 1 || self.bugs.votesAfterEmptiedDisk === true) return this.vote({});
    this.ask();
  }

  private ask(): void {
    this.self.broadcast(this.id, this.question());
    this.wakeTime = this.self.now + ASK_AGAIN_MS;
    this.listener.wakeAt(this.wakeTime);
  }

  connected(peer: string): void {
    if (this.waiting) this.self.send(peer, this.id, this.question());
  }

  private question(): QuorumBody {
    return { $case: "seed", value: { incarnation: this.self.options.incarnation, settled: this.phase === "announcing" } };
  }

  private get waiting(): boolean {
    return this.phase === "confirming" || this.phase === "seeding" || this.phase === "announcing";
  }

  tick(): number | undefined {
    if (!this.waiting) return undefined;
    if (this.wakeTime <= this.self.now) this.ask();
    return this.wakeTime;
  }

  /** A peer started and asks what we know. */
  seed(from: string, message: Quorum, { incarnation, settled }: Seed): void {
    const { self } = this;
    if (incarnation < self.knownIncarnation(from)) return;
    if (incarnation > self.knownIncarnation(from)) {
      self.learn({ [from]: incarnation });
      this.beginAgain();
    }
    if (settled) self.learnRejoined({ [from]: incarnation });
    const open = [...this.acceptor.open()].map(([document, { version, promised }]) => ({ document, version, promised }));
    const { virgin, voting, founders } = self.state;
    const value: Seeded = {
      vector: { ...self.host.replicaVector() }, voting: self.voting, open, seen: self.seenPosition(from, incarnation),
      seeding: this.phase === "seeding",
      virgin: virgin && (!voting || founders[from] === incarnation),
    };
    self.send(from, message.operation, { $case: "seeded", value });
  }

  seeded(from: string, message: Quorum, seeded: Seeded): void {
    const { self } = this;
    if (message.operation !== this.id) return;
    if (seeded.seen > self.position || (message.incarnations[self.replica] ?? 0) > self.options.incarnation) {
      sometimes("rejoin: a position was lost and the replica is in doubt");
      return this.listener.doubt(`${from} knows more of this replica than its own disk does`);
    }
    if (!this.waiting) return;
    self.learn({ ...message.incarnations, [from]: message.incarnation });
    self.learnRejoined(message.rejoined);
    const { incarnation, rejoined } = message;
    const before = this.answers.get(from);
    // A voter is asked again, and has told all that this life needs: what it votes for afterwards, it votes for knowing of this life. By its later
    // answers, who is always a little behind would never vote.
    const isTold = this.phase === "seeding" && before?.incarnation === incarnation && before.seeded.voting;
    const incarnations = before === undefined ? message.incarnations : joinLives(before.incarnations, message.incarnations);
    this.answers.set(from, { incarnation, incarnations, rejoined, seeded: isTold ? before.seeded : seeded });
    this.check();
  }

  /** What is held moved on. */
  advanced(): void {
    if (this.phase === "seeding") this.check();
  }

  private check(): void {
    const { self } = this;
    const valid = counted(this.answers, self.state.incarnations).flatMap((member) => this.answers.get(member) ?? []);
    if (this.phase === "confirming") {
      if (valid.length >= Math.min(self.others.length, self.majority - 1)) this.vote(self.state.founders);
      return;
    }
    if (this.phase === "announcing") {
      if (valid.filter(({ rejoined }) => (rejoined[self.replica] ?? 0) >= self.options.incarnation).length >= self.majority) this.vote({});
      return;
    }
    if (self.state.virgin && valid.length + 1 >= self.majority && valid.every(({ seeded }) => seeded.virgin)) {
      const founders: Record<string, number> = { [self.replica]: self.options.incarnation };
      for (const [member, { incarnation }] of this.answers) founders[member] = incarnation;
      return this.vote(founders);
    }
    const voting = valid.filter(({ seeded }) => seeded.voting);
    // A majority lost its votes at the same time (all disks were moved by copying, say): nobody is left who could count them. With
    // every member here, what was decided is in one of their logs.
    const isFoundedAnew = voting.length < self.majority && valid.length === self.others.length && valid.every(({ seeded }) => seeded.voting || seeded.seeding);
    if (voting.length < self.majority && !isFoundedAnew) return;
    const told = (isFoundedAnew ? valid : voting).map(({ seeded }) => seeded);
    const known = copyVector(EMPTY_VECTOR);
    for (const { vector } of told) joinInto(known, vector);
    if (!dominates(self.host.replicaVector(), known)) return;
    if (isFoundedAnew) this.foundAnew(told);
    else this.settleAll(told);
  }

  /** A member that what is open was to be settled with lost its votes: two that wait for each other's would wait for ever. Nothing was voted yet in this life. */
  private beginAgain(): void {
    if (this.phase !== "settling") return;
    this.phase = "seeding";
    for (const document of this.unsettled) this.chain.stopRejoining(document);
    this.unsettled.clear();
    this.answers.clear();
    this.id = this.self.attemptId();
    this.ask();
  }

  /**
   * Votes with those that are there, and promises nothing below what any of them has promised. Then it settles what they had open: a vote that is
   * left may be all that remains of a decision whose other voters lost their disks.
   */
  private foundAnew(answers: readonly Seeded[]): void {
    sometimes("rejoin: votes were founded anew");
    const { host } = this.self;
    const toSettle = new Map<string, number>();
    for (const { open } of answers) {
      for (const { document, version, promised } of open) {
        if (version <= host.version(document)) continue;
        const before = this.acceptor.slot(document);
        this.acceptor.save(document, { version: host.version(document) + 1, promised: Math.max(promised, before?.promised ?? 0), vote: null });
        toSettle.set(document, version);
      }
    }
    this.announce();
    for (const [document, version] of toSettle) this.chain.want(document, version, `${this.id} ${document}`);
  }

  private settleAll(answers: readonly Seeded[]): void {
    this.phase = "settling";
    const { host } = this.self;
    const promised = new Map<string, number>();
    for (const { open } of answers) {
      for (const slot of open) {
        if (slot.version <= host.version(slot.document)) continue;
        promised.set(slot.document, Math.max(slot.promised, promised.get(slot.document) ?? 0));
      }
    }
    for (const document of promised.keys()) this.unsettled.add(document);
    for (const [document, ballot] of promised) {
      this.acceptor.save(document, { version: host.version(document) + 1, promised: ballot, vote: null });
      this.chain.rejoin(document, ballot);
    }
    this.voteOnceSettled();
  }

  /** A document that was open is settled. */
  settled(document: string): void {
    this.unsettled.delete(document);
    this.voteOnceSettled();
  }

  private voteOnceSettled(): void {
    if (this.phase !== "settling" || this.unsettled.size > 0) return;
    sometimes("rejoin: a new incarnation settled what was open and votes");
    this.announce();
  }

  /** Votes, once a majority of the others knows that this life does. */
  private announce(): void {
    if (this.self.members.length <= ALL_TELL_MEMBERS_MAX) return this.vote({});
    this.phase = "announcing";
    this.answers.clear();
    this.self.learnRejoined({ [this.self.replica]: this.self.options.incarnation });
    this.ask();
  }

  private vote(founders: Readonly<Record<string, number>>): void {
    const { self } = this;
    this.phase = "voting";
    const virgin = self.state.virgin && Object.keys(founders).length > 0;
    if (!self.state.voting) {
      self.saveState({ ...self.state, voting: true, virgin, founders });
      this.acceptor.forgetShown();
    }
    this.answers.clear();
    self.voting = true;
    this.listener.voting();
  }
}
