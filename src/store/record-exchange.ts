/**
 * Brings numbered records that a feature keeps beside the documents to every replica. They are pulled: each replica asks its peers in turn
 * for what is beyond its own, of all origins, so that a third one serves where two are cut apart. What the records hold is the feature's business.
 *
 * Invariants:
 *  1. One request at a time is under way to a peer, and the next goes only when what the last one brought is durable.
 *  2. While a peer has more than fits an answer, only that one is asked: two would send the same.
 *  3. Answers give way to log entries: where the outbox is half full, nothing is sent but the word that there is more.
 *
 * Records go some day, and what follows from them stays. Who has missed them asks for that as well, from position to position of one peer.
 */
import type { Limits } from "../core/limits.js";
import type { Message, NumberedRecord, Older, Records, RecordsRequest } from "../core/messages.js";
import type { Timer } from "../core/ports.js";
import { parseVector, type Vector } from "../core/vector.js";

/** Who keeps the records. Its calls never reject. */
export interface RecordSource {
  /** By origin, the highest number that is held without a gap, durably. */
  cursors(): Promise<Vector>;
  /** Records beyond these numbers, about so many bytes at most. */
  read(after: Vector, bytesMax: number): Promise<Pick<Records, "records" | "floor" | "more">>;
  /** Keeps what a peer sent. Resolves once it is durable; false where nothing of it was new. */
  keep(records: readonly NumberedRecord[], floor: Vector): Promise<boolean>;
  /** From which position of a peer on this replica lacks what follows from records that are gone; undefined: it lacks nothing that the peer could give. */
  olderWanted(peer: string): string | undefined;
  /** That from beyond a position on, of about so many bytes at most. */
  readOlder(after: string, bytesMax: number): Promise<Older>;
  /** Keeps what a peer sent of it. Resolves once it is durable. */
  keepOlder(peer: string, older: Older): Promise<void>;
}

export interface RecordExchangePorts {
  send(peer: string, message: Message): boolean;
  queuedBytes(peer: string): number;
  after(ms: number, callback: () => void): Timer;
  warn(event: Readonly<Record<string, unknown>>, text: string): void;
  fatal(error: unknown): void;
}

interface Linked {
  /** The number of the request that is under way, and when it is given up; no timer while its answer is being kept. */
  asked: { readonly request: number; timer: Timer | undefined } | undefined;
  isServed: boolean;
}

export class RecordExchange {
  private readonly linked = new Map<string, Linked>();
  private requests = 0;
  /** Whose turn it is next, and who has more. */
  private turn = 0;
  private following: string | undefined;

  constructor(
    private readonly source: RecordSource,
    private readonly limits: Limits,
    private readonly ports: RecordExchangePorts,
  ) {}

  start(): void {
    this.ports.after(this.limits.recordsEveryMs / Math.max(1, this.linked.size), () => {
      const peers = [...this.linked.keys()];
      const next = peers[this.turn % Math.max(1, peers.length)];
      if (next !== undefined) {
        this.turn++;
        if ((this.following ?? next) === next) this.ask(next);
      }
      this.start();
    });
  }

  /** A peer that answers is linked. */
  connected(peer: string): void {
    this.linked.set(peer, { asked: undefined, isServed: false });
  }

  disconnected(peer: string): void {
    this.linked.get(peer)?.asked?.timer?.cancel();
    this.linked.delete(peer);
    if (this.following === peer) this.following = undefined;
  }

  private ask(peer: string): void {
    const link = this.linked.get(peer);
    if (link === undefined || link.asked !== undefined) return;
    const request = ++this.requests;
    const timer = this.ports.after(this.limits.recordsTimeoutMs, () => this.settled(peer, link));
    link.asked = { request, timer };
    this.source.cursors().then((after) => {
      const position = this.source.olderWanted(peer);
      const value: RecordsRequest = { request, after: { ...after }, older: position === undefined ? undefined : { after: position } };
      if (link.asked?.request === request && !this.ports.send(peer, { $case: "recordsRequest", value })) this.settled(peer, link);
    }, (error: unknown) => this.ports.fatal(error));
  }

  private settled(peer: string, link: Linked): void {
    link.asked?.timer?.cancel();
    link.asked = undefined;
    if (this.following === peer) this.following = undefined;
  }

  received(peer: string, { request, records, floor, more, older }: Records): void {
    const link = this.linked.get(peer);
    if (link?.asked?.request !== request || link.asked.timer === undefined) return;
    link.asked.timer.cancel();
    link.asked.timer = undefined;
    const floors = parseVector(floor, 2 * this.limits.recordOriginsMax);
    const isTooMuch = records.length + (older?.records.length ?? 0) > this.limits.recordsPerAnswerMax || (older?.next.length ?? 0) > this.limits.recordPositionMax;
    if (floors === undefined || isTooMuch) {
      this.ports.warn({ event: "records", peer }, "a peer has sent records in another form than they have");
      this.settled(peer, link);
      return;
    }
    this.keep(peer, records, floors, older).then((isNew) => {
      this.settled(peer, link);
      const hasMore = (more && isNew) || (older !== undefined && older.next !== "");
      if (!hasMore || this.linked.get(peer) !== link) return;
      this.following = peer;
      this.ask(peer);
    }, (error: unknown) => this.ports.fatal(error));
  }

  /** True if any of the records was new. */
  private async keep(peer: string, records: readonly NumberedRecord[], floors: Vector, older: Older | undefined): Promise<boolean> {
    const isNew = await this.source.keep(records, floors);
    if (older !== undefined) await this.source.keepOlder(peer, older);
    return isNew;
  }

  /** Answers a peer that asks; passes over what it asks while it is being answered. */
  async serve(peer: string, { request, after, older }: RecordsRequest): Promise<void> {
    const link = this.linked.get(peer);
    const beyond = parseVector(after, 2 * this.limits.recordOriginsMax);
    if (link === undefined || link.isServed || beyond === undefined) return;
    link.isServed = true;
    const hasRoom = 2 * this.ports.queuedBytes(peer) < this.limits.linkOutboxBytes;
    const found = hasRoom ? await this.source.read(beyond, this.limits.recordsAnswerBytes) : { records: [], floor: {}, more: true };
    // Records go first: of most of what is older, those who ask have made their own once they have them.
    const left = found.records.reduce((bytes, { body }) => bytes - body.length - this.limits.recordOverheadBytes, this.limits.recordsAnswerBytes);
    const isOlderDue = older !== undefined && older.after.length <= this.limits.recordPositionMax && !found.more && left > 0;
    const answered = isOlderDue ? await this.source.readOlder(older.after, left) : undefined;
    link.isServed = false;
    this.ports.send(peer, { $case: "records", value: { request, ...found, older: answered } });
  }
}
