/** Load on real replicas: clients that note what was acknowledged to them, and randomness whose seed is printed. */
import { linearizability } from "../../src/sim/checkers/linearizability.js";
import { HISTORY_FORMAT, outcomeOf, type History, type Operation } from "../../src/sim/history.js";
import { CHECK_OPTIONS, type Verdict } from "../../src/sim/verdict.js";
import { settled, type World } from "./world.js";
import type { Answered, Json, Level, ReplicaProcess } from "./replica-process.js";

/** A small generator of pseudo-random numbers (mulberry32): the same seed, the same choices. */
export class Dice {
  readonly seed: number;
  private state: number;

  constructor(seed = Number(process.env["SEED"] ?? Date.now() % 1_000_000)) {
    this.seed = seed;
    this.state = seed >>> 0;
  }

  uniform(): number {
    this.state = (this.state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.state ^ (this.state >>> 15), this.state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  below(bound: number): number {
    return Math.floor(this.uniform() * bound);
  }

  pick<T>(items: readonly T[]): T {
    const item = items[this.below(items.length)];
    if (item === undefined) throw new Error("nothing to pick from");
    return item;
  }
}

export const COMPONENTS = "/v1/pages/default/components";
export const INCIDENTS = "/v1/pages/default/incidents";

/** The id of what was created; throws with the answer if it was not. */
export function created(answer: Answered): string {
  if (answer.status !== 201) throw new Error(`not created: ${answer.status} ${answer.text}`);
  return String(answer.body["id"]);
}

export function ok(answer: Answered): Answered {
  if (answer.status >= 300) throw new Error(`refused: ${answer.status} ${answer.text}`);
  return answer;
}

/** Everything that a list gives, page after page. */
export async function listAll(node: ReplicaProcess, route: string, level: Level = "LOCAL"): Promise<{ [name: string]: Json }[]> {
  const items: { [name: string]: Json }[] = [];
  for (let cursor = ""; ; ) {
    const answer = ok(await node.get(`${route}?limit=100${cursor}`, { level }));
    items.push(...(answer.body["data"] as { [name: string]: Json }[]));
    const next = answer.body["next_cursor"];
    if (typeof next !== "string") return items;
    cursor = `&cursor=${encodeURIComponent(next)}`;
  }
}

/** Writers that create components in a loop, each with one request under way, and remember each that was acknowledged. */
export class Writers {
  /** Id to level and region. */
  readonly acknowledged = new Map<string, string>();
  readonly statuses = new Map<number, number>();
  private stopping = false;
  private readonly running: Promise<void>[] = [];

  constructor(nodes: readonly ReplicaProcess[], perNode: Readonly<Partial<Record<Level, number>>>) {
    for (const node of nodes) {
      for (const [level, count] of Object.entries(perNode) as [Level, number][]) {
        for (let writer = 0; writer < count; writer++) this.running.push(this.write(node, level, writer));
      }
    }
  }

  private async write(node: ReplicaProcess, level: Level, writer: number): Promise<void> {
    for (let number = 0; !this.stopping; number++) {
      const name = `${node.id} ${level} ${writer} ${number}`;
      try {
        const answer = await node.post(COMPONENTS, { name }, { level, quorumTimeout: 1_000, patienceMs: 5_000 });
        this.statuses.set(answer.status, (this.statuses.get(answer.status) ?? 0) + 1);
        if (answer.status === 201) this.acknowledged.set(String(answer.body["id"]), name);
        // A pace that leaves the machine to the replicas that start.
        await new Promise((resolve) => setTimeout(resolve, number % 8));
        if (answer.status !== 201) await new Promise((resolve) => setTimeout(resolve, 20));
      } catch {
        // The replica is dead just now.
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
  }

  async reaches(count: number, deadlineMs = 45_000): Promise<void> {
    await settled(`${count} writes are acknowledged`, () => this.acknowledged.size >= count, deadlineMs);
  }

  async stop(): Promise<void> {
    this.stopping = true;
    await Promise.all(this.running);
  }

  /** What was acknowledged and is not in a region, as `<name> in <region>`. */
  async missing(world: World): Promise<string[]> {
    const missing: string[] = [];
    for (const node of world.all) {
      const held = new Set((await listAll(node, COMPONENTS)).map(({ id }) => String(id)));
      for (const [id, name] of this.acknowledged) if (!held.has(id)) missing.push(`${name} in ${node.region}`);
    }
    return missing;
  }
}

/** Clients that read, write and compare-and-set one component's description at GLOBAL_QUORUM, and note what they saw. */
export class RegisterClients {
  /** What was asked and answered so far, in order of the answers. */
  readonly operations: Operation[] = [];
  private readonly running: Promise<void>[] = [];
  private stopping = false;
  private counter = 0;
  private asked = 0;

  private constructor(
    private readonly id: string,
    private readonly dice: Dice,
  ) {}

  static async start(nodes: readonly ReplicaProcess[], clientsPerNode: number, dice: Dice): Promise<RegisterClients> {
    const [first] = nodes;
    if (first === undefined) throw new Error("no replicas");
    const description = "value-0";
    const invokedAtMs = performance.now();
    const answer = await first.post(COMPONENTS, { name: "register", description }, { level: "GLOBAL_QUORUM" });
    const clients = new RegisterClients(created(answer), dice);
    clients.note(first, { client: "creator", kind: "create", written: { fields: { description } }, invokedAtMs }, answer);
    for (const node of nodes) for (let client = 0; client < clientsPerNode; client++) clients.running.push(clients.work(node, `${node.id} ${client}`));
    return clients;
  }

  private async work(node: ReplicaProcess, client: string): Promise<void> {
    while (!this.stopping) {
      await this.operate(node, client);
      await new Promise((resolve) => setTimeout(resolve, this.dice.below(30)));
    }
  }

  private async operate(node: ReplicaProcess, client: string): Promise<void> {
    const options = { level: "GLOBAL_QUORUM", quorumTimeout: 1_500, patienceMs: 8_000 } as const;
    const choice = this.dice.uniform();
    const route = `${COMPONENTS}/${this.id}`;
    let etag: string | undefined;
    if (choice >= 0.4) {
      const invokedAtMs = performance.now();
      const answer = await node.get(route, options).catch(() => undefined);
      this.note(node, { client, kind: "read", invokedAtMs }, answer);
      etag = answer?.status === 200 ? answer.etag : undefined;
      if (choice >= 0.7 || etag === undefined) return;
    }
    const description = `value-${++this.counter}`;
    const written = { fields: { description } };
    const invokedAtMs = performance.now();
    const answer = await node.patch(route, { description }, { ...options, ...(etag === undefined ? {} : { ifMatch: etag }) }).catch(() => undefined);
    this.note(node, { client, ...(etag === undefined ? { kind: "update" } : { kind: "compare-and-set", ifMatch: unquoted(etag) }), written, invokedAtMs }, answer);
  }

  /** `answer`: undefined if none came. */
  private note({ id: replica, region }: ReplicaProcess, asked: Pick<Operation, "client" | "kind" | "written" | "ifMatch" | "invokedAtMs">, answer: Answered | undefined): void {
    const outcome = outcomeOf(asked.kind, answer?.status, answer?.body["outcome"]);
    const sight = { found: answer?.status !== 404, fields: { description: String(answer?.body["description"]) }, ...(answer === undefined ? {} : { etag: unquoted(answer.etag) }) };
    this.operations.push({
      ...asked, id: ++this.asked, replica, region, level: "GLOBAL_QUORUM", subject: { page: "default", type: "component", id: this.id }, outcome,
      ...(answer === undefined ? {} : { status: answer.status, returnedAtMs: performance.now() }),
      ...(outcome === "ok" ? { returned: { sight } } : {}),
    });
  }

  async reaches(count: number, deadlineMs = 45_000): Promise<void> {
    await settled(`${count} operations are answered`, () => this.answered >= count, deadlineMs);
  }

  async stop(): Promise<void> {
    this.stopping = true;
    await Promise.all(this.running);
  }

  /** How many operations took effect or were refused for good. */
  get answered(): number {
    return this.operations.filter(({ outcome }) => outcome === "ok" || outcome === "precondition").length;
  }

  /** Whether some order of the operations explains what all clients saw; ETags too. */
  get verdict(): Verdict {
    const history: History = {
      format: HISTORY_FORMAT, run: { instrument: "test", seed: this.dice.seed }, replicas: [], faults: [], final: [],
      operations: [...this.operations].sort((a, b) => a.invokedAtMs - b.invokedAtMs),
    };
    return linearizability.check(history, CHECK_OPTIONS);
  }
}

function unquoted(etag: string): string {
  return etag.replace(/^"|"$/g, "");
}
