import { cp, mkdtemp, open, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { test, type Test } from "tap";
import { StorageFailure, type HighWater, type HighWaterMark } from "../../src/core/ports.js";
import { HighWaterFile } from "../../src/io/high-water-file.js";
import { MemoryHighWater } from "../../src/io/memory-high-water.js";

const markOf = (batches: number, incarnation = 7): HighWater => ({ incarnation, batches, hlc: batches.toString(16).padStart(32, "0") });

async function folderOf(t: Test): Promise<string> {
  const folder = await mkdtemp(path.join(tmpdir(), "statusmesh-high-water-"));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** What every mark must do, whatever it stands on. */
function contract(name: string, make: (t: Test) => Promise<{ readonly mark: HighWaterMark; close(): Promise<void> }>): void {
  test(`${name}: what was written last is read, again and again`, async (t) => {
    const { mark, close } = await make(t);
    t.equal(await mark.read(), undefined);
    for (const batches of [0, 1, 2, 3]) {
      await mark.write(markOf(batches));
      t.same(await mark.read(), markOf(batches));
    }
    await mark.write(markOf(4));
    await mark.write(markOf(5));
    await mark.write(markOf(5, 9));
    t.same(await mark.read(), markOf(5, 9));
    await close();
  });
}

contract("memory", async () => ({ mark: new MemoryHighWater(), close: async () => {} }));
contract("a file", async (t) => {
  const mark = new HighWaterFile(await folderOf(t));
  return { mark, close: () => mark.close() };
});

test("a mark that was not synced is there for the next process", async (t) => {
  const folder = await folderOf(t);
  const first = new HighWaterFile(folder);
  t.equal(await first.read(), undefined);
  for (let batches = 1; batches <= 10; batches++) await first.write(markOf(batches));
  const second = new HighWaterFile(folder);
  t.same(await second.read(), markOf(10), "it was not closed");
  await Promise.all([first.close(), second.close()]);
});

test("of a torn write the mark before is left; a file without a whole slot is no mark, and takes one", async (t) => {
  const folder = await folderOf(t);
  const file = path.join(folder, "HIGH-WATER");
  const mark = new HighWaterFile(folder);
  await mark.read();
  await mark.write(markOf(1));
  await mark.write(markOf(2));
  await mark.close();
  const whole = path.join(folder, "whole");
  await cp(file, whole);
  const found: (HighWater | undefined)[] = [];
  for (const at of [10, 4_096 + 10]) {
    await cp(whole, file);
    const handle = await open(file, "r+");
    await handle.write(Buffer.from([0xff]), 0, 1, at);
    await handle.close();
    found.push(await mark.read());
    await mark.close();
  }
  t.same(found.map((one) => one?.batches).sort(), [1, 2]);
  for (const harm of [() => truncate(file, 0), () => writeFile(file, "not a mark"), () => rm(file)]) {
    await harm();
    t.equal(await mark.read(), undefined);
    await mark.write(markOf(3));
    t.same(await mark.read(), markOf(3));
    await mark.close();
  }
});

test("a folder that is gone is a refusal of the disk", async (t) => {
  const folder = await folderOf(t);
  const mark = new HighWaterFile(path.join(folder, "missing"));
  await t.rejects(mark.read(), StorageFailure);
  await t.rejects(mark.write(markOf(1)), StorageFailure);
});
