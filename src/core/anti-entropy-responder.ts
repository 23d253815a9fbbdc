/**
 * The responder's side. Questions about the tree are answered on the spot (`answerQuestion`); only the exchange of
 * documents, from `vectors` to `done`, keeps state.
 */

import { answerDigests, areNodes, ENTRY_DEPTH, keysByHash, listDocuments, readShort } from "./anti-entropy-comparison.js";
import type { AntiEntropyBounds, AntiEntropySight } from "./anti-entropy-events.js";
import type { AntiEntropyBody, Start, Vectors, WantedDocument } from "./anti-entropy-messages.js";
import { vectorBytes } from "./anti-entropy-size.js";
import { decodeVector, type Gift, Giver, isOriginTable, Malformed, OriginTable, type SessionDoor, Taker } from "./anti-entropy-transfer.js";
import { isDocumentKey } from "./change.js";
import { NODE_BYTES, SHORT_BYTES, TREE_FORMAT } from "./merkle.js";
import { copyVector, dominates, EMPTY_VECTOR, encodeVector } from "./vector.js";

/** More than any round asks for. */
const DOCUMENTS_ASKED_MAX = 65_536;

/** The answer to `start` or `digests`; undefined for any other message. */
export function answerQuestion(
  body: AntiEntropyBody,
  salt: number,
  sight: AntiEntropySight,
  bounds: AntiEntropyBounds,
): AntiEntropyBody | Malformed | undefined {
  if (body.$case === "start") return answerStart(body.value, salt, sight);
  if (body.$case !== "digests") return undefined;
  const differing = answerDigests(sight.tree, salt, body.value);
  if (differing instanceof Malformed) return differing;
  if (body.value.list !== true) return { $case: "differing", value: { depth: body.value.depth, nodes: differing } };
  return { $case: "listing", value: listDocuments(sight.tree, salt, body.value.depth, differing, bounds.listedMax) };
}

function answerStart(start: Start, salt: number, sight: AntiEntropySight): AntiEntropyBody | Malformed {
  const { tree } = sight;
  const nothing = new Uint8Array(0);
  if (start.format !== TREE_FORMAT) {
    return {
      $case: "started",
      value: { format: TREE_FORMAT, equal: false, root: nothing, documents: 0, digests: nothing, sameVector: false, vector: {} },
    };
  }
  if (start.root.length !== NODE_BYTES) return new Malformed("sends no root");
  const root = tree.root();
  const equal = sameBytes(root, start.root);
  const vector = sight.replicaVector();
  const sameVector = sameBytes(sight.hash(encodeVector(vector)), start.vectorHash);
  return {
    $case: "started",
    value: {
      format: TREE_FORMAT,
      equal,
      root: equal ? nothing : root,
      documents: equal ? 0 : tree.size,
      digests: equal ? nothing : tree.shortDigests(0, [0], ENTRY_DEPTH, salt),
      sameVector,
      vector: sameVector ? {} : copyVector(vector),
    },
  };
}

interface Agreed {
  readonly gifts: readonly Gift[];
  readonly wanted: readonly WantedDocument[];
  readonly origins: readonly string[];
}

export class Responder {
  private readonly taker: Taker;
  private giver: Giver | undefined;
  /** Documents of `Vectors` from which something is wanted, with their index there. */
  private readonly wanted = new Map<string, number>();
  private readonly diverged: number[] = [];
  private more = false;
  over = false;

  constructor(
    private readonly salt: number,
    private readonly sight: AntiEntropySight,
    private readonly door: SessionDoor,
  ) {
    this.taker = new Taker(door, (document) => this.wanted.has(document));
  }

  get waitsForHost(): boolean {
    return this.taker.waitsForHost || this.giver?.waitsForHost === true;
  }

  /** Takes the initiator's vectors, says what is wanted and begins to give. */
  open(vectors: Vectors): Malformed | undefined {
    const agreed = this.agree(vectors);
    if (agreed instanceof Malformed) return agreed;
    if (agreed.wanted.length > 0)
      this.door.send({ $case: "wanted", value: { origins: [...agreed.origins], documents: [...agreed.wanted] } });
    if (agreed.gifts.length > 0) {
      this.giver = new Giver(this.door, agreed.gifts);
      this.giver.start();
    }
    this.finishIfSettled();
    return undefined;
  }

  /** Takes a message of the transfer. */
  receive(body: AntiEntropyBody): Malformed | "lost" | undefined {
    if (body.$case === "progress" && this.giver !== undefined) {
      const fault = this.giver.acknowledge(body.value.chunk);
      if (fault !== undefined) return fault;
    } else if (body.$case === "changes") {
      const fault = this.taker.take(body.value);
      if (fault !== undefined) return fault;
    } else return new Malformed("speaks out of turn");
    this.finishIfSettled();
    return undefined;
  }

  loaded(...answer: Parameters<Giver["loaded"]>): void {
    this.giver?.loaded(...answer);
    this.finishIfSettled();
  }

  stored(...answer: Parameters<Taker["stored"]>): void {
    this.taker.stored(...answer);
    this.finishIfSettled();
  }

  private agree(vectors: Vectors): Agreed | Malformed {
    const { origins, documents, leaves } = vectors;
    if (!isOriginTable(origins, this.door.bounds.originsMax)) return new Malformed("names origins that are none");
    if (documents.length > DOCUMENTS_ASKED_MAX || leaves.length !== documents.length * SHORT_BYTES)
      return new Malformed("sends too many vectors, or too few leaves");
    const gifts: Gift[] = [];
    const wanted: WantedDocument[] = [];
    const table = new OriginTable();
    const seen = new Set<string>();
    let size = 0;
    for (const [index, entry] of documents.entries()) {
      const theirs = decodeVector(origins, entry.origins, entry.positions);
      if (theirs === undefined || !isDocumentKey(entry.document) || seen.has(entry.document))
        return new Malformed("sends a vector that is none");
      seen.add(entry.document);
      const ours = this.sight.documentVector(entry.document) ?? EMPTY_VECTOR;
      const weLack = !dominates(ours, theirs);
      const theyLack = !dominates(theirs, ours);
      if (theyLack) gifts.push({ document: entry.document, beyond: theirs, upTo: copyVector(ours) });
      if (!weLack && !theyLack && !this.sameLeaf(entry.document, leaves, index)) this.diverged.push(index);
      if (!weLack) continue;
      if (size > this.door.bounds.chunkBytes) {
        this.more = true;
        continue;
      }
      const want = { index, ...table.encode(ours) };
      size += vectorBytes(want);
      wanted.push(want);
      this.wanted.set(entry.document, index);
    }
    const unknown = this.findUnknown(vectors, seen);
    return unknown instanceof Malformed ? unknown : { gifts: [...gifts, ...unknown], wanted, origins: table.origins };
  }

  private sameLeaf(document: string, leaves: Uint8Array, index: number): boolean {
    const leaf = new Uint8Array(SHORT_BYTES);
    this.sight.tree.shortLeaf(document, this.salt, leaf, 0);
    return readShort(leaf, 0) === readShort(leaves, index * SHORT_BYTES);
  }

  /** The documents that the initiator knows only by node and short hash. */
  private findUnknown({ depth, nodes, hashes }: Vectors, seen: Set<string>): Gift[] | Malformed {
    if (nodes.length > DOCUMENTS_ASKED_MAX || hashes.length !== nodes.length * SHORT_BYTES)
      return new Malformed("asks for too many documents, or without their hashes");
    const distinct = [...new Set(nodes)].sort((a, b) => a - b);
    if (nodes.length > 0 && (depth < ENTRY_DEPTH || !areNodes(distinct, depth)))
      return new Malformed("asks for documents of nodes that are none");
    const byNode = new Map(distinct.map((node) => [node, keysByHash(this.sight.tree, this.salt, depth, node)]));
    const gifts: Gift[] = [];
    for (const [i, node] of nodes.entries()) {
      const document = byNode.get(node)?.get(readShort(hashes, i * SHORT_BYTES));
      if (document === undefined || seen.has(document)) continue;
      seen.add(document);
      gifts.push({ document, beyond: EMPTY_VECTOR, upTo: copyVector(this.sight.documentVector(document) ?? EMPTY_VECTOR) });
    }
    return gifts;
  }

  private finishIfSettled(): void {
    const hasGiven = this.giver === undefined || this.giver.finished;
    const hasTaken = this.wanted.size === 0 || (this.taker.ended && this.taker.settled);
    if (this.over || !hasGiven || !hasTaken) return;
    this.over = true;
    const repaired: number[] = [];
    for (const document of this.taker.repaired) {
      const index = this.wanted.get(document);
      if (index !== undefined) repaired.push(index);
    }
    this.door.send({
      $case: "done",
      value: {
        root: this.sight.tree.root(),
        repaired: repaired.sort((a, b) => a - b),
        diverged: this.diverged,
        failed: this.taker.failed.size + (this.giver?.failed.size ?? 0),
        chunks: this.giver?.chunks ?? 0,
        more: this.more || this.giver?.truncated === true,
      },
    });
  }
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
