import { test } from "tap";
import { StorageDamage, StorageFailure, type HighWater } from "../../src/core/ports.js";
import { SeededRandom } from "../../src/sim/seeded-random.js";
import { SimulatedDisk, type Restored } from "../../src/sim/simulated-disk.js";
import { SimulatedClock, SimulatedProcess } from "../../src/sim/simulated-process.js";
import { storageContract } from "../io/storage-contract.js";
import { DrivenQueue } from "./driven-queue.js";

function newDisk(): { driven: DrivenQueue; disk: SimulatedDisk; start: () => SimulatedProcess } {
  const driven = new DrivenQueue();
  const disk = new SimulatedDisk("us-east-1", driven.queue, new SeededRandom("disk"), { readMs: 0.1, syncMs: 1 });
  return { driven, disk, start: () => new SimulatedProcess("us-east-1", driven.queue, new SimulatedClock(driven.queue, 0)) };
}

storageContract("simulated", async () => {
  const { driven, disk, start } = newDisk();
  return {
    storage: disk.open(start()),
    refuseWrites: (refuse) => {
      disk.full = refuse;
    },
    dispose: () => driven.stop(),
  };
});

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

test("a crash loses what was not synced, and what the dead program goes on to write never arrives", async (t) => {
  const { driven, disk, start } = newDisk();
  const process = start();
  const storage = disk.open(process);
  await storage.write([{ put: "a", value: bytes("1") }]);
  void storage.write([{ put: "a", value: bytes("2") }]);
  t.ok(disk.writing, "a write is under way");
  t.ok(disk.crashed("nothing"), "the crash met it");
  process.kill();
  void storage.write([{ put: "b", value: bytes("3") }]);
  const after = disk.open(start());
  t.same(await after.getMany(["a", "b"]), [bytes("1"), undefined]);
  await driven.stop();
});

test("a crash may leave a write that was never acknowledged, or a store that does not open", async (t) => {
  const { driven, disk, start } = newDisk();
  void disk.open(start()).write([{ put: "a", value: bytes("1") }]);
  disk.crashed("everything");
  const storage = disk.open(start());
  t.same(await storage.get("a"), bytes("1"));
  void storage.write([{ put: "a", value: bytes("2") }]);
  disk.crashed("damage");
  t.throws(() => disk.open(start()), StorageDamage);
  disk.clear();
  t.equal(await disk.open(start()).get("a"), undefined);
  await driven.stop();
});

test("a spoiled record is met by every read of it; a full disk opens no store", async (t) => {
  const { driven, disk, start } = newDisk();
  const storage = disk.open(start());
  await storage.write([{ put: "d/1", value: bytes("1") }, { put: "e", value: bytes("2") }]);
  t.ok(disk.spoil("d/"));
  await t.rejects(storage.get("d/1"), StorageDamage);
  t.same(await storage.get("e"), bytes("2"));
  disk.full = true;
  t.throws(() => disk.open(start()), StorageFailure);
  await driven.stop();
});

test("of what is put back, a volume brings its mark and its name along, a folder its mark, a store that lost its end neither", async (t) => {
  const { driven, disk, start } = newDisk();
  const storage = disk.open(start());
  const markOf = (batches: number): HighWater => ({ incarnation: 1, batches, hlc: "0".repeat(32) });
  await storage.write([{ put: "a", value: bytes("early") }]);
  await disk.highWater.write(markOf(1));
  const { witness } = disk;
  const image = disk.image();
  const after: Record<Restored, { readonly batches: number | undefined; readonly sameName: boolean }> = {
    store: { batches: 2, sameName: true }, volume: { batches: 1, sameName: true }, folder: { batches: 1, sameName: false },
  };
  for (const what of ["store", "volume", "folder"] as const) {
    await storage.write([{ put: "a", value: bytes("late") }]);
    await disk.highWater.write(markOf(2));
    disk.restore(image, what);
    t.same(await storage.get("a"), bytes("early"), what);
    t.same({ batches: (await disk.highWater.read())?.batches, sameName: disk.witness === witness }, after[what], what);
  }
  disk.clear();
  t.equal(await disk.highWater.read(), undefined, "an empty folder has none");
  await driven.stop();
});
