import fc from "fast-check";
import t from "tap";
import { checkAll, tellReport } from "../../../src/sim/check-all.js";
import { linearizability } from "../../../src/sim/checkers/linearizability.js";
import { listLinearizability } from "../../../src/sim/checkers/list-linearizability.js";
import type { Operation } from "../../../src/sim/history.js";
import { tell } from "../../../src/sim/verdict.js";
import { historyOf, verdictOf } from "./recorder.js";
import { isExplainedByForce, trueHistory, type Choice } from "./true-histories.js";

const kinds = { kind: fc.constantFrom<Choice["kind"]>("read", "read", "read", "update", "update", "compare-and-set", "compare-and-set", "delete", "list") };
const rest = {
  resource: fc.nat(2), beforeMs: fc.nat(8), afterMs: fc.nat(8), gapMs: fc.integer({ min: 1, max: 4 }), stale: fc.boolean(), lost: fc.integer({ min: 0, max: 5 }).map((die) => die === 0),
};
const choice: fc.Arbitrary<Choice> = fc.record({ ...kinds, ...rest });
const single: fc.Arbitrary<Choice> = fc.record({ ...rest, beforeMs: fc.nat(4), afterMs: fc.nat(4), resource: fc.constant(0), kind: fc.constantFrom<Choice["kind"]>("read", "read", "update", "compare-and-set", "delete") });
const seed = Number(process.env["SEED"] ?? Date.now() % 1_000_000);

t.test(`a history that comes from an order is never a violation (SEED=${seed})`, async () => {
  fc.assert(fc.property(fc.array(choice, { maxLength: 40 }), (choices) => {
    const report = checkAll(historyOf(trueHistory(choices, 3)));
    if (report.verdict !== "ok") throw new Error(tellReport(report));
  }), { seed, numRuns: 150 });
});

/** One lie: a read gets the answer of another read, or one from nowhere, or a refusal becomes a success. */
function withLie(operations: readonly Operation[], at: number, from: number): Operation[] {
  const reads = operations.filter(({ kind }) => kind === "read");
  const victim = reads[at % Math.max(1, reads.length)];
  const source = reads[from % Math.max(1, reads.length)];
  return operations.map((operation): Operation => {
    if (operation.outcome === "precondition" && from % 3 === 0) return { ...operation, outcome: "ok", status: 200 };
    return operation === victim && source?.returned !== undefined ? { ...operation, returned: source.returned } : operation;
  });
}

t.test(`on small histories, true and lying, the verdict is that of brute force (SEED=${seed})`, async (t) => {
  let lies = 0;
  fc.assert(fc.property(fc.array(single, { minLength: 2, maxLength: 6 }), fc.nat(20), fc.nat(20), (choices, at, from) => {
    // Brute force leaves the answers of writes out of account.
    const operations = withLie(trueHistory(choices, 1), at, from).map(({ returned, ...operation }): Operation => (operation.kind === "read" && returned !== undefined ? { ...operation, returned } : operation));
    // A refusal that a lost write may explain is accepted without asking which one it was, so brute force may know better.
    const isLenient = operations.some(({ outcome }) => outcome === "precondition") && operations.some(({ outcome }) => outcome === "unreachable");
    const expected = isExplainedByForce(operations);
    const found = verdictOf(linearizability, historyOf(operations)).kind;
    if (!expected) lies++;
    if (expected ? found !== "ok" : found !== "violation" && !isLenient) throw new Error(`${found} instead of ${expected}: ${operations.map(tell).join("; ")} ${JSON.stringify(operations)}`);
  }), { seed, numRuns: 600 });
  t.ok(lies > 15, `${lies} histories were lies`);
});

t.test(`a list that shows one resource as it was and another as it is now is found out (SEED=${seed})`, async (t) => {
  let lies = 0;
  fc.assert(fc.property(fc.array(choice, { minLength: 10, maxLength: 40 }), fc.nat(), (choices, victim) => {
    // Every operation is over before the next begins, so that an older state has no excuse.
    const apart = choices.map((made): Choice => ({ ...made, beforeMs: 0, afterMs: 0, gapMs: 2, lost: false }));
    const operations = trueHistory([...apart, { kind: "list", resource: 0, beforeMs: 0, afterMs: 0, gapMs: 2, stale: false, lost: false }], 3);
    const last = operations.at(-1);
    const updated = operations.filter(({ kind, outcome }) => (kind === "update" || kind === "compare-and-set") && outcome === "ok");
    const write = updated[victim % Math.max(1, updated.length)];
    const items = last?.returned?.list?.items ?? [];
    const lying = items.map((item) => (item.id === write?.subject.id ? { ...item, etag: `${item.id}v1`, fields: { name: `first-${item.id.slice(1)}` } } : item));
    const isLie = JSON.stringify(lying) !== JSON.stringify(items);
    if (isLie) lies++;
    const history = historyOf(operations.map((operation) => (operation === last ? { ...operation, returned: { list: { items: lying, complete: true } } } : operation)));
    return verdictOf(listLinearizability, history).kind === (isLie ? "violation" : "ok");
  }), { seed, numRuns: 100 });
  t.ok(lies > 15, `${lies} lists were lies`);
});

t.test("2,000 operations over 50 resources are checked in seconds", async (t) => {
  const busy = fc.constantFrom<Choice["kind"]>("read", "read", "update", "compare-and-set", "read", "update", "read", "update", "list");
  const [choices = []] = fc.sample(fc.array(fc.record({ ...rest, resource: fc.nat(49), kind: busy }), { minLength: 1_950, maxLength: 1_950 }), { numRuns: 1, seed: 5 });
  const history = historyOf(trueHistory(choices, 50));
  t.equal(history.operations.length, 2_000);
  const begin = process.cpuUsage();
  const report = checkAll(history);
  const spent = process.cpuUsage(begin);
  t.equal(report.verdict, "ok", tellReport(report));
  // Far more than it takes, as others use the machine too.
  t.comment(`${Math.round((spent.user + spent.system) / 1_000)} ms of processor time`);
  t.ok(spent.user + spent.system < 20_000_000, "the search does not run away");
});
