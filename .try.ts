import { simulate } from "./src/sim/simulation.js";
import { simulationHost } from "./src/cli/sim-host.js";
import { judge } from "./src/sim/judgement.js";
import { appendFileSync } from "node:fs";
const [from, to, trace] = [Number(process.argv[2]), Number(process.argv[3] ?? process.argv[2]), process.argv[4]];
const faults = process.env["FAULTS"] === undefined ? undefined : new Set(process.env["FAULTS"].split(",").filter(Boolean).map(Number));
for (let seed = from; seed <= to; seed++) {
  const t = process.cpuUsage();
  const lines: string[] = [];
  const r = await simulate({ seed, host: simulationHost, ...(faults ? { faults } : {}), ...(trace ? { traceLine: (l: string) => { lines.push(l); if (lines.length > 1000) appendFileSync(trace, lines.splice(0).join("")); } } : {}) });
  if (trace) appendFileSync(trace, lines.join(""));
  const j = judge(r);
  const u = process.cpuUsage(t);
  console.log(seed, r.traceHash, Math.round(r.simulatedMs), "ms", r.events, "events", r.history.operations.length, "ops", r.history.operations.filter(o => o.outcome === "ok").length, "ok", "conv", r.history.convergedAtMs !== undefined ? Math.round(r.history.convergedAtMs - (r.history.healedAtMs ?? 0)) : "NO", "cpu", Math.round((u.user + u.system) / 1000), j.failures.length || j.undecided.length ? "FAIL" : "");
  for (const f of j.failures.slice(0, 3)) console.log("  ", f.checker, "|", f.happened.slice(0, 1500));
  for (const f of j.undecided.slice(0, 3)) console.log("  undecided", f.slice(0, 500));
  if (r.history.convergedAtMs === undefined) console.log(JSON.stringify(r.history.final.map(f => [f.replica, f.merkleRoot, f.vector])), r.faults.length, JSON.stringify(r.history.faults.slice(-6)));
  if (process.env["HIST"]) for (const o of r.history.operations) if (o.subject.id === process.env["HIST"] || o.kind === "list" && process.env["LISTS"]) console.log(JSON.stringify({ ...o, tokenIn: undefined, tokenOut: undefined, format: undefined }));
  if (process.env["FLT"]) for (const f of r.history.faults) console.log(JSON.stringify(f));
  if (process.env["REACHED"]) console.log(r.reached);
}
process.exit(0);
