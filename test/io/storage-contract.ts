/** What every Storage must do, whatever it stands on. */
import fc from "fast-check";
import { test, type Test } from "tap";
import { StorageFailure, type Storage, type StorageRange } from "../../src/core/ports.js";
import { compareUtf8 } from "../../src/core/storage-bounds.js";

export interface StorageUnderTest {
  readonly storage: Storage & { reopen(): Promise<void> };
  /** Makes the next writes fail, or lets them pass again. */
  refuseWrites(refuse: boolean): void;
  dispose(): Promise<void>;
}

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = (value: Uint8Array | undefined): string | undefined => (value === undefined ? undefined : new TextDecoder().decode(value));

async function collect(storage: Storage, range: StorageRange): Promise<string[]> {
  const keys: string[] = [];
  for await (const page of storage.scan(range)) keys.push(...page.map(([key]) => key));
  return keys;
}

export function storageContract(name: string, make: () => Promise<StorageUnderTest>): void {
  const scenario = (title: string, run: (under: StorageUnderTest, t: Test) => Promise<void>): void => {
    test(`${name}: ${title}`, async (t) => {
      const under = await make();
      try {
        await run(under, t);
      } finally {
        await under.dispose();
      }
    });
  };

  scenario("what a batch put is there, what it deleted is not", async ({ storage }, t) => {
    await storage.write([{ put: "a", value: bytes("1") }, { put: "b", value: bytes("2") }]);
    await storage.write([{ del: "a" }, { put: "b", value: bytes("3") }, { put: "c", value: bytes("") }]);
    t.equal(await storage.get("a"), undefined);
    t.same((await storage.getMany(["c", "a", "b"])).map(text), ["", undefined, "3"]);
  });

  scenario("within a batch the last word on a key counts", async ({ storage }, t) => {
    await storage.write([{ put: "a", value: bytes("1") }, { del: "a" }, { put: "b", value: bytes("1") }, { put: "b", value: bytes("2") }, { del: "c" }, { put: "c", value: bytes("3") }]);
    t.same((await storage.getMany(["a", "b", "c"])).map(text), [undefined, "2", "3"]);
  });

  scenario("a scan gives the range from its first key to before its last, either way", async ({ storage }, t) => {
    await storage.write(["a", "b", "b/1", "b/2", "c", "é", "\u{1F600}", "\uFFFD"].map((put) => ({ put, value: bytes(put) })));
    t.same(await collect(storage, { from: "b", to: "c" }), ["b", "b/1", "b/2"]);
    t.same(await collect(storage, { from: "b", to: "c", reverse: true }), ["b/2", "b/1", "b"]);
    t.same(await collect(storage, { from: "b", to: "c", limit: 2 }), ["b", "b/1"]);
    t.same(await collect(storage, { from: "b", to: "c", limit: 2, reverse: true }), ["b/2", "b/1"]);
    t.same(await collect(storage, { from: "b", to: "c", limit: 0 }), []);
    t.same(await collect(storage, { from: "c", to: "b" }), []);
    t.same(await collect(storage, { from: "", to: "\u{10FFFF}" }), ["a", "b", "b/1", "b/2", "c", "é", "\uFFFD", "\u{1F600}"], "in the order of UTF-8");
  });

  scenario("a long scan comes in pages of at most 1,000, each record once, as it was when the scan began", async ({ storage }, t) => {
    const keys = Array.from({ length: 2_500 }, (_, i) => `k${String(i).padStart(5, "0")}`);
    await storage.write(keys.map((put) => ({ put, value: bytes(put) })));
    const seen: string[] = [];
    for await (const page of storage.scan({ from: "k", to: "l" })) {
      t.ok(page.length > 0 && page.length <= 1_000);
      if (seen.length === 0) await storage.write([{ del: "k02400" }, { put: "k02400a", value: bytes("x") }]);
      seen.push(...page.map(([key]) => key));
    }
    t.same(seen, keys);
  });

  scenario("a value read is not changed by changing what was written, nor the other way", async ({ storage }, t) => {
    const value = bytes("abc");
    await storage.write([{ put: "a", value }]);
    value[0] = 0;
    const read = await storage.get("a");
    t.equal(text(read), "abc");
    read?.fill(0);
    t.equal(text(await storage.get("a")), "abc");
  });

  scenario("a batch with a key of the storage's own is refused whole, and that is not final", async ({ storage }, t) => {
    await t.rejects(storage.write([{ put: "a", value: bytes("1") }, { put: "\u0000x", value: bytes("1") }]), RangeError);
    await t.rejects(storage.write([{ del: "" }]), RangeError);
    t.equal(await storage.get("a"), undefined);
  });

  scenario("after a failed write every write fails until the storage is opened anew; reads go on, and nothing of that write is there", async ({ storage, refuseWrites }, t) => {
    await storage.write([{ put: "a", value: bytes("1") }]);
    refuseWrites(true);
    await t.rejects(storage.write([{ put: "a", value: bytes("2") }]), StorageFailure);
    refuseWrites(false);
    await t.rejects(storage.write([{ put: "b", value: bytes("2") }]), StorageFailure);
    t.same(await storage.get("a"), bytes("1"), "what was there before is read on");
    t.same(await storage.getMany(["a", "b"]), [bytes("1"), undefined]);
    t.equal((await collect(storage, { from: "a", to: "z" })).length, 1);
    await storage.reopen();
    t.same((await storage.getMany(["a", "b"])).map(text), ["1", undefined]);
    await storage.write([{ put: "b", value: bytes("3") }]);
    t.equal(text(await storage.get("b")), "3");
  });

  scenario("writes under way at the same time are each whole and all there", async ({ storage }, t) => {
    const batches = Array.from({ length: 40 }, (_, i) => [`a${i}`, `b${i}`]);
    await Promise.all(batches.map((keys) => storage.write(keys.map((put) => ({ put, value: bytes(put) })))));
    t.equal((await collect(storage, { from: "a", to: "c" })).length, 80);
  });

  scenario("a closed storage says so", async ({ storage }, t) => {
    await storage.close();
    await t.rejects(storage.get("a"), StorageFailure);
    await t.rejects(storage.write([{ put: "a", value: bytes("1") }]), StorageFailure);
  });

  scenario("it holds what an ordered map holds after any batches", async ({ storage }, t) => {
    const key = fc.oneof(fc.string({ minLength: 1, maxLength: 3 }).filter((k) => !k.startsWith("\0")), fc.constantFrom("a", "b", "ab", "é", "\u{1F600}"));
    const write = fc.oneof(fc.record({ put: key, value: fc.uint8Array({ maxLength: 8 }) }), fc.record({ del: key }));
    const expected = new Map<string, Uint8Array>();
    const seed = 20_26_11_21;
    t.comment(`seed ${seed}`);
    await fc.assert(
      fc.asyncProperty(fc.array(write, { maxLength: 12 }), async (batch) => {
        await storage.write(batch);
        for (const one of batch) {
          if ("put" in one) expected.set(one.put, one.value);
          else expected.delete(one.del);
        }
        const keys = [...expected.keys()].sort(compareUtf8);
        const found: string[] = [];
        for await (const page of storage.scan({ from: "\u0001", to: "\u{10FFFF}" })) {
          for (const [name, value] of page) {
            found.push(name);
            if (!Buffer.from(value).equals(expected.get(name) ?? bytes("absent"))) return false;
          }
        }
        return JSON.stringify(found) === JSON.stringify(keys);
      }),
      { seed, numRuns: 60 },
    );
  });
}
