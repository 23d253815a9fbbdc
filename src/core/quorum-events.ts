/** What goes into the quorum engine and what comes out of it; see `quorum.ts` for the protocol. */
import type { Candidate, Quorum } from "./quorum-messages.js";
import type { Limits } from "./limits.js";
import type { Vector } from "./vector.js";

/**
 * What the engine may ask, synchronously, of the replica that it lives in. Everything counts what is staged already: effects
 * of a step may leave the process only after all that was staged before is durable.
 */
export interface QuorumHost {
  /** The last decided version held of a document; 0 if none. */
  version(document: string): number;
  /** The document's vector held, its chain included; empty if the document is unknown. Not kept: copied where needed. */
  vector(document: string): Vector;
  /** Current entity tag without quotes; "" if the document does not exist (or was deleted). */
  etag(document: string): string;
  /** True if a decided change that is held carries this operation id. */
  hasOperation(document: string, operation: string): boolean;
  /** The whole replica's vector. */
  replicaVector(): Vector;
  /** {origin: seq} of the latest decided entry of each origin on documents of a scope (`<partition>/<type>`) held here. */
  scopeDecided(scope: string): Vector;
  /** Estimated round trip to a voter, ms. */
  roundTripMs(replica: string): number;
}

/** The durable part of the version that is open at a document. */
export interface Slot {
  readonly version: number;
  /** The highest ballot promised; 0 if none. */
  readonly promised: number;
  readonly vote: { readonly ballot: number; readonly candidate: Candidate } | null;
}

/** The durable part of the engine beside the slots. */
export interface QuorumState {
  /** False until the replica may vote in its present incarnation. */
  readonly voting: boolean;
  /** Began on an empty disk and never knew an earlier incarnation of anybody. */
  readonly virgin: boolean;
  /** The latest incarnation known of each voter, the own one included. */
  readonly incarnations: Readonly<Record<string, number>>;
  /** The incarnations known to vote after a rejoin: what earlier ones of theirs may have decided is settled. */
  readonly rejoined: Readonly<Record<string, number>>;
  /** The incarnations that were virgin with us when we began to vote by the bootstrap rule; empty otherwise. */
  readonly founders: Readonly<Record<string, number>>;
}

export interface QuorumOptions {
  readonly replica: string;
  /** The named voters, one a region, the same everywhere (any order). `replica` need not be one; then the engine only refuses. */
  readonly voters: readonly string[];
  /** A later incarnation of a replica has a greater number. */
  readonly incarnation: number;
  /** Different at every start of the process; letters and digits. */
  readonly instance: string;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  readonly limits: Pick<Limits, "majorityLostMs" | "quorumOperationsMax" | "quorumMessagesHeld" | "quorumTimeoutMs" | "quorumTimeoutMaxMs">;
  /** What was saved last; `freshState()` where the disk is empty or in doubt. */
  readonly state: QuorumState;
  readonly slots: Iterable<readonly [document: string, slot: Slot]>;
  /** The greatest of the `save` effects that became durable; 0 in a new incarnation. */
  readonly position: number;
  /** Emit `handover` effects for writes that lose (the host can forward operations); the same at all members. Default false. */
  readonly handover?: boolean;
  /** Planted faults, for tests of the tests only. */
  readonly bugs?: QuorumBugs;
}

export interface QuorumBugs {
  readonly fastVotesAfterPromise?: boolean;
  readonly readsIgnoreVotes?: boolean;
  readonly votesAfterEmptiedDisk?: boolean;
  readonly adoptsUncovered?: boolean;
  readonly forgetsShown?: boolean;
}

export type QuorumEvent =
  /**
   * `operation`: an id never used before for another operation. `deadline`: ms on the clock of `step`'s `now`.
   * `ifMatch`: tags without quotes, `*` for any that exists. `forwarded`: came here by a handover.
   */
  | { readonly kind: "write"; readonly operation: string; readonly document: string; readonly ifMatch?: readonly string[]; readonly deadline: number; readonly forwarded?: boolean }
  | { readonly kind: "read"; readonly operation: string; readonly document: string; readonly deadline: number }
  /** `scope`: `<partition>/<type>`. */
  | { readonly kind: "list"; readonly operation: string; readonly scope: string; readonly deadline: number }
  /**
   * The answer to a `build` effect. `candidate.operations`: those whose effect is in the change, in the order asked for; null
   * if nothing could be built. `refused`: those that cannot be carried out on the present state (404, 409, 422 …); the engine
   * makes sure by a read that the state is not stale, has them built again, and only then reports `done` "refused".
   * What is in neither list stays waiting for the next candidate.
   */
  | { readonly kind: "built"; readonly build: number; readonly candidate: BuiltCandidate | null; readonly refused: readonly string[] }
  | { readonly kind: "message"; readonly from: string; readonly message: Quorum }
  /** What is held of these documents moved on (also: the replica's vector, then the list may be empty). */
  | { readonly kind: "advanced"; readonly documents: readonly string[] }
  /** A link came up or went down. Every peer is down at the start. */
  | { readonly kind: "peer"; readonly replica: string; readonly up: boolean }
  | { readonly kind: "tick" }
  /** The caller went away. A write that was proposed may still be decided; nothing is reported any more. */
  | { readonly kind: "cancel"; readonly operation: string };

export interface BuiltCandidate {
  /** The encoded change, with `version` and `operationIds` as asked for and `context` = `base`. */
  readonly change: Uint8Array;
  /** The document's vector that the change was built on. */
  readonly base: Vector;
  readonly operations: readonly string[];
}

export type WriteOutcome = "decided" | "precondition" | "refused";

/**
 * Effects are carried out in order. `build`, `append`, `captured` act at once, within the turn of the step; `save` and
 * `saveReplica` are staged at once; `send`, `done`, `failed`, `handover` leave only when all that was staged before them is durable.
 */
export type Effect =
  | { readonly kind: "send"; readonly to: string; readonly message: Quorum }
  /**
   * `slot` null: nothing is open any more. `position` goes into the same batch; keep the greatest, since a `build` or `append`
   * that is carried out within the turn brings later effects before the rest of these.
   */
  | { readonly kind: "save"; readonly document: string; readonly slot: Slot | null; readonly position: number }
  | { readonly kind: "saveReplica"; readonly state: QuorumState }
  /**
   * Build ONE change on the document's present state that carries out these waiting operations in this order, and call `step`
   * with `built`, soon. At most one of them has an If-Match; it comes first and the engine has compared its tags.
   * No operations: a change that changes nothing (it closes the version).
   */
  | { readonly kind: "build"; readonly build: number; readonly document: string; readonly version: number; readonly operations: readonly string[] }
  /** Decided here: log it and apply it before anything else, then call `step` with `advanced`. */
  | { readonly kind: "append"; readonly candidate: Candidate }
  /** Keep the view of this read or list as it is NOW; a later one replaces it. */
  | { readonly kind: "captured"; readonly operation: string }
  /** Writes: "decided" (the chain holds it), "precondition", "refused". Reads and lists: answer with the view captured last. */
  | { readonly kind: "done"; readonly operation: string; readonly outcome: WriteOutcome | "read" | "listed" }
  /** "rejected": nothing was and nothing will be written. "unknown": it may yet be decided. "unavailable": reads and lists. */
  | { readonly kind: "failed"; readonly operation: string; readonly outcome: "rejected" | "unknown" | "unavailable"; readonly cause: FailureCause }
  /**
   * This write loses to `to`: run it there under the same id (`forwarded`) and answer what comes of it. It may be handed on from
   * there. The engine forgets it here. Where `to` cannot be asked, the outcome is unknown.
   */
  | { readonly kind: "handover"; readonly operation: string; readonly to: string }
  /** The replica may vote now (again). */
  | { readonly kind: "voting" }
  /** A peer knows more of us than our disk: stop, and start with a new incarnation and origin. The engine votes no more. */
  | { readonly kind: "doubt"; readonly reason: string };

export type FailureCause = "deadline" | "no-majority" | "overloaded" | "not-a-voter" | "doubt";

/** The state of a replica whose disk is empty (`virgin`), or which lost or doubts what it knew. */
export function freshState(replica: string, incarnation: number, virgin: boolean): QuorumState {
  return { voting: false, virgin, incarnations: { [replica]: incarnation }, rejoined: {}, founders: {} };
}
