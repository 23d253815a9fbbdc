/** Replicas as real processes on ports and folders of their own, and clients that check what every answer must have. */
import { spawn, type ChildProcess } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { Agent } from "undici";
import { ensureBuilt } from "../../chaos/built-program.js";
import { freePort } from "../../chaos/free-ports.js";
import { command } from "../../chaos/replica-process.js";
import { Client } from "./contract-client.js";
import { readDescription, type Description } from "./description.js";

const START_MS = 90_000;
const STOP_MS = 12_000;
const REGIONS = ["us-east", "eu-west", "ap-south"] as const;
export type RegionName = (typeof REGIONS)[number];

export const ROOT_KEY = "the-root-key-of-the-contract-tests";

interface Process {
  readonly region: RegionName;
  readonly child: ChildProcess;
  readonly base: string;
  readonly ended: Promise<unknown>;
}

export interface WorldOptions {
  /** The regions that run; the cluster has three in any case. */
  readonly running?: readonly RegionName[];
  readonly settings?: Readonly<Record<string, unknown>>;
}

export class World {
  private readonly agent = new Agent({ keepAliveTimeout: 1_000, connections: 64 });
  private constructor(
    private readonly folder: string,
    private readonly processes: readonly Process[],
    private description: Description | undefined,
  ) {}

  /** Starts the replicas and waits until those that run see each other. */
  static async start({ running = ["us-east"], settings = {} }: WorldOptions = {}): Promise<World> {
    const folder = await mkdtemp(path.join(tmpdir(), "statusmesh-contract-"));
    const mesh = Object.fromEntries(await Promise.all(REGIONS.map(async (region) => [region, await freePort()] as const)));
    const started: Process[] = [];
    try {
      await ensureBuilt();
    await Promise.all(running.map(async (region) => started.push(await startReplica(folder, region, mesh, settings))));
      const world = new World(folder, started, undefined);
      world.description = await readDescription(world.client(running[0]));
      await until("the regions that run see each other", async () => {
        const states = await Promise.all(started.map(async ({ region }) => (await world.client(region).get("/v1/cluster")).body));
        return states.every(({ peers }) => (peers as { state: string; rtt_ms: number | null }[]).filter(({ state, rtt_ms }) => state === "up" && rtt_ms !== null).length === started.length - 1);
      });
      return world;
    } catch (error) {
      await stopAll(started, folder);
      throw error;
    }
  }

  /** A client of one region, with the owner's key unless told otherwise; null: no key. */
  client(region: RegionName = "us-east", key: string | null = ROOT_KEY): Client {
    const process = this.processes.find((other) => other.region === region);
    if (process === undefined) throw new Error(`${region} does not run`);
    return new Client({ base: process.base, region, key, agent: this.agent, description: () => this.description });
  }

  get openapi(): Description {
    if (this.description === undefined) throw new Error("the description was not read");
    return this.description;
  }

  async stop(): Promise<void> {
    await this.agent.destroy();
    await stopAll(this.processes, this.folder);
  }
}

async function startReplica(folder: string, region: RegionName, mesh: Readonly<Record<string, number>>, settings: Readonly<Record<string, unknown>>): Promise<Process> {
  const others = REGIONS.filter((other) => other !== region);
  const file = path.join(folder, `${region}.json`);
  await writeFile(file, JSON.stringify({
    replica: `${region}-1`, region, role: "region", http: "127.0.0.1:0", mesh: `127.0.0.1:${mesh[region]}`, data: path.join(folder, region), clusterId: "contract", tls: "off",
    peers: Object.fromEntries(others.map((other) => [`${other}-1`, { region: other, mesh: `127.0.0.1:${mesh[other]}`, http: `http://127.0.0.1:${mesh[other]}` }])), ...settings,
  }));
  const inherited = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("STATUSMESH_")));
  const child = spawn(process.execPath, [command, "node", "--config", file], {
    // The child ends when the channel to this process does, however this process ended.
    stdio: ["ignore", "pipe", "pipe", "ipc"], env: { ...inherited, STATUSMESH_ROOT_KEY: ROOT_KEY, STATUSMESH_READY: "1" },
  });
  const ended = new Promise((resolve) => child.once("close", resolve));
  const said: string[] = [];
  const base = new Promise<string>((resolve) => {
    for (const stream of [child.stdout, child.stderr]) {
      if (stream === null) continue;
      createInterface({ input: stream }).on("line", (line) => {
        if (said.length < 200) said.push(line);
        const listening = /"event":"listening"/.test(line) ? (JSON.parse(line) as { http: string }) : undefined;
        if (listening !== undefined) resolve(`http://${listening.http}`);
      });
    }
  });
  const outcome = await Promise.race([base, ended.then(() => undefined), deadline(START_MS)]);
  if (outcome === undefined) {
    child.kill("SIGKILL");
    throw new Error(`${region} did not listen:\n${said.join("\n")}`);
  }
  return { region, child, base: outcome, ended };
}

async function stopAll(processes: readonly Process[], folder: string): Promise<void> {
  await Promise.all(processes.map(async ({ child, ended }) => {
    child.kill("SIGTERM");
    const timer = setTimeout(() => child.kill("SIGKILL"), STOP_MS);
    await ended;
    clearTimeout(timer);
  }));
  await rm(folder, { recursive: true, force: true });
}

function deadline(ms: number): Promise<undefined> {
  return new Promise((resolve) => setTimeout(() => resolve(undefined), ms).unref());
}

/** Asks again until `condition` holds; an error with the name of what was waited for after `deadlineMs`. */
export async function until(what: string, condition: () => Promise<boolean>, deadlineMs = 30_000): Promise<void> {
  const last = Date.now() + deadlineMs;
  while (!(await condition())) {
    if (Date.now() > last) throw new Error(`not within ${deadlineMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
