/** What a replica that loses its disk may take with it. */
import type { FaultKind, History } from "../history.js";
import type { LogicalWrite } from "../history-index.js";

/** After these a replica may have to learn again what it knew. */
export const FORGETTING_FAULTS: ReadonlySet<FaultKind> = new Set<FaultKind>(["disk-emptied", "disk-truncated", "disk-flipped", "disk-missing", "disk-restored"]);

/**
 * A LOCAL write is in one replica's hands until it is replicated, and is lost with its disk; a LOCAL_QUORUM one with the disks of as many
 * replicas of the region as acknowledged it. What a majority of regions has decided is never excused.
 */
export function mayBeForgotten(write: LogicalWrite, history: History): boolean {
  return write.operations.every(({ level, replica, region, returnedAtMs, outcome }) => {
    if (outcome !== "ok") return true;
    if (level === "GLOBAL_QUORUM" || returnedAtMs === undefined) return false;
    const hasForgotten = (name: string): boolean => history.faults.some(({ kind, targets, fromMs, untilMs }) => FORGETTING_FAULTS.has(kind) && targets.includes(name) && (untilMs ?? fromMs) >= returnedAtMs);
    if (level === "LOCAL") return hasForgotten(replica);
    const within = history.replicas.filter((other) => other.region === region && other.role === "region");
    return within.filter((other) => hasForgotten(other.replica)).length >= Math.floor(within.length / 2) + 1;
  });
}
