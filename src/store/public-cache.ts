/**
 * What the public sees, rendered once per change and not once per request.
 *
 * Invariants:
 *  1. An answer is kept until a document or a list that its rendering looked at changes, or its own time is over. What a write has
 *     made durable is shown from the moment on in which the write is answered.
 *  2. Equal bytes have equal tags; each coding of them has a tag of its own.
 *  3. `Last-Modified` never goes back, and moves by at least a second whenever the bytes change.
 *  4. What is kept never holds more than the bound.
 *  5. A shortcut leads to an answer for as long as that is fresh, and not longer.
 */
import { createHash } from "node:crypto";
import { promisify } from "node:util";
import { brotliCompress, constants, gzip } from "node:zlib";
import { isFault, type Fault } from "../core/errors.js";
import { limits } from "../core/limits.js";
import type { Timers } from "../core/ports.js";
import type { ComponentHistory, DayUptime } from "./component-history.js";
import type { DataPlane, Snapshot } from "./data-plane.js";
import { DependencySnapshot } from "./dependency-snapshot.js";
import type { FeedBatch } from "./feed.js";
import type { Preparation, Publication, Representation } from "./representation.js";
import { surrogateKeys } from "./surrogate-keys.js";
import { readTimelineAhead } from "./timeline-index.js";

export type Coding = "identity" | "gzip" | "br";

export interface PublicAnswer {
  readonly contentType: string;
  readonly body: Buffer;
  /** Without quotes, of the uncoded bytes. */
  readonly tag: string;
  readonly lastModifiedMs: number;
  /** Surrogate keys: `page/<page>`, and the documents (`<page>/<type>/<id>`) and lists (`<page>/<type>`) that it shows. */
  readonly keys: readonly string[];
  readonly publication: Publication;
  /** For the one who sends it: header blocks made once. */
  readonly made: Map<string, unknown>;
}

interface Entry {
  readonly name: string;
  readonly dependencies: Set<string>;
  stale: boolean;
  answer: PublicAnswer | undefined;
  building: Promise<PublicAnswer | Fault> | undefined;
  codings: Map<Coding, Promise<Buffer>>;
  bytes: number;
  /** Asked for since it was last looked at for room. */
  used: boolean;
  /** Names of shortcuts to it, the oldest first. */
  readonly shortcuts: string[];
}

/** Where a request that was answered before finds its answer again. `made`: what the one who sends keeps with it. */
export interface Shortcut {
  readonly answer: PublicAnswer;
  readonly made: unknown;
}

interface KeptShortcut extends Shortcut {
  readonly entry: Entry;
}

const ENTRY_OVERHEAD_BYTES = 1_024;
const SHORTCUT_OVERHEAD_BYTES = 200;
/** Of one answer: hosts, languages and codings by which it was asked for. */
const SHORTCUTS_MAX = 32;
const SHORTCUT_LENGTH_MAX = 512;
/** Below this, coding costs more than it saves. */
export const CODED_ABOVE_BYTES = 1_024;
const gzipped = promisify(gzip);
const brotlied = promisify(brotliCompress);

export class PublicCache {
  /** In the order in which room is made: the oldest first, but one that was asked for meanwhile is passed over once. */
  private readonly entries = new Map<string, Entry>();
  private readonly shortcuts = new Map<string, KeptShortcut>();
  /** Document or list → entries that looked at it. */
  private readonly dependents = new Map<string, Set<Entry>>();
  private bytes = 0;
  renderings = 0;
  private readonly leave: () => void;

  constructor(
    private readonly data: DataPlane,
    private readonly history: ComponentHistory,
    private readonly bounds: { readonly bytesMax: number },
    private readonly timers: Timers,
  ) {
    this.leave = data.feed.follow({
      changed: (batch) => this.changed(batch),
      reset: () => {
        for (const entry of this.entries.values()) entry.stale = true;
      },
    });
  }

  close(): void {
    this.leave();
    this.entries.clear();
    this.dependents.clear();
    this.shortcuts.clear();
  }

  get heldBytes(): number {
    return this.bytes;
  }

  get held(): number {
    return this.entries.size;
  }

  /** The answer, if it is there and nothing that it shows has changed. */
  fresh(page: string, name: string, nowMs: number): PublicAnswer | undefined {
    const entry = this.entries.get(nameOf(page, name));
    return entry !== undefined && isFresh(entry, nowMs) ? entry.answer : undefined;
  }

  /** What `keepShortcut` was given under this name, if nothing that the answer shows has changed. */
  shortcut(name: string, nowMs: number): Shortcut | undefined {
    const kept = this.shortcuts.get(name);
    return kept !== undefined && isFresh(kept.entry, nowMs) ? kept : undefined;
  }

  /** Remembers by which request an answer was asked for. `shortcut`: all of the request that the answer depends on. */
  keepShortcut(page: string, name: string, answer: PublicAnswer, shortcut: string, made: unknown): void {
    const entry = this.entries.get(nameOf(page, name));
    if (entry?.answer !== answer || shortcut.length > SHORTCUT_LENGTH_MAX) return;
    const before = this.shortcuts.get(shortcut);
    this.shortcuts.set(shortcut, { entry, answer, made });
    if (before?.entry === entry) return;
    if (before !== undefined) this.leaveShortcut(before.entry, shortcut);
    entry.shortcuts.push(shortcut);
    this.count(entry, shortcutBytes(shortcut));
    const oldest = entry.shortcuts.length > SHORTCUTS_MAX ? entry.shortcuts[0] : undefined;
    if (oldest === undefined) return;
    this.shortcuts.delete(oldest);
    this.leaveShortcut(entry, oldest);
  }

  private leaveShortcut(entry: Entry, shortcut: string): void {
    const at = entry.shortcuts.indexOf(shortcut);
    if (at < 0) return;
    entry.shortcuts.splice(at, 1);
    entry.bytes -= shortcutBytes(shortcut);
    this.bytes -= shortcutBytes(shortcut);
  }

  /** The answer, rendered if need be; requests that come meanwhile share the rendering. */
  async answer<P>(representation: Representation<P>, nowMs: number): Promise<PublicAnswer | Fault> {
    const name = nameOf(representation.page, representation.name);
    const fresh = this.fresh(representation.page, representation.name, nowMs);
    if (fresh !== undefined) return fresh;
    const before = this.entries.get(name);
    if (before?.building !== undefined && !before.stale) return before.building;
    const entry: Entry = { name, dependencies: new Set(), stale: false, answer: undefined, building: undefined, codings: new Map(), bytes: 0, used: false, shortcuts: [] };
    this.replace(name, entry);
    const building = this.build(entry, representation, before?.answer, nowMs);
    entry.building = building;
    try {
      const answer = await building;
      if (isFault(answer)) this.drop(entry);
      return answer;
    } catch (error) {
      this.drop(entry);
      throw error;
    } finally {
      entry.building = undefined;
      // Replaced meanwhile: nothing may point to it any more.
      if (this.entries.get(name) !== entry) this.forget(entry);
    }
  }

  private async build<P>(entry: Entry, representation: Representation<P>, before: PublicAnswer | undefined, nowMs: number): Promise<PublicAnswer | Fault> {
    const { page } = representation;
    const note = (dependency: string): void => this.depend(entry, dependency);
    const prepared = representation.prepare === undefined ? undefined : await representation.prepare(this.preparation(page, note, nowMs));
    let touchedMs = 0;
    const result = await this.data.read({
      documents: [],
      render: (snapshot) => {
        const tracked = new DependencySnapshot(snapshot, note);
        // Without `prepare`, P is undefined.
        const publication = representation.render(tracked, prepared as P);
        touchedMs = tracked.touchedMs;
        return publication;
      },
    }, { level: "LOCAL" });
    this.renderings++;
    if (isFault(result)) return result;
    const publication = result.value;
    const body = typeof publication.body === "string" ? Buffer.from(publication.body) : Buffer.from(publication.body.buffer, publication.body.byteOffset, publication.body.byteLength);
    const tag = createHash("sha256").update(body).digest("base64url").slice(0, 22);
    const answer: PublicAnswer = {
      contentType: publication.contentType, body, tag, lastModifiedMs: modifiedMs(tag, Math.max(1_000, Math.min(touchedMs, nowMs)), before),
      keys: surrogateKeys(page, entry.dependencies), publication: { ...publication, body: "" }, made: new Map(),
    };
    entry.answer = answer;
    this.count(entry, body.length + ENTRY_OVERHEAD_BYTES + entry.dependencies.size * 100);
    return answer;
  }

  private preparation(page: string, note: (dependency: string) => void, atMs: number): Preparation {
    const look = async <T>(look: (snapshot: Snapshot) => T): Promise<T> => {
      const result = await this.data.read({ documents: [], render: (snapshot) => ({ seen: look(new DependencySnapshot(snapshot, note)) }) }, { level: "LOCAL" });
      if (isFault(result)) throw result;
      return result.value.seen;
    };
    const uptimeOf: Preparation["uptimeOf"] = async (component, fromDay, toDay, timeZone) => {
      note(`${page}/component/${component}`);
      const days = await this.history.uptimeOf(page, component, fromDay, toDay, timeZone, atMs);
      if (isFault(days)) throw days;
      return days;
    };
    return {
      atMs, look, uptimeOf,
      readAhead: async (which) => {
        const found = await this.data.read({ documents: [], render: (snapshot) => ({ documents: which(snapshot) }) }, { level: "LOCAL" });
        if (isFault(found)) throw found;
        for (const document of found.value.documents) {
          while (readTimelineAhead(document, limits.timelineSliceUpdates)) await new Promise<void>((resolve) => void this.timers.after(0, resolve));
        }
      },
      uptimeOfAll: async (fromDay, toDay, timeZone) => {
        const ids = await look((snapshot) => snapshot.list(page, "component").map(({ id }) => id));
        const all = new Map<string, readonly DayUptime[]>();
        for (const id of ids) all.set(id, await uptimeOf(id, fromDay, toDay, timeZone));
        return all;
      },
    };
  }

  /** The bytes in a coding, made once. */
  async coded(page: string, name: string, answer: PublicAnswer, coding: Coding): Promise<Buffer> {
    if (coding === "identity" || answer.body.length < CODED_ABOVE_BYTES) return answer.body;
    const entry = this.entries.get(nameOf(page, name));
    const codings = entry?.answer === answer ? entry.codings : undefined;
    const known = codings?.get(coding);
    if (known !== undefined) return known;
    const making = coding === "gzip"
      ? gzipped(answer.body, { level: 6 })
      : brotlied(answer.body, { params: { [constants.BROTLI_PARAM_QUALITY]: 5, [constants.BROTLI_PARAM_SIZE_HINT]: answer.body.length } });
    codings?.set(coding, making);
    const bytes = await making;
    if (entry !== undefined && entry.answer === answer) this.count(entry, bytes.length);
    return bytes;
  }

  private changed({ changes }: FeedBatch): void {
    for (const { document } of changes) {
      this.spoil(document);
      this.spoil(document.slice(0, document.lastIndexOf("/")));
    }
  }

  private spoil(dependency: string): void {
    for (const entry of this.dependents.get(dependency) ?? []) entry.stale = true;
  }

  private depend(entry: Entry, dependency: string): void {
    if (entry.dependencies.has(dependency)) return;
    entry.dependencies.add(dependency);
    const dependents = this.dependents.get(dependency) ?? new Set<Entry>();
    this.dependents.set(dependency, dependents);
    dependents.add(entry);
  }

  private replace(name: string, entry: Entry): void {
    const old = this.entries.get(name);
    if (old !== undefined) this.forget(old);
    this.entries.set(name, entry);
  }

  private drop(entry: Entry): void {
    if (this.entries.get(entry.name) === entry) this.entries.delete(entry.name);
    this.forget(entry);
  }

  /** No longer among the entries: nothing points to it any more. */
  private forget(entry: Entry): void {
    this.bytes -= entry.bytes;
    entry.bytes = 0;
    for (const shortcut of entry.shortcuts.splice(0)) if (this.shortcuts.get(shortcut)?.entry === entry) this.shortcuts.delete(shortcut);
    for (const dependency of entry.dependencies) {
      const dependents = this.dependents.get(dependency);
      dependents?.delete(entry);
      if (dependents?.size === 0) this.dependents.delete(dependency);
    }
  }

  private count(entry: Entry, bytes: number): void {
    if (this.entries.get(entry.name) !== entry) return;
    entry.bytes += bytes;
    this.bytes += bytes;
    for (const oldest of this.entries.values()) {
      if (this.bytes <= this.bounds.bytesMax) return;
      if (oldest.used) {
        oldest.used = false;
        this.entries.delete(oldest.name);
        this.entries.set(oldest.name, oldest);
      } else if (oldest.building === undefined || oldest === entry) this.drop(oldest);
    }
  }
}

function isFresh(entry: Entry, nowMs: number): boolean {
  if (entry.answer === undefined || entry.stale) return false;
  const { freshUntilMs } = entry.answer.publication;
  if (freshUntilMs !== undefined && nowMs >= freshUntilMs) return false;
  entry.used = true;
  return true;
}

function shortcutBytes(shortcut: string): number {
  return SHORTCUT_OVERHEAD_BYTES + shortcut.length;
}

function nameOf(page: string, name: string): string {
  return `${page}\n${name}`;
}

/** Later than before by a second at least, where the bytes differ: HTTP's dates have no finer grain. */
function modifiedMs(tag: string, touchedMs: number, before: PublicAnswer | undefined): number {
  const seconds = Math.floor(touchedMs / 1_000) * 1_000;
  if (before === undefined) return seconds;
  return before.tag === tag ? before.lastModifiedMs : Math.max(seconds, before.lastModifiedMs + 1_000);
}
