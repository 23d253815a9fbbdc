/**
 * Anti-entropy: two replicas find the documents in which they differ and give each other the changes that the other lacks.
 *
 * Invariants:
 *  1. Roots first: equal trees cost one round trip. Below that, only what differs is looked at.
 *  2. Whatever the responder held when it compared its root, the initiator holds after a round that reports `complete`.
 *  3. Nothing is ever taken away: a deleted document is a state with a tombstone that travels like any other.
 *  4. Nothing that a peer sends makes `step` throw; a malformed message ends its session and is counted.
 *  5. Who keeps some pages only asks about those, and answers nobody who asks about more.
 *  6. Writes may go on meanwhile: a round repairs at least what differed when it was compared, and says at its end
 *     whether the roots were equal then.
 * Source: Merkle trees for anti-entropy as in DeCandia et al., "Dynamo: Amazon's Highly Available Key-value Store", 2007.
 */
import {
  ANTI_ENTROPY_BOUNDS,
  type AntiEntropyBounds,
  type AntiEntropyEffect,
  type AntiEntropyEvent,
  type AntiEntropyOutcome,
  type AntiEntropySight,
  type SessionId,
} from "./anti-entropy-events.js";
import { Initiator } from "./anti-entropy-initiator.js";
import type { AntiEntropy, AntiEntropyBody } from "./anti-entropy-messages.js";
import { answerQuestion, Responder } from "./anti-entropy-responder.js";
import { messageBytes } from "./anti-entropy-size.js";
import { Malformed, type SessionDoor } from "./anti-entropy-transfer.js";
import { assert } from "./errors.js";
import { ALL_PAGES, KeptPages } from "./kept-pages.js";
import type { MerkleTree } from "./merkle.js";

interface Session<Side> {
  readonly id: SessionId;
  readonly peer: string;
  readonly number: number;
  readonly side: Side;
  /** Monotonic ms of the last event of this session. */
  movedAtMs: number;
}

const NUMBER_MAX = 0xffffffff;

export class AntiEntropyEngine {
  /** Malformed messages met so far. */
  malformed = 0;
  /** The last part of the tree that a session was about: as long as nothing changes, the next question finds it. */
  private part: { readonly pages: string; readonly root: Uint8Array; readonly tree: MerkleTree } | undefined;
  /** By peer: at most one in each direction. */
  private readonly initiated = new Map<string, Session<Initiator>>();
  private readonly responding = new Map<string, Session<Responder>>();
  private effects: AntiEntropyEffect[] = [];

  constructor(
    private readonly sight: AntiEntropySight,
    private readonly bounds: AntiEntropyBounds = ANTI_ENTROPY_BOUNDS,
    /** What this replica keeps, and so asks for. */
    private readonly kept: KeptPages = ALL_PAGES,
  ) {}

  /** Sessions under way, as initiator or responder. */
  get sessions(): number {
    return this.initiated.size + this.responding.size;
  }

  /**
   * Takes an event and returns what the host must do, in order. `nowMs`: monotonic. A `begin` for a peer with which a session
   * initiated here is still running changes nothing: that session's report comes for both. Every session begun ends in
   * exactly one `finished`, as long as ticks come. Never throws because of what a peer sent.
   */
  step(event: AntiEntropyEvent, nowMs: number): AntiEntropyEffect[] {
    this.effects = [];
    switch (event.kind) {
      case "begin":
        this.begin(event.peer, event.number, nowMs);
        break;
      case "received":
        this.receive(event.from, event.message, nowMs);
        break;
      case "loaded":
        this.answered(event.session, nowMs, (side) => side.loaded(event.document, event.changes, event.failed === true));
        break;
      case "stored":
        this.answered(event.session, nowMs, (side) => side.stored(event.document, event.applied, event.failed ?? 0));
        break;
      case "disconnected":
        this.disconnect(event.peer);
        break;
      case "tick":
        this.tick(nowMs);
    }
    const effects = this.effects;
    this.effects = [];
    return effects;
  }

  private begin(peer: string, number: number, nowMs: number): void {
    assert(Number.isInteger(number) && number >= 1 && number <= NUMBER_MAX, "the number of a session has 32 bits and is not 0");
    if (this.initiated.has(peer)) return;
    const id = `>${peer}/${number}`;
    const side: Initiator = new Initiator(
      peer,
      number,
      this.sight,
      this.door(id, peer, number, true, (bytes) => {
        side.bytes += bytes;
      }),
    );
    this.initiated.set(peer, { id, peer, number, side, movedAtMs: nowMs });
    side.start();
  }

  private door(id: SessionId, peer: string, number: number, fromInitiator: boolean, count: (bytes: number) => void): SessionDoor {
    return {
      session: id,
      bounds: this.bounds,
      emit: (effect) => this.effects.push(effect),
      send: (body) => {
        const message = { session: number, fromInitiator, pages: this.pagesNamed(fromInitiator), body };
        count(messageBytes(message));
        this.effects.push({ kind: "send", to: peer, message });
      },
    };
  }

  /** Every message of an initiator says what its session is about: a responder keeps nothing of the comparison. */
  private pagesNamed(fromInitiator: boolean): string[] {
    return fromInitiator ? [...this.kept.ids] : [];
  }

  /** What is compared with one who keeps those pages; undefined if that is more than is kept here. */
  private sightOf(asked: KeptPages): AntiEntropySight | undefined {
    if (!this.kept.covers(asked)) return undefined;
    if (asked.all) return this.sight;
    const { sight } = this;
    const partOf = (): MerkleTree => this.partOf(asked);
    return {
      get tree() {
        return partOf();
      },
      replicaVector: () => sight.replicaVector(),
      documentVector: (key) => (asked.keeps(key) ? sight.documentVector(key) : undefined),
      hash: (text) => sight.hash(text),
    };
  }

  private partOf(asked: KeptPages): MerkleTree {
    const pages = asked.ids.join(" ");
    const root = this.sight.tree.root();
    if (this.part?.pages !== pages || !this.part.root.every((byte, i) => byte === root[i])) this.part = { pages, root, tree: this.sight.tree.restrictedTo((key) => asked.keeps(key)) };
    return this.part.tree;
  }

  private receive(from: string, message: AntiEntropy, nowMs: number): void {
    const { session: number, body } = message;
    if (body === undefined || !Number.isInteger(number) || number < 1 || number > NUMBER_MAX) this.malformed++;
    else if (message.fromInitiator === true) this.respond(from, number, new KeptPages(message.pages), body, nowMs);
    else this.hear(from, message, body, nowMs);
  }

  /** A message of a responder. */
  private hear(from: string, message: AntiEntropy, body: AntiEntropyBody, nowMs: number): void {
    const session = this.initiated.get(from);
    // A session that is over here may still be answered.
    if (session === undefined || session.number !== message.session) return;
    session.movedAtMs = nowMs;
    session.side.bytes += messageBytes(message);
    const failure = session.side.receive(body);
    if (failure === undefined) this.finishIfOver(session);
    else {
      if (failure.outcome === "malformed") this.malformed++;
      this.fail(session, failure.outcome, failure.reason);
    }
  }

  private finishIfOver(session: Session<Initiator>): void {
    if (!session.side.over) return;
    this.initiated.delete(session.peer);
    this.effects.push({ kind: "finished", report: session.side.report() });
  }

  private fail(session: Session<Initiator>, outcome: AntiEntropyOutcome, reason: string): void {
    this.initiated.delete(session.peer);
    if (outcome !== "ended-by-peer" && outcome !== "disconnected") this.sendEnded(session.peer, session.number, true, reason);
    this.effects.push({ kind: "finished", report: session.side.report({ outcome, reason }) });
  }

  /** A message of an initiator. */
  private respond(from: string, number: number, asked: KeptPages, body: AntiEntropyBody, nowMs: number): void {
    const sight = this.sightOf(asked);
    if (sight === undefined) {
      this.sendEnded(from, number, false, "keeps other pages only");
      return;
    }
    const answer = answerQuestion(body, number, sight, this.bounds);
    if (answer instanceof Malformed) {
      this.refuse(from, number, answer);
      return;
    }
    if (answer !== undefined) {
      this.effects.push({ kind: "send", to: from, message: { session: number, fromInitiator: false, pages: [], body: answer } });
      return;
    }
    const running = this.responding.get(from);
    if (body.$case === "vectors") this.open(from, number, sight, body.value, nowMs);
    else if (running?.number !== number) {
      // The session was given up here (a restart, a timeout): say so, rather than let the initiator wait. Progress of one that
      // is done comes late and means nothing.
      if (body.$case === "changes") this.sendEnded(from, number, false, "no such session");
    } else if (body.$case === "ended") this.responding.delete(from);
    else {
      running.movedAtMs = nowMs;
      this.settle(running, running.side.receive(body));
    }
  }

  private open(from: string, number: number, sight: AntiEntropySight, vectors: Extract<AntiEntropyBody, { $case: "vectors" }>["value"], nowMs: number): void {
    if (this.responding.get(from)?.number === number) {
      this.refuse(from, number, new Malformed("sends its vectors twice"));
      return;
    }
    const id = `<${from}/${number}`;
    const side = new Responder(
      number,
      sight,
      this.door(id, from, number, false, () => undefined),
    );
    const session = { id, peer: from, number, side, movedAtMs: nowMs };
    this.responding.set(from, session);
    this.settle(session, side.open(vectors));
  }

  private settle(session: Session<Responder>, fault: Malformed | "lost" | undefined): void {
    if (fault === "lost") {
      this.responding.delete(session.peer);
      this.sendEnded(session.peer, session.number, false, "a message of the session was lost");
    } else if (fault !== undefined) this.refuse(session.peer, session.number, fault);
    else if (session.side.over) this.responding.delete(session.peer);
  }

  private refuse(peer: string, number: number, fault: Malformed): void {
    this.malformed++;
    if (this.responding.get(peer)?.number === number) this.responding.delete(peer);
    this.sendEnded(peer, number, false, fault.reason);
  }

  private sendEnded(to: string, number: number, fromInitiator: boolean, reason: string): void {
    this.effects.push({ kind: "send", to, message: { session: number, fromInitiator, pages: this.pagesNamed(fromInitiator), body: { $case: "ended", value: { reason } } } });
  }

  /** An answer of the host; one to a session that is over is dropped. */
  private answered(id: SessionId, nowMs: number, tell: (side: Initiator | Responder) => void): void {
    for (const session of this.initiated.values()) {
      if (session.id !== id) continue;
      session.movedAtMs = nowMs;
      tell(session.side);
      this.finishIfOver(session);
      return;
    }
    for (const session of this.responding.values()) {
      if (session.id !== id) continue;
      session.movedAtMs = nowMs;
      tell(session.side);
      this.settle(session, undefined);
      return;
    }
  }

  private disconnect(peer: string): void {
    this.responding.delete(peer);
    const session = this.initiated.get(peer);
    if (session !== undefined) this.fail(session, "disconnected", "the link broke");
  }

  private tick(nowMs: number): void {
    const { silenceMs, hostMs } = this.bounds;
    const isStale = (session: Session<Initiator | Responder>): boolean =>
      nowMs - session.movedAtMs >= (session.side.waitsForHost ? hostMs : silenceMs);
    for (const session of [...this.initiated.values()])
      if (isStale(session)) this.fail(session, "timeout", "nothing was heard for too long");
    for (const session of [...this.responding.values()]) {
      if (!isStale(session)) continue;
      this.responding.delete(session.peer);
      this.sendEnded(session.peer, session.number, false, "nothing was heard for too long");
    }
  }
}
