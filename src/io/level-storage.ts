/**
 * Storage on LevelDB.
 *
 * Why so careful: LevelDB drops damaged records of its log without a word, returns flipped bytes of its tables, opens empty
 * where `CURRENT` is lost, and after a full disk acknowledges writes that are gone at the next start. So every value carries a
 * CRC-32 over key and value, a sentinel record and a marker file beside the store say that it is not new, the store is created
 * at the first start only, and the first write that fails ends all work until it is opened anew.
 */
import { open as openFile, readFile, readdir, rename, rm, stat } from "node:fs/promises";
import path from "node:path";
import { performance } from "node:perf_hooks";
import { crc32 } from "node:zlib";
import { ClassicLevel } from "classic-level";
import { StorageDamage, StorageFailure, type Storage, type StorageRange, type StorageWrite } from "../core/ports.js";
import { PAGE_RECORDS, reservedKeyFault } from "../core/storage-bounds.js";
import { makeFolder, syncFolder } from "./data-folder.js";

export type StorageOperation = "get" | "getMany" | "scan" | "write";

export interface LevelStorageOptions {
  /** Told of every finished call (of a scan: every page), with its duration. */
  readonly observe?: (operation: StorageOperation, ms: number) => void;
  /** Gives the error that the next write fails with, undefined to let it pass. For tests only. */
  readonly failWrites?: () => Error | undefined;
  /** Bytes of uncompressed blocks kept in memory. */
  readonly cacheBytes?: number;
  /** Tables that are kept open. */
  readonly openFiles?: number;
}

/** Another process holds the lock of the data folder. */
export class FolderInUse extends Error {
  override readonly name = "FolderInUse";
}

/** LevelDB's own 4 MiB are full after a second of writes, and each time another table is made and merged. */
const WRITE_BUFFER_BYTES = 12 * 1024 * 1024;
const CHECKSUM_BYTES = 4;
const SENTINEL_KEY = "\u0000statusmesh";
const SENTINEL = new TextEncoder().encode("statusmesh store 1");
/** The first key that is not the storage's own. */
const FIRST_KEY = "\u0001";
const CREATING = "creating\n";
const CREATED = "created\n";
/** LevelDB dropped records when it opened the store. It says so once: the next opening would find nothing amiss. */
const DAMAGED = "damaged\n";
/** More than a file system keeps in reserve for small files. */
const PROBE_BYTES = 64 * 1024;
const SYNC = { sync: true } as const;

type Level = ClassicLevel<string, Uint8Array>;

/**
 * Folders that this process has open. LevelDB itself must not be asked: its second opening within a process fails, and on
 * the way releases the file lock of the first, since POSIX locks end when any descriptor of the file is closed.
 */
const openHere = new Set<string>();

export class LevelStorage implements Storage {
  /** Why nothing is written any more. */
  private failure: StorageFailure | undefined;
  /** Why nothing is read any more either. */
  private closed: StorageFailure | undefined;
  private readonly observe: (operation: StorageOperation, ms: number) => void;

  private constructor(
    private level: Level,
    private readonly dataFolder: string,
    private readonly options: LevelStorageOptions,
    /** True if this start made the store: there was nothing in the data folder. */
    readonly created: boolean,
  ) {
    this.observe = options.observe ?? (() => undefined);
  }

  /**
   * Opens `<dataFolder>/store`, making it at the first start. Rejects with `FolderInUse`, with `StorageDamage` if a store was
   * here and is missing or unreadable, with `StorageFailure` if the disk refuses.
   */
  static async open(dataFolder: string, options: LevelStorageOptions = {}): Promise<LevelStorage> {
    const folder = path.resolve(dataFolder);
    refuseIfOpenHere(folder);
    openHere.add(folder);
    try {
      // A disk that takes no writes takes no opening either: LevelDB begins a new log with it.
      const planted = options.failWrites?.();
      if (planted !== undefined) throw new StorageFailure(`the disk refuses writes: ${reasonOf(planted)}`, { cause: planted });
      const { level, created } = await openLevel(folder, options);
      return new LevelStorage(level, folder, options, created);
    } catch (error) {
      openHere.delete(folder);
      throw error;
    }
  }

  async get(key: string): Promise<Uint8Array | undefined> {
    const [value] = await this.fetch("get", [key]);
    return value;
  }

  getMany(keys: readonly string[]): Promise<(Uint8Array | undefined)[]> {
    return this.fetch("getMany", keys);
  }

  async *scan(range: StorageRange): AsyncGenerator<readonly (readonly [string, Uint8Array])[]> {
    this.assertOpen();
    let left = range.limit ?? Number.POSITIVE_INFINITY;
    if (left <= 0) return;
    const iterator = this.level.iterator({
      gte: range.from < FIRST_KEY ? FIRST_KEY : range.from,
      lt: range.to,
      reverse: range.reverse === true,
      ...(range.limit === undefined ? {} : { limit: range.limit }),
      fillCache: false,
      highWaterMarkBytes: 256 * 1024,
    });
    try {
      while (left > 0) {
        const startedAt = performance.now();
        const page = await iterator.nextv(Math.min(PAGE_RECORDS, left)).catch((error: unknown) => this.readFailed(error));
        this.assertOpen();
        if (page.length === 0) return;
        const records = page.map(([key, stored]) => [key, unseal(key, stored)] as const);
        this.observe("scan", performance.now() - startedAt);
        left -= records.length;
        yield records;
      }
    } finally {
      await iterator.close().catch(() => undefined);
    }
  }

  async write(batch: readonly StorageWrite[]): Promise<void> {
    this.assertWritable();
    if (batch.length === 0) return;
    const startedAt = performance.now();
    for (const write of batch) assertKey("put" in write ? write.put : write.del);
    try {
      const planted = this.options.failWrites?.();
      if (planted !== undefined) throw planted;
      await writeChained(this.level, batch);
    } catch (error) {
      // Final, for this call and all later ones: what LevelDB says after a failed write cannot be believed.
      this.failure ??= new StorageFailure(`the disk refused a write: ${reasonOf(error)}`, { cause: error });
      throw this.failure;
    }
    // A write that was under way beside one that failed was acknowledged by a store that is no longer believed.
    this.assertWritable();
    this.observe("write", performance.now() - startedAt);
  }

  /** Writes a file beside the store and deletes it. Rejects with a `StorageFailure` while the disk takes no writes. */
  async probe(): Promise<void> {
    const planted = this.options.failWrites?.();
    if (planted !== undefined) throw new StorageFailure(`the disk still refuses writes: ${reasonOf(planted)}`, { cause: planted });
    const file = path.join(this.dataFolder, "PROBE");
    await writeDurably(file, "x".repeat(PROBE_BYTES));
    await rm(file, { force: true });
  }

  /** Closes LevelDB and opens it again, after a failure whose cause is gone. Rejects as `open` does; then it stays failed. */
  async reopen(): Promise<void> {
    await this.probe();
    this.closed = new StorageFailure("the store is being opened anew");
    this.failure ??= this.closed;
    await this.level.close();
    const { level } = await openLevel(this.dataFolder, this.options);
    openHere.add(this.dataFolder);
    this.level = level;
    this.failure = undefined;
    this.closed = undefined;
  }

  async close(): Promise<void> {
    this.closed ??= new StorageFailure("the store is closed");
    this.failure ??= this.closed;
    await this.level.close();
    openHere.delete(this.dataFolder);
  }

  private async fetch(operation: "get" | "getMany", keys: readonly string[]): Promise<(Uint8Array | undefined)[]> {
    this.assertOpen();
    const startedAt = performance.now();
    const stored = await this.level.getMany([...keys]).catch((error: unknown) => this.readFailed(error));
    this.assertOpen();
    const values = stored.map((bytes, i) => (bytes === undefined ? undefined : unseal(keys[i] ?? "", bytes)));
    this.observe(operation, performance.now() - startedAt);
    return values;
  }

  /** A refused read (no descriptors) is not final; a damaged one says so. */
  private readFailed(error: unknown): never {
    if (this.closed !== undefined) throw this.closed;
    if (codesOf(error).includes("LEVEL_CORRUPTION")) throw new StorageDamage(`the store is damaged: ${reasonOf(error)}`, { cause: error });
    throw new StorageFailure(`the disk refused a read: ${reasonOf(error)}`, { cause: error });
  }

  private assertOpen(): void {
    if (this.closed !== undefined) throw this.closed;
  }

  private assertWritable(): void {
    if (this.failure !== undefined) throw this.failure;
  }
}

function refuseIfOpenHere(folder: string): void {
  if (openHere.has(folder)) throw new FolderInUse(`This process has the data folder open already: ${folder}.`);
}

async function openLevel(dataFolder: string, options: LevelStorageOptions): Promise<{ level: Level; created: boolean }> {
  const folder = path.join(dataFolder, "store");
  const marker = path.join(dataFolder, "IDENTITY");
  await makeFolder(dataFolder).catch(diskRefused);
  const state = await readText(marker);
  const files = await filesIn(folder);
  if (state === DAMAGED) throw new StorageDamage(`the store in ${dataFolder} is damaged: records of its log were dropped when it was last opened. ${REBUILD_ADVICE}`);
  const wasMade = state === CREATED || (state === undefined && files.length > 0);
  if (wasMade && files.length === 0) throw new StorageDamage(`${dataFolder} held a store, and it is gone. ${REBUILD_ADVICE}`);

  const level: Level = new ClassicLevel(folder, { keyEncoding: "utf8", valueEncoding: "view", cacheSize: options.cacheBytes ?? 16 * 1024 * 1024, writeBufferSize: WRITE_BUFFER_BYTES, ...(options.openFiles === undefined ? {} : { maxOpenFiles: options.openFiles }) });
  if (wasMade) {
    await openLocked(level, dataFolder, false);
    try {
      await refuseDropped(folder, marker);
      await verifySentinel(level, dataFolder);
    } catch (error) {
      await level.close();
      throw error;
    }
    if (state === undefined) await writeDurably(marker, CREATED);
    return { level, created: false };
  }
  // Nothing was ever acknowledged here: what a first start that was interrupted left behind is completed.
  await writeDurably(marker, CREATING);
  await openLocked(level, dataFolder, true);
  try {
    await writeChained(level, [{ put: SENTINEL_KEY, value: SENTINEL }]);
    await writeDurably(marker, CREATED);
  } catch (error) {
    await level.close();
    throw new StorageFailure(`the disk refused the first write: ${reasonOf(error)}`, { cause: error });
  }
  return { level, created: true };
}

const REBUILD_ADVICE = "`statusmesh node --rebuild` moves what is left aside and fetches everything from the peers.";

async function openLocked(level: Level, dataFolder: string, createIfMissing: boolean): Promise<void> {
  try {
    await level.open({ createIfMissing });
  } catch (error) {
    const codes = codesOf(error);
    if (codes.includes("LEVEL_LOCKED")) throw new FolderInUse(`Another process uses this data folder: ${dataFolder}.`, { cause: error });
    const refused = codes.find((code) => /^E[A-Z]+$/.test(code)) ?? /no space|too many open files|permission denied|read-only/i.exec(reasonOf(error))?.[0];
    if (refused !== undefined) throw new StorageFailure(`the disk refused to open ${dataFolder}: ${reasonOf(error)}`, { cause: error });
    throw new StorageDamage(`the store in ${dataFolder} cannot be opened (${reasonOf(error)}). ${REBUILD_ADVICE}`, { cause: error });
  }
}

/** LevelDB opens a store whose log is damaged without an error, but writes what it left out into its own file `LOG`, begun anew at each opening. */
async function refuseDropped(folder: string, marker: string): Promise<void> {
  const dropped = /^.*: dropping \d+ bytes; .*$/m.exec((await readText(path.join(folder, "LOG"))) ?? "")?.[0];
  if (dropped === undefined) return;
  await writeDurably(marker, DAMAGED);
  throw new StorageDamage(`the store in ${path.dirname(folder)} is damaged: LevelDB left out records (${dropped.slice(dropped.indexOf("dropping"))}). ${REBUILD_ADVICE}`);
}

async function verifySentinel(level: Level, dataFolder: string): Promise<void> {
  const stored = await level.get(SENTINEL_KEY).catch((error: unknown) => {
    throw new StorageDamage(`the store in ${dataFolder} cannot be read (${reasonOf(error)}). ${REBUILD_ADVICE}`, { cause: error });
  });
  if (stored === undefined || !Buffer.from(unseal(SENTINEL_KEY, stored)).equals(SENTINEL))
    throw new StorageDamage(`the store in ${dataFolder} lost its first record. ${REBUILD_ADVICE}`);
}

/**
 * Moves the store of a data folder aside, to `store.damaged-<n>`, so that the next `open` begins a new one. Rejects with
 * `FolderInUse` while another process has it open. Returns where it went, undefined if there was none.
 */
export async function setStoreAside(dataFolder: string): Promise<string | undefined> {
  refuseIfOpenHere(path.resolve(dataFolder));
  const folder = path.join(dataFolder, "store");
  const marker = path.join(dataFolder, "IDENTITY");
  if ((await filesIn(folder)).length === 0) {
    await rm(marker, { force: true });
    return undefined;
  }
  const level: Level = new ClassicLevel(folder, { keyEncoding: "utf8", valueEncoding: "view" });
  await openLocked(level, dataFolder, false).catch((error: unknown) => {
    if (error instanceof FolderInUse) throw error;
  });
  await level.close().catch(() => undefined);
  const taken = new Set(await filesIn(dataFolder));
  let number = 1;
  while (taken.has(`store.damaged-${number}`)) number += 1;
  const aside = path.join(dataFolder, `store.damaged-${number}`);
  await rename(folder, aside);
  await rm(marker, { force: true });
  await syncFolder(dataFolder);
  return aside;
}

export interface FolderWitness {
  readonly inode: string;
  readonly ctimeNs: string;
}

/**
 * What the file `WITNESS` of a data folder looks like to the file system; made anew if absent. A folder that was copied back
 * from an old copy holds a file with another inode or another time of change, which no copy carries along.
 */
export async function folderWitness(dataFolder: string): Promise<FolderWitness> {
  const file = path.join(dataFolder, "WITNESS");
  await makeFolder(dataFolder).catch(diskRefused);
  if ((await readText(file)) === undefined) await writeDurably(file, "This file tells a copy of this folder from the folder itself.\n");
  const { ino, ctimeNs } = await stat(file, { bigint: true }).catch(diskRefused);
  return { inode: ino.toString(), ctimeNs: ctimeNs.toString() };
}

/** True if no replica ever ran on this data folder. */
export async function isFreshFolder(dataFolder: string): Promise<boolean> {
  const state = await readText(path.join(dataFolder, "IDENTITY"));
  return state === CREATING || (state === undefined && (await filesIn(path.join(dataFolder, "store"))).length === 0);
}

/** A chained batch costs a quarter of the processor time of an array of operations. */
async function writeChained(level: Level, writes: readonly StorageWrite[]): Promise<void> {
  const batch = level.batch();
  try {
    for (const write of writes) {
      if ("del" in write) batch.del(write.del);
      else batch.put(write.put, seal(write.put, write.value));
    }
  } catch (error) {
    await batch.close();
    throw error;
  }
  await batch.write(SYNC);
}

function assertKey(key: string): void {
  const fault = reservedKeyFault(key);
  if (fault !== undefined) throw new RangeError(fault);
}

/** The checksum, then the value. It covers the key too, so that a record found under another key is noticed. */
function seal(key: string, value: Uint8Array): Uint8Array {
  const sealed = Buffer.allocUnsafe(CHECKSUM_BYTES + value.length);
  sealed.writeUInt32LE(checksumOf(key, value), 0);
  sealed.set(value, CHECKSUM_BYTES);
  return sealed;
}

function unseal(key: string, stored: Uint8Array): Uint8Array {
  if (stored.length >= CHECKSUM_BYTES) {
    const value = stored.subarray(CHECKSUM_BYTES);
    const written = new DataView(stored.buffer, stored.byteOffset, CHECKSUM_BYTES).getUint32(0, true);
    if (written === checksumOf(key, value)) return value;
  }
  throw new StorageDamage(`the record ${JSON.stringify(key)} is not what was written`);
}

/** zlib's answer for no bytes depends on where they are not, so an empty value adds nothing. */
function checksumOf(key: string, value: Uint8Array): number {
  const ofKey = crc32(key);
  return value.length === 0 ? ofKey : crc32(value, ofKey);
}

async function filesIn(folder: string): Promise<string[]> {
  return readdir(folder).catch((error: unknown) => (codesOf(error).includes("ENOENT") ? [] : diskRefused(error)));
}

async function readText(file: string): Promise<string | undefined> {
  return readFile(file, "utf8").catch((error: unknown) => (codesOf(error).includes("ENOENT") ? undefined : diskRefused(error)));
}

async function writeDurably(file: string, text: string): Promise<void> {
  try {
    const handle = await openFile(`${file}.new`, "w");
    try {
      await handle.writeFile(text);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(`${file}.new`, file);
    await syncFolder(path.dirname(file));
  } catch (error) {
    diskRefused(error);
  }
}

function diskRefused(error: unknown): never {
  throw new StorageFailure(`the disk refused: ${reasonOf(error)}`, { cause: error });
}

/** The codes of an error and of its causes, outermost first. */
function codesOf(error: unknown): string[] {
  const codes: string[] = [];
  for (let at = error; at instanceof Error && codes.length < 8; at = at.cause) {
    if ("code" in at && typeof at.code === "string") codes.push(at.code);
  }
  return codes;
}

/** The innermost message: LevelDB's own words rather than "Database failed to open". */
function reasonOf(error: unknown): string {
  let at = error;
  while (at instanceof Error && at.cause instanceof Error) at = at.cause;
  return at instanceof Error ? at.message : String(at);
}
