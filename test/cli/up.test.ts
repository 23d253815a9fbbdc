import { readFile, stat, writeFile } from "node:fs/promises";
import path from "node:path";
import { test } from "tap";
import { freePorts } from "../../chaos/free-ports.js";
import { clusterFolder, statusmesh } from "./cluster-folder.js";

async function stateOf(http: string, key: string): Promise<readonly string[]> {
  const answer = await fetch(`${http}/v1/cluster`, { headers: { authorization: `Bearer ${key}` } });
  const { peers } = (await answer.json()) as { peers: { state: string }[] };
  return peers.map((peer) => peer.state);
}

test("up makes certificates and a key, forms the mesh, restarts a replica that dies, stops all, and starts again with the kept key", { timeout: 400_000 }, async (t) => {
  const { folder } = await clusterFolder(t, 3);
  const data = path.join(folder, "cluster");
  const args = ["up", "--regions", folder, "--data", data, "--json"];
  const up = statusmesh(args, folder);
  t.teardown(() => void up.child.kill("SIGKILL"));
  const ready = JSON.parse((await up.says(/^\{"event":"ready".*$/m))[0]) as { regions: { replica: string; api: string; docs: string; status_page: string }[]; key: string };
  t.equal(ready.regions.length, 3);
  t.equal((await readFile(path.join(data, "root-key"), "utf8")).trim(), ready.key);
  t.equal((await stat(path.join(data, "root-key"))).mode & 0o777, 0o600);
  t.ok((await stat(path.join(data, "certs", "r0-1.pem"))).isFile());
  const bases = ready.regions.map(({ api }) => api.replace(/\/v1$/, ""));
  for (const base of bases) t.same(await stateOf(base, ready.key), ["up", "up"]);

  const log = await readFile(path.join(data, "logs", "r1-1.log"), "utf8");
  t.notMatch(log, ready.key);
  // The pid that stands in the log is that of a child of what this test started.
  const pid = Number(/"pid":(\d+)/.exec(log)?.[1]);
  process.kill(pid, "SIGKILL");
  await up.says(/r1-1 ended with signal SIGKILL; it is started again/, "stderr");
  const deadline = AbortSignal.timeout(60_000);
  let states: readonly string[] = [];
  while (!deadline.aborted && states.join() !== "up,up") states = await stateOf(bases[1] ?? "", ready.key).catch(() => []);
  t.same(states, ["up", "up"]);
  up.child.kill("SIGTERM");
  t.equal(await up.ended, 0);
  for (const base of bases) await t.rejects(fetch(`${base}/healthz`), "nothing is left running");

  const again = statusmesh(args, folder);
  t.teardown(() => void again.child.kill("SIGKILL"));
  const second = JSON.parse((await again.says(/^\{"event":"ready".*$/m))[0]) as { key: string | null; key_file: string };
  t.match(second, { key: null, key_file: path.join(data, "root-key") });
  t.same(await stateOf(bases[0] ?? "", ready.key), ["up", "up"]);
  again.child.kill("SIGINT");
  t.equal(await again.ended, 0);
});

test("up starts an edge by a region file of its own, which serves, hands its writes on, and makes no majority", { timeout: 400_000 }, async (t) => {
  const { folder, files } = await clusterFolder(t, 3);
  const [http, mesh] = await freePorts(2);
  const regions: Record<string, { region: string; mesh: string; http: string }> = {};
  for (const file of files) {
    const values = JSON.parse(await readFile(file, "utf8")) as { replica: string; region: string; http: string; mesh: string; peers: Record<string, unknown> };
    regions[values.replica] = { region: values.region, mesh: values.mesh, http: `http://${values.http}` };
    await writeFile(file, JSON.stringify({ ...values, peers: { ...values.peers, "near-1": { region: "near", role: "edge", mesh: `127.0.0.1:${mesh}`, http: `http://127.0.0.1:${http}` } } }));
  }
  await writeFile(path.join(folder, "near.json"), JSON.stringify({ replica: "near-1", region: "near", role: "edge", http: `127.0.0.1:${http}`, mesh: `127.0.0.1:${mesh}`, data: path.join(folder, "data", "near-1"), peers: regions, clusterId: "cli-test" }));
  const up = statusmesh(["up", "--regions", folder, "--data", path.join(folder, "cluster"), "--json"], folder);
  t.teardown(() => void up.child.kill("SIGKILL"));
  const ready = JSON.parse((await up.says(/^\{"event":"ready".*$/m))[0]) as { regions: { replica: string; api: string; status_page: string }[]; key: string };
  const edge = ready.regions.find(({ replica }) => replica === "near-1");
  t.equal(ready.regions.length, 4);
  const headers = { authorization: `Bearer ${ready.key}`, "content-type": "application/json" };
  const made = await fetch(`${edge?.api}/pages/default/components`, { method: "POST", headers, body: JSON.stringify({ name: "By the edge" }) });
  t.equal(made.status, 201, await made.clone().text());
  t.match(await (await fetch(edge?.status_page ?? "")).text(), /By the edge/, "its page shows it at once");
  const cluster = await (await fetch(`${edge?.api}/cluster`, { headers })).json() as { role: string; voting: boolean; peers: { state: string }[] };
  t.match(cluster, { role: "edge", voting: false, peers: [{ state: "up" }, { state: "up" }, { state: "up" }] });
  up.child.kill("SIGTERM");
  t.equal(await up.ended, 0);
});

test("up --edges starts edges beside the regions, which know them, each with a folder of its own", { timeout: 300_000 }, async (t) => {
  const { folder } = await clusterFolder(t, 2);
  const args = ["up", "--regions", folder, "--edges", "2", "--json"];
  const up = statusmesh(args, folder);
  t.teardown(() => void up.child.kill("SIGKILL"));
  const ready = JSON.parse((await up.says(/^\{"event":"ready".*$/m))[0]) as { regions: { replica: string; api: string; status_page: string }[]; key: string };
  t.same(ready.regions.map(({ replica }) => replica), ["r0-1", "r1-1", "edge-1", "edge-2"]);
  for (const { api, replica } of ready.regions) {
    t.same(await stateOf(api.replace(/\/v1$/, ""), ready.key), replica.startsWith("edge") ? ["up", "up"] : ["up", "up", "up"], replica);
  }
  for (const { status_page } of ready.regions) t.equal((await fetch(status_page)).status, 200);
  for (const replica of ["r0-1", "edge-1", "edge-2"]) t.ok((await stat(path.join(folder, "data", replica))).isDirectory());
  up.child.kill("SIGTERM");
  t.equal(await up.ended, 0);
  t.equal(await statusmesh(["up", "--regions", folder, "--edges", "many"], folder).ended, 1);
});

test("up says the faults of all its region files at once, with exit code 78, and writes nothing", { timeout: 150_000 }, async (t) => {
  const { folder, files } = await clusterFolder(t, 2);
  const [first = "", second = ""] = files;
  const values = JSON.parse(await readFile(first, "utf8")) as Record<string, unknown>;
  await writeFile(second, JSON.stringify({ ...values, region: "Nowhere" }));
  await writeFile(path.join(folder, "third.json"), JSON.stringify(values));
  const up = statusmesh(["up", "--regions", folder, "--data", path.join(folder, "cluster")], folder, { STATUSMESH_HTTP: "127.0.0.1:1" });
  t.equal(await up.ended, 78);
  t.match(up.stderr, /STATUSMESH_HTTP is set, and would hold for every replica/);
  t.match(up.stderr, /region must be/);
  t.match(up.stderr, /third\.json: the replica r0-1 is that of/);
  await t.rejects(stat(path.join(folder, "cluster")));
});

test("certs writes a certificate for each replica and prints JSON when asked", { timeout: 150_000 }, async (t) => {
  const { folder } = await clusterFolder(t, 2);
  const out = path.join(folder, "certs");
  const certs = statusmesh(["certs", "--out", out, "--regions", folder, "--json"], folder);
  t.equal(await certs.ended, 0);
  t.match(JSON.parse(certs.stdout), { certificates: [{ replica: "r0-1", created: true }, { replica: "r1-1", created: true }] });
  t.ok((await stat(path.join(out, "r1-1-key.pem"))).isFile());
});
