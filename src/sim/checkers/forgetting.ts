/** What a replica that loses its disk may take with it. */
import type { FaultKind, History } from "../history.js";
import type { LogicalWrite } from "../history-index.js";

/** After these a replica may have to learn again what it knew. */
export const FORGETTING_FAULTS: ReadonlySet<FaultKind> = new Set<FaultKind>(["disk-emptied", "disk-truncated", "disk-flipped", "disk-missing", "disk-restored", "volume-restored"]);

/**
 * A LOCAL write is in one replica's hands until it is replicated, and is lost with its disk; a LOCAL_QUORUM one with the disks of as many
 * replicas of the region as acknowledged it. What a majority of regions has decided is never excused.
 */
export function mayBeForgotten(write: LogicalWrite, history: History, after = FORGETTING_FAULTS): boolean {
  return write.operations.every(({ level, replica, region, returnedAtMs, outcome }) => {
    if (outcome !== "ok") return true;
    if (level === "GLOBAL_QUORUM" || returnedAtMs === undefined) return false;
    const hasForgotten = (name: string): boolean => history.faults.some(({ kind, targets, fromMs, untilMs }) => after.has(kind) && targets.includes(name) && (untilMs ?? fromMs) >= returnedAtMs);
    if (level === "LOCAL") return hasForgotten(replica);
    const within = history.replicas.filter((other) => other.region === region && other.role === "region");
    return within.filter((other) => hasForgotten(other.replica)).length >= Math.floor(within.length / 2) + 1;
  });
}

/** A volume that went back as a whole: its replica goes on as the one that it was, and gives numbers again that it had given. */
const IN_PLACE: ReadonlySet<FaultKind> = new Set<FaultKind>(["volume-restored"]);

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
