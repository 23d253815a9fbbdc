/**
 * A server of our own that speaks Toxiproxy's HTTP API (https://github.com/Shopify/toxiproxy, "HTTP API" of its README), on loopback.
 *
 * It differs from Toxiproxy where that is safer here, and in two extensions that a client may ignore:
 * 1. Proxies listen on 127.0.0.1 only. A disabled proxy keeps its port and resets what connects.
 * 2. With `secretPath`, every path begins with it; requests of browsers (by `User-Agent`, as Toxiproxy does, or by `Origin`) and for
 *    another `Host` than loopback are refused.
 * 3. The toxic `corrupt`, and the member `traffic` of a proxy. `GET /version` ends in `+statusmesh`.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { systemRandom } from "./system-clock.js";
import { type Address, ToxicProxy } from "./toxic-proxy.js";
import { changedToxic, isName, toxicFrom } from "./toxics.js";

/** The release of Toxiproxy whose API this is. */
export const TOXIPROXY_VERSION = "2.12.0+statusmesh";
const BODY_BYTES_MAX = 1024 * 1024;
const REQUEST_MS = 5_000;
const PROXIES_MAX = 1_024;
const TOXICS_MAX = 64;

/** What a route answers: `body` is sent as JSON; without it there is none. */
export interface RouteAnswer {
  readonly status: number;
  readonly body?: unknown;
}

/** Further routes. Undefined: not one of them. */
export type FurtherRoutes = (method: string, path: readonly string[]) => RouteAnswer | undefined;

export interface ToxiproxyServerOptions {
  /** On loopback; 0 or left out for a free one. */
  readonly port?: number;
  /** Without slashes. */
  readonly secretPath?: string;
  /** Ports that no proxy may choose by itself. */
  readonly avoid?: ReadonlySet<number>;
  readonly further?: FurtherRoutes;
}

/** Expected failures, with the status that Toxiproxy gives them. */
class ApiFault extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

type Body = Readonly<Record<string, unknown>>;

export class ToxiproxyServer implements AsyncDisposable {
  private readonly proxies = new Map<string, ToxicProxy>();
  /** One change after the other: two that create one name must not both listen. */
  private turn: Promise<unknown> = Promise.resolve();

  private constructor(
    private readonly server: Server,
    private readonly options: ToxiproxyServerOptions,
  ) {
    server.on("request", (request, response) => void this.serve(request, response));
  }

  static async listen(options: ToxiproxyServerOptions = {}): Promise<ToxiproxyServer> {
    const server = createServer({ requestTimeout: REQUEST_MS, headersTimeout: REQUEST_MS });
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(options.port ?? 0, "127.0.0.1", resolve);
    });
    return new ToxiproxyServer(server, options);
  }

  /** What a client is given as the server's address. */
  get url(): string {
    const address = this.server.address();
    const port = typeof address === "object" && address !== null ? address.port : 0;
    const { secretPath } = this.options;
    return `http://127.0.0.1:${port}${secretPath === undefined ? "" : `/${secretPath}`}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
    await this.turn;
    await Promise.all([...this.proxies.values()].map((proxy) => proxy[Symbol.asyncDispose]()));
  }

  private async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    // One request a connection: whoever ends the server need not wait for idle ones.
    response.setHeader("connection", "close");
    let answer: RouteAnswer;
    try {
      const path = this.admitted(request);
      const text = await textOf(request);
      const done = this.turn.then(() => this.answer(request.method ?? "", path, text));
      this.turn = done.catch(() => undefined);
      answer = await done;
    } catch (error) {
      const status = error instanceof ApiFault ? error.status : 500;
      answer = { status, body: { error: error instanceof Error ? error.message : String(error), status } };
    }
    if (answer.body === undefined) response.writeHead(answer.status).end();
    else response.writeHead(answer.status, { "content-type": "application/json" }).end(JSON.stringify(answer.body));
  }

  /** The parts of the path behind the secret one. */
  private admitted({ headers, url }: IncomingMessage): readonly string[] {
    if (headers["user-agent"]?.startsWith("Mozilla/") === true || headers.origin !== undefined) throw new ApiFault(403, "User agent not allowed");
    if (!/^(?:127\.0\.0\.1|localhost)(?::\d+)?$/.test(headers.host ?? "")) throw new ApiFault(403, "host not allowed");
    const path = (url ?? "").split("?")[0]?.split("/").slice(1) ?? [];
    const { secretPath } = this.options;
    if (secretPath !== undefined && path.shift() !== secretPath) throw new ApiFault(404, "not found");
    return path;
  }

  private async answer(method: string, path: readonly string[], text: string): Promise<RouteAnswer> {
    const [room = "", name, part, toxic, ...rest] = path;
    const further = this.options.further?.(method, path);
    if (further !== undefined) return further;
    const isWrite = method === "POST" || method === "PATCH";
    if (room === "version" && path.length === 1 && method === "GET") return { status: 200, body: { version: TOXIPROXY_VERSION } };
    if (room === "reset" && path.length === 1 && method === "POST") return this.reset();
    if (room === "populate" && path.length === 1 && method === "POST") return await this.populate(parsed(text));
    if (room !== "proxies" || rest.length > 0 || (part !== undefined && part !== "toxics")) throw new ApiFault(404, "not found");
    if (name === undefined) {
      if (method === "GET") return { status: 200, body: Object.fromEntries([...this.proxies].map(([key, proxy]) => [key, shown(proxy)])) };
      if (method === "POST") return { status: 201, body: shown(await this.create(objectIn(parsed(text)))) };
    } else if (part === undefined) {
      const proxy = this.proxy(name);
      if (method === "GET") return { status: 200, body: shown(proxy) };
      if (isWrite) return { status: 200, body: shown(await this.update(proxy, objectIn(parsed(text)))) };
      if (method === "DELETE") return await this.remove(proxy);
    } else if (toxic === undefined) {
      const proxy = this.proxy(name);
      if (method === "GET") return { status: 200, body: proxy.toxics };
      if (method === "POST") return addToxic(proxy, objectIn(parsed(text)));
    } else {
      return answerToxic(method, isWrite, this.proxy(name), toxic, text);
    }
    throw new ApiFault(405, "method not allowed");
  }

  private proxy(name: string): ToxicProxy {
    const proxy = this.proxies.get(name);
    if (proxy === undefined) throw new ApiFault(404, "proxy not found");
    return proxy;
  }

  private reset(): RouteAnswer {
    for (const proxy of this.proxies.values()) {
      proxy.setEnabled(true);
      proxy.clear();
    }
    return { status: 204 };
  }

  private async populate(bodies: unknown): Promise<RouteAnswer> {
    if (!Array.isArray(bodies)) throw new ApiFault(400, "bad request body: an array of proxies is needed");
    const wanted = bodies.map(objectIn).map((body) => ({ body, ...proxyIn(body) }));
    const made: ToxicProxy[] = [];
    for (const { body, name, upstream } of wanted) {
      const known = this.proxies.get(name);
      if (known !== undefined && isSame(known, portIn(body), upstream)) {
        if (body["enabled"] !== undefined) known.setEnabled(enabledIn(body, true));
        made.push(known);
        continue;
      }
      if (known !== undefined) await this.remove(known);
      made.push(await this.create(body));
    }
    return { status: 201, body: { proxies: made.map(shown) } };
  }

  private async create(body: Body): Promise<ToxicProxy> {
    const { name, upstream } = proxyIn(body);
    if (this.proxies.has(name)) throw new ApiFault(409, "proxy already exists");
    if (this.proxies.size >= PROXIES_MAX) throw new ApiFault(400, `at most ${PROXIES_MAX} proxies`);
    const enabled = enabledIn(body, true);
    const proxy = await this.open(name, portIn(body), upstream, enabled);
    this.proxies.set(name, proxy);
    return proxy;
  }

  private async open(name: string, port: number, upstream: Address, enabled: boolean): Promise<ToxicProxy> {
    return await ToxicProxy.listen({ name, port, upstream, enabled, avoid: this.options.avoid ?? new Set(), uniform: () => systemRandom.uniform() });
  }

  private async update(proxy: ToxicProxy, body: Body): Promise<ToxicProxy> {
    const enabled = enabledIn(body, proxy.enabled);
    const upstream = body["upstream"] === undefined ? proxy.upstream : addressIn(body["upstream"], "upstream");
    const port = body["listen"] === undefined ? proxy.port : portIn(body);
    if (port !== 0 && port !== proxy.port) {
      const moved = await this.open(proxy.name, port, upstream, enabled);
      for (const toxic of proxy.toxics) moved.setToxic(toxic);
      await proxy[Symbol.asyncDispose]();
      this.proxies.set(proxy.name, moved);
      return moved;
    }
    if (upstream.host !== proxy.upstream.host || upstream.port !== proxy.upstream.port) proxy.setUpstream(upstream);
    if (enabled !== proxy.enabled) proxy.setEnabled(enabled);
    return proxy;
  }

  private async remove(proxy: ToxicProxy): Promise<RouteAnswer> {
    this.proxies.delete(proxy.name);
    await proxy[Symbol.asyncDispose]();
    return { status: 204 };
  }
}

function addToxic(proxy: ToxicProxy, body: Body): RouteAnswer {
  const toxic = toxicFrom(body);
  if (typeof toxic === "string") throw new ApiFault(400, toxic);
  if (proxy.toxics.some(({ name }) => name === toxic.name)) throw new ApiFault(409, "toxic already exists");
  if (proxy.toxics.length >= TOXICS_MAX) throw new ApiFault(400, `at most ${TOXICS_MAX} toxics`);
  proxy.setToxic(toxic);
  return { status: 200, body: toxic };
}

function answerToxic(method: string, isWrite: boolean, proxy: ToxicProxy, name: string, text: string): RouteAnswer {
  const toxic = proxy.toxics.find((one) => one.name === name);
  if (toxic === undefined) throw new ApiFault(404, "toxic not found");
  if (method === "GET") return { status: 200, body: toxic };
  if (method === "DELETE") {
    proxy.removeToxic(name);
    return { status: 204 };
  }
  if (!isWrite) throw new ApiFault(405, "method not allowed");
  const changed = changedToxic(toxic, objectIn(parsed(text)));
  if (typeof changed === "string") throw new ApiFault(400, changed);
  proxy.setToxic(changed);
  return { status: 200, body: changed };
}

function shown(proxy: ToxicProxy): unknown {
  const { name, listenAddress: listen, enabled, toxics, traffic } = proxy;
  return { name, listen, upstream: `${proxy.upstream.host}:${proxy.upstream.port}`, enabled, toxics, traffic };
}

/** As Toxiproxy compares what is populated: a port of 0 is content with any. */
function isSame(proxy: ToxicProxy, port: number, upstream: Address): boolean {
  return (port === 0 || port === proxy.port) && upstream.host === proxy.upstream.host && upstream.port === proxy.upstream.port;
}

function proxyIn(body: Body): { readonly name: string; readonly upstream: Address } {
  const { name, upstream } = body;
  if (name === undefined || name === "") throw new ApiFault(400, "missing required field: name");
  if (!isName(name)) throw new ApiFault(400, "bad request body: name");
  if (upstream === undefined || upstream === "") throw new ApiFault(400, "missing required field: upstream");
  return { name, upstream: addressIn(upstream, "upstream") };
}

function portIn(body: Body): number {
  const { listen = "" } = body;
  if (listen === "") return 0;
  const { host, port } = addressIn(listen, "listen");
  if (host !== "127.0.0.1" && host !== "localhost" && host !== "") throw new ApiFault(400, "listen: this server's proxies listen on 127.0.0.1 only");
  return port;
}

function enabledIn(body: Body, otherwise: boolean): boolean {
  const { enabled = otherwise } = body;
  if (typeof enabled !== "boolean") throw new ApiFault(400, "bad request body: enabled");
  return enabled;
}

function addressIn(value: unknown, field: string): Address {
  const [, host, port] = /^(?:\[?([^\s[\]]*)\]?):(\d{1,5})$/.exec(typeof value === "string" ? value : "") ?? [];
  if (host === undefined || Number(port) > 65_535) throw new ApiFault(400, `bad request body: ${field} must be <host>:<port>`);
  return { host, port: Number(port) };
}

function objectIn(value: unknown): Body {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new ApiFault(400, "bad request body: an object is needed");
  return value as Body;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new ApiFault(400, `bad request body: ${error instanceof Error ? error.message : String(error)}`);
  }
}

async function textOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > BODY_BYTES_MAX) throw new ApiFault(413, `a body has at most ${BODY_BYTES_MAX} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}
