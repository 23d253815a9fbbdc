/** The order in which a history is told. */
import type { HistoryEntry } from "../store/data-plane.js";
import type { ListPosition } from "../store/route-context.js";

export interface PlacedEntry {
  readonly entry: HistoryEntry;
  /** Descending along the list, and the same whatever else arrives: a cursor stands for it. */
  readonly position: ListPosition;
}

/**
 * Entries by their stamps, newest first; those of one change in the order in which they came. Where a clock is too far ahead to be adopted, what follows
 * a change may have an earlier stamp: an order by what depends on what has no positions that a cursor could name.
 */
export function inHlcOrder(newestFirst: readonly HistoryEntry[]): PlacedEntry[] {
  const sorted = newestFirst.toSorted((a, b) => (a.hlc < b.hlc ? 1 : a.hlc > b.hlc ? -1 : 0));
  const placed: PlacedEntry[] = [];
  let place = 0;
  for (const [index, entry] of [...sorted.entries()].reverse()) {
    place = sorted[index + 1]?.hlc === entry.hlc ? place + 1 : 0;
    placed.push({ entry, position: [entry.hlc, String(place).padStart(6, "0")] });
  }
  return placed.reverse();
}
