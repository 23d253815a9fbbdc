import t from "tap";
import { encodeChange, type Change } from "../../src/core/change.js";
import { HLC_ZERO } from "../../src/core/hlc.js";
import { limits } from "../../src/core/limits.js";
import { quorumMessageFault } from "../../src/core/quorum-message-check.js";
import type { Candidate, Quorum, QuorumBody } from "../../src/core/quorum-messages.js";

const DOCUMENT = "page/component/d";
const change: Change = {
  document: DOCUMENT, hlc: HLC_ZERO, region: "east", replica: "east-1", actor: "system", context: { "east-1.a": 3, "~": 1 },
  operations: [{ op: "create", section: "" }], version: 2, operationIds: ["one"],
};
const candidate: Candidate = { document: DOCUMENT, version: 2, operationIds: ["one"], proposer: "east-1", base: { "east-1.a": 3, "~": 1 }, change: encodeChange(change), incarnation: 1 };

function message(body: QuorumBody | undefined): Quorum {
  return { operation: "east.1", incarnation: 1, incarnations: { "east-1": 1 }, rejoined: {}, position: 4, body };
}

t.test("messages as the engine sends them pass", (t) => {
  const at = { document: DOCUMENT, version: 2 };
  const bodies: QuorumBody[] = [
    { $case: "propose", value: { candidate } }, { $case: "voted", value: at }, { $case: "prepare", value: { ...at, ballot: 4 } },
    { $case: "promised", value: { ...at, ballot: 4, vote: { ballot: 0, candidate }, shown: {} } },
    { $case: "accept", value: { ballot: 4, candidate } }, { $case: "accepted", value: { ...at, ballot: 4 } },
    { $case: "refused", value: { ...at, promised: 0, votedFor: "", attempt: 0 } },
    { $case: "query", value: { document: DOCUMENT, attempt: 1, shown: { "~": 1 } } },
    { $case: "answered", value: { document: DOCUMENT, attempt: 1, version: 0, shown: {} } },
    { $case: "listQuery", value: { scope: "page/component", attempt: 1, vector: {} } },
    { $case: "listAnswered", value: { scope: "page/component", attempt: 1, open: { [DOCUMENT]: 1 }, decided: {} } },
    { $case: "seed", value: { incarnation: 1, settled: false } },
    { $case: "seeded", value: { vector: {}, voting: true, seeding: false, virgin: false, open: [{ ...at, promised: 0 }], seen: 0 } },
  ];
  for (const body of bodies) t.equal(quorumMessageFault(message(body), limits), undefined, body.$case);
  t.end();
});

t.test("what is no message, or a candidate that disagrees with its change, is refused", (t) => {
  const bad = (value: Partial<Candidate>): QuorumBody => ({ $case: "propose", value: { candidate: { ...candidate, ...value } } });
  for (const body of [
    undefined, bad({ document: "page/component/other" }), bad({ version: 3 }), bad({ base: { "~": 1 } }), bad({ operationIds: ["two"] }),
    bad({ change: Uint8Array.of(1, 2) }), bad({ base: { "east-1.a": -3, "~": 1 } }), bad({ proposer: "" }), bad({ incarnation: -1 }),
    { $case: "prepare", value: { document: "nothing", version: 1, ballot: 4 } }, { $case: "prepare", value: { document: DOCUMENT, version: 0, ballot: 4 } },
    { $case: "prepare", value: { document: DOCUMENT, version: 1, ballot: 0 } }, { $case: "accept", value: { ballot: 0, candidate } },
    { $case: "listAnswered", value: { scope: "page/component", attempt: 1, open: { "other/component/d": 1 }, decided: {} } },
  ] as (QuorumBody | undefined)[]) t.ok(quorumMessageFault(message(body), limits), JSON.stringify(body));
  t.end();
});
