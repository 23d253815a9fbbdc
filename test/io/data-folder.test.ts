import { mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "tap";
import { makeFolder } from "../../src/io/data-folder.js";

test("folders within folders are made, by many at the same time, and a file is no folder", async (t) => {
  const root = await mkdtemp(path.join(tmpdir(), "statusmesh-folder-"));
  t.teardown(() => rm(root, { recursive: true, force: true }));
  for (let round = 0; round < 20; round++) {
    const within = path.join(root, `${round}`, "a", "b");
    await Promise.all(Array.from({ length: 8 }, (_, index) => makeFolder(path.join(within, `${index % 4}`))));
    t.ok((await stat(path.join(within, "3"))).isDirectory());
  }
  await makeFolder(root);
  await writeFile(path.join(root, "file"), "");
  await t.rejects(makeFolder(path.join(root, "file")), { code: "EEXIST" });
  await t.rejects(makeFolder(path.join(root, "file", "within")), { code: "EEXIST" });
});

test("where no folder can be made it says so, and does not try for ever", { skip: process.platform !== "linux" }, async (t) => {
  await t.rejects(makeFolder("/proc/none/within"), { code: "ENOENT" });
});
