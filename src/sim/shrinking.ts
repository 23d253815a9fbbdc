/**
 * Finds a smaller set that still fails.
 * Source: Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", 2002 (ddmin).
 */

/**
 * A subset of `items` for which `fails` still holds, such that no chunk that was tried can be taken away.
 * `budget`: how many tries at most.
 */
export async function shrink<T>(items: readonly T[], fails: (kept: readonly T[]) => Promise<boolean>, budget: number): Promise<readonly T[]> {
  let kept = items;
  let left = budget;
  if (left-- > 0 && (await fails([]))) return [];
  for (let parts = 2; kept.length >= 2 && left > 0; ) {
    const size = Math.ceil(kept.length / parts);
    let smaller: readonly T[] | undefined;
    for (let start = 0; start < kept.length && smaller === undefined && left > 0; start += size) {
      const rest = [...kept.slice(0, start), ...kept.slice(start + size)];
      left--;
      if (await fails(rest)) smaller = rest;
    }
    if (smaller !== undefined) {
      kept = smaller;
      parts = Math.max(2, parts - 1);
    } else if (size === 1) break;
    else parts = Math.min(kept.length, parts * 2);
  }
  return kept;
}
