import t from "tap";
import { ALL_PAGES, KeptPages } from "../../src/core/kept-pages.js";
import { MemoryStorage } from "../../src/io/memory-storage.js";
import type { Storage } from "../../src/core/ports.js";
import { openLog, type LogWorld } from "./log-world.js";

const ONE = new KeptPages(["default"]);
const BOTH = new KeptPages(["default", "other"]);

const write = ({ log }: LogWorld, document: string): unknown =>
  log.write({ document, operations: [{ op: "create", section: "" }, { op: "set", section: "", field: "name", value: document, was: null }], actor: "test", hlc: log.clock.send(1_000) });

async function filled(storage: Storage): Promise<LogWorld> {
  const world = await openLog(storage);
  for (const document of ["~/page/default", "~/page/other", "default/component/a", "other/component/b", "other/incident/c"]) write(world, document);
  world.log.writeAnswer("other", { scope: "scope", request: "r", status: 201, location: null, etag: null, body: "{}" }, world.log.clock.send(1_000), "test");
  await world.log.batch.flushed();
  return world;
}

async function keysOf(storage: Storage): Promise<string[]> {
  const keys: string[] = [];
  for await (const page of storage.scan({ from: " ", to: "\u{10ffff}" })) for (const [key] of page) keys.push(key);
  return keys;
}

const strayKeys = (keys: readonly string[]): string[] => keys.filter((key) => key.split("/")[1] === "other" || key.startsWith("i/"));
const records = ({ table }: LogWorld): string[] => [...table.records.keys()].sort();

t.test("a store that is to keep one page only loses all records of another, and goes on as the one that it was", async (t) => {
  const storage = new MemoryStorage();
  const before = await filled(storage);
  const narrowed = await openLog(storage, { kept: ONE });
  t.same(records(narrowed), ["default/component/a", "~/page/default", "~/page/other"]);
  t.same(strayKeys(await keysOf(storage)), []);
  t.same(narrowed.log.vector, before.log.vector, "what it has seen it has seen");
  t.equal(narrowed.opened.doubt, undefined);
  t.ok(narrowed.opened.coverage.whole.covers(ONE));
  const again = await openLog(storage, { kept: ONE });
  t.equal(again.opened.doubt, undefined, "nothing is missing of what it keeps");
  t.equal(again.opened.state.incarnation, before.opened.state.incarnation);
});

t.test("where a page is added the vector begins anew, and the page is not whole until it was fetched", async (t) => {
  const storage = new MemoryStorage();
  await filled(storage);
  await openLog(storage, { kept: ONE });
  for (const kept of [BOTH, ALL_PAGES]) {
    const widened = await openLog(storage, { kept });
    t.same(widened.log.vector, {}, "it counts nothing that it passed by");
    t.match(widened.opened.doubt, /pages/);
    t.same(records(widened), ["default/component/a", "~/page/default", "~/page/other"], "what it had is there");
    t.ok(widened.opened.coverage.whole.keepsPartition("default"));
    t.notOk(widened.opened.coverage.whole.keepsPartition("other"));
    const again = await openLog(storage, { kept });
    t.equal(again.opened.doubt, undefined);
    t.notOk(again.opened.coverage.whole.keepsPartition("other"), "nor after a start in between");
  }
});

t.test("an empty store of an edge for one page is not whole", async (t) => {
  const { opened } = await openLog(new MemoryStorage(), { kept: ONE });
  t.notOk(opened.coverage.whole.keepsPartition("default"));
  t.ok((await openLog(new MemoryStorage())).opened.coverage.whole.keepsPartition("default"));
});

t.test("wherever a start ends in the middle of dropping a page, the next one knows that the page is not there", async (t) => {
  for (let writes = 0; ; writes++) {
    let left = Number.POSITIVE_INFINITY;
    const storage = new MemoryStorage({ failWrites: () => (left-- > 0 ? undefined : new Error("the process ended here")) });
    await filled(storage);
    left = writes;
    const ended = await openLog(storage, { kept: ONE }).then(() => false, () => true);
    left = Number.POSITIVE_INFINITY;
    await storage.reopen();
    const touched = !(await keysOf(storage)).includes("b/other/component/b/") || !(await keysOf(storage)).includes("d/other/component/b");
    const { log, opened } = await openLog(storage, { kept: BOTH });
    if (touched) t.same(log.vector, {}, `after ${writes} writes`);
    if (touched) t.notOk(opened.coverage.whole.keepsPartition("other"));
    if (!ended) {
      t.ok(touched, "the last run dropped it");
      t.ok(writes > 3, "it took several writes");
      break;
    }
  }
});

t.test("an entry of a page that is not kept is counted, and nothing of it is stored", async (t) => {
  const source = await filled(new MemoryStorage());
  const { entries } = await source.log.readFrom(1, 100);
  const storage = new MemoryStorage();
  const edge = await openLog(storage, { kept: ONE, replica: "an-edge-1" });
  for (const entry of entries) {
    const change = edge.log.parse(entry.body);
    if ("fault" in change) throw new Error(change.fault);
    if (ONE.keeps(change.document)) edge.log.accept(entry, change);
    else edge.log.pass(entry);
  }
  await edge.log.batch.flushed();
  t.same(edge.log.durableVector, source.log.durableVector);
  t.same(strayKeys(await keysOf(storage)), []);
  const again = await openLog(storage, { kept: ONE, replica: "an-edge-1" });
  t.same(again.log.vector, source.log.durableVector);
  t.equal(again.opened.doubt, undefined);
});
