import t from "tap";
import { Fault, isFault } from "../../src/core/errors.js";
import type { Command } from "../../src/store/data-plane.js";
import { Draft } from "../../src/store/document-reader.js";
import { Cluster, component, newDisk, read, setting, write } from "../node/cluster.js";

async function single(limits: Record<string, number> = {}): Promise<Cluster> {
  const cluster = new Cluster({ limits });
  await cluster.start("us-east-1");
  return cluster;
}

/** Sets a field of several components in one command. */
function spread(ids: readonly string[], value: string, fault?: Fault): Command {
  return {
    name: "test.spread", subject: component(ids[0] ?? ""),
    plan: (snapshot) => fault ?? {
      changes: ids.map((id) => {
        const document = snapshot.document(component(id));
        const draft = new Draft(document);
        if (document === undefined) draft.create();
        return { document: component(id), operations: draft.set("name", value).operations };
      }),
    },
    answer: (snapshot) => ({ status: 201, body: { seen: ids.map((id) => snapshot.document(component(id))?.value("name") ?? null) }, etagOf: component(ids[0] ?? ""), secret: { secret: "shown once" } }),
  };
}

t.test("a command that writes several documents writes all of them or none, in one batch", async (t) => {
  await using cluster = await single();
  const us = cluster.node("us-east");
  const disk = cluster.disk("us-east-1");
  const batches: string[][] = [];
  const storageWrite = disk.storage.write.bind(disk.storage);
  disk.storage.write = (batch) => {
    batches.push(batch.map((one) => ("put" in one ? one.put : one.del)));
    return storageWrite(batch);
  };
  const { body } = await write(us, spread(["a", "b", "c"], "one"));
  t.same(body["seen"], ["one", "one", "one"]);
  t.equal(batches.length, 1);
  t.equal(batches[0]?.filter((key) => key.startsWith("d/")).length, 3);
  const refused = await us.commit(spread(["a", "b"], "two", new Fault("conflict", "No.")), { level: "LOCAL", actor: "test" });
  t.ok(isFault(refused) && refused.code === "conflict");
  t.same((await read(us, "b")), { name: "one" });
});

t.test("what the first change of a command brings into memory does not push out what the second is for", async (t) => {
  await using cluster = await single({ documentCacheBytes: 3_000 });
  const us = cluster.node("us-east");
  await write(us, spread(["a", "b", "c"], "small"));
  t.same(await read(us, "b"), { name: "small" });
  const { body } = await write(us, spread(["a", "b", "c"], "x".repeat(4_000)));
  t.same(body["seen"], Array.from({ length: 3 }, () => "x".repeat(4_000)));
  t.same(cluster.fatals, []);
});

t.test("a write is answered only once the disk has it", async (t) => {
  await using cluster = await single();
  const us = cluster.node("us-east");
  const { storage } = cluster.disk("us-east-1");
  const storageWrite = storage.write.bind(storage);
  let release = (): void => {};
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  storage.write = async (batch) => {
    await held;
    await storageWrite(batch);
  };
  const answered: string[] = [];
  const writing = write(us, setting("api", { name: "API" })).then(() => answered.push("write"));
  const reading = read(us, "api").then((value) => answered.push(`read ${JSON.stringify(value)}`));
  await new Promise((resolve) => setTimeout(resolve, 30));
  t.same(answered, [], "neither the write nor a read of it");
  release();
  await Promise.all([writing, reading]);
  t.same(answered.sort(), ['read {"name":"API"}', "write"]);
});

t.test("a secret is in the first answer only, and nowhere on the disk", async (t) => {
  await using cluster = await single();
  const us = cluster.node("us-east");
  const options = { level: "LOCAL", actor: "test", idempotency: { scope: "s", request: "r" } } as const;
  const [first, again] = [await us.commit(spread(["a"], "x"), options), await us.commit(spread(["a"], "x"), options)];
  if (isFault(first) || isFault(again)) throw new Error("refused");
  t.match(first.body, /shown once/);
  t.ok(again.replayed);
  t.notMatch(again.body, /shown once/);
  for await (const page of cluster.disk("us-east-1").storage.scan({ from: "", to: "\u{10ffff}" })) for (const [key, value] of page) t.notOk(Buffer.from(value).includes("shown once"), key);
});

t.test("more writes than may wait for the disk are refused, and nothing of them is written", async (t) => {
  await using cluster = await single({ stagedChangesMax: 5 });
  const us = cluster.node("us-east");
  const results = await Promise.all([...Array(20).keys()].map((index) => us.commit(setting(`c-${index}`, { name: "x" }), { level: "LOCAL", actor: "test" })));
  const refused = results.filter(isFault);
  t.equal(refused.length, 15);
  t.ok(refused.every(({ code, extra }) => code === "overloaded" && extra.outcome === "rejected" && (extra.retryAfterSeconds ?? 0) > 0));
  const listed = await us.read({ documents: [], render: (snapshot) => snapshot.list("default", "component").length }, { level: "LOCAL" });
  t.equal(isFault(listed) ? -1 : listed.value, 5);
  await write(us, setting("later", {}));
});

t.test("a command that writes nothing is answered with the resource as it is", async (t) => {
  await using cluster = await single();
  const us = cluster.node("us-east");
  const { etag } = await write(us, setting("api", { name: "API" }));
  const before = us.cluster().vector;
  t.equal((await write(us, setting("api", { name: "API" }))).etag, etag);
  t.same(us.cluster().vector, before);
});

t.test("a replica whose store cannot be opened does not start, and leaves nothing running", async (t) => {
  await using cluster = new Cluster();
  const disk = newDisk("us-east-1");
  disk.failure = new Error("no space left");
  cluster.disks.set("us-east-1", disk);
  await t.rejects(cluster.start("us-east-1"), /no space left/);
  disk.failure = undefined;
  await cluster.start("us-east-1");
  await write(cluster.node("us-east"), setting("api", {}));
});

t.test("whose answer is kept under a key gets it again, also while another request with that key is being refused", async (t) => {
  await using cluster = await single();
  const us = cluster.node("us-east");
  const send = (name: string) => us.commit(spread(["a"], name), { level: "LOCAL", actor: "test", idempotency: { scope: "the key", request: name } });
  const first = await send("first");
  t.notOk(isFault(first));
  const [other, again] = await Promise.all([send("other"), send("first")]);
  t.ok(isFault(other) && other.code === "idempotency-key-reused");
  t.match(again, { status: 201, replayed: true });
  t.same(await read(us, "a"), { name: "first" });
});
