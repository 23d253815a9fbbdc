/** Passes a client's request on to another replica's HTTP address. */
import { Pool } from "undici";
import type { ForwardedAnswer, ForwardedRequest, Forwarder } from "../core/ports.js";

/** Bytes of an answer that are taken. */
const ANSWER_BYTES_MAX = 32 * 1024 * 1024;
const CONNECTIONS_PER_PEER = 64;

export class HttpForwarder implements Forwarder {
  private readonly pools = new Map<string, Pool>();

  /** `peers`: replica → base URL. */
  constructor(peers: Readonly<Record<string, string>>) {
    for (const [replica, url] of Object.entries(peers)) {
      this.pools.set(replica, new Pool(new URL(url).origin, { connections: CONNECTIONS_PER_PEER, maxResponseSize: ANSWER_BYTES_MAX, connectTimeout: 1_000 }));
    }
  }

  async send(replica: string, request: ForwardedRequest, timeoutMs: number): Promise<ForwardedAnswer | undefined> {
    const pool = this.pools.get(replica);
    if (pool === undefined) return undefined;
    try {
      const { statusCode, headers, body } = await pool.request({
        method: request.method, path: request.path, headers: { ...request.headers }, body: request.body ?? null,
        headersTimeout: timeoutMs, bodyTimeout: timeoutMs,
      });
      const names: Record<string, string> = {};
      for (const [name, value] of Object.entries(headers)) if (typeof value === "string") names[name] = value;
      return { status: statusCode, headers: names, body: await body.text() };
    } catch {
      // Not reached, too slow, or too large: whether it took effect there is unknown, and the caller treats it so.
      return undefined;
    }
  }

  async close(): Promise<void> {
    await Promise.all([...this.pools.values()].map((pool) => pool.destroy()));
  }
}
