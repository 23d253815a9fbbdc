/** What a region's majority acknowledged, every later read that asks a majority of that region shows. */
import { isWrite, type History } from "../history.js";
import { HistoryIndex } from "../history-index.js";
import { Findings, tell, type Checker, type Verdict } from "../verdict.js";
import { forgetfulReplicas } from "./forgetting.js";
import { staleSights, type KnowledgeRules } from "./knowledge.js";
import { touchedResources } from "./linearizability.js";

export const regionOrder: Checker = {
  name: "region-order",
  promise: "What a LOCAL_QUORUM write was acknowledged to have written, every later LOCAL_QUORUM read in its region shows.",
  check(history: History): Verdict {
    const findings = new Findings();
    const { stale, checked } = staleSights(new HistoryIndex(history), inRegions(history), touchedResources(history));
    findings.checked(checked);
    for (const { operation, resource, ignored, what } of stale) {
      findings.violation(
        regionOrder.promise,
        `${tell(operation)} shows ${resource} too old: ${what}.${ignored === undefined ? "" : ` It ignores ${ignored.operations.map(tell).join(", ")}.`}`,
        [operation, ...(ignored?.operations ?? [])],
      );
    }
    return findings.verdict();
  },
};

/** What a read shows may be in one replica only. A region that lost a disk has to learn again what it knew. */
function inRegions(history: History): KnowledgeRules {
  const forgetful = forgetfulReplicas(history);
  const regions = new Set(history.replicas.filter(({ replica, region }) => forgetful.has(replica) || forgetful.has(region)).map(({ region }) => region));
  return {
    group: ({ level, region }) => (level === "LOCAL_QUORUM" && !regions.has(region) ? region : undefined),
    tells: ({ kind }) => isWrite(kind),
    hears: ({ kind }) => !isWrite(kind),
    learns: ({ kind }) => !isWrite(kind),
    checks: ({ level, kind }) => level === "LOCAL_QUORUM" && (kind === "read" || kind === "list"),
  };
}
