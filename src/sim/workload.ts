/**
 * What clients do: a mixture by the seed of writes and reads at every level, with sessions that move between regions, repetitions of one
 * request in two regions at once, races of compare-and-set, deletes against edits, decisions of conflicts, bursts, and lists.
 *
 * Every text that is written is unique in the run. Of the resources some take writes at GLOBAL_QUORUM only (there a history must be
 * linearizable), some at any level, some at LOCAL only.
 */
import type { ConsistencyLevel } from "../store/data-plane.js";
import { Client } from "./client.js";
import type { EventQueue } from "./event-queue.js";
import type { Recorder } from "./recorder.js";
import type { Requests } from "./requests.js";
import { TYPES, type ResourceType } from "./resources.js";
import type { SeededRandom } from "./seeded-random.js";
import type { World } from "./world.js";

export type ResourceClass = "quorum" | "mixed" | "local";

export interface WorkedResource {
  readonly type: ResourceType;
  readonly id: string;
  readonly class: ResourceClass;
  /** As far as any client knows. */
  state: "new" | "living" | "deleted";
}

export interface WorkloadShape {
  readonly clients: number;
  readonly thinkMs: number;
  readonly resourcesOfAType: number;
  readonly classes: Readonly<Record<ResourceClass, number>>;
  readonly deleteRate: number;
  readonly quorumTimeoutMs: number;
  readonly bursts: boolean;
  /** How often the clients meet at one and the same resource, and of which type it is. */
  readonly hotRate: number;
  readonly hotType: ResourceType;
  /** It is one that nobody is known to have created yet, as long as there is one. */
  readonly meetsAtNew?: boolean;
  /** How often work on an incident is a change of its labels. */
  readonly labelRate: number;
  /** How often an update names the ETag that was seen, compared with 0.26 for one that does not. */
  readonly compareRate: number;
  /** After how many ms colleagues in other regions know what was seen. Unless told they act in the same instant, and what no checker can call later proves nothing. */
  readonly toldAfterMs?: number;
}

type Race = Pick<WorkloadShape, "classes" | "hotType" | "labelRate">;

/** At a quorum only, at every level, or without a quorum. */
const RACES: readonly Race[] = [
  { classes: { quorum: 1, mixed: 0, local: 0 }, hotType: "component", labelRate: 0.1 },
  { classes: { quorum: 1, mixed: 0, local: 0 }, hotType: "component", labelRate: 0.1 },
  { classes: { quorum: 1, mixed: 0, local: 0 }, hotType: "incident", labelRate: 0.3 },
  { classes: { quorum: 0, mixed: 1, local: 0 }, hotType: "component", labelRate: 0.1 },
  { classes: { quorum: 0, mixed: 1, local: 0 }, hotType: "incident", labelRate: 0.1 },
  { classes: { quorum: 0, mixed: 0, local: 1 }, hotType: "incident", labelRate: 0.5 },
];

export function workloadShapeOf(random: SeededRandom): WorkloadShape {
  // A race: many clients at one resource, for a short time.
  if (random.chance(0.4)) {
    return {
      clients: random.integer(4, 6), thinkMs: 60, resourcesOfAType: 1, deleteRate: random.pick([0, 0.01]), quorumTimeoutMs: 5_000, bursts: true, hotRate: 0.85,
      compareRate: random.pick([0.12, 0.6]), ...random.pick(RACES),
    };
  }
  return {
    hotRate: 0, hotType: "component", labelRate: random.pick([0.15, 0.15, 0.5]), compareRate: 0.12,
    clients: random.integer(3, 6), thinkMs: random.pick([150, 400, 900]), resourcesOfAType: random.integer(1, 2), deleteRate: random.pick([0, 0.02, 0.08]),
    classes: random.pick([{ quorum: 1, mixed: 0, local: 0 }, { quorum: 0.5, mixed: 0.3, local: 0.2 }, { quorum: 0.2, mixed: 0.4, local: 0.4 }, { quorum: 0.6, mixed: 0, local: 0.4 }]),
    quorumTimeoutMs: random.pick([1_000, 5_000]), bursts: random.chance(0.3),
  };
}

export class Workload {
  readonly resources: WorkedResource[] = [];
  /** Resource → the ETag that any client saw last: colleagues tell each other. */
  readonly latestTags = new Map<string, string>();
  private readonly clients: Client[];
  private numbers = 0;
  private running = 0;
  private stopped = false;

  constructor(
    readonly world: World,
    readonly queue: EventQueue,
    readonly requests: Requests,
    readonly recorder: Recorder,
    private readonly random: SeededRandom,
    readonly shape: WorkloadShape,
    /** Operations that are left out, `<client>/<number>`: for shrinking. */
    readonly left: ReadonlySet<string>,
    readonly reached: (what: string) => void,
  ) {
    for (const type of TYPES) for (let i = 0; i < shape.resourcesOfAType; i++) this.addResource(type);
    const regions = [...new Set(world.shape.replicas.map(({ region }) => region))];
    this.clients = Array.from({ length: shape.clients }, (_, index) => new Client(this, `c${index + 1}`, regions[index % regions.length] ?? "", random.fork(`client ${index + 1}`)));
  }

  /** True once it was stopped. */
  get ended(): boolean {
    return this.stopped;
  }

  /** The resource at which clients meet. */
  get meetingPlace(): WorkedResource | undefined {
    const { hotType, meetsAtNew } = this.shape;
    const there = this.resources.filter(({ type, state }) => type === hotType && state !== "deleted");
    return (meetsAtNew === true ? there.find(({ state }) => state === "new") : undefined) ?? there[0];
  }

  /** No client has a request under way. */
  get idle(): boolean {
    return this.running === 0;
  }

  /** How many steps each client began. */
  get steps(): Record<string, number> {
    return Object.fromEntries(this.clients.map(({ name, steps }) => [name, steps]));
  }

  start(failed: (error: unknown) => void): void {
    for (const client of this.clients) {
      this.running++;
      client.work().catch(failed).finally(() => this.running--);
    }
  }

  stop(): void {
    this.stopped = true;
  }

  addResource(type: ResourceType): WorkedResource {
    const number = ++this.numbers;
    const resource: WorkedResource = { type, id: `${type}-${number}`, class: this.random.fork(`resource ${number}`).weighted(this.shape.classes), state: "new" };
    this.resources.push(resource);
    return resource;
  }

  /** A client has learned that a resource was deleted: there is a new one in its place. */
  deleted(resource: WorkedResource): void {
    if (resource.state === "deleted") return;
    resource.state = "deleted";
    this.addResource(resource.type);
  }

  /** A level that suits the resource. */
  levelFor(resource: Pick<WorkedResource, "class">, isWrite: boolean, random: SeededRandom): ConsistencyLevel {
    if (resource.class === "quorum") return isWrite ? "GLOBAL_QUORUM" : random.weighted({ GLOBAL_QUORUM: 0.75, LOCAL: 0.2, LOCAL_QUORUM: 0.05 });
    if (resource.class === "local") return random.weighted({ LOCAL: 0.8, LOCAL_QUORUM: 0.2 });
    return random.weighted({ LOCAL: 0.4, LOCAL_QUORUM: 0.15, GLOBAL_QUORUM: 0.45 });
  }
}
