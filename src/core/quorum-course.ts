/** What the proposer's side keeps of a document while somebody waits for it; see `quorum-chain.ts`. */
import type { Acknowledgement, Vote } from "./quorum-ballots.js";
import type { Candidate, Promised, QuorumBody } from "./quorum-messages.js";
import type { Vector } from "./vector.js";

export interface WaitingWrite {
  readonly operation: string;
  readonly document: string;
  readonly ifMatch: readonly string[] | undefined;
  readonly deadline: number;
  readonly forwarded: boolean;
  /** Versions that it was proposed for and another candidate won. */
  losses: number;
  /** A majority said, after the write came, that the state held here is not older than it. */
  fresh: boolean;
  /** Waits for a read that makes it fresh. */
  reading: boolean;
  /** The version of the last candidate that it was proposed in; 0 if none. */
  proposed: number;
  /** The version that must be closed before it may be refused, as its plan would have it; 0 if none. */
  refusedAfter: number;
}

interface PromiseOf extends Acknowledgement {
  readonly vote: Vote | null;
  readonly shown: Vector;
}

export interface Building {
  readonly phase: "building";
  readonly id: string;
  readonly version: number;
  readonly build: number;
  readonly ballot: number;
  /** What the candidate's base must cover. */
  readonly shown: Vector;
}
export interface Fast {
  readonly phase: "fast";
  readonly id: string;
  readonly version: number;
  readonly candidate: Candidate;
  readonly acknowledgements: Map<string, Acknowledgement>;
  readonly refusers: Set<string>;
  /** Members that voted for another and go before us. */
  readonly ahead: Set<string>;
  conflict: boolean;
}
export interface Preparing {
  readonly phase: "prepare";
  readonly id: string;
  readonly version: number;
  readonly ballot: number;
  readonly acknowledgements: Map<string, PromiseOf>;
  /** Operations that waited when it began: to them, what it finds is fresh. */
  readonly asked: ReadonlySet<string>;
}
export interface Accepting {
  readonly phase: "accept";
  readonly id: string;
  readonly version: number;
  readonly ballot: number;
  readonly candidate: Candidate;
  readonly acknowledgements: Map<string, Acknowledgement>;
}
export type Attempt = Building | Fast | Preparing | Accepting;

export interface Course {
  readonly document: string;
  readonly writes: Map<string, WaitingWrite>;
  /** Reads and lists → the version that they wait for. */
  readonly wanted: Map<string, number>;
  attempt: Attempt | undefined;
  wakeAt: number | undefined;
  /** The highest ballot heard of at the open version. */
  highest: number;
  /** Attempts at the open version so far, for backing off. */
  tries: number;
  /** The proposer that a voter preferred to us last. */
  contender: string | undefined;
  /** Settled from others' votes only, because our own are lost. */
  rejoining: boolean;
}

/** What asks the other members for the attempt's sake. */
export function request(document: string, attempt: Exclude<Attempt, Building>): QuorumBody {
  switch (attempt.phase) {
    case "fast": return { $case: "propose", value: { candidate: attempt.candidate } };
    case "prepare": return { $case: "prepare", value: { document, version: attempt.version, ballot: attempt.ballot } };
    case "accept": return { $case: "accept", value: { ballot: attempt.ballot, candidate: attempt.candidate } };
  }
}

/** The vote that a promise reports. */
export function voteOf({ vote }: Promised): Vote | null {
  return vote?.candidate === undefined ? null : { ballot: vote.ballot, candidate: vote.candidate };
}

/** True if a condition holds for the current tag; no condition holds for what does not exist. */
export function matches(tags: readonly string[], etag: string): boolean {
  return etag !== "" && tags.some((tag) => tag === "*" || tag === etag);
}
