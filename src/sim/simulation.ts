/**
 * One run: a seed makes a world, its clients and its faults; when all is healed, what every replica holds is looked at, and the history is
 * handed to the checkers. Same seed, same run, byte for byte.
 */
import { hearSometimes } from "../core/sometimes.js";
import { EventQueue } from "./event-queue.js";
import type { PlannedFault } from "./fault-schedule.js";
import { FaultInjector } from "./fault-injector.js";
import { HISTORY_FORMAT, type History } from "./history.js";
import { Observer } from "./observer.js";
import { Recorder } from "./recorder.js";
import { Requests } from "./requests.js";
import { planOf, type Emphasis } from "./seed-plan.js";
import { SeededRandom } from "./seeded-random.js";
import { Trace } from "./trace.js";
import { pause, until } from "./waiting.js";
import { Watchers } from "./watchers.js";
import { Workload } from "./workload.js";
import { World, type SimulationHost } from "./world.js";

export interface SimulationOptions {
  readonly seed: number;
  readonly host: SimulationHost;
  readonly emphasis?: Emphasis | undefined;
  /** Only these faults of the schedule; all unless told. */
  readonly faults?: ReadonlySet<number>;
  /** Operations of clients that are left out, `<client>/<number>`. */
  readonly left?: ReadonlySet<string>;
  readonly traceLine?: (line: string) => void;
}

/** Something that went wrong whatever clients saw. */
export interface Breakage {
  readonly replica: string;
  readonly what: string;
}

export interface SimulationResult {
  readonly seed: number;
  readonly history: History;
  readonly faults: readonly PlannedFault[];
  readonly breakages: readonly Breakage[];
  /** Voters that did not vote at the end. */
  readonly silentVoters: readonly string[];
  /** Within how many ms of healing all had to be equal. */
  readonly convergenceMs: number;
  /** What was reached, and how often. */
  readonly reached: Readonly<Record<string, number>>;
  /** How many steps each client began, those included that were left out. */
  readonly steps: Readonly<Record<string, number>>;
  readonly traceHash: string;
  readonly simulatedMs: number;
  readonly events: number;
}

/** Between healing and the last look, at most, ms. */
export const CONVERGENCE_MS = 45_000;
/** A run that has not come to its end by then is stuck, ms. */
const LIMIT_MS = 600_000;
const BREAKAGES_KEPT = 10;

export async function simulate(options: SimulationOptions): Promise<SimulationResult> {
  const reached = new Map<string, number>();
  const reach = (what: string): void => void reached.set(what, (reached.get(what) ?? 0) + 1);
  hearSometimes((mark) => reach(`sometimes: ${mark}`));
  try {
    return await run(options, reached, reach);
  } finally {
    hearSometimes(undefined);
  }
}

async function run(options: SimulationOptions, reached: Map<string, number>, reach: (what: string) => void): Promise<SimulationResult> {
  const { seed, host, emphasis } = options;
  const plan = planOf(seed, emphasis);
  const random = new SeededRandom(String(seed));
  const trace = new Trace(options.traceLine);
  const queue = new EventQueue(trace);
  const breakages: Breakage[] = [];
  const broken = (replica: string, error: unknown): void => {
    const what = error instanceof Error ? (error.stack ?? error.message) : String(error);
    trace.add(queue.now, `${replica} broken ${what.split("\n", 1)[0] ?? ""}`);
    if (breakages.length < BREAKAGES_KEPT) breakages.push({ replica, what });
  };
  const world = new World(queue, random.fork("world"), trace, plan.world, host, {
    broken, reached: reach, rebuilt: (replica) => injector.rebuilt(replica), get companions() {
      return watchers;
    },
  });
  const recorder = new Recorder(queue, trace);
  const requests = new Requests(world, { broken, reached: reach });
  const watchers = plan.watching === undefined ? undefined : new Watchers(world, requests, random.fork("watchers"), plan.watching, { broken, reached: reach });
  const workload = new Workload(world, queue, requests, recorder, random.fork("workload"), plan.workload, options.left ?? new Set(), reach);
  const faults = plan.faults.filter(({ id }) => options.faults?.has(id) ?? true);
  const injector: FaultInjector = new FaultInjector(world, random.fork("injector"), reach);
  const observer = new Observer(world, requests, recorder);
  let over = false;
  let silentVoters: readonly string[] = [];
  const course = async (): Promise<void> => {
    for (const { replica } of world.membership) world.start(replica);
    observer.start();
    workload.start((error) => broken("client", error));
    watchers?.create().catch((error: unknown) => broken("operator", error));
    for (const fault of faults) injector.plan(fault);
    await pause(queue, plan.durationMs);
    injector.healAll();
    await until(queue, () => world.allRun, 30_000);
    observer.healed();
    watchers?.healed();
    // Clients go on for a while in a world that is whole: what is stuck shows.
    await pause(queue, 2_000);
    workload.stop();
    await until(queue, () => workload.idle, 20_000);
    await observer.converge(CONVERGENCE_MS);
    silentVoters = observer.silentVoters();
    await watchers?.afterwards();
    await observer.lookAtEnd(CONVERGENCE_MS);
    over = true;
  };
  const done = course().catch((error: unknown) => {
    broken("simulator", error);
    over = true;
  });
  await queue.run(host.nextTurn, () => over || queue.now > LIMIT_MS);
  if (!over) broken("simulator", new Error(`the run did not come to its end within ${LIMIT_MS} simulated ms`));
  else await done;
  world.end();
  const history: History = {
    format: HISTORY_FORMAT, run: { instrument: "simulator", seed, command: `npm run sim -- --seed ${seed}${emphasis === undefined ? "" : ` --emphasis ${emphasis}`}` },
    replicas: world.everyReplica.map(({ replica, region, role }) => ({ replica, region, role })),
    operations: recorder.operations, faults: injector.events, ...observer.result,
    ...(watchers?.result === undefined ? {} : { watching: watchers.result }),
  };
  return { seed, history, faults, breakages, silentVoters, convergenceMs: CONVERGENCE_MS, steps: workload.steps, reached: Object.fromEntries([...reached].sort()), traceHash: trace.digest(), simulatedMs: queue.now, events: queue.executed };
}
