/**
 * One replica in memory, alone, without a disk: the data plane that routes are tested with. Built on the document state
 * of the product; quorum levels answer as LOCAL unless `refuse` says otherwise.
 */
import { createHash } from "node:crypto";
import { encodeChange, type Change, type Operation } from "../../src/core/change.js";
import { DocumentState, parseKey } from "../../src/core/document.js";
import { Fault, isFault } from "../../src/core/errors.js";
import { encodeHlc, HLC_ZERO, hlcTime, HybridClock } from "../../src/core/hlc.js";
import type { Clock, Random } from "../../src/core/ports.js";
import { copyVector, dominates, parseVector, type Vector } from "../../src/core/vector.js";
import type {
  AntiEntropyPeerReport, ClusterStatus, Command, CommitOptions, Committed, DataPlane, DocumentChange, DocumentHeader, HistoryEntry, Query, ReadOptions, ReadResult, Snapshot,
} from "../../src/store/data-plane.js";
import type { LogItem } from "../../src/store/page-events.js";
import { Feed } from "../../src/store/feed.js";
import { DocumentReader } from "../../src/store/document-reader.js";

const ORIGIN = "us-east-1.1";
const REGION = "us-east";
const NEWEST_FIRST = new Set(["incident", "maintenance"]);

export class FakeDataPlane implements DataPlane {
  /** Asked before every read and write; a Fault is given back in its place. */
  refuse: (options: ReadOptions) => Fault | undefined = () => undefined;
  level = 0;
  /** What commits were asked for, latest last. */
  readonly committed: { readonly command: Command; readonly options: CommitOptions }[] = [];

  readonly feed = new Feed((error) => {
    throw error;
  });
  private readonly changed = new Map<string, DocumentChange[]>();
  private readonly documents = new Map<string, DocumentState>();
  private readonly histories = new Map<string, HistoryEntry[]>();
  private readonly answers = new Map<string, { readonly request: string; readonly committed: Committed }>();
  private readonly kept = new Map<string, { readonly at: number; readonly value: unknown }>();
  private readonly hybridClock = new HybridClock("000000000001");
  private sequence = 0;

  constructor(private readonly clock: Clock) {}

  async commit(command: Command, options: CommitOptions): Promise<Committed | Fault> {
    this.committed.push({ command, options });
    const refused = this.refusal(options);
    if (refused !== undefined) return refused;
    const { idempotency } = options;
    const earlier = idempotency === undefined ? undefined : this.answers.get(idempotency.scope);
    if (earlier !== undefined) {
      if (earlier.request !== idempotency?.request) return new Fault("idempotency-key-reused", "The key came before with another body.");
      return { ...earlier.committed, replayed: true, token: this.token() };
    }
    const snapshot = this.snapshot();
    const subject = snapshot.document(command.subject);
    if (options.ifMatch !== undefined && (subject === undefined || !(options.ifMatch.includes("*") || options.ifMatch.includes(subject.etag)))) {
      if (subject !== undefined || isFault(command.plan(snapshot)) === false) return new Fault("precondition-failed", "The resource is not the one that If-Match names.");
    }
    const plan = command.plan(snapshot);
    if (isFault(plan)) return plan;
    for (const { document, operations } of plan.changes) if (operations.length > 0) this.write(document, operations, options.actor);
    return this.answer(command, options);
  }

  private answer(command: Command, { idempotency }: CommitOptions): Committed {
    const after = this.snapshot();
    const answer = command.answer(after);
    const etag = answer.etagOf === undefined ? undefined : after.document(answer.etagOf)?.etag;
    const committed: Committed = {
      status: answer.status,
      body: answer.body === null ? null : JSON.stringify({ ...answer.body, ...answer.secret }),
      location: answer.location ?? null,
      etag: etag === undefined ? null : `"${etag}"`,
      replayed: false,
      token: this.token(),
    };
    if (idempotency !== undefined) {
      const kept = { ...committed, body: answer.body === null ? null : JSON.stringify(answer.body) };
      this.answers.set(idempotency.scope, { request: idempotency.request, committed: kept });
    }
    return committed;
  }

  async read<T>(query: Query<T>, options: ReadOptions): Promise<ReadResult<T> | Fault> {
    const refused = this.refusal(options);
    if (refused !== undefined) return refused;
    const { cacheKey } = query;
    const kept = cacheKey === undefined ? undefined : this.kept.get(cacheKey);
    if (kept !== undefined && kept.at === this.sequence) return { value: kept.value as T, token: this.token() };
    const value = query.render(this.snapshot());
    if (isFault(value)) return value;
    if (cacheKey !== undefined) this.kept.set(cacheKey, { at: this.sequence, value });
    return { value, token: this.token() };
  }

  async history(key: string, options: ReadOptions): Promise<ReadResult<readonly HistoryEntry[]> | Fault> {
    const refused = this.refusal(options);
    if (refused !== undefined) return refused;
    const entries = this.histories.get(key);
    return entries === undefined ? new Fault("not-found", "There is no such document.") : { value: [...entries].reverse(), token: this.token() };
  }

  async changes(key: string): Promise<readonly DocumentChange[] | Fault> {
    return this.changed.get(key) ?? [];
  }

  async recentChanges(key: string, beyond: Vector): Promise<readonly DocumentChange[] | Fault> {
    return (this.changed.get(key) ?? []).filter(({ dot }) => dot.seq > (beyond[dot.origin] ?? 0));
  }

  private readonly projections = new Map<string, string>();

  async projection(key: string): Promise<{ readonly text: string | undefined; readonly vector: Vector }> {
    return { text: this.projections.get(key), vector: Object.fromEntries((this.changed.get(key) ?? []).map(({ dot }) => [dot.origin, dot.seq])) };
  }

  async keepProjections(texts: ReadonlyMap<string, string>): Promise<void> {
    for (const [key, text] of texts) this.projections.set(key, text);
  }

  async latest(most: number): Promise<readonly LogItem[] | Fault> {
    const all = [...this.changed].flatMap(([document, changes]) => changes.map(({ dot, change }) => ({ origin: dot.origin, seq: dot.seq, document, dot, change })));
    return all.sort((a, b) => a.seq - b.seq).slice(-most);
  }

  parseToken(token: string): Vector | undefined {
    try {
      return parseVector(JSON.parse(Buffer.from(token, "base64url").toString()), 16);
    } catch {
      return undefined;
    }
  }

  private encoded: { readonly sequence: number; readonly token: string } | undefined;

  token(): string {
    if (this.encoded?.sequence !== this.sequence) this.encoded = { sequence: this.sequence, token: this.tokenOf(this.vector()) };
    return this.encoded.token;
  }

  tokenOf(vector: Vector): string {
    return Buffer.from(JSON.stringify(vector)).toString("base64url");
  }

  /** What an edge would keep; undefined: all. */
  held: ReadonlySet<string> | undefined;

  holdsPage(page: string): boolean {
    return this.held === undefined || this.held.has(page);
  }

  cluster(): ClusterStatus {
    const vector = this.vector();
    const peer = { replica: "eu-west-1", region: "eu-west", role: "region", state: "up", rtt_ms: 80, unacknowledged_changes: 3, oldest_unacknowledged_ms: 1500, vector, merkle_root: null, pages: null, in_sync: false, clock_offset_ms: null } as const;
    return {
      replica: "us-east-1", region: REGION, role: "region", pages: null, incarnation: 1, voting: true, vector, merkle_root: "00", clock: { hlc: this.hybridClock.latest(), offset_ms: 0 },
      degradation: { level: this.level, reasons: this.level === 0 ? [] : ["a test says so"] }, quarantined: 0, documents: this.documents.size, heard_at: null, peers: [peer],
    };
  }

  async antiEntropy(): Promise<readonly AntiEntropyPeerReport[]> {
    return [{ replica: "eu-west-1", documents_compared: 1, documents_repaired: 0, bytes: 64, round_trips: 1, equal: true }];
  }

  /** Writes operations as they are, as another region would: `context` is what that region had seen. */
  write(key: string, operations: readonly Operation[], actor = "system", context?: Vector): void {
    const state = this.documents.get(key) ?? new DocumentState(key);
    this.documents.set(key, state);
    const hlc = this.hybridClock.send(this.clock.now());
    const change: Change = { document: key, hlc, region: REGION, replica: "us-east-1", actor, context: context ?? copyVector(state.vector), operations };
    const dot = { origin: ORIGIN, seq: ++this.sequence };
    state.apply(change, dot, createHash("sha256").update(encodeChange(change)).digest());
    this.changed.set(key, [...(this.changed.get(key) ?? []), { dot, change }]);
    this.feed.applied(this.sequence, key, change, dot);
    this.feed.logged(this.sequence, dot, key, dot);
    this.feed.flushed(this.sequence, this.vector());
    const entries = this.histories.get(key) ?? [];
    this.histories.set(key, entries);
    for (const operation of operations) {
      const field = "field" in operation ? (operation.section === "" ? operation.field : `${operation.section}.${operation.field}`) : operation.op;
      const [from, to] = operation.op === "set" ? [operation.was, operation.value] : [null, null];
      entries.push({ hlc, at: hlcTime(hlc), region: REGION, replica: "us-east-1", actor, field, from, to });
    }
  }

  /** The vector of a document, to be handed to `write` as what another region had seen. */
  seen(key: string): Vector {
    return copyVector(this.documents.get(key)?.vector ?? {});
  }

  snapshot(): Snapshot {
    return {
      atMs: this.clock.now(),
      document: (key) => {
        const state = this.documents.get(key);
        return state?.alive === true ? new DocumentReader(state) : undefined;
      },
      taken: (key) => this.documents.get(key)?.root?.born != null || this.documents.get(key)?.deleted === true,
      list: (partition, type) => this.list(partition, type),
      remains: (partition, type) => [...this.documents.values()].filter((state) => state.deleted && state.partition === partition && state.type === type).map((state) => new DocumentReader(state)),
    };
  }

  private list(partition: string, type: string): DocumentHeader[] {
    const living = [...this.documents.values()].filter((state) => state.alive && state.partition === partition && state.type === type);
    const headers = living.map((state): DocumentHeader => {
      const reader = new DocumentReader(state);
      const position = reader.value("position");
      return { key: state.key, id: parseKey(state.key).id, createdMs: Date.parse(reader.createdAt), position: typeof position === "number" ? position : 0 };
    });
    const byId = (a: DocumentHeader, b: DocumentHeader) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0);
    return headers.sort(NEWEST_FIRST.has(type) ? (a, b) => b.createdMs - a.createdMs || byId(b, a) : (a, b) => a.position - b.position || byId(a, b));
  }

  private vector(): Vector {
    return this.sequence === 0 ? {} : { [ORIGIN]: this.sequence };
  }

  private refusal(options: ReadOptions): Fault | undefined {
    const refused = this.refuse(options);
    if (refused !== undefined) return refused;
    if (options.session !== undefined && !dominates(this.vector(), options.session)) return new Fault("session-behind", "This replica does not hold what the session saw.", { retryAfterSeconds: 1 });
    return undefined;
  }
}

/** A clock that goes on by itself, as the real one does. */
export const testClock: Clock = { now: () => Date.now(), monotonic: () => performance.now() };

/** Bytes that are never the same twice, and the same in every run. */
export function countingRandom(): Random {
  let count = 0;
  return {
    bytes: (length) => createHash("sha512").update(String(count++)).digest().subarray(0, length),
    uniform: () => 0.5,
  };
}

export const EARLIEST = encodeHlc(0, 0, HLC_ZERO.slice(20));
