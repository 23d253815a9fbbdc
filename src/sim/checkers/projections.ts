/** Read models are what the log makes of them: kept ones equal rebuilt ones. */
import type { History } from "../history.js";
import { canonical } from "../history-index.js";
import { Findings, type Checker, type Verdict } from "../verdict.js";

const EXCERPT_LENGTH = 200;

export const projections: Checker = {
  name: "projections",
  promise: "A read model equals the one that is rebuilt from the log.",
  check({ projections: compared = [] }: History): Verdict {
    const findings = new Findings();
    for (const { replica, projection, kept, rebuilt } of compared) {
      findings.checked();
      const [mine, anew] = [canonical(kept), canonical(rebuilt)];
      if (mine === anew) continue;
      let start = 0;
      while (mine[start] === anew[start]) start++;
      const from = Math.max(0, start - EXCERPT_LENGTH / 4);
      findings.violation(
        "A read model equals the one that is rebuilt from the log.",
        `${projection} at ${replica} differs from character ${start} on: kept "${mine.slice(from, from + EXCERPT_LENGTH)}", rebuilt "${anew.slice(from, from + EXCERPT_LENGTH)}".`,
      );
    }
    return findings.verdict();
  },
};
