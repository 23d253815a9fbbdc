/**
 * Every key of the store in one place. A document's key (`<partition>/<type>/<id>`) follows the kind of record, so that
 * everything of one page lies together within each kind. Numbers are padded, so that they sort.
 */
const DIGITS = 12;

const pad = (number: number): string => String(number).padStart(DIGITS, "0");

/** The range of keys that begin with `prefix`. */
export function withPrefix(prefix: string): { from: string; to: string } {
  const last = prefix.length - 1;
  return { from: prefix, to: prefix.slice(0, last) + String.fromCharCode(prefix.charCodeAt(last) + 1) };
}

export const keyspace = {
  /** Identity, vector, clock: one record, written with every batch. */
  state: "m/state",
  /** Format of the store and whose it is; written once. */
  sentinel: "m/sentinel",

  /** Which pages are kept here, where not all are. */
  pages: "m/pages",

  header: (document: string) => `d/${document}`,
  headers: withPrefix("d/"),
  documentOfHeader: (key: string) => key.slice(2),

  section: (document: string, section: string) => `b/${document}/${section}`,
  sections: (document: string) => withPrefix(`b/${document}/`),
  idOfSection: (key: string) => key.slice(key.lastIndexOf("/") + 1),

  /** The bytes of one change, by its dot within its document. */
  change: (document: string, origin: string, seq: number) => `c/${document}/${origin}/${pad(seq)}`,
  changes: (document: string) => withPrefix(`c/${document}/`),
  dotOfChange: (key: string): { origin: string; seq: number } => {
    const parts = key.split("/");
    return { origin: parts.at(-2) ?? "", seq: Number(parts.at(-1)) };
  },

  /** Order of arrival at this replica: a run of entries of one batch, by the place of the last of them (`arrivals.ts`). */
  arrival: (place: number) => `a/${pad(place)}`,
  /** Records from the one that holds `place` on. */
  arrivalsFrom: (place: number) => ({ from: `a/${pad(place)}`, to: "a0" }),
  placeOfArrival: (key: string) => Number(key.slice(2)),
  allArrivals: withPrefix("a/"),

  /** The compacted history of a document. */
  archive: (document: string) => `h/${document}/base`,
  archiveChunk: (document: string, chunk: string) => `h/${document}/chunk-${chunk}`,
  archives: (document: string) => withPrefix(`h/${document}/`),

  /** What was folded from a document's changes; can be made again from them. */
  projection: (document: string) => `p/${document}`,

  /** Durable state of the quorum engine beside the slots. */
  quorum: "m/quorum",
  slot: (document: string) => `q/${document}`,
  slots: withPrefix("q/"),
  documentOfSlot: (key: string) => key.slice(2),

  /** First answers, by scope and HLC. */
  idempotency: (scope: string, hlc: string) => `i/${scope}/${hlc}`,
  idempotencyOf: (scope: string) => withPrefix(`i/${scope}/`),
  idempotencies: withPrefix("i/"),
  partsOfIdempotency: (key: string): { scope: string; hlc: string } => ({ scope: key.slice(2, -33), hlc: key.slice(-32) }),
  /** ms since the epoch of the HLC that the key ends with. */
  msOfIdempotency: (key: string) => Number.parseInt(key.slice(-32, -20), 16),

  /** A log entry that could not be applied, kept as it came. */
  quarantine: (origin: string, seq: number) => `x/${origin}/${pad(seq)}`,
  quarantines: withPrefix("x/"),
} as const;
