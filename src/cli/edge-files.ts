/** The edges that `up --edges` adds to the region files of a folder, and what the regions must be told of them. */
import { createServer } from "node:net";
import path from "node:path";
import type { Environment } from "../config.js";
import type { RegionFile } from "./region-files.js";
import { CommandFault } from "./terminal.js";

const PORT_MAX = 65_535;

/** A region file as one replica reads it: some of its settings come from the environment that the command makes. */
export interface PlacedFile extends RegionFile {
  readonly environment: Environment;
}

type Peers = Readonly<Record<string, unknown>>;

/** The files with `count` edges after them: `edge-1`, `edge-2` …, each on the next ports after those of the regions that nobody listens on. */
export async function withEdges(files: readonly RegionFile[], count: number): Promise<readonly PlacedFile[]> {
  const used = new Set(files.flatMap(({ values }) => [portOf(values["http"]), portOf(values["mesh"])]));
  const nextOf = async (name: "http" | "mesh"): Promise<string> => {
    for (let port = Math.max(...files.map(({ values }) => portOf(values[name]))) + 1; port <= PORT_MAX; port++) {
      if (used.has(port) || !(await isFree(port))) continue;
      used.add(port);
      return `127.0.0.1:${port}`;
    }
    throw new CommandFault([`No port is left for an edge's ${name}.`]);
  };
  const edges: { readonly replica: string; readonly http: string; readonly mesh: string }[] = [];
  for (let n = 1; n <= count; n++) edges.push({ replica: `edge-${n}`, http: await nextOf("http"), mesh: await nextOf("mesh") });
  const ofEdges = Object.fromEntries(edges.map(({ replica, http, mesh }) => [replica, { region: replica, role: "edge", mesh, http: `http://${http}` }]));
  const ofRegions = Object.fromEntries(files.map(({ values }) => [String(values["replica"]), { region: values["region"], mesh: values["mesh"], http: `http://${String(values["http"])}` }]));
  const [model] = files;
  return [
    ...files.map((file): PlacedFile => {
      const peers: Peers = count === 0 ? {} : { ...(file.values["peers"] as Peers | undefined), ...ofEdges };
      return count === 0 ? { ...file, environment: {} } : { file: file.file, values: { ...file.values, peers }, environment: { STATUSMESH_PEERS: JSON.stringify(peers) } };
    }),
    ...(model === undefined ? [] : edges.map(({ replica, http, mesh }): PlacedFile => ({
      // All else (cluster id, certificates, limits) is as in the first region's file.
      file: model.file,
      values: { ...model.values, replica, data: model.values["data"] === undefined ? undefined : path.join(path.dirname(String(model.values["data"])), replica), peers: ofRegions },
      environment: {
        STATUSMESH_REPLICA: replica, STATUSMESH_REGION: replica, STATUSMESH_ROLE: "edge", STATUSMESH_HTTP: http, STATUSMESH_MESH: mesh, STATUSMESH_PEERS: JSON.stringify(ofRegions),
      },
    }))),
  ];
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  const free = await new Promise<boolean>((resolve) => server.once("error", () => resolve(false)).listen(port, "127.0.0.1", () => resolve(true)));
  if (free) await new Promise((resolve) => server.close(resolve));
  return free;
}

function portOf(address: unknown): number {
  return Number(/:(\d{1,5})$/.exec(String(address))?.[1] ?? 0);
}
