/** What all storages have in common. */

/** Records in a page of a scan, at most. */
export const PAGE_RECORDS = 1_000;

/** Keys that begin with NUL belong to the storage itself (its sentinel). A sentence if `key` is one. */
export function reservedKeyFault(key: string): string | undefined {
  return key === "" || key.charCodeAt(0) === 0 ? "a key is not empty and does not begin with NUL" : undefined;
}

/** Orders texts as their UTF-8 bytes, which differs from JavaScript's order where surrogates meet U+E000–U+FFFF. */
export function compareUtf8(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x !== y) return isSurrogate(x) === isSurrogate(y) ? x - y : isSurrogate(x) ? 1 : -1;
  }
  return a.length - b.length;
}

function isSurrogate(code: number): boolean {
  return code >= 0xd800 && code <= 0xdfff;
}

/** Index of the first of the sorted keys that is not before `bound`. */
export function firstAtOrAfter(keys: readonly string[], bound: string): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compareUtf8(keys[middle] ?? "", bound) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}
