/** A TCP proxy on loopback that can be cut, made deaf, and slowed down. */
import { connect, createServer, type Server, type Socket } from "node:net";

type Mode = "open" | "cut" | "blackhole";

export class LoopbackProxy {
  /** `host:port` to forward to; set when it is known. */
  target = "";
  /** Added one way, both ways. */
  delayMs = 0;
  accepted = 0;
  private mode: Mode = "open";
  private readonly sockets = new Set<Socket>();

  private constructor(private readonly server: Server) {
    server.on("connection", (socket) => this.accept(socket));
  }

  static async listen(): Promise<LoopbackProxy> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return new LoopbackProxy(server);
  }

  get address(): string {
    const address = this.server.address();
    return typeof address === "object" && address !== null ? `127.0.0.1:${address.port}` : "";
  }

  /** Resets what is connected and refuses what comes. */
  cut(): void {
    this.mode = "cut";
    for (const socket of this.sockets) socket.destroy();
  }

  /** Keeps connections and swallows every byte. */
  blackhole(): void {
    this.mode = "blackhole";
  }

  heal(): void {
    if (this.mode === "blackhole") for (const socket of this.sockets) socket.destroy();
    this.mode = "open";
  }

  async close(): Promise<void> {
    this.cut();
    await new Promise<void>((resolve) => this.server.close(() => resolve()));
  }

  private accept(socket: Socket): void {
    if (this.mode === "cut" || this.target === "") {
      socket.destroy();
      return;
    }
    this.accepted++;
    const [host = "", port = ""] = this.target.split(":");
    const onward = connect({ host, port: Number(port), noDelay: true });
    socket.setNoDelay(true);
    for (const [from, to] of [[socket, onward], [onward, socket]] as const) {
      this.sockets.add(from);
      from.on("data", (bytes) => this.forward(bytes, to));
      from.on("error", () => to.destroy());
      from.on("close", () => {
        this.sockets.delete(from);
        to.destroy();
      });
      from.on("end", () => to.end());
    }
  }

  private forward(bytes: Buffer, to: Socket): void {
    if (this.mode !== "open") return;
    if (this.delayMs === 0) to.write(bytes);
    else setTimeout(() => this.mode === "open" && !to.destroyed && to.write(bytes), this.delayMs);
  }
}
