/**
 * `npm test [-- files]`: installs and builds what is missing, runs the tests, prints a line a file and whatever failed, and ends
 * with the counts. A test is a top-level `test(…)` of a file; a file that failed in no test of its own counts as one failure.
 */
import { spawn } from "node:child_process";
import path from "node:path";
import { createInterface } from "node:readline";
import { ensureReady, ensureTestRunner, root } from "./ready.mjs";

try {
  ensureReady();
  ensureTestRunner();
} catch (error) {
  process.stderr.write(`statusmesh: ${error.message}\n`);
  process.stdout.write("0 passed, 1 failed\n");
  process.exit(1);
}

const counts = { passed: 0, failed: 0, skipped: 0 };
let file = { passed: 0, failed: 0, skipped: 0, lines: [], verdict: undefined };

const runner = path.join(root, "node_modules", "tap", "dist", "esm", "run.mjs");
const args = [runner, "--reporter=tap", ...process.argv.slice(2)];
const child = spawn(process.execPath, args, { cwd: root, stdio: ["ignore", "pipe", "inherit"] });
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => child.kill(signal));
const closed = new Promise((resolve) => child.on("close", (code, signal) => resolve(signal === null ? code : 1)));

for await (const line of createInterface({ input: child.stdout })) {
  file.lines.push(line);
  const outcome = /^( *)(not )?ok\b(.*)$/.exec(line);
  if (outcome !== null && outcome[1] === "    ") {
    if (/# (skip|todo)\b/i.test(outcome[3])) file.skipped += 1;
    else if (outcome[2] === undefined) file.passed += 1;
    else file.failed += 1;
  } else if (outcome !== null && outcome[1] === "") {
    file.verdict = { ok: outcome[2] === undefined, text: outcome[3], skipped: /# skip\b/i.test(outcome[3]) };
    if (!line.endsWith("{")) settle();
  } else if (line === "}") settle();
}

/** Prints and counts the file that has just ended. */
function settle() {
  const { verdict, lines } = file;
  if (verdict === undefined) return;
  if (!verdict.ok && file.failed === 0) file.failed = 1;
  if (verdict.skipped && file.passed + file.failed + file.skipped === 0) file.skipped = 1;
  const name = verdict.text.replace(/^ *\d+ - /, "").replace(/ *\{$/, "");
  process.stdout.write(`${verdict.ok ? "ok    " : "FAILED"} ${name} (${file.passed} passed, ${file.failed} failed)\n`);
  if (!verdict.ok) process.stdout.write(`${lines.join("\n")}\n`);
  for (const key of Object.keys(counts)) counts[key] += file[key];
  file = { passed: 0, failed: 0, skipped: 0, lines: [], verdict: undefined };
}

const code = await closed;
settle();
// What follows the last file is tap's own summary, or the diagnosis of a file that failed.
if (code !== 0) process.stdout.write(`${file.lines.join("\n")}\n`);
if (code !== 0 && counts.failed === 0) counts.failed = 1;
if (code === 0 && counts.passed + counts.failed === 0) counts.failed = 1;
const skipped = counts.skipped > 0 ? `, ${counts.skipped} skipped` : "";
process.stdout.write(`${counts.passed} passed, ${counts.failed} failed${skipped}\n`);
process.exitCode = counts.failed > 0 ? 1 : 0;
