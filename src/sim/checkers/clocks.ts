/** The HLC of a replica only goes forward, across restarts too, as long as it lives on the same disk; and no two changes share a stamp. */
import { hlcTime, type Hlc } from "../../core/hlc.js";
import { isWrite, type History, type Operation, type RecordedEntry } from "../history.js";
import { canonical, groupBy, HistoryIndex } from "../history-index.js";
import { Findings, tell, type Checker, type Verdict } from "../verdict.js";
import { FinalDocuments } from "./final-documents.js";
import { isTelling } from "./register.js";
import { forgetfulReplicas } from "./forgetting.js";

const PROMISED = "The hybrid logical clock of a replica only goes forward, whatever its wall clock does, across restarts too.";

export const clocks: Checker = {
  name: "clocks",
  promise: PROMISED,
  check(history: History): Verdict {
    const findings = new Findings();
    checkObserved(history, findings);
    const finals = new FinalDocuments(history);
    checkEntries(finals, findings);
    checkWrites(history, finals, findings);
    return findings.verdict();
  },
};

/** What the replica showed as its clock never went back within one incarnation. */
function checkObserved({ stamps = [] }: History, findings: Findings): void {
  for (const [life, shown] of groupBy(stamps, ({ replica, incarnation }) => `${replica}.${incarnation}`)) {
    let latest: Hlc = "";
    for (const { hlc, atMs } of [...shown].sort((a, b) => a.atMs - b.atMs)) {
      findings.checked();
      if (hlc < latest) findings.violation(PROMISED, `${life} showed ${hlcTime(latest)} (${latest}), and at ${atMs} ms ${hlcTime(hlc)} (${hlc}).`);
      else latest = hlc;
    }
  }
}

/** A stamp names its replica, and a change is stamped later than what its author saw. */
function checkEntries(finals: FinalDocuments, findings: Findings): void {
  const owners = new Map<string, string>();
  for (const name of finals.names()) {
    const entries = finals.entriesOf(name);
    for (const entry of entries) {
      findings.checked();
      const node = entry.hlc.slice(20);
      const owner = owners.get(node);
      if (entry.replica !== "genesis") {
        if (owner !== undefined && owner !== entry.replica) findings.violation("No two replicas give the same stamp.", `${owner} and ${entry.replica} both stamp as ${node}.`);
        owners.set(node, entry.replica);
      }
    }
    checkOwnOrder(name, entries, findings);
  }
}

/** The changes of one origin to a document are stamped in their order. */
function checkOwnOrder(name: string, entries: readonly RecordedEntry[], findings: Findings): void {
  const numbered = entries.filter(({ dot }) => dot !== undefined && dot.origin !== "~");
  for (const [origin, own] of groupBy(numbered, ({ dot }) => dot?.origin ?? "")) {
    const ordered = [...own].sort((a, b) => (a.dot?.seq ?? 0) - (b.dot?.seq ?? 0));
    for (const [place, { dot, hlc }] of ordered.entries()) {
      const before = ordered[place - 1];
      if (before !== undefined && before.dot?.seq !== dot?.seq && before.hlc >= hlc) findings.violation(PROMISED, `Change ${dot?.seq} of ${origin} to ${name} is stamped ${hlc}, and change ${before.dot?.seq} before it ${before.hlc}.`);
    }
  }
}

/** Of two writes at one replica the one that was asked for after the other was answered has the later stamp. */
function checkWrites(history: History, finals: FinalDocuments, findings: Findings): void {
  const index = new HistoryIndex(history);
  const forgetful = forgetfulReplicas(history);
  const stamped = history.operations.flatMap((operation) => {
    const hlc = index.write(operation) === undefined || forgetful.has(operation.replica) || forgetful.has(operation.region) ? undefined : stampOf(operation, finals);
    return hlc === undefined ? [] : [{ operation, hlc }];
  });
  for (const own of groupBy(stamped, ({ operation }) => operation.replica).values()) {
    const byReturn = [...own].sort((a, b) => (a.operation.returnedAtMs ?? 0) - (b.operation.returnedAtMs ?? 0));
    let place = 0;
    let latest: (typeof own)[number] | undefined;
    for (const { operation, hlc } of own) {
      for (let earlier = byReturn[place]; earlier !== undefined && (earlier.operation.returnedAtMs ?? 0) < operation.invokedAtMs; earlier = byReturn[++place]) if (latest === undefined || earlier.hlc > latest.hlc) latest = earlier;
      findings.checked();
      if (latest !== undefined && latest.hlc >= hlc) findings.violation(PROMISED, `${tell(operation)} is stamped ${hlc}, and ${tell(latest.operation)}, answered before, ${latest.hlc}.`, [operation, latest.operation]);
    }
  }
}

/** The stamp of an acknowledged LOCAL write, from its answer or from the history: where the replica that answered made the change itself. */
function stampOf(operation: Operation, finals: FinalDocuments): Hlc | undefined {
  const { kind, outcome, level, subject, written, replica, replayed, idempotencyKey } = operation;
  if (!isWrite(kind) || outcome !== "ok" || level === "GLOBAL_QUORUM" || replayed === true || idempotencyKey !== undefined || subject.id === undefined) return undefined;
  const entries = finals.entriesOf(`${subject.page}/${subject.type}/${subject.id}`);
  for (const [field, value] of Object.entries(written?.fields ?? {})) {
    const found = isTelling(value) ? entries.filter((entry) => entry.field === field && entry.replica === replica && canonical(entry.to) === canonical(value)) : [];
    const [only] = found;
    if (only !== undefined && found.length === 1) return only.hlc;
  }
  return undefined;
}
