/**
 * No acknowledged write is lost: after healing each stands in a history, or is shown, or listed as a conflict, or was replaced by a
 * write that may have seen it. Updates and labels are all kept. And nothing is there that was refused, or that nobody wrote.
 */
import { isWrite, resourceName, type History, type Operation } from "../history.js";
import { canonical, HistoryIndex, type LogicalWrite, type ResourceRecord } from "../history-index.js";
import { Findings, tell, type Checker, type Verdict } from "../verdict.js";
import { FinalDocuments, type ObservedDocument } from "./final-documents.js";
import { mayBeForgotten } from "./forgetting.js";
import { isTelling } from "./register.js";

const PROMISED = "No write that was acknowledged disappears.";

export const lostWrites: Checker = {
  name: "lost-writes",
  promise: "No acknowledged write is lost: it is shown, or stands in the history, or was replaced by a write that followed it. Nothing refused takes effect.",
  check(history: History): Verdict {
    const findings = new Findings();
    if (history.final.length === 0) return findings.verdict();
    const index = new HistoryIndex(history);
    const finals = new FinalDocuments(history);
    for (const write of index.writes) {
      if (!write.certain) continue;
      if (write.resource === undefined || mayBeForgotten(write, history)) continue;
      const observed = finals.of(write.resource);
      const record = index.resources.get(write.resource);
      if (record !== undefined) checkKept(write, record, observed, history, findings);
    }
    for (const record of index.resources.values()) checkGone(record, finals.of(record.name), history, findings);
    checkRefused(history, finals, index, findings);
    return findings.verdict();
  },
};

function checkKept(write: LogicalWrite, record: ResourceRecord, observed: readonly ObservedDocument[], history: History, findings: Findings): void {
  if (observed.length === 0) {
    findings.cannotDecide(`Nobody looked at ${record.name} in the end.`);
    return;
  }
  findings.checked();
  if (observed.length < history.final.length) {
    const without = history.final.map(({ replica }) => replica).filter((replica) => observed.every((document) => document.replica !== replica));
    findings.violation(PROMISED, `${record.name} is unknown at ${without.join(", ")} in the end, although ${write.operations.map(tell).join(", ")}.`, write.operations);
  }
  for (const what of missingOf(write, record, observed)) findings.violation(PROMISED, `${what} of ${record.name} is nowhere in the end: neither shown, nor in a history, nor under conflicts. It was written by ${write.operations.map(tell).join(", ")}.`, write.operations);
}

function missingOf(write: LogicalWrite, record: ResourceRecord, observed: readonly ObservedDocument[]): string[] {
  const { kind, written: { fields = {}, added = {} } } = write;
  const entries = observed.flatMap((document) => document.history ?? []);
  const hasHistory = observed.some((document) => document.history !== undefined);
  const wasDeleted = record.writes.some((other) => other.kind === "delete");
  const missing: string[] = [];
  if (hasHistory && kind === "delete" && !entries.some(({ field }) => field === "deleted")) missing.push("the deletion");
  if (hasHistory && kind === "create" && !entries.some(({ field }) => field === "created")) missing.push("the creation");
  for (const [field, value] of Object.entries(fields)) {
    const text = canonical(value);
    const inHistory = entries.some((entry) => entry.field === field && canonical(entry.to) === text);
    const isShown = observed.some(({ sight, conflicts = [] }) => canonical(sight.fields?.[field] ?? null) === text || conflicts.some((conflict) => conflict.field === field && conflict.values.some((sibling) => canonical(sibling.value) === text)));
    if (inHistory || isShown) continue;
    // A value that was there already makes no entry, and without a history the replaced ones are forgotten.
    if (hasHistory ? isTelling(value) : !wasDeleted && isLooked(observed, field) && !mayBeReplaced(write, field, record)) missing.push(`${field} ${text}`);
  }
  for (const [set, elements] of Object.entries(added)) {
    for (const element of elements) {
      if (entries.some(({ to }) => to === element) || observed.some(({ sight }) => sight.sets?.[set]?.includes(element) === true)) continue;
      const wasRemoved = record.writes.some((other) => other.written.removed?.[set]?.includes(element) === true);
      if (hasHistory || (!wasDeleted && !wasRemoved && observed.some(({ sight }) => sight.sets?.[set] !== undefined))) missing.push(`${JSON.stringify(element)} in ${set}`);
    }
  }
  return missing;
}

function isLooked(observed: readonly ObservedDocument[], field: string): boolean {
  return observed.some(({ sight }) => sight.fields?.[field] !== undefined);
}

/** Another write of the field that did not certainly come before it. */
function mayBeReplaced(write: LogicalWrite, field: string, { writes }: ResourceRecord): boolean {
  const atQuorum = ({ operations }: LogicalWrite): boolean => operations.every(({ level }) => level === "GLOBAL_QUORUM");
  return writes.some((other) => other !== write && other.written.fields?.[field] !== undefined && !(other.returnedAtMs < write.invokedAtMs && atQuorum(other) && atQuorum(write)));
}

/** What was created is there in the end, unless somebody asked for its deletion. */
function checkGone({ name, writes }: ResourceRecord, observed: readonly ObservedDocument[], history: History, findings: Findings): void {
  if (writes.some(({ kind }) => kind === "delete")) return;
  const created = writes.filter((write) => write.certain && !mayBeForgotten(write, history));
  const gone = observed.filter(({ sight }) => !sight.found);
  if (created.length === 0 || gone.length === 0) return;
  findings.violation(PROMISED, `${name} is gone at ${gone.map(({ replica }) => replica).join(", ")} in the end, and nobody deleted it.`, created.flatMap(({ operations }) => operations));
}

/** A value whose only writers were told that nothing was written is nowhere. */
function checkRefused(history: History, finals: FinalDocuments, index: HistoryIndex, findings: Findings): void {
  const keys = new Set(history.operations.filter((operation) => index.write(operation) !== undefined).map(({ idempotencyKey }) => idempotencyKey));
  for (const operation of history.operations) {
    const { kind, outcome, status, subject, written, idempotencyKey } = operation;
    const name = resourceName(subject);
    // A write that took effect just before the resource was deleted is answered 404 too.
    if (!isWrite(kind) || name === undefined || status === 404 || !(outcome === "rejected" || outcome === "refused" || outcome === "precondition")) continue;
    if (idempotencyKey !== undefined && keys.has(idempotencyKey)) continue;
    for (const [field, value] of Object.entries(written?.fields ?? {})) {
      if (!isTelling(value) || index.writersOfField(name, field, value).length > 0) continue;
      findings.checked();
      const text = canonical(value);
      const places = finals.of(name).filter(({ sight, history: entries = [] }) => canonical(sight.fields?.[field] ?? null) === text || entries.some((entry) => entry.field === field && canonical(entry.to) === text));
      if (places.length > 0) findings.violation("A write that was refused or rejected was not and will not be written.", `${field} ${text} of ${name} is held at ${places.map(({ replica }) => replica).join(", ")}, although ${tell(operation)}.`, [operation]);
    }
    checkRefusedElements(operation, name, finals, index, findings);
  }
}

function checkRefusedElements(operation: Operation, name: string, finals: FinalDocuments, index: HistoryIndex, findings: Findings): void {
  for (const [set, elements] of Object.entries(operation.written?.added ?? {})) {
    for (const element of elements) {
      if (index.writersOfElement(name, set, element).length > 0) continue;
      const places = finals.of(name).filter(({ sight }) => sight.sets?.[set]?.includes(element) === true);
      if (places.length > 0) findings.violation("A write that was refused or rejected was not and will not be written.", `${set} of ${name} has ${JSON.stringify(element)} at ${places.map(({ replica }) => replica).join(", ")}, although ${tell(operation)}.`, [operation]);
    }
  }
}
