/** A real edge beside three real regions. */
import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import type { Test } from "tap";
import { ReplicaProcess, type Json } from "../../chaos/replica-process.js";
import { LinkProxy } from "./link-proxy.js";
import { World } from "./world.js";

/** Its id sorts before those of the regions, so it dials them, and they need not know where it listens. */
export const EDGE = "an-edge-1";

export interface EdgeWorldOptions {
  /** Settings of every replica. */
  readonly settings?: Readonly<Record<string, Json>>;
  /** Settings of the edge. */
  readonly edge?: Readonly<Record<string, Json>>;
  /** The port by which the edge reaches a region's mesh; its own unless told. */
  readonly way?: (node: ReplicaProcess) => number;
  /** The edge dials proxies, whose addresses stay. */
  readonly front?: true;
}

export interface EdgeWorld {
  readonly world: World;
  readonly edge: ReplicaProcess;
  /** Starts the edge anew, with changed settings and where the regions listen by now. */
  restartEdge(changed?: Readonly<Record<string, Json>>): Promise<void>;
  /** With `front`: where regions that were started anew listen by now; the edge finds them without a restart. */
  lead(): void;
  /** With `front`: the edge reaches no region, neither its mesh nor its HTTP. */
  cutEdge(): void;
  healEdge(): void;
}

/** What the edge dials for one region. */
interface Front {
  readonly mesh: LinkProxy;
  readonly http: LinkProxy;
}

export async function worldWithEdge(t: Pick<Test, "teardown">, { settings = {}, edge: own = {}, way = (node) => node.meshPort, front }: EdgeWorldOptions = {}): Promise<EdgeWorld> {
  const world = await World.prepare(t, { settings: { tls: "off", ...settings } });
  for (const region of ["us-east", "eu-west", "ap-south"] as const) {
    const { peers } = await world.readConfig(region);
    await world.writeConfig(region, { peers: { ...(peers as { [id: string]: Json }), [EDGE]: { region: "an-edge", role: "edge", mesh: "127.0.0.1:9", http: "http://127.0.0.1:9" } } });
  }
  await world.startAll();
  const file = path.join(world.folder, "edge.json");
  const fronts = new Map<string, Front>();
  t.teardown(() => Promise.all([...fronts.values()].flatMap(({ mesh, http }) => [mesh.close(), http.close()])));
  if (front) for (const { id } of world.all) fronts.set(id, { mesh: await LinkProxy.listen(), http: await LinkProxy.listen() });
  const lead = (): void => {
    for (const node of world.all) {
      fronts.get(node.id)?.mesh.leadTo(node.meshPort);
      fronts.get(node.id)?.http.leadTo(Number(new URL(node.http).port));
    }
  };
  lead();
  const ofEdge = (act: (way: LinkProxy) => void) => (): void => {
    for (const { mesh, http } of fronts.values()) for (const one of [mesh, http]) act(one);
  };
  const peersNow = () => Object.fromEntries(world.all.map((node) => {
    const proxies = fronts.get(node.id);
    return [node.id, { region: node.region, mesh: `127.0.0.1:${proxies?.mesh.port ?? way(node)}`, http: proxies === undefined ? node.http : `http://127.0.0.1:${proxies.http.port}` }];
  }));
  const data = path.join(world.folder, "data", EDGE);
  await writeFile(file, JSON.stringify({
    replica: EDGE, region: "an-edge", role: "edge", http: "127.0.0.1:0", mesh: "127.0.0.1:0", data, peers: peersNow(), clusterId: "process-tests", tls: "off", ...settings, ...own,
  }));
  const edge = new ReplicaProcess(EDGE, "an-edge", file, data, {});
  t.teardown(() => edge.dispose());
  await edge.start();
  await world.voting(30_000);
  const restartEdge = async (changed: Readonly<Record<string, Json>> = {}): Promise<void> => {
    await edge.stop();
    await writeFile(file, JSON.stringify({ ...(JSON.parse(await readFile(file, "utf8")) as object), peers: peersNow(), ...changed }));
    await edge.start();
  };
  return { world, edge, restartEdge, lead, cutEdge: ofEdge((one) => one.cut()), healEdge: ofEdge((one) => one.heal()) };
}
