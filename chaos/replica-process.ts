/** One real `statusmesh node` process, and HTTP to it. */
import { spawn, type ChildProcess } from "node:child_process";
import path from "node:path";
import { createInterface } from "node:readline";
import { Agent, request, type Dispatcher } from "undici";
import { checkout } from "./checkout.js";

export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };
export type Level = "LOCAL" | "LOCAL_QUORUM" | "GLOBAL_QUORUM";

export interface CallOptions {
  readonly body?: Json;
  /** Instead of `body`: the bytes as they are. */
  readonly raw?: string;
  readonly level?: Level;
  readonly token?: string;
  readonly sessionWait?: number;
  readonly quorumTimeout?: number;
  readonly ifMatch?: string;
  readonly idempotency?: string;
  /** Another key than the root key; null for none. */
  readonly key?: string | null;
  /** Give "overloaded" back as any other answer, instead of trying again as `Retry-After` says. */
  readonly takesOverload?: boolean;
  /** How long the client waits for the answer, ms. */
  readonly patienceMs?: number;
}

export interface Answered {
  readonly status: number;
  /** The body, or an empty object. */
  readonly body: { [name: string]: Json };
  readonly text: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly etag: string;
  readonly token: string;
}

/** What `/v1/cluster` says, as far as these tests look. */
export interface Cluster {
  readonly replica: string;
  readonly incarnation: number;
  readonly voting: boolean;
  readonly merkle_root: string;
  readonly quarantined: number;
  readonly vector: Readonly<Record<string, number>>;
  readonly degradation: { readonly level: number; readonly reasons: readonly string[] };
  readonly clock: { readonly hlc: string; readonly offset_ms: number };
  readonly peers: readonly {
    readonly replica: string;
    readonly region: string;
    readonly state: "up" | "suspect" | "down";
    readonly rtt_ms: number | null;
    readonly unacknowledged_changes: number;
    readonly oldest_unacknowledged_ms: number;
    readonly vector: Readonly<Record<string, number>>;
    readonly merkle_root: string | null;
    readonly pages: readonly string[] | null;
  readonly in_sync: boolean;
    readonly clock_offset_ms: number | null;
  }[];
}

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export const command = path.join(checkout, "bin", "statusmesh.mjs");
export const ROOT_KEY = "a-root-key-for-process-tests";

/** The environment of a replica: nothing of the caller's own settings. */
export function environmentOf(extra: Readonly<Record<string, string>> = {}): NodeJS.ProcessEnv {
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith("STATUSMESH_") && !name.startsWith("TAP") && name !== "NODE_OPTIONS");
  return { ...Object.fromEntries(inherited), STATUSMESH_READY: "1", STATUSMESH_ROOT_KEY: ROOT_KEY, ...extra };
}

/**
 * Command and arguments of a node process as an operator would start it. The test runner wraps `spawn` to load its own hooks into
 * every child; `env` takes them out again, and becomes the process itself.
 */
export function bareNode(args: readonly string[]): [string, string[]] {
  return ["env", ["-u", "NODE_OPTIONS", process.execPath, ...args]];
}

const LOG_LINES_MAX = 2_000;
const OVERLOADS_MAX = 50;

export class ReplicaProcess {
  /** Base URL, while it listens. */
  http = "";
  meshPort = 0;
  /** Files and sockets that the process may have open, from its next start on. */
  descriptorsMax: number | undefined;
  readonly log: { [name: string]: unknown }[] = [];
  stderr = "";
  exit: Promise<Exit> = Promise.resolve({ code: 0, signal: null });
  private child: ChildProcess | undefined;
  private readonly agent = new Agent({ connections: 64, pipelining: 1, connect: { timeout: 5_000 } });

  constructor(
    readonly id: string,
    readonly region: string,
    readonly configFile: string,
    readonly data: string,
    /** What the next start is given. */
    public environment: Readonly<Record<string, string>>,
  ) {}

  get pid(): number {
    return this.child?.pid ?? 0;
  }

  get runs(): boolean {
    return this.child !== undefined;
  }

  /** Starts the process; resolves when it listens, rejects with what it said if it ends instead. */
  async start(...args: readonly string[]): Promise<void> {
    await this.startWithin(90_000, ...args);
  }

  /** The same, with a deadline of its own. */
  async startWithin(deadlineMs: number, ...args: readonly string[]): Promise<void> {
    if (this.child !== undefined) throw new Error(`${this.id} runs already`);
    const exit = this.spawn(args);
    const failed = exit.then(({ code, signal }) => {
      throw new Error(`${this.id} ended before it listened (${code ?? signal}): ${this.stderr.trim()}`);
    });
    await Promise.race([this.listening, failed, deadline(deadlineMs, `${this.id} listens`)]);
    failed.catch(() => undefined);
  }

  /** Starts the process where it is expected to end by itself, and says how. */
  async run(...args: readonly string[]): Promise<Exit> {
    this.stderr = "";
    return await Promise.race([this.spawn(args), deadline(15_000, `${this.id} ends`)]);
  }

  private listening: Promise<void> = Promise.resolve();

  private spawn(args: readonly string[]): Promise<Exit> {
    // The channel tells the replica when this process is gone.
    const [program, words] = bareNode([command, "node", "--config", this.configFile, ...args]);
    const limited: [string, string[]] = this.descriptorsMax === undefined ? [program, words] : ["sh", ["-c", `ulimit -n ${this.descriptorsMax} && exec "$@"`, "sh", program, ...words]];
    const child = spawn(...limited, {
      stdio: ["ignore", "pipe", "pipe", "ipc"],
      env: environmentOf(this.environment),
    });
    this.child = child;
    this.stderr = "";
    child.stderr?.on("data", (bytes: Buffer) => {
      this.stderr += bytes.toString();
    });
    this.exit = new Promise((resolve) => {
      child.once("exit", (code, signal) => {
        if (this.child === child) this.child = undefined;
        resolve({ code, signal });
      });
    });
    this.listening = new Promise((resolve) => {
      if (child.stdout === null) return;
      createInterface({ input: child.stdout }).on("line", (line) => {
        const entry = entryOf(line);
        this.log.push(entry);
        if (this.log.length > LOG_LINES_MAX) this.log.shift();
        if (entry["event"] !== "listening") return;
        this.http = `http://${String(entry["http"])}`;
        this.meshPort = Number(String(entry["mesh"]).split(":").at(-1));
        resolve();
      });
    });
    return this.exit;
  }

  /** Sends a signal by pid. */
  signal(name: NodeJS.Signals): void {
    this.child?.kill(name);
  }

  async kill(): Promise<void> {
    this.signal("SIGKILL");
    await this.exit;
  }

  /** Ends it in order; says how it ended, and after how many ms. */
  async stop(): Promise<Exit & { readonly ms: number }> {
    const startedAt = performance.now();
    this.signal("SIGTERM");
    const exit = await Promise.race([this.exit, deadline(15_000, `${this.id} stops`)]);
    return { ...exit, ms: performance.now() - startedAt };
  }

  /** True if a log line since `from` matches. */
  logged(pattern: RegExp, from = 0): boolean {
    return this.log.slice(from).some((entry) => pattern.test(JSON.stringify(entry)));
  }

  /** Rejects only if no answer came. A machine that is busy with other tests may be overloaded for a moment. */
  async call(method: Dispatcher.HttpMethod, route: string, options: CallOptions = {}): Promise<Answered> {
    for (let attempt = 1; ; attempt++) {
      const answer = await this.callOnce(method, route, options);
      if (options.takesOverload === true || attempt === OVERLOADS_MAX || answer.body["type"] !== "/problems/overloaded") return answer;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }

  private async callOnce(method: Dispatcher.HttpMethod, route: string, options: CallOptions): Promise<Answered> {
    const key = options.key === undefined ? ROOT_KEY : options.key;
    const headers: Record<string, string> = {};
    if (key !== null) headers["authorization"] = `Bearer ${key}`;
    if (options.level !== undefined) headers["consistency-level"] = options.level;
    if (options.token !== undefined) headers["session-token"] = options.token;
    if (options.sessionWait !== undefined) headers["session-wait"] = String(options.sessionWait);
    if (options.quorumTimeout !== undefined) headers["quorum-timeout"] = String(options.quorumTimeout);
    if (options.ifMatch !== undefined) headers["if-match"] = options.ifMatch;
    if (options.idempotency !== undefined) headers["idempotency-key"] = options.idempotency;
    const body = options.raw ?? (options.body === undefined ? undefined : JSON.stringify(options.body));
    if (body !== undefined) headers["content-type"] = "application/json";
    const patienceMs = options.patienceMs ?? 20_000;
    const answer = await request(`${this.http}${route}`, {
      method, headers, dispatcher: this.agent, headersTimeout: patienceMs, bodyTimeout: patienceMs, ...(body === undefined ? {} : { body }),
    });
    const text = await answer.body.text();
    const received = Object.fromEntries(Object.entries(answer.headers).map(([name, value]) => [name, String(value)]));
    return { status: answer.statusCode, body: objectOf(text), text, headers: received, etag: received["etag"] ?? "", token: received["session-token"] ?? "" };
  }

  get = (route: string, options?: CallOptions) => this.call("GET", route, options);
  post = (route: string, body: Json, options?: CallOptions) => this.call("POST", route, { ...options, body });
  patch = (route: string, body: Json, options?: CallOptions) => this.call("PATCH", route, { ...options, body });
  put = (route: string, body: Json, options?: CallOptions) => this.call("PUT", route, { ...options, body });
  delete = (route: string, options?: CallOptions) => this.call("DELETE", route, options);

  async cluster(): Promise<Cluster> {
    const { status, body, text } = await this.get("/v1/cluster");
    if (status !== 200) throw new Error(`/v1/cluster of ${this.id}: ${status} ${text}`);
    return body as unknown as Cluster;
  }

  /** The value of a metric without labels, or with exactly these. */
  async metric(name: string): Promise<number | undefined> {
    const { text } = await this.get("/metrics", { key: null });
    const line = text.split("\n").find((one) => one.startsWith(`${name} `));
    return line === undefined ? undefined : Number(line.slice(name.length + 1));
  }

  async dispose(): Promise<void> {
    await this.kill();
    await this.agent.destroy();
  }
}

export function deadline(ms: number, what: string): Promise<never> {
  return new Promise((_resolve, reject) => setTimeout(() => reject(new Error(`not within ${ms} ms: ${what}`)), ms).unref());
}

function entryOf(line: string): { [name: string]: unknown } {
  try {
    const parsed: unknown = JSON.parse(line);
    if (typeof parsed === "object" && parsed !== null) return parsed as { [name: string]: unknown };
  } catch {
    // Not one of the replica's own lines.
  }
  return { text: line };
}

function objectOf(text: string): { [name: string]: Json } {
  try {
    const parsed: unknown = JSON.parse(text);
    if (typeof parsed === "object" && parsed !== null && !Array.isArray(parsed)) return parsed as { [name: string]: Json };
  } catch {
    // Not JSON: see `text`.
  }
  return {};
}
