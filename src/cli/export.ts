/** `statusmesh export`: a page as files, for a CDN or a bucket. */
import path from "node:path";
import type { Command } from "commander";
import { Agent, request } from "undici";
import { EVENT_FOLDERS, staticCopyOf, type CopyAnswer } from "../features/status-page/static-copy.js";
import { writeCopy } from "../io/copy-folder.js";
import { systemClock } from "../io/system-clock.js";
import { asFault, CommandFault, EXIT_CONFIG, say } from "./terminal.js";

const CONNECT_MS = 5_000;
const ANSWER_MS = 15_000;
const ANSWER_BYTES_MAX = 64 * 1024 * 1024;
const PAGE_ID = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

interface ExportOptions {
  readonly url: string;
  readonly page: string;
  readonly out: string;
}

export function exportCommand(program: Command): void {
  program
    .command("export")
    .description("Writes a page as static files, as it is now, for a CDN or a bucket: what shows it when nothing else answers. Every replica keeps the same in its data folder.")
    .requiredOption("--url <url>", "address of a replica, or of the page")
    .option("--page <id>", "the page", "default")
    .requiredOption("--out <folder>", "where to; files of earlier exports are replaced or, of incidents that are not shown any more, removed; others are left alone")
    .addHelpText("after", "\nExit codes: 0 all files are there; 1 they could not be had or written, and those of before are as they were; 78 an option is wrong.")
    .action(exportPage);
}

async function exportPage({ url, page, out }: ExportOptions): Promise<void> {
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) throw new CommandFault([`${url} is no http or https address.`], EXIT_CONFIG);
  if (!PAGE_ID.test(page)) throw new CommandFault([`"${page}" is no page id.`], EXIT_CONFIG);
  const base = url.replace(/\/+$/, "").replace(new RegExp(`/pages/${page}$`), "");
  const agent = new Agent({ connect: { timeout: CONNECT_MS }, maxResponseSize: ANSWER_BYTES_MAX });
  try {
    const copy = await staticCopyOf((asked) => answerOf(agent, base + asked), page, systemClock.now());
    if ("status" in copy) throw new CommandFault([copy.status === 200 ? `${base}${copy.path} shows no status page.` : `${base}${copy.path} answers with ${copy.status}: nothing was written.`]);
    await writeCopy(path.resolve(out), copy, EVENT_FOLDERS).catch(asFault);
    say(`${copy.length} files of page ${page} are in ${out}.`);
  } finally {
    await agent.close();
  }
}

async function answerOf(dispatcher: Agent, url: string): Promise<CopyAnswer> {
  try {
    const { body, statusCode } = await request(url, { dispatcher, signal: AbortSignal.timeout(ANSWER_MS) });
    return { status: statusCode, body: Buffer.from(await body.arrayBuffer()) };
  } catch (error) {
    throw new CommandFault([`${url} does not answer: ${error instanceof Error ? error.message || error.name : String(error)}.`]);
  }
}
