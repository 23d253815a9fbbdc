/** Bodies in memory: what they are counted as, and that sections which nobody looks at stay as they are stored. */
import t from "tap";
import { DocumentState, encodeSection, Sections } from "../../src/core/document.js";
import { MemoryStorage } from "../../src/io/memory-storage.js";
import { openLog, type LogWorld } from "./log-world.js";

function counted(world: LogWorld): number {
  let bytes = 0;
  for (const record of world.table.records.values()) if (record.state !== undefined) bytes += 2_048 + record.bytes;
  return bytes;
}

t.test("the cache counts just what is loaded, through writes, evictions and loads", async (t) => {
  const world = await openLog(new MemoryStorage(), {}, { documentCacheBytes: 10 * 2_048 });
  const { log, table } = world;
  for (let round = 0; round < 8; round++) {
    for (let i = 0; i < 12; i++) {
      await table.load([`default/component/c-${(i * 7 + round) % 25}`]);
      world.set(`c-${(i * 7 + round) % 25}`, "name", "x".repeat(i * 20));
      t.equal(table.cachedBytes, counted(world));
    }
    await log.batch.flushed();
    await table.load(Array.from({ length: 6 }, (_, i) => `default/component/c-${i}`));
    t.equal(table.cachedBytes, counted(world), `round ${round}`);
    t.ok(table.cachedBytes <= 10 * 2_048 + 12 * 4_096, "and it stays near its bound");
  }
  t.ok([...table.records.values()].some(({ state }) => state === undefined), "something was evicted");
  table.ensure("default/component/never");
  table.dropIfEmpty("default/component/never");
  t.equal(table.cachedBytes, counted(world));
});

t.test("an element of a document is packed once it is written, reads as before, and is packed again after the next change", async (t) => {
  const storage = new MemoryStorage();
  const { log, table } = await openLog(storage);
  const document = "default/incident/i";
  const write = (section: string, value: string): void => {
    log.write({ document, actor: "test", hlc: log.clock.send(1_000), operations: [{ op: "create", section: "" }, { op: "create", section }, { op: "set", section, field: "body", value, was: null }] });
  };
  for (let i = 0; i < 20; i++) write(`u${i}`, `text ${i}`);
  await log.batch.flushed();
  write("u3", "changed");
  await log.batch.flushed();
  const state = table.find(document)?.state;
  const bodies = (found: DocumentState | undefined) => [...(found?.sections ?? [])].filter(([id]) => id !== "").map(([id, section]) => [id, section.registers.get("body")?.[0]?.value]).sort();
  const expected = Array.from({ length: 20 }, (_, i) => [`u${i}`, i === 3 ? "changed" : `text ${i}`]).sort();
  t.same(bodies(state), expected);
  const again = await openLog(storage);
  await again.table.load([document]);
  t.same(bodies(again.table.find(document)?.state), expected, "and after a restart");
});

t.test("a copy shares packed sections and nothing that changes", async (t) => {
  const source = new DocumentState("default/incident/i");
  const stamp = { hlc: "1".padStart(32, "0"), region: "r", replica: "r-1", actor: "k" };
  const section = { born: stamp, dead: null, touched: stamp, creations: [], registers: new Map([["body", [{ ...stamp, origin: "r-1.1", seq: 1, value: "a", was: null }]]]), sets: new Map(), counters: new Map() };
  source.sections.pack("packed", Buffer.from(encodeSection(section)));
  source.sections.set("open", section);
  const copy = new Sections();
  source.sections.copyTo(copy);
  copy.get("open")?.registers.delete("body");
  copy.get("packed")?.registers.delete("body");
  t.equal(copy.size, 2);
  for (const id of ["open", "packed"]) t.equal(source.sections.get(id)?.registers.get("body")?.[0]?.value, "a", id);
  t.notOk(copy.has("neither") || copy.get("neither") !== undefined);
});
