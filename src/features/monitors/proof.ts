/**
 * The proof that a record is part of the sealed history, and its check, which needs the proof and nothing else. Pure.
 *
 * A proof binds every one of its bits: its text has one form only, the record leads to the root of the first seal, each seal holds the hash
 * of the one before, and the head is the hash of the last. It shows that nothing was changed since the last of them; that this last one is
 * the one that the replica made shows a comparison of the head with that of another region, or with one kept from before.
 */
import { Type, type Static } from "typebox";
import Value from "typebox/value";
import { depthOf } from "../../core/change.js";
import { canonicalText, leafHash, nodeHash, pathOf, RECORD_KINDS, sealHash, type Seal, type SealedRecord } from "./seal.js";

const closed = { additionalProperties: false };
const hash = (): ReturnType<typeof Type.String> => Type.String({ pattern: "^[0-9a-f]{64}$" });
const count = (minimum: number): ReturnType<typeof Type.Integer> => Type.Integer({ minimum, maximum: Number.MAX_SAFE_INTEGER });
const time = (): ReturnType<typeof Type.String> => Type.String({ pattern: "^\\d{4}-\\d{2}-\\d{2}T\\d{2}:\\d{2}:\\d{2}\\.\\d{3}Z$" });

export const SealResource = Type.Object({
  version: Type.Literal(1), page: Type.String(), replica: Type.String(), region: Type.String(), origin: Type.String(), number: count(1),
  previous: Type.Union([hash(), Type.Null()]), from: Type.Union([time(), Type.Null()]), until: time(), records: count(1), late: count(0), root: hash(),
}, closed);

export const ProofResource = Type.Object({
  version: Type.Literal(1),
  record: Type.String({ description: "The record's canonical JSON (RFC 8785), as it was sealed." }),
  index: count(0),
  path: Type.Array(hash(), { maxItems: 53, description: "From the record to the root of the first seal (RFC 9162, 2.1.3)." }),
  seals: Type.Array(SealResource, { minItems: 1, description: "The seal that holds the record, and all of its chain that follow." }),
  head: Type.String({ pattern: "^[0-9a-f]{64}$", description: "Hash of the last of these seals." }),
}, closed);
export type Proof = Static<typeof ProofResource>;

const RecordForm = Type.Object({
  kind: Type.Enum([...RECORD_KINDS]), page: Type.String(), monitor: Type.String(), region: Type.String(), replica: Type.String(), id: Type.String(), at: time(), value: Type.Unknown(),
}, closed);

/** Deeper JSON is none of ours. */
const DEPTH_MAX = 64;

/** `texts`: all records of the first seal, in order. */
export function proofOf(texts: readonly string[], index: number, seals: readonly [Seal, ...Seal[]]): Proof {
  return { version: 1, record: texts[index] ?? "", index, path: pathOf(texts, index), seals: [...seals], head: sealHash(seals.at(-1) ?? seals[0]) };
}

/** The one text of a proof. */
export function proofText(proof: Proof): string {
  return canonicalText(proof);
}

export const PROOF_STEPS = ["text", "form", "record", "inclusion", "chain", "head", "known head"] as const;
export type ProofStep = (typeof PROOF_STEPS)[number];

export type ProofCheck =
  | { readonly holds: true; readonly record: SealedRecord; readonly proof: Proof }
  | { readonly holds: false; readonly step: ProofStep; readonly reason: string };

/**
 * Checks a proof as it was handed over (one line break at its end is let pass).
 * `knownHead`: hash of a seal that is trusted, in hex; the chain must hold it.
 */
export function checkProof(bytes: Uint8Array, knownHead?: string): ProofCheck {
  const read = readProof(bytes);
  if (!("proof" in read)) return read;
  const { proof, record } = read;
  const seals: readonly Seal[] = proof.seals;
  const [first] = seals;
  if (first === undefined) return fails("form", "it holds no seal");
  if (record.page !== first.page || record.replica !== first.replica || record.region !== first.region) return fails("record", "the record is of another page or replica than its seal");
  if (record.at >= first.until) return fails("record", "the record is from after its seal");
  if (rootFrom(record.text, proof.index, first.records, proof.path) !== first.root) return fails("inclusion", `the record does not lead to the root of seal ${first.number}`);
  const broken = breakOf(seals);
  if (broken !== undefined) return fails("chain", broken);
  const hashes = seals.map(sealHash);
  if (hashes.at(-1) !== proof.head) return fails("head", "the head is not the hash of the last seal");
  if (knownHead !== undefined && !hashes.includes(knownHead)) return fails("known head", "no seal of the chain has the hash that is known");
  const { text: _text, ...plain } = record;
  return { holds: true, record: plain, proof };
}

function fails(step: ProofStep, reason: string): ProofCheck & { readonly holds: false } {
  return { holds: false, step, reason };
}

function readProof(bytes: Uint8Array): { readonly proof: Proof; readonly record: SealedRecord & { readonly text: string } } | (ProofCheck & { readonly holds: false }) {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes).replace(/\n$/, "");
  } catch {
    return fails("text", "it is no UTF-8");
  }
  const proof = parsed(text);
  if (proof === undefined) return fails("text", "it is no JSON in canonical form");
  if (!Value.Check(ProofResource, proof)) return fails("form", "it has not the members of a proof");
  const record = parsed(proof.record);
  if (record === undefined) return fails("record", "the record is no JSON in canonical form");
  if (!Value.Check(RecordForm, record)) return fails("record", "the record has not the members of a record");
  return { proof, record: { ...(record as SealedRecord), text: proof.record } };
}

/** An object from its one text; undefined for any other text. */
function parsed(text: string): object | undefined {
  if (depthOf(text, DEPTH_MAX) > DEPTH_MAX) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && canonicalText(value) === text ? value : undefined;
  } catch {
    return undefined;
  }
}

/** The root that a leaf and a path come to, in hex; undefined where they do not fit the place. Source: RFC 9162, 2.1.3.2. */
function rootFrom(text: string, index: number, size: number, path: readonly string[]): string | undefined {
  if (index >= size) return undefined;
  let place = index;
  let last = size - 1;
  let hash = leafHash(text);
  for (const step of path) {
    const other = Buffer.from(step, "hex");
    if (last === 0) return undefined;
    if (place % 2 === 1 || place === last) {
      hash = nodeHash(other, hash);
      for (; place % 2 === 0 && place !== 0; place /= 2) last = Math.floor(last / 2);
    } else hash = nodeHash(hash, other);
    place = Math.floor(place / 2);
    last = Math.floor(last / 2);
  }
  return last === 0 ? hash.toString("hex") : undefined;
}

/** A sentence where two seals do not follow each other. */
function breakOf(seals: readonly Seal[]): string | undefined {
  for (const [index, seal] of seals.entries()) {
    const before = seals[index - 1];
    if (before === undefined) continue;
    const name = `seal ${seal.number}`;
    if (seal.page !== before.page || seal.origin !== before.origin || seal.replica !== before.replica || seal.region !== before.region) return `${name} is of another chain than the one before it`;
    if (seal.number !== before.number + 1) return `${name} does not follow seal ${before.number}`;
    if (seal.from !== before.until) return `${name} does not begin where the one before it ends`;
    if (seal.previous !== sealHash(before)) return `${name} does not hold the hash of seal ${before.number}`;
  }
  return undefined;
}
