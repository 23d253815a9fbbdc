/** What is watched: servers that note when it was asked, in a process of its own; and ones that die when they are told to. */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";

const MORTALS = 10;

/** Path → times, ms since the epoch. */
let asked = new Map<string, number[]>();
const clock = createServer((request, response) => {
  const times = asked.get(request.url ?? "");
  if (times === undefined) asked.set(request.url ?? "", [Date.now()]);
  else times.push(Date.now());
  response.end("all is well");
});
const mortals = Array.from({ length: MORTALS }, () => createServer((_request, response) => void response.end("all is well")));

const listening = (server: Server, port = 0): Promise<number> => new Promise((resolve) => server.listen(port, "127.0.0.1", () => resolve((server.address() as AddressInfo).port)));

export interface WatchTargetOrder {
  /** Forget when it was asked; say it; end a mortal one. */
  readonly order: "forget" | "tell" | "die";
  readonly mortal?: number;
}

export interface WatchTargetStarted {
  readonly port: number;
  readonly mortals: readonly number[];
}

process.on("message", ({ mortal, order }: WatchTargetOrder) => {
  if (order === "forget") asked = new Map();
  if (order === "die") {
    const server = mortals[mortal ?? 0];
    server?.close();
    server?.closeAllConnections();
  }
  process.send?.(order === "tell" ? { asked: [...asked.values()] } : { done: true });
});
process.on("disconnect", () => process.exit());
const port = await listening(clock);
process.send?.({ port, mortals: await Promise.all(mortals.map((server) => listening(server))) } satisfies WatchTargetStarted);
