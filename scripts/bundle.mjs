/**
 * `node scripts/bundle.mjs DIST`: makes the program of the compiled modules in DIST, in DIST/program: the command line and the workers, with the packages that
 * they use. A replica of single modules opens 2,300 files at its start, and takes twice the processor time until it listens.
 */
import path from "node:path";
import { build } from "esbuild";

const dist = path.resolve(process.argv[2]);

/** Left where they are: native code, WebAssembly, and a folder of pictures beside the code. */
const EXTERNAL = ["classic-level", "@automerge/automerge", "@fastify/swagger-ui"];

await build({
  entryPoints: { main: "cli/main.js", "folding-worker": "folding-worker.js", "runner-worker": "runner-worker.js" },
  absWorkingDir: dist,
  outdir: path.join(dist, "program"),
  bundle: true,
  splitting: true,
  format: "esm",
  platform: "node",
  target: "node20",
  external: EXTERNAL,
  // Errors and faults are told apart by the names of their classes.
  keepNames: true,
  sourcemap: true,
  sourcesContent: false,
  logLevel: "warning",
  // Packages in CommonJS ask for Node's own modules with it.
  banner: { js: 'import { createRequire as requireOf } from "node:module"; const require = requireOf(import.meta.url);' },
});
