/**
 * GLOBAL_QUORUM operations of one resource are linearizable, where nobody writes it at another level: some order of them respects
 * real time and explains every answer. For resources that are written at LOCAL too, `quorum-order.ts` checks what is promised then.
 */
import { isWrite, type History, type Operation } from "../history.js";
import { HistoryIndex, type ResourceRecord } from "../history-index.js";
import { Findings, tell, type Checker, type CheckOptions, type Verdict } from "../verdict.js";
import { searchOrder, type SearchResult } from "./order-search.js";
import { initialRegister, registerSteps } from "./register.js";

const PROMISED = "GLOBAL_QUORUM operations of a resource are linearizable: each takes effect at one moment between request and answer, in one order for all.";

export const linearizability: Checker = {
  name: "linearizability",
  promise: PROMISED,
  check(history: History, options: CheckOptions): Verdict {
    const findings = new Findings();
    const index = new HistoryIndex(history);
    const touched = touchedResources(history);
    for (const record of index.resources.values()) {
      if (!isRegister(record, touched)) continue;
      const steps = registerSteps(record, index);
      findings.checked(steps.length);
      const result = searchOrder(initialRegister(record), steps, ({ key }) => key, options.statesMax);
      report(findings, record.name, result, (place) => steps[place]?.operation);
    }
    return findings.verdict();
  },
};

/** Documents that writes to other documents change too. */
export function touchedResources(history: History): ReadonlySet<string> {
  return new Set(history.operations.flatMap(({ kind, touches }) => (isWrite(kind) ? (touches ?? []) : [])).map(({ page, type, id }) => `${page}/${type}/${id}`));
}

/** True if only GLOBAL_QUORUM writes, all of them recorded, change the resource. */
export function isRegister(record: ResourceRecord, touched: ReadonlySet<string>): boolean {
  return !touched.has(record.name) && record.writes.every(({ operations }) => operations.every(({ level }) => level === "GLOBAL_QUORUM"));
}

/** Tells what the search found of one resource or list. */
export function report(findings: Findings, name: string, result: SearchResult, operationAt: (place: number) => Operation | undefined): void {
  if (result.kind === "explained") return;
  if (result.kind === "unfinished") {
    findings.cannotDecide(`The order of the operations of ${name} was not found within ${result.states} states.`);
    return;
  }
  const present = (operation: Operation | undefined): operation is Operation => operation !== undefined;
  const stuck = result.stuck.map(operationAt).filter(present);
  const before = result.order.slice(-6).map(operationAt).filter(present);
  findings.violation(
    PROMISED,
    `No order explains what clients saw of ${name}. The longest one explains ${result.order.length} steps, the last of them: ${before.map(tell).join("; ")}. None of these can come next: ${stuck.map(tell).join("; ")}.`,
    [...before, ...stuck],
  );
}
