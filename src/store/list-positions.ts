/**
 * Where a document stood in its list when a reader began to page through it.
 *
 * Invariants:
 *  1. The position shown is the one written last by HLC, those of creations before all others: a later write has seen, or is ordered after, every earlier one.
 *  2. What of a document's writes of its position a replica held is told by its vector, the same in every region that holds them.
 *     So the position at a vector is a function of the two, whatever came since and in whatever order.
 */
import type { Change } from "../core/change.js";
import { CHAIN } from "../core/change.js";
import type { Dot, Section } from "../core/document.js";
import type { Vector } from "../core/vector.js";

/** A write of a document's position. */
export interface Move {
  readonly hlc: string;
  readonly position: number;
  /** Log entries that carry it: one, or for a decided change one a region that logged it. None: from before anything was noted. */
  readonly carriers: (readonly [origin: string, seq: number])[];
}

/** Moves that are remembered of a document. A page of a list that is read after more of them goes by the oldest that is. */
const MOVES_MAX = 16;
const CARRIERS_MAX = 8;
const FIELD = "position";

/** True if a change writes a position; `false` for one that creates its document, since a list that was begun before does not owe it. */
export function moves(change: Change): boolean {
  return change.operations.some((operation) => operation.op === "set" && operation.section === "" && operation.field === FIELD)
    && !change.operations.some((operation) => operation.op === "create" && operation.section === "");
}

/** The moves of a document with one more. `root`: its own section, as it was until then. */
export function withMove(known: readonly Move[] | undefined, root: Section | undefined, change: Change, entry: { readonly origin: string; readonly seq: number } | undefined): readonly Move[] {
  const written = change.operations.findLast((operation) => operation.op === "set" && operation.section === "" && operation.field === FIELD);
  const before = root?.registers.get(FIELD) ?? [];
  const isCreation = (value: Dot): boolean => root?.creations.some(({ origin, seq }) => origin === value.origin && seq === value.seq) === true;
  const earlier = known ?? (before.length > 0
    ? before.map(({ hlc, value, origin, seq }): Move => ({ hlc: isCreation({ origin, seq }) ? "" : hlc, position: numberOf(value), carriers: origin === CHAIN ? [] : [[origin, seq]] }))
    : [{ hlc: "", position: 0, carriers: [] }]);
  const move: Move = { hlc: change.hlc, position: numberOf(written?.op === "set" ? written.value : null), carriers: entry === undefined ? [] : [[entry.origin, entry.seq]] };
  return [move, ...earlier].sort((a, b) => (a.hlc > b.hlc ? -1 : a.hlc < b.hlc ? 1 : 0)).slice(0, MOVES_MAX);
}

/** Notes another log entry that carries a decided move; true if it was noted. */
export function noteCarrier(known: readonly Move[] | undefined, hlc: string, origin: string, seq: number): boolean {
  const move = known?.find((one) => one.hlc === hlc);
  if (move === undefined || move.carriers.length === 0 || move.carriers.length >= CARRIERS_MAX) return false;
  move.carriers.push([origin, seq]);
  return true;
}

/** The position that a replica with this vector showed. */
export function positionAt(document: { readonly position: number; readonly moves?: readonly Move[] | undefined }, vector: Vector): number {
  const { moves: known } = document;
  if (known === undefined) return document.position;
  const held = known.find(({ carriers }) => carriers.length === 0 || carriers.some(([origin, seq]) => (vector[origin] ?? 0) >= seq));
  return (held ?? known.at(-1))?.position ?? document.position;
}

function numberOf(value: unknown): number {
  return typeof value === "number" ? value : 0;
}
