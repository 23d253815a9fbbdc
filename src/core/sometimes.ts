/**
 * Marks of rare branches: what the simulator must have reached at least once in a swarm, since a branch that is never reached is not
 * tested by it. In production nobody listens, and a mark costs one comparison.
 */

/** Every mark of the program; one that is never reached shows up as such. */
export const SOMETIMES = [
  "quorum: a version collided and was settled by a ballot",
  "quorum: a fast candidate was carried on by another member",
  "quorum: a write lost its version to another region",
  "quorum: a write was handed over",
  "quorum: a write that was refused where it was handed over had taken effect",
  "quorum: a refusal waited for the version that its write was proposed for",
  "quorum: a read captured its view again",
  "quorum: a list captured its view again",
  "quorum: an open version was found empty",
  "quorum: a candidate waited for its base",
  "quorum: an acceptor refused a candidate that does not cover what was shown",
  "quorum: one who settled a version left a candidate that does not cover what was shown",
  "rejoin: a new incarnation settled what was open and votes",
  "rejoin: votes were founded anew",
  "rejoin: a position was lost and the replica is in doubt",
  "recovery: the folder is a copy",
  "recovery: the store had lost what it had acknowledged",
  "recovery: a new incarnation was begun",
  "recovery: the store was opened anew after a failure",
  "log: another one was begun, as somebody may hold more of the last one",
  "documents: a repeated creation gave way to an edit",
  "replication: an entry waited for what it depends on",
  "replication: an entry came twice",
  "replication: a damaged entry was asked for again",
  "replication: an origin was relayed",
  "anti-entropy: documents were repaired",
  "anti-entropy: a peer was behind the floor of the log",
  "trimming: entries left the log",
  "idempotency: an answer was given again",
  "session: a request waited for its session",
] as const;

export type Sometimes = (typeof SOMETIMES)[number];

let listener: ((mark: Sometimes) => void) | undefined;

/** Says that a rare branch was reached. */
export function sometimes(mark: Sometimes): void {
  listener?.(mark);
}

/** For the simulator: hears every mark that is reached; undefined ends it. */
export function hearSometimes(hear: ((mark: Sometimes) => void) | undefined): void {
  listener = hear;
}
