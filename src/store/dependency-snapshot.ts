/** A snapshot that tells what was looked at: documents by key, lists by `<partition>/<type>`. */
import type { DocumentHeader, Snapshot } from "./data-plane.js";
import type { DocumentReader } from "./document-reader.js";

export function listName(partition: string, type: string): string {
  return `${partition}/${type}`;
}

export class DependencySnapshot implements Snapshot {
  /** When the latest change of what was looked at was made, ms since the epoch; 0 if nothing was found. */
  touchedMs = 0;

  constructor(
    private readonly snapshot: Snapshot,
    private readonly note: (dependency: string) => void,
  ) {}

  get atMs(): number {
    return this.snapshot.atMs;
  }

  document(key: string): DocumentReader | undefined {
    this.note(key);
    const found = this.snapshot.document(key);
    if (found !== undefined) this.touchedMs = Math.max(this.touchedMs, found.touchedMs);
    return found;
  }

  taken(key: string): boolean {
    this.note(key);
    return this.snapshot.taken(key);
  }

  list(partition: string, type: string): readonly DocumentHeader[] {
    this.note(listName(partition, type));
    return this.snapshot.list(partition, type);
  }

  remains(partition: string, type: string): readonly DocumentReader[] {
    this.note(listName(partition, type));
    const found = this.snapshot.remains?.(partition, type) ?? [];
    for (const { touchedMs } of found) this.touchedMs = Math.max(this.touchedMs, touchedMs);
    return found;
  }
}
