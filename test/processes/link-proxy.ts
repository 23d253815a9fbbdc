/**
 * One dial address of the mesh: a TCP proxy on loopback whose two directions can be swallowed and slowed down one by one, and
 * whose connections can be reset and refused.
 */
import { connect, createServer, type Server, type Socket } from "node:net";

/** One direction of the bytes: what the dialling replica sends, or what it is sent. */
class Direction {
  delayMs = 0;
  swallows = false;
  private lastDueMs = 0;

  pass(bytes: Buffer, to: Socket): void {
    if (this.swallows || to.destroyed) return;
    const now = performance.now();
    // Never before what was sent earlier, whatever the delay was then.
    const due = Math.max(now + this.delayMs, this.lastDueMs);
    if (due <= now) {
      to.write(bytes);
      return;
    }
    this.lastDueMs = due;
    setTimeout(() => {
      if (!this.swallows && !to.destroyed) to.write(bytes);
    }, due - now);
  }
}

export class LinkProxy {
  /** Port on loopback to forward to; 0 while there is none. */
  targetPort = 0;
  /** Connections that were passed on, ever. */
  accepted = 0;
  /** Connections that were refused because the link is cut. */
  refused = 0;
  readonly forth = new Direction();
  readonly back = new Direction();
  private isCut = false;
  private readonly sockets = new Set<Socket>();

  private constructor(private readonly server: Server) {
    server.on("connection", (socket) => this.accept(socket));
  }

  static async listen(): Promise<LinkProxy> {
    const server = createServer();
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(0, "127.0.0.1", resolve);
    });
    return new LinkProxy(server);
  }

  get port(): number {
    const address = this.server.address();
    return typeof address === "object" && address !== null ? address.port : 0;
  }

  /** Resets what is connected and refuses what comes. */
  cut(): void {
    this.isCut = true;
    this.reset();
  }

  heal(): void {
    this.isCut = false;
    // What was swallowed is gone from the stream: such a connection cannot go on.
    if (this.forth.swallows || this.back.swallows) this.reset();
    for (const direction of [this.forth, this.back]) {
      direction.swallows = false;
      direction.delayMs = 0;
    }
  }

  /** Resets what is connected; new connections are taken. */
  reset(): void {
    for (const socket of this.sockets) socket.resetAndDestroy();
  }

  async close(): Promise<void> {
    this.cut();
    await new Promise<void>((resolve) => this.server.close(() => resolve()));
  }

  private accept(socket: Socket): void {
    if (this.isCut || this.targetPort === 0) {
      this.refused++;
      socket.on("error", () => undefined);
      socket.resetAndDestroy();
      return;
    }
    this.accepted++;
    const onward = connect({ host: "127.0.0.1", port: this.targetPort, noDelay: true });
    socket.setNoDelay(true);
    this.join(socket, onward, this.forth);
    this.join(onward, socket, this.back);
  }

  private join(from: Socket, to: Socket, direction: Direction): void {
    this.sockets.add(from);
    from.on("data", (bytes: Buffer) => direction.pass(bytes, to));
    from.on("error", () => to.destroy());
    from.on("end", () => to.end());
    from.on("close", () => {
      this.sockets.delete(from);
      to.destroy();
    });
  }
}
