import t from "tap";
import type { Storage, StorageWrite } from "../../src/core/ports.js";
import { DurableBatch } from "../../src/store/durable-batch.js";

/** A disk whose writes end when the test says so. */
class HeldDisk {
  readonly batches: (readonly StorageWrite[])[] = [];
  private ends: ((error?: Error) => void)[] = [];

  readonly storage: Storage = {
    get: async () => undefined, getMany: async (keys) => keys.map(() => undefined), scan: async function* () {}, close: async () => {},
    write: (batch) => {
      this.batches.push(batch);
      return new Promise((resolve, reject) => this.ends.push((error) => (error === undefined ? resolve() : reject(error))));
    },
  };

  async end(error?: Error): Promise<void> {
    for (let turns = 0; this.ends.length === 0 && turns < 100; turns++) await Promise.resolve();
    const end = this.ends.shift();
    if (end === undefined) throw new Error("no write is under way");
    end(error);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

interface World {
  readonly disk: HeldDisk;
  readonly batch: DurableBatch;
  readonly heard: string[];
}

function world(): World {
  const disk = new HeldDisk();
  const heard: string[] = [];
  const batch = new DurableBatch(disk.storage, () => [{ put: "collected", value: new Uint8Array() }], () => 0, {
    flushed: (changes) => void heard.push(`flushed ${changes}`), failed: (error) => void heard.push(`failed ${error.message}`),
  });
  return { disk, batch, heard };
}

const bytes = new Uint8Array([1]);

t.test("what is staged while a batch is being written goes into the next one, and nobody goes on before its own", async (t) => {
  const { disk, batch, heard } = world();
  const said = (name: string) => (): void => void heard.push(name);
  batch.put("a", bytes);
  batch.touch(2);
  batch.afterFlush(said("a is durable"));
  await Promise.resolve();
  const inFlight = batch.reached(1);
  batch.afterFlush(said("after what is under way"));
  batch.put("b", bytes);
  batch.afterFlush(said("b is durable"));
  t.equal(batch.stagingBatch, 2);
  t.same(heard, []);
  await disk.end();
  await inFlight;
  t.same(heard, ["flushed 2", "a is durable", "after what is under way"]);
  t.equal(batch.flushedBatch, 1);
  await disk.end();
  t.same(heard.slice(3), ["flushed 0", "b is durable"]);
  t.same(disk.batches.map((writes) => writes.map((write) => ("put" in write ? write.put : `-${write.del}`))), [["a", "collected"], ["b", "collected"]]);
  batch.afterFlush(said("at once"));
  t.equal(heard.at(-1), "at once");
});

t.test("a later value of a key replaces an earlier one of the same batch, and a deletion too", async (t) => {
  const { disk, batch } = world();
  batch.put("a", bytes);
  batch.delete("a");
  batch.put("b", bytes);
  batch.put("b", new Uint8Array([2]));
  await Promise.resolve();
  t.same(disk.batches[0], [{ del: "a" }, { put: "b", value: new Uint8Array([2]) }, { put: "collected", value: new Uint8Array() }]);
  await disk.end();
});

t.test("after a failed write nothing is called back or written any more, and whoever waits is told", async (t) => {
  const { disk, batch, heard } = world();
  batch.put("a", bytes);
  batch.afterFlush(() => heard.push("never"));
  const waits = [batch.flushed(), batch.reached(1)];
  await Promise.resolve();
  batch.put("b", bytes);
  batch.afterFlush(() => heard.push("never"));
  waits.push(batch.flushed(), batch.reached(2));
  const outcomes = Promise.allSettled(waits);
  await disk.end(new Error("no space left"));
  t.same((await outcomes).map(({ status }) => status), ["rejected", "rejected", "rejected", "rejected"]);
  t.same(heard, ["failed no space left"]);
  batch.put("c", bytes);
  batch.afterFlush(() => heard.push("never"));
  await t.rejects(batch.flushed(), /no space left/);
  await t.rejects(batch.reached(9), /no space left/);
  await batch.drained();
  t.equal(disk.batches.length, 1);
  t.same(heard, ["failed no space left"]);
  t.equal(batch.flushedBatch, 0);
});

t.test("who waits for all that is staged does not wait for what comes later", async (t) => {
  const { disk, batch } = world();
  batch.put("a", bytes);
  const flushed = batch.flushed();
  await Promise.resolve();
  batch.put("b", bytes);
  await disk.end();
  t.equal(await Promise.race([flushed.then(() => "flushed"), new Promise((resolve) => setTimeout(() => resolve("waits on"), 20_000).unref())]), "flushed");
  let drained = false;
  const drain = batch.drained().then(() => {
    drained = true;
  });
  await Promise.resolve();
  t.notOk(drained, "but draining does");
  await disk.end();
  await drain;
});
