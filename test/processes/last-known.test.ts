/** The static copy of a page: written by a real replica, and shown by plain files when nothing else is left. */
import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createServer as createHttpServer } from "node:http";
import type { AddressInfo } from "node:net";
import path from "node:path";
import { test, type Test } from "tap";
import { settled } from "../../chaos/waiting.js";
import { freePort } from "../../chaos/free-ports.js";
import { clusterFolder, statusmesh } from "../cli/cluster-folder.js";
import { findProgram, folderFor, runPart } from "./real-part.js";

const KEY = "a-root-key-for-process-tests";

/** Files and nothing else, at its base URL. */
async function filesServer(t: Pick<Test, "teardown">, folder: string): Promise<string> {
  const server = createHttpServer((request, response) => {
    const name = (request.url ?? "/").replace(/\?.*$/, "");
    readFile(path.join(folder, path.normalize(name.endsWith("/") ? `${name}index.html` : name))).then((bytes) => response.end(bytes), () => response.writeHead(404).end());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.teardown(() => void server.close());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** As docs/operating.md has it. */
const NGINX = (folder: string, port: number, replica: string, copies: string): string => `daemon off; master_process off; pid ${folder}/pid; error_log ${folder}/error.log;
events { worker_connections 64; }
http {
  access_log off; client_body_temp_path ${folder}/body; proxy_temp_path ${folder}/proxy; fastcgi_temp_path ${folder}/fastcgi; uwsgi_temp_path ${folder}/uwsgi; scgi_temp_path ${folder}/scgi;
  types { text/html html; text/css css; text/javascript js; image/svg+xml svg; image/png png; application/json json; }
  server {
    listen 127.0.0.1:${port};
    location / {
      proxy_pass ${replica}; proxy_set_header Host $host; proxy_connect_timeout 2s;
      proxy_intercept_errors on;
      error_page 502 503 504 = @last_known;
    }
    location /v1/ { proxy_pass ${replica}; proxy_set_header Host $host; }
    location @last_known {
      root ${copies}/default;
      rewrite ^/$ /index.html break;
      try_files $uri $uri/index.html @home;
      add_header Cache-Control no-cache;
    }
    location @home { return 302 /; }
  }
}
`;

/** Answers 200 for the page and for each file that it names, and gives the page. */
async function shownAt(t: Test, base: string, what: string): Promise<string> {
  const answer = await fetch(`${base}/`);
  t.equal(answer.status, 200, what);
  const html = await answer.text();
  const assets = [...html.matchAll(/ (?:href|src)="\/?((?:assets\/|feed|calendar)[^"]*)"/g)].map(([, name = ""]) => name);
  t.ok(assets.some((name) => name.endsWith(".css")) && assets.some((name) => name.endsWith(".js")), `${what} names its style and its script`);
  for (const name of assets) t.equal((await fetch(`${base}/${name}`)).status, 200, `${what}: ${name}`);
  return html;
}

test("a change is in the static copy within seconds; with every replica killed and the store damaged, plain files show the page", { timeout: 240_000 }, async (t) => {
  const { folder, files } = await clusterFolder(t, 1, { tls: "off" });
  const args = ["node", "--config", files[0] ?? ""];
  const replica = statusmesh(args, folder, { STATUSMESH_ROOT_KEY: KEY });
  t.teardown(() => void replica.child.kill("SIGKILL"));
  const [line] = await replica.says(/^.*"event":"listening".*$/m);
  const http = `http://${(JSON.parse(line) as { http: string }).http}`;
  const headers = { authorization: `Bearer ${KEY}`, "content-type": "application/json" };
  const send = (method: string, route: string, body: object) => fetch(`${http}/v1/pages/default${route}`, { method, headers, body: JSON.stringify(body) });
  t.equal((await send("PATCH", "", { url: "https://status.example.com" })).status, 200);
  t.equal((await send("POST", "/components", { name: "Search", status: "partial_outage" })).status, 201);
  const incident = await send("POST", "/incidents", { name: "Search is slow", body: "We are looking into it." });
  const { id } = (await incident.json()) as { id: string };
  const gone = (await (await send("POST", "/incidents", { name: "Posted by mistake", body: "A secret." })).json()) as { id: string };
  const copies = path.join(folder, "data", "r0-1", "last-known");
  const copy = path.join(copies, "default");
  const changedAt = performance.now();
  await settled("the copy shows the change", async () => (await readFile(path.join(copy, "index.html"), "utf8")).includes("A secret"));
  t.comment(`after ${Math.round(performance.now() - changedAt)} ms`);
  t.same((await readdir(path.join(copy, "incidents"))).sort(), [id, gone.id].sort());
  t.equal((await fetch(`${http}/v1/pages/default/incidents/${gone.id}`, { method: "DELETE", headers })).status, 204);
  await settled("what was deleted is nowhere in it", async () => {
    const names = (await readdir(copy, { recursive: true })).filter((name) => /\.(?:html|json|atom|rss)$/.test(name));
    const texts = await Promise.all(names.map((name) => readFile(path.join(copy, name), "utf8")));
    return !names.some((name) => name.includes(gone.id)) && !texts.some((text) => text.includes("A secret"));
  });
  const served = await (await fetch(`${http}/pages/default/api/v2/summary.json`)).text();
  t.equal(await readFile(path.join(copy, "api", "v2", "summary.json"), "utf8"), served);

  const out = path.join(folder, "out");
  const exported = statusmesh(["export", "--url", http, "--out", out], folder);
  t.equal(await exported.ended, 0, exported.stderr);
  const listed = async (of: string) => (await readdir(of, { recursive: true })).sort();
  const written = await listed(out);
  const isAsset = (name: string) => name.startsWith(`assets${path.sep}`);
  t.same(written.filter((name) => !isAsset(name)), (await listed(copy)).filter((name) => !isAsset(name)), "export writes the same files");
  // A replica that had written a copy before the component was there keeps what that one named, such as its icon: a visitor may still have it open.
  const kept = new Set(await listed(copy));
  t.same(written.filter((name) => !kept.has(name)), [], "and the files that pages load");
  for (const name of written) {
    const [own, other] = await Promise.all([copy, out].map((of) => readFile(path.join(of, name), "utf8").catch(() => "")));
    const timeless = (text = "") => text.replaceAll(/(<p class="notice" id="copied".*?<\/p>|data-since="[^"]*")/g, "");
    t.equal(timeless(own), timeless(other), name);
  }
  const absent = statusmesh(["export", "--url", http, "--page", "nobody", "--out", path.join(folder, "none")], folder);
  t.equal(await absent.ended, 1);
  t.match(absent.stderr, /^[^\n]*\/pages\/nobody answers with 404: nothing was written\.\n$/);

  const nginx = findProgram("nginx");
  const proxy = `http://127.0.0.1:${await freePort()}`;
  if (nginx !== undefined) {
    const of = await folderFor(t);
    await writeFile(path.join(of, "nginx.conf"), NGINX(of, Number(new URL(proxy).port), http, copies));
    runPart(t, "nginx", ["-p", of, "-c", path.join(of, "nginx.conf")], of);
    await settled("nginx serves the page of the replica", async () => !(await (await fetch(`${proxy}/`)).text()).includes('id="copied"'));
  }
  replica.child.kill("SIGKILL");
  await replica.ended;

  const html = await shownAt(t, await filesServer(t, copy), "the folder on a file server");
  t.match(html, /id="copied".*?This is a saved copy from <time datetime="/);
  t.match(html, "Search");
  if (nginx !== undefined) {
    t.equal(await shownAt(t, proxy, "nginx before the killed replica"), html);
    for (const [below, text] of [["history", "Search is slow"], [`incidents/${id}`, "We are looking into it."], ["de", `<html lang="de"`]] as const) {
      const answer = await fetch(`${proxy}/${below}`);
      t.equal(answer.status, 200, below);
      t.match(await answer.text(), text);
    }
    t.equal((await fetch(`${proxy}/incidents/older`, { redirect: "manual" })).headers.get("location")?.replace(proxy, ""), "/");
    t.equal((await fetch(`${proxy}/v1/pages`)).status, 502, "the API is not there, and says so");
  }
  const late = statusmesh(["export", "--url", http, "--out", out], folder);
  t.equal(await late.ended, 1);
  t.match(late.stderr, /^[^\n]+ does not answer: [^\n]+\n$/);
  t.ok((await readFile(path.join(out, "index.html"), "utf8")).includes("Search"), "what was exported before is there");

  await rm(path.join(folder, "data", "r0-1", "store", "CURRENT"));
  t.equal(await statusmesh(args, folder, { STATUSMESH_ROOT_KEY: KEY }).ended, 1);
  t.equal(await readFile(path.join(copy, "index.html"), "utf8"), html, "a start that the damage ends leaves the copy");
  const empty = statusmesh([...args, "--rebuild"], folder, { STATUSMESH_ROOT_KEY: KEY });
  t.teardown(() => void empty.child.kill("SIGKILL"));
  await empty.says(/"event":"listening"/);
  const metric = async (name: string) => Number(new RegExp(`^${name} (.*)$`, "m").exec(await (await fetch(`${http}/metrics`)).text())?.[1]);
  await settled("the empty replica has looked at its page", async () => (await metric("statusmesh_public_renderings")) > 0 && (await metric("statusmesh_last_known_waiting_pages")) === 0);
  empty.child.kill("SIGTERM");
  t.equal(await empty.ended, 0);
  t.equal(await readFile(path.join(copy, "index.html"), "utf8"), html, "one that lost everything does not put an empty page over it");
});
