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

/** One line a record, its parts in the order of the zone file. */
function lineOf(record: unknown): string {
  if (typeof record === "string") return record;
  if (Array.isArray(record)) return record.map(String).join("");
  return Object.entries(record as Record<string, unknown>).filter(([name]) => name !== "type").map(([, value]) => String(value)).join(" ");
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
    const found: unknown = await resolver.resolve(target, options.record ?? "A");
    watch.add("dns", since);
    const answers = [found].flat().slice(0, ANSWERS_MAX).map(lineOf);
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
