/** Real regions behind Debian's Varnish and nginx: a change is seen soon, and with every region gone the caches serve on. */
import { spawn, type ChildProcess } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { test, type Test } from "tap";
import { environmentOf } from "../../chaos/replica-process.js";
import { settled, World } from "./world.js";

const VARNISH = "/usr/sbin/varnishd";
const NGINX = "/usr/sbin/nginx";
const PATH = "/pages/default/api/v2/summary.json";
const missing = (program: string): string | false => (existsSync(program) ? false : `there is no ${program}`);

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise<void>((resolve) => server.close(() => resolve()));
  return port;
}

/** A program that runs until the test is over. */
async function run(t: Pick<Test, "teardown">, program: string, args: readonly string[], folder: string): Promise<void> {
  const child: ChildProcess = spawn(program, [...args], { stdio: "ignore", env: environmentOf() });
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  t.teardown(async () => {
    child.kill("SIGTERM");
    const last = setTimeout(() => child.kill("SIGKILL"), 5_000);
    await ended;
    clearTimeout(last);
    await rm(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
  });
}

interface Seen {
  readonly status: number;
  readonly text: string;
  readonly names: readonly string[];
}

async function seenAt(base: string): Promise<Seen> {
  const answer = await fetch(`${base}${PATH}`, { signal: AbortSignal.timeout(5_000) });
  const text = await answer.text();
  const { components = [] } = answer.ok ? (JSON.parse(text) as { components?: { name: string }[] }) : {};
  return { status: answer.status, text, names: components.map(({ name }) => name) };
}

const VCL = (port: string): string => `vcl 4.1;
backend default { .host = "127.0.0.1"; .port = "${port}"; .connect_timeout = 1s; .first_byte_timeout = 5s; }
acl purgers { "127.0.0.1"; }
sub vcl_recv {
  if (req.method == "PURGE") {
    if (client.ip !~ purgers) { return (synth(405)); }
    if (req.http.surrogate-key == "*") { ban("obj.status != 0"); }
    else { ban("obj.http.surrogate-key ~ (^|[^!-~])(" + regsuball(req.http.surrogate-key, " ", "|") + ")([^!-~]|$)"); }
    return (synth(200));
  }
}
sub vcl_backend_response { set beresp.grace = 7d; }
`;

test("behind Varnish a change is seen within a second of its purge, and with every region gone it serves on", { skip: missing(VARNISH) }, async (t) => {
  const port = await freePort();
  // Only what Varnish asks for is to be rendered.
  const world = await World.prepare(t, { settings: { lastKnown: "off", publicCaching: { sharedMaxAgeSeconds: 600 }, purge: { caches: [`http://127.0.0.1:${port}/`] } } });
  await world.startAll();
  await world.voting(30_000);
  const folder = await mkdtemp(path.join(tmpdir(), "statusmesh-varnish-"));
  const file = path.join(folder, "default.vcl");
  await writeFile(file, VCL(new URL(world.us.http).port));
  await run(t, VARNISH, ["-j", "none", "-F", "-n", path.join(folder, "work"), "-a", `127.0.0.1:${port}`, "-f", file, "-s", "malloc,32m"], folder);
  const cache = `http://127.0.0.1:${port}`;
  await settled("Varnish serves", async () => (await seenAt(cache)).status === 200, 30_000);
  await world.us.post("/v1/pages/default/components", { name: "First" });
  await settled("the component is seen", async () => (await seenAt(cache)).names.includes("First"));
  const rendered = await world.us.metric("statusmesh_public_renderings");
  for (let i = 0; i < 20; i++) await seenAt(cache);
  t.equal(await world.us.metric("statusmesh_public_renderings"), rendered, "Varnish answers from what it holds");
  // In another region: the one that Varnish asks purges once it has the change.
  await world.eu.post("/v1/pages/default/components", { name: "Second" });
  await settled("us-east has it", async () => (await seenAt(world.us.http)).names.includes("Second"));
  const changedAt = performance.now();
  await settled("Varnish shows it", async () => (await seenAt(cache)).names.includes("Second"));
  t.comment(`${Math.round(performance.now() - changedAt)} ms after it was readable in the region behind`);
  await settled("nothing waits to be purged", async () => (await Promise.all(world.all.map((node) => node.metric('statusmesh_purge_waiting_keys{cache="cache-1"}')))).every((waiting) => waiting === 0));
  const last = await seenAt(cache);
  await world.killAll();
  for (let i = 0; i < 5; i++) t.equal((await seenAt(cache)).text, last.text);
});

const NGINX_CONF = (folder: string, port: number, upstream: string): string => `daemon off; master_process off; pid ${folder}/pid; error_log ${folder}/error.log;
events { worker_connections 64; }
http {
  access_log off; client_body_temp_path ${folder}/body; proxy_temp_path ${folder}/proxy; fastcgi_temp_path ${folder}/fastcgi; uwsgi_temp_path ${folder}/uwsgi; scgi_temp_path ${folder}/scgi;
  proxy_cache_path ${folder}/cache keys_zone=pages:1m;
  server {
    listen 127.0.0.1:${port};
    location / {
      proxy_pass ${upstream}; proxy_http_version 1.1; proxy_set_header Host $host; proxy_cache pages; proxy_cache_revalidate on;
      proxy_cache_use_stale error timeout invalid_header http_500 http_502 http_503 http_504; proxy_connect_timeout 1s;
    }
  }
}
`;

test("behind nginx a change is seen when its second is over, and with every region gone it serves on", { skip: missing(NGINX) }, async (t) => {
  const world = await World.prepare(t, { settings: { publicCaching: { maxAgeSeconds: 1, staleWhileRevalidateSeconds: 0 } } });
  await world.startAll();
  await world.voting(30_000);
  const folder = await mkdtemp(path.join(tmpdir(), "statusmesh-nginx-"));
  const port = await freePort();
  const file = path.join(folder, "nginx.conf");
  await writeFile(file, NGINX_CONF(folder, port, world.us.http));
  await run(t, NGINX, ["-p", folder, "-c", file], folder);
  const cache = `http://127.0.0.1:${port}`;
  await settled("nginx serves", async () => (await seenAt(cache)).status === 200, 30_000);
  await world.us.post("/v1/pages/default/components", { name: "First" });
  await settled("the component is seen", async () => (await seenAt(cache)).names.includes("First"), 20_000);
  const last = await seenAt(cache);
  await world.killAll();
  const until = performance.now() + 3_000;
  while (performance.now() < until) {
    const seen = await seenAt(cache);
    if (seen.status !== 200 || seen.text !== last.text) throw new Error(`${seen.status} ${seen.text.slice(0, 200)}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  t.pass("it served what it held, long after its time was over");
});
