/** The steady-state hypotheses that scenarios share. */
import type { Operation } from "../src/sim/history.js";
import type { Interval } from "./recorder.js";
import type { Hypothesis, Outcome } from "./scenario.js";

/** A process that ends takes its connections along a moment before or after this is noted. */
const MARGIN_MS = 300;
/** How soon after the last change a majority must be of use again. */
const QUORUM_AGAIN_MS = 6_000;

const isLocal = ({ level }: Operation): boolean => level !== "GLOBAL_QUORUM";
const isFailed = ({ outcome }: Operation): boolean => outcome === "rejected" || outcome === "unknown" || outcome === "unreachable";

function endOf(operation: Operation): number {
  return operation.returnedAtMs ?? Number.POSITIVE_INFINITY;
}

function meets(operation: Operation, intervals: readonly Interval[]): boolean {
  return intervals.some(({ replica, fromMs, untilMs }) => replica === operation.replica && fromMs - MARGIN_MS <= endOf(operation) && untilMs + MARGIN_MS >= operation.invokedAtMs);
}

/** LOCAL (and LOCAL_QUORUM of one replica) requests to a replica that ran. */
export const localServes: Hypothesis = {
  promise: "LOCAL requests succeed in every region that runs; only a session that has seen what has not arrived there may be told so (503 session-behind).",
  measure: ({ history, stage }) => {
    const asked = history.operations.filter((operation) => isLocal(operation) && !meets(operation, stage.world.unavailable));
    const failed = asked.filter(isFailed);
    const behind = failed.filter(({ id }) => stage.recorder.problems.get(id) === "/problems/session-behind");
    const broken = failed.filter((operation) => !behind.includes(operation));
    return { kept: broken.length === 0 && asked.length > 0, measured: `${asked.length} requests, ${broken.length} failed, ${behind.length} session-behind${examples(broken, stage.recorder.problems)}` };
  },
};

/** GLOBAL_QUORUM requests to a replica with a majority in reach. */
export const quorumServes: Hypothesis = {
  promise: `GLOBAL_QUORUM requests succeed where a majority of the regions is in reach, from ${QUORUM_AGAIN_MS / 1_000} s after the last change of links and processes.`,
  measure: ({ history, stage }) => {
    const { changes, problems } = stage.recorder;
    const isCalm = ({ invokedAtMs, returnedAtMs = Number.POSITIVE_INFINITY }: Operation): boolean => !changes.some((at) => at > invokedAtMs - QUORUM_AGAIN_MS && at < returnedAtMs);
    const asked = history.operations.filter((operation) => !isLocal(operation) && isCalm(operation) && !meets(operation, stage.world.reach.majorityInDoubt) && !meets(operation, stage.world.unavailable));
    const failed = asked.filter(isFailed);
    return { kept: failed.length === 0, measured: `${asked.length} requests, ${failed.length} failed${examples(failed, problems)}` };
  },
};

/** Without a majority nothing is decided. `least`: so many requests must have shown it. */
export const quorumNeedsMajority = (least = 1): Hypothesis => ({
  promise: "GLOBAL_QUORUM requests are never acknowledged without a majority in reach.",
  measure: ({ history, stage }) => {
    // Wholly inside, and long enough after the cut that nothing from before it is still on the way.
    const inside = history.operations.filter((operation) => !isLocal(operation) && stage.world.reach.withoutMajority.some(({ replica, fromMs, untilMs }) => replica === operation.replica && fromMs + MARGIN_MS < operation.invokedAtMs && endOf(operation) < untilMs - MARGIN_MS));
    const acknowledged = inside.filter(({ outcome }) => outcome === "ok");
    return { kept: acknowledged.length === 0 && inside.length >= least, measured: `${inside.length} requests without a majority, ${acknowledged.length} acknowledged` };
  },
});

/** What fails, fails as the contract says. */
export const failuresAreTyped: Hypothesis = {
  promise: "What fails, fails with 503 and says whether it was rejected or is unknown; no answer at all only comes from a replica that does not run.",
  measure: ({ history, stage }) => {
    const failed = history.operations.filter(isFailed);
    const wrong = failed.filter((operation) => (operation.outcome === "unreachable" ? !meets(operation, stage.world.unavailable) : operation.status !== 503));
    const tally = new Map<string, number>();
    for (const { id, outcome } of failed) {
      const what = `${(stage.recorder.problems.get(id) ?? "no answer").replace("/problems/", "")} ${outcome === "unreachable" ? "" : outcome}`.trim();
      tally.set(what, (tally.get(what) ?? 0) + 1);
    }
    const said = [...tally].map(([what, count]) => `${count} ${what}`).join(", ");
    return { kept: wrong.length === 0, measured: `${failed.length} of ${history.operations.length} failed${said === "" ? "" : ` (${said})`}; ${wrong.length} not so${examples(wrong, stage.recorder.problems)}` };
  },
};

export const nobodyEnded: Hypothesis = {
  promise: "No process ends that nobody has ended.",
  measure: ({ stage: { world } }) => ({ kept: world.endedByThemselves.length === 0, measured: world.endedByThemselves.length === 0 ? "none did" : world.endedByThemselves.join("; ") }),
};

export function equalWithin(ms: number): Hypothesis {
  return {
    promise: `All regions are equal within ${ms / 1_000} s of healing.`,
    measure: ({ history: { healedAtMs, convergedAtMs } }) => {
      if (healedAtMs === undefined || convergedAtMs === undefined) return { kept: false, measured: "they were not" };
      const tookMs = convergedAtMs - healedAtMs;
      return { kept: tookMs <= ms, measured: `after ${(tookMs / 1_000).toFixed(1)} s, load of that time included` };
    },
  };
}

/** A fault that did not take place proves nothing. */
export function tookPlace(promise: string, measure: (outcome: Outcome) => { readonly kept: boolean; readonly measured: string }): Hypothesis {
  return { promise: `The fault took place: ${promise}`, measure };
}

export const refusesConnections: Hypothesis = tookPlace("proxies refused connections.", ({ stage }) => {
  const refused = Number(stage.notes.get("refused") ?? 0);
  return { kept: refused > 0 || !stage.world.offersCorruption, measured: stage.world.offersCorruption ? `${refused} refused` : "the server does not count" };
});

/** A figure that the scenario noted. */
export function noted(promise: string, note: string, isKept: (value: number | string) => boolean): Hypothesis {
  return {
    promise,
    measure: ({ stage }) => {
      const value = stage.notes.get(note);
      return { kept: value !== undefined && isKept(value), measured: value === undefined ? "not seen" : `${note}: ${value}` };
    },
  };
}

function examples(operations: readonly Operation[], problems: ReadonlyMap<number, string>): string {
  const told = operations.slice(0, 3).map((one) => `#${one.id} ${one.kind} at ${one.replica} ${one.level} ${(one.invokedAtMs / 1_000).toFixed(1)} s: ${one.status ?? "no answer"} ${problems.get(one.id) ?? ""}`.trim());
  return told.length === 0 ? "" : `; such as ${told.join("; ")}`;
}
