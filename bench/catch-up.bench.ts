/** A region whose disk was emptied fetches everything; beside it automerge-repo, which syncs as many documents to a new peer. */
import { CONNECTIONS, type BenchWorld } from "./bench.js";
import { Child, until } from "./children.js";
import { AUTHORIZATION, Cluster, type RegionProcess } from "./cluster.js";
import type { LoadTool } from "./load.js";
import { sampleOf } from "./measurement.js";

const PEER_MS_MAX = 60_000;
/** It looks at the clock between its own turns only, which may take minutes on a slow machine. */
const PEER_ANSWERS_MS = PEER_MS_MAX + 300_000;

/** Opens so many incidents, each with a first update. */
export async function populate(load: LoadTool, region: RegionProcess, count: number): Promise<void> {
  const body = JSON.stringify({ name: "Slow answers", body: "We are looking into reports of slow answers in one of our regions. Retries usually succeed." });
  await load.run({ base: region.base, headers: AUTHORIZATION, connections: CONNECTIONS, count, requests: [{ method: "POST", path: "/v1/pages/default/incidents", body }] });
}

export async function catchUp({ load, quick, found }: BenchWorld): Promise<void> {
  const documents = quick ? 1_000 : 10_000;
  const fromStart: number[] = [];
  const fromLink: number[] = [];
  {
    await using cluster = await Cluster.start();
    await populate(load, cluster.at("us-east"), documents);
    await cluster.equal();
    const wanted = (await cluster.at("us-east").state()).merkle_root;
    const emptied = cluster.at("ap-south");
    for (let run = 0; run < (quick ? 1 : 5); run++) {
      await emptied.stop();
      await emptied.wipe();
      const startMs = await emptied.start();
      const caughtUpMs = await until("the emptied region holds everything", async () => {
        const { merkle_root, voting } = await emptied.state();
        return merkle_root === wanted && voting;
      });
      fromStart.push(startMs + caughtUpMs);
      fromLink.push(Date.now() - emptied.firstLinkAtMs());
    }
  }
  const name = `an empty region catches up ${documents.toLocaleString("en-US")} documents`;
  found({ metric: `${name}, from the start of its process, until it votes`, unit: "ms", value: sampleOf(fromStart), goal: { text: "≤ 10 s", of: "value", atMost: 10_000 } });
  const peer = await automergeRepo(documents);
  found({
    metric: `${name}, from its first link`, unit: "ms", value: sampleOf(fromLink),
    beside: { name: "automerge-repo, from connecting", value: peer.ms }, goal: { text: "≤ 0.05 ×", of: "ratio", atMost: 0.05 }, note: `ours on disk, verified and voting; ${peer.note}`,
  });
}

/** Two processes, no disk on either side. Gives the time of all documents, reckoned from those that came if time ran out. */
async function automergeRepo(documents: number): Promise<{ readonly ms: number; readonly note: string }> {
  const source = Child.program("automerge-repo-worker.ts", ["source", String(documents)]);
  try {
    const { port } = await source.message<{ port: number }>(PEER_ANSWERS_MS);
    const sink = Child.program("automerge-repo-worker.ts", ["sink", String(documents), String(port), String(PEER_MS_MAX)]);
    try {
      const { ready, ms } = await sink.message<{ ready: number; ms: number }>(PEER_ANSWERS_MS);
      if (ready === 0) throw new Error("automerge-repo synced nothing");
      const isWhole = ready >= documents;
      return { ms: isWhole ? ms : (ms * documents) / ready, note: isWhole ? "automerge-repo without a disk" : `automerge-repo without a disk, reckoned from ${ready} documents in ${PEER_MS_MAX / 1_000} s` };
    } finally {
      await sink.stop();
    }
  } finally {
    await source.stop();
  }
}
