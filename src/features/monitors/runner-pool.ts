/**
 * The runners of a replica: its own, in a thread, and those that run as processes beside it. They share its monitors by rendezvous hashing.
 *
 * Invariants:
 *  1. At any time each monitor has one runner, or none where there is none: of those with a lease the one whose hash with the monitor's is greatest.
 *  2. A runner that says nothing for the time of its lease has none, and drops everything by itself at the latest then; what it had is
 *     checked by another within one interval of its last beat.
 *  3. What a runner holds is told by a revision that it names: whatever answer was lost, the next one makes it good.
 *  4. A batch of results counts once.
 */
import { spreadOf } from "../../core/check-schedule.js";
import { runnerLimits, watchLimits } from "../../core/limits.js";
import type { Clock, Timer, Timers } from "../../core/ports.js";
import type { RunnerResult, RunnerTask } from "./runner.js";
import type { RunnerPort } from "./watch.js";

/** `yield`: the runner in the replica checks only while there is no other; `share`: it is one of them; `off`: it never does. */
export const EMBEDDED_MODES = ["yield", "share", "off"] as const;
export type EmbeddedMode = (typeof EMBEDDED_MODES)[number];

export interface Beat {
  /** Another one at each start of the runner. */
  readonly instance: string;
  /** The revision that it holds; 0: nothing. */
  readonly holds: number;
  /** Counts the batches of results of this instance; one that is sent again has the same number. */
  readonly batch: number;
  readonly results: readonly RunnerResult[];
  readonly ran: readonly { readonly id: number; readonly result: RunnerResult }[];
}

export interface Orders {
  readonly leaseMs: number;
  readonly revision: number;
  /** All that it held before is void. */
  readonly reset: boolean;
  readonly tasks: readonly RunnerTask[];
  readonly dropped: readonly string[];
  /** To be run once, now, and reported under these numbers. */
  readonly runs: readonly { readonly id: number; readonly task: RunnerTask }[];
}

export interface RunnerStatus {
  readonly name: string;
  readonly monitors: number;
  readonly results: number;
  /** ms. */
  readonly silentMs: number;
}

interface Member {
  readonly instance: string;
  heardMs: number;
  /** Later than every revision of a life of this replica, or of a member of this name, before. */
  readonly firstRevision: number;
  revision: number;
  /** Monitor → what was said of it last: a task, or that it is another's. */
  readonly said: Map<string, { readonly revision: number; readonly task: RunnerTask | null }>;
  readonly runs: Map<number, { readonly task: RunnerTask; end(result: RunnerResult | undefined): void }>;
  batch: number;
  results: number;
}

export interface PoolParts {
  readonly embedded: RunnerPort;
  readonly mode: EmbeddedMode;
  readonly clock: Clock;
  readonly timers: Timers;
  log(level: "info" | "warn", event: Readonly<Record<string, unknown>>, text: string): void;
}

/** Name of the replica's own runner among the others. */
const EMBEDDED = "";

export class RunnerPool implements RunnerPort {
  private readonly tasks = new Map<string, RunnerTask>();
  private readonly owners = new Map<string, string>();
  private readonly members = new Map<string, Member>();
  /** What the replica's own runner is still to be told. */
  private readonly forEmbedded = new Map<string, RunnerTask | null>();
  private timer: Timer | undefined;
  private runs = 0;
  private hear: (result: RunnerResult) => void = () => undefined;

  constructor(private readonly parts: PoolParts) {}

  onResult(hear: (result: RunnerResult) => void): void {
    this.hear = hear;
    this.parts.embedded.onResult(hear);
  }

  assign(tasks: readonly RunnerTask[], dropped: readonly string[]): void {
    for (const key of dropped) {
      this.tasks.delete(key);
      this.give(key, undefined, undefined);
    }
    for (const task of tasks) {
      this.tasks.set(task.key, { ...task, soon: false });
      this.give(task.key, this.ownerOf(task.key), task);
    }
    this.orderEmbedded();
  }

  runNow(task: RunnerTask): Promise<RunnerResult | undefined> {
    const owner = this.owners.get(task.key) ?? this.ownerOf(task.key);
    const member = owner === undefined ? undefined : this.members.get(owner);
    if (member === undefined) return this.parts.mode === "off" ? Promise.resolve(undefined) : this.parts.embedded.runNow(task);
    const id = ++this.runs;
    return new Promise((resolve) => {
      const overdue = this.parts.timers.after(watchLimits.runTimeoutMs, () => end(undefined));
      const end = (result: RunnerResult | undefined): void => {
        overdue.cancel();
        member.runs.delete(id);
        resolve(result);
      };
      member.runs.set(id, { task, end });
    });
  }

  /** A runner says that it lives, and what it has seen. Undefined if there are too many runners. */
  beat(name: string, { batch, holds, instance, ran, results }: Beat): Orders | undefined {
    const known = this.members.get(name);
    if (known === undefined && this.members.size >= runnerLimits.runnersMax) return undefined;
    const member = known?.instance === instance ? known : this.join(name, instance);
    member.heardMs = this.parts.clock.monotonic();
    if (batch > member.batch) {
      member.batch = batch;
      member.results += results.length;
      for (const result of results) if (this.owners.get(result.key) === name) this.hear(result);
      for (const { id, result } of ran) member.runs.get(id)?.end(result);
    }
    const reset = holds < member.firstRevision || holds > member.revision;
    const news = [...member.said].filter(([, { revision }]) => reset || revision > holds);
    for (const [key, { revision, task }] of member.said) if (task === null && revision <= holds) member.said.delete(key);
    return {
      leaseMs: runnerLimits.leaseMs, revision: member.revision, reset,
      tasks: news.flatMap(([, { task }]) => task ?? []), dropped: news.flatMap(([key, { task }]) => (task === null ? key : [])),
      runs: [...member.runs].map(([id, { task }]) => ({ id, task })),
    };
  }

  /** A runner ends, and says so. False if there is none of this name. */
  leave(name: string): boolean {
    if (!this.members.has(name)) return false;
    this.remove(name, "it ended");
    return true;
  }

  status(): RunnerStatus[] {
    const now = this.parts.clock.monotonic();
    return [...this.members].map(([name, { heardMs, results }]) => ({
      name, results, silentMs: Math.round(now - heardMs), monitors: [...this.owners.values()].filter((owner) => owner === name).length,
    })).sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  stop(): void {
    this.timer?.cancel();
    for (const { runs } of this.members.values()) for (const run of [...runs.values()]) run.end(undefined);
    this.members.clear();
  }

  private join(name: string, instance: string): Member {
    if (this.members.has(name)) this.remove(name, "another one has its name");
    const firstRevision = Math.max(1, Math.floor(this.parts.clock.now()));
    const member: Member = { instance, heardMs: this.parts.clock.monotonic(), firstRevision, revision: firstRevision, said: new Map(), runs: new Map(), batch: 0, results: 0 };
    this.members.set(name, member);
    this.parts.log("info", { event: "runner-joined", runner: name }, "a runner has joined");
    this.share();
    this.timer ??= this.watchLeases();
    return member;
  }

  private remove(name: string, reason: string): void {
    const member = this.members.get(name);
    this.members.delete(name);
    for (const run of [...(member?.runs.values() ?? [])]) run.end(undefined);
    this.parts.log(reason === "it ended" ? "info" : "warn", { event: "runner-left", runner: name, reason }, "a runner is gone: others take over its share");
    this.share();
  }

  private watchLeases(): Timer {
    return this.parts.timers.after(runnerLimits.lookEveryMs, () => {
      const now = this.parts.clock.monotonic();
      for (const [name, { heardMs }] of [...this.members]) if (now - heardMs >= runnerLimits.leaseMs) this.remove(name, "it says nothing any more");
      this.timer = this.members.size === 0 ? undefined : this.watchLeases();
    });
  }

  /** Undefined where nobody checks. */
  private ownerOf(key: string): string | undefined {
    const { mode } = this.parts;
    const candidates = [...this.members.keys(), ...(mode === "share" || (mode === "yield" && this.members.size === 0) ? [EMBEDDED] : [])];
    let best: string | undefined;
    for (const name of candidates) if (best === undefined || spreadOf(`${name} ${key}`) > spreadOf(`${best} ${key}`)) best = name;
    return best;
  }

  /** Notes whose a monitor is from now on; members hear of it with their next beat. */
  private give(key: string, owner: string | undefined, task: RunnerTask | undefined): void {
    const before = this.owners.get(key);
    if (before !== undefined && before !== owner) this.say(before, key, null);
    if (owner === undefined || task === undefined) this.owners.delete(key);
    else {
      this.owners.set(key, owner);
      this.say(owner, key, task);
    }
  }

  private say(name: string, key: string, task: RunnerTask | null): void {
    if (name === EMBEDDED) this.forEmbedded.set(key, task);
    const member = this.members.get(name);
    if (member !== undefined) member.said.set(key, { revision: ++member.revision, task });
  }

  private orderEmbedded(): void {
    const orders = [...this.forEmbedded];
    this.forEmbedded.clear();
    if (orders.length > 0) this.parts.embedded.assign(orders.flatMap(([, task]) => task ?? []), orders.flatMap(([key, task]) => (task === null ? key : [])));
  }

  /** Gives every monitor to the one that it is for now. */
  private share(): void {
    for (const [key, task] of this.tasks) {
      const owner = this.ownerOf(key);
      if (owner === this.owners.get(key)) continue;
      // Until it is noticed that a runner is gone, and the next one has heard of it, part of the interval is over.
      const firstWithinMs = Math.max(watchLimits.soonWithinMs, Math.min(watchLimits.firstCheckWithinMs, task.intervalMs) - runnerLimits.leaseMs - 2 * runnerLimits.beatMs);
      this.give(key, owner, { ...task, firstWithinMs });
    }
    this.orderEmbedded();
  }
}
