/**
 * Whether a quorum message of a peer is one, before the engine sees it.
 *
 * Invariants:
 *  1. Vectors, document keys, ballots and versions are well formed and bounded.
 *  2. A candidate's change decodes, and says the same document, version, operations and base as the candidate around it.
 */
import { CHAIN, decodeChange, isDocumentKey, type ChangeBounds } from "./change.js";
import { scopeOf } from "./quorum-acceptor.js";
import type { Ballot, Candidate, Quorum } from "./quorum-messages.js";
import { equalVectors, parseVector } from "./vector.js";

const ID = /^[A-Za-z0-9_.:-]{1,128}$/;

/** A sentence on what is wrong with a message from outside, or undefined. */
export function quorumMessageFault(message: Quorum, bounds: ChangeBounds): string | undefined {
  const { body } = message;
  if (body === undefined) return "has no body";
  if (!ID.test(message.operation)) return "has a bad operation id";
  if (!isCount(message.incarnation) || !isCount(message.position) || !areCounts(message.incarnations, bounds.originsMax) || !areCounts(message.rejoined, bounds.originsMax)) return "has bad incarnations";
  switch (body.$case) {
    case "propose": return candidateFault(body.value.candidate, bounds);
    case "accept": return isCount(body.value.ballot) && body.value.ballot > 0 ? candidateFault(body.value.candidate, bounds) : "has a bad ballot";
    case "promised": return vectorFault(body.value.shown, bounds) ?? versionFault(body.value, body.value.ballot) ?? voteFault(body.value, body.value.vote, bounds);
    case "prepare": return body.value.ballot > 0 ? versionFault(body.value, body.value.ballot) : "has a bad ballot";
    case "voted": return versionFault(body.value, 0);
    case "accepted": return versionFault(body.value, body.value.ballot);
    case "refused": return versionFault(body.value, body.value.promised);
    case "query": return isDocumentKey(body.value.document) ? vectorFault(body.value.shown, bounds) : "names no document";
    case "answered": return isDocumentKey(body.value.document) && isCount(body.value.version) ? vectorFault(body.value.shown, bounds) : "names no document";
    case "listQuery": return isDocumentKey(`${body.value.scope}/x`) ? vectorFault(body.value.vector, bounds) : "names no scope";
    case "listAnswered": {
      const { scope, open, decided } = body.value;
      const isOpen = Object.entries(open).every(([document, version]) => isDocumentKey(document) && scopeOf(document) === scope && isCount(version));
      return isOpen ? vectorFault(decided, bounds) : "names bad documents";
    }
    case "seed": return isCount(body.value.incarnation) ? undefined : "has a bad incarnation";
    case "seeded": {
      for (const slot of body.value.open) {
        const fault = versionFault(slot, slot.promised);
        if (fault !== undefined) return fault;
      }
      return isCount(body.value.seen) ? vectorFault(body.value.vector, bounds) : "has a bad position";
    }
  }
}

function candidateFault(candidate: Candidate | undefined, bounds: ChangeBounds): string | undefined {
  if (candidate === undefined) return "has no candidate";
  const { document, version, base, operationIds, proposer } = candidate;
  const fault = versionFault(candidate, 0) ?? vectorFault(base, bounds);
  if (fault !== undefined) return fault;
  if (!isCount(candidate.incarnation)) return "has a bad incarnation";
  if (proposer === "" || (base[CHAIN] ?? 0) !== version - 1) return "has a candidate that follows nothing";
  const change = decodeChange(candidate.change, bounds);
  if ("fault" in change) return `has a change that ${change.fault}`;
  const agrees =
    change.document === document && change.version === version && equalVectors(change.context, base) &&
    JSON.stringify(change.operationIds ?? []) === JSON.stringify(operationIds);
  return agrees ? undefined : "has a change that is not its candidate's";
}

function voteFault({ document, version }: { readonly document: string; readonly version: number }, vote: Ballot | undefined, bounds: ChangeBounds): string | undefined {
  if (vote === undefined) return undefined;
  if (!isCount(vote.ballot)) return "has a bad ballot";
  if (vote.candidate?.document !== document || vote.candidate.version !== version) return "has a vote for something else";
  return candidateFault(vote.candidate, bounds);
}

function versionFault({ document, version }: { readonly document: string; readonly version: number }, ballot: number): string | undefined {
  if (!isDocumentKey(document)) return "names no document";
  return isCount(version) && version > 0 && isCount(ballot) ? undefined : "has a bad version or ballot";
}

function vectorFault(vector: unknown, bounds: ChangeBounds): string | undefined {
  return parseVector(vector, bounds.originsMax) === undefined ? "has a bad vector" : undefined;
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

function areCounts(values: Readonly<Record<string, number>>, max: number): boolean {
  const all = Object.values(values);
  return all.length <= max && all.every(isCount);
}
