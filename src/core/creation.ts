/**
 * Creations of a section, and what becomes of their values beside edits.
 *
 * Regions that do not know of each other may bring the same section into being: one request repeated on the other side of a cut, or
 * two sides that see one outage.
 * Invariants:
 *  1. An edit has seen a creation; a creation has seen no edit. So a creation's value is never shown where an edit's is, whatever their stamps.
 *  2. Creations by one request, or that say the same, are one: whoever replaced a value of one replaced it of all.
 *  3. Both are decided when values are looked at, from what was merged without them: what is shown is a function of the set of changes.
 */
import type { Change, Operation } from "./change.js";
import { sometimes } from "./sometimes.js";

interface Dotted {
  readonly origin: string;
  readonly seq: number;
}

/** A change that brought a section into being. */
export interface Creation extends Dotted {
  /** What it goes by: what it says, and the requests that it answers. Creations of a section that have a name in common are one. */
  readonly names: readonly string[];
}

/** The creations that a change is, by section. */
export function creationsIn({ operations, operationIds = [] }: Pick<Change, "operations" | "operationIds">, { origin, seq }: Dotted): Map<string, Creation> {
  const said = new Map<string, (readonly unknown[])[]>();
  for (const { op, section } of operations) if (op === "create") said.set(section, []);
  for (const operation of said.size === 0 ? [] : operations) said.get(operation.section)?.push(wordsOf(operation));
  return new Map([...said].map(([section, words]) => [section, { origin, seq, names: [digestOf(JSON.stringify(words)), ...operationIds.map(digestOf)] }]));
}

/** What an operation says, without what was there before. */
function wordsOf(operation: Operation): readonly unknown[] {
  switch (operation.op) {
    case "set": return ["set", operation.field, operation.value];
    case "add":
    case "remove": return [operation.op, operation.field, operation.element];
    case "count": return ["count", operation.field, operation.by];
    default: return [operation.op];
  }
}

/** The values that stand: without those of a creation that is one with another one whose value was replaced. */
export function standing<T extends Dotted>(values: readonly T[], creations: readonly Creation[]): readonly T[] {
  if (values.length < 2 || creations.length < 2) return values;
  const kept = values.filter((value) => !repeatsReplaced(value, values, creations));
  return kept.length === 0 ? values : kept;
}

/** The values that the field's rule chooses from: of those that stand the edits, or the creations' where nobody has edited. */
export function contenders<T extends Dotted>(values: readonly T[], creations: readonly Creation[]): readonly T[] {
  if (values.length < 2 || creations.length === 0) return values;
  const kept = standing(values, creations);
  const edits = kept.filter((value) => !creations.some((creation) => isSame(creation, value)));
  return edits.length === 0 ? kept : edits;
}

/** True while an element is in its set. `adds`: the adds of it that no remove has seen. */
export function isKept(adds: readonly Dotted[], creations: readonly Creation[]): boolean {
  return creations.length < 2 ? adds.length > 0 : adds.some((add) => !repeatsReplaced(add, adds, creations));
}

function repeatsReplaced(value: Dotted, values: readonly Dotted[], creations: readonly Creation[]): boolean {
  const creation = creations.find((one) => isSame(one, value));
  if (creation === undefined) return false;
  const isReplaced = creations.some((other) => other !== creation && isOne(other, creation) && !values.some((one) => isSame(one, other)));
  if (isReplaced) sometimes("documents: a repeated creation gave way to an edit");
  return isReplaced;
}

function isOne(a: Creation, b: Creation): boolean {
  return a.names.some((name) => b.names.includes(name));
}

function isSame(a: Dotted, b: Dotted): boolean {
  return a.seq === b.seq && a.origin === b.origin;
}

/** 64 bits as hex. No protection against whoever seeks two texts that are named alike. Source: cyrb53, with all bits kept. */
function digestOf(text: string): string {
  let high = 0xdeadbeef;
  let low = 0x41c6ce57;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    high = Math.imul(high ^ code, 2654435761);
    low = Math.imul(low ^ code, 1597334677);
  }
  high = Math.imul(high ^ (high >>> 16), 2246822507) ^ Math.imul(low ^ (low >>> 13), 3266489909);
  low = Math.imul(low ^ (low >>> 16), 2246822507) ^ Math.imul(high ^ (high >>> 13), 3266489909);
  return (high >>> 0).toString(16).padStart(8, "0") + (low >>> 0).toString(16).padStart(8, "0");
}
