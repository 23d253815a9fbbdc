#!/usr/bin/env node
/** The `statusmesh` command. Installs and builds what is missing, then runs in this process (its pid, its signals). */
import { pathToFileURL } from "node:url";
import { ensureReady, program } from "../scripts/ready.mjs";

try {
  if (process.env.STATUSMESH_READY !== "1") ensureReady();
} catch (error) {
  process.stderr.write(`statusmesh: ${error.message}\n`);
  process.exit(1);
}
await import(pathToFileURL(program).href);
