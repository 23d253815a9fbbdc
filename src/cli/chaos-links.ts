/** The links of a cluster that `up --chaos` runs: a proxy in front of each address that a replica dials, cut and slowed by name. */
import type { Config, Environment } from "../config.js";
import { LinkProxy } from "../io/link-proxy.js";

/** What to do to links. `names`: regions or replicas; none: every link; one: its links with all others; two: the links between them. */
export type ChaosOrder =
  | { readonly action: "cut" | "heal"; readonly names: readonly string[] }
  /** `delay_ms`: added to a round trip, half of it in each direction. */
  | { readonly action: "slow"; readonly names: readonly string[]; readonly delay_ms: number };

/** One dial address as `chaos status --json` shows it. */
export interface LinkState {
  /** The replica that dials, and its region. */
  readonly from: string;
  readonly from_region: string;
  readonly to: string;
  readonly to_region: string;
  readonly cut: boolean;
  /** Added to a round trip, ms. */
  readonly delay_ms: number;
  /** Open now; a pair of replicas has one, dialled by either of them. */
  readonly connections: number;
  /** Connections refused so far. */
  readonly refused: number;
  /** Bytes from the replica that dials, and to it, so far. */
  readonly bytes_sent: number;
  readonly bytes_received: number;
}

export const DELAY_MS_MAX = 60_000;
export const NAMES_MAX = 2;

interface End {
  readonly replica: string;
  readonly region: string;
}

interface Link {
  readonly from: End;
  readonly to: End;
  readonly proxy: LinkProxy;
}

export class ChaosLinks implements AsyncDisposable {
  private constructor(private readonly links: readonly Link[]) {}

  /** A proxy for every peer of every replica. Rejects, with nothing left open, if one cannot listen. */
  static async between(configs: readonly Config[]): Promise<ChaosLinks> {
    const avoid = new Set(configs.flatMap(({ http, mesh }) => [http.port, mesh.port]));
    const links: Link[] = [];
    try {
      for (const { replica, region, peers } of configs) {
        for (const [peer, { region: peerRegion, mesh }] of Object.entries(peers)) {
          const proxy = await LinkProxy.listen({ target: mesh, avoid });
          links.push({ from: { replica, region }, to: { replica: peer, region: peerRegion }, proxy });
        }
      }
    } catch (error) {
      await Promise.all(links.map(({ proxy }) => proxy[Symbol.asyncDispose]()));
      throw error;
    }
    return new ChaosLinks(links);
  }

  /** What makes a replica dial the proxies in place of its peers. */
  environmentOf(replica: string): Environment {
    const dialled = this.links.filter(({ from }) => from.replica === replica);
    return Object.fromEntries(dialled.map(({ to, proxy }) => [`STATUSMESH_PEER_${to.replica.replaceAll("-", "_").toUpperCase()}_MESH`, proxy.address]));
  }

  /** Does as ordered, and returns the links that it was done to; or a sentence why it cannot be done, and nothing was. */
  obey(order: ChaosOrder): readonly LinkState[] | string {
    const chosen = this.choose(order.names);
    if (typeof chosen === "string") return chosen;
    for (const { proxy } of chosen) {
      if (order.action === "cut") proxy.cut();
      if (order.action === "heal") proxy.heal();
      if (order.action === "cut") continue;
      for (const direction of [proxy.forth, proxy.back]) direction.delayMs = order.action === "slow" ? order.delay_ms / 2 : 0;
    }
    return chosen.map(stateOf);
  }

  states(): readonly LinkState[] {
    return this.links.map(stateOf);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.links.map(({ proxy }) => proxy[Symbol.asyncDispose]()));
  }

  private choose(names: readonly string[]): readonly Link[] | string {
    const ends = this.links.flatMap(({ from, to }) => [from, to]);
    const known = new Set(ends.flatMap(({ replica, region }) => [region, replica]));
    const unknown = names.find((name) => !known.has(name));
    if (unknown !== undefined) return `There is no region or replica ${JSON.stringify(unknown)}; there are ${[...known].join(", ")}.`;
    const [one, other] = names;
    if (one === undefined) return this.links;
    const chosen = this.links.filter(({ from, to }) =>
      other === undefined ? isOf(from, one) !== isOf(to, one) : (isOf(from, one) && isOf(to, other)) || (isOf(from, other) && isOf(to, one)),
    );
    if (chosen.length > 0) return chosen;
    return other === undefined ? `${one} has no link with any other.` : `There is no link between ${one} and ${other}.`;
  }
}

function isOf(end: End, name: string): boolean {
  return end.replica === name || end.region === name;
}

function stateOf({ from, to, proxy }: Link): LinkState {
  return {
    from: from.replica, from_region: from.region, to: to.replica, to_region: to.region,
    cut: proxy.isCut, delay_ms: proxy.forth.delayMs + proxy.back.delayMs,
    connections: proxy.open, refused: proxy.refused, bytes_sent: proxy.forth.bytes, bytes_received: proxy.back.bytes,
  };
}
