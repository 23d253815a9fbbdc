/** How `chaos` commands reach a running `up --chaos`: HTTP on loopback, with a token that a private file beside the data names. */
import { createHash, timingSafeEqual } from "node:crypto";
import { readFile, rename, rm, writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import path from "node:path";
import { makeFolder } from "../io/data-folder.js";
import { systemRandom } from "../io/system-clock.js";
import { type ChaosLinks, type ChaosOrder, DELAY_MS_MAX, type LinkState, NAMES_MAX } from "./chaos-links.js";
import { CommandFault } from "./terminal.js";

const ORDER_BYTES_MAX = 4_096;
const ANSWER_MS = 5_000;

interface Access {
  /** Base URL. */
  readonly url: string;
  readonly token: string;
}

interface Answer {
  readonly status: number;
  readonly body: { readonly links: readonly LinkState[] } | { readonly error: string };
}

export function chaosFile(dataFolder: string): string {
  return path.join(dataFolder, "chaos.json");
}

/** The end that takes orders. */
export class ChaosControl implements AsyncDisposable {
  private constructor(
    private readonly server: Server,
    private readonly file: string,
    private readonly token: string,
  ) {}

  /** Listens on a free port of loopback, and says where in `chaos.json`, readable by this user only. */
  static async open(links: ChaosLinks, dataFolder: string): Promise<ChaosControl> {
    const token = Buffer.from(systemRandom.bytes(24)).toString("base64url");
    const server = createServer({ requestTimeout: ANSWER_MS, headersTimeout: ANSWER_MS }, (request, response) => void serve(links, token, request, response));
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(0, "127.0.0.1", resolve);
    });
    const address = server.address();
    const port = typeof address === "object" && address !== null ? address.port : 0;
    const file = chaosFile(dataFolder);
    const access: Access = { url: `http://127.0.0.1:${port}`, token };
    await makeFolder(dataFolder);
    await rm(`${file}.new`, { force: true });
    await writeFile(`${file}.new`, `${JSON.stringify(access)}\n`, { mode: 0o600, flag: "wx" });
    await rename(`${file}.new`, file);
    return new ChaosControl(server, file, token);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const said = await readFile(this.file, "utf8").catch(() => "");
    if (said.includes(this.token)) await rm(this.file, { force: true });
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }
}

/** Gives an order, or with none asks for the state, and returns the links concerned. Throws a `CommandFault`. */
export async function askChaos(dataFolder: string, order?: ChaosOrder): Promise<readonly LinkState[]> {
  const file = chaosFile(dataFolder);
  const access = await accessIn(file);
  let answer: Response;
  let body: unknown;
  try {
    answer = await fetch(`${access.url}/links`, {
      headers: { authorization: `Bearer ${access.token}`, connection: "close" },
      signal: AbortSignal.timeout(ANSWER_MS),
      ...(order === undefined ? {} : { method: "POST", body: JSON.stringify(order) }),
    });
    body = await answer.json();
  } catch {
    throw new CommandFault([`Nothing answers at ${access.url}, which ${file} names: the cluster that wrote it is gone. Start one with: statusmesh up --chaos`]);
  }
  if (!answer.ok) throw new CommandFault([messageOf(body) ?? `${access.url} answers ${answer.status}.`]);
  return (body as { readonly links: readonly LinkState[] }).links;
}

async function accessIn(file: string): Promise<Access> {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (code !== "ENOENT" && code !== "ENOTDIR") throw new CommandFault([`${file} cannot be read: ${error instanceof Error ? error.message : String(error)}.`]);
    throw new CommandFault([`There is no ${file}: no cluster with chaos runs on this data folder. Start one with statusmesh up --chaos, or name its folder with --data.`]);
  }
  try {
    const { url, token } = JSON.parse(text) as { readonly url?: unknown; readonly token?: unknown };
    if (typeof url === "string" && typeof token === "string" && /^http:\/\/127\.0\.0\.1:\d+$/.test(url)) return { url, token };
  } catch {
    // Said below.
  }
  throw new CommandFault([`${file} is damaged: it names no address and token.`]);
}

async function serve(links: ChaosLinks, token: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
  // One request a connection: whoever ends the cluster need not wait for idle ones.
  response.setHeader("connection", "close").setHeader("content-type", "application/json");
  const { status, body } = await answerTo(links, token, request).catch((error: unknown): Answer => ({ status: 400, body: { error: error instanceof Error ? error.message : String(error) } }));
  response.writeHead(status).end(JSON.stringify(body));
}

async function answerTo(links: ChaosLinks, token: string, request: IncomingMessage): Promise<Answer> {
  if (!isSame(request.headers.authorization ?? "", `Bearer ${token}`)) return { status: 401, body: { error: "The token is not that of the running cluster." } };
  if (request.url !== "/links") return { status: 404, body: { error: "There is no such route." } };
  if (request.method === "GET") return { status: 200, body: { links: links.states() } };
  if (request.method !== "POST") return { status: 405, body: { error: "Only GET and POST are taken." } };
  const order = orderOf(await textOf(request));
  if (order === undefined) return { status: 400, body: { error: "This is no order." } };
  const done = links.obey(order);
  return typeof done === "string" ? { status: 422, body: { error: done } } : { status: 200, body: { links: done } };
}

async function textOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > ORDER_BYTES_MAX) throw new Error(`An order has at most ${ORDER_BYTES_MAX} bytes.`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function orderOf(text: string): ChaosOrder | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  const { action, names, delay_ms } = value as { readonly [name: string]: unknown };
  if (!Array.isArray(names) || names.length > NAMES_MAX || !names.every((name): name is string => typeof name === "string")) return undefined;
  if (action === "cut" || action === "heal") return { action, names };
  const isDelay = typeof delay_ms === "number" && delay_ms >= 0 && delay_ms <= DELAY_MS_MAX;
  return action === "slow" && isDelay ? { action, names, delay_ms } : undefined;
}

/** Compared by hash, in a time that does not tell how much of it is right. */
function isSame(given: string, wanted: string): boolean {
  const hash = (text: string): Buffer => createHash("sha256").update(text).digest();
  return timingSafeEqual(hash(given), hash(wanted));
}

function messageOf(body: unknown): string | undefined {
  return typeof body === "object" && body !== null && "error" in body && typeof body.error === "string" ? body.error : undefined;
}
