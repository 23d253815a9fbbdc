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

/** An order that explains what every client saw, or undefined if there is none. */
export function explain(initial: string, history: readonly Operation[]): readonly Operation[] | undefined {
  const operations = [...history].sort((a, b) => a.startMs - b.startMs);
  const done = new Array<boolean>(operations.length).fill(false);
  const order: Operation[] = [];
  const visited = new Set<string>();
  const search = (value: string): boolean => {
    const open = operations.flatMap((operation, index) => (done[index] === true ? [] : [{ operation, index }]));
    if (open.every(({ operation }) => operation.endMs === Number.POSITIVE_INFINITY)) return true;
    const state = `${value} ${open.map(({ index }) => index).join()}`;
    if (visited.has(state)) return false;
    visited.add(state);
    const firstEndMs = Math.min(...open.map(({ operation }) => operation.endMs));
    for (const { operation, index } of open) {
      if (operation.startMs > firstEndMs) break;
      const next = step(value, operation);
      if (next === undefined) continue;
      done[index] = true;
      order.push(operation);
      if (search(next)) return true;
      order.pop();
      done[index] = false;
    }
    return false;
  };
  return search(initial) ? order : undefined;
}
