/**
 * What the public sees, rendered once per change and not once per request.
 *
 * Invariants:
 *  1. An answer is kept until a document or a list that its rendering looked at changes, or its own time is over. What a write has
 *     made durable is shown from the moment on in which the write is answered.
 *  2. Different bytes have different tags, each coding has one of its own. What comes out the same when it is rendered anew keeps its tag, unless it was given out before that was known.
 *  3. `Last-Modified` never goes back, and moves by at least a second whenever the bytes change.
 *  4. What is kept never holds more than the bound.
 *  5. A shortcut leads to an answer for as long as that is fresh, and not longer.
 *  6. An answer is rendered once at a time. Whoever asks while what is being rendered is outdated already waits for the next, which is for all who do.
 *  7. What is rendered in parts can be read from its first part on, and takes turns with everything else. It is given out under a tag of its own, which
 *     the kept answer has as well.
 */
import { createHash } from "node:crypto";
import { promisify } from "node:util";
import { brotliCompress, constants, gzip } from "node:zlib";
import { isFault, type Fault } from "../core/errors.js";
import { limits } from "../core/limits.js";
import type { Clock, Random, Timers } from "../core/ports.js";
import type { ComponentHistory } from "./component-history.js";
import type { DataPlane, Snapshot } from "./data-plane.js";
import { DependencySnapshot } from "./dependency-snapshot.js";
import type { FeedBatch } from "./feed.js";
import { BROTLI_QUALITY, codedBody, type Coding, GrowingBody, GZIP_LEVEL } from "./growing-body.js";
import type { Preparation, Publication, Representation } from "./representation.js";
import { surrogateKeys } from "./surrogate-keys.js";
import { readTimelineAhead } from "./timeline-index.js";

/** What is known of an answer before all of it is made. */
export interface AnswerHead {
  readonly contentType: string;
  /** Without quotes, of the uncoded bytes. */
  readonly tag: string;
  readonly lastModifiedMs: number;
  /** Surrogate keys: `page/<page>`, and the documents (`<page>/<type>/<id>`) and lists (`<page>/<type>`) that it shows. */
  readonly keys: readonly string[];
  readonly publication: Publication;
  /** True once something that it shows has changed: shared caches may have been told to forget it before they were given it. */
  isOutdated(): boolean;
}

export interface PublicAnswer extends AnswerHead {
  readonly body: Buffer;
  /** Of the uncoded bytes. */
  readonly digest: string;
  /** For the one who sends it: header blocks made once. */
  readonly made: Map<string, unknown>;
}

/** An answer of which more is to come. */
export interface OpenedAnswer {
  readonly head: AnswerHead;
  /** In the coding that was asked for. */
  readonly body: GrowingBody;
}

/** A rendering in parts, from its first part on. */
class Opening {
  readonly body = new GrowingBody();
  /** By coding, for those who read while it is made. */
  readonly codings = new Map<Exclude<Coding, "identity">, GrowingBody>();
  isGivenOut = false;

  constructor(readonly head: AnswerHead) {}

  giveOut(coding: Coding): OpenedAnswer {
    this.isGivenOut = true;
    if (coding === "identity") return { head: this.head, body: this.body };
    const body = this.codings.get(coding) ?? codedBody(this.body, coding);
    this.codings.set(coding, body);
    return { head: this.head, body };
  }
}

interface Building {
  /** Once its first part is being made; undefined if it is not made in parts, or if there is nothing. */
  readonly opening: Promise<Opening | undefined>;
  readonly whole: Promise<PublicAnswer | Fault>;
  /** Begins when this one is over. */
  next: Promise<Building> | undefined;
}

interface Entry {
  readonly name: string;
  readonly dependencies: Set<string>;
  stale: boolean;
  answer: PublicAnswer | undefined;
  building: Building | undefined;
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
const TAG_BYTES = 16;
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
    private readonly ports: { readonly clock: Clock; readonly timers: Timers; readonly random: Random },
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
  async answer<P>(representation: Representation<P>): Promise<PublicAnswer | Fault> {
    return this.fresh(representation.page, representation.name, this.ports.clock.now()) ?? (await this.begin(representation)).whole;
  }

  /** The same, but what is rendered in parts is given out as soon as its first part is made. */
  async open<P>(representation: Representation<P>, coding: Coding): Promise<PublicAnswer | OpenedAnswer | Fault> {
    const fresh = this.fresh(representation.page, representation.name, this.ports.clock.now());
    if (fresh !== undefined) return fresh;
    const building = await this.begin(representation);
    const opening = await building.opening;
    return opening === undefined || opening.body.isOver ? building.whole : opening.giveOut(coding);
  }

  private async begin<P>(representation: Representation<P>): Promise<Building> {
    const name = nameOf(representation.page, representation.name);
    const before = this.entries.get(name);
    const running = before?.building;
    if (running !== undefined && before?.stale !== true) return running;
    if (running !== undefined) {
      running.next ??= running.whole.then(nothing, nothing).then(() => this.begin(representation));
      return running.next;
    }
    const entry: Entry = { name, dependencies: new Set(), stale: false, answer: undefined, building: undefined, codings: new Map(), bytes: 0, used: false, shortcuts: [] };
    this.replace(name, entry);
    return this.build(entry, representation, before?.answer);
  }

  private build<P>(entry: Entry, representation: Representation<P>, before: PublicAnswer | undefined): Building {
    let open: (opening: Opening | undefined) => void = nothing;
    const opening = new Promise<Opening | undefined>((resolve) => (open = resolve));
    const whole = this.make(entry, representation, before, open).then((answer) => {
      if (isFault(answer)) this.drop(entry);
      return answer;
    }, (error: unknown) => {
      this.drop(entry);
      throw error;
    }).finally(() => {
      open(undefined);
      entry.building = undefined;
      // Replaced meanwhile: nothing may point to it any more.
      if (this.entries.get(entry.name) !== entry) this.forget(entry);
    });
    // Whoever reads the parts hears of it from them.
    whole.catch(nothing);
    entry.building = { opening, whole, next: undefined };
    return entry.building;
  }

  private async make<P>(entry: Entry, representation: Representation<P>, before: PublicAnswer | undefined, open: (opening: Opening) => void): Promise<PublicAnswer | Fault> {
    const { page } = representation;
    const nowMs = this.ports.clock.now();
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
    const { contentType, body: made, ...rest } = result.value;
    const touched = Math.max(1_000, Math.min(touchedMs, nowMs));
    const head = { contentType, keys: surrogateKeys(page, entry.dependencies), publication: { ...rest, contentType, body: "" }, isOutdated: () => entry.stale };
    let opening: Opening | undefined;
    let body: Buffer;
    if (typeof made === "string") body = Buffer.from(made);
    else if (made instanceof Uint8Array) body = Buffer.from(made.buffer, made.byteOffset, made.byteLength);
    else {
      opening = new Opening({ ...head, tag: Buffer.from(this.ports.random.bytes(TAG_BYTES)).toString("base64url"), lastModifiedMs: modifiedMs(touched, before) });
      open(opening);
      body = await this.gather(made, opening.body);
    }
    const digest = createHash("sha256").update(body).digest("base64url").slice(0, 22);
    const known = before?.digest === digest ? { tag: before.tag, lastModifiedMs: before.lastModifiedMs } : { tag: digest, lastModifiedMs: modifiedMs(touched, before) };
    const answer: PublicAnswer = { ...head, ...known, ...(opening?.isGivenOut === true ? opening.head : {}), body, digest, made: new Map() };
    entry.answer = answer;
    this.count(entry, body.length + ENTRY_OVERHEAD_BYTES + entry.dependencies.size * 100);
    for (const [coding, coded] of opening?.codings ?? []) this.keepCoding(entry, coding, coded.whole());
    return answer;
  }

  /** Passes parts on as they are made, a turn's worth at a time; the first by itself. Gives all of them. */
  private async gather(parts: AsyncIterable<string>, body: GrowingBody): Promise<Buffer> {
    const { clock } = this.ports;
    try {
      let text = "";
      let untilMs = Number.NEGATIVE_INFINITY;
      for await (const part of parts) {
        text += part;
        if (clock.monotonic() < untilMs) continue;
        body.push(Buffer.from(text));
        text = "";
        await this.turn();
        untilMs = clock.monotonic() + limits.publicRenderingTurnMs;
      }
      body.push(Buffer.from(text));
      body.end();
    } catch (error) {
      body.end(error);
    }
    return body.whole();
  }

  /** Lets everything else go on. */
  private turn(): Promise<void> {
    return new Promise((resolve) => void this.ports.timers.after(0, resolve));
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
          while (readTimelineAhead(document, limits.timelineSliceUpdates)) await this.turn();
        }
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
      ? gzipped(answer.body, { level: GZIP_LEVEL })
      : brotlied(answer.body, { params: { [constants.BROTLI_PARAM_QUALITY]: BROTLI_QUALITY, [constants.BROTLI_PARAM_SIZE_HINT]: answer.body.length } });
    if (codings !== undefined && entry !== undefined) this.keepCoding(entry, coding, making);
    return making;
  }

  private keepCoding(entry: Entry, coding: Coding, making: Promise<Buffer>): void {
    const { answer, codings } = entry;
    codings.set(coding, making);
    making.then(({ length }) => {
      if (entry.answer === answer) this.count(entry, length);
    }, () => codings.delete(coding));
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

/** Of bytes that differ from those before: later by a second at least, since HTTP's dates have no finer grain. */
function modifiedMs(touchedMs: number, before: PublicAnswer | undefined): number {
  const seconds = Math.floor(touchedMs / 1_000) * 1_000;
  return before === undefined ? seconds : Math.max(seconds, before.lastModifiedMs + 1_000);
}

function nothing(): undefined {
  return undefined;
}
