/** `statusmesh apply`: a page's components, monitors and webhooks from a file. */
import { readFileSync } from "node:fs";
import path from "node:path";
import type { Command } from "commander";
import type { Json } from "../core/change.js";
import { CONSISTENCY_LEVELS } from "../store/data-plane.js";
import { ApplyClient } from "./apply-client.js";
import { parseApplyFile } from "./apply-file.js";
import { apply, planOf, type ApplyPlan, type Change, type Done } from "./apply-plan.js";
import { asFault, CommandFault, complain, EXIT_CONFIG, say } from "./terminal.js";

/** With `--dry-run --exit-code`: there is something to change. */
const EXIT_CHANGES = 2;
const DEFAULT_URL = "http://127.0.0.1:8081";
const VALUE_LENGTH_SHOWN = 120;

interface ApplyOptions {
  readonly file: string;
  readonly url?: readonly string[];
  readonly keyFile?: string;
  readonly page?: string;
  readonly prune?: true;
  readonly dryRun?: true;
  readonly exitCode?: true;
  readonly consistency?: string;
  readonly json?: true;
}

export function applyCommand(program: Command): void {
  program
    .command("apply")
    .description("Makes a page's component groups, components, monitors and webhooks as a YAML file says, through the API of its nearest region.")
    .requiredOption("-f, --file <file>", "the YAML file")
    .option("--url <url...>", `addresses of the regions' API; the nearest is asked, the others where that does not answer (default: STATUSMESH_URL, or ${DEFAULT_URL})`)
    .option("--key-file <file>", "file that holds an admin key of the page (default: the key in STATUSMESH_KEY)")
    .option("--page <id>", "the page (default: as the file says, or default)")
    .option("--prune", "delete what the file does not name, of the kinds that it speaks of")
    .option("--dry-run", "only show what would change")
    .option("--exit-code", "with --dry-run: exit with 2 if something would change")
    .option("--consistency <level>", "level of reads and writes (default: LOCAL)")
    .option("--json", "print JSON")
    .addHelpText("after", "\nThings are told apart by kind and name. Exit codes: 0 done, or nothing to do; 1 something could not be done, for the reason on stderr; 2 with --dry-run --exit-code,\nsomething would change; 78 the file is wrong, and nothing was done.")
    .action(async (options: ApplyOptions) => {
      process.exitCode = await run(options);
    });
}

async function run(options: ApplyOptions): Promise<number> {
  const name = path.relative(process.cwd(), options.file) || options.file;
  const file = parseApplyFile(readText(options.file), name);
  const client = await ApplyClient.connect(urlsOf(options), keyOf(options), levelOf(options));
  try {
    const page = options.page ?? file.page ?? "default";
    const plan = await planOf(client, file, name, page, options.prune === true);
    if (options.json !== true) showPlan(plan, name, client.nearest);
    if (options.dryRun === true) {
      if (options.json === true) say(JSON.stringify({ page, changes: plan.changes.map(changeJson), unnamed: plan.unnamed.map(({ kind, name: of }) => ({ kind, name: of })) }));
      return options.exitCode === true && plan.changes.length > 0 ? EXIT_CHANGES : 0;
    }
    const done = await apply(client, plan, options.json === true ? () => undefined : showDone);
    const failures = done.filter(({ fault }) => fault !== undefined);
    if (options.json === true) say(JSON.stringify({ page, changes: done.map((one) => ({ ...changeJson(one.change), fault: one.fault ?? null, secret: one.secret ?? null })) }));
    else if (done.length > 0) say(`\n${countsOf(done.filter(({ fault }) => fault === undefined).map(({ change }) => change), ["created", "updated", "deleted"])}${failures.length > 0 ? `, ${failures.length} failed` : ""}.`);
    return failures.length > 0 ? 1 : 0;
  } finally {
    await client.close();
  }
}

function readText(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    return asFault(error);
  }
}

function urlsOf({ url }: ApplyOptions): readonly string[] {
  const given = url ?? (process.env["STATUSMESH_URL"] || DEFAULT_URL).split(/[\s,]+/);
  return given.filter((text) => text !== "").map((text) => {
    if (!URL.canParse(text) || !/^https?:$/.test(new URL(text).protocol)) throw new CommandFault([`${text} is no http or https address.`], EXIT_CONFIG);
    return text.replace(/\/+$/, "");
  });
}

function keyOf({ keyFile }: ApplyOptions): string {
  const key = keyFile === undefined ? process.env["STATUSMESH_KEY"] : readText(keyFile).trim();
  if (key === undefined || key === "") throw new CommandFault(["A key of the page is needed, of role admin: in STATUSMESH_KEY, or in the file that --key-file names."], EXIT_CONFIG);
  return key;
}

function levelOf({ consistency }: ApplyOptions): string | undefined {
  if (consistency !== undefined && !(CONSISTENCY_LEVELS as readonly string[]).includes(consistency)) throw new CommandFault([`--consistency must be one of ${CONSISTENCY_LEVELS.join(", ")}.`], EXIT_CONFIG);
  return consistency;
}

function changeJson({ action, fields, kind, name }: Change): { [name: string]: Json } {
  return { action, kind, name, fields: fields.map(({ field, from, to }) => ({ field, from, to })) };
}

const SIGNS = { create: "+", update: "~", delete: "-" } as const;

function shortText(value: Json): string {
  const text = JSON.stringify(value);
  return text.length > VALUE_LENGTH_SHOWN ? `${text.slice(0, VALUE_LENGTH_SHOWN - 1)}…` : text;
}

function showPlan({ changes, page, unnamed }: ApplyPlan, file: string, base: string): void {
  for (const { action, fields, kind, name } of changes) {
    say(`${SIGNS[action]} ${kind} ${name}`);
    for (const { field, from, to } of fields) say(`    ${field}: ${action === "create" ? "" : `${shortText(from)} → `}${shortText(to)}`);
  }
  if (changes.length === 0) say(`No changes: page ${page} at ${base} is as ${file} says.`);
  else say(`\nPage ${page} at ${base}: ${countsOf(changes, ["to create", "to update", "to delete"])}.`);
  if (unnamed.length > 0) say(`Not in the file, and left alone (--prune deletes them): ${unnamed.map(({ kind, name }) => `${kind} ${name}`).join(", ")}.`);
}

function countsOf(changes: readonly Change[], words: readonly [string, string, string]): string {
  return (["create", "update", "delete"] as const).map((action, index) => `${changes.filter((change) => change.action === action).length} ${words[index]}`).join(", ");
}

function showDone({ change: { action, kind, name }, fault, secret }: Done): void {
  if (fault !== undefined) complain(`statusmesh: ${kind} ${name}: ${fault}`);
  else say(`${action}d ${kind} ${name}${secret === undefined ? "" : ` (shown once: ${secret})`}`);
}
