/** Stores of results that exchange what they hold as replicas do, without a mesh. */
import { randomBytes } from "node:crypto";
import { NO_PHASES } from "../../src/core/check.js";
import type { Storage } from "../../src/core/ports.js";
import type { State } from "../../src/features/monitors/opinion.js";
import type { StoredResult } from "../../src/features/monitors/result-batch.js";
import { ResultStore } from "../../src/features/monitors/results.js";
import { systemTimers } from "../../src/io/system-clock.js";

export const T0 = Date.UTC(2026, 0, 10, 23, 58);
const MEMBERS = ["us-east-1", "eu-west-1", "ap-south-1"];

export interface TestStore {
  readonly results: ResultStore;
  readonly time: { nowMs: number; monotonicMs: number };
  readonly failures: unknown[];
  readonly refusals: string[];
}

export function store(storage: Storage, { replica = "us-east-1", witness = "here" }: { readonly replica?: string; readonly witness?: string } = {}): TestStore {
  const time = { nowMs: T0, monotonicMs: 0 };
  const failures: unknown[] = [];
  const refusals: string[] = [];
  const results = new ResultStore({
    storage, clock: { now: () => time.nowMs, monotonic: () => time.monotonicMs }, timers: systemTimers, random: { bytes: (length) => randomBytes(length), uniform: () => 0 }, replica,
    members: new Set(MEMBERS), witness, onFailure: (error) => failures.push(error), refused: (origin, reason) => refusals.push(`${origin.split(".")[0] ?? ""} ${reason}`),
  });
  return { results, time, failures, refusals };
}

export function result(at: number, state: State = "up", latency: number | null = 10, key = "default/m"): StoredResult {
  return { key, at, state, latency_ms: latency, phases: NO_PHASES, error: null, attempt: 1, isFinal: true };
}

/** Fetches all that the other one holds, in answers of so many bytes. True if something was new. */
export async function pull(to: TestStore, from: TestStore, bytesMax = 1_000_000): Promise<boolean> {
  for (let any = false; ; any = true) {
    const { records, floor, more } = await from.results.read(await to.results.cursors(), bytesMax);
    if (!(await to.results.keep(records, floor))) return any;
    if (!more) return true;
  }
}

/** Fetches the rollups of what the other one does not hold any more, in answers of so many bytes; how many answers it took. */
export async function pullOlder(to: TestStore, from: TestStore, peer: string, bytesMax = 1_000_000): Promise<number> {
  for (let answers = 0; ; answers++) {
    const position = to.results.olderWanted(peer);
    if (position === undefined) return answers;
    await to.results.keepOlder(peer, await from.results.readOlder(position, bytesMax));
  }
}
