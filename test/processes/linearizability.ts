/**
 * Whether a history of one register is linearizable. Source: Wing and Gong, "Testing and Verifying Concurrent Objects", with
 * Lowe's memory of visited states. Values are unique, so a version is its value; a compare-and-set names the value it saw.
 */
export type Operation =
  | { readonly kind: "read"; readonly value: string; readonly startMs: number; readonly endMs: number }
  /** `endMs` is infinite for a write of unknown outcome: it may take effect at any time, or never. */
  | { readonly kind: "write"; readonly value: string; readonly startMs: number; readonly endMs: number }
  | { readonly kind: "swap"; readonly from: string; readonly value: string; readonly startMs: number; readonly endMs: number }
  /** A compare-and-set that was refused: the value was another one. */
  | { readonly kind: "refusal"; readonly from: string; readonly startMs: number; readonly endMs: number };

/** The register after the operation, or undefined if it cannot take place now. */
function step(value: string, operation: Operation): string | undefined {
  switch (operation.kind) {
    case "read": return operation.value === value ? value : undefined;
    case "write": return operation.value;
    case "swap": return operation.from === value ? operation.value : undefined;
    case "refusal": return operation.from === value ? undefined : value;
  }
}

/** Writes of unknown outcome whose value nobody ever saw: they matter only where they explain a refusal. */
interface Unseen {
  readonly operation: Operation & { readonly kind: "write" | "swap" };
  used: boolean;
}

/** The last moment at which each value that somebody saw can have been written. */
function seenBy(history: readonly Operation[]): Map<string, number> {
  const seen = new Map<string, number>();
  for (const operation of history) {
    const value = operation.kind === "read" ? operation.value : operation.kind === "swap" && operation.endMs !== Number.POSITIVE_INFINITY ? operation.from : undefined;
    if (value !== undefined) seen.set(value, Math.min(seen.get(value) ?? Number.POSITIVE_INFINITY, operation.endMs));
  }
  return seen;
}

/**
 * An order that explains what every client saw, or undefined if there is none. A write of unknown outcome that somebody saw took
 * effect before it was seen; the others are tried only where a refusal needs them, so that they do not multiply the search.
 */
export function explain(initial: string, history: readonly Operation[]): readonly Operation[] | undefined {
  const seen = seenBy(history);
  const unseen: Unseen[] = [];
  const operations: Operation[] = [];
  for (const operation of history) {
    if (operation.endMs !== Number.POSITIVE_INFINITY || operation.kind === "read" || operation.kind === "refusal") operations.push(operation);
    else if (seen.has(operation.value)) operations.push({ ...operation, endMs: seen.get(operation.value) ?? operation.endMs });
    else unseen.push({ operation, used: false });
  }
  operations.sort((a, b) => a.startMs - b.startMs);
  const done = new Array<boolean>(operations.length).fill(false);
  const order: Operation[] = [];
  const visited = new Set<string>();

  const excuse = (value: string, beforeMs: number): Unseen | undefined => {
    const able = unseen.filter(({ operation, used }) => !used && operation.startMs <= beforeMs);
    return able.find(({ operation }) => operation.kind === "swap" && operation.from === value) ?? able.find(({ operation }) => operation.kind === "write");
  };
  const search = (value: string): boolean => {
    const open = operations.flatMap((operation, index) => (done[index] === true ? [] : [{ operation, index }]));
    if (open.length === 0) return true;
    const state = `${value} ${open.map(({ index }) => index).join()} ${unseen.map(({ used }) => (used ? 1 : 0)).join("")}`;
    if (visited.has(state)) return false;
    visited.add(state);
    const firstEndMs = Math.min(...open.map(({ operation }) => operation.endMs));
    for (const { operation, index } of open) {
      if (operation.startMs > firstEndMs) break;
      const helper = operation.kind === "refusal" && operation.from === value ? excuse(value, firstEndMs) : undefined;
      const next = step(helper === undefined ? value : helper.operation.value, operation);
      if (next === undefined) continue;
      if (helper !== undefined) helper.used = true;
      done[index] = true;
      order.push(operation);
      if (search(next)) return true;
      order.pop();
      done[index] = false;
      if (helper !== undefined) helper.used = false;
    }
    return false;
  };
  return search(initial) ? order : undefined;
}
