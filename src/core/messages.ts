/**
 * What replicas say to each other on a link. The shapes are those that ts-proto generates from `proto/` (oneof as
 * `{ $case, value }`, camelCase, uint64 as number, bytes as Uint8Array), so that `io` needs no mapping by hand; the
 * compiler checks that they are equal.
 */
import type { AntiEntropy } from "./anti-entropy-messages.js";
import type { Quorum } from "./quorum-messages.js";
import type { Vector } from "./vector.js";

/** The first message in each direction of a link. */
export interface Hello {
  clusterId: string;
  protocolVersion: number;
  replica: string;
  region: string;
  role: string;
  /** Hash over the configured (replica, region, voter) triples: unequal sets refuse each other. */
  membership: string;
  incarnation: number;
  /** The origin of this incarnation's own log. */
  origin: string;
  status: Status | undefined;
  /** The pages that the sender keeps, with all that belongs to no page; empty: everything. */
  pages: string[];
  /** The sender answers `RecordsRequest`. Who does not know that message would end the link over it. */
  records: boolean;
}

/** What a replica says of itself in handshakes and heartbeats. */
export interface Status {
  vector: Record<string, number>;
  /** For each origin the highest number that is trimmed from the log: what lies at or below it is served by anti-entropy. */
  floor: Record<string, number>;
  /** The latest incarnation known of each member. */
  incarnations: Record<string, number>;
  /** Counts every durable vote and log entry of this incarnation: a peer that saw more than we have puts us in doubt. */
  position: number;
  voting: boolean;
  /** Started on an empty disk and has never known of anything: nothing held, no incarnation of a peer. */
  virgin: boolean;
  hlc: string;
  merkleRoot: Uint8Array;
  /** Degradation level, 0 to 5. */
  level: number;
}

/** One log entry. `body` is a change (`change.ts`); its identity is SHA-256 of these bytes. */
export interface Entry {
  origin: string;
  seq: number;
  body: Uint8Array;
  /** The first 16 bytes of SHA-256 of `body`. */
  checksum: Uint8Array;
}

export interface Entries {
  entries: Entry[];
}

/** What the receiver holds durably, and how many bytes of entries of this link it has persisted or dropped in all. */
export interface Ack {
  vector: Record<string, number>;
  consumedBytes: number;
}

export interface Heartbeat {
  status: Status | undefined;
  /** The sender's monotonic clock, ms; comes back in `echo` for the round-trip time. */
  sentAt: number;
  /** `sentAt` of the last heartbeat received, 0 if none, and how long ago it came. */
  echo: number;
  echoDelay: number;
  /** The sender's wall clock, ms. */
  wall: number;
  /** Origins whose entries the sender wants relayed, since it has no link to their replica. */
  relay: string[];
}

/** Asks the receiver to send again everything beyond `vector`. */
export interface Want {
  vector: Record<string, number>;
}

/** LOCAL_QUORUM reads: asks a replica of the same region what it holds durably. */
export interface VectorRequest {
  request: number;
}

export interface VectorAnswer {
  request: number;
  vector: Record<string, number>;
}

/** Asks for the kept first answers to requests with an Idempotency-Key, in the order of their keys, from just beyond `after`. */
export interface AnswersRequest {
  request: number;
  after: string;
}

/** Kept answers: the lists run along each other. */
export interface Answers {
  request: number;
  scopes: string[];
  hlcs: string[];
  /** `IdempotencyRecord`s as JSON. */
  records: string[];
  /** `after` of the next request; empty at the end. */
  next: string;
}

/** Asks for numbered records beyond those that the sender holds. */
export interface RecordsRequest {
  request: number;
  /** By origin the highest number that the sender holds without a gap. */
  after: Record<string, number>;
  /** The sender also lacks what follows from records that are gone. */
  older: OlderRequest | undefined;
}

/** Asks for what follows from records that are gone, from just beyond a position of the receiver's. */
export interface OlderRequest {
  after: string;
}

/** Records of each origin in order, without gaps, from just beyond what was asked for, or beyond the floor where that is higher. */
export interface Records {
  request: number;
  records: NumberedRecord[];
  /** Of origins of which the sender holds no longer all that was asked for: the highest number that is gone. */
  floor: Record<string, number>;
  /** The sender holds more than these. */
  more: boolean;
  /** Where that was asked for, and there was room. */
  older: Older | undefined;
}

/** What follows from records that are gone. */
export interface Older {
  records: NamedRecord[];
  /** `after` of the next request; empty at the end. */
  next: string;
  /** The sender lacks nothing itself, as far as it knows. */
  whole: boolean;
}

export interface NamedRecord {
  origin: string;
  name: string;
  body: Uint8Array;
}

/** A record that is never changed; the numbers of an origin have no gaps. */
export interface NumberedRecord {
  origin: string;
  number: number;
  body: Uint8Array;
}

export type Message =
  | { $case: "entries"; value: Entries }
  | { $case: "ack"; value: Ack }
  | { $case: "heartbeat"; value: Heartbeat }
  | { $case: "want"; value: Want }
  | { $case: "vectorRequest"; value: VectorRequest }
  | { $case: "vectorAnswer"; value: VectorAnswer }
  | { $case: "quorum"; value: Quorum }
  | { $case: "antiEntropy"; value: AntiEntropy }
  | { $case: "answersRequest"; value: AnswersRequest }
  | { $case: "answers"; value: Answers }
  | { $case: "recordsRequest"; value: RecordsRequest }
  | { $case: "records"; value: Records };

export type { Vector };
