import { createHash } from "node:crypto";
import fc from "fast-check";
import t from "tap";
import { bucketOf, LEAF_DEPTH, MerkleTree, nodesAt, SHORT_BYTES, shortKey } from "../../src/core/merkle.js";

const seed = Number(process.env["SEED"] ?? Date.now() % 0x7fffffff);
t.comment(`seed ${seed}`);

const leafHash = (key: string, digest: Uint8Array): Uint8Array =>
  createHash("sha256").update(key).update("\0").update(digest).digest().subarray(0, 16);
const digestOf = (value: number): Uint8Array => createHash("sha256").update(String(value)).digest().subarray(0, 16);
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

const step = fc.record({
  key: fc.integer({ min: 0, max: 40 }).map((n) => `page/incident/${n}`),
  value: fc.option(fc.integer({ min: 0, max: 5 })),
});

t.test("a tree depends on what is in it, not on how it came there", async (t) => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120 }), fc.infiniteStream(fc.nat()), (steps, order) => {
      const tree = new MerkleTree(leafHash);
      const held = new Map<string, number>();
      for (const { key, value } of steps) {
        if (value === null) {
          if (tree.remove(key) !== held.delete(key)) return false;
        } else {
          tree.set(key, digestOf(value));
          held.set(key, value);
        }
      }
      const other = new MerkleTree(leafHash);
      const shuffled = [...held].map((entry) => ({ entry, at: order.next().value })).sort((a, b) => a.at - b.at);
      for (const { entry } of shuffled) other.set(entry[0], digestOf(entry[1]));
      const listed = [...Array(nodesAt(1)).keys()].flatMap((node) => tree.keysBelow(1, node)).sort();
      return hex(tree.root()) === hex(other.root()) && tree.size === held.size && listed.join() === [...held.keys()].sort().join();
    }),
    { seed },
  );
  const empty = new MerkleTree(leafHash);
  t.equal(hex(empty.root()), "0".repeat(32), "the empty tree is zero");
  empty.set("page/incident/1", digestOf(1));
  empty.remove("page/incident/1");
  t.equal(hex(empty.root()), "0".repeat(32), "what is taken out leaves nothing behind");
});

t.test("a document that changes shows in the root and on its own path only", async (t) => {
  const one = new MerkleTree(leafHash);
  const two = new MerkleTree(leafHash);
  for (let i = 0; i < 500; i++) for (const tree of [one, two]) tree.set(`page/component/${i}`, digestOf(i));
  two.set("page/component/77", digestOf(-1));
  t.not(hex(one.root()), hex(two.root()));
  const differing: number[] = [];
  const a = one.shortDigests(0, [0], LEAF_DEPTH, 7);
  const b = two.shortDigests(0, [0], LEAF_DEPTH, 7);
  for (let i = 0; i < nodesAt(LEAF_DEPTH); i++) {
    if (hex(a.subarray(i * SHORT_BYTES, (i + 1) * SHORT_BYTES)) !== hex(b.subarray(i * SHORT_BYTES, (i + 1) * SHORT_BYTES)))
      differing.push(i);
  }
  t.strictSame(differing, [bucketOf("page/component/77")]);
  two.set("page/component/77", digestOf(77));
  t.equal(hex(one.root()), hex(two.root()));
});

t.test("buckets and hashes stay what they are: replicas of different builds must agree", async (t) => {
  t.strictSame(["~/page/acme", "acme/incident/1", "acme/component/web"].map(bucketOf), EXPECTED_BUCKETS);
  const hash = new Uint8Array(SHORT_BYTES);
  shortKey("acme/incident/1", 12345, hash, 0);
  t.equal(hex(hash), EXPECTED_HASH);
});

const EXPECTED_BUCKETS = [48_831, 32_539, 46_967];
const EXPECTED_HASH = "6e38c5c29f17";

t.test("documents spread over the buckets, and another salt gives other hashes", async (t) => {
  const counts = new Int32Array(nodesAt(LEAF_DEPTH));
  for (let i = 0; i < 100_000; i++) {
    const bucket = bucketOf(`page-${i % 50}/incident/${(i * 7919).toString(36)}`);
    counts[bucket] = (counts[bucket] ?? 0) + 1;
  }
  t.ok(Math.max(...counts) <= 16, `the fullest bucket holds ${Math.max(...counts)} of 100,000`);
  const hashes = new Set<string>();
  const hash = new Uint8Array(SHORT_BYTES);
  for (let i = 0; i < 200_000; i++) {
    shortKey(`acme/incident/${i >> 1}`, i % 2, hash, 0);
    hashes.add(hex(hash));
  }
  t.equal(hashes.size, 200_000);
});

t.test("100,000 documents go in well under a second and within 15 MB", async (t) => {
  const keys = Array.from({ length: 100_000 }, (_, i) => `page-${i % 50}/incident/${i.toString(36).padStart(12, "0")}`);
  const digest = digestOf(1);
  globalThis.gc?.();
  const before = process.memoryUsage();
  const started = performance.now();
  const tree = new MerkleTree(leafHash);
  for (const key of keys) tree.set(key, digest);
  const tookMs = performance.now() - started;
  globalThis.gc?.();
  const after = process.memoryUsage();
  const megabytes = (after.arrayBuffers + after.heapUsed - before.arrayBuffers - before.heapUsed) / 1e6;
  t.comment(
    `${tookMs.toFixed(0)} ms, ${megabytes.toFixed(1)} MB${globalThis.gc === undefined ? " with garbage" : ""}, typed arrays ${((after.arrayBuffers - before.arrayBuffers) / 1e6).toFixed(1)} MB`,
  );
  t.equal(tree.size, 100_000);
  t.ok(after.arrayBuffers - before.arrayBuffers < 15e6, "what the tree holds beside the caller's keys");
  t.ok(tookMs < 3_000, "leaves room for a busy machine");
});
