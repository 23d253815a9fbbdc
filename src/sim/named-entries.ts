/** Which change made which entry of a document's history. */
import type { Operation } from "../core/change.js";
import type { DocumentChange, HistoryEntry } from "../store/data-plane.js";
import type { RecordedEntry } from "./history.js";

/** Adds to entries what the API does not tell: the name of the change, and what its author had seen. */
export function namedEntries(entries: readonly HistoryEntry[], changes: readonly DocumentChange[]): readonly RecordedEntry[] {
  // The stamp alone is no name: a replica whose disk went back, and whose clock is behind, gives stamps again.
  const byField = new Map(changes.flatMap(({ dot, change }) => change.operations.map((operation) => [`${change.hlc} ${change.replica} ${fieldOf(operation)}`, { dot, context: change.context }] as const)));
  return entries.map((entry) => ({ ...entry, ...byField.get(`${entry.hlc} ${entry.replica} ${entry.field}`) }));
}

/** How a history names what an operation changes. */
function fieldOf(operation: Operation): string {
  const field = operation.op === "create" ? "created" : operation.op === "delete" ? "deleted" : operation.field;
  return operation.section === "" ? field : `${operation.section}.${field}`;
}
