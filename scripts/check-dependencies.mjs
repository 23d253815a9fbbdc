/**
 * What `package.json`, the lock file and the sources say of each other: every import is declared, every dependency is used, no
 * production dependency has a licence that is not allowed, and the lock file names no registry. Prints a line a check.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { builtinModules } from "node:module";
import path from "node:path";
import { root } from "./ready.mjs";

const ALLOWED = new Set(["MIT", "ISC", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "0BSD", "BlueOak-1.0.0", "CC0-1.0", "Unlicense", "MIT-0", "Python-2.0"]);
/** Used by command or by configuration rather than by import. */
const TOOLS = new Set(["@biomejs/biome", "@bufbuild/buf", "@types/node", "ts-proto", "tsx", "typescript", "tap"]);

const manifest = JSON.parse(readFileSync(path.join(root, "package.json"), "utf8"));
const lock = JSON.parse(readFileSync(path.join(root, "package-lock.json"), "utf8"));
const production = Object.keys(manifest.dependencies ?? {});
const development = Object.keys(manifest.devDependencies ?? {});

function importsIn(folders) {
  const found = new Map();
  for (const folder of folders) {
    const base = path.join(root, folder);
    if (!existsSync(base)) continue;
    for (const name of readdirSync(base, { recursive: true })) {
      if (!/\.(?:m?[jt]s|tsx)$/.test(name)) continue;
      const text = readFileSync(path.join(base, name), "utf8");
      for (const [, fixed, dynamic, resolved] of text.matchAll(/^(?:import|export)\b(?:[^"';]*?\bfrom)?\s*["']([^"']+)["']|\bimport\(\s*["']([^"']+)["']\s*\)|\bimport\.meta\.resolve\(\s*["']([^"']+)["']\s*\)/gm)) {
        const target = fixed ?? dynamic ?? resolved;
        if (target.startsWith(".") || target.startsWith("node:") || builtinModules.includes(target)) continue;
        const dependency = target.split("/", target.startsWith("@") ? 2 : 1).join("/");
        found.set(dependency, `${folder}/${name}`);
      }
    }
  }
  return found;
}

const inProduct = importsIn(["src"]);
const inTools = importsIn(["test", "bench", "scripts", "bin", "chaos"]);

function undeclared() {
  const faults = [];
  for (const [name, file] of inProduct) if (!production.includes(name)) faults.push(`${file} imports ${name}, which is no dependency`);
  for (const [name, file] of inTools) if (!production.includes(name) && !development.includes(name)) faults.push(`${file} imports ${name}, which is not declared`);
  return faults;
}

function unused() {
  const faults = production.filter((name) => !inProduct.has(name)).map((name) => `no file of src imports ${name}`);
  // Types are used where their package is.
  const isUsed = (name) => TOOLS.has(name) || inTools.has(name) || (name.startsWith("@types/") && (inTools.has(name.slice(7)) || inProduct.has(name.slice(7))));
  for (const name of development) if (!isUsed(name)) faults.push(`no test, bench or script imports ${name}`);
  return faults;
}

/** `(MIT OR Apache-2.0)` is allowed if one of its parts is; `A AND B` if all are. */
function isAllowed(expression) {
  const text = expression.replace(/^\((.*)\)$/, "$1");
  if (text.includes(" OR ")) return text.split(" OR ").some(isAllowed);
  return text.split(" AND ").every((part) => ALLOWED.has(part.trim()));
}

function licences() {
  const faults = [];
  for (const [at, entry] of Object.entries(lock.packages)) {
    if (at === "" || entry.dev === true || entry.devOptional === true || entry.link === true) continue;
    const file = path.join(root, at, "package.json");
    // An optional package for another platform is not installed.
    if (!existsSync(file)) {
      if (entry.optional !== true) faults.push(`${at} is not installed`);
      continue;
    }
    const { license, licenses } = JSON.parse(readFileSync(file, "utf8"));
    const said = typeof license === "string" ? license : (license?.type ?? licenses?.map((one) => one.type).join(" OR ") ?? "none");
    if (!isAllowed(said)) faults.push(`${at} has the licence ${said}`);
  }
  return faults;
}

function registryHosts() {
  return Object.entries(lock.packages).filter(([, entry]) => typeof entry.resolved === "string" && /^https?:/.test(entry.resolved)).map(([at]) => `${at} names where it was fetched from`);
}

const checks = { "every import is declared": undeclared, "every dependency is used": unused, "licences of production dependencies are allowed": licences, "the lock file names no registry": registryHosts };
const asked = process.argv.slice(2);
let failed = 0;
for (const [title, check] of Object.entries(checks)) {
  if (asked.length > 0 && !asked.some((word) => title.includes(word))) continue;
  const faults = check();
  if (faults.length > 0) failed += 1;
  process.stdout.write(`${faults.length === 0 ? "ok    " : "FAILED"} ${title}\n`);
  for (const fault of faults) process.stdout.write(`       ${fault}\n`);
}
process.exitCode = failed > 0 ? 1 : 0;
