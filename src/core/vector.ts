/**
 * Version vectors.
 *
 * A vector maps an origin to the number of that origin's changes that are held without a gap. Absent means 0.
 * Invariants:
 *  1. Every number is a positive safe integer; zero entries are never stored.
 *  2. `join` is associative, commutative and idempotent; `dominates(join(a, b), a)` always holds.
 * Source: Parker et al., "Detection of Mutual Inconsistency in Distributed Systems", 1983.
 */
export type Vector = Readonly<Record<string, number>>;

export type MutableVector = Record<string, number>;

export const EMPTY_VECTOR: Vector = Object.freeze(Object.create(null) as MutableVector);

/** A copy that may be changed, without a prototype, so that no origin's name can reach one. */
export function copyVector(vector: Vector): MutableVector {
  return Object.assign(Object.create(null) as MutableVector, vector);
}

/** True if `a` holds everything that `b` holds. */
export function dominates(a: Vector, b: Vector): boolean {
  for (const origin in b) if ((a[origin] ?? 0) < (b[origin] ?? 0)) return false;
  return true;
}

export function equalVectors(a: Vector, b: Vector): boolean {
  return dominates(a, b) && dominates(b, a);
}

/** The least vector that dominates both. */
export function join(a: Vector, b: Vector): MutableVector {
  const joined = copyVector(a);
  joinInto(joined, b);
  return joined;
}

/** Joins `b` into `a` in place. */
export function joinInto(a: MutableVector, b: Vector): void {
  for (const origin in b) {
    const position = b[origin] ?? 0;
    if (position > (a[origin] ?? 0)) a[origin] = position;
  }
}

/** The greatest vector that both dominate: what everyone of them holds. */
export function meet(a: Vector, b: Vector): MutableVector {
  const met = copyVector(EMPTY_VECTOR);
  for (const origin in a) {
    const position = Math.min(a[origin] ?? 0, b[origin] ?? 0);
    if (position > 0) met[origin] = position;
  }
  return met;
}

/** How many changes `a` holds that `b` does not. */
export function surplus(a: Vector, b: Vector): number {
  let count = 0;
  for (const origin in a) count += Math.max(0, (a[origin] ?? 0) - (b[origin] ?? 0));
  return count;
}

/** A text that is equal exactly for equal vectors. */
export function encodeVector(vector: Vector): string {
  return Object.keys(vector)
    .sort()
    .map((origin) => `${origin}=${vector[origin]}`)
    .join(",");
}

const ORIGIN = /^(?:~|[a-z0-9][a-z0-9-]{0,47}\.[a-z0-9]{1,16})$/;

/** True for the name of an origin: `<replica>.<number>`, or `~`, the chain of decided versions of a document. */
export function isOrigin(name: string): boolean {
  return ORIGIN.test(name);
}

/** Parses a vector that came from outside; undefined if it is none, or has more than `maxOrigins` entries. */
export function parseVector(value: unknown, maxOrigins: number): MutableVector | undefined {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
  const parsed = copyVector(EMPTY_VECTOR);
  const entries = Object.entries(value);
  if (entries.length > maxOrigins) return undefined;
  for (const [origin, position] of entries) {
    if (!isOrigin(origin) || typeof position !== "number" || !Number.isSafeInteger(position) || position < 1) return undefined;
    parsed[origin] = position;
  }
  return parsed;
}
