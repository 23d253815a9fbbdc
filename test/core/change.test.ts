import fc from "fast-check";
import { randomInt } from "node:crypto";
import t from "tap";
import { CHAIN, decodeChange, depthOf, encodeChange, isDocumentKey, type Change, type IdempotencyRecord } from "../../src/core/change.js";
import { canonical } from "../../src/core/document.js";
import { encodeHlc } from "../../src/core/hlc.js";
import { playHistory, steps } from "../store/random-history.js";

const seed = Number(process.env["STATUSMESH_TEST_SEED"] ?? randomInt(2 ** 31));
t.comment(`seed ${seed}`);

const bounds = { changeBytesMax: 1_000_000, operationsMax: 50, jsonDepthMax: 70, originsMax: 10 };
const good: Change = {
  document: "default/component/api", hlc: encodeHlc(5, 0, "0000000000aa"), region: "us-east", replica: "us-east-1", actor: "key_1", context: { "us-east-1.1": 3 },
  operations: [{ op: "set", section: "", field: "name", value: "API", was: null }],
};
const answer: IdempotencyRecord = { scope: "s", request: "r", status: 201, location: null, etag: '"x"', body: "{}" };

function faultOf(change: unknown): string | undefined {
  const decoded = decodeChange(Buffer.from(JSON.stringify(change)), bounds);
  return "fault" in decoded ? decoded.fault : undefined;
}

t.test("a change comes back from its bytes as it was", async (t) => {
  fc.assert(
    fc.property(steps, (script) =>
      playHistory(script).entries.every(({ change, body }) => {
        const numbersAreWhole = change.operations.every((operation) => operation.op !== "count" || Number.isSafeInteger(operation.by));
        const decoded = decodeChange(body, bounds);
        return !numbersAreWhole ? true : !("fault" in decoded) && canonical(JSON.parse(JSON.stringify(decoded))) === canonical(JSON.parse(Buffer.from(encodeChange(change)).toString()));
      })),
    { seed, numRuns: 100 },
  );
  t.equal(faultOf(good), undefined);
  t.equal(faultOf({ ...good, document: "default/idempotency/s", operations: [], idempotency: answer }), undefined);
});

t.test("whatever bytes a peer sends, decoding says change or fault and never throws", async (t) => {
  const bytes = encodeChange(good);
  fc.assert(
    fc.property(fc.nat({ max: bytes.length - 1 }), fc.nat({ max: 255 }), fc.nat({ max: bytes.length }), (at, value, cut) => {
      const damaged = bytes.slice(0, Math.max(cut, 1));
      if (at < damaged.length) damaged[at] = value;
      const decoded = decodeChange(damaged, bounds);
      return "fault" in decoded ? decoded.fault.length > 0 : isDocumentKey(decoded.document);
    }),
    { seed, numRuns: 1_000 },
  );
  fc.assert(fc.property(fc.jsonValue(), (value) => typeof faultOf(value) === "string"), { seed });
  t.pass("never throws");
});

t.test("each rule of a change is checked", async (t) => {
  const operation = good.operations[0];
  const bad: Record<string, unknown> = {
    "no document": { ...good, document: "api" }, "a path as document": { ...good, document: "default/component/../x" }, "no clock": { ...good, hlc: "now" },
    "no actor": { ...good, actor: "" }, "a context that is none": { ...good, context: { x: 1 } }, "a version out of nothing": { ...good, version: 2 },
    "a version that does not follow": { ...good, context: { [CHAIN]: 3 }, version: 3 }, "too many operations": { ...good, operations: Array(51).fill(operation) },
    "an unknown operation": { ...good, operations: [{ op: "drop", section: "" }] }, "a field __proto__": { ...good, operations: [{ ...operation, field: "__proto__" }] },
    "a set without value": { ...good, operations: [{ op: "set", section: "", field: "name" }] }, "a count that is no number": { ...good, operations: [{ op: "count", section: "", field: "n", by: "1" }] },
    "a count out of range": { ...good, operations: [{ op: "count", section: "", field: "n", by: 2 ** 60 }] }, "operation ids without end": { ...good, operationIds: Array(51).fill("x") },
    "an answer in a document": { ...good, idempotency: answer }, "an answer with operations": { ...good, document: "default/idempotency/s", idempotency: answer },
    "an answer's document without one": { ...good, document: "default/idempotency/s" }, "an answer with a bad status": { ...good, document: "default/idempotency/s", operations: [], idempotency: { ...answer, status: "201" } },
    "nested too deep": { ...good, operations: [{ ...operation, value: JSON.parse("[".repeat(80) + "]".repeat(80)) }] },
  };
  for (const [name, change] of Object.entries(bad)) t.type(faultOf(change), "string", name);
  t.same(decodeChange(new Uint8Array(bounds.changeBytesMax + 1), bounds), { fault: "is over the size limit" });
  t.same(decodeChange(Buffer.from([0x22, 0xff, 0x22]), bounds), { fault: "is not JSON" });
});

t.test("depth is counted outside of texts only", async (t) => {
  t.equal(depthOf('{"a":["[[[",{"b\\"[":1}]}', 10), 3);
  t.equal(depthOf("[".repeat(100_000), 64), 65);
});
