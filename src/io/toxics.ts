/** Toxics as Toxiproxy's HTTP API names them (https://github.com/Shopify/toxiproxy, "Toxics"), and one of our own, `corrupt`. */

export type ToxicStream = "upstream" | "downstream";
export type ToxicType = "latency" | "bandwidth" | "slow_close" | "timeout" | "reset_peer" | "slicer" | "limit_data" | "corrupt";

export interface Toxic {
  readonly name: string;
  readonly type: ToxicType;
  /** `upstream`: what who dialled sends; `downstream`: what it is sent. */
  readonly stream: ToxicStream;
  /** Probability that a connection is affected. */
  readonly toxicity: number;
  /** Numbers, each `0` if it was not given. */
  readonly attributes: Readonly<Record<string, number>>;
}

const YEAR_MS = 365 * 24 * 3_600_000;
const GIBIBYTE = 1024 ** 3;

/**
 * The attributes of each type, and the most that each may be: `latency`, `jitter`, `timeout`, `slow_close`'s `delay` in ms, `rate` in KB/s,
 * sizes in bytes, `slicer`'s `delay` in µs. Extension `corrupt`: `byte_rate`, the probability that a byte is changed, and `chunk_rate`,
 * that one bit of a chunk (what came in one read) is.
 */
const ATTRIBUTES: Readonly<Record<ToxicType, Readonly<Record<string, number>>>> = {
  latency: { latency: YEAR_MS, jitter: YEAR_MS },
  bandwidth: { rate: GIBIBYTE },
  slow_close: { delay: YEAR_MS },
  timeout: { timeout: YEAR_MS },
  reset_peer: { timeout: YEAR_MS },
  slicer: { average_size: GIBIBYTE, size_variation: GIBIBYTE, delay: YEAR_MS },
  limit_data: { bytes: Number.MAX_SAFE_INTEGER },
  corrupt: { byte_rate: 1, chunk_rate: 1 },
};

const NAME = /^[A-Za-z0-9_.:-]{1,128}$/;

/** True for what may name a proxy or a toxic: it stands in a path. */
export function isName(value: unknown): value is string {
  return typeof value === "string" && NAME.test(value);
}

/** The toxic that a body describes, or a sentence why it describes none. */
export function toxicFrom(body: Readonly<Record<string, unknown>>): Toxic | string {
  const { type, stream = "downstream", toxicity = 1, attributes = {} } = body;
  if (stream !== "upstream" && stream !== "downstream") return "stream was invalid, can be either upstream or downstream";
  if (typeof type !== "string" || !Object.hasOwn(ATTRIBUTES, type)) return "invalid toxic type";
  const name = body["name"] === undefined || body["name"] === "" ? `${type}_${stream}` : body["name"];
  if (!isName(name)) return "bad request body: name";
  const blank: Toxic = { name, type: type as ToxicType, stream, toxicity: 1, attributes: Object.fromEntries(Object.keys(ATTRIBUTES[type as ToxicType]).map((attribute) => [attribute, 0])) };
  return changedToxic(blank, { toxicity, attributes });
}

/** The toxic with what a body changes: its toxicity, and those attributes that are named. Or a sentence why it cannot be. */
export function changedToxic(toxic: Toxic, body: Readonly<Record<string, unknown>>): Toxic | string {
  const { toxicity = toxic.toxicity, attributes = {} } = body;
  if (typeof toxicity !== "number" || !(toxicity >= 0 && toxicity <= 1)) return "bad request body: toxicity must be a number from 0 to 1";
  if (typeof attributes !== "object" || attributes === null) return "bad request body: attributes";
  const changed: Record<string, number> = { ...toxic.attributes };
  for (const [name, value] of Object.entries(attributes)) {
    const most = Object.hasOwn(ATTRIBUTES[toxic.type], name) ? ATTRIBUTES[toxic.type][name] : undefined;
    // Toxiproxy passes over attributes that it does not know.
    if (most === undefined) continue;
    if (typeof value !== "number" || !(value >= 0 && value <= most)) return `bad request body: ${name} must be a number from 0 to ${most}`;
    changed[name] = value;
  }
  return { ...toxic, toxicity, attributes: changed };
}
