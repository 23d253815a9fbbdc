/**
 * The four session guarantees, across regions: an answer reflects at least what the token in its request saw. Read your writes,
 * monotonic reads, writes follow reads, monotonic writes.
 */
import type { History, Operation } from "../history.js";
import { HistoryIndex } from "../history-index.js";
import { Findings, tell, type Checker, type Verdict } from "../verdict.js";
import { staleSights, type KnowledgeRules, type Staleness } from "./knowledge.js";
import { touchedResources } from "./linearizability.js";

const PROMISES = {
  "read your writes": "A session reads its own writes.",
  "monotonic reads": "A session never sees less than it saw before.",
  "writes follow reads": "A write takes effect on top of what its session had seen, for everybody.",
  "monotonic writes": "The writes of a session to a resource take effect in their order, for everybody.",
} as const;

const BY_TOKEN: KnowledgeRules = { group: () => undefined, tells: () => false, hears: () => false, learns: () => true, checks: () => true };

export const sessions: Checker = {
  name: "sessions",
  promise: "With a session token, from whichever region: read your writes, monotonic reads, writes follow reads, monotonic writes.",
  check(history: History): Verdict {
    const findings = new Findings();
    const index = new HistoryIndex(history);
    const touched = touchedResources(history);
    const { stale, checked } = staleSights(index, BY_TOKEN, touched);
    for (const contradiction of stale) {
      const { operation, resource, what, ignored } = contradiction;
      const name = guaranteeOf(contradiction);
      findings.violation(
        `${name[0]?.toUpperCase()}${name.slice(1)}: ${PROMISES[name]}`,
        `${tell(operation)} shows ${resource} too old: ${what}.${ignored === undefined ? "" : ` It ignores ${ignored.operations.map(tell).join(", ")}.`}`,
        [operation, ...(ignored?.operations ?? [])],
      );
    }
    findings.checked(checked);
    const logs = lastLogs(history);
    for (const operation of history.operations) checkToken(operation, logs, findings);
    return findings.verdict();
  },
};

function guaranteeOf({ operation, ignored, toldBefore }: Staleness): keyof typeof PROMISES {
  const own = ignored?.operations.some(({ session }) => session !== undefined && session === operation.session) === true;
  if (toldBefore && (operation.kind === "read" || operation.kind === "list")) return own ? "read your writes" : "monotonic reads";
  return own ? "monotonic writes" : "writes follow reads";
}

/** `<replica>.` → the number of its latest log: that of its latest incarnation, which may have written nothing and then is in no vector, or of another log of that. */
function lastLogs({ stamps = [], final }: History): Map<string, number> {
  const logs = new Map<string, number>();
  const see = (replica: string, number: number): void => void logs.set(replica, Math.max(number, logs.get(replica) ?? 0));
  for (const { replica, incarnation } of stamps) see(`${replica}.`, incarnation);
  for (const { vector = {} } of final) for (const origin of Object.keys(vector)) see(ownerOf(origin), numberOf(origin));
  return logs;
}

/** With the dot. */
function ownerOf(origin: string): string {
  return origin.slice(0, origin.lastIndexOf(".") + 1);
}

function numberOf(origin: string): number {
  return Number.parseInt(origin.slice(ownerOf(origin).length), 36);
}

/** A token given back covers the one that came, but for logs that have ended and that everybody holds completely. */
function checkToken(operation: Operation, logs: ReadonlyMap<string, number>, findings: Findings): void {
  const before = operation.tokenIn?.vector;
  const after = operation.tokenOut?.vector;
  if (before === undefined || after === undefined || operation.outcome !== "ok") return;
  findings.checked();
  for (const [origin, seq] of Object.entries(before)) {
    const held = after[origin];
    const replica = ownerOf(origin);
    const ended = numberOf(origin) < (logs.get(replica) ?? 0);
    const retired = held === undefined && (ended || Object.keys(after).some((other) => other !== origin && other.startsWith(replica)));
    if (retired || (held ?? 0) >= seq) continue;
    findings.violation(
      "A session token covers what the token in the request saw.",
      `${tell(operation)} was asked with ${origin} up to ${seq} and answered with ${held === undefined ? "nothing of it" : `it up to ${held}`}.`,
      [operation],
    );
  }
}
