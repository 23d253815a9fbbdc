import t from "tap";
import { Fault, isFault } from "../../src/core/errors.js";
import type { Query } from "../../src/store/data-plane.js";
import { Cluster, component, setting, write } from "../node/cluster.js";

function counted(ids: readonly string[], cacheKey: string | undefined): { rendered: number; readonly query: Query<readonly unknown[]> } {
  const made = {
    rendered: 0,
    query: {
      documents: ids.map(component), ...(cacheKey === undefined ? {} : { cacheKey }),
      render: (snapshot: Parameters<Query<unknown>["render"]>[0]) => {
        made.rendered += 1;
        return ids.map((id) => snapshot.document(component(id))?.value("name") ?? null);
      },
    },
  };
  return made;
}

t.test("a result is kept while nothing that it looked at has changed, an absent document included", async (t) => {
  await using cluster = new Cluster();
  await cluster.start("us-east-1");
  const us = cluster.node("us-east");
  await write(us, setting("a", { name: "A" }));
  const view = counted(["a", "b"], "view");
  const show = async (): Promise<readonly unknown[]> => {
    const result = await us.read(view.query, { level: "LOCAL" });
    if (isFault(result)) throw new Error(result.detail);
    return result.value;
  };
  t.same(await show(), ["A", null]);
  t.same(await show(), ["A", null]);
  await write(us, setting("other", { name: "x" }));
  await show();
  t.equal(view.rendered, 1);
  await write(us, setting("b", { name: "B" }));
  t.same(await show(), ["A", "B"]);
  await write(us, setting("a", { name: "A2" }));
  t.same(await show(), ["A2", "B"]);
  t.equal(view.rendered, 3);
});

t.test("refusals and lists are rendered each time", async (t) => {
  await using cluster = new Cluster();
  await cluster.start("us-east-1");
  const us = cluster.node("us-east");
  let rendered = 0;
  const missing: Query<number> = { documents: [], cacheKey: "missing", render: () => {
    rendered++;
    return new Fault("not-found", "There is none.");
  } };
  const list: Query<number> = { documents: [], cacheKey: "list", render: (snapshot) => {
    rendered++;
    return snapshot.list("default", "component").length;
  } };
  for (let i = 0; i < 2; i++) {
    t.ok(isFault(await us.read(missing, { level: "LOCAL" })));
    await write(us, setting(`c-${i}`, {}));
    const listed = await us.read(list, { level: "LOCAL" });
    t.equal(isFault(listed) ? -1 : listed.value, i + 1);
  }
  t.equal(rendered, 4);
});

t.test("a token handed out with a read covers what was read, and only what is durable", async (t) => {
  await using cluster = new Cluster();
  await cluster.start("us-east-1");
  const us = cluster.node("us-east");
  const writing = write(us, setting("a", { name: "A" }));
  const result = await us.read(counted(["a"], undefined).query, { level: "LOCAL" });
  if (isFault(result)) throw new Error(result.detail);
  const { token } = await writing;
  t.same(result.value, ["A"]);
  t.same(us.parseToken(result.token), us.parseToken(token));
  t.equal(us.parseToken("v1.nonsense"), undefined);
});

t.test("lists go by position and id; newest first for incidents and maintenances", async (t) => {
  await using cluster = new Cluster();
  await cluster.start("us-east-1");
  const us = cluster.node("us-east");
  for (const [id, position] of [["b", 2], ["c", 1], ["a", 2], ["d", 0]] as const) await write(us, setting(id, { position }));
  const ids = async (type: string): Promise<string[]> => {
    const result = await us.read({ documents: [], render: (snapshot) => snapshot.list("default", type).map(({ id }) => id) }, { level: "LOCAL" });
    if (isFault(result)) throw new Error(result.detail);
    return result.value;
  };
  t.same(await ids("component"), ["d", "c", "a", "b"]);
  await write(us, setting("a", { position: -1 }));
  t.same(await ids("component"), ["a", "d", "c", "b"]);
  for (const id of ["i1", "i2", "i3"]) {
    await write(us, {
      name: "test.incident", subject: `default/incident/${id}`,
      plan: () => ({ changes: [{ document: `default/incident/${id}`, operations: [{ op: "create", section: "" }] }] }),
      answer: () => ({ status: 201, body: null }),
    });
    await cluster.later();
  }
  t.same(await ids("incident"), ["i3", "i2", "i1"]);
  await cluster.stop("us-east-1");
  await cluster.start("us-east-1");
  const again = await cluster.node("us-east").read({ documents: [], render: (snapshot) => ["component", "incident"].map((type) => snapshot.list("default", type).map(({ id }) => id)) }, { level: "LOCAL" });
  t.same(isFault(again) ? [] : again.value, [["a", "d", "c", "b"], ["i3", "i2", "i1"]], "the same after a restart");
});
