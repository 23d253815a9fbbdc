/** `statusmesh chaos`: faults for a cluster that `statusmesh up --chaos` runs, and the chaos suite with clusters of its own. */
import path from "node:path";
import type { Command } from "commander";
import { askLinks, askReplicas, type LinkOrder, type ReplicaAction } from "./chaos-control.js";
import { DELAY_MS_MAX, type LinkState } from "./chaos-links.js";
import { addSuiteCommands } from "./chaos-suite.js";
import { CommandFault, say, table } from "./terminal.js";

interface ChaosOptions {
  readonly data?: string;
  readonly json?: true;
}

const SIGNALS: readonly (readonly [action: ReplicaAction, description: string])[] = [
  ["kill", "Kills a replica, or all of a region, as by kill -9; statusmesh up starts it again."],
  ["pause", "Stops a replica, or all of a region, in its tracks (SIGSTOP)."],
  ["resume", "Lets what was paused go on (SIGCONT)."],
];
const DONE: Readonly<Record<ReplicaAction, string>> = { kill: "killed; up starts it again", pause: "paused", resume: "goes on" };
const EXIT_CODES = "\nExit codes: 0 done; 1 not done, for the reason on stderr.";

export function chaosCommand(program: Command): void {
  const chaos = program
    .command("chaos")
    .description("Cuts, slows and heals links, kills, pauses and resumes replicas of a cluster that runs under statusmesh up --chaos; runs the chaos suite.")
    .addHelpText("after", EXIT_CODES);
  const add = (usage: string, description: string): Command =>
    chaos
      .command(usage)
      .description(description)
      .option("--data <folder>", "the --data of the running statusmesh up (default: data)")
      .option("--json", "print JSON")
      .addHelpText("after", `\nNames are those of regions or of replicas.${EXIT_CODES}`);

  add("cut <name> [other]", "Cuts the links between two regions or replicas, both ways; with one name, its links with all others.").action((name: string, other: string | undefined, options: ChaosOptions) =>
    order({ action: "cut", names: named(name, other) }, options),
  );
  add("heal [name] [other]", "Undoes cuts and delays: of the links between two, of all links of one, or of every link.").action((name: string | undefined, other: string | undefined, options: ChaosOptions) =>
    order({ action: "heal", names: named(name, other) }, options),
  );
  add("slow <name> <other> <delay>", "Adds a delay such as 300ms or 1.5s to the round trip between two, half of it each way. 0ms takes it away.").action((name: string, other: string, delay: string, options: ChaosOptions) =>
    order({ action: "slow", names: [name, other], delayMs: delayMsOf(delay) }, options),
  );
  for (const [action, description] of SIGNALS) {
    add(`${action} <name>`, description).action(async (name: string, options: ChaosOptions) => {
      const replicas = await askReplicas(folderOf(options), action, name);
      if (options.json === true) say(JSON.stringify({ action, replicas }));
      else for (const replica of replicas) say(`${replica}: ${DONE[action]}`);
    });
  }
  addSuiteCommands(chaos);
  add("status", "Shows every link: who dials whom, whether it is cut, its delay and what went over it.").action(async (options: ChaosOptions) => {
    const links = await askLinks(folderOf(options));
    say(options.json === true ? JSON.stringify({ links }) : statusTable(links));
  });
}

async function order(given: LinkOrder, options: ChaosOptions): Promise<void> {
  const links = await askLinks(folderOf(options), given);
  if (options.json === true) {
    say(JSON.stringify({ links }));
    return;
  }
  const pairs = new Set(links.map(({ from, to }) => [from, to].sort().join(" and ")));
  for (const pair of pairs) say(`${pair}: ${outcomeOf(given)}`);
}

function outcomeOf(given: LinkOrder): string {
  if (given.action === "slow") return given.delayMs === 0 ? "no delay" : `${given.delayMs} ms more a round trip`;
  return given.action === "cut" ? "cut" : "healed";
}

function statusTable(links: readonly LinkState[]): string {
  const rows = links.map((link) => [
    link.from, link.to, link.cut ? "cut" : "open", link.delay_ms === 0 ? "-" : `${link.delay_ms} ms`,
    String(link.connections), String(link.refused), String(link.bytes_sent), String(link.bytes_received),
  ]);
  return table(["dialled by", "to", "link", "delay", "connections", "refused", "bytes sent", "bytes received"], rows);
}

/** The folder that `up` would take, so that both commands find each other with the same flags and environment. */
function folderOf({ data }: ChaosOptions): string {
  return path.resolve(data ?? (process.env["STATUSMESH_DATA"] || "data"));
}

function named(...names: readonly (string | undefined)[]): readonly string[] {
  return names.filter((name) => name !== undefined);
}

function delayMsOf(text: string): number {
  const [, number, unit] = /^(\d{1,6}(?:\.\d{1,6})?)(ms|s)$/.exec(text) ?? [];
  const ms = Number(number) * (unit === "s" ? 1_000 : 1);
  if (number === undefined || ms > DELAY_MS_MAX) throw new CommandFault([`The delay must be a number with ms or s, such as 300ms, of at most ${DELAY_MS_MAX / 1_000}s, not ${JSON.stringify(text)}.`]);
  return ms;
}
