/** Runs every checker on a history, and tells what they found. */
import { bounds } from "./checkers/bounds.js";
import { clocks } from "./checkers/clocks.js";
import { compareAndSet } from "./checkers/compare-and-set.js";
import { conflictsListed } from "./checkers/conflicts.js";
import { convergence } from "./checkers/convergence.js";
import { durability } from "./checkers/durability.js";
import { effects } from "./checkers/effects.js";
import { idempotency } from "./checkers/idempotency.js";
import { levels } from "./checkers/levels.js";
import { linearizability } from "./checkers/linearizability.js";
import { listLinearizability } from "./checkers/list-linearizability.js";
import { lostWrites } from "./checkers/lost-writes.js";
import { outages } from "./checkers/outages.js";
import { projections } from "./checkers/projections.js";
import { quorumOrder } from "./checkers/quorum-order.js";
import { regionOrder } from "./checkers/region-order.js";
import { resurrection } from "./checkers/resurrection.js";
import { sessions } from "./checkers/sessions.js";
import type { History } from "./history.js";
import { CHECK_OPTIONS, type Checker, type CheckOptions, type Verdict } from "./verdict.js";

/** Cheap ones first. */
export const CHECKERS: readonly Checker[] = [
  levels, bounds, projections, effects, outages, durability, clocks, convergence, lostWrites, resurrection, compareAndSet, idempotency, conflictsListed, sessions, regionOrder, quorumOrder, linearizability, listLinearizability,
];

export interface CheckReport {
  readonly verdict: Verdict["kind"];
  readonly operations: number;
  readonly results: readonly { readonly checker: string; readonly promise: string; readonly verdict: Verdict }[];
}

/** The verdict of all is "violation" if one found any, else "undecided" if one could not finish, else "ok". */
export function checkAll(history: History, options: Partial<CheckOptions> = {}): CheckReport {
  const complete: CheckOptions = { ...CHECK_OPTIONS, ...options };
  const results = CHECKERS.map((checker) => ({ checker: checker.name, promise: checker.promise, verdict: checker.check(history, complete) }));
  const kinds = new Set(results.map(({ verdict }) => verdict.kind));
  return { verdict: kinds.has("violation") ? "violation" : kinds.has("undecided") ? "undecided" : "ok", operations: history.operations.length, results };
}

/** The report as lines of text. */
export function tellReport({ verdict, operations, results }: CheckReport): string {
  const lines = [`${verdict}: ${operations} operations`];
  for (const { checker, verdict: found } of results) {
    if (found.kind === "ok") lines.push(`  ${checker}: ${found.checked === 0 ? "nothing to look at" : `ok, ${found.checked} looked at`}`);
    else if (found.kind === "undecided") lines.push(`  ${checker}: undecided. ${found.why}`);
    else {
      lines.push(`  ${checker}: ${found.violations.length + found.left} violations`);
      for (const { promised, happened } of found.violations) lines.push(`    promised: ${promised}`, `    happened: ${happened}`);
      if (found.left > 0) lines.push(`    and ${found.left} more`);
    }
  }
  return lines.join("\n");
}
