/**
 * Runs checks when they are due, tries failures again before they count, and asks its canaries whether it is itself the problem.
 * Runs in a thread of its own (`runner-worker.ts`), on ports alone.
 */
import { CheckSchedule, spreadOf, type DueCheck } from "../../core/check-schedule.js";
import { NO_PHASES, type Check, type CheckError, type CheckOutcome, type Phases } from "../../core/check.js";
import { watchLimits } from "../../core/limits.js";
import type { Clock, Probe, Timer, Timers } from "../../core/ports.js";

export interface RunnerTask {
  /** `<page>/<monitor>`. */
  readonly key: string;
  readonly intervalMs: number;
  readonly retries: number;
  readonly retryDelayMs: number;
  readonly check: Check;
  /** The first check is due at once, not somewhere in the interval. */
  readonly soon: boolean;
  /** Within how many ms the first check is due, where it is neither at once nor somewhere in the interval. */
  readonly firstWithinMs?: number;
}

/** One look at a target. */
export interface RunnerResult {
  readonly key: string;
  /** When it began, ms since the epoch. */
  readonly at: number;
  readonly state: "up" | "down" | "unknown";
  readonly latencyMs: number | null;
  readonly phases: Phases;
  readonly error: CheckError | null;
  /** 1 for the first try. */
  readonly attempt: number;
  /** Nothing more is tried in this round: what the round came to. */
  readonly isFinal: boolean;
  /** When the round began, ms since the epoch. */
  readonly roundAt: number;
  /** How much later than due the round began, ms. */
  readonly lateMs: number;
}

export interface RunnerParts {
  readonly probe: Probe;
  /** Canaries are named by the operator: no guard stands before them. */
  readonly canaryProbe: Probe;
  readonly clock: Clock;
  readonly timers: Timers;
  /** What must be reachable for a failure to be the target's; empty: no doubts. */
  readonly canaries: readonly Check[];
  report(result: RunnerResult): void;
}

const CANARIES_FAIL: CheckError = { code: "canaries", message: "the canary targets of this region fail too" };

export class Runner {
  private readonly schedule = new CheckSchedule();
  private readonly tasks = new Map<string, RunnerTask>();
  private readonly underWay = new Set<string>();
  private readonly waiting: { task: RunnerTask; lateMs: number }[] = [];
  private timer: Timer | undefined;
  private stopped = false;
  private canary: { readonly startedMs: number; readonly answer: Promise<boolean> } | undefined;

  constructor(private readonly parts: RunnerParts) {}

  get size(): number {
    return this.schedule.size;
  }

  assign(tasks: readonly RunnerTask[], dropped: readonly string[]): void {
    for (const key of dropped) {
      this.tasks.delete(key);
      this.schedule.delete(key);
    }
    const now = this.parts.clock.monotonic();
    for (const task of tasks) {
      this.tasks.set(task.key, task);
      const within = Math.min(task.intervalMs, task.soon ? watchLimits.soonWithinMs : (task.firstWithinMs ?? watchLimits.firstCheckWithinMs));
      const spread = spreadOf(task.key);
      // What begins together is spread over its interval from the second time on: else it would come together for ever.
      this.schedule.set(task.key, task.intervalMs, now + spread * within, now + within + spread * task.intervalMs);
    }
    this.wake();
  }

  /** One round now, reported like any other. */
  runNow(task: RunnerTask): Promise<RunnerResult> {
    return this.round(task, 0);
  }

  stop(): void {
    this.stopped = true;
    this.timer?.cancel();
  }

  private wake(): void {
    this.timer?.cancel();
    const next = this.schedule.nextMs();
    if (next === undefined || this.stopped) return;
    this.timer = this.parts.timers.after(Math.max(0, next - this.parts.clock.monotonic()), () => {
      const now = this.parts.clock.monotonic();
      for (const due of this.schedule.takeDue(now)) this.begin(due, now);
      this.wake();
    });
  }

  private begin(due: DueCheck, now: number): void {
    const task = this.tasks.get(due.key);
    if (task === undefined || this.underWay.has(task.key)) return;
    if (this.waiting.length < watchLimits.checksWaitingMax) this.waiting.push({ task, lateMs: now - due.dueMs });
    this.drain();
  }

  private drain(): void {
    while (!this.stopped && this.underWay.size < watchLimits.checksAtOnceMax) {
      const next = this.waiting.shift();
      if (next === undefined) return;
      const { task, lateMs } = next;
      if (this.underWay.has(task.key)) continue;
      this.underWay.add(task.key);
      void this.round(task, lateMs).finally(() => {
        this.underWay.delete(task.key);
        this.drain();
      });
    }
  }

  /** Tries until one try is not a failure, or none is left. */
  private async round(task: RunnerTask, lateMs: number): Promise<RunnerResult> {
    const { clock, probe } = this.parts;
    const roundAt = clock.now();
    for (let attempt = 1; ; attempt++) {
      const at = attempt === 1 ? roundAt : clock.now();
      let outcome = await probe.run(task.check);
      const isLast = attempt > task.retries;
      if (outcome.state === "down" && isLast && !(await this.canariesAnswer())) outcome = { ...outcome, state: "unknown", error: CANARIES_FAIL };
      const isFinal = outcome.state !== "down" || isLast;
      const result = resultOf(task.key, outcome, { at, attempt, isFinal, roundAt, lateMs });
      if (!this.stopped) this.parts.report(result);
      if (isFinal) return result;
      if (task.retryDelayMs > 0) await new Promise<void>((resolve) => this.parts.timers.after(task.retryDelayMs, resolve));
    }
  }

  /** Whether any canary answers; asked anew if the last time is a while ago. */
  private canariesAnswer(): Promise<boolean> {
    const { canaries, canaryProbe, clock } = this.parts;
    if (canaries.length === 0) return Promise.resolve(true);
    const now = clock.monotonic();
    if (this.canary === undefined || now - this.canary.startedMs > watchLimits.canaryFreshMs) {
      const answer = Promise.all(canaries.map((check) => canaryProbe.run(check))).then((outcomes) => outcomes.some(({ state }) => state === "up"));
      this.canary = { startedMs: now, answer };
    }
    return this.canary.answer;
  }
}

function resultOf(key: string, outcome: CheckOutcome, round: Pick<RunnerResult, "at" | "attempt" | "isFinal" | "roundAt" | "lateMs">): RunnerResult {
  const { state, phases, error } = outcome;
  return { key, state, latencyMs: state === "unknown" ? null : phases.total, phases: state === "unknown" ? NO_PHASES : phases, error, ...round };
}
