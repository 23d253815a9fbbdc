/**
 * Connects to a target: name → addresses → guard → TCP → TLS, and notes how long each took. Names are resolved here, the guard
 * looks at every address, and the connection goes to an address that passed, so that nothing that resolves differently a moment
 * later gets past it.
 */
import { promises as dns } from "node:dns";
import { connect as connectTcp, isIP, type Socket } from "node:net";
import { performance } from "node:perf_hooks";
import { connect as connectTls, type TLSSocket } from "node:tls";
import type { CheckOptions, Phases } from "../../core/check.js";
import { isInRanges, specialKind } from "./address-guard.js";
import { CheckFailure } from "./check-failure.js";

export interface ProbeSettings {
  /** Lets checks reach addresses that are not of the public internet. */
  readonly allowPrivateTargets: boolean;
  /** Ranges of those that they may reach all the same, such as `10.20.0.0/16`. */
  readonly allowedTargetRanges?: readonly string[];
  /** Told to targets in `User-Agent`, so that who runs one knows where a check came from. */
  readonly region?: string;
}

/** Collects where the time goes; phases that occur again (redirects) add up. */
export class Stopwatch {
  private readonly startedAt = performance.now();
  private readonly spent: { dns: number | null; connect: number | null; tls: number | null; first_byte: number | null } = { dns: null, connect: null, tls: null, first_byte: null };

  constructor(private readonly timeoutMs: number) {}

  get elapsedMs(): number {
    return performance.now() - this.startedAt;
  }

  /** ms until the check must be over, at least 1. */
  get leftMs(): number {
    return Math.max(1, this.timeoutMs - this.elapsedMs);
  }

  add(phase: "dns" | "connect" | "tls" | "first_byte", sinceMs: number): void {
    this.spent[phase] = (this.spent[phase] ?? 0) + (this.elapsedMs - sinceMs);
  }

  phases(): Phases {
    const rounded = (value: number | null): number | null => (value === null ? null : Math.round(value * 1_000) / 1_000);
    return { dns: rounded(this.spent.dns), connect: rounded(this.spent.connect), tls: rounded(this.spent.tls), first_byte: rounded(this.spent.first_byte), total: rounded(this.elapsedMs) };
  }
}

const RESOLVER_TIMEOUT_MAX_MS = 5_000;
/** Look-ups in the system's files go through Node's thread pool, which the disk needs too. */
const FILE_LOOKUPS_MAX = 2;
let fileLookups = 0;

/** Addresses of a host that may be connected to. Throws a `CheckFailure` if there are none. */
export async function addressesOf(host: string, settings: ProbeSettings, watch: Stopwatch): Promise<readonly string[]> {
  const name = host.replace(/^\[|\]$/g, "");
  const since = watch.elapsedMs;
  const found = isIP(name) === 0 ? await resolve(name, watch) : [name];
  if (isIP(name) === 0) watch.add("dns", since);
  const allowed = settings.allowPrivateTargets ? found : found.filter((address) => specialKind(address) === undefined || isInRanges(address, settings.allowedTargetRanges ?? []));
  if (allowed.length > 0) return allowed;
  throw new CheckFailure("target-refused", `the target is at a ${specialKind(found[0] ?? "") ?? "refused"} address, which this region does not allow`, "unknown");
}

async function resolve(name: string, watch: Stopwatch): Promise<readonly string[]> {
  if (name === "localhost" || name.endsWith(".localhost")) return ["127.0.0.1", "::1"];
  const resolver = new dns.Resolver({ timeout: Math.min(RESOLVER_TIMEOUT_MAX_MS, Math.ceil(watch.leftMs)), tries: 2 });
  const overdue = setTimeout(() => resolver.cancel(), watch.leftMs);
  try {
    const answers = await Promise.allSettled([resolver.resolve4(name), resolver.resolve6(name)]);
    const addresses = answers.flatMap((answer) => (answer.status === "fulfilled" ? answer.value : []));
    if (addresses.length > 0) return addresses;
    const local = await fromFiles(name);
    if (local.length > 0) return local;
    const reasons = answers.map((answer) => (answer.status === "rejected" && answer.reason instanceof Error && "code" in answer.reason ? String(answer.reason.code) : ""));
    const code = reasons.find((reason) => reason !== "ENODATA" && reason !== "") ?? "ENOTFOUND";
    throw CheckFailure.of(Object.assign(new Error(code), { code: code === "ECANCELLED" ? "ETIMEOUT" : code }));
  } finally {
    clearTimeout(overdue);
  }
}

/** What the system's files say of a name; empty if nothing, or if too many ask. */
async function fromFiles(name: string): Promise<readonly string[]> {
  if (fileLookups >= FILE_LOOKUPS_MAX) return [];
  fileLookups++;
  try {
    return (await dns.lookup(name, { all: true })).map(({ address }) => address);
  } catch {
    return [];
  } finally {
    fileLookups--;
  }
}

/** A TCP connection to the first address that takes one. */
export async function openTcp(host: string, port: number, settings: ProbeSettings, watch: Stopwatch): Promise<Socket> {
  const addresses = await addressesOf(host, settings, watch);
  const since = watch.elapsedMs;
  let last: unknown;
  for (const [index, address] of addresses.entries()) {
    try {
      const socket = await tcp(address, port, watch.leftMs / (addresses.length - index));
      watch.add("connect", since);
      return socket;
    } catch (error) {
      last = error;
    }
  }
  throw CheckFailure.of(last);
}

function tcp(address: string, port: number, timeoutMs: number): Promise<Socket> {
  return new Promise((opened, failed) => {
    const socket = connectTcp({ host: address, port });
    const overdue = setTimeout(() => end(new CheckFailure("timeout", "no connection came about in time")), timeoutMs);
    const end = (error: Error | undefined): void => {
      clearTimeout(overdue);
      socket.removeAllListeners("connect");
      socket.removeAllListeners("error");
      if (error === undefined) return opened(socket);
      socket.on("error", () => undefined).destroy();
      failed(error);
    };
    socket.once("connect", () => end(undefined));
    socket.once("error", end);
  });
}

/** TLS over a connection. `host`: the name that the certificate must fit, unless the options say another. */
export function openTls(socket: Socket, host: string, options: CheckOptions, watch: Stopwatch, protocols: readonly string[] = []): Promise<TLSSocket> {
  const since = watch.elapsedMs;
  const name = options.server_name ?? host.replace(/^\[|\]$/g, "");
  return new Promise((opened, failed) => {
    const secured = connectTls({
      socket, host: name, rejectUnauthorized: options.verify !== false,
      ...(isIP(name) === 0 ? { servername: name } : {}), ...(options.ca === undefined ? {} : { ca: options.ca }), ...(protocols.length === 0 ? {} : { ALPNProtocols: [...protocols] }),
    });
    const overdue = setTimeout(() => end(new CheckFailure("timeout", "the TLS handshake was not over in time")), watch.leftMs);
    const end = (error: Error | undefined): void => {
      clearTimeout(overdue);
      secured.removeAllListeners("secureConnect");
      secured.removeAllListeners("error");
      if (error === undefined) {
        watch.add("tls", since);
        return opened(secured);
      }
      secured.on("error", () => undefined).destroy();
      failed(CheckFailure.of(error));
    };
    secured.once("secureConnect", () => end(undefined));
    secured.once("error", end);
  });
}

const DAY_MS = 86_400_000;

/** Whole days until the first certificate of the chain expires, from now. Throws a `CheckFailure` if that is too soon. */
export function daysValid(socket: TLSSocket, minimum: number, nowMs: number): number {
  let days = Number.POSITIVE_INFINITY;
  const seen = new Set<string>();
  for (let certificate = socket.getPeerCertificate(true); certificate?.valid_to !== undefined && !seen.has(certificate.fingerprint256); certificate = certificate.issuerCertificate) {
    seen.add(certificate.fingerprint256);
    days = Math.min(days, Math.floor((Date.parse(certificate.valid_to) - nowMs) / DAY_MS));
  }
  if (days < minimum) throw new CheckFailure("certificate-expires", days < 0 ? "a certificate has expired" : `a certificate expires in ${days} days`);
  return days;
}
