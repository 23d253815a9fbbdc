/** A client that has its connection in its own hand: what it sends, when, and what comes back. */
import { connect, type Socket } from "node:net";
import { ROOT_KEY } from "../../chaos/replica-process.js";

export interface RawAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export class RawClient {
  private received = "";
  private isClosed = false;
  private wake: () => void = () => {};

  private constructor(private readonly socket: Socket) {
    socket.on("data", (bytes: Buffer) => {
      this.received += bytes.toString("latin1");
      this.wake();
    });
    socket.on("error", () => undefined);
    socket.on("close", () => {
      this.isClosed = true;
      this.wake();
    });
  }

  /** `base`: such as `http://127.0.0.1:8081`. Resolves also where the other side hangs up at once. */
  static async open(base: string): Promise<RawClient> {
    const { hostname, port } = new URL(base);
    const socket = connect(Number(port), hostname);
    const client = new RawClient(socket);
    await new Promise<void>((resolve) => {
      socket.once("connect", resolve);
      socket.once("close", resolve);
    });
    return client;
  }

  get closed(): boolean {
    return this.isClosed;
  }

  send(text: string): void {
    if (!this.isClosed && this.socket.writable) this.socket.write(text);
  }

  /** The head of a request with the owner's key; `more`: further header lines, each with its line end. */
  static head(method: string, route: string, more = ""): string {
    return `${method} ${route} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${ROOT_KEY}\r\n${more}\r\n`;
  }

  /** The next whole answer; undefined if the other side hangs up before, or nothing comes within `ms`. */
  async answer(ms: number): Promise<RawAnswer | undefined> {
    const until = performance.now() + ms;
    for (;;) {
      const answer = this.take();
      if (answer !== undefined) return answer;
      const left = until - performance.now();
      if (this.isClosed || left <= 0) return undefined;
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  private take(): RawAnswer | undefined {
    const end = this.received.indexOf("\r\n\r\n");
    if (end < 0) return undefined;
    const [first = "", ...lines] = this.received.slice(0, end).split("\r\n");
    const headers = Object.fromEntries(lines.map((line) => [line.slice(0, line.indexOf(":")).toLowerCase(), line.slice(line.indexOf(":") + 1).trim()]));
    const length = Number(headers["content-length"] ?? 0);
    if (this.received.length < end + 4 + length) return undefined;
    const body = this.received.slice(end + 4, end + 4 + length);
    this.received = this.received.slice(end + 4 + length);
    return { status: Number(first.split(" ")[1]), headers, body };
  }

  close(): void {
    this.socket.destroy();
  }
}
