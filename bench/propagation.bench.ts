/** From the answer to a change of a page's branding in one region until the page of each edge has it, and until that is told. */
import { RUNS, type BenchWorld } from "./bench.js";
import { Cluster, type RegionProcess } from "./cluster.js";
import { percentile, sampleOf } from "./measurement.js";
import { roundTripMs, type Region } from "./regions.js";

const SOURCE: Region = "us-east";
const PLACES = ["eu-west", "ap-south"] as const satisfies readonly Region[];
const CHANGES_PER_RUN = 40;
const BETWEEN_MS = 30;
const PATIENCE_MS = 10_000;
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** ms from `answeredAt` until `condition` is met. */
async function after(answeredAt: number, what: string, condition: () => Promise<boolean>): Promise<number> {
  for (;;) {
    const isMet = await condition();
    const elapsed = performance.now() - answeredAt;
    if (isMet) return elapsed;
    if (elapsed > PATIENCE_MS) throw new Error(`${what} was not seen in ${PATIENCE_MS} ms`);
    await pause(1);
  }
}

const shows = async (edge: RegionProcess, colour: string): Promise<boolean> => (await edge.page("/pages/default")).includes(colour);

interface Change {
  /** By place of the edges, ms. */
  readonly shown: readonly number[];
  readonly told: number;
}

/** One change, watched until all edges show it and the source tells so. */
async function change(cluster: Cluster, count: number): Promise<Change> {
  const colour = `#10${(0x1000 + count).toString(16)}`;
  const source = cluster.at(SOURCE);
  const { status, token } = await source.call("PATCH", "/v1/pages/default", { body: { theme: { brand_color: colour } } });
  const answeredAt = performance.now();
  if (status !== 200) throw new Error(`a change of the page was answered ${status}`);
  const told = after(answeredAt, "that all hold it", async () => (await source.call<{ everywhere: boolean }>("GET", `/v1/pages/default/propagation?token=${encodeURIComponent(token)}`)).body.everywhere);
  const shown = PLACES.map((place) => after(answeredAt, `the colour at the edge of ${place}`, () => shows(cluster.edge(place), colour)));
  return { shown: await Promise.all(shown), told: await told };
}

export async function propagation({ quick, found }: BenchWorld): Promise<void> {
  await using cluster = await Cluster.start({ links: "delayed", edges: PLACES });
  let count = 0;
  const run = async (): Promise<readonly Change[]> => {
    const changes: Change[] = [];
    for (let i = 0; i < (quick ? 10 : CHANGES_PER_RUN); i++) {
      changes.push(await change(cluster, count++));
      await pause(BETWEEN_MS);
    }
    return changes;
  };
  await run();
  const runs: (readonly Change[])[] = [];
  for (let i = 0; i < (quick ? 2 : RUNS); i++) runs.push(await run());
  const ofRuns = (share: number, lag: (change: Change) => number) => sampleOf(runs.map((changes) => percentile(changes.map(lag), share)));
  for (const [name, share] of [["p50", 0.5], ["p99", 0.99]] as const) {
    PLACES.forEach((place, i) => {
      found({
        metric: `branding changed in ${SOURCE} → on the page of an edge by ${place}, ${name}`, unit: "ms", value: ofRuns(share, ({ shown }) => shown[i] ?? Number.NaN),
        beside: { name: "one way", value: roundTripMs(SOURCE, place) / 2 }, goal: { text: "< + 300 ms", of: "excess", atMost: 300 },
      });
    });
    found({
      metric: `branding changed in ${SOURCE} → told by \`propagation\` there to be everywhere, ${name}`, unit: "ms", value: ofRuns(share, ({ told }) => told),
      beside: { name: "round trip to ap-south", value: roundTripMs(SOURCE, "ap-south") },
    });
  }
}
