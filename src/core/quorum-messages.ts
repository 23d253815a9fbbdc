/** The messages of GLOBAL_QUORUM (`quorum.ts`). Same shapes as generated from `proto/quorum.proto`. */

/** A proposed next version of a document. `base`: the document's vector that the change stands on. */
export interface Candidate {
  document: string;
  version: number;
  operationIds: string[];
  proposer: string;
  base: Record<string, number>;
  /** The encoded change; empty operations close a version without an effect. */
  change: Uint8Array;
  /** Of the proposer; 0 where it does not say. */
  incarnation: number;
}

export interface Ballot {
  ballot: number;
  candidate: Candidate | undefined;
}

export interface Propose { candidate: Candidate | undefined }
export interface Voted { document: string; version: number }
/** `votedFor`: proposer of the candidate that the refuser voted for, or "". */
export interface Refused { document: string; version: number; promised: number; votedFor: string; attempt: number }
export interface Prepare { document: string; version: number; ballot: number }
export interface Promised { document: string; version: number; ballot: number; vote: Ballot | undefined; shown: Record<string, number> }
export interface Accept { ballot: number; candidate: Candidate | undefined }
export interface Accepted { document: string; version: number; ballot: number }
export interface Query { document: string; attempt: number; shown: Record<string, number> }
export interface Answered { document: string; attempt: number; version: number; shown: Record<string, number> }
/** `vector`: what the asking replica holds (the replica's vector, not a document's). */
export interface ListQuery { scope: string; attempt: number; vector: Record<string, number> }
/** `open`: document → version, for each document of the scope with an open vote; `decided`: where the decisions of the scope stand in the logs. */
export interface ListAnswered { scope: string; attempt: number; open: Record<string, number>; decided: Record<string, number> }
/** Sent at every start: "what do you know of me?" `incarnation`: the sender's. `settled`: all that was open is; it votes once enough members know. */
export interface Seed { incarnation: number; settled: boolean }
export interface OpenSlot { document: string; version: number; promised: number }
/** `virgin`: as far as the answerer knows, nobody ever voted before. `seen`: the highest position of the asker's incarnation that it knows of. */
/** `seeding`: the sender's own earlier votes are void, and it waits to vote again. */
export interface Seeded { vector: Record<string, number>; voting: boolean; seeding: boolean; virgin: boolean; open: OpenSlot[]; seen: number }

export type QuorumBody =
  | { $case: "propose"; value: Propose }
  | { $case: "voted"; value: Voted }
  | { $case: "refused"; value: Refused }
  | { $case: "prepare"; value: Prepare }
  | { $case: "promised"; value: Promised }
  | { $case: "accept"; value: Accept }
  | { $case: "accepted"; value: Accepted }
  | { $case: "query"; value: Query }
  | { $case: "answered"; value: Answered }
  | { $case: "listQuery"; value: ListQuery }
  | { $case: "listAnswered"; value: ListAnswered }
  | { $case: "seed"; value: Seed }
  | { $case: "seeded"; value: Seeded };

/** Every quorum message carries the sender's incarnation, what it knows of the others', which of those vote after a rejoin, and its position. */
export interface Quorum {
  operation: string;
  incarnation: number;
  incarnations: Record<string, number>;
  rejoined: Record<string, number>;
  position: number;
  body: QuorumBody | undefined;
}
