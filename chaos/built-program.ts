/** The compiled program, which the processes of the suite run. */
import { execFile } from "node:child_process";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { checkout } from "./checkout.js";
import { bareNode, environmentOf } from "./replica-process.js";

/**
 * Compiles once if the output is missing or old; those who ask at the same time wait for each other. In a process of its own, since the
 * compiler does not run under the loaders of a test runner.
 */
export function ensureBuilt(): Promise<void> {
  built ??= build();
  return built;
}

let built: Promise<void> | undefined;

async function build(): Promise<void> {
  const ready = pathToFileURL(path.join(checkout, "scripts", "ready.mjs")).href;
  await promisify(execFile)(...bareNode(["--input-type=module", "--eval", `(await import(${JSON.stringify(ready)})).ensureReady()`]), { env: environmentOf() });
}
