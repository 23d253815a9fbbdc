/**
 * The messages of anti-entropy (`anti-entropy.ts`). Same shapes as generated from `proto/anti_entropy.proto`.
 *
 * Vectors travel as two parallel lists: an index into the message's own table of origins, and the position there.
 * Digests and hashes are cut to `SHORT_BYTES` and salted with the session's number (`merkle.ts`).
 */

/** Opens a session: the initiator's root, and a hash of its replica vector. */
export interface Start {
  /** `TREE_FORMAT` of the sender. */
  format: number;
  root: Uint8Array;
  vectorHash: Uint8Array;
  /** Documents in the sender's tree. */
  documents: number;
}

/** The responder's tree and vector at one and the same moment. `root` and `digests` are empty if the roots are equal. */
export interface Started {
  format: number;
  equal: boolean;
  root: Uint8Array;
  documents: number;
  /** Short digests of every node at `ENTRY_DEPTH`. */
  digests: Uint8Array;
  /** The responder's vector hashes to `vectorHash`; then `vector` is empty. */
  sameVector: boolean;
  vector: Record<string, number>;
}

/** The initiator's short digests of all nodes at `depth` below `parents` (nodes at `parentDepth`), in order. */
export interface Digests {
  parentDepth: number;
  depth: number;
  parents: number[];
  digests: Uint8Array;
  /** Answer with the documents of the nodes that differ (`Listing`), not with their numbers (`Differing`). */
  list: boolean;
}

/** Nodes at `depth` that differ. */
export interface Differing {
  depth: number;
  nodes: number[];
}

/** The documents that the responder holds below each differing node; `counts` runs along `nodes`. */
export interface Listing {
  depth: number;
  nodes: number[];
  counts: number[];
  /** For each document: short hash of its key, short digest of its leaf. */
  entries: Uint8Array;
  /** Nodes were left out because the list was full. */
  more: boolean;
}

export interface DocumentVector {
  document: string;
  /** Indices into the message's table. */
  origins: number[];
  positions: number[];
}

/** What the initiator holds of the documents that differ, and which documents it does not know at all. */
export interface Vectors {
  origins: string[];
  documents: DocumentVector[];
  /** Short digests of the leaves of `documents`, in the same order; zero for a document that is not held. */
  leaves: Uint8Array;
  /** Documents that only the responder listed: node at `depth` and short hash of the key, in the same order. */
  depth: number;
  nodes: number[];
  hashes: Uint8Array;
}

export interface WantedDocument {
  /** Index into `Vectors.documents`. */
  index: number;
  origins: number[];
  positions: number[];
}

/** The responder lacks changes of these documents; it holds what the vectors say. */
export interface Wanted {
  origins: string[];
  documents: WantedDocument[];
}

export interface DocumentChange {
  /** Index into the message's table. */
  origin: number;
  seq: number;
  /** An encoded `Change`. */
  body: Uint8Array;
}

export interface DocumentChanges {
  document: string;
  changes: DocumentChange[];
}

/** A piece of what one side gives the other. Chunks are numbered from 1 in each direction. */
export interface Changes {
  chunk: number;
  last: boolean;
  origins: string[];
  documents: DocumentChanges[];
}

/** Everything up to this chunk is stored durably. */
export interface Progress {
  chunk: number;
}

/** The responder has given and stored everything of this session. */
export interface Done {
  root: Uint8Array;
  /** Indices into `Vectors.documents` of the documents to which something was added. */
  repaired: number[];
  /** Indices into `Vectors.documents` of documents with equal vectors and unequal leaves. */
  diverged: number[];
  /** Documents that could not be stored or read. */
  failed: number;
  /** Chunks that the responder gave in all. */
  chunks: number;
  /** The responder hit a bound and left something out. */
  more: boolean;
}

/** The sender gave the session up. */
export interface Ended {
  reason: string;
}

export type AntiEntropyBody =
  | { $case: "start"; value: Start }
  | { $case: "started"; value: Started }
  | { $case: "digests"; value: Digests }
  | { $case: "differing"; value: Differing }
  | { $case: "listing"; value: Listing }
  | { $case: "vectors"; value: Vectors }
  | { $case: "wanted"; value: Wanted }
  | { $case: "changes"; value: Changes }
  | { $case: "progress"; value: Progress }
  | { $case: "done"; value: Done }
  | { $case: "ended"; value: Ended };

/** A session is named by its initiator and a number that the initiator drew at random (32 bits, not 0). */
export interface AntiEntropy {
  session: number;
  /** The sender of this message is the session's initiator. */
  fromInitiator: boolean;
  /** In the initiator's messages: the pages that it keeps. The session is about them and about what belongs to no page; empty: about everything. */
  pages: string[];
  body: AntiEntropyBody | undefined;
}
