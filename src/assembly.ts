/** Names the real parts that `main.ts` puts together: the replica with its genesis documents, its schedule, and the features' routes. */
import { hash as digestOf } from "node:crypto";
import { startAlerts } from "./alert-assembly.js";
import type { FeatureRoutes } from "./api/api-config.js";
import { ROOT_KEY_ID, SecretHasher } from "./api/secrets.js";
import { membershipHash, type Config } from "./config.js";
import { isFault } from "./core/errors.js";
import { keyOf } from "./core/document.js";
import { limits as builtInLimits, type Limits } from "./core/limits.js";
import { routes as accessRoutes } from "./features/access/routes.js";
import { routes as alertRoutes } from "./features/alerts/routes.js";
import { presentComponent } from "./features/components/component.js";
import { presentGroup } from "./features/components/component-group.js";
import { routes as componentRoutes } from "./features/components/routes.js";
import { eventRoutes } from "./features/events/routes.js";
import { summarizeIncident } from "./features/incidents/incident.js";
import { routes as incidentRoutes } from "./features/incidents/routes.js";
import { createIncident } from "./features/incidents/commands.js";
import { dueTransitions } from "./features/maintenances/commands.js";
import { summarizeMaintenance } from "./features/maintenances/maintenance.js";
import { routes as maintenanceRoutes } from "./features/maintenances/routes.js";
import { routes as monitorRoutes } from "./features/monitors/routes.js";
import { defaultPage } from "./features/pages/commands.js";
import { presentPage } from "./features/pages/page.js";
import { routes as pageRoutes } from "./features/pages/routes.js";
import { readOverallStatus } from "./features/status-page/overall-status.js";
import { statusPageRoutes } from "./features/status-page/routes.js";
import { FoldingThread } from "./folding-thread.js";
import type { Assembly, ReplicaOptions, RunningReplica } from "./main.js";
import { ReplicaNode } from "./node.js";
import type { Command, DataPlane, PlannedChange, Snapshot } from "./store/data-plane.js";
import { Draft } from "./store/document-reader.js";
import { openResults, startLatencies, startWatch } from "./watch-assembly.js";

/** How often due transitions are looked for, and how much later the regions after the first one act, ms. */
const SCHEDULE_MS = 1_000;
const REGION_DELAY_MS = 3_000;

const ROOT_KEY = keyOf("~", "key", ROOT_KEY_ID);

/** The state before anything was written. */
const NOTHING: Snapshot = { atMs: 0, document: () => undefined, taken: () => false, list: () => [] };

function genesisOf(command: Command): readonly PlannedChange[] {
  const plan = command.plan(NOTHING);
  if (isFault(plan)) throw new Error(`${command.name}: ${plan.detail}`);
  return plan.changes;
}

/** The key `root`: equal in every region that was given the same secret. */
function rootKey(hash: string): Draft {
  return new Draft(undefined).create().set("name", "root").set("role", "owner").set("hash", hash);
}

async function startReplica(options: ReplicaOptions): Promise<RunningReplica> {
  const { config, log, storage } = options;
  const hash = options.rootKey === undefined ? undefined : await new SecretHasher().hashRootKey(options.rootKey, config.clusterId);
  if (isFault(hash)) throw new Error(hash.detail);
  const genesis = [...genesisOf(defaultPage()), ...(hash === undefined ? [] : [{ document: ROOT_KEY, operations: rootKey(hash).operations }])];
  const folding = new FoldingThread();
  // An edge writes nothing of its own.
  const isEdge = config.role === "edge";
  const { results, records } = isEdge ? {} : await openResults(options);
  let opened = false;
  const node = await ReplicaNode.start({
    replica: config.replica, region: config.region, role: config.role, voter: config.voter, clusterId: config.clusterId, membership: membershipHash(config),
    peers: Object.fromEntries(Object.entries(config.peers).map(([id, { region, role, voter }]) => [id, { region, role, voter }])),
    pages: config.pages, antiEntropyIntervalMs: config.antiEntropyIntervalMs, limits: { ...builtInLimits, ...config.limits } as Limits, genesis,
  }, {
    openStorage: async () => {
      if (opened) await storage.reopen();
      opened = true;
      return { storage, witness: `${options.witness.inode} ${options.witness.ctimeNs}`, highWater: options.highWater };
    },
    probeStorage: () => storage.probe(),
    newTransport: options.newTransport,
    clock: options.clock, timers: options.timers, random: options.random, metrics: options.metrics,
    sha256: (bytes) => digestOf("sha256", bytes, "buffer"),
    log: (level, event, text) => log[level](event, text),
    fold: (snapshot, document, changes) => folding.fold(snapshot, document, changes),
    fatal: options.onDefect, records,
  });
  if (hash !== undefined && !isEdge) await adoptRootKey(node, hash, options);
  const schedule = isEdge ? undefined : startSchedule(node, config, options);
  const watch = results === undefined ? undefined : startWatch(node, options, { open: createIncident }, results);
  const latencies = startLatencies(options, results);
  const alerts = isEdge ? undefined : startAlerts(node, options, { open: createIncident });
  return {
    data: node,
    features: [...(watch?.routes ?? []), ...(alerts === undefined ? [] : [alerts.routes]), latencies.routes, statusPageRoutes(presenters, latencies.board)],
    close: async () => {
      await latencies.close();
      await alerts?.close();
      await watch?.close();
      await schedule?.stop();
      await node.close();
      await results?.[Symbol.asyncDispose]();
      await folding[Symbol.asyncDispose]();
    },
  };
}

/**
 * Gives the root key the secret from the environment, if it is another one than this replica was last started with: an
 * operator changed it. A secret that was rotated through the API meanwhile stays as it is.
 */
async function adoptRootKey(node: DataPlane, hash: string, options: ReplicaOptions): Promise<void> {
  const before = await options.startedWith(hash);
  if (before === undefined || before === hash) return;
  const command: Command = {
    name: "key.root", subject: ROOT_KEY,
    plan: (snapshot) => {
      const document = snapshot.document(ROOT_KEY);
      return { changes: document === undefined ? [] : [{ document: ROOT_KEY, operations: new Draft(document).set("hash", hash).operations }] };
    },
    answer: () => ({ status: 204, body: null }),
  };
  const result = await node.commit(command, { level: "LOCAL", actor: "system" });
  if (isFault(result)) options.log.error({ event: "root-key", fault: result.detail }, "the new root key could not be stored");
  else options.log.warn({ event: "root-key" }, "the root key was changed to the one from the environment");
}

/**
 * Begins and ends maintenances on time. Every region does it, so that it happens whatever is cut off; the later ones wait a
 * little, and their writes carry the same ids, so that two of them merge into one.
 */
function startSchedule(node: DataPlane, config: Config, options: ReplicaOptions): { stop(): Promise<void> } {
  const order = [config.replica, ...Object.keys(config.peers)].sort().indexOf(config.replica);
  let stopped = false;
  let running: Promise<void> = Promise.resolve();
  const run = async (): Promise<void> => {
    const due = await node.read({
      documents: [],
      render: (snapshot) => {
        const delayed: Snapshot = { atMs: snapshot.atMs - order * REGION_DELAY_MS, document: (key) => snapshot.document(key), taken: (key) => snapshot.taken(key), list: (partition, type) => snapshot.list(partition, type) };
        return snapshot.list("~", "page").flatMap(({ id }) => [...dueTransitions(delayed, id)]);
      },
    }, { level: "LOCAL" });
    if (isFault(due)) return;
    for (const command of due.value) {
      const result = await node.commit(command, { level: "LOCAL", actor: "system" });
      if (isFault(result)) options.log.warn({ event: "schedule", command: command.name, fault: result.detail }, "a due transition could not be made");
    }
  };
  const next = (): void => {
    options.timers.after(SCHEDULE_MS, () => {
      if (stopped) return;
      running = run().catch((error: unknown) => options.onDefect(error)).finally(next);
    });
  };
  next();
  return {
    stop: async () => {
      stopped = true;
      await running;
    },
  };
}

/** How each room shows its documents, for rooms that show those of others. */
const presenters = { page: presentPage, component: presentComponent, group: presentGroup, incident: summarizeIncident, maintenance: summarizeMaintenance };

const features: readonly FeatureRoutes[] = [accessRoutes, pageRoutes, componentRoutes, incidentRoutes, maintenanceRoutes, monitorRoutes, alertRoutes, eventRoutes({ ...presenters, overall: (snapshot, page) => readOverallStatus(snapshot, presenters, page) })];

export const assembly: Assembly = { startReplica, features };
