/**
 * Concurrent values that are not shown are listed under conflicts until someone resolves them, and the one that is shown is the one
 * that the field's rule names. The rule is written down here a second time, from the contract, so that an error in the product's
 * table does not excuse itself.
 *
 * Where entries tell what their author saw (`dot`, `context`) the values that must be listed are known exactly. Where they do not, two
 * writes that both replaced the same unique value are known to be concurrent.
 */
import type { Json } from "../../core/change.js";
import type { Conflict, History, RecordedEntry } from "../history.js";
import { canonical } from "../history-index.js";
import { Findings, type Checker, type Verdict } from "../verdict.js";
import { FinalDocuments, type ObservedDocument } from "./final-documents.js";
import { isTelling } from "./register.js";

/** From best to worst. Source: "What concurrent writes become" of the HTTP contract. */
const STATUSES: readonly Json[] = ["operational", "under_maintenance", "degraded_performance", "partial_outage", "major_outage"];
const IMPACTS: readonly Json[] = ["none", "minor", "major", "critical"];
const CLOSED: readonly Json[] = ["resolved", "postmortem"];

type Rule = "worst" | "reopening" | "later";

function ruleOf(type: string, field: string): Rule {
  if (type === "component" && field === "status") return "worst";
  if ((type === "incident" || type === "maintenance") && field.startsWith("components.")) return "worst";
  if (type === "incident" && field === "impact_override") return "worst";
  return type === "incident" && field === "status" ? "reopening" : "later";
}

interface Value {
  readonly value: Json;
  readonly hlc: string;
  /** What it replaced, where that is known. */
  readonly was: Json | undefined;
  /** It came with the creation of the resource or of the element, and so before every edit. */
  readonly created: boolean;
}

/** The value that must be shown among concurrent ones. */
function expectedOf(rule: Rule, values: readonly Value[]): Value | undefined {
  const edits = values.filter(({ created }) => !created);
  const latestFirst = [...(edits.length > 0 ? edits : values)].sort((a, b) => (a.hlc > b.hlc ? -1 : 1));
  if (rule === "worst") {
    const severity = ({ value }: Value): number => Math.max(STATUSES.indexOf(value), IMPACTS.indexOf(value));
    return latestFirst.reduce<Value | undefined>((worst, value) => (worst === undefined || severity(value) > severity(worst) ? value : worst), undefined);
  }
  const open = latestFirst.filter(({ value }) => !CLOSED.includes(value));
  const reopened = rule === "reopening" && open.some(({ was }) => was !== undefined && CLOSED.includes(was));
  return (reopened ? open : latestFirst)[0];
}

export const conflictsListed: Checker = {
  name: "conflicts",
  promise: "Concurrent values that are not shown are listed under conflicts until resolved, and the field's rule chooses the one that is shown.",
  check(history: History): Verdict {
    const findings = new Findings();
    const finals = new FinalDocuments(history);
    const clocksAgree = !history.faults.some(({ kind }) => kind.startsWith("clock-"));
    for (const name of finals.names()) {
      const entries = finals.entriesOf(name);
      for (const document of finals.of(name)) {
        if (!document.sight.found) continue;
        new DocumentCheck(name, document, entries, findings, clocksAgree).run();
      }
    }
    return findings.verdict();
  },
};

class DocumentCheck {
  private readonly byField: ReadonlyMap<string, readonly RecordedEntry[]>;

  constructor(
    private readonly name: string,
    private readonly document: ObservedDocument,
    entries: readonly RecordedEntry[],
    private readonly findings: Findings,
    private readonly clocksAgree: boolean,
  ) {
    const byField = new Map<string, RecordedEntry[]>();
    for (const entry of entries) byField.set(entry.field, [...(byField.get(entry.field) ?? []), entry]);
    this.byField = byField;
  }

  run(): void {
    const { conflicts, sight } = this.document;
    if (conflicts !== undefined) {
      for (const conflict of conflicts) this.checkListed(conflict);
      if (sight.hasConflicts !== undefined && sight.hasConflicts !== conflicts.length > 0) this.wrong(`has_conflicts is ${sight.hasConflicts} beside ${conflicts.length} conflicts`);
    }
    for (const [field, entries] of this.byField) this.checkField(field, entries);
  }

  private wrong(what: string): void {
    this.findings.violation(conflictsListed.promise, `At ${this.document.replica} ${this.name} in the end: ${what}.`);
  }

  private checkListed({ field, values, shown }: Conflict): void {
    this.findings.checked();
    const entries = this.byField.get(field);
    const told = values.map(({ value, hlc }): Value => ({ value, hlc, was: entries?.find((entry) => entry.hlc === hlc)?.from, created: this.isCreated(field, hlc) }));
    const expected = expectedOf(ruleOf(this.document.resource.type, field), told);
    if (values.length < 2) this.wrong(`a conflict of ${field} with ${values.length} values`);
    if (expected !== undefined && canonical(expected.value) !== canonical(shown)) this.wrong(`${field} shows ${canonical(shown)} where the rule says ${canonical(expected.value)}`);
    const viewed = this.document.sight.fields?.[field];
    if (viewed !== undefined && canonical(viewed) !== canonical(shown)) this.wrong(`${field} is ${canonical(viewed)} in the view and ${canonical(shown)} under conflicts`);
    for (const { value, hlc } of values) {
      if (entries !== undefined && !entries.some((entry) => entry.hlc === hlc && canonical(entry.to) === canonical(value))) this.wrong(`${field} lists ${canonical(value)}, which is not in the history`);
    }
  }

  /** True if the change of this time brought into being what the field belongs to. */
  private isCreated(field: string, hlc: string): boolean {
    const element = this.byField.get(`${field.split(".", 1)[0] ?? ""}.created`);
    return (element ?? this.byField.get("created"))?.some((entry) => entry.hlc === hlc) === true;
  }

  /** What a creation says, but for the time: equal for one request that was repeated where the first one was not known. */
  private contentOf({ dot }: RecordedEntry): string {
    const said = [...this.byField].flatMap(([field, entries]) => entries.filter((entry) => entry.dot?.origin === dot?.origin && entry.dot?.seq === dot?.seq).map(({ to }) => [field, canonical(to)].join()));
    return said.sort().join("\n");
  }

  /** The entries that no other entry's author had seen: nor, of a creation, another one that says the same. Of the entries of one change the last (first in the list, which is newest first) counts. */
  private siblingsOf(field: string, entries: readonly RecordedEntry[]): RecordedEntry[] {
    const isSeen = ({ dot }: RecordedEntry): boolean => dot !== undefined && entries.some(({ context }) => (context?.[dot.origin] ?? 0) >= dot.seq);
    const isCreation = (entry: RecordedEntry): boolean => this.isCreated(field, entry.hlc);
    const likes = (entry: RecordedEntry): readonly RecordedEntry[] => (isCreation(entry) ? entries.filter((other) => isCreation(other) && this.contentOf(other) === this.contentOf(entry)) : [entry]);
    return entries.filter((entry, place) =>
      entry.dot !== undefined && !likes(entry).some(isSeen) && entries.findIndex(({ dot }) => dot?.origin === entry.dot?.origin && dot?.seq === entry.dot?.seq) === place);
  }

  private checkField(field: string, entries: readonly RecordedEntry[]): void {
    // Entries of sets (labels) and of bookkeeping name no register.
    const viewed = this.document.sight.fields?.[field];
    this.checkCreated(field, entries, viewed);
    const listed = this.document.conflicts?.find((conflict) => conflict.field === field);
    const exact = entries.every(({ dot, context }) => dot !== undefined && context !== undefined);
    if (exact && (viewed !== undefined || listed !== undefined)) this.checkExactly(field, this.siblingsOf(field, entries), viewed);
    else if (this.clocksAgree && this.document.conflicts !== undefined && (viewed !== undefined || listed !== undefined)) this.checkRivals(field, entries, listed);
  }

  /** An edit has seen a creation, and no creation an edit: where there are edits one of them is shown. */
  private checkCreated(field: string, entries: readonly RecordedEntry[], viewed: Json | undefined): void {
    const edits = entries.filter(({ hlc }) => !this.isCreated(field, hlc));
    if (viewed === undefined || edits.length === 0 || edits.length === entries.length) return;
    this.findings.checked();
    if (!edits.some(({ to }) => canonical(to) === canonical(viewed))) this.wrong(`${field} is ${canonical(viewed)}, as it was created, although it was edited to ${edits.map(({ to }) => canonical(to)).join(", ")}`);
  }

  private checkExactly(field: string, siblings: readonly RecordedEntry[], viewed: Json | undefined): void {
    this.findings.checked();
    const values = siblings.map(({ to, hlc, from }): Value => ({ value: to, hlc, was: from, created: this.isCreated(field, hlc) }));
    const expected = expectedOf(ruleOf(this.document.resource.type, field), values);
    if (viewed !== undefined && expected !== undefined && canonical(viewed) !== canonical(expected.value)) this.wrong(`${field} is ${canonical(viewed)}, and by its history and rule it is ${canonical(expected.value)}`);
    if (this.document.conflicts === undefined) return;
    const distinct = new Set(values.map(({ value }) => canonical(value)));
    const listed = this.document.conflicts.find((conflict) => conflict.field === field)?.values.map(({ value }) => canonical(value)) ?? [];
    const missing = distinct.size < 2 ? [] : [...distinct].filter((value) => !listed.includes(value));
    const tooMany = listed.filter((value) => !distinct.has(value));
    if (missing.length > 0) this.wrong(`${field} has the concurrent values ${[...distinct].join(", ")}, and ${missing.join(", ")} is not under conflicts`);
    if (tooMany.length > 0) this.wrong(`${field} lists ${tooMany.join(", ")} under conflicts, which was replaced`);
  }

  /**
   * Two writes that replaced the same unique value did not know each other. The latest entry stands; a rival of it stands if every later
   * entry is such a rival too, for what replaces a value is stamped later, as long as clocks are not too far apart.
   */
  private checkRivals(field: string, entries: readonly RecordedEntry[], listed: Conflict | undefined): void {
    const [latest, ...others] = [...entries].sort((a, b) => (a.hlc > b.hlc ? -1 : 1));
    if (latest === undefined || !isTelling(latest.from)) return;
    // Who settles a conflict writes a value that was there before: then it does not tell which of the two was replaced.
    if (entries.filter(({ to }) => canonical(to) === canonical(latest.from)).length > 1) return;
    const unlike = others.findIndex(({ from }) => canonical(from) !== canonical(latest.from));
    const rivals = others.slice(0, unlike < 0 ? others.length : unlike).filter(({ to }) => !entries.some(({ from }) => canonical(from) === canonical(to)));
    const distinct = new Set([latest, ...rivals].map(({ to }) => canonical(to)));
    if (distinct.size < 2) return;
    this.findings.checked();
    const shown = new Set(listed?.values.map(({ value }) => canonical(value)) ?? []);
    const missing = [...distinct].filter((value) => !shown.has(value));
    if (missing.length > 0) this.wrong(`${[...distinct].join(", ")} of ${field} replaced ${canonical(latest.from)} without knowing each other, and ${missing.join(", ")} is not under conflicts`);
  }
}
