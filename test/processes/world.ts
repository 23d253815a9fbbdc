/**
 * Three regions as real processes on loopback: certificates made by the command, data in a temporary folder, and on each directed
 * link of the mesh a proxy that the test owns. Nothing is left behind, also when a test fails.
 */
import { execFile } from "node:child_process";
import { rmSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { LinkProxy } from "./link-proxy.js";
import { ensureBuilt } from "../../chaos/built-program.js";
import { bareNode, command, environmentOf, ReplicaProcess, type Json } from "../../chaos/replica-process.js";
import { settled } from "../../chaos/waiting.js";

export type RegionName = "us-east" | "eu-west" | "ap-south";
const REGIONS: readonly RegionName[] = ["us-east", "eu-west", "ap-south"];
const run = promisify(execFile);

export interface WorldOptions {
  /** Settings of every region file. */
  readonly settings?: Readonly<Record<string, Json>>;
  readonly environment?: (region: RegionName, folder: string) => Readonly<Record<string, string>>;
}

/** Of tap's test object: what a world needs. */
interface Owner {
  teardown(end: () => Promise<void>): void;
}

const living = new Set<World>();
process.on("exit", () => {
  for (const world of living) world.abandon();
});
for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) process.once(signal, () => process.exit(1));

export { settled };

export class World {
  private readonly nodes = new Map<RegionName, ReplicaProcess>();
  /** By dialling and dialled region. */
  private readonly proxies = new Map<string, LinkProxy>();

  private constructor(
    readonly folder: string,
    private readonly options: WorldOptions,
  ) {}

  /** Starts the three regions and waits until all vote and see each other. */
  static async start(owner: Owner, options: WorldOptions = {}): Promise<World> {
    const world = await World.prepare(owner, options);
    await world.startAll();
    await world.voting();
    return world;
  }

  /** The files and the proxies, and nothing running. */
  static async prepare(owner: Owner, options: WorldOptions = {}): Promise<World> {
    await ensureBuilt();
    const world = new World(await mkdtemp(path.join(tmpdir(), "statusmesh-processes-")), options);
    living.add(world);
    owner.teardown(() => world.close());
    await world.lay();
    return world;
  }

  private async lay(): Promise<void> {
    for (const from of REGIONS) for (const to of REGIONS) if (from !== to) this.proxies.set(`${from} ${to}`, await LinkProxy.listen());
    for (const region of REGIONS) await this.writeConfig(region);
    await run(...bareNode([command, "certs", "--out", this.certificates, "--regions", this.folder]), { env: environmentOf() });
  }

  get certificates(): string {
    return path.join(this.folder, "certificates");
  }

  configFile(region: RegionName): string {
    return path.join(this.folder, `${region}.json`);
  }

  /** Writes a region file, with settings over the usual ones. */
  async writeConfig(region: RegionName, settings: Readonly<Record<string, Json>> = {}): Promise<void> {
    const peers = REGIONS.filter((other) => other !== region).map((other) => {
      const mesh = `127.0.0.1:${this.link(region, other).port}`;
      // Nobody forwards between regions: the address only has to be one.
      return [`${other}-1`, { region: other, mesh, http: `http://127.0.0.1:${REGIONS.indexOf(other) + 1}` }] as const;
    });
    const certificate = (suffix: string): string => path.join(this.certificates, `${region}-1${suffix}.pem`);
    await writeFile(this.configFile(region), JSON.stringify({
      replica: `${region}-1`, region, role: "region", http: "127.0.0.1:0", mesh: "127.0.0.1:0", data: this.dataFolder(region),
      peers: Object.fromEntries(peers), antiEntropyIntervalMs: 300_000, clusterId: "process-tests", allowPrivateTargets: true,
      tls: { ca: path.join(this.certificates, "ca.pem"), cert: certificate(""), key: certificate("-key") },
      ...this.options.settings, ...settings,
    }));
  }

  async readConfig(region: RegionName): Promise<{ [name: string]: Json }> {
    return JSON.parse(await readFile(this.configFile(region), "utf8")) as { [name: string]: Json };
  }

  dataFolder(region: RegionName): string {
    return path.join(this.folder, "data", `${region}-1`);
  }

  /** The process of a region, started or not. */
  node(region: RegionName): ReplicaProcess {
    const known = this.nodes.get(region);
    if (known !== undefined) return known;
    const made = new ReplicaProcess(`${region}-1`, region, this.configFile(region), this.dataFolder(region), this.options.environment?.(region, this.folder) ?? {});
    this.nodes.set(region, made);
    return made;
  }

  get us(): ReplicaProcess {
    return this.node("us-east");
  }
  get eu(): ReplicaProcess {
    return this.node("eu-west");
  }
  get ap(): ReplicaProcess {
    return this.node("ap-south");
  }
  get all(): readonly ReplicaProcess[] {
    return REGIONS.map((region) => this.node(region));
  }

  /** Starts one region; the proxies lead to it from then on. */
  async startOne(region: RegionName, ...args: readonly string[]): Promise<void> {
    const node = this.node(region);
    await node.start(...args);
    for (const from of REGIONS) if (from !== region) this.link(from, region).leadTo(node.meshPort);
  }

  async startAll(): Promise<void> {
    await Promise.all(REGIONS.filter((region) => !this.node(region).runs).map((region) => this.startOne(region)));
  }

  async killAll(): Promise<void> {
    await Promise.all(this.all.map((node) => node.kill()));
  }

  /** The proxy on the address that `from` dials to reach `to`. */
  link(from: RegionName, to: RegionName): LinkProxy {
    const proxy = this.proxies.get(`${from} ${to}`);
    if (proxy === undefined) throw new Error(`there is no link from ${from} to ${to}`);
    return proxy;
  }

  private pair(a: RegionName, b: RegionName): readonly LinkProxy[] {
    return [this.link(a, b), this.link(b, a)];
  }

  /** Cuts both dial addresses of a pair. */
  cut(a: RegionName, b: RegionName): void {
    for (const proxy of this.pair(a, b)) proxy.cut();
  }

  /** Cuts a region off from the two others. */
  isolate(region: RegionName): void {
    for (const other of REGIONS) if (other !== region) this.cut(region, other);
  }

  /** Delays what `from` sends to `to`, whoever dialled. */
  delay(from: RegionName, to: RegionName, ms: number): void {
    this.link(from, to).delay("upstream", ms);
    this.link(to, from).delay("downstream", ms);
  }

  /** Swallows what `from` sends to `to`; the connection stays. */
  swallow(from: RegionName, to: RegionName): void {
    this.link(from, to).swallow("upstream");
    this.link(to, from).swallow("downstream");
  }

  heal(): void {
    for (const proxy of this.proxies.values()) proxy.heal();
  }

  /** Waits until every replica votes and sees every other. */
  async voting(deadlineMs = 45_000): Promise<void> {
    await settled("all replicas vote and see each other", async () => {
      const seen = await Promise.all(this.all.map((node) => node.cluster()));
      if (seen.every((cluster) => cluster.voting && cluster.peers.every((peer) => peer.state === "up"))) return true;
      throw new Error(seen.map(({ replica, voting, peers }) => `${replica} ${voting ? "votes" : "does not vote"} and sees ${peers.map((peer) => `${peer.replica} ${peer.state}`).join(", ")}`).join("; "));
    }, deadlineMs);
  }

  /** Waits until all replicas hold the same. */
  async converged(deadlineMs = 45_000): Promise<void> {
    await settled("all replicas hold the same", async () => {
      const seen = await Promise.all(this.all.map((node) => node.cluster()));
      return new Set(seen.map(({ merkle_root }) => merkle_root)).size === 1;
    }, deadlineMs);
  }

  async close(): Promise<void> {
    await Promise.all([...this.nodes.values()].map((node) => node.dispose()));
    await Promise.all([...this.proxies.values()].map((proxy) => proxy.close()));
    await rm(this.folder, { recursive: true, force: true });
    living.delete(this);
  }

  /** The last resort when this process ends in the middle of a test. */
  abandon(): void {
    for (const node of this.nodes.values()) node.signal("SIGKILL");
    // The killed processes may still be writing for a moment.
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
  }
}
