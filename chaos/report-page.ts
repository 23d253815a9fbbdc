/** The report as one self-contained page: promises, measures and verdicts, and a timeline of faults and operations. */
import type { History, Operation } from "../src/sim/history.js";
import type { Run } from "./report.js";
import type { ScenarioResult } from "./suite.js";

const WIDTH = 1_000;
const LABEL_WIDTH = 120;
const ROW_HEIGHT = 20;
const DOT_ROW_HEIGHT = 34;
const DOTS_MAX = 6_000;
const LEVELS = ["LOCAL", "LOCAL_QUORUM", "GLOBAL_QUORUM"] as const;

/** What a dot of an operation tells by its colour. */
function toneOf({ outcome }: Operation): "ok" | "refused" | "failed" | "unknown" {
  if (outcome === "ok") return "ok";
  if (outcome === "precondition" || outcome === "refused") return "refused";
  return outcome === "rejected" ? "failed" : "unknown";
}

export function reportPage({ seed, results }: Run): string {
  const sum = (pick: (result: ScenarioResult) => number): number => results.reduce((total, result) => total + pick(result), 0);
  const broken = results.filter(({ verdict }) => verdict === "broken").length;
  const head = [
    `<h1>statusmesh chaos</h1>`,
    `<p class="lead"><b class="${broken === 0 ? "kept" : "broken"}">${broken === 0 ? "Every promise was kept" : `${broken} of ${results.length} scenarios broke a promise`}</b> · ${results.length} scenarios · ${sum(({ history }) => history?.operations.length ?? 0).toLocaleString("en")} operations · ${sum(({ history }) => history?.faults.length ?? 0)} faults · seed ${seed}</p>`,
    `<nav>${results.map(({ name, verdict }) => `<a href="#${escaped(name)}"><i class="mark ${verdict}"></i>${escaped(name)}</a>`).join("")}</nav>`,
    `<p class="legend"><i class="mark ok"></i>answered <i class="mark refused"></i>4xx <i class="mark failed"></i>503, nothing written <i class="mark unknown"></i>unknown or no answer <i class="mark bar"></i>fault</p>`,
  ];
  const body = results.map(section).join("\n");
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark"><title>statusmesh chaos, seed ${seed}</title><style>${STYLE}</style></head>
<body><main>${head.join("\n")}\n${body}</main></body></html>
`;
}

function section({ name, title, verdict, tookMs, rows, history }: ScenarioResult): string {
  const table = rows.map((row) => `<tr><td>${escaped(row.promised)}</td><td>${escaped(row.measured)}</td><td class="${row.verdict}">${row.verdict}</td></tr>`).join("");
  return `<section id="${escaped(name)}"><h2><i class="mark ${verdict}"></i>${escaped(name)} <span class="${verdict}">${verdict}</span></h2>
<p>${escaped(title)} <small>${Math.round(tookMs / 1_000)} s${history?.run.command === undefined ? "" : ` · <code>${escaped(history.run.command)}</code>`}${history === undefined ? "" : ` · lanes of a level, from above: ${escaped(history.replicas.map(({ region }) => region).join(", "))}`}</small></p>
${history === undefined || history.operations.length === 0 ? "" : `<div class="timeline">${timeline(history)}</div>`}
<div class="scroll"><table><thead><tr><th>promised</th><th>measured</th><th>verdict</th></tr></thead><tbody>${table}</tbody></table></div></section>`;
}

function timeline(history: History): string {
  const { operations, faults } = history;
  const endMs = Math.max(1, ...operations.map(({ invokedAtMs, returnedAtMs }) => returnedAtMs ?? invokedAtMs), ...faults.map(({ untilMs, fromMs }) => untilMs ?? fromMs), history.convergedAtMs ?? 0);
  // Before the first request the replicas only started.
  const startMs = Math.max(0, Math.min(...operations.map(({ invokedAtMs }) => invokedAtMs), ...faults.map(({ fromMs }) => fromMs)) - 500);
  const x = (ms: number): number => LABEL_WIDTH + (Math.max(0, ms - startMs) / (endMs - startMs)) * (WIDTH - LABEL_WIDTH - 8);
  const parts: string[] = [];
  let y = 22;
  parts.push(axis(startMs, endMs, x));
  for (const fault of faults) {
    const until = fault.untilMs ?? endMs;
    const tip = `${fault.kind} ${fault.targets.join(", ")}${fault.detail === undefined ? "" : ` (${fault.detail})`}, ${seconds(fault.fromMs)} to ${seconds(until)}`;
    parts.push(`<text x="0" y="${y + 13}">${escaped(fault.kind)}</text><rect class="bar" x="${round(x(fault.fromMs))}" y="${y + 3}" width="${round(Math.max(2, x(until) - x(fault.fromMs)))}" height="${ROW_HEIGHT - 6}" rx="3"><title>${escaped(tip)}</title></rect>`);
    y += ROW_HEIGHT;
  }
  const marks = [["healed", history.healedAtMs], ["equal", history.convergedAtMs]] as const;
  const dots: string[] = [];
  // A dot out of so many, but every one that is not "ok".
  const every = Math.ceil(operations.length / DOTS_MAX);
  for (const level of LEVELS) {
    const of = operations.filter((operation) => operation.level === level);
    if (of.length === 0) continue;
    const regions = history.replicas.map(({ region }) => region);
    parts.push(`<text x="0" y="${y + 20}">${level}</text>`);
    of.forEach((operation, place) => {
      const tone = toneOf(operation);
      if (tone === "ok" && place % every !== 0) return;
      const lane = Math.max(0, regions.indexOf(operation.region));
      const cy = y + 6 + ((lane + 0.5) * (DOT_ROW_HEIGHT - 10)) / Math.max(1, regions.length);
      dots.push(`<circle class="${tone}" cx="${round(x(operation.invokedAtMs))}" cy="${round(cy)}" r="${tone === "ok" ? 1.6 : 2.4}">${tone === "ok" ? "" : `<title>${escaped(`#${operation.id} ${operation.kind} in ${operation.region} at ${seconds(operation.invokedAtMs)}: ${operation.outcome}${operation.status === undefined ? "" : ` ${operation.status}`}`)}</title>`}</circle>`);
    });
    y += DOT_ROW_HEIGHT;
  }
  for (const [what, at] of marks) if (at !== undefined) parts.push(`<line class="moment" x1="${round(x(at))}" x2="${round(x(at))}" y1="16" y2="${y}"/><text class="moment" text-anchor="end" x="${round(x(at) - 3)}" y="${what === "healed" ? y + 12 : y + 26}">${what} ${seconds(at)}</text>`);
  return `<svg viewBox="0 0 ${WIDTH} ${y + 32}" role="img" aria-label="Timeline of faults and operations">${parts.join("")}${dots.join("")}</svg>`;
}

function axis(startMs: number, endMs: number, x: (ms: number) => number): string {
  const steps = [1, 2, 5, 10, 20, 30, 60, 120, 300, 600].map((step) => step * 1_000);
  const step = steps.find((one) => (endMs - startMs) / one <= 12) ?? (endMs - startMs) / 12;
  const ticks: string[] = [];
  for (let at = Math.ceil(startMs / step) * step; at <= endMs; at += step) ticks.push(`<line class="tick" x1="${round(x(at))}" x2="${round(x(at))}" y1="16" y2="100%"/><text class="tick" x="${round(x(at))}" y="12">${seconds(at, 0)}</text>`);
  return ticks.join("");
}

function seconds(ms: number, digits = 1): string {
  return `${(ms / 1_000).toFixed(digits)} s`;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

const STYLE = `
:root{color-scheme:light dark;--text:#1c2126;--soft:#5c6670;--back:#fff;--card:#f5f7f9;--line:#d9dfe5;--kept:#1a7f4b;--broken:#c62828;--undecided:#9a6700;--skipped:#5c6670;--ok:#2f9e6e;--refused:#3b6fd4;--failed:#d9822b;--unknown:#c62828;--bar:#7a5bd0}
@media (prefers-color-scheme:dark){:root{--text:#e6eaee;--soft:#9aa6b2;--back:#12161a;--card:#1a2026;--line:#323b44;--kept:#4cc38a;--broken:#ff7b72;--undecided:#e3b341;--skipped:#9aa6b2;--ok:#4cc38a;--refused:#79a8ff;--failed:#f0a35e;--unknown:#ff7b72;--bar:#a48cf0}}
*{box-sizing:border-box}body{margin:0;background:var(--back);color:var(--text);font:15px/1.5 system-ui,sans-serif}
main{max-width:1100px;margin:0 auto;padding:20px 16px 60px}h1{font-size:26px;margin:0 0 4px}h2{font-size:18px;margin:0 0 4px}h2 span{font-size:13px;font-weight:600}
.lead{margin:0 0 14px;color:var(--soft)}small,.legend{color:var(--soft);font-size:13px}code{font-size:12px;overflow-wrap:anywhere}
nav{display:flex;flex-wrap:wrap;gap:6px;margin-bottom:10px}nav a{padding:3px 9px;border:1px solid var(--line);border-radius:99px;color:inherit;text-decoration:none;font-size:13px;white-space:nowrap}
section{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:14px;margin:16px 0}section p{margin:0 0 10px}
.mark{display:inline-block;width:10px;height:10px;border-radius:50%;margin:0 6px 0 0;background:var(--soft)}.legend .mark{margin-left:10px}
.mark.kept,.mark.ok{background:var(--ok)}.mark.broken,.mark.unknown{background:var(--broken)}.mark.undecided{background:var(--undecided)}.mark.refused{background:var(--refused)}.mark.failed{background:var(--failed)}.mark.bar{background:var(--bar);border-radius:3px;width:20px}
.kept{color:var(--kept)}.broken{color:var(--broken)}.undecided{color:var(--undecided)}.skipped{color:var(--skipped)}
.timeline{overflow-x:auto;margin-bottom:10px}.timeline svg{display:block;min-width:720px;width:100%;height:auto}
svg text{font:11px system-ui,sans-serif;fill:var(--text)}svg text.tick,svg text.moment{fill:var(--soft)}svg line.tick{stroke:var(--line)}svg line.moment{stroke:var(--soft);stroke-dasharray:3 3}
svg .bar{fill:var(--bar);opacity:.8}svg circle.ok{fill:var(--ok);opacity:.55}svg circle.refused{fill:var(--refused)}svg circle.failed{fill:var(--failed)}svg circle.unknown{fill:var(--unknown)}
table{border-collapse:collapse;width:100%;font-size:14px}th{text-align:left;color:var(--soft);font-weight:500}td,th{padding:6px 8px;border-top:1px solid var(--line);vertical-align:top}td{overflow-wrap:anywhere}td:nth-child(3){white-space:nowrap;font-weight:600}
@media (max-width:640px){thead{display:none}tr{display:block;border-top:1px solid var(--line);padding:6px 0}td{display:block;border:0;padding:2px 0}td:nth-child(2){color:var(--soft)}}
`;
