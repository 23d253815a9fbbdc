import { spawn } from "node:child_process";
import { once } from "node:events";
import { cp, mkdtemp, open, readdir, rename, rm, unlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { ClassicLevel } from "classic-level";
import { test } from "tap";
import { StorageDamage, StorageFailure } from "../../src/core/ports.js";
import { FolderInUse, folderWitness, isFreshFolder, LevelStorage, setStoreAside } from "../../src/io/level-storage.js";
import { storageContract } from "./storage-contract.js";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

async function temporaryFolder(): Promise<string> {
  return mkdtemp(path.join(tmpdir(), "statusmesh-storage-"));
}

async function inFolder(run: (folder: string) => Promise<void>): Promise<void> {
  const folder = await temporaryFolder();
  try {
    await run(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Writes behind the storage's back. */
async function tamper(folder: string, change: (level: ClassicLevel<string, Uint8Array>) => Promise<void>): Promise<void> {
  const level = new ClassicLevel<string, Uint8Array>(path.join(folder, "store"), { valueEncoding: "view" });
  await level.open();
  await change(level);
  await level.close();
}

storageContract("LevelDB", async () => {
  const folder = await temporaryFolder();
  let refused = false;
  const storage = await LevelStorage.open(folder, { failWrites: () => (refused ? new Error("planted") : undefined) });
  return {
    storage,
    refuseWrites: (refuse) => {
      refused = refuse;
    },
    dispose: async () => {
      await storage.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
});

test("what was written is there after closing and opening", async (t) => {
  await inFolder(async (folder) => {
    t.equal(await isFreshFolder(folder), true);
    const first = await LevelStorage.open(folder);
    t.equal(first.created, true);
    await first.write([{ put: "a", value: bytes("1") }]);
    await first.close();
    t.equal(await isFreshFolder(folder), false);
    const second = await LevelStorage.open(folder);
    t.equal(second.created, false);
    t.same(await second.get("a"), bytes("1"));
    await second.close();
  });
});

test("a flipped bit in a value, a value under another key and a truncated one are damage, and the rest stays readable", async (t) => {
  await inFolder(async (folder) => {
    const first = await LevelStorage.open(folder);
    await first.write(["flipped", "good", "moved", "short"].map((put) => ({ put, value: bytes(`value of ${put}`) })));
    await first.close();
    await tamper(folder, async (level) => {
      const value = (await level.get("flipped")) ?? new Uint8Array();
      value[value.length - 1] = (value[value.length - 1] ?? 0) ^ 1;
      await level.put("flipped", value);
      await level.put("moved", (await level.get("good")) ?? new Uint8Array());
      await level.put("short", new Uint8Array([1, 2]));
    });
    const second = await LevelStorage.open(folder);
    for (const key of ["flipped", "moved", "short"]) await t.rejects(second.get(key), StorageDamage, key);
    await t.rejects(async () => {
      for await (const page of second.scan({ from: "a", to: "z" })) t.fail(`a page of ${page.length} was given`);
    }, StorageDamage);
    t.same(await second.get("good"), bytes("value of good"));
    await second.close();
  });
});

const LOSSES: Readonly<Record<string, (store: string) => Promise<void>>> = {
  "its folder is gone": (store) => rm(store, { recursive: true }),
  "its folder is empty": async (store) => {
    for (const file of await readdir(store)) await unlink(path.join(store, file));
  },
  "CURRENT is missing": (store) => unlink(path.join(store, "CURRENT")),
  "the manifest is garbage": async (store) => {
    const manifest = (await readdir(store)).find((name) => name.startsWith("MANIFEST"));
    await writeFile(path.join(store, manifest ?? "MANIFEST"), Buffer.alloc(64, 7));
  },
  "the log with the sentinel is empty": async (store) => {
    for (const file of await readdir(store)) if (file.endsWith(".log")) await writeFile(path.join(store, file), "");
  },
  "the log with the sentinel is garbage": async (store) => {
    for (const file of await readdir(store)) if (file.endsWith(".log")) await writeFile(path.join(store, file), Buffer.alloc(4_096, 0x5a));
  },
};

for (const [title, lose] of Object.entries(LOSSES)) {
  test(`a store that was here is refused when ${title}, and can be set aside and begun anew`, async (t) => {
    await inFolder(async (folder) => {
      const first = await LevelStorage.open(folder);
      await first.write([{ put: "a", value: bytes("1") }]);
      await first.close();
      await lose(path.join(folder, "store"));
      await t.rejects(LevelStorage.open(folder), { name: "StorageDamage", message: /--rebuild/ });
      await t.rejects(LevelStorage.open(folder), StorageDamage, "and again: refusing changes nothing");
      await setStoreAside(folder);
      const second = await LevelStorage.open(folder);
      t.equal(second.created, true);
      t.equal(await second.get("a"), undefined);
      await second.close();
    });
  });
}

test("a first start that was interrupted is completed by the next one", async (t) => {
  await inFolder(async (folder) => {
    await writeFile(path.join(folder, "IDENTITY"), "creating\n");
    t.equal(await isFreshFolder(folder), true);
    const storage = await LevelStorage.open(folder);
    t.equal(storage.created, true);
    await storage.close();
    t.equal(await isFreshFolder(folder), false);
  });
});

test("a second opening is refused, in this process and in another, and disturbs nothing", { timeout: 150_000 }, async (t) => {
  await inFolder(async (folder) => {
    const storage = await LevelStorage.open(folder);
    await t.rejects(LevelStorage.open(folder), FolderInUse);
    await t.rejects(setStoreAside(folder), FolderInUse);
    const module = new URL("../../src/io/level-storage.js", import.meta.url).href;
    const program = `const { LevelStorage } = await import(${JSON.stringify(module)}); await LevelStorage.open(process.argv[1]).then(() => console.log("opened"), (error) => console.log(error.message));`;
    const child = spawn(process.execPath, ["--import", "tsx", "--input-type=module", "--eval", program, folder], { stdio: ["ignore", "pipe", "inherit"] });
    let said = "";
    child.stdout.on("data", (chunk: Buffer) => (said += chunk.toString()));
    await once(child, "close");
    t.match(said, /Another process uses this data folder/);
    await storage.write([{ put: "a", value: bytes("1") }]);
    t.same(await storage.get("a"), bytes("1"));
    await storage.close();
  });
});

test("opening anew while the disk still refuses writes does not heal, and does once it takes them", async (t) => {
  await inFolder(async (folder) => {
    let full = false;
    const storage = await LevelStorage.open(folder, { failWrites: () => (full ? new Error("no space left on device") : undefined) });
    full = true;
    await t.rejects(storage.write([{ put: "a", value: bytes("1") }]), { name: "StorageFailure", message: /no space left/ });
    await t.rejects(storage.reopen(), StorageFailure);
    await t.rejects(storage.write([{ put: "a", value: bytes("1") }]), StorageFailure);
    t.equal(await storage.get("a"), undefined, "it is read on");
    full = false;
    await storage.reopen();
    await storage.write([{ put: "a", value: bytes("2") }]);
    t.same(await storage.get("a"), bytes("2"));
    await storage.close();
  });
});

test("calls are timed for the observer", async (t) => {
  await inFolder(async (folder) => {
    const seen = new Set<string>();
    const storage = await LevelStorage.open(folder, { observe: (operation, ms) => ms >= 0 && seen.add(operation) });
    await storage.write([{ put: "a", value: bytes("1") }]);
    await storage.get("a");
    await storage.getMany(["a"]);
    for await (const page of storage.scan({ from: "a", to: "b" })) t.equal(page.length, 1);
    t.same([...seen].sort(), ["get", "getMany", "scan", "write"]);
    await storage.close();
  });
});

test("the witness of a folder stays the same, and is another in a copy and after the folder was put back from one", async (t) => {
  await inFolder(async (folder) => {
    const data = path.join(folder, "data");
    const copy = path.join(folder, "copy");
    const first = await folderWitness(data);
    t.same(await folderWitness(data), first);
    await cp(data, copy, { recursive: true, preserveTimestamps: true });
    t.notSame(await folderWitness(copy), first);
    await rm(data, { recursive: true });
    await rename(copy, data);
    t.notSame(await folderWitness(data), first);
  });
});

test("kill -9 in the middle of writing loses no batch that was acknowledged", { timeout: 150_000 }, async (t) => {
  await inFolder(async (folder) => {
    const module = new URL("../../src/io/level-storage.js", import.meta.url).href;
    const program = `const { LevelStorage } = await import(${JSON.stringify(module)}); const s = await LevelStorage.open(process.argv[1]);
      for (let i = 0; ; i++) { await s.write([{ put: "n" + String(i).padStart(8, "0"), value: new Uint8Array(100) }]); process.stdout.write(i + "\\n"); }`;
    const child = spawn(process.execPath, ["--import", "tsx", "--input-type=module", "--eval", program, folder], { stdio: ["ignore", "pipe", "inherit"] });
    let said = "";
    await new Promise<void>((resolve) => {
      child.stdout.on("data", (chunk: Buffer) => {
        said += chunk.toString();
        if (said.length > 2_000) resolve();
      });
    });
    child.kill("SIGKILL");
    await once(child, "close");
    const acknowledged = Number(said.trimEnd().split("\n").filter((line) => /^\d+$/.test(line)).at(-1));
    t.ok(acknowledged > 100, "it was killed after it had written");
    const storage = await LevelStorage.open(folder);
    let count = 0;
    for await (const page of storage.scan({ from: "n", to: "o" })) count += page.length;
    t.ok(count >= acknowledged, `${count} of at least ${acknowledged} are there`);
    await storage.close();
    const handle = await open(path.join(folder, "IDENTITY"));
    await handle.close();
  });
});
