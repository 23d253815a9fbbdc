/**
 * What the regions think of a monitor, and what follows: the document `<page>/watch/<monitor>`.
 *
 * Each region has a section of its own, `region-<name>`, whose register `opinion` only that region writes, and only when its
 * opinion changes. The register `verdict` of the document itself is what they agree on; any region may write it, and all write
 * the same (`verdict.ts`). It stands apart from the monitor's own document, so that no check makes a configuration conflict.
 */
import type { Json } from "../../core/change.js";
import type { Phases } from "../../core/check.js";
import { keyOf } from "../../core/document.js";
import { CLOSED_STATUSES } from "../../store/conflicts.js";
import type { Snapshot } from "../../store/data-plane.js";
import type { DocumentReader } from "../../store/document-reader.js";

export const WATCH = "watch";
export const VERDICTS = ["up", "degraded", "down", "unknown"] as const;
export type State = (typeof VERDICTS)[number];

export interface Evidence {
  /** Null where nothing went wrong. */
  readonly error: { readonly code: string; readonly message: string } | null;
  readonly latency_ms: number | null;
  readonly phases: Phases;
}

export interface Opinion {
  readonly state: State;
  /** When the region came to it, ms since the epoch. */
  readonly since: number;
  /** When it last looked before it wrote this, ms since the epoch. */
  readonly checkedAt: number;
  /** Times of its latest changes of mind, ms since the epoch, oldest first. */
  readonly changes: readonly number[];
  readonly evidence: Evidence;
}

/** An opinion with the stamp of the change that brought it. */
export interface StampedOpinion extends Opinion {
  readonly region: string;
  readonly hlc: string;
}

export interface Verdict {
  readonly state: State;
  /** ms since the epoch; null if none was ever reached. */
  readonly since: number | null;
  /** From a down until an up or degraded: an unknown in between ends no outage. */
  readonly failing: boolean;
  /** Counts the outages of this monitor: the incident of an outage is named by it. */
  readonly outage: number;
  /** Id of the incident of the latest outage; null if it made none. */
  readonly incident: string | null;
  /** Component whose status this verdict has set, and what to; null if it has set none. */
  readonly component: { readonly id: string; readonly status: string } | null;
}

export const NO_VERDICT: Verdict = { state: "unknown", since: null, failing: false, outage: 0, incident: null, component: null };
const SECTION = "region-";

export function watchKey(page: string, monitor: string): string {
  return keyOf(page, WATCH, monitor);
}

export function sectionOf(region: string): string {
  return `${SECTION}${region}`;
}

function isOpinion(value: Json): boolean {
  return typeof value === "object" && value !== null && "state" in value && "since" in value && "evidence" in value;
}

/** The opinions in a watch document, by region. */
export function opinionsOf(document: DocumentReader | undefined): StampedOpinion[] {
  if (document === undefined) return [];
  return document.sections().filter(({ id }) => id.startsWith(SECTION)).flatMap(({ id }) => {
    const value = document.value("opinion", id);
    const author = document.author("opinion", id);
    return isOpinion(value) && author !== undefined ? [{ ...(value as unknown as Opinion), region: id.slice(SECTION.length), hlc: author.hlc }] : [];
  }).sort((a, b) => (a.region < b.region ? -1 : 1));
}

/** The verdict that a watch document shows. Of concurrent ones the latest outage counts. */
export function verdictIn(document: DocumentReader | undefined): Verdict {
  const shown = document?.value("verdict") ?? null;
  if (document === undefined || shown === null) return NO_VERDICT;
  const others = document.conflicts().find(({ field }) => field === "verdict")?.values.map(({ value }) => value) ?? [];
  const all = [shown, ...others] as unknown as Verdict[];
  return all.reduce((best, verdict) => (verdict.outage > best.outage ? verdict : best));
}

export function verdictOf(snapshot: Snapshot, page: string, monitor: string): Verdict {
  return verdictIn(snapshot.document(watchKey(page, monitor)));
}

/** Id of the incident of a verdict while it is open; null else. */
export function openIncidentOf(snapshot: Snapshot, page: string, verdict: Verdict): string | null {
  const incident = verdict.incident === null ? undefined : snapshot.document(keyOf(page, "incident", verdict.incident));
  return incident === undefined || CLOSED_STATUSES.includes(incident.value("status")) ? null : incident.id;
}
