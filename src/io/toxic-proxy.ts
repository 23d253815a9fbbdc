/**
 * A TCP proxy on loopback in front of one address, with toxics on either direction of its connections.
 *
 * 1. Bytes of a direction leave in the order in which they came, whatever its toxics were meanwhile.
 * 2. A latency costs no bandwidth: up to `LATENT_BYTES` are on the way at a time, and only beyond that the sender waits.
 * 3. While the proxy is disabled no byte passes, and nothing that was under way when it was disabled arrives later.
 */
import { connect, createServer, type Server, type Socket } from "node:net";
import { type Parcel, type Stage, stageOf } from "./toxic-stages.js";
import type { Toxic, ToxicStream } from "./toxics.js";

const LOOPBACK = "127.0.0.1";
/** Bytes on the way in one direction of one connection: while a toxic delays them, while one doles them out, and without either. */
const LATENT_BYTES = 64 * 1024 * 1024;
const DOLED_BYTES = 256 * 1024;
const PASSING_BYTES = 1024 * 1024;

export interface Address {
  readonly host: string;
  readonly port: number;
}

export interface ToxicProxyOptions {
  readonly name: string;
  /** On loopback; 0 for a free one. */
  readonly port: number;
  readonly upstream: Address;
  readonly enabled: boolean;
  /** Ports that it must not choose, since others will listen there. */
  readonly avoid: ReadonlySet<number>;
  /** From 0 to below 1. */
  readonly uniform: () => number;
}

/** What went through, ever, and what is open now. */
export interface Traffic {
  connections: number;
  accepted: number;
  /** Connections refused because the proxy was disabled. */
  refused: number;
  upstreamBytes: number;
  downstreamBytes: number;
}

export class ToxicProxy implements AsyncDisposable {
  readonly name: string;
  readonly traffic: Traffic = { connections: 0, accepted: 0, refused: 0, upstreamBytes: 0, downstreamBytes: 0 };
  private upstreamAddress: Address;
  private isEnabled: boolean;
  private toxicList: readonly Toxic[] = [];
  private readonly connections = new Set<Connection>();

  private constructor(
    private readonly server: Server,
    private readonly options: ToxicProxyOptions,
  ) {
    this.name = options.name;
    this.upstreamAddress = options.upstream;
    this.isEnabled = options.enabled;
    server.on("connection", (socket) => this.accept(socket));
  }

  /** Listens. Rejects with what the system says if it cannot. */
  static async listen(options: ToxicProxyOptions): Promise<ToxicProxy> {
    const unfit: Server[] = [];
    try {
      for (;;) {
        const server = createServer({ allowHalfOpen: true, noDelay: true });
        await new Promise<void>((resolve, reject) => {
          server.once("error", reject);
          server.listen(options.port, LOOPBACK, resolve);
        });
        if (options.port !== 0 || !options.avoid.has(portOf(server))) return new ToxicProxy(server, options);
        // Held until another one is found, so that the system does not give the same port again.
        unfit.push(server);
      }
    } finally {
      for (const server of unfit) server.close();
    }
  }

  get port(): number {
    return portOf(this.server);
  }

  get listenAddress(): string {
    return `${LOOPBACK}:${this.port}`;
  }

  get upstream(): Address {
    return this.upstreamAddress;
  }

  get enabled(): boolean {
    return this.isEnabled;
  }

  get toxics(): readonly Toxic[] {
    return this.toxicList;
  }

  /** Disabled, it resets what is connected and refuses what comes; it keeps its port, which another program could take otherwise. */
  setEnabled(enabled: boolean): void {
    this.isEnabled = enabled;
    if (!enabled) this.reset();
  }

  setUpstream(address: Address): void {
    this.upstreamAddress = address;
    this.reset();
  }

  /** Puts a toxic in place of the one of its name, or behind all others. */
  setToxic(toxic: Toxic): void {
    const isKnown = this.toxicList.some(({ name }) => name === toxic.name);
    this.toxicList = isKnown ? this.toxicList.map((one) => (one.name === toxic.name ? toxic : one)) : [...this.toxicList, toxic];
    for (const connection of this.connections) connection.apply(this.toxicList);
  }

  /** False if there is none of that name. */
  removeToxic(name: string): boolean {
    const left = this.toxicList.filter((toxic) => toxic.name !== name);
    if (left.length === this.toxicList.length) return false;
    this.toxicList = left;
    for (const connection of [...this.connections]) connection.apply(left);
    return true;
  }

  clear(): void {
    this.toxicList = [];
    for (const connection of [...this.connections]) connection.apply([]);
  }

  /** Resets what is connected; what comes is let through. */
  reset(): void {
    for (const connection of [...this.connections]) connection.reset();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.setEnabled(false);
    await new Promise((resolve) => this.server.close(resolve));
  }

  private accept(socket: Socket): void {
    const { traffic } = this;
    if (!this.isEnabled) {
      traffic.refused++;
      socket.on("error", () => undefined);
      socket.resetAndDestroy();
      return;
    }
    traffic.accepted++;
    const onward = connect({ ...this.upstreamAddress, allowHalfOpen: true, noDelay: true });
    const connection: Connection = new Connection(socket, onward, traffic, this.options.uniform, () => {
      this.connections.delete(connection);
      traffic.connections = this.connections.size;
    });
    this.connections.add(connection);
    traffic.connections = this.connections.size;
    connection.apply(this.toxicList);
  }
}

/** The two sockets of a connection: they end together, and what ends one in an orderly way ends the other so. */
class Connection {
  private readonly ways: Readonly<Record<ToxicStream, Way>>;
  private isOver = false;

  constructor(
    private readonly dialler: Socket,
    private readonly onward: Socket,
    traffic: Traffic,
    uniform: () => number,
    private readonly onOver: () => void,
  ) {
    const ending = { finish: () => this.finish(), reset: () => this.reset(), uniform };
    const out = new Way(dialler, onward, ending, (bytes) => {
      traffic.upstreamBytes += bytes;
    });
    const home = new Way(onward, dialler, ending, (bytes) => {
      traffic.downstreamBytes += bytes;
    });
    this.ways = { upstream: out, downstream: home };
    for (const [socket, away, toward] of [[dialler, out, home], [onward, home, out]] as const) {
      socket.on("error", () => this.reset());
      socket.on("close", () => {
        // A socket that has said all and heard all may be gone while its last bytes are still on the way.
        if (!away.isEnding || !toward.isOver) this.reset();
        else if (away.isOver) this.over();
      });
    }
  }

  apply(toxics: readonly Toxic[]): void {
    for (const stream of ["upstream", "downstream"] as const) if (!this.isOver) this.ways[stream].apply(toxics.filter((toxic) => toxic.stream === stream));
  }

  reset(): void {
    this.over();
    for (const socket of [this.dialler, this.onward]) {
      // A socket that is still connecting has nothing to reset. One whose end is on its way cannot be: Node would keep its handle, and the process could not end for it.
      if (socket.connecting || (socket.writableEnded && !socket.writableFinished)) socket.destroy();
      else if (!socket.destroyed) socket.resetAndDestroy();
    }
  }

  private finish(): void {
    this.over();
    for (const socket of [this.dialler, this.onward]) socket.destroySoon();
  }

  private over(): void {
    if (this.isOver) return;
    this.isOver = true;
    for (const way of Object.values(this.ways)) way.stop();
    this.onOver();
  }
}

interface Ending {
  readonly finish: () => void;
  readonly reset: () => void;
  readonly uniform: () => number;
}

interface Applied {
  readonly toxic: Toxic;
  /** Undefined: the toxicity has spared this connection. */
  readonly stage: Stage | undefined;
}

/** The way of the bytes from one socket to the other, through the toxics of its direction. */
class Way {
  /** The end of the bytes has come in. */
  isEnding = false;
  /** The end of the bytes was handed on. */
  isOver = false;
  private applied: Applied[] = [];
  private isStopped = false;

  constructor(
    private readonly from: Socket,
    private readonly to: Socket,
    private readonly ending: Ending,
    private readonly count: (bytes: number) => void,
  ) {
    from.on("data", (chunk: Buffer) => this.take(chunk));
    from.on("end", () => this.take("end"));
    to.on("drain", () => this.regulate());
  }

  apply(toxics: readonly Toxic[]): void {
    if (this.isStopped) return;
    // Those that go hand on what they hold to those behind them, in their old order.
    for (const { toxic, stage } of this.applied) if (!toxics.includes(toxic)) stage?.release();
    if (this.isStopped) return;
    this.applied = toxics.map((toxic) => this.applied.find((one) => one.toxic === toxic) ?? { toxic, stage: this.stageFor(toxic) });
    this.regulate();
  }

  stop(): void {
    this.isStopped = true;
    for (const { stage } of this.applied) stage?.stop();
    // What still comes is read and dropped, so that the sockets can end.
    this.from.resume();
  }

  private stageFor(toxic: Toxic): Stage | undefined {
    const { finish, reset, uniform } = this.ending;
    if (toxic.toxicity < 1 && uniform() >= toxic.toxicity) return undefined;
    return stageOf(toxic, { pass: (parcel) => this.passBehind(toxic, parcel), finish, reset, uniform });
  }

  private take(parcel: Parcel): void {
    if (this.isStopped) return;
    this.isEnding ||= parcel === "end";
    this.send(parcel, 0);
    this.regulate();
  }

  private passBehind(toxic: Toxic, parcel: Parcel): void {
    if (this.isStopped) return;
    this.send(parcel, this.applied.findIndex((one) => one.toxic === toxic) + 1);
    this.regulate();
  }

  private send(parcel: Parcel, place: number): void {
    for (const { stage } of this.applied.slice(place)) {
      if (stage !== undefined) return stage.take(parcel);
    }
    if (parcel === "end") {
      this.isOver = true;
      this.to.end();
      return;
    }
    this.count(parcel.length);
    this.to.write(parcel);
  }

  /** Makes the sender wait while too much is on the way. */
  private regulate(): void {
    if (this.isStopped) return;
    const isFull = this.underWayBytes >= this.bound;
    if (isFull && !this.from.isPaused()) this.from.pause();
    else if (!isFull && this.from.isPaused()) this.from.resume();
  }

  private get underWayBytes(): number {
    return this.applied.reduce((sum, { stage }) => sum + (stage?.heldBytes ?? 0), this.to.writableLength);
  }

  private get bound(): number {
    const types = new Set(this.applied.map(({ toxic }) => toxic.type));
    if (types.has("bandwidth") || types.has("slicer")) return DOLED_BYTES;
    return types.has("latency") ? LATENT_BYTES : PASSING_BYTES;
  }
}

function portOf(server: Server): number {
  const address = server.address();
  return typeof address === "object" && address !== null ? address.port : 0;
}
