/** What was deleted stays deleted: at the replica that said so, for every later quorum operation, and everywhere in the end. Ids are never used again. */
import type { History } from "../history.js";
import { HistoryIndex, type LogicalWrite, type ResourceRecord, type ResourceSight } from "../history-index.js";
import { Findings, tell, type Checker, type Verdict } from "../verdict.js";
import { FinalDocuments } from "./final-documents.js";
import { forgetfulReplicas, mayBeForgotten } from "./forgetting.js";

const PROMISED = "A delete wins: 404 everywhere, and nothing comes back.";

export const resurrection: Checker = {
  name: "resurrection",
  promise: "What was deleted never comes back, and its id is never used again.",
  check(history: History): Verdict {
    const findings = new Findings();
    const index = new HistoryIndex(history);
    const finals = new FinalDocuments(history);
    const forgetful = forgetfulReplicas(history);
    for (const record of index.resources.values()) {
      const deletes = record.writes.filter(({ kind }) => kind === "delete");
      if (deletes.length === 0) continue;
      findings.checked();
      const places = new Map<string, { readonly sinceMs: number; readonly because: string }>();
      for (const sight of inOrder(record, deletes)) checkSight(sight, record, deletes, places, forgetful, findings);
      checkCreates(record, deletes, findings);
      checkEnd(record, deletes.filter((write) => !mayBeForgotten(write, history)), finals, findings);
    }
    return findings.verdict();
  },
};

/** Sights by the time of their answer, and what deletes were acknowledged. */
function inOrder(record: ResourceRecord, deletes: readonly LogicalWrite[]): ResourceSight[] {
  const said = deletes.flatMap(({ operations }) =>
    operations.filter(({ outcome }) => outcome === "ok").map((operation): ResourceSight => ({ operation, sight: { found: false }, sinceMs: operation.invokedAtMs, untilMs: operation.returnedAtMs ?? Number.POSITIVE_INFINITY })));
  return [...record.sights.filter(({ operation }) => operation.kind !== "delete" && operation.replayed !== true), ...said].sort((a, b) => a.untilMs - b.untilMs);
}

/** `places`: where the resource is known to be deleted, and since when: a replica, or `quorum`. */
function checkSight({ operation, sight, untilMs }: ResourceSight, record: ResourceRecord, deletes: readonly LogicalWrite[], places: Map<string, { readonly sinceMs: number; readonly because: string }>, forgetful: ReadonlySet<string>, findings: Findings): void {
  const remembering = forgetful.has(operation.replica) || forgetful.has(operation.region) ? [] : [operation.replica];
  const concerned = [...remembering, ...(operation.level === "GLOBAL_QUORUM" ? ["quorum"] : [])];
  for (const place of concerned) {
    const gone = places.get(place);
    if (sight.found && gone !== undefined && gone.sinceMs < operation.invokedAtMs) {
      findings.violation(PROMISED, `${tell(operation)} shows ${record.name}, which ${place === "quorum" ? "a GLOBAL_QUORUM operation" : place} had known to be deleted: ${gone.because}.`, [operation, ...deletes.flatMap(({ operations }) => operations)]);
    }
    // A 404 before anything was created is no deletion.
    const isDeletion = operation.kind === "delete" || wasThere(record, place, operation.invokedAtMs);
    if (!sight.found && isDeletion && gone === undefined) places.set(place, { sinceMs: untilMs, because: tell(operation) });
  }
}

function wasThere({ sights }: ResourceRecord, place: string, beforeMs: number): boolean {
  return sights.some(({ operation, sight, untilMs }) => sight.found && untilMs < beforeMs && (place === "quorum" ? operation.level === "GLOBAL_QUORUM" : operation.replica === place));
}

function checkCreates({ name, writes }: ResourceRecord, deletes: readonly LogicalWrite[], findings: Findings): void {
  const firstMs = Math.min(...deletes.map(({ returnedAtMs }) => returnedAtMs));
  const gone = deletes.find(({ returnedAtMs }) => returnedAtMs === firstMs);
  for (const write of writes) {
    if (write.kind !== "create" || !write.certain || write.invokedAtMs <= firstMs || gone === undefined) continue;
    const sameReplica = write.operations.some(({ replica, level }) => level === "GLOBAL_QUORUM" || gone.operations.some((operation) => operation.replica === replica));
    if (sameReplica) findings.violation("Ids are never used again.", `${write.operations.map(tell).join(", ")} made ${name} again after ${gone.operations.map(tell).join(", ")}.`, [...write.operations, ...gone.operations]);
  }
}

function checkEnd({ name, scope }: ResourceRecord, deletes: readonly LogicalWrite[], finals: FinalDocuments, findings: Findings): void {
  const certain = deletes.find((write) => write.certain);
  if (certain === undefined) return;
  for (const { replica, sight } of finals.of(name)) {
    if (sight.found) findings.violation(PROMISED, `${name} is there at ${replica} in the end, although ${certain.operations.map(tell).join(", ")}.`, certain.operations);
  }
  const id = name.slice(scope.length + 1);
  for (const { replica, lists } of finals.observations) {
    if (lists?.[scope]?.includes(id) === true) findings.violation(PROMISED, `${name} is in the list of ${replica} in the end, although ${certain.operations.map(tell).join(", ")}.`, certain.operations);
  }
}
