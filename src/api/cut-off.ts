/** Since when this replica hears from no other, as its public copies say it. */
import type { Clock } from "../core/ports.js";
import type { ClusterStatus, DataPlane } from "../store/data-plane.js";
import { apiLimits } from "./api-limits.js";

export class CutOff {
  private seen: { readonly lookedAtMs: number; readonly since: string | null } | undefined;

  constructor(
    private readonly data: DataPlane,
    private readonly clock: Clock,
  ) {}

  /** RFC 3339; null while it is connected. Looked at every `cutOffLookMs`. */
  since(): string | null {
    const nowMs = this.clock.monotonic();
    if (this.seen === undefined || nowMs - this.seen.lookedAtMs >= apiLimits.cutOffLookMs) {
      const cluster = this.data.cluster();
      // Who starts without the others was cut off before.
      const since = isCutOff(cluster) ? (this.seen?.since ?? cluster.heard_at ?? new Date(this.clock.now()).toISOString()) : null;
      this.seen = { lookedAtMs: nowMs, since };
    }
    return this.seen.since;
  }
}

/** Alone, on a disk that takes nothing in, or without so many others that the rest may have gone on without this replica. */
function isCutOff({ degradation: { level }, peers }: ClusterStatus): boolean {
  const down = peers.filter(({ state }) => state === "down").length;
  return level >= 4 || (level === 3 && 2 * down >= peers.length + 1);
}
