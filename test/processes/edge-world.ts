/** A real edge beside three real regions. */
import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import type { Test } from "tap";
import { ReplicaProcess, type Json } from "../../chaos/replica-process.js";
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
}

export interface EdgeWorld {
  readonly world: World;
  readonly edge: ReplicaProcess;
  /** Starts the edge anew, with changed settings and where the regions listen by now. */
  restartEdge(changed?: Readonly<Record<string, Json>>): Promise<void>;
}

export async function worldWithEdge(t: Pick<Test, "teardown">, { settings = {}, edge: own = {}, way = (node) => node.meshPort }: EdgeWorldOptions = {}): Promise<EdgeWorld> {
  const world = await World.prepare(t, { settings: { tls: "off", ...settings } });
  for (const region of ["us-east", "eu-west", "ap-south"] as const) {
    const { peers } = await world.readConfig(region);
    await world.writeConfig(region, { peers: { ...(peers as { [id: string]: Json }), [EDGE]: { region: "an-edge", role: "edge", mesh: "127.0.0.1:9", http: "http://127.0.0.1:9" } } });
  }
  await world.startAll();
  const file = path.join(world.folder, "edge.json");
  const peersNow = () => Object.fromEntries(world.all.map((node) => [node.id, { region: node.region, mesh: `127.0.0.1:${way(node)}`, http: node.http }]));
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
  return { world, edge, restartEdge };
}
