/**
 * The arithmetic of ballots: which acknowledgements count, and what a majority of promises says about a version.
 *
 * Invariants:
 *  1. A ballot above 0 belongs to one member; ballot 0 is open to all.
 *  2. An acknowledgement counts only while nobody who is counted, nor we, know a newer incarnation of its sender.
 *  3. Of several candidates at ballot 0, at most one can have been decided, with up to six members.
 * Source: Lamport, "Fast Paxos", 2006; Rystsov, "CASPaxos", 2018.
 */
import { assert } from "./errors.js";
import type { Candidate } from "./quorum-messages.js";

/** Above this many members the recovery of ballot 0 is ambiguous. */
export const FAST_MEMBERS_MAX = 6;

export interface Acknowledgement {
  readonly incarnation: number;
  readonly incarnations: Readonly<Record<string, number>>;
}

export interface Vote {
  readonly ballot: number;
  readonly candidate: Candidate;
}

export function majorityOf(members: number): number {
  return Math.floor(members / 2) + 1;
}

/** The least ballot of the member at `index` that is above `below`. */
export function nextBallot(below: number, members: number, index: number): number {
  return (Math.floor(below / members) + 1) * members + index + 1;
}

/** The senders whose acknowledgements count (invariant 2). */
export function counted(acknowledgements: ReadonlyMap<string, Acknowledgement>, known: Readonly<Record<string, number>>): string[] {
  const valid: string[] = [];
  for (const [member, { incarnation }] of acknowledgements) {
    let newest = known[member] ?? 0;
    for (const other of acknowledgements.values()) newest = Math.max(newest, other.incarnations[member] ?? 0);
    if (incarnation >= newest) valid.push(member);
  }
  return valid;
}

/** Two copies of one proposal. Changes carry their author's clock, so different proposals differ in their bytes. */
export function sameCandidate(a: Candidate, b: Candidate): boolean {
  if (a === b) return true;
  if (a.proposer !== b.proposer || a.version !== b.version || a.document !== b.document || a.change.length !== b.change.length) return false;
  return a.change.every((byte, i) => byte === b.change[i]);
}

/**
 * What a majority of promises leaves possible: `chosen`, the one candidate that may have been decided below this ballot and so
 * must be carried on; `seen`, every candidate met at ballot 0 where none may.
 */
export function recover(
  members: readonly string[],
  promises: ReadonlyMap<string, Vote | null>,
): { readonly chosen: Candidate | undefined; readonly seen: readonly Candidate[] } {
  const fast: { candidate: Candidate; votes: number }[] = [];
  let highest: Vote | undefined;
  for (const vote of promises.values()) {
    if (vote === null) continue;
    if (vote.ballot > (highest?.ballot ?? 0)) highest = vote;
    if (vote.ballot > 0) continue;
    const known = fast.find(({ candidate }) => sameCandidate(candidate, vote.candidate));
    if (known === undefined) fast.push({ candidate: vote.candidate, votes: 1 });
    else known.votes++;
  }
  const seen = fast.map(({ candidate }) => candidate);
  if (highest !== undefined) return { chosen: highest.candidate, seen };
  const outside = members.filter((member) => !promises.has(member));
  const proposers = new Set(seen.map(({ proposer }) => proposer));
  const possible = fast.filter(({ candidate: { proposer }, votes }) => {
    // A proposer that promised counts no fast votes any more, and it alone counts them.
    if (promises.has(proposer)) return false;
    // The proposer of another candidate voted for its own.
    const mayHaveVoted = outside.filter((member) => member === proposer || !proposers.has(member)).length;
    return votes + mayHaveVoted >= majorityOf(members.length);
  });
  assert(possible.length <= 1, "at most one candidate of ballot 0 can have been decided");
  return { chosen: possible[0]?.candidate, seen };
}
