/** `statusmesh apply` against real regions: what it shows, what it does, and what it leaves alone. */
import { writeFile } from "node:fs/promises";
import path from "node:path";
import { test, type Test } from "tap";
import { settled } from "../../chaos/waiting.js";
import { ApplyClient } from "../../src/cli/apply-client.js";
import { parseApplyFile } from "../../src/cli/apply-file.js";
import { apply as makeChanges, planOf } from "../../src/cli/apply-plan.js";
import { clusterFolder, statusmesh } from "./cluster-folder.js";

const ROOT_KEY = "0123456789abcdef-test";
const KEY = { STATUSMESH_KEY: ROOT_KEY };

const FILE = `# What the page watches.
groups:
  - name: Core
components:
  - name: API
    group: Core
    description: For programs.
  - name: Shop
monitors:
  - name: Login
    type: http
    target: https://login.example.com/
    depends_on: API health
  - name: API health
    type: http
    target: https://api.example.com/health
    component: API
    interval_seconds: 60
    options: { expected_status: 2xx }
    maintenance_windows: [{ starts_at: 2026-01-01T02:00:00+02:00, ends_at: 2026-01-01T01:00:00Z }]
webhooks:
  - name: Alertmanager
    source: alertmanager
    rules:
      - matchers: [{ name: service, value: api }]
        component: API
      - matchers: [{ name: alertname, operator: =~, value: Watch.* }]
        component: null
`;

async function region(t: Test, count = 1) {
  const { folder, files } = await clusterFolder(t, count, { tls: "off", allowPrivateTargets: true });
  const nodes = await Promise.all(files.map(async (file) => {
    const node = statusmesh(["node", "--config", file], folder, { STATUSMESH_ROOT_KEY: ROOT_KEY });
    t.teardown(async () => {
      node.child.kill("SIGTERM");
      const last = setTimeout(() => node.child.kill("SIGKILL"), 12_000);
      await node.ended;
      clearTimeout(last);
    });
    const [line] = await node.says(/^.*"event":"listening".*$/m);
    return { node, base: `http://${(JSON.parse(line) as { http: string }).http}` };
  }));
  const file = path.join(folder, "monitors.yaml");
  const urls = nodes.map(({ base }) => base);
  const [first = ""] = urls;
  const headers = { authorization: `Bearer ${ROOT_KEY}`, "content-type": "application/json" };
  const apply = async (text: string, ...args: readonly string[]) => {
    await writeFile(file, text);
    const running = statusmesh(["apply", "-f", "monitors.yaml", ...(args.includes("--url") ? [] : ["--url", ...urls]), ...args], folder, KEY);
    const code = await running.ended;
    return { code, out: running.stdout, err: running.stderr };
  };
  const ask = async (method: string, url: string, body?: object) => {
    const answer = await fetch(url, { method, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) });
    const text = await answer.text();
    return (text === "" ? {} : JSON.parse(text)) as { [name: string]: unknown };
  };
  const call = (method: string, route: string, body?: object, base = first) => ask(method, `${base}/v1/pages/default${route}`, body);
  const names = async (route: string, base = first): Promise<unknown[]> => ((await call("GET", `${route}?limit=100`, undefined, base))["data"] as { name: unknown }[]).map(({ name }) => name);
  return { nodes, urls, apply, ask, call, names };
}

test("a file is shown, made, and then nothing is left to do; what differs is set right, and nothing else", { timeout: 400_000 }, async (t) => {
  const { apply, call, names } = await region(t);
  const dry = await apply(FILE, "--dry-run", "--exit-code");
  t.equal(dry.code, 2);
  t.match(dry.out, /^\+ component-group Core$/m);
  t.match(dry.out, /^\+ monitor API health$/m);
  t.match(dry.out, /component_id: "\(the new component API\)"/);
  t.match(dry.out, /6 to create, 0 to update, 0 to delete/);
  t.same(await names("/components"), [], "nothing was made");
  t.equal((await apply(FILE, "--dry-run")).code, 0);

  const made = await apply(FILE);
  t.equal(made.code, 0, made.err);
  t.match(made.out, /6 created, 0 updated, 0 deleted\./);
  t.match(made.out, /created webhook Alertmanager \(shown once: smw_/);
  const [api] = (await call("GET", "/components"))["data"] as { id: string; name: string }[];
  const monitors = (await call("GET", "/monitors"))["data"] as { id: string; name: string; component_id: string | null; depends_on: string | null }[];
  t.match(monitors.find(({ name }) => name === "API health"), { component_id: api?.id, interval_seconds: 60, options: { expected_status: "2xx" }, retries: 1 });
  t.match(monitors.find(({ name }) => name === "Login"), { depends_on: monitors.find(({ name }) => name === "API health")?.id });

  const again = await apply(FILE, "--exit-code", "--dry-run");
  t.equal(again.code, 0);
  t.match(again.out, /^No changes: page default at http/);
  t.equal((await apply(FILE)).code, 0);

  await call("PATCH", `/components/${api?.id}`, { status: "major_outage", description: "By hand." });
  await call("POST", "/components", { name: "Other" });
  const changed = await apply(FILE.replace("interval_seconds: 60", "interval_seconds: 30"));
  t.match(changed.out, /^~ component API\n {4}description: "By hand\." → "For programs\."$/m);
  t.match(changed.out, /^~ monitor API health\n {4}interval_seconds: 60 → 30$/m);
  t.match(changed.out, /left alone \(--prune deletes them\): component Other/);
  t.match(changed.out, /0 created, 2 updated, 0 deleted/);
  t.match(await call("GET", `/components/${api?.id}`), { status: "major_outage", description: "For programs." }, "a status is nobody's setting");

  const short = FILE.slice(0, FILE.indexOf("webhooks:")).replace("  - name: Shop\n", "").replace("interval_seconds: 60", "interval_seconds: 30");
  const pruned = await apply(short, "--prune");
  t.match(pruned.out, /^- component Shop$/m);
  t.match(pruned.out, /0 created, 0 updated, 2 deleted/);
  t.same(await names("/components"), ["API"]);
  t.same(await names("/webhooks"), ["Alertmanager"], "a file without webhooks says nothing about them");
  const json = await apply(short, "--json", "--prune");
  t.same(JSON.parse(json.out), { page: "default", changes: [] });
});

test("what is wrong with a file is said with its line, and nothing is done", { timeout: 300_000 }, async (t) => {
  const { apply, names, call } = await region(t);
  const refused = async (text: string, ...sentences: RegExp[]): Promise<void> => {
    const answer = await apply(text);
    t.equal(answer.code, 78, answer.out);
    const said = answer.err.trim().split("\n");
    t.equal(said.length, sentences.length, answer.err);
    for (const sentence of sentences) t.match(answer.err, sentence);
  };
  await refused("components: [", /monitors\.yaml:1: /);
  await refused(FILE.replace("interval_seconds", "intervall_seconds"), /monitors\.yaml:18: monitors\[1\]\.intervall_seconds is not a field that may stand here/);
  await refused(FILE.replace("60", "1"), /monitors\.yaml:18: monitors\[1\]\.interval_seconds must be >= 5/);
  await refused(FILE.replace("    type: http\n", "").replace("- name: Shop", "- name: 5"), /:8: components\[1\]\.name must be string/, /:10: monitors\[0\]\.type is required/);
  await refused(FILE.replace("expected_status: 2xx", "record: A"), /:19: monitors\[1\]\.options\.record a monitor of type http does not take it/);
  await refused(FILE.replace("https://api.example.com/health", "ftp://api.example.com"), /:16: monitors\[1\]\.target must be an http or https URL/);
  await refused(FILE.replace("name: Shop", "name: API"), /:8: components\[1\]\.name is the name of another component on line 5/);
  await refused(FILE.replace("component: API\n    interval", "component: Nowhere\n    interval"), /:17: there is no component "Nowhere", in the file or on the page/);
  await refused("components:\n  - name: API\n    name: Again\n", /:3: Map keys must be unique/);
  t.same(await names("/components"), []);
  for (let i = 0; i < 2; i++) await call("POST", "/components", { name: "API" });
  await refused(FILE, /:5: the page has more than one component API: give them different names first/);
  await refused("components:\n  - &a { name: X }\n  - *a\n", /:3: components\[1\]\.name is the name of another component on line 2/);
});

test("what others change meanwhile is not overwritten, and one failure keeps back only what needs it", { timeout: 300_000 }, async (t) => {
  const { apply, call, names, urls } = await region(t);
  const bad = `components:
  - name: Good
  - name: Bad
monitors:
  - name: On bad
    type: http
    target: https://example.com/
    component: Bad
    regions: [atlantis]
  - name: Leaf
    type: http
    target: https://example.com/
    depends_on: On bad
  - name: Alone
    type: http
    target: https://example.com/
`;
  const answer = await apply(bad);
  t.equal(answer.code, 1);
  t.match(answer.err, /monitor On bad: 422 #\/regions\/0 there is no such region/);
  t.match(answer.err, /monitor Leaf: the monitor On bad could not be made/);
  t.match(answer.out, /3 created, 0 updated, 0 deleted, 2 failed/);
  t.same([...(await names("/monitors"))], ["Alone"]);
  const mended = await apply(bad.replace("    regions: [atlantis]\n", ""));
  t.match(mended.out, /2 created/);
  t.equal(mended.code, 0);

  const client = await ApplyClient.connect(urls, ROOT_KEY, undefined);
  t.teardown(() => client.close());
  const file = parseApplyFile("components:\n  - name: Good\n    description: new\n", "file");
  const plan = await planOf(client, file, "file", "default", true);
  t.same(plan.changes.map(({ action, name }) => `${action} ${name}`), ["update Good", "delete Bad"]);
  for (const change of plan.changes) await call("PATCH", `/components/${change.there?.id}`, { description: "meanwhile" });
  const done = await makeChanges(client, plan, () => undefined);
  t.match(done, [{ fault: /somebody has changed it meanwhile/ }, { fault: /somebody has changed it meanwhile/ }]);
  t.match((await call("GET", "/components"))["data"], [{ name: "Good", description: "meanwhile" }, { name: "Bad", description: "meanwhile" }]);
});

test("where the nearest region is down, or goes down in between, another one is asked", { timeout: 400_000 }, async (t) => {
  const { apply, ask, names, nodes, urls } = await region(t, 3);
  const alike = (among: readonly string[]) => settled("the regions hold the same", async () => new Set(await Promise.all(among.map(async (base) => (await ask("GET", `${base}/v1/cluster`))["merkle_root"]))).size === 1);
  await alike(urls);
  const client = await ApplyClient.connect(urls, ROOT_KEY, undefined);
  t.teardown(() => client.close());
  const plan = await planOf(client, parseApplyFile(FILE, "file"), "file", "default", false);
  await alike(urls);
  const nearest = client.nearest;
  const down = nodes.find(({ base }) => base === nearest);
  down?.node.child.kill("SIGKILL");
  await down?.node.ended;
  const done = await makeChanges(client, plan, () => undefined);
  t.same(done.map(({ fault }) => fault), Array.from({ length: 6 }, () => undefined));
  t.not(client.nearest, nearest);
  const living = urls.filter((base) => base !== nearest);
  await alike(living);
  for (const base of living) t.same(await names("/components", base), ["API", "Shop"]);

  const again = await apply(FILE, "--url", nearest, living[0] ?? "");
  t.equal(again.code, 0, again.err);
  t.match(again.out, /^No changes/);
  const none = await apply(FILE, "--url", nearest);
  t.equal(none.code, 1);
  t.match(none.err, /No region answers at http/);
});
