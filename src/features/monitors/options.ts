/** What a check of each type may be told beside its target: schemas, and what a schema cannot say. */
import { Type, type Static } from "typebox";
import { compile } from "json-p3";
import { RE2JS } from "re2js";
import type { FaultDetail } from "../../core/errors.js";
import { pointerPart } from "../../store/resource.js";
import { closed } from "../../store/resource-schemas.js";

export const MONITOR_TYPES = ["http", "tcp", "icmp", "dns", "tls", "grpc", "heartbeat", "smesh"] as const;
export type MonitorType = (typeof MONITOR_TYPES)[number];

export const HTTP_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] as const;
export const DNS_RECORDS = ["A", "AAAA", "CNAME", "MX", "NS", "TXT", "SRV", "CAA", "SOA", "PTR"] as const;

const Snippet = Type.String({ minLength: 1, maxLength: 4_096 });
const HeaderValues = Type.Record(Type.String(), Type.String({ maxLength: 4_096 }), { maxProperties: 50 });
const StatusRange = Type.Union([
  Type.Integer({ minimum: 100, maximum: 599 }),
  Type.String({ pattern: "^(?:[1-5]xx|[1-5][0-9]{2}(?:-[1-5][0-9]{2})?)$", description: "`2xx`, `204` or `200-299`." }),
]);

const optionProperties = {
  method: Type.Optional(Type.Enum([...HTTP_METHODS], { description: "http. Default `GET`." })),
  headers: Type.Optional(HeaderValues),
  body: Type.Optional(Type.String({ maxLength: 64 * 1024, description: "http: what is sent." })),
  expected_status: Type.Optional(Type.Union([StatusRange, Type.Array(StatusRange, { minItems: 1, maxItems: 20 })], { description: "http. Default `2xx`." })),
  body_contains: Type.Optional(Snippet),
  body_not_contains: Type.Optional(Snippet),
  body_matches: Type.Optional(Type.String({ minLength: 1, maxLength: 1_024, description: "http: a regular expression of RE2." })),
  json_path: Type.Optional(Type.String({ minLength: 1, maxLength: 1_024, description: "http: an RFC 9535 path that must find something in the body." })),
  json_value: Type.Optional(Type.Unknown({ description: "http: what `json_path` must find." })),
  expected_headers: Type.Optional(HeaderValues),
  max_latency_ms: Type.Optional(Type.Integer({ minimum: 1, maximum: 120_000, description: "Slower is a failure." })),
  follow_redirects: Type.Optional(Type.Boolean({ description: "http. Default true." })),
  max_redirects: Type.Optional(Type.Integer({ minimum: 0, maximum: 10, description: "http. Default 5." })),
  min_days_valid: Type.Optional(Type.Integer({ minimum: 0, maximum: 3_650, description: "http, tls, smesh: a certificate that expires earlier is a failure. Default of tls: 14." })),
  verify: Type.Optional(Type.Boolean({ description: "Whether the certificate must be trusted and fit the name. Default true." })),
  server_name: Type.Optional(Type.String({ minLength: 1, maxLength: 253, pattern: "^[A-Za-z0-9._-]+$" })),
  ca: Type.Optional(Type.String({ maxLength: 64 * 1024, pattern: "-----BEGIN CERTIFICATE-----", description: "PEM of the authorities to trust in place of the usual ones." })),
  send: Type.Optional(Type.String({ maxLength: 4_096, description: "tcp: what is sent once connected." })),
  expect: Type.Optional(Type.Union([Snippet, Type.Array(Snippet, { minItems: 1, maxItems: 20 })], { description: "tcp: what the answer must contain. dns: what the answers must contain, written as in a zone file without quotes (`10 mail.example.com`)." })),
  record: Type.Optional(Type.Enum([...DNS_RECORDS], { description: "dns. Default `A`." })),
  server: Type.Optional(Type.String({ minLength: 1, maxLength: 260, description: "dns: `address:port` of the resolver to ask. Default: the system's." })),
  tls: Type.Optional(Type.Boolean({ description: "grpc: whether the port speaks TLS. Default false." })),
  service: Type.Optional(Type.String({ maxLength: 253, description: "grpc: the service that is asked about. Default: the server." })),
  grace_seconds: Type.Optional(Type.Integer({ minimum: 0, maximum: 86_400, description: "heartbeat: how late a call may be. Default: a tenth of the interval, at least 2." })),
};

export const Options = closed(optionProperties);
export type Options = Static<typeof Options>;
type OptionName = keyof Options;

const CERTIFICATE: readonly OptionName[] = ["verify", "server_name", "ca"];

const OPTIONS_OF: Readonly<Record<MonitorType, readonly OptionName[]>> = {
  http: [
    "method", "headers", "body", "expected_status", "body_contains", "body_not_contains", "body_matches", "json_path", "json_value", "expected_headers",
    "max_latency_ms", "follow_redirects", "max_redirects", "min_days_valid", ...CERTIFICATE,
  ],
  tcp: ["send", "expect", "max_latency_ms"],
  icmp: ["max_latency_ms"],
  dns: ["record", "expect", "server", "max_latency_ms"],
  tls: ["min_days_valid", "max_latency_ms", ...CERTIFICATE],
  grpc: ["service", "tls", "max_latency_ms", ...CERTIFICATE],
  heartbeat: ["grace_seconds"],
  smesh: ["min_days_valid", "max_latency_ms", ...CERTIFICATE],
};

const HEADER_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
/** Set by the check itself; a request must not be given others. */
const OWN_HEADERS: ReadonlySet<string> = new Set(["connection", "content-length", "host", "keep-alive", "transfer-encoding", "upgrade"]);
const HOST_NAME = /^(?=.{1,253}$)[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,62})(?:\.[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,62}))*\.?$/;

/** Splits `host:port` and `[v6]:port`; undefined if it is neither. */
export function splitAddress(text: string): { host: string; port: number } | undefined {
  const match = /^(?:\[([0-9A-Fa-f:.%]+)\]|([^:\s/]+)):([0-9]{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  const host = match?.[1] ?? match?.[2] ?? "";
  const isHost = match?.[1] !== undefined || HOST_NAME.test(host);
  return match === null || !isHost || port < 1 || port > 65_535 ? undefined : { host, port };
}

function urlFault(text: string): string | undefined {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    return "is no URL";
  }
  if (url.protocol !== "http:" && url.protocol !== "https:") return "must be an http or https URL";
  return url.username !== "" || url.password !== "" ? "must not hold credentials: put them into a header" : undefined;
}

/** What is wrong with a target of a type; undefined if nothing is. */
export function targetFault(type: MonitorType, target: string | null): string | undefined {
  if (type === "heartbeat") return target === null ? undefined : "a heartbeat has no target: it is called";
  if (target === null) return "is required";
  switch (type) {
    case "http":
    case "smesh":
      return urlFault(target);
    case "icmp":
      return HOST_NAME.test(target) || /^[0-9A-Fa-f:]+$/.test(target) ? undefined : "is no host";
    case "dns":
      return HOST_NAME.test(target) ? undefined : "is no name";
    default:
      return splitAddress(target) === undefined ? "must be host:port" : undefined;
  }
}

/** Every option that a type does not take, or that means nothing. */
export function optionFaults(type: MonitorType, options: Options): FaultDetail[] {
  const faults: FaultDetail[] = [];
  const fault = (name: string, message: string): void => {
    faults.push({ pointer: `#/options/${name}`, message });
  };
  const known: ReadonlySet<string> = new Set(OPTIONS_OF[type]);
  for (const name of Object.keys(options)) if (!known.has(name)) fault(pointerPart(name), `a monitor of type ${type} does not take it`);
  if (faults.length > 0) return faults;
  for (const name of Object.keys(options.headers ?? {})) {
    if (!HEADER_NAME.test(name)) fault(`headers/${pointerPart(name)}`, "is no name of a header");
    else if (OWN_HEADERS.has(name.toLowerCase())) fault(`headers/${pointerPart(name)}`, "is set by the check itself");
    else if (/[^\t\x20-\x7e\x80-\xff]/.test(options.headers?.[name] ?? "")) fault(`headers/${pointerPart(name)}`, "holds characters that a header cannot");
  }
  for (const name of Object.keys(options.expected_headers ?? {})) if (!HEADER_NAME.test(name)) fault(`expected_headers/${pointerPart(name)}`, "is no name of a header");
  if (options.body !== undefined && ["GET", "HEAD"].includes(options.method ?? "GET")) fault("body", "a request of this method has no body");
  if (options.body_matches !== undefined && !isRegularExpression(options.body_matches)) fault("body_matches", "is no regular expression that RE2 takes");
  if (options.json_path !== undefined && !isJsonPath(options.json_path)) fault("json_path", "is no JSONPath (RFC 9535)");
  if (options.json_value !== undefined && options.json_path === undefined) fault("json_value", "needs a json_path");
  for (const [index, range] of [options.expected_status ?? []].flat().entries()) {
    const [low = "", high = ""] = String(range).split("-");
    if (high !== "" && low > high) fault(Array.isArray(options.expected_status) ? `expected_status/${index}` : "expected_status", "begins above its end");
  }
  if (type === "tcp" && Array.isArray(options.expect)) fault("expect", "must be one text");
  if (options.server !== undefined && splitAddress(options.server) === undefined && splitAddress(`${options.server}:53`) === undefined) fault("server", "must be an address, or address:port");
  return faults;
}

function isRegularExpression(pattern: string): boolean {
  try {
    RE2JS.compile(pattern);
    return true;
  } catch {
    return false;
  }
}

function isJsonPath(path: string): boolean {
  try {
    compile(path);
    return true;
  } catch {
    return false;
  }
}
