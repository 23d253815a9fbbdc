/**
 * Comparing trees level by level: which nodes to ask about next, which documents a node holds, and what differs.
 *
 * Every message of a comparison can be answered from the tree alone, so a responder keeps no state for it.
 */

import type { Digests, Listing } from "./anti-entropy-messages.js";
import { Malformed } from "./anti-entropy-transfer.js";
import { LEAF_DEPTH, type MerkleTree, nodesAt, SHORT_BYTES, shortKey } from "./merkle.js";

/** The depth whose nodes are compared first: 256 of them. */
export const ENTRY_DEPTH = 2;
/** So many differing nodes are worth going down two levels at once: a round trip less, 1.5 KB more for each. */
const LEAP_NODES_MAX = 4;
/** Documents that a listed node should hold on average: fewer make more nodes, more make longer lists. */
const LISTED_PER_NODE = 8;

/** The depth at which documents are listed, for trees of this size. */
export function listingDepth(documents: number): number {
  let depth = ENTRY_DEPTH;
  while (depth < LEAF_DEPTH && documents > nodesAt(depth) * LISTED_PER_NODE) depth++;
  return depth;
}

/** The question that follows from `nodes` differing at `depth`. */
export function nextDigests(tree: MerkleTree, salt: number, depth: number, nodes: readonly number[], listAt: number): Digests {
  const leap = nodes.length <= LEAP_NODES_MAX && listAt > depth;
  const next = leap ? listAt : Math.min(depth + 1, listAt);
  return {
    parentDepth: depth,
    depth: next,
    parents: [...nodes],
    digests: tree.shortDigests(depth, nodes, next, salt),
    list: next === listAt,
  };
}

/** Nodes at `depth`, below `parents`, whose digests are not ours. The caller has checked the length of `digests`. */
export function differingNodes(
  tree: MerkleTree,
  salt: number,
  parentDepth: number,
  parents: readonly number[],
  depth: number,
  digests: Uint8Array,
): number[] {
  const own = tree.shortDigests(parentDepth, parents, depth, salt);
  const span = nodesAt(depth - parentDepth);
  const differing: number[] = [];
  for (let i = 0; i < parents.length * span; i++) {
    if (readShort(own, i * SHORT_BYTES) !== readShort(digests, i * SHORT_BYTES))
      differing.push((parents[Math.floor(i / span)] ?? 0) * span + (i % span));
  }
  return differing;
}

/** Nodes differing in a question from outside, or what is wrong with it. */
export function answerDigests(tree: MerkleTree, salt: number, asked: Digests): number[] | Malformed {
  const { parentDepth, depth, parents, digests } = asked;
  if (!isDepth(parentDepth) || !isDepth(depth) || depth < parentDepth || depth < ENTRY_DEPTH)
    return new Malformed("asks about depths that are none");
  if (!areNodes(parents, parentDepth)) return new Malformed("asks about nodes that are none");
  if (digests.length !== parents.length * nodesAt(depth - parentDepth) * SHORT_BYTES)
    return new Malformed("sends the wrong number of digests");
  return differingNodes(tree, salt, parentDepth, parents, depth, digests);
}

/** The documents below `nodes`, as far as they fit. */
export function listDocuments(tree: MerkleTree, salt: number, depth: number, nodes: readonly number[], listedMax: number): Listing {
  const listed: string[][] = [];
  let count = 0;
  for (const node of nodes) {
    const keys = tree.keysBelow(depth, node);
    if (count + keys.length > listedMax) break;
    count += keys.length;
    listed.push(keys);
  }
  const entries = new Uint8Array(count * 2 * SHORT_BYTES);
  let offset = 0;
  for (const key of listed.flat()) {
    shortKey(key, salt, entries, offset);
    tree.shortLeaf(key, salt, entries, offset + SHORT_BYTES);
    offset += 2 * SHORT_BYTES;
  }
  return {
    depth,
    nodes: nodes.slice(0, listed.length),
    counts: listed.map((keys) => keys.length),
    entries,
    more: listed.length < nodes.length,
  };
}

/** A document in which the sides differ: one that we hold, or one that only the peer knows, by node and short hash. */
export type DifferingDocument = { readonly key: string } | { readonly node: number; readonly hash: number };

export interface Comparison {
  readonly differing: readonly DifferingDocument[];
  /** Documents that one side or both hold below the listed nodes. */
  readonly compared: number;
}

/** Compares the peer's listing with what we hold. `asked`: whether a node was asked about. */
export function compareListing(tree: MerkleTree, salt: number, listing: Listing, asked: (node: number) => boolean): Comparison | Malformed {
  const { depth, nodes, counts, entries } = listing;
  if (!areNodes(nodes, depth) || !nodes.every(asked) || counts.length !== nodes.length)
    return new Malformed("lists nodes that were not asked for");
  if (!counts.every((count) => Number.isInteger(count) && count >= 0)) return new Malformed("lists no number of documents");
  if (counts.reduce((sum, count) => sum + count, 0) * 2 * SHORT_BYTES !== entries.length)
    return new Malformed("lists the wrong number of documents");
  const differing: DifferingDocument[] = [];
  let compared = 0;
  let offset = 0;
  const leaf = new Uint8Array(SHORT_BYTES);
  for (const [place, node] of nodes.entries()) {
    const own = keysByHash(tree, salt, depth, node);
    for (let i = 0; i < (counts[place] ?? 0); i++, offset += 2 * SHORT_BYTES) {
      const hash = readShort(entries, offset);
      const key = own.get(hash);
      compared++;
      if (key === undefined) differing.push({ node, hash });
      else {
        own.delete(hash);
        tree.shortLeaf(key, salt, leaf, 0);
        if (readShort(leaf, 0) !== readShort(entries, offset + SHORT_BYTES)) differing.push({ key });
      }
    }
    compared += own.size;
    for (const key of own.values()) differing.push({ key });
  }
  return { differing, compared };
}

/** The documents below a node by the short hash of their key. Two with one hash: one is left to another session's salt. */
export function keysByHash(tree: MerkleTree, salt: number, depth: number, node: number): Map<number, string> {
  const keys = new Map<number, string>();
  const hash = new Uint8Array(SHORT_BYTES);
  for (const key of tree.keysBelow(depth, node)) {
    shortKey(key, salt, hash, 0);
    keys.set(readShort(hash, 0), key);
  }
  return keys;
}

/** At most `max` of a list, from a place that `salt` names: what one round leaves out, another takes. In order. */
export function window<T>(list: readonly T[], max: number, salt: number): T[] {
  if (list.length <= max) return [...list];
  const start = salt % list.length;
  const end = start + max;
  return end <= list.length ? list.slice(start, end) : [...list.slice(0, end - list.length), ...list.slice(start)];
}

/** Distinct nodes of a depth, ascending. */
export function areNodes(nodes: readonly number[], depth: number): boolean {
  if (!isDepth(depth)) return false;
  const end = nodesAt(depth);
  return nodes.every((node, i) => Number.isInteger(node) && node >= 0 && node < end && (i === 0 || node > (nodes[i - 1] ?? end)));
}

export function isDepth(depth: number): boolean {
  return Number.isInteger(depth) && depth >= 0 && depth <= LEAF_DEPTH;
}

/** A short digest as a number below 2^48. */
export function readShort(from: Uint8Array, offset: number): number {
  let value = 0;
  for (let i = 0; i < SHORT_BYTES; i++) value = value * 256 + (from[offset + i] ?? 0);
  return value;
}

export function writeShort(value: number, into: Uint8Array, offset: number): void {
  let rest = value;
  for (let i = SHORT_BYTES - 1; i >= 0; i--) {
    into[offset + i] = rest % 256;
    rest = Math.floor(rest / 256);
  }
}
