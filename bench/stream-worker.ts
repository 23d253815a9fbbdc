/**
 * Holds many event streams open, and tells when each of them has read an event. Takes `{base, streams}` once, then `{marker}` for each event to come:
 * answers with the wall clock, in ms, at which the first and the last stream had read a piece with that text.
 */
import { connect, type Socket } from "node:net";

interface Opening {
  readonly base: string;
  readonly streams: number;
}

const OPENED_AT_ONCE = 200;
const wallMs = (): number => performance.timeOrigin + performance.now();
const sockets: Socket[] = [];
let heard: (text: Buffer) => void = () => undefined;

function open(host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, noDelay: true });
    let isReady = false;
    let head = "";
    socket.once("error", reject);
    socket.on("data", (bytes) => {
      if (isReady) return heard(bytes);
      head += bytes.toString("latin1");
      if (head.startsWith("HTTP") && !head.startsWith("HTTP/1.1 200")) return reject(new Error(head.slice(0, 200)));
      if (!head.includes("event: ready")) return;
      isReady = true;
      head = "";
      resolve();
    });
    socket.write(`GET /pages/default/events HTTP/1.1\r\nHost: ${host}:${port}\r\nAccept: text/event-stream\r\n\r\n`);
    sockets.push(socket);
  });
}

async function openAll({ base, streams }: Opening): Promise<void> {
  const { hostname, port } = new URL(base);
  for (let opened = 0; opened < streams; opened += OPENED_AT_ONCE) {
    await Promise.all(Array.from({ length: Math.min(OPENED_AT_ONCE, streams - opened) }, () => open(hostname, Number(port))));
  }
}

/** Resolves when as many pieces with the marker came as there are streams. */
function hears(marker: string): Promise<{ first: number; last: number }> {
  const text = Buffer.from(marker);
  let first = 0;
  let count = 0;
  return new Promise((resolve) => {
    heard = (bytes) => {
      if (bytes.indexOf(text) < 0) return;
      const now = wallMs();
      if (count++ === 0) first = now;
      if (count === sockets.length) resolve({ first, last: now });
    };
  });
}

process.on("disconnect", () => process.exit());
process.on("message", (message: Opening | { readonly marker: string }) => {
  const done = "marker" in message ? hears(message.marker) : openAll(message).then(() => ({}));
  if ("marker" in message) process.send?.({ listening: true });
  done.then((result) => process.send?.(result), (error: unknown) => process.send?.({ error: String(error) }));
});
process.send?.({});
