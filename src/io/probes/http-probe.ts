/** HTTP checks: one connection a hop, each guarded; a bounded part of the body; expectations in the order in which an answer arrives. */
import type { TLSSocket } from "node:tls";
import { compile } from "json-p3";
import { RE2JS } from "re2js";
import { Client, type Dispatcher } from "undici";
import type { Check, CheckOptions } from "../../core/check.js";
import { canonical } from "../../core/document.js";
import type { Json } from "../../core/change.js";
import { CheckFailure } from "./check-failure.js";
import { daysValid, openTcp, openTls, type ProbeSettings, type Stopwatch } from "./target-connection.js";

/** Bytes of a body that are read; what lies behind is not looked at. */
export const BODY_BYTES_MAX = 256 * 1024;
const HEADER_BYTES_MAX = 32 * 1024;
const REDIRECTS_DEFAULT = 5;
const USER_AGENT = "statusmesh";
const REDIRECT_STATUSES: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

export interface HttpAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  readonly daysValid: number | null;
}

interface Request {
  readonly url: URL;
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | undefined;
}

function requestOf(check: Check): Request {
  const { method = "GET", headers = {}, body } = check.options;
  return { url: new URL(check.target), method, headers, body };
}

/** Where a redirect leads; headers that were meant for the target stay with its origin. Source: RFC 9110, 15.4. */
function redirected(from: Request, status: number, location: string): Request {
  let url: URL;
  try {
    url = new URL(location, from.url);
  } catch {
    throw new CheckFailure("redirect", "a redirect leads to what is no URL");
  }
  if (url.protocol !== "http:" && url.protocol !== "https:") throw new CheckFailure("redirect", "a redirect leads away from HTTP");
  const becomesGet = status === 303 ? from.method !== "HEAD" : (status === 301 || status === 302) && from.method === "POST";
  return { url, method: becomesGet ? "GET" : from.method, headers: url.origin === from.url.origin ? from.headers : {}, body: becomesGet ? undefined : from.body };
}

/** Runs an HTTP check; the answer after the last redirect. Throws a `CheckFailure`. */
export async function probeHttp(check: Check, settings: ProbeSettings, watch: Stopwatch, nowMs: number): Promise<{ readonly [name: string]: Json }> {
  const { options } = check;
  let request = requestOf(check);
  for (let hop = 0; ; hop++) {
    const answer = await exchange(request, options, settings, watch, nowMs);
    const location = answer.headers["location"];
    if (options.follow_redirects !== false && REDIRECT_STATUSES.has(answer.status) && location !== undefined) {
      if (hop >= (options.max_redirects ?? REDIRECTS_DEFAULT)) throw new CheckFailure("redirects", "there are too many redirects");
      request = redirected(request, answer.status, location);
      continue;
    }
    judge(answer, options);
    return { status_code: answer.status, redirects: hop, ...(answer.daysValid === null ? {} : { days_valid: answer.daysValid }) };
  }
}

async function exchange(request: Request, options: CheckOptions, settings: ProbeSettings, watch: Stopwatch, nowMs: number): Promise<HttpAnswer> {
  const { url } = request;
  const isTls = url.protocol === "https:";
  let valid: number | null = null;
  let connected = 0;
  const client = new Client(url.origin, {
    maxHeaderSize: HEADER_BYTES_MAX, headersTimeout: Math.ceil(watch.leftMs), bodyTimeout: Math.ceil(watch.leftMs), pipelining: 1, keepAliveTimeout: 1, connectTimeout: 0,
    connect: (_target, callback) => {
      const open = async (): Promise<Dispatcher.ConnectData["socket"]> => {
        const socket = await openTcp(url.hostname, Number(url.port) || (isTls ? 443 : 80), settings, watch);
        if (!isTls) return socket;
        const secured: TLSSocket = await openTls(socket, url.hostname, options, watch);
        valid = daysOf(secured, options.min_days_valid, nowMs);
        return secured;
      };
      open().then((socket) => {
        connected = watch.elapsedMs;
        callback(null, socket as TLSSocket);
      }, (error: unknown) => callback(error instanceof Error ? error : new Error(String(error)), null));
    },
  });
  const signal = AbortSignal.timeout(Math.ceil(watch.leftMs));
  try {
    const response = await client.request({
      method: request.method as Dispatcher.HttpMethod, path: `${url.pathname}${url.search}`, body: request.body ?? null, signal, reset: true,
      headers: { "user-agent": settings.region === undefined ? USER_AGENT : `${USER_AGENT} (${settings.region})`, accept: "*/*", "accept-encoding": "identity", ...lowerCase(request.headers) },
    });
    watch.add("first_byte", connected);
    const headers = flat(response.headers);
    const body = await head(response.body);
    return { status: response.statusCode, headers, body, daysValid: valid };
  } catch (error) {
    throw signal.aborted && !(error instanceof CheckFailure) ? new CheckFailure("timeout", "no whole answer came in time") : CheckFailure.of(error);
  } finally {
    void client.destroy().catch(() => undefined);
  }
}

/** Days until the chain expires; null where that is not to be known (a minimum of none). */
function daysOf(socket: TLSSocket, minimum: number | undefined, nowMs: number): number | null {
  const days = daysValid(socket, minimum ?? Number.NEGATIVE_INFINITY, nowMs);
  return Number.isFinite(days) ? days : null;
}

async function head(body: Dispatcher.ResponseData["body"]): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    chunks.push(chunk as Buffer);
    bytes += (chunk as Buffer).length;
    if (bytes >= BODY_BYTES_MAX) break;
  }
  return Buffer.concat(chunks).subarray(0, BODY_BYTES_MAX).toString("utf8");
}

function lowerCase(headers: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
}

function flat(headers: Readonly<Record<string, string | string[] | undefined>>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).flatMap(([name, value]) => (value === undefined ? [] : [[name, [value].flat().join(", ")]])));
}

function isExpected(status: number, expected: CheckOptions["expected_status"]): boolean {
  return [expected ?? "2xx"].flat().some((range) => {
    const text = String(range);
    if (text.endsWith("xx")) return Math.floor(status / 100) === Number(text[0]);
    const [low, high = low] = text.split("-").map(Number);
    return low !== undefined && high !== undefined && status >= low && status <= high;
  });
}

/** Throws a `CheckFailure` for the first expectation that the answer does not meet. */
export function judge({ status, headers, body }: Pick<HttpAnswer, "status" | "headers" | "body">, options: CheckOptions): void {
  if (!isExpected(status, options.expected_status)) throw new CheckFailure("status", `the status is ${status}`);
  for (const [name, part] of Object.entries(options.expected_headers ?? {})) {
    if (headers[name.toLowerCase()]?.includes(part) !== true) throw new CheckFailure("header", `the header ${name} is not as expected`);
  }
  if (options.body_contains !== undefined && !body.includes(options.body_contains)) throw new CheckFailure("body", "the body does not contain what is expected");
  if (options.body_not_contains !== undefined && body.includes(options.body_not_contains)) throw new CheckFailure("body", "the body contains what it must not");
  // RE2: linear in the body, whatever the expression.
  if (options.body_matches !== undefined && !RE2JS.compile(options.body_matches).matcher(body).find()) throw new CheckFailure("body", "the body does not match the expression");
  if (options.json_path !== undefined) judgeJson(body, options.json_path, options.json_value);
}

function judgeJson(body: string, path: string, expected: unknown): void {
  let parsed: unknown;
  try {
    parsed = JSON.parse(body);
  } catch {
    throw new CheckFailure("json", "the body is no JSON");
  }
  const found = compile(path).query(parsed as Parameters<ReturnType<typeof compile>["query"]>[0]).values();
  const isThere = expected === undefined ? found.length > 0 : found.some((value) => canonical(value as Json) === canonical(expected as Json));
  if (!isThere) throw new CheckFailure("json", "the JSON path does not find what is expected");
}

/** Another status page of this kind: its API must answer with a status. */
export async function probeStatusPage(check: Check, settings: ProbeSettings, watch: Stopwatch, nowMs: number): Promise<{ readonly [name: string]: Json }> {
  const url = new URL(check.target);
  url.pathname = `${url.pathname.replace(/\/+$/, "")}/api/v2/status.json`;
  return probeHttp({ ...check, target: url.href, options: { ...check.options, json_path: "$.status.indicator" } }, settings, watch, nowMs);
}
