/** Sends requests to servers outside of the cluster. */
import { Agent, request as sendRequest, type Dispatcher } from "undici";
import type { OutboundAnswer, OutboundRequest, Sender } from "../core/ports.js";

const ANSWER_BYTES_MAX = 64 * 1024;

export class HttpSender implements Sender {
  private readonly agent = new Agent({ connections: 8, pipelining: 1, maxResponseSize: ANSWER_BYTES_MAX, connect: { timeout: 5_000 } });

  async send(request: OutboundRequest, timeoutMs: number): Promise<OutboundAnswer | undefined> {
    try {
      const { statusCode, headers, body } = await sendRequest(request.url, {
        // Methods such as PURGE are no part of undici's type.
        method: request.method as Dispatcher.HttpMethod, headers: { ...request.headers }, body: request.body ?? null, dispatcher: this.agent,
        headersTimeout: timeoutMs, bodyTimeout: timeoutMs, signal: AbortSignal.timeout(timeoutMs),
      });
      await body.dump();
      const names: Record<string, string> = {};
      for (const [name, value] of Object.entries(headers)) if (typeof value === "string") names[name] = value;
      return { status: statusCode, headers: names };
    } catch {
      // Not reached, too slow, or too large: the caller tries again.
      return undefined;
    }
  }

  async close(): Promise<void> {
    await this.agent.destroy();
  }
}
