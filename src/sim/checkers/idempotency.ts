/** One Idempotency-Key, one write: one resource, one answer, one effect, in whichever region it is repeated. */
import { dominates } from "../../core/vector.js";
import { isWrite, scopeName, type History, type Operation } from "../history.js";
import { canonical, groupBy, HistoryIndex, type LogicalWrite } from "../history-index.js";
import { Findings, tell, type Checker, type Verdict } from "../verdict.js";
import { FinalDocuments } from "./final-documents.js";
import { forgetfulReplicas } from "./forgetting.js";
import { isTelling } from "./register.js";

export const idempotency: Checker = {
  name: "idempotency",
  promise: "Requests with one Idempotency-Key make one resource, get one answer and take effect once, in all regions.",
  check(history: History): Verdict {
    const findings = new Findings();
    const index = new HistoryIndex(history);
    const finals = new FinalDocuments(history);
    const keyed = history.operations.filter(({ kind, idempotencyKey }) => isWrite(kind) && idempotencyKey !== undefined);
    const routes = groupBy(keyed, ({ subject, kind, idempotencyKey }) => JSON.stringify([scopeName(subject), kind === "create" ? "" : (subject.id ?? ""), kind, idempotencyKey]));
    for (const requests of routes.values()) {
      checkAnswers(requests, findings);
      checkReplays(requests, findings);
    }
    const forgetful = forgetfulReplicas(history);
    for (const write of index.writes) {
      checkEffect(write, finals, findings);
      checkEffects(write, finals, forgetful, findings);
    }
    checkDoubles(history, finals, findings);
    return findings.verdict();
  },
};

function checkAnswers(requests: readonly Operation[], findings: Findings): void {
  findings.checked(requests.length);
  const answered = requests.filter(({ outcome }) => outcome === "ok");
  const [first] = answered;
  if (first === undefined) return;
  const told = (others: readonly Operation[]): string => others.map(tell).join("; ");
  const ids = new Set(answered.map(({ subject }) => subject.id));
  if (ids.size > 1) findings.violation("One key makes one resource.", `The same key made ${[...ids].join(" and ")}: ${told(answered)}.`, answered);
  const bodies = new Set(answered.map(({ written, ifMatch }) => canonical([JSON.stringify(written ?? null), ifMatch ?? null])));
  if (bodies.size > 1) findings.violation("The same key with another body is 422.", `Two bodies succeeded under one key: ${told(answered)}.`, answered);
  const originals = answered.filter(({ replayed }) => replayed !== true);
  // What was answered before and got lost may be what is repeated.
  const allAnswered = requests.every(({ outcome }) => outcome !== "unreachable" && outcome !== "unknown");
  for (const replay of answered.filter(({ replayed }) => replayed === true)) {
    const same = originals.some((original) => original.returned?.sight === undefined || replay.returned?.sight === undefined || canonicalSight(original) === canonicalSight(replay));
    if (allAnswered && originals.length > 0 && !same) findings.violation("A replay is the first answer.", `${tell(replay)} says something else than ${told(originals)}.`, [replay, ...originals]);
    if (allAnswered && originals.length === 0) findings.violation("A replay is the first answer.", `${tell(replay)} is a replay, and there was no first answer.`, [replay]);
  }
  for (const refused of requests.filter(({ outcome, written }) => (outcome === "precondition" || outcome === "refused") && canonical([JSON.stringify(written ?? null)]) === canonical([JSON.stringify(first.written ?? null)]))) {
    const before = answered.find(({ returnedAtMs }) => (returnedAtMs ?? 0) < refused.invokedAtMs);
    // 401, 403 and 429 are not about the write.
    if (before !== undefined && [404, 409, 412, 422].includes(refused.status ?? 412)) findings.violation("A repetition gets the first answer.", `${tell(refused)}, although ${tell(before)}.`, [before, refused]);
  }
}

/** Who hands back the token of the first answer is at a replica that knows the answer. */
function checkReplays(requests: readonly Operation[], findings: Findings): void {
  const answered = requests.filter(({ outcome }) => outcome === "ok");
  const [first] = [...answered].sort((a, b) => (a.returnedAtMs ?? 0) - (b.returnedAtMs ?? 0));
  const told = first?.tokenOut?.vector;
  if (first === undefined || told === undefined) return;
  for (const repeat of answered) {
    if (repeat === first || repeat.invokedAtMs <= (first.returnedAtMs ?? 0) || repeat.tokenIn?.vector === undefined || !dominates(repeat.tokenIn.vector, told)) continue;
    findings.checked();
    if (repeat.replayed !== true) findings.violation("A repetition gets the first answer.", `${tell(repeat)} was answered as if it were the first, although ${tell(first)}, and its token came along.`, [first, repeat]);
  }
}

function canonicalSight({ returned, status }: Operation): string {
  const sight = returned?.sight;
  return canonical([status ?? 0, sight?.found ?? false, sight?.etag ?? null, { ...sight?.fields }, Object.fromEntries(Object.entries(sight?.sets ?? {}).map(([set, elements]) => [set, [...elements]]))]);
}

/** A write whose value is its own made one change, where a quorum decided it. */
function checkEffect({ resource, operations, written }: LogicalWrite, finals: FinalDocuments, findings: Findings): void {
  if (resource === undefined || !operations.every(({ level }) => level === "GLOBAL_QUORUM")) return;
  const entries = finals.entriesOf(resource);
  for (const [field, value] of Object.entries(written.fields ?? {})) {
    if (!isTelling(value)) continue;
    const changes = new Set(entries.filter((entry) => entry.field === field && canonical(entry.to) === canonical(value)).map(({ hlc }) => hlc));
    findings.checked();
    if (changes.size > 1) findings.violation("A write takes effect once.", `${field} ${canonical(value)} of ${resource} was written by ${changes.size} changes: ${operations.map(tell).join("; ")}.`, operations);
  }
}

/** Without a quorum each replica that was asked makes one change of it at most. */
function checkEffects({ resource, operations, written }: LogicalWrite, finals: FinalDocuments, forgetful: ReadonlySet<string>, findings: Findings): void {
  if (resource === undefined || operations.length < 2 || operations.every(({ level }) => level === "GLOBAL_QUORUM")) return;
  const entries = finals.entriesOf(resource);
  for (const [field, value] of Object.entries(written.fields ?? {})) {
    if (!isTelling(value)) continue;
    const authors = groupBy(entries.filter((entry) => entry.field === field && canonical(entry.to) === canonical(value)), ({ replica }) => replica);
    for (const [replica, own] of authors) {
      findings.checked();
      const changes = new Set(own.map(({ hlc }) => hlc)).size;
      if (changes > 1 && !forgetful.has(replica)) findings.violation("A write takes effect once.", `${field} ${canonical(value)} of ${resource} was written by ${changes} changes of ${replica}: ${operations.map(tell).join("; ")}.`, operations);
    }
  }
}

/** No element stands in a set twice: an update that was posted twice. */
function checkDoubles(history: History, finals: FinalDocuments, findings: Findings): void {
  const double = (elements: readonly string[]): string | undefined => elements.find((element, place) => isTelling(element) && elements.indexOf(element) !== place);
  for (const operation of history.operations) {
    const sights = [operation.returned?.sight, ...(operation.returned?.list?.items ?? [])];
    for (const [set, elements] of sights.flatMap((sight) => Object.entries(sight?.sets ?? {}))) {
      const twice = double(elements);
      if (twice !== undefined) findings.violation("A write takes effect once.", `${tell(operation)} shows ${JSON.stringify(twice)} twice in ${set}.`, [operation]);
    }
  }
  for (const name of finals.names()) {
    for (const { replica, sight } of finals.of(name)) {
      for (const [set, elements] of Object.entries(sight.sets ?? {})) {
        const twice = double(elements);
        if (twice !== undefined) findings.violation("A write takes effect once.", `${set} of ${name} has ${JSON.stringify(twice)} twice at ${replica} in the end.`);
      }
    }
  }
}
