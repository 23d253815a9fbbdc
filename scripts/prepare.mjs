/** Runs after `npm ci`: builds the program, so that `npx statusmesh` works at once. */
import { ensureBuilt, ensureTestRunner } from "./ready.mjs";

try {
  ensureBuilt();
  ensureTestRunner();
} catch (error) {
  process.stderr.write(`statusmesh: ${error.message}\n`);
  process.exitCode = 1;
}
