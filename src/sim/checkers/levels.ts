/** A level is never lowered silently: what is answered was served at the level that was asked for. */
import type { History } from "../history.js";
import { Findings, tell, type Checker, type Verdict } from "../verdict.js";

export const levels: Checker = {
  name: "levels",
  promise: "A consistency level is never lowered silently.",
  check({ operations }: History): Verdict {
    const findings = new Findings();
    for (const operation of operations) {
      if (operation.outcome !== "ok" || operation.servedLevel === undefined) continue;
      findings.checked();
      if (operation.servedLevel !== operation.level) findings.violation(levels.promise, `${tell(operation)} was served at ${operation.servedLevel}.`, [operation]);
    }
    return findings.verdict();
  },
};
