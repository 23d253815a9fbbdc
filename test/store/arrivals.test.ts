import fc from "fast-check";
import t from "tap";
import { MemoryStorage } from "../../src/io/memory-storage.js";
import { ArrivalWriter, placeOf, readArrivals } from "../../src/store/arrivals.js";
import { keyspace } from "../../src/store/keyspace.js";

/** Entries of several origins in batches of any size, with the vector that each reached. */
async function stored(origins: readonly number[], batches: readonly number[], perRecord: number, tail: number) {
  const storage = new MemoryStorage();
  const writer = new ArrivalWriter(perRecord);
  const vector: Record<string, number> = {};
  const entries: { place: number; origin: string; seq: number }[] = [];
  let head = tail - 1;
  let open = batches[0] ?? 1;
  let batch = 0;
  const flush = async (): Promise<void> => {
    await storage.write(writer.take(head, vector).map(({ place, text }) => ({ put: keyspace.arrival(place), value: Buffer.from(text) })));
    open = batches[++batch % batches.length] ?? 1;
  };
  for (const number of origins) {
    const origin = `r-${number}.1`;
    const seq = (vector[origin] ?? 0) + 1;
    vector[origin] = seq;
    entries.push({ place: ++head, origin, seq });
    writer.note(head, origin, seq, "default/component/api", { origin, seq }, vector);
    if (--open <= 0) await flush();
  }
  await flush();
  return { storage, entries, head };
}

t.test("entries of any origins, in batches of any size, are read from any place on and found by their number", async () => {
  await fc.assert(fc.asyncProperty(
    fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 1, maxLength: 60 }), fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1, maxLength: 5 }),
    fc.integer({ min: 1, max: 12 }), fc.integer({ min: 1, max: 1_000 }), fc.nat(),
    async (origins, batches, perRecord, tail, pick) => {
      const { storage, entries, head } = await stored(origins, batches, perRecord, tail);
      const at = entries[pick % entries.length];
      const read = (await readArrivals(storage, at?.place ?? 0, entries.length, head)).flatMap(({ arrivals }) => arrivals).filter(({ place }) => place >= (at?.place ?? 0));
      t.same(read.map(({ place, origin, seq }) => ({ place, origin, seq })), entries.filter(({ place }) => place >= (at?.place ?? 0)));
      for (const { place, origin, seq } of entries) if ((await placeOf(storage, origin, seq, tail, head)) !== place) throw new Error(`${origin} ${seq} was not found at ${place}`);
      t.equal(await placeOf(storage, "r-9.1", 1, tail, head), undefined);
    },
  ), { numRuns: 60 });
});

t.test("of small records as many are read as hold what was asked for, and none that ends behind the last place", async (t) => {
  const { storage } = await stored(Array<number>(50).fill(1), [1], 10, 1);
  t.equal((await readArrivals(storage, 11, 20, 50)).length, 20);
  t.equal((await readArrivals(storage, 11, 20, 15)).at(-1)?.last, 15);
  const large = await stored(Array<number>(50).fill(1), [50], 10, 1);
  t.same((await readArrivals(large.storage, 15, 10, 50)).map(({ first, last }) => [first, last]), [[11, 20], [21, 30]]);
  t.same(await readArrivals(large.storage, 1, 10, 9), []);
});
