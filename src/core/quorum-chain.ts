/**
 * The proposer's side of GLOBAL_QUORUM: one course a document brings its waiting writes, and the versions that readers wait
 * for, to a decision.
 *
 * Invariants:
 *  1. One attempt a document at a time; only the proposer counts votes at ballot 0, and none after its own promise.
 *  2. What a majority of promises shows may have been decided is carried on; anything else is new, and covers all that was shown.
 *  3. An operation is in one candidate a version, and in none once the chain holds it.
 *  4. A write is refused only on a state that is not older than the write.
 *  5. A write is refused, or called rejected, only while it is in no candidate that may still be decided.
 */
import { assert } from "./errors.js";
import { counted, FAST_MEMBERS_MAX, joinLives, recover, type Acknowledgement, type Vote } from "./quorum-ballots.js";
import type { QuorumAcceptor } from "./quorum-acceptor.js";
import { matches, request, voteOf, type Accepting, type Attempt, type Building, type Course, type Fast, type Preparing, type WaitingWrite } from "./quorum-course.js";
import type { BuiltCandidate, FailureCause, Slot, WriteOutcome } from "./quorum-events.js";
import type { Candidate, QuorumBody, Refused } from "./quorum-messages.js";
import type { QuorumSelf } from "./quorum-self.js";
import { CHAIN } from "./change.js";
import { copyVector, dominates, EMPTY_VECTOR, equalVectors, joinInto, type Vector } from "./vector.js";
import { sometimes } from "./sometimes.js";

/** Operations that share a candidate, at most. */
const SHARED_MAX = 64;
/** A write that lost so many versions goes to whoever wins them. */
const LOSSES_MAX = 2;
/** How often to look for a majority, ms. */
const UNREACHABLE_MS = 250;
/** How long new writes follow the ones that were handed over, ms. */
const FOLLOW_MS = 2_000;

export interface ChainListener {
  /** A write needs a read before it may be refused; `freshened` follows. */
  readFor(write: WaitingWrite): void;
  finished(write: WaitingWrite, outcome: WriteOutcome): void;
  failed(write: WaitingWrite, outcome: "rejected" | "unknown", cause: FailureCause): void;
  handedOver(write: WaitingWrite, to: string): void;
  /** A version was found open with nothing decided; of these operations, those that waited for it need not. */
  nothingDecided(document: string, version: number, operations: ReadonlySet<string>): void;
  /** The version of a document that is settled for the rejoin is closed, or nothing was decided at it. */
  rejoined(document: string): void;
  wakeAt(time: number): void;
}

export class QuorumChain {
  private readonly courses = new Map<string, Course>();
  /** Document → where its writes were handed to, and until when new ones follow. */
  private readonly followed = new Map<string, { to: string; until: number }>();
  /** Operations that were handed over → the version that they were proposed for here: they come back where the other region has not settled them. */
  private readonly proposedBefore = new Map<string, number>();
  private readonly byAttempt = new Map<string, Course>();
  private builds = 0;
  private readonly building = new Map<number, Course>();

  constructor(private readonly self: QuorumSelf, private readonly acceptor: QuorumAcceptor, private readonly listener: ChainListener) {}

  write(write: WaitingWrite): void {
    const follow = this.followed.get(write.document);
    if (follow !== undefined) {
      if (follow.until > this.self.now && write.ifMatch === undefined && !write.forwarded && this.self.up.has(follow.to)) {
        return this.listener.handedOver(write, follow.to);
      }
      this.followed.delete(write.document);
    }
    const course = this.course(write.document);
    write.proposed = this.proposedBefore.get(write.operation) ?? 0;
    this.proposedBefore.delete(write.operation);
    course.writes.set(write.operation, write);
    if (course.attempt === undefined && course.wakeAt === undefined) this.start(course);
  }

  /** A reader waits for a version; if it is late, it is settled. */
  want(document: string, version: number, operation: string): void {
    const course = this.course(document);
    course.wanted.set(operation, version);
    if (course.attempt === undefined) this.wake(course, this.slotWait());
  }

  unwant(document: string, operation: string): void {
    const course = this.courses.get(document);
    if (course === undefined) return;
    course.wanted.delete(operation);
    this.discard(course);
  }

  /** The read of a write is over: what is held now is not older than the write. */
  freshened(write: WaitingWrite): void {
    write.reading = false;
    write.fresh = true;
    const course = this.courses.get(write.document);
    if (course !== undefined && course.attempt === undefined && course.wakeAt === undefined) this.start(course);
  }

  /** Gives a write up. Its candidate, if any, may still be decided. */
  abandon(write: WaitingWrite, cause: FailureCause | undefined): void {
    const course = this.courses.get(write.document);
    if (course?.writes.delete(write.operation) !== true) return;
    const open = write.proposed > this.self.host.version(write.document);
    if (cause !== undefined) this.listener.failed(write, open ? "unknown" : "rejected", cause);
    this.discard(course);
  }

  /** The document moved on. */
  advanced(document: string): void {
    const course = this.courses.get(document);
    if (course === undefined) return;
    const version = this.self.host.version(document);
    for (const write of [...course.writes.values()]) {
      if (!this.self.host.hasOperation(document, write.operation)) continue;
      course.writes.delete(write.operation);
      this.listener.finished(write, "decided");
    }
    // Where we decided it ourselves, no attempt is left; the slot was kept until the version was held.
    if (course.attempt !== undefined ? course.attempt.version <= version : course.rejoining && this.acceptor.slot(document) === undefined) this.closeVersion(course);
    this.countLosses(course, version);
    for (const [operation, wanted] of course.wanted) if (wanted <= version) course.wanted.delete(operation);
    if (course.attempt?.phase === "prepare") this.decideOnPromises(course, course.attempt);
    if (course.attempt === undefined) {
      const slot = this.acceptor.slot(document);
      if (slot === undefined) {
        course.highest = 0;
        course.tries = 0;
        course.wakeAt = undefined;
      }
      if (course.wakeAt === undefined) this.start(course);
    }
    if (course.attempt === undefined && course.wanted.size > 0 && course.wakeAt === undefined) this.wake(course, this.slotWait());
    this.discard(course);
  }

  private countLosses(course: Course, version: number): void {
    let losing = false;
    for (const write of course.writes.values()) {
      if (write.proposed === 0 || write.proposed > version) continue;
      write.proposed = 0;
      write.losses++;
      sometimes("quorum: a write lost its version to another region");
      losing ||= write.losses >= LOSSES_MAX;
    }
    if (losing && course.contender !== undefined) this.handOver(course, course.contender, LOSSES_MAX);
  }

  private closeVersion(course: Course): void {
    this.stop(course);
    course.highest = 0;
    course.tries = 0;
    course.wakeAt = undefined;
    if (!course.rejoining) return;
    course.rejoining = false;
    this.listener.rejoined(course.document);
  }

  /** Settles the open version of a document from others' votes only. `above`: the highest ballot that they promised. */
  rejoin(document: string, above: number): void {
    const course = this.course(document);
    course.rejoining = true;
    course.highest = Math.max(course.highest, above);
    if (course.attempt === undefined) this.prepare(course);
  }

  /** Gives that up again. */
  stopRejoining(document: string): void {
    const course = this.courses.get(document);
    if (course?.rejoining !== true) return;
    course.rejoining = false;
    course.wakeAt = undefined;
    this.stop(course);
    this.discard(course);
  }

  /** The replica may vote now. */
  voting(): void {
    for (const course of this.courses.values()) {
      if (course.attempt === undefined) this.start(course);
      if (course.attempt === undefined && course.wanted.size > 0) this.wake(course, this.slotWait());
    }
  }

  /** A link came up: says again what that peer may not have heard. */
  connected(peer: string): void {
    for (const course of this.courses.values()) {
      const { attempt } = course;
      if (attempt === undefined || attempt.phase === "building" || attempt.acknowledgements.has(peer)) continue;
      this.self.send(peer, attempt.id, request(course.document, attempt));
    }
  }

  /** Everything whose time has come. Returns when to come again. */
  tick(): number | undefined {
    let next: number | undefined;
    for (const course of [...this.courses.values()]) {
      if (course.wakeAt !== undefined && course.wakeAt <= this.self.now) this.timeout(course);
      if (course.wakeAt !== undefined && (next === undefined || course.wakeAt < next)) next = course.wakeAt;
      this.discard(course);
    }
    return next;
  }

  private timeout(course: Course): void {
    course.wakeAt = undefined;
    if (course.attempt?.phase === "building") return;
    const version = this.self.host.version(course.document);
    const waits = [...course.wanted.values()].some((wanted) => wanted > version);
    const writes = [...course.writes.values()].some((write) => !write.reading);
    if (!waits && !writes && !course.rejoining) return this.stop(course);
    // Without a majority a new ballot would only wear the disk; what is under way is said again when a link comes up.
    if (!this.self.reachable) return this.wake(course, UNREACHABLE_MS);
    if (course.attempt === undefined && !waits && !course.rejoining && this.acceptor.slot(course.document) === undefined) return this.start(course);
    this.prepare(course);
  }

  /** Proposes what waits at ballot 0, or sees to it that the open version is settled first. */
  private start(course: Course): void {
    if (!this.self.voting || course.rejoining) return;
    const slot = this.acceptor.slot(course.document);
    if (slot !== undefined) {
      if (course.writes.size > 0) this.wake(course, this.slotWait());
      return;
    }
    const reservedUntil = this.acceptor.reservedUntil(course.document, this.self.replica);
    if (reservedUntil > this.self.now) {
      if (course.writes.size > 0) this.wake(course, reservedUntil - this.self.now);
      return;
    }
    const operations = this.eligible(course);
    if (operations.length === 0) return;
    if (this.self.members.length > FAST_MEMBERS_MAX) return this.prepare(course);
    this.build(course, this.self.attemptId(), 0, operations, this.acceptor.shown(course.document));
  }

  /**
   * The writes for the next candidate, a conditional one first. Sends those off whose condition does not hold; one that was proposed
   * for the open version waits until that is closed, for its candidate may be the one that is decided.
   */
  private eligible(course: Course): string[] {
    const etag = this.self.host.etag(course.document);
    const version = this.self.host.version(course.document);
    let conditional: string | undefined;
    const plain: string[] = [];
    for (const write of [...course.writes.values()]) {
      if (write.reading || write.refusedAfter > version) continue;
      if (write.ifMatch === undefined) {
        plain.push(write.operation);
      } else if (matches(write.ifMatch, etag)) {
        conditional ??= write.operation;
      } else if (write.proposed > version) {
        sometimes("quorum: a refusal waited for the version that its write was proposed for");
      } else if (write.fresh) {
        course.writes.delete(write.operation);
        this.listener.finished(write, "precondition");
      } else this.readFirst(write);
    }
    return (conditional === undefined ? plain : [conditional, ...plain]).slice(0, SHARED_MAX);
  }

  private readFirst(write: WaitingWrite): void {
    write.reading = true;
    this.listener.readFor(write);
  }

  private build(course: Course, id: string, ballot: number, operations: readonly string[], shown: Vector): void {
    const version = this.self.host.version(course.document) + 1;
    const build = ++this.builds;
    this.stop(course);
    course.wakeAt = undefined;
    course.attempt = { phase: "building", id, version, build, ballot, shown };
    this.building.set(build, course);
    this.self.emit({ kind: "build", build, document: course.document, version, operations });
  }

  /** The host's answer to `build`. */
  built(build: number, built: BuiltCandidate | null, refused: readonly string[]): void {
    const course = this.building.get(build);
    this.building.delete(build);
    if (course === undefined || course.attempt?.phase !== "building" || course.attempt.build !== build) return;
    const { attempt } = course;
    for (const operation of refused) this.refuse(course, operation);
    this.stop(course);
    if (built === null) {
      if (attempt.ballot > 0) this.wake(course, 0);
      else this.start(course);
      return this.discard(course);
    }
    const operations = built.operations.filter((operation) => course.writes.has(operation));
    const slot = this.acceptor.slot(course.document);
    if (attempt.ballot === 0 ? slot !== undefined : !course.rejoining && slot?.promised !== attempt.ballot) {
      return this.wake(course, this.slotWait());
    }
    if (!this.stillFits(course, attempt, built)) return this.build(course, attempt.id, attempt.ballot, operations, attempt.shown);
    const candidate: Candidate = {
      document: course.document, version: attempt.version, operationIds: [...built.operations],
      proposer: this.self.replica, incarnation: this.self.options.incarnation, base: { ...built.base }, change: built.change,
    };
    for (const operation of built.operations) {
      const write = course.writes.get(operation);
      if (write !== undefined) write.proposed = attempt.version;
    }
    if (attempt.ballot === 0) this.propose(course, attempt.id, candidate);
    else this.accept(course, attempt.id, attempt.ballot, candidate);
  }

  /** The document may have moved while a candidate was built. */
  private stillFits({ document, writes }: Course, attempt: Building, built: BuiltCandidate): boolean {
    const held = this.self.host.vector(document);
    assert((built.base[CHAIN] ?? 0) === attempt.version - 1 && dominates(held, built.base), "a candidate stands on what is held");
    if (!dominates(built.base, attempt.shown)) return false;
    if (attempt.ballot === 0 && !dominates(built.base, this.acceptor.shown(document))) return false;
    const condition = writes.get(built.operations[0] ?? "")?.ifMatch;
    return condition === undefined || (equalVectors(held, built.base) && matches(condition, this.self.host.etag(document)));
  }

  private refuse(course: Course, operation: string): void {
    const write = course.writes.get(operation);
    if (write === undefined) return;
    if (!write.fresh) return this.readFirst(write);
    if (write.proposed > this.self.host.version(course.document)) {
      write.refusedAfter = write.proposed;
      return;
    }
    course.writes.delete(operation);
    this.listener.finished(write, "refused");
  }

  private propose(course: Course, id: string, candidate: Candidate): void {
    this.acceptor.voteFor(course.document, { ballot: 0, candidate });
    const attempt: Fast = {
      phase: "fast", id, version: candidate.version, candidate, acknowledgements: new Map([[this.self.replica, this.self.acknowledgement()]]),
      refusers: new Set(), ahead: new Set(), conflict: false,
    };
    this.begin(course, attempt);
    const far = this.self.farMs;
    this.wake(course, (1.9 + 0.7 * this.self.options.random()) * far);
    this.countFast(course, attempt);
  }

  /** Takes a ballot of our own on the open version. */
  private prepare(course: Course): void {
    if (!this.self.isMember || (!this.self.voting && !course.rejoining)) return;
    const { document } = course;
    const version = this.self.host.version(document) + 1;
    const ballot = this.acceptor.ownBallot(document, course.highest);
    const slot = this.acceptor.slot(document);
    const attempt: Preparing = {
      phase: "prepare", id: this.self.attemptId(), version, ballot, acknowledgements: new Map(),
      asked: new Set([...course.wanted.keys(), ...course.writes.keys()]),
    };
    course.highest = ballot;
    course.tries++;
    if (!course.rejoining) {
      this.acceptor.save(document, { version, promised: ballot, vote: slot?.vote ?? null });
      attempt.acknowledgements.set(this.self.replica, { ...this.self.acknowledgement(), vote: slot?.vote ?? null, shown: copyVector(this.acceptor.shown(document)) });
    }
    this.begin(course, attempt);
    this.wakeForBallot(course);
    this.decideOnPromises(course, attempt);
  }

  private begin(course: Course, attempt: Exclude<Attempt, Building>): void {
    this.stop(course);
    course.attempt = attempt;
    this.byAttempt.set(attempt.id, course);
    this.self.broadcast(attempt.id, request(course.document, attempt));
  }

  /** An answer to one of our requests. */
  receive(from: string, id: string, acknowledgement: Acknowledgement, body: QuorumBody): void {
    const course = this.byAttempt.get(id);
    const attempt = course?.attempt;
    if (course === undefined || attempt === undefined || attempt.id !== id || this.self.host.version(course.document) >= attempt.version) return;
    if (body.$case === "voted" && attempt.phase === "fast") {
      attempt.acknowledgements.set(from, acknowledgement);
      this.countFast(course, attempt);
    } else if (body.$case === "promised" && attempt.phase === "prepare" && body.value.ballot === attempt.ballot) {
      attempt.acknowledgements.set(from, { ...acknowledgement, vote: voteOf(body.value), shown: body.value.shown });
      this.decideOnPromises(course, attempt);
    } else if (body.$case === "accepted" && attempt.phase === "accept" && body.value.ballot === attempt.ballot) {
      attempt.acknowledgements.set(from, acknowledgement);
      this.countAccepted(course, attempt);
    } else if (body.$case === "refused") this.refused(course, attempt, from, body.value);
  }

  private refused(course: Course, attempt: Attempt, from: string, { promised, votedFor }: Refused): void {
    course.highest = Math.max(course.highest, promised);
    if (votedFor !== "" && votedFor !== this.self.replica) course.contender = votedFor;
    if (attempt.phase !== "fast") return;
    attempt.refusers.add(from);
    const { self } = this;
    const other = votedFor !== "" && votedFor !== self.replica;
    if (other || promised > 0) attempt.conflict = true;
    const winner = other && self.precedence(votedFor, attempt.version) < self.precedence(self.replica, attempt.version) ? votedFor : undefined;
    if (winner !== undefined || (promised > 0 && !other)) attempt.ahead.add(winner ?? from);
    if (winner !== undefined) this.handOver(course, winner, 0);
    if (attempt.refusers.size <= self.members.length - self.majority) return;
    const random = self.options.random();
    // The fast vote is lost. Whoever goes first settles at once; the others wait for it. Without a conflict the refusers were ahead of us.
    this.wake(course, attempt.ahead.size > 0 ? (2.8 + 1.7 * random) * self.farMs : attempt.conflict ? 0 : 0.5 * self.nearMs);
  }

  /**
   * Lets the writes that lost at least `losses` versions go to the one that wins. At the first collision they go to a member before
   * us in a fixed order only, and once; so nothing is handed round in a circle while nobody loses.
   */
  private handOver(course: Course, to: string, losses: number): void {
    if (this.self.options.handover !== true || !this.self.up.has(to)) return;
    for (const write of [...course.writes.values()]) {
      if (write.ifMatch !== undefined || write.reading || write.losses < losses || (write.forwarded && losses === 0)) continue;
      course.writes.delete(write.operation);
      if (write.proposed > this.self.host.version(course.document)) this.keep(this.proposedBefore, write.operation, write.proposed);
      this.listener.handedOver(write, to);
    }
    this.keep(this.followed, course.document, { to, until: this.self.now + FOLLOW_MS });
  }

  /** Notes something in a bounded map, whose oldest entries leave. */
  private keep<Value>(kept: Map<string, Value>, key: string, value: Value): void {
    for (const oldest of kept.keys()) {
      if (kept.size < this.self.options.limits.quorumOperationsMax) break;
      kept.delete(oldest);
    }
    kept.set(key, value);
  }

  private countFast(course: Course, attempt: Fast): void {
    const slot: Slot | undefined = this.acceptor.slot(course.document);
    if ((slot?.promised ?? 0) > 0 && this.self.bugs.fastVotesAfterPromise !== true) return;
    if (this.count(attempt.acknowledgements).length >= this.self.majority) this.decide(course, attempt.candidate);
  }

  private countAccepted(course: Course, attempt: Accepting): void {
    if (this.count(attempt.acknowledgements).length >= this.self.majority) this.decide(course, attempt.candidate);
  }

  private count(acknowledgements: ReadonlyMap<string, Acknowledgement>): string[] {
    return counted(acknowledgements, this.self.state.incarnations);
  }

  private decide(course: Course, candidate: Candidate): void {
    if (course.attempt?.phase === "accept") sometimes("quorum: a version collided and was settled by a ballot");
    const { host } = this.self;
    assert(host.version(course.document) === candidate.version - 1, "versions are decided in order");
    assert(dominates(host.vector(course.document), candidate.base), "a decision stands on what is held");
    this.self.emit({ kind: "append", candidate });
    this.stop(course);
  }

  private decideOnPromises(course: Course, attempt: Preparing): void {
    const { self, acceptor } = this;
    const { document } = course;
    const members = this.count(attempt.acknowledgements);
    if (members.length < self.majority) return;
    const promised = acceptor.slot(document)?.promised ?? 0;
    if (!course.rejoining && promised > attempt.ballot) {
      course.highest = Math.max(course.highest, promised);
      this.stop(course);
      return this.wake(course, this.slotWait());
    }
    const promises = new Map<string, Vote | null>();
    const shown = copyVector(EMPTY_VECTOR);
    let rejoined: Readonly<Record<string, number>> = self.state.rejoined;
    for (const member of members) {
      const promise = attempt.acknowledgements.get(member);
      if (promise === undefined) continue;
      promises.set(member, promise.vote);
      joinInto(shown, promise.shown);
      rejoined = joinLives(rejoined, promise.rejoined);
    }
    const { chosen, seen } = recover(self.members, promises, rejoined);
    if (chosen !== undefined) {
      if (chosen.proposer !== self.replica) sometimes("quorum: a fast candidate was carried on by another member");
      return this.carryOn(course, attempt, chosen);
    }
    // What was shown comes by the stream; without it neither a write nor a refusal would follow it.
    if (!dominates(self.host.vector(document), shown)) return;
    this.fillFree(course, attempt, shown, seen);
  }

  /** Nothing was decided at the version, nor will be below our ballot. */
  private fillFree(course: Course, attempt: Preparing, shown: Vector, seen: readonly Candidate[]): void {
    const { document } = course;
    for (const write of course.writes.values()) if (attempt.asked.has(write.operation) && !write.reading) write.fresh = true;
    const operations = course.rejoining ? [] : this.eligible(course);
    if (operations.length > 0) return this.build(course, attempt.id, attempt.ballot, operations, shown);
    if (seen.length > 0) {
      const adopted = this.self.bugs.adoptsUncovered === true ? seen[0] : seen.find(({ base }) => dominates(base, shown));
      if (adopted !== undefined) return this.carryOn(course, attempt, adopted);
      sometimes("quorum: one who settled a version left a candidate that does not cover what was shown");
      return this.build(course, attempt.id, attempt.ballot, [], shown);
    }
    this.stop(course);
    course.wakeAt = undefined;
    if (course.rejoining) {
      const promised = Math.max(attempt.ballot, this.acceptor.slot(document)?.promised ?? 0);
      this.acceptor.save(document, { version: attempt.version, promised, vote: null });
      course.rejoining = false;
      this.listener.rejoined(document);
    }
    for (const operation of attempt.asked) if ((course.wanted.get(operation) ?? 0) >= attempt.version) course.wanted.delete(operation);
    // No majority can be had for what was proposed before our ballot, and nobody of ours holds it any more.
    for (const write of course.writes.values()) if (attempt.asked.has(write.operation)) write.proposed = write.refusedAfter = 0;
    sometimes("quorum: an open version was found empty");
    this.listener.nothingDecided(document, attempt.version, attempt.asked);
    if (course.attempt === undefined && course.wakeAt === undefined && (course.wanted.size > 0 || course.writes.size > 0)) this.wake(course, this.slotWait());
  }

  private carryOn(course: Course, attempt: Preparing, candidate: Candidate): void {
    if (!dominates(this.self.host.vector(course.document), candidate.base)) return;
    this.accept(course, attempt.id, attempt.ballot, candidate);
  }

  private accept(course: Course, id: string, ballot: number, candidate: Candidate): void {
    const acknowledgements = new Map<string, Acknowledgement>();
    if (!course.rejoining) {
      this.acceptor.voteFor(course.document, { ballot, candidate });
      acknowledgements.set(this.self.replica, this.self.acknowledgement());
    }
    const attempt: Accepting = { phase: "accept", id, version: candidate.version, ballot, candidate, acknowledgements };
    this.begin(course, attempt);
    this.wakeForBallot(course);
    this.countAccepted(course, attempt);
  }

  private course(document: string): Course {
    let course = this.courses.get(document);
    if (course === undefined) {
      course = { document, writes: new Map(), wanted: new Map(), attempt: undefined, wakeAt: undefined, highest: 0, tries: 0, contender: undefined, rejoining: false };
      this.courses.set(document, course);
    }
    return course;
  }

  private stop(course: Course): void {
    if (course.attempt?.phase === "building") this.building.delete(course.attempt.build);
    else if (course.attempt !== undefined) this.byAttempt.delete(course.attempt.id);
    course.attempt = undefined;
  }

  /** Forgets a course that nobody waits for. */
  private discard(course: Course): void {
    if (course.writes.size > 0 || course.wanted.size > 0 || course.rejoining) return;
    if (this.courses.get(course.document) !== course) return;
    this.stop(course);
    this.courses.delete(course.document);
  }

  private slotWait(): number {
    return (1.2 + 1.4 * this.self.options.random()) * this.self.farMs;
  }

  private wakeForBallot(course: Course): void {
    const { self } = this;
    const patience = Math.min(4, 1 + course.tries / 4);
    this.wake(course, patience * (2.5 * self.nearMs + 1.1 * self.options.random() * self.farMs));
  }

  private wake(course: Course, delayMs: number): void {
    course.wakeAt = this.self.now + delayMs;
    this.listener.wakeAt(course.wakeAt);
  }
}
