/**
 * The load of a scenario: clients at each level, with sessions that move between regions, compare-and-set races, requests repeated
 * in two regions at once, edits against deletions, resolutions, lists. All choices come from one seeded generator.
 */
import { setMaxListeners } from "node:events";
import { pause } from "../src/io/system-clock.js";
import type { Conflict } from "../src/sim/history.js";
import { Client, type ResourceType } from "./client.js";
import { Dice } from "./dice.js";
import type { Recorder } from "./recorder.js";
import type { Json, Level, ReplicaProcess } from "./replica-process.js";
import type { ChaosWorld, RegionName } from "./world.js";

export interface WorkloadOptions {
  /** Clients that work at LOCAL (and LOCAL_QUORUM), and at GLOBAL_QUORUM, for each region. */
  readonly localClients?: number;
  readonly quorumClients?: number;
  /** Mean pause between two requests of a client, ms. */
  readonly pauseMs?: number;
  /** `Quorum-Timeout` of every request; 5,000 if it says nothing, as the API has it. */
  readonly quorumTimeoutMs?: number;
}

const STATUSES = ["operational", "degraded_performance", "partial_outage", "major_outage"] as const;
const IMPACTS = ["minor", "major", "critical"] as const;
/** Resources that are worked on at a time; older ones are left alone. */
const POOL = { component: 6, incident: 6, "component-group": 4 } as const;
/** Groups that exist at a time, or may: lists at GLOBAL_QUORUM must fit on one page to count as one operation. */
const GROUPS_MAX = 80;

export class Workload {
  private readonly dice: Dice;
  private readonly stopping = new AbortController();
  private readonly running: Promise<void>[] = [];
  private readonly pools: Record<ResourceType, string[]> = { component: [], incident: [], "component-group": [] };
  private readonly avoided = new Set<RegionName>();
  private groups = 0;
  private texts = 0;

  constructor(
    private readonly world: ChaosWorld,
    private readonly recorder: Recorder,
    seed: number,
    private readonly options: WorkloadOptions,
  ) {
    this.dice = new Dice(seed);
    // Every client waits on it.
    setMaxListeners(0, this.stopping.signal);
    for (const region of world.regions) {
      for (let i = 0; i < (options.localClients ?? 3); i++) this.running.push(this.session(`${region}/local-${i}`, region));
      for (let i = 0; i < (options.quorumClients ?? 2); i++) this.running.push(this.quorum(`${region}/quorum-${i}`, region));
    }
    this.running.push(this.twins());
  }

  get answered(): number {
    return this.recorder.operations.filter(({ outcome }) => outcome === "ok").length;
  }

  /** No client goes there until it is let in again. */
  avoid(region: RegionName, isAvoided: boolean): void {
    if (isAvoided) this.avoided.add(region);
    else this.avoided.delete(region);
  }

  async stop(): Promise<void> {
    this.stopping.abort();
    await Promise.all(this.running);
  }

  private client(name: string, session: string | undefined): Client {
    return new Client(this.recorder, name, session, this.options.quorumTimeoutMs ?? 5_000);
  }

  /** Unique in the run. */
  private text(what: string): string {
    this.texts++;
    return `${what} ${this.texts}`;
  }

  private async rest(): Promise<void> {
    await pause(this.dice.below(2 * (this.options.pauseMs ?? 60)), this.stopping.signal);
  }

  private open(): readonly RegionName[] {
    return this.world.regions.filter((region) => !this.avoided.has(region));
  }

  /** A client at LOCAL, at home in a region, that goes elsewhere now and then and takes its session along. */
  private async session(name: string, home: RegionName): Promise<void> {
    const client = this.client(name, name);
    let region = home;
    while (!this.stopping.signal.aborted) {
      await this.rest();
      if (this.dice.uniform() < 0.1 || this.avoided.has(region)) region = this.dice.pick(this.open());
      const node = this.world.node(region);
      // To a process that is not there nobody can send; that it does not answer is for others to measure.
      if (!node.runs) {
        await pause(100, this.stopping.signal);
        region = this.dice.pick(this.open());
        continue;
      }
      const { operation } = await this.localStep(client, node);
      if (operation.outcome === "unreachable") await pause(100, this.stopping.signal);
    }
  }

  private async localStep(client: Client, node: ReplicaProcess): ReturnType<Client["ask"]> {
    const level: Level = this.dice.uniform() < 0.2 ? "LOCAL_QUORUM" : "LOCAL";
    const type: ResourceType = this.dice.uniform() < 0.5 ? "component" : "incident";
    const pool = this.pools[type];
    const choice = this.dice.uniform();
    // Few new ones: what checking a session costs grows with requests times resources.
    if (pool.length === 0 || (pool.length < POOL[type] && choice < 0.06) || choice < 0.01) return await this.create(client, node, type, level);
    const id = this.dice.pick(pool);
    if (choice < 0.3) return await client.ask(node, { kind: "read", type, id, method: "GET", level });
    if (choice < 0.36) return await client.ask(node, { kind: "list", type, method: "GET", tail: "?limit=100", level });
    if (choice < 0.38) return await client.ask(node, { kind: "history", type, id, method: "GET", tail: "/history?limit=100", level });
    if (choice < 0.39) return await this.remove(client, node, type, id, level);
    if (choice < 0.48) return await this.resolve(client, node, type, id, level);
    return type === "component" ? await this.editComponent(client, node, id, level) : await this.editIncident(client, node, id, level);
  }

  private async create(client: Client, node: ReplicaProcess, type: ResourceType, level: Level, idempotencyKey?: string, name = this.text("name")): ReturnType<Client["ask"]> {
    const again = idempotencyKey === undefined ? {} : { idempotencyKey };
    const told = await client.ask(node, { kind: "create", type, method: "POST", body: { name }, level, written: { fields: { name } }, ...again });
    const id = told.operation.subject.id;
    if (told.operation.outcome === "ok" && id !== undefined && !this.pools[type].includes(id)) {
      this.pools[type].push(id);
      if (this.pools[type].length > POOL[type]) this.pools[type].shift();
    }
    return told;
  }

  private async remove(client: Client, node: ReplicaProcess, type: ResourceType, id: string, level: Level): ReturnType<Client["ask"]> {
    this.pools[type] = this.pools[type].filter((other) => other !== id);
    return await client.ask(node, { kind: "delete", type, id, method: "DELETE", level });
  }

  private async editComponent(client: Client, node: ReplicaProcess, id: string, level: Level): ReturnType<Client["ask"]> {
    const choice = this.dice.uniform();
    const fields: { [name: string]: Json } = choice < 0.35 ? { name: this.text("name") } : choice < 0.7 ? { description: this.text("description") } : { status: this.dice.pick(STATUSES) };
    return await client.ask(node, { kind: "update", type: "component", id, method: "PATCH", body: fields, level, written: { fields } });
  }

  private async editIncident(client: Client, node: ReplicaProcess, id: string, level: Level): ReturnType<Client["ask"]> {
    const choice = this.dice.uniform();
    if (choice < 0.5) {
      const body = this.text("update");
      return await client.ask(node, { kind: "post-update", type: "incident", id, method: "POST", tail: "/updates", body: { body }, level, written: { added: { updates: [body] } } });
    }
    if (choice < 0.8) return await this.label(client, node, id, level);
    const fields: { [name: string]: Json } = choice < 0.9 ? { name: this.text("name") } : { impact_override: this.dice.pick(IMPACTS) };
    return await client.ask(node, { kind: "update", type: "incident", id, method: "PATCH", body: fields, level, written: { fields } });
  }

  /**
   * A PATCH names all labels that are to be there. With `If-Match` that is exactly the difference to what was seen; without it a label that
   * somebody has removed in the meantime would be added again.
   */
  private async label(client: Client, node: ReplicaProcess, id: string, level: Level): ReturnType<Client["ask"]> {
    const seen = await client.ask(node, { kind: "read", type: "incident", id, method: "GET", level });
    const { sets, etag: ifMatch } = seen.operation.returned?.sight ?? {};
    const labels = sets?.["labels"];
    if (labels === undefined || ifMatch === undefined) return seen;
    if (labels.length > 0 && this.dice.uniform() < 0.4) {
      const gone = this.dice.pick(labels);
      return await client.ask(node, { kind: "remove-label", type: "incident", id, method: "PATCH", body: { labels: labels.filter((label) => label !== gone) }, level, ifMatch, written: { removed: { labels: [gone] } } });
    }
    const label = this.text("label");
    return await client.ask(node, { kind: "add-label", type: "incident", id, method: "PATCH", body: { labels: [...labels, label] }, level, ifMatch, written: { added: { labels: [label] } } });
  }

  private async resolve(client: Client, node: ReplicaProcess, type: ResourceType, id: string, level: Level): ReturnType<Client["ask"]> {
    const told = await client.ask(node, { kind: "conflicts", type, id, method: "GET", tail: "/conflicts", level });
    const open = (told.operation.returned?.conflicts ?? []).filter(({ field }) => ["name", "description", "status", "impact_override"].includes(field));
    if (open.length === 0) return told;
    const { field, values }: Conflict = this.dice.pick(open);
    const { value } = this.dice.pick(values);
    return await client.ask(node, { kind: "resolve", type, id, method: "POST", tail: `/conflicts/${field}/resolve`, body: { value: value as Json }, level, written: { fields: { [field]: value } } });
  }

  /** A client at GLOBAL_QUORUM: the resources that it works on are written at no other level. */
  private async quorum(name: string, region: RegionName): Promise<void> {
    const client = this.client(name, undefined);
    while (!this.stopping.signal.aborted) {
      await this.rest();
      await this.rest();
      const node = this.world.node(region);
      if (!node.runs || this.avoided.has(region)) {
        await pause(100, this.stopping.signal);
        continue;
      }
      const { operation } = await this.quorumStep(client, node);
      if (operation.outcome !== "ok") await pause(150, this.stopping.signal);
    }
  }

  private async quorumStep(client: Client, node: ReplicaProcess): ReturnType<Client["ask"]> {
    const type = "component-group";
    const level = "GLOBAL_QUORUM";
    const pool = this.pools[type];
    const choice = this.dice.uniform();
    if ((pool.length === 0 || (pool.length < POOL[type] && choice < 0.05)) && this.groups < GROUPS_MAX) {
      this.groups++;
      return await this.create(client, node, type, level);
    }
    if (choice < 0.1 || pool.length === 0) return await client.ask(node, { kind: "list", type, method: "GET", tail: "?limit=100", level });
    const id = this.dice.pick(pool);
    if (choice < 0.115) {
      const told = await this.remove(client, node, type, id, level);
      if (told.operation.outcome === "ok") this.groups--;
      return told;
    }
    if (choice < 0.45) return await client.ask(node, { kind: "read", type, id, method: "GET", level });
    const fields = { description: this.text("description") };
    if (choice < 0.7) return await client.ask(node, { kind: "update", type, id, method: "PATCH", body: fields, level, written: { fields } });
    const seen = await client.ask(node, { kind: "read", type, id, method: "GET", level });
    const ifMatch = seen.operation.returned?.sight?.etag;
    if (ifMatch === undefined) return seen;
    return await client.ask(node, { kind: "compare-and-set", type, id, method: "PATCH", body: fields, level, written: { fields }, ifMatch });
  }

  /** One request, with one Idempotency-Key, in two regions at the same time. */
  private async twins(): Promise<void> {
    const clients = [this.client("twin-a", undefined), this.client("twin-b", undefined)] as const;
    while (!this.stopping.signal.aborted) {
      await pause(1_000 + this.dice.below(1_000), this.stopping.signal);
      const able = this.open().filter((region) => this.world.node(region).runs);
      if (able.length < 2) continue;
      const [one, other] = [this.dice.pick(able), this.dice.pick(able)];
      const key = this.text("key").replace(" ", "-");
      const name = this.text("name");
      const type = this.dice.pick(["component", "incident"] as const);
      await Promise.all([this.create(clients[0], this.world.node(one), type, "LOCAL", key, name), this.create(clients[1], this.world.node(other), type, "LOCAL", key, name)]);
    }
  }
}
