/**
 * The API of a page, at whichever of its regions answers: the nearest first, another one where that does not. A write carries an
 * `Idempotency-Key`, so that one that is repeated elsewhere takes effect once; all that follows carries the session token of what went before.
 */
import { Agent, request } from "undici";
import type { Json } from "../core/change.js";
import { pause, systemRandom } from "../io/system-clock.js";
import { CommandFault } from "./terminal.js";

export interface ApiAnswer {
  readonly status: number;
  readonly body: { readonly [name: string]: Json };
  readonly etag: string | undefined;
}

export interface ApiCall {
  readonly body?: { readonly [name: string]: Json };
  readonly ifMatch?: string | undefined;
}

const PROBE_MS = 3_000;
const ANSWER_MS = 15_000;
const PAUSES_MAX = 10;

export class ApplyClient {
  private readonly agent = new Agent({ connect: { timeout: PROBE_MS } });
  private token: string | undefined;

  private constructor(
    /** Those that are tried, in this order. */
    private bases: readonly string[],
    private readonly key: string,
    private readonly level: string | undefined,
  ) {}

  /** Asks all addresses how they are, and takes the one that answers first. @throws CommandFault if none does */
  static async connect(bases: readonly string[], key: string, level: string | undefined): Promise<ApplyClient> {
    const client = new ApplyClient(bases, key, level);
    const answered: string[] = [];
    await Promise.all(bases.map(async (base) => {
      try {
        const { body, statusCode } = await request(`${base}/healthz`, { dispatcher: client.agent, signal: AbortSignal.timeout(PROBE_MS) });
        await body.dump();
        if (statusCode < 500) answered.push(base);
      } catch {
        // It may be back by the time that it is needed.
      }
    }));
    if (answered.length === 0) {
      await client.close();
      throw new CommandFault([`No region answers at ${bases.join(", ")}.`]);
    }
    client.bases = [...answered, ...bases.filter((base) => !answered.includes(base))];
    return client;
  }

  get nearest(): string {
    return this.bases[0] ?? "";
  }

  async close(): Promise<void> {
    await this.agent.close();
  }

  /** The answer of the first region that gives one that counts. @throws CommandFault if none does */
  async call(method: "GET" | "POST" | "PATCH" | "DELETE", path: string, call: ApiCall = {}): Promise<ApiAnswer> {
    const operation = `apply-${Buffer.from(systemRandom.bytes(16)).toString("hex")}`;
    let last: ApiAnswer | undefined;
    const complaints: string[] = [];
    for (const base of this.bases) {
      try {
        last = await this.ask(base, method, path, operation, call);
        if (last.status < 500) {
          this.bases = [base, ...this.bases.filter((other) => other !== base)];
          return last;
        }
        complaints.push(`${base}: ${detailOf(last)}`);
      } catch (error) {
        complaints.push(`${base}: ${error instanceof Error ? error.message : String(error)}`);
      }
    }
    throw new CommandFault([`${method} ${path}: no region took it (${complaints.join("; ")}).`]);
  }

  private async ask(base: string, method: "GET" | "POST" | "PATCH" | "DELETE", path: string, operation: string, { body, ifMatch }: ApiCall): Promise<ApiAnswer> {
    for (let pauses = 0; ; pauses++) {
      const answer = await request(base + path, {
        method, dispatcher: this.agent, signal: AbortSignal.timeout(ANSWER_MS), body: body === undefined ? null : JSON.stringify(body),
        headers: {
          authorization: `Bearer ${this.key}`, ...(body === undefined ? {} : { "content-type": "application/json" }), ...(method === "GET" ? {} : { "idempotency-key": operation }),
          ...(ifMatch === undefined ? {} : { "if-match": ifMatch }), ...(this.token === undefined ? {} : { "session-token": this.token }), ...(this.level === undefined ? {} : { "consistency-level": this.level }),
        },
      });
      const text = await answer.body.text();
      if (answer.statusCode === 429 && pauses < PAUSES_MAX) {
        await pause(1_000 * Number(answer.headers["retry-after"] ?? 1));
        continue;
      }
      const token = answer.headers["session-token"];
      if (typeof token === "string" && answer.statusCode < 400) this.token = token;
      const etag = answer.headers["etag"];
      return { status: answer.statusCode, body: text === "" ? {} : (JSON.parse(text) as { [name: string]: Json }), etag: typeof etag === "string" ? etag : undefined };
    }
  }

  /** Everything that a list holds. @throws CommandFault if it cannot be read */
  async list(path: string): Promise<{ readonly [name: string]: Json }[]> {
    const items: { readonly [name: string]: Json }[] = [];
    for (let cursor = ""; ; ) {
      const answer = await this.call("GET", `${path}?limit=100${cursor}`);
      if (answer.status !== 200) throw new CommandFault([`${path}: ${detailOf(answer)}`]);
      items.push(...(answer.body["data"] as { readonly [name: string]: Json }[]));
      if (typeof answer.body["next_cursor"] !== "string") return items;
      cursor = `&cursor=${encodeURIComponent(answer.body["next_cursor"])}`;
    }
  }
}

/** What a problem document says. */
export function detailOf({ body, status }: ApiAnswer): string {
  const errors = (body["errors"] ?? []) as readonly { readonly pointer: string; readonly message: string }[];
  const places = errors.map(({ pointer, message }) => `${pointer} ${message}`).join("; ");
  return `${status} ${places || String(body["detail"] ?? body["title"] ?? "")}`.trim();
}
