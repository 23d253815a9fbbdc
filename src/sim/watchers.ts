/**
 * Watching in a simulated world: the product's own watch and runner in every replica of a region, on simulated targets. What is added here is
 * the network on which targets are seen, and an operator who makes the monitors and sets a component by hand.
 */
import { NO_PHASES, type Check, type CheckOutcome } from "../core/check.js";
import { keyOf } from "../core/document.js";
import { isFault } from "../core/errors.js";
import { createComponent, patchComponent } from "../features/components/commands.js";
import { createIncident } from "../features/incidents/commands.js";
import { createMonitor } from "../features/monitors/commands.js";
import { verdictOf } from "../features/monitors/opinion.js";
import { ResultStore } from "../features/monitors/results.js";
import { Runner, type RunnerResult } from "../features/monitors/runner.js";
import { Watch } from "../features/monitors/watch.js";
import { createPage } from "../features/pages/commands.js";
import type { ReplicaNode } from "../node.js";
import type { Command, Snapshot } from "../store/data-plane.js";
import type { Outage, SeenAtReplica, Watching } from "./history.js";
import { outagesOf, type WatchedShape, type WatchShape } from "./outage-schedule.js";
import type { Requests } from "./requests.js";
import type { SeededRandom } from "./seeded-random.js";
import { SimulatedDisk, type CrashLeaves } from "./simulated-disk.js";
import type { SimulatedProcess } from "./simulated-process.js";
import { pause } from "./waiting.js";
import type { Machine, World } from "./world.js";

/** A page of its own: what clients look at stays theirs. */
const PAGE = "watched";
const PATIENCE_MS = 8_000;
const TIMEOUT_MS = 1_000;
/** How long a target that was down over the healing stays down: opinions are fresh and every region has looked. */
export const DOWN_AFTER_HEALING_MS = 60_000;
/** The last outage, and when in it the operator comes. */
const CALM_OUTAGE_MS = 50_000;
const OPERATOR_AFTER_MS = 35_000;
/** Within this all that an outage brought is over: opinions, flapping's damping, looking again. */
const QUIET_MS = 150_000;

interface Target {
  readonly shape: WatchedShape;
  readonly outages: Outage[];
  byHand: string | undefined;
}

const targetOf = ({ id }: WatchedShape): string => `${id}:80`;

export class Watchers {
  private readonly targets: Target[];
  private readonly replicas: ReadonlyMap<string, string>;
  private readonly regions: readonly string[];
  private readonly disks = new Map<string, SimulatedDisk>();
  private readonly running = new Map<SimulatedProcess, Watch>();
  private created = false;
  private healedAtMs = 0;
  private seen: readonly SeenAtReplica[] = [];

  constructor(
    private readonly world: World,
    private readonly requests: Requests,
    private readonly random: SeededRandom,
    shape: WatchShape,
    private readonly events: { broken(replica: string, error: unknown): void; reached(what: string): void },
  ) {
    this.replicas = new Map(world.shape.replicas.filter(({ role }) => role === "region").map(({ replica, region }) => [replica, region]));
    this.regions = [...new Set(this.replicas.values())].sort();
    this.targets = shape.monitors.map((monitor) => ({
      shape: monitor, byHand: undefined,
      outages: [...monitor.outages, ...(monitor.downFromMs === undefined ? [] : [{ fromMs: monitor.downFromMs, untilMs: Number.MAX_SAFE_INTEGER, seenFrom: this.regions }])],
    }));
  }

  get result(): Watching | undefined {
    if (!this.created) return undefined;
    return {
      regions: this.regions, seen: this.seen,
      monitors: this.targets.map(({ shape, outages, byHand }) => ({ id: shape.id, outages, ...(byHand === undefined ? {} : { byHand }) })),
    };
  }

  // The programs.

  /** The node of a replica is open: its watch begins. */
  began({ shape: { replica, region, role } }: Machine, process: SimulatedProcess, node: ReplicaNode): void {
    if (role !== "region") return;
    const { clock, timers } = process;
    const random = this.random.fork(`${replica} ${this.world.queue.now}`);
    const failures = new Map<string, number>();
    let hear: (result: RunnerResult) => void = () => undefined;
    const runner = new Runner({
      clock, timers, canaries: this.regions.filter((other) => other !== region).map((target): Check => ({ type: "http", target, timeoutMs: TIMEOUT_MS, options: {} })),
      probe: { run: ({ target, timeoutMs }) => this.probe(process, random, timeoutMs, () => this.sees(replica, target, failures)) },
      canaryProbe: { run: ({ target, timeoutMs }) => this.probe(process, random, timeoutMs, () => this.reaches(replica, target) && this.trusted(region, failures)) },
      // In the product a result comes from another thread.
      report: (result) => void process.after(0, `${replica} hears a result`, () => hear(result)),
    });
    const defect = (error: unknown): void => {
      if (process.alive) this.events.broken(replica, error);
    };
    const watch = new Watch({
      data: node, clock, timers, replica, region, members: this.replicas, incidents: { open: createIncident },
      results: new ResultStore({
        storage: this.disk(replica).open(process), clock, timers, random: random.fork("results"), replica, members: new Set([replica]), witness: "",
        onFailure: () => this.events.reached("watching: results could not be stored"), refused: (origin) => defect(new Error(`a batch of ${origin} was refused`)),
      }),
      runner: {
        onResult: (listener) => {
          hear = listener;
        },
        assign: (tasks, dropped) => runner.assign(tasks, dropped),
        runNow: (task) => runner.runNow(task),
      },
      log: () => undefined, onDefect: defect,
    });
    this.running.set(process, watch);
    process.whenDead(() => {
      runner.stop();
      this.running.delete(process);
    });
    watch.start();
  }

  /** SIGTERM: what watches ends before what it writes to. */
  async stopping(process: SimulatedProcess): Promise<void> {
    await this.running.get(process)?.stop();
  }

  crashed(replica: string, leaves: CrashLeaves): void {
    this.disks.get(replica)?.crashed(leaves);
  }

  private disk(replica: string): SimulatedDisk {
    const known = this.disks.get(replica) ?? new SimulatedDisk(`${replica} results`, this.world.queue, this.random.fork(`results of ${replica}`), this.world.shape.disk);
    this.disks.set(replica, known);
    return known;
  }

  // The network on which targets are seen.

  private probe(process: SimulatedProcess, random: SeededRandom, timeoutMs: number, isUp: () => boolean): Promise<CheckOutcome> {
    const up = isUp();
    const takesMs = !up && random.chance(0.5) ? timeoutMs : random.between(5, 200);
    return new Promise((resolve) => {
      process.after(takesMs, `${process.replica} is answered by a target`, () => resolve({
        state: up ? "up" : "down", phases: { ...NO_PHASES, total: takesMs }, error: up ? null : { code: "timeout", message: "there was no answer" }, details: {},
      }));
    });
  }

  /** `failures`: what a replica's own uplink has made fail, and when. */
  private sees(replica: string, target: string, failures: Map<string, number>): boolean {
    if (this.isDown(target, this.world.machine(replica).shape.region)) return false;
    if (this.hasUplink(replica)) failures.delete(target);
    else failures.set(target, this.world.queue.now);
    return !failures.has(target);
  }

  /**
   * A canary answers. If the uplink came back between a check and its canaries, the region takes the target for what was down: for it
   * that was an outage, which no other region can have seen.
   */
  private trusted(region: string, failures: Map<string, number>): true {
    const { now } = this.world.queue;
    for (const [id, fromMs] of failures) this.targets.find(({ shape }) => targetOf(shape) === id)?.outages.push({ fromMs, untilMs: now, seenFrom: [region] });
    if (failures.size > 0) this.events.reached("watching: an uplink came back between a check and its canaries");
    failures.clear();
    return true;
  }

  private isDown(id: string, region: string): boolean {
    const { now } = this.world.queue;
    return this.targets.some(({ shape, outages }) => targetOf(shape) === id && outages.some(({ fromMs, untilMs, seenFrom }) => fromMs <= now && now < untilMs && seenFrom.includes(region)));
  }

  /** A region that is cut off from all others is cut off from everything. */
  private hasUplink(replica: string): boolean {
    return this.regions.some((region) => region !== this.world.machine(replica).shape.region && this.peersIn(region).some((other) => this.isOpen(replica, other.shape.replica)));
  }

  private reaches(replica: string, region: string): boolean {
    return this.peersIn(region).some(({ process, shape }) => process?.alive === true && !process.paused && this.isOpen(replica, shape.replica));
  }

  private peersIn(region: string): Machine[] {
    return [...this.world.machines.values()].filter(({ shape }) => shape.region === region && shape.role === "region");
  }

  private isOpen(a: string, b: string): boolean {
    return !this.world.network.isCut(a, b) && !this.world.network.isCut(b, a);
  }

  // The course of a run.

  /** Makes page, components and monitors, and gives up after a while. */
  async create(): Promise<void> {
    await this.insist(createPage(PAGE, { name: "Watched" }));
    for (const { shape } of this.targets) {
      const { id, intervalSeconds, retries, confirmSeconds, recoverSeconds } = shape;
      await this.insist(createComponent(PAGE, id, { name: id }));
      await this.insist(createMonitor(PAGE, id, "secret", {
        name: id, type: "tcp", target: targetOf(shape), interval_seconds: intervalSeconds, timeout_ms: TIMEOUT_MS, retries, confirm_seconds: confirmSeconds, recover_seconds: recoverSeconds, component_id: id, incident_name: id,
      }, this.regions));
    }
    this.created = true;
    this.events.reached("watching: monitors were made");
  }

  private async insist(command: Command): Promise<void> {
    for (let tries = 0; ; tries++) {
      const answer = await this.requests.send(this.members[tries % this.members.length]?.shape.replica ?? "", { level: "GLOBAL_QUORUM", asks: { command } }, PATIENCE_MS);
      // What exists was made by a try before.
      if (answer !== undefined && (answer.status < 300 || answer.status === 409)) return;
      await pause(this.world.queue, 500);
    }
  }

  private get members(): Machine[] {
    return this.world.membership.filter(({ role }) => role === "region").map(({ replica }) => this.world.machine(replica));
  }

  healed(): void {
    this.healedAtMs = this.world.queue.now;
  }

  /** What happens once all is whole: targets that were down come back, each monitor has a last outage, and all is looked at. */
  async afterwards(): Promise<void> {
    const { queue } = this.world;
    if (!this.created) return;
    await pause(queue, Math.max(0, this.healedAtMs + DOWN_AFTER_HEALING_MS - queue.now));
    for (const { outages } of this.targets) for (const [index, outage] of outages.entries()) if (outage.untilMs > queue.now) outages[index] = { ...outage, untilMs: queue.now };
    await this.quiet();
    for (const { outages, shape } of this.targets) {
      if (shape.calm !== "none") outages.push(...outagesOf(this.random.fork(`calm ${shape.id}`), shape.calm, this.regions, queue.now, queue.now + CALM_OUTAGE_MS));
    }
    await pause(queue, OPERATOR_AFTER_MS);
    for (const target of this.targets) if (target.shape.byHand) await this.setByHand(target);
    await pause(queue, CALM_OUTAGE_MS - OPERATOR_AFTER_MS);
    await this.quiet();
  }

  /** The operator sees an incident, and says what he knows better. */
  private async setByHand(target: Target): Promise<void> {
    const { id } = target.shape;
    const [first] = this.members;
    const seen = await this.lookAt(first);
    const hasIncident = seen?.monitors.find((monitor) => monitor.id === id)?.incidents.some(({ status }) => status !== "resolved") === true;
    if (first === undefined || !hasIncident) return;
    const answer = await this.requests.send(first.shape.replica, { level: "LOCAL", asks: { command: patchComponent(PAGE, id, { status: "partial_outage" }) } }, PATIENCE_MS);
    if (answer?.status !== 200) return;
    target.byHand = "partial_outage";
    this.events.reached("watching: a component was set by hand during an outage");
  }

  /** Waits until every replica says that all is well, and keeps what they said last. */
  private async quiet(): Promise<void> {
    const { queue } = this.world;
    for (const deadline = queue.now + QUIET_MS; ; ) {
      this.seen = (await Promise.all(this.members.map((machine) => this.lookAt(machine)))).filter((seen) => seen !== undefined);
      const isQuiet = this.seen.length === this.members.length && this.seen.every(({ monitors }) => monitors.every(({ verdict, incidents }) => verdict === "up" && incidents.every(({ status }) => status === "resolved")));
      if (isQuiet || queue.now >= deadline) break;
      await pause(queue, 1_000);
    }
    // What one replica has just written reaches the others.
    await pause(queue, 5_000);
    this.seen = (await Promise.all(this.members.map((machine) => this.lookAt(machine)))).filter((seen) => seen !== undefined);
  }

  private async lookAt(machine: Machine | undefined): Promise<SeenAtReplica | undefined> {
    const read = await machine?.node?.read({ documents: [], render: (snapshot) => this.targets.map(({ shape: { id } }) => monitorIn(snapshot, id)) }, { level: "LOCAL" });
    return read === undefined || isFault(read) || machine === undefined ? undefined : { replica: machine.shape.replica, monitors: read.value };
  }
}

function monitorIn(snapshot: Snapshot, id: string): SeenAtReplica["monitors"][number] {
  const incidents = snapshot.list(PAGE, "incident").flatMap(({ key }) => snapshot.document(key) ?? []).filter((incident) => incident.text("name") === id);
  return {
    id, verdict: verdictOf(snapshot, PAGE, id).state, component: snapshot.document(keyOf(PAGE, "component", id))?.text("status") ?? "",
    incidents: incidents.map((incident) => ({ id: incident.id, status: incident.text("status") })).sort((a, b) => (a.id < b.id ? -1 : 1)),
  };
}
