/**
 * Watches all monitors from one replica: tells the runner what to check, turns results into opinions, and does what verdicts ask
 * for. One round a second; an opinion that changes is written, and looked at, at once.
 */
import { isDeepStrictEqual } from "node:util";
import { spreadOf } from "../../core/check-schedule.js";
import { NO_PHASES, type CheckType } from "../../core/check.js";
import { keyOf, parseKey } from "../../core/document.js";
import { isFault } from "../../core/errors.js";
import { watchLimits } from "../../core/limits.js";
import type { Clock, Timer, Timers } from "../../core/ports.js";
import type { Command, DataPlane, Snapshot } from "../../store/data-plane.js";
import { courseOf, tellCommand, verdictCommand, type IncidentRoom, type Surroundings } from "./effects.js";
import { HeartbeatWatch } from "./heartbeat.js";
import { MONITOR, monitorOf, type Monitor } from "./monitor.js";
import { opinionCommand } from "./opinion-command.js";
import { opinionsOf, verdictIn, watchKey, type Opinion, type StampedOpinion, type State } from "./opinion.js";
import { hearingCommand, hearingDiffers, hearingOf, Presence, type Attendance, type Members } from "./presence.js";
import type { ResultStore } from "./results.js";
import type { RunnerResult, RunnerTask } from "./runner.js";
import { isWorse } from "./verdict.js";

export interface RunnerPort {
  onResult(hear: (result: RunnerResult) => void): void;
  assign(tasks: readonly RunnerTask[], dropped: readonly string[]): void;
  /** Undefined if the runner ended meanwhile. */
  runNow(task: RunnerTask): Promise<RunnerResult | undefined>;
}

export interface WatchParts {
  readonly data: DataPlane;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly replica: string;
  readonly region: string;
  /** All replicas that watch, this one among them, and their regions. */
  readonly members: Members;
  readonly runner: RunnerPort;
  readonly results: ResultStore;
  readonly incidents: IncidentRoom;
  /** Hears of every look at a target, for the replica's own metrics. */
  observe?(result: RunnerResult): void;
  log(level: "info" | "warn", event: Readonly<Record<string, unknown>>, text: string): void;
  /** A broken invariant. */
  onDefect(error: unknown): void;
}

interface Watched {
  monitor: Monitor;
  etag: string;
  watchEtag: string;
  opinions: readonly StampedOpinion[];
  /** The runner has it. */
  assigned: boolean;
  /** It was made or changed just now: its first check must not wait. */
  soon: boolean;
  /** When a result came last, on the clock that never goes back. */
  lastResultMs: number;
  /** When to look at the verdict again, ms since the epoch. */
  dueAtMs: number | null;
  /** When something was first to be written, on the clock that never goes back. */
  noticedAtMs: number | undefined;
  /** The latest state that this region came to. */
  own: State | undefined;
  /** It has looked since this replica is there. */
  hasLooked: boolean;
}

/** After a change of what regions think, what it did elsewhere may still be on its way. */
const LOOK_AFTER_CHANGE_MS = 5_000;

export type OwnOpinion = Omit<Opinion, "changes">;

export class Watch {
  private readonly watched = new Map<string, Watched>();
  private readonly wanted = new Map<string, OwnOpinion>();
  private readonly writing = new Set<string>();
  private readonly heartbeats: HeartbeatWatch;
  private presence: Presence;
  private attendance: Attendance;
  private roundAtMs: number;
  private rank = 0;
  /** Other replicas of this region that are there. */
  private siblings: readonly string[] = [];
  private seenVector = "";
  private syncedMs = Number.NEGATIVE_INFINITY;
  private timer: Timer | undefined;
  private turn: Promise<void> = Promise.resolve();
  private stopped = false;

  constructor(private readonly parts: WatchParts) {
    this.roundAtMs = parts.clock.monotonic();
    this.presence = new Presence(parts.replica, parts.members, this.roundAtMs);
    this.attendance = { present: new Set(parts.members.values()), unsettled: new Set() };
    this.heartbeats = new HeartbeatWatch(parts.results, parts.clock.now());
    parts.runner.onResult((result) => this.hear(result));
  }

  start(): void {
    this.timer = this.parts.timers.after(watchLimits.roundMs, () => {
      void this.inTurn(() => this.round()).finally(() => {
        if (!this.stopped) this.start();
      });
    });
  }

  async stop(): Promise<void> {
    this.stopped = true;
    this.timer?.cancel();
    await this.turn;
  }

  /** Runs after all that was asked for before; its failure is a defect. */
  private inTurn(work: () => Promise<void>): Promise<void> {
    const done = this.turn.then(async () => {
      if (!this.stopped) await work();
    }).catch((error: unknown) => this.parts.onDefect(error));
    this.turn = done;
    return done;
  }

  private async round(): Promise<void> {
    const { clock, data, runner } = this.parts;
    const cluster = data.cluster();
    const vector = JSON.stringify(cluster.vector);
    const now = clock.monotonic();
    if (now - this.roundAtMs > watchLimits.presenceSettlesMs) this.wake(now);
    this.roundAtMs = now;
    if (vector !== this.seenVector || now - this.syncedMs > watchLimits.opinionAgesOutMs) {
      if (await this.sync()) {
        this.seenVector = vector;
        this.syncedMs = now;
      }
    }
    if (this.watched.size === 0) return;
    await this.lookAround(now);
    const changes = this.assignments();
    if (changes.tasks.length + changes.dropped.length > 0) runner.assign(changes.tasks, changes.dropped);
    await this.watchHeartbeats();
    this.watchRunner(now);
    const nowMs = clock.now();
    const due = [...this.watched].filter(([, { dueAtMs, noticedAtMs }]) => noticedAtMs !== undefined || (dueAtMs !== null && dueAtMs <= nowMs)).map(([key]) => key);
    await this.evaluate(due);
  }

  /** This process stood still (a machine that was suspended), and knows no more than one that has just started. */
  private wake(now: number): void {
    this.parts.log("warn", { event: "watch", ms: now - this.roundAtMs }, "watching stood still: what others do and how targets are is looked at anew");
    this.presence = new Presence(this.parts.replica, this.parts.members, now);
    for (const entry of this.watched.values()) entry.hasLooked = false;
  }

  /** Reads what has changed of monitors and opinions. False if it could not be read. */
  private async sync(): Promise<boolean> {
    const { data } = this.parts;
    const listed = await data.read({
      documents: [],
      render: (snapshot) => snapshot.list("~", "page").flatMap(({ id }) => snapshot.list(id, MONITOR).map(({ key }) => key)).slice(0, watchLimits.monitorsMax),
    }, { level: "LOCAL" });
    if (isFault(listed)) return false;
    const living = new Set(listed.value);
    for (const [key, entry] of this.watched) if (!living.has(keyOf(entry.monitor.page, MONITOR, entry.monitor.id))) this.forget(key, entry);
    for (let from = 0; from < listed.value.length; from += watchLimits.slice) {
      if (!(await this.syncSlice(listed.value.slice(from, from + watchLimits.slice)))) return false;
    }
    return true;
  }

  private async syncSlice(keys: readonly string[]): Promise<boolean> {
    const { clock, data, region } = this.parts;
    const nowMs = clock.now();
    const read = await data.read({
      documents: [],
      render: (snapshot) => {
        for (const documentKey of keys) {
          const { partition: page, id } = parseKey(documentKey);
          const key = `${page}/${id}`;
          const document = snapshot.document(documentKey);
          if (document === undefined) continue;
          const watch = snapshot.document(watchKey(page, id));
          let entry = this.watched.get(key);
          if (entry === undefined) {
            entry = { monitor: monitorOf(document), etag: "", watchEtag: "", opinions: [], assigned: false, soon: false, lastResultMs: clock.monotonic(), dueAtMs: nowMs, noticedAtMs: undefined, own: undefined, hasLooked: false };
            entry.soon = nowMs - entry.monitor.createdAtMs < watchLimits.firstCheckWithinMs;
            this.watched.set(key, entry);
          }
          if (entry.etag !== document.etag) {
            const before = entry.monitor;
            entry.monitor = monitorOf(document);
            if (entry.etag !== "") entry.soon = true;
            if (entry.etag !== "" && !isDeepStrictEqual(taskOf(before, key, false), taskOf(entry.monitor, key, false))) entry.assigned = false;
            entry.etag = document.etag;
            entry.dueAtMs = nowMs;
          }
          if (entry.watchEtag !== (watch?.etag ?? "")) {
            entry.watchEtag = watch?.etag ?? "";
            entry.opinions = opinionsOf(watch);
            if (!this.writing.has(key)) entry.own = entry.opinions.find((opinion) => opinion.region === region)?.state;
            entry.dueAtMs = nowMs;
          }
        }
        return true;
      },
    }, { level: "LOCAL" });
    return !isFault(read);
  }

  private forget(key: string, entry: Watched): void {
    if (entry.assigned) this.parts.runner.assign([], [key]);
    this.watched.delete(key);
    this.wanted.delete(key);
    this.heartbeats.forget(key);
  }

  /** Who is there, and where this region stands among those that act. */
  private async lookAround(now: number): Promise<void> {
    const { clock, data, members, region, replica } = this.parts;
    const cluster = data.cluster();
    const hearing = this.presence.hearing(cluster, now);
    this.siblings = cluster.peers.filter((peer) => peer.region === region && peer.state === "up").map(({ replica }) => replica);
    const read = await data.read({ documents: [], render: (snapshot) => hearingOf(snapshot, members) }, { level: "LOCAL" });
    const written = isFault(read) ? new Map<string, ReadonlySet<string>>() : read.value;
    const attendance = this.presence.update(hearing, written, now);
    if (!isDeepStrictEqual(attendance, this.attendance)) for (const entry of this.watched.values()) entry.dueAtMs = clock.now();
    this.attendance = attendance;
    this.rank = [...new Set([region, ...[...hearing].map((peer) => members.get(peer) ?? region)])].sort().indexOf(region);
    if (members.size > 1 && this.presence.knows && hearingDiffers(written.get(replica), hearing)) await this.commit(hearingCommand(replica, region, hearing));
  }

  /** Of the living replicas of this region one has each monitor (rendezvous hashing). */
  private isResponsible(key: string): boolean {
    const own = spreadOf(`${this.parts.replica} ${key}`);
    return this.siblings.every((replica) => spreadOf(`${replica} ${key}`) < own);
  }

  private isMine({ monitor }: Watched, key: string): boolean {
    return !monitor.paused && (monitor.regions === null || monitor.regions.includes(this.parts.region)) && this.isResponsible(key);
  }

  private assignments(): { tasks: RunnerTask[]; dropped: string[] } {
    const tasks: RunnerTask[] = [];
    const dropped: string[] = [];
    for (const [key, entry] of this.watched) {
      const mine = entry.monitor.type !== "heartbeat" && this.isMine(entry, key);
      if (mine && !entry.assigned) {
        tasks.push(taskOf(entry.monitor, key, entry.soon));
        entry.soon = false;
        entry.lastResultMs = this.parts.clock.monotonic();
      } else if (!mine && entry.assigned) dropped.push(key);
      entry.assigned = mine;
    }
    return { tasks, dropped };
  }

  private hear(result: RunnerResult): void {
    this.parts.observe?.(result);
    const entry = this.watched.get(result.key);
    if (entry === undefined || this.stopped) return;
    entry.lastResultMs = this.parts.clock.monotonic();
    entry.hasLooked ||= result.isFinal;
    const state = stateOf(entry.monitor, result);
    const { at, attempt, error, isFinal, latencyMs, phases } = result;
    this.parts.results.append({ key: result.key, at, state, latency_ms: latencyMs, phases, error, attempt, isFinal });
    if (isFinal && !entry.monitor.paused) this.opine(result.key, { state, since: result.roundAt, checkedAt: at, evidence: { error, latency_ms: latencyMs, phases } });
  }

  /** Writes an opinion if it is another than the last one, and looks at what follows. */
  private opine(key: string, opinion: OwnOpinion): void {
    const entry = this.watched.get(key);
    if (entry === undefined || (entry.own === opinion.state && !this.writing.has(key))) return;
    this.wanted.set(key, opinion);
    if (!this.writing.has(key)) void this.write(key).catch((error: unknown) => this.parts.onDefect(error));
  }

  private async write(key: string): Promise<void> {
    this.writing.add(key);
    try {
      for (let opinion = this.wanted.get(key); opinion !== undefined && !this.stopped; opinion = this.wanted.get(key)) {
        this.wanted.delete(key);
        const entry = this.watched.get(key);
        if (entry === undefined) return;
        const { page, id } = entry.monitor;
        if (!(await this.commit(opinionCommand(page, id, this.parts.region, opinion)))) return;
        entry.own = opinion.state;
        entry.dueAtMs = this.parts.clock.now() + LOOK_AFTER_CHANGE_MS;
        void this.inTurn(() => this.evaluate([key]));
      }
    } finally {
      this.writing.delete(key);
    }
  }

  private async commit(command: Command): Promise<boolean> {
    const result = await this.parts.data.commit(command, { level: "LOCAL", actor: "system" });
    if (isFault(result)) this.parts.log("warn", { event: "watch", command: command.name, fault: result.detail }, "what follows from checks could not be written");
    return !isFault(result);
  }

  /** Does what the verdicts of these monitors ask for; regions after the first leave it some time. */
  private async evaluate(keys: readonly string[]): Promise<void> {
    const { clock, data, incidents } = this.parts;
    const surroundings: Surroundings = { incidents, attendance: this.attendance };
    for (let from = 0; from < keys.length; from += watchLimits.slice) {
      const slice = keys.slice(from, from + watchLimits.slice);
      const courses = await data.read({
        documents: [],
        render: (snapshot) => slice.map((key) => {
          const entry = this.watched.get(key);
          if (entry === undefined) return undefined;
          return { key, entry, course: this.wasAway(entry, key, snapshot) ? undefined : courseOf(snapshot, entry.monitor.page, entry.monitor.id, surroundings) };
        }),
      }, { level: "LOCAL" });
      if (isFault(courses)) return;
      for (const found of courses.value) {
        if (found === undefined) continue;
        const { entry, course, key } = found;
        if (course === undefined) {
          this.takeBack(key);
          continue;
        }
        if (isFault(course)) {
          this.parts.log("warn", { event: "watch", monitor: key, fault: course.detail }, "a verdict could not be followed");
          entry.dueAtMs = clock.now() + LOOK_AFTER_CHANGE_MS;
          continue;
        }
        entry.dueAtMs = course.dueAtMs;
        if (course.changes.length + course.untold.length === 0) {
          entry.noticedAtMs = undefined;
          continue;
        }
        entry.noticedAtMs ??= clock.monotonic();
        if (clock.monotonic() - entry.noticedAtMs >= this.rank * watchLimits.regionStaggerMs) await this.act(entry, surroundings, course.untold);
      }
    }
  }

  /**
   * True if this region has not looked since its replica was away, and what it thought before would speak against an outage that others have agreed on
   * meanwhile. Before they have, it counts: with every replica that starts the others would be left to decide alone.
   */
  private wasAway(entry: Watched, key: string, snapshot: Snapshot): boolean {
    if (entry.hasLooked || entry.monitor.type === "heartbeat" || !this.isMine(entry, key)) return false;
    const watch = snapshot.document(watchKey(entry.monitor.page, entry.monitor.id));
    const opinions = opinionsOf(watch);
    const own = opinions.find(({ region }) => region === this.parts.region)?.state;
    if (own === undefined || own === "unknown" || !verdictIn(watch).failing) return false;
    return opinions.some(({ region, state }) => region !== this.parts.region && isWorse(state, own) && this.attendance.present.has(region));
  }

  /** This region cannot tell, until it has looked again. */
  private takeBack(key: string): void {
    const nowMs = this.parts.clock.now();
    this.opine(key, { state: "unknown", since: nowMs, checkedAt: nowMs, evidence: { error: { code: "away", message: "the region has not looked since it was away" }, latency_ms: null, phases: NO_PHASES } });
  }

  private async act(entry: Watched, surroundings: Surroundings, untold: readonly StampedOpinion[]): Promise<void> {
    const { page, id } = entry.monitor;
    if (await this.commit(verdictCommand(page, id, surroundings))) entry.noticedAtMs = undefined;
    for (const { region } of untold) await this.commit(tellCommand(page, id, region));
    entry.dueAtMs = this.parts.clock.now() + watchLimits.roundMs;
  }

  private async watchHeartbeats(): Promise<void> {
    for (const [key, entry] of this.watched) {
      if (entry.monitor.type !== "heartbeat" || !this.isMine(entry, key)) continue;
      const others = entry.opinions.filter(({ region, state }) => region !== this.parts.region && state === "up" && this.attendance.present.has(region));
      const opinion = await this.heartbeats.judge(key, entry.monitor, others.length > 0, this.parts.clock.now());
      if (opinion === undefined || opinion.state === entry.own) continue;
      if (opinion.state !== "up") this.parts.results.append({ key, at: opinion.checkedAt, state: opinion.state, latency_ms: null, phases: NO_PHASES, error: opinion.evidence.error, attempt: 1, isFinal: true });
      this.opine(key, opinion);
    }
  }

  /** A heartbeat was called here. False if it names none. */
  beat(page: string, id: string): boolean {
    const key = `${page}/${id}`;
    const at = this.parts.clock.now();
    const opinion = this.heartbeats.beat(key, at);
    this.parts.results.append({ key, at, state: "up", latency_ms: null, phases: NO_PHASES, error: null, attempt: 1, isFinal: true });
    if (this.watched.get(key)?.monitor.paused === false) this.opine(key, opinion);
    return true;
  }

  /** Where results have stopped to come, this region cannot tell. */
  private watchRunner(now: number): void {
    for (const [key, { assigned, lastResultMs, monitor }] of this.watched) {
      const patienceMs = 3 * monitor.intervalMs + (monitor.retries + 1) * (monitor.timeoutMs + monitor.retryDelayMs) + watchLimits.firstCheckWithinMs;
      if (!assigned || now - lastResultMs < patienceMs) continue;
      const nowMs = this.parts.clock.now();
      this.opine(key, { state: "unknown", since: nowMs, checkedAt: nowMs, evidence: { error: { code: "runner", message: "checks do not come back" }, latency_ms: null, phases: NO_PHASES } });
    }
  }

  /** Checks a monitor once, now. Undefined if it is not known here yet, is a heartbeat, or the runner ended. */
  async runNow(page: string, id: string): Promise<{ readonly result: RunnerResult; readonly state: State } | undefined> {
    const key = `${page}/${id}`;
    if (!this.watched.has(key)) await this.inTurn(async () => void (await this.sync()));
    const monitor = this.watched.get(key)?.monitor;
    if (monitor === undefined || monitor.type === "heartbeat") return undefined;
    const result = await this.parts.runner.runNow(taskOf(monitor, key, true));
    return result === undefined ? undefined : { result, state: stateOf(monitor, result) };
  }

  /** When this region last looked at a monitor, and what it saw; undefined if it has not since it started. */
  lastLook(page: string, id: string): ReturnType<ResultStore["latest"]> {
    return this.parts.results.latest(`${page}/${id}`);
  }
}

function taskOf(monitor: Monitor, key: string, soon: boolean): RunnerTask {
  const { intervalMs, retries, retryDelayMs, timeoutMs, target, type, options } = monitor;
  return { key, intervalMs, retries, retryDelayMs, soon, check: { type: type as CheckType, target: target ?? "", timeoutMs, options } };
}

/** What is slow is degraded. */
function stateOf(monitor: Monitor, { state, latencyMs }: RunnerResult): State {
  return state === "up" && monitor.degradedAboveMs !== null && latencyMs !== null && latencyMs > monitor.degradedAboveMs ? "degraded" : state;
}
