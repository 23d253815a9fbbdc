/** `npm start`: installs and builds what is missing, then runs `statusmesh up` in this process, so that signals reach it. */
import { pathToFileURL } from "node:url";
import path from "node:path";
import { ensureReady, root } from "./ready.mjs";

try {
  ensureReady();
} catch (error) {
  process.stderr.write(`statusmesh: ${error.message}\n`);
  process.exit(1);
}
process.argv = [process.execPath, path.join(root, "bin", "statusmesh.mjs"), "up", ...process.argv.slice(2)];
await import(pathToFileURL(path.join(root, "dist", "cli", "main.js")).href);
