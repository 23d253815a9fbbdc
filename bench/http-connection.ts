/**
 * One keep-alive connection that sends requests built before and reads no more of an answer than its status and its end:
 * the load tool shares two cores with what it measures, so what it costs itself decides what can be seen.
 */
import { connect, type Socket } from "node:net";

const HEADERS_END = Buffer.from("\r\n\r\n");

export interface PreparedRequest {
  readonly method: string;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** JSON. */
  readonly body?: string;
}

export function requestBytes(host: string, { method, path, headers = {}, body }: PreparedRequest): Buffer {
  const lines = [`${method} ${path} HTTP/1.1`, `host: ${host}`, ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`)];
  if (body !== undefined) lines.push("content-type: application/json", `content-length: ${Buffer.byteLength(body)}`);
  return Buffer.from(`${lines.join("\r\n")}\r\n\r\n${body ?? ""}`);
}

/** One request under way at a time. */
export class HttpConnection {
  private received: Buffer = Buffer.alloc(0);
  private settle: { readonly resolve: (status: number) => void; readonly reject: (error: Error) => void } | undefined;

  private constructor(private readonly socket: Socket) {
    socket.setNoDelay(true);
    socket.on("data", (chunk) => this.take(chunk));
    socket.on("error", (error) => this.fail(error));
    socket.on("close", () => this.fail(new Error("the server closed the connection")));
  }

  static async open(host: string, port: number): Promise<HttpConnection> {
    const socket = connect({ host, port });
    await new Promise<void>((resolve, reject) => {
      socket.once("connect", resolve);
      socket.once("error", reject);
    });
    return new HttpConnection(socket);
  }

  /** Resolves to the status once the whole answer has come. */
  exchange(bytes: Buffer): Promise<number> {
    return new Promise((resolve, reject) => {
      this.settle = { resolve, reject };
      this.socket.write(bytes);
    });
  }

  close(): void {
    this.socket.destroy();
  }

  private take(chunk: Buffer): void {
    this.received = this.received.length === 0 ? chunk : Buffer.concat([this.received, chunk]);
    const end = this.received.indexOf(HEADERS_END);
    if (end < 0 || !isWhole(this.received, end)) return;
    const status = Number(this.received.toString("latin1", 9, 12));
    this.received = Buffer.alloc(0);
    const { settle } = this;
    this.settle = undefined;
    settle?.resolve(status);
  }

  private fail(error: Error): void {
    const { settle } = this;
    this.settle = undefined;
    settle?.reject(error);
  }
}

function isWhole(received: Buffer, headersEnd: number): boolean {
  const headers = received.toString("latin1", 0, headersEnd).toLowerCase();
  const body = headersEnd + HEADERS_END.length;
  const length = /\r\ncontent-length: *(\d+)/.exec(headers)?.[1];
  if (length !== undefined) return received.length >= body + Number(length);
  if (headers.includes("\r\ntransfer-encoding: chunked")) return received.subarray(-5).toString("latin1") === "0\r\n\r\n";
  return true;
}
