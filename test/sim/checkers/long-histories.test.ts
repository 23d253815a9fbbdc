import t from "tap";
import { CHECKERS } from "../../../src/sim/check-all.js";
import { linearizability } from "../../../src/sim/checkers/linearizability.js";
import { quorumOrder } from "../../../src/sim/checkers/quorum-order.js";
import { sessions } from "../../../src/sim/checkers/sessions.js";
import { validateHistory } from "../../../src/sim/history-file.js";
import { CHECK_OPTIONS } from "../../../src/sim/verdict.js";
import { longHistory } from "./long-history.js";

t.test("a history of 5,000 operations is judged by every checker, and one stale read in it is found", { timeout: 400_000 }, async (t) => {
  const history = longHistory(5_000, 40, 24);
  t.ok("operations" in validateHistory(history), "it is a history");
  for (const { name, check } of CHECKERS) t.equal(check(history, CHECK_OPTIONS).kind, "ok", name);
  const last = history.operations.findLast(({ kind, level, tokenIn }) => kind === "read" && level === "GLOBAL_QUORUM" && tokenIn !== undefined);
  const first = history.operations.find(({ kind, subject, returned }) => kind === "read" && subject.id === last?.subject.id && returned?.sight?.fields?.["name"] !== last?.returned?.sight?.fields?.["name"]);
  t.ok(last !== undefined && first?.returned !== undefined);
  if (last === undefined || first?.returned === undefined) return;
  const { returned } = first;
  const lie = { ...history, operations: history.operations.map((operation) => (operation === last ? { ...operation, returned } : operation)) };
  for (const { name, check } of [sessions, quorumOrder, linearizability]) t.equal(check(lie, CHECK_OPTIONS).kind, "violation", `${name} finds it`);
});
