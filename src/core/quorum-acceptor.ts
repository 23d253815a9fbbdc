/**
 * The voter's side of GLOBAL_QUORUM: slots, promises, votes, and what quorum operations have shown.
 *
 * Invariants:
 *  1. A promise or a vote is saved before it is said.
 *  2. At ballot 0 it votes once for a version, and never after a promise.
 *  3. It never votes for a candidate whose base it does not hold, nor (at ballot 0) for one that does not cover `shown`.
 *  4. `shown` errs on the safe side: what is forgotten (a start, an entry that was evicted) comes back as all that is held.
 */
import { assert } from "./errors.js";
import { nextBallot, sameCandidate, type Vote } from "./quorum-ballots.js";
import type { Slot } from "./quorum-events.js";
import type { Accept, Candidate, ListQuery, Prepare, Propose, Query, Quorum } from "./quorum-messages.js";
import type { QuorumSelf } from "./quorum-self.js";
import { copyVector, dominates, joinInto, type MutableVector, type Vector } from "./vector.js";
import { sometimes } from "./sometimes.js";

interface Held {
  readonly from: string;
  readonly message: Quorum;
  readonly until: number;
}

/** `<partition>/<type>` of a document. */
export function scopeOf(document: string): string {
  return document.slice(0, document.lastIndexOf("/"));
}

export class QuorumAcceptor {
  private readonly slots = new Map<string, Slot>();
  /** Scope → documents with a vote that is not known to be decided. */
  private readonly voted = new Map<string, Set<string>>();
  private readonly shownVectors = new Map<string, MutableVector>();
  private readonly held = new Map<string, Held[]>();
  private heldMessages = 0;
  /** Scopes in which no new votes are cast for a while, so that a list that came too late once does not go on doing so. */
  private readonly reserved = new Map<string, { readonly by: string; until: number; readonly pauseUntil: number }>();

  constructor(private readonly self: QuorumSelf, private readonly wakeAt: (time: number) => void) {
    for (const [document, slot] of self.options.slots) this.place(document, slot);
  }

  get openSlots(): number {
    return this.slots.size;
  }

  get heldCount(): number {
    return this.heldMessages;
  }

  /** The slot of the version that is open now; undefined if nothing was promised or voted. */
  slot(document: string): Slot | undefined {
    const slot = this.slots.get(document);
    return slot !== undefined && slot.version === this.self.host.version(document) + 1 ? slot : undefined;
  }

  /** Every slot that is open, document by document. */
  *open(): IterableIterator<readonly [string, Slot]> {
    for (const document of this.slots.keys()) {
      const slot = this.slot(document);
      if (slot !== undefined) yield [document, slot];
    }
  }

  /** The version of each document of a scope that has an open vote. */
  openVotes(scope: string): Record<string, number> {
    const open: Record<string, number> = {};
    for (const document of this.voted.get(scope) ?? []) {
      const slot = this.slot(document);
      if (slot?.vote != null) open[document] = slot.version;
    }
    return open;
  }

  save(document: string, slot: Slot): void {
    this.place(document, slot);
    this.self.save(document, slot);
  }

  /** Forgets a slot whose version is decided and held. */
  settle(document: string): void {
    const slot = this.slots.get(document);
    if (slot === undefined || slot.version > this.self.host.version(document)) return;
    this.slots.delete(document);
    const scope = scopeOf(document);
    const voted = this.voted.get(scope);
    voted?.delete(document);
    if (voted?.size === 0) this.voted.delete(scope);
    this.self.save(document, null);
  }

  /** What quorum operations have shown of a document here. */
  shown(document: string): Vector {
    if (this.self.bugs.forgetsShown === true) return {};
    let shown = this.shownVectors.get(document);
    if (shown === undefined) {
      shown = copyVector(this.self.host.vector(document));
      this.keepShown(document, shown);
    }
    return shown;
  }

  addShown(document: string, vector: Vector): void {
    const shown = copyVector(this.shown(document));
    joinInto(shown, vector);
    this.shownVectors.delete(document);
    this.keepShown(document, shown);
  }

  private keepShown(document: string, shown: MutableVector): void {
    for (const oldest of this.shownVectors.keys()) {
      if (this.shownVectors.size < this.self.options.limits.quorumOperationsMax) break;
      this.shownVectors.delete(oldest);
    }
    this.shownVectors.set(document, shown);
  }

  /** Everything that is held counts as shown from now on. */
  forgetShown(): void {
    this.shownVectors.clear();
  }

  private place(document: string, slot: Slot): void {
    this.slots.set(document, slot);
    if (slot.vote === null) return;
    const scope = scopeOf(document);
    const voted = this.voted.get(scope);
    if (voted === undefined) this.voted.set(scope, new Set([document]));
    else voted.add(document);
  }

  /** Takes a request of another member. */
  receive(from: string, message: Quorum): void {
    const { body } = message;
    if (!this.self.voting || body === undefined) return;
    switch (body.$case) {
      case "propose": this.propose(from, message, body.value); break;
      case "prepare": this.prepare(from, message, body.value); break;
      case "accept": this.accept(from, message, body.value); break;
      case "query": this.query(from, message, body.value); break;
      case "listQuery": this.listQuery(from, message, body.value); break;
      default: break;
    }
  }

  private propose(from: string, message: Quorum, { candidate }: Propose): void {
    if (candidate === undefined) return;
    const { document, version } = candidate;
    const slot = this.slot(document);
    const voted = slot?.vote ?? null;
    if (this.self.host.version(document) >= version) return this.refuse(from, message, document, version);
    if (slot?.version === version && (slot.promised > 0 || (voted !== null && !sameCandidate(voted.candidate, candidate)))) {
      return this.refuse(from, message, document, version);
    }
    if (!this.holdsBase(candidate)) sometimes("quorum: a candidate waited for its base");
    if (!this.holdsBase(candidate) || this.reservedUntil(document, from) > this.self.now) return this.hold(document, from, message);
    if (!dominates(candidate.base, this.shown(document))) {
      sometimes("quorum: an acceptor refused a candidate that does not cover what was shown");
      return this.refuse(from, message, document, version);
    }
    if (voted === null) this.save(document, { version, promised: 0, vote: { ballot: 0, candidate } });
    this.self.send(from, message.operation, { $case: "voted", value: { document, version } });
  }

  private prepare(from: string, message: Quorum, { document, version, ballot }: Prepare): void {
    const held = this.self.host.version(document);
    if (held >= version) return this.refuse(from, message, document, version);
    if (held < version - 1) return this.hold(document, from, message);
    const slot = this.slot(document);
    if (ballot <= (slot?.promised ?? 0)) return this.refuse(from, message, document, version);
    const vote = slot?.vote ?? null;
    this.save(document, { version, promised: ballot, vote });
    this.self.send(from, message.operation, { $case: "promised", value: { document, version, ballot, vote: vote ?? undefined, shown: { ...this.shown(document) } } });
  }

  private accept(from: string, message: Quorum, { ballot, candidate }: Accept): void {
    if (candidate === undefined) return;
    const { document, version } = candidate;
    if (this.self.host.version(document) >= version) return this.refuse(from, message, document, version);
    if (!this.holdsBase(candidate) || this.reservedUntil(document, from) > this.self.now) return this.hold(document, from, message);
    if (ballot < (this.slot(document)?.promised ?? 0)) return this.refuse(from, message, document, version);
    this.voteFor(document, { ballot, candidate });
    this.self.send(from, message.operation, { $case: "accepted", value: { document, version, ballot } });
  }

  /** Votes at a ballot that is at or above what was promised. */
  voteFor(document: string, vote: Vote): void {
    const { version } = vote.candidate;
    const slot = this.slot(document);
    assert(this.holdsBase(vote.candidate), "a vote is for what is held");
    assert(vote.ballot >= (slot?.promised ?? 0), "a vote keeps the promise");
    if (vote.ballot === 0) assert(slot === undefined, "ballot 0 has one vote");
    this.save(document, { version, promised: vote.ballot, vote });
  }

  private query(from: string, message: Quorum, { document, attempt, shown }: Query): void {
    if (!dominates(this.self.host.vector(document), shown)) return this.hold(document, from, message);
    const before = { ...this.shown(document) };
    this.addShown(document, shown);
    const open = this.slot(document)?.vote != null && this.self.bugs.readsIgnoreVotes !== true;
    const version = this.self.host.version(document) + (open ? 1 : 0);
    this.self.send(from, message.operation, { $case: "answered", value: { document, attempt, version, shown: before } });
  }

  private listQuery(from: string, message: Quorum, { scope, attempt, vector }: ListQuery): void {
    const open = this.self.bugs.readsIgnoreVotes === true ? {} : this.openVotes(scope);
    const reservation = this.reserved.get(scope);
    if (dominates(vector, this.self.host.scopeDecided(scope)) && Object.keys(open).length === 0) {
      if (reservation?.by === from) reservation.until = this.self.now;
    } else if (attempt > 1) this.reserve(scope, from);
    this.self.send(from, message.operation, { $case: "listAnswered", value: { scope, attempt, open, decided: { ...this.self.host.scopeDecided(scope) } } });
  }

  /** Casts no new votes in a scope for the time that a list needs to catch up and ask again; then writers have their turn. */
  reserve(scope: string, by: string): void {
    const { self } = this;
    if (self.now < (this.reserved.get(scope)?.pauseUntil ?? 0) || this.reserved.size >= self.options.limits.quorumMessagesHeld) return;
    const lengthMs = 0.8 * self.farMs + (by === self.replica ? self.farMs : self.host.roundTripMs(by));
    this.reserved.set(scope, { by, until: self.now + lengthMs, pauseUntil: self.now + 2 * lengthMs });
    this.wakeAt(self.now + lengthMs);
  }

  /** Until when no votes for others than `from` are cast on a document; 0 if they are. */
  reservedUntil(document: string, from: string): number {
    const reservation = this.reserved.size === 0 ? undefined : this.reserved.get(scopeOf(document));
    return reservation === undefined || reservation.by === from ? 0 : reservation.until;
  }

  /** Documents whose requests waited for the end of a reservation, and when to come again. */
  tick(): { readonly ended: readonly string[]; readonly next: number | undefined } {
    const ended: string[] = [];
    let next: number | undefined;
    for (const [scope, { until, pauseUntil }] of this.reserved) {
      if (until <= this.self.now) for (const document of this.held.keys()) if (scopeOf(document) === scope) ended.push(document);
      if (pauseUntil <= this.self.now) this.reserved.delete(scope);
      else next = Math.min(next ?? Number.POSITIVE_INFINITY, until > this.self.now ? until : pauseUntil);
    }
    return { ended, next };
  }

  private holdsBase({ document, version, base }: Candidate): boolean {
    const { host } = this.self;
    return host.version(document) === version - 1 && dominates(host.vector(document), base);
  }

  private refuse(from: string, message: Quorum, document: string, version: number): void {
    const slot = this.slot(document);
    const votedFor = slot?.vote?.candidate.proposer ?? "";
    this.self.send(from, message.operation, { $case: "refused", value: { document, version, promised: slot?.promised ?? 0, votedFor, attempt: 0 } });
  }

  /** Keeps a request until the document moves on; drops it at its deadline, or where too many wait (senders ask again). */
  private hold(document: string, from: string, message: Quorum): void {
    const { limits } = this.self.options;
    if (this.heldMessages >= limits.quorumMessagesHeld) this.dropLate();
    if (this.heldMessages >= limits.quorumMessagesHeld) return;
    const waiting = this.held.get(document) ?? [];
    waiting.push({ from, message, until: this.self.now + limits.quorumTimeoutMs });
    this.held.set(document, waiting);
    this.heldMessages++;
  }

  private dropLate(): void {
    for (const [document, waiting] of this.held) {
      const kept = waiting.filter(({ until }) => until > this.self.now);
      this.heldMessages -= waiting.length - kept.length;
      if (kept.length === 0) this.held.delete(document);
      else this.held.set(document, kept);
    }
  }

  /** The requests that waited for a document; they are to be received again. */
  release(document: string): readonly Held[] {
    const waiting = this.held.get(document);
    if (waiting === undefined) return [];
    this.held.delete(document);
    this.heldMessages -= waiting.length;
    return waiting.filter(({ until }) => until > this.self.now);
  }

  /** A ballot of our own above everything promised here and `above`. */
  ownBallot(document: string, above: number): number {
    return nextBallot(Math.max(above, this.slot(document)?.promised ?? 0), this.self.members.length, this.self.index);
  }
}
