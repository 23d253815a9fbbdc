/** The composition root: one replica of real disk, network and clock, from its start to its orderly end. */
import { existsSync, readFileSync } from "node:fs";
import { rename, writeFile } from "node:fs/promises";
import path from "node:path";
import type { AddressInfo } from "node:net";
import type { FastifyInstance } from "fastify";
import type { EdgeConfig, FeatureRoutes } from "./api/api-config.js";
import { PromMetrics } from "./api/metrics.js";
import { buildServer } from "./api/server.js";
import { addressText, ROOT_KEY_LENGTH_SAFE, type Config } from "./config.js";
import type { Clock, HighWaterMark, Random, Storage, Timers, Transport } from "./core/ports.js";
import { keepLastKnown } from "./features/status-page/last-known.js";
import { EVENT_FOLDERS, INDEX } from "./features/status-page/static-copy.js";
import { CopyFolder } from "./io/copy-folder.js";
import { DESCRIPTORS_FEW, descriptorPlan, descriptorsMax, type DescriptorPlan } from "./io/descriptors.js";
import { GrpcMesh } from "./io/grpc-mesh.js";
import { HighWaterFile } from "./io/high-water-file.js";
import { HttpForwarder } from "./io/http-forwarder.js";
import { folderWitness, LevelStorage, setStoreAside, type FolderWitness } from "./io/level-storage.js";
import { HttpSender } from "./io/http-sender.js";
import { PurgeMarksFile } from "./io/purge-marks-file.js";
import { cloudflare, cloudfront, fastly, ownCache } from "./io/purge-targets.js";
import { createLog, type Logger } from "./io/log.js";
import { skewedClock, systemClock, systemRandom, systemTimers } from "./io/system-clock.js";
import type { PurgeConfig } from "./purge-settings.js";
import type { DataPlane } from "./store/data-plane.js";
import { purgeCaches, type PurgeTarget } from "./store/purge.js";
import type { Metrics } from "./store/metrics.js";

export interface ReopenableStorage extends Storage {
  /** True if this start made the store. */
  readonly created: boolean;
  /** Resolves if the disk takes writes. */
  probe(): Promise<void>;
  /** Opens the store anew after a failure whose cause is gone. */
  reopen(): Promise<void>;
}

export interface ReplicaOptions {
  readonly config: Config;
  readonly storage: ReopenableStorage;
  readonly witness: FolderWitness;
  readonly highWater: HighWaterMark;
  /** A new transport, not yet open. */
  readonly newTransport: () => Transport;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** Set at the first start at least. */
  readonly rootKey: string | undefined;
  /** The store was moved aside: what it held comes from the peers. */
  readonly rebuild: boolean;
  /** Notes the hash of the root key that this start was given; resolves to that of the start before, if there was one. */
  readonly startedWith: (hash: string) => Promise<string | undefined>;
  /** A broken invariant: the process must stop. */
  readonly onDefect: (error: unknown) => void;
}

export interface RunningReplica {
  readonly data: DataPlane;
  /** Routes of what runs in this replica alone, beside those of the assembly. */
  readonly features?: readonly FeatureRoutes[];
  /** Finishes what is under way, closes the transport, flushes and closes the storage. */
  close(): Promise<void>;
}

/** What `runNode` puts together beside disk, network and clock; `assembly.ts` names the real parts. */
export interface Assembly {
  readonly startReplica: (options: ReplicaOptions) => Promise<RunningReplica>;
  readonly features: readonly FeatureRoutes[];
}

export interface RunOptions {
  readonly rootKey: string | undefined;
  /** The shared caches to tell of changes, with their secrets. */
  readonly purge?: PurgeConfig | undefined;
  readonly rebuild: boolean;
  readonly version: string;
  /** While this file exists, writes fail as if the disk were full. For tests. */
  readonly diskFullFile: string | undefined;
  /** The clock is wrong by so many ms. For tests; 0 otherwise. */
  readonly clockOffsetMs: number;
  /** Resolves when the replica is to stop, with the reason. */
  readonly stop: Promise<string>;
}

/** How long what is under way may take to finish before connections are cut, and before the process ends regardless, ms. */
const DRAIN_MS = 5_000;
const STOP_MS = 9_000;

const EXIT_DEFECT = 70;
/** In the data folder: the scrypt hash of the root key of the last start. */
const ROOT_KEY_HASH = "ROOT-KEY-HASH";

/** Runs one replica until it is told to stop. Resolves to the exit code; rejects with a sentence if it cannot start. */
export async function runNode(config: Config, options: RunOptions, assembly: Assembly): Promise<number> {
  const log = createLog({ level: config.logLevel, replica: config.replica, region: config.region });
  if (config.tls === "off") log.warn({ event: "plaintext" }, "tls is off: replication is neither encrypted nor authenticated");
  if (options.rootKey !== undefined && options.rootKey.length < ROOT_KEY_LENGTH_SAFE) {
    log.warn({ event: "weak-root-key" }, `the root key has fewer than ${ROOT_KEY_LENGTH_SAFE} characters and can be guessed`);
  }
  if (options.clockOffsetMs !== 0) log.warn({ event: "clock-offset", ms: options.clockOffsetMs }, "STATUSMESH_TEST_CLOCK_OFFSET_MS is set: the clock of this replica is wrong on purpose");
  if (options.diskFullFile !== undefined) log.warn({ event: "disk-full-file", file: options.diskFullFile }, "STATUSMESH_TEST_DISK_FULL_FILE is set: writes fail while that file exists");
  const clock = options.clockOffsetMs === 0 ? systemClock : skewedClock(options.clockOffsetMs);
  const max = descriptorsMax();
  if (max < DESCRIPTORS_FEW) log.warn({ event: "few-descriptors", max, connections: descriptorPlan(max).connections }, "this process may have few files and sockets open (ulimit -n): further clients are refused");
  log.info({ event: "starting", pid: process.pid, version: options.version }, "starting");
  const metrics = new PromMetrics({ process: true });
  let broken: (reason: string) => void = () => undefined;
  const defect = new Promise<string>((resolve) => {
    broken = resolve;
  });
  const tls = config.tls === "off" ? "off" : { ca: readFileSync(config.tls.ca, "utf8"), cert: readFileSync(config.tls.cert, "utf8"), key: readFileSync(config.tls.key, "utf8") };

  const onDefect = (error: unknown): void => {
    log.fatal({ event: "defect", err: error }, "a broken invariant stops this replica");
    broken(error instanceof Error ? error.message : String(error));
  };
  let mesh: GrpcMesh | undefined;
  const newTransport = (): GrpcMesh => {
    mesh = new GrpcMesh({
      replica: config.replica,
      // Opened anew, it stays where its peers look for it, also where the system chose the port.
      listen: mesh?.address || addressText(config.mesh),
      peers: Object.fromEntries(Object.entries(config.peers).map(([id, peer]) => [id, { mesh: addressText(peer.mesh) }])),
      tls,
      timers: systemTimers,
      random: systemRandom,
      log: ({ level, sentence, peer }) => log[level]({ event: "mesh", peer }, sentence),
    });
    return mesh;
  };

  const opened: { name: string; close: () => Promise<void> }[] = [];
  try {
    const descriptors = descriptorPlan(max);
    const storage = await openStorage(config, options, descriptors, metrics, log);
    opened.push({ name: "storage", close: () => storage.close() });
    const witness = await folderWitness(config.data);
    const highWater = new HighWaterFile(config.data);
    opened.push({ name: "high-water mark", close: () => highWater.close() });
    const startedWith = (hash: string): Promise<string | undefined> => exchange(path.join(config.data, ROOT_KEY_HASH), hash);
    const world = { clock, timers: systemTimers, random: systemRandom, log, metrics };
    const replica = await assembly.startReplica({ config, storage, witness, highWater, newTransport, ...world, rootKey: options.rootKey, rebuild: options.rebuild, startedWith, onDefect });
    opened.push({ name: "replica", close: () => replica.close() });
    const forwarder = new HttpForwarder(Object.fromEntries(Object.entries(config.peers).map(([id, peer]) => [id, peer.http])));
    opened.push({ name: "forwarder", close: () => forwarder.close() });
    const app = await buildServer({
      config: {
        region: config.region,
        replica: config.replica,
        version: options.version,
        requestsPerKey: config.rateLimit.perKeyPerSecond,
        requestsPerAddress: config.rateLimit.perAddressPerSecond,
        voters: votersNearest(config),
        cors: config.cors,
        trustProxy: config.trustProxy,
        publicCaching: { ...config.publicCaching, sharedMaxAgeSeconds: config.publicCaching.sharedMaxAgeSeconds || null },
        ...(config.role === "edge" ? { edge: regionsOf(config) } : {}),
        connectionsMax: descriptors.connections,
      },
      ports: { data: replica.data, clock, timers: systemTimers, random: systemRandom, log, metrics, onDefect, forwarder },
      features: [...assembly.features, ...(replica.features ?? [])],
    });
    opened.push({ name: "http", close: () => drain(app) });
    await app.listen({ host: config.http.host, port: config.http.port });
    // Not before: what a cache forgets it asks for.
    if (options.purge !== undefined) opened.push({ name: "purges", close: purgesOf(options.purge, config.data, replica, log, metrics) });
    if (config.lastKnown !== null) opened.push({ name: "last-known pages", close: lastKnownOf(config.lastKnown, config.pages, app, { data: replica.data, clock, log, metrics }) });
    sayListening(log, config, app, mesh?.address ?? "");
  } catch (error) {
    await closeAll(opened, log);
    throw new Error(startFault(error, config), { cause: error });
  }

  const end = await Promise.race([options.stop.then((reason) => ({ reason, code: 0 })), defect.then((reason) => ({ reason, code: EXIT_DEFECT }))]);
  log.info({ event: "stopping", reason: end.reason }, "stopping");
  const stopped = await Promise.race([closeAll(opened, log).then(() => true), elapsed(STOP_MS)]);
  log.info({ event: "stopped", complete: stopped }, "stopped");
  return end.code;
}

/** For a replica without a vote: the voters, the one of its own region first. */
function votersNearest(config: Config): readonly string[] {
  if (config.voter) return [];
  const voters = Object.entries(config.peers).filter(([, peer]) => peer.voter);
  return [...voters.filter(([, peer]) => peer.region === config.region), ...voters.filter(([, peer]) => peer.region !== config.region)].map(([id]) => id);
}

/** Tells the shared caches of changes, from where the last start left off; the returned call ends it. */
function purgesOf(purge: PurgeConfig, dataFolder: string, replica: RunningReplica, log: Logger, metrics: Metrics): () => Promise<void> {
  const targets: PurgeTarget[] = purge.caches.map((url, index) => ownCache(`cache-${index + 1}`, url));
  if (purge.fastly !== undefined) targets.push(fastly(purge.fastly));
  if (purge.cloudflare !== undefined) targets.push(cloudflare(purge.cloudflare));
  if (purge.cloudfront !== undefined) targets.push(cloudfront({ ...purge.cloudfront, nowMs: () => systemClock.now() }));
  const sender = new HttpSender();
  const end = purgeCaches(replica.data, targets, {
    marks: new PurgeMarksFile(dataFolder), sender, clock: systemClock, timers: systemTimers, random: systemRandom, metrics, warn: (event, text) => log.warn(event, text),
  });
  return async () => {
    await end();
    await sender.close();
  };
}

/** Keeps static copies of the pages from now on, as this replica answers; the returned call ends it. */
function lastKnownOf(folder: string, pages: readonly string[], app: FastifyInstance, { data, clock, log, metrics }: Pick<ReplicaOptions, "clock" | "log" | "metrics"> & Pick<RunningReplica, "data">): () => Promise<void> {
  return keepLastKnown({
    data, clock, timers: systemTimers, metrics, folders: new CopyFolder(folder, INDEX, EVENT_FOLDERS),
    keeps: (page) => pages.length === 0 || pages.includes(page),
    ask: async (url) => {
      // No client's address: nobody's limit is used up.
      const { headers, rawPayload, statusCode } = await app.inject({ url, headers: { host: "localhost" }, remoteAddress: "0.0.0.0" });
      const lastModified = headers["last-modified"];
      return { status: statusCode, body: rawPayload, lastModified: typeof lastModified === "string" ? lastModified : undefined };
    },
    warn: (event, text) => log.warn(event, text),
  });
}

/** For an edge: who takes its writes. */
function regionsOf(config: Config): EdgeConfig {
  const regions = Object.entries(config.peers).filter(([, peer]) => peer.role === "region");
  return { regions: regions.map(([id]) => id), voters: regions.filter(([, peer]) => peer.voter).map(([id]) => id) };
}

/** Writes a small private file; resolves to what it held before. */
async function exchange(file: string, text: string): Promise<string | undefined> {
  const before = existsSync(file) ? readFileSync(file, "utf8").trim() : undefined;
  if (before !== text) {
    await writeFile(`${file}.new`, text, { mode: 0o600 });
    await rename(`${file}.new`, file);
  }
  return before;
}

async function openStorage(config: Config, options: RunOptions, descriptors: DescriptorPlan, metrics: Metrics, log: Logger): Promise<LevelStorage> {
  if (options.rebuild) {
    const aside = await setStoreAside(config.data);
    log.warn({ event: "rebuild", aside }, aside === undefined ? "nothing to move aside: starting empty" : "the store was moved aside: what it held comes from the peers");
  }
  const timings = metrics.histogram("statusmesh_storage_seconds", "Duration of storage calls.", ["operation"]);
  const { diskFullFile } = options;
  const plantedFailure = (): Error | undefined =>
    diskFullFile !== undefined && existsSync(diskFullFile) ? Object.assign(new Error("ENOSPC: no space left on device"), { code: "ENOSPC" }) : undefined;
  return LevelStorage.open(config.data, {
    openFiles: descriptors.storeFiles,
    observe: (operation, ms) => timings.observe(ms / 1_000, operation),
    ...(diskFullFile === undefined ? {} : { failWrites: plantedFailure }),
  });
}

/** The line that says that the replica is ready, written whatever the log level. */
function sayListening(log: Logger, config: Config, app: FastifyInstance, meshAddress: string): void {
  const bound = app.server.address() as AddressInfo;
  const http = addressText({ host: config.http.host, port: bound.port });
  log.child({}, { level: "info" }).info({ event: "listening", http, mesh: meshAddress === "" ? addressText(config.mesh) : meshAddress });
}

/** Stops accepting, lets requests finish, then cuts what is still open (event streams). */
async function drain(app: FastifyInstance): Promise<void> {
  const cut = systemTimers.after(DRAIN_MS, () => app.server.closeAllConnections());
  await app.close();
  cut.cancel();
}

/** Closes what was opened, last first; what fails to close is logged and does not keep the rest open. */
async function closeAll(opened: { name: string; close: () => Promise<void> }[], log: Logger): Promise<void> {
  for (let part = opened.pop(); part !== undefined; part = opened.pop()) {
    const { name, close } = part;
    await close().catch((error: unknown) => log.error({ event: "close-failed", part: name, err: error }, `${name} did not close`));
  }
}

function elapsed(ms: number): Promise<false> {
  return new Promise((resolve) => systemTimers.after(ms, () => resolve(false)));
}

function startFault(error: unknown, config: Config): string {
  if (!(error instanceof Error)) return String(error);
  if ("code" in error && error.code === "EADDRINUSE") return `Another program listens on ${addressText(config.http)} already.`;
  if (error.name === "StorageDamage" && !error.message.includes("--rebuild")) {
    return `The store in ${config.data} is damaged: ${error.message}. \`statusmesh node --rebuild\` moves it aside and fetches everything from the peers.`;
  }
  return error.message;
}
