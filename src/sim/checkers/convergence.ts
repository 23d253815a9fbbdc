/** After healing all replicas hold the same: views, ETags, conflicts, histories, lists, Merkle roots and vectors, within the stated time. */
import type { Json } from "../../core/change.js";
import { equalVectors, encodeVector } from "../../core/vector.js";
import type { FinalDocument, FinalObservation, History } from "../history.js";
import { canonical } from "../history-index.js";
import { Findings, type Checker, type CheckOptions, type Verdict } from "../verdict.js";

const PROMISED = "Every replica shows the same result once it has the same changes.";

export const convergence: Checker = {
  name: "convergence",
  promise: "Within a stated time after healing all replicas hold the same: views, ETags, conflicts, histories, lists, Merkle roots and vectors.",
  check(history: History, { convergenceMs }: CheckOptions): Verdict {
    const findings = new Findings();
    const { final, healedAtMs, convergedAtMs } = history;
    const [first, ...others] = final;
    if (first === undefined) return findings.verdict();
    if (others.length === 0) findings.cannotDecide("Only one replica was looked at in the end.");
    const differences = others.flatMap((other) => differencesOf(first, other).map((what) => ({ other, what })));
    findings.checked(final.length);
    const dueMs = healedAtMs === undefined ? undefined : healedAtMs + convergenceMs;
    const observedAtMs = Math.max(...final.map((observation) => observation.observedAtMs));
    if (differences.length > 0 && dueMs !== undefined && observedAtMs < dueMs) {
      findings.cannotDecide(`The replicas differ, but were looked at ${observedAtMs - (healedAtMs ?? 0)} ms after healing, before the ${convergenceMs} ms were over: ${differences[0]?.what}.`);
      return findings.verdict();
    }
    for (const { other, what } of differences) findings.violation(PROMISED, `${first.replica} and ${other.replica} differ in the end: ${what}.`);
    checkTime(findings, differences.length === 0, { healedAtMs, convergedAtMs, observedAtMs, convergenceMs });
    return findings.verdict();
  },
};

function checkTime(findings: Findings, equal: boolean, times: { readonly healedAtMs: number | undefined; readonly convergedAtMs: number | undefined; readonly observedAtMs: number; readonly convergenceMs: number }): void {
  const { healedAtMs, convergedAtMs, observedAtMs, convergenceMs } = times;
  if (healedAtMs === undefined || !equal) return;
  const tookMs = (convergedAtMs ?? observedAtMs) - healedAtMs;
  if (tookMs <= convergenceMs) return;
  if (convergedAtMs === undefined) findings.cannotDecide(`The replicas are equal, but were first looked at ${tookMs} ms after healing.`);
  else findings.violation(`Replicas are equal within ${convergenceMs} ms of healing.`, `They were ${tookMs} ms after it.`);
}

function differencesOf(a: FinalObservation, b: FinalObservation): string[] {
  const found: string[] = [];
  if (a.vector !== undefined && b.vector !== undefined && !equalVectors(a.vector, b.vector)) found.push(`vectors ${encodeVector(a.vector)} and ${encodeVector(b.vector)}`);
  if (a.merkleRoot !== undefined && b.merkleRoot !== undefined && a.merkleRoot !== b.merkleRoot) found.push(`Merkle roots ${a.merkleRoot} and ${b.merkleRoot}`);
  const those = new Map(b.documents.map((document) => [nameOf(document), document]));
  for (const document of a.documents) {
    const name = nameOf(document);
    const other = those.get(name);
    those.delete(name);
    if (other === undefined) found.push(`${name} is only at the first`);
    else for (const [part, mine, theirs] of partsOf(document, other)) if (mine !== undefined && theirs !== undefined && mine !== theirs) found.push(`${part} of ${name}: ${mine} and ${theirs}`);
  }
  for (const name of those.keys()) found.push(`${name} is only at the second`);
  for (const [list, ids] of Object.entries(a.lists ?? {})) {
    const other = b.lists?.[list];
    if (other !== undefined && canonical(ids) !== canonical(other)) found.push(`list ${list}: ${ids.join()} and ${other.join()}`);
  }
  return found;
}

function nameOf({ resource }: FinalDocument): string {
  return `${resource.page}/${resource.type}/${resource.id}`;
}

function partsOf(a: FinalDocument, b: FinalDocument): readonly (readonly [part: string, mine: string | undefined, theirs: string | undefined])[] {
  const text = (value: Json | undefined): string | undefined => (value === undefined ? undefined : canonical(value));
  const fields = [...new Set([...Object.keys(a.sight.fields ?? {}), ...Object.keys(b.sight.fields ?? {})])];
  const sets = [...new Set([...Object.keys(a.sight.sets ?? {}), ...Object.keys(b.sight.sets ?? {})])];
  const sorted = (elements: readonly string[] | undefined): string | undefined => (elements === undefined ? undefined : canonical([...elements].sort()));
  return [
    ["existence", String(a.sight.found), String(b.sight.found)],
    ["ETag", a.sight.etag, b.sight.etag],
    ["has_conflicts", text(a.sight.hasConflicts), text(b.sight.hasConflicts)],
    ...fields.map((field) => [field, text(a.sight.fields?.[field]), text(b.sight.fields?.[field])] as const),
    ...sets.map((set) => [set, sorted(a.sight.sets?.[set]), sorted(b.sight.sets?.[set])] as const),
    ["conflicts", a.conflicts === undefined ? undefined : JSON.stringify(a.conflicts), b.conflicts === undefined ? undefined : JSON.stringify(b.conflicts)],
    ["history", historyText(a), historyText(b)],
  ];
}

/** Entries in any order: independent changes have none of their own. */
function historyText({ history }: FinalDocument): string | undefined {
  return history?.map(({ hlc, replica, field, from, to }) => canonical([hlc, replica, field, from, to])).sort().join(" ");
}
