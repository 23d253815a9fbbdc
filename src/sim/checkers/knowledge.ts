/**
 * What an operation must show of one resource, given what it is known to follow; and whether it does.
 *
 * Invariants:
 *  1. Known is what an answer showed, or acknowledged, before the operation that must show it: through a session token, or (`quorum`)
 *     through an earlier GLOBAL_QUORUM operation.
 *  2. A write supersedes what was known to it. Whoever shows a write shows nothing that it superseded. Between writes that did not
 *     know each other nothing is demanded: the field's rule chooses.
 *  3. Only one resource at a time: a change carries the past of its own document along, not that of others.
 * Source: Terry et al., "Session Guarantees for Weakly Consistent Replicated Data", 1994; the patterns of stale reads are those of
 * Bouajjani et al., "On Verifying Causal Consistency", 2017.
 */
import { scopeName, type Operation, type Sight } from "../history.js";
import { canonical, type HistoryIndex, type LogicalWrite, type ResourceRecord } from "../history-index.js";
import { isTelling } from "./register.js";

/** A set of the resource's writes; bit `writes.length` says that it was seen to be deleted. */
type Known = bigint;

/** A sight that does not show what it must. */
export interface Staleness {
  readonly operation: Operation;
  /** The write that is not respected, where one can be named. */
  readonly ignored: LogicalWrite | undefined;
  /** True if the operation was told of it before; false if it is contradicted by what the same answer shows beside it. */
  readonly toldBefore: boolean;
  /** In words, without the operation. */
  readonly what: string;
}

export interface KnowledgeOptions {
  /** Earlier GLOBAL_QUORUM operations count as told, and only GLOBAL_QUORUM reads are checked. */
  readonly quorum: boolean;
  /** From when on nobody is owed a write any more; infinite for most. */
  owedUntilMs(write: LogicalWrite): number;
}

export class ResourceKnowledge {
  private readonly writes: readonly LogicalWrite[];
  private readonly places: ReadonlyMap<LogicalWrite, number>;
  private readonly deletedBit: bigint;
  /** Writes that need not be shown from a time on. */
  private readonly remitted: readonly { readonly bits: Known; readonly sinceMs: number }[];
  /** What each write superseded: known before every request for it. */
  private readonly pasts: (Known | undefined)[] = [];
  private readonly byToken = new Map<string, Known>();
  private readonly found: Staleness[] = [];
  /** GLOBAL_QUORUM operations by time of return, and what those that have returned told. */
  private readonly returning: readonly Operation[];
  private returned = 0;
  private told: Known = 0n;
  private readonly tells = new Map<number, Known>();
  /** By operation, lists left out. */
  private readonly sights: ReadonlyMap<number, Sight>;
  checked = 0;

  /** `operations`: those of the history that hand on or take a token, or concern the scope, by time of invocation. */
  constructor(
    private readonly record: ResourceRecord,
    private readonly index: HistoryIndex,
    private readonly operations: readonly Operation[],
    private readonly options: KnowledgeOptions,
    private readonly touched: boolean,
  ) {
    this.writes = record.writes;
    this.places = new Map(this.writes.map((write, place) => [write, place]));
    this.sights = new Map(record.sights.filter(({ operation }) => operation.kind !== "list").map(({ operation, sight }) => [operation.id, sight]));
    this.deletedBit = 1n << BigInt(this.writes.length);
    this.remitted = this.writes
      .map((write, place) => ({ bits: this.bit(place) | (write.kind === "delete" ? this.deletedBit : 0n), sinceMs: options.owedUntilMs(write) }))
      .filter(({ sinceMs }) => sinceMs < Number.POSITIVE_INFINITY);
    this.returning = !options.quorum ? [] : operations.filter(({ level, returnedAtMs }) => level === "GLOBAL_QUORUM" && returnedAtMs !== undefined).sort((a, b) => (a.returnedAtMs ?? 0) - (b.returnedAtMs ?? 0));
  }

  run(): readonly Staleness[] {
    for (const operation of this.operations) {
      this.hear(operation.invokedAtMs);
      let known = operation.tokenIn === undefined ? 0n : (this.byToken.get(operation.tokenIn.text) ?? 0n);
      if (this.options.quorum && operation.level === "GLOBAL_QUORUM") known |= this.told;
      const write = this.index.write(operation);
      const place = write === undefined ? undefined : this.places.get(write);
      if (place !== undefined) this.pasts[place] = (this.pasts[place] ?? known) & known;
      if (operation.outcome !== "ok") {
        // A refusal was judged on a state that includes what the token saw.
        if (operation.outcome === "precondition") this.remember(operation, known);
        continue;
      }
      let after = known;
      const sight = this.sightOf(operation, write);
      if (sight !== undefined) {
        const seen = this.shown(sight, known);
        if (this.isChecked(operation)) this.check(operation, sight, known, seen);
        if (!this.options.quorum || operation.kind === "read") after |= seen;
      }
      if (place !== undefined && write !== undefined) after |= this.bit(place) | (this.pasts[place] ?? 0n) | (write.kind === "delete" ? this.deletedBit : 0n);
      this.tells.set(operation.id, after);
      this.remember(operation, after);
    }
    return this.found;
  }

  private remember({ tokenOut }: Operation, known: Known): void {
    if (tokenOut !== undefined) this.byToken.set(tokenOut.text, (this.byToken.get(tokenOut.text) ?? 0n) | known);
  }

  /** Takes in what GLOBAL_QUORUM operations told that returned before a time. */
  private hear(beforeMs: number): void {
    for (let next = this.returning[this.returned]; next !== undefined && (next.returnedAtMs ?? 0) < beforeMs; next = this.returning[++this.returned]) this.told |= this.tells.get(next.id) ?? 0n;
  }

  private bit(place: number): bigint {
    return 1n << BigInt(place);
  }

  private isChecked({ level, kind, replayed }: Operation): boolean {
    // A replayed answer shows what was then.
    return replayed !== true && (this.options.quorum ? level === "GLOBAL_QUORUM" && kind === "read" : true);
  }

  /** What the answer shows of the resource; also that it is not in a list. */
  private sightOf({ kind, subject, returned, id }: Operation, write: LogicalWrite | undefined): Sight | undefined {
    if (kind === "list") {
      if (scopeName(subject) !== this.record.scope || returned?.list === undefined) return undefined;
      const item = returned.list.items.find((listed) => `${this.record.scope}/${listed.id}` === this.record.name);
      return item ?? (returned.list.complete ? { found: false } : undefined);
    }
    if (write?.kind === "delete") return undefined;
    return this.sights.get(id);
  }

  /** The writes that a sight shows, and what those knew. */
  private shown(sight: Sight, known: Known): Known {
    if (!sight.found) return known === 0n ? 0n : known | this.deletedBit;
    let seen: Known = 0n;
    const add = (writers: readonly LogicalWrite[]): void => {
      const [writer] = writers;
      const place = writer === undefined || writers.length !== 1 ? undefined : this.places.get(writer);
      if (place !== undefined) seen |= this.bit(place) | (this.pasts[place] ?? 0n);
    };
    for (const [field, value] of Object.entries(sight.fields ?? {})) if (isTelling(value)) add(this.index.writersOfField(this.record.name, field, value));
    for (const [set, elements] of Object.entries(sight.sets ?? {})) for (const element of elements) add(this.index.writersOfElement(this.record.name, set, element));
    return seen;
  }

  private check(operation: Operation, sight: Sight, told: Known, seen: Known): void {
    this.checked++;
    const known = told & ~this.remittedBy(operation.returnedAtMs ?? Number.POSITIVE_INFINITY);
    const all = known | (sight.found ? seen & ~this.remittedBy(operation.returnedAtMs ?? Number.POSITIVE_INFINITY) : 0n);
    if (all === 0n) return;
    if (!sight.found) this.checkMissing(operation, known);
    else if ((known & this.deletedBit) !== 0n) this.stale(operation, this.writes.find(({ kind }, place) => kind === "delete" && (known & this.bit(place)) !== 0n), known, "it is shown although it was known to be deleted");
    else {
      for (const [field, value] of Object.entries(sight.fields ?? {})) this.checkField(operation, field, value, known, all);
      for (const [set, elements] of Object.entries(sight.sets ?? {})) this.checkSet(operation, set, new Set(elements), known, all);
    }
  }

  private remittedBy(ms: number): Known {
    return this.remitted.reduce((bits, remitted) => (remitted.sinceMs <= ms ? bits | remitted.bits : bits), 0n);
  }

  private checkMissing(operation: Operation, known: Known): void {
    if (this.touched || this.writes.some(({ kind, invokedAtMs }) => kind === "delete" && invokedAtMs <= (operation.returnedAtMs ?? Number.POSITIVE_INFINITY))) return;
    const ignored = this.writes.find((_, place) => (known & this.bit(place)) !== 0n);
    this.stale(operation, ignored, known, "it is not there, although it was known to exist and nobody deleted it");
  }

  private checkField(operation: Operation, field: string, value: NonNullable<Sight["fields"]>[string], known: Known, all: Known): void {
    const writers = this.index.writersOfField(this.record.name, field, value);
    // Who else may have written it is not recorded, or many did.
    if (this.touched && !isTelling(value)) return;
    const others = this.writes.filter((write, place) => (all & this.bit(place)) !== 0n && write.written.fields?.[field] !== undefined && !writers.includes(write));
    if (writers.length === 0) {
      const [ignored] = others;
      if (ignored !== undefined) this.stale(operation, ignored, known, `${field} is ${JSON.stringify(value)}, as before the run or as made by nobody`);
      return;
    }
    const supersededBy = writers.map((writer) => others.find((other) => ((this.pasts[this.places.get(other) ?? 0] ?? 0n) & this.bit(this.places.get(writer) ?? 0)) !== 0n));
    const [ignored] = supersededBy;
    if (ignored !== undefined && supersededBy.every((other) => other !== undefined)) this.stale(operation, ignored, known, `${field} is ${JSON.stringify(value)}, which had been replaced by ${canonical(ignored.written.fields?.[field] ?? null)}`);
  }

  private checkSet(operation: Operation, set: string, elements: ReadonlySet<string>, known: Known, all: Known): void {
    const byMs = operation.returnedAtMs ?? Number.POSITIVE_INFINITY;
    for (const [place, write] of this.writes.entries()) {
      if ((all & this.bit(place)) === 0n) continue;
      for (const element of write.written.added?.[set] ?? []) {
        const removable = this.writes.some((other) => other.invokedAtMs <= byMs && other.written.removed?.[set]?.includes(element) === true);
        if (!elements.has(element) && !removable) this.stale(operation, write, known, `${set} lacks ${JSON.stringify(element)}, which nobody removed`);
      }
      for (const element of write.written.removed?.[set] ?? []) {
        const adders = this.index.writersOfElement(this.record.name, set, element);
        const past = this.pasts[place] ?? 0n;
        const allSeen = adders.length > 0 && adders.every((adder) => (past & this.bit(this.places.get(adder) ?? 0)) !== 0n);
        if (elements.has(element) && allSeen) this.stale(operation, write, known, `${set} has ${JSON.stringify(element)}, which had been removed`);
      }
    }
  }

  private stale(operation: Operation, ignored: LogicalWrite | undefined, known: Known, what: string): void {
    const place = ignored === undefined ? undefined : this.places.get(ignored);
    this.found.push({ operation, ignored, toldBefore: place === undefined || (known & this.bit(place)) !== 0n, what });
  }
}

/** The operations that matter for what is known of a resource, for each scope. */
export function relevantOperations(operations: readonly Operation[], record: ResourceRecord, index: HistoryIndex): Operation[] {
  return operations.filter((operation) => operation.tokenIn !== undefined || operation.tokenOut !== undefined || scopeName(operation.subject) === record.scope || index.write(operation)?.resource === record.name);
}
