/** Plays one scenario on a cluster of its own, and judges it. */
import { pause } from "../src/io/system-clock.js";
import { checkAll } from "../src/sim/check-all.js";
import { CHECK_OPTIONS } from "../src/sim/verdict.js";
import type { History } from "../src/sim/history.js";
import { Dice } from "./dice.js";
import { observe } from "./final-state.js";
import { equalWithin, failuresAreTyped, nobodyEnded } from "./hypotheses.js";
import { Recorder } from "./recorder.js";
import type { Hypothesis, Outcome, Scenario, Stage } from "./scenario.js";
import { settled } from "./waiting.js";
import { Workload } from "./workload.js";
import { ChaosWorld } from "./world.js";

export type VerdictKind = "kept" | "broken" | "undecided" | "skipped";

export interface Row {
  readonly promised: string;
  readonly measured: string;
  readonly verdict: VerdictKind;
}

export interface ScenarioResult {
  readonly name: string;
  readonly title: string;
  readonly seed: number;
  readonly verdict: VerdictKind;
  readonly tookMs: number;
  readonly rows: readonly Row[];
  /** Absent if it was skipped, or never got so far. */
  readonly history?: History;
  /** The last lines of each replica's log, where a promise was broken. */
  readonly logs?: Readonly<Record<string, string>>;
}

export interface RunSettings {
  readonly seed: number;
  readonly minutes: number;
  /** 1, or a part of it: how long faults last, of the time that scenarios state. */
  readonly pace: number;
  readonly stopping: AbortSignal;
  readonly say: (what: string) => void;
  /** Told of a history before it is judged, which may take long. */
  readonly played?: (history: History) => Promise<void>;
}

const QUICK_QUORUM_MS = 1_500;
const EQUAL_WITHIN_MS = 30_000;
/** Load before the first fault, and after the last one is healed. */
const WARM_UP_OPERATIONS = 60;
const AFTERWARDS_MS = 4_000;
const STAMP_EVERY_MS = 1_000;

export async function runScenario(scenario: Scenario, settings: RunSettings): Promise<ScenarioResult> {
  const startedAt = performance.now();
  const recorder = new Recorder();
  const base = { name: scenario.name, title: scenario.title, seed: settings.seed };
  const took = (): number => performance.now() - startedAt;
  if (scenario.needsCorruption === true && process.env["TOXIPROXY_URL"] !== undefined) {
    return { ...base, verdict: "skipped", tookMs: took(), rows: [{ promised: "the toxic corrupt", measured: "an extension of the project's own server; TOXIPROXY_URL names another one", verdict: "skipped" }] };
  }
  settings.say("starts");
  let world: ChaosWorld | undefined;
  try {
    world = await ChaosWorld.start(recorder, scenario.world);
    const played = await play(scenario, world, recorder, settings);
    await settings.played?.(played.history);
    // The checkers have the machine to themselves.
    await world.close();
    settings.say("is judged");
    const checks = checkAll(played.history, { convergenceMs: scenario.equalWithinMs ?? EQUAL_WITHIN_MS, statesMax: CHECK_OPTIONS.statesMax });
    const rows = judge(scenario, { ...played, checks });
    const verdict = worstOf(rows);
    return { ...base, verdict, tookMs: took(), rows, history: played.history, ...(verdict === "broken" ? { logs: logsOf(world) } : {}) };
  } catch (error) {
    const measured = error instanceof Error ? (error.stack ?? error.message) : String(error);
    return { ...base, verdict: "broken", tookMs: took(), rows: [{ promised: "The scenario can be played to its end.", measured, verdict: "broken" }], history: historyOf(scenario, settings, recorder, world, { final: [] }), logs: logsOf(world) };
  } finally {
    await world?.close();
  }
}

async function play(scenario: Scenario, world: ChaosWorld, recorder: Recorder, settings: RunSettings): Promise<Omit<Outcome, "checks">> {
  // In a short cut a request that waits for its whole five seconds would show nothing of it.
  const hurry = settings.pace < 1 ? { quorumTimeoutMs: QUICK_QUORUM_MS } : {};
  const workload = new Workload(world, recorder, settings.seed, { ...scenario.workload, ...hurry });
  const notes = new Map<string, number | string>();
  const { stopping, say, minutes, seed, pace } = settings;
  const stage: Stage = { world, recorder, workload, dice: new Dice(seed + 1), minutes, stopping, say, notes, hold: async (ms) => await pause(ms * pace, stopping) };
  const stamping = new AbortController();
  const stamps = stamp(world, recorder, stamping.signal);
  let rest: Pick<History, "final" | "healedAtMs" | "convergedAtMs">;
  try {
    await settled("the load has begun", () => workload.answered >= WARM_UP_OPERATIONS, 60_000);
    await scenario.play(stage);
    say("heals");
    await healAll(stage);
    const healedAtMs = recorder.now();
    await stage.hold(AFTERWARDS_MS);
    await workload.stop();
    notes.set("refused", await world.refused());
    const convergedAtMs = await world.converged(Math.max(60_000, 2 * (scenario.equalWithinMs ?? EQUAL_WITHIN_MS)));
    say("looks at what every region holds");
    rest = { healedAtMs, ...(convergedAtMs === undefined ? {} : { convergedAtMs }), final: await observe(world, recorder) };
  } finally {
    stamping.abort();
    await workload.stop();
    await stamps;
  }
  return { stage, history: historyOf(scenario, settings, recorder, world, rest) };
}

/** Ends what the scenario has left: links, processes, disks. */
async function healAll({ world, workload }: Stage): Promise<void> {
  await world.heal();
  for (const region of world.regions) {
    world.stirs(region);
    world.node(region).signal("SIGCONT");
    if (!world.node(region).runs) await world.startNode(region);
    workload.avoid(region, false);
  }
  await world.voting(90_000);
}

function logsOf(world: ChaosWorld | undefined): Readonly<Record<string, string>> {
  return Object.fromEntries((world?.all ?? []).map((node) => [node.id, `${node.log.map((entry) => JSON.stringify(entry)).join("\n")}\n${node.stderr}`]));
}

function historyOf(scenario: Scenario, { seed, minutes }: RunSettings, recorder: Recorder, world: ChaosWorld | undefined, rest: Pick<History, "final" | "healedAtMs" | "convergedAtMs">): History {
  const replicas = (world?.all ?? []).map(({ id, region }) => ({ replica: id, region, role: "region" as const }));
  const command = `statusmesh chaos run ${scenario.name} --seed ${seed}${scenario.name === "random" ? ` --minutes ${minutes}` : ""}`;
  return recorder.history({ instrument: "chaos", scenario: scenario.name, seed, command }, replicas, rest);
}

/** Notes now and then which clock every replica shows. */
async function stamp(world: ChaosWorld, recorder: Recorder, stopping: AbortSignal): Promise<void> {
  while (!stopping.aborted) {
    await Promise.all(
      world.all.filter((node) => node.runs && world.isServing(node.region as (typeof world.regions)[number])).map(async (node) => {
        const cluster = await node.cluster().catch(() => undefined);
        if (cluster !== undefined) recorder.stamps.push({ replica: node.id, incarnation: cluster.incarnation, atMs: recorder.now(), hlc: cluster.clock.hlc });
      }),
    );
    await pause(STAMP_EVERY_MS, stopping);
  }
}

function judge(scenario: Scenario, outcome: Outcome): readonly Row[] {
  const shared: readonly Hypothesis[] = [nobodyEnded, failuresAreTyped, equalWithin(scenario.equalWithinMs ?? EQUAL_WITHIN_MS)];
  const rows: Row[] = [...scenario.hypotheses, ...shared].map(({ promise, measure }) => {
    const { kept, measured } = measure(outcome);
    return { promised: promise, measured, verdict: kept ? "kept" : "broken" };
  });
  return [...rows, ...checkRows(outcome.checks)];
}

/** The checkers that had something to look at. */
export function checkRows({ results }: Outcome["checks"]): readonly Row[] {
  return results.flatMap(({ checker, promise, verdict }): Row[] => {
    const promised = `${checker}: ${promise}`;
    if (verdict.kind === "ok") return verdict.checked === 0 ? [] : [{ promised, measured: `${verdict.checked} looked at, no violation`, verdict: "kept" }];
    if (verdict.kind === "undecided") return [{ promised, measured: verdict.why, verdict: "undecided" }];
    const told = verdict.violations.slice(0, 5).map(({ happened }) => happened).join(" · ");
    return [{ promised, measured: `${verdict.violations.length + verdict.left} violations: ${told}`, verdict: "broken" }];
  });
}

export function worstOf(rows: readonly { readonly verdict: VerdictKind }[]): VerdictKind {
  const verdicts = new Set(rows.map(({ verdict }) => verdict));
  return verdicts.has("broken") ? "broken" : verdicts.has("undecided") ? "undecided" : verdicts.has("kept") ? "kept" : "skipped";
}
