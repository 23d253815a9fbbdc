/** The runner as the rest of the replica sees it: a thread that is started again when it ends, or stops saying that it lives. */
import { Worker } from "node:worker_threads";
import { watchLimits } from "./core/limits.js";
import type { Timer, Timers } from "./core/ports.js";
import type { RunnerResult, RunnerTask } from "./features/monitors/runner.js";
import type { RunnerPort } from "./features/monitors/watch.js";
import type { RunnerOrder, RunnerReport, RunnerSettings } from "./runner-messages.js";

export interface RunnerThreadParts {
  readonly settings: RunnerSettings;
  readonly timers: Timers;
  log(event: Readonly<Record<string, unknown>>, text: string): void;
}

interface Asked {
  resolve(result: RunnerResult | undefined): void;
  readonly overdue: Timer;
}

export class RunnerThread implements RunnerPort, AsyncDisposable {
  private worker: Worker | undefined;
  private readonly tasks = new Map<string, RunnerTask>();
  private readonly asked = new Map<number, Asked>();
  private count = 0;
  private silence: Timer | undefined;
  private restarting: Timer | undefined;
  private closed = false;
  private hear: (result: RunnerResult) => void = () => undefined;

  constructor(private readonly parts: RunnerThreadParts) {}

  onResult(hear: (result: RunnerResult) => void): void {
    this.hear = hear;
  }

  assign(tasks: readonly RunnerTask[], dropped: readonly string[]): void {
    for (const key of dropped) this.tasks.delete(key);
    // A thread that is started again spreads them.
    for (const task of tasks) this.tasks.set(task.key, { ...task, soon: false });
    if (this.worker === undefined && this.tasks.size > 0 && this.restarting === undefined) this.start(tasks);
    else this.order({ kind: "assign", tasks, dropped });
  }

  runNow(task: RunnerTask): Promise<RunnerResult | undefined> {
    if (this.worker === undefined) this.start([]);
    const id = ++this.count;
    return new Promise((resolve) => {
      const overdue = this.parts.timers.after(watchLimits.runTimeoutMs, () => this.answered(id, undefined));
      this.asked.set(id, { resolve, overdue });
      this.order({ kind: "run", id, task });
    });
  }

  private order(order: RunnerOrder): void {
    this.worker?.postMessage(order);
  }

  private answered(id: number, result: RunnerResult | undefined): void {
    const asked = this.asked.get(id);
    this.asked.delete(id);
    asked?.overdue.cancel();
    asked?.resolve(result);
  }

  private start(first: readonly RunnerTask[]): void {
    this.restarting?.cancel();
    this.restarting = undefined;
    if (this.closed) return;
    const worker = new Worker(new URL("./runner-worker.js", import.meta.url), { workerData: this.parts.settings, resourceLimits: { maxOldGenerationSizeMb: watchLimits.runnerHeapMiB } });
    worker.unref();
    worker.on("message", (report: RunnerReport) => this.heard(worker, report));
    worker.on("error", (error) => this.ended(worker, error.message));
    worker.on("exit", (code) => this.ended(worker, `exit code ${code}`));
    this.worker = worker;
    this.listen(worker);
    const soon = new Map(first.map((task) => [task.key, task]));
    this.order({ kind: "assign", tasks: [...this.tasks.values()].map((task) => soon.get(task.key) ?? task), dropped: [] });
  }

  private heard(worker: Worker, report: RunnerReport): void {
    if (this.worker !== worker) return;
    this.listen(worker);
    if (report.kind === "result") this.hear(report.result);
    else if (report.kind === "ran") this.answered(report.id, report.result);
  }

  /** Ends a thread that has said nothing for too long: something keeps it busy. */
  private listen(worker: Worker): void {
    this.silence?.cancel();
    this.silence = this.parts.timers.after(watchLimits.runnerSilentMs, () => {
      this.ended(worker, "it said nothing for too long");
      void worker.terminate();
    });
  }

  private ended(worker: Worker, reason: string): void {
    if (this.worker !== worker) return;
    this.worker = undefined;
    this.silence?.cancel();
    for (const id of [...this.asked.keys()]) this.answered(id, undefined);
    if (this.closed) return;
    this.parts.log({ event: "runner-ended", reason }, "the thread that runs checks ended; it is started again");
    this.restarting = this.parts.timers.after(watchLimits.runnerRestartMs, () => this.start([]));
  }

  /** Ends the thread as a fault would. For tests. */
  async kill(): Promise<void> {
    await this.worker?.terminate();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.closed = true;
    this.silence?.cancel();
    this.restarting?.cancel();
    const { worker } = this;
    this.worker = undefined;
    for (const id of [...this.asked.keys()]) this.answered(id, undefined);
    await worker?.terminate();
  }
}
