/**
 * Looks at groups of alerts again: at those that changed, here or elsewhere, and at those in which something fires. So two
 * sides of a cut end up with one incident, a maintenance that ends lets go of what it kept back, and a new rule takes effect.
 */
import { parseKey } from "../../core/document.js";
import { isFault } from "../../core/errors.js";
import { alertLimits } from "../../core/limits.js";
import type { Clock, Timer, Timers } from "../../core/ports.js";
import type { Command, DataPlane } from "../../store/data-plane.js";
import { SYSTEM_ACTOR, type IncidentRoom } from "../../store/derived-incidents.js";
import type { FeedBatch } from "../../store/feed.js";
import { settleCommand, stepOf } from "./alert-effects.js";
import { ALERT_GROUP, groupOf, isForgettable } from "./alert-group.js";

export interface SettlingParts {
  readonly data: DataPlane;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly replica: string;
  readonly incidents: IncidentRoom;
  log(event: Readonly<Record<string, unknown>>, text: string): void;
  /** A broken invariant. */
  onDefect(error: unknown): void;
}

interface Look {
  /** When to look, on the clock that never goes back. */
  readonly dueMs: number;
  /** Look once more later: what was written with the group may still be on its way. */
  readonly isTwice: boolean;
}

export class Settling {
  /** By key of the group's document: those to be looked at. */
  private readonly looks = new Map<string, Look>();
  private readonly unfollow: () => void;
  private allDueMs: number;
  private timer: Timer | undefined;
  private running: Promise<void> = Promise.resolve();
  private stopped = false;

  constructor(private readonly parts: SettlingParts) {
    this.allDueMs = parts.clock.monotonic();
    this.unfollow = parts.data.feed.follow({
      changed: (batch) => this.hear(batch),
      reset: () => {
        this.allDueMs = parts.clock.monotonic();
      },
    });
  }

  start(): void {
    this.timer = this.parts.timers.after(alertLimits.roundMs, () => {
      this.running = this.round().catch((error: unknown) => this.parts.onDefect(error)).finally(() => {
        if (!this.stopped) this.start();
      });
    });
  }

  async stop(): Promise<void> {
    this.stopped = true;
    this.unfollow();
    this.timer?.cancel();
    await this.running;
  }

  private hear({ changes }: FeedBatch): void {
    for (const { document } of changes) if (parseKey(document).type === ALERT_GROUP) this.look(document, this.patienceMs(), true);
  }

  /** Who took the alert in has acted on it; of the others each waits for those before it. */
  private patienceMs(): number {
    const { replica, peers } = this.parts.data.cluster();
    const place = [replica, ...peers.map((peer) => peer.replica)].sort().indexOf(this.parts.replica);
    return (place + 1) * alertLimits.staggerMs;
  }

  private look(key: string, withinMs: number, isTwice = false): void {
    const dueMs = this.parts.clock.monotonic() + withinMs;
    const look = this.looks.get(key);
    this.looks.set(key, look === undefined ? { dueMs, isTwice } : { dueMs: Math.min(look.dueMs, dueMs), isTwice: isTwice || look.isTwice });
  }

  private async round(): Promise<void> {
    const now = this.parts.clock.monotonic();
    if (now >= this.allDueMs && (await this.lookAtAll())) this.allDueMs = now + alertLimits.allGroupsEveryMs;
    const due = [...this.looks].filter(([, { dueMs }]) => dueMs <= now).map(([key]) => key);
    for (let from = 0; from < due.length && !this.stopped; from += alertLimits.groupsPerSlice) await this.settle(due.slice(from, from + alertLimits.groupsPerSlice));
  }

  /** False if they could not be read. */
  private async lookAtAll(): Promise<boolean> {
    const listed = await this.parts.data.read({
      documents: [], render: (snapshot) => snapshot.list("~", "page").flatMap(({ id }) => snapshot.list(id, ALERT_GROUP).map(({ key }) => key)),
    }, { level: "LOCAL" });
    if (isFault(listed)) return false;
    for (const key of listed.value) this.look(key, 0);
    return true;
  }

  /** Plans what the groups ask for, and writes only where there is something to write. */
  private async settle(keys: readonly string[]): Promise<void> {
    const { data, incidents, log } = this.parts;
    for (const key of keys) {
      const look = this.looks.get(key);
      this.looks.delete(key);
      if (look?.isTwice === true) this.look(key, alertLimits.lookAgainMs);
    }
    const found = await data.read({
      documents: [],
      render: (snapshot) => keys.flatMap((key) => {
        const document = snapshot.document(key);
        if (document === undefined) return [];
        const group = groupOf(document);
        const step = stepOf(snapshot, group, incidents);
        const command = settleCommand(key, incidents);
        const plan = command.plan(snapshot);
        return [{
          key, command, isActive: !isFault(step) && step.isActive && !isForgettable(document, group, snapshot.atMs), isDue: isFault(step) || step.isDue,
          isIdle: !isFault(plan) && plan.changes.every(({ operations }) => operations.length === 0),
        }];
      }),
    }, { level: "LOCAL" });
    if (isFault(found)) {
      for (const key of keys) this.look(key, alertLimits.lookAgainMs);
      return;
    }
    for (const { command, isActive, isDue, isIdle, key } of found.value) {
      const done = isIdle || (await this.write(command));
      if (!done) log({ event: "alerts", group: key }, "what a group of alerts asks for could not be written yet");
      if (isDue && !isIdle && done) this.look(key, 0);
      else if (isActive || !done) this.look(key, alertLimits.lookAgainMs);
    }
  }

  private async write(command: Command): Promise<boolean> {
    return !isFault(await this.parts.data.commit(command, { level: "LOCAL", actor: SYSTEM_ACTOR }));
  }
}
