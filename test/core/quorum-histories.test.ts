import t from "tap";
import type { QuorumBugs } from "../../src/core/quorum.js";
import { FAMILIES, linearizable, runFamily } from "./quorum-histories.js";

const FACTOR = Number(process.env["QUORUM_HISTORIES"] ?? 1);
const FIRST_SEED = Number(process.env["QUORUM_SEED"] ?? 1);

for (const family of FAMILIES) {
  t.test(`quorum operations keep their promises: ${family.name}`, (t) => {
    const { failed, ...report } = runFamily(family, Math.ceil(family.histories * FACTOR), FIRST_SEED);
    t.comment(`seeds from ${FIRST_SEED}: ${JSON.stringify(report)}`);
    t.equal(failed, undefined, "no violation");
    t.ok(report.completed > report.operations / 5, "operations came to an end");
    t.ok(report.lostMessages > 0 && report.duplicated > 0, "messages were lost and came twice");
    t.ok((report.outcomes["write:decided"] ?? 0) > 0 && (report.outcomes["read:read"] ?? 0) > 0);
    if (family.crashes !== undefined) t.ok(report.crashes > 0, "replicas crashed");
    if (family.emptied !== undefined) t.ok(report.emptied > 0, "disks were emptied");
    if (family.handover === true) t.ok(report.handed > 0, "operations were handed over");
    if (family.kinds.includes("list")) t.ok((report.outcomes["list:listed"] ?? 0) > 0, "lists were answered");
    if (family.kinds.includes("update")) t.ok((report.outcomes["update:refused"] ?? 0) > 0, "plans were refused");
    t.end();
  });
}

/** Each fault, where it is looked for, and within how many seeds it must be found. */
const PLANTED: readonly { readonly bug: keyof QuorumBugs; readonly family: string; readonly seeds: number }[] = [
  { bug: "fastVotesAfterPromise", family: "three regions", seeds: 1_000 },
  { bug: "readsIgnoreVotes", family: "three regions", seeds: 500 },
  { bug: "readsIgnoreVotes", family: "lists of three documents", seeds: 500 },
  { bug: "votesAfterEmptiedDisk", family: "emptied disks", seeds: 500 },
  { bug: "adoptsUncovered", family: "LOCAL writes, five regions", seeds: 6_000 },
  { bug: "forgetsShown", family: "LOCAL writes on the same document", seeds: 2_000 },
];

for (const { bug, family: name, seeds } of PLANTED) {
  t.test(`a planted fault is found: ${bug} (${name})`, (t) => {
    const family = FAMILIES.find((one) => one.name === name);
    const failed = family === undefined ? undefined : runFamily(family, seeds, 1, { [bug]: true }).failed;
    t.ok(failed, `within ${seeds} seeds`);
    t.comment(JSON.stringify(failed));
    t.end();
  });
}

t.test("the checker tells a history that is not linearizable", (t) => {
  const base = { replica: 0, document: "d", expected: "", expectedVector: {}, vector: {}, status: "done" } as const;
  const write = { ...base, index: 0, id: "w", kind: "write", before: 0, outcome: "decided", values: [] } as const;
  const read = { ...base, index: 1, id: "r", kind: "read", before: 1, outcome: "read", values: [""] } as const;
  t.equal(linearizable([write, read], ["d"]), "not linearizable");
  t.equal(linearizable([write, { ...read, before: 0 }], ["d"]), undefined);
  t.equal(linearizable([write, { ...read, values: ["w"] }], ["d"]), undefined);
  t.end();
});
