/**
 * `npm test [-- files or globs] [--jobs=N] [--timeout=S] [--measure]`: installs and builds what is missing, runs each test file as a process, several at once,
 * prints a line a file and whatever failed, and ends with the counts. A test is a top-level `test(…)` of a file; a file that failed in
 * no test of its own counts as one failure.
 *
 * Files run compiled, and are started here rather than by tap's own runner: its loaders, which every file would start with, cost more
 * processor time than most tests, and it knows no order. `test/durations.json` says how long the longest files take and how many cores they
 * keep busy, so that long files start first, and files that mostly wait run beside those that compute. It needs to be about right only;
 * `--measure` writes it anew from a run of everything.
 */
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import path from "node:path";
import { ensureReady, ensureTestRunner, ensureTestsBuilt, root, testOutput } from "./ready.mjs";

/** Everything of a file, its teardowns included; tap says what still runs, and ends the file. `--timeout=S`: for runs that were asked to take longer. */
let timeoutS = 900;
const GRACE_MS = 30_000;
/** Even if all of them mostly wait: what several do at the same moment must not take long. */
const JOBS_MAX = 2 * availableParallelism();
/** A little more than there are, since no file keeps its cores busy all the time. */
const CORES = 1.25 * availableParallelism();
/** Of a file that is not in the list. */
const SHORT = { seconds: 5, cores: 1 };

const list = path.join(root, "test", "durations.json");
const durations = JSON.parse(readFileSync(list, "utf8"));
const running = new Set();
const measured = {};
const counts = { passed: 0, failed: 0, skipped: 0 };

let stopped = false;
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
  process.on(signal, () => {
    stopped = true;
    for (const { child } of running) child.kill("SIGTERM");
  });
}

let files;
let jobs = JOBS_MAX;
let usage;
try {
  const options = process.argv.slice(2).filter((word) => word.startsWith("-"));
  for (const option of options) {
    if (option === "--measure") {
      usage = mkdtempSync(path.join(tmpdir(), "statusmesh-usage-"));
      process.on("exit", () => rmSync(usage, { recursive: true, force: true }));
      continue;
    }
    const [, name, number] = /^--(jobs|timeout)=([1-9]\d*)$/.exec(option) ?? [];
    if (name === undefined) throw new Error(`${option} is not known: give test files or globs, --jobs=N for N at once at most, --timeout=S for S seconds a file, --measure for test/durations.json.`);
    if (name === "jobs") jobs = Number(number);
    else timeoutS = Number(number);
  }
  files = chosen(process.argv.slice(2).filter((word) => !word.startsWith("-")));
  ensureReady();
  ensureTestRunner();
  ensureTestsBuilt();
} catch (error) {
  process.stderr.write(`statusmesh: ${error.message}\n`);
  process.stdout.write("0 passed, 1 failed\n");
  process.exit(1);
}

await new Promise((resolve) => {
  const waiting = files.map((name) => ({ name, ...SHORT, ...durations[name] }))
    // Any two go together: files that keep several cores busy would be left to the end, and run one by one.
    .map((file) => ({ ...file, cores: Math.min(file.cores, CORES / 2) })).sort((a, b) => b.seconds - a.seconds);
  const next = () => {
    while (!stopped) {
      const busy = [...running].reduce((sum, { cores }) => sum + cores, 0);
      const at = running.size === 0 ? 0 : waiting.findIndex(({ cores }) => busy + cores <= CORES);
      if (at === -1 || waiting.length === 0 || running.size >= jobs) break;
      const [file] = waiting.splice(at, 1);
      run(file, next);
    }
    if (running.size === 0) resolve();
  };
  next();
});
if (usage !== undefined && !stopped) {
  const lines = Object.entries(measured).sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, took]) => `  ${JSON.stringify(name)}: ${JSON.stringify(took)}`);
  writeFileSync(list, `{\n${lines.join(",\n")}\n}\n`);
}
const skipped = counts.skipped > 0 ? `, ${counts.skipped} skipped` : "";
process.stdout.write(`${counts.passed} passed, ${counts.failed} failed${skipped}\n`);
process.exitCode = counts.failed > 0 || stopped ? 1 : 0;

/** Names of test files, as they are in the checkout. Throws if a pattern fits none. */
function chosen(patterns) {
  const all = readdirSync(path.join(root, "test"), { recursive: true }).map((name) => `test/${name.split(path.sep).join("/")}`).filter((name) => name.endsWith(".test.ts")).sort();
  if (patterns.length === 0) return all;
  const found = new Set();
  for (const pattern of patterns) {
    const relative = path.relative(root, path.resolve(pattern)).split(path.sep).join("/");
    const fits = new RegExp(`^${relative.replace(/[.+^$()|[\]\\]/g, "\\$&").replace(/\*\*\/?|\*|\?|\{|,|\}/g, (sign) => ({ "**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]", "{": "(?:", ",": "|", "}": ")" })[sign])}(?:/.*)?$`);
    const matching = all.filter((name) => fits.test(name));
    if (matching.length === 0) throw new Error(`No test file fits ${pattern}.`);
    for (const name of matching) found.add(name);
  }
  return [...found];
}

function run(file, done) {
  const compiled = path.join(testOutput, file.name.replace(/\.ts$/, ".js"));
  const startedAt = performance.now();
  const told = usage === undefined ? undefined : path.join(usage, file.name.replaceAll("/", "-"));
  const measure = told === undefined ? [] : ["--import", path.join(root, "scripts", "test-usage.mjs")];
  const env = { ...process.env, TAP: "1", TAP_TIMEOUT: String(timeoutS), ...(told === undefined ? {} : { STATUSMESH_TEST_USAGE: told }) };
  const child = spawn(process.execPath, ["--enable-source-maps", ...measure, compiled], { cwd: root, stdio: ["ignore", "pipe", "inherit"], env });
  const one = { ...file, child };
  running.add(one);
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (text) => (output += text));
  const overdue = setTimeout(() => child.kill("SIGKILL"), timeoutS * 1_000 + GRACE_MS);
  child.on("error", (error) => (output += `${error.message}\n`));
  child.on("close", (code, signal) => {
    clearTimeout(overdue);
    running.delete(one);
    const seconds = (performance.now() - startedAt) / 1_000;
    settle(file.name, output, code, signal, seconds.toFixed(1));
    if (seconds > SHORT.seconds && told !== undefined && existsSync(told)) {
      measured[file.name] = { seconds: Math.round(seconds), cores: Math.min(availableParallelism(), Number((Number(readFileSync(told, "utf8")) / 1_000 / seconds).toFixed(1))) };
    }
    done();
  });
}

/** Counts and prints a file that has ended. */
function settle(name, output, code, signal, seconds) {
  const outcome = { passed: 0, failed: 0, skipped: 0 };
  let tests = 0;
  let plan;
  for (const line of output.split("\n")) {
    const [, number, reason] = /^1\.\.(\d+)(?: *# *(.*))?$/.exec(line) ?? [];
    if (number !== undefined) plan = { tests: Number(number), reason };
    const [, not, text] = /^(not )?ok\b(.*)$/.exec(line) ?? [];
    if (text === undefined) continue;
    tests += 1;
    if (/# (skip|todo)\b/i.test(text)) outcome.skipped += 1;
    else if (not === undefined) outcome.passed += 1;
    else outcome.failed += 1;
  }
  const isWhole = code === 0 && plan?.tests === tests;
  if (!isWhole && outcome.failed === 0) outcome.failed = 1;
  // A file without a test says why, or is broken.
  if (isWhole && tests === 0) outcome[plan.reason === undefined || /no tests found/.test(plan.reason) ? "failed" : "skipped"] = 1;
  process.stdout.write(`${outcome.failed === 0 ? "ok    " : "FAILED"} ${name} # time=${seconds}s (${outcome.passed} passed, ${outcome.failed} failed)\n`);
  if (outcome.failed > 0 && !stopped) process.stdout.write(`${output.trimEnd()}\n${isWhole ? "" : `ended with ${signal ?? `exit code ${code}`}, ${tests} of ${plan?.tests ?? "an unknown number of"} tests\n`}`);
  for (const key of Object.keys(counts)) counts[key] += outcome[key];
}
