/**
 * A mesh within one process, with links that can be cut and slowed down: for tests of what lives above a transport.
 *
 * It goes through the same codec as the real one, so that no object is shared by two replicas and sizes are equal. All
 * its time comes from the timers handed to it.
 */
import { limits } from "../core/limits.js";
import type { Message } from "../core/messages.js";
import type { Timer, Timers, Transport, TransportHandler } from "../core/ports.js";
import { decodeMessage, encodeMessage } from "./frame-codec.js";

export interface MemoryMeshOptions {
  readonly timers: Timers;
  readonly outboxBytes?: number;
  readonly reconnectMs?: number;
  /** One-way delay of every link without one of its own, ms. */
  readonly delayMs?: number;
}

interface Direction {
  readonly queue: Uint8Array[];
  queuedBytes: number;
}

interface Pair {
  readonly ends: readonly [MemoryTransport, MemoryTransport];
  readonly directions: ReadonlyMap<MemoryTransport, Direction>;
}

/** What the transports of one mesh share. */
export class MemoryMesh {
  private readonly transports = new Map<string, MemoryTransport>();
  private readonly pairs = new Map<string, Pair>();
  private readonly cuts = new Set<string>();
  private readonly delays = new Map<string, number>();
  private retry: Timer | undefined;

  constructor(private readonly options: MemoryMeshOptions) {}

  /** A transport for a replica; the names of its peers decide whom it may link with. `named`: whom its certificate names. */
  join(replica: string, peers: readonly string[], named: string = replica): Transport {
    return new MemoryTransport(this, replica, new Set(peers), named);
  }

  /** Breaks the link of two replicas and keeps it broken. What is under way is lost. */
  cut(a: string, b: string): void {
    this.cuts.add(pairKey(a, b));
    this.break(pairKey(a, b), "the link was cut");
  }

  heal(a: string, b: string): void {
    this.cuts.delete(pairKey(a, b));
    this.retryLater();
  }

  /** One-way delay from now on, in ms, both ways. */
  delay(a: string, b: string, ms: number): void {
    this.delays.set(pairKey(a, b), ms);
  }

  /** Breaks every link and stops reconnecting. */
  dispose(): void {
    for (const transport of [...this.transports.values()]) this.closed(transport);
  }

  /** @internal */
  opened(transport: MemoryTransport): void {
    if (this.transports.has(transport.replica)) throw new Error(`${transport.replica} is in this mesh already`);
    this.transports.set(transport.replica, transport);
    this.retryLater();
  }

  /** @internal */
  closed(transport: MemoryTransport): void {
    if (this.transports.get(transport.replica) !== transport) return;
    this.transports.delete(transport.replica);
    for (const [key, pair] of [...this.pairs]) if (pair.ends.includes(transport)) this.break(key, `${transport.replica} is shutting down`);
    if (this.transports.size === 0) this.retry?.cancel();
  }

  /** @internal */
  send(from: MemoryTransport, to: string, message: Message): boolean {
    const key = pairKey(from.replica, to);
    const pair = this.pairs.get(key);
    const direction = pair?.directions.get(from);
    if (pair === undefined || direction === undefined) return false;
    const encoded = encodeMessage(message);
    const size = encoded.bytes.length;
    if (size > limits.messageBytesMax || direction.queuedBytes + size > (this.options.outboxBytes ?? limits.linkOutboxBytes)) return false;
    direction.queuedBytes += size;
    const receiver = pair.ends[0] === from ? pair.ends[1] : pair.ends[0];
    direction.queue.push(encoded.bytes);
    // Each timer delivers the head of the queue, so that a delay that changes does not change the order.
    this.options.timers.after(this.delays.get(key) ?? this.options.delayMs ?? 0, () => {
      const bytes = direction.queue.shift();
      direction.queuedBytes -= bytes?.length ?? 0;
      if (bytes === undefined || this.pairs.get(key) !== pair) return;
      receiver.handler?.received(from.replica, decodeMessage(bytes), bytes.length);
    });
    return true;
  }

  /** @internal */
  queuedBytes(from: MemoryTransport, to: string): number {
    return this.pairs.get(pairKey(from.replica, to))?.directions.get(from)?.queuedBytes ?? 0;
  }

  private break(key: string, reason: string): void {
    const pair = this.pairs.get(key);
    if (pair === undefined) return;
    this.pairs.delete(key);
    const [a, b] = pair.ends;
    a.handler?.disconnected(b.replica, reason);
    b.handler?.disconnected(a.replica, reason);
    this.retryLater();
  }

  private retryLater(): void {
    this.retry?.cancel();
    this.retry = this.options.timers.after(this.options.reconnectMs ?? limits.reconnectMinMs, () => this.connectAll());
  }

  private connectAll(): void {
    const all = [...this.transports.values()].sort((a, b) => (a.replica < b.replica ? -1 : 1));
    let missing = false;
    for (const a of all) for (const b of all) if (a.replica < b.replica && !this.pairs.has(pairKey(a.replica, b.replica))) missing = !this.connect(a, b) || missing;
    if (missing) this.retryLater();
  }

  private connect(a: MemoryTransport, b: MemoryTransport): boolean {
    const key = pairKey(a.replica, b.replica);
    if (this.cuts.has(key) || a.handler === undefined || b.handler === undefined) return false;
    const [helloOfA, helloOfB] = [a.handler.hello(), b.handler.hello()];
    const strangers = !a.peers.has(b.replica) || !b.peers.has(a.replica) || a.named !== a.replica || b.named !== b.replica;
    if (strangers || helloOfA.clusterId !== helloOfB.clusterId || helloOfA.protocolVersion !== helloOfB.protocolVersion) return false;
    if (a.handler.admit(structuredClone(helloOfB)) !== undefined || b.handler.admit(structuredClone(helloOfA)) !== undefined) return false;
    this.pairs.set(key, { ends: [a, b], directions: new Map([a, b].map((end) => [end, { queue: [], queuedBytes: 0 }])) });
    a.handler.connected(b.replica, structuredClone(helloOfB));
    b.handler.connected(a.replica, structuredClone(helloOfA));
    return true;
  }
}

class MemoryTransport implements Transport {
  handler: TransportHandler | undefined;

  constructor(
    private readonly mesh: MemoryMesh,
    readonly replica: string,
    readonly peers: ReadonlySet<string>,
    readonly named: string,
  ) {}

  open(handler: TransportHandler): Promise<void> {
    this.handler = handler;
    this.mesh.opened(this);
    return Promise.resolve();
  }

  send(peer: string, message: Message): boolean {
    return this.mesh.send(this, peer, message);
  }

  queuedBytes(peer: string): number {
    return this.mesh.queuedBytes(this, peer);
  }

  close(): Promise<void> {
    this.mesh.closed(this);
    return Promise.resolve();
  }
}

function pairKey(a: string, b: string): string {
  return a < b ? `${a} ${b}` : `${b} ${a}`;
}
