/**
 * Who is up, and how degraded this replica is. Pure.
 *
 * Invariants:
 *  1. A peer is `up` only with a link on which a heartbeat came lately; silence alone makes it suspect, then down.
 *  2. The level is the worst that holds: 5 read-only, 4 alone, 3 no majority, 2 quorum slow, 1 a peer lags, 0 normal.
 */
import type { Limits } from "./limits.js";

export type PeerState = "up" | "suspect" | "down";

export interface PeerHealth {
  readonly peer: string;
  readonly region: string;
  /** False for edges: they never count. */
  readonly counts: boolean;
  readonly state: PeerState;
  readonly oldestUnacknowledgedMs: number;
}

export interface HealthInput {
  readonly peers: readonly PeerHealth[];
  readonly readOnly: string | undefined;
  /** A majority of the voters, this one included if it is one, has a link to here. */
  readonly majorityReachable: boolean;
  /** So many of those that are reachable vote. */
  readonly majorityVotes: boolean;
  readonly voting: boolean;
  readonly isVoter: boolean;
  /** The slowest GLOBAL_QUORUM operation of the last minute that was decided, ms, or undefined. */
  readonly quorumMs: number | undefined;
}

export interface Degradation {
  readonly level: number;
  readonly reasons: readonly string[];
}

export function peerState(connected: boolean, silentMs: number, limits: Pick<Limits, "suspectAfterMs" | "downAfterMs">): PeerState {
  if (!connected || silentMs >= limits.downAfterMs) return "down";
  return silentMs >= limits.suspectAfterMs ? "suspect" : "up";
}

export function degradation(input: HealthInput, limits: Pick<Limits, "laggingAfterMs" | "quorumSlowMs">): Degradation {
  const found: { level: number; reason: string }[] = [];
  const counted = input.peers.filter((peer) => peer.counts);
  if (input.readOnly !== undefined) found.push({ level: 5, reason: input.readOnly });
  if (counted.length > 0 && counted.every((peer) => peer.state === "down")) found.push({ level: 4, reason: "no other replica is reachable" });
  if (!input.majorityReachable) found.push({ level: 3, reason: "no majority of the regions is reachable: GLOBAL_QUORUM is refused, LOCAL is served" });
  else if (!input.majorityVotes) found.push({ level: 3, reason: "no majority of the regions votes: GLOBAL_QUORUM is refused, LOCAL is served" });
  if (input.isVoter && !input.voting) found.push({ level: 3, reason: "this replica rejoins and does not vote yet: GLOBAL_QUORUM is refused here" });
  if (input.quorumMs !== undefined && input.quorumMs > limits.quorumSlowMs) found.push({ level: 2, reason: `quorum operations take up to ${Math.round(input.quorumMs)} ms` });
  for (const peer of counted) {
    if (peer.oldestUnacknowledgedMs > limits.laggingAfterMs) found.push({ level: 1, reason: `${peer.peer} lags ${Math.round(peer.oldestUnacknowledgedMs / 1000)} s` });
  }
  found.sort((a, b) => b.level - a.level);
  return { level: found[0]?.level ?? 0, reasons: found.map(({ reason }) => reason) };
}
