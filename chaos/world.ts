/**
 * A cluster of real `statusmesh node` processes on loopback, with a proxy on each directed link of the mesh. The proxies belong to a
 * Toxiproxy server, ours or the one that TOXIPROXY_URL names, and are reached through its client only.
 */
import { rmSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { Toxiproxy } from "toxiproxy-node-client";
import { type Link, LinkOrders, linksBetween } from "../src/cli/chaos-links.js";
import { dominates } from "../src/core/vector.js";
import { makeCertificates } from "../src/io/certificates.js";
import { ToxiproxyServer } from "../src/io/toxiproxy-server.js";
import { ensureBuilt } from "./built-program.js";
import { Reach } from "./reach.js";
import type { Interval, Recorder } from "./recorder.js";
import { type Json, ReplicaProcess } from "./replica-process.js";
import { settled } from "./waiting.js";

export const REGIONS = ["us-east", "eu-west", "ap-south", "sa-east", "af-south"] as const;
export type RegionName = (typeof REGIONS)[number];

export interface WorldOptions {
  /** How many regions, of one replica each. */
  readonly regions?: number;
  /** Settings of every region file, over the usual ones. */
  readonly settings?: Readonly<Record<string, Json>>;
  readonly environment?: (region: RegionName) => Readonly<Record<string, string>>;
}

/** A toxic as it is put on one direction between two regions. */
export interface WayToxic {
  readonly type: "latency" | "bandwidth" | "timeout" | "slicer" | "limit_data" | "corrupt" | "reset_peer" | "slow_close";
  readonly attributes: Readonly<Record<string, number>>;
  readonly toxicity?: number;
}

const LISTENING_MS = 60_000;
const living = new Set<ChaosWorld>();
process.on("exit", () => {
  for (const world of living) world.abandon();
});

export class ChaosWorld {
  readonly regions: readonly RegionName[];
  /** When a replica does not serve; for LOCAL requests. */
  readonly unavailable: Interval[] = [];
  /** What was said of processes that ended though nobody had ended them. */
  readonly endedByThemselves: string[] = [];
  readonly reach: Reach;
  private readonly nodes = new Map<RegionName, ReplicaProcess>();
  private readonly down = new Map<RegionName, Interval>();
  private server: ToxiproxyServer | undefined;
  private client = new Toxiproxy("");
  private orders = new LinkOrders("");
  private links: readonly Link[] = [];
  private readonly prefix = `chaos-${process.pid}-`;

  private constructor(
    readonly folder: string,
    readonly recorder: Recorder,
    private readonly options: WorldOptions,
  ) {
    this.regions = REGIONS.slice(0, options.regions ?? 3);
    this.reach = new Reach(this.regions, () => recorder.now());
  }

  /** Starts all regions and waits until all vote and see each other. */
  static async start(recorder: Recorder, options: WorldOptions = {}): Promise<ChaosWorld> {
    await ensureBuilt();
    const world = new ChaosWorld(await mkdtemp(path.join(tmpdir(), "statusmesh-chaos-")), recorder, options);
    living.add(world);
    try {
      await world.lay();
      await Promise.all(world.regions.map((region) => world.startNode(region)));
      await world.voting(60_000);
      return world;
    } catch (error) {
      await world.close();
      throw error;
    }
  }

  private async lay(): Promise<void> {
    const url = process.env["TOXIPROXY_URL"];
    if (url === undefined) this.server = await ToxiproxyServer.listen();
    const address = this.server?.url ?? url ?? "";
    this.client = new Toxiproxy(address);
    this.orders = new LinkOrders(address);
    const others = (one: RegionName): [string, { region: string }][] => this.regions.filter((other) => other !== one).map((other) => [`${other}-1`, { region: other }]);
    const named = linksBetween(this.regions.map((one) => ({ replica: `${one}-1`, region: one, peers: Object.fromEntries(others(one)) })));
    this.links = named.map((link) => ({ ...link, proxy: `${this.prefix}${link.proxy}` }));
    // Nobody listens at port 1; the address is told when the replica has one.
    const proxies = await this.client.populate(this.links.map(({ proxy }) => ({ name: proxy, listen: "127.0.0.1:0", upstream: "127.0.0.1:1" })));
    const listen = new Map(Object.values(proxies).map((proxy) => [proxy.name, proxy.listen]));
    await makeCertificates(path.join(this.folder, "certificates"), this.regions.map((one) => `${one}-1`));
    for (const one of this.regions) {
      // Nobody forwards between regions over HTTP, which no proxy could cut: the address only has to be one.
      const peers = this.links.filter(({ from_region }) => from_region === one).map((link) => [link.to, { region: link.to_region, mesh: listen.get(link.proxy) ?? "", http: `http://127.0.0.1:${1 + REGIONS.indexOf(link.to_region as RegionName)}` }] as const);
      const certificate = (suffix: string): string => path.join(this.folder, "certificates", `${one}-1${suffix}.pem`);
      await writeFile(this.configFile(one), JSON.stringify({
        replica: `${one}-1`, region: one, role: "region", http: "127.0.0.1:0", mesh: "127.0.0.1:0", data: this.dataFolder(one), peers: Object.fromEntries(peers),
        antiEntropyIntervalMs: 300_000, clusterId: "chaos", allowPrivateTargets: true,
        tls: { ca: path.join(this.folder, "certificates", "ca.pem"), cert: certificate(""), key: certificate("-key") },
        ...this.options.settings,
      }));
      this.nodes.set(one, new ReplicaProcess(`${one}-1`, one, this.configFile(one), this.dataFolder(one), { STATUSMESH_TEST_DISK_FULL_FILE: this.diskFullFile(one), ...this.options.environment?.(one) }));
    }
  }

  private configFile(region: RegionName): string {
    return path.join(this.folder, `${region}.json`);
  }

  dataFolder(region: RegionName): string {
    return path.join(this.folder, "data", `${region}-1`);
  }

  /** While it is there, writes of that region's disk fail. */
  diskFullFile(region: RegionName): string {
    return path.join(this.folder, `${region}-disk-full`);
  }

  get offersCorruption(): boolean {
    return this.server !== undefined;
  }

  node(region: RegionName): ReplicaProcess {
    const node = this.nodes.get(region);
    if (node === undefined) throw new Error(`there is no region ${region}`);
    return node;
  }

  get all(): readonly ReplicaProcess[] {
    return this.regions.map((region) => this.node(region));
  }

  isServing(region: RegionName): boolean {
    return !this.down.has(region);
  }

  // Processes

  /** Starts a region's process; the proxies lead to it from then on. */
  async startNode(region: RegionName, ...args: readonly string[]): Promise<void> {
    const node = this.node(region);
    this.stirs(region);
    await node.startWithin(LISTENING_MS, ...args);
    const upstream = `127.0.0.1:${node.meshPort}`;
    await Promise.all(
      this.links.filter(({ to_region }) => to_region === region).map(async ({ proxy }) => {
        const { listen, enabled } = await this.client.get(proxy);
        await (await this.client.get(proxy)).update({ listen, enabled, upstream });
      }),
    );
    this.serves(region);
    void node.exit.then(({ code, signal }) => {
      if (!this.isServing(region) || !living.has(this)) return;
      this.endedByThemselves.push(`${node.id} ended with ${signal ?? `exit code ${code}`} at ${(this.recorder.now() / 1_000).toFixed(1)} s: ${node.stderr.trim().slice(-2_000)} ${JSON.stringify(node.log.at(-1) ?? {})}`);
      this.stops(region);
    });
  }

  /** Notes that a region does not serve from now on. `isGone`: its process does nothing any more at all. */
  stops(region: RegionName, isGone = true): void {
    this.reach.stops(region, isGone);
    this.recorder.changed();
    if (this.down.has(region)) return;
    const interval = { replica: `${region}-1`, fromMs: this.recorder.now(), untilMs: Number.POSITIVE_INFINITY };
    this.down.set(region, interval);
    this.unavailable.push(interval);
  }

  /** Notes that it may take part again from now on, before it serves. */
  stirs(region: RegionName): void {
    this.reach.stirs(region);
    this.recorder.changed();
  }

  /** Notes that it does again. */
  serves(region: RegionName): void {
    const interval = this.down.get(region);
    if (interval !== undefined) interval.untilMs = this.recorder.now();
    this.down.delete(region);
    this.reach.serves(region);
    this.recorder.changed();
  }

  // Links

  private between(a: RegionName, b: RegionName): readonly Link[] {
    return this.links.filter(({ from_region: from, to_region: to }) => (from === a && to === b) || (from === b && to === a));
  }

  /** Cuts both dial addresses of pairs. */
  async cut(pairs: readonly (readonly [RegionName, RegionName])[]): Promise<void> {
    this.doubt(pairs);
    await this.orders.cut(pairs.flatMap(([a, b]) => this.between(a, b)));
    this.reach.cut(pairs);
    this.recorder.changed();
  }

  /** Undoes cuts and takes toxics away: of pairs, or of all links. */
  async heal(pairs?: readonly (readonly [RegionName, RegionName])[]): Promise<void> {
    this.reach.opens(pairs);
    await this.orders.heal(pairs?.flatMap(([a, b]) => this.between(a, b)) ?? this.links);
    this.reach.heals(pairs);
    this.recorder.changed();
  }

  /** Puts a toxic on what `from` sends to `to`, whoever dialled; `untilHealed` it stays. A one-way cut takes the majority of neither side away by itself. */
  async poison(from: RegionName, to: RegionName, toxic: WayToxic): Promise<void> {
    await Promise.all(
      this.between(from, to).map(async (link) => {
        const stream = link.from_region === from ? "upstream" : "downstream";
        const body = { name: `${toxic.type}_${stream}`, type: toxic.type, stream, toxicity: toxic.toxicity ?? 1, attributes: toxic.attributes };
        // The client's types know no extension.
        await (await this.client.get(link.proxy)).addToxic(body as Parameters<Awaited<ReturnType<Toxiproxy["get"]>>["addToxic"]>[0]);
      }),
    );
  }

  /** Notes that nobody can count on the links of pairs, until they are healed. */
  doubt(pairs: readonly (readonly [RegionName, RegionName])[]): void {
    this.reach.doubt(pairs);
    this.recorder.changed();
  }

  /** Connections refused so far, over all proxies; undefined with a server that does not count. */
  async refused(): Promise<number> {
    return (await this.orders.states(this.links)).reduce((sum, { refused }) => sum + refused, 0);
  }

  // Waiting

  /** Waits until every replica votes and sees every other. */
  async voting(deadlineMs = 30_000): Promise<void> {
    await settled("all replicas vote and see each other", async () => {
      const seen = await Promise.all(this.all.map((node) => node.cluster()));
      if (seen.every((cluster) => cluster.voting && cluster.peers.every((peer) => peer.state === "up"))) return true;
      throw new Error(seen.map(({ replica, voting, peers }) => `${replica} ${voting ? "votes" : "does not vote"} and sees ${peers.map((peer) => `${peer.replica} ${peer.state}`).join(", ")}`).join("; "));
    }, deadlineMs);
  }

  /** Waits until all replicas hold the same; gives the moment, or undefined if the deadline passed. */
  async converged(deadlineMs: number): Promise<number | undefined> {
    try {
      await settled("all replicas hold the same", async () => new Set((await Promise.all(this.all.map((node) => node.cluster()))).map(({ merkle_root }) => merkle_root)).size === 1, deadlineMs);
      return this.recorder.now();
    } catch {
      return undefined;
    }
  }

  /** Waits until all others hold what a region holds now: under load there may be no moment at which nothing is on its way. */
  async replicated(region: RegionName, deadlineMs = 30_000): Promise<void> {
    const { vector } = await this.node(region).cluster();
    await settled(`what ${region} holds is everywhere`, async () => {
      const others = await Promise.all(this.all.filter((node) => node.region !== region).map((node) => node.cluster()));
      return others.every((other) => dominates(other.vector, vector));
    }, deadlineMs);
  }

  /** Said twice, it does nothing. */
  async close(): Promise<void> {
    if (!living.delete(this)) return;
    // What is paused hears SIGKILL too.
    await Promise.all([...this.nodes.values()].map((node) => node.dispose()));
    if (this.server === undefined) for (const { proxy } of this.links) await (await this.client.get(proxy)).remove().catch(() => undefined);
    await this.server?.[Symbol.asyncDispose]();
    await rm(this.folder, { recursive: true, force: true, maxRetries: 5 });
  }

  /** The last resort when this process ends in the middle. */
  abandon(): void {
    for (const node of this.nodes.values()) node.signal("SIGKILL");
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
  }
}
