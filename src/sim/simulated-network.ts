/**
 * The mesh of a simulation: links between programs on simulated wires. Keeps the contract of `Transport`.
 *
 * A link of the mesh is one ordered stream over TCP, so what a network does to packets is modelled as what it does to such a stream:
 *  - loss and reordering of packets: the messages behind wait for the retransmission (a delay spike), never the order of one link;
 *  - duplication: the link breaks after the other side has got what was sent, and before its acknowledgement came back; the product then
 *    sends again. Reordering: entries of one origin come over several links (relays), each at its own pace;
 *  - a cut: nothing arrives in that direction. What was sent waits; the link breaks after `SILENCE_MS`, and flows on if the cut heals before;
 *  - a reset: the link breaks at once; of what is under way in each direction none, some or all arrives before the break is noticed;
 *  - corruption: the frame does not decode, and the link breaks as malformed; what came before it has arrived;
 *  - altered bytes: an entry's body is another one and the frame decodes all the same, as after a fault in memory: checksums must tell.
 * A handshake takes a round trip and a half; each side is asked whether it admits the other when the other's Hello arrives.
 */
import type { Hello, Message } from "../core/messages.js";
import type { Transport, TransportHandler } from "../core/ports.js";
import { limits } from "../core/limits.js";
import type { EventQueue } from "./event-queue.js";
import type { SeededRandom } from "./seeded-random.js";
import type { SimulatedProcess } from "./simulated-process.js";
import type { Trace } from "./trace.js";

/** Encodes as the real mesh does; handed in, since `sim` does not import `io`. */
export interface WireCodec {
  encode(message: Message): Uint8Array;
  decode(bytes: Uint8Array): Message;
}

/** After this long without a sign of life a link is broken, ms. As the real mesh's. */
const SILENCE_MS = 6_000;
const RETRANSMIT_MS = 220;

/** What is the matter with one direction of a wire. */
export interface WireFault {
  cut: number;
  extraMs: number;
  lossRate: number;
  corruptRate: number;
  alterRate: number;
  /** Infinity where it does not matter. */
  bytesPerMs: number;
}

interface Underway {
  readonly bytes: Uint8Array;
  readonly kind: string;
  readonly corrupt: boolean;
}

interface Direction {
  readonly from: SimulatedTransport;
  readonly to: SimulatedTransport;
  readonly wire: string;
  readonly queue: Underway[];
  queuedBytes: number;
  lastDue: number;
  /** Messages that have reached the cut and wait before it. */
  held: number;
  /** After the break: how many of the queue still arrive. */
  arriving: number;
}

interface Connection {
  readonly id: number;
  readonly key: string;
  readonly ends: readonly [SimulatedTransport, SimulatedTransport];
  readonly directions: readonly [Direction, Direction];
  readonly up: Set<SimulatedTransport>;
  broken: boolean;
}

export interface NetworkOptions {
  readonly codec: WireCodec;
  /** One way, ms. */
  latencyMs(from: string, to: string): number;
  /** Counts what has happened, for the coverage. */
  reached(what: string): void;
  /** Who looks on hears of every message and greeting as it leaves. */
  readonly witness?: { sent(from: string, to: string, message: Message): void; greeted(from: string, to: string, hello: Hello): void } | undefined;
  /** A message takes up to this many times its latency; 1 unless told. */
  readonly jitter?: number;
  readonly reconnectMinMs?: number;
  readonly reconnectMaxMs?: number;
}

export class SimulatedNetwork {
  private readonly transports = new Map<string, SimulatedTransport>();
  private readonly connections = new Map<string, Connection>();
  private readonly attempts = new Map<string, number>();
  private readonly faults = new Map<string, WireFault>();
  /** `<from>><to>` → when a message arrived last. */
  private readonly heard = new Map<string, number>();
  private connectionCount = 0;

  constructor(
    private readonly queue: EventQueue,
    private readonly random: SeededRandom,
    private readonly trace: Trace,
    private readonly options: NetworkOptions,
  ) {}

  join(process: SimulatedProcess, peers: readonly string[], options: { readonly named?: string; readonly outboxBytes?: number } = {}): Transport {
    return new SimulatedTransport(this, process, new Set(peers), options.named ?? process.replica, options.outboxBytes ?? limits.linkOutboxBytes);
  }

  // Faults.

  wire(from: string, to: string): WireFault {
    const name = `${from}>${to}`;
    let fault = this.faults.get(name);
    if (fault === undefined) {
      fault = { cut: 0, extraMs: 0, lossRate: 0, corruptRate: 0, alterRate: 0, bytesPerMs: Number.POSITIVE_INFINITY };
      this.faults.set(name, fault);
    }
    return fault;
  }

  isCut(from: string, to: string): boolean {
    return (this.faults.get(`${from}>${to}`)?.cut ?? 0) > 0;
  }

  /** Cuts one direction. `reset`: the link breaks at once. Cuts add up: each needs a `mend` of its own. */
  cut(from: string, to: string, reset: boolean): void {
    this.wire(from, to).cut++;
    if (reset) this.reset(from, to);
  }

  mend(from: string, to: string): void {
    const wire = this.wire(from, to);
    wire.cut = Math.max(0, wire.cut - 1);
    if (wire.cut > 0) return;
    const direction = this.connections.get(pairKey(from, to))?.directions.find((one) => one.from.replica === from);
    if (direction !== undefined) this.flowOn(direction);
    this.attemptSoon(from, to);
  }

  /** Breaks a link; what is under way arrives in part. */
  reset(a: string, b: string): void {
    const connection = this.connections.get(pairKey(a, b));
    if (connection !== undefined) this.break(connection, "the connection was reset", "some");
  }

  /** Breaks a link after everything from `from` has arrived, and nothing of what comes back: what was sent is sent again. */
  duplicate(from: string, to: string): boolean {
    const connection = this.connections.get(pairKey(from, to));
    const sent = connection?.directions.find((direction) => direction.from.replica === from);
    if (connection === undefined || sent === undefined || sent.queue.length === 0 || connection.broken) return false;
    this.break(connection, "the connection was reset", (direction) => (direction === sent ? direction.queue.length : 0));
    return true;
  }

  /** How long a request between two machines takes one way; undefined if it gets lost. */
  oneWayMs(from: string, to: string): number | undefined {
    const wire = this.faults.get(`${from}>${to}`);
    if (wire !== undefined && wire.cut > 0) return undefined;
    return this.options.latencyMs(from, to) * this.random.between(1, this.options.jitter ?? 1) + (wire?.extraMs ?? 0);
  }

  /** When a message of one replica reached another last; -Infinity if none ever did. */
  heardMs(from: string, to: string): number {
    return this.heard.get(`${from}>${to}`) ?? Number.NEGATIVE_INFINITY;
  }

  // What transports call.

  /** @internal */
  opened(transport: SimulatedTransport): void {
    if (this.transports.get(transport.replica)?.process.alive === true) throw new Error(`${transport.replica} is in this mesh already`);
    this.transports.set(transport.replica, transport);
    transport.process.whenDead(() => this.closed(transport, "some"));
    for (const peer of [...transport.peers].sort()) this.attemptSoon(transport.replica, peer);
  }

  /** @internal */
  closed(transport: SimulatedTransport, arrives: "some" | "all"): void {
    if (this.transports.get(transport.replica) !== transport) return;
    this.transports.delete(transport.replica);
    for (const connection of [...this.connections.values()]) {
      if (connection.ends.includes(transport)) this.break(connection, `${transport.replica} is shutting down`, arrives, transport);
    }
  }

  /** @internal */
  send(from: SimulatedTransport, to: string, message: Message): boolean {
    const connection = this.connections.get(pairKey(from.replica, to));
    if (connection === undefined || !connection.up.has(from)) return false;
    const direction = connection.directions.find((one) => one.from === from);
    if (direction === undefined || !from.process.alive) return false;
    this.options.witness?.sent(from.replica, to, message);
    const bytes = this.options.codec.encode(message);
    if (bytes.length > limits.messageBytesMax || direction.queuedBytes + bytes.length > from.outboxBytes) return false;
    // The other side is gone, and this one has not noticed: what it sends is lost.
    if (connection.broken) return true;
    this.transmit(connection, direction, bytes, message.$case);
    return true;
  }

  /** @internal */
  queuedBytes(from: SimulatedTransport, to: string): number {
    const connection = this.connections.get(pairKey(from.replica, to));
    return connection?.up.has(from) === true ? (connection.directions.find((one) => one.from === from)?.queuedBytes ?? 0) : 0;
  }

  private transmit(connection: Connection, direction: Direction, encoded: Uint8Array, kind: string): void {
    const wire = this.faults.get(direction.wire);
    let bytes = encoded;
    let delayMs = this.options.latencyMs(direction.from.replica, direction.to.replica) * this.random.between(1, this.options.jitter ?? 1);
    let corrupt = false;
    if (wire !== undefined) {
      delayMs += wire.extraMs;
      if (wire.bytesPerMs !== Number.POSITIVE_INFINITY) delayMs += (bytes.length + direction.queuedBytes) / wire.bytesPerMs;
      if (wire.lossRate > 0 && this.random.chance(wire.lossRate)) {
        delayMs += RETRANSMIT_MS * this.random.between(1, 3);
        this.options.reached("network: a packet was lost and sent again");
      }
      corrupt = wire.corruptRate > 0 && this.random.chance(wire.corruptRate);
      if (wire.alterRate > 0 && kind === "entries" && this.random.chance(wire.alterRate)) bytes = this.altered(bytes);
    }
    direction.queue.push({ bytes, kind, corrupt });
    direction.queuedBytes += bytes.length;
    direction.lastDue = Math.max(direction.lastDue, this.queue.now + delayMs);
    this.trace.add(this.queue.now, `${direction.wire} sends ${kind} ${bytes.length}`);
    this.queue.at(direction.lastDue, `${direction.wire} ${kind}`, () => this.reachedOtherEnd(connection, direction));
  }

  /** Flips a bit in the body of one entry. */
  private altered(bytes: Uint8Array): Uint8Array {
    const message = this.options.codec.decode(bytes.slice());
    if (message.$case !== "entries") return bytes;
    const entries = message.value.entries.map((entry) => ({ ...entry, body: entry.body.slice() }));
    const body = this.random.pick(entries).body;
    if (body.length === 0) return bytes;
    const at = this.random.integer(0, body.length - 1);
    body[at] = (body[at] ?? 0) ^ (1 << this.random.integer(0, 7));
    this.options.reached("network: an entry was altered");
    return this.options.codec.encode({ $case: "entries", value: { entries } });
  }

  /** The head of a direction's queue has come to its end. */
  private reachedOtherEnd(connection: Connection, direction: Direction): void {
    if (connection.broken) {
      if (direction.arriving <= 0) return;
      direction.arriving--;
      this.deliver(connection, direction);
      return;
    }
    if (this.isCut(direction.from.replica, direction.to.replica) || direction.held > 0) {
      if (direction.held++ === 0) this.queue.after(SILENCE_MS, `${direction.wire} silence`, () => {
        if (!connection.broken && direction.held > 0) {
          this.options.reached("network: a silent link was given up");
          this.break(connection, "nothing was heard for too long", "none");
        }
      });
      return;
    }
    this.deliver(connection, direction);
  }

  private flowOn(direction: Direction): void {
    const connection = this.connections.get(pairKey(direction.from.replica, direction.to.replica));
    const { held } = direction;
    direction.held = 0;
    if (connection === undefined || connection.broken) return;
    for (let i = 0; i < held; i++) {
      direction.lastDue = Math.max(direction.lastDue, this.queue.now + RETRANSMIT_MS);
      this.queue.at(direction.lastDue, `${direction.wire} flows on`, () => this.reachedOtherEnd(connection, direction));
    }
  }

  private deliver(connection: Connection, direction: Direction): void {
    const underway = direction.queue.shift();
    if (underway === undefined) return;
    direction.queuedBytes -= underway.bytes.length;
    const { to, from } = direction;
    to.process.after(0, `${to.replica} receives`, () => {
      if (!connection.up.has(to)) return;
      if (underway.corrupt) {
        this.options.reached("network: a corrupt frame broke a link");
        this.break(connection, "a frame that cannot be decoded", "none");
        return;
      }
      this.heard.set(direction.wire, this.queue.now);
      to.handler?.received(from.replica, this.options.codec.decode(underway.bytes), underway.bytes.length);
    });
  }

  // Links.

  private break(connection: Connection, reason: string, arrives: "none" | "some" | "all" | ((direction: Direction) => number), closer?: SimulatedTransport): void {
    if (connection.broken) return;
    connection.broken = true;
    for (const direction of connection.directions) {
      const waiting = direction.queue.length - direction.held;
      const count = typeof arrives === "function" ? arrives(direction) : arrives === "none" ? 0 : arrives === "all" ? waiting : this.random.integer(0, waiting);
      direction.arriving = direction.held > 0 ? 0 : Math.min(count, waiting);
    }
    let noticedBy = 0;
    for (const end of connection.ends) {
      const incoming = connection.directions.find((direction) => direction.to === end);
      const other = incoming?.from;
      // It is noticed behind what still arrives; a program that has died notices nothing.
      const delayMs = other === undefined || incoming === undefined ? 0 : Math.max(incoming.arriving > 0 ? incoming.lastDue - this.queue.now : 0, this.options.latencyMs(other.replica, end.replica) * this.random.uniform());
      const gone = (): void => {
        noticedBy++;
        if (noticedBy < 2) return;
        if (this.connections.get(connection.key) === connection) this.connections.delete(connection.key);
        this.attemptSoon(connection.ends[0].replica, connection.ends[1].replica);
      };
      if (!end.process.alive) gone();
      else {
        let noticed = false;
        const notice = (isAlive: boolean): void => {
          if (noticed) return;
          noticed = true;
          if (connection.up.delete(end) && isAlive && other !== undefined) end.handler?.disconnected(other.replica, reason);
          gone();
        };
        if (end === closer) {
          notice(true);
          continue;
        }
        end.process.whenDead(() => notice(false));
        end.process.after(delayMs, `${end.replica} loses ${other?.replica ?? ""}`, () => notice(true));
      }
    }
  }

  /** Tries to link two replicas after a while; again and again until it works or one of them is gone. */
  private attemptSoon(a: string, b: string): void {
    const key = pairKey(a, b);
    if (this.attempts.has(key) || this.connections.has(key) || !this.transports.has(a) || !this.transports.has(b)) return;
    const { reconnectMinMs = limits.reconnectMinMs, reconnectMaxMs = limits.reconnectMaxMs } = this.options;
    this.attempts.set(key, 1);
    this.queue.after(this.random.between(reconnectMinMs, reconnectMaxMs), `${key} dial`, () => {
      this.attempts.delete(key);
      const first = this.transports.get(a);
      const second = this.transports.get(b);
      if (first === undefined || second === undefined || this.connections.has(key)) return;
      const [dialler, listener] = first.replica < second.replica ? [first, second] : [second, first];
      if (this.isCut(a, b) || this.isCut(b, a) || dialler.process.paused || listener.process.paused) this.attemptSoon(a, b);
      else this.shakeHands(key, dialler, listener);
    });
  }

  private shakeHands(key: string, dialler: SimulatedTransport, listener: SimulatedTransport): void {
    const connection = this.newConnection(key, dialler, listener);
    this.connections.set(key, connection);
    const fails = (reason: string): void => this.break(connection, reason, "none");
    const toListener = this.oneWayMs(dialler.replica, listener.replica);
    const toDialler = this.oneWayMs(listener.replica, dialler.replica);
    const told = dialler.handler?.hello();
    if (toListener === undefined || toDialler === undefined || told === undefined) return fails("the handshake got lost");
    this.options.witness?.greeted(dialler.replica, listener.replica, told);
    const said = structuredClone(told);
    this.queue.after(SILENCE_MS, `${key} handshake limit`, () => {
      if (!connection.broken && connection.up.size < 2) fails("no handshake in time");
    });
    listener.process.after(toListener, `${listener.replica} hears hello`, () => {
      if (connection.broken) return;
      const answer = listener.handler?.hello();
      if (answer === undefined || refusal(dialler, listener, said, answer) || listener.handler?.admit(said) !== undefined) return fails("refused");
      this.options.witness?.greeted(listener.replica, dialler.replica, answer);
      const answered = structuredClone(answer);
      dialler.process.after(toDialler, `${dialler.replica} hears hello`, () => {
        if (connection.broken) return;
        if (dialler.handler?.admit(answered) !== undefined) return fails("refused");
        connection.up.add(dialler);
        // The dialler's messages come behind its word that it stays.
        const out = connection.directions.find((direction) => direction.from === dialler);
        if (out !== undefined) out.lastDue = Math.max(out.lastDue, this.queue.now + toListener);
        dialler.handler?.connected(listener.replica, answered);
        listener.process.after(toListener, `${listener.replica} is linked`, () => {
          if (connection.broken) return;
          connection.up.add(listener);
          listener.handler?.connected(dialler.replica, said);
        });
      });
    });
  }

  private newConnection(key: string, a: SimulatedTransport, b: SimulatedTransport): Connection {
    const direction = (from: SimulatedTransport, to: SimulatedTransport): Direction => ({
      from, to, wire: `${from.replica}>${to.replica}`, queue: [], queuedBytes: 0, lastDue: 0, held: 0, arriving: 0,
    });
    return { id: ++this.connectionCount, key, ends: [a, b], directions: [direction(a, b), direction(b, a)], up: new Set(), broken: false };
  }
}

export class SimulatedTransport implements Transport {
  handler: TransportHandler | undefined;

  constructor(
    private readonly network: SimulatedNetwork,
    readonly process: SimulatedProcess,
    readonly peers: ReadonlySet<string>,
    readonly named: string,
    readonly outboxBytes: number,
  ) {}

  get replica(): string {
    return this.process.replica;
  }

  open(handler: TransportHandler): Promise<void> {
    this.handler = handler;
    this.network.opened(this);
    return Promise.resolve();
  }

  send(peer: string, message: Message): boolean {
    return this.network.send(this, peer, message);
  }

  queuedBytes(peer: string): number {
    return this.network.queuedBytes(this, peer);
  }

  close(): Promise<void> {
    this.network.closed(this, "all");
    return Promise.resolve();
  }
}

/** What the real mesh refuses before it asks the replica. */
function refusal(dialler: SimulatedTransport, listener: SimulatedTransport, said: Hello, answer: Hello): boolean {
  const strangers = !dialler.peers.has(listener.replica) || !listener.peers.has(dialler.replica) || dialler.named !== dialler.replica || listener.named !== listener.replica;
  return strangers || said.clusterId !== answer.clusterId || said.protocolVersion !== answer.protocolVersion;
}

function pairKey(a: string, b: string): string {
  return a < b ? `${a} ${b}` : `${b} ${a}`;
}
