/** Many changes in one region, as fast as it takes them. */
import type { ReplicaProcess } from "./replica-process.js";

export const INCIDENTS = "/v1/pages/default/incidents";
const DOCUMENTS = 50;
const WRITERS = 50;

export interface Backlog {
  readonly acknowledged: number;
  /** Incident → bodies of the updates that were acknowledged. */
  readonly bodies: ReadonlyMap<string, readonly string[]>;
}

/** Posts updates to incidents until so many are acknowledged, or the time is over. */
export async function writeBacklog(node: ReplicaProcess, count: number, withinMs: number, stopping: AbortSignal, say: (acknowledged: number) => void): Promise<Backlog> {
  const bodies = new Map<string, string[]>();
  for (let i = 0; i < DOCUMENTS; i++) bodies.set(String((await node.post(INCIDENTS, { name: `backlog ${i}` })).body["id"]), []);
  const incidents = [...bodies.keys()];
  const until = performance.now() + withinMs;
  let next = 0;
  let acknowledged = 0;
  await Promise.all(
    Array.from({ length: WRITERS }, async () => {
      while (next < count && performance.now() < until && !stopping.aborted) {
        const number = next++;
        const id = incidents[number % incidents.length] ?? "";
        const body = `change ${number}`;
        const answer = await node.post(`${INCIDENTS}/${id}/updates`, { body }, { patienceMs: 30_000 }).catch(() => undefined);
        if (answer?.status !== 201) continue;
        bodies.get(id)?.push(body);
        acknowledged++;
        if (acknowledged % 1_000 === 0) say(acknowledged);
      }
    }),
  );
  return { acknowledged, bodies };
}
