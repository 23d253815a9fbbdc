/** `npm start`: installs and builds what is missing, then runs `statusmesh up` in this process, so that signals reach it. */
import { pathToFileURL } from "node:url";
import path from "node:path";
import { ensureReady, program, root } from "./ready.mjs";

try {
  ensureReady();
} catch (error) {
  process.stderr.write(`statusmesh: ${error.message}\n`);
  process.exit(1);
}
// npm's script says `exec`, so that npm's child is this process and npm's signals reach it. If npm is killed outright, no signal
// comes: then the loss of the parent must do.
if (process.env.npm_lifecycle_event === "start") {
  const parent = process.ppid;
  const watch = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(watch);
    process.kill(process.pid, "SIGTERM");
  }, 250);
  watch.unref();
}
process.argv = [process.execPath, path.join(root, "bin", "statusmesh.mjs"), "up", ...process.argv.slice(2)];
await import(pathToFileURL(program).href);
