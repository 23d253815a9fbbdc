/**
 * Server-sent events of pages: backfill from the log, cutover, live.
 *
 * Invariants:
 *  1. The `id` of an event is the position after it. Any region goes on from there: every event beyond it comes once, in an order in which
 *     each comes after its causes, or a `reset` says that some are not known any more.
 *  2. The bytes of an event are made once and shared by all streams that stand where this replica stands.
 *  3. Nobody is waited for: a client that does not read is told so and cut off at a bound of bytes.
 * Source: WHATWG HTML, "Server-sent events".
 */
import type { ServerResponse } from "node:http";
import type { FastifyReply, FastifyRequest } from "fastify";
import { Fault, isFault } from "../core/errors.js";
import type { Clock, Timer, Timers } from "../core/ports.js";
import { copyVector, dominates, join, joinInto, type MutableVector, type Vector } from "../core/vector.js";
import type { DataPlane, Snapshot } from "../store/data-plane.js";
import type { FeedBatch } from "../store/feed.js";
import { EventRing, type PageEvent, type RingEntry } from "../store/page-events.js";
import type { PresentEvent } from "../store/route-context.js";
import { encodeToken } from "../store/session-token.js";
import type { apiLimits } from "./api-limits.js";

export interface EventStreamPorts {
  readonly data: DataPlane;
  readonly timers: Timers;
  readonly clock: Clock;
  readonly region: string;
  readonly log: { error(event: object, text: string): void };
  readonly bounds: EventStreamBounds;
}

export type EventStreamBounds = { readonly [Name in Extract<keyof typeof apiLimits, `event${string}`>]: number };

/** Where a client stands: at nothing (it has just come), at a position, or at a text that is none. */
export type StreamStart = Vector | "now" | "unreadable";

interface Stream {
  readonly raw: ServerResponse;
  readonly page: string;
  readonly address: string;
  readonly present: PresentEvent;
  /** Set while the client has seen what this replica does not hold yet. */
  ahead: MutableVector | undefined;
  isClosing: boolean;
}

type Job =
  | { readonly kind: "batch"; readonly batch: FeedBatch }
  | { readonly kind: "join"; readonly stream: Stream; readonly start: StreamStart }
  | { readonly kind: "load"; readonly isReset: boolean; readonly vector: Vector }
  | { readonly kind: "call"; readonly done: () => void };

/** An event with where its log entry stands. */
interface Outgoing {
  readonly entry: RingEntry;
  readonly event: PageEvent;
  /** The replica's position after it. */
  readonly after: Vector;
}

const NONE: ReadonlySet<string> = new Set();

export class EventStreams {
  private readonly ring: EventRing;
  private readonly byPage = new Map<string, Set<Stream>>();
  private readonly perAddress = new Map<string, number>();
  /** Texts of events as things are now; forgotten with every change. */
  private readonly texts = new Map<string, string>();
  private readonly jobs: Job[] = [];
  private isRunning = false;
  private leave: (() => void) | undefined;
  private heartbeat: Timer | undefined;
  private isClosed = false;
  open = 0;
  sent = 0;
  tooSlow = 0;

  constructor(private readonly ports: EventStreamPorts) {
    this.ring = new EventRing(ports.bounds.eventEntriesKept);
  }

  /** Begins to follow the log with the first who asks. */
  private start(): void {
    if (this.leave !== undefined) return;
    const { feed } = this.ports.data;
    this.leave = feed.follow({
      changed: (batch) => this.enqueue({ kind: "batch", batch }),
      reset: () => this.enqueue({ kind: "load", isReset: true, vector: feed.vector }),
    });
    this.enqueue({ kind: "load", isReset: false, vector: feed.vector });
    this.beat();
  }

  /** Answers with a stream of a page's events. The page exists. A Fault if there are too many streams. */
  answer(request: FastifyRequest, reply: FastifyReply, page: string, start: StreamStart, present: PresentEvent): Fault | undefined {
    const mine = this.perAddress.get(request.ip) ?? 0;
    if (this.isClosed || this.open >= this.ports.bounds.eventStreamsMax || mine >= this.ports.bounds.eventStreamsPerAddressMax) {
      return new Fault("overloaded", "There are too many open event streams.", { retryAfterSeconds: 5 });
    }
    this.start();
    reply.hijack();
    const { raw } = reply;
    // The stream ends with its connection: nothing needs to mark the end of each piece.
    raw.useChunkedEncodingByDefault = false;
    raw.shouldKeepAlive = false;
    raw.writeHead(200, [
      "content-type", "text/event-stream; charset=utf-8", "cache-control", "no-cache, no-store, no-transform", "x-accel-buffering", "no",
      "access-control-allow-origin", "*", "x-content-type-options", "nosniff", "consistency-level", "LOCAL", "region", this.ports.region, "x-request-id", request.id,
    ]);
    if (request.method === "HEAD") {
      raw.end();
      return undefined;
    }
    raw.write(`retry: ${this.ports.bounds.eventRetryMs}\n\n`);
    const stream: Stream = { raw, page, address: request.ip, present, ahead: undefined, isClosing: false };
    this.open++;
    this.perAddress.set(stream.address, mine + 1);
    raw.once("close", () => this.left(stream));
    this.enqueue({ kind: "join", stream, start });
    return undefined;
  }

  /** A page's latest events that are known here, latest first. */
  async events(page: string): Promise<readonly PageEvent[]> {
    this.start();
    await new Promise<void>((resolve) => this.enqueue({ kind: "call", done: resolve }));
    return this.ring.of(page);
  }

  /** Ends every stream in order: the clients go on elsewhere from where they are. */
  close(): void {
    this.isClosed = true;
    this.leave?.();
    this.heartbeat?.cancel();
    for (const job of this.jobs.splice(0)) {
      if (job.kind === "join") job.stream.raw.end();
      if (job.kind === "call") job.done();
    }
    for (const streams of this.byPage.values()) for (const stream of streams) this.end(stream, "the server is stopping");
  }

  private left(stream: Stream): void {
    stream.isClosing = true;
    this.open--;
    const mine = (this.perAddress.get(stream.address) ?? 1) - 1;
    if (mine > 0) this.perAddress.set(stream.address, mine);
    else this.perAddress.delete(stream.address);
    const streams = this.byPage.get(stream.page);
    streams?.delete(stream);
    if (streams?.size === 0) this.byPage.delete(stream.page);
  }

  private end(stream: Stream, reason: string): void {
    if (stream.isClosing) return;
    stream.isClosing = true;
    stream.raw.end(`event: close\ndata: ${JSON.stringify({ reason })}\n\n`);
    // One who does not read does not see the end either.
    this.ports.timers.after(this.ports.bounds.eventCloseMs, () => stream.raw.destroy());
  }

  private beat(): void {
    this.heartbeat = this.ports.timers.after(this.ports.bounds.eventHeartbeatMs, () => {
      // The position moves on with what happens elsewhere, so that who is cut off later is not sent back further than needed.
      const beat = Buffer.from(`: heartbeat\nid: ${tokenOf(this.ring.vector)}\n\n`);
      const bare = Buffer.from(": heartbeat\n\n");
      for (const streams of this.byPage.values()) for (const stream of streams) this.write(stream, stream.ahead === undefined ? beat : bare);
      this.beat();
    });
  }

  // One job after the other: what comes before a join is in its backfill, what comes after it is sent live.

  private enqueue(job: Job): void {
    if (this.isClosed) return;
    this.jobs.push(job);
    if (this.isRunning) return;
    this.isRunning = true;
    // Not in the turn in which the log tells of it: writers are answered first.
    this.ports.timers.after(0, () => {
      this.run().catch((error: unknown) => this.ports.log.error({ event: "event-streams", err: error }, "event streams have failed"));
    });
  }

  private async run(): Promise<void> {
    try {
      for (let job = this.jobs.shift(); job !== undefined; job = this.jobs.shift()) {
        if (job.kind === "batch") await this.tell(job.batch);
        else if (job.kind === "join") await this.join(job.stream, job.start);
        else if (job.kind === "load") await this.load(job.vector, job.isReset);
        else job.done();
      }
    } finally {
      this.isRunning = false;
    }
  }

  /** Takes in what the log holds up to a vector. */
  private async load(vector: Vector, isReset: boolean): Promise<void> {
    this.ring.restart(vector);
    this.texts.clear();
    const items = await this.ports.data.latest(this.ports.bounds.eventEntriesKept);
    if (!isFault(items)) for (const item of items) if (item.seq <= (vector[item.origin] ?? 0)) this.ring.take(item, true);
    if (isReset) for (const page of this.byPage.keys()) this.reset(page);
  }

  private async tell(batch: FeedBatch): Promise<void> {
    this.texts.clear();
    const outgoing: Outgoing[] = [];
    for (const item of batch.entries) {
      const entry = "change" in item && item.entry !== undefined
        ? this.ring.take({ ...item.entry, document: item.document, dot: item.dot, change: item.change })
        : this.ring.take({ origin: "", seq: 0, change: undefined, ...item });
      for (const event of entry.events) if (this.byPage.has(event.page)) outgoing.push({ entry, event, after: copyVector(this.ring.vector) });
    }
    joinInto(this.ring.vector, batch.vector);
    await this.render(outgoing.map(({ event }) => event));
    for (const page of new Set(outgoing.map(({ event }) => event.page))) this.fanOut(page, outgoing.filter(({ event }) => event.page === page));
    // What anti-entropy brought stands in no log, so it has no position: the page is read anew.
    for (const page of repairedPages(batch)) this.reset(page);
    for (const streams of this.byPage.values()) for (const stream of streams) if (stream.ahead !== undefined && dominates(this.ring.vector, stream.ahead)) stream.ahead = undefined;
  }

  private fanOut(page: string, outgoing: readonly Outgoing[]): void {
    const streams = this.byPage.get(page);
    if (streams === undefined) return;
    const shared = Buffer.from(outgoing.map(({ event, after }) => this.framed(event, after)).join(""));
    this.sent += outgoing.length;
    for (const stream of streams) {
      if (stream.ahead === undefined) {
        this.write(stream, shared);
        continue;
      }
      const { ahead } = stream;
      const unseen = outgoing.filter(({ entry }) => entry.seq > (ahead[entry.origin] ?? 0) && !this.ring.hadOtherwise(entry, ahead));
      if (unseen.length > 0) this.write(stream, Buffer.from(unseen.map(({ event, after }) => this.framed(event, join(ahead, after))).join("")));
    }
  }

  private async join(stream: Stream, start: StreamStart): Promise<void> {
    if (stream.isClosing) return;
    let text = "";
    let position: Vector = this.ring.vector;
    if (start === "unreadable") text = this.marker("reset", position, { reason: "the position is none that a region gave" });
    else if (start !== "now") {
      const missed = this.missedBy(stream.page, start);
      position = join(start, this.ring.vector);
      if (missed === undefined) text = this.marker("reset", position, { reason: "what happened since then is not known any more" });
      else {
        await this.render(missed.map(({ event }) => event), stream.present);
        text = missed.map(({ event, after }) => this.framed(event, after)).join("");
      }
      if (!dominates(this.ring.vector, start)) stream.ahead = copyVector(start);
    }
    if (stream.isClosing) return;
    text += this.marker("ready", position, { page: stream.page, region: this.ports.region, at: new Date(this.ports.clock.now()).toISOString() });
    const streams = this.byPage.get(stream.page) ?? new Set<Stream>();
    this.byPage.set(stream.page, streams);
    streams.add(stream);
    this.write(stream, Buffer.from(text));
  }

  /** A page's events beyond a client's position, each with the client's position after it; undefined if not all are known. */
  private missedBy(page: string, start: Vector): readonly Outgoing[] | undefined {
    const entries = this.ring.beyond(start);
    if (entries === undefined) return undefined;
    const running = copyVector(start);
    const missed: Outgoing[] = [];
    for (const entry of entries) {
      running[entry.origin] = Math.max(running[entry.origin] ?? 0, entry.seq);
      if (this.ring.hadOtherwise(entry, start)) continue;
      for (const event of entry.events) if (event.page === page) missed.push({ entry, event, after: copyVector(running) });
    }
    return missed.length > this.ports.bounds.eventBackfillMax ? undefined : missed;
  }

  /** Makes the texts of events, from the state of now. */
  private async render(events: readonly PageEvent[], presenter?: PresentEvent): Promise<void> {
    const wanted = events.filter(({ id, page }) => !this.texts.has(`${page} ${id}`));
    if (wanted.length === 0) return;
    const result = await this.ports.data.read({
      documents: [],
      render: (snapshot: Snapshot) => wanted.map((event) => {
        const present = presenter ?? [...(this.byPage.get(event.page) ?? [])][0]?.present;
        return present === undefined ? "null" : JSON.stringify(present(event, snapshot));
      }),
    }, { level: "LOCAL" });
    for (const [index, { id, page }] of wanted.entries()) this.texts.set(`${page} ${id}`, isFault(result) ? "null" : (result.value[index] ?? "null"));
  }

  private framed(event: PageEvent, position: Vector): string {
    return `id: ${tokenOf(position)}\nevent: ${event.type}\ndata: ${this.texts.get(`${event.page} ${event.id}`) ?? "null"}\n\n`;
  }

  private marker(type: "ready" | "reset", position: Vector, data: Readonly<Record<string, string>>): string {
    return `id: ${tokenOf(position)}\nevent: ${type}\ndata: ${JSON.stringify(data)}\n\n`;
  }

  private reset(page: string): void {
    for (const stream of this.byPage.get(page) ?? []) {
      const position = stream.ahead === undefined ? this.ring.vector : join(stream.ahead, this.ring.vector);
      this.write(stream, Buffer.from(this.marker("reset", position, { reason: "this region has read its documents anew" })));
    }
  }

  private write(stream: Stream, bytes: Buffer): void {
    if (stream.isClosing) return;
    stream.raw.write(bytes);
    if (stream.raw.writableLength <= this.ports.bounds.eventBufferBytes) return;
    this.tooSlow++;
    this.end(stream, "too slow");
  }
}

function tokenOf(vector: Vector): string {
  return encodeToken(vector, NONE);
}

function repairedPages(batch: FeedBatch): ReadonlySet<string> {
  const pages = new Set<string>();
  for (const { document, entry } of batch.changes) {
    if (entry !== undefined) continue;
    const [partition = "", type = "", id = ""] = document.split("/");
    pages.add(partition === "~" && type === "page" ? id : partition);
  }
  return pages;
}
