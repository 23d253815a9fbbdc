/** What the parts of the quorum engine share: who we are, what we know of the members, and the effects of the running step. */
import { joinLives, majorityOf, type Acknowledgement } from "./quorum-ballots.js";
import type { Effect, QuorumHost, QuorumOptions, QuorumState, Slot } from "./quorum-events.js";
import type { Quorum, QuorumBody } from "./quorum-messages.js";

/** Below this, fsyncs and a busy event loop dominate a round trip, ms. */
const ROUND_TRIP_FLOOR_MS = 12;

export class QuorumSelf {
  readonly members: readonly string[];
  readonly others: readonly string[];
  /** Place among the sorted members; -1 if we are none. */
  readonly index: number;
  readonly majority: number;
  readonly up = new Set<string>();
  now = 0;
  state: QuorumState;
  position: number;
  /** May vote at this moment: the durable permission, confirmed since the start. */
  voting = false;
  doubted = false;
  private effects: Effect[] = [];
  private attempts = 0;
  private readonly positions = new Map<string, { incarnation: number; position: number }>();

  constructor(readonly host: QuorumHost, readonly options: QuorumOptions) {
    this.members = [...options.voters].sort();
    this.others = this.members.filter((member) => member !== options.replica);
    this.index = this.members.indexOf(options.replica);
    this.majority = majorityOf(this.members.length);
    this.state = options.state;
    this.position = options.position;
  }

  get replica(): string {
    return this.options.replica;
  }

  get isMember(): boolean {
    return this.index >= 0;
  }

  get bugs(): NonNullable<QuorumOptions["bugs"]> {
    return this.options.bugs ?? {};
  }

  emit(effect: Effect): void {
    this.effects.push(effect);
  }

  takeEffects(): Effect[] {
    const effects = this.effects;
    this.effects = [];
    return effects;
  }

  /** An id for one attempt that no other attempt of any start of this replica has. */
  attemptId(): string {
    return `${this.options.instance}.${++this.attempts}`;
  }

  send(to: string, operation: string, body: QuorumBody): void {
    const message: Quorum = {
      operation, body, position: this.position,
      incarnation: this.options.incarnation, incarnations: { ...this.state.incarnations }, rejoined: { ...this.state.rejoined },
    };
    this.emit({ kind: "send", to, message });
  }

  broadcast(operation: string, body: QuorumBody): void {
    for (const other of this.others) this.send(other, operation, body);
  }

  save(document: string, slot: Slot | null): void {
    if (slot !== null) this.position++;
    this.emit({ kind: "save", document, slot, position: this.position });
  }

  saveState(state: QuorumState): void {
    this.state = state;
    this.emit({ kind: "saveReplica", state });
  }

  acknowledgement(): Acknowledgement {
    return { incarnation: this.options.incarnation, incarnations: this.state.incarnations, rejoined: this.state.rejoined };
  }

  knownIncarnation(member: string): number {
    return this.state.incarnations[member] ?? 0;
  }

  /** Remembers later incarnations. A second one of anybody ends the time in which nobody can have voted before. */
  learn(incarnations: Readonly<Record<string, number>>): void {
    let virgin = this.state.virgin;
    let changed = false;
    const known = { ...this.state.incarnations };
    for (const member of this.members) {
      const incarnation = incarnations[member] ?? 0;
      const before = known[member] ?? 0;
      if (incarnation <= before) continue;
      if (before > 0) virgin = false;
      known[member] = incarnation;
      changed = true;
    }
    if (changed) this.saveState({ ...this.state, virgin, incarnations: known });
  }

  /** Remembers incarnations that vote after a rejoin. */
  learnRejoined(rejoined: Readonly<Record<string, number>>): void {
    const known = joinLives(this.state.rejoined, rejoined);
    if (this.members.some((member) => known[member] !== this.state.rejoined[member])) this.saveState({ ...this.state, rejoined: known });
  }

  /** Remembers how far a peer has come, so that we can tell it if its disk goes back. */
  observe(peer: string, incarnation: number, position: number): void {
    const known = this.positions.get(peer);
    if (known === undefined || incarnation > known.incarnation) this.positions.set(peer, { incarnation, position });
    else if (incarnation === known.incarnation && position > known.position) known.position = position;
  }

  seenPosition(peer: string, incarnation: number): number {
    const known = this.positions.get(peer);
    return known?.incarnation === incarnation ? known.position : 0;
  }

  get reachable(): boolean {
    let count = this.isMember ? 1 : 0;
    for (const other of this.others) if (this.up.has(other)) count++;
    return count >= this.majority;
  }

  /** Round trip to the nearest majority, ms. */
  get nearMs(): number {
    return this.roundTrips()[this.majority - 2] ?? ROUND_TRIP_FLOOR_MS;
  }

  /** Round trip to the farthest member that is up, ms. */
  get farMs(): number {
    return this.roundTrips().at(-1) ?? ROUND_TRIP_FLOOR_MS;
  }

  /**
   * Place in the order of precedence of those who collide at a version. It turns with every version, so that nobody always
   * loses; where losers hand their writes over it stands, so that the writes gather at one member.
   */
  precedence(member: string, version: number): number {
    const index = this.members.indexOf(member);
    if (index < 0) return this.members.length;
    return this.options.handover === true ? index : (index + version) % this.members.length;
  }

  private roundTrips(): number[] {
    const reachable = this.others.filter((other) => this.up.has(other));
    return reachable.map((other) => Math.max(ROUND_TRIP_FLOOR_MS, this.host.roundTripMs(other))).sort((a, b) => a - b);
  }
}
