/** Programs of Debian packages that tests run against, each with a folder of its own. Where one is absent, the test says so and is skipped. */
import { spawn } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { environmentOf } from "../../chaos/replica-process.js";

interface Owner {
  teardown(end: () => unknown): void;
}

/** Where a program is; undefined if it is not installed. */
export function findProgram(name: string): string | undefined {
  const folders = [...(process.env["PATH"] ?? "").split(path.delimiter), "/usr/sbin", "/sbin"];
  return folders.map((folder) => path.join(folder, name)).find((file) => {
    try {
      accessSync(file, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** For a test's `skip`. */
export function missing(name: string): string | false {
  return findProgram(name) === undefined ? `there is no ${name}` : false;
}

/** A folder that goes with its test. */
export async function folderFor(owner: Owner): Promise<string> {
  const folder = await mkdtemp(path.join(tmpdir(), "statusmesh-real-part-"));
  owner.teardown(() => rm(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 }));
  return folder;
}

export interface RunningPart {
  /** The latest of what it said. */
  said(): string;
  stop(): Promise<void>;
}

/** Runs a program until the test is over. */
export function runPart(owner: Owner, name: string, args: readonly string[], folder: string): RunningPart {
  const child = spawn(findProgram(name) ?? name, [...args], { cwd: folder, stdio: ["ignore", "pipe", "pipe"], env: environmentOf() });
  const lines: string[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (text: Buffer) => {
      lines.push(text.toString());
      if (lines.length > 200) lines.shift();
    });
  }
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()).once("error", () => resolve()));
  const stop = async (): Promise<void> => {
    child.kill("SIGTERM");
    const last = setTimeout(() => child.kill("SIGKILL"), 5_000);
    await ended;
    clearTimeout(last);
  };
  owner.teardown(stop);
  return { said: () => lines.join(""), stop };
}
