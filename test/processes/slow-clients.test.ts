/** Clients that send a byte now and then hold a connection, and nothing else, for a bounded time. */
import t from "tap";
import { apiLimits } from "../../src/api/api-limits.js";
import { RawClient } from "./raw-client.js";
import { COMPONENTS, created, ok } from "./workload.js";
import { World } from "./world.js";

const MARGIN_MS = 15_000;

/** Sends a byte at a time until the connection is closed; then gives what was answered, and after how many ms. */
async function trickle(client: RawClient, text: string, everyMs: number, withinMs: number): Promise<{ status: number | undefined; ms: number }> {
  const startedAt = performance.now();
  let sent = 0;
  const timer = setInterval(() => client.send(text[sent++ % text.length] ?? ""), everyMs);
  const answer = await client.answer(withinMs);
  clearInterval(timer);
  return { status: answer?.status, ms: performance.now() - startedAt };
}

t.test("a head or a body that comes a byte at a time is given up in time, and nobody else notices", { timeout: 300_000 }, async (t) => {
  const world = await World.start(t);
  const route = `${COMPONENTS}/${created(await world.us.post(COMPONENTS, { name: "before" }))}`;
  const heads = await Promise.all(Array.from({ length: 50 }, () => RawClient.open(world.us.http)));
  const bodies = await Promise.all(Array.from({ length: 50 }, () => RawClient.open(world.us.http)));
  for (const client of bodies) client.send(RawClient.head("POST", COMPONENTS, "Content-Type: application/json\r\nContent-Length: 100000\r\n"));
  const endless = `GET ${route} HTTP/1.1\r\nHost: x\r\nX-Slow: ${"y".repeat(10_000)}`;
  const slowHeads = heads.map((client) => trickle(client, endless, 500, apiLimits.headersTimeoutMs + MARGIN_MS));
  const slowBodies = bodies.map((client) => trickle(client, " ", 1_000, apiLimits.requestTimeoutMs + MARGIN_MS));

  let slowestMs = 0;
  let served = 0;
  let over = false;
  const everyoneElse = (async (): Promise<void> => {
    while (!over) {
      const startedAt = performance.now();
      ok(await world.us.get(route));
      slowestMs = Math.max(slowestMs, performance.now() - startedAt);
      served++;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  })();
  const ends = await Promise.all([...slowHeads, ...slowBodies]);
  over = true;
  await everyoneElse;
  t.ok(ends.every(({ status }) => status === 408), `each is told 408: ${JSON.stringify([...new Set(ends.map(({ status }) => status))])}`);
  t.ok(ends.every(({ ms }) => ms >= apiLimits.headersTimeoutMs / 2), "they were slow for some time");
  t.ok(served > 100 && slowestMs < 5_000, `${served} requests of others, the slowest ${Math.round(slowestMs)} ms`);
  t.equal((await world.us.post(COMPONENTS, { name: "after" })).status, 201);
  for (const client of [...heads, ...bodies]) client.close();
});
