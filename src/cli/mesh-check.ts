/** Whether replicas see each other. */
import { pause, systemClock } from "../io/system-clock.js";

const POLL_MS = 100;
const ANSWER_MS = 2_000;

interface Target {
  readonly replica: string;
  /** Base URL. */
  readonly http: string | undefined;
}

/**
 * Polls the replicas until each sees all of its peers as `up`, for at most `waitMs`. Returns what is missing, one sentence part a
 * replica, nothing if the mesh is whole. Without a key it can only ask whether they are ready.
 */
export async function missingFromMesh(targets: readonly Target[], key: string | undefined, waitMs: number, stopping: AbortSignal): Promise<readonly string[]> {
  const deadline = systemClock.monotonic() + waitMs;
  for (;;) {
    const missing = (await Promise.all(targets.map((target) => missingAt(target, key)))).filter((part) => part !== undefined);
    if (missing.length === 0 || stopping.aborted || systemClock.monotonic() >= deadline) return missing;
    await pause(POLL_MS, stopping);
  }
}

async function missingAt({ replica, http }: Target, key: string | undefined): Promise<string | undefined> {
  if (http === undefined) return `${replica} does not listen`;
  try {
    const signal = AbortSignal.timeout(ANSWER_MS);
    if (key === undefined) {
      const ready = await fetch(`${http}/readyz`, { signal });
      const state = (await ready.json()) as { level?: unknown; degradation?: { level?: unknown } };
      const level = state.level ?? state.degradation?.level;
      return ready.ok && (typeof level !== "number" || level < 3) ? undefined : `${replica} is not ready`;
    }
    const answer = await fetch(`${http}/v1/cluster`, { headers: { authorization: `Bearer ${key}` }, signal });
    if (answer.status === 401 || answer.status === 403) return `${replica} does not take the key`;
    if (!answer.ok) return `${replica} answers ${answer.status}`;
    const { peers } = (await answer.json()) as { peers: readonly { replica: string; state: string }[] };
    const away = peers.filter((peer) => peer.state !== "up").map((peer) => peer.replica);
    return away.length === 0 ? undefined : `${replica} does not reach ${away.join(" and ")}`;
  } catch {
    return `${replica} does not answer`;
  }
}
