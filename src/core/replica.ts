/**
 * Replication: which log entries go to which peer, when, and what is asked of whom. Pure: events in, effects out.
 *
 * Invariants:
 *  1. Only durable entries leave. On one link the entries of an origin go out in order, and after all that they depend on
 *     where this replica sends those too.
 *  2. At most `linkWindowBytes` of entries of a link are sent and not yet consumed: the log is the outbox, memory holds no backlog.
 *  3. A replica pushes its own origin to everybody; entries of other origins go only to those that ask (they have no link to
 *     the owner, or it does not deliver).
 *  4. What a peer cannot take from the log (it lies at or below our floor) is left to anti-entropy, which the peer starts.
 *  5. A replica that keeps some pages only passes entries of others by: nobody takes it for a source, and it is none.
 */
import { ALL_PAGES, type KeptPages } from "./kept-pages.js";
import type { Limits } from "./limits.js";
import type { Entry, Heartbeat, Message, Status } from "./messages.js";
import { copyVector, dominates, EMPTY_VECTOR, isOrigin, joinInto, parseVector, surplus, type MutableVector, type Vector } from "./vector.js";
import { sometimes } from "./sometimes.js";

/** What replication may ask, synchronously, of the replica that it lives in. */
export interface ReplicaHost {
  readonly kept: KeptPages;
  /** What is durable here. */
  durableVector(): Vector;
  floor(): Vector;
  status(): Status;
  ownOrigin(): string;
  /** Place of the last durable entry. */
  durableHead(): number;
  /** Durable entries from a place on, from memory; undefined if they are not in memory any more. */
  recent(place: number, most: number): readonly PlacedEntry[] | undefined;
  wall(): number;
}

export interface PlacedEntry extends Entry {
  readonly place: number;
}

export type ReplicaEvent =
  | { readonly kind: "connected"; readonly peer: string; readonly status: Status | undefined; readonly kept: KeptPages }
  | { readonly kind: "disconnected"; readonly peer: string }
  | { readonly kind: "heartbeat"; readonly peer: string; readonly heartbeat: Heartbeat }
  | { readonly kind: "ack"; readonly peer: string; readonly vector: Vector; readonly consumedBytes: number }
  | { readonly kind: "want"; readonly peer: string; readonly vector: Vector }
  /** Entries of a link were applied or dropped. */
  | { readonly kind: "consumed"; readonly peer: string; readonly bytes: number }
  /** Entries came in; for noticing silence. */
  | { readonly kind: "delivered"; readonly peer: string }
  /** More is durable than before. `urgent`: something waits for it on the other side. */
  | { readonly kind: "flushed"; readonly urgent: boolean }
  | { readonly kind: "located"; readonly peer: string; readonly ticket: number; readonly place: number | undefined }
  /** `through`: the last place that was looked at; undefined if there was none to look at. */
  | { readonly kind: "read"; readonly peer: string; readonly ticket: number; readonly entries: readonly PlacedEntry[]; readonly through: number | undefined }
  | { readonly kind: "gap"; readonly peer: string }
  /** The link refused a message of entries; `bytes`: of their bodies. */
  | { readonly kind: "unsent"; readonly peer: string; readonly bytes: number }
  | { readonly kind: "tick" };

export type ReplicaEffect =
  | { readonly kind: "send"; readonly peer: string; readonly message: Message }
  /** Find the lowest place of the entries just beyond these positions; answered by `located`. */
  | { readonly kind: "locate"; readonly peer: string; readonly ticket: number; readonly beyond: Vector }
  /** Read from the disk, of at most so many entries, those whose origins are wanted by then; answered by `read`. */
  | { readonly kind: "readLog"; readonly peer: string; readonly ticket: number; readonly place: number; readonly most: number; isWanted(origin: string): boolean }
  /** The log of a peer does not reach back to what we hold: run anti-entropy with it. */
  | { readonly kind: "antiEntropy"; readonly peer: string };

interface Link {
  readonly peer: string;
  connected: boolean;
  /** What the peer said that it keeps when it was last connected. */
  kept: KeptPages;
  status: Status | undefined;
  vector: MutableVector;
  floor: Vector;
  /** For each origin the highest number sent on this connection, or known to be held. */
  sent: MutableVector;
  /** Next place to look at; undefined until it is located. */
  cursor: number | undefined;
  ticket: number;
  reading: boolean;
  /** The link refused entries: send anew at the next tick. */
  refused: boolean;
  sentBytes: number;
  consumedByPeer: number;
  /** Bytes of entries of this link that we consumed. */
  consumed: number;
  consumedTold: number;
  ackDue: boolean;
  lastPushAt: number;
  lastEntriesAt: number;
  lastWantAt: number;
  /** Origins that the peer asked us to relay. */
  relay: ReadonlySet<string>;
  heartbeatReceivedAt: number;
  heartbeatSentAt: number;
  rttMs: number | undefined;
  clockOffsetMs: number | undefined;
}

/** What is known of a peer, for health. */
export interface LinkReport {
  readonly peer: string;
  readonly connected: boolean;
  readonly kept: KeptPages;
  readonly status: Status | undefined;
  readonly vector: Vector;
  readonly rttMs: number | undefined;
  readonly clockOffsetMs: number | undefined;
  readonly heardAt: number;
  readonly unacknowledgedChanges: number;
  readonly oldestUnacknowledgedMs: number;
}

/** When the durable vector was how far, to tell the age of what a peer lacks. */
interface Mark {
  readonly at: number;
  readonly vector: Vector;
}

const MARKS_MAX = 512;
const SILENCE_MS = 1_000;

export class Replica {
  private readonly links = new Map<string, Link>();
  private marks: Mark[] = [];
  private markedVector: Vector = EMPTY_VECTOR;
  private tickets = 0;
  private lastSent: Message | undefined;

  constructor(
    private readonly host: ReplicaHost,
    peers: readonly string[],
    private readonly limits: Limits,
  ) {
    for (const peer of peers) this.links.set(peer, newLink(peer));
  }

  step(event: ReplicaEvent, now: number): ReplicaEffect[] {
    const effects: ReplicaEffect[] = [];
    switch (event.kind) {
      case "tick":
        this.mark(now);
        for (const link of this.links.values()) if (link.connected) this.tick(link, now, effects);
        return effects;
      case "flushed":
        this.mark(now);
        for (const link of this.links.values()) if (link.connected) this.flushed(link, event.urgent, now, effects);
        return effects;
      default: {
        const link = this.links.get(event.peer);
        if (link !== undefined) this.onLink(link, event, now, effects);
        return effects;
      }
    }
  }

  private onLink(link: Link, event: Exclude<ReplicaEvent, { kind: "tick" | "flushed" }>, now: number, effects: ReplicaEffect[]): void {
    switch (event.kind) {
      case "connected":
        Object.assign(link, newLink(link.peer), { connected: true, kept: event.kept, vector: link.vector, heartbeatReceivedAt: now, lastEntriesAt: now });
        this.learn(link, event.status);
        link.vector = copyVector(this.parse(event.status?.vector));
        this.rewind(link, link.vector, effects);
        this.heartbeat(link, now, effects);
        return;
      case "disconnected":
        link.connected = false;
        link.reading = false;
        link.cursor = undefined;
        return;
      case "heartbeat":
        this.heard(link, event.heartbeat, now, effects);
        return;
      case "ack":
        joinInto(link.vector, this.parse(event.vector));
        joinInto(link.sent, link.vector);
        if (event.consumedBytes <= link.sentBytes) link.consumedByPeer = Math.max(link.consumedByPeer, event.consumedBytes);
        this.pump(link, now, effects);
        return;
      case "want":
        link.vector = copyVector(this.parse(event.vector));
        link.consumedByPeer = link.sentBytes;
        this.rewind(link, link.vector, effects);
        return;
      case "consumed":
        link.consumed += event.bytes;
        link.ackDue = true;
        return;
      case "delivered":
        link.lastEntriesAt = now;
        return;
      case "gap":
        if (now - link.lastWantAt >= this.limits.heartbeatMs) this.want(link, now, effects);
        return;
      case "unsent":
        // They never enter the peer's count, so they must not stay in ours.
        link.sentBytes -= event.bytes;
        link.ticket = ++this.tickets;
        link.reading = false;
        link.cursor = undefined;
        link.refused = true;
        return;
      case "located":
        if (event.ticket !== link.ticket || !link.connected) return;
        link.cursor = event.place ?? this.host.durableHead() + 1;
        this.pump(link, now, effects);
        return;
      case "read":
        if (event.ticket !== link.ticket || !link.connected) return;
        link.reading = false;
        this.transmit(link, event.entries, event.through, now, effects);
        this.pump(link, now, effects);
    }
  }

  private parse(vector: unknown): Vector {
    return parseVector(vector ?? {}, this.limits.originsMax) ?? EMPTY_VECTOR;
  }

  private learn(link: Link, status: Status | undefined): void {
    if (status === undefined) return;
    link.status = status;
    link.floor = this.parse(status.floor);
  }

  private heard(link: Link, heartbeat: Heartbeat, now: number, effects: ReplicaEffect[]): void {
    link.heartbeatReceivedAt = now;
    this.learn(link, heartbeat.status);
    joinInto(link.vector, this.parse(heartbeat.status?.vector));
    joinInto(link.sent, link.vector);
    if (heartbeat.echo > 0 && heartbeat.echo <= now) {
      const rtt = Math.max(0, now - heartbeat.echo - heartbeat.echoDelay);
      link.rttMs = link.rttMs === undefined ? rtt : link.rttMs * 0.7 + rtt * 0.3;
      link.clockOffsetMs = heartbeat.wall + rtt / 2 - this.host.wall();
    }
    link.heartbeatSentAt = heartbeat.sentAt;
    const relay = new Set(heartbeat.relay.filter(isOrigin));
    const added = [...relay].some((origin) => !link.relay.has(origin));
    link.relay = relay;
    if (added) sometimes("replication: an origin was relayed");
    if (added) this.rewind(link, link.vector, effects);
    if (this.behindFloor(link)) {
      sometimes("anti-entropy: a peer was behind the floor of the log");
      effects.push({ kind: "antiEntropy", peer: link.peer });
    }
  }

  /** True if the peer has trimmed something that we lack, and can give it. */
  private behindFloor(link: Link): boolean {
    return link.kept.covers(this.host.kept) && !dominates(this.host.durableVector(), link.floor);
  }

  private eligible(link: Link, origin: string): boolean {
    return origin === this.host.ownOrigin() || (this.host.kept.all && link.relay.has(origin));
  }

  /** Starts sending anew from just beyond `vector`. */
  private rewind(link: Link, vector: Vector, effects: ReplicaEffect[]): void {
    link.sent = copyVector(vector);
    link.ticket = ++this.tickets;
    link.reading = false;
    link.cursor = undefined;
    const beyond = copyVector(EMPTY_VECTOR);
    const held = this.host.durableVector();
    const floor = this.host.floor();
    for (const origin in held) {
      const from = vector[origin] ?? 0;
      if (this.eligible(link, origin) && from < (held[origin] ?? 0) && from >= (floor[origin] ?? 0)) beyond[origin] = from;
    }
    effects.push({ kind: "locate", peer: link.peer, ticket: link.ticket, beyond });
  }

  private flushed(link: Link, urgent: boolean, now: number, effects: ReplicaEffect[]): void {
    if (link.ackDue && link.consumed - link.consumedTold > 0) this.acknowledge(link, effects);
    if (urgent || now - link.lastPushAt >= this.limits.pushDelayMs) this.pump(link, now, effects);
    else if (link.cursor !== undefined && this.host.durableHead() - link.cursor >= this.limits.entriesPerMessage) this.pump(link, now, effects);
  }

  private acknowledge(link: Link, effects: ReplicaEffect[]): void {
    link.ackDue = false;
    link.consumedTold = link.consumed;
    effects.push({ kind: "send", peer: link.peer, message: { $case: "ack", value: { vector: copyVector(this.host.durableVector()), consumedBytes: link.consumed } } });
  }

  /** Sends what the window allows. */
  private pump(link: Link, now: number, effects: ReplicaEffect[]): void {
    while (link.connected && !link.reading && link.cursor !== undefined && link.cursor <= this.host.durableHead()) {
      if (link.sentBytes - link.consumedByPeer >= this.limits.linkWindowBytes) return;
      const entries = this.host.recent(link.cursor, this.limits.entriesPerMessage);
      if (entries === undefined) {
        link.reading = true;
        effects.push({ kind: "readLog", peer: link.peer, ticket: link.ticket, place: link.cursor, most: this.limits.entriesPerMessage, isWanted: (origin) => this.eligible(link, origin) });
        return;
      }
      if (entries.length === 0) return;
      this.transmit(link, entries, entries.at(-1)?.place, now, effects);
    }
  }

  /** Sends what is eligible of these entries, which are all that there are up to the place `through`. */
  private transmit(link: Link, entries: readonly PlacedEntry[], through: number | undefined, now: number, effects: ReplicaEffect[]): void {
    link.cursor = (through ?? this.host.durableHead()) + 1;
    if (through === undefined) return;
    let batch: Entry[] = [];
    let bytes = 0;
    const flush = (): void => {
      if (batch.length === 0) return;
      effects.push({ kind: "send", peer: link.peer, message: this.shared(batch) });
      link.sentBytes += bytes;
      batch = [];
      bytes = 0;
    };
    for (const { origin, seq, body, checksum } of entries) {
      if (!this.eligible(link, origin) || seq !== (link.sent[origin] ?? 0) + 1) continue;
      link.sent[origin] = seq;
      batch.push({ origin, seq, body, checksum });
      bytes += body.length;
      if (bytes >= this.limits.entriesMessageBytes) flush();
    }
    flush();
    link.lastPushAt = now;
  }

  /** Peers that are equally far get the same message, which then needs to be encoded once. */
  private shared(batch: Entry[]): Message {
    const before = this.lastSent?.$case === "entries" ? this.lastSent.value.entries : [];
    // Between the first and the last there is only one way to fill a batch of one origin's entries.
    const isSame = before.length === batch.length && isSameEntry(before[0], batch[0]) && isSameEntry(before.at(-1), batch.at(-1)) && batch.every(({ origin }) => origin === batch[0]?.origin);
    if (!isSame || this.lastSent === undefined) this.lastSent = { $case: "entries", value: { entries: batch } };
    return this.lastSent;
  }

  private want(link: Link, now: number, effects: ReplicaEffect[]): void {
    link.lastWantAt = now;
    link.lastEntriesAt = now;
    effects.push({ kind: "send", peer: link.peer, message: { $case: "want", value: { vector: copyVector(this.host.durableVector()) } } });
  }

  private tick(link: Link, now: number, effects: ReplicaEffect[]): void {
    if (link.ackDue) this.acknowledge(link, effects);
    if (link.refused) {
      link.refused = false;
      this.rewind(link, link.vector, effects);
    }
    this.pump(link, now, effects);
    const missing = this.expectedFrom(link);
    if (missing && now - link.lastEntriesAt > SILENCE_MS && now - link.lastWantAt > SILENCE_MS) this.want(link, now, effects);
    if (!missing) link.lastEntriesAt = now;
    this.heartbeat(link, now, effects);
  }

  /** True if the peer holds entries that it should have sent us: of its own, or that we asked it to relay. */
  private expectedFrom(link: Link): boolean {
    const held = this.host.durableVector();
    const wanted = this.relayWanted(link);
    for (const origin in link.vector) {
      if ((link.vector[origin] ?? 0) <= (held[origin] ?? 0)) continue;
      if (wanted.includes(origin) || ownerOf(origin) === link.peer) return true;
    }
    return false;
  }

  /** Origins that this peer should relay to us: it is ahead of us there, and the owner is not connected or not ahead. */
  private relayWanted(link: Link): string[] {
    const held = this.host.durableVector();
    const wanted: string[] = [];
    if (!link.kept.all) return wanted;
    for (const origin in link.vector) {
      if ((link.vector[origin] ?? 0) <= (held[origin] ?? 0) && !this.isCutOff(origin)) continue;
      const owner = this.links.get(ownerOf(origin));
      const delivers = owner?.connected === true && owner.status?.vector[origin] !== undefined && isCurrent(owner, origin);
      if (!delivers && (ownerOf(origin) !== link.peer || !isCurrent(link, origin))) wanted.push(origin);
    }
    return wanted;
  }

  /** True if the owner of an origin is a member that we have no link to: its entries come through others. */
  private isCutOff(origin: string): boolean {
    const owner = this.links.get(ownerOf(origin));
    return owner !== undefined && !owner.connected;
  }

  private heartbeat(link: Link, now: number, effects: ReplicaEffect[]): void {
    const heartbeat: Heartbeat = {
      status: this.host.status(), sentAt: now, echo: link.heartbeatSentAt, echoDelay: link.heartbeatSentAt === 0 ? 0 : now - link.heartbeatReceivedAt,
      wall: this.host.wall(), relay: this.relayWanted(link),
    };
    effects.push({ kind: "send", peer: link.peer, message: { $case: "heartbeat", value: heartbeat } });
  }

  private mark(now: number): void {
    const vector = this.host.durableVector();
    if (vector === this.markedVector) return;
    const last = this.marks.at(-1);
    if (last !== undefined && now - last.at < 100) return;
    this.markedVector = vector;
    this.marks.push({ at: now, vector });
    const connected = [...this.links.values()];
    while (this.marks.length > 0 && connected.every((link) => dominates(link.vector, this.marks[0]?.vector ?? EMPTY_VECTOR))) this.marks.shift();
    if (this.marks.length > MARKS_MAX) this.marks = this.marks.filter((_, index) => index === 0 || index % 2 === 1);
  }

  /** Smoothed round-trip time to a peer, ms. */
  roundTripMs(peer: string): number | undefined {
    return this.links.get(peer)?.rttMs;
  }

  /** What a peer is known to hold durably. */
  vectorOf(peer: string): Vector {
    return this.links.get(peer)?.vector ?? EMPTY_VECTOR;
  }

  /** What those of the peers that keep everything are known to hold, joined. */
  peersHold(): MutableVector {
    const joined = copyVector(EMPTY_VECTOR);
    for (const link of this.links.values()) if (link.kept.all) joinInto(joined, link.vector);
    return joined;
  }

  /** What a peer said that it keeps. */
  keptBy(peer: string): KeptPages {
    return this.links.get(peer)?.kept ?? ALL_PAGES;
  }

  isConnected(peer: string): boolean {
    return this.links.get(peer)?.connected === true;
  }

  /** What each of `members` is known to hold durably: causal stability. Empty while one has never been heard. */
  stableVector(members: readonly string[]): MutableVector {
    const stable = copyVector(this.host.durableVector());
    for (const link of this.links.values()) {
      if (!members.includes(link.peer)) continue;
      for (const origin in stable) {
        const position = Math.min(stable[origin] ?? 0, link.vector[origin] ?? 0);
        if (position > 0) stable[origin] = position;
        else delete stable[origin];
      }
    }
    return stable;
  }

  reports(now: number): LinkReport[] {
    const held = this.host.durableVector();
    return [...this.links.values()].map((link) => {
      const unacknowledgedChanges = surplus(held, link.vector);
      const oldest = unacknowledgedChanges === 0 ? undefined : this.marks.find((mark) => !dominates(link.vector, mark.vector));
      return {
        peer: link.peer, connected: link.connected, kept: link.kept, status: link.status, vector: link.vector, rttMs: link.rttMs, clockOffsetMs: link.clockOffsetMs,
        heardAt: link.heartbeatReceivedAt, unacknowledgedChanges, oldestUnacknowledgedMs: oldest === undefined ? 0 : Math.max(0, now - oldest.at),
      };
    });
  }
}

function isSameEntry(a: Entry | undefined, b: Entry | undefined): boolean {
  return a !== undefined && b !== undefined && a.origin === b.origin && a.seq === b.seq;
}

/** The replica whose log an origin is. */
export function ownerOf(origin: string): string {
  const dot = origin.lastIndexOf(".");
  return dot < 0 ? origin : origin.slice(0, dot);
}

/** Name of a log of a replica: the one with which an incarnation begins has its number, others of it have higher ones. */
export function originOf(replica: string, number: number): string {
  return `${replica}.${number.toString(36)}`;
}

/** The number in the name of an origin; logs of one replica follow each other by it. */
export function numberOf(origin: string): number {
  return Number.parseInt(origin.slice(ownerOf(origin).length + 1), 36);
}

/** The highest number of a replica's logs in a vector, at least `least`. */
export function latestNumber(replica: string, vector: Vector, least: number): number {
  let latest = least;
  for (const origin in vector) if (ownerOf(origin) === replica) latest = Math.max(latest, numberOf(origin));
  return latest;
}

/** True for the log to which the peer writes now. */
function isCurrent({ peer, status }: Link, origin: string): boolean {
  return ownerOf(origin) === peer && origin === originOf(peer, latestNumber(peer, status?.vector ?? EMPTY_VECTOR, status?.incarnations[peer] ?? 0));
}

function newLink(peer: string): Link {
  return {
    peer, connected: false, kept: ALL_PAGES, status: undefined, vector: copyVector(EMPTY_VECTOR), floor: EMPTY_VECTOR, sent: copyVector(EMPTY_VECTOR), cursor: undefined,
    ticket: 0, reading: false, refused: false, sentBytes: 0, consumedByPeer: 0, consumed: 0, consumedTold: 0, ackDue: false, lastPushAt: 0, lastEntriesAt: 0,
    lastWantAt: 0, relay: new Set(), heartbeatReceivedAt: 0, heartbeatSentAt: 0, rttMs: undefined, clockOffsetMs: undefined,
  };
}
