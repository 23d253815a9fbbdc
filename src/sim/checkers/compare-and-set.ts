/** Of the writes that name one ETag at most one succeeds; and one ETag names one state. */
import { resourceName, type History, type Operation, type Sight } from "../history.js";
import { FORGETTING_FAULTS } from "./forgetting.js";
import { canonical, groupBy, HistoryIndex, ownPartOf, type LogicalWrite, type ResourceRecord } from "../history-index.js";
import { Findings, tell, type Checker, type Verdict } from "../verdict.js";
import { isTelling } from "./register.js";

export const compareAndSet: Checker = {
  name: "compare-and-set",
  promise: "Of several GLOBAL_QUORUM writes with the same ETag, and of several LOCAL writes at one replica, at most one succeeds. An ETag changes whenever the resource does.",
  check(history: History): Verdict {
    const findings = new Findings();
    const index = new HistoryIndex(history);
    for (const record of index.resources.values()) {
      checkSuccesses(record, history, findings);
      checkTags(record, finalSights(history, record.name), findings);
    }
    return findings.verdict();
  },
};

/** A write that leaves another state than it met. */
function changes({ kind, written: { fields = {}, added = {} } }: LogicalWrite): boolean {
  return kind === "delete" || Object.values(fields).some(isTelling) || Object.values(added).some((elements) => elements.length > 0);
}

function checkSuccesses({ name, writes }: ResourceRecord, history: History, findings: Findings): void {
  const succeeded = writes.filter((write) => write.certain && write.ifMatch !== undefined && write.ifMatch !== "*" && changes(write));
  findings.checked(succeeded.length);
  const rivals = groupBy(succeeded, ({ operations, ifMatch }) => {
    const levels = new Set(operations.map(({ level }) => level));
    // At LOCAL it is atomic against one replica's state, as long as that replica remembers it.
    const [only] = operations;
    return levels.has("GLOBAL_QUORUM") && levels.size === 1 ? `${ifMatch}` : operations.length === 1 ? `${ifMatch} at ${only?.replica} ${only === undefined ? 0 : timesForgotten(only, history)}` : `${ifMatch} by ${only?.id}`;
  });
  for (const group of rivals.values()) {
    if (group.length < 2) continue;
    findings.violation(
      "Of the writes that name one ETag at most one succeeds.",
      `${group.length} writes of ${name} with If-Match "${group[0]?.ifMatch}" succeeded: ${group.flatMap(({ operations }) => operations).map(tell).join("; ")}.`,
      group.flatMap(({ operations }) => operations),
    );
  }
}

/** How often the replica of an operation had lost its memory when it was asked. */
function timesForgotten({ replica, invokedAtMs }: Operation, { faults }: History): number {
  return faults.filter(({ kind, targets, fromMs, untilMs }) => FORGETTING_FAULTS.has(kind) && targets.includes(replica) && (untilMs ?? fromMs) <= invokedAtMs).length;
}

function finalSights(history: History, name: string): readonly { readonly sight: Sight; readonly where: string }[] {
  return history.final.flatMap(({ replica, documents }) => documents.filter(({ resource }) => resourceName(resource) === name).map(({ sight }) => ({ sight, where: `the final state at ${replica}` })));
}

/** One tag never stands for two values of a field. */
function checkTags({ name, sights }: ResourceRecord, finals: ReturnType<typeof finalSights>, findings: Findings): void {
  const known = new Map<string, { readonly value: string; readonly where: string; readonly operation: number | undefined }>();
  const look = (sight: Sight, where: string, operation: number | undefined): void => {
    if (!sight.found || sight.etag === undefined) return;
    findings.checked();
    const members: [string, string][] = [
      ...Object.entries(sight.fields ?? {}).map(([field, value]): [string, string] => [field, canonical(value)]),
      ...Object.entries(sight.sets ?? {}).map(([set, elements]): [string, string] => [set, canonical([...elements].sort())]),
    ];
    for (const [member, value] of members) {
      const key = `${ownPartOf(sight.etag)} ${member}`;
      const other = known.get(key);
      if (other === undefined) known.set(key, { value, where, operation });
      else if (other.value !== value) {
        findings.violation(
          "A strong ETag changes whenever the resource does.",
          `ETag "${sight.etag}" of ${name} stands for ${member} ${other.value} in ${other.where}, and for ${value} in ${where}.`,
          [other.operation, operation].filter((id) => id !== undefined),
        );
      }
    }
  };
  for (const { operation, sight } of sights) look(sight, tell(operation), operation.id);
  for (const { sight, where } of finals) look(sight, where, undefined);
}
