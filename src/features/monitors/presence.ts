/**
 * Which regions are there, so that their opinions are fresh.
 *
 * A replica hears its peers directly. That alone would set two regions at odds where a single link is cut: one counts a
 * region that the other does not. So each region also writes down whom it hears, when that changes
 * (`~/watch/<region>`, registers `hears.<region>`), and a region is present if it is heard by any that is.
 */
import { keyOf } from "../../core/document.js";
import { watchLimits } from "../../core/limits.js";
import type { Command, ClusterStatus, Snapshot } from "../../store/data-plane.js";
import { Draft } from "../../store/document-reader.js";
import { changeOf, SYSTEM } from "../../store/resource.js";
import { WATCH } from "./opinion.js";

const HEARS = "hears.";

export class Presence {
  private readonly lastHeardMs = new Map<string, number>();
  private heard = "";
  private heardSinceMs = 0;

  constructor(
    private readonly region: string,
    private readonly regions: readonly string[],
    startMs: number,
  ) {
    // Before the links are up, nobody is taken for absent.
    for (const region of regions) this.lastHeardMs.set(region, startMs);
  }

  /** Regions that this replica has a link to, and its own. */
  direct(cluster: ClusterStatus): Set<string> {
    return new Set([this.region, ...cluster.peers.filter(({ state }) => state !== "down").map(({ region }) => region)]);
  }

  /** `nowMs`: a clock that never goes back. */
  update(direct: ReadonlySet<string>, written: ReadonlyMap<string, ReadonlySet<string>>, nowMs: number): ReadonlySet<string> {
    const reached = new Set(direct);
    for (const region of reached) for (const other of written.get(region) ?? []) if (region !== this.region) reached.add(other);
    for (const region of reached) this.lastHeardMs.set(region, nowMs);
    return new Set(this.regions.filter((region) => nowMs - (this.lastHeardMs.get(region) ?? Number.NEGATIVE_INFINITY) <= watchLimits.opinionAgesOutMs));
  }

  /** True once whom this region hears has been the same for a moment. */
  isSettled(direct: ReadonlySet<string>, nowMs: number): boolean {
    const heard = [...direct].sort().join();
    if (heard !== this.heard) {
      this.heard = heard;
      this.heardSinceMs = nowMs;
    }
    return nowMs - this.heardSinceMs >= watchLimits.hearingSettlesMs;
  }
}

/** Whom each region says it hears. */
export function hearingOf(snapshot: Snapshot, regions: readonly string[]): Map<string, Set<string>> {
  const written = new Map<string, Set<string>>();
  for (const region of regions) {
    const document = snapshot.document(keyOf(SYSTEM, WATCH, region));
    if (document !== undefined) written.set(region, new Set(document.fields("", HEARS).filter((field) => document.value(field) === true).map((field) => field.slice(HEARS.length))));
  }
  return written;
}

/** Writes down whom a region hears, where that is another than what stands there. */
export function hearingCommand(region: string, regions: readonly string[], direct: ReadonlySet<string>): Command {
  const key = keyOf(SYSTEM, WATCH, region);
  return {
    name: "watch.hearing", subject: key,
    plan(snapshot) {
      const document = snapshot.document(key);
      const draft = new Draft(document);
      if (document === undefined) draft.create();
      for (const other of regions) if (other !== region) draft.set(HEARS + other, direct.has(other));
      return { changes: changeOf(key, draft) };
    },
    answer: () => ({ status: 204, body: null }),
  };
}

/** True if `hearingCommand` would write something. */
export function hearingDiffers(written: ReadonlySet<string> | undefined, region: string, regions: readonly string[], direct: ReadonlySet<string>): boolean {
  return written === undefined || regions.some((other) => other !== region && written.has(other) !== direct.has(other));
}
