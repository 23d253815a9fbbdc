import fc from "fast-check";
import t from "tap";
import type { AntiEntropy as Message } from "../../src/core/anti-entropy-messages.js";
import { messageBytes } from "../../src/core/anti-entropy-size.js";
import { AntiEntropy } from "../../src/io/generated/anti_entropy.js";

const seed = Number(process.env["SEED"] ?? Date.now() % 0x7fffffff);
t.comment(`seed ${seed}`);

const bytes = fc.uint8Array({ maxLength: 300 });
const small = fc.oneof(fc.nat(300), fc.integer({ min: 0, max: 0xffffffff }));
const large = fc.oneof(fc.nat(300), fc.maxSafeNat());
const smalls = fc.array(small, { maxLength: 40 });
const larges = fc.array(large, { maxLength: 40 });
const texts = fc.array(fc.string({ unit: "binary", maxLength: 20 }), { maxLength: 5 });
const text = fc.string({ unit: "binary", maxLength: 200 });
const flag = fc.boolean();
const many = <T>(shape: fc.Arbitrary<T>): fc.Arbitrary<T[]> => fc.array(shape, { maxLength: 5 });
const cased = ($case: string, value: Record<string, fc.Arbitrary<unknown>>) =>
  fc.record({ $case: fc.constant($case), value: fc.record(value) });
const body = fc.oneof(
  fc.constant(undefined),
  cased("start", { format: small, root: bytes, vectorHash: bytes, documents: small }),
  cased("started", {
    format: small,
    equal: flag,
    root: bytes,
    documents: small,
    digests: bytes,
    sameVector: flag,
    vector: fc.dictionary(fc.stringMatching(/^[a-z-]{1,20}\.[a-z0-9]{1,9}$/), large),
  }),
  cased("digests", { parentDepth: small, depth: small, parents: smalls, digests: bytes, list: flag }),
  cased("differing", { depth: small, nodes: smalls }),
  cased("listing", { depth: small, nodes: smalls, counts: smalls, entries: bytes, more: flag }),
  cased("vectors", {
    origins: texts,
    documents: many(fc.record({ document: text, origins: smalls, positions: larges })),
    leaves: bytes,
    depth: small,
    nodes: smalls,
    hashes: bytes,
  }),
  cased("wanted", { origins: texts, documents: many(fc.record({ index: small, origins: smalls, positions: larges })) }),
  cased("changes", {
    chunk: small,
    last: flag,
    origins: texts,
    documents: many(fc.record({ document: text, changes: many(fc.record({ origin: small, seq: large, body: bytes })) })),
  }),
  cased("progress", { chunk: small }),
  cased("done", { root: bytes, repaired: smalls, diverged: smalls, failed: small, chunks: small, more: flag }),
  cased("ended", { reason: text }),
);

t.test("the bytes that a report counts are those on the wire", async () => {
  fc.assert(
    fc.property(fc.record({ session: small, fromInitiator: flag, pages: fc.array(text, { maxLength: 3 }), body }), (made) => {
      const message = made as unknown as Message;
      return messageBytes(message) === AntiEntropy.encode(message).finish().length;
    }),
    { seed, numRuns: 2_000 },
  );
});
