/**
 * Which regions are there, so that their opinions are fresh.
 *
 * A replica hears its peers directly. That alone would set two replicas at odds where a single link is cut: one counts a region
 * that the other does not. So each replica also writes down whom it hears (`~/watch/<region>`, section `replica-<name>`, register
 * `hears`), and a region is present if a chain of such statements leads from here to one of its replicas.
 *
 * Invariants:
 *  1. A replica goes by what it writes for others, not by what it alone knows: replicas that can reach each other differ only for as long as a statement is on its way.
 *  2. A region that came or went within the last `presenceSettlesMs` is unsettled: that time is longer than the one of 1, and no verdict may hang on it.
 *  3. A replica that has just started takes nobody for absent, but all whom it has not met since for unsettled, and says nothing of them.
 */
import { keyOf } from "../../core/document.js";
import { watchLimits } from "../../core/limits.js";
import type { Command, ClusterStatus, Snapshot } from "../../store/data-plane.js";
import { Draft } from "../../store/document-reader.js";
import { changeOf, SYSTEM } from "../../store/resource.js";
import { WATCH } from "./opinion.js";

const SECTION = "replica-";

/** Replicas that watch, and the region of each. */
export type Members = ReadonlyMap<string, string>;

export interface Attendance {
  /** Regions whose opinions are fresh. */
  readonly present: ReadonlySet<string>;
  /** Regions that came or went so lately that other replicas may not know it yet. */
  readonly unsettled: ReadonlySet<string>;
}

interface Heard {
  /** What has held for long enough to be said; undefined for a moment after the start. */
  said: boolean | undefined;
  now: boolean;
  sinceMs: number;
}

interface Seat {
  lastHeardMs: number;
  isPresent: boolean;
  /** Heard of since the start. */
  isMet: boolean;
  turnedMs: number;
}

export class Presence {
  private readonly peers = new Map<string, Heard>();
  private readonly seats = new Map<string, Seat>();

  /** Times are those of a clock that never goes back. */
  constructor(
    private readonly replica: string,
    private readonly members: Members,
    startMs: number,
  ) {
    for (const [peer, region] of members) {
      if (peer !== replica) this.peers.set(peer, { said: undefined, now: false, sinceMs: startMs });
      this.seats.set(region, { lastHeardMs: startMs, isPresent: true, isMet: false, turnedMs: Number.NEGATIVE_INFINITY });
    }
  }

  /** False for a moment after the start: what it hears is not to be written down yet. */
  get knows(): boolean {
    return [...this.peers.values()].every(({ said }) => said !== undefined);
  }

  /** Other replicas that this one hears, each as it has been for a moment: what it says to the others. */
  hearing(cluster: Pick<ClusterStatus, "peers">, nowMs: number): ReadonlySet<string> {
    const linked = new Set(cluster.peers.filter(({ state }) => state !== "down").map(({ replica }) => replica));
    for (const [peer, heard] of this.peers) {
      if (heard.now !== linked.has(peer)) {
        heard.now = linked.has(peer);
        heard.sinceMs = nowMs;
      }
      if (nowMs - heard.sinceMs >= watchLimits.hearingSettlesMs || (heard.said === undefined && heard.now)) heard.said = heard.now;
    }
    return new Set([...this.peers].filter(([, { said }]) => said === true).map(([peer]) => peer));
  }

  /** `written`: whom each of the other replicas says it hears. */
  update(hearing: ReadonlySet<string>, written: ReadonlyMap<string, ReadonlySet<string>>, nowMs: number): Attendance {
    const reached = new Set([this.replica, ...hearing]);
    for (const replica of reached) if (replica !== this.replica) for (const other of written.get(replica) ?? []) reached.add(other);
    for (const replica of reached) {
      const seat = this.seats.get(this.members.get(replica) ?? "");
      if (seat === undefined) continue;
      seat.lastHeardMs = nowMs;
      seat.isMet = true;
    }
    for (const seat of this.seats.values()) {
      const isPresent = nowMs - seat.lastHeardMs <= watchLimits.opinionAgesOutMs;
      if (isPresent !== seat.isPresent) seat.turnedMs = nowMs;
      seat.isPresent = isPresent;
    }
    const regions = (which: (seat: Seat) => boolean): Set<string> => new Set([...this.seats].filter(([, seat]) => which(seat)).map(([region]) => region));
    return { present: regions(({ isPresent }) => isPresent), unsettled: regions(({ isMet, isPresent, turnedMs }) => (isPresent && !isMet) || nowMs - turnedMs < watchLimits.presenceSettlesMs) };
  }
}

/** Whom each replica says it hears. */
export function hearingOf(snapshot: Snapshot, members: Members): Map<string, ReadonlySet<string>> {
  const written = new Map<string, ReadonlySet<string>>();
  for (const [replica, region] of members) {
    const said = snapshot.document(keyOf(SYSTEM, WATCH, region))?.value("hears", SECTION + replica);
    if (Array.isArray(said)) written.set(replica, new Set(said.filter((name) => typeof name === "string")));
  }
  return written;
}

/** Writes down whom a replica hears. */
export function hearingCommand(replica: string, region: string, hearing: ReadonlySet<string>): Command {
  const key = keyOf(SYSTEM, WATCH, region);
  return {
    name: "watch.hearing", subject: key,
    plan(snapshot) {
      const document = snapshot.document(key);
      const draft = new Draft(document);
      if (document === undefined) draft.create();
      const section = SECTION + replica;
      if (document?.section(section) === undefined) draft.create(section);
      draft.set("hears", [...hearing].sort(), section);
      return { changes: changeOf(key, draft) };
    },
    answer: () => ({ status: 204, body: null }),
  };
}

/** True if `hearingCommand` would write something. */
export function hearingDiffers(written: ReadonlySet<string> | undefined, hearing: ReadonlySet<string>): boolean {
  return written === undefined || written.size !== hearing.size || [...hearing].some((replica) => !written.has(replica));
}
