/** Three regions as real processes of the built program: TLS, durable writes, keys; on free ports and in a folder of their own. */
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import path from "node:path";
import { Pool } from "undici";
import { makeCertificates } from "../src/io/certificates.js";
import { Child, TemporaryFolder, until } from "./children.js";
import { freePorts } from "../chaos/free-ports.js";
import { LinkProxy } from "./link-proxy.js";
import { processorMsOf } from "./processor-time.js";
import { REGIONS, roundTripMs, type Region } from "./regions.js";

const ROOT_KEY = "bench-root-key-0123456789abcdef";
const program = path.resolve(import.meta.dirname, "..", "dist", "program", "main.js");
/** Such as `--cpu-prof --cpu-prof-dir=profiles`: where does a region spend its time? */
const NODE_FLAGS = (process.env["BENCH_NODE_FLAGS"] ?? "").split(" ").filter((flag) => flag !== "");
/** What the limits on requests would otherwise cut off: they are there to be raised by who needs more. */
const RATE_LIMIT = { perKeyPerSecond: 1_000_000, perAddressPerSecond: 1_000_000 };

export const AUTHORIZATION = { authorization: `Bearer ${ROOT_KEY}` } as const;

/** About what an operator writes, and about as long. */
export const UPDATE_BODY = JSON.stringify({
  status: "investigating",
  body: "We are seeing elevated error rates on the API in one of our regions and are looking into the cause. Some customers may notice slow or failing requests; retries usually succeed. The next update follows within thirty minutes.",
});

export interface ClusterOptions {
  /** Links go through proxies: with the regions' round trips, or merely so that they can be cut. */
  readonly links?: "delayed" | "proxied" | "direct";
  /** Places of edges: each stands beside a region, and is linked with all of them. */
  readonly edges?: readonly Region[];
  /** Members of the region files beside the ones that the bench sets. */
  readonly settings?: Readonly<Record<string, unknown>>;
}

interface PeerState {
  readonly replica: string;
  readonly state: string;
  readonly in_sync: boolean;
  readonly rtt_ms: number | null;
  readonly unacknowledged_changes: number;
}

export interface ClusterState {
  readonly voting: boolean;
  readonly documents: number;
  readonly merkle_root: string;
  readonly vector: Readonly<Record<string, number>>;
  readonly degradation: { readonly level: number; readonly reasons: readonly string[] };
  readonly peers: readonly PeerState[];
}

export interface Answered<T> {
  readonly status: number;
  readonly etag: string;
  readonly token: string;
  readonly body: T;
}

export class RegionProcess {
  private child: Child | undefined;
  private pool: Pool | undefined;
  base = "";

  constructor(readonly region: Region, private readonly replica: string, private readonly file: string, readonly data: string) {}

  /** Starts and waits for the `listening` line; gives the ms that it took. */
  async start(): Promise<number> {
    const started = performance.now();
    const clean = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("STATUSMESH_")));
    this.child = Child.spawn(`statusmesh node (${this.replica})`, process.execPath, [...NODE_FLAGS, program, "node", "--config", this.file, "--data", this.data], {
      env: { ...clean, STATUSMESH_ROOT_KEY: ROOT_KEY }, channel: true,
    });
    const line = await this.child.says(/\{[^\n]*"event":"listening"[^\n]*\}/);
    const tookMs = performance.now() - started;
    this.base = `http://${(JSON.parse(line[0]) as { http: string }).http}`;
    this.pool = new Pool(this.base, { connections: 32, pipelining: 1 });
    return tookMs;
  }

  /** When it was first linked with a peer, by its log, ms since the epoch. */
  firstLinkAtMs(): number {
    const line = /\{[^\n]*"event":"peer-up"[^\n]*\}/.exec(this.child?.stdout ?? "");
    if (line === null) throw new Error(`${this.region} never said that a peer is up`);
    return Date.parse((JSON.parse(line[0]) as { time: string }).time);
  }

  async stop(): Promise<void> {
    await this.pool?.destroy();
    await this.child?.stop();
  }

  /** Resident memory, MiB. */
  residentMiB(): number {
    const status = readFileSync(`/proc/${this.child?.pid ?? 0}/status`, "utf8");
    return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1] ?? Number.NaN) / 1_024;
  }

  /** Processor time that it has used so far, user and system, ms. */
  processorMs(): number {
    return processorMsOf(this.child?.pid ?? 0);
  }

  /** Bytes of all files in the data folder. */
  diskBytes(): number {
    const files = readdirSync(this.data, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
    return files.reduce((sum, entry) => sum + statSync(path.join(entry.parentPath, entry.name)).size, 0);
  }

  async wipe(): Promise<void> {
    await rm(this.data, { recursive: true, force: true });
  }

  async call<T = { id: string }>(method: "GET" | "POST" | "PATCH" | "DELETE", url: string, options: { readonly body?: object | string; readonly headers?: Readonly<Record<string, string>> } = {}): Promise<Answered<T>> {
    if (this.pool === undefined) throw new Error(`${this.region} does not run`);
    const { body, headers } = options;
    const answer = await this.pool.request({
      method, path: url, headers: { ...AUTHORIZATION, ...(body === undefined ? {} : { "content-type": "application/json" }), ...headers },
      body: body === undefined ? null : typeof body === "string" ? body : JSON.stringify(body),
    });
    const text = await answer.body.text();
    const header = (name: string): string => String(answer.headers[name] ?? "");
    return { status: answer.statusCode, etag: header("etag"), token: header("session-token"), body: (text === "" ? null : JSON.parse(text)) as T };
  }

  /** The text of a public page. */
  async page(url: string): Promise<string> {
    if (this.pool === undefined) throw new Error(`${this.replica} does not run`);
    const { statusCode, body } = await this.pool.request({ method: "GET", path: url });
    const text = await body.text();
    if (statusCode !== 200) throw new Error(`${url} at ${this.replica} was answered ${statusCode}`);
    return text;
  }

  async state(): Promise<ClusterState> {
    return (await this.call<ClusterState>("GET", "/v1/cluster")).body;
  }

  /** Opens incidents; gives their ids. */
  async openIncidents(count: number): Promise<readonly string[]> {
    return Promise.all(Array.from({ length: count }, async (_, i) => {
      const { status, body } = await this.call("POST", "/v1/pages/default/incidents", { body: { name: `Slow answers ${i}` } });
      if (status !== 201) throw new Error(`an incident was answered ${status}: ${JSON.stringify(body)}`);
      return body.id;
    }));
  }
}

const edgeOf = (place: Region): string => `edge-${place}-1`;

/** Ports of a region on loopback. */
interface Places {
  readonly mesh: number;
  readonly http: number;
}

/** Puts a proxy before each of the ports by which one region dials another. */
async function proxied(places: Places, delayMs: number, opened: (kind: string, proxy: LinkProxy) => void): Promise<Places> {
  const proxyTo = async (kind: "mesh" | "http"): Promise<number> => {
    const proxy = await LinkProxy.listen({ delayMs: () => delayMs });
    proxy.target = places[kind];
    opened(kind, proxy);
    return proxy.port;
  };
  return { mesh: await proxyTo("mesh"), http: await proxyTo("http") };
}

/** A replica of the cluster: a region's, or an edge. */
interface Member {
  readonly replica: string;
  /** The region in whose place it stands, which says how far it is from others. */
  readonly place: Region;
  readonly role: "region" | "edge";
}

export class Cluster {
  private constructor(
    private readonly folder: TemporaryFolder,
    private readonly processes: ReadonlyMap<string, RegionProcess>,
    private readonly proxies: ReadonlyMap<string, LinkProxy>,
  ) {}

  /** Started, linked, and voting. */
  static async start(options: ClusterOptions = {}): Promise<Cluster> {
    const folder = new TemporaryFolder();
    const { links = "direct", edges = [] } = options;
    const members: readonly Member[] = [
      ...REGIONS.map((place): Member => ({ replica: `${place}-1`, place, role: "region" })), ...edges.map((place): Member => ({ replica: edgeOf(place), place, role: "edge" })),
    ];
    const free = await freePorts(2 * members.length);
    const portsOf = (member: Member): Places => ({ mesh: free[2 * members.indexOf(member)] ?? 0, http: free[2 * members.indexOf(member) + 1] ?? 0 });
    const certificates = await makeCertificates(path.join(folder.path, "certificates"), members.map(({ replica }) => replica));
    const proxies = new Map<string, LinkProxy>();
    const processes = new Map<string, RegionProcess>();
    for (const member of members) {
      const { replica, place, role } = member;
      const region = role === "edge" ? `edge-${place}` : place;
      const peers: Record<string, object> = {};
      // Edges are linked with regions, not with each other.
      for (const other of members.filter((one) => one !== member && (role === "region" || one.role === "region"))) {
        const { mesh, http } = links === "direct" ? portsOf(other) : await proxied(portsOf(other), links === "delayed" ? roundTripMs(place, other.place) / 2 : 0, (kind, proxy) => void proxies.set(`${region} ${other.place} ${kind} ${other.role}`, proxy));
        peers[other.replica] = { region: other.role === "edge" ? `edge-${other.place}` : other.place, role: other.role, mesh: `127.0.0.1:${mesh}`, http: `http://127.0.0.1:${http}` };
      }
      const tls = certificates.find((one) => one.replica === replica);
      const data = path.join(folder.path, "data", replica);
      const file = path.join(folder.path, `${replica}.json`);
      writeFileSync(file, JSON.stringify({
        replica, region, role, http: `127.0.0.1:${portsOf(member).http}`, mesh: `127.0.0.1:${portsOf(member).mesh}`, data, peers,
        clusterId: "bench", tls: { ca: tls?.ca, cert: tls?.cert, key: tls?.key }, rateLimit: RATE_LIMIT, ...options.settings,
      }));
      processes.set(replica, new RegionProcess(place, replica, file, data));
    }
    const cluster = new Cluster(folder, processes, proxies);
    try {
      await Promise.all([...processes.values()].map((process) => process.start()));
      await cluster.linked();
    } catch (error) {
      await cluster[Symbol.asyncDispose]();
      throw error;
    }
    return cluster;
  }

  at(region: Region): RegionProcess {
    return this.process(`${region}-1`);
  }

  /** The edge that stands beside a region. */
  edge(place: Region): RegionProcess {
    return this.process(edgeOf(place));
  }

  private process(replica: string): RegionProcess {
    const process = this.processes.get(replica);
    if (process === undefined) throw new Error(`no replica ${replica}`);
    return process;
  }

  /** Until every region votes and sees all others and the edges. */
  async linked(): Promise<void> {
    await until("all regions are linked and vote", async () => {
      const states = await Promise.all(REGIONS.map((region) => this.at(region).state()));
      return states.every((state) => state.voting && state.peers.every((peer) => peer.state === "up"));
    });
  }

  /** Until `regions` hold the same; gives the ms that it took. */
  async equal(regions: readonly Region[] = REGIONS, withinMs = 120_000): Promise<number> {
    return until("the regions are equal", async () => {
      const states = await Promise.all(regions.map((region) => this.at(region).state()));
      return new Set(states.map((state) => state.merkle_root)).size === 1;
    }, withinMs);
  }

  /** Cuts a region off from all others, in both directions of dialling. */
  isolate(region: Region): void {
    for (const [name, proxy] of this.proxies) if (name.split(" ").includes(region)) proxy.cut();
  }

  heal(): void {
    for (const proxy of this.proxies.values()) proxy.heal();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.allSettled([...this.processes.values()].map((process) => process.stop()));
    await Promise.allSettled([...this.proxies.values()].map((proxy) => proxy[Symbol.asyncDispose]()));
    this.folder[Symbol.dispose]();
  }
}
