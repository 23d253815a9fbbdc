/**
 * The sealed history: what a page's monitors came to, kept so that no part of it can be changed later without being noticed.
 *
 * Invariants:
 *  1. A record is a text in one form only (RFC 8785), and its leaf is SHA-256 of 0x00 and that text; an inner node is SHA-256 of 0x01 and
 *     its two children; a seal's hash is SHA-256 of 0x02 and its text. None of them can pass for another.
 *  2. The tree over a seal's records is the one of RFC 9162, 2.1.1, its leaves in the order of `inOrder`, which their texts alone decide.
 *  3. Each life of a replica (its origin) has a chain of its own, which only it extends: seals are numbered from 1, and each names the
 *     hash of the one before. So nobody leads, and no two regions ever extend one chain.
 *  4. A replica seals what it wrote itself: opinions and verdicts as they stand in its changes, days as its own results add up.
 *  5. A seal never changes. What turns up after its hour was sealed comes into a later seal, which counts it as late.
 */
import { createHash } from "node:crypto";
import canonicalize from "canonicalize";
import { MerkleTree } from "merkletreejs";
import type { Json } from "../../core/change.js";

export const RECORD_KINDS = ["opinion", "verdict", "day"] as const;
export type RecordKind = (typeof RECORD_KINDS)[number];

export interface SealedRecord {
  readonly kind: RecordKind;
  readonly page: string;
  readonly monitor: string;
  readonly region: string;
  readonly replica: string;
  /** What it is asked for by: HLC of the change, or the day (`2026-01-31`, UTC). */
  readonly id: string;
  /** When it was written, or the day ended: RFC 3339. */
  readonly at: string;
  /** An opinion or a verdict as it was written; of a day its rounds by state, and latencies. */
  readonly value: Json;
}

export interface Seal {
  readonly version: 1;
  readonly page: string;
  readonly replica: string;
  readonly region: string;
  /** `<replica>.<incarnation>`: the life of the replica that extends this chain. */
  readonly origin: string;
  /** 1 for the first of its chain. */
  readonly number: number;
  /** Hash of the seal before it; of the first one: of the latest seal that was known of the replica's lives before. Null: there was none. */
  readonly previous: string | null;
  /** What the seal before it went up to, RFC 3339; null for the first. */
  readonly from: string | null;
  /** All of its records are from before this, RFC 3339. */
  readonly until: string;
  readonly records: number;
  /** How many of them are from before `from`. */
  readonly late: number;
  /** Root of the tree over its records. */
  readonly root: string;
}

const LEAF = Buffer.from([0]);
const NODE = Buffer.from([1]);
const SEAL = Buffer.from([2]);

function sha256(...parts: readonly Uint8Array[]): Buffer {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest();
}

/** The one text of a JSON value. Source: RFC 8785. */
export function canonicalText(value: object): string {
  const text = canonicalize(value);
  if (text === undefined) throw new Error("a value without a JSON text cannot be sealed");
  return text;
}

/** Texts of records in the order in which they are sealed: by time, then by their bytes. */
export function inOrder(records: readonly SealedRecord[]): string[] {
  const texts = records.map((record) => ({ at: record.at, text: canonicalText({ ...record }) }));
  return texts.sort((a, b) => (a.at < b.at ? -1 : a.at > b.at ? 1 : Buffer.compare(Buffer.from(a.text), Buffer.from(b.text)))).map(({ text }) => text);
}

export function leafHash(text: string): Buffer {
  return sha256(LEAF, Buffer.from(text));
}

export function nodeHash(left: Uint8Array, right: Uint8Array): Buffer {
  return sha256(NODE, left, right);
}

/** In hex. */
export function sealHash(seal: Seal): string {
  return sha256(SEAL, Buffer.from(canonicalText({ ...seal }))).toString("hex");
}

function treeOf(texts: readonly string[]): MerkleTree {
  // An odd node is carried up as it is, which makes the tree of RFC 9162; the prefix of inner nodes comes with their children.
  return new MerkleTree(texts.map(leafHash), (bytes: Buffer) => sha256(bytes), { concatenator: (children: readonly Buffer[]) => Buffer.concat([NODE, ...children]) });
}

/** Root over the texts of at least one record, in hex. */
export function rootOf(texts: readonly string[]): string {
  return treeOf(texts).getRoot().toString("hex");
}

/** The hashes that lead from a record to the root, in hex, the lowest first. */
export function pathOf(texts: readonly string[], index: number): string[] {
  const leaf = leafHash(texts[index] ?? "");
  return treeOf(texts).getProof(leaf, index).map(({ data }) => data.toString("hex"));
}
