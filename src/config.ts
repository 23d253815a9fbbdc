/**
 * What a replica is told: a region file, the environment over it, flags over both. Parsed once, here, into a frozen `Config`;
 * every fault is found in one pass and said in one sentence.
 */
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { isIP } from "node:net";
import path from "node:path";
import { limits as builtInLimits } from "./core/limits.js";
import { PURGE_VARIABLES, purgeOf, type PurgeConfig } from "./purge-settings.js";
import { SettingReader, addressText, type Address } from "./settings.js";

export type { Address } from "./settings.js";
export { addressText } from "./settings.js";

export type Role = "region" | "edge";
export type LimitName = keyof typeof builtInLimits;
export const EMBEDDED_RUNNER = ["yield", "share", "off"] as const;
export const LOG_LEVELS = ["fatal", "error", "warn", "info", "debug", "trace", "silent"] as const;

export interface PeerConfig {
  readonly region: string;
  readonly role: Role;
  /** The address that this replica dials. */
  readonly mesh: Address;
  /** Base URL without a slash at the end, for forwarding and links for people. */
  readonly http: string;
  /** True if this peer votes for its region. */
  readonly voter: boolean;
}

export interface TlsFiles {
  /** Paths of PEM files. */
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

export interface Config {
  readonly replica: string;
  readonly region: string;
  readonly role: Role;
  /** True if this replica votes for its region. */
  readonly voter: boolean;
  readonly http: Address;
  readonly mesh: Address;
  /** Absolute path of the data folder. */
  readonly data: string;
  readonly peers: Readonly<Record<string, PeerConfig>>;
  /** Absolute path of the folder of the pages' static copies; null: none are kept. */
  readonly lastKnown: string | null;
  /** The pages that an edge keeps; empty: all. */
  readonly pages: readonly string[];
  readonly antiEntropyIntervalMs: number;
  readonly clusterId: string;
  readonly allowPrivateTargets: boolean;
  /** Ranges that checks may reach although they are not of the public internet. */
  readonly allowedTargetRanges: readonly string[];
  readonly tls: TlsFiles | "off";
  readonly rateLimit: { readonly perKeyPerSecond: number; readonly perAddressPerSecond: number };
  /** True if a proxy in front names the client's address and the host that was asked for. */
  readonly trustProxy: boolean;
  /** How long others may keep public answers, s. `sharedMaxAgeSeconds` 0: as `maxAgeSeconds`. */
  readonly publicCaching: { readonly maxAgeSeconds: number; readonly sharedMaxAgeSeconds: number; readonly staleWhileRevalidateSeconds: number; readonly staleIfErrorSeconds: number };
  /** Origins that browsers may call the API from; `*` for all; empty for none. */
  readonly cors: readonly string[];
  /** URLs that answer while this region's uplink works, beside the other regions' health. */
  readonly canaries: readonly string[];
  /** When the replica's own runner checks, beside runners that are processes of their own. */
  readonly embeddedRunner: (typeof EMBEDDED_RUNNER)[number];
  readonly limits: Readonly<Record<LimitName, number>>;
  readonly logLevel: (typeof LOG_LEVELS)[number];
}

export interface Member {
  readonly replica: string;
  readonly region: string;
  readonly voter: boolean;
}

export type Environment = Readonly<Record<string, string | undefined>>;

export interface ConfigSource {
  /** Path of the region file. */
  readonly file: string;
  readonly environment: Environment;
  /** `--data`. */
  readonly data?: string;
  /** Relative paths start here. */
  readonly workingFolder: string;
}

export type ConfigResult = { readonly config: Config; readonly rootKey: string | undefined; readonly purge: PurgeConfig | undefined } | { readonly faults: readonly string[] };

/** A shorter root key can be guessed: it is taken, and warned of at every start. */
export const ROOT_KEY_LENGTH_SAFE = 16;
const ROOT_KEY_LENGTH_MAX = 512;
const IDENTIFIER = /^[a-z0-9](?:[a-z0-9-]{0,46}[a-z0-9])?$/;
const IDENTIFIER_SAYS = "1 to 48 lower-case letters, digits and hyphens, with no hyphen at either end";
const CLUSTER_ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
/** As `features/pages` takes them. */
const PAGE_ID = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
const INTERVAL_MS_MIN = 100;
const INTERVAL_MS_MAX = 24 * 3_600_000;

const SETTINGS = [
  "$schema", "replica", "region", "role", "voter", "http", "mesh", "data", "lastKnown", "peers", "pages", "antiEntropyIntervalMs", "clusterId",
  "allowPrivateTargets", "allowedTargetRanges", "tls", "rateLimit", "cors", "canaries", "embeddedRunner", "limits", "logLevel", "trustProxy", "publicCaching", "purge",
] as const;

/** Variables that are no settings of a region file. */
const OTHER_VARIABLES = ["STATUSMESH_ROOT_KEY", "STATUSMESH_ROOT_KEY_FILE", "STATUSMESH_TEST_DISK_FULL_FILE", "STATUSMESH_TEST_CLOCK_OFFSET_MS", "STATUSMESH_READY"];

/** Reads and validates. Does not look into the data folder; see `rootKeyFault` for what depends on it. */
export function readConfig(source: ConfigSource): ConfigResult {
  const text = readFileOrFault(source.file);
  if (typeof text !== "string") return { faults: [text.fault] };
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    return { faults: [`${source.file} is not JSON: ${error instanceof Error ? error.message : String(error)}.`] };
  }
  if (!isRecord(parsed)) return { faults: [`${source.file} must hold an object.`] };
  const reader = new SettingReader(parsed, source.environment, source.file);
  const config = configOf(reader, source);
  const rootKey = rootKeyOf(source, reader);
  const purge = purgeOf(reader, source.environment, source.workingFolder);
  reader.refuseUnknown(SETTINGS, [...OTHER_VARIABLES, ...PURGE_VARIABLES]);
  return config === undefined || reader.faults.length > 0 ? { faults: reader.faults } : { config: deepFreeze(config), rootKey, purge };
}

function configOf(reader: SettingReader, source: ConfigSource): Config | undefined {
  const replica = reader.text("replica", { pattern: IDENTIFIER, says: IDENTIFIER_SAYS });
  const region = reader.text("region", { pattern: IDENTIFIER, says: IDENTIFIER_SAYS });
  const role = reader.choice("role", ["region", "edge"] as const, "region");
  const http = reader.address("http", { portZero: true });
  const mesh = reader.address("mesh", { portZero: true });
  const data = dataFolderOf(reader, source);
  const lastKnown = reader.text("lastKnown", { pattern: /^[^\0]+$/, says: 'a path, or "off"', fallback: "last-known" });
  const antiEntropyIntervalMs = reader.integer("antiEntropyIntervalMs", { min: INTERVAL_MS_MIN, max: INTERVAL_MS_MAX, fallback: 300_000 });
  const clusterId = reader.text("clusterId", { pattern: CLUSTER_ID, says: "1 to 64 letters, digits, dots, underscores and hyphens" });
  const allowPrivateTargets = reader.flag("allowPrivateTargets", false);
  const allowedTargetRanges = reader.texts("allowedTargetRanges");
  for (const range of allowedTargetRanges) if (!isRange(range)) reader.fault(`allowedTargetRanges: "${range}" is no range such as 10.20.0.0/16 or fd00::/8.`);
  const tls = tlsOf(reader, source);
  const rateLimit = reader.group("rateLimit", ["perKeyPerSecond", "perAddressPerSecond"], (group) => ({
    perKeyPerSecond: group.integer("perKeyPerSecond", { min: 1, max: 1_000_000, fallback: 5_000 }),
    perAddressPerSecond: group.integer("perAddressPerSecond", { min: 1, max: 1_000_000, fallback: 20_000 }),
  }));
  const cors = reader.texts("cors");
  for (const origin of cors) if (origin !== "*" && !isOrigin(origin)) reader.fault(`cors: "${origin}" is no origin such as https://status.example.com, and not *.`);
  const canaries = reader.texts("canaries");
  for (const url of canaries) if (!/^https?:\/\/[^/]/.test(url) || !URL.canParse(url)) reader.fault(`canaries: "${url}" is no http or https URL.`);
  const trustProxy = reader.flag("trustProxy", false);
  const publicCaching = publicCachingOf(reader);
  const embeddedRunner = reader.choice("embeddedRunner", EMBEDDED_RUNNER, "yield");
  const logLevel = reader.choice("logLevel", LOG_LEVELS, "info");
  const limits = limitsOf(reader);
  const pages = pagesOf(reader, role);
  const drafts = peersOf(reader);
  const votes = votersOf(reader, { replica, region, role }, drafts);
  refuseDuplicates(reader, { replica, http, mesh }, drafts);
  if (replica === undefined || region === undefined || http === undefined || mesh === undefined || data === undefined || lastKnown === undefined || clusterId === undefined || tls === undefined) return undefined;
  const peers: Record<string, PeerConfig> = Object.create(null) as Record<string, PeerConfig>;
  for (const [id, draft] of drafts) {
    if (draft.region === undefined || draft.mesh === undefined || draft.http === undefined) return undefined;
    peers[id] = { region: draft.region, role: draft.role, mesh: draft.mesh, http: draft.http, voter: votes.has(id) };
  }
  const voter = votes.has(replica);
  return {
    replica, region, role, voter, http, mesh, data, lastKnown: lastKnown === "off" ? null : path.resolve(data, lastKnown), peers, pages,
    antiEntropyIntervalMs, clusterId, allowPrivateTargets, allowedTargetRanges, tls, rateLimit, trustProxy, publicCaching, cors, canaries, embeddedRunner, limits, logLevel,
  };
}

function isRange(text: string): boolean {
  const [, base = "", bits] = /^([0-9A-Fa-f:.]+)\/(\d{1,3})$/.exec(text) ?? [];
  const family = isIP(base);
  return family !== 0 && Number(bits) <= (family === 4 ? 32 : 128);
}

/** The pages that an edge is told to keep. A region keeps all: what it left out, nobody else would have to have. */
function pagesOf(reader: SettingReader, role: Role): readonly string[] {
  const pages = reader.texts("pages");
  if (pages.length > 0 && role !== "edge") reader.fault("pages: only an edge keeps some pages; a region keeps all.");
  if (pages.length > builtInLimits.keptPagesMax) reader.fault(`pages: at most ${builtInLimits.keptPagesMax} can be named.`);
  for (const page of pages) if (!PAGE_ID.test(page)) reader.fault(`pages: "${page}" is no page id.`);
  return [...new Set(pages)].sort();
}

function publicCachingOf(reader: SettingReader): Config["publicCaching"] {
  return reader.group("publicCaching", ["maxAgeSeconds", "sharedMaxAgeSeconds", "staleWhileRevalidateSeconds", "staleIfErrorSeconds"], (group) => {
    const seconds = (name: string, fallback: number): number => group.integer(name, { min: 0, max: 365 * 86_400, fallback });
    return {
      maxAgeSeconds: seconds("maxAgeSeconds", 5), sharedMaxAgeSeconds: seconds("sharedMaxAgeSeconds", 0),
      staleWhileRevalidateSeconds: seconds("staleWhileRevalidateSeconds", 60), staleIfErrorSeconds: seconds("staleIfErrorSeconds", 7 * 86_400),
    };
  });
}

function dataFolderOf(reader: SettingReader, source: ConfigSource): string | undefined {
  const named = reader.text("data", { pattern: /^[^\0]+$/, says: "a path", ...(source.data === undefined ? {} : { fallback: "-" }) });
  const chosen = source.data ?? named;
  if (source.data === "") reader.fault("--data must name a folder.");
  return chosen === undefined || chosen === "" ? undefined : path.resolve(source.workingFolder, chosen);
}

function tlsOf(reader: SettingReader, source: ConfigSource): TlsFiles | "off" | undefined {
  const value = reader.tls();
  if (value === undefined || value === "off") return value;
  const files = { ca: tlsPath(value.ca, source), cert: tlsPath(value.cert, source), key: tlsPath(value.key, source) };
  for (const [name, file] of Object.entries(files)) if (!existsSync(file)) reader.fault(`tls.${name}: there is no file ${file}.`);
  return files;
}

/** Relative to the working folder, or else to the region file. */
function tlsPath(file: string, source: ConfigSource): string {
  const here = path.resolve(source.workingFolder, file);
  const besideFile = path.resolve(path.dirname(source.file), file);
  return existsSync(here) || !existsSync(besideFile) ? here : besideFile;
}

interface PeerDraft {
  readonly region: string | undefined;
  readonly role: Role;
  readonly mesh: Address | undefined;
  readonly http: string | undefined;
  readonly voter: boolean;
}

function peersOf(reader: SettingReader): Map<string, PeerDraft> {
  const drafts = new Map<string, PeerDraft>();
  const own = reader.peek("replica");
  for (const [id, peer] of reader.members("peers", "PEER")) {
    if (!IDENTIFIER.test(id)) reader.fault(`peers: "${id}" is no replica id (${IDENTIFIER_SAYS}).`);
    if (id === own) reader.fault(`peers: "${id}" is this replica itself.`);
    drafts.set(id, {
      region: peer.text("region", { pattern: IDENTIFIER, says: IDENTIFIER_SAYS }),
      role: peer.choice("role", ["region", "edge"] as const, "region"),
      mesh: peer.address("mesh", { portZero: false }),
      http: peer.baseUrl("http"),
      voter: peer.flag("voter", false),
    });
    peer.refuseUnknown(["region", "role", "mesh", "http", "voter"], []);
  }
  return drafts;
}

/** One voter a region: the one named by `voter` or `peers.*.voter`, else the lowest replica id. */
function votersOf(
  reader: SettingReader,
  own: { readonly replica: string | undefined; readonly region: string | undefined; readonly role: Role },
  peers: ReadonlyMap<string, PeerDraft>,
): ReadonlySet<string> {
  const byRegion = new Map<string, string[]>();
  const candidates = new Map<string, string>();
  if (own.replica !== undefined && own.region !== undefined && own.role === "region") candidates.set(own.replica, own.region);
  for (const [id, peer] of peers) if (peer.role === "region" && peer.region !== undefined) candidates.set(id, peer.region);
  for (const [id, region] of candidates) byRegion.set(region, [...(byRegion.get(region) ?? []), id]);

  const named = new Map<string, string>();
  const name = (id: string, setting: string): void => {
    const region = candidates.get(id);
    if (region === undefined) return reader.fault(`${setting}: "${id}" is no replica of a region and cannot vote.`);
    const other = named.get(region);
    if (other !== undefined && other !== id) reader.fault(`${setting}: region ${region} already has the voter "${other}".`);
    named.set(region, id);
  };
  const ownVoter = reader.text("voter", { pattern: IDENTIFIER, says: IDENTIFIER_SAYS, optional: true });
  if (ownVoter !== undefined) {
    name(ownVoter, "voter");
    if (candidates.has(ownVoter) && candidates.get(ownVoter) !== own.region) reader.fault(`voter: "${ownVoter}" is not in region ${own.region ?? "?"}.`);
  }
  for (const [id, peer] of peers) if (peer.voter) name(id, `peers.${id}.voter`);
  return new Set([...byRegion].map(([region, ids]) => named.get(region) ?? ids.sort()[0] ?? ""));
}

function refuseDuplicates(
  reader: SettingReader,
  own: { readonly replica: string | undefined; readonly http: Address | undefined; readonly mesh: Address | undefined },
  peers: ReadonlyMap<string, PeerDraft>,
): void {
  const users = new Map<string, string>();
  const use = (address: Address | undefined, user: string): void => {
    if (address === undefined || address.port === 0) return;
    const text = addressText(address);
    const other = users.get(text);
    if (other === undefined) users.set(text, user);
    else reader.fault(`${user}: ${text} is already the address of ${other}.`);
  };
  use(own.http, "http");
  use(own.mesh, "mesh");
  for (const [id, peer] of peers) use(peer.mesh, `peers.${id}.mesh`);
  const urls = new Map<string, string>();
  for (const [id, { http }] of peers) {
    const other = http === undefined ? undefined : urls.get(http);
    if (other !== undefined) reader.fault(`peers.${id}.http: ${http} is already the address of peers.${other}.http.`);
    if (http !== undefined) urls.set(http, id);
  }
}

/** Bounds that are part of the contract or of the format, or that others than the replica's engine hold to. */
const FIXED_LIMITS: ReadonlySet<string> = new Set([
  "changeBytesMax", "operationsMax", "jsonDepthMax", "originsMax", "requestBodyBytes", "automergeCacheDocuments", "linkOutboxBytes", "messageBytesMax",
  "reconnectMinMs", "reconnectMaxMs", "keptPagesMax", "sessionTokenBytes", "sessionWaitMaxMs", "quorumTimeoutMinMs", "quorumTimeoutMaxMs", "idempotencyKeptMs",
]);

function limitsOf(reader: SettingReader): Readonly<Record<LimitName, number>> {
  const names = (Object.keys(builtInLimits) as LimitName[]).filter((name) => !FIXED_LIMITS.has(name));
  return reader.group("limits", names, (group) => {
    const chosen: Record<string, number> = {};
    for (const name of names) chosen[name] = group.integer(name, { min: 1, max: Number.MAX_SAFE_INTEGER, fallback: builtInLimits[name] });
    const result: Record<LimitName, number> = { ...builtInLimits, ...chosen };
    if (!(result.heartbeatMs < result.suspectAfterMs && result.suspectAfterMs < result.downAfterMs))
      reader.fault("limits: heartbeatMs must be less than suspectAfterMs, and that less than downAfterMs.");
    return result;
  });
}

/** `STATUSMESH_ROOT_KEY`, or the first line of the file that `STATUSMESH_ROOT_KEY_FILE` names. */
function rootKeyOf(source: ConfigSource, reader: SettingReader): string | undefined {
  const named = source.environment["STATUSMESH_ROOT_KEY_FILE"];
  let key = source.environment["STATUSMESH_ROOT_KEY"];
  let setting = "STATUSMESH_ROOT_KEY";
  if ((key === undefined || key === "") && named !== undefined && named !== "") {
    setting = "STATUSMESH_ROOT_KEY_FILE";
    const text = readFileOrFault(path.resolve(source.workingFolder, named));
    if (typeof text !== "string") {
      reader.fault(`${setting}: ${text.fault}`);
      return undefined;
    }
    key = text.split(/\r?\n/, 1)[0]?.trim() ?? "";
    if (key === "") reader.fault(`${setting}: the first line of ${named} is empty.`);
  }
  if (key === undefined || key === "") return undefined;
  if (key.startsWith("smk_")) reader.fault(`${setting}: a key that begins with smk_ is one that the API gave out, and not the cluster's own.`);
  else if (key.length > ROOT_KEY_LENGTH_MAX || !/^[\x21-\x7e]+$/.test(key)) reader.fault(`${setting}: the key must be at most ${ROOT_KEY_LENGTH_MAX} visible ASCII characters without spaces.`);
  return key;
}

/** A sentence if a replica on this data folder cannot start without a root key. `isFresh`: no replica ever ran on it. */
export function rootKeyFault(rootKey: string | undefined, isFresh: boolean, dataFolder: string): string | undefined {
  if (rootKey !== undefined || !isFresh) return undefined;
  return `STATUSMESH_ROOT_KEY (or STATUSMESH_ROOT_KEY_FILE) must be set for the first start on the empty data folder ${dataFolder}.`;
}

/** This replica and its peers of role `region`, sorted by id. Edges are no members. */
export function members(config: Config): readonly Member[] {
  const list: Member[] = [];
  if (config.role === "region") list.push({ replica: config.replica, region: config.region, voter: config.voter });
  for (const [replica, peer] of Object.entries(config.peers)) if (peer.role === "region") list.push({ replica, region: peer.region, voter: peer.voter });
  return list.sort((a, b) => (a.replica < b.replica ? -1 : a.replica > b.replica ? 1 : 0));
}

/** SHA-256, in hex, over the sorted members: unequal sets refuse each other at the handshake. */
export function membershipHash(config: Config): string {
  const hash = createHash("sha256");
  for (const { replica, region, voter } of members(config)) hash.update(`${replica} ${region} ${voter ? "voter" : "member"}\n`);
  return hash.digest("hex");
}

function isOrigin(text: string): boolean {
  try {
    return new URL(text).origin === text;
  } catch {
    return false;
  }
}

function readFileOrFault(file: string): string | { readonly fault: string } {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    return { fault: code === "ENOENT" ? `There is no file ${file}.` : `${file} cannot be read: ${error instanceof Error ? error.message : String(error)}.` };
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function deepFreeze<T>(value: T): T {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const member of Object.values(value)) deepFreeze(member);
  }
  return value;
}
