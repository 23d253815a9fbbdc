/**
 * Makes a checkout runnable: installs packages when they are missing or older than the lock file, and compiles when the
 * output is missing or older than the sources. Plain Node, since nothing else may be there yet. Says what it does on stderr.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, lstatSync, readdirSync, readFileSync, renameSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

export const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));

const packages = path.join(root, "node_modules");
const lockFile = path.join(root, "package-lock.json");
const installStamp = path.join(packages, ".statusmesh-installed");
const output = path.join(root, "dist");
/** What the commands start. */
export const program = path.join(output, "program", "main.js");
/** Where the tests run, compiled: with links to all else that a checkout holds, so that what they name by its place is found from there, too. */
export const testOutput = path.join(root, "dist.test");
const testSources = ["src", "test", "bench", "chaos"];
const waitMaxMs = 300_000;

/** Installs and builds what is missing. Throws with a sentence if that fails. */
export function ensureReady() {
  withLock(() => {
    ensureInstalled();
    ensureBuilt();
  });
}

function ensureInstalled() {
  if (!existsSync(lockFile)) return;
  const wanted = createHash("sha256").update(readFileSync(lockFile)).digest("hex");
  if (readText(installStamp) === wanted) return;
  const installed = path.join(packages, ".package-lock.json");
  const upToDate = existsSync(installed) && statSync(installed).mtimeMs >= statSync(lockFile).mtimeMs;
  if (!upToDate) {
    // `npm ci` would empty the folder that it leads to, which another checkout may be using.
    if (lstatSync(packages, { throwIfNoEntry: false })?.isSymbolicLink()) throw new Error("node_modules is a link, and what it leads to does not fit package-lock.json: install there, or remove the link.");
    say("installing packages");
    const options = ["--no-audit", "--no-fund", "--ignore-scripts"];
    try {
      run(npm(), ["ci", ...options], "npm ci");
    } catch (error) {
      // `npm ci` is strict about packages for other platforms, which not every registry has.
      say(`${error.message} Trying npm install`);
      run(npm(), ["install", "--no-save", ...options], "npm install");
    }
  }
  writeFileSync(installStamp, wanted);
}

/** Compiles `src` into `dist`, and makes the program of it, which is what `bin/statusmesh.mjs` starts. */
export function ensureBuilt() {
  if (!existsSync(path.join(root, "src"))) return;
  const bundler = path.join(root, "scripts", "bundle.mjs");
  build("building", output, ["src", "tsconfig.json", "package.json", "package-lock.json", "scripts/bundle.mjs"], ["-p", root], (fresh) => run(process.execPath, [bundler, fresh], "esbuild"));
}

/** Compiles tests, and what they test, into `dist.test`: each test file is a process, and would compile all that it loads. Types are another check's. */
export function ensureTestsBuilt() {
  withLock(() => {
    const project = path.join(root, "tsconfig.test.json");
    build("building the tests", testOutput, [...testSources, "tsconfig.json", "tsconfig.test.json", "package.json"], ["-p", project, "--noEmit", "false", "--noCheck"], (fresh) => {
      for (const name of readdirSync(root)) {
        if (!testSources.includes(name) && !/^(?:node_modules|data|scratch|\.git|\.tap|dist\..*|\.statusmesh-lock)$/.test(name)) symlinkSync(path.join("..", name), path.join(fresh, name));
      }
    });
  });
}

/** Compiles beside the old output, which is replaced only by a whole one, and only if a source has changed. */
function build(title, to, sources, args, finish = () => {}) {
  const stamp = path.join(to, ".fingerprint");
  const fingerprint = fingerprintOf(sources);
  if (readText(stamp) === fingerprint) return;
  const compiler = path.join(packages, "typescript", "bin", "tsc");
  if (!existsSync(compiler)) {
    if (existsSync(stamp)) return;
    throw new Error("There is no built program, and no compiler to build it: install with development packages first.");
  }
  say(title);
  const fresh = `${to}.new-${process.pid}`;
  const stale = `${to}.old-${process.pid}`;
  try {
    run(process.execPath, [compiler, ...args, "--outDir", fresh], "tsc");
    finish(fresh);
    writeFileSync(path.join(fresh, ".fingerprint"), fingerprint);
    if (existsSync(to)) renameSync(to, stale);
    renameSync(fresh, to);
  } finally {
    rmSync(fresh, { recursive: true, force: true });
    rmSync(stale, { recursive: true, force: true });
  }
}

/** Builds tap with the plugins that `.taprc` names: its own first run would still load the ones it shipped with. */
export function ensureTestRunner() {
  const built = readText(path.join(packages, "@tapjs", "test", "test-built", "dist", "esm", "index.js"));
  if (built === undefined || !built.includes("@tapjs/typescript")) return;
  run(process.execPath, [path.join(packages, "tap", "dist", "esm", "run.mjs"), "build"], "tap build");
}

function fingerprintOf(entries) {
  const hash = createHash("sha256");
  const visit = (name) => {
    const full = path.join(root, name);
    if (statSync(full).isDirectory()) for (const child of readdirSync(full).sort()) visit(`${name}/${child}`);
    else hash.update(`${name}\0`).update(readFileSync(full)).update("\0");
  };
  for (const entry of entries) visit(entry);
  return hash.digest("hex");
}

/** Runs `work` while no other process does; several replicas may be started at once from a fresh clone. */
function withLock(work) {
  const lock = path.join(root, ".statusmesh-lock");
  const deadline = Date.now() + waitMaxMs;
  for (;;) {
    try {
      writeFileSync(lock, String(process.pid), { flag: "wx" });
      break;
    } catch (error) {
      // A read-only checkout (an image) is complete by definition.
      if (error.code === "EROFS" || error.code === "EACCES") return work();
      if (error.code !== "EEXIST") throw error;
    }
    const holder = Number(readText(lock) ?? "");
    if (holder > 0 && !isAlive(holder)) rmSync(lock, { force: true });
    else if (Date.now() > deadline) throw new Error(`Process ${holder} has been building for too long; remove ${lock} if it is not.`);
    else Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100);
  }
  try {
    return work();
  } finally {
    rmSync(lock, { force: true });
  }
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === "EPERM";
  }
}

function run(command, args, name) {
  // Everything goes to stderr: stdout belongs to the program that is about to run.
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: ["ignore", 2, 2], shell: command.endsWith(".cmd") });
  if (error !== undefined) throw new Error(`${name} could not be started: ${error.message}`);
  if (status !== 0) throw new Error(`${name} failed with exit code ${status}.`);
}

function npm() {
  return process.platform === "win32" ? "npm.cmd" : "npm";
}

function readText(file) {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return undefined;
  }
}

function say(text) {
  process.stderr.write(`statusmesh: ${text} …\n`);
}
