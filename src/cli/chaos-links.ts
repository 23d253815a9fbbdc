/** The links of a cluster behind a Toxiproxy server: one proxy in front of each address that a replica dials, cut and slowed by name. */
import { type Proxy as LinkProxy, Toxiproxy } from "toxiproxy-node-client";
import type { Environment } from "../config.js";

/** One directed link: who dials whom through which proxy. */
export interface Link {
  readonly proxy: string;
  /** The replica that dials, and its region. */
  readonly from: string;
  readonly from_region: string;
  readonly to: string;
  readonly to_region: string;
}

/** One dial address as `chaos status --json` shows it. */
export interface LinkState extends Link {
  readonly cut: boolean;
  /** Added to a round trip, ms. */
  readonly delay_ms: number;
  /** Names of all toxics. */
  readonly toxics: readonly string[];
  /** Open now; a pair of replicas has one, dialled by either of them. These four are zero with a server that does not count. */
  readonly connections: number;
  /** Connections refused so far. */
  readonly refused: number;
  /** Bytes from the replica that dials, and to it, so far. */
  readonly bytes_sent: number;
  readonly bytes_received: number;
}

export const DELAY_MS_MAX = 60_000;
const STREAMS = ["upstream", "downstream"] as const;

/** What a replica must have for its links: the parts of a `Config` that count here. */
export interface Member {
  readonly replica: string;
  readonly region: string;
  readonly peers: Readonly<Record<string, { readonly region: string }>>;
}

export function linksBetween(members: readonly Member[]): readonly Link[] {
  return members.flatMap(({ replica, region, peers }) =>
    Object.entries(peers).map(([peer, { region: peerRegion }]) => ({ proxy: `${replica}-to-${peer}`, from: replica, from_region: region, to: peer, to_region: peerRegion })),
  );
}

/** What makes a replica dial the proxies in place of its peers; `listen` gives the address of a proxy by its name. */
export function dialledThrough(links: readonly Link[], replica: string, listen: (proxy: string) => string): Environment {
  const dialled = links.filter(({ from }) => from === replica);
  return Object.fromEntries(dialled.map(({ to, proxy }) => [`STATUSMESH_PEER_${to.replaceAll("-", "_").toUpperCase()}_MESH`, listen(proxy)]));
}

/** The links that names (of regions or replicas) mean: none, all of them; one, its links with all others; two, those between them. A sentence if there is no such. */
export function chosenLinks(links: readonly Link[], names: readonly string[]): readonly Link[] | string {
  const known = new Set(links.flatMap((link) => [link.from_region, link.from, link.to_region, link.to]));
  const unknown = names.find((name) => !known.has(name));
  if (unknown !== undefined) return `There is no region or replica ${JSON.stringify(unknown)}; there are ${[...known].join(", ")}.`;
  const [one, other] = names;
  if (one === undefined) return links;
  const isFrom = (link: Link, name: string): boolean => link.from === name || link.from_region === name;
  const isTo = (link: Link, name: string): boolean => link.to === name || link.to_region === name;
  const chosen = links.filter((link) =>
    other === undefined ? isFrom(link, one) !== isTo(link, one) : (isFrom(link, one) && isTo(link, other)) || (isFrom(link, other) && isTo(link, one)),
  );
  if (chosen.length > 0) return chosen;
  return other === undefined ? `${one} has no link with any other.` : `There is no link between ${one} and ${other}.`;
}

interface ShownProxy {
  readonly name: string;
  readonly enabled: boolean;
  readonly toxics: readonly { readonly name: string; readonly type: string; readonly attributes: Readonly<Record<string, unknown>> }[];
  readonly traffic?: { readonly connections: number; readonly refused: number; readonly upstreamBytes: number; readonly downstreamBytes: number };
}

/** Orders for the proxies of links, given to a Toxiproxy server. What it rejects with is a `ToxiproxyError`. */
export class LinkOrders {
  private readonly client: Toxiproxy;

  /** `url`: the server's, without a slash at its end. */
  constructor(private readonly url: string) {
    this.client = new Toxiproxy(url);
  }

  async cut(links: readonly Link[]): Promise<void> {
    await Promise.all(links.map(async (link) => await this.enable(await this.client.get(link.proxy), false)));
  }

  /** Undoes cuts, and takes all toxics away. */
  async heal(links: readonly Link[]): Promise<void> {
    await Promise.all(
      links.map(async (link) => {
        const proxy = await this.client.get(link.proxy);
        await this.clear(proxy);
        if (!proxy.enabled) await this.enable(proxy, true);
      }),
    );
  }

  /** Adds a delay to a round trip, half of it in each direction, in place of an earlier one. */
  async slow(links: readonly Link[], delayMs: number): Promise<void> {
    await Promise.all(
      links.map(async (link) => {
        const proxy = await this.client.get(link.proxy);
        if (!proxy.enabled) await this.enable(proxy, true);
        const present = (await this.toxicsOf(proxy)).map(({ name }) => name);
        for (const stream of STREAMS) {
          const name = `slow_${stream}`;
          if (present.includes(name)) await (await proxy.getToxic(name)).remove();
          if (delayMs > 0) await proxy.addToxic({ name, type: "latency", stream, toxicity: 1, attributes: { latency: delayMs / 2, jitter: 0 } });
        }
      }),
    );
  }

  async states(links: readonly Link[]): Promise<readonly LinkState[]> {
    const { data } = await this.client.getApi().get<Readonly<Record<string, ShownProxy>>>(`${this.url}/proxies`);
    return links.flatMap((link) => {
      const shown = data[link.proxy];
      return shown === undefined ? [] : [stateOf(link, shown)];
    });
  }

  private async enable(proxy: LinkProxy, enabled: boolean): Promise<void> {
    await proxy.update({ enabled, listen: proxy.listen, upstream: proxy.upstream });
  }

  private async clear(proxy: LinkProxy): Promise<void> {
    for (const { name } of await this.toxicsOf(proxy)) await (await proxy.getToxic(name)).remove();
  }

  private async toxicsOf(proxy: LinkProxy): Promise<ShownProxy["toxics"]> {
    return (await this.client.getApi().get<ShownProxy["toxics"]>(`${proxy.getPath()}/toxics`)).data;
  }
}

function stateOf(link: Link, { enabled, toxics, traffic }: ShownProxy): LinkState {
  const latencies = toxics.filter(({ type }) => type === "latency").map(({ attributes }) => Number(attributes["latency"] ?? 0));
  return {
    ...link,
    cut: !enabled, delay_ms: latencies.reduce((sum, ms) => sum + ms, 0), toxics: toxics.map(({ name }) => name),
    connections: traffic?.connections ?? 0, refused: traffic?.refused ?? 0, bytes_sent: traffic?.upstreamBytes ?? 0, bytes_received: traffic?.downstreamBytes ?? 0,
  };
}
