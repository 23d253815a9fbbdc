/**
 * The read path: wait for the session, ask the quorum that the level needs, render from the state beside the documents.
 *
 * Invariants:
 *  1. Nothing is shown before it is durable here.
 *  2. A level is never lowered: where its quorum does not answer, the read fails.
 */
import { isFault, Fault } from "../core/errors.js";
import type { Limits } from "../core/limits.js";
import type { Vector } from "../core/vector.js";
import type { ChangeLog } from "./change-log.js";
import type { Query, ReadOptions, ReadResult } from "./data-plane.js";
import type { QuorumCoordinator } from "./quorum-coordinator.js";
import { RegionQuorum } from "./region-quorum.js";
import type { SessionWaits } from "./session.js";
import { inTurn, TurnSnapshot, tryTurn } from "./snapshot.js";

interface Kept {
  readonly value: unknown;
  readonly dependencies: ReadonlyMap<string, number>;
  readonly batch: number;
  readonly bytes: number;
}

export interface ReadParts {
  readonly log: ChangeLog;
  readonly sessions: SessionWaits;
  readonly quorum: QuorumCoordinator;
  readonly region: RegionQuorum;
  readonly limits: Limits;
  wall(): number;
  monotonic(): number;
  newOperation(): string;
  token(): string;
}

const KEPT_MAX = 50_000;
const ATTEMPTS_MAX = 64;

export class ReadPath {
  private readonly kept = new Map<string, Kept>();
  private keptBytes = 0;

  constructor(private readonly parts: ReadParts) {}

  async read<T>(query: Query<T>, options: ReadOptions): Promise<ReadResult<T> | Fault> {
    const behind = await this.prepare(options);
    if (behind !== undefined) return behind;
    if (options.level === "GLOBAL_QUORUM") return this.readAtQuorum(query, options);
    return this.readHere(query);
  }

  /** Waits for the session, and for what a majority of the region holds where the level asks for it. */
  async prepare(options: ReadOptions): Promise<Fault | undefined> {
    const { sessions, region, limits } = this.parts;
    if (options.session !== undefined) {
      const behind = await sessions.wait(options.session, options.sessionWaitMs ?? limits.sessionWaitMs, false);
      if (behind !== undefined) return behind;
    }
    if (options.level !== "LOCAL_QUORUM") return undefined;
    const timeoutMs = options.quorumTimeoutMs ?? limits.quorumTimeoutMs;
    const startedAt = this.parts.monotonic();
    const held: Vector | undefined = await region.learn(timeoutMs);
    const left = timeoutMs - (this.parts.monotonic() - startedAt);
    if (held === undefined || !(await sessions.reach(held, Math.max(1, left)))) return RegionQuorum.unavailable();
    return undefined;
  }

  private async readHere<T>(query: Query<T>): Promise<ReadResult<T> | Fault> {
    const { log, wall } = this.parts;
    const kept = query.cacheKey === undefined ? undefined : this.recall(query.cacheKey);
    if (kept !== undefined) return this.show(kept.value as T, kept.batch);
    const { value, snapshot } = await inTurn(log.table, wall, (turn) => query.render(turn));
    if (query.cacheKey !== undefined && !snapshot.listed && !isFault(value)) this.keep(query.cacheKey, value, snapshot);
    return this.show(value, snapshot.batch);
  }

  /** Gives a result out once everything that it shows is durable. */
  private async show<T>(value: T | Fault, batch: number): Promise<ReadResult<T> | Fault> {
    if (batch > this.parts.log.batch.flushedBatch) {
      try {
        await this.parts.log.batch.reached(batch);
      } catch {
        return new Fault("read-only", "The disk of this replica does not take writes; what was read may not be durable.", { retryAfterSeconds: 5 });
      }
    }
    return isFault(value) ? value : { value, token: this.parts.token() };
  }

  private recall(key: string): Kept | undefined {
    const kept = this.kept.get(key);
    if (kept === undefined) return undefined;
    for (const [document, revision] of kept.dependencies) {
      if ((this.parts.log.table.find(document)?.revision ?? -1) === revision) continue;
      this.forget(key, kept);
      return undefined;
    }
    return kept;
  }

  private keep(key: string, value: unknown, snapshot: TurnSnapshot): void {
    const bytes = sizeOf(value);
    const old = this.kept.get(key);
    if (old !== undefined) this.forget(key, old);
    this.kept.set(key, { value, dependencies: snapshot.dependencies, batch: snapshot.batch, bytes });
    this.keptBytes += bytes;
    for (const [oldest, entry] of this.kept) {
      if (this.kept.size <= KEPT_MAX && this.keptBytes <= this.parts.limits.documentCacheBytes / 3) return;
      this.forget(oldest, entry);
    }
  }

  private forget(key: string, kept: Kept): void {
    this.kept.delete(key);
    this.keptBytes -= kept.bytes;
  }

  /**
   * Linearizable: the view captured at the start is shown if a majority knows of nothing beyond it, else a later one. The last
   * target is what the query is about and may be captured again; the others (its page) must have been fresh at the start.
   */
  private async readAtQuorum<T>(query: Query<T>, options: ReadOptions): Promise<ReadResult<T> | Fault> {
    const { log, quorum, wall, monotonic, limits } = this.parts;
    const until = monotonic() + (options.quorumTimeoutMs ?? limits.quorumTimeoutMs);
    const targets = [...query.documents.map((document) => ({ document })), ...(query.lists ?? []).map(({ partition, type }) => ({ scope: `${partition}/${type}` }))];
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
      const timeoutMs = until - monotonic();
      if (timeoutMs <= 0) break;
      // What was looked at stays in memory until the engine has captured it.
      const seen = [...(await inTurn(log.table, wall, (turn) => query.render(turn))).snapshot.dependencies.keys()];
      for (const key of seen) log.table.pin(key);
      let captured: { value: T | Fault } | undefined;
      const captures = targets.map(() => 0);
      const capture = (target: number): void => {
        captures[target] = (captures[target] ?? 0) + 1;
        const snapshot = new TurnSnapshot(log.table, wall());
        const turn = tryTurn(snapshot, () => query.render(snapshot));
        captured = "value" in turn ? turn : undefined;
      };
      const results = await Promise.all(targets.map((target, index) => quorum.read({ operation: this.parts.newOperation(), target, timeoutMs, capture: () => capture(index) })));
      for (const key of seen) log.table.unpin(key);
      const fault = results.find(isFault);
      if (fault !== undefined) return fault;
      if (captured !== undefined && captures.slice(0, -1).every((count) => count === 1)) {
        const { value } = captured as { value: T | Fault };
        return isFault(value) ? value : { value, token: this.parts.token() };
      }
    }
    return new Fault("quorum-unavailable", "The documents kept changing while they were read.", { retryAfterSeconds: 1 });
  }
}

function sizeOf(value: unknown): number {
  const body = typeof value === "object" && value !== null && "body" in value ? value.body : undefined;
  return 256 + (typeof body === "string" ? body.length : 1024);
}
