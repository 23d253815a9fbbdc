import t from "tap";
import { Fault, isFault } from "../../src/core/errors.js";
import type { ReplicaNode } from "../../src/node.js";
import type { Command, CommitOptions } from "../../src/store/data-plane.js";
import { Draft } from "../../src/store/document-reader.js";
import { present } from "../../src/store/resource.js";
import { Cluster, component, read, setting, write } from "./cluster.js";

const GLOBAL = { level: "GLOBAL_QUORUM" } as const;
const regions = ["us-east", "eu-west", "ap-south"];

async function fails(node: ReplicaNode, command: Command, options: Partial<CommitOptions>): Promise<Fault> {
  const result = await node.commit(command, { level: "LOCAL", actor: "test", ...options });
  if (!isFault(result)) throw new Error("the write was taken");
  return result;
}

function removal(id: string): Command {
  return {
    name: "test.delete", subject: component(id),
    plan: (snapshot) => {
      const document = snapshot.document(component(id));
      return document === undefined ? new Fault("not-found", "There is none.") : { changes: [{ document: component(id), operations: new Draft(document).delete().operations }] };
    },
    answer: () => ({ status: 204, body: null }),
  };
}

async function listed(node: ReplicaNode): Promise<string[]> {
  const result = await node.read({ documents: [], lists: [{ partition: "default", type: "component" }], render: (snapshot) => snapshot.list("default", "component").map(({ id }) => id) }, GLOBAL);
  if (isFault(result)) throw new Error(result.detail);
  return result.value;
}

t.test("a GLOBAL_QUORUM read in any region sees each GLOBAL_QUORUM write, creation and deletion at once, and so does a list", async (t) => {
  await using cluster = new Cluster({ delayMs: 10 });
  await cluster.start();
  await cluster.voting();
  for (const [index, writer] of regions.entries()) {
    const id = `c-${index}`;
    await write(cluster.node(writer), setting(id, { name: writer }), GLOBAL);
    for (const region of regions) {
      t.same(await read(cluster.node(region), id, GLOBAL), { name: writer }, `${region} reads what ${writer} wrote`);
      t.ok((await listed(cluster.node(region))).includes(id), `${region} lists it`);
    }
    const gone = await cluster.node(writer).commit(removal(id), { ...GLOBAL, actor: "test" });
    t.notOk(isFault(gone));
    for (const region of regions) {
      t.equal(await read(cluster.node(region), id, GLOBAL), null, `${region} reads nothing`);
      t.notOk((await listed(cluster.node(region))).includes(id), `${region} lists nothing`);
    }
    t.equal((await fails(cluster.node(regions[(index + 1) % 3] ?? ""), removal(id), GLOBAL)).code, "not-found");
  }
  t.same(cluster.fatals, []);
});

t.test("edits and the deletion of one resource at the same time, at GLOBAL_QUORUM: every edit that was taken is shown to its writer, or said to be gone, and no replica stops", async (t) => {
  await using cluster = new Cluster({ delayMs: 3 });
  await cluster.start();
  await cluster.voting();
  let taken = 0;
  for (let round = 0; round < 12; round++) {
    const id = `edited-${round}`;
    await write(cluster.node("us-east"), setting(id, { name: "made" }), GLOBAL);
    const edit = (name: string): Command => ({
      ...setting(id, { name }),
      plan: (snapshot) => (snapshot.document(component(id)) === undefined ? new Fault("not-found", "There is none.") : setting(id, { name }).plan(snapshot)),
      // As the features make their answers: what was just written must be there.
      answer: (snapshot) => ({ status: 200, body: present(snapshot, component(id), (reader) => ({ name: reader.value("name") })) }),
    });
    // While the first is decided the others wait, and could be decided together.
    const writers = [edit("a"), edit("b"), removal(id), edit("d")].map((command) => cluster.node("us-east").commit(command, { ...GLOBAL, actor: "test" }));
    const far = cluster.node("eu-west").commit(edit("c"), { ...GLOBAL, actor: "test" });
    for (const result of await Promise.all([...writers, far])) {
      if (!isFault(result)) taken++;
      else t.ok(["not-found", "quorum-unavailable"].includes(result.code), result.code);
    }
    t.same(cluster.fatals, [], `round ${round}`);
    t.equal(await read(cluster.node("ap-south"), id, GLOBAL), null);
  }
  t.ok(taken > 12, `${taken} writes were taken`);
});

t.test("of writers in three regions with one ETag, exactly one succeeds and the others get 412", async (t) => {
  await using cluster = new Cluster({ delayMs: 5 });
  await cluster.start();
  await cluster.voting();
  for (let round = 0; round < 10; round++) {
    const { etag } = await write(cluster.node("us-east"), setting("api", { round }), GLOBAL);
    const results = await Promise.all(regions.map((region) => cluster.node(region).commit(setting("api", { winner: `${region} ${round}` }), { ...GLOBAL, actor: "test", ifMatch: [etag], quorumTimeoutMs: 10_000 })));
    const winners = regions.filter((_, index) => !isFault(results[index]));
    t.equal(winners.length, 1, `round ${round}`);
    t.same(results.filter(isFault).map(({ code }) => code), ["precondition-failed", "precondition-failed"]);
    t.equal((await read(cluster.node("ap-south"), "api", GLOBAL))?.["winner"], `${winners[0]} ${round}`);
  }
});

t.test("the region that is cut off refuses GLOBAL_QUORUM as rejected and serves LOCAL; the two others serve both", async (t) => {
  await using cluster = new Cluster({ limits: { majorityLostMs: 300 } });
  await cluster.start();
  await cluster.voting();
  await write(cluster.node("us-east"), setting("api", { name: "before" }), GLOBAL);
  cluster.isolate("ap-south-1");
  const ap = cluster.node("ap-south");
  await cluster.settled("it refuses", async () => {
    const startedAt = performance.now();
    const refused = await fails(ap, setting("api", { name: "lost" }), { ...GLOBAL, quorumTimeoutMs: 5_000 });
    return refused.code === "quorum-unavailable" && refused.extra.outcome === "rejected" && performance.now() - startedAt < 100;
  });
  const unread = await ap.read({ documents: [component("api")], render: () => 1 }, GLOBAL);
  t.ok(isFault(unread) && unread.code === "quorum-unavailable" && unread.extra.outcome === undefined, "a read carries no outcome");
  await write(ap, setting("local", { name: "here" }));
  t.same(await read(ap, "local"), { name: "here" });
  await write(cluster.node("us-east"), setting("api", { name: "by two" }), GLOBAL);
  t.same(await read(cluster.node("eu-west"), "api", GLOBAL), { name: "by two" });
  cluster.rejoin("ap-south-1");
  await cluster.settled("it reads again", async () => !isFault(await ap.read({ documents: [component("api")], render: () => 1 }, GLOBAL)));
  t.same(await read(ap, "api", GLOBAL), { name: "by two" });
  t.equal((await read(cluster.node("us-east"), "api", GLOBAL))?.["name"], "by two", "the rejected write never appears");
});

t.test("a write that was proposed and not confirmed in time is unknown, LOCAL reads do not show it, and its repetition takes effect once", async (t) => {
  let muted = false;
  await using cluster = new Cluster({ tamper: (from, _to, message) => (muted && from !== "us-east-1" && message.$case === "quorum" ? undefined : message) });
  await cluster.start();
  await cluster.voting();
  const us = cluster.node("us-east");
  await write(us, setting("api", { name: "before" }), GLOBAL);
  muted = true;
  const idempotency = { scope: "scope-1", request: "request-1" };
  const unknown = await fails(us, setting("api", { name: "proposed" }), { ...GLOBAL, quorumTimeoutMs: 200, idempotency });
  t.equal(unknown.code, "quorum-unavailable");
  t.equal(unknown.extra.outcome, "unknown");
  t.same(await read(us, "api"), { name: "before" });
  muted = false;
  await write(us, setting("api", { name: "proposed" }), { ...GLOBAL, idempotency });
  t.same(await read(cluster.node("eu-west"), "api", GLOBAL), { name: "proposed" });
  const history = await us.history(component("api"), GLOBAL);
  if (isFault(history)) throw new Error(history.detail);
  t.equal(history.value.filter(({ to }) => to === "proposed").length, 1);
});

t.test("a GLOBAL_QUORUM write follows what was acknowledged elsewhere, and LOCAL writes of the same document merge with it", async (t) => {
  await using cluster = new Cluster({ delayMs: 5 });
  await cluster.start();
  await cluster.voting();
  const work: Promise<unknown>[] = [];
  for (let i = 0; i < 45; i++) {
    const node = cluster.node(regions[i % 3] ?? "");
    work.push(write(node, setting("api", { [`${i % 2 === 0 ? "decided" : "local"}_${i}`]: i }), { level: i % 2 === 0 ? "GLOBAL_QUORUM" : "LOCAL", quorumTimeoutMs: 20_000 }));
  }
  await Promise.all(work);
  await cluster.converged();
  for (const region of regions) t.equal(Object.keys((await read(cluster.node(region), "api")) ?? {}).length, 45, region);
  t.same(cluster.fatals, []);
});

t.test("a write at LOCAL with an ETag that is no longer current is refused here", async (t) => {
  await using cluster = new Cluster();
  await cluster.start("us-east-1");
  const us = cluster.node("us-east");
  const { etag } = await write(us, setting("api", { name: "one" }));
  const results = await Promise.all(["a", "b", "c"].map((name) => us.commit(setting("api", { name }), { level: "LOCAL", actor: "test", ifMatch: [etag] })));
  t.equal(results.filter((result) => !isFault(result)).length, 1);
  t.equal((await fails(us, setting("api", { name: "d" }), { ifMatch: [etag] })).code, "precondition-failed");
  t.equal((await fails(us, setting("none", { name: "d" }), { ifMatch: ["*"] })).code, "precondition-failed");
  await write(us, setting("api", { name: "e" }), { ifMatch: ["*"] });
});

t.test("a write of several documents writes all that it does to the subject as the majority has it, also where the subject was not heard of", async (t) => {
  await using cluster = new Cluster();
  await cluster.start();
  await cluster.voting();
  const [us, eu] = [cluster.node("us-east"), cluster.node("eu-west")];
  /** Ends a subject, and frees what it holds; nothing but the subject where it holds nothing. */
  const ending = (id: string): Command => ({
    name: "test.end", subject: component(id),
    plan: (snapshot) => {
      const subject = snapshot.document(component(id));
      if (subject === undefined) return new Fault("not-found", "There is none.");
      const held = subject.text("holds");
      const free = snapshot.document(component(held));
      const ended = { document: component(id), operations: new Draft(subject).set("state", "ended").operations };
      return { changes: free === undefined || subject.value("state") === "ended" ? [ended] : [{ document: component(held), operations: new Draft(free).set("state", "free").operations }, ended] };
    },
    answer: () => ({ status: 200, body: {} }),
  });
  // What us-east decides with ap-south comes to eu-west by a way round.
  cluster.mesh.cut("us-east-1", "eu-west-1");
  for (let round = 0; round < 10; round++) {
    const [held, fresh, known] = [`held${round}`, `fresh${round}`, `known${round}`];
    await write(us, setting(held, { state: "held" }), GLOBAL);
    await write(us, setting(known, { state: "open", holds: "nothing" }), GLOBAL);
    await cluster.settled("it is known", async () => (await read(eu, held))?.["state"] === "held" && (await read(eu, known)) !== null);
    await write(us, setting(fresh, { state: "open", holds: held }), GLOBAL);
    await write(eu, ending(fresh), GLOBAL);
    t.match(await read(us, held, GLOBAL), { state: "free" }, "of a subject that was not heard of");
    await write(us, setting(held, { state: "held" }), GLOBAL);
    await write(us, setting(known, { holds: held }), GLOBAL);
    await write(eu, ending(known), GLOBAL);
    t.match(await read(us, held, GLOBAL), { state: "free" }, "of one that was known as it was before");
  }
});
