/**
 * `up --chaos` and the `chaos` commands: the one runs a Toxiproxy server whose address, with a secret path, stands in a private file
 * beside the data; the others are clients of it. Signals to replicas are further routes of the same server.
 */
import { readFile, rename, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { Toxiproxy } from "toxiproxy-node-client";
import type { Config, Environment } from "../config.js";
import { makeFolder } from "../io/data-folder.js";
import { pause, systemRandom } from "../io/system-clock.js";
import { type RouteAnswer, ToxiproxyServer } from "../io/toxiproxy-server.js";
import { chosenLinks, dialledThrough, type Link, LinkOrders, type LinkState, linksBetween } from "./chaos-links.js";
import { CommandFault } from "./terminal.js";

/** The server does its part in less; a command must not hang on a process that is stopped. */
const ANSWER_MS = 10_000;

/** What to do to links. `names`: regions or replicas; none: every link; one: its links with all others; two: the links between them. */
export type LinkOrder =
  | { readonly action: "cut" | "heal"; readonly names: readonly string[] }
  /** `delayMs`: added to a round trip, half of it in each direction. */
  | { readonly action: "slow"; readonly names: readonly string[]; readonly delayMs: number };

export const REPLICA_ACTIONS = { kill: "SIGKILL", pause: "SIGSTOP", resume: "SIGCONT" } as const;
export type ReplicaAction = keyof typeof REPLICA_ACTIONS;

/** A replica that can be sent signals. */
export interface Signalled {
  readonly replica: string;
  readonly region: string;
  /** False if it does not run just now. */
  readonly signal: (name: (typeof REPLICA_ACTIONS)[ReplicaAction]) => boolean;
}

interface Access {
  /** Of the Toxiproxy server, with its secret path. */
  readonly url: string;
  readonly links: readonly Link[];
  readonly replicas: readonly { readonly replica: string; readonly region: string }[];
}

export function chaosFile(dataFolder: string): string {
  return path.join(dataFolder, "chaos.json");
}

/** The end that `up --chaos` runs. */
export class ChaosControl implements AsyncDisposable {
  private signalled: readonly Signalled[] = [];
  private file: string | undefined;

  private constructor(
    private readonly server: ToxiproxyServer,
    private readonly links: readonly Link[],
    private readonly listen: ReadonlyMap<string, string>,
  ) {}

  /** A server with a proxy for every peer of every replica. Rejects, with nothing left open, if one cannot listen. */
  static async between(configs: readonly Config[]): Promise<ChaosControl> {
    const avoid = new Set(configs.flatMap(({ http, mesh }) => [http.port, mesh.port]));
    const secretPath = Buffer.from(systemRandom.bytes(24)).toString("base64url");
    // Known only after the server: the routes ask for it.
    const made: { control?: ChaosControl } = {};
    const server = await ToxiproxyServer.listen({ avoid, secretPath, further: (method, parts) => made.control?.signal(method, parts) });
    try {
      const links = linksBetween(configs);
      const proxies = await new Toxiproxy(server.url).populate(
        configs.flatMap(({ replica, peers }) => Object.entries(peers).map(([peer, { mesh }]) => ({ name: `${replica}-to-${peer}`, listen: "127.0.0.1:0", upstream: `${mesh.host}:${mesh.port}` }))),
      );
      made.control = new ChaosControl(server, links, new Map(Object.values(proxies).map(({ name, listen }) => [name, listen])));
      return made.control;
    } catch (error) {
      await server[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** What makes a replica dial the proxies in place of its peers. */
  environmentOf(replica: string): Environment {
    return dialledThrough(this.links, replica, (proxy) => this.listen.get(proxy) ?? "");
  }

  /** Says in `chaos.json`, readable by this user only, where orders are taken. */
  async announce(dataFolder: string, signalled: readonly Signalled[]): Promise<void> {
    this.signalled = signalled;
    const file = chaosFile(dataFolder);
    const access: Access = { url: this.server.url, links: this.links, replicas: signalled.map(({ replica, region }) => ({ replica, region })) };
    await makeFolder(dataFolder);
    await rm(`${file}.new`, { force: true });
    await writeFile(`${file}.new`, `${JSON.stringify(access)}\n`, { mode: 0o600, flag: "wx" });
    await rename(`${file}.new`, file);
    this.file = file;
  }

  /** Takes the file away: no more orders. The proxies go on until the replicas have ended. */
  async withdraw(): Promise<void> {
    if (this.file === undefined) return;
    const said = await readFile(this.file, "utf8").catch(() => "");
    if (said.includes(this.server.url)) await rm(this.file, { force: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.withdraw();
    await this.server[Symbol.asyncDispose]();
  }

  /** `POST /replicas/<replica>/kill|pause|resume`. */
  private signal(method: string, [room, replica, action, ...rest]: readonly string[]): RouteAnswer | undefined {
    if (room !== "replicas") return undefined;
    const found = this.signalled.find((one) => one.replica === replica);
    if (found === undefined || rest.length > 0 || !isReplicaAction(action)) return { status: 404, body: { error: "not found", status: 404 } };
    if (method !== "POST") return { status: 405, body: { error: "method not allowed", status: 405 } };
    return found.signal(REPLICA_ACTIONS[action]) ? { status: 204 } : { status: 409, body: { error: `${found.replica} does not run just now`, status: 409 } };
  }
}

function isReplicaAction(text: string | undefined): text is ReplicaAction {
  return text !== undefined && Object.hasOwn(REPLICA_ACTIONS, text);
}

/** Gives an order, or with none asks for the state, and returns the links concerned. Throws a `CommandFault`. */
export async function askLinks(dataFolder: string, order?: LinkOrder): Promise<readonly LinkState[]> {
  const file = chaosFile(dataFolder);
  const access = await accessIn(file);
  const chosen = chosenLinks(access.links, order?.names ?? []);
  if (typeof chosen === "string") throw new CommandFault([chosen]);
  const orders = new LinkOrders(access.url);
  return await answered(file, access, async () => {
    if (order?.action === "cut") await orders.cut(chosen);
    if (order?.action === "heal") await orders.heal(chosen);
    if (order?.action === "slow") await orders.slow(chosen, order.delayMs);
    return await orders.states(chosen);
  });
}

/** Sends a signal to a replica, or to all of a region, and returns their ids. Throws a `CommandFault`. */
export async function askReplicas(dataFolder: string, action: ReplicaAction, name: string): Promise<readonly string[]> {
  const file = chaosFile(dataFolder);
  const access = await accessIn(file);
  const chosen = access.replicas.filter(({ replica, region }) => replica === name || region === name).map(({ replica }) => replica);
  const known = new Set(access.replicas.flatMap(({ replica, region }) => [region, replica]));
  if (chosen.length === 0) throw new CommandFault([`There is no region or replica ${JSON.stringify(name)}; there are ${[...known].join(", ")}.`]);
  const api = new Toxiproxy(access.url).getApi();
  await answered(file, access, async () => {
    for (const replica of chosen) {
      await api.post(`${access.url}/replicas/${replica}/${action}`).catch((error: unknown) => {
        if (String(error).includes("409")) throw new CommandFault([`${replica} does not run just now; up starts it again within seconds.`]);
        throw error;
      });
    }
  });
  return chosen;
}

async function answered<T>(file: string, access: Access, work: () => Promise<T>): Promise<T> {
  const { origin } = new URL(access.url);
  try {
    return await Promise.race([work(), pause(ANSWER_MS).then(() => Promise.reject(new Error("fetch failed")))]);
  } catch (error) {
    if (error instanceof CommandFault) throw error;
    const message = error instanceof Error ? error.message : String(error);
    if (/status code/.test(message)) throw new CommandFault([`${origin} refuses: ${message}.`]);
    throw new CommandFault([`Nothing answers at ${origin}, which ${file} names: the cluster that wrote it is gone. Start one with: statusmesh up --chaos`]);
  }
}

async function accessIn(file: string): Promise<Access> {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (code !== "ENOENT" && code !== "ENOTDIR") throw new CommandFault([`${file} cannot be read: ${error instanceof Error ? error.message : String(error)}.`]);
    throw new CommandFault([`There is no ${file}: no cluster with chaos runs on this data folder. Start one with statusmesh up --chaos, or name its folder with --data.`]);
  }
  try {
    const { url, links, replicas } = JSON.parse(text) as Partial<Access>;
    if (typeof url === "string" && /^http:\/\/127\.0\.0\.1:\d+\/[\w-]+$/.test(url) && Array.isArray(links) && Array.isArray(replicas)) return { url, links, replicas };
  } catch {
    // Said below.
  }
  throw new CommandFault([`${file} is damaged: it names no address and links.`]);
}
