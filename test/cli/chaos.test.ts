import { access, readFile, stat, writeFile } from "node:fs/promises";
import path from "node:path";
import { test } from "tap";
import { clusterFolder, statusmesh } from "./cluster-folder.js";

interface Link {
  readonly from: string;
  readonly to: string;
  readonly cut: boolean;
  readonly delay_ms: number;
  readonly connections: number;
}

interface Answer {
  readonly status: number;
  readonly body: Record<string, unknown>;
}

async function settled(what: string, condition: () => Promise<boolean>, withinMs = 30_000): Promise<void> {
  const until = performance.now() + withinMs;
  while (!(await condition().catch(() => false))) {
    if (performance.now() > until) throw new Error(`not within ${withinMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

test("a region is cut off and refuses GLOBAL_QUORUM, all go on at LOCAL, and after healing they are equal", { timeout: 300_000 }, async (t) => {
  const { folder } = await clusterFolder(t, 3);
  const data = path.join(folder, "cluster");
  const up = statusmesh(["up", "--regions", folder, "--data", data, "--chaos", "--json"], folder);
  t.teardown(() => void up.child.kill("SIGKILL"));
  const ready = JSON.parse((await up.says(/^\{"event":"ready".*$/m))[0]) as { regions: { api: string }[]; key: string; chaos_file: string };
  t.equal(ready.chaos_file, path.join(data, "chaos.json"));
  t.equal((await stat(ready.chaos_file)).mode & 0o777, 0o600);

  const send = async (region: number, method: string, route: string, body?: unknown, level = "LOCAL"): Promise<Answer> => {
    const headers = { authorization: `Bearer ${ready.key}`, "consistency-level": level, "quorum-timeout": "10000", ...(body === undefined ? {} : { "content-type": "application/json" }) };
    const answer = await fetch(`${ready.regions[region]?.api}${route}`, { method, headers, signal: AbortSignal.timeout(20_000), ...(body === undefined ? {} : { body: JSON.stringify(body) }) });
    return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
  };
  const chaos = async (...args: readonly string[]): Promise<readonly Link[]> => {
    const run = statusmesh(["chaos", ...args, "--data", data, "--json"], folder);
    t.equal(await run.ended, 0, run.stderr);
    return (JSON.parse(run.stdout) as { links: Link[] }).links;
  };
  const components = "/pages/default/components";
  const created = await send(0, "POST", components, { name: "API" }, "GLOBAL_QUORUM");
  t.equal(created.status, 201);
  const component = `${components}/${String(created.body["id"])}`;
  await settled("every region has the component", async () => (await Promise.all([0, 1, 2].map((region) => send(region, "GET", component)))).every(({ status }) => status === 200));

  const before = await chaos("status");
  t.equal(before.length, 6);
  const joined = new Set(before.filter(({ connections }) => connections > 0).map(({ from, to }) => [from, to].sort().join(" ")));
  t.equal(joined.size, 3, "the links of all pairs run through the proxies");

  const cut = await chaos("cut", "r0");
  t.same(cut.map(({ from, to }) => `${from} ${to}`).sort(), ["r0-1 r1-1", "r0-1 r2-1", "r1-1 r0-1", "r2-1 r0-1"]);
  t.ok(cut.every((link) => link.cut && link.connections === 0));
  const peersOf = async (region: number): Promise<string> => ((await send(region, "GET", "/cluster")).body["peers"] as { state: string }[]).map(({ state }) => state).join();
  await settled("both sides notice", async () => !(await peersOf(0)).includes("up") && (await peersOf(1)) !== "up,up");
  await settled("the region cut off refuses quorum writes", async () => {
    const { status, body } = await send(0, "PATCH", component, { description: "never" }, "GLOBAL_QUORUM");
    return status === 503 && body["type"] === "/problems/quorum-unavailable" && body["outcome"] === "rejected";
  });
  t.equal((await send(1, "PATCH", component, { position: 7 }, "GLOBAL_QUORUM")).status, 200, "the others are a majority");
  t.equal((await send(0, "PATCH", component, { name: "API here" })).status, 200);
  t.equal((await send(1, "PATCH", component, { name: "API there" })).status, 200);
  t.equal((await send(0, "GET", component)).body["name"], "API here");
  t.equal((await send(0, "GET", component)).body["position"], created.body["position"], "nothing went over the cut");

  const healed = await chaos("heal");
  t.ok(healed.length === 6 && healed.every((link) => !link.cut));
  await settled("every region shows the same", async () => {
    const texts = await Promise.all([0, 1, 2].map(async (region) => JSON.stringify((await send(region, "GET", component)).body)));
    const [first = ""] = texts;
    return first.includes('"position":7') && first.includes('"name":"API ') && texts.every((text) => text === first);
  });
  const state = (await send(0, "GET", component)).body;
  t.match(state, { position: 7, name: /^API (here|there)$/ });
  t.not(state["description"], "never");
  await settled("quorum writes are taken again", async () => (await send(0, "PATCH", component, { description: "again" }, "GLOBAL_QUORUM")).status === 200);

  const slowed = await chaos("slow", "r0-1", "r1", "400ms");
  t.same(slowed.map(({ delay_ms }) => delay_ms), [400, 400]);
  await settled("the round trip shows it", async () => {
    const peers = (await send(0, "GET", "/cluster")).body["peers"] as { replica: string; rtt_ms: number }[];
    return (peers.find(({ replica }) => replica === "r1-1")?.rtt_ms ?? 0) >= 250;
  });

  const text = statusmesh(["chaos", "status", "--data", data], folder);
  t.equal(await text.ended, 0);
  t.match(text.stdout, /r0-1 +r1-1 +open +400 ms +\d/);
  for (const [args, says] of [
    [["cut", "r0", "atlantis"], /no region or replica "atlantis"; there are r0, r0-1, r1/],
    [["cut", "r0", "r0-1"], /no link between r0 and r0-1/],
    [["slow", "r0", "r1", "fast"], /delay must be a number with ms or s, such as 300ms, .* not "fast"/],
  ] as const) {
    const refused = statusmesh(["chaos", ...args, "--data", data], folder);
    t.equal(await refused.ended, 1, args.join(" "));
    t.match(refused.stderr, says);
    t.equal(refused.stderr.trim().split("\n").length, 1);
  }

  const { url } = JSON.parse(await readFile(ready.chaos_file, "utf8")) as { url: string };
  t.equal((await fetch(`${url}/version`)).status, 200);
  for (const other of [new URL(url).origin, url.slice(0, -1)]) t.equal((await fetch(`${other}/proxies`)).status, 404, "without the secret of the file there is nothing");
  t.equal((await fetch(`${url}/proxies`, { headers: { origin: "http://pages.example" } })).status, 403);

  up.child.kill("SIGTERM");
  t.equal(await up.ended, 0);
  await t.rejects(access(ready.chaos_file), "the file goes with the cluster");
  await t.rejects(fetch(`${url}/proxies`));
});

test("without a running cluster a chaos command says so", { timeout: 150_000 }, async (t) => {
  const { folder } = await clusterFolder(t, 0);
  const none = statusmesh(["chaos", "status", "--data", folder], folder);
  t.equal(await none.ended, 1);
  t.match(none.stderr, /There is no .*chaos\.json.*statusmesh up --chaos/);
  await writeFile(path.join(folder, "chaos.json"), JSON.stringify({ url: "http://127.0.0.1:1/secret", links: [{ proxy: "r0-1-to-r1-1", from: "r0-1", from_region: "r0", to: "r1-1", to_region: "r1" }], replicas: [] }));
  const gone = statusmesh(["chaos", "cut", "r0", "--data", folder], folder);
  t.equal(await gone.ended, 1);
  t.match(gone.stderr, /the cluster that wrote it is gone/);
  await writeFile(path.join(folder, "chaos.json"), JSON.stringify({ url: "http://example.com/secret", links: [], replicas: [] }));
  const damaged = statusmesh(["chaos", "heal", "--data", folder], folder);
  t.equal(await damaged.ended, 1);
  t.match(damaged.stderr, /damaged/);
});
