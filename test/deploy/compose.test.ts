/** The three regions in containers: a file that Compose takes, and a proxy behind every address that a replica dials. */
import { execFileSync, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import path from "node:path";
import t from "tap";
import { checkout } from "../../chaos/checkout.js";

const file = path.join(checkout, "compose.regions.yml");

/** The way to run Compose here: the plugin of the client, or the program of its own; undefined: none. */
const compose = [["docker", "compose"], ["docker-compose"]].find(([command = "", ...args]) => spawnSync(command, [...args, "version"]).status === 0);

t.test("Compose accepts the file of the three regions", { skip: compose === undefined ? "no docker compose here" : false }, async (t) => {
  const [command = "", ...args] = compose ?? [];
  const resolved = execFileSync(command, [...args, "-f", file, "config"], { encoding: "utf8", cwd: checkout });
  for (const service of ["us-east", "eu-west", "ap-south", "toxiproxy", "prometheus", "certificates"]) t.match(resolved, new RegExp(`^  ${service}:$`, "m"), service);
});

t.test("every link of the mesh goes through a proxy of its own, which leads to the region that it is named after", async (t) => {
  const text = readFileSync(file, "utf8");
  const proxies = JSON.parse(readFileSync(path.join(checkout, "deploy", "toxiproxy.json"), "utf8")) as { name: string; listen: string; upstream: string }[];
  const dialled = [...text.matchAll(/STATUSMESH_PEER_([A-Z_]+)_1_MESH: "toxiproxy:(\d+)"/g)].map(([, peer = "", port]) => ({ region: peer.toLowerCase().replaceAll("_", "-"), port }));
  t.equal(dialled.length, 6, "three regions dial two peers each");
  t.equal(new Set(dialled.map(({ port }) => port)).size, 6, "no two directions share a proxy");
  for (const { region, port } of dialled) {
    const proxy = proxies.find(({ listen }) => listen.endsWith(`:${port}`));
    t.ok(proxy, `something listens on ${port}`);
    t.match(proxy?.upstream, new RegExp(`^${region}:`), `${port} leads to ${region}`);
  }
});
