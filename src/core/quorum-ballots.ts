/**
 * The arithmetic of ballots: which acknowledgements count, and what a majority of promises says about a version.
 *
 * Invariants:
 *  1. A ballot above 0 belongs to one member; ballot 0 is open to all.
 *  2. An acknowledgement counts only while nobody who is counted, nor we, know a newer incarnation of its sender.
 *  3. Of several candidates at ballot 0, at most one can have been decided, with up to six members.
 *  4. A candidate of an earlier life of its proposer was not decided at a version that is open, once the later life votes: it settled all that may
 *     have been. With three members whoever rejoins was told by all others, so no such candidate is left, unless votes were founded anew: then it is carried on.
 * Source: Lamport, "Fast Paxos", 2006; Rystsov, "CASPaxos", 2018.
 */
import { assert } from "./errors.js";
import type { Candidate } from "./quorum-messages.js";

/** With more members than this, somebody who rejoins is not told by all others. */
export const ALL_TELL_MEMBERS_MAX = 3;
/** Above this many members the recovery of ballot 0 is ambiguous. */
export const FAST_MEMBERS_MAX = 6;

export interface Acknowledgement {
  readonly incarnation: number;
  readonly incarnations: Readonly<Record<string, number>>;
  readonly rejoined: Readonly<Record<string, number>>;
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

/** The later of what both know of each member's incarnations. */
export function joinLives(a: Readonly<Record<string, number>>, b: Readonly<Record<string, number>>): Record<string, number> {
  const joined = { ...a };
  for (const [member, incarnation] of Object.entries(b)) joined[member] = Math.max(joined[member] ?? 0, incarnation);
  return joined;
}

/** Two copies of one proposal. Changes carry their author's clock, so different proposals differ in their bytes. */
export function sameCandidate(a: Candidate, b: Candidate): boolean {
  if (a === b) return true;
  if (a.proposer !== b.proposer || a.version !== b.version || a.document !== b.document || a.change.length !== b.change.length) return false;
  return a.change.every((byte, i) => byte === b.change[i]);
}

/**
 * What a majority of promises leaves possible: `chosen`, the one candidate that may have been decided below this ballot and so
 * must be carried on; `seen`, every candidate met at ballot 0 where none may. `rejoined`: what those who promised know of lives that vote after a rejoin.
 */
export function recover(
  members: readonly string[],
  promises: ReadonlyMap<string, Vote | null>,
  rejoined: Readonly<Record<string, number>>,
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
  const lives = members.length > ALL_TELL_MEMBERS_MAX ? { ...rejoined } : {};
  for (const { proposer, incarnation } of seen) lives[proposer] = Math.max(lives[proposer] ?? 0, incarnation);
  const living = fast.filter(({ candidate: { proposer, incarnation } }) => incarnation === 0 || incarnation >= (lives[proposer] ?? 0));
  const proposers = new Set(living.map(({ candidate: { proposer } }) => proposer));
  const possible = living.filter(({ candidate: { proposer }, votes }) => {
    // A proposer that promised counts no fast votes any more, and it alone counts them.
    if (promises.has(proposer)) return false;
    // The proposer of another candidate voted for its own.
    const mayHaveVoted = outside.filter((member) => member === proposer || !proposers.has(member)).length;
    return votes + mayHaveVoted >= majorityOf(members.length);
  });
  assert(possible.length <= 1, "at most one candidate of ballot 0 can have been decided");
  return { chosen: possible[0]?.candidate, seen };
}
