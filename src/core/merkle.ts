/**
 * A Merkle tree over the digests of all documents that does not depend on the order in which they came.
 *
 * Invariants:
 *  1. A leaf is H(document key, document digest); a node is the XOR of all leaves below it, the empty node is zero.
 *     So equal sets of documents make equal trees, whatever the order of changes, and one change touches one path.
 *  2. A document lies in the bucket that the first 16 bits of its key's hash name, the same on every replica.
 *  3. What is compared between replicas below the root is short and salted: a collision can hide a difference in one
 *     session, not in the next.
 * Source: Merkle, "A Digital Signature Based on a Conventional Encryption Function", 1987; XOR as the set hash of Bellare and
 * Micciancio, "A New Paradigm for Collision-Free Hashing", 1997.
 */
import { assert } from "./errors.js";

/** Changes whenever leaf, bucket or node are computed otherwise: trees of different formats must not be compared. */
export const TREE_FORMAT = 1;
export const NODE_BYTES = 16;
/** Children of a node. */
export const FANOUT = 16;
/** The buckets are the nodes at this depth; the root is at depth 0. */
export const LEAF_DEPTH = 4;
/** Bytes of a short digest or key hash: 48 bits, so that even 65,536 differing nodes hide one with odds of 2^-32. */
export const SHORT_BYTES = 6;

/** 16 bytes over a document's key and digest, such as the first of their SHA-256. */
export type LeafHash = (key: string, digest: Uint8Array) => Uint8Array;

/** Number of nodes at a depth. */
export function nodesAt(depth: number): number {
  return FANOUT ** depth;
}

/** The bucket of a document: 0 to 65,535. */
export function bucketOf(key: string): number {
  return scramble(key, 0x811c9dc5) >>> 16;
}

/** Writes the short, salted hash of a document's key to `into` at `offset`. */
export function shortKey(key: string, salt: number, into: Uint8Array, offset: number): void {
  const high = scramble(key, salt ^ 0x9e3779b9);
  writeShort(high, scramble(key, Math.imul(salt, 0x85ebca6b) ^ high), into, offset);
}

/** FNV-1a over the characters with a seed, then mixed until every bit depends on all of them. */
function scramble(key: string, seed: number): number {
  let hash = seed | 0;
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193);
  return mix(hash ^ key.length);
}

function mix(value: number): number {
  let mixed = value;
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}

function writeShort(high: number, low: number, into: Uint8Array, offset: number): void {
  into[offset] = high >>> 24;
  into[offset + 1] = high >>> 16;
  into[offset + 2] = high >>> 8;
  into[offset + 3] = high;
  into[offset + 4] = low >>> 8;
  into[offset + 5] = low;
}

const NONE = -1;
const FIRST_CAPACITY = 1_024;

export class MerkleTree {
  /** All nodes, from the root to the buckets, depth after depth. */
  private readonly nodes = new Uint8Array(NODE_BYTES * firstNode(LEAF_DEPTH + 1));
  /** First slot of each bucket's list. */
  private readonly heads = new Int32Array(nodesAt(LEAF_DEPTH)).fill(NONE);
  private readonly keys: (string | undefined)[] = [];
  private next = new Int32Array(FIRST_CAPACITY);
  private leaves = new Uint8Array(FIRST_CAPACITY * NODE_BYTES);
  private readonly unsettled = new Map<string, Uint8Array>();
  private readonly difference = new Uint8Array(NODE_BYTES);
  private firstFree = NONE;
  private count = 0;

  constructor(private readonly leafHash: LeafHash) {}

  /** Documents in the tree. */
  get size(): number {
    this.settle();
    return this.count;
  }

  /**
   * Puts a document in, or gives it another digest. The leaf is hashed when the tree is next looked at: of several changes of a
   * document in between only the last costs anything. `digest` is not copied; what it holds then counts.
   */
  set(key: string, digest: Uint8Array): void {
    this.unsettled.set(key, digest);
  }

  /** Cost for each document that changed: one leaf hash and a path of 5 nodes. */
  private settle(): void {
    if (this.unsettled.size === 0) return;
    for (const [key, digest] of this.unsettled) this.place(key, digest);
    this.unsettled.clear();
  }

  private place(key: string, digest: Uint8Array): void {
    const leaf = this.leafHash(key, digest);
    assert(leaf.length === NODE_BYTES, "a leaf has 16 bytes");
    this.putLeaf(key, leaf);
  }

  private putLeaf(key: string, leaf: Uint8Array): void {
    const bucket = bucketOf(key);
    let slot = this.slotOf(key, bucket);
    if (slot === NONE) {
      slot = this.newSlot(key, bucket);
      this.leaves.fill(0, slot * NODE_BYTES, (slot + 1) * NODE_BYTES);
    }
    const offset = slot * NODE_BYTES;
    const { difference } = this;
    for (let i = 0; i < NODE_BYTES; i++) difference[i] = (this.leaves[offset + i] ?? 0) ^ (leaf[i] ?? 0);
    this.leaves.set(leaf, offset);
    this.flip(bucket, difference);
  }

  /** Takes a document out; false if it was not in. Only for documents that are gone from the disk: tombstones stay in. */
  remove(key: string): boolean {
    this.settle();
    const bucket = bucketOf(key);
    const slot = this.slotOf(key, bucket);
    if (slot === NONE) return false;
    this.flip(bucket, this.leaves.slice(slot * NODE_BYTES, (slot + 1) * NODE_BYTES));
    this.unlink(slot, bucket);
    return true;
  }

  has(key: string): boolean {
    this.settle();
    return this.slotOf(key, bucketOf(key)) !== NONE;
  }

  /** 16 bytes; equal for equal sets of (key, digest). A copy. */
  root(): Uint8Array {
    this.settle();
    return this.nodes.slice(0, NODE_BYTES);
  }

  /** Writes the short, salted digest of a node to `into` at `offset`. */
  shortNode(depth: number, node: number, salt: number, into: Uint8Array, offset: number): void {
    this.settle();
    shorten(this.nodes, (firstNode(depth) + node) * NODE_BYTES, salt, into, offset);
  }

  /** Writes the short, salted digest of a document's leaf; zero if the document is not in. */
  shortLeaf(key: string, salt: number, into: Uint8Array, offset: number): void {
    this.settle();
    const slot = this.slotOf(key, bucketOf(key));
    if (slot === NONE) into.fill(0, offset, offset + SHORT_BYTES);
    else shorten(this.leaves, slot * NODE_BYTES, salt, into, offset);
  }

  /** Short digests of all nodes at `depth` below `parents` (nodes at `parentDepth`), in order, `SHORT_BYTES` each. */
  shortDigests(parentDepth: number, parents: readonly number[], depth: number, salt: number): Uint8Array {
    const span = nodesAt(depth - parentDepth);
    const digests = new Uint8Array(parents.length * span * SHORT_BYTES);
    let offset = 0;
    for (const parent of parents) {
      for (let child = parent * span; child < (parent + 1) * span; child++, offset += SHORT_BYTES)
        this.shortNode(depth, child, salt, digests, offset);
    }
    return digests;
  }

  /** A tree of those documents that `takes` names, with the leaves that they have here. Looks at every document. */
  restrictedTo(takes: (key: string) => boolean): MerkleTree {
    this.settle();
    const part = new MerkleTree(this.leafHash);
    for (const [slot, key] of this.keys.entries()) {
      if (key !== undefined && takes(key)) part.putLeaf(key, this.leaves.slice(slot * NODE_BYTES, (slot + 1) * NODE_BYTES));
    }
    return part;
  }

  /** Keys of the documents below a node, in no order that means anything. */
  keysBelow(depth: number, node: number): string[] {
    this.settle();
    const span = nodesAt(LEAF_DEPTH - depth);
    const found: string[] = [];
    for (let bucket = node * span; bucket < (node + 1) * span; bucket++) {
      for (let slot = this.heads[bucket] ?? NONE; slot !== NONE; slot = this.next[slot] ?? NONE) {
        const key = this.keys[slot];
        assert(key !== undefined, "a slot in a list holds a key");
        found.push(key);
      }
    }
    return found;
  }

  private slotOf(key: string, bucket: number): number {
    let slot = this.heads[bucket] ?? NONE;
    while (slot !== NONE && this.keys[slot] !== key) slot = this.next[slot] ?? NONE;
    return slot;
  }

  private newSlot(key: string, bucket: number): number {
    let slot = this.firstFree;
    if (slot !== NONE) this.firstFree = this.next[slot] ?? NONE;
    else {
      slot = this.keys.length;
      if (slot >= this.next.length) this.grow();
    }
    this.keys[slot] = key;
    this.next[slot] = this.heads[bucket] ?? NONE;
    this.heads[bucket] = slot;
    this.count++;
    return slot;
  }

  private unlink(slot: number, bucket: number): void {
    const after = this.next[slot] ?? NONE;
    if (this.heads[bucket] === slot) this.heads[bucket] = after;
    else {
      let before = this.heads[bucket] ?? NONE;
      while (this.next[before] !== slot) before = this.next[before] ?? NONE;
      this.next[before] = after;
    }
    this.keys[slot] = undefined;
    this.next[slot] = this.firstFree;
    this.firstFree = slot;
    this.count--;
  }

  private grow(): void {
    const capacity = Math.ceil(this.next.length * 1.5);
    const next = new Int32Array(capacity);
    next.set(this.next);
    const leaves = new Uint8Array(capacity * NODE_BYTES);
    leaves.set(this.leaves);
    this.next = next;
    this.leaves = leaves;
  }

  private flip(bucket: number, difference: Uint8Array): void {
    let node = bucket;
    for (let depth = LEAF_DEPTH; depth >= 0; depth--) {
      const offset = (firstNode(depth) + node) * NODE_BYTES;
      for (let i = 0; i < NODE_BYTES; i++) this.nodes[offset + i] = (this.nodes[offset + i] ?? 0) ^ (difference[i] ?? 0);
      node = Math.floor(node / FANOUT);
    }
  }
}

/** Index of the first node at a depth. */
function firstNode(depth: number): number {
  return (FANOUT ** depth - 1) / (FANOUT - 1);
}

/** Nodes are XORs of hashes, so folding their four words with the salt in between is enough to spread a difference. */
function shorten(from: Uint8Array, at: number, salt: number, into: Uint8Array, offset: number): void {
  let high = salt | 0;
  let low = Math.imul(salt, 0x9e3779b1) | 0;
  for (let i = at; i < at + NODE_BYTES; i += 4) {
    const word = ((from[i] ?? 0) << 24) | ((from[i + 1] ?? 0) << 16) | ((from[i + 2] ?? 0) << 8) | (from[i + 3] ?? 0);
    high = mix(high ^ word);
    low = mix(Math.imul(low, 0x01000193) ^ high ^ (word >>> 7));
  }
  writeShort(high, low, into, offset);
}
