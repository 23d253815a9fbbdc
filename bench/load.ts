/** The load tool: one for everything that is measured over HTTP, ours and peers alike, in a process of its own. */
import { Child } from "./children.js";
import type { PreparedRequest } from "./http-connection.js";

export interface LoadJob {
  /** Such as `http://127.0.0.1:8081`. */
  readonly base: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent in turn; each connection takes its share of them. */
  readonly requests: readonly PreparedRequest[];
  readonly connections: number;
  /** How long, and at most how many requests; at least one of the two. */
  readonly seconds?: number;
  readonly count?: number;
  /** Set: requests become due at this rate; otherwise each connection sends as fast as it is answered. */
  readonly perSecond?: number;
}

export interface LoadResult {
  readonly seconds: number;
  readonly requests: number;
  /** Answers with 2xx, per second. */
  readonly perSecond: number;
  readonly failures: number;
  readonly statuses: Readonly<Record<string, number>>;
  /** Latencies in ms. */
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

export class LoadTool {
  private constructor(private readonly child: Child) {}

  static async start(): Promise<LoadTool> {
    const child = Child.program("load-worker.ts");
    await child.message();
    return new LoadTool(child);
  }

  /** Runs a job to its end. Rejects if connections fail, or if over 1 % of the answers are no 2xx. */
  async run(job: LoadJob): Promise<LoadResult> {
    this.child.send(job);
    const answer = await this.child.message<{ result: LoadResult } | { error: string }>(180_000);
    if ("error" in answer) throw new Error(`load on ${job.base}: ${answer.error}`);
    const { failures, requests, statuses } = answer.result;
    if (failures > requests / 100) throw new Error(`load on ${job.base}${job.requests[0]?.path ?? ""}: statuses ${JSON.stringify(statuses)}`);
    return answer.result;
  }

  /** Ends the job under way early; its result is that of the time it ran. */
  stop(): void {
    this.child.send({ stop: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.child.stop();
  }
}
