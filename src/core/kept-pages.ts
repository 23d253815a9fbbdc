/**
 * The pages that a replica keeps: all of them, or at an edge those that it was told. What belongs to no page (keys, the pages
 * themselves) is kept by everybody.
 */

/** Partition of what belongs to no page. */
export const NO_PAGE = "~";

export class KeptPages {
  /** Sorted, each once; empty: all. */
  readonly ids: readonly string[];
  private readonly known: ReadonlySet<string>;

  constructor(ids: readonly string[]) {
    this.known = new Set(ids);
    this.ids = [...this.known].sort();
  }

  get all(): boolean {
    return this.known.size === 0;
  }

  /** True if the documents of a partition are kept. */
  keepsPartition(partition: string): boolean {
    return this.all || partition === NO_PAGE || this.known.has(partition);
  }

  /** True if a document is kept, by its key. */
  keeps(document: string): boolean {
    return this.all || this.keepsPartition(document.slice(0, document.indexOf("/")));
  }

  /** True if all that `other` keeps is kept here too. */
  covers(other: KeptPages): boolean {
    return this.all || (!other.all && other.ids.every((id) => this.known.has(id)));
  }
}

export const ALL_PAGES = new KeptPages([]);
