/** Load on real replicas: clients that note what was acknowledged to them, and randomness whose seed is printed. */
import { Dice } from "../../chaos/dice.js";
import { explain, type Operation } from "./linearizability.js";
import { settled, type World } from "./world.js";
import type { Answered, Json, Level, ReplicaProcess } from "../../chaos/replica-process.js";

export { Dice };

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

  async reaches(count: number, deadlineMs = 20_000): Promise<void> {
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
  readonly history: Operation[] = [];
  private readonly running: Promise<void>[] = [];
  private stopping = false;
  private counter = 0;

  private constructor(
    private readonly route: string,
    private readonly dice: Dice,
  ) {}

  static async start(nodes: readonly ReplicaProcess[], clientsPerNode: number, dice: Dice): Promise<RegisterClients> {
    const [first] = nodes;
    if (first === undefined) throw new Error("no replicas");
    const id = created(await first.post(COMPONENTS, { name: "register", description: "0" }, { level: "GLOBAL_QUORUM" }));
    const clients = new RegisterClients(`${COMPONENTS}/${id}`, dice);
    for (const node of nodes) for (let client = 0; client < clientsPerNode; client++) clients.running.push(clients.work(node));
    return clients;
  }

  private async work(node: ReplicaProcess): Promise<void> {
    while (!this.stopping) {
      await this.operate(node).catch(() => undefined);
      await new Promise((resolve) => setTimeout(resolve, this.dice.below(30)));
    }
  }

  private async operate(node: ReplicaProcess): Promise<void> {
    const options = { level: "GLOBAL_QUORUM", quorumTimeout: 1_500, patienceMs: 8_000 } as const;
    const choice = this.dice.uniform();
    const seen = choice < 0.4 ? undefined : await this.read(node, options);
    if (choice >= 0.7 || (choice >= 0.4 && seen === undefined)) return;
    const value = String(++this.counter);
    const startMs = performance.now();
    try {
      const answer = await node.patch(this.route, { description: value }, { ...options, ...(seen === undefined ? {} : { ifMatch: seen.etag }) });
      const endMs = performance.now();
      if (answer.status === 200) this.history.push(seen === undefined ? { kind: "write", value, startMs, endMs } : { kind: "swap", from: seen.value, value, startMs, endMs });
      else if (answer.status === 412 && seen !== undefined) this.history.push({ kind: "refusal", from: seen.value, startMs, endMs });
      else if (answer.body["outcome"] !== "rejected") this.uncertain(value, seen?.value, startMs);
    } catch {
      // No answer came: it may have been written.
      this.uncertain(value, seen?.value, startMs);
    }
  }

  private uncertain(value: string, from: string | undefined, startMs: number): void {
    const endMs = Number.POSITIVE_INFINITY;
    this.history.push(from === undefined ? { kind: "write", value, startMs, endMs } : { kind: "swap", from, value, startMs, endMs });
  }

  private async read(node: ReplicaProcess, options: { readonly level: Level; readonly quorumTimeout: number; readonly patienceMs: number }): Promise<{ value: string; etag: string } | undefined> {
    const startMs = performance.now();
    const answer = await node.get(this.route, options);
    if (answer.status !== 200) return undefined;
    const value = String(answer.body["description"]);
    this.history.push({ kind: "read", value, startMs, endMs: performance.now() });
    return { value, etag: answer.etag };
  }

  async reaches(count: number, deadlineMs = 20_000): Promise<void> {
    await settled(`${count} operations are answered`, () => this.history.filter(({ endMs }) => endMs !== Number.POSITIVE_INFINITY).length >= count, deadlineMs);
  }

  async stop(): Promise<void> {
    this.stopping = true;
    await Promise.all(this.running);
  }

  get answered(): number {
    return this.history.filter(({ endMs }) => endMs !== Number.POSITIVE_INFINITY).length;
  }

  /** True if some order of the operations explains what all clients saw. */
  get isLinearizable(): boolean {
    return explain("0", this.history) !== undefined;
  }
}
