/** `statusmesh up`: a whole cluster on this machine, one child process a region file. */
import { existsSync } from "node:fs";
import path from "node:path";
import { InvalidArgumentError, type Command } from "commander";
import { readConfig, type Config, type Environment } from "../config.js";
import { makeCertificates } from "../io/certificates.js";
import { makeFolder } from "../io/data-folder.js";
import { isFreshFolder } from "../io/level-storage.js";
import { pause, untilAborted } from "../io/system-clock.js";
import { ChaosControl, chaosFile } from "./chaos-control.js";
import { Child } from "./child.js";
import { withEdges, type PlacedFile } from "./edge-files.js";
import { commonFaults, regionFiles, replicasOf, type RegionFile } from "./region-files.js";
import { missingFromMesh } from "./mesh-check.js";
import { rootKeyFor, type RootKey } from "./root-key.js";
import { asFault, CommandFault, complain, EXIT_CONFIG, say, table } from "./terminal.js";

/** Settings of one replica: in the environment of `up` they would hold for all of them. */
const REPLICA_VARIABLES = ["REPLICA", "REGION", "ROLE", "HTTP", "MESH", "PEERS", "VOTER", "TLS_CERT", "TLS_KEY"].map((name) => `STATUSMESH_${name}`);
const LISTENING_MS = 60_000;
const MESH_MS = 30_000;
const EDGES_MAX = 20;

interface Replica {
  readonly file: string;
  readonly config: Config;
  readonly environment: Environment;
  readonly child: Child;
}

interface UpOptions {
  readonly regions?: string;
  readonly data?: string;
  readonly json?: true;
  readonly chaos?: true;
  readonly edges?: number;
}

interface Cluster {
  readonly all: readonly Replica[];
  readonly rootKey: RootKey;
  /** Parent of the data folders, absolute. */
  readonly folder: string;
  /** With `--chaos`: the proxies between the replicas. */
  readonly chaos: ChaosControl | undefined;
}

export function upCommand(program: Command): void {
  program
    .command("up")
    .description("Starts every region file of a folder as one process on this machine, and waits until they form a mesh.")
    .option("--regions <folder>", "folder with the region files (default: regions)")
    .option("--data <folder>", "parent of the data folders (default: data)")
    .option("--edges <count>", "start so many edges beside the regions, on the next ports", countOf)
    .option("--chaos", "put a proxy on every link, for statusmesh chaos to cut, slow and heal")
    .option("--json", "print the addresses as JSON")
    .action(async (options: UpOptions) => {
      process.exitCode = await up(options);
      process.exit();
    });
}

function countOf(text: string): number {
  if (!/^\d+$/.test(text) || Number(text) > EDGES_MAX) throw new InvalidArgumentError(`a number from 0 to ${EDGES_MAX}`);
  return Number(text);
}

async function up(options: UpOptions): Promise<number> {
  const stopping = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => stopping.abort(signal));
  const replicas = await prepare(options);
  const { rootKey, chaos, folder } = replicas;
  let lost: string | undefined;
  const onLost = (sentence: string): void => {
    lost ??= sentence;
    stopping.abort(sentence);
  };
  for (const { child } of replicas.all) child.start(onLost);
  try {
    await untilListening(replicas.all, stopping.signal);
    if (!stopping.signal.aborted) await chaos?.announce(folder, replicas.all.map(({ config, child }) => ({ replica: config.replica, region: config.region, signal: (name) => child.signal(name) })));
    if (!stopping.signal.aborted) {
      const targets = replicas.all.map(({ child, config }) => ({ replica: config.replica, http: child.http }));
      const missing = await missingFromMesh(targets, rootKey.key, MESH_MS, stopping.signal);
      if (missing.length > 0 && !stopping.signal.aborted) complain(`statusmesh: after ${MESH_MS / 1_000} s the mesh is not whole: ${missing.join("; ")}. The replicas go on trying.`);
    }
    if (!stopping.signal.aborted) announce(replicas, options);
    await untilAborted(stopping.signal);
  } finally {
    if (lost === undefined) complain("statusmesh: stopping …");
    await chaos?.withdraw();
    await Promise.all(replicas.all.map(({ child }) => child.stop()));
    await chaos?.[Symbol.asyncDispose]();
  }
  if (lost !== undefined) throw new CommandFault([lost]);
  return replicas.all.every(({ child }) => child.endedWell) ? 0 : 1;
}

/** Everything that can be wrong is found before anything is started or written. */
async function prepare(options: UpOptions): Promise<Cluster> {
  const parent = options.data ?? (process.env["STATUSMESH_DATA"] || undefined);
  const files = await withEdges(regionFiles(regionsFolder(options.regions)), options.edges ?? 0);
  const misplaced = REPLICA_VARIABLES.filter((name) => (process.env[name] ?? "") !== "").map((name) => `${name} is set, and would hold for every replica that up starts.`);
  // Files that do not say which certificates to use get some of their own, once it is clear that all else is right.
  const draft = read(files, parent, () => ({ STATUSMESH_TLS: "off" }));
  if (misplaced.length + draft.faults.length > 0) throw new CommandFault([...misplaced, ...draft.faults], EXIT_CONFIG);

  const folder = path.resolve(parent ?? "data");
  await makeFolder(path.join(folder, "logs")).catch((error: unknown) => {
    throw new CommandFault([`The data folder ${folder} cannot be written: ${error instanceof Error ? error.message : String(error)}.`]);
  });
  const without = files.filter(lacksTls);
  const made = without.length === 0 ? [] : await makeCertificates(path.join(folder, "certs"), replicasOf(files));
  const whole = read(files, parent, ({ values }): Environment => {
    const own = made.find(({ replica }) => replica === values["replica"]);
    return own === undefined ? {} : { STATUSMESH_TLS_CA: own.ca, STATUSMESH_TLS_CERT: own.cert, STATUSMESH_TLS_KEY: own.key };
  });
  if (whole.faults.length > 0) throw new CommandFault(whole.faults, EXIT_CONFIG);
  const fresh = await Promise.all(whole.configs.map(({ config }) => isFreshFolder(config.data).catch(asFault)));
  const rootKey = await rootKeyFor(folder, whole.rootKey, fresh.every((isFresh) => isFresh));
  const chaos = options.chaos === true ? await ChaosControl.between(whole.configs.map(({ config }) => config)) : undefined;
  const all = whole.configs.map(({ file, config, environment: given }) => {
    const environment = { ...given, ...chaos?.environmentOf(config.replica) };
    return { file, config, environment, child: new Child({ file, config, environment, rootKey: rootKey.key, logFolder: path.join(folder, "logs") }) };
  });
  return { all, rootKey, folder, chaos };
}

interface Read {
  readonly configs: readonly { readonly file: string; readonly config: Config; readonly environment: Environment }[];
  readonly faults: readonly string[];
  readonly rootKey: string | undefined;
}

function read(files: readonly PlacedFile[], parent: string | undefined, tlsFor: (file: RegionFile) => Environment): Read {
  const configs: { file: string; config: Config; environment: Environment }[] = [];
  const faults = new Set<string>();
  let rootKey: string | undefined;
  for (const region of files) {
    const environment = { ...process.env, STATUSMESH_DATA: undefined, ...region.environment, ...(lacksTls(region) ? tlsFor(region) : {}) };
    const source = { file: region.file, environment, workingFolder: process.cwd() };
    const data = dataFolderOf(region, parent);
    const result = readConfig(data === undefined ? source : { ...source, data });
    if ("faults" in result) for (const fault of result.faults) faults.add(fault.includes(region.file) ? fault : `${region.file}: ${fault}`);
    else {
      configs.push({ file: region.file, config: result.config, environment });
      rootKey = result.rootKey;
    }
  }
  for (const fault of commonFaults(configs)) faults.add(fault);
  return { configs, faults: [...faults], rootKey };
}

/** `<parent>/<replica>`, unless nothing but the file names a folder. */
function dataFolderOf({ values }: RegionFile, parent: string | undefined): string | undefined {
  const { replica, data } = values;
  if (typeof replica !== "string") return undefined;
  if (parent !== undefined || data === undefined) return path.join(parent ?? "data", replica);
  // What the file says may be of another replica, where an edge is made of it.
  return typeof data === "string" ? data : undefined;
}

function lacksTls({ values }: RegionFile): boolean {
  return values["tls"] === undefined && (process.env["STATUSMESH_TLS"] ?? "") === "";
}

/** The folder asked for; by default `regions` here, else the one of this package. */
function regionsFolder(asked: string | undefined): string {
  const here = path.resolve(asked ?? "regions");
  if (asked !== undefined || existsSync(here)) return here;
  return path.resolve(import.meta.dirname, "..", "..", "regions");
}

async function untilListening(replicas: readonly Replica[], stopping: AbortSignal): Promise<void> {
  const done = new AbortController();
  const either = AbortSignal.any([done.signal, stopping]);
  void Promise.all(replicas.map(({ child }) => child.listening)).then(() => done.abort());
  await pause(LISTENING_MS, either);
  const silent = replicas.filter(({ child }) => child.http === undefined).map(({ config }) => config.replica);
  if (!stopping.aborted && silent.length > 0) throw new CommandFault([`After ${LISTENING_MS / 1_000} s these replicas do not listen: ${silent.join(", ")}.`]);
}

function announce({ all, rootKey, chaos, folder }: Cluster, options: UpOptions): void {
  const regions = all.map(({ config, child }) => {
    const base = child.http ?? "";
    return { region: config.region, replica: config.replica, status_page: `${base}/pages/default`, api: `${base}/v1`, docs: `${base}/docs`, dashboard: `${base}/dashboard` };
  });
  if (options.json === true) {
    say(JSON.stringify({ event: "ready", regions, key: rootKey.shown ?? null, key_file: rootKey.file ?? null, ...(chaos === undefined ? {} : { chaos_file: chaosFile(folder) }) }));
    return;
  }
  const rows = regions.map((region) => [region.region, region.status_page, region.api, region.docs, region.dashboard]);
  say(`\n${table(["region", "status page", "API", "docs", "dashboard"], rows)}\n`);
  say(rootKey.sentence);
  if (chaos !== undefined) say(`Faults: statusmesh chaos cut|heal|slow|kill|pause|resume|status${options.data === undefined ? "" : ` --data ${options.data}`} (--help says more).`);
  say("Ctrl-C stops all regions.");
}
