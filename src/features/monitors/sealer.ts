/**
 * Seals, once an hour, what this replica wrote of each page's monitors and was not sealed yet (`seal.ts`).
 *
 * What is to be sealed is told by the documents, not by memory: a change that this replica made, no older than the window, that none of its
 * seals holds. So nothing is lost over a crash, and what an earlier life wrote is sealed once it has come back from the other regions.
 */
import { parseKey } from "../../core/document.js";
import { isFault } from "../../core/errors.js";
import { hlcMs } from "../../core/hlc.js";
import { sealLimits } from "../../core/limits.js";
import type { Json } from "../../core/change.js";
import type { Clock, Timer, Timers } from "../../core/ports.js";
import type { DataPlane, DocumentChange } from "../../store/data-plane.js";
import { MONITOR } from "./monitor.js";
import { sectionOf, WATCH } from "./opinion.js";
import type { ResultStore } from "./results.js";
import { latencyFigures, type Rollup } from "./rollup.js";
import { inOrder, type SealedRecord } from "./seal.js";
import { chainOf, sealCommand, sealedOn, sealsOf, type Life } from "./seal-store.js";
import { DAY_MS } from "./uptime.js";

export interface SealerParts {
  readonly data: DataPlane;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly replica: string;
  readonly region: string;
  readonly results: ResultStore;
  log(level: "info" | "warn", event: Readonly<Record<string, unknown>>, text: string): void;
  /** A broken invariant. */
  onDefect(error: unknown): void;
}

const HOUR_MS = 3_600_000;
const iso = (ms: number): string => new Date(ms).toISOString();
const dateOf = (ms: number): string => iso(ms).slice(0, 10);
const nameOf = ({ id, kind, monitor }: SealedRecord): string => `${kind} ${monitor} ${id}`;

export class Sealer {
  /** Watch documents that have changed since they were last looked at; undefined: any may have. */
  private touched: Set<string> | undefined;
  /** Up to when everything is sealed, ms since the epoch. */
  private sealedUntilMs = Number.NEGATIVE_INFINITY;
  private unfollow: () => void = () => undefined;
  private timer: Timer | undefined;
  private running: Promise<void> = Promise.resolve();
  private stopped = false;

  constructor(private readonly parts: SealerParts) {}

  start(): void {
    this.unfollow = this.parts.data.feed.follow({
      changed: ({ changes }) => {
        for (const { document } of changes) if (parseKey(document).type === WATCH) this.touched?.add(document);
        if ((this.touched?.size ?? 0) > sealLimits.touchedMax) this.touched = undefined;
      },
      reset: () => {
        this.touched = undefined;
      },
    });
    this.again();
  }

  async stop(): Promise<void> {
    this.stopped = true;
    this.timer?.cancel();
    this.unfollow();
    await this.running;
  }

  private again(): void {
    this.timer = this.parts.timers.after(sealLimits.lookEveryMs, () => {
      this.running = this.look().catch((error: unknown) => this.parts.onDefect(error)).finally(() => {
        if (!this.stopped) this.again();
      });
    });
  }

  /** Seals the hours that are over, if there are any. */
  private async look(): Promise<void> {
    const untilMs = Math.floor((this.parts.clock.now() - sealLimits.delayMs) / HOUR_MS) * HOUR_MS;
    if (untilMs <= this.sealedUntilMs) return;
    const { touched } = this;
    this.touched = new Set();
    if (await this.seal(untilMs, touched)) this.sealedUntilMs = untilMs;
    else this.touched = touched === undefined ? undefined : new Set([...touched, ...(this.touched ?? [])]);
  }

  /** False if not all could be read or written: it is tried again. */
  private async seal(untilMs: number, touched: ReadonlySet<string> | undefined): Promise<boolean> {
    const pages = await this.parts.data.read({ documents: [], render: (snapshot) => snapshot.list("~", "page").map(({ id }) => id) }, { level: "LOCAL" });
    if (isFault(pages)) return false;
    let isWhole = true;
    for (const page of pages.value) {
      if (this.stopped) return false;
      isWhole = (await this.sealPage(page, untilMs, touched)) && isWhole;
    }
    return isWhole;
  }

  private get life(): Life {
    return { replica: this.parts.replica, incarnation: this.parts.data.cluster().incarnation };
  }

  private async sealPage(page: string, untilMs: number, touched: ReadonlySet<string> | undefined): Promise<boolean> {
    const { data } = this.parts;
    const { life } = this;
    const last = await data.read({ documents: [], render: (snapshot) => sealsOf(snapshot, page, chainOf(life)).at(-1)?.until ?? null }, { level: "LOCAL" });
    if (isFault(last)) return false;
    const windowFromMs = untilMs - sealLimits.windowMs;
    const keys = await this.keysToRead(page, touched, last.value === null ? windowFromMs : Math.max(windowFromMs, Date.parse(last.value)));
    if (keys === undefined) return false;
    const candidates: SealedRecord[] = [];
    for (const key of keys) {
      const changes = await data.changes(key);
      if (isFault(changes)) return false;
      const records = changes.flatMap((change) => this.recordsOf(change));
      if (records.some(({ at }) => at >= iso(untilMs))) this.touched?.add(key);
      candidates.push(...records.filter(({ at }) => at >= iso(windowFromMs) && at < iso(untilMs)));
    }
    const days = await this.days(page, windowFromMs, untilMs);
    if (days === undefined) return false;
    candidates.push(...days);
    const fresh = await this.unsealed(page, candidates, untilMs);
    return fresh !== undefined && this.write(page, fresh, iso(untilMs));
  }

  /** Watch documents of a page that may hold something that is not sealed. */
  private async keysToRead(page: string, touched: ReadonlySet<string> | undefined, sinceMs: number): Promise<string[] | undefined> {
    if (touched !== undefined) return [...touched].filter((key) => parseKey(key).partition === page).sort();
    const found: string[] = [];
    const listed = await this.parts.data.read({ documents: [], render: (snapshot) => snapshot.list(page, WATCH).map(({ key }) => key) }, { level: "LOCAL" });
    if (isFault(listed)) return undefined;
    for (let from = 0; from < listed.value.length; from += sealLimits.slice) {
      const slice = listed.value.slice(from, from + sealLimits.slice);
      const read = await this.parts.data.read({ documents: [], render: (snapshot) => slice.filter((key) => (snapshot.document(key)?.touchedMs ?? 0) >= sinceMs) }, { level: "LOCAL" });
      if (isFault(read)) return undefined;
      found.push(...read.value);
    }
    return found;
  }

  /** What a change says, if this replica made it. */
  private recordsOf({ change }: DocumentChange): SealedRecord[] {
    const { replica, region } = this.parts;
    if (change.replica !== replica) return [];
    const { partition: page, id: monitor } = parseKey(change.document);
    return change.operations.flatMap((operation): SealedRecord[] => {
      if (operation.op !== "set") return [];
      const kind = operation.field === "verdict" && operation.section === "" ? "verdict" : operation.field === "opinion" && operation.section === sectionOf(change.region) ? "opinion" : undefined;
      return kind === undefined ? [] : [{ kind, page, monitor, region, replica, id: change.hlc, at: iso(hlcMs(change.hlc)), value: wellFormed(operation.value) }];
    });
  }

  /** Days that are over for an hour, of this replica's own results. */
  private async days(page: string, windowFromMs: number, untilMs: number): Promise<SealedRecord[] | undefined> {
    const fromMs = Math.ceil(windowFromMs / DAY_MS) * DAY_MS;
    const toMs = Math.floor((untilMs - HOUR_MS) / DAY_MS) * DAY_MS;
    if (this.sealedUntilMs - HOUR_MS >= toMs) return [];
    const { data, region, replica, results } = this.parts;
    const monitors = await data.read({ documents: [], render: (snapshot) => snapshot.list(page, MONITOR).map(({ id }) => id) }, { level: "LOCAL" });
    if (isFault(monitors)) return undefined;
    const records: SealedRecord[] = [];
    for (const monitor of monitors.value) {
      for (const { start, rollup } of await results.rollups(`${page}/${monitor}`, "day", fromMs, toMs)) {
        records.push({ kind: "day", page, monitor, region, replica, id: dateOf(start), at: iso(start + DAY_MS), value: figuresOf(rollup) });
      }
    }
    return records;
  }

  /** Those that no seal of any life of this replica holds. */
  private async unsealed(page: string, candidates: readonly SealedRecord[], untilMs: number): Promise<SealedRecord[] | undefined> {
    const left = new Map(candidates.map((record) => [nameOf(record), record]));
    const first = candidates.map(({ at }) => at).sort()[0];
    if (first === undefined) return [];
    for (let dayMs = Date.parse(first.slice(0, 10)); dayMs <= untilMs; dayMs += DAY_MS) {
      const sealed = await this.parts.data.read({ documents: [], render: (snapshot) => sealedOn(snapshot, page, dateOf(dayMs), (chain) => chain.startsWith(`${this.parts.replica}_`)) }, { level: "LOCAL" });
      if (isFault(sealed)) return undefined;
      for (const { texts } of sealed.value) for (const text of texts) left.delete(nameOf(JSON.parse(text) as SealedRecord));
    }
    return [...left.values()];
  }

  private async write(page: string, records: readonly SealedRecord[], until: string): Promise<boolean> {
    const texts = inOrder(records);
    for (let from = 0; from < texts.length; ) {
      const part = texts.slice(from, from + partOf(texts, from));
      from += part.length;
      const times = part.map((text) => (JSON.parse(text) as SealedRecord).at);
      const { life } = this;
      const sealed = await this.parts.data.commit(sealCommand({ page, life, region: this.parts.region, until, texts: part, times }), { level: "LOCAL", actor: "system" });
      if (isFault(sealed)) {
        this.parts.log("warn", { event: "seal", page, fault: sealed.detail }, "the history could not be sealed; it is tried again");
        return false;
      }
      this.parts.log("info", { event: "sealed", page, records: part.length, until }, "the history was sealed");
    }
    return true;
  }
}

/** How many of the texts from there on fit one seal. */
function partOf(texts: readonly string[], from: number): number {
  let bytes = 0;
  let count = 0;
  for (const text of texts.slice(from, from + sealLimits.recordsPerSealMax)) {
    bytes += Buffer.byteLength(text);
    if (count > 0 && bytes > sealLimits.bytesPerSealMax) break;
    count++;
  }
  return count;
}

function figuresOf(rollup: Rollup): Json {
  const { up, degraded, down, unknown } = rollup;
  return { up, degraded, down, unknown, latency_ms: { ...latencyFigures(rollup) } };
}

/** Halves of characters, which have no canonical form, are replaced. */
function wellFormed(value: Json): Json {
  return JSON.parse(JSON.stringify(value), (_key, part: unknown) => (typeof part === "string" ? Buffer.from(part).toString() : part)) as Json;
}
