/** Status over time, kept by replicas on disks that outlive them. */
import t from "tap";
import { isFault } from "../../src/core/errors.js";
import { systemTimers } from "../../src/io/system-clock.js";
import type { ReplicaNode } from "../../src/node.js";
import { ComponentHistory } from "../../src/store/component-history.js";
import { StatusFold, type Transition } from "../../src/store/status-fold.js";
import { keyspace } from "../../src/store/keyspace.js";
import { Cluster, component, setting, write } from "./cluster.js";

const STATUSES = ["operational", "degraded_performance", "partial_outage", "major_outage"];
const fails = (error: unknown): void => {
  throw error;
};
const historyOf = (data: ReplicaNode) => new ComponentHistory({ data, timers: systemTimers, failed: fails }, { componentsMax: 100, writeAfterMs: 5 });

async function kept(history: ComponentHistory, id: string): Promise<readonly Transition[]> {
  const transitions = await history.transitions("default", id);
  if (isFault(transitions)) throw new Error(transitions.detail);
  return transitions;
}

async function rebuilt(node: ReplicaNode, id: string): Promise<readonly Transition[]> {
  const changes = await node.changes(component(id));
  if (isFault(changes)) throw new Error(changes.detail);
  return StatusFold.of(changes).transitions;
}

async function flap(cluster: Cluster, node: ReplicaNode, id: string, times: number, from = 0): Promise<void> {
  for (let i = from; i < from + times; i++) {
    await cluster.later();
    await write(node, setting(id, { status: STATUSES[i % STATUSES.length] ?? "" }));
  }
}

t.test("after a restart the history of a hundred components is there without their changes being read", async (t) => {
  await using cluster = new Cluster({ regions: ["us-east"] });
  await cluster.start();
  const ids = Array.from({ length: 100 }, (_, i) => `c-${i}`);
  const before = historyOf(cluster.node("us-east"));
  for (const id of ids) await flap(cluster, cluster.node("us-east"), id, 3);
  await before.close();
  await cluster.stop("us-east-1");
  await cluster.start("us-east-1");
  const after = historyOf(cluster.node("us-east"));
  for (const id of ids) t.strictSame(await kept(after, id), await rebuilt(cluster.node("us-east"), id));
  t.equal(after.rebuilt, 0, "no history was folded anew");
  t.equal((await kept(after, "c-1")).length, 3);
  await after.close();
});

t.test("what came after a history was written down is taken in from the log, and from the archive once it is there", async (t) => {
  await using cluster = new Cluster({ regions: ["us-east"], limits: { logEntriesKept: 10, trimEveryMs: 10 } });
  await cluster.start();
  const first = historyOf(cluster.node("us-east"));
  await flap(cluster, cluster.node("us-east"), "api", 4);
  await first.close();
  await flap(cluster, cluster.node("us-east"), "api", 3);
  await cluster.stop("us-east-1");
  await cluster.start("us-east-1");
  const second = historyOf(cluster.node("us-east"));
  t.strictSame(await kept(second, "api"), await rebuilt(cluster.node("us-east"), "api"));
  t.equal(second.rebuilt, 0);
  await second.close();
  // Nobody looks while these come, and they leave the log.
  await flap(cluster, cluster.node("us-east"), "api", 40);
  await cluster.settled("they are archived", async () => {
    let left = 0;
    for await (const page of cluster.disk("us-east-1").storage.scan(keyspace.changes(component("api")))) left += page.length;
    return left <= 10;
  });
  const third = historyOf(cluster.node("us-east"));
  t.strictSame(await kept(third, "api"), await rebuilt(cluster.node("us-east"), "api"));
  t.equal(third.rebuilt, 1, "part of it was only in the archive");
  await third.close();
});

t.test("both sides of a cut have the same history once it is over, and keep it across a restart", async (t) => {
  await using cluster = new Cluster();
  await cluster.start();
  await cluster.voting();
  const histories = new Map(cluster.names.map((name) => [name, historyOf(cluster.node(name))]));
  await flap(cluster, cluster.node("us-east"), "api", 2);
  await cluster.converged();
  for (const history of histories.values()) await kept(history, "api");
  cluster.isolate("ap-south-1");
  // Each side's changes lie between those of the other.
  for (let i = 0; i < 6; i++) await flap(cluster, cluster.node(i % 2 === 0 ? "us-east" : "ap-south"), "api", 2, i);
  cluster.rejoin("ap-south-1");
  await cluster.converged();
  const expected = await rebuilt(cluster.node("us-east"), "api");
  t.ok(expected.length > 4, `${expected.length} transitions`);
  for (const [name, history] of histories) {
    t.strictSame(await kept(history, "api"), expected, name);
    t.ok(name === "eu-west-1" || history.rebuilt > 0, `${name} had to begin anew`);
    await history.close();
    await cluster.stop(name);
    await cluster.start(name);
    const again = historyOf(cluster.node(name));
    t.strictSame(await kept(again, "api"), expected, `${name} after its restart`);
    t.equal(again.rebuilt, 0);
    await again.close();
  }
});
