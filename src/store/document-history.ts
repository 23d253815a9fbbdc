/** Every change of a document, from its archive and from what is not archived yet. */
import { CHAIN } from "../core/change.js";
import type { Change, Json } from "../core/change.js";
import { hlcTime } from "../core/hlc.js";
import type { Storage } from "../core/ports.js";
import type { Vector } from "../core/vector.js";
import type { ChangeLog } from "./change-log.js";
import type { HistoryEntry } from "./data-plane.js";
import { archivedChanges, archiveOf, type ArchivedDocument, type NamedChange } from "./documents.js";
import { keyspace } from "./keyspace.js";

export class HistoryOfDocument {
  constructor(
    private readonly storage: Storage,
    private readonly log: ChangeLog,
  ) {}

  /** The stored archive of a document; undefined if there is none yet. */
  async archive(document: string): Promise<ArchivedDocument | undefined> {
    const records: { key: string; value: Uint8Array }[] = [];
    for await (const page of this.storage.scan(keyspace.archives(document))) for (const [key, value] of page) records.push({ key, value });
    const base = records.find(({ key }) => key === keyspace.archive(document));
    if (base === undefined) return undefined;
    return archiveOf(document, base.value, records.filter(({ key }) => key !== base.key).map(({ value }) => value));
  }

  /** Every change, in an order in which each follows all that it depends on. */
  async changes(document: string): Promise<(NamedChange & { readonly change: Change })[]> {
    // What is staged by now, not all that will be: under load a batch is always under way.
    await this.log.batch.flushed().catch(() => {});
    const archived = await this.archive(document);
    const found = new Map<string, NamedChange & { readonly change: Change }>();
    const take = ({ dot, body }: NamedChange): void => {
      const change = this.log.parse(body);
      if (!("fault" in change)) found.set(`${dot.origin} ${dot.seq}`, { dot, body, change });
    };
    if (archived !== undefined) for (const named of archivedChanges(archived)) take(named);
    for (const named of await this.log.unfoldedChanges(document)) take(named);
    return causalOrder([...found.values()]);
  }

  /** The changes that an archive with this vector does not hold, in an order in which each follows all that it depends on. */
  async unfolded(document: string, archived: Vector): Promise<(NamedChange & { readonly change: Change })[]> {
    await this.log.batch.flushed().catch(() => {});
    const found: (NamedChange & { readonly change: Change })[] = [];
    for (const { dot, body } of await this.log.unfoldedChanges(document)) {
      if (dot.seq <= (archived[dot.origin] ?? 0)) continue;
      const change = this.log.parse(body);
      if (!("fault" in change)) found.push({ dot, body, change });
    }
    return causalOrder(found);
  }

  /** The body of one change, by its key in the store. */
  async archivedChange(key: string): Promise<Uint8Array | undefined> {
    const document = key.split("/").slice(1, 4).join("/");
    const { origin, seq } = keyspace.dotOfChange(key);
    const archived = await this.archive(document);
    return archived === undefined ? undefined : archivedChanges(archived).find(({ dot }) => dot.origin === origin && dot.seq === seq)?.body;
  }

  async changesBeyond(document: string, beyond: Vector): Promise<NamedChange[]> {
    return (await this.changes(document)).filter(({ dot }) => dot.seq > (beyond[dot.origin] ?? 0));
  }

  /** What happened to the document's fields, newest first. */
  async entries(document: string): Promise<HistoryEntry[]> {
    const entries: HistoryEntry[] = [];
    for (const { change } of await this.changes(document)) for (const entry of entriesOf(change)) if (!isInternal(entry.field)) entries.push(entry);
    return entries.reverse();
  }
}

/** Fields that begin with an underscore are the store's own bookkeeping. */
function isInternal(field: string): boolean {
  return field.startsWith("_") || field.includes("._");
}

/** Orders by dependency; among independent changes the earlier HLC comes first. */
function causalOrder<T extends NamedChange & { readonly change: Change }>(changes: T[]): T[] {
  const byClock = changes.sort((a, b) => (a.change.hlc < b.change.hlc ? -1 : a.change.hlc > b.change.hlc ? 1 : a.dot.seq - b.dot.seq));
  const held: Record<string, number> = Object.create(null) as Record<string, number>;
  const present = new Set(byClock.map(({ dot }) => `${dot.origin} ${dot.seq}`));
  // A context names the very changes that it follows, so each is either among these or lies below what was asked for.
  const ready = ({ change, dot }: T): boolean =>
    Object.entries(change.context).every(([origin, seq]) => (held[origin] ?? 0) >= seq || !present.has(`${origin} ${seq}`))
    && (dot.origin !== CHAIN || (held[CHAIN] ?? 0) >= dot.seq - 1 || !present.has(`${CHAIN} ${dot.seq - 1}`));
  const ordered: T[] = [];
  let waiting = byClock;
  while (waiting.length > 0) {
    const later: T[] = [];
    for (const item of waiting) {
      if (!ready(item)) {
        later.push(item);
        continue;
      }
      held[item.dot.origin] = Math.max(held[item.dot.origin] ?? 0, item.dot.seq);
      ordered.push(item);
    }
    if (later.length === waiting.length) return [...ordered, ...later];
    waiting = later;
  }
  return ordered;
}

function entriesOf(change: Change): HistoryEntry[] {
  const { hlc, region, replica, actor } = change;
  const entry = (section: string, field: string, from: Json, to: Json): HistoryEntry => ({ hlc, at: hlcTime(hlc), region, replica, actor, field: section === "" ? field : `${section}.${field}`, from, to });
  return change.operations.map((operation): HistoryEntry => {
    switch (operation.op) {
      case "create":
        return entry(operation.section, "created", null, true);
      case "delete":
        return entry(operation.section, "deleted", null, true);
      case "set":
        return entry(operation.section, operation.field, operation.was ?? null, operation.value);
      case "add":
        return entry(operation.section, operation.field, null, operation.element);
      case "remove":
        return entry(operation.section, operation.field, operation.element, null);
      default:
        return entry(operation.section, operation.field, null, operation.by);
    }
  });
}
