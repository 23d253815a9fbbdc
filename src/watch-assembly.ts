/** Puts the watchers of one replica together: the runner's thread, the store of results, the watch, and their routes. */
import path from "node:path";
import type { FeatureRoutes } from "./api/api-config.js";
import { addressText } from "./config.js";
import type { Check } from "./core/check.js";
import { watchLimits } from "./core/limits.js";
import type { Storage } from "./core/ports.js";
import type { IncidentRoom } from "./features/monitors/effects.js";
import type { RunnerResult } from "./features/monitors/runner.js";
import { askedLatencies, LatencyBoard, storedLatencies } from "./features/monitors/latency-board.js";
import { latenciesInStore, latencyRoutes } from "./features/monitors/latency-routes.js";
import { RunnerPool } from "./features/monitors/runner-pool.js";
import { runnerRoutes } from "./features/monitors/runner-routes.js";
import { ResultStore } from "./features/monitors/results.js";
import { sealRoutes } from "./features/monitors/seal-routes.js";
import { Sealer } from "./features/monitors/sealer.js";
import { watchRoutes } from "./features/monitors/watch-routes.js";
import { Watch } from "./features/monitors/watch.js";
import { descriptorPlan, descriptorsMax } from "./io/descriptors.js";
import { HttpForwarder } from "./io/http-forwarder.js";
import { LevelStorage } from "./io/level-storage.js";
import { MemoryStorage } from "./io/memory-storage.js";
import type { ReplicaOptions } from "./main.js";
import { RunnerThread } from "./runner-thread.js";
import type { DataPlane } from "./store/data-plane.js";
import type { RecordSource } from "./store/record-exchange.js";

/** In the data folder: the store of results. */
const RESULTS_FOLDER = "results";
const WARN_EVERY_MS = 60_000;

export interface RunningWatch {
  readonly routes: readonly FeatureRoutes[];
  close(): Promise<void>;
}

/** The other regions' `/healthz`, and what the operator named beside them. */
function canariesOf({ peers, region, canaries }: ReplicaOptions["config"]): Check[] {
  const others = Object.values(peers).filter((peer) => peer.region !== region).map(({ http }) => `${http}/healthz`);
  return [...others, ...canaries].map((target) => ({ type: "http", target, timeoutMs: watchLimits.canaryTimeoutMs, options: {} }));
}

/** Replicas of regions, this one among them if it is one, and their regions. */
function membersOf({ peers, region, replica, role }: ReplicaOptions["config"]): Map<string, string> {
  const others = Object.entries(peers).filter(([, peer]) => peer.role === "region").map(([id, peer]) => [id, peer.region] as const);
  return new Map([...(role === "region" ? [[replica, region] as const] : []), ...others]);
}

/** Results are worth less than the replica: where their store cannot be opened, they are kept in memory. */
async function openStorage({ config, log }: ReplicaOptions): Promise<Storage> {
  try {
    return await LevelStorage.open(path.join(config.data, RESULTS_FOLDER), { openFiles: descriptorPlan(descriptorsMax()).storeFiles });
  } catch (error) {
    log.error({ event: "results", err: error }, "the store of check results cannot be opened: those of this replica are kept in memory until the next start");
    return new MemoryStorage();
  }
}

export interface OpenedResults {
  readonly results: ResultStore;
  /** Who exchanges them with other replicas; memory has no room for theirs. */
  readonly records: RecordSource | undefined;
}

/** The results of all replicas, as far as they have come here. */
export async function openResults(options: ReplicaOptions): Promise<OpenedResults> {
  const { clock, config, log, metrics, random, timers, witness } = options;
  const refusals = metrics.counter("statusmesh_result_batches_refused", "Batches of check results of other replicas that were not taken as they came, by reason.", ["reason"]);
  let warnedAtMs = Number.NEGATIVE_INFINITY;
  const storage = await openStorage(options);
  const results = new ResultStore({
    storage, clock, timers, random, replica: config.replica, members: new Set(membersOf(config).keys()), witness: `${witness.inode} ${witness.ctimeNs}`,
    onFailure: (error) => log.error({ event: "results", err: error }, "check results cannot be stored any more"),
    refused: (origin, reason) => {
      refusals.add(1, reason);
      if (clock.monotonic() - warnedAtMs < WARN_EVERY_MS) return;
      warnedAtMs = clock.monotonic();
      log.warn({ event: "results", origin, reason }, "a batch of check results was not taken as it came");
    },
  });
  return { results, records: storage instanceof MemoryStorage ? undefined : results };
}

export function startWatch(data: DataPlane, options: ReplicaOptions, incidents: IncidentRoom, results: ResultStore): RunningWatch {
  const { clock, config, log, onDefect, timers } = options;
  const { region, replica } = config;
  const settings = { region, allowPrivateTargets: config.allowPrivateTargets, allowedTargetRanges: config.allowedTargetRanges, canaries: canariesOf(config) };
  const thread = new RunnerThread({ settings, timers, log: (event, text) => log.warn(event, text) });
  const runner = new RunnerPool({ embedded: thread, mode: config.embeddedRunner, clock, timers, log: (level, event, text) => log[level](event, text) });
  const members = membersOf(config);
  const late = options.metrics.histogram("statusmesh_check_late_seconds", "How much later than due checks begin.", []);
  const looks = options.metrics.counter("statusmesh_checks", "Looks at targets, by what they came to.", ["state"]);
  const observe = (result: RunnerResult): void => {
    looks.add(1, result.state);
    if (result.attempt === 1) late.observe(result.lateMs / 1_000);
  };
  const watch = new Watch({ data, clock, timers, replica, region, members, runner, results, incidents, observe, log: (level, event, text) => log[level](event, text), onDefect });
  const sealer = new Sealer({ data, clock, timers, replica, region, results, log: (level, event, text) => log[level](event, text), onDefect });
  watch.start();
  sealer.start();
  log.debug({ event: "watching", http: addressText(config.http) }, "watching");
  return {
    routes: [watchRoutes({ watch, results, clock, region, members }), sealRoutes(clock), runnerRoutes(runner, settings)],
    close: async () => {
      await sealer.stop();
      await watch.stop();
      runner.stop();
      await thread[Symbol.asyncDispose]();
    },
  };
}

/** What pages show of latencies, and the route that tells them. `results`: of an edge, none. */
export function startLatencies({ clock, config }: ReplicaOptions, results: ResultStore | undefined): { readonly board: LatencyBoard; readonly routes: FeatureRoutes; close(): Promise<void> } {
  const members = membersOf(config);
  if (results !== undefined) {
    return { board: new LatencyBoard({ clock, members, source: storedLatencies(results, members) }), routes: latencyRoutes(latenciesInStore(results, members)), close: async () => undefined };
  }
  const forwarder = new HttpForwarder(Object.fromEntries(Object.entries(config.peers).map(([id, peer]) => [id, peer.http])));
  const board = new LatencyBoard({ clock, members, source: askedLatencies(forwarder, members) });
  return { board, routes: latencyRoutes(async (page, monitors) => board.hours(page, monitors)), close: () => forwarder.close() };
}
