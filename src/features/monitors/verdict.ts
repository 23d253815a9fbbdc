/**
 * What the regions agree on: a pure function of a monitor, the regions' opinions, who is present, the verdict before, and the time.
 *
 * Invariants:
 *  1. Equal inputs, equal verdict: no region asks another, and all compute the same.
 *  2. Nobody's opinion counts who is absent, who says that it cannot tell, or who does not watch this monitor.
 *  3. A region that is present and was not yet able to say anything counts among those of whom a majority is needed; of a
 *     heartbeat only the regions that it calls can ever say anything.
 *  4. No verdict hangs on a region that came or went so lately that other replicas may not know it yet: one would end an
 *     outage with the opinions with which another begins the next.
 *  5. `since` is when the last of the regions that were needed came to its opinion, not when somebody noticed.
 */
import type { Monitor } from "./monitor.js";
import type { State, StampedOpinion, Verdict } from "./opinion.js";

export interface VerdictInput {
  readonly monitor: Monitor;
  readonly opinions: readonly StampedOpinion[];
  /** Regions whose opinions are fresh. */
  readonly present: ReadonlySet<string>;
  /** Regions that came or went lately: others may not count the same of them yet. */
  readonly unsettled: ReadonlySet<string>;
  readonly before: Verdict;
  /** ms since the epoch. */
  readonly nowMs: number;
}

export interface Judgement {
  readonly state: State;
  /** ms since the epoch; null if no verdict was ever reached. */
  readonly since: number | null;
  /** When the same inputs may give another verdict, ms since the epoch; null: not by time alone. */
  readonly dueAtMs: number | null;
}

/** Opinions that change this often within the window are flapping; each further change holds a recovery back by an interval. */
export const FLAPPING_CHANGES = 5;
export const FLAPPING_WINDOW_MS = 15 * 60_000;
export const FLAPPING_HOLD_MAX_MS = 10 * 60_000;

/** How long a monitor may take until every region has looked at it once, ms. */
export function firstLookMs(monitor: Monitor): number {
  return 2 * monitor.intervalMs + (monitor.retries + 1) * (monitor.timeoutMs + monitor.retryDelayMs);
}

interface Candidate {
  readonly state: State;
  readonly reachedAtMs: number;
}

/** The opinions that count, and of how many regions a majority is needed. */
export function countedOpinions({ monitor, opinions, present, nowMs }: VerdictInput): { readonly counted: readonly StampedOpinion[]; readonly voters: number } {
  const watches = (region: string): boolean => present.has(region) && (monitor.regions === null || monitor.regions.includes(region));
  const counted = opinions.filter(({ region, state }) => state !== "unknown" && watches(region));
  const silent = monitor.type === "heartbeat" || nowMs - monitor.createdAtMs >= firstLookMs(monitor) ? [] : [...present].filter((region) => watches(region) && opinions.every((opinion) => opinion.region !== region));
  return { counted, voters: counted.length + silent.length };
}

function candidate(input: VerdictInput): Candidate | undefined {
  const { monitor, opinions, nowMs } = input;
  const { counted, voters } = countedOpinions(input);
  if (counted.length === 0) {
    if (opinions.length === 0) return undefined;
    return { state: "unknown", reachedAtMs: Math.min(nowMs, Math.max(...opinions.map(({ since }) => since))) };
  }
  const quorum = monitor.quorum ?? Math.floor(voters / 2) + 1;
  const sinces = (states: readonly State[]): number[] => counted.filter(({ state }) => states.includes(state)).map(({ since }) => since).sort((a, b) => a - b);
  for (const [state, states] of [["down", ["down"]], ["degraded", ["down", "degraded"]]] as const) {
    const reachedAtMs = sinces(states)[quorum - 1];
    if (reachedAtMs !== undefined) return { state, reachedAtMs };
  }
  // Up: so many regions see it up that those which do not are too few.
  const good = sinces(["up"]);
  if (good.length === 0) return undefined;
  return { state: "up", reachedAtMs: good[Math.max(0, Math.min(good.length - 1, voters - quorum))] ?? nowMs };
}

/** How much longer a recovery must last because the opinions change so often, ms. */
function flappingHoldMs(input: VerdictInput): number {
  const { counted } = countedOpinions(input);
  const recent = Math.max(0, ...counted.map(({ changes }) => changes.filter((at) => input.nowMs - at < FLAPPING_WINDOW_MS).length));
  return recent < FLAPPING_CHANGES ? 0 : Math.min(FLAPPING_HOLD_MAX_MS, (recent - FLAPPING_CHANGES + 2) * input.monitor.intervalMs);
}

const SEVERITY: Readonly<Record<State, number>> = { up: 0, unknown: 0, degraded: 1, down: 2 };
/** True if a state is worse than another. */
export const isWorse = (state: State, than: State): boolean => SEVERITY[state] > SEVERITY[than];
const SEVERITIES = [...new Set(Object.values(SEVERITY))];

/** The verdict, unless it hangs on a region that is unsettled: then the one before stays. */
export function judge(input: VerdictInput): Judgement {
  const judgement = judgementOf(input);
  const { before, opinions, present, unsettled } = input;
  if (judgement.state === before.state || unsettled.size === 0) return judgement;
  const settled = [...present].filter((region) => !unsettled.has(region));
  const severity = (region: string): number => SEVERITY[opinions.find((opinion) => opinion.region === region)?.state ?? "up"];
  // What some replica may count: those of the unsettled regions that see it worse than others, or better, in the extreme all or none.
  const counts = SEVERITIES.flatMap((bound) => [
    [...unsettled].filter((region) => severity(region) >= bound),
    [...unsettled].filter((region) => severity(region) < bound),
  ]);
  const isPlain = counts.every((counted) => judgementOf({ ...input, present: new Set([...settled, ...counted]) }).state === judgement.state);
  return isPlain ? judgement : { state: before.state, since: before.since, dueAtMs: null };
}

function judgementOf(input: VerdictInput): Judgement {
  const { monitor, before, nowMs } = input;
  const stay = (dueAtMs: number | null): Judgement => ({ state: before.state, since: before.since, dueAtMs });
  if (monitor.paused) return before.state === "unknown" ? stay(null) : { state: "unknown", since: nowMs, dueAtMs: null };
  const next = candidate(input);
  const firstLookAtMs = monitor.createdAtMs + firstLookMs(monitor);
  if (next === undefined) return stay(nowMs < firstLookAtMs ? firstLookAtMs : null);
  if (next.state === before.state) return stay(null);
  const worsens = SEVERITY[next.state] > SEVERITY[before.state] || (next.state === "down" && before.state === "unknown");
  const holdMs = next.state === "unknown" || (before.state === "unknown" && next.state !== "down" && !before.failing) ? 0 : worsens ? monitor.confirmMs : monitor.recoverMs + flappingHoldMs(input);
  const dueAtMs = next.reachedAtMs + holdMs;
  if (nowMs < dueAtMs) return stay(dueAtMs);
  return { state: next.state, since: Math.max(next.reachedAtMs, before.since ?? 0), dueAtMs: null };
}

/** The verdict that follows from a judgement: a new outage begins where the monitor was not failing before. */
export function verdictAfter(before: Verdict, judgement: Judgement): Verdict {
  if (judgement.state === before.state && judgement.since === before.since) return before;
  const begins = judgement.state === "down" && !before.failing;
  const failing = judgement.state === "down" || (judgement.state === "unknown" && before.failing);
  return {
    state: judgement.state, since: judgement.since, failing, outage: before.outage + (begins ? 1 : 0), incident: begins ? null : before.incident,
    component: before.component,
  };
}
