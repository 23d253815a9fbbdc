/** A change log on memory storage, with what it told its observer. */
import { createHash } from "node:crypto";
import type { Change, Operation } from "../../src/core/change.js";
import type { Dot } from "../../src/core/document.js";
import { HybridClock } from "../../src/core/hlc.js";
import { ALL_PAGES } from "../../src/core/kept-pages.js";
import { limits as builtIn, type Limits } from "../../src/core/limits.js";
import { MerkleTree } from "../../src/core/merkle.js";
import type { Entry } from "../../src/core/messages.js";
import type { Storage } from "../../src/core/ports.js";
import { MemoryHighWater } from "../../src/io/memory-high-water.js";
import { ChangeLog } from "../../src/store/change-log.js";
import { DocumentTable } from "../../src/store/document-table.js";
import { recover, type Opened, type RecoveryOptions } from "../../src/store/recovery.js";

export const sha256 = (bytes: Uint8Array): Uint8Array => createHash("sha256").update(bytes).digest();

export interface LogWorld {
  readonly log: ChangeLog;
  readonly table: DocumentTable;
  readonly opened: Opened;
  readonly failures: Error[];
  readonly applied: { readonly change: Change; readonly dot: Dot }[];
  readonly skewed: string[];
  /** Writes a register of a component. */
  set(id: string, field: string, value: string): Dot;
}

export const RECOVERY: RecoveryOptions = { kept: ALL_PAGES, replica: "us-east-1", clusterId: "test", witness: "folder", above: 0, nowMs: 1_000, verifyBytesMax: 1e9 };

const marks = new WeakMap<Storage, MemoryHighWater>();

/** The mark that lies beside a store: the same for each who opens it. */
export function highWaterOf(storage: Storage): MemoryHighWater {
  const mark = marks.get(storage) ?? new MemoryHighWater();
  marks.set(storage, mark);
  return mark;
}

export async function openLog(storage: Storage, changed: Partial<RecoveryOptions> = {}, limitsChanged: Partial<Record<keyof Limits, number>> = {}, highWater = highWaterOf(storage)): Promise<LogWorld> {
  const limits = { ...builtIn, ...limitsChanged } as Limits;
  const tree = new MerkleTree((key, digest) => sha256(Buffer.concat([Buffer.from(key), digest])).subarray(0, 16));
  let flushed = (): number => 0;
  const table = new DocumentTable(storage, limits, () => flushed());
  const clock = new HybridClock("0000000000aa");
  const opened = await recover(storage, highWater, table, tree, clock, { ...RECOVERY, ...changed });
  const failures: Error[] = [];
  const applied: { change: Change; dot: Dot }[] = [];
  const skewed: string[] = [];
  let now = 0;
  const log = new ChangeLog(opened.state, storage, highWater, table, tree, clock, { region: "us-east", replica: changed.replica ?? RECOVERY.replica }, opened.coverage.kept, limits, sha256, { now: () => 1_000, monotonic: () => ++now }, {
    applied: (_record, change, dot) => void applied.push({ change, dot }), logged: () => {}, skewed: (_origin, hlc) => void skewed.push(hlc),
    flushed: () => {}, failed: (error) => void failures.push(error),
  });
  flushed = () => log.batch.flushedBatch;
  const set = (id: string, field: string, value: string): Dot => {
    const document = `default/component/${id}`;
    const operations: Operation[] = [...(table.find(document) === undefined ? [{ op: "create" as const, section: "" }] : []), { op: "set", section: "", field, value, was: null }];
    return log.write({ document, operations, actor: "test", hlc: clock.send(1_000) });
  };
  return { log, table, opened, failures, applied, skewed, set };
}

/** The entries that a log holds on its disk, in order of arrival. */
export async function entriesOf(log: ChangeLog): Promise<Entry[]> {
  await log.batch.flushed();
  return (await log.readFrom(log.state.tail, 10_000)).entries.map(({ origin, seq, body, checksum }) => ({ origin, seq, body, checksum }));
}
