/**
 * A simulated world: the production assembly (`ReplicaNode`) of every replica on simulated clocks, timers, disks and links.
 * Nothing of the product is re-implemented here; what a world adds is machines, their programs, and an operator who does what the
 * manual says (restarts what stopped, rebuilds a store that is damaged).
 */
import { createHash } from "node:crypto";
import { StorageDamage } from "../core/ports.js";
import { defaultPage } from "../features/pages/commands.js";
import { ReplicaNode, type NodeOptions, type NodePorts } from "../node.js";
import type { PlannedChange, Snapshot } from "../store/data-plane.js";
import { foldChanges } from "../store/documents.js";
import { isFault } from "../core/errors.js";
import { ClaimWitness } from "./claim-witness.js";
import type { EventQueue, NextTurn } from "./event-queue.js";
import type { SeededRandom } from "./seeded-random.js";
import { SimulatedDisk, type CrashLeaves, type SimulatedStorage } from "./simulated-disk.js";
import { SimulatedMetrics } from "./simulated-metrics.js";
import { SimulatedNetwork, type WireCodec } from "./simulated-network.js";
import { SimulatedClock, SimulatedProcess } from "./simulated-process.js";
import type { Trace } from "./trace.js";
import { oneWayMs, type ReplicaShape, type WorldShape } from "./world-shape.js";

/** The wall clock at the beginning, ms since the epoch. */
export const EPOCH_MS = Date.UTC(2026, 5, 1);
/** How long the operator takes to notice that a replica needs a hand, ms. */
const OPERATOR_MS = 2_500;

export interface SimulationHost {
  readonly codec: WireCodec;
  readonly nextTurn: NextTurn;
}

export interface Machine {
  readonly shape: ReplicaShape;
  readonly clock: SimulatedClock;
  readonly disk: SimulatedDisk;
  process: SimulatedProcess | undefined;
  node: ReplicaNode | undefined;
  metrics: SimulatedMetrics;
  /** It is not to be started by the operator: a fault says when. */
  down: boolean;
  starts: number;
}

export interface WorldEvents {
  /** A broken invariant of the product, or a promise that rejected where none may. */
  broken(replica: string, error: unknown): void;
  reached(what: string): void;
  /** The operator has begun a store anew. */
  rebuilt(replica: string): void;
  /** What else runs in a replica's program: told when its node is open, asked to end before it, and told that it was killed. */
  readonly companions?: Companions | undefined;
}

export interface Companions {
  began(machine: Machine, process: SimulatedProcess, node: ReplicaNode): void;
  stopping(process: SimulatedProcess): Promise<void>;
  crashed(replica: string, leaves: CrashLeaves): void;
}

/** The state before anything was written. */
const NOTHING: Snapshot = { atMs: 0, document: () => undefined, taken: () => false, list: () => [] };

function genesis(): readonly PlannedChange[] {
  const plan = defaultPage().plan(NOTHING);
  if (isFault(plan)) throw new Error(plan.detail);
  return plan.changes;
}

export class World {
  readonly machines = new Map<string, Machine>();
  readonly network: SimulatedNetwork;
  readonly witness: ClaimWitness;
  private members: readonly ReplicaShape[];
  private readonly latencies = new Map<string, number>();

  constructor(
    readonly queue: EventQueue,
    private readonly random: SeededRandom,
    readonly trace: Trace,
    readonly shape: WorldShape,
    host: SimulationHost,
    private readonly events: WorldEvents,
  ) {
    this.members = shape.replicas;
    this.witness = new ClaimWitness((replica) => this.machine(replica).disk, () => queue.now);
    this.network = new SimulatedNetwork(queue, random.fork("network"), trace, {
      codec: host.codec, reached: events.reached, jitter: shape.jitter, witness: this.witness,
      latencyMs: (from, to) => this.latencyMs(from, to),
    });
    for (const replica of shape.replicas) this.addMachine(replica);
  }

  private latencyMs(from: string, to: string): number {
    const name = `${from}>${to}`;
    const known = this.latencies.get(name);
    if (known !== undefined) return known;
    const latency = oneWayMs(this.shape, this.machine(from).shape, this.machine(to).shape);
    this.latencies.set(name, latency);
    return latency;
  }

  /** What one replica writes comes late to another: the way is cut, or longer than the way back. */
  isSlow(from: string, to: string): boolean {
    return this.network.isCut(from, to) || this.latencyMs(from, to) > this.latencyMs(to, from);
  }

  private addMachine(shape: ReplicaShape): void {
    this.machines.set(shape.replica, {
      shape, clock: new SimulatedClock(this.queue, EPOCH_MS), disk: new SimulatedDisk(shape.replica, this.queue, this.random.fork(`disk ${shape.replica}`), this.shape.disk),
      process: undefined, node: undefined, metrics: new SimulatedMetrics(), down: false, starts: 0,
    });
  }

  machine(replica: string): Machine {
    const machine = this.machines.get(replica);
    if (machine === undefined) throw new RangeError(`there is no machine ${replica}`);
    return machine;
  }

  /** The members as the configuration has them now. */
  get membership(): readonly ReplicaShape[] {
    return this.members;
  }

  /** Changes the configured members; what runs keeps what it was started with. */
  configure(members: readonly ReplicaShape[]): void {
    this.members = members;
    for (const member of members) if (!this.machines.has(member.replica)) this.addMachine(member);
  }

  isMember(replica: string): boolean {
    return this.members.some((member) => member.replica === replica);
  }

  /** Every member's node runs and is open. */
  get allRun(): boolean {
    return this.members.every(({ replica }) => this.machine(replica).node !== undefined);
  }

  /** Every replica that there ever was. */
  get everyReplica(): readonly ReplicaShape[] {
    return [...this.machines.values()].map(({ shape }) => shape);
  }

  /** Ends every program, so that nothing goes on after the run. */
  end(): void {
    for (const { process } of this.machines.values()) process?.kill();
  }

  // Programs.

  /** Starts the program of a replica. What keeps it from starting is the operator's to mend. */
  start(replica: string): void {
    const machine = this.machine(replica);
    if (machine.process?.alive === true || !this.isMember(replica)) return;
    const process = new SimulatedProcess(replica, this.queue, machine.clock);
    machine.process = process;
    machine.node = undefined;
    machine.metrics = new SimulatedMetrics();
    machine.starts++;
    process.after(0, `${replica} starts`, () => {
      ReplicaNode.start(this.optionsOf(machine), this.portsOf(machine, process)).then((node) => {
        if (!process.alive) return;
        machine.node = node;
        this.events.companions?.began(machine, process, node);
      }, (error: unknown) => {
        if (!process.alive) return;
        if (!(error instanceof StorageDamage) && !machine.disk.full && !machine.disk.readsRefused) this.events.broken(replica, error);
        this.operate(machine, process, error instanceof StorageDamage);
      });
    });
  }

  /** Ends the program at once. */
  crash(replica: string, leaves: CrashLeaves): void {
    const machine = this.machine(replica);
    if (machine.process?.alive !== true) return;
    const wasWriting = machine.disk.crashed(leaves);
    this.events.companions?.crashed(replica, leaves);
    if (wasWriting) this.events.reached(`crash: a write was under way, and left ${leaves}`);
    machine.process.kill();
    machine.node = undefined;
  }

  /** SIGTERM; what is not over after a while is killed. Resolves never: the program just ends. */
  stop(replica: string): void {
    const machine = this.machine(replica);
    const { process, node } = machine;
    if (process?.alive !== true) return;
    machine.node = undefined;
    process.after(9_000, `${replica} is killed`, () => this.crash(replica, "nothing"));
    const { companions } = this.events;
    const closed = companions === undefined ? node?.close() : companions.stopping(process).then(() => node?.close());
    void closed?.then(() => this.crash(replica, "nothing"), (error: unknown) => this.events.broken(replica, error));
  }

  /** The operator comes after a while: restarts the program, with an empty disk where the store is damaged. */
  private operate(machine: Machine, process: SimulatedProcess, rebuild: boolean): void {
    const { replica } = machine.shape;
    this.queue.after(OPERATOR_MS, `operator at ${replica}`, () => {
      if (!process.alive || machine.process !== process) return;
      this.crash(replica, "nothing");
      if (rebuild) {
        this.events.reached("operator: a damaged store was rebuilt");
        machine.disk.clear();
        this.events.rebuilt(replica);
      }
      if (!machine.down) this.start(replica);
    });
  }

  private optionsOf(machine: Machine): NodeOptions {
    const { replica, region, role, voter } = machine.shape;
    const peers = Object.fromEntries(this.members.filter((other) => other.replica !== replica).map((other) => [other.replica, { region: other.region, role: other.role, voter: other.voter }]));
    return {
      replica, region, role, voter, clusterId: "simulation", peers, antiEntropyIntervalMs: this.shape.antiEntropyIntervalMs, limits: this.shape.limits, genesis: genesis(),
      membership: this.members.map((member) => `${member.replica} ${member.region} ${String(member.voter)}`).sort().join(),
    };
  }

  private portsOf(machine: Machine, process: SimulatedProcess): NodePorts {
    const { replica } = machine.shape;
    let storage: SimulatedStorage | undefined;
    const random = this.random.fork(`${replica} ${machine.starts}`);
    const settle = <T>(value: () => T): Promise<T> => new Promise((resolve, reject) => {
      process.after(this.shape.disk.syncMs, `${replica} opens`, () => {
        try {
          resolve(value());
        } catch (error) {
          reject(error instanceof Error ? error : new Error(String(error)));
        }
      });
    });
    return {
      openStorage: () => settle(() => {
        storage = machine.disk.open(process);
        return { storage, witness: machine.disk.witness, highWater: machine.disk.highWater };
      }),
      probeStorage: () => settle(() => void machine.disk.open(process)),
      newTransport: () => this.network.join(process, this.members.map((member) => member.replica).filter((other) => other !== replica)),
      clock: process.clock, timers: process.timers, random,
      sha256: (bytes) => createHash("sha256").update(bytes).digest(),
      metrics: machine.metrics,
      fold: (snapshot, key, changes) => new Promise((resolve, reject) => {
        process.after(1, `${replica} folds`, () => {
          try {
            resolve(foldChanges(snapshot, key, changes));
          } catch (error) {
            reject(error instanceof Error ? error : new Error(String(error)));
          }
        });
      }),
      log: (level, event) => this.logged(machine, process, level, event),
      fatal: (error) => {
        if (process.alive) this.events.broken(replica, error);
      },
    };
  }

  private logged(machine: Machine, process: SimulatedProcess, level: string, event: Readonly<Record<string, unknown>>): void {
    if (!process.alive) return;
    this.trace.add(this.queue.now, `${machine.shape.replica} ${level} ${JSON.stringify(event)}`);
    if (level !== "info") this.events.reached(`log: ${String(event["event"])}`);
    // The log line says what the operator has to do.
    if (event["event"] === "read-only" && machine.disk.spoiled) this.operate(machine, process, true);
  }
}

