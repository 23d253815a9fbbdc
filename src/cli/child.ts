/** One replica as a child process: started, listened to, restarted when it dies, stopped. */
import { spawn, type ChildProcess } from "node:child_process";
import { createWriteStream, existsSync, mkdirSync, renameSync, type WriteStream } from "node:fs";
import path from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import type { Config, Environment } from "../config.js";
import type { Timer } from "../core/ports.js";
import { systemClock, systemTimers } from "../io/system-clock.js";
import { complain, EXIT_CONFIG } from "./terminal.js";

const RESTART_MIN_MS = 500;
const RESTART_MAX_MS = 10_000;
/** A replica that ran this long starts its backoff anew. */
const STEADY_MS = 30_000;
const STOP_MS = 10_000;
const LOG_BYTES_MAX = 64 * 1024 * 1024;
const QUIET_LEVELS: readonly unknown[] = ["trace", "debug", "info"];

export interface ChildOptions {
  readonly file: string;
  readonly config: Config;
  readonly environment: Environment;
  readonly rootKey: string | undefined;
  readonly logFolder: string;
}

export class Child {
  /** Resolves when it has listened for the first time. */
  readonly listening: Promise<void>;
  /** Base URL, once it listens. */
  http: string | undefined;
  /** False if it had to be killed, or ended with a fault. */
  endedWell = true;
  private child: ChildProcess | undefined;
  private ended: Promise<void> = Promise.resolve();
  private restart: Timer | undefined;
  private delayMs = RESTART_MIN_MS;
  private stopping = false;
  private log: WriteStream | undefined;
  private logBytes = 0;
  private resolveListening: () => void = () => undefined;

  constructor(private readonly options: ChildOptions) {
    this.listening = new Promise((resolve) => {
      this.resolveListening = resolve;
    });
  }

  /** `onLost` hears why it cannot run at all: it ended before it had ever listened, or its configuration is wrong. */
  start(onLost: (sentence: string) => void): void {
    const { file, config, environment, rootKey } = this.options;
    const startedAt = systemClock.monotonic();
    const entry = process.argv[1] ?? "";
    const child = spawn(process.execPath, [...process.execArgv, entry, "node", "--config", file, "--data", config.data], {
      // The channel tells the child when this process is gone.
      stdio: ["ignore", "pipe", "pipe", "ipc"],
      env: { ...environment, STATUSMESH_READY: "1", ...(rootKey === undefined ? {} : { STATUSMESH_ROOT_KEY: rootKey }) },
    });
    this.child = child;
    if (child.stdout !== null) this.follow(child.stdout, (line) => this.heard(line));
    if (child.stderr !== null) this.follow(child.stderr, (line) => complain(`[${config.replica}] ${line.replace(/^statusmesh: /, "")}`));
    this.ended = new Promise((resolve) => {
      child.once("error", (error) => complain(`[${config.replica}] could not be started: ${error.message}`));
      child.once("close", (code, signal) => {
        resolve();
        this.child = undefined;
        if (this.stopping) this.endedWell &&= code === 0;
        else this.lost(code, signal, systemClock.monotonic() - startedAt, onLost);
      });
    });
  }

  /** False if it does not run just now. */
  signal(name: "SIGKILL" | "SIGSTOP" | "SIGCONT"): boolean {
    return this.child?.kill(name) ?? false;
  }

  /** SIGTERM, and SIGKILL after 10 s. */
  async stop(): Promise<void> {
    this.stopping = true;
    this.restart?.cancel();
    const { child } = this;
    if (child !== undefined) {
      child.kill("SIGTERM");
      // One that was paused hears nothing else.
      child.kill("SIGCONT");
      const deadline = systemTimers.after(STOP_MS, () => child.kill("SIGKILL"));
      await this.ended;
      deadline.cancel();
    }
    const { log } = this;
    if (log !== undefined) await new Promise<void>((resolve) => log.end(() => resolve()));
  }

  private lost(code: number | null, signal: string | null, ranMs: number, onLost: (sentence: string) => void): void {
    const { replica } = this.options.config;
    const how = signal === null ? `exit code ${code ?? "?"}` : `signal ${signal}`;
    if (this.http === undefined || code === EXIT_CONFIG) {
      this.endedWell = false;
      onLost(`${replica} ended with ${how}${this.http === undefined ? " before it listened" : ""}.`);
      return;
    }
    if (ranMs > STEADY_MS) this.delayMs = RESTART_MIN_MS;
    complain(`statusmesh: ${replica} ended with ${how}; it is started again in ${this.delayMs / 1_000} s.`);
    // What waits for the next start must keep this process alive, which the children that are left do.
    this.restart = systemTimers.after(this.delayMs, () => this.start(onLost));
    this.delayMs = Math.min(this.delayMs * 2, RESTART_MAX_MS);
  }

  private follow(stream: Readable, hear: (line: string) => void): void {
    createInterface({ input: stream, crlfDelay: Number.POSITIVE_INFINITY }).on("line", hear);
  }

  /** A line of the log: kept in a file; warnings and worse are shown. */
  private heard(line: string): void {
    this.keep(line);
    if (!line.startsWith("{")) return;
    let entry: Record<string, unknown>;
    try {
      entry = JSON.parse(line) as Record<string, unknown>;
    } catch {
      return;
    }
    if (entry["event"] === "listening" && typeof entry["http"] === "string") {
      this.http = `http://${entry["http"]}`;
      this.resolveListening();
    } else if (!QUIET_LEVELS.includes(entry["level"]) && !this.stopping) {
      complain(`[${this.options.config.replica}] ${String(entry["msg"] ?? entry["event"] ?? line)}`);
    }
  }

  private keep(line: string): void {
    if (this.log === undefined || this.logBytes > LOG_BYTES_MAX) {
      this.log?.end();
      const file = path.join(this.options.logFolder, `${this.options.config.replica}.log`);
      mkdirSync(this.options.logFolder, { recursive: true });
      if (existsSync(file)) renameSync(file, `${file}.1`);
      this.log = createWriteStream(file, { mode: 0o600 });
      // A full disk must stop the writing of logs, not this process.
      this.log.on("error", () => undefined);
      this.logBytes = 0;
    }
    this.logBytes += line.length + 1;
    this.log.write(`${line}\n`);
  }
}
