/** The sealed history by itself: its trees are those of RFC 9162, and no bit of a proof can be changed without being found. */
import { createHash } from "node:crypto";
import t from "tap";
import fc from "fast-check";
import { checkProof, proofOf, proofText, type Proof } from "../../src/features/monitors/proof.js";
import { inOrder, leafHash, rootOf, sealHash, type Seal, type SealedRecord } from "../../src/features/monitors/seal.js";

const sha256 = (...parts: readonly Uint8Array[]): Buffer => createHash("sha256").update(Buffer.concat(parts)).digest();

/** As RFC 9162, 2.1.1 defines it. */
function definedRoot(leaves: readonly Buffer[]): Buffer {
  if (leaves.length === 1) return leaves[0] ?? Buffer.alloc(0);
  let split = 1;
  while (split * 2 < leaves.length) split *= 2;
  return sha256(Buffer.from([1]), definedRoot(leaves.slice(0, split)), definedRoot(leaves.slice(split)));
}

function record(number: number, over: Partial<SealedRecord> = {}): SealedRecord {
  const at = new Date(Date.UTC(2026, 0, 10, 7, 0, number)).toISOString();
  return { kind: "opinion", page: "default", monitor: `m${number % 3}`, region: "us-east", replica: "us-east-1", id: number.toString(16).padStart(32, "0"), at, value: { state: "down", latency_ms: number / 7, error: "ü\n" }, ...over };
}

function chain(texts: readonly string[], length: number): [Seal, ...Seal[]] {
  const first: Seal = {
    version: 1, page: "default", replica: "us-east-1", region: "us-east", origin: "us-east-1.1", number: 5, previous: "ab".repeat(32), from: "2026-01-10T07:00:00.000Z", until: "2026-01-10T08:00:00.000Z",
    records: texts.length, late: 0, root: rootOf(texts),
  };
  const seals: [Seal, ...Seal[]] = [first];
  for (let before = first; seals.length < length; ) {
    const until = new Date(Date.parse(before.until) + 3_600_000).toISOString();
    before = { ...first, number: before.number + 1, previous: sealHash(before), from: before.until, until, records: 1, root: sealHash(before) };
    seals.push(before);
  }
  return seals;
}

function proven(size: number, index: number, length: number): { readonly proof: Proof; readonly bytes: Buffer } {
  const texts = inOrder(Array.from({ length: size }, (_, number) => record(number)));
  const proof = proofOf(texts, index, chain(texts, length));
  return { proof, bytes: Buffer.from(proofText(proof)) };
}

const flipped = (bytes: Buffer, bit: number): Buffer => {
  const changed = Buffer.from(bytes);
  changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
  return changed;
};

t.test("a root is the one of RFC 9162, whatever the number of records", async (t) => {
  // From the test vectors of certificate-transparency-go.
  const known = ["", "\0", "\x10", " !", "01", "@ABC", "PQRSTUVW", "`abcdefghijklmno"];
  t.equal(rootOf(known), "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328");
  for (let size = 1; size <= 70; size++) {
    const texts = Array.from({ length: size }, (_, number) => `record ${number}`);
    t.equal(rootOf(texts), definedRoot(texts.map(leafHash)).toString("hex"), `${size} records`);
  }
});

t.test("the order of records is that of their times and texts, whatever order they came in", async (t) => {
  const records = [...Array.from({ length: 9 }, (_, number) => record(number)), record(3, { kind: "verdict" }), record(3, { monitor: "other" })];
  const expected = inOrder(records);
  fc.assert(fc.property(fc.shuffledSubarray(records, { minLength: records.length }), (shuffled) => t.same(inOrder(shuffled), expected)), { numRuns: 20 });
});

t.test("every record of every seal has a proof that holds, and none holds for another place", async (t) => {
  for (let size = 1; size <= 17; size++) {
    for (let index = 0; index < size; index++) {
      const { bytes, proof } = proven(size, index, 1 + (index % 3));
      const check = checkProof(bytes);
      if (!check.holds) t.fail(`${index} of ${size}: ${check.reason}`);
      for (let other = 0; other <= size; other++) {
        if (other !== index) t.match(checkProof(Buffer.from(proofText({ ...proof, index: other }))), { holds: false, step: "inclusion" });
      }
    }
  }
});

t.test("any single changed bit is found: all of one proof", async (t) => {
  const { bytes } = proven(3, 1, 2);
  t.match(checkProof(bytes), { holds: true, record: { monitor: "m1" } });
  const missed = Array.from({ length: bytes.length * 8 }, (_, bit) => bit).filter((bit) => checkProof(flipped(bytes, bit)).holds);
  t.same(missed, []);
  t.match(checkProof(Buffer.concat([bytes, Buffer.from("\n")])), { holds: true }, "a line break at the end is none of it");
});

t.test("any single changed bit, lost or doubled byte is found: many proofs", async () => {
  const shape = fc.record({ size: fc.integer({ min: 1, max: 40 }), index: fc.nat(), length: fc.integer({ min: 1, max: 5 }), place: fc.nat(), how: fc.constantFrom("flip", "lose", "double") });
  fc.assert(fc.property(shape, ({ size, index, length, place, how }) => {
    const { bytes } = proven(size, index % size, length);
    const at = place % bytes.length;
    const changed = how === "flip" ? flipped(bytes, place % (bytes.length * 8)) : Buffer.concat([bytes.subarray(0, how === "lose" ? at : at + 1), bytes.subarray(how === "lose" ? at + 1 : at)]);
    return !checkProof(changed).holds;
  }), { numRuns: 400 });
});

t.test("it is said which step failed", async (t) => {
  const { proof } = proven(4, 2, 3);
  const step = (changed: unknown, head?: string): unknown => {
    const check = checkProof(Buffer.from(typeof changed === "string" ? changed : proofText(changed as Proof)), head);
    return check.holds ? "holds" : check.step;
  };
  const [first, second, third] = proof.seals;
  if (first === undefined || second === undefined || third === undefined) throw new Error("three seals are expected");
  t.equal(step("{"), "text");
  t.equal(step(`${proofText(proof)} `), "text");
  t.equal(step(JSON.stringify(proof, null, 2)), "text");
  t.equal(step(`${"[".repeat(100_000)}`), "text");
  t.equal(step({ ...proof, more: 1 }), "form");
  t.equal(step({ ...proof, seals: [] }), "form");
  t.equal(step({ ...proof, record: inOrder([record(2, { page: "other" })])[0] }), "record");
  t.equal(step({ ...proof, record: inOrder([record(2, { at: "2026-01-10T09:00:00.000Z" })])[0] }), "record");
  t.equal(step({ ...proof, record: inOrder([record(2, { value: { state: "up" } })])[0] }), "inclusion");
  t.equal(step({ ...proof, path: proof.path.slice(1) }), "inclusion");
  t.equal(step({ ...proof, seals: [first, third] }), "chain");
  t.equal(step({ ...proof, seals: [first, { ...second, until: third.until }, third] }), "chain");
  t.equal(step({ ...proof, seals: [first, second, { ...third, records: 2 }] }), "head");
  t.equal(step(proof, sealHash(second)), "holds");
  t.equal(step(proof, "00".repeat(32)), "known head");
});

t.test("a history that was made anew as a whole is found by the head that is known", async (t) => {
  const { proof } = proven(4, 2, 3);
  const texts = inOrder(Array.from({ length: 4 }, (_, number) => record(number, { value: { state: "up" } })));
  const forged = proofOf(texts, 2, chain(texts, 3));
  t.match(checkProof(Buffer.from(proofText(forged))), { holds: true }, "by itself it is whole");
  t.match(checkProof(Buffer.from(proofText(forged)), proof.head), { holds: false, step: "known head" });
});
