/** Three regions that watch: their HTTP addresses are known to each other, through proxies that can be cut, and a target tells them apart. */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { freePort } from "../../chaos/free-ports.js";
import { LinkProxy } from "./link-proxy.js";
import type { Json, ReplicaProcess } from "../../chaos/replica-process.js";
import { World, type RegionName } from "./world.js";

export const REGIONS: readonly RegionName[] = ["us-east", "eu-west", "ap-south"];

interface Owner {
  teardown(end: () => Promise<void>): void;
}

/** An HTTP server that can fail for all, or for what comes from one region. */
export class Target {
  /** Answers 503 to all. */
  isDown = false;
  /** Breaks off what comes from these. */
  readonly unreachableFrom = new Set<RegionName>();
  readonly asked = new Map<string, number>();
  private readonly server: Server;

  private constructor() {
    this.server = createServer((request, response) => {
      const region = REGIONS.find((name) => request.headers["user-agent"]?.includes(name) === true);
      this.asked.set(region ?? "", (this.asked.get(region ?? "") ?? 0) + 1);
      if (region !== undefined && this.unreachableFrom.has(region)) {
        request.socket.destroy();
        return;
      }
      response.statusCode = this.isDown ? 503 : 200;
      response.end("hello");
    });
  }

  static async listen(owner: Owner): Promise<Target> {
    const target = new Target();
    await new Promise<void>((resolve) => target.server.listen(0, "127.0.0.1", resolve));
    owner.teardown(async () => {
      target.server.closeAllConnections();
      await new Promise((resolve) => target.server.close(resolve));
    });
    return target;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}/`;
  }
}

export class WatchWorld {
  private constructor(
    readonly world: World,
    private readonly uplinks: ReadonlyMap<string, LinkProxy>,
  ) {}

  static async start(owner: Owner): Promise<WatchWorld> {
    const world = await World.prepare(owner);
    const uplinks = new Map<string, LinkProxy>();
    owner.teardown(async () => void (await Promise.all([...uplinks.values()].map((proxy) => proxy.close()))));
    const ports = new Map<RegionName, number>();
    for (const region of REGIONS) ports.set(region, await freePort());
    for (const region of REGIONS) {
      const config = await world.readConfig(region);
      const peers: { [name: string]: Json } = {};
      for (const other of REGIONS) {
        if (other === region) continue;
        const proxy = await LinkProxy.listen();
        proxy.leadTo(ports.get(other) ?? 1);
        uplinks.set(`${region} ${other}`, proxy);
        const peer = (config["peers"] as { [name: string]: { [name: string]: Json } })[`${other}-1`] ?? {};
        peers[`${other}-1`] = { ...peer, http: `http://127.0.0.1:${proxy.port}` };
      }
      await world.writeConfig(region, { http: `127.0.0.1:${ports.get(region) ?? 0}`, peers });
    }
    await world.startAll();
    await world.voting();
    return new WatchWorld(world, uplinks);
  }

  /** Nothing that the region asks over HTTP arrives; its links to the other regions break too. */
  cutUplink(region: RegionName): void {
    this.world.isolate(region);
    for (const [name, proxy] of this.uplinks) if (name.startsWith(`${region} `)) proxy.cut();
  }

  heal(): void {
    this.world.heal();
    for (const proxy of this.uplinks.values()) proxy.heal();
  }
}

export async function list(node: ReplicaProcess, route: string): Promise<{ [name: string]: Json }[]> {
  const { body, status } = await node.get(route);
  if (status !== 200) throw new Error(`${route}: ${status}`);
  return body["data"] as { [name: string]: Json }[];
}
