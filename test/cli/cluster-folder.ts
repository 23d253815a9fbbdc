/** Runs the command line, built from the sources at hand, on ports and folders of a test's own. */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { ensureBuilt } from "../../chaos/built-program.js";
import { freePorts } from "../../chaos/free-ports.js";
import { bareNode, command } from "../../chaos/replica-process.js";

await ensureBuilt();

const living = new Set<ChildProcess>();
process.on("exit", () => {
  for (const child of living) child.kill("SIGTERM");
});
for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) process.once(signal, () => process.exit(1));

export class Running {
  stdout = "";
  stderr = "";
  private readonly waiting = new Set<() => void>();
  readonly ended: Promise<number | string>;

  constructor(readonly child: ChildProcess) {
    living.add(child);
    child.stdout?.on("data", (chunk: Buffer) => this.heard(() => (this.stdout += chunk.toString())));
    child.stderr?.on("data", (chunk: Buffer) => this.heard(() => (this.stderr += chunk.toString())));
    this.ended = once(child, "close").then(([code, signal]) => (signal ?? code) as number | string);
    void this.ended.then(() => living.delete(child));
    void this.ended.then(() => this.heard(() => undefined));
  }

  /** Resolves when `stdout` (or `stderr`) matches; rejects after `withinMs`, or when the process has ended. */
  async says(pattern: RegExp, stream: "stdout" | "stderr" = "stdout", withinMs = 60_000): Promise<RegExpExecArray> {
    const deadline = AbortSignal.timeout(withinMs);
    for (;;) {
      const match = pattern.exec(this[stream]);
      if (match !== null) return match;
      if (deadline.aborted || this.child.exitCode !== null || this.child.signalCode !== null) throw new Error(`never said ${pattern}; stdout: ${this.stdout}; stderr: ${this.stderr}`);
      await new Promise<void>((resolve) => {
        this.waiting.add(resolve);
        deadline.addEventListener("abort", () => resolve(), { once: true });
      });
    }
  }

  private heard(take: () => unknown): void {
    take();
    for (const wake of this.waiting) wake();
    this.waiting.clear();
  }
}

/** `environment` is added to that of the test, from which every `STATUSMESH_*` is taken out. */
export function statusmesh(args: readonly string[], cwd: string, environment: Readonly<Record<string, string>> = {}): Running {
  const clean = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("STATUSMESH_")));
  return new Running(spawn(...bareNode([command, ...args]), { cwd, env: { ...clean, STATUSMESH_READY: "1", ...environment }, stdio: ["ignore", "pipe", "pipe"] }));
}

/** A folder of the test's own with region files of `count` regions; removed at the end. */
export async function clusterFolder(t: { teardown(end: () => Promise<void>): void }, count: number, extra: Readonly<Record<string, unknown>> = {}): Promise<{ folder: string; files: readonly string[] }> {
  const folder = await mkdtemp(path.join(tmpdir(), "statusmesh-cli-"));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const ports = await freePorts(2 * count);
  const replicas = Array.from({ length: count }, (_, i) => ({ id: `r${i}-1`, region: `r${i}`, http: `127.0.0.1:${ports[2 * i]}`, mesh: `127.0.0.1:${ports[2 * i + 1]}` }));
  const files: string[] = [];
  for (const { id, region, http, mesh } of replicas) {
    const others = replicas.filter((other) => other.id !== id);
    const peers = Object.fromEntries(others.map((other) => [other.id, { region: other.region, mesh: other.mesh, http: `http://${other.http}` }]));
    const file = path.join(folder, `${region}.json`);
    await writeFile(file, JSON.stringify({ replica: id, region, role: "region", http, mesh, data: path.join(folder, "data", id), peers, clusterId: "cli-test", ...extra }));
    files.push(file);
  }
  return { folder, files };
}
