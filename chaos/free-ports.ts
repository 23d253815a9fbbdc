/**
 * Ports for servers that are told where to listen. A port that the system chose and that was let go again may be taken before it is used: by the
 * next outgoing connection of anybody, or by whoever asks next. These lie below the ports that the system gives out by itself, and each process has a
 * block of them to itself, by listening on the block's first port for as long as it lives.
 */
import { randomInt } from "node:crypto";
import { once } from "node:events";
import { createServer, type Server } from "node:net";

/** Systems give out ports from 32768 (Linux) or 49152 (RFC 6335) on. */
const FIRST_PORT = 12_000;
const BLOCKS = 500;
const BLOCK_PORTS = 40;
const HOST = "127.0.0.1";

/** The rest of the block of this process. */
let left: number[] = [];

/** Ports on which nobody listens, each given out once; an error where there are none left. */
export async function freePorts(count: number): Promise<readonly number[]> {
  const ports: number[] = [];
  while (ports.length < count) {
    const port = left.shift();
    if (port === undefined) {
      left = await newBlock();
      continue;
    }
    const server = await listening(port);
    if (server === undefined) continue;
    await new Promise((resolve) => server.close(resolve));
    ports.push(port);
  }
  return ports;
}

export async function freePort(): Promise<number> {
  const [port = 0] = await freePorts(1);
  return port;
}

async function newBlock(): Promise<number[]> {
  const start = randomInt(BLOCKS);
  for (let tries = 0; tries < BLOCKS; tries++) {
    const first = FIRST_PORT + ((start + tries) % BLOCKS) * BLOCK_PORTS;
    const owner = await listening(first);
    if (owner === undefined) continue;
    owner.unref();
    return Array.from({ length: BLOCK_PORTS - 1 }, (_, index) => first + 1 + index);
  }
  throw new Error("no free ports were found");
}

/** A server that listens on the port; undefined where somebody does. */
async function listening(port: number): Promise<Server | undefined> {
  const server = createServer((socket) => socket.destroy());
  server.listen({ port, host: HOST, exclusive: true });
  try {
    await once(server, "listening");
    return server;
  } catch {
    return undefined;
  }
}
