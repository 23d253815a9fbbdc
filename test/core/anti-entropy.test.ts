import fc from "fast-check";
import t from "tap";
import type { AntiEntropyReport, DottedChange } from "../../src/core/anti-entropy-events.js";
import type { AntiEntropyBody } from "../../src/core/anti-entropy-messages.js";
import { KeptPages } from "../../src/core/kept-pages.js";
import { dominates } from "../../src/core/vector.js";
import { Replica, World } from "./anti-entropy-world.js";

const seed = Number(process.env["SEED"] ?? Date.now() % 0x7fffffff);
t.comment(`seed ${seed}`);
const encoder = new TextEncoder();

const change = (origin: string, seq: number, text = ""): DottedChange => ({ origin, seq, body: encoder.encode(`${origin}/${seq}${text}`) });
const ORIGINS = ["us-east-1.a", "eu-west-1.b", "~"];

/** Each replica holds of each document and origin the first few changes; so do real ones. */
const scene = fc.array(
  fc.record({
    key: fc.integer({ min: 0, max: 30 }).map((n) => `page/incident/${n}`),
    total: fc.array(fc.nat(4), { minLength: 3, maxLength: 3 }),
    one: fc.array(fc.nat(4), { minLength: 3, maxLength: 3 }),
    two: fc.array(fc.nat(4), { minLength: 3, maxLength: 3 }),
  }),
  { maxLength: 25 },
);

type Scene = typeof scene extends fc.Arbitrary<infer T> ? T : never;

function fill(replica: Replica, documents: Scene, side: "one" | "two" | "total"): void {
  const seen = new Set<string>();
  for (const [place, document] of documents.entries()) {
    if (seen.has(document.key)) continue;
    seen.add(document.key);
    for (const [i, origin] of ORIGINS.entries()) {
      const total = document.total[i] ?? 0;
      const held =
        side === "total"
          ? Math.max(Math.min(total, document.one[i] ?? 0), Math.min(total, document.two[i] ?? 0))
          : Math.min(total, document[side][i] ?? 0);
      // Numbers of a log that holds other documents too.
      replica.apply(
        document.key,
        Array.from({ length: held }, (_, n) => change(origin, origin === "~" ? n + 1 : n * 100 + place + 1, ` of ${document.key}`)),
      );
    }
  }
}

const random = fc.infiniteStream(fc.double({ min: 0, max: 0.999, noNaN: true }));
const number = fc.integer({ min: 1, max: 0xffffffff });
const small = { documentsMax: 5, chunkBytes: 64, chunksInFlight: 2, loadsInFlight: 2 };

t.test("any two sets of documents become their union, whatever the disk and the network do first", async () => {
  fc.assert(
    fc.property(scene, random, number, fc.boolean(), (documents, choices, first, isSmall) => {
      const bounds = isSmall ? small : {};
      const one = new Replica("one", bounds);
      const two = new Replica("two", bounds);
      const union = new Replica("union");
      fill(one, documents, "one");
      fill(two, documents, "two");
      fill(union, documents, "total");
      const world = new World([one, two], () => choices.next().value);
      const vectorBefore = { ...two.vector };
      for (let i = 0; i < 30; i++) {
        const report = world.round(one, two, ((first + i * 7919) % 0xffffffff) + 1);
        if (report.outcome !== "done") return false;
        if (!report.more)
          return (
            report.equal &&
            report.complete &&
            one.contents() === union.contents() &&
            two.contents() === union.contents() &&
            holds(report, vectorBefore)
          );
      }
      return false;
    }),
    { seed, numRuns: 300 },
  );
});

/** The vector that was reported covers what the peer had at the start. */
function holds(report: AntiEntropyReport, vector: Readonly<Record<string, number>>): boolean {
  return Object.entries(vector).every(([origin, position]) => (report.peerVectorAtStart?.[origin] ?? 0) >= position);
}

t.test("both sides may start at once while others write, and agree when it is over", async () => {
  fc.assert(
    fc.property(scene, random, (documents, choices) => {
      const one = new Replica("one", small);
      const two = new Replica("two", small);
      fill(one, documents, "one");
      fill(two, documents, "two");
      const world = new World([one, two], () => choices.next().value);
      let written = 0;
      const write = (): void => {
        if (choices.next().value < 0.8 || written > 20) return;
        written++;
        const replica = choices.next().value < 0.5 ? one : two;
        replica.apply(`page/component/${Math.floor(choices.next().value * 10)}`, [
          change(replica === one ? "us-east-1.c" : "eu-west-1.c", written),
        ]);
      };
      world.step(one, { kind: "begin", peer: "two", number: 11 });
      world.step(two, { kind: "begin", peer: "one", number: 11 });
      const atStart = [...two.documents].map(([key, { vector }]) => ({ key, vector: { ...vector } }));
      world.settle(write);
      if (one.reports.length !== 1 || two.reports.length !== 1) return false;
      // Complete means: all that the peer held at the start.
      if (one.reports[0]?.complete === true && !atStart.every(({ key, vector }) => dominates(one.documents.get(key)?.vector ?? {}, vector)))
        return false;
      let last = world.round(one, two, 99);
      for (let i = 0; i < 30 && !last.equal; i++) last = world.round(one, two, 100 + i * 7);
      return last.equal && one.contents() === two.contents() && one.engine.malformed + two.engine.malformed === 0;
    }),
    { seed, numRuns: 200 },
  );
});

t.test("a lost message ends the session, never lies, and the next round repairs", async (t) => {
  let losses = 0;
  fc.assert(
    fc.property(scene, random, fc.nat(25), (documents, choices, lost) => {
      const one = new Replica("one", small);
      const two = new Replica("two", small);
      fill(one, documents, "one");
      fill(two, documents, "two");
      let lose = true;
      let happened = false;
      const world = new World(
        [one, two],
        () => choices.next().value,
        (_message, count) => {
          const now = lose && count === lost;
          if (now) happened = true;
          return now;
        },
      );
      const vector = { ...two.vector };
      const first = world.round(one, two, 77);
      lose = false;
      if (happened) losses++;
      if (first.complete && !Object.entries(vector).every(([origin, position]) => (one.vector[origin] ?? 0) >= position)) return false;
      let last = first;
      for (let i = 0; i < 30 && !last.equal; i++) last = world.round(one, two, 100 + i * 7);
      return last.equal && one.contents() === two.contents() && one.engine.malformed + two.engine.malformed === 0;
    }),
    { seed, numRuns: 300 },
  );
  t.ok(losses > 50, `messages were lost (${losses})`);
});

t.test("a broken link ends the session on both sides", async (t) => {
  const one = new Replica("one");
  const two = new Replica("two");
  one.apply("page/incident/1", [change("us-east-1.a", 1)]);
  const world = new World([one, two]);
  world.step(one, { kind: "begin", peer: "two", number: 1 });
  world.step(one, { kind: "disconnected", peer: "two" });
  world.settle();
  t.match(one.reports, [{ outcome: "disconnected", equal: false, complete: false }]);
  t.equal(one.engine.sessions + two.engine.sessions, 0);
});

t.test("a document that cannot be stored is reported and does not stop the others", async (t) => {
  const one = new Replica("one");
  const two = new Replica("two");
  for (let i = 0; i < 10; i++) two.apply(`page/incident/${i}`, [change("eu-west-1.b", i + 1)]);
  one.poison.add("page/incident/3");
  const report = new World([one, two]).round(one, two, 5);
  t.match(report, { outcome: "done", documentsRepaired: 9, failed: 1, equal: false, complete: false, more: false });
  t.equal(one.documents.size, 9);
});

t.test("a document whose changes are gone from the peer's disk does not count as received", async (t) => {
  const one = new Replica("one");
  const two = new Replica("two");
  two.apply("page/incident/1", [change("eu-west-1.b", 1), change("eu-west-1.b", 2)]);
  two.documents.get("page/incident/1")?.changes.pop();
  const report = new World([one, two]).round(one, two, 5);
  t.match(report, { outcome: "done", failed: 1, complete: false });
});

t.test("one dot with two contents is reported as diverged", async (t) => {
  const one = new Replica("one");
  const two = new Replica("two");
  one.apply("page/incident/1", [change("eu-west-1.b", 1, "this")]);
  two.apply("page/incident/1", [change("eu-west-1.b", 1, "that")]);
  const report = new World([one, two]).round(one, two, 5);
  t.match(report, { outcome: "done", diverged: ["page/incident/1"], equal: false, complete: false, documentsRepaired: 0 });
});

t.test("a document of many changes travels in bounded chunks, a large change alone", async (t) => {
  const one = new Replica("one");
  const two = new Replica("two");
  const big = "x".repeat(900_000);
  two.apply(
    "page/incident/1",
    Array.from({ length: 3_000 }, (_, i) => change("eu-west-1.b", i + 1, "y".repeat(1_000))),
  );
  two.apply("page/incident/2", [change("eu-west-1.b", 3_001, big)]);
  let largest = 0;
  let under = 0;
  let most = 0;
  const world = new World(
    [one, two],
    () => 0,
    (message) => {
      if (message.body?.$case === "changes") {
        const size = message.body.value.documents.flatMap((document) => document.changes).reduce((sum, { body }) => sum + body.length, 0);
        if (size < 900_000) largest = Math.max(largest, size);
        most = Math.max(most, ++under);
      }
      if (message.body?.$case === "progress") under--;
      return false;
    },
  );
  const report = world.round(one, two, 9);
  t.match(report, { outcome: "done", equal: true, complete: true, documentsRepaired: 2 });
  t.ok(largest <= 256 * 1024, `chunks of at most ${largest} bytes`);
  t.ok(most <= 4, `at most ${most} chunks under way`);
});

t.test("a round stops at its byte bound and the next goes on", async (t) => {
  const one = new Replica("one", { roundBytes: 20_000, chunkBytes: 4_000, loadsInFlight: 4 });
  const two = new Replica("two", { roundBytes: 20_000, chunkBytes: 4_000, loadsInFlight: 4 });
  for (let i = 0; i < 100; i++)
    (i % 2 === 0 ? one : two).apply(`page/incident/${i}`, [change(i % 2 === 0 ? "us-east-1.a" : "eu-west-1.b", i + 1, "z".repeat(1_000))]);
  const world = new World([one, two]);
  let rounds = 1;
  while (world.round(one, two, rounds * 31).more) rounds++;
  t.ok(rounds > 1 && rounds < 10, `${rounds} rounds`);
  t.equal(one.contents(), two.contents());
});

t.test("short digests that collide hide a difference once, and do not pass for equality", async (t) => {
  const one = new Replica("one");
  const two = new Replica("two");
  two.apply("page/incident/1", [change("eu-west-1.b", 1)]);
  // The digests of a peer whose tree differs in no short digest: those of our own empty tree.
  const started: AntiEntropyBody = {
    $case: "started",
    value: {
      format: 1,
      equal: false,
      root: two.tree.root(),
      documents: 1,
      digests: one.tree.shortDigests(0, [0], 2, 7),
      sameVector: false,
      vector: { "eu-west-1.b": 1 },
    },
  };
  one.engine.step({ kind: "begin", peer: "two", number: 7 }, 0);
  const effects = one.engine.step({ kind: "received", from: "two", message: { session: 7, fromInitiator: false, pages: [], body: started } }, 0);
  t.match(effects, [{ kind: "finished", report: { outcome: "done", equal: false, complete: false } }]);
  t.match(new World([one, two]).round(one, two, 8), { equal: true, complete: true, documentsRepaired: 1 });
  t.not(
    Buffer.from(two.tree.shortDigests(0, [0], 0, 7)).toString("hex"),
    Buffer.from(two.tree.shortDigests(0, [0], 0, 8)).toString("hex"),
    "another session, other digests",
  );
});

t.test("one who keeps a page gives and takes what is of it and of no page, and is told nothing of others", async (t) => {
  const region = new Replica("region");
  const edge = new Replica("edge", {}, new KeptPages(["page"]));
  for (let i = 0; i < 300; i++) region.apply(`other/incident/${i}`, [change("us-east-1.a", 1_000 + i)]);
  for (let i = 0; i < 40; i++) region.apply(`page/incident/${i}`, [change("us-east-1.a", i + 1)]);
  region.apply("~/key/one", [change("us-east-1.a", 2_000)]);
  edge.apply("page/incident/of-the-edge", [change("eu-west-1.b", 1)]);
  edge.apply("page/incident/0", [change("us-east-1.a", 1)]);
  const world = new World([region, edge]);
  const first = world.round(edge, region, 7);
  t.match(first, { outcome: "done", complete: true, equal: true, documentsRepaired: 41 });
  t.ok(first.documentsCompared <= 42, "of the other page nothing was looked at");
  t.equal(edge.documents.size, 42);
  t.notOk([...edge.documents.keys()].some((key) => key.startsWith("other/")));
  t.ok(region.documents.has("page/incident/of-the-edge"), "what the edge alone had is given back");
  t.match(world.round(edge, region, 8), { equal: true, complete: true, roundTrips: 1, documentsRepaired: 0 });
  region.apply("other/incident/later", [change("us-east-1.a", 3_000)]);
  t.match(world.round(edge, region, 9), { equal: true, roundTrips: 1 }, "what changes on another page makes no difference");
});

t.test("one who keeps a page answers nobody who asks for more, so that nobody takes its silence for emptiness", async (t) => {
  const edge = new Replica("edge", {}, new KeptPages(["page"]));
  edge.apply("page/incident/1", [change("us-east-1.a", 1)]);
  for (const asks of [new KeptPages([]), new KeptPages(["page", "other"]), new KeptPages(["other"])]) {
    const one = new Replica("one", {}, asks);
    one.apply("other/incident/1", [change("us-east-1.a", 2)]);
    const report = new World([one, edge]).round(one, edge, 7);
    t.match(report, { outcome: "ended-by-peer", complete: false, peerVectorAtStart: undefined, documentsRepaired: 0 }, asks.ids.join());
    t.equal(edge.documents.size, 1, "and nothing is pushed on it");
  }
  const same = new Replica("same", {}, new KeptPages(["page"]));
  t.match(new World([same, edge]).round(same, edge, 8), { complete: true, documentsRepaired: 1 }, "two edges for one page help each other");
});

t.test("a tree of another format is refused", async (t) => {
  const one = new Replica("one");
  const two = new Replica("two");
  const world = new World([one, two]);
  world.step(one, { kind: "begin", peer: "two", number: 1 });
  world.step(one, {
    kind: "received",
    from: "two",
    message: {
      session: 1,
      fromInitiator: false,
      pages: [],
      body: {
        $case: "started",
        value: { format: 2, equal: true, root: new Uint8Array(0), documents: 0, digests: new Uint8Array(0), sameVector: false, vector: {} },
      },
    },
  });
  t.match(one.reports, [{ outcome: "refused", complete: false }]);
  world.settle();
});

const bytes = fc.oneof(
  fc.uint8Array({ maxLength: 40 }),
  fc.constantFrom(16, 96, 6 * 256, 12).map((length) => new Uint8Array(length).fill(7)),
);
const natural = fc.oneof(fc.nat(5), fc.constantFrom(2 ** 32 - 1, 65_536, 2 ** 53 - 1));
const naturals = fc.array(natural, { maxLength: 6 });
const key = fc.constantFrom("page/incident/0", "page/incident/1", "page/incident/9", "", "__proto__");
const origins = fc.array(fc.constantFrom(...ORIGINS, "__proto__", ""), { maxLength: 4 });
const cased = <Case extends AntiEntropyBody["$case"]>(
  $case: Case,
  value: Record<string, fc.Arbitrary<unknown>>,
): fc.Arbitrary<AntiEntropyBody> => fc.record(value).map((made) => ({ $case, value: made }) as unknown as AntiEntropyBody);
const hostile: fc.Arbitrary<AntiEntropyBody> = fc.oneof(
  cased("start", { format: fc.constantFrom(1, 2), root: bytes, vectorHash: bytes, documents: natural }),
  cased("started", {
    format: fc.constantFrom(1, 2),
    equal: fc.boolean(),
    root: bytes,
    documents: natural,
    digests: bytes,
    sameVector: fc.boolean(),
    vector: fc.dictionary(fc.constantFrom(...ORIGINS, "__proto__"), natural),
  }),
  cased("digests", { parentDepth: natural, depth: natural, parents: naturals, digests: bytes, list: fc.boolean() }),
  cased("differing", { depth: natural, nodes: naturals }),
  cased("listing", { depth: natural, nodes: naturals, counts: naturals, entries: bytes, more: fc.boolean() }),
  cased("vectors", {
    origins,
    documents: fc.array(fc.record({ document: key, origins: naturals, positions: naturals }), { maxLength: 3 }),
    leaves: bytes,
    depth: natural,
    nodes: naturals,
    hashes: bytes,
  }),
  cased("wanted", {
    origins,
    documents: fc.array(fc.record({ index: natural, origins: naturals, positions: naturals }), { maxLength: 3 }),
  }),
  cased("changes", {
    chunk: natural,
    last: fc.boolean(),
    origins,
    documents: fc.array(
      fc.record({ document: key, changes: fc.array(fc.record({ origin: natural, seq: natural, body: bytes }), { maxLength: 3 }) }),
      { maxLength: 3 },
    ),
  }),
  cased("progress", { chunk: natural }),
  cased("done", { root: bytes, repaired: naturals, diverged: naturals, failed: natural, chunks: natural, more: fc.boolean() }),
  cased("ended", { reason: fc.string() }),
);

t.test("hostile messages end sessions and nothing else", async (t) => {
  let malformed = 0;
  fc.assert(
    fc.property(
      fc.array(fc.record({ body: hostile, fromInitiator: fc.boolean(), pages: fc.constantFrom<string[]>([], ["page"], ["~", "other/page"]), session: fc.constantFrom(0, 1, 2), at: fc.nat(10) }), {
        minLength: 1,
        maxLength: 12,
      }),
      (attacks) => {
        const one = new Replica("one");
        const two = new Replica("two");
        for (let i = 0; i < 6; i++) (i % 2 === 0 ? one : two).apply(`page/incident/${i}`, [change("us-east-1.a", i + 1)]);
        const before = one.documents.size;
        const world = new World([one, two]);
        world.step(one, { kind: "begin", peer: "two", number: 1 });
        let count = 0;
        world.settle(() => {
          for (const attack of attacks)
            if (attack.at === count)
              world.step(one, {
                kind: "received",
                from: "two",
                message: { session: attack.session, fromInitiator: attack.fromInitiator, pages: attack.pages, body: attack.body },
              });
          count++;
        });
        malformed += one.engine.malformed;
        if (one.reports.length !== 1 || one.engine.sessions !== 0 || one.documents.size < before) return false;
        return new World([one, two]).round(one, two, 3).outcome === "done";
      },
    ),
    { seed, numRuns: 500 },
  );
  t.ok(malformed > 100, `${malformed} malformed messages were met`);
});
