/** The sealed history from end to end: real replicas watch, seal and prove; the command checks with nothing but the file. */
import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import t from "tap";
import { ensureBuilt } from "../../chaos/built-program.js";
import { ReplicaProcess } from "../../chaos/replica-process.js";
import { settled } from "../../chaos/waiting.js";
import { clusterFolder, statusmesh } from "../cli/cluster-folder.js";
import { freePort } from "../../chaos/free-ports.js";
import { list } from "./watch-world.js";
import { created } from "./workload.js";

const MONITORS = "/v1/pages/default/monitors";
const HOURS_MS = 7_200_000;

t.test("an outage that two regions saw is sealed, proven by either alike, and verified offline", { timeout: 400_000 }, async (t) => {
  await ensureBuilt();
  const { folder, files } = await clusterFolder(t, 2, { tls: "off", allowPrivateTargets: true });
  const start = async (environment: Readonly<Record<string, string>>): Promise<ReplicaProcess[]> => Promise.all(files.map(async (file, index) => {
    const node = new ReplicaProcess(`r${index}-1`, `r${index}`, file, path.join(folder, "data", `r${index}-1`), environment);
    t.teardown(() => node.dispose());
    await node.start();
    return node;
  }));

  const [first, second] = await start({});
  if (first === undefined || second === undefined) throw new Error("two replicas are expected");
  const id = created(await first.post(MONITORS, { name: "API", type: "tcp", target: `127.0.0.1:${await freePort()}`, interval_seconds: 5, retries: 0 }));
  await settled("both regions see it down", async () => (await list(first, `${MONITORS}/${id}/opinions`)).filter(({ state }) => state === "down").length === 2, 60_000);
  await Promise.all([first, second].map((node) => node.stop()));

  const later = await start({ STATUSMESH_TEST_CLOCK_OFFSET_MS: String(HOURS_MS) });
  const day = new Date(Date.now() + HOURS_MS - 61_000).toISOString().slice(0, 10);
  const outages = async (node: ReplicaProcess) => (await list(node, `${MONITORS}/${id}/sealed?day=${day}`)).filter(({ kind, value }) => kind === "opinion" && (value as { state?: string }).state === "down");
  await settled("both regions have sealed what they saw, and know of each other", async () => {
    const known = await Promise.all(later.map(outages));
    return known.every((records) => new Set(records.map(({ region }) => region)).size === 2);
  }, 60_000);
  const [asked, other] = later;
  if (asked === undefined || other === undefined) throw new Error("two replicas are expected");
  const route = String((await outages(asked))[0]?.["proof"]);
  const [proof, same] = [await asked.get(route), await other.get(route)];
  t.equal(proof.status, 200, proof.text);
  t.equal(same.text, proof.text, "both regions answer the same bytes");

  const file = path.join(folder, "proof.json");
  await writeFile(file, proof.text);
  const verify = async (...more: string[]) => {
    const command = statusmesh(["verify", file, ...more], folder);
    return { code: await command.ended, stdout: command.stdout, stderr: command.stderr };
  };
  const right = await verify();
  t.equal(right.code, 0, right.stderr);
  t.match(right.stdout, new RegExp(`^The opinion of .* of monitor ${id} \\(page default\\) as r[01] wrote it is record \\d+ of \\d+ in seal 1 of r[01]-1\\.\\d+, .*\\n$`));
  const head = /compare the head ([0-9a-f]{64})/.exec(right.stdout)?.[1] ?? "";
  t.ok((await list(other, "/v1/pages/default/seals")).some(({ hash }) => hash === head), "the head is one that the other region shows");
  t.match(await verify("--head", head), { code: 0, stdout: /the chain holds the head that you trust/ });
  t.match(await verify("--head", "0".repeat(64)), { code: 1, stderr: /does not hold \(known head\)/ });
  t.match(JSON.parse((await verify("--json")).stdout), { holds: true, record: { kind: "opinion", monitor: id } });

  const text = await readFile(file, "utf8");
  await writeFile(file, text.replace('\\"state\\":\\"down\\"', '\\"state\\":\\"gone\\"'));
  t.match(await verify(), { code: 1, stdout: "", stderr: /^statusmesh: the proof does not hold \(inclusion\): the record does not lead to the root of seal 1\.\n$/ });
  t.match(await verify("--json"), { code: 1, stdout: /"holds":false,"step":"inclusion"/, stderr: "" });
  await writeFile(file, `${text} `);
  t.match(await verify(), { code: 1, stderr: /\(text\)/ });
  t.match(await verify("--head", "nothing"), { code: 1, stderr: /64 lower-case hex digits/ });
  const missing = statusmesh(["verify", path.join(folder, "nothing.json")], folder);
  t.equal(await missing.ended, 1);
  t.match(missing.stderr, /ENOENT/);
});
