import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { Ajv2020 } from "ajv/dist/2020.js";
import { test } from "tap";
import { members, membershipHash, readConfig, rootKeyFault, type Config, type Environment } from "../../src/config.js";

const regions = path.resolve(import.meta.dirname, "..", "..", "regions");

const BASE = {
  replica: "us-east-1", region: "us-east", role: "region", http: "127.0.0.1:8081", mesh: "127.0.0.1:9081", data: "data/us-east-1",
  peers: {
    "eu-west-1": { region: "eu-west", mesh: "127.0.0.1:9082", http: "http://127.0.0.1:8082" },
    "ap-south-1": { region: "ap-south", mesh: "127.0.0.1:9083", http: "http://127.0.0.1:8083/" },
  },
  clusterId: "test", tls: "off",
};

function read(values: unknown, environment: Environment = {}, data?: string) {
  const folder = mkdtempSync(path.join(tmpdir(), "statusmesh-config-"));
  try {
    const file = path.join(folder, "region.json");
    writeFileSync(file, typeof values === "string" ? values : JSON.stringify(values));
    const result = readConfig({ file, environment, workingFolder: "/srv", ...(data === undefined ? {} : { data }) });
    return "faults" in result ? { faults: result.faults.map((fault) => fault.replaceAll(file, "FILE")) } : result;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function config(values: unknown, environment: Environment = {}, data?: string): Config {
  const result = read(values, environment, data);
  if ("faults" in result) throw new Error(result.faults.join("\n"));
  return result.config;
}

function faults(values: unknown, environment: Environment = {}): readonly string[] {
  const result = read(values, environment);
  return "faults" in result ? result.faults : [];
}

test("a region file becomes a frozen configuration with its defaults filled in", async (t) => {
  const read = config(BASE);
  t.match(read, {
    replica: "us-east-1", voter: true, http: { host: "127.0.0.1", port: 8081 }, data: "/srv/data/us-east-1", antiEntropyIntervalMs: 300_000, allowPrivateTargets: false,
    allowedTargetRanges: [], tls: "off", rateLimit: { perKeyPerSecond: 5_000 }, cors: [], logLevel: "info", lastKnown: "/srv/data/us-east-1/last-known",
  });
  t.equal(config({ ...BASE, lastKnown: "off" }).lastKnown, null);
  t.equal(config(BASE, { STATUSMESH_LAST_KNOWN: "/var/www" }, "/elsewhere").lastKnown, "/var/www");
  t.equal(read.peers["ap-south-1"]?.http, "http://127.0.0.1:8083");
  t.ok(Object.isFrozen(read) && Object.isFrozen(read.peers) && Object.isFrozen(read.peers["eu-west-1"]?.mesh));
});

test("the environment wins over the file, and a flag over both", async (t) => {
  const environment = {
    STATUSMESH_HTTP: "[::1]:0", STATUSMESH_DATA: "/elsewhere", STATUSMESH_ANTI_ENTROPY_INTERVAL_MS: "1000", STATUSMESH_ALLOW_PRIVATE_TARGETS: "true",
    STATUSMESH_PEER_EU_WEST_1_MESH: "127.0.0.1:7000", STATUSMESH_RATE_LIMIT_PER_KEY_PER_SECOND: "7", STATUSMESH_CORS: "https://a.example, https://b.example", STATUSMESH_LOG_LEVEL: "warn",
    STATUSMESH_LIMITS_HEARTBEAT_MS: "100", STATUSMESH_REGION: "",
  };
  const read = config(BASE, environment);
  t.match(read, { http: { host: "::1", port: 0 }, data: "/elsewhere", antiEntropyIntervalMs: 1_000, allowPrivateTargets: true, region: "us-east", logLevel: "warn", rateLimit: { perKeyPerSecond: 7 } });
  t.same(read.cors, ["https://a.example", "https://b.example"]);
  t.same(read.peers["eu-west-1"]?.mesh, { host: "127.0.0.1", port: 7_000 });
  t.equal(read.limits.heartbeatMs, 100);
  t.equal(config(BASE, environment, "/flag").data, "/flag");
});

test("an edge keeps the pages that it is told, sorted and each once; all unless told", async (t) => {
  t.same(config({ ...BASE, role: "edge", pages: ["shop", "api", "shop"] }).pages, ["api", "shop"]);
  t.same(config({ ...BASE, role: "edge" }, { STATUSMESH_PAGES: "shop, api" }).pages, ["api", "shop"]);
  t.same(config(BASE).pages, []);
});

test("peers and tls may come from the environment whole", async (t) => {
  const { peers: _, tls: __, ...rest } = BASE;
  const read = config(rest, { STATUSMESH_PEERS: JSON.stringify(BASE.peers), STATUSMESH_TLS: "off" });
  t.same(Object.keys(read.peers).sort(), ["ap-south-1", "eu-west-1"]);
});

const FAULTS: readonly (readonly [title: string, change: Record<string, unknown>, environment: Environment, ...says: RegExp[]])[] = [
  ["a missing setting", { clusterId: undefined }, {}, /^clusterId is missing from FILE and STATUSMESH_CLUSTER_ID is not set\.$/],
  ["a misspelt setting", { antyEntropyIntervalMs: 5 }, {}, /^antyEntropyIntervalMs in FILE is no setting; did you mean antiEntropyIntervalMs\?\.$/],
  ["a misspelt variable", {}, { STATUSMESH_HTPP: "127.0.0.1:1" }, /^STATUSMESH_HTPP in the environment is no setting; did you mean STATUSMESH_HTTP\?\.$/],
  ["an address without port", { http: "127.0.0.1" }, {}, /^http must be host:port/],
  ["a port out of range", { mesh: "127.0.0.1:70000" }, {}, /^mesh must be host:port/],
  ["a bad variable, named as such", {}, { STATUSMESH_MESH: "nowhere" }, /^STATUSMESH_MESH \(mesh\) must be host:port/],
  ["one address for two things", { mesh: "127.0.0.1:8081" }, {}, /^mesh: 127\.0\.0\.1:8081 is already the address of http\.$/],
  ["a peer that is this replica", { peers: { "us-east-1": { region: "eu-west", mesh: "127.0.0.1:1", http: "http://127.0.0.1:2" } } }, {}, /"us-east-1" is this replica itself/],
  ["a peer with an unknown member and a bad URL", { peers: { b: { region: "b", mesh: "h:1", http: "ftp://h", port: 1 } } }, {}, /^peers\.b\.http must be an http or https URL/, /^peers\.b\.port in FILE is no setting/],
  ["two peers at one address", { peers: { b: { region: "b", mesh: "h:1", http: "http://h:2" }, c: { region: "c", mesh: "h:1", http: "http://h:2" } } }, {}, /^peers\.c\.mesh: h:1 is already/, /^peers\.c\.http: http:\/\/h:2 is already/],
  ["a number that is text", { antiEntropyIntervalMs: "300000" }, {}, /^antiEntropyIntervalMs must be a whole number/],
  ["a flag that is text", { allowPrivateTargets: "yes" }, {}, /^allowPrivateTargets must be true or false/],
  ["ranges that are none", { allowedTargetRanges: ["10.0.0.0/33", "10.0.0/8", "fd00::", "::/129", "10.0.0.0/8"] }, {}, /"10\.0\.0\.0\/33" is no range/, /"10\.0\.0\/8" is no range/, /"fd00::" is no range/, /"::\/129" is no range/],
  ["a region that is to keep some pages", { pages: ["shop"] }, {}, /^pages: only an edge keeps some pages; a region keeps all\.$/],
  ["a page that is no page's id", { role: "edge", pages: ["Shop", "a/b"] }, {}, /^pages: "Shop" is no page id\.$/, /^pages: "a\/b" is no page id\.$/],
  ["more pages than an edge may keep", { role: "edge", pages: Array.from({ length: 1_001 }, (_, n) => `page-${n}`) }, {}, /^pages: at most 1000 can be named\.$/],
  ["a folder for copies that is none", { lastKnown: false }, {}, /^lastKnown must be a path, or "off", not false\.$/],
  ["an unknown role", { role: "observer" }, {}, /^role must be one of region, edge/],
  ["no word about tls", { tls: undefined }, {}, /^tls is missing/],
  ["certificates that are not there", { tls: { ca: "no-ca.pem", cert: "no.pem", key: "no-key.pem" } }, {}, /^tls\.ca: there is no file/, /^tls\.cert/, /^tls\.key/],
  ["a voter in another region", { voter: "eu-west-1" }, {}, /^voter: "eu-west-1" is not in region us-east\.$/],
  ["a root key with a space in it", {}, { STATUSMESH_ROOT_KEY: "not one word" }, /^STATUSMESH_ROOT_KEY: the key must be at most 512 visible ASCII characters without spaces\.$/],
  ["a root key that is too long", {}, { STATUSMESH_ROOT_KEY: "x".repeat(513) }, /^STATUSMESH_ROOT_KEY: the key must be at most 512 /],
  ["a root key that the API gave out", {}, { STATUSMESH_ROOT_KEY: "smk_root_0123456789abcdef" }, /^STATUSMESH_ROOT_KEY: a key that begins with smk_ /],
  ["a root key file that is not there", {}, { STATUSMESH_ROOT_KEY_FILE: "/nowhere/key" }, /^STATUSMESH_ROOT_KEY_FILE: There is no file \/nowhere\/key\.$/],
  ["limits that contradict each other", { limits: { heartbeatMs: 9_000 } }, {}, /^limits: heartbeatMs must be less/],
  ["an unknown limit", { limits: { heartbeat: 1 } }, {}, /^limits\.heartbeat in FILE is no setting/],
  ["a Fastly service without a token", { purge: { fastly: { service: "abc" } } }, {}, /^purge: STATUSMESH_FASTLY_TOKEN \(or STATUSMESH_FASTLY_TOKEN_FILE\) must be set\.$/],
  ["a Fastly token in a file that is not there", { purge: { fastly: { service: "abc" } } }, { STATUSMESH_FASTLY_TOKEN_FILE: "/nowhere/token" }, /^purge: the file \/nowhere\/token cannot be read\.$/],
  ["a Fastly service that is none", { purge: { fastly: { service: "a b" } } }, {}, /^purge\.fastly\.service must be an id of 1 to 64 letters/],
  ["a soft purge that is neither", { purge: { fastly: { service: "abc", soft: "maybe" } } }, { STATUSMESH_FASTLY_TOKEN: "secret" }, /^purge\.fastly\.soft must be true or false, not "maybe"\.$/],
  ["an API that is no URL", { purge: { cloudflare: { zone: "abc", api: "api.example.com" } } }, { STATUSMESH_CLOUDFLARE_TOKEN: "secret" }, /^purge\.cloudflare\.api must be a URL, not "api\.example\.com"\.$/],
  ["half of the key for CloudFront", { purge: { cloudfront: { distribution: "ABC" } } }, { STATUSMESH_AWS_ACCESS_KEY_ID: "id" }, /^purge: STATUSMESH_AWS_SECRET_ACCESS_KEY \(or STATUSMESH_AWS_SECRET_ACCESS_KEY_FILE\) must be set\.$/],
  ["a cache that is no URL", { purge: { caches: ["http://127.0.0.1:1", "varnish:80"] } }, {}, /^purge\.caches: "varnish:80" is no http or https URL\.$/],
  ["a kind of cache that nobody knows", { purge: { fastyl: { service: "abc" } } }, {}, /^purge\.fastyl in FILE is no setting; did you mean fastly\?\.$/],
  ["an origin with a path", { cors: ["https://a.example/x"] }, {}, /^cors: "https:\/\/a\.example\/x" is no origin/],
];

for (const [title, change, environment, ...says] of FAULTS) {
  test(`${title} is said in one sentence`, async (t) => {
    const found = faults({ ...BASE, ...change }, environment);
    t.equal(found.length, says.length, found.join("\n"));
    for (const say of says) t.ok(found.some((fault) => say.test(fault)), `${say} in ${found.join(" | ")}`);
  });
}

test("all faults are said at once", async (t) => {
  t.equal(faults({ ...BASE, http: 1, role: "x", extra: true }, { STATUSMESH_ROOT_KEY: "not one word" }).length, 4);
});

test("a file that is no JSON, no object or not there is one fault", async (t) => {
  t.match(faults("{"), [/^FILE is not JSON: /]);
  t.match(faults([]), [/^FILE must hold an object\.$/]);
  t.match(readConfig({ file: "/nowhere.json", environment: {}, workingFolder: "/" }), { faults: ["There is no file /nowhere.json."] });
});

test("what an orchestrator adds to the environment is no fault", async (t) => {
  t.same(faults(BASE, { STATUSMESH_PORT: "tcp://10.0.0.1:80", STATUSMESH_SERVICE_HOST: "10.0.0.1", STATUSMESH_PORT_80_TCP_ADDR: "10.0.0.1" }), []);
});

test("only the first start on an empty folder needs a root key", async (t) => {
  t.match(rootKeyFault(undefined, true, "/srv/data"), /STATUSMESH_ROOT_KEY .* \/srv\/data\.$/);
  t.equal(rootKeyFault(undefined, false, "/srv/data"), undefined);
  t.equal(rootKeyFault("0123456789abcdef", true, "/srv/data"), undefined);
});

test("every replica of one set computes the same membership, edges do not count, another voter or region changes it", async (t) => {
  const east = config(BASE);
  const west = config({
    ...BASE, replica: "eu-west-1", region: "eu-west", http: "127.0.0.1:8082", mesh: "127.0.0.1:9082",
    peers: { "us-east-1": { region: "us-east", mesh: "proxy:1", http: "http://127.0.0.1:8081" }, "ap-south-1": { region: "ap-south", mesh: "proxy:2", http: "http://127.0.0.1:8083" } },
  });
  t.equal(membershipHash(east), membershipHash(west));
  t.same(members(east).map(({ replica, voter }) => [replica, voter]), [["ap-south-1", true], ["eu-west-1", true], ["us-east-1", true]]);
  const edge = { region: "sa-east", role: "edge", mesh: "127.0.0.1:9084", http: "http://127.0.0.1:8084" };
  t.equal(membershipHash(config({ ...BASE, peers: { ...BASE.peers, "sa-east-1": edge } })), membershipHash(east));
  const second = { region: "us-east", mesh: "127.0.0.1:9085", http: "http://127.0.0.1:8085" };
  const two = { ...BASE, peers: { ...BASE.peers, "us-east-2": second } };
  t.not(membershipHash(config(two)), membershipHash(east));
  t.same(members(config(two)).filter(({ voter }) => !voter).map(({ replica }) => replica), ["us-east-2"], "the lowest id of a region votes");
  t.equal(config({ ...two, voter: "us-east-2" }).voter, false);
  t.not(membershipHash(config({ ...two, voter: "us-east-2" })), membershipHash(config(two)));
});

test("the region files that ship satisfy schema and configuration, and name one set", async (t) => {
  const schema: unknown = JSON.parse(readFileSync(path.join(regions, "region.schema.json"), "utf8"));
  const validate = new Ajv2020({ allErrors: true }).compile(schema as object);
  const files = readdirSync(regions).filter((name) => /^[a-z-]+\.json$/.test(name) && name !== "topology.json");
  t.equal(files.length, 3);
  const hashes = new Set<string>();
  for (const name of files) {
    const file = path.join(regions, name);
    t.ok(validate(JSON.parse(readFileSync(file, "utf8"))), JSON.stringify(validate.errors));
    const result = readConfig({ file, environment: { STATUSMESH_TLS: "off" }, workingFolder: regions });
    if ("faults" in result) t.fail(result.faults.join("\n"));
    else hashes.add(membershipHash(result.config));
  }
  t.equal(hashes.size, 1);
  const topology = JSON.parse(readFileSync(path.join(regions, "topology.json"), "utf8")) as { regions: { files: string[] }[] };
  t.same(topology.regions.flatMap((region) => region.files).sort(), files.sort());
});
