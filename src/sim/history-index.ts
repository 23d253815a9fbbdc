/**
 * A history by resource: who wrote which value, and who saw what when.
 *
 * Invariants:
 *  1. Requests with the same Idempotency-Key for the same route are one write: it takes effect at most once, between the first request and the first 2xx answer.
 *  2. A create whose id was not learned is found by what it wrote, if anybody saw it.
 */
import type { Json } from "../core/change.js";
import { isWrite, mayHaveEffect, resourceName, scopeName, type History, type Operation, type OperationKind, type Sight, type Written } from "./history.js";

/** One write, asked for by one request or by several with one Idempotency-Key. */
export interface LogicalWrite {
  readonly operations: readonly Operation[];
  readonly kind: OperationKind;
  readonly scope: string;
  /** Undefined if nobody ever learned which resource it made. */
  readonly resource: string | undefined;
  readonly written: Written;
  /** The part of the ETag that names the state of the document itself. */
  readonly ifMatch: string | undefined;
  readonly invokedAtMs: number;
  /** When it had certainly taken effect: the first 2xx answer; infinite if there is none. */
  readonly returnedAtMs: number;
  /** It was answered 2xx. */
  readonly certain: boolean;
}

/** What one answer shows of a resource: true at one moment of the interval, and not before `after` took effect. */
export interface ResourceSight {
  readonly operation: Operation;
  readonly sight: Sight;
  readonly sinceMs: number;
  readonly untilMs: number;
  /** The write whose answer it is. */
  readonly after?: LogicalWrite;
}

export interface ResourceRecord {
  readonly name: string;
  readonly scope: string;
  /** Writes that took effect or may have. */
  readonly writes: LogicalWrite[];
  readonly sights: ResourceSight[];
  /** Writes that were answered 404, 409 or 412; without refusals that were given again, which tell of what was then. */
  readonly refusals: Operation[];
}

/** A text that is equal exactly for equal JSON. */
export function canonical(value: Json): string {
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  if (Array.isArray(value)) return `[${(value as readonly Json[]).map(canonical).join()}]`;
  return `{${Object.entries(value as Readonly<Record<string, Json>>).sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, item]) => `${JSON.stringify(key)}:${canonical(item)}`).join()}}`;
}

/** Items by a text made of each, in their order. */
export function groupBy<Item>(items: Iterable<Item>, keyOf: (item: Item) => string): Map<string, Item[]> {
  const groups = new Map<string, Item[]>();
  for (const item of items) {
    const group = groups.get(keyOf(item));
    if (group === undefined) groups.set(keyOf(item), [item]);
    else group.push(item);
  }
  return groups;
}

/** The part of an ETag before its dot: behind it is what the representation borrows from other documents. */
export function ownPartOf(etag: string): string {
  return etag.split(".", 1)[0] ?? etag;
}

export class HistoryIndex {
  readonly writes: readonly LogicalWrite[];
  readonly resources: ReadonlyMap<string, ResourceRecord>;
  private readonly writeOf = new Map<number, LogicalWrite>();
  private readonly writers = new Map<string, LogicalWrite[]>();

  constructor(readonly history: History) {
    const named = namesOfCreated(history);
    this.writes = groups(history).map((operations) => logicalWrite(operations, named));
    for (const write of this.writes) for (const { id } of write.operations) this.writeOf.set(id, write);
    this.resources = this.collect();
    for (const write of this.writes) for (const token of tokensOf(write)) this.writers.set(token, [...(this.writers.get(token) ?? []), write]);
  }

  /** The write that an operation asked for; undefined for reads, and for what certainly had no effect. */
  write(operation: Operation): LogicalWrite | undefined {
    return this.writeOf.get(operation.id);
  }

  /** The writes that gave a field this value. */
  writersOfField(resource: string, field: string, value: Json): readonly LogicalWrite[] {
    return this.writers.get(fieldToken(resource, field, value)) ?? [];
  }

  /** The writes that added this element. */
  writersOfElement(resource: string, set: string, element: string): readonly LogicalWrite[] {
    return this.writers.get(elementToken(resource, set, element)) ?? [];
  }

  private collect(): Map<string, ResourceRecord> {
    const resources = new Map<string, ResourceRecord>();
    const record = (name: string, scope: string): ResourceRecord => {
      let found = resources.get(name);
      if (found === undefined) {
        found = { name, scope, writes: [], sights: [], refusals: [] };
        resources.set(name, found);
      }
      return found;
    };
    for (const write of this.writes) if (write.resource !== undefined) record(write.resource, write.scope).writes.push(write);
    for (const operation of this.history.operations) this.collectSights(operation, record);
    return resources;
  }

  private collectSights(operation: Operation, record: (name: string, scope: string) => ResourceRecord): void {
    const { kind, subject, outcome, returned, invokedAtMs: sinceMs, returnedAtMs: untilMs = Number.POSITIVE_INFINITY, status } = operation;
    const scope = scopeName(subject);
    const name = this.writeOf.get(operation.id)?.resource ?? resourceName(subject);
    if (outcome === "ok") {
      for (const { id, ...sight } of returned?.list?.items ?? []) record(`${scope}/${id}`, scope).sights.push({ operation, sight, sinceMs, untilMs });
      if (name === undefined || returned?.sight === undefined) return;
      const after = this.writeOf.get(operation.id);
      record(name, scope).sights.push({
        operation, sight: returned.sight, sinceMs: Math.min(sinceMs, after?.invokedAtMs ?? sinceMs), untilMs, ...(after === undefined ? {} : { after }),
      });
    } else if (name !== undefined && isWrite(kind) && operation.replayed !== true && (outcome === "precondition" || status === 404 || (status === 409 && kind === "create"))) record(name, scope).refusals.push(operation);
  }
}

/** Requests for the same write together, in order of the first request. */
function groups(history: History): Operation[][] {
  const groups: Operation[][] = [];
  const byKey = new Map<string, Operation[]>();
  for (const operation of history.operations) {
    if (!mayHaveEffect(operation)) continue;
    const { idempotencyKey, kind, subject } = operation;
    // The route: a create names no id.
    const route = JSON.stringify([scopeName(subject), kind === "create" ? "" : (subject.id ?? ""), kind, idempotencyKey]);
    const known = idempotencyKey === undefined ? undefined : byKey.get(route);
    if (known !== undefined) {
      known.push(operation);
      continue;
    }
    const group = [operation];
    groups.push(group);
    if (idempotencyKey !== undefined) byKey.set(route, group);
  }
  return groups;
}

function logicalWrite(operations: readonly Operation[], named: ReadonlyMap<string, string>): LogicalWrite {
  const [first] = operations;
  if (first === undefined) throw new RangeError("a group has an operation");
  const certain = operations.filter(({ outcome }) => outcome === "ok");
  const scope = scopeName(first.subject);
  const resource = operations.map(({ subject }) => resourceName(subject)).find((name) => name !== undefined) ?? tokensWithin(scope, first.written ?? {}).map((token) => named.get(token)).find((name) => name !== undefined);
  return {
    operations, kind: first.kind, scope, resource, written: first.written ?? {},
    ifMatch: first.ifMatch === undefined ? undefined : ownPartOf(first.ifMatch),
    invokedAtMs: Math.min(...operations.map(({ invokedAtMs }) => invokedAtMs)),
    returnedAtMs: Math.min(...certain.map(({ returnedAtMs }) => returnedAtMs ?? Number.POSITIVE_INFINITY)),
    certain: certain.length > 0,
  };
}

/** What creates without an id wrote, as long as nobody else wrote it → the one resource that was seen with all of it. */
function namesOfCreated(history: History): ReadonlyMap<string, string> {
  const writes = groups(history).map(([first]) => first).filter((first) => first !== undefined);
  const counts = new Map<string, number>();
  for (const { subject, written } of writes) for (const token of tokensWithin(scopeName(subject), written ?? {})) counts.set(token, (counts.get(token) ?? 0) + 1);
  const sought = new Map<string, Written>();
  for (const { kind, subject, written } of writes) {
    if (kind !== "create" || subject.id !== undefined || written === undefined) continue;
    for (const token of tokensWithin(scopeName(subject), written)) if (counts.get(token) === 1) sought.set(token, written);
  }
  const names = new Map<string, string>();
  if (sought.size === 0) return names;
  const saw = (scope: string, name: string, sight: Sight): void => {
    for (const token of tokensWithin(scope, { fields: sight.fields ?? {}, added: sight.sets ?? {} })) {
      const written = sought.get(token);
      if (written !== undefined && showsAll(sight, written)) names.set(token, name);
    }
  };
  for (const { subject, returned } of history.operations) {
    const scope = scopeName(subject);
    for (const item of returned?.list?.items ?? []) saw(scope, `${scope}/${item.id}`, item);
    const name = resourceName(subject);
    if (name !== undefined && returned?.sight !== undefined) saw(scope, name, returned.sight);
  }
  for (const { documents } of history.final) for (const { resource, sight } of documents) saw(scopeName(resource), `${scopeName(resource)}/${resource.id}`, sight);
  return names;
}

/** True if what the sight tells of the written fields and sets is what was written. */
function showsAll({ fields = {}, sets = {} }: Sight, written: Written): boolean {
  return Object.entries(written.fields ?? {}).every(([field, value]) => fields[field] === undefined || canonical(fields[field]) === canonical(value))
    && Object.entries(written.added ?? {}).every(([set, elements]) => elements.every((element) => sets[set] === undefined || sets[set].includes(element)));
}

function tokensWithin(scope: string, { fields, added }: Written): string[] {
  return [
    ...Object.entries(fields ?? {}).map(([field, value]) => fieldToken(scope, field, value)),
    ...Object.entries(added ?? {}).flatMap(([set, elements]) => elements.map((element) => elementToken(scope, set, element))),
  ];
}

function tokensOf({ resource, written }: LogicalWrite): string[] {
  return resource === undefined ? [] : tokensWithin(resource, written);
}

function fieldToken(within: string, field: string, value: Json): string {
  return `${within} ${field} = ${canonical(value)}`;
}

function elementToken(within: string, set: string, element: string): string {
  return `${within} ${set} + ${element}`;
}
