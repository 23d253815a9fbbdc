/**
 * What it costs to fold changes into a document's Automerge history: `node --import=tsx bench/automerge-fold.ts`. One JSON line a metric.
 * The changes are incident updates of about 300 bytes of JSON, as a client sends them.
 */
import { randomBytes } from "node:crypto";
import { encodeChange, type Operation } from "../src/core/change.js";
import { encodeHlc } from "../src/core/hlc.js";
import { archivedChanges, DocumentsCache, foldChanges, type ArchivedDocument, type NamedChange } from "../src/store/documents.js";

const ORIGIN = "us-east-1.1";
const WORDS = "we are seeing elevated error rates on the api and have found the cause a fix is being rolled out customers may notice slow responses".split(" ");

let updateBytes = 0;

function incidentUpdate(document: string, seq: number): NamedChange {
  const body = Array.from({ length: 36 }, () => WORDS[(randomBytes(1)[0] ?? 0) % WORDS.length]).join(" ");
  const update = { body, status: seq % 2 === 0 ? "identified" : "monitoring", deliver_notifications: true, display_at: new Date(1_763_696_000_000 + seq * 1_000).toISOString() };
  updateBytes += JSON.stringify(update).length;
  const section = `01KAJ${randomBytes(10).toString("hex").toUpperCase()}`;
  const operations: Operation[] = [
    { op: "create", section },
    ...Object.entries(update).map(([field, value]): Operation => ({ op: "set", section, field, value, was: null })),
    { op: "set", section: "", field: "status", value: update.status, was: "investigating" },
  ];
  const hlc = encodeHlc(1_763_696_000_000 + seq * 1_000, 0, "0000000000aa");
  const context = seq === 1 ? {} : { [ORIGIN]: seq - 1 };
  return { dot: { origin: ORIGIN, seq }, body: encodeChange({ document, hlc, region: "us-east", replica: "us-east-1", actor: "key_1", context, operations }) };
}

function report(metric: string, value: number, unit: string, goal?: number): void {
  console.log(JSON.stringify({ metric, value: Math.round(value * 10) / 10, unit, ...(goal === undefined ? {} : { goal }) }));
}

function timed<T>(work: () => T): { result: T; us: number } {
  const start = performance.now();
  const result = work();
  return { result, us: (performance.now() - start) * 1_000 };
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] ?? 0;
}

const updates = (document: string, from: number, count: number): NamedChange[] => Array.from({ length: count }, (_, i) => incidentUpdate(document, from + i));

function sizeOf(archived: ArchivedDocument): number {
  return archived.chunks.reduce((sum, chunk) => sum + chunk.length, archived.base.length);
}

// Warm, as a running replica is.
for (let i = 0; i < 20; i++) foldChanges(undefined, `acme/incident/warm${i}`, updates(`acme/incident/warm${i}`, 1, 100));

const document = "acme/incident/bench";
updateBytes = 0;
const thousand = updates(document, 1, 1_000);
const jsonBytes = updateBytes / 1_000;
report("update JSON", jsonBytes, "bytes");
report("change JSON", thousand.reduce((sum, { body }) => sum + body.length, 0) / 1_000, "bytes");

const first = timed(() => foldChanges(undefined, document, thousand));
report("fold 1,000 changes into a new document", first.us / 1_000, "µs/change");
report("stored after compaction, per update", first.result.base.length / 1_000, "bytes");
report("stored after compaction, against the update's JSON", first.result.base.length / 1_000 / jsonBytes, "×", 3);

const hundred = updates(document, 1_001, 100);
report("fold 100 into 1,000, loaded anew", median(Array.from({ length: 9 }, () => timed(() => foldChanges(first.result, document, hundred)).us)) / 100, "µs/change");

using cache = new DocumentsCache();
let archived = foldChanges(undefined, document, thousand, cache);
const warm: number[] = [];
let compactions = 0;
let most = 0;
for (let round = 0; round < 10; round++) {
  const batch = updates(document, 1_001 + round * 100, 100);
  const { result, us } = timed(() => foldChanges(archived, document, batch, cache));
  if (result.base !== archived.base) compactions++;
  archived = result;
  most = Math.max(most, sizeOf(archived) / archived.count);
  warm.push(us / 100);
}
report("fold 100 into 1,000, from the cache", median(warm), "µs/change", 100);
report("fold 1,000 more in batches of 100, compactions included", warm.reduce((sum, us) => sum + us, 0) / warm.length, "µs/change");
report("compactions meanwhile", compactions, "");
report("stored at most, base and chunks, against the update's JSON", most / jsonBytes, "×", 3);
const back = timed(() => archivedChanges(archived));
report("give back 2,000 changes", back.us / back.result.length, "µs/change");

const small = Array.from({ length: 500 }, (_, i) => updates(`acme/incident/small${i}`, 1, 64));
const many = timed(() => { for (const [i, batch] of small.entries()) foldChanges(undefined, `acme/incident/small${i}`, batch); });
report("fold 64 changes into each of 500 new documents", many.us / 500 / 64, "µs/change");
