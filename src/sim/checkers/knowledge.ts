/**
 * What an operation must show of a resource, given what it is known to follow; and whether it does.
 *
 * Invariants:
 *  1. Known is what an answer showed, or acknowledged, before the operation that must show it: through a session token, or through an
 *     earlier operation of a group whose members promise each other that (`KnowledgeRules`).
 *  2. A write supersedes what was known to it. Whoever shows a write shows nothing that it superseded. Between writes that did not
 *     know each other nothing is demanded: the field's rule chooses.
 *  3. Each resource stands for itself: a change carries the past of its own document along, not that of others.
 * All operations are gone through once, in order of invocation; each concerns one resource, lists those of their scope.
 * Source: Terry et al., "Session Guarantees for Weakly Consistent Replicated Data", 1994; the patterns of stale reads are those of
 * Bouajjani et al., "On Verifying Causal Consistency", 2017.
 */
import { resourceName, scopeName, type Operation, type Sight } from "../history.js";
import { groupBy, type HistoryIndex, type LogicalWrite } from "../history-index.js";
import { PlaceSet } from "../place-set.js";
import { KnownResource, type Contradiction } from "./known-resource.js";
import { TokenKnowledge } from "./token-knowledge.js";

/** A sight that does not show what it must. */
export interface Staleness extends Contradiction {
  readonly operation: Operation;
  /** `<page>/<type>/<id>` */
  readonly resource: string;
}

/** What operations promise each other beside what their session tokens say. */
export interface KnowledgeRules {
  /** The operations that share what they know; undefined: this one shares nothing. */
  group(operation: Operation): string | undefined;
  /** Those of its group that begin after its answer know what it knew of its resource, and what it wrote. */
  tells(operation: Operation): boolean;
  /** It knows what its group was told. */
  hears(operation: Operation): boolean;
  /** What its answer shows counts as known from then on. */
  learns(operation: Operation): boolean;
  /** Its answer is looked at. */
  checks(operation: Operation): boolean;
}

interface Told {
  readonly resource: string;
  readonly group: string;
  readonly known: PlaceSet;
}

export interface KnowledgeReport {
  readonly stale: readonly Staleness[];
  readonly resources: ReadonlyMap<string, KnownResource>;
  readonly checked: number;
}

/** `touched`: resources that writes of other resources change, too. */
export function staleSights(index: HistoryIndex, rules: KnowledgeRules, touched: ReadonlySet<string>): KnowledgeReport {
  return new KnowledgePass(index, rules, touched).run();
}

class KnowledgePass {
  private readonly resources = new Map<string, KnownResource>();
  private readonly byScope: ReadonlyMap<string, readonly KnownResource[]>;
  private readonly tokens: TokenKnowledge;
  /** Operations that tell others, by time of return; `heard` of them have returned by now. */
  private readonly returning: readonly Operation[];
  private heard = 0;
  private readonly telling = new Map<number, Told>();
  /** `<group> <resource>` → what is known there. */
  private readonly told = new Map<string, PlaceSet>();
  private readonly stale: Staleness[] = [];
  private checked = 0;

  constructor(private readonly index: HistoryIndex, private readonly rules: KnowledgeRules, touched: ReadonlySet<string>) {
    for (const record of index.resources.values()) if (record.writes.length > 0) this.resources.set(record.name, new KnownResource(record, index, touched.has(record.name)));
    this.byScope = groupBy(this.resources.values(), ({ record }) => record.scope);
    const { operations } = index.history;
    this.tokens = new TokenKnowledge(operations);
    this.returning = operations.filter((operation) => operation.returnedAtMs !== undefined && rules.group(operation) !== undefined && rules.tells(operation)).sort((a, b) => (a.returnedAtMs ?? 0) - (b.returnedAtMs ?? 0));
  }

  run(): KnowledgeReport {
    for (const operation of this.index.history.operations) {
      this.hear(operation.invokedAtMs);
      const learned = new Map<string, PlaceSet>();
      const write = this.index.write(operation);
      if (operation.kind === "list") this.list(operation, learned);
      else {
        const resource = this.resources.get(write?.resource ?? resourceName(operation.subject) ?? "");
        // The sight of a deletion's answer is none of the resource.
        if (resource !== undefined) this.look(operation, resource, write, write?.kind === "delete" ? undefined : operation.returned?.sight, learned);
      }
      // A refusal was judged on a state that includes what the token saw.
      this.tokens.pass(operation, operation.outcome === "ok" || operation.outcome === "precondition" ? operation.tokenOut : undefined, learned);
    }
    return { stale: this.stale, resources: this.resources, checked: this.checked };
  }

  /** Takes in what operations told that returned before a time. */
  private hear(beforeMs: number): void {
    for (let next = this.returning[this.heard]; next !== undefined && (next.returnedAtMs ?? 0) < beforeMs; next = this.returning[++this.heard]) {
      const told = this.telling.get(next.id);
      if (told === undefined) continue;
      this.telling.delete(next.id);
      const key = `${told.group} ${told.resource}`;
      this.told.set(key, (this.told.get(key) ?? PlaceSet.NONE).union(told.known));
    }
  }

  private list(operation: Operation, learned: Map<string, PlaceSet>): void {
    const { subject, returned, outcome } = operation;
    if (returned?.list === undefined || outcome !== "ok") return;
    const scope = scopeName(subject);
    const items = new Map<string, Sight>(returned.list.items.map((item) => [`${scope}/${item.id}`, item]));
    for (const resource of this.byScope.get(scope) ?? []) {
      // Also that it is not in a list is a sight of it.
      const sight = items.get(resource.record.name) ?? (returned.list.complete ? { found: false } : undefined);
      if (sight !== undefined) this.look(operation, resource, undefined, sight, learned);
    }
  }

  private look(operation: Operation, resource: KnownResource, write: LogicalWrite | undefined, sight: Sight | undefined, learned: Map<string, PlaceSet>): void {
    const { rules } = this;
    const { name } = resource.record;
    const group = rules.group(operation);
    let known = this.tokens.of(operation, name) ?? PlaceSet.NONE;
    if (group !== undefined && rules.hears(operation)) known = known.union(this.told.get(`${group} ${name}`) ?? PlaceSet.NONE);
    if (write !== undefined) resource.asked(write, known);
    if (operation.outcome !== "ok") {
      learned.set(name, known);
      return;
    }
    let after = known;
    if (sight !== undefined) {
      const seen = resource.shown(sight, known);
      // A replayed answer shows what was then.
      if (operation.replayed !== true && rules.checks(operation)) {
        this.checked++;
        for (const contradiction of resource.contradictions(sight, known, seen, operation.returnedAtMs ?? Number.POSITIVE_INFINITY)) this.stale.push({ ...contradiction, operation, resource: name });
      }
      if (rules.learns(operation)) after = after.union(seen);
    }
    if (write !== undefined) after = after.union(resource.effectOf(write));
    if (group !== undefined && rules.tells(operation)) this.telling.set(operation.id, { resource: name, group, known: after });
    learned.set(name, after);
  }
}
