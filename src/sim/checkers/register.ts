/**
 * What one resource is to clients at GLOBAL_QUORUM: a register with fields, sets, an ETag, a birth and an end. The model for the
 * linearizability checkers.
 *
 * Invariants:
 *  1. States are immutable; a step that changes nothing gives the same object.
 *  2. What nobody has told yet is undetermined, and becomes what the first sight shows of it.
 *  3. One ETag names one state: a tag that named an earlier state never names a later one.
 */
import type { Json } from "../../core/change.js";
import { COMPONENT_STATUSES, IMPACTS } from "../../store/conflicts.js";
import { scopeName, type Operation, type Sight } from "../history.js";
import { canonical, ownPartOf, type HistoryIndex, type LogicalWrite, type ResourceRecord } from "../history-index.js";
import type { Step } from "./order-search.js";

/** A set: all of its elements if `whole`, else those known to be in and known to be out. */
interface KnownSet {
  readonly whole: boolean;
  readonly inside: readonly string[];
  readonly outside: readonly string[];
}

export interface RegisterState {
  readonly life: "undetermined" | "never" | "alive" | "deleted";
  /** Canonical JSON. */
  readonly fields: Readonly<Record<string, string>>;
  readonly sets: Readonly<Record<string, KnownSet>>;
  readonly etag: string | undefined;
  /** Tags of earlier states. They follow from the steps taken (but for writes without an effect), so the key has their number only. */
  readonly past: ReadonlySet<string>;
  readonly key: string;
}

const NO_SET: KnownSet = { whole: false, inside: [], outside: [] };

function made(parts: Omit<RegisterState, "key">): RegisterState {
  const fields = Object.entries(parts.fields).sort(([a], [b]) => (a < b ? -1 : 1));
  const sets = Object.entries(parts.sets).sort(([a], [b]) => (a < b ? -1 : 1));
  return { ...parts, key: JSON.stringify([parts.life, parts.etag ?? null, fields, sets, parts.past.size]) };
}

/** Before the run: the resource does not exist if the run creates it; else nothing is known of it. */
export function initialRegister(record: ResourceRecord): RegisterState {
  const life = record.writes.some(({ kind }) => kind === "create") ? "never" : "undetermined";
  return made({ life, fields: {}, sets: {}, etag: undefined, past: new Set() });
}

/** After the tag's state was left. */
function pastWith(state: RegisterState): ReadonlySet<string> {
  return state.etag === undefined ? state.past : new Set([...state.past, state.etag]);
}

/** The state after a write takes effect, or undefined if it cannot now. */
function written(state: RegisterState, write: LogicalWrite): RegisterState | undefined {
  const { kind, ifMatch } = write;
  if (kind === "create") {
    if (state.life !== "never" && state.life !== "undetermined") return undefined;
    return changed({ ...state, life: "alive", fields: {}, sets: {} }, write, true);
  }
  if (state.life === "never" || state.life === "deleted") return undefined;
  if (ifMatch !== undefined && ifMatch !== "*") {
    if (state.etag === undefined ? state.past.has(ifMatch) : state.etag !== ifMatch) return undefined;
    // The tag is the state's, now that it matched.
    if (state.etag === undefined) return written(made({ ...state, etag: ifMatch }), write);
  }
  if (kind === "delete") return made({ life: "deleted", fields: {}, sets: {}, etag: undefined, past: pastWith(state) });
  return changed({ ...state, life: "alive" }, write, false);
}

function changed(state: RegisterState, { written: { fields = {}, added = {}, removed = {} } }: LogicalWrite, created: boolean): RegisterState {
  const nextFields = { ...state.fields };
  for (const [field, value] of Object.entries(fields)) nextFields[field] = canonical(value);
  const nextSets = { ...state.sets };
  for (const set of new Set([...Object.keys(added), ...Object.keys(removed)])) {
    const { whole, inside, outside } = nextSets[set] ?? { ...NO_SET, whole: created };
    const plus = added[set] ?? [];
    const minus = (removed[set] ?? []).filter((element) => !plus.includes(element));
    nextSets[set] = {
      whole,
      inside: [...new Set([...inside.filter((element) => !minus.includes(element)), ...plus])].sort(),
      outside: whole ? [] : [...new Set([...outside.filter((element) => !plus.includes(element)), ...minus])].sort(),
    };
  }
  const next = made({ life: state.life, fields: nextFields, sets: nextSets, etag: undefined, past: pastWith(state) });
  // A write that changed nothing that is known may have changed nothing at all: then the tag may stay.
  const idle = made({ ...state, fields: nextFields, sets: nextSets, etag: undefined });
  return idle.key === made({ ...state, etag: undefined }).key ? idle : next;
}

/** The state after somebody saw it, or undefined if it does not look so. */
export function seen(state: RegisterState, sight: Sight): RegisterState | undefined {
  if (!sight.found) return missing(state);
  if (state.life === "never" || state.life === "deleted") return undefined;
  const etag = sight.etag === undefined ? undefined : ownPartOf(sight.etag);
  if (etag !== undefined && (state.etag === undefined ? state.past.has(etag) : state.etag !== etag)) return undefined;
  const news = learned(state, sight);
  if (news === undefined) return undefined;
  const same = state.life === "alive" && (etag === undefined || state.etag === etag) && news.fields === undefined && news.sets === undefined;
  if (same) return state;
  return made({ ...state, life: "alive", etag: etag ?? state.etag, fields: { ...state.fields, ...news.fields }, sets: { ...state.sets, ...news.sets } });
}

/** What a sight tells that was undetermined; undefined if it contradicts what is known. */
function learned(state: RegisterState, { fields = {}, sets = {} }: Sight): Partial<Pick<RegisterState, "fields" | "sets">> | undefined {
  const newFields: Record<string, string> = {};
  for (const [field, value] of Object.entries(fields)) {
    const known = state.fields[field];
    const shown = canonical(value);
    if (known === undefined) newFields[field] = shown;
    else if (known !== shown) return undefined;
  }
  const newSets: Record<string, KnownSet> = {};
  for (const [set, elements] of Object.entries(sets)) {
    const { whole, inside, outside } = state.sets[set] ?? NO_SET;
    // An update that says nothing comes with a change of status: nobody wrote its text.
    const shown = new Set(elements.filter((element) => element !== ""));
    if (inside.some((element) => !shown.has(element)) || outside.some((element) => shown.has(element))) return undefined;
    if (!whole) newSets[set] = { whole: true, inside: [...shown].sort(), outside: [] };
    else if (shown.size !== inside.length) return undefined;
  }
  return { ...(Object.keys(newFields).length > 0 ? { fields: newFields } : {}), ...(Object.keys(newSets).length > 0 ? { sets: newSets } : {}) };
}

function missing(state: RegisterState): RegisterState | undefined {
  return state.life === "alive" ? undefined : state;
}

/** The state after a write was refused, or undefined if there was no reason to refuse it. `excused`: a write of unknown outcome may have come between. */
function refused(state: RegisterState, operation: Operation, excused: boolean): RegisterState | undefined {
  if (operation.status === 404) return missing(state);
  if (operation.status === 409) return state.life === "never" ? undefined : state;
  // If-Match on what does not exist is refused too.
  if (state.life !== "alive" || operation.ifMatch === undefined) return state;
  if (operation.ifMatch === "*") return undefined;
  const tag = ownPartOf(operation.ifMatch);
  if (state.etag !== tag) return state;
  return excused ? made({ ...state, etag: undefined, past: pastWith(state) }) : undefined;
}

/** A step of the search and the operation that it stands for. */
export interface RegisterStep extends Step<RegisterState> {
  readonly operation: Operation;
}

const NEVER_SEEN = Number.POSITIVE_INFINITY;

/**
 * All that happened to one resource at GLOBAL_QUORUM. A write of unknown outcome is required once somebody saw a value that only it
 * wrote, optional if its effect may be what somebody saw, and left out if nobody saw anything of the kind.
 */
export function registerSteps(record: ResourceRecord, index: HistoryIndex): RegisterStep[] {
  const steps: RegisterStep[] = [];
  const places = new Map<LogicalWrite, number>();
  const sights = record.sights.filter(({ operation }) => operation.level === "GLOBAL_QUORUM");
  const isKept = hasUnknownTag(record) ? () => true : (write: LogicalWrite) => mayHaveBeenSeen(write, record, index);
  for (const write of record.writes) {
    const firstSeenMs = firstCertainSight(record, write, index);
    if (!write.certain && firstSeenMs === NEVER_SEEN && !isKept(write)) continue;
    const [operation] = write.operations;
    if (operation === undefined) continue;
    const returnedAtMs = Math.min(write.returnedAtMs, firstSeenMs);
    places.set(write, steps.length);
    // What nobody saw was probably written over at once, so it is tried first.
    const priority = firstSeenMs === NEVER_SEEN && write.certain && write.kind !== "delete" ? write.invokedAtMs : returnedAtMs;
    steps.push({ operation, invokedAtMs: write.invokedAtMs, returnedAtMs, optional: returnedAtMs === NEVER_SEEN, priority, attempt: (state) => written(state, write) });
  }
  for (const { operation, sight, sinceMs, untilMs, after } of sights) {
    if (operation.kind === "list" && operation.returned?.list?.complete !== true) continue;
    const place = after === undefined ? undefined : places.get(after);
    steps.push({
      operation, invokedAtMs: sinceMs, returnedAtMs: untilMs, optional: false, priority: untilMs, ...(place === undefined ? {} : { after: place }),
      attempt: after?.kind === "delete" ? (state) => state : (state) => seen(state, sight),
    });
  }
  const doubtful = record.writes.filter(({ certain }) => !certain).map(({ invokedAtMs }) => invokedAtMs);
  const firstDoubtMs = Math.min(...doubtful, Number.POSITIVE_INFINITY);
  for (const operation of record.refusals) {
    if (operation.level !== "GLOBAL_QUORUM") continue;
    const returnedAtMs = operation.returnedAtMs ?? Number.POSITIVE_INFINITY;
    const excused = firstDoubtMs <= returnedAtMs;
    steps.push({ operation, invokedAtMs: operation.invokedAtMs, returnedAtMs, optional: false, priority: returnedAtMs, attempt: (state) => refused(state, operation, excused) });
  }
  return steps;
}

/** When an answer that shows what only this write can have written returned, at whichever level; infinite if there is none. */
function firstCertainSight(record: ResourceRecord, write: LogicalWrite, index: HistoryIndex): number {
  const { fields = {}, added = {} } = write.written;
  const own = (writers: readonly LogicalWrite[]): boolean => writers.length === 1 && writers[0] === write;
  // A resource that was there before the run may have had any value.
  const created = record.writes.some(({ kind }) => kind === "create");
  const names = created ? Object.entries(fields).filter(([field, value]) => own(index.writersOfField(record.name, field, value)) && isTelling(value)) : [];
  const elements = !created ? [] : Object.entries(added).flatMap(([set, items]) => items.filter((item) => own(index.writersOfElement(record.name, set, item))).map((item) => [set, item] as const));
  let firstMs = NEVER_SEEN;
  for (const { sight, untilMs, after } of record.sights) {
    if (untilMs >= firstMs || after === write) continue;
    if (names.some(([field, value]) => equals(sight.fields?.[field], value)) || elements.some(([set, item]) => sight.sets?.[set]?.includes(item) === true)) firstMs = untilMs;
  }
  return firstMs;
}

/** Values that many write and that the server gives by itself. */
const ORDINARY: ReadonlySet<string> = new Set([
  "", ...COMPONENT_STATUSES, ...IMPACTS, "investigating", "identified", "monitoring", "resolved", "postmortem", "scheduled", "in_progress", "verifying", "completed",
]);

/** A value that the server would hardly give a field by itself. */
export function isTelling(value: Json): boolean {
  return typeof value === "string" && !ORDINARY.has(value);
}

function equals(shown: Json | undefined, value: Json): boolean {
  return shown !== undefined && canonical(shown) === canonical(value);
}

function mayHaveBeenSeen(write: LogicalWrite, record: ResourceRecord, index: HistoryIndex): boolean {
  const { kind, written: { fields = {}, added = {}, removed = {} } } = write;
  const { sights } = record;
  if (kind === "delete") return sights.some(({ sight }) => !sight.found) || record.refusals.length > 0 || isUnlisted(record, index);
  if (kind === "create") return sights.some(({ sight }) => sight.found) || record.refusals.some(({ status }) => status !== 404) || record.writes.some((other) => other !== write);
  if (Object.values(removed).some((elements) => elements.length > 0)) return true;
  return sights.some(({ sight }) =>
    Object.entries(fields).some(([field, value]) => equals(sight.fields?.[field], value)) || Object.entries(added).some(([set, elements]) => elements.some((element) => sight.sets?.[set]?.includes(element))));
}

/** True if some list does not show the resource. */
function isUnlisted({ name, scope }: ResourceRecord, { history }: HistoryIndex): boolean {
  return history.operations.some(({ kind, subject, returned }) => kind === "list" && scopeName(subject) === scope && returned?.list?.complete === true && returned.list.items.every(({ id }) => `${scope}/${id}` !== name));
}

/** True if a tag was named, or shown alone, of a state that nobody saw: then any write of unknown outcome may have made it. */
function hasUnknownTag({ sights, writes }: ResourceRecord): boolean {
  const known = new Set<string>();
  const named = new Set<string>();
  for (const { sight } of sights) if (sight.etag !== undefined) (sight.fields === undefined && sight.sets === undefined ? named : known).add(ownPartOf(sight.etag));
  for (const { ifMatch } of writes) if (ifMatch !== undefined && ifMatch !== "*") named.add(ifMatch);
  return [...named].some((tag) => !known.has(tag));
}
