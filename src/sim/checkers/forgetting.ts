/** What a replica that loses its disk may take with it. */
import { dominates } from "../../core/vector.js";
import type { FaultEvent, FaultKind, History, Operation } from "../history.js";
import type { LogicalWrite } from "../history-index.js";

/** After these a replica may have to learn again what it knew. */
export const FORGETTING_FAULTS: ReadonlySet<FaultKind> = new Set<FaultKind>(["disk-emptied", "disk-truncated", "disk-flipped", "disk-missing", "disk-restored"]);

/** Replicas, and regions where a fault names those, that have lost their memory at some time. */
export function forgetfulReplicas({ faults }: History): ReadonlySet<string> {
  return new Set(faults.filter(({ kind }) => FORGETTING_FAULTS.has(kind)).flatMap(({ targets }) => targets));
}

/**
 * A LOCAL write is in one replica's hands until it is replicated, and is lost with its disk; a LOCAL_QUORUM one with the disks of as many
 * replicas of the region as acknowledged it. What a majority of regions has decided is never excused; nor is what another replica held
 * when the disk was lost, where the recorder could look.
 */
export function mayBeForgotten(write: LogicalWrite, history: History, after = FORGETTING_FAULTS): boolean {
  return write.operations.every((operation) => {
    const { level, replica, outcome, returnedAtMs } = operation;
    if (outcome !== "ok") return true;
    if (level === "GLOBAL_QUORUM" || returnedAtMs === undefined) return false;
    const isLostWith = (name: string): boolean => history.faults.some((fault) => fault.targets.includes(name) && after.has(fault.kind) && takesWithIt(fault, operation));
    return level === "LOCAL" ? isLostWith(replica) : losesMajority(operation, history, isLostWith);
  });
}

/** True if the fault came after the answer, and nobody else is known to have held then what the replica held when it answered. */
function takesWithIt({ fromMs, untilMs, held }: FaultEvent, { returnedAtMs, tokenOut }: Operation): boolean {
  if ((untilMs ?? fromMs) < (returnedAtMs ?? 0)) return false;
  return held === undefined || tokenOut?.vector === undefined || !dominates(held, tokenOut.vector);
}

/** True if a majority of the region of an operation has lost it. */
function losesMajority({ region }: Operation, { replicas }: History, isLostWith: (replica: string) => boolean): boolean {
  const within = replicas.filter((other) => other.region === region && other.role === "region");
  return within.filter((other) => isLostWith(other.replica)).length >= Math.floor(within.length / 2) + 1;
}

/** A store that went back in place: its replica goes on as the one that it was, and gives numbers again that it had given. */
const IN_PLACE: ReadonlySet<FaultKind> = new Set<FaultKind>(["disk-truncated"]);

/**
 * From when on a write may be gone, and a token of those who saw it may stand for another write under its number; infinite if it cannot be.
 * A known gap of the product: nobody but a peer that holds the write can tell such a store from the one that was left.
 */
export function takenBackAtMs(write: LogicalWrite, history: History): number {
  if (!mayBeForgotten(write, history, IN_PLACE)) return Number.POSITIVE_INFINITY;
  const ends = write.operations.flatMap(({ replica, returnedAtMs = Number.NEGATIVE_INFINITY }) =>
    history.faults.filter(({ kind, targets }) => IN_PLACE.has(kind) && targets.includes(replica)).map(({ fromMs, untilMs }) => untilMs ?? fromMs).filter((endMs) => endMs >= returnedAtMs));
  return Math.min(...ends);
}
