/** The rooms of the house, and who may enter which. */
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "tap";
import { checkout } from "../../chaos/checkout.js";

const source = path.join(checkout, "src");

interface Import {
  readonly from: string;
  /** A path within `src`, or the name of a package. */
  readonly to: string;
  readonly typeOnly: boolean;
}

interface Tree {
  readonly files: ReadonlyMap<string, string>;
  readonly imports: readonly Import[];
}

/** Comments and texts blanked, so that words in them are no uses. Lengths stay. */
function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\/|(?<=^|[\s;{}(,])\/\/[^\n]*/g, (comment) => comment.replace(/[^\n]/g, " "));
}

function readTree(root: string): Tree {
  const files = new Map<string, string>();
  for (const name of readdirSync(root, { recursive: true, encoding: "utf8" })) {
    if (/\.tsx?$/.test(name)) files.set(name.split(path.sep).join("/"), withoutComments(readFileSync(path.join(root, name), "utf8")));
  }
  const imports: Import[] = [];
  const statement = /\b(?:import|export)\s+(type\s+)?(?:[^"';()]*?\bfrom\s*)?["']([^"']+)["']|\bimport\(\s*["']([^"']+)["']\s*\)/g;
  for (const [from, text] of files) {
    for (const [, type, named, dynamic] of text.matchAll(statement)) {
      const target = named ?? dynamic ?? "";
      const file = target.startsWith(".") ? path.posix.join(path.posix.dirname(from), target).replace(/\.js$/, ".ts") : target;
      const to = files.has(file) || !files.has(`${file}x`) ? file : `${file}x`;
      imports.push({ from, to, typeOnly: type !== undefined });
    }
  }
  return { files, imports };
}

/** The room a file belongs to: its folder, the feature for features, the file itself at the top. */
function roomOf(file: string): string {
  const [first = "", second = ""] = file.split("/");
  if (first === "features") return `features/${second}`;
  if (first === "io" && second === "generated") return "generated";
  return file.includes("/") ? first : file;
}

const isInside = (target: string): boolean => /\.tsx?$/.test(target);

/** May a file of `src` import that one? */
function mayImport(from: string, to: string): boolean {
  const room = roomOf(from);
  const target = roomOf(to);
  if (room === target) return true;
  if (target === "sim") return room === "cli";
  if (room.startsWith("features/")) return target === "store" || target === "core";
  switch (room) {
    case "core":
    case "generated":
    case "settings.ts":
      return false;
    case "store":
      return target === "core";
    case "io":
      return target === "core" || target === "generated";
    case "config.ts":
      return target === "core" || target === "settings.ts" || target === "purge-settings.ts";
    case "purge-settings.ts":
      return target === "settings.ts";
    case "folding-thread.ts":
    case "folding-worker.ts":
      return target === "store";
    case "runner-messages.ts":
      return target === "core" || to === "features/monitors/runner.ts";
    case "runner-worker.ts":
    case "runner-thread.ts":
      return target === "core" || target === "io" || target === "features/monitors" || target === "runner-messages.ts";
    case "node.ts":
      return target === "core" || target === "store" || (target.startsWith("features/") && !to.endsWith("routes.ts"));
    case "api":
      return target === "core" || target === "store" || to.endsWith("routes.ts");
    case "sim":
      // The workload uses what clients use: the features' commands and queries.
      return target === "node.ts" || target === "core" || target === "store" || (target.startsWith("features/") && !to.endsWith("routes.ts"));
    case "main.ts":
    case "assembly.ts":
    case "alert-assembly.ts":
    case "watch-assembly.ts":
    case "cli":
      return true;
    default:
      return false;
  }
}

/** What only some files may use: packages by name, words by pattern. */
const OWNED_PACKAGES: readonly (readonly [pattern: RegExp, owner: RegExp])[] = [
  [/^@automerge\//, /^store\/documents\.ts$/],
  [/^(?:classic-level|level|abstract-level)$/, /^io\//],
  [/^@grpc\//, /^io\//],
  [/^(?:fastify|fastify-plugin|@fastify\/.*)$/, /^api\/|(?:^|[/-])routes\.ts$/],
  [/^node:(?:timers|timers\/promises)$/, /^io\//],
  [/^commander$/, /^cli\//],
];

const OWNED_WORDS: readonly (readonly [pattern: RegExp, what: string, owner: RegExp])[] = [
  [/\bprocess\.env\b/, "process.env", /^(?:main\.ts$|cli\/)/],
  [/\bDate\.now\(|\bnew Date\(\)|\bperformance\.now\(/, "the clock", /^io\//],
  [/\b(?:setTimeout|setInterval|setImmediate)\(/, "timers", /^io\//],
  [/\bMath\.random\(|\brandom(?:Bytes|UUID|Int)\(|\bgetRandomValues\(/, "randomness", /^io\//],
];

function violations(tree: Tree): string[] {
  const found: string[] = [];
  for (const { from, to, typeOnly } of tree.imports) {
    if (isInside(to)) {
      if (!tree.files.has(to)) found.push(`${from} imports ${to}, which is not there`);
      else if (!mayImport(from, to)) found.push(`${from} may not import ${to}`);
      continue;
    }
    if (roomOf(from) === "core") found.push(`${from} is core and may not import ${to}`);
    for (const [pattern, owner] of OWNED_PACKAGES) if (!typeOnly && pattern.test(to) && !owner.test(from)) found.push(`${from} may not use ${to}`);
  }
  for (const [file, text] of tree.files) {
    if (file.startsWith("io/generated/")) continue;
    for (const [pattern, what, owner] of OWNED_WORDS) if (pattern.test(text) && !owner.test(file)) found.push(`${file} may not touch ${what}`);
    if (roomOf(file) === "core" && /\bawait\b|\basync\b/.test(text)) found.push(`${file} is core and may not await`);
    if (isBarrel(file, text)) found.push(`${file} is a barrel`);
    if (/\bexport\s+default\b/.test(text)) found.push(`${file} has a default export`);
  }
  return [...found, ...cycles(tree)].sort();
}

/** A file that only hands on what others export. */
function isBarrel(file: string, text: string): boolean {
  if (/(?:^|\/)index\.ts$/.test(file)) return true;
  if (/\bexport\s+\*\s+from\b/.test(text)) return true;
  const rest = text.replace(/\b(?:import|export)\b[^;]*?["'][^"']+["'];?/g, "").trim();
  return rest === "" && /\bexport\b/.test(text);
}

function cycles(tree: Tree): string[] {
  const next = new Map<string, string[]>();
  for (const { from, to, typeOnly } of tree.imports) if (isInside(to) && !typeOnly) next.set(from, [...(next.get(from) ?? []), to]);
  const found = new Set<string>();
  const done = new Set<string>();
  const visit = (file: string, trail: readonly string[]): void => {
    const at = trail.indexOf(file);
    if (at >= 0) {
      found.add(`import cycle: ${[...trail.slice(at), file].join(" → ")}`);
      return;
    }
    if (done.has(file)) return;
    for (const target of next.get(file) ?? []) visit(target, [...trail, file]);
    done.add(file);
  };
  for (const file of tree.files.keys()) visit(file, []);
  return [...found];
}

test("every room of the source keeps the import law", async (t) => {
  const tree = readTree(source);
  t.ok(tree.files.size > 50 && tree.imports.length > 150, `${tree.files.size} files, ${tree.imports.length} imports were looked at`);
  t.same(violations(tree), []);
});

const PLANTED: readonly (readonly [file: string, text: string, says: RegExp])[] = [
  ["core/planted.ts", 'import { keyspace } from "../store/keyspace.js";\nexport const planted = keyspace;\n', /core\/planted\.ts may not import store\/keyspace\.ts/],
  ["core/planted.ts", 'import { createHash } from "node:crypto";\nexport const planted = createHash;\n', /core\/planted\.ts is core and may not import node:crypto/],
  ["core/planted.ts", "export async function planted(): Promise<void> {}\n", /core\/planted\.ts is core and may not await/],
  ["store/planted.ts", 'import { routes } from "../features/incidents/routes.js";\nexport const planted = routes;\n', /store\/planted\.ts may not import features/],
  ["store/planted.ts", 'import { next } from "@automerge/automerge";\nexport const planted = next;\n', /store\/planted\.ts may not use @automerge/],
  ["features/incidents/planted.ts", 'export { routes as planted } from "../components/routes.js";\nexport const more = 1;\n', /features\/incidents\/planted\.ts may not import features\/components/],
  ["features/incidents/planted.ts", 'import Fastify from "fastify";\nexport const planted = Fastify;\n', /features\/incidents\/planted\.ts may not use fastify/],
  ["api/planted.ts", 'export const planted = () => import("../io/level-storage.js");\n', /api\/planted\.ts may not import io\/level-storage\.ts/],
  ["api/planted.ts", 'import { ClassicLevel } from "classic-level";\nexport const planted = ClassicLevel;\n', /api\/planted\.ts may not use classic-level/],
  ["store/planted.ts", "export const planted = () => Date.now() + Math.random();\n", /store\/planted\.ts may not touch (?:the clock|randomness)/],
  ["api/planted.ts", "export const planted = process.env;\n", /api\/planted\.ts may not touch process\.env/],
  ["api/planted.ts", "export const planted = () => setTimeout(() => undefined, 1);\n", /api\/planted\.ts may not touch timers/],
  ["store/planted.ts", 'export * from "./keyspace.js";\n', /store\/planted\.ts is a barrel/],
  ["store/planted.ts", "export default 1;\n", /store\/planted\.ts has a default export/],
  ["core/planted.ts", 'import { other } from "./planted-other.js";\nexport const planted = (): unknown => other;\n', /import cycle: .*planted/],
];

test("a planted violation of each kind is found", async (t) => {
  const folder = mkdtempSync(path.join(tmpdir(), "statusmesh-import-law-"));
  t.teardown(() => rmSync(folder, { recursive: true }));
  cpSync(source, folder, { recursive: true });
  writeFileSync(path.join(folder, "core", "planted-other.ts"), 'import { planted } from "./planted.js";\nexport const other = (): unknown => planted;\n');
  for (const [file, text, says] of PLANTED) {
    writeFileSync(path.join(folder, file), text);
    const found = violations(readTree(folder));
    t.ok(found.some((violation) => says.test(violation)), `${says} among ${found.join("; ")}`);
    rmSync(path.join(folder, file));
  }
});
