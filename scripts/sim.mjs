/** `npm run sim [-- options]`: installs and builds what is missing, then runs the simulator's command line. */
import { pathToFileURL } from "node:url";
import path from "node:path";
import { ensureReady, root } from "./ready.mjs";

try {
  ensureReady();
} catch (error) {
  process.stderr.write(`statusmesh: ${error.message}\n`);
  process.exit(1);
}
const { runSim } = await import(pathToFileURL(path.join(root, "dist", "cli", "sim.js")).href);
process.exitCode = await runSim(process.argv.slice(2));
