/** Random concurrent histories of one document, as three regions and the chain of decided versions would write it. */
import fc from "fast-check";
import { createHash } from "node:crypto";
import { CHAIN, encodeChange, type Change, type Json, type Operation } from "../../src/core/change.js";
import { DocumentState, type Dot } from "../../src/core/document.js";
import { encodeHlc } from "../../src/core/hlc.js";
import { copyVector, dominates, equalVectors, type Vector } from "../../src/core/vector.js";
import type { NamedChange } from "../../src/store/documents.js";

export const DOCUMENT = "acme/incident/01J000000000000000000000AA";
export const ORIGINS = ["us-east-1.1", "eu-west-1.1", "ap-south-1.2z"] as const;

export interface HistoryEntry extends NamedChange {
  readonly dot: Dot;
  readonly change: Change;
}

export type Step =
  | { readonly write: number; readonly decided: boolean; readonly operations: readonly Operation[] }
  | { readonly from: number; readonly to: number };

const names = fc.constantFrom("", "u1", "u2", "__proto__", "constructor");
const fields = fc.constantFrom("name", "status", "body.en", "toString");
const text = fc.oneof(
  fc.string({ unit: "binary" }), fc.string({ unit: "grapheme" }), fc.constantFrom("json:", "json:{}", "__proto__", "", "\ud83d", "a/b/c", "\u0000", "\ufeff"),
);

const nested: fc.Arbitrary<Json> = fc.nat({ max: 60 }).map((depth) => {
  let value: Json = { "__proto__x": null };
  for (let i = 0; i < depth; i++) value = i % 2 === 0 ? [value, i] : { deeper: value };
  return value;
});

const values: fc.Arbitrary<Json> = fc.oneof(
  { weight: 3, arbitrary: text }, { weight: 1, arbitrary: fc.boolean() }, { weight: 1, arbitrary: fc.constant(null) },
  { weight: 2, arbitrary: fc.oneof(fc.integer(), fc.maxSafeInteger(), fc.constantFrom(0.1, -0, 1e300, 5e-324, 2 ** 53)) },
  { weight: 1, arbitrary: nested },
  { weight: 1, arbitrary: fc.jsonValue({ maxDepth: 3 }).map((value) => JSON.parse(JSON.stringify(value)) as Json) },
  { weight: 1, arbitrary: fc.constant(JSON.parse('{"__proto__":{"polluted":true},"constructor":1}') as Json) },
);

export const operations: fc.Arbitrary<Operation> = fc.oneof(
  { weight: 2, arbitrary: fc.record({ op: fc.constant("create" as const), section: names }) },
  { weight: 6, arbitrary: fc.record({ op: fc.constant("set" as const), section: names, field: fields, value: values, was: fc.constant(null) }) },
  { weight: 3, arbitrary: fc.record({ op: fc.constant("add" as const), section: names, field: fields, element: fc.oneof(fc.constantFrom("a", "b"), text) }) },
  { weight: 3, arbitrary: fc.record({ op: fc.constant("remove" as const), section: names, field: fields, element: fc.constantFrom("a", "b", "") }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant("count" as const), section: names, field: fields, by: fc.constantFrom(1, -3, 2 ** 40, 0.5) }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant("delete" as const), section: names }) },
);

/** Few keys, so that concurrent writes meet. */
const meetingOperations: fc.Arbitrary<Operation> = fc.oneof(
  fc.record({ op: fc.constant("set" as const), section: fc.constant(""), field: fc.constant("status"), value: fc.nat({ max: 3 }), was: fc.constant(null) }),
  fc.record({ op: fc.constantFrom("add" as const, "remove" as const), section: fc.constant(""), field: fc.constant("components"), element: fc.constant("a") }),
);

const writers = fc.nat({ max: ORIGINS.length - 1 });

function stepsOf(operation: fc.Arbitrary<Operation>, maxLength: number): fc.Arbitrary<Step[]> {
  return fc.array(
    fc.oneof(
      { weight: 3, arbitrary: fc.record({ write: writers, decided: fc.boolean(), operations: fc.array(operation, { maxLength: 5 }) }) },
      { weight: 2, arbitrary: fc.record({ from: writers, to: writers }) },
    ),
    { minLength: 1, maxLength, size: "max" },
  );
}

export const steps: fc.Arbitrary<Step[]> = fc.oneof(stepsOf(operations, 40), stepsOf(meetingOperations, 30));

export function identityOf(body: Uint8Array): Uint8Array {
  return createHash("sha256").update(body).digest();
}

/** Lets the regions write and exchange as the steps say; every change is applied to its author's state before it is recorded. */
export function playHistory(script: readonly Step[], document = DOCUMENT): { entries: HistoryEntry[]; state: DocumentState } {
  const replicas = ORIGINS.map(() => new DocumentState(document));
  const entries: HistoryEntry[] = [];
  const seqs = ORIGINS.map((_, i) => i * 5);
  let version = 0;
  let ms = 1_763_696_000_000;
  for (const step of script) {
    if ("from" in step) {
      deliver(entries, replicas[step.from]?.vector ?? {}, replicas[step.to]);
      continue;
    }
    const replica = replicas[step.write];
    const origin = ORIGINS[step.write];
    if (replica === undefined || origin === undefined) throw new Error("no such replica");
    const decided = step.decided && replica.version === version;
    // Numbers of a log jump within a document: its other entries belong to other documents.
    const seq = decided ? version + 1 : (seqs[step.write] ?? 0) + 1 + (ms % 3);
    if (decided) version = seq;
    else seqs[step.write] = seq;
    const dot = { origin: decided ? CHAIN : origin, seq };
    const change: Change = {
      document, hlc: encodeHlc(ms++, step.write, "0000000000aa"), region: origin.slice(0, 7), replica: origin.slice(0, 9), actor: "key_1",
      context: copyVector(replica.vector), operations: step.operations, ...(decided ? { version: dot.seq, operationIds: ["op-1"] } : {}),
    };
    const body = encodeChange(change);
    const decoded = JSON.parse(Buffer.from(body).toString()) as Change;
    replica.apply(decoded, dot, identityOf(body));
    entries.push({ dot, change: decoded, body });
  }
  const state = new DocumentState(document);
  for (const { change, dot, body } of entries) state.apply(change, dot, identityOf(body));
  return { entries, state };
}

function deliver(entries: readonly HistoryEntry[], held: Vector, to: DocumentState | undefined): void {
  if (to === undefined || equalVectors(held, to.vector)) return;
  for (const { change, dot, body } of entries) {
    if ((held[dot.origin] ?? 0) >= dot.seq && !to.holds(dot)) to.apply(change, dot, identityOf(body));
  }
}

/** Another order in which each change follows its context and those of its origin. `choose(n)`: a number below n. */
export function reorder(entries: readonly HistoryEntry[], choose: (bound: number) => number): HistoryEntry[] {
  const rest = [...entries];
  const ordered: HistoryEntry[] = [];
  const held: Record<string, number> = {};
  while (rest.length > 0) {
    const ready = rest.filter((entry, i) => dominates(held, entry.change.context) && !rest.slice(0, i).some((other) => other.dot.origin === entry.dot.origin));
    const next = ready[choose(ready.length)];
    if (next === undefined) throw new Error("no change is ready");
    rest.splice(rest.indexOf(next), 1);
    held[next.dot.origin] = next.dot.seq;
    ordered.push(next);
  }
  return ordered;
}

/** A small generator of numbers from a seed, for orders and batches. */
export function chooser(seed: number): (bound: number) => number {
  let state = seed >>> 0;
  return (bound) => {
    state = (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9) >>> 0;
    return state % bound;
  };
}

/** Cuts an order into batches of one to seven. */
export function batches<T>(items: readonly T[], choose: (bound: number) => number): T[][] {
  const cut: T[][] = [];
  for (let start = 0; start < items.length; ) {
    const end = start + 1 + choose(7);
    cut.push(items.slice(start, end));
    start = end;
  }
  return cut;
}
