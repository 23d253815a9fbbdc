/** Reads a history from JSON: parsed and validated once, here, so that no checker looks again. */
import Type, { type TSchema } from "typebox";
import { Value } from "typebox/value";
import type { Json } from "../core/change.js";
import { isHlc } from "../core/hlc.js";
import { CONSISTENCY_LEVELS } from "../store/data-plane.js";
import { FAULT_KINDS, HISTORY_FORMAT, OPERATION_KINDS, OUTCOMES, type History } from "./history.js";

const string = Type.String();
/** What was parsed from JSON is JSON. */
const json = Type.Unsafe<Json>(Type.Unknown());
const ms = Type.Number();
const optional = Type.Optional;
const closed = <T extends Record<string, TSchema>>(properties: T) => Type.Object(properties, { additionalProperties: false });
const oneOf = <T extends string>(names: readonly T[]) => Type.Unsafe<T>(Type.Enum([...names]));

const fields = Type.Record(string, json);
const sets = Type.Record(string, Type.Array(string));
const vector = Type.Record(string, Type.Integer({ minimum: 1 }));
const level = oneOf(CONSISTENCY_LEVELS);
const subject = closed({ page: string, type: string, id: optional(string) });
const resource = closed({ page: string, type: string, id: string });
const token = closed({ text: string, vector: optional(vector) });
const sightProperties = { found: Type.Boolean(), etag: optional(string), fields: optional(fields), sets: optional(sets), hasConflicts: optional(Type.Boolean()) };
const sight = closed(sightProperties);
const list = closed({ items: Type.Array(closed({ id: string, ...sightProperties })), complete: Type.Boolean() });
const conflict = closed({
  field: string,
  rule: string,
  shown: json,
  values: Type.Array(closed({ value: json, hlc: string, region: string, actor: string })),
});
const entry = closed({
  hlc: string,
  at: string,
  region: string,
  replica: string,
  actor: string,
  field: string,
  from: json,
  to: json,
  dot: optional(closed({ origin: string, seq: Type.Integer({ minimum: 1 }) })),
  context: optional(vector),
});

const operation = closed({
  id: Type.Integer(),
  client: string,
  session: optional(string),
  region: string,
  replica: string,
  level,
  servedLevel: optional(level),
  kind: oneOf(OPERATION_KINDS),
  subject,
  written: optional(closed({ fields: optional(fields), added: optional(sets), removed: optional(sets) })),
  touches: optional(Type.Array(resource)),
  ifMatch: optional(string),
  idempotencyKey: optional(string),
  invokedAtMs: ms,
  returnedAtMs: optional(ms),
  outcome: oneOf(OUTCOMES),
  status: optional(Type.Integer()),
  returned: optional(closed({ sight: optional(sight), list: optional(list), conflicts: optional(Type.Array(conflict)), history: optional(Type.Array(entry)) })),
  tokenIn: optional(token),
  tokenOut: optional(token),
  replayed: optional(Type.Boolean()),
  stamp: optional(string),
});

const finalObservation = closed({
  replica: string,
  region: string,
  observedAtMs: ms,
  vector: optional(vector),
  merkleRoot: optional(string),
  documents: Type.Array(closed({ resource, sight, history: optional(Type.Array(entry)), conflicts: optional(Type.Array(conflict)) })),
  lists: optional(Type.Record(string, Type.Array(string))),
});

const claim = closed({ replica: string, atMs: ms, to: string, in: string, of: string, told: Type.Number(), onDisk: Type.Number() });
const delivered = closed({ key: string, content: json, replica: string, atMs: ms });

const watching = closed({
  regions: Type.Array(string),
  monitors: Type.Array(closed({ id: string, outages: Type.Array(closed({ fromMs: ms, untilMs: ms, seenFrom: Type.Array(string) })), byHand: optional(string) })),
  seen: Type.Array(closed({
    replica: string, monitors: Type.Array(closed({ id: string, verdict: string, component: string, incidents: Type.Array(closed({ id: string, status: string })) })),
  })),
});

/** The schema of a history file. */
export const historySchema = closed({
  format: Type.Literal(HISTORY_FORMAT),
  run: closed({ instrument: oneOf(["simulator", "chaos", "test"]), scenario: optional(string), seed: optional(Type.Number()), command: optional(string) }),
  replicas: Type.Array(closed({ replica: string, region: string, role: oneOf(["region", "edge"]) })),
  operations: Type.Array(operation),
  faults: Type.Array(closed({ kind: oneOf(FAULT_KINDS), targets: Type.Array(string), fromMs: ms, untilMs: optional(ms), detail: optional(string), held: optional(vector) })),
  healedAtMs: optional(ms),
  convergedAtMs: optional(ms),
  final: Type.Array(finalObservation),
  stamps: optional(Type.Array(closed({ replica: string, incarnation: Type.Integer(), atMs: ms, hlc: string }))),
  samples: optional(Type.Array(closed({ replica: string, atMs: ms, name: string, value: Type.Number(), limit: Type.Number() }))),
  projections: optional(Type.Array(closed({ replica: string, projection: string, kept: json, rebuilt: json }))),
  claims: optional(closed({ compared: Type.Integer(), beyondDisk: Type.Array(claim) })),
  effects: optional(closed({ expected: Type.Array(closed({ key: string, because: string })), delivered: Type.Array(delivered) })),
  watching: optional(watching),
});

/** What is wrong with a history: the place as a JSON pointer, and why. */
export interface HistoryFault {
  readonly pointer: string;
  readonly message: string;
}

const FAULTS_TOLD = 20;

/** Parses and validates the text of a history file. */
export function readHistory(text: string): History | readonly HistoryFault[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    return [{ pointer: "", message: error instanceof Error ? error.message : "is not JSON" }];
  }
  return validateHistory(value);
}

/** The history, if `value` is one and keeps the invariants of `history.ts`; else what is wrong with it, at most 20 faults. */
export function validateHistory(value: unknown): History | readonly HistoryFault[] {
  if (!Value.Check(historySchema, value)) {
    return Value.Errors(historySchema, value).slice(0, FAULTS_TOLD).map(({ instancePath, message }) => ({ pointer: instancePath, message }));
  }
  // Compiles only while the schema and the types agree.
  const history: History = value;
  const faults = incoherences(history).slice(0, FAULTS_TOLD);
  return faults.length > 0 ? faults : history;
}

function incoherences(history: History): HistoryFault[] {
  const faults: HistoryFault[] = [];
  const ids = new Set<number>();
  let before = Number.NEGATIVE_INFINITY;
  for (const [index, { id, kind, invokedAtMs, returnedAtMs, outcome, subject: about, ifMatch, stamp }] of history.operations.entries()) {
    const wrong = (member: string, message: string): void => void faults.push({ pointer: `/operations/${index}/${member}`, message });
    if (ids.has(id)) wrong("id", "is there twice");
    ids.add(id);
    if (invokedAtMs < before) wrong("invokedAtMs", "is earlier than that of the operation before");
    before = Math.max(before, invokedAtMs);
    if (returnedAtMs !== undefined && returnedAtMs < invokedAtMs) wrong("returnedAtMs", "is earlier than invokedAtMs");
    if (returnedAtMs === undefined && outcome !== "unreachable") wrong("returnedAtMs", "is absent although there was an answer");
    if (kind !== "list" && kind !== "create" && kind !== "conflicts" && about.id === undefined) wrong("subject/id", `is absent on a ${kind}`);
    if (kind === "create" && outcome === "ok" && about.id === undefined) wrong("subject/id", "is absent on what was created");
    if (kind === "compare-and-set" && ifMatch === undefined) wrong("ifMatch", "is absent on a compare-and-set");
    if (kind === "update" && ifMatch !== undefined) wrong("kind", "is update although there is an ifMatch");
    if (stamp !== undefined && !isHlc(stamp)) wrong("stamp", "is no HLC");
  }
  const known = new Set(history.replicas.map(({ replica }) => replica));
  for (const [index, { replica }] of history.final.entries()) if (!known.has(replica)) faults.push({ pointer: `/final/${index}/replica`, message: "is not among the replicas" });
  for (const [index, { hlc }] of (history.stamps ?? []).entries()) if (!isHlc(hlc)) faults.push({ pointer: `/stamps/${index}/hlc`, message: "is no HLC" });
  return faults;
}
