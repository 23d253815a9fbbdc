/** What a region takes: memory and time to start by documents held, disk by updates written. */
import { ClassicLevel } from "classic-level";
import path from "node:path";
import { CONNECTIONS, RUNS, type BenchWorld } from "./bench.js";
import { until } from "./children.js";
import { populate } from "./catch-up.bench.js";
import { AUTHORIZATION, Cluster, UPDATE_BODY } from "./cluster.js";
import { sampleOf, type Goal } from "./measurement.js";

const MEMORY_GOALS: Readonly<Record<number, Goal>> = {
  10000: { text: "≤ 250 MiB", of: "value", atMost: 250 },
  100000: { text: "≤ 600 MiB", of: "value", atMost: 600 },
};

export async function footprint({ load, quick, found }: BenchWorld): Promise<void> {
  await using cluster = await Cluster.start();
  const region = cluster.at("us-east");
  const emptyMiB = region.residentMiB();
  const emptyStarts: number[] = [];
  for (let run = 0; run < 3; run++) {
    await region.stop();
    emptyStarts.push(await region.start());
  }
  const counts = quick ? [2_000, 5_000] : [10_000, 100_000];
  let held = 0;
  for (const count of counts) {
    await populate(load, region, count - held);
    held = count;
    await cluster.equal();
    const goal = MEMORY_GOALS[count];
    for (const [name, place] of [["the region that took them", "us-east"], ["a region that received them", "eu-west"]] as const) {
      found({
        metric: `resident memory, ${count.toLocaleString("en-US")} documents, ${name}`, unit: "MiB", value: cluster.at(place).residentMiB(),
        beside: { name: "started, empty", value: emptyMiB }, ...(goal === undefined ? {} : { goal }), note: "right after the writes",
      });
    }
  }
  const starts: number[] = [];
  const memory: number[] = [];
  for (let run = 0; run < (quick ? 2 : RUNS); run++) {
    await region.stop();
    starts.push(await region.start());
    await cluster.linked();
    memory.push(region.residentMiB());
  }
  found({
    metric: `start to listening, ${held.toLocaleString("en-US")} documents`, unit: "ms", value: sampleOf(starts), beside: { name: "empty", value: sampleOf(emptyStarts) },
    goal: { text: "≤ 3 s", of: "value", atMost: 3_000 }, note: "from the spawning of the process",
  });
  const goal = MEMORY_GOALS[held];
  found({
    metric: `resident memory, ${held.toLocaleString("en-US")} documents, after a restart`, unit: "MiB", value: sampleOf(memory), beside: { name: "started, empty", value: emptyMiB }, ...(goal === undefined ? {} : { goal }),
  });
}

/** The store's files change while changes are folded and logs trimmed: wait until their size stays. */
const SETTLED_MS = 4_000;
const SETTLE_MS_MAX = 45_000;

export async function disk({ load, quick, found }: BenchWorld): Promise<void> {
  const updates = quick ? 3_000 : 60_000;
  await using cluster = await Cluster.start();
  const region = cluster.at("us-east");
  const ids = await region.openIncidents(50);
  await load.run({
    base: region.base, headers: AUTHORIZATION, connections: CONNECTIONS, count: updates,
    requests: ids.map((id) => ({ method: "POST", path: `/v1/pages/default/incidents/${id}/updates`, body: UPDATE_BODY })),
  });
  await cluster.equal();
  await settled(() => region.diskBytes());
  await region.stop();
  const stoppedBytes = region.diskBytes();
  const level = new ClassicLevel<string, Uint8Array>(path.join(region.data, "store"), { valueEncoding: "view", createIfMissing: false });
  await level.open();
  await level.compactRange("", "\uffff");
  await level.close();
  const jsonBytes = Buffer.byteLength(UPDATE_BODY);
  const common = { unit: "bytes", beside: { name: "the update's JSON as sent", value: jsonBytes } } as const;
  found({ ...common, metric: `disk per update, ${updates.toLocaleString("en-US")} updates, stopped`, value: stoppedBytes / updates, note: "all files of the data folder, LevelDB as it was left" });
  found({ ...common, metric: `disk per update, ${updates.toLocaleString("en-US")} updates, compacted`, value: region.diskBytes() / updates, goal: { text: "≤ 3 ×", of: "ratio", atMost: 3 }, note: "after a compaction of the whole store; log entries that are kept included" });
}

async function settled(size: () => number): Promise<void> {
  let last = -1;
  let sinceMs = performance.now();
  const started = sinceMs;
  await until("the store's size stays", async () => {
    const now = performance.now();
    const current = size();
    if (current !== last) sinceMs = now;
    last = current;
    return now - sinceMs > SETTLED_MS || now - started > SETTLE_MS_MAX;
  }, 2 * SETTLE_MS_MAX, 200);
}
