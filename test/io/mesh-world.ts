/** A world of gRPC meshes, each directed dial address behind a proxy of its own. */
import type { Random, Timers } from "../../src/core/ports.js";
import { GrpcMesh, type MeshBounds, type MeshLogEntry } from "../../src/io/grpc-mesh.js";
import type { MeshTls } from "../../src/io/grpc-mesh-streams.js";
import { systemRandom, systemTimers } from "../../src/io/system-clock.js";
import { LoopbackProxy } from "./loopback-proxy.js";
import type { TestAuthority } from "./mesh-certificates.js";
import { type JoinOptions, type MeshWorld, REPLICAS } from "./mesh-contract.js";

export interface GrpcWorldOptions {
  /** Plaintext without one. */
  readonly authority?: TestAuthority;
  readonly bounds?: Partial<MeshBounds>;
  readonly timers?: Timers;
  readonly random?: Random;
}

export class GrpcWorld implements MeshWorld {
  readonly log: (MeshLogEntry & { readonly replica: string })[] = [];
  private readonly meshes: GrpcMesh[] = [];
  private readonly proxies = new Map<string, LoopbackProxy>();

  private constructor(private readonly options: GrpcWorldOptions) {}

  static async create(options: GrpcWorldOptions = {}): Promise<GrpcWorld> {
    const world = new GrpcWorld(options);
    for (const from of REPLICAS) for (const to of REPLICAS) if (from !== to) world.proxies.set(`${from} ${to}`, await LoopbackProxy.listen());
    return world;
  }

  /** The proxy on the address that `from` dials to reach `to`. */
  proxy(from: string, to: string): LoopbackProxy {
    const proxy = this.proxies.get(`${from} ${to}`);
    if (proxy === undefined) throw new Error(`there is no proxy from ${from} to ${to}`);
    return proxy;
  }

  async join(replica: string, { named = replica, outboxBytes }: JoinOptions = {}): Promise<GrpcMesh> {
    const { authority, bounds, timers, random } = this.options;
    const tls: MeshTls | "off" = authority === undefined ? "off" : await authority.issue(named, replica);
    const others = REPLICAS.filter((other) => other !== replica);
    const mesh = new GrpcMesh({
      replica,
      listen: "127.0.0.1:0",
      peers: Object.fromEntries(others.map((other) => [other, { mesh: this.proxy(replica, other).address }])),
      tls,
      timers: timers ?? systemTimers,
      random: random ?? systemRandom,
      log: (entry) => {
        this.log.push({ ...entry, replica });
      },
      bounds: { ...bounds, ...(outboxBytes === undefined ? {} : { outboxBytes }) },
    });
    const open = mesh.open.bind(mesh);
    mesh.open = async (handler) => {
      await open(handler);
      for (const other of others) this.proxy(other, replica).target = mesh.address;
    };
    this.meshes.push(mesh);
    return mesh;
  }

  cut(a: string, b: string): void {
    this.proxy(a, b).cut();
    this.proxy(b, a).cut();
  }

  heal(a: string, b: string): void {
    this.proxy(a, b).heal();
    this.proxy(b, a).heal();
  }

  async close(): Promise<void> {
    await Promise.all(this.meshes.map((mesh) => mesh.close()));
    await Promise.all([...this.proxies.values()].map((proxy) => proxy.close()));
  }
}
