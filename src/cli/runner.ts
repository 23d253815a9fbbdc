/** `statusmesh runner`: runs checks for a replica as a process of its own. */
import { readFileSync } from "node:fs";
import { hostname } from "node:os";
import type { Command } from "commander";
import { runnerLimits } from "../core/limits.js";
import { pause, systemClock, systemRandom, systemTimers } from "../io/system-clock.js";
import { RunnerThread } from "../runner-thread.js";
import { RunnerLink, type BeatAnswer, type RunnerOrders } from "./runner-link.js";
import { CommandFault, EXIT_CONFIG, say } from "./terminal.js";

const NAME = /^[a-z0-9][a-z0-9-]{0,47}$/;

export function runnerCommand(program: Command): void {
  program
    .command("runner")
    .description("Runs checks for a replica as a process of its own; several share its monitors. Logs JSON lines; event=registered says that it has its share.")
    .requiredOption("--url <url>", "base URL of the replica's API")
    .option("--name <name>", "name of this runner, unique beside the replica: lower-case letters, digits, hyphens", ownName())
    .addHelpText("after", "\nThe key of an owner comes from STATUSMESH_RUNNER_KEY, or from the file that STATUSMESH_RUNNER_KEY_FILE names.\nExit codes: 0 stopped in order; 1 the replica refuses it; 78 configuration.")
    .action(async ({ name, url }: { name: string; url: string }) => {
      const faults = [
        ...(NAME.test(name) ? [] : [`--name must be 1 to 48 lower-case letters, digits and hyphens, not "${name}".`]),
        ...(/^https?:\/\/[^/]/.test(url) && URL.canParse(url) ? [] : [`--url must be an http or https URL, not "${url}".`]),
      ];
      const key = keyFrom(process.env, faults);
      if (faults.length > 0) throw new CommandFault(faults, EXIT_CONFIG);
      await run(`${url.replace(/\/+$/, "")}/v1/cluster/runners/${name}`, key, name);
      process.exit();
    });
}

function ownName(): string {
  return `${hostname().toLowerCase().replace(/[^a-z0-9-]/g, "-").replace(/^-+/, "").slice(0, 36)}-${process.pid}`;
}

function keyFrom(environment: NodeJS.ProcessEnv, faults: string[]): string {
  const file = environment["STATUSMESH_RUNNER_KEY_FILE"];
  const named = environment["STATUSMESH_RUNNER_KEY"] || (file === undefined || file === "" ? undefined : firstLineOf(file, faults));
  if (named === undefined || named === "") faults.push("STATUSMESH_RUNNER_KEY, or the file that STATUSMESH_RUNNER_KEY_FILE names, must hold the key of an owner.");
  return named ?? "";
}

function firstLineOf(file: string, faults: string[]): string {
  try {
    return readFileSync(file, "utf8").split("\n", 1)[0]?.trim() ?? "";
  } catch (error) {
    faults.push(error instanceof Error ? error.message : String(error));
    return "";
  }
}

async function run(address: string, key: string, name: string): Promise<void> {
  const headers = { authorization: `Bearer ${key}`, "content-type": "application/json" };
  const log = (event: Readonly<Record<string, unknown>>): void => say(JSON.stringify({ time: new Date(systemClock.now()).toISOString(), runner: name, ...event }));
  const stopping = new AbortController();
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => stopping.abort());
  // Whoever started it over a channel is gone.
  if (process.connected) process.once("disconnect", () => stopping.abort());
  await using link = new RunnerLink({
    clock: systemClock, instance: Buffer.from(systemRandom.bytes(16)).toString("hex"), log,
    send: (beat) => ask(address, headers, beat),
    newRunner: (settings) => new RunnerThread({ settings, timers: systemTimers, log: (event, text) => log({ ...event, msg: text }) }),
  });
  const leases = setLeaseWatch(link, stopping.signal);
  while (!stopping.signal.aborted) {
    const next = await link.beat();
    if (typeof next !== "number") throw new CommandFault([`the replica refuses this runner: ${next.refused}`]);
    await pause(next, stopping.signal);
  }
  await leases;
  await fetch(address, { method: "DELETE", headers: { authorization: headers.authorization }, signal: AbortSignal.timeout(runnerLimits.answerTimeoutMs) }).catch(() => undefined);
  log({ event: "stopped" });
}

/** A beat that hangs must not keep a lease. */
async function setLeaseWatch(link: RunnerLink, stopping: AbortSignal): Promise<void> {
  while (!stopping.aborted) {
    link.checkLease();
    await pause(runnerLimits.lookEveryMs, stopping);
  }
}

/** Keys that are wrong, and requests that do not fit, will not be right next time; everything else may be. */
async function ask(address: string, headers: Readonly<Record<string, string>>, beat: object): Promise<BeatAnswer> {
  try {
    const answer = await fetch(address, { method: "PUT", headers, body: JSON.stringify(beat), signal: AbortSignal.timeout(runnerLimits.answerTimeoutMs) });
    if (answer.ok) return { orders: (await answer.json()) as RunnerOrders };
    const said = `${answer.status} ${((await answer.json().catch(() => ({}))) as { detail?: string }).detail ?? ""}`.trim();
    return answer.status >= 400 && answer.status < 500 && answer.status !== 408 && answer.status !== 429 ? { refused: said } : { silent: said };
  } catch (error) {
    return { silent: error instanceof Error ? error.message : String(error) };
  }
}
