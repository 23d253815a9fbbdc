/** A page chooses for a field which of concurrent values is shown: the same in every region, also while it changes its mind on both sides of a cut. */
import t from "tap";
import { isFault } from "../../src/core/errors.js";
import { createComponent, patchComponent } from "../../src/features/components/commands.js";
import { presentComponent } from "../../src/features/components/component.js";
import { createPage, patchPage } from "../../src/features/pages/commands.js";
import { presentPage, type PagePatch } from "../../src/features/pages/page.js";
import type { ReplicaNode } from "../../src/node.js";
import { readOne } from "../../src/store/resource-queries.js";
import { Cluster, write } from "./cluster.js";

const NAMES = ["us-east", "eu-west", "ap-south"];

async function shownIn(node: ReplicaNode, level: "LOCAL" | "GLOBAL_QUORUM" = "LOCAL") {
  const result = await node.read(readOne("p", "component", "api", presentComponent), { level });
  if (isFault(result)) throw new Error(result.detail);
  return { ...(JSON.parse(result.value.body) as Record<string, unknown>), etag: result.value.etag };
}

async function rulesIn(node: ReplicaNode): Promise<unknown> {
  const result = await node.read(readOne("~", "page", "p", presentPage), { level: "LOCAL" });
  return isFault(result) ? result : (JSON.parse(result.value.body) as Record<string, unknown>)["conflict_rules"];
}

/** The regions' clocks are one clock here: a write that must be later is made in a later millisecond. */
async function nextMillisecond(cluster: Cluster): Promise<void> {
  const now = Date.now();
  await cluster.settled("the clock has moved on", () => Date.now() > now);
}

/** A component whose name and status were written in two regions at once: `earlier` there first. */
async function contested(rules: PagePatch["conflict_rules"]): Promise<Cluster> {
  const cluster = new Cluster();
  await cluster.start();
  await cluster.voting();
  const [us, eu] = [cluster.node("us-east"), cluster.node("eu-west")];
  await write(us, createPage("p", { name: "P", ...(rules === undefined ? {} : { conflict_rules: rules }) }));
  await write(us, createComponent("p", "api", { name: "API" }));
  await cluster.converged();
  cluster.isolate("us-east-1");
  await write(us, patchComponent("p", "api", { name: "earlier", status: "partial_outage" }));
  await nextMillisecond(cluster);
  await write(eu, patchComponent("p", "api", { name: "later", status: "degraded_performance" }));
  return cluster;
}

async function same(test: Tap, cluster: Cluster, expected: Record<string, unknown>, what: string): Promise<string> {
  const found = await Promise.all(NAMES.map((name) => shownIn(cluster.node(name))));
  for (const [index, name] of NAMES.entries()) test.match(found[index], expected, `${what}, in ${name}`);
  test.equal(new Set(found.map(({ etag }) => etag)).size, 1, `${what}: one ETag`);
  return String(found[0]?.etag);
}
type Tap = Pick<typeof t, "match" | "equal">;

t.test("without a choice the later name and the worst status are shown; with one, what the page chose, and the ETag tells", async (t) => {
  await using cluster = await contested(undefined);
  cluster.rejoin("us-east-1");
  await cluster.converged();
  const before = await same(t, cluster, { name: "later", status: "partial_outage", has_conflicts: true }, "built in");
  await write(cluster.node("ap-south"), patchPage("p", { conflict_rules: { "component.name": "custom:earliest", "component.status": "lww" } }));
  await cluster.converged();
  const chosen = await same(t, cluster, { name: "earlier", status: "degraded_performance", has_conflicts: true }, "chosen");
  t.not(chosen, before);
  t.match(await shownIn(cluster.node("eu-west"), "GLOBAL_QUORUM"), { name: "earlier" });
  await cluster.stop("eu-west-1");
  await cluster.start("eu-west-1");
  t.match(await shownIn(cluster.node("eu-west")), { name: "earlier", status: "degraded_performance", etag: chosen }, "also after a restart");
  await write(cluster.node("eu-west"), patchPage("p", { conflict_rules: { "component.name": null } }));
  await cluster.converged();
  await same(t, cluster, { name: "later", status: "degraded_performance" }, "one choice taken back");
  t.same(await rulesIn(cluster.node("us-east")), { "component.status": "lww" });
  await write(cluster.node("eu-west"), patchPage("p", { conflict_rules: null }));
  await cluster.converged();
  t.equal(await same(t, cluster, { name: "later", status: "partial_outage" }, "all taken back"), before);
});

t.test("a page that changes its rules on both sides of a cut shows the same everywhere afterwards", async (t) => {
  await using cluster = await contested({ "component.name": "custom:earliest", "component.status": "custom:best" });
  await write(cluster.node("us-east"), patchPage("p", { conflict_rules: { "component.status": "worst" } }));
  await nextMillisecond(cluster);
  await write(cluster.node("eu-west"), patchPage("p", { conflict_rules: { "component.status": "custom:earliest", "component.name": "lww" } }));
  cluster.rejoin("us-east-1");
  await cluster.converged();
  await same(t, cluster, { name: "later", status: "partial_outage" }, "the later choice for each field");
  for (const name of NAMES) t.same(await rulesIn(cluster.node(name)), { "component.name": "lww", "component.status": "custom:earliest" });
  t.same(cluster.fatals, []);
});
