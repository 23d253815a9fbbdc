/** A server of a test behind a proxy of a Toxiproxy server, ours or a real one. */
import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { type Proxy as LinkProxy, Toxiproxy } from "toxiproxy-node-client";

export interface Proxied {
  readonly proxy: LinkProxy;
  /** Connections that came through, in order. */
  readonly arrived: Socket[];
  start(): Socket;
  dial(): Promise<Socket>;
  /** Ends the server. */
  close(): Promise<void>;
}

export interface Owner {
  teardown(end: () => Promise<void>): void;
}

let count = 0;

/** What comes is handed to `serve`. */
export async function proxied(t: Owner, url: string, serve: (socket: Socket) => void): Promise<Proxied> {
  const arrived: Socket[] = [];
  const dialled: Socket[] = [];
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    arrived.push(socket);
    socket.on("error", () => undefined);
    serve(socket);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const upstream = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const proxy = await new Toxiproxy(url).createProxy({ name: `test-${process.pid}-${count++}`, listen: "127.0.0.1:0", upstream });
  const close = async (): Promise<void> => {
    for (const socket of arrived) socket.destroy();
    if (server.listening) await new Promise((resolve) => server.close(resolve));
  };
  t.teardown(async () => {
    for (const socket of dialled) socket.destroy();
    await proxy.remove().catch(() => undefined);
    await close();
  });
  const start = (): Socket => {
    const socket = connect({ host: "127.0.0.1", port: Number(proxy.listen.split(":").at(-1)), allowHalfOpen: true, noDelay: true });
    dialled.push(socket);
    socket.on("error", () => undefined);
    return socket;
  };
  const dial = async (): Promise<Socket> => {
    const socket = start();
    await once(socket, "connect");
    return socket;
  };
  return { proxy, arrived, start, dial, close };
}

export const echo = (socket: Socket): void => void socket.pipe(socket);

/** The next bytes, at least so many unless the stream ends. */
export async function read(socket: Socket, bytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of socket.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    length += chunk.length;
    if (length >= bytes) break;
  }
  return Buffer.concat(chunks);
}

/** Resolves when the other side has ended the connection, in order or by an error. */
export async function closed(socket: Socket): Promise<void> {
  socket.once("end", () => socket.end());
  if (socket.readableEnded) socket.end();
  socket.resume();
  if (!socket.closed) await new Promise<void>((resolve) => socket.once("close", () => resolve()));
}

/** Milliseconds from a byte's departure to its return. */
export async function roundTripMs(socket: Socket): Promise<number> {
  const startedAt = performance.now();
  socket.write("x");
  await read(socket, 1);
  return performance.now() - startedAt;
}
