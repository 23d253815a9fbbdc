/** What anti-entropy costs over 100,000 documents, against the limits that the design sets. */
import t from "tap";
import type { DottedChange } from "../../src/core/anti-entropy-events.js";
import { Replica, World } from "./anti-entropy-world.js";

const DOCUMENTS = 100_000;
const encoder = new TextEncoder();
const filler = "d".repeat(460);
const keyOf = (i: number): string => `page-${i % 40}/incident/${((i * 2_654_435_761) % 2 ** 32).toString(36).padStart(12, "k")}`;
const changesOf = (i: number, from: number, to: number): DottedChange[] =>
  Array.from({ length: to - from }, (_, n) => ({
    origin: ["us-east-1.a", "eu-west-1.b", "ap-south-1.c"][(from + n) % 3] ?? "",
    seq: i * 4 + from + n + 1,
    body: encoder.encode(`${keyOf(i)} ${from + n} ${filler}`),
  }));
const sizeOf = (changes: readonly DottedChange[]): number => changes.reduce((sum, { body }) => sum + body.length, 0);

const one = new Replica("one");
const two = new Replica("two");
for (let i = 0; i < DOCUMENTS; i++) {
  const changes = changesOf(i, 0, 1);
  for (const replica of [one, two]) replica.apply(keyOf(i), changes);
}

t.test("equal trees cost one round trip and 256 bytes", async (t) => {
  const report = new World([one, two]).round(one, two, 4_000_000_001);
  t.comment(JSON.stringify(report));
  t.match(report, { outcome: "done", equal: true, complete: true, documentsCompared: 0, roundTrips: 1 });
  two.vector["old-1.z"] = 123_456_789;
  const unlike = new World([one, two]).round(one, two, 4_000_000_002);
  t.comment(`with another vector: ${unlike.bytes} bytes`);
  t.match(unlike, { equal: true, roundTrips: 1, peerVectorAtStart: { "old-1.z": 123_456_789 } });
  t.ok(report.bytes <= 256 && unlike.bytes <= 256);
  delete two.vector["old-1.z"];
});

t.test("one document of 100,000 is found and repaired in 4 round trips and 16 KB, whichever side is behind", async (t) => {
  const ahead = (replica: Replica, from: number, to: number): number => {
    const changes = changesOf(5, from, to);
    replica.apply(keyOf(5), changes);
    return sizeOf(changes);
  };
  const scenes: [string, () => number][] = [
    ["the initiator is behind", () => ahead(two, 1, 2)],
    ["the responder is behind", () => ahead(one, 2, 3)],
    [
      "a new document here",
      () => {
        const changes = changesOf(DOCUMENTS, 0, 1);
        one.apply(keyOf(DOCUMENTS), changes);
        return sizeOf(changes);
      },
    ],
    [
      "a new document there",
      () => {
        const changes = changesOf(DOCUMENTS + 1, 0, 1);
        two.apply(keyOf(DOCUMENTS + 1), changes);
        return sizeOf(changes);
      },
    ],
    [
      "both wrote",
      () => {
        const mine: DottedChange = { origin: "us-east-1.a", seq: 1_000_001, body: encoder.encode(filler) };
        const yours: DottedChange = { origin: "eu-west-1.b", seq: 1_000_001, body: encoder.encode(`${filler}!`) };
        one.apply(keyOf(9), [mine]);
        two.apply(keyOf(9), [yours]);
        return sizeOf([mine, yours]);
      },
    ],
  ];
  for (const [i, [name, differ]] of scenes.entries()) {
    const documentBytes = differ();
    const report = new World([one, two]).round(one, two, 4_000_000_010 + i);
    t.comment(
      `${name}: ${report.bytes} bytes, ${documentBytes} of them the document, ${report.roundTrips} round trips, ${report.documentsCompared} compared`,
    );
    t.match(report, { equal: true, complete: true, documentsRepaired: 1, more: false }, name);
    t.ok(report.roundTrips <= 4, name);
    t.ok(report.bytes - documentBytes <= 16 * 1024, name);
  }
});

for (const [name, lacks] of [
  ["here", () => [one]],
  ["there", () => [two]],
  ["on either side", (i: number) => [i % 2 === 0 ? one : two]],
] as const) {
  t.test(`1,000 of 100,000 documents missing ${name} cost 1.3 times their bytes`, async (t) => {
    const start = { here: 200_000, there: 300_000, "on either side": 400_000 }[name];
    let documentBytes = 0;
    for (let i = start; i < start + 1_000; i++) {
      const changes = changesOf(i, 0, 3);
      documentBytes += sizeOf(changes);
      for (const replica of [one, two]) if (!(lacks(i) as readonly Replica[]).includes(replica)) replica.apply(keyOf(i), changes);
    }
    const world = new World([one, two]);
    const report = world.round(one, two, 4_100_000_000 + start);
    const ratio = report.bytes / documentBytes;
    t.comment(
      `${report.bytes} bytes for ${documentBytes}: ratio ${ratio.toFixed(3)}, ${report.roundTrips} round trips, ${JSON.stringify(world.traffic)}`,
    );
    t.match(report, { equal: true, complete: true, documentsRepaired: 1_000, more: false });
    t.ok(ratio <= 1.3);
    t.equal(report.bytes, world.bytes, "every byte is counted");
  });
}

t.test("1,000 documents that both sides changed", async (t) => {
  let documentBytes = 0;
  for (let i = 50_000; i < 51_000; i++) {
    const mine: DottedChange = { origin: "us-east-1.a", seq: 2_000_000 + i, body: encoder.encode(`mine ${i} ${filler}`) };
    const yours: DottedChange = { origin: "eu-west-1.b", seq: 2_000_000 + i, body: encoder.encode(`yours ${i} ${filler}`) };
    one.apply(keyOf(i), [mine]);
    two.apply(keyOf(i), [yours]);
    documentBytes += sizeOf(one.load(keyOf(i), {})) + sizeOf([yours]);
  }
  const report = new World([one, two]).round(one, two, 4_200_000_000);
  t.comment(
    `${report.bytes} bytes for ${documentBytes}: ratio ${(report.bytes / documentBytes).toFixed(3)}, ${report.roundTrips} round trips`,
  );
  t.match(report, { equal: true, complete: true, documentsRepaired: 1_000 });
  t.ok(report.bytes <= 1.3 * documentBytes);
});

t.test("an empty replica fetches 10,000 documents round by round", async (t) => {
  const full = new Replica("full");
  const empty = new Replica("empty");
  let documentBytes = 0;
  for (let i = 0; i < 10_000; i++) {
    const changes = changesOf(i, 0, 3);
    documentBytes += sizeOf(changes);
    full.apply(keyOf(i), changes);
  }
  const world = new World([full, empty]);
  const started = performance.now();
  let rounds = 1;
  while (world.round(empty, full, 1_000 + rounds * 7_919).more) rounds++;
  t.comment(
    `${rounds} rounds, ${world.bytes} bytes for ${documentBytes}: ratio ${(world.bytes / documentBytes).toFixed(3)}, ${(performance.now() - started).toFixed(0)} ms`,
  );
  t.equal(Buffer.from(full.tree.root()).toString("hex"), Buffer.from(empty.tree.root()).toString("hex"));
});
