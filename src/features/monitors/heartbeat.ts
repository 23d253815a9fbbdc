/** Monitors that are called, not calling: each region knows the calls that reached it. */
import { NO_PHASES } from "../../core/check.js";
import type { Monitor } from "./monitor.js";
import type { OwnOpinion } from "./watch.js";
import type { ResultStore } from "./results.js";

const GRACE_MIN_MS = 2_000;

/** How late a call may be, ms. */
export function graceMs({ intervalMs, options }: Monitor): number {
  return options.grace_seconds === undefined ? Math.max(GRACE_MIN_MS, intervalMs / 10) : options.grace_seconds * 1_000;
}

function opinion(state: OwnOpinion["state"], at: number, error: OwnOpinion["evidence"]["error"]): OwnOpinion {
  return { state, since: at, checkedAt: at, evidence: { error, latency_ms: null, phases: NO_PHASES } };
}

export class HeartbeatWatch {
  /** When each was last called here, ms since the epoch; null: never. */
  private readonly lastBeat = new Map<string, number | null>();

  constructor(
    private readonly results: ResultStore,
    private readonly startedAtMs: number,
  ) {}

  beat(key: string, atMs: number): OwnOpinion {
    this.lastBeat.set(key, atMs);
    return opinion("up", atMs, null);
  }

  forget(key: string): void {
    this.lastBeat.delete(key);
  }

  /** What this region thinks now; undefined where no call ever reached it. `elsewhere`: another region is being called. */
  async judge(key: string, monitor: Monitor, elsewhere: boolean, nowMs: number): Promise<OwnOpinion | undefined> {
    const known = this.lastBeat.get(key);
    const last = known === undefined ? ((await this.results.lastUp(key)) ?? null) : known;
    // A call may have come while that was read.
    if (!this.lastBeat.has(key)) this.lastBeat.set(key, last);
    if (last === null) return undefined;
    // Calls that came while this replica was away are not known: it waits for one more.
    const lateAtMs = Math.max(last, this.startedAtMs) + monitor.intervalMs + graceMs(monitor);
    if (nowMs < lateAtMs) return last < this.startedAtMs ? undefined : opinion("up", last, null);
    if (elsewhere) return opinion("unknown", lateAtMs, { code: "elsewhere", message: "the calls reach another region" });
    return opinion("down", lateAtMs, { code: "late", message: `the last call came at ${new Date(last).toISOString()}` });
  }
}
