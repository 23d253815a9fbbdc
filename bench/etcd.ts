/** A peer: three members of etcd on this machine, spoken to through their HTTP gateway. */
import { existsSync } from "node:fs";
import path from "node:path";
import { Pool } from "undici";
import { Child, TemporaryFolder, until } from "./children.js";
import { freePorts } from "../chaos/free-ports.js";
import type { PreparedRequest } from "./http-connection.js";
import { LinkProxy } from "./link-proxy.js";
import { REGIONS, roundTripMs, type Region } from "./regions.js";

const program = process.env["BENCH_ETCD"] ?? "/usr/bin/etcd";

export const hasEtcd = (): boolean => existsSync(program);

const base64 = (text: string): string => Buffer.from(text).toString("base64");

export function putRequest(key: string, value: string): PreparedRequest {
  return { method: "POST", path: "/v3/kv/put", body: JSON.stringify({ key: base64(key), value: base64(value) }) };
}

export function rangeRequest(key: string): PreparedRequest {
  return { method: "POST", path: "/v3/kv/range", body: JSON.stringify({ key: base64(key) }) };
}

interface Status {
  readonly header: { readonly member_id: string };
  readonly leader: string;
}

export class Etcd {
  private readonly members = new Map<Region, { readonly child: Child; readonly pool: Pool; readonly base: string }>();
  private readonly proxies: LinkProxy[] = [];
  /** By member id in hex, as members name themselves to each other. */
  private readonly regionOf = new Map<string, Region>();

  private constructor(private readonly folder: TemporaryFolder) {}

  /** Three members with us-east as leader. `delayed`: the regions' round trips lie between them. */
  static async start(options: { readonly delayed: boolean }): Promise<Etcd> {
    const etcd = new Etcd(new TemporaryFolder());
    try {
      await etcd.startMembers(options.delayed);
      await etcd.leadFrom("us-east");
      return etcd;
    } catch (error) {
      await etcd[Symbol.asyncDispose]();
      throw error;
    }
  }

  private async startMembers(delayed: boolean): Promise<void> {
    const ports = await freePorts(2 * REGIONS.length);
    const places = await Promise.all(REGIONS.map(async (region, i) => {
      const [client = 0, peer = 0] = ports.slice(2 * i);
      return { region, client, peer, dialled: delayed ? await this.proxyTo(region, peer) : peer };
    }));
    const initial = places.map(({ region, dialled }) => `${region}=http://127.0.0.1:${dialled}`).join(",");
    for (const { region, client, peer, dialled } of places) {
      const base = `http://127.0.0.1:${client}`;
      const child = Child.spawn(`etcd (${region})`, program, [
        "--name", region, "--data-dir", path.join(this.folder.path, region), "--listen-client-urls", base, "--advertise-client-urls", base,
        "--listen-peer-urls", `http://127.0.0.1:${peer}`, "--initial-advertise-peer-urls", `http://127.0.0.1:${dialled}`, "--initial-cluster", initial,
        "--initial-cluster-token", "bench", "--initial-cluster-state", "new", "--logger", "zap", "--log-level", "error",
        // As etcd's tuning guide advises for such distances.
        ...(delayed ? ["--heartbeat-interval", "200", "--election-timeout", "2000"] : []),
      ]);
      this.members.set(region, { child, base, pool: new Pool(base, { connections: 16, pipelining: 1 }) });
    }
    await until("etcd has a leader", async () => {
      const statuses = await Promise.all(REGIONS.map((region) => this.status(region)));
      return statuses.every((status) => status !== undefined && status.leader !== undefined && status.leader !== "0");
    }, 30_000, 50);
    for (const region of REGIONS) {
      const status = await this.status(region);
      if (status !== undefined) this.regionOf.set(BigInt(status.header.member_id).toString(16), region);
    }
  }

  /** All others dial a member at one address; who dials shows in a header that members send. */
  private async proxyTo(region: Region, port: number): Promise<number> {
    const proxy = await LinkProxy.listen({
      delayMs: (firstBytes) => {
        const from = this.regionOf.get(/x-server-from: ([0-9a-f]+)/i.exec(firstBytes)?.[1] ?? "");
        return from === undefined ? 0 : roundTripMs(from, region) / 2;
      },
    });
    proxy.target = port;
    this.proxies.push(proxy);
    return proxy.port;
  }

  private async leadFrom(region: Region): Promise<void> {
    await until(`etcd's leader is in ${region}`, async () => {
      const wanted = (await this.status(region))?.header.member_id;
      const statuses = await Promise.all(REGIONS.map((name) => this.status(name)));
      if (statuses.every((status) => status?.leader === wanted)) return true;
      const leader = REGIONS.find((_, i) => statuses[i]?.header.member_id === statuses[i]?.leader);
      if (leader !== undefined) await this.call(leader, { method: "POST", path: "/v3/maintenance/transfer-leadership", body: JSON.stringify({ targetID: wanted }) });
      return false;
    }, 20_000, 500);
  }

  base(region: Region): string {
    return this.members.get(region)?.base ?? "";
  }

  async call(region: Region, { path: url, body }: PreparedRequest): Promise<{ readonly status: number; readonly text: string }> {
    const pool = this.members.get(region)?.pool;
    if (pool === undefined) throw new Error(`no member in ${region}`);
    const answer = await pool.request({ method: "POST", path: url, headers: { "content-type": "application/json" }, body: body ?? "{}", headersTimeout: 10_000 });
    return { status: answer.statusCode, text: await answer.body.text() };
  }

  private async status(region: Region): Promise<Status | undefined> {
    try {
      const { status, text } = await this.call(region, { method: "POST", path: "/v3/maintenance/status", body: "{}" });
      return status === 200 ? (JSON.parse(text) as Status) : undefined;
    } catch {
      // Not up yet.
      return undefined;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.allSettled([...this.members.values()].map(({ pool }) => pool.destroy()));
    await Promise.allSettled([...this.members.values()].map(({ child }) => child.stop()));
    await Promise.allSettled(this.proxies.map((proxy) => proxy[Symbol.asyncDispose]()));
    this.folder[Symbol.dispose]();
  }
}
