/** A Storage that forgets everything with the process: for tests and the simulator. Keeps the contract of `ports.ts`. */
import { StorageFailure, type Storage, type StorageRange, type StorageWrite } from "../core/ports.js";
import { compareUtf8, firstAtOrAfter, PAGE_RECORDS, reservedKeyFault } from "../core/storage-bounds.js";

export interface MemoryStorageOptions {
  /** Gives the error that the next write fails with; for tests. */
  readonly failWrites?: () => Error | undefined;
}

export class MemoryStorage implements Storage {
  private readonly records = new Map<string, Uint8Array>();
  private sorted: string[] | undefined = [];
  /** Why nothing is written any more. */
  private failure: StorageFailure | undefined;
  /** Why nothing is read any more either. */
  private closed: StorageFailure | undefined;

  constructor(private readonly options: MemoryStorageOptions = {}) {}

  async get(key: string): Promise<Uint8Array | undefined> {
    this.assertOpen();
    return this.records.get(key)?.slice();
  }

  async getMany(keys: readonly string[]): Promise<(Uint8Array | undefined)[]> {
    this.assertOpen();
    return keys.map((key) => this.records.get(key)?.slice());
  }

  async *scan(range: StorageRange): AsyncGenerator<readonly (readonly [string, Uint8Array])[]> {
    this.assertOpen();
    // A scan sees the records as they are when it begins.
    const records: (readonly [string, Uint8Array])[] = [];
    const keys = this.keys();
    const limit = range.limit ?? Number.POSITIVE_INFINITY;
    const first = firstAtOrAfter(keys, range.from);
    const end = firstAtOrAfter(keys, range.to);
    for (let i = 0; i < end - first && records.length < limit; i++) {
      const key = keys[range.reverse === true ? end - 1 - i : first + i];
      const value = key === undefined ? undefined : this.records.get(key);
      if (key !== undefined && value !== undefined) records.push([key, value.slice()]);
    }
    for (let start = 0; start < records.length; start += PAGE_RECORDS) {
      this.assertOpen();
      yield records.slice(start, start + PAGE_RECORDS);
    }
  }

  async write(batch: readonly StorageWrite[]): Promise<void> {
    if (this.failure !== undefined) throw this.failure;
    for (const write of batch) {
      const fault = reservedKeyFault("put" in write ? write.put : write.del);
      if (fault !== undefined) throw new RangeError(fault);
    }
    const refused = this.options.failWrites?.();
    if (refused !== undefined) {
      this.failure = new StorageFailure(`a write failed: ${refused.message}`, { cause: refused });
      throw this.failure;
    }
    for (const write of batch) {
      if ("put" in write) {
        if (!this.records.has(write.put)) this.sorted = undefined;
        this.records.set(write.put, write.value.slice());
      } else if (this.records.delete(write.del)) this.sorted = undefined;
    }
  }

  /** Keeps the records, and takes calls again. */
  async reopen(): Promise<void> {
    this.failure = undefined;
    this.closed = undefined;
  }

  async close(): Promise<void> {
    this.closed ??= new StorageFailure("the store is closed");
    this.failure ??= this.closed;
  }

  private keys(): readonly string[] {
    this.sorted ??= [...this.records.keys()].sort(compareUtf8);
    return this.sorted;
  }

  private assertOpen(): void {
    if (this.closed !== undefined) throw this.closed;
  }
}
