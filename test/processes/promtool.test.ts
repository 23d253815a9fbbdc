/** Debian's promtool on what a real region says of itself, and of its monitors. */
import { spawn } from "node:child_process";
import t from "tap";
import { httpTarget } from "../io/targets.js";
import { findProgram, missing } from "./real-part.js";
import { created, ok } from "./workload.js";
import { settled, World } from "./world.js";

const PROGRAM = "promtool";
const PAGE = "/v1/pages/default";

interface Complaint {
  readonly code: number | null;
  readonly said: string;
}

async function check(text: string): Promise<Complaint> {
  const child = spawn(findProgram(PROGRAM) ?? PROGRAM, ["check", "metrics"], { stdio: ["pipe", "pipe", "pipe"] });
  let said = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (part: Buffer) => (said += part.toString()));
  child.stdin.end(text);
  const code = await new Promise<number | null>((resolve) => child.once("close", resolve));
  return { code, said };
}

t.test("promtool finds nothing to complain about", { timeout: 400_000, skip: missing(PROGRAM) }, async (t) => {
  const world = await World.start(t);
  const { us } = world;
  const target = await httpTarget(t, (_request, response) => void response.end("hello"));
  const id = created(await us.post(`${PAGE}/monitors`, { name: "m", type: "http", target: `http://127.0.0.1:${target}/`, interval_seconds: 5 }));
  ok(await us.post(`${PAGE}/monitors/${id}/run`, null));
  ok(await us.post(`${PAGE}/webhooks/alertmanager`, { version: "4", groupKey: "g", truncatedAlerts: 1, alerts: [{ status: "firing", labels: {}, startsAt: "2026-01-01T00:00:00Z", fingerprint: "f" }] }));
  ok(await us.post(`${PAGE}/components`, { name: "c" }, { level: "GLOBAL_QUORUM" }));
  await settled("the monitor was looked at", async () => (await us.get(`${PAGE}/monitor-metrics`)).text.includes("probe_success{"));

  const answer = await fetch(`${us.http}/metrics`, { headers: { accept: "text/plain" } });
  t.match(answer.headers.get("content-type"), /^text\/plain; version=0\.0\.4/);
  const metrics = await answer.text();
  for (const name of ["statusmesh_alerts_total", "statusmesh_quorum_operations_total", "statusmesh_checks_total", "statusmesh_http_request_duration_seconds_bucket"]) t.match(metrics, name, `${name} is there`);
  t.same(await check(metrics), { code: 0, said: "" }, "/metrics");
  t.same(await check((await us.get(`${PAGE}/monitor-metrics`)).text), { code: 0, said: "" }, "monitor-metrics");
  t.not((await check("Wrong_total 1\n")).code, 0, "promtool does look");
});
