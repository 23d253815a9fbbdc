/**
 * A runner's side of its talk with the replica that it checks for: one beat after the other, each with what was seen, each answered with
 * what is to be checked. Without an answer for the time of the lease everything is dropped: another runner has it by then.
 */
import { runnerLimits } from "../core/limits.js";
import type { Clock } from "../core/ports.js";
import type { Orders } from "../features/monitors/runner-pool.js";
import type { RunnerResult } from "../features/monitors/runner.js";
import type { RunnerPort } from "../features/monitors/watch.js";
import type { RunnerSettings } from "../runner-messages.js";

export type RunnerOrders = Orders & { readonly beatMs: number; readonly settings: RunnerSettings };

/** What came of a beat: orders, or why there are none. */
export type BeatAnswer = { readonly orders: RunnerOrders } | { readonly refused: string } | { readonly silent: string };

export interface RunnerLinkParts {
  readonly clock: Clock;
  /** 32 hex digits, others at each start. */
  readonly instance: string;
  /** Sends a beat. Never rejects. */
  send(beat: object): Promise<BeatAnswer>;
  /** Makes what runs the checks, once the settings of the region are known, and anew when they change. */
  newRunner(settings: RunnerSettings): RunnerPort & AsyncDisposable;
  log(event: Readonly<Record<string, unknown>>): void;
}

export class RunnerLink implements AsyncDisposable {
  private runner: (RunnerPort & AsyncDisposable) | undefined;
  private settings = "";
  private readonly held = new Set<string>();
  private holds = 0;
  private batch = 0;
  private leaseUntilMs = Number.NEGATIVE_INFINITY;
  /** Seen, and not yet taken by the replica. */
  private waiting: RunnerResult[] = [];
  private ran: { readonly id: number; readonly result: RunnerResult }[] = [];
  /** The last batch, until it is known to have been taken. */
  private sent: { readonly results: readonly RunnerResult[]; readonly ran: readonly { readonly id: number; readonly result: RunnerResult }[] } | undefined;
  private readonly running = new Set<number>();
  /** How often the lease was lost. */
  private lost = 0;

  constructor(private readonly parts: RunnerLinkParts) {}

  /** One beat. Resolves to how long to wait for the next, ms, or to why the replica does not want this runner. */
  async beat(): Promise<number | { readonly refused: string }> {
    if (this.sent === undefined) {
      const ran = this.ran.splice(0, runnerLimits.resultsPerBeatMax);
      this.sent = { results: this.waiting.splice(0, runnerLimits.resultsPerBeatMax), ran };
      this.batch++;
    }
    const askedMs = this.parts.clock.monotonic();
    const { lost } = this;
    const answer = await this.parts.send({ instance: this.parts.instance, holds: this.holds, batch: this.batch, ...this.sent });
    if ("orders" in answer) {
      // The answer builds on what was dropped meanwhile.
      if (lost !== this.lost) return runnerLimits.beatMs;
      this.sent = undefined;
      // From when it was asked: the replica counts from later.
      this.leaseUntilMs = askedMs + answer.orders.leaseMs;
      await this.follow(answer.orders);
      return this.waiting.length >= runnerLimits.resultsPerBeatMax ? 0 : answer.orders.beatMs;
    }
    if ("refused" in answer) return answer;
    if (this.holds > 0 && this.parts.clock.monotonic() >= this.leaseUntilMs) this.letGo(answer.silent);
    return runnerLimits.beatMs;
  }

  /** Drops everything if the lease is over although no beat has come back. */
  checkLease(): void {
    if (this.holds > 0 && this.parts.clock.monotonic() >= this.leaseUntilMs) this.letGo("the replica does not answer");
  }

  private letGo(reason: string): void {
    this.lost++;
    this.parts.log({ event: "lease-lost", reason });
    this.runner?.assign([], [...this.held]);
    this.held.clear();
    this.holds = 0;
    // What was seen would come after what the others have seen since.
    this.waiting = [];
    this.sent = undefined;
  }

  private async follow({ dropped, reset, revision, runs, settings, tasks }: RunnerOrders): Promise<void> {
    const runner = await this.runnerFor(settings);
    const gone = reset ? [...this.held].filter((key) => tasks.every((task) => task.key !== key)) : dropped;
    for (const key of gone) this.held.delete(key);
    // What goes on as it was keeps its place in the interval.
    const fresh = tasks.filter(({ key }) => !reset || !this.held.has(key));
    for (const { key } of tasks) this.held.add(key);
    if (this.holds === 0) this.parts.log({ event: "registered", region: settings.region, monitors: this.held.size });
    this.holds = revision;
    if (fresh.length + gone.length > 0) runner.assign(fresh, gone);
    for (const { id, task } of runs) {
      if (this.running.has(id)) continue;
      this.running.add(id);
      void runner.runNow(task).then((result) => {
        if (result !== undefined) this.ran.push({ id, result });
        else this.running.delete(id);
      });
    }
    for (const id of this.running) if (runs.every((run) => run.id !== id)) this.running.delete(id);
  }

  private async runnerFor(settings: RunnerSettings): Promise<RunnerPort & AsyncDisposable> {
    const text = JSON.stringify(settings);
    if (this.runner !== undefined && this.settings === text) return this.runner;
    await this.runner?.[Symbol.asyncDispose]();
    this.held.clear();
    this.settings = text;
    const runner = this.parts.newRunner(settings);
    this.runner = runner;
    runner.onResult((result) => {
      if (!this.held.has(result.key)) return;
      this.waiting.push(result);
      if (this.waiting.length > runnerLimits.resultsHeldMax) this.waiting.shift();
    });
    return runner;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.runner?.[Symbol.asyncDispose]();
  }
}
