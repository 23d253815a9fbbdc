/**
 * One link: a gRPC stream of frames with its handshake, its byte-bounded outbox and its watch over silence.
 *
 * The dialer says Hello, the acceptor answers with its own, and the dialer's next frame confirms: only then is the link
 * established on both sides, so that a refusal by either is never seen as a connection that came and went.
 */
import type { Duplex } from "node:stream";
import { limits } from "../core/limits.js";
import type { Hello, Message } from "../core/messages.js";
import type { Timer, Timers } from "../core/ports.js";
import { decodeFrame, encodeBatch, type EncodedMessage, encodeGoodbye, encodeHello, encodeMessage, KEEPALIVE_FRAME } from "./frame-codec.js";

export type LinkSide = "dialer" | "acceptor";
/** Why a link ended: `lost` is the network's doing, the others are decisions of one of the two sides. */
export type LinkEnd = "lost" | "refused" | "malformed" | "closed";

/** The stream below a link, whoever opened it. */
export interface LinkStream {
  /** Carries one frame a chunk. */
  readonly frames: Duplex;
  /** The other end is an address of this very machine: bytes cost less there than their compression. */
  readonly isLocal: boolean;
  /** Calls back once the other side has ended the stream, or the connection. */
  onGone(callback: () => void): void;
  /** Breaks the stream and the connection below at once; safe to call again. */
  destroy(): void;
}

/** What a link tells the mesh; never called after `closed`. */
export interface LinkEvents {
  /** What to say of this replica. */
  hello(): Hello;
  /** A sentence why the other side is refused, or undefined to go on. */
  greeted(link: MeshLink, hello: Hello): string | undefined;
  established(link: MeshLink, hello: Hello): void;
  received(link: MeshLink, message: Message, bytes: number): void;
  closed(link: MeshLink, end: LinkEnd, reason: string): void;
}

export interface LinkCounters {
  bytesIn: number;
  bytesOut: number;
  messagesIn: number;
  messagesOut: number;
  droppedMessages: number;
}

export interface LinkBounds {
  readonly outboxBytes: number;
  readonly messageBytesMax: number;
  readonly handshakeMs: number;
  /** A link over which nothing came for this long is dead. */
  readonly silenceMs: number;
  /** Compress also what stays on this machine. */
  readonly compressLocal: boolean;
  /** How long a closed link may take to say goodbye. */
  readonly lingerMs: number;
}

export const LINK_BOUNDS: LinkBounds = {
  outboxBytes: limits.linkOutboxBytes,
  messageBytesMax: limits.messageBytesMax,
  handshakeMs: 5_000,
  silenceMs: 3_000,
  compressLocal: false,
  lingerMs: 500,
};

/** Small messages share a frame up to this size. */
const FRAME_BYTES = 256 * 1024;
const FRAME_MESSAGES = 2_000;
/** Bytes that gRPC and the kernel may hold for us; what lies behind waits in the outbox, where it is counted and coalesced. */
const IN_FLIGHT_BYTES = 1024 * 1024;
/** Silence is looked for this often within `silenceMs`; a stall of our own event loop counts as one look. */
const LOOKS = 8;

export class MeshLink {
  private state: "handshaking" | "confirming" | "established" | "closed" = "handshaking";
  private peerHello: Hello | undefined;
  private outbox: EncodedMessage[] = [];
  private outboxBytes = 0;
  private inFlightBytes = 0;
  private blocked = false;
  private compressing = false;
  private flushing = false;
  private heard = true;
  private spoke = false;
  private silentLooks = 0;
  private handshakeTimer: Timer | undefined;
  private watchTimer: Timer | undefined;
  private lingerTimer: Timer | undefined;
  private release: () => void = () => {};
  /** Resolves when the stream and the connection below are given up. */
  readonly released = new Promise<void>((resolve) => {
    this.release = resolve;
  });

  /** `peer`: known from the start to a dialer, from the Hello on to an acceptor. */
  constructor(
    readonly side: LinkSide,
    public peer: string | undefined,
    private readonly stream: LinkStream,
    private readonly events: LinkEvents,
    private readonly timers: Timers,
    private readonly bounds: LinkBounds,
    private counters: LinkCounters,
  ) {
    const { frames } = stream;
    frames.on("data", (bytes: Buffer) => this.receive(bytes));
    frames.on("drain", () => {
      this.blocked = false;
      this.flush();
    });
    frames.on("end", () => this.finish("lost", "the other side ended the stream"));
    frames.on("close", () => this.finish("lost", "the stream was closed"));
    frames.on("error", (error: Error) => this.finish("lost", error.message));
    // A client's call reports its end as a status, a server's call as `cancelled`; neither need come with an error.
    frames.on("status", (status: { details?: string }) => this.finish("lost", status.details || "the stream ended"));
    frames.on("cancelled", () => this.finish("lost", "the stream was cancelled"));
    this.handshakeTimer = timers.after(bounds.handshakeMs, () => this.close("lost", `no handshake within ${bounds.handshakeMs} ms`));
    if (side === "dialer") this.write(encodeHello(events.hello()), 0);
  }

  /** Tells an acceptor's link whose it is; what it counted so far goes to the peer's counters. */
  belongsTo(peer: string, counters: LinkCounters): void {
    this.peer = peer;
    if (this.counters !== counters) this.countInto(counters);
  }

  /** Adds what was counted to other counters, and counts there from now on. */
  countInto(counters: LinkCounters): void {
    counters.bytesIn += this.counters.bytesIn;
    counters.bytesOut += this.counters.bytesOut;
    this.counters = counters;
  }

  get established(): boolean {
    return this.state === "established";
  }

  /** Bytes of messages that have not left for the kernel. */
  get queuedBytes(): number {
    return this.outboxBytes + this.inFlightBytes;
  }

  /** Queues a message; false if the link is not established, the message too large, or the outbox full. */
  send(message: Message): boolean {
    if (this.state !== "established") return false;
    const encoded = encodeMessage(message);
    if (encoded.bytes.length > this.bounds.messageBytesMax || this.queuedBytes + encoded.bytes.length > this.bounds.outboxBytes) return false;
    this.outbox.push(encoded);
    this.outboxBytes += encoded.bytes.length;
    if (!this.flushing) {
      this.flushing = true;
      // At the end of the turn: everything that this turn queues shares a frame.
      setImmediate(() => {
        this.flushing = false;
        this.flush();
      });
    }
    return true;
  }

  /** Says goodbye and ends the link. `reason`: a sentence for both logs. */
  close(end: LinkEnd, reason: string): void {
    if (this.state === "closed") return;
    if (!this.blocked && !this.stream.frames.destroyed) this.write(encodeGoodbye(reason), 0);
    this.finish(end, reason);
  }

  private receive(bytes: Buffer): void {
    if (this.state === "closed") return;
    this.heard = true;
    this.counters.bytesIn += bytes.length;
    const frame = decodeFrame(bytes, this.bounds.messageBytesMax);
    switch (frame.kind) {
      case "malformed":
        return this.close("malformed", `the other side sent ${frame.fault}`);
      case "goodbye":
        return this.finish(this.state === "established" ? "closed" : "refused", `the other side said: ${frame.reason}`);
      case "hello":
        return this.greet(frame.hello);
      case "messages":
        if (this.state === "handshaking") return this.close("malformed", "the other side sent messages before its Hello");
        if (this.state === "confirming") this.establish();
        for (const { message, bytes: size } of frame.messages) {
          if (!this.established) return;
          this.counters.messagesIn++;
          this.events.received(this, message, size);
        }
    }
  }

  private greet(hello: Hello): void {
    if (this.state !== "handshaking") return this.close("malformed", "the other side said Hello twice");
    const refusal = this.events.greeted(this, hello);
    if (refusal !== undefined) return this.close("refused", refusal);
    this.peerHello = hello;
    this.state = "confirming";
    if (this.side === "acceptor") {
      this.write(encodeHello(this.events.hello()), 0);
    } else {
      this.write(KEEPALIVE_FRAME, 0);
      this.establish();
    }
  }

  private establish(): void {
    if (this.peerHello === undefined) return;
    this.state = "established";
    this.handshakeTimer?.cancel();
    this.watch();
    this.events.established(this, this.peerHello);
  }

  /** Looks for silence, and breaks our own. */
  private watch(): void {
    this.watchTimer = this.timers.after(this.bounds.silenceMs / LOOKS, () => {
      if (this.state !== "established") return;
      this.silentLooks = this.heard ? 0 : this.silentLooks + 1;
      if (this.silentLooks >= LOOKS - 1) return this.close("lost", `nothing came for ${this.bounds.silenceMs} ms`);
      if (!this.spoke && !this.blocked) this.write(KEEPALIVE_FRAME, 0);
      this.heard = false;
      this.spoke = false;
      this.watch();
    });
  }

  private flush(): void {
    while (this.state === "established" && this.outbox.length > 0 && !this.blocked && !this.compressing && this.inFlightBytes < IN_FLIGHT_BYTES) {
      let size = 0;
      let count = 0;
      for (; count < this.outbox.length && count < FRAME_MESSAGES; count++) {
        const next = this.outbox[count]?.bytes.length ?? 0;
        if (count > 0 && size + next > FRAME_BYTES) break;
        size += next;
      }
      const batch = count === this.outbox.length ? this.outbox : this.outbox.slice(0, count);
      this.outbox = count === this.outbox.length ? [] : this.outbox.slice(count);
      this.outboxBytes -= size;
      this.inFlightBytes += size;
      this.counters.messagesOut += count;
      this.compressing = true;
      let waited = false;
      encodeBatch(batch, (frame) => {
        this.compressing = false;
        this.write(frame, size);
        if (waited) this.flush();
      }, this.bounds.compressLocal || !this.stream.isLocal);
      waited = true;
    }
  }

  /** `size`: bytes of messages inside, given back to the outbox's bound once the frame has left. */
  private write(frame: Buffer, size: number): void {
    if (this.state === "closed") return;
    this.spoke = true;
    this.counters.bytesOut += frame.length;
    const free = this.stream.frames.write(frame, () => {
      this.inFlightBytes -= size;
      if (size > 0) this.flush();
    });
    if (!free) this.blocked = true;
  }

  /** Ends the link without a word more; `closed` is told once. */
  private finish(end: LinkEnd, reason: string): void {
    if (this.state === "closed") return;
    this.state = "closed";
    this.outbox = [];
    this.outboxBytes = 0;
    this.handshakeTimer?.cancel();
    this.watchTimer?.cancel();
    if (end === "lost") this.destroy();
    else this.linger();
    this.events.closed(this, end, reason);
  }

  /** Ends our direction, and gives the goodbye time to arrive. */
  private linger(): void {
    const { frames } = this.stream;
    if (!frames.writableEnded && !frames.destroyed) frames.end();
    this.stream.onGone(() => this.destroy());
    this.lingerTimer = this.timers.after(this.bounds.lingerMs, () => this.destroy());
  }

  private destroy(): void {
    this.lingerTimer?.cancel();
    this.stream.destroy();
    this.release();
  }
}
