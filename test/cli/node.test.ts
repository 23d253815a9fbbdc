import { readFile, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { test } from "tap";
import { clusterFolder, statusmesh } from "./cluster-folder.js";

const KEY = { STATUSMESH_ROOT_KEY: "0123456789abcdef-test" };

test("a bad configuration: every fault on stderr, exit code 78, nothing started", { timeout: 150_000 }, async (t) => {
  const { folder, files } = await clusterFolder(t, 1, { tls: "off", http: "nowhere", extra: 1 });
  const node = statusmesh(["node", "--config", files[0] ?? ""], folder, { STATUSMESH_ROOT_KEY: "not one word" });
  t.equal(await node.ended, 78);
  t.equal(node.stdout, "");
  t.equal(node.stderr.trim().split("\n").length, 3, node.stderr);
  await t.rejects(readFile(path.join(folder, "data", "r0-1", "IDENTITY")));
});

test("a purge that cannot be made is said in one sentence at the start, without the secret: exit code 78", { timeout: 150_000 }, async (t) => {
  const { folder, files } = await clusterFolder(t, 1, { tls: "off", purge: { fastly: { service: "not a service" } } });
  const node = statusmesh(["node", "--config", files[0] ?? ""], folder, { ...KEY, STATUSMESH_FASTLY_TOKEN: "the-secret-of-fastly" });
  t.equal(await node.ended, 78);
  t.match(node.stderr.trim(), /^[^\n]*purge\.fastly\.service must be an id[^\n]*$/);
  t.notMatch(node.stderr + node.stdout, /the-secret-of-fastly/);
});

test("an empty data folder without a root key: exit code 78", { timeout: 150_000 }, async (t) => {
  const { folder, files } = await clusterFolder(t, 1, { tls: "off" });
  const node = statusmesh(["node", "--config", files[0] ?? ""], folder);
  t.equal(await node.ended, 78);
  t.match(node.stderr, /STATUSMESH_ROOT_KEY .* must be set/);
});

test("a replica without its peers listens, takes a write, stops on SIGTERM with 0, starts again without the key and has the write", { timeout: 300_000 }, async (t) => {
  const { folder, files } = await clusterFolder(t, 3, { tls: "off" });
  const args = ["node", "--config", files[0] ?? ""];
  const first = statusmesh(args, folder, KEY);
  t.teardown(() => void first.child.kill("SIGKILL"));
  const [line] = await first.says(/^.*"event":"listening".*$/m);
  const listening = JSON.parse(line) as { replica: string; region: string; http: string; mesh: string };
  t.match(listening, { replica: "r0-1", region: "r0", http: /^127\.0\.0\.1:\d+$/, mesh: /^127\.0\.0\.1:\d+$/ });
  t.match(first.stdout, /plaintext/, "plaintext is warned of");
  const headers = { authorization: `Bearer ${KEY.STATUSMESH_ROOT_KEY}`, "content-type": "application/json" };
  const created = await fetch(`http://${listening.http}/v1/pages/default/components`, { method: "POST", headers, body: JSON.stringify({ name: "API" }) });
  t.equal(created.status, 201, await created.clone().text());

  const second = statusmesh(args, folder, KEY);
  t.not(await second.ended, 0);
  t.match(second.stderr, /Another process uses this data folder/);

  first.child.kill("SIGTERM");
  t.equal(await first.ended, 0);
  t.notMatch(first.stdout + first.stderr, KEY.STATUSMESH_ROOT_KEY, "the key is in no log");

  const again = statusmesh(args, folder);
  t.teardown(() => void again.child.kill("SIGKILL"));
  await again.says(/"event":"listening"/);
  const read = await fetch(`http://${listening.http}/v1/pages/default/components`, { headers });
  t.match(await read.json(), { data: [{ name: "API" }] });
  again.child.kill("SIGINT");
  t.equal(await again.ended, 0);
});

test("a damaged store is refused with a sentence that says what helps", { timeout: 300_000 }, async (t) => {
  const { folder, files } = await clusterFolder(t, 1, { tls: "off" });
  const args = ["node", "--config", files[0] ?? ""];
  const first = statusmesh(args, folder, KEY);
  await first.says(/"event":"listening"/);
  first.child.kill("SIGTERM");
  await first.ended;
  const store = path.join(folder, "data", "r0-1", "store");
  await rm(path.join(store, "CURRENT"));
  const refused = statusmesh(args, folder);
  t.equal(await refused.ended, 1);
  t.match(refused.stderr, /--rebuild/);
  t.equal(refused.stderr.trim().split("\n").length, 1);
});

test("an address that is taken is said", { timeout: 300_000 }, async (t) => {
  const { folder, files } = await clusterFolder(t, 1, { tls: "off" });
  const values = JSON.parse(await readFile(files[0] ?? "", "utf8")) as Record<string, unknown>;
  const first = statusmesh(["node", "--config", files[0] ?? ""], folder, KEY);
  t.teardown(() => void first.child.kill("SIGKILL"));
  await first.says(/"event":"listening"/);
  const other = path.join(folder, "other.json");
  await writeFile(other, JSON.stringify({ ...values, mesh: "127.0.0.1:0", data: path.join(folder, "data", "other") }));
  const second = statusmesh(["node", "--config", other], folder, KEY);
  t.equal(await second.ended, 1);
  t.match(second.stderr, /listens on 127\.0\.0\.1:\d+ already/);
  await writeFile(other, JSON.stringify({ ...values, http: "127.0.0.1:0", data: path.join(folder, "data", "other") }));
  const third = statusmesh(["node", "--config", other], folder, KEY);
  t.equal(await third.ended, 1);
  t.match(third.stderr, /^statusmesh: cannot listen on 127\.0\.0\.1:\d+: another program listens there already\.\n$/, "one sentence");
  first.child.kill("SIGTERM");
  await first.ended;
});

test("every command has --help, and an unknown one fails", { timeout: 150_000 }, async (t) => {
  const runs = [["--help"], ["up", "--help"], ["node", "--help"], ["certs", "--help"], ["chaos", "--help"]].map((args) => statusmesh(args, "."));
  for (const run of runs) {
    t.equal(await run.ended, 0);
    t.match(run.stdout, /Usage: statusmesh/);
  }
  const unknown = statusmesh(["down"], ".");
  t.not(await unknown.ended, 0);
});

test("a data folder that cannot be made is said, in one sentence and at once", { timeout: 150_000, skip: process.platform !== "linux" }, async (t) => {
  const { folder, files } = await clusterFolder(t, 1, { tls: "off" });
  // The kernel refuses folders there to every user, as if the parent did not exist.
  for (const data of ["/proc/none", "/proc/none/within", files[0] ?? ""]) {
    for (const args of [["node", "--config", files[0] ?? ""], ["up", "--regions", folder]]) {
      const refused = statusmesh([...args, "--data", data], folder, KEY);
      t.teardown(() => void refused.child.kill("SIGKILL"));
      t.equal(await refused.ended, 1, `${args[0]} --data ${data}`);
      t.match(refused.stderr, /^statusmesh: [^\n]+\n$/, "one sentence and no stack");
    }
  }
});

test("any root key of visible characters is taken; a short one is warned of, a long one works", { timeout: 300_000 }, async (t) => {
  const { folder, files } = await clusterFolder(t, 1, { tls: "off" });
  for (const [key, isWeak] of [["root", true], ["k".repeat(512), false]] as const) {
    const node = statusmesh(["node", "--config", files[0] ?? ""], folder, { STATUSMESH_ROOT_KEY: key });
    t.teardown(() => void node.child.kill("SIGKILL"));
    const [line] = await node.says(/^.*"event":"listening".*$/m);
    const { http } = JSON.parse(line) as { http: string };
    t.equal((await fetch(`http://${http}/v1/pages`, { headers: { authorization: `Bearer ${key}` } })).status, 200);
    t.equal(/"level":"warn".*"event":"weak-root-key"/.test(node.stdout), isWeak);
    node.child.kill("SIGTERM");
    t.equal(await node.ended, 0);
  }
});
