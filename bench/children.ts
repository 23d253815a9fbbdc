/** Processes and folders that a bench starts: they end with it, however it ends. */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";

const living = new Set<ChildProcess>();
const folders = new Set<string>();
const OUTPUT_KEPT = 64 * 1024;
const STOP_MS = 12_000;

process.on("exit", () => {
  for (const child of living) child.kill("SIGKILL");
  for (const folder of folders) rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
});
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, () => process.exit(130));

/** A folder of this run, removed at the end of the process at the latest. */
export class TemporaryFolder {
  readonly path = mkdtempSync(path.join(tmpdir(), "statusmesh-bench-"));

  constructor() {
    folders.add(this.path);
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true, maxRetries: 5 });
    folders.delete(this.path);
  }
}

/** A child process whose output can be waited for. Its channel to us ends it when we are gone, if it listens to that. */
export class Child {
  /** The end of what it said on stdout. */
  stdout = "";
  private stderr = "";
  private readonly waiting = new Set<() => void>();
  readonly ended: Promise<void>;

  private constructor(readonly process: ChildProcess, private readonly name: string) {
    living.add(process);
    process.stdout?.on("data", (chunk: Buffer) => {
      this.stdout = (this.stdout + chunk.toString()).slice(-OUTPUT_KEPT);
      this.wake();
    });
    process.stderr?.on("data", (chunk: Buffer) => {
      this.stderr = (this.stderr + chunk.toString()).slice(-OUTPUT_KEPT);
    });
    this.ended = once(process, "close").then(() => {
      living.delete(process);
      this.wake();
    }, () => {
      living.delete(process);
      this.wake();
    });
  }

  static spawn(name: string, command: string, args: readonly string[], options: { readonly cwd?: string; readonly env?: NodeJS.ProcessEnv; readonly channel?: boolean } = {}): Child {
    const { channel = false, ...rest } = options;
    return new Child(spawn(command, args, { ...rest, stdio: ["ignore", "pipe", "pipe", ...(channel ? ["ipc" as const] : [])] }), name);
  }

  /** A TypeScript program of this folder, with a channel. */
  static program(file: string, args: readonly string[] = []): Child {
    return Child.spawn(file, process.execPath, ["--import", import.meta.resolve("tsx"), path.join(import.meta.dirname, file), ...args], { channel: true });
  }

  get pid(): number {
    if (this.process.pid === undefined) throw new Error(`${this.name} did not start`);
    return this.process.pid;
  }

  get running(): boolean {
    return this.process.exitCode === null && this.process.signalCode === null;
  }

  /** Resolves when stdout matches. */
  async says(pattern: RegExp, withinMs = 60_000): Promise<RegExpExecArray> {
    const until = performance.now() + withinMs;
    for (;;) {
      const match = pattern.exec(this.stdout);
      if (match !== null) return match;
      const left = until - performance.now();
      if (left <= 0 || !this.running) throw new Error(`${this.name} never said ${pattern}: ${this.stdout.slice(-1_500)} ${this.stderr.slice(-1_500)}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.waiting.add(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
  }

  /** The next message of its channel. */
  async message<T>(withinMs = 120_000): Promise<T> {
    const [message] = (await Promise.race([
      once(this.process, "message", { signal: AbortSignal.timeout(withinMs) }),
      this.ended.then(() => Promise.reject(new Error(`${this.name} ended: ${this.stderr.slice(-1_500)}`))),
    ])) as [T];
    return message;
  }

  send(message: object): void {
    this.process.send?.(message);
  }

  /** Asks it to end; insists after a while. */
  async stop(): Promise<void> {
    if (this.running) this.process.kill("SIGTERM");
    const insist = setTimeout(() => this.process.kill("SIGKILL"), STOP_MS);
    await this.ended;
    clearTimeout(insist);
  }

  private wake(): void {
    for (const wake of this.waiting) wake();
    this.waiting.clear();
  }
}

/** Looks every `everyMs` until `condition` holds; gives the ms that it took. */
export async function until(what: string, condition: () => Promise<boolean>, withinMs = 60_000, everyMs = 10): Promise<number> {
  const started = performance.now();
  while (!(await condition())) {
    if (performance.now() - started > withinMs) throw new Error(`in ${withinMs} ms it did not come to pass that ${what}`);
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
  return performance.now() - started;
}
