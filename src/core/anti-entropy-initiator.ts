/** The initiator's side of a session: start → digests → listing → vectors → both give → done. */

import {
  areNodes,
  compareListing,
  type DifferingDocument,
  differingNodes,
  ENTRY_DEPTH,
  listingDepth,
  nextDigests,
  window,
  writeShort,
} from "./anti-entropy-comparison.js";
import type { AntiEntropyOutcome, AntiEntropyReport, AntiEntropySight } from "./anti-entropy-events.js";
import type { AntiEntropyBody, Differing, Done, Listing, Started, Wanted } from "./anti-entropy-messages.js";
import { vectorBytes } from "./anti-entropy-size.js";
import { decodeVector, type Gift, Giver, isOriginTable, Malformed, OriginTable, type SessionDoor, Taker } from "./anti-entropy-transfer.js";
import { bucketOf, LEAF_DEPTH, NODE_BYTES, nodesAt, SHORT_BYTES, shortKey, TREE_FORMAT } from "./merkle.js";
import { copyVector, EMPTY_VECTOR, encodeVector, parseVector, type Vector } from "./vector.js";

/** How a session ended before its time. */
export interface Failure {
  readonly outcome: AntiEntropyOutcome;
  readonly reason: string;
}

type Phase = "start" | "differing" | "listing" | "transfer" | "over";

const DIVERGED_REPORTED = 16;

export class Initiator {
  bytes = 0;
  private phase: Phase = "start";
  private roundTrips = 0;
  private readonly vectorAtStart: Vector;
  private peerVector: Vector | undefined;
  private peerRoot: Uint8Array = new Uint8Array(0);
  private listAt = ENTRY_DEPTH;
  private asked = new Set<number>();
  private compared = 0;
  /** Documents of `Vectors`, by index. */
  private readonly documents: string[] = [];
  private readonly known = new Set<string>();
  /** `<node>/<short hash>` of documents that only the peer listed. */
  private readonly unknown = new Set<string>();
  private giver: Giver | undefined;
  private readonly taker: Taker;
  private done: Done | undefined;
  private more = false;
  private equal = false;
  /** Nothing that the peer had at the start was missed, as far as the comparison goes. */
  private sound = true;

  constructor(
    private readonly peer: string,
    private readonly salt: number,
    private readonly sight: AntiEntropySight,
    private readonly door: SessionDoor,
  ) {
    this.vectorAtStart = copyVector(sight.replicaVector());
    this.taker = new Taker(door, (document) => this.expects(document));
  }

  get waitsForHost(): boolean {
    return this.taker.waitsForHost || this.giver?.waitsForHost === true;
  }

  get over(): boolean {
    return this.phase === "over";
  }

  start(): void {
    const vectorHash = this.sight.hash(encodeVector(this.vectorAtStart));
    this.ask({ $case: "start", value: { format: TREE_FORMAT, root: this.sight.tree.root(), vectorHash, documents: this.sight.tree.size } });
  }

  /** Takes a message of the responder. */
  receive(body: AntiEntropyBody): Failure | undefined {
    const fault = this.dispatch(body);
    if (fault instanceof Malformed) return { outcome: "malformed", reason: fault.reason };
    return fault;
  }

  loaded(...answer: Parameters<Giver["loaded"]>): void {
    const before = this.giver?.finished;
    this.giver?.loaded(...answer);
    this.noticeGiven(before);
  }

  stored(...answer: Parameters<Taker["stored"]>): void {
    this.taker.stored(...answer);
    this.finishIfSettled();
  }

  report(failure?: Failure): AntiEntropyReport {
    const repaired = new Set(this.taker.repaired);
    for (const index of this.done?.repaired ?? []) repaired.add(this.documents[index] ?? "");
    const diverged = this.done?.diverged ?? [];
    const failed = this.taker.failed.size + (this.giver?.failed.size ?? 0) + (this.done?.failed ?? 0);
    const more = this.more || this.giver?.truncated === true || this.done?.more === true;
    return {
      peer: this.peer,
      outcome: failure?.outcome ?? "done",
      documentsCompared: this.compared,
      documentsRepaired: repaired.size,
      bytes: this.bytes,
      roundTrips: this.roundTrips,
      equal: failure === undefined && this.equal,
      more,
      complete: failure === undefined && this.sound && !more && failed === 0 && diverged.length === 0,
      peerVectorAtStart: this.peerVector,
      failed,
      diverged: diverged.slice(0, DIVERGED_REPORTED).map((index) => this.documents[index] ?? ""),
      ...(failure === undefined ? {} : { reason: failure.reason }),
    };
  }

  private ask(body: AntiEntropyBody): void {
    this.roundTrips++;
    this.door.send(body);
  }

  private dispatch(body: AntiEntropyBody): Failure | Malformed | undefined {
    switch (body.$case) {
      case "started":
        return this.phase === "start" ? this.compareEntry(body.value) : OUT_OF_TURN;
      case "differing":
        return this.phase === "differing" ? this.descend(body.value) : OUT_OF_TURN;
      case "listing":
        return this.phase === "listing" ? this.sendVectors(body.value) : OUT_OF_TURN;
      case "wanted":
        return this.phase === "transfer" && this.giver === undefined && this.done === undefined ? this.give(body.value) : OUT_OF_TURN;
      case "changes": {
        if (this.phase !== "transfer" || this.done !== undefined) return OUT_OF_TURN;
        const fault = this.taker.take(body.value);
        return fault === "lost" ? LOST : fault;
      }
      case "progress": {
        if (this.giver === undefined) return OUT_OF_TURN;
        const before = this.giver.finished;
        const fault = this.giver.acknowledge(body.value.chunk);
        this.noticeGiven(before);
        return fault;
      }
      case "done":
        return this.phase === "transfer" && this.done === undefined ? this.takeDone(body.value) : OUT_OF_TURN;
      case "ended":
        return { outcome: "ended-by-peer", reason: String(body.value.reason).slice(0, 200) };
      default:
        return OUT_OF_TURN;
    }
  }

  private compareEntry(started: Started): Failure | Malformed | undefined {
    if (started.format !== TREE_FORMAT)
      return { outcome: "refused", reason: `the peer's tree has format ${started.format}, ours ${TREE_FORMAT}` };
    const vector = started.sameVector ? this.vectorAtStart : parseVector(started.vector, this.door.bounds.originsMax);
    if (vector === undefined) return new Malformed("sends no vector");
    if (started.equal) {
      this.peerVector = vector;
      this.equal = true;
      this.phase = "over";
      return undefined;
    }
    if (started.root.length !== NODE_BYTES || started.digests.length !== nodesAt(ENTRY_DEPTH) * SHORT_BYTES)
      return new Malformed("sends no tree");
    if (!Number.isSafeInteger(started.documents) || started.documents < 0) return new Malformed("sends no number of documents");
    this.peerVector = vector;
    this.peerRoot = started.root;
    const { tree } = this.sight;
    this.listAt = listingDepth(Math.max(tree.size, started.documents));
    const differing = differingNodes(tree, this.salt, 0, [0], ENTRY_DEPTH, started.digests);
    if (differing.length === 0) {
      // Either we have caught up meanwhile, or a short digest hides what differs.
      this.sound = sameBytes(tree.root(), this.peerRoot);
      this.finish();
    } else this.askBelow(ENTRY_DEPTH, differing);
    return undefined;
  }

  private askBelow(depth: number, nodes: readonly number[]): void {
    const chosen = window(nodes, this.door.bounds.documentsMax, this.salt);
    if (chosen.length < nodes.length) this.more = true;
    const digests = nextDigests(this.sight.tree, this.salt, depth, chosen, this.listAt);
    const span = nodesAt(digests.depth - depth);
    this.asked = new Set(chosen.flatMap((node) => Array.from({ length: span }, (_, i) => node * span + i)));
    this.phase = digests.list ? "listing" : "differing";
    this.ask({ $case: "digests", value: digests });
  }

  private descend({ depth, nodes }: Differing): Malformed | undefined {
    if (depth !== ENTRY_DEPTH + 1 || !areNodes(nodes, depth) || !nodes.every((node) => this.asked.has(node)))
      return new Malformed("names nodes that were not asked for");
    if (nodes.length === 0) this.finish();
    else this.askBelow(depth, nodes);
    return undefined;
  }

  private sendVectors(listing: Listing): Malformed | undefined {
    if (listing.depth !== this.listAt) return new Malformed("lists at another depth");
    const comparison = compareListing(this.sight.tree, this.salt, listing, (node) => this.asked.has(node));
    if (comparison instanceof Malformed) return comparison;
    this.compared = comparison.compared;
    if (listing.more === true) this.more = true;
    const { documentsMax, chunkBytes } = this.door.bounds;
    const chosen = window(comparison.differing, documentsMax, this.salt);
    const vectors = this.encodeVectors(chosen, chunkBytes);
    if (this.documents.length + this.unknown.size < comparison.differing.length) this.more = true;
    if (this.documents.length + this.unknown.size === 0) this.finish();
    else {
      this.phase = "transfer";
      this.ask({ $case: "vectors", value: vectors });
    }
    return undefined;
  }

  private encodeVectors(chosen: readonly DifferingDocument[], bytesMax: number) {
    const table = new OriginTable();
    const documents = [];
    const nodes: number[] = [];
    const hashes: number[] = [];
    let size = 0;
    for (const document of chosen) {
      if (size > bytesMax) break;
      if ("key" in document) {
        const entry = { document: document.key, ...table.encode(this.sight.documentVector(document.key) ?? {}) };
        size += vectorBytes(entry) + SHORT_BYTES;
        documents.push(entry);
        this.documents.push(document.key);
        this.known.add(document.key);
      } else {
        size += 3 + SHORT_BYTES;
        nodes.push(document.node);
        hashes.push(document.hash);
        this.unknown.add(`${document.node}/${document.hash}`);
      }
    }
    const leaves = new Uint8Array(documents.length * SHORT_BYTES);
    for (const [i, { document }] of documents.entries()) this.sight.tree.shortLeaf(document, this.salt, leaves, i * SHORT_BYTES);
    const hashBytes = new Uint8Array(hashes.length * SHORT_BYTES);
    for (const [i, hash] of hashes.entries()) writeShort(hash, hashBytes, i * SHORT_BYTES);
    return { origins: table.origins, documents, leaves, depth: this.listAt, nodes, hashes: hashBytes };
  }

  private expects(document: string): boolean {
    if (this.known.has(document)) return true;
    const hash = new Uint8Array(SHORT_BYTES);
    shortKey(document, this.salt, hash, 0);
    const node = Math.floor(bucketOf(document) / nodesAt(LEAF_DEPTH - this.listAt));
    return this.unknown.has(`${node}/${hash.reduce((value, byte) => value * 256 + byte, 0)}`);
  }

  private give(wanted: Wanted): Malformed | undefined {
    if (!isOriginTable(wanted.origins, this.door.bounds.originsMax)) return new Malformed("names origins that are none");
    const gifts: Gift[] = [];
    const seen = new Set<number>();
    for (const { index, origins, positions } of wanted.documents) {
      const document = this.documents[index];
      const beyond = decodeVector(wanted.origins, origins, positions);
      if (document === undefined || beyond === undefined || seen.has(index)) return new Malformed("wants a document that was not offered");
      seen.add(index);
      gifts.push({ document, beyond, upTo: copyVector(this.sight.documentVector(document) ?? EMPTY_VECTOR) });
    }
    this.giver = new Giver(this.door, gifts);
    this.giver.start();
    this.noticeGiven(false);
    return undefined;
  }

  private noticeGiven(finishedBefore: boolean | undefined): void {
    if (finishedBefore === false && this.giver?.finished === true) this.roundTrips++;
  }

  private takeDone(done: Done): Failure | Malformed | undefined {
    const areIndices = (list: readonly number[]): boolean =>
      list.length <= this.documents.length && list.every((index) => this.documents[index] !== undefined);
    if (done.root.length !== NODE_BYTES || !areIndices(done.repaired) || !areIndices(done.diverged))
      return new Malformed("sends no result");
    if (!Number.isSafeInteger(done.failed) || done.failed < 0) return new Malformed("sends no number of failures");
    if (this.giver?.finished === false) return new Malformed("is done before we are");
    if (done.chunks !== this.taker.chunks || (done.chunks > 0 && !this.taker.ended)) return LOST;
    this.done = done;
    this.peerRoot = done.root;
    this.finishIfSettled();
    return undefined;
  }

  private finishIfSettled(): void {
    if (this.done !== undefined && this.taker.settled) this.finish();
  }

  private finish(): void {
    this.equal = sameBytes(this.sight.tree.root(), this.peerRoot);
    this.phase = "over";
  }
}

const OUT_OF_TURN = new Malformed("speaks out of turn");
const LOST: Failure = { outcome: "message-lost", reason: "a message of the session was lost" };

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
