/** What all storages have in common. */

/** Records in a page of a scan, at most. */
export const PAGE_RECORDS = 1_000;

/** Keys that begin with NUL belong to the storage itself (its sentinel). A sentence if `key` is one. */
export function reservedKeyFault(key: string): string | undefined {
  return key === "" || key.charCodeAt(0) === 0 ? "a key is not empty and does not begin with NUL" : undefined;
}
