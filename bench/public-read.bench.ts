/** The status page and `summary.json`, against bare Fastify and nginx that send the same bytes. */
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { BareFastify } from "./bare-fastify.js";
import { CONNECTIONS, inTurn, RUNS, type BenchWorld } from "./bench.js";
import { Child, TemporaryFolder } from "./children.js";
import { freePorts } from "../chaos/free-ports.js";
import { Cluster, type RegionProcess } from "./cluster.js";
import { sampleOf } from "./measurement.js";

const NGINX = "/usr/sbin/nginx";
const COMPONENTS = 50;
/** Updates of an incident that are far more than a page shows. */
const LONG_TIMELINE = 10_000;
const COLD_RENDERINGS = 25;
/** Far more than a page has; besides those of the other figures. */
const MANY_COMPONENTS = 2_000;

/** nginx, serving one file. */
class FileServer {
  private constructor(private readonly folder: TemporaryFolder, private readonly child: Child, readonly base: string) {}

  static async start(bytes: string): Promise<FileServer> {
    const folder = new TemporaryFolder();
    const root = path.join(folder.path, "root");
    mkdirSync(root);
    writeFileSync(path.join(root, "bytes"), bytes);
    const [port = 0] = await freePorts(1);
    const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `${name}_temp_path ${folder.path}/${name};`).join(" ");
    writeFileSync(path.join(folder.path, "nginx.conf"), `daemon off; worker_processes 1; user root; pid ${folder.path}/pid; error_log ${folder.path}/error.log;
events { worker_connections 1024; }
http { access_log off; sendfile on; tcp_nopush on; keepalive_requests 10000000; default_type application/json; ${temporary}
  server { listen 127.0.0.1:${port}; root ${root}; } }`);
    const child = Child.spawn("nginx", NGINX, ["-p", folder.path, "-c", path.join(folder.path, "nginx.conf")], {});
    return new FileServer(folder, child, `http://127.0.0.1:${port}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.child.stop();
    this.folder[Symbol.dispose]();
  }
}

async function addComponents(region: RegionProcess, count: number): Promise<void> {
  for (let made = 0; made < count; made += CONNECTIONS) {
    const names = Array.from({ length: Math.min(CONNECTIONS, count - made) }, (_none, at) => `Component ${made + at}`);
    const answers = await Promise.all(names.map((name) => region.call("POST", "/v1/pages/default/components", { body: { name } })));
    const failed = answers.find(({ status }) => status !== 201);
    if (failed !== undefined) throw new Error(`a component was answered ${failed.status}`);
  }
}

async function measure(world: BenchWorld, region: RegionProcess, name: string, route: string): Promise<void> {
  const { load, quick, found, skipped } = world;
  const answer = await fetch(`${region.base}${route}`, { headers: { "accept-encoding": "identity" } });
  if (answer.status !== 200) return skipped(name, `it is answered ${answer.status}`);
  const bytes = await answer.text();
  await using bare = await BareFastify.start(bytes);
  await using files = existsSync(NGINX) ? await FileServer.start(bytes) : undefined;
  if (files === undefined) skipped(`${name} beside nginx`, `there is no ${NGINX}`);
  const common = { connections: CONNECTIONS, seconds: quick ? 0.5 : 2 };
  const reading = (base: string, path: string) => () => load.run({ ...common, base, requests: [{ method: "GET" as const, path }] });
  const all = [reading(region.base, route), reading(bare.base, "/bytes"), ...(files === undefined ? [] : [reading(files.base, "/bytes")])];
  for (const one of all) await one();
  const [ours = [], fastify = [], nginx] = await inTurn(RUNS, all);
  const value = sampleOf(ours.map(({ perSecond }) => perSecond));
  const note = `${Buffer.byteLength(bytes)} bytes`;
  found({ metric: `${name}, ${CONNECTIONS} connections`, unit: "requests/s", value, beside: { name: "bare Fastify, same bytes", value: sampleOf(fastify.map(({ perSecond }) => perSecond)) }, goal: { text: "≥ 0.9 ×", of: "ratio", atLeast: 0.9 }, note });
  if (nginx !== undefined) found({ metric: `${name}, beside nginx`, unit: "requests/s", value, beside: { name: "nginx, same bytes from a file", value: sampleOf(nginx.map(({ perSecond }) => perSecond)) }, goal: { text: "≥ 0.5 ×", of: "ratio", atLeast: 0.5 }, note });
}

/** What one visitor waits for the page right after a change, for its first bytes and for all of it, and when nothing has changed since; each time a component's status was changed. */
async function waits(region: RegionProcess, rounds: number): Promise<{ readonly first: number[]; readonly anew: number[]; readonly kept: number[] }> {
  const { body } = await region.call<{ data: { id: string }[] }>("GET", "/v1/pages/default/components?limit=100");
  const timed = async (): Promise<{ first: number; whole: number }> => {
    const started = performance.now();
    const answer = await fetch(`${region.base}/pages/default`);
    if (answer.status !== 200 || answer.body === null) throw new Error(`the page was answered ${answer.status}`);
    let first: number | undefined;
    for await (const _bytes of answer.body) first ??= performance.now() - started;
    const whole = performance.now() - started;
    return { first: first ?? whole, whole };
  };
  const [first, anew, kept]: [number[], number[], number[]] = [[], [], []];
  for (const [index, { id }] of body.data.slice(0, COLD_RENDERINGS).entries()) {
    const { status } = await region.call("PATCH", `/v1/pages/default/components/${id}`, { body: { status: (index + rounds) % 2 === 0 ? "partial_outage" : "degraded_performance" } });
    if (status !== 200) throw new Error(`a change was answered ${status}`);
    const made = await timed();
    first.push(made.first);
    anew.push(made.whole);
    kept.push((await timed()).whole);
  }
  return { first, anew, kept };
}

async function rendering({ found, quick }: BenchWorld, region: RegionProcess): Promise<void> {
  const few = await waits(region, 0);
  found({ metric: `status page of ${COMPONENTS} components, rendered anew, whole answer`, unit: "ms", value: sampleOf(few.anew), beside: { name: "not changed since", value: sampleOf(few.kept) } });
  found({ metric: `the same, its first bytes (head, shell, overall status)`, unit: "ms", value: sampleOf(few.first), beside: { name: "whole answer", value: sampleOf(few.anew) } });
  const [incident = ""] = await region.openIncidents(1);
  const updates = quick ? 500 : LONG_TIMELINE;
  for (let n = 0; n < updates; n += CONNECTIONS) {
    const answers = await Promise.all(Array.from({ length: CONNECTIONS }, (_none, at) => region.call("POST", `/v1/pages/default/incidents/${incident}/updates`, { body: { body: `Update ${n + at}` } })));
    const failed = answers.find(({ status }) => status !== 201);
    if (failed !== undefined) throw new Error(`an update was answered ${failed.status}`);
  }
  const many = await waits(region, 1);
  found({ metric: `the same, with an incident of ${updates.toLocaleString("en")} updates open`, unit: "ms", value: sampleOf(many.anew), beside: { name: "with incidents of one update", value: sampleOf(few.anew) } });
  const components = quick ? 200 : MANY_COMPONENTS;
  await addComponents(region, components);
  const large = await waits(region, 0);
  found({ metric: `status page of ${(COMPONENTS + components).toLocaleString("en")} components, rendered anew, first bytes`, unit: "ms", value: sampleOf(large.first), beside: { name: "whole answer", value: sampleOf(large.anew) } });
}

export async function publicRead(world: BenchWorld): Promise<void> {
  await using cluster = await Cluster.start();
  const region = cluster.at("us-east");
  await addComponents(region, COMPONENTS);
  await region.openIncidents(3);
  await measure(world, region, "summary.json", "/pages/default/api/v2/summary.json");
  await measure(world, region, "status page", "/pages/default");
  await rendering(world, region);
}
