/** What goes into and comes out of the anti-entropy engine (`anti-entropy.ts`). */
import type { AntiEntropy } from "./anti-entropy-messages.js";
import type { MerkleTree } from "./merkle.js";
import type { Vector } from "./vector.js";

/** Names a session on this replica; opaque to the host, which hands it back in `loaded` and `stored`. */
export type SessionId = string;

/** A change of a document with its dot: what `store` writes and `load` reads. */
export interface DottedChange {
  readonly origin: string;
  readonly seq: number;
  /** An encoded `Change`. From a peer: unverified, the host decodes and checks it. */
  readonly body: Uint8Array;
}

/** What the engine looks at while it steps. All calls are synchronous, from memory, and agree with each other. */
export interface AntiEntropySight {
  readonly tree: MerkleTree;
  /** The replica's vector: what it holds durably. */
  replicaVector(): Vector;
  /** The vector of a document, tombstones included; undefined if nothing of it is held. */
  documentVector(key: string): Vector | undefined;
  /** 16 bytes that stand for a text (such as the first of its SHA-256). */
  hash(text: string): Uint8Array;
}

/** Bounds of a round. Defaults: `ANTI_ENTROPY_BOUNDS`. */
export interface AntiEntropyBounds {
  /** Documents that one round repairs. */
  readonly documentsMax: number;
  /** Documents in one listing. */
  readonly listedMax: number;
  /** A chunk is closed at this size; a single larger change travels alone. */
  readonly chunkBytes: number;
  /** Chunks that are under way and not yet acknowledged. */
  readonly chunksInFlight: number;
  /** `load` effects that wait for an answer. */
  readonly loadsInFlight: number;
  /** Bytes of changes that one side gives in one round; what is under way is finished. */
  readonly roundBytes: number;
  /** Silence of the peer that ends a session, ms. */
  readonly silenceMs: number;
  /** Time without an answer from the host that ends a session, ms. */
  readonly hostMs: number;
  readonly originsMax: number;
  readonly changeBytesMax: number;
}

export type AntiEntropyEvent =
  /** Starts a session with a peer. `number`: random, 1 to 2^32-1, the session's number and salt. */
  | { readonly kind: "begin"; readonly peer: string; readonly number: number }
  | { readonly kind: "received"; readonly from: string; readonly message: AntiEntropy }
  | { readonly kind: "disconnected"; readonly peer: string }
  /**
   * Answers `load`. Changes stand in an order in which each follows all that it depends on (by HLC, say). `failed`: the
   * document could not be read, or not completely.
   */
  | {
      readonly kind: "loaded";
      readonly session: SessionId;
      readonly document: string;
      readonly changes: readonly DottedChange[];
      readonly failed?: boolean;
    }
  /**
   * Answers `store`, once it is durable and the tree shows it. `applied`: changes that were new; `failed`: changes that
   * were refused (poison, or without what they depend on).
   */
  | { readonly kind: "stored"; readonly session: SessionId; readonly document: string; readonly applied: number; readonly failed?: number }
  /** Looks at the timeouts; about once a second. */
  | { readonly kind: "tick" };

export type AntiEntropyEffect =
  /** A message that the link refuses may be dropped: the session then times out. */
  | { readonly kind: "send"; readonly to: string; readonly message: AntiEntropy }
  /** Read all changes of a document that `beyond` does not cover (origin `~` for decided ones). Answer: `loaded`. */
  | { readonly kind: "load"; readonly session: SessionId; readonly document: string; readonly beyond: Vector }
  /** Apply changes of a document in this order, skipping those already held. Answer: `stored`; until then no other of this session and document. */
  | { readonly kind: "store"; readonly session: SessionId; readonly document: string; readonly changes: readonly DottedChange[] }
  /** A session that this replica initiated is over. */
  | { readonly kind: "finished"; readonly report: AntiEntropyReport };

export type AntiEntropyOutcome = "done" | "refused" | "timeout" | "disconnected" | "malformed" | "message-lost" | "ended-by-peer";

export interface AntiEntropyReport {
  readonly peer: string;
  readonly outcome: AntiEntropyOutcome;
  /** Documents that one side or both hold below the nodes that differed, and whose digests were therefore compared; 0 if the roots were equal. */
  readonly documentsCompared: number;
  /** Documents to which this replica or the peer added something. */
  readonly documentsRepaired: number;
  /** Bytes of this session's messages in both directions, as protobuf encodes them. */
  readonly bytes: number;
  /** How often the initiator waited for an answer before it could go on. Acknowledgements within a running transfer do not count. */
  readonly roundTrips: number;
  /** The roots were equal at the end. False after a complete round means that someone wrote meanwhile. */
  readonly equal: boolean;
  /** A bound of the round was hit; the next one goes on. */
  readonly more: boolean;
  /**
   * Everything that the peer held when the session started is now held here too: done, no bound hit, nothing failed or
   * diverged. Only then may `peerVectorAtStart` be adopted.
   */
  readonly complete: boolean;
  /** The peer's replica vector at the moment when it compared its tree; undefined if it never answered. */
  readonly peerVectorAtStart: Vector | undefined;
  /** Documents that could not be read, stored or transferred, on either side. */
  readonly failed: number;
  /** Some of the documents (at most 16) with equal vectors and unequal digests: one side is damaged. */
  readonly diverged: readonly string[];
  /** Why it did not end well. */
  readonly reason?: string;
}

export const ANTI_ENTROPY_BOUNDS: AntiEntropyBounds = {
  documentsMax: 2_000,
  listedMax: 65_536,
  chunkBytes: 256 * 1024,
  chunksInFlight: 4,
  loadsInFlight: 32,
  roundBytes: 64 * 1024 * 1024,
  silenceMs: 10_000,
  hostMs: 60_000,
  originsMax: 4_096,
  changeBytesMax: 2 * 1024 * 1024,
};
