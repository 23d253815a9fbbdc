import t from "tap";
import { CHECKERS } from "../../../src/sim/check-all.js";
import { validateHistory } from "../../../src/sim/history-file.js";
import { CHECK_OPTIONS } from "../../../src/sim/verdict.js";
import { longHistory } from "./long-history.js";

t.test("a history of 12,000 operations is judged by every checker, and one stale read in it is found", { timeout: 240_000 }, async (t) => {
  const history = longHistory(12_000, 60, 24);
  t.ok("operations" in validateHistory(history), "it is a history");
  for (const { name, check } of CHECKERS) t.equal(check(history, CHECK_OPTIONS).kind, "ok", name);
  const last = history.operations.findLast(({ kind, level, tokenIn }) => kind === "read" && level === "GLOBAL_QUORUM" && tokenIn !== undefined);
  const first = history.operations.find(({ kind, subject, returned }) => kind === "read" && subject.id === last?.subject.id && returned?.sight?.fields?.["name"] !== last?.returned?.sight?.fields?.["name"]);
  t.ok(last !== undefined && first?.returned !== undefined);
  if (last === undefined || first?.returned === undefined) return;
  const { returned } = first;
  const lie = { ...history, operations: history.operations.map((operation) => (operation === last ? { ...operation, returned } : operation)) };
  const found = CHECKERS.filter(({ check }) => check(lie, CHECK_OPTIONS).kind === "violation").map(({ name }) => name);
  for (const name of ["sessions", "quorum-order", "linearizability"]) t.ok(found.includes(name), `${name} finds it`);
});
