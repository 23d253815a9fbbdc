/**
 * Which addresses checks must not reach unless the operator opens them: loopback, private, link-local (with the metadata
 * services of clouds), shared, multicast and reserved ranges, also written as IPv4 within IPv6.
 * Source: IANA special-purpose address registries (RFC 6890), RFC 6052 (NAT64), RFC 3056 (6to4), RFC 4380 (Teredo).
 */
import { isIP } from "node:net";

const V4_RANGES: readonly (readonly [base: string, bits: number, name: string])[] = [
  ["0.0.0.0", 8, "unspecified"], ["10.0.0.0", 8, "private"], ["100.64.0.0", 10, "shared"], ["127.0.0.0", 8, "loopback"], ["169.254.0.0", 16, "link-local"],
  ["172.16.0.0", 12, "private"], ["192.0.0.0", 24, "reserved"], ["192.0.2.0", 24, "documentation"], ["192.88.99.0", 24, "reserved"], ["192.168.0.0", 16, "private"],
  ["198.18.0.0", 15, "benchmarking"], ["198.51.100.0", 24, "documentation"], ["203.0.113.0", 24, "documentation"], ["224.0.0.0", 4, "multicast"], ["240.0.0.0", 4, "reserved"],
];

const V6_RANGES: readonly (readonly [base: string, bits: number, name: string])[] = [
  ["::", 128, "unspecified"], ["::1", 128, "loopback"], ["64:ff9b:1::", 48, "local translation"], ["100::", 64, "discard-only"], ["2001::", 32, "tunnelled"],
  ["2001:db8::", 32, "documentation"], ["fc00::", 7, "private"], ["fe80::", 10, "link-local"], ["fec0::", 10, "site-local"], ["ff00::", 8, "multicast"],
];

/** IPv6 prefixes that hold an IPv4 address, and the byte at which it begins. */
const V4_WITHIN: readonly (readonly [base: string, bits: number, at: number])[] = [
  ["::ffff:0:0", 96, 12], ["::ffff:0:0:0", 96, 12], ["64:ff9b::", 96, 12], ["2002::", 16, 2], ["::", 96, 12],
];

function bytesOfV4(text: string): number[] | undefined {
  const parts = text.split(".").map(Number);
  return parts.length === 4 && parts.every((part) => Number.isInteger(part) && part >= 0 && part <= 255) ? parts : undefined;
}

/** The 4 or 16 bytes of an address; undefined if the text is none. */
export function addressBytes(text: string): readonly number[] | undefined {
  const address = text.split("%", 1)[0] ?? "";
  const family = isIP(address);
  if (family === 0) return undefined;
  if (family === 4) return bytesOfV4(address);
  const embedded = /^(.*:)([0-9.]+\.[0-9.]+)$/.exec(address);
  const tail = embedded === null ? [] : (bytesOfV4(embedded[2] ?? "") ?? []);
  const [head = "", rest] = (embedded === null ? address : `${embedded[1] ?? ""}0:0`).split("::");
  const groups = (part: string): number[] => part.split(":").filter((group) => group !== "").flatMap((group) => [Number.parseInt(group, 16) >> 8, Number.parseInt(group, 16) & 0xff]);
  const before = groups(head);
  const after = rest === undefined ? [] : groups(rest);
  const bytes = rest === undefined ? before : [...before, ...new Array<number>(Math.max(0, 16 - before.length - after.length)).fill(0), ...after];
  return tail.length === 0 ? bytes : [...bytes.slice(0, 12), ...tail];
}

function isWithin(bytes: readonly number[], base: string, bits: number): boolean {
  const prefix = addressBytes(base) ?? [];
  for (let bit = 0; bit < bits; bit += 8) {
    const left = Math.min(8, bits - bit);
    const mask = (0xff << (8 - left)) & 0xff;
    if (((bytes[bit / 8] ?? 0) & mask) !== ((prefix[bit / 8] ?? 0) & mask)) return false;
  }
  return true;
}

/** What kind of address this is, if it is none of the public internet; undefined if it is. A text that is no address is `unreadable`. */
export function specialKind(address: string): string | undefined {
  const bytes = addressBytes(address);
  if (bytes === undefined) return "unreadable";
  if (bytes.length === 4) return V4_RANGES.find(([base, bits]) => isWithin(bytes, base, bits))?.[2];
  const kind = V6_RANGES.find(([base, bits]) => isWithin(bytes, base, bits))?.[2];
  if (kind !== undefined) return kind;
  const embedded = embeddedV4(bytes);
  return embedded === undefined ? undefined : specialKind(embedded.join("."));
}

function embeddedV4(bytes: readonly number[]): readonly number[] | undefined {
  const isOther = bytes.length !== 16 || V6_RANGES.some(([base, bits]) => isWithin(bytes, base, bits));
  const found = !isOther ? V4_WITHIN.find(([base, bits]) => isWithin(bytes, base, bits)) : undefined;
  return found === undefined ? undefined : bytes.slice(found[2], found[2] + 4);
}

/** True if an address lies in one of these ranges (`10.20.0.0/16`, `fd00::/8`), also where it is written within IPv6. */
export function isInRanges(address: string, ranges: readonly string[]): boolean {
  const bytes = addressBytes(address);
  if (bytes === undefined) return false;
  const embedded = embeddedV4(bytes);
  return ranges.some((range) => {
    const [base = "", bits] = range.split("/");
    const length = addressBytes(base)?.length;
    return [bytes, embedded].some((candidate) => candidate?.length === length && candidate !== undefined && isWithin(candidate, base, Number(bits)));
  });
}
