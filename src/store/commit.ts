/**
 * The write path: session → idempotency → plan → change → one durable batch → the quorum that the level asks for → answer.
 *
 * Invariants:
 *  1. Nothing is answered 2xx before it is durable here and, at a quorum level, on the majority that the level names.
 *  2. A plan runs in the same turn in which its changes are made, so that no other write comes between.
 *  3. A request with an Idempotency-Key takes effect once here, and merges with its repetition elsewhere.
 */
import type { IdempotencyRecord } from "../core/change.js";
import { Fault, isFault } from "../core/errors.js";
import type { Limits } from "../core/limits.js";
import type { ChangeLog } from "./change-log.js";
import type { Answer, Command, CommitOptions, Committed, Plan } from "./data-plane.js";
import { entityTag, ownPart } from "./entity-tag.js";
import { Handover, type QuorumCoordinator, type QuorumWrite } from "./quorum-coordinator.js";
import type { ReadPath } from "./read.js";
import { RegionQuorum } from "./region-quorum.js";
import type { SessionWaits } from "./session.js";
import { inTurn, TurnSnapshot, tryTurn } from "./snapshot.js";
import { sometimes } from "../core/sometimes.js";

export interface CommitParts {
  readonly log: ChangeLog;
  readonly sessions: SessionWaits;
  readonly quorum: QuorumCoordinator;
  readonly region: RegionQuorum;
  readonly reads: ReadPath;
  readonly limits: Limits;
  /** Why writes are refused, or undefined. */
  readOnly(): string | undefined;
  wall(): number;
  monotonic(): number;
  newOperation(): string;
  token(): string;
  /** Origins that tokens leave out. */
  retired(): ReadonlySet<string>;
  /** A short name for what a text says: URL-safe, at most 43 characters. */
  fingerprint(text: string): string;
}

/** An answer as rendered from one turn's state. */
interface Rendered {
  readonly answer: Answer;
  readonly etag: string | null;
  /** Batch that must be durable before it is sent. */
  readonly batch: number;
}

interface UnderWay {
  readonly request: string;
  /** No answer was kept under its key: it is the one that has it. */
  isWriting: boolean;
  readonly result: Promise<Committed | Fault>;
}

export class CommitPath {
  /** Requests with an Idempotency-Key that are under way, by scope. */
  private readonly underWay = new Map<string, UnderWay>();
  private staged = 0;

  constructor(private readonly parts: CommitParts) {}

  async commit(command: Command, options: CommitOptions): Promise<Committed | Fault> {
    const { limits, sessions } = this.parts;
    if (options.session !== undefined) {
      const behind = await sessions.wait(options.session, options.sessionWaitMs ?? limits.sessionWaitMs, true);
      if (behind !== undefined) return behind;
    }
    const { idempotency } = options;
    if (idempotency === undefined) return this.write(command, options, undefined);
    const { scope, request } = idempotency;
    for (let other = this.underWay.get(scope); other !== undefined; other = this.underWay.get(scope)) {
      if (other.request === request) {
        const result = await other.result;
        return isFault(result) ? result : { ...result, replayed: true };
      }
      if (other.isWriting) return reused();
      // It may be the one that uses the key anew: what is kept may be this one's answer.
      await other.result.catch(() => undefined);
    }
    const begins = (): void => {
      entry.isWriting = true;
    };
    const entry: UnderWay = { request, isWriting: false, result: this.writeOnce(command, options, idempotency, begins).finally(() => this.underWay.delete(scope)) };
    this.underWay.set(scope, entry);
    return entry.result;
  }

  private async writeOnce(command: Command, options: CommitOptions, idempotency: { scope: string; request: string }, begins: () => void): Promise<Committed | Fault> {
    const { log, limits, wall } = this.parts;
    const kept = await log.recall(idempotency.scope, wall() - limits.idempotencyKeptMs);
    if (kept !== undefined) return kept.request === idempotency.request ? this.replay(kept, command, options) : reused();
    begins();
    return this.write(command, options, idempotency);
  }

  private async replay(kept: IdempotencyRecord, command: Command, options: CommitOptions): Promise<Committed | Fault> {
    sometimes("idempotency: an answer was given again");
    if (kept.status >= 400) {
      const fault = JSON.parse(kept.body ?? "{}") as { code: Fault["code"]; detail: string; extra: Fault["extra"] };
      return new Fault(fault.code, fault.detail, { ...fault.extra, replayed: true });
    }
    // Very long answers are not kept: they are made again from what the resource has become.
    if (kept.body === null && kept.status !== 204) return this.answer(command, options, undefined, { replayed: true });
    return { status: kept.status, body: kept.body, location: kept.location, etag: kept.etag, replayed: true, token: this.parts.token() };
  }

  private async write(command: Command, options: CommitOptions, idempotency: { scope: string; request: string } | undefined): Promise<Committed | Fault> {
    const { limits } = this.parts;
    const refusal = this.refusal();
    if (refusal !== undefined) return refusal;
    const operation = options.forwardedAs ?? (idempotency === undefined ? this.parts.newOperation() : this.parts.fingerprint(`${idempotency.scope} ${idempotency.request}`));
    this.staged++;
    try {
      const result = options.level === "GLOBAL_QUORUM"
        ? await this.writeAtQuorum(command, this.seeing(options), operation, idempotency)
        : await this.writeHere(command, this.seeing(options), operation, idempotency);
      if (isFault(result)) {
        // Where a write was handed over to, its refusal is no answer yet: who handed it over may know that it took effect.
        if (idempotency !== undefined && options.forwardedAs === undefined && isFinal(result)) await this.keepFault(command, options, idempotency, result);
        return result;
      }
      return result;
    } catch (error) {
      if (this.parts.log.batch.broken === undefined) throw error;
      return new Fault("read-only", "The disk of this replica does not take writes.", { outcome: "unknown", retryAfterSeconds: limits.downAfterMs / 1000 });
    } finally {
      this.staged--;
    }
  }

  /** Tokens do not name lives that every member holds completely: who gives one back has seen all of them. */
  private seeing(options: CommitOptions): CommitOptions {
    const { session } = options;
    if (session === undefined) return options;
    const { vector } = this.parts.log;
    const retired = [...this.parts.retired()].filter((origin) => session[origin] === undefined).map((origin) => [origin, vector[origin] ?? 0] as const);
    return retired.length === 0 ? options : { ...options, session: { ...session, ...Object.fromEntries(retired) } };
  }

  private refusal(): Fault | undefined {
    const reason = this.parts.readOnly();
    if (reason !== undefined) return new Fault("read-only", reason, { outcome: "rejected", retryAfterSeconds: 5 });
    if (this.staged >= this.parts.limits.stagedChangesMax) return new Fault("overloaded", "Too many writes wait for the disk.", { outcome: "rejected", retryAfterSeconds: 1 });
    return undefined;
  }

  /** LOCAL and LOCAL_QUORUM. */
  private async writeHere(command: Command, options: CommitOptions, operation: string, idempotency: { scope: string; request: string } | undefined): Promise<Committed | Fault> {
    const { log, wall, region, limits } = this.parts;
    let operationIds: readonly string[] | undefined = idempotency === undefined ? undefined : [operation];
    const { value: done } = await inTurn<{ written: boolean; rendered?: Rendered | undefined } | Fault>(log.table, wall, (snapshot) => {
      if (operationIds !== undefined && log.table.find(command.subject)?.operationIds.includes(operation) === true) return { written: false };
      const plan = planWith(command, snapshot, options);
      if (isFault(plan)) return plan;
      const failed = preconditionFault(log, command, options.ifMatch);
      if (failed !== undefined) return failed;
      const changes = ordered(plan, command.subject).filter((change) => change.operations.length > 0);
      // Load everything before the first change is made: a turn that has written must not be run again.
      for (const change of changes) if (log.table.find(change.document)?.alive === true) snapshot.document(change.document);
      if (changes.length === 0) return { written: false };
      const hlc = log.clock.send(wall());
      // What the first change brings into memory must not push out what the second is for.
      for (const { document } of changes) log.table.pin(document);
      try {
        for (const change of changes) {
          log.write({
            document: change.document, operations: change.operations, actor: options.actor, hlc,
            ...(operationIds !== undefined && change.document === command.subject ? { operationIds } : {}),
          });
        }
      } finally {
        for (const { document } of changes) log.table.unpin(document);
      }
      operationIds = undefined;
      return { written: true, rendered: this.renderNow(command) };
    });
    if (isFault(done)) return done;
    const seq = log.vector[log.state.origin] ?? 0;
    const replayed = idempotency !== undefined && !done.written && log.table.find(command.subject)?.operationIds.includes(operation) === true;
    if (replayed) {
      // It was written elsewhere and has arrived since the first look; what was answered then may have arrived with it.
      await log.batch.flushed();
      const kept = await log.recall(idempotency.scope, wall() - limits.idempotencyKeptMs);
      if (kept?.request === idempotency.request) return await this.replay(kept, command, options);
    }
    const committed = await this.answer(command, options, idempotency, { replayed, rendered: done.rendered });
    if (options.level === "LOCAL_QUORUM") {
      const timeoutMs = options.quorumTimeoutMs ?? limits.quorumTimeoutMs;
      if (!(await region.written(log.state.origin, seq, timeoutMs))) return RegionQuorum.unavailable("unknown");
    }
    return committed;
  }

  /** Each document of the request is decided in its own chain, the one that the request names last. */
  private async writeAtQuorum(command: Command, options: CommitOptions, operation: string, idempotency: { scope: string; request: string } | undefined): Promise<Committed | Fault> {
    const { log, wall, quorum, limits, monotonic } = this.parts;
    const until = monotonic() + (options.quorumTimeoutMs ?? limits.quorumTimeoutMs);
    const left = (): number => Math.max(1, until - monotonic());
    let first = await inTurn(log.table, wall, (snapshot) => planWith(command, snapshot, options));
    const unseen = [...first.snapshot.absent].filter((key) => key !== command.subject);
    if (isFault(first.value) && unseen.length > 0) {
      // What the plan missed may have been decided elsewhere: make sure before refusing.
      const refreshed = await Promise.all(unseen.map((document) => quorum.read({ operation: this.parts.newOperation(), target: { document }, timeoutMs: left(), capture: () => {} })));
      const fault = refreshed.find(isFault);
      if (fault !== undefined) return asWrite(fault);
      first = await inTurn(log.table, wall, (snapshot) => planWith(command, snapshot, options));
    }
    const planOf = (document: string) => (snapshot: TurnSnapshot) => {
      const plan = planWith(command, snapshot, options);
      if (isFault(plan)) return plan;
      // The subject may have become what makes the command touch more than it was thought to: decided elsewhere, and not heard of here.
      if (document === command.subject && ordered(plan, document).some((change) => change.document !== document && change.operations.length > 0 && !decided.has(change.document))) return OUTDATED_PLAN;
      return plan.changes.filter((change) => change.document === document).flatMap((change) => [...change.operations]);
    };
    const decided = new Map<string, number>();
    let rendered: Rendered | undefined;
    for (;;) {
      const others = isFault(first.value) ? [] : ordered(first.value, command.subject).filter((change) => change.document !== command.subject && change.operations.length > 0 && !decided.has(change.document));
      if (others.length > 0) {
        const failed = preconditionFault(log, command, options.ifMatch);
        if (failed !== undefined) {
          const checked = await quorum.read({ operation: this.parts.newOperation(), target: { document: command.subject }, timeoutMs: left(), capture: () => {} });
          if (isFault(checked)) return asWrite(checked);
          const still = preconditionFault(log, command, options.ifMatch);
          if (still !== undefined) return still;
        }
        for (const { document } of others) decided.set(document, decided.size);
        const results = await Promise.all(others.map(({ document }) =>
          this.decide({ operation: `${operation}.${decided.get(document) ?? 0}`, document, actor: options.actor, timeoutMs: left(), plan: planOf(document), forwarded: false }, left)));
        const fault = results.find(isFault);
        if (fault !== undefined) return results.some((result) => result === "done") && fault.extra.outcome === "rejected" ? new Fault(fault.code, fault.detail, { ...fault.extra, outcome: "unknown" }) : fault;
      }
      const { forward } = options;
      const result = await this.decide({
        operation, document: command.subject, actor: options.actor, timeoutMs: left(), plan: planOf(command.subject), forwarded: options.forwardedAs !== undefined,
        decided: () => {
          rendered = this.renderNow(command);
        },
        ...(options.ifMatch === undefined ? {} : { ifMatch: options.ifMatch.map(ownPart) }),
      }, left, forward === undefined || decided.size > 0 ? undefined : (to) => forward(to, operation, left()));
      if (result === OUTDATED_PLAN) {
        first = await inTurn(log.table, wall, (snapshot) => planWith(command, snapshot, options));
        continue;
      }
      if (isFault(result) && result.code === "precondition-failed") return (await this.absence(command, options)) ?? result;
      if (isFault(result) || typeof result !== "string") return result;
      break;
    }
    return this.answer(command, options, idempotency, { replayed: false, rendered });
  }

  /** The 404 of what is not there, which no precondition hides (RFC 9110 section 13.2.1). */
  private async absence(command: Command, options: CommitOptions): Promise<Fault | undefined> {
    const { value } = await inTurn(this.parts.log.table, this.parts.wall, (snapshot) => planWith(command, snapshot, options));
    return isFault(value) && value.code === "not-found" ? value : undefined;
  }

  /**
   * Has a write decided. Where it keeps losing to another region, it is run there; if that region does not answer, it goes on
   * here under the same operation id, which takes effect once.
   */
  private async decide(write: QuorumWrite, left: () => number, hand?: (to: string) => Promise<Committed | Fault | undefined>): Promise<Fault | Committed | "done" | "idle"> {
    let result = await this.parts.quorum.write(write);
    let isHandedOver = false;
    while (result instanceof Handover) {
      const answer = await hand?.(result.to);
      // A refusal of the request itself may come of what this replica proposed before, and had decided: the operation id tells, here.
      const isRefused = isFault(answer) && isFinal(answer);
      // What this replica proposed before may yet be decided, whatever the other one says of its own proposals.
      if (answer !== undefined && !isRefused) return isFault(answer) ? uncertain(answer) : answer;
      isHandedOver = true;
      result = await this.parts.quorum.write({ ...write, timeoutMs: left(), forwarded: true });
      if (isRefused && result === "done") sometimes("quorum: a write that was refused where it was handed over had taken effect");
    }
    if (isHandedOver && isFault(result)) return uncertain(result);
    return result;
  }

  /** The answer in this very turn, in which the write was made; undefined if something that it shows is not in memory, or is deleted already. */
  private renderNow(command: Command): Rendered | undefined {
    const { log, wall } = this.parts;
    const snapshot = new TurnSnapshot(log.table, wall());
    // A write that was decided late may meet a deletion that came before it was known.
    const attempt = tryTurn(snapshot, () => render(command, snapshot, log.table.find(command.subject)?.deleted === true));
    return "value" in attempt && !isFault(attempt.value) ? { ...attempt.value, batch: snapshot.batch } : undefined;
  }

  /** Makes the answer, keeps it where it may be asked for again, and waits for the disk. */
  private async answer(
    command: Command, options: CommitOptions, idempotency: { scope: string; request: string } | undefined, made: { readonly replayed: boolean; readonly rendered?: Rendered | undefined },
  ): Promise<Committed | Fault> {
    const { log, wall } = this.parts;
    let { rendered } = made;
    if (rendered === undefined) {
      const { value, snapshot } = await inTurn(log.table, wall, (turn) => render(command, turn, log.table.find(command.subject)?.deleted === true));
      if (isFault(value)) return value;
      rendered = { ...value, batch: snapshot.batch };
    }
    const { answer, etag, batch } = rendered;
    const body = answer.body === null ? null : JSON.stringify(answer.body);
    const location = answer.location ?? null;
    if (idempotency !== undefined && !made.replayed) {
      const keptBody = body !== null && body.length > this.parts.limits.idempotencyBodyBytes ? null : body;
      const { scope, request } = idempotency;
      log.writeAnswer(partitionOf(command), { scope, request, status: answer.status, location, etag, body: keptBody }, log.clock.send(wall()), options.actor);
      await log.batch.flushed();
    } else await log.batch.reached(Math.max(batch, log.table.find(command.subject)?.stagedBatch ?? 0));
    const shown = answer.secret === undefined || made.replayed || answer.body === null ? body : JSON.stringify({ ...answer.body, ...answer.secret });
    return { status: answer.status, body: shown, location, etag, replayed: made.replayed, token: this.parts.token() };
  }

  private async keepFault(command: Command, options: CommitOptions, idempotency: { scope: string; request: string }, fault: Fault): Promise<void> {
    const { log, wall } = this.parts;
    const body = JSON.stringify({ code: fault.code, detail: fault.detail, extra: fault.extra });
    const { scope, request } = idempotency;
    log.writeAnswer(partitionOf(command), { scope, request, status: 400, location: null, etag: null, body }, log.clock.send(wall()), options.actor);
    await log.batch.flushed();
  }
}

/** `gone`: the document was deleted since; then an answer that shows it cannot be made, and it is a 404. */
function render(command: Command, turn: TurnSnapshot, gone = false): { readonly answer: Answer; readonly etag: string | null } | Fault {
  try {
    const answer = command.answer(turn);
    const document = answer.etagOf === undefined ? undefined : turn.document(answer.etagOf);
    return { answer, etag: document === undefined ? null : `"${entityTag(document, turn)}"` };
  } catch (error) {
    if (!gone || !(error instanceof Error)) throw error;
    return new Fault("not-found", "The write took effect, and the resource was deleted right after it.");
  }
}

/** Runs the plan with what the caller has seen. */
function planWith(command: Command, snapshot: TurnSnapshot, options: CommitOptions): Plan | Fault {
  snapshot.seen = options.session;
  return command.plan(snapshot);
}

/** What the plan of a write at a quorum gives where documents are to be decided first that were not; never an answer, but where the time ran out. */
const OUTDATED_PLAN = new Fault("quorum-unavailable", "The resource changed elsewhere meanwhile.", { outcome: "rejected" });

const FINAL: ReadonlySet<string> = new Set(["not-found", "conflict", "precondition-failed", "invalid"]);

/** 4xx that a repetition would meet again. */
function isFinal(fault: Fault): boolean {
  return FINAL.has(fault.code);
}

/** A fault of a write that may have been proposed elsewhere: only what is final is known to be rejected. */
function uncertain(fault: Fault): Fault {
  return fault.extra.outcome === "rejected" && !isFinal(fault) ? new Fault(fault.code, fault.detail, { ...fault.extra, outcome: "unknown" }) : fault;
}

function partitionOf(command: Command): string {
  return command.subject.slice(0, command.subject.indexOf("/"));
}

/** The changes of a plan, the one of the named document last. */
function ordered(plan: Plan, subject: string): Plan["changes"] {
  return [...plan.changes.filter((change) => change.document !== subject), ...plan.changes.filter((change) => change.document === subject)];
}

function preconditionFault(log: ChangeLog, command: Command, ifMatch: readonly string[] | undefined): Fault | undefined {
  if (ifMatch === undefined) return undefined;
  const record = log.table.find(command.subject);
  if (record?.alive === true && ifMatch.some((tag) => tag === "*" || ownPart(tag) === Buffer.from(record.digest).toString("base64url"))) return undefined;
  return new Fault("precondition-failed", "The resource has changed since the given ETag.", { outcome: "rejected" });
}

function reused(): Fault {
  return new Fault("idempotency-key-reused", "This Idempotency-Key was used with another body.");
}

/** A read that a write needs first has failed: nothing was written. */
function asWrite(fault: Fault): Fault {
  return new Fault(fault.code, fault.detail, { ...fault.extra, outcome: "rejected" });
}
