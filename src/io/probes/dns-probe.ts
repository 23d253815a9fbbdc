/** Checks of DNS records, at the system's resolvers or at one that the monitor names. */
import { promises as dns } from "node:dns";
import { isIPv6 } from "node:net";
import type { Check } from "../../core/check.js";
import type { Json } from "../../core/change.js";
import { CheckFailure } from "./check-failure.js";
import { addressOf } from "./target-address.js";
import { addressesOf, type ProbeSettings, type Stopwatch } from "./target-connection.js";

const DNS_PORT = 53;
const ANSWERS_MAX = 50;

/** The parts of a record in the order of the zone file, as Node names them. */
const PARTS: Readonly<Record<string, readonly string[]>> = {
  MX: ["priority", "exchange"], SRV: ["priority", "weight", "port", "name"], SOA: ["nsname", "hostmaster", "serial", "refresh", "retry", "expire", "minttl"],
};

/** One line a record, without the quotes of the zone file: `10 mail.example.com`, `0 issue ca.example.net`. */
function lineOf(type: string, record: unknown): string {
  if (typeof record === "string") return record;
  if (Array.isArray(record)) return record.map(String).join("");
  const parts = record as Readonly<Record<string, unknown>>;
  const names = PARTS[type];
  if (names !== undefined) return names.map((name) => String(parts[name])).join(" ");
  const { critical, type: _type, ...tags } = parts;
  return [critical, ...Object.entries(tags).flat()].map(String).join(" ");
}

export async function probeDns({ target, options }: Check, settings: ProbeSettings, watch: Stopwatch): Promise<{ readonly [name: string]: Json }> {
  const resolver = new dns.Resolver({ timeout: Math.max(50, Math.floor(watch.leftMs / 2)), tries: 1 });
  if (options.server !== undefined) {
    const { host, port } = addressOf(options.server, DNS_PORT);
    const [address = ""] = await addressesOf(host, settings, watch);
    resolver.setServers([isIPv6(address) ? `[${address}]:${port}` : `${address}:${port}`]);
  }
  const overdue = setTimeout(() => resolver.cancel(), watch.leftMs);
  const since = watch.elapsedMs;
  try {
    const type = options.record ?? "A";
    const found: unknown = await resolver.resolve(target, type);
    watch.add("dns", since);
    const answers = [found].flat().slice(0, ANSWERS_MAX).map((record) => lineOf(type, record));
    for (const expected of [options.expect ?? []].flat()) {
      if (!answers.some((answer) => answer.toLowerCase().includes(expected.toLowerCase()))) throw new CheckFailure("answer", "the answers do not contain what is expected");
    }
    return { answers: answers.length };
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (code === "ECANCELLED") throw new CheckFailure("ETIMEOUT", "the name server did not answer in time");
    if (code === "ENODATA") throw new CheckFailure("ENODATA", "the name has no such record");
    if (code === "ECONNREFUSED") throw new CheckFailure("ECONNREFUSED", "the name server cannot be reached");
    throw CheckFailure.of(error);
  } finally {
    clearTimeout(overdue);
  }
}
