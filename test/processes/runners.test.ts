/** Runners as real processes beside a real replica, on real targets. */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import path from "node:path";
import t from "tap";
import { ensureBuilt } from "../../chaos/built-program.js";
import { bareNode, command, environmentOf, ReplicaProcess, ROOT_KEY } from "../../chaos/replica-process.js";
import { settled } from "../../chaos/waiting.js";
import { clusterFolder, statusmesh } from "../cli/cluster-folder.js";
import { tcpTarget } from "../io/targets.js";
import { list } from "./watch-world.js";
import { created, ok } from "./workload.js";

const MONITORS = "/v1/pages/default/monitors";
const RUNNERS = "/v1/cluster/runners";
const INTERVAL_MS = 5_000;
const COUNT = 12;

interface Owner {
  teardown(end: () => unknown): void;
}

/** A TCP server that writes down when it was connected to. */
async function target(owner: Owner): Promise<{ readonly port: number; readonly times: number[] }> {
  const times: number[] = [];
  const port = await tcpTarget(owner, (socket) => {
    times.push(performance.now());
    socket.end();
  });
  return { port, times };
}

function runner(owner: Owner, url: string, name: string, key = ROOT_KEY): { readonly child: ChildProcess; readonly said: () => string; readonly ended: Promise<unknown> } {
  const [program, words] = bareNode([command, "runner", "--url", url, "--name", name]);
  const child = spawn(program, words, { stdio: ["ignore", "pipe", "pipe"], env: { ...environmentOf(), STATUSMESH_RUNNER_KEY: key } });
  owner.teardown(() => child.kill("SIGKILL"));
  let text = "";
  for (const stream of [child.stdout, child.stderr]) stream?.on("data", (bytes: Buffer) => {
    text += bytes.toString();
  });
  return { child, said: () => text, ended: once(child, "exit").then(([code, signal]) => (signal ?? code) as unknown) };
}

t.test("two runners share a replica's monitors; one is killed, and the other checks its share within one interval", { timeout: 400_000 }, async (t) => {
  await ensureBuilt();
  const { folder, files } = await clusterFolder(t, 1, { tls: "off", allowPrivateTargets: true });
  const replica = new ReplicaProcess("r0-1", "r0", files[0] ?? "", path.join(folder, "data", "r0-1"), {});
  t.teardown(() => replica.dispose());
  await replica.start();
  const { http: url } = replica;
  const targets = await Promise.all(Array.from({ length: COUNT }, () => target(t)));
  const ids: string[] = [];
  for (const { port } of targets) ids.push(created(await replica.post(MONITORS, { name: `Target ${port}`, type: "tcp", target: `127.0.0.1:${port}`, interval_seconds: INTERVAL_MS / 1_000, retries: 0 })));

  const runners = ["one", "two"].map((name) => ({ name, ...runner(t, url, name) }));
  const shares = async (): Promise<{ name: string; monitors: number; results: number }[]> => (await list(replica, RUNNERS)) as never;
  await settled("both have a share, and all of it", async () => {
    const found = await shares();
    if (found.length === 2 && found.every(({ monitors }) => monitors > 0) && found.reduce((sum, { monitors }) => sum + monitors, 0) === COUNT) return true;
    throw new Error(`${JSON.stringify(found)} ${runners.map(({ said }) => said()).join()}`);
  }, 60_000);
  await settled("every monitor has been checked by a runner", async () => (await shares()).every(({ monitors, results }) => results >= monitors), 30_000);
  for (const { times } of targets) times.length = 0;

  // Steady: every monitor at its interval, by nobody twice.
  const steadyFrom = performance.now();
  await settled("some intervals have passed", async () => performance.now() - steadyFrom > 3 * INTERVAL_MS, 4 * INTERVAL_MS);
  for (const { times } of targets) {
    t.ok(times.length >= 2 && times.length <= 4, `${times.length} checks in three intervals`);
    const gaps = times.slice(1).map((time, index) => time - (times[index] ?? 0));
    t.ok(gaps.every((gap) => gap > INTERVAL_MS * 0.8 && gap < INTERVAL_MS * 1.2), `gaps of ${gaps.map(Math.round).join()} ms`);
  }
  t.match((await list(replica, `${MONITORS}/${ids[0]}/results`))[0], { region: "r0", state: "up", latency_ms: Number });

  const [first, second] = runners;
  const before = targets.map(({ times }) => times.length);
  const killedAt = performance.now();
  first?.child.kill("SIGKILL");
  await first?.ended;
  await settled("every monitor was checked again", async () => targets.every(({ times }, index) => times.length > (before[index] ?? 0)), 2 * INTERVAL_MS);
  const latest = Math.max(...targets.map(({ times }, index) => (times[before[index] ?? 0] ?? Number.POSITIVE_INFINITY) - killedAt));
  t.ok(latest <= INTERVAL_MS, `the last one ${Math.round(latest)} ms after the kill`);
  t.match(await shares(), [{ name: "two", monitors: COUNT }]);

  const ran = ok(await replica.post(`${MONITORS}/${ids[0]}/run`, null));
  t.match(ran.body, { region: "r0", state: "up" });

  // The replica is gone for a while: its runner lets go, and comes back by itself.
  await replica.kill();
  await settled("the runner has let go", async () => second?.said().includes("lease-lost") === true, 20_000);
  await replica.start();
  await settled("the runner has its share again", async () => (await shares()).some(({ monitors }) => monitors === COUNT), 20_000);
  second?.child.kill("SIGTERM");
  t.equal(await second?.ended, 0, second?.said() ?? "");
});

t.test("a runner that stops in order is replaced at once, and the replica checks by itself again", { timeout: 300_000 }, async (t) => {
  await ensureBuilt();
  const { folder, files } = await clusterFolder(t, 1, { tls: "off", allowPrivateTargets: true });
  const replica = new ReplicaProcess("r0-1", "r0", files[0] ?? "", path.join(folder, "data", "r0-1"), {});
  t.teardown(() => replica.dispose());
  await replica.start();
  const { port, times } = await target(t);
  created(await replica.post(MONITORS, { name: "Target", type: "tcp", target: `127.0.0.1:${port}`, interval_seconds: 5, retries: 0 }));
  const one = runner(t, replica.http, "one");
  await settled("the runner has checked", async () => ((await list(replica, RUNNERS))[0]?.["results"] as number | undefined ?? 0) > 0, 30_000);
  one.child.kill("SIGTERM");
  t.equal(await one.ended, 0);
  t.same(await list(replica, RUNNERS), []);
  const before = times.length;
  await settled("the replica checks", async () => times.length > before, 10_000);
});

t.test("a runner without a key, with a wrong one, or with a bad address says so and ends", { timeout: 300_000 }, async (t) => {
  await ensureBuilt();
  const { folder, files } = await clusterFolder(t, 1, { tls: "off" });
  const replica = new ReplicaProcess("r0-1", "r0", files[0] ?? "", path.join(folder, "data", "r0-1"), {});
  t.teardown(() => replica.dispose());
  await replica.start();
  const none = statusmesh(["runner", "--url", "nowhere", "--name", "A B"], folder);
  t.equal(await none.ended, 78);
  t.equal(none.stderr.trim().split("\n").length, 3, none.stderr);
  const wrong = runner(t, replica.http, "one", "not-the-key-of-anybody");
  t.equal(await wrong.ended, 1);
  t.match(wrong.said(), /the replica refuses this runner: 401/);
});
