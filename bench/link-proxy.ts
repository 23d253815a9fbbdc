/** A TCP proxy on loopback that delays each direction, and can be cut. */
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";

/** Beyond this many bytes under way in one direction the sender is made to wait. */
const UNDER_WAY_BYTES = 16 * 1024 * 1024;

export interface LinkProxyOptions {
  /** One-way delay of a connection, ms, asked for with every chunk: `firstBytes` are what its client sent first. */
  readonly delayMs: (firstBytes: string) => number;
}

export class LinkProxy {
  /** Port on loopback to forward to; 0: nowhere yet. */
  target = 0;
  private isCut = false;
  private readonly sockets = new Set<Socket>();

  private constructor(private readonly server: Server, private readonly options: LinkProxyOptions) {
    server.on("connection", (socket) => this.accept(socket));
  }

  static async listen(options: LinkProxyOptions): Promise<LinkProxy> {
    const server = createServer({ noDelay: true });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return new LinkProxy(server, options);
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  /** Resets what is connected and refuses what comes. */
  cut(): void {
    this.isCut = true;
    for (const socket of this.sockets) socket.destroy();
  }

  heal(): void {
    this.isCut = false;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.server.close(resolve));
  }

  private accept(socket: Socket): void {
    if (this.isCut || this.target === 0) {
      socket.destroy();
      return;
    }
    const onward = connect({ host: "127.0.0.1", port: this.target, noDelay: true });
    let firstBytes: string | undefined;
    const delayMs = (): number => this.options.delayMs(firstBytes ?? "");
    socket.once("data", (chunk) => {
      firstBytes = chunk.toString("latin1", 0, 2_048);
    });
    for (const [from, to] of [[socket, onward], [onward, socket]] as const) {
      this.sockets.add(from);
      from.on("error", () => to.destroy());
      from.on("close", () => {
        this.sockets.delete(from);
        to.destroy();
      });
      forward(from, to, delayMs);
    }
  }
}

function forward(from: Socket, to: Socket, delayMs: () => number): void {
  const queue: { readonly dueMs: number; readonly chunk: Buffer }[] = [];
  let bytes = 0;
  let timer: NodeJS.Timeout | undefined;
  const next = (): void => {
    timer = undefined;
    // Half a millisecond early is nearer than a millisecond late, which is what a timer would add.
    for (let head = queue[0]; head !== undefined && head.dueMs <= performance.now() + 0.5; head = queue[0]) {
      queue.shift();
      bytes -= head.chunk.length;
      if (!to.destroyed) to.write(head.chunk);
    }
    if (bytes < UNDER_WAY_BYTES) from.resume();
    const head = queue[0];
    if (head !== undefined) timer = setTimeout(next, Math.max(0, head.dueMs - performance.now()));
  };
  from.on("data", (chunk) => {
    queue.push({ dueMs: performance.now() + delayMs(), chunk });
    bytes += chunk.length;
    if (bytes >= UNDER_WAY_BYTES) from.pause();
    if (timer === undefined) next();
  });
  from.on("end", () => setTimeout(() => to.end(), delayMs() + 1));
  from.on("close", () => clearTimeout(timer));
}
