/** Components change their positions while somebody pages through them, in one region after another: each comes exactly once. */
import { randomInt } from "node:crypto";
import t from "tap";
import { isFault } from "../../src/core/errors.js";
import { paginate } from "../../src/api/pagination.js";
import { createComponent, deleteComponent, patchComponent } from "../../src/features/components/commands.js";
import { presentComponent } from "../../src/features/components/component.js";
import { createPage } from "../../src/features/pages/commands.js";
import type { ReplicaNode } from "../../src/node.js";
import { readList } from "../../src/store/resource-queries.js";
import type { RouteContext, RouteRequest } from "../../src/store/route-context.js";
import { Cluster, write } from "./cluster.js";

const NAMES = ["us-east", "eu-west", "ap-south"];
/** The part of the HTTP side that lists need. */
const context = { paginate: (request: RouteRequest, ...rest: never[]) => paginate(request.query as { limit?: number }, ...(rest as unknown as [string, readonly unknown[], never, "ascending"])) } as unknown as RouteContext;

async function pageOf(node: ReplicaNode, cursor: string | null, limit: number, level: "LOCAL" | "GLOBAL_QUORUM" = "LOCAL"): Promise<{ ids: string[]; next: string | null }> {
  const request = { query: { limit, ...(cursor === null ? {} : { cursor }) } } as unknown as RouteRequest;
  const result = await node.read(readList(context, request, "p", "component", "by position", presentComponent), { level });
  if (isFault(result)) throw new Error(result.detail);
  const { data, next_cursor: next } = JSON.parse(result.value.body) as { data: { id: string }[]; next_cursor: string | null };
  return { ids: data.map(({ id }) => id), next };
}

async function filled(count: number): Promise<Cluster> {
  const cluster = new Cluster();
  await cluster.start();
  await cluster.voting();
  await write(cluster.node("us-east"), createPage("p", { name: "P" }));
  for (let i = 0; i < count; i++) await write(cluster.node("us-east"), createComponent("p", `c${i}`, { name: `C ${i}`, position: i }));
  await cluster.converged();
  return cluster;
}

for (const level of ["LOCAL", "GLOBAL_QUORUM"] as const) {
  t.test(`what is moved before and behind a reader comes once, in whichever region it reads on (${level})`, async (t) => {
    await using cluster = await filled(6);
    const [us, eu] = [cluster.node("us-east"), cluster.node("eu-west")];
    const first = await pageOf(us, null, 3, level);
    t.same(first.ids, ["c0", "c1", "c2"]);
    await write(eu, patchComponent("p", "c0", { position: 100 }), { level });
    await write(us, patchComponent("p", "c5", { position: -1 }), { level });
    await write(us, patchComponent("p", "c4", { position: 3 }), { level });
    await cluster.converged();
    for (const name of NAMES) t.same((await pageOf(cluster.node(name), first.next, 10, level)).ids, ["c3", "c4", "c5"], name);
    await cluster.stop("ap-south-1");
    await cluster.start("ap-south-1");
    t.same((await pageOf(cluster.node("ap-south"), first.next, 10)).ids, ["c3", "c4", "c5"], "after a restart");
    t.same((await pageOf(eu, null, 10)).ids, ["c5", "c1", "c2", "c3", "c4", "c0"], "who begins anew sees the new order");
  });
}

t.test("a move that a region did not know when it gave the first page counts as one that came later", async (t) => {
  await using cluster = await filled(6);
  cluster.isolate("us-east-1");
  await write(cluster.node("eu-west"), patchComponent("p", "c0", { position: 100 }));
  const first = await pageOf(cluster.node("us-east"), null, 3);
  t.same(first.ids, ["c0", "c1", "c2"], "it was moved elsewhere, earlier by the clock");
  cluster.rejoin("us-east-1");
  await cluster.converged();
  for (const name of NAMES) t.same((await pageOf(cluster.node(name), first.next, 10)).ids, ["c3", "c4", "c5"], name);
});

t.test("a component that was created on both sides of a cut stays where it was moved to", async (t) => {
  await using cluster = await filled(4);
  cluster.isolate("ap-south-1");
  const create = createComponent("p", "both", { name: "Both", position: 9 });
  await write(cluster.node("us-east"), create);
  await write(cluster.node("us-east"), patchComponent("p", "both", { position: 1.5 }));
  await cluster.later();
  await write(cluster.node("ap-south"), create);
  const first = await pageOf(cluster.node("us-east"), null, 2);
  cluster.rejoin("ap-south-1");
  await cluster.converged();
  const second = await pageOf(cluster.node("ap-south"), null, 3);
  t.same(second.ids, ["c0", "c1", "both"]);
  for (const name of NAMES) {
    t.same((await pageOf(cluster.node(name), first.next, 10)).ids, ["both", "c2", "c3"], name);
    t.same((await pageOf(cluster.node(name), second.next, 10)).ids, ["c2", "c3"], `${name}, by what all of them hold`);
  }
  await cluster.stop("ap-south-1");
  await cluster.start("ap-south-1");
  t.same((await pageOf(cluster.node("ap-south"), null, 10)).ids, ["c0", "c1", "both", "c2", "c3"], "after a restart");
});

t.test("random moves, arrivals and departures between pages", async (t) => {
  const seed = Number(process.env["STATUSMESH_TEST_SEED"] ?? randomInt(2 ** 31));
  t.comment(`seed ${seed}`);
  let state = seed;
  const random = (below: number): number => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return (state >>> 8) % below;
  };
  await using cluster = await filled(15);
  const anyNode = (): ReplicaNode => cluster.node(NAMES[random(3)] ?? "us-east");
  const lasting = new Set(Array.from({ length: 15 }, (_, i) => `c${i}`));
  for (let round = 0; round < 4; round++) {
    const seen: string[] = [];
    const gone = new Set<string>();
    let cursor: string | null = null;
    do {
      const page: { ids: string[]; next: string | null } = await pageOf(anyNode(), cursor, 1 + random(4));
      seen.push(...page.ids);
      cursor = page.next;
      for (let moved = random(4); moved > 0; moved--) {
        const ids = [...lasting];
        await write(anyNode(), patchComponent("p", ids[random(ids.length)] ?? "", { position: random(20) }), random(3) === 0 ? { level: "GLOBAL_QUORUM" } : {});
      }
      if (random(4) === 0) await write(anyNode(), createComponent("p", `n${round}-${seen.length}`, { name: "new", position: random(20) }));
      if (random(6) === 0 && lasting.size > 8) {
        const id = [...lasting][random(lasting.size)] ?? "";
        lasting.delete(id);
        gone.add(id);
        await write(anyNode(), deleteComponent("p", id));
      }
      await cluster.converged();
    } while (cursor !== null);
    t.equal(new Set(seen).size, seen.length, `nothing comes twice: ${seen.join(" ")}`);
    for (const id of lasting) t.ok(seen.includes(id), `${id} comes, in round ${round}`);
  }
  t.same(cluster.fatals, []);
});
