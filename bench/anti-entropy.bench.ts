/**
 * Bytes, round trips and time of anti-entropy between two replicas that differ in few of many documents. The engines, trees and
 * message sizes are the product's; documents lie in memory and messages are handed over in one process, without a disk and a link.
 */
import type { DottedChange } from "../src/core/anti-entropy-events.js";
import { Replica, World } from "../test/core/anti-entropy-world.js";
import { RUNS, type BenchWorld } from "./bench.js";
import { sampleOf, type Goal } from "./measurement.js";

const encoder = new TextEncoder();
const filler = "d".repeat(460);
const keyOf = (i: number): string => `page-${i % 40}/incident/${((i * 2_654_435_761) % 2 ** 32).toString(36).padStart(12, "k")}`;
const change = (i: number, seq: number): DottedChange => ({ origin: "us-east-1.a", seq, body: encoder.encode(`${keyOf(i)} ${seq} ${filler}`) });

let sessions = 4_000_000_000;

function bytesGoal(documents: number, differing: number, documentBytes: number): Goal | undefined {
  if (differing === 0) return { text: "≤ 256 bytes", of: "value", atMost: 256 };
  if (differing === 1 && documents === 100_000) return { text: "≤ 16 KB beside the document", of: "value", atMost: documentBytes + 16 * 1_024 };
  if (differing === 1_000 && documents === 100_000) return { text: "≤ 1.3 ×", of: "ratio", atMost: 1.3 };
  return undefined;
}

function roundTripsGoal(documents: number, differing: number): Goal | undefined {
  if (differing === 0) return { text: "1", of: "value", atMost: 1 };
  return differing === 1 && documents === 100_000 ? { text: "≤ 4", of: "value", atMost: 4 } : undefined;
}

export async function antiEntropy({ quick, found }: BenchWorld): Promise<void> {
  for (const documents of quick ? [10_000] : [10_000, 100_000]) {
    const one = new Replica("one");
    const two = new Replica("two");
    let seq = 0;
    for (let i = 0; i < documents; i++) {
      const first = change(i, ++seq);
      for (const replica of [one, two]) replica.apply(keyOf(i), [first]);
    }
    for (const differing of [0, 1, 10, 1_000]) {
      const rounds = Array.from({ length: RUNS }, (_, run) => {
        let documentBytes = 0;
        for (let k = 0; k < differing; k++) {
          const i = (run * 7_919 + k * 97) % documents;
          const changes = [change(i, ++seq)];
          documentBytes += changes.reduce((sum, { body }) => sum + body.length, 0);
          (k % 2 === 0 ? two : one).apply(keyOf(i), changes);
        }
        const started = performance.now();
        const report = new World([one, two]).round(one, two, ++sessions);
        if (!report.equal) throw new Error("a round left the replicas unequal");
        return { ...report, ms: performance.now() - started, documentBytes };
      });
      const name = `${differing.toLocaleString("en-US")} of ${documents.toLocaleString("en-US")} documents differ`;
      const documentBytes = rounds[0]?.documentBytes ?? 0;
      const goal = bytesGoal(documents, differing, documentBytes);
      found({
        metric: `${name}: sent`, unit: "bytes", value: sampleOf(rounds.map(({ bytes }) => bytes)),
        ...(differing === 0 ? {} : { beside: { name: "the changes that were missing", value: documentBytes } }), ...(goal === undefined ? {} : { goal }), note: "in memory, one process",
      });
      const tripsGoal = roundTripsGoal(documents, differing);
      found({ metric: `${name}: round trips`, unit: "", value: sampleOf(rounds.map(({ roundTrips }) => roundTrips)), ...(tripsGoal === undefined ? {} : { goal: tripsGoal }) });
      found({ metric: `${name}: time`, unit: "ms", value: sampleOf(rounds.map(({ ms }) => ms)), note: "both sides' work, no link" });
    }
  }
}
