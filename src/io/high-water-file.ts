/**
 * The high-water mark of a store, in the file `HIGH-WATER` beside it.
 *
 * Two slots are written in turn, each with a checksum: of a write that a power cut tore the one before is left. A mark is handed to
 * the system before anybody is answered and survives the end of the process; it is synced later, since one more fsync a batch would
 * cost as much as the batch.
 */
import { open, type FileHandle } from "node:fs/promises";
import path from "node:path";
import { crc32 } from "node:zlib";
import { isHlc } from "../core/hlc.js";
import { StorageFailure, type HighWater, type HighWaterMark, type Timer } from "../core/ports.js";
import { syncFolder } from "./data-folder.js";
import { systemTimers } from "./system-clock.js";

/** Apart by what a disk writes at once. */
const SLOT_DISTANCE_BYTES = 4_096;
const SLOT_BYTES = 256;
const CHECKSUM_BYTES = 4;
const SYNC_EVERY_MS = 1_000;

export class HighWaterFile implements HighWaterMark {
  private handle: FileHandle | undefined;
  private slot = 0;
  private isFirst = true;
  private timer: Timer | undefined;
  private syncing: Promise<void> = Promise.resolve();
  private failure: StorageFailure | undefined;

  constructor(private readonly dataFolder: string) {}

  /** Opens the file anew, and makes it if there is none. */
  async read(): Promise<HighWater | undefined> {
    await this.close();
    this.failure = undefined;
    this.isFirst = true;
    const handle = await openOrMake(this.dataFolder).catch(refused);
    this.handle = handle;
    const [first, second] = [await readSlot(handle, 0).catch(refused), await readSlot(handle, 1).catch(refused)];
    const isSecond = second !== undefined && (first === undefined || isLater(second, first));
    this.slot = isSecond ? 0 : 1;
    return isSecond ? second : first;
  }

  async write(mark: HighWater): Promise<void> {
    const { handle, slot } = this;
    if (this.failure !== undefined) throw this.failure;
    if (handle === undefined) throw new StorageFailure("the high-water mark is not open");
    this.slot = 1 - slot;
    await handle.write(encode(mark), 0, SLOT_BYTES, slot * SLOT_DISTANCE_BYTES).catch(refused);
    if (this.isFirst) {
      // From here on the store counts on a mark, which must not be missing after a power cut.
      this.isFirst = false;
      await handle.datasync().catch(refused);
    } else this.timer ??= systemTimers.after(SYNC_EVERY_MS, () => this.sync(handle));
  }

  private sync(handle: FileHandle): void {
    this.timer = undefined;
    this.syncing = handle.datasync().catch((error: unknown) => {
      this.failure = failureOf(error);
    });
  }

  async close(): Promise<void> {
    const { handle } = this;
    if (handle === undefined) return;
    this.handle = undefined;
    this.timer?.cancel();
    await this.syncing;
    this.sync(handle);
    await this.syncing;
    await handle.close().catch(() => undefined);
  }
}

async function openOrMake(dataFolder: string): Promise<FileHandle> {
  const file = path.join(dataFolder, "HIGH-WATER");
  try {
    return await open(file, "r+");
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ENOENT")) throw error;
  }
  const handle = await open(file, "wx+");
  // All of it at once, so that a full disk refuses no mark later.
  await handle.writeFile(Buffer.alloc(2 * SLOT_DISTANCE_BYTES));
  await handle.sync();
  await syncFolder(dataFolder);
  return handle;
}

async function readSlot(handle: FileHandle, slot: number): Promise<HighWater | undefined> {
  const bytes = Buffer.alloc(SLOT_BYTES);
  await handle.read(bytes, 0, SLOT_BYTES, slot * SLOT_DISTANCE_BYTES);
  const text = bytes.subarray(CHECKSUM_BYTES);
  return bytes.readUInt32LE(0) === crc32(text) ? parse(text.toString()) : undefined;
}

function encode(mark: HighWater): Buffer {
  const bytes = Buffer.alloc(SLOT_BYTES, " ");
  bytes.write(JSON.stringify(mark), CHECKSUM_BYTES);
  bytes.writeUInt32LE(crc32(bytes.subarray(CHECKSUM_BYTES)), 0);
  return bytes;
}

function parse(text: string): HighWater | undefined {
  try {
    const { incarnation, batches, hlc } = JSON.parse(text) as Partial<Record<keyof HighWater, unknown>>;
    if (Number.isSafeInteger(incarnation) && Number.isSafeInteger(batches) && isHlc(hlc)) return { incarnation: Number(incarnation), batches: Number(batches), hlc };
  } catch {
    // No mark of ours: as good as none.
  }
  return undefined;
}

function isLater(one: HighWater, other: HighWater): boolean {
  return one.batches > other.batches || (one.batches === other.batches && one.incarnation > other.incarnation);
}

function failureOf(error: unknown): StorageFailure {
  return new StorageFailure(`the disk refused the high-water mark: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
}

function refused(error: unknown): never {
  throw failureOf(error);
}
