import t from "tap";
import { execFile, spawn } from "node:child_process";
import { mkdir, readFile, readdir, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { X509Certificate } from "node:crypto";
import { freePorts } from "../../chaos/free-ports.js";
import { bareNode, command, environmentOf, type Json } from "../../chaos/replica-process.js";
import { COMPONENTS, created } from "./workload.js";
import { settled, World } from "./world.js";

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the command to its end. */
function statusmesh(args: readonly string[], environment: Readonly<Record<string, string>> = {}): Promise<Ended> {
  const [file, rest] = bareNode([command, ...args]);
  return new Promise((resolve) => {
    execFile(file, rest, { env: environmentOf(environment), timeout: 20_000 }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : typeof error.code === "number" ? error.code : -1, stdout, stderr });
    });
  });
}

t.test("a configuration that cannot be is refused with a sentence for each fault and exit code 78, and nothing is started", { timeout: 150_000 }, async (t) => {
  const world = await World.prepare(t);
  const good = await world.readConfig("us-east");
  const cases: readonly (readonly [string, Readonly<Record<string, Json>>, readonly RegExp[]])[] = [
    ["an unknown setting", { antiEntropyInterval: 5 }, [/antiEntropyInterval/]],
    ["several faults at once", { http: "nowhere", role: "king", antiEntropyIntervalMs: "soon" }, [/http/, /role/, /antiEntropyIntervalMs/]],
    ["a certificate that is not there", { tls: { ca: "/none/ca.pem", cert: "/none/c.pem", key: "/none/k.pem" } }, [/tls\.ca/, /tls\.cert/, /tls\.key/]],
    ["itself as a peer", { peers: { "us-east-1": { region: "us-east", mesh: "127.0.0.1:1", http: "http://127.0.0.1:1" } } }, [/itself/]],
  ];
  for (const [what, settings, sentences] of cases) {
    const file = path.join(world.folder, "faulty.json");
    await writeFile(file, JSON.stringify({ ...good, ...settings }));
    const ended = await statusmesh(["node", "--config", file]);
    t.equal(ended.code, 78, what);
    for (const sentence of sentences) t.match(ended.stderr, sentence, what);
    t.equal(ended.stderr.trim().split("\n").length, sentences.length, `${what}: a line a fault: ${ended.stderr}`);
    t.notMatch(ended.stdout, /listening/);
  }
  const noFile = await statusmesh(["node", "--config", path.join(world.folder, "none.json")]);
  t.equal(noFile.code, 78, "no such file");
  const noKey = await statusmesh(["node", "--config", world.configFile("us-east")], { STATUSMESH_ROOT_KEY: "" });
  t.equal(noKey.code, 78, "no root key for an empty folder");
  t.match(noKey.stderr, /STATUSMESH_ROOT_KEY/);
  const variable = await statusmesh(["node", "--config", world.configFile("us-east")], { STATUSMESH_ANTI_ENTROPY_INTERVAL_MS: "never" });
  t.equal(variable.code, 78, "a faulty variable");
});

t.test("the certs command makes an authority and a certificate that names each replica", { timeout: 150_000 }, async (t) => {
  const world = await World.prepare(t);
  const files = await readdir(world.certificates);
  t.ok(files.includes("ca.pem"));
  for (const region of ["us-east", "eu-west", "ap-south"]) {
    const certificate = new X509Certificate(await readFile(path.join(world.certificates, `${region}-1.pem`)));
    t.match(certificate.subjectAltName, new RegExp(`${region}-1`));
  }
  for (const args of [["--help"], ["up", "--help"], ["node", "--help"], ["certs", "--help"]]) t.equal((await statusmesh(args)).code, 0, args.join(" "));
});

t.test("three regions start, one folder has one process, and SIGTERM ends in order", { timeout: 150_000 }, async (t) => {
  const world = await World.prepare(t);
  await t.test("a region reports listening and takes LOCAL writes although no peer is reachable", async (t) => {
    await world.startOne("us-east");
    t.equal((await world.us.post(COMPONENTS, { name: "alone" })).status, 201);
    t.match(world.us.log.find(({ event }) => event === "listening"), { event: "listening", replica: "us-east-1", region: "us-east", http: /^127\.0\.0\.1:\d+$/, mesh: /^127\.0\.0\.1:\d+$/ });
    t.match((await world.us.get("/healthz", { key: null })).status, 200);
  });

  await t.test("the others come, and all form a mesh", async (t) => {
    await world.startAll();
    await world.voting();
    await world.converged();
    t.equal((await world.ap.get("/v1/pages/default")).status, 200, "the page default exists from the first start");
  });

  await t.test("a second process on the same folder refuses to start", async (t) => {
    const second = await statusmesh(["node", "--config", world.configFile("us-east")]);
    t.not(second.code, 0);
    t.match(second.stderr, /Another process uses this data folder/);
    t.equal((await world.us.get("/v1/pages/default")).status, 200, "the first one goes on");
  });

  await t.test("secrets do not get into the log", async (t) => {
    t.notOk(world.us.logged(/a-root-key-for-process-tests/));
    t.notMatch(world.us.stderr, /a-root-key-for-process-tests/);
  });

  await t.test("an environment variable wins over the file, a flag over both", async (t) => {
    const data = path.join(world.folder, "elsewhere");
    await world.eu.stop();
    await world.startOne("eu-west", "--data", data);
    t.ok((await readdir(data)).includes("store"));
    await world.voting().catch((error: unknown) => {
      t.comment(world.eu.log.slice(-20).map((entry) => JSON.stringify(entry)).join("\n"));
      throw error;
    });
    await world.eu.stop();
    await world.startOne("eu-west");
    await world.voting();
  });

  await t.test("SIGTERM while writes are under way: each is answered, exit code 0 within 10 s, and all is there afterwards", async (t) => {
    const under = Array.from({ length: 30 }, (_, i) => world.us.post(COMPONENTS, { name: `last ${i}` }, { takesOverload: true }).then((answer) => (answer.status === 201 ? created(answer) : undefined), () => undefined));
    const first = await Promise.race(under);
    t.ok(first, "one was answered before the signal");
    const exit = await world.us.stop();
    t.equal(exit.code, 0);
    t.ok(exit.ms < 10_000, `${Math.round(exit.ms)} ms`);
    const ids = (await Promise.all(under)).filter((id) => id !== undefined);
    await world.startOne("us-east");
    for (const id of ids) t.equal((await world.us.get(`${COMPONENTS}/${id}`)).status, 200);
  });

  await t.test("an event-less keep-alive connection does not hold the end up, and plaintext is only by request, with a warning", async (t) => {
    await world.killAll();
    for (const region of ["us-east", "eu-west", "ap-south"] as const) await world.writeConfig(region, { tls: "off" });
    await world.startAll();
    await world.voting();
    t.ok(world.us.logged(/"event":"plaintext"/));
    for (const exit of await Promise.all(world.all.map((node) => node.stop()))) t.equal(exit.code, 0);
  });
  await rm(path.join(world.folder, "elsewhere"), { recursive: true, force: true });
});

t.test("up starts every region of a folder, with certificates and a key of its own, and ends all of them", { timeout: 150_000 }, async (t) => {
  const world = await World.prepare(t);
  const regions = path.join(world.folder, "regions");
  await mkdir(regions);
  const names = ["us-east", "eu-west", "ap-south"] as const;
  const ports = await freePorts(6);
  const address = (index: number): string => `127.0.0.1:${ports[index] ?? 0}`;
  for (const [index, region] of names.entries()) {
    const { tls: _tls, data: _data, ...rest } = await world.readConfig(region);
    const peers = Object.fromEntries(names.flatMap((other, at) => (other === region ? [] : [[`${other}-1`, { region: other, mesh: address(at), http: `http://${address(at + 3)}` }]])));
    await writeFile(path.join(regions, `${region}.json`), JSON.stringify({ ...rest, data: `data/${region}-1`, mesh: address(index), http: address(index + 3), peers }));
  }
  const [file, args] = bareNode([command, "up", "--regions", regions, "--data", path.join(world.folder, "up-data")]);
  const child = spawn(file, args, { env: environmentOf({ STATUSMESH_ROOT_KEY: "" }), stdio: ["ignore", "pipe", "pipe"] });
  t.teardown(() => void child.kill("SIGKILL"));
  let said = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (bytes: Buffer) => {
    said += bytes.toString();
  });
  const ended = new Promise<number | null>((resolve) => child.once("exit", resolve));
  await settled("three addresses are printed, and the key to use", () => new Set(said.match(/http:\/\/127\.0\.0\.1:\d+/g)).size >= 3 && /key/i.test(said), 30_000);
  child.kill("SIGTERM");
  t.equal(await ended, 0, said);
});
