/**
 * A TCP proxy on loopback in front of one dial address: it slows down each direction of the bytes, and cuts the link.
 *
 * 1. Bytes leave a direction in the order in which they came, whatever its delay was meanwhile.
 * 2. A delay costs no bandwidth: up to `UNDER_WAY_BYTES` are on the way at a time, and only beyond that the sender waits.
 * 3. While the link is cut, no byte passes, and nothing that was under way at the cut arrives later.
 */
import { connect, createServer, type Server, type Socket } from "node:net";

const LOOPBACK = "127.0.0.1";
/** Bytes that may be on the way in one direction of one connection while it is slow, and while it is not. */
const UNDER_WAY_BYTES = 64 * 1024 * 1024;
const PASSING_BYTES = 1024 * 1024;
/** A timer fires up to a millisecond late, so that half of one early is nearer. */
const EARLY_MS = 0.5;

export interface LinkProxyTarget {
  readonly host: string;
  readonly port: number;
}

export interface LinkProxyOptions {
  /** Where connections lead; may be set later, and until then they are refused. */
  readonly target?: LinkProxyTarget;
  /** Ports that it must not take, since others will listen there. */
  readonly avoid?: ReadonlySet<number>;
}

/** One direction of the bytes of all connections of a link. */
export class LinkDirection {
  /** Bytes handed on, ever. */
  bytes = 0;
  /** Milliseconds from a chunk's arrival to its departure. A change holds for what arrives from then on. */
  delayMs = 0;
}

export class LinkProxy implements AsyncDisposable {
  target: LinkProxyTarget | undefined;
  /** From who dials to the target. */
  readonly forth = new LinkDirection();
  /** From the target to who dialled. */
  readonly back = new LinkDirection();
  /** Connections that were let through, ever. */
  accepted = 0;
  /** Connections that were refused, ever. */
  refused = 0;
  private severed = false;
  private readonly connections = new Set<Connection>();

  private constructor(
    private readonly server: Server,
    target: LinkProxyTarget | undefined,
  ) {
    this.target = target;
    server.on("connection", (socket) => this.accept(socket));
  }

  /** Listens on a free port of loopback. Rejects with what the system says if there is none. */
  static async listen(options: LinkProxyOptions = {}): Promise<LinkProxy> {
    const unfit: Server[] = [];
    try {
      for (;;) {
        const server = createServer({ allowHalfOpen: true, noDelay: true });
        await new Promise<void>((resolve, reject) => {
          server.once("error", reject);
          server.listen(0, LOOPBACK, resolve);
        });
        if (options.avoid?.has(portOf(server)) !== true) return new LinkProxy(server, options.target);
        // Held until another one is found, so that the system does not give the same port again.
        unfit.push(server);
      }
    } finally {
      for (const server of unfit) server.close();
    }
  }

  /** Where to dial in place of the target. */
  get port(): number {
    return portOf(this.server);
  }

  get address(): string {
    return `${LOOPBACK}:${this.port}`;
  }

  get isCut(): boolean {
    return this.severed;
  }

  /** Connections that are open now. */
  get open(): number {
    return this.connections.size;
  }

  /** Resets what is connected, and refuses what comes. */
  cut(): void {
    this.severed = true;
    this.reset();
  }

  /** Lets connections through again. Delays stay. */
  heal(): void {
    this.severed = false;
  }

  /** Resets what is connected; new connections are let through. */
  reset(): void {
    for (const connection of [...this.connections]) connection.reset();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.server.close(resolve));
  }

  private accept(socket: Socket): void {
    const { target } = this;
    if (this.severed || target === undefined) {
      this.refused++;
      socket.on("error", () => undefined);
      socket.resetAndDestroy();
      return;
    }
    this.accepted++;
    const onward = connect({ host: target.host, port: target.port, allowHalfOpen: true, noDelay: true });
    const connection: Connection = new Connection(socket, onward, this.forth, this.back, () => this.connections.delete(connection));
    this.connections.add(connection);
  }
}

/** The two sockets of a connection: they end together, and what ends one in an orderly way ends the other so. */
class Connection {
  private readonly courses: readonly [Course, Course];
  private isOver = false;

  constructor(
    private readonly dialler: Socket,
    private readonly onward: Socket,
    forth: LinkDirection,
    back: LinkDirection,
    private readonly onOver: () => void,
  ) {
    const out = new Course(dialler, onward, forth);
    const home = new Course(onward, dialler, back);
    this.courses = [out, home];
    for (const [socket, away, toward] of [[dialler, out, home], [onward, home, out]] as const) {
      socket.on("error", () => this.reset());
      socket.on("close", () => {
        // A socket that has said all and heard all may be gone while its last bytes are still on the way.
        if (!away.isEnding || !toward.isOver) this.reset();
        else if (away.isOver) this.over();
      });
    }
  }

  reset(): void {
    this.over();
    for (const socket of [this.dialler, this.onward]) {
      // A socket that is still connecting has nothing to reset.
      if (socket.connecting) socket.destroy();
      else if (!socket.destroyed) socket.resetAndDestroy();
    }
  }

  private over(): void {
    if (this.isOver) return;
    this.isOver = true;
    for (const course of this.courses) course.stop();
    this.onOver();
  }
}

/** What waits in a direction: bytes, or the end of them. */
interface Parcel {
  readonly dueMs: number;
  /** `undefined`: the sender has ended. */
  readonly chunk: Buffer | undefined;
}

/** The way of the bytes from one socket to another. */
class Course {
  /** The end of the bytes has come in. */
  isEnding = false;
  /** The end of the bytes was handed on. */
  isOver = false;
  /** First come, first gone; `head` is the first that has not gone, so that taking one moves none. */
  private parcels: Parcel[] = [];
  private head = 0;
  private waitingBytes = 0;
  private timer: NodeJS.Timeout | undefined;
  private isStopped = false;
  private isBlocked = false;

  constructor(
    private readonly from: Socket,
    private readonly to: Socket,
    private readonly direction: LinkDirection,
  ) {
    from.on("data", (chunk: Buffer) => this.take(chunk));
    from.on("end", () => this.take(undefined));
    to.on("drain", () => {
      this.isBlocked = false;
      this.pass();
    });
  }

  stop(): void {
    this.isStopped = true;
    clearTimeout(this.timer);
    this.parcels = [];
    this.head = 0;
  }

  private take(chunk: Buffer | undefined): void {
    if (this.isStopped) return;
    this.isEnding ||= chunk === undefined;
    this.parcels.push({ dueMs: performance.now() + this.direction.delayMs, chunk });
    this.waitingBytes += chunk?.length ?? 0;
    if (this.isFull) this.from.pause();
    if (this.timer === undefined) this.pass();
  }

  private get isFull(): boolean {
    return this.waitingBytes >= (this.direction.delayMs === 0 ? PASSING_BYTES : UNDER_WAY_BYTES);
  }

  /** Hands on what is due, and comes back when more is. */
  private pass(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    if (this.isStopped) return;
    let next = this.parcels[this.head];
    while (next !== undefined && !this.isBlocked && next.dueMs <= performance.now() + EARLY_MS) {
      this.head++;
      this.hand(next.chunk);
      next = this.parcels[this.head];
    }
    if (next === undefined || this.head >= 1_024) {
      this.parcels = this.parcels.slice(this.head);
      this.head = 0;
    }
    if (!this.isFull && this.from.isPaused()) this.from.resume();
    if (next !== undefined && !this.isBlocked) this.timer = setTimeout(() => this.pass(), Math.max(0, next.dueMs - performance.now()));
  }

  private hand(chunk: Buffer | undefined): void {
    if (chunk === undefined) {
      this.isOver = true;
      this.to.end();
      return;
    }
    this.waitingBytes -= chunk.length;
    this.direction.bytes += chunk.length;
    this.isBlocked = !this.to.write(chunk);
  }
}

function portOf(server: Server): number {
  const address = server.address();
  return typeof address === "object" && address !== null ? address.port : 0;
}
