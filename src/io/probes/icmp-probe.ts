/** ICMP by the system's `ping`, which has the right to send it where a process of ours has not. */
import { execFile } from "node:child_process";
import { isIPv6 } from "node:net";
import type { Check } from "../../core/check.js";
import type { Json } from "../../core/change.js";
import { CheckFailure } from "./check-failure.js";
import { addressesOf, type ProbeSettings, type Stopwatch } from "./target-connection.js";

const OUTPUT_BYTES_MAX = 64 * 1024;
/** Exit code of `ping` where nothing came back; others are its own failures. */
const NO_ANSWER = 1;

export async function probeIcmp({ target }: Check, settings: ProbeSettings, watch: Stopwatch, program = "ping"): Promise<{ readonly [name: string]: Json }> {
  const [address = ""] = await addressesOf(target, settings, watch);
  const args = [...(isIPv6(address) ? ["-6"] : []), "-n", "-c", "1", "-W", String(Math.max(1, Math.ceil(watch.leftMs / 1_000))), address];
  const since = watch.elapsedMs;
  const { code, output } = await run(program, args, Math.ceil(watch.leftMs));
  if (code === 0) {
    watch.add("first_byte", since);
    const time = /time[=<]\s*([0-9.]+)\s*ms/.exec(output)?.[1];
    return time === undefined ? {} : { round_trip_ms: Number(time) };
  }
  if (code === "ENOENT") throw new CheckFailure("no-ping", "the program ping is not installed here", "unknown");
  if (code === NO_ANSWER || code === "timeout") throw new CheckFailure("timeout", "no echo came in time");
  if (/permitted|permission|socket/i.test(output)) throw new CheckFailure("not-permitted", "this replica may not send ICMP", "unknown");
  throw new CheckFailure("EHOSTUNREACH", "the host cannot be reached");
}

function run(program: string, args: readonly string[], timeoutMs: number): Promise<{ readonly code: number | "ENOENT" | "timeout"; readonly output: string }> {
  return new Promise((ended) => {
    execFile(program, [...args], { timeout: timeoutMs, killSignal: "SIGKILL", maxBuffer: OUTPUT_BYTES_MAX, env: { LC_ALL: "C", PATH: "/usr/bin:/bin:/usr/sbin:/sbin" } }, (error, stdout, stderr) => {
      const output = `${stdout}\n${stderr}`;
      if (error === null) ended({ code: 0, output });
      else if (error.code === "ENOENT") ended({ code: "ENOENT", output });
      else ended({ code: error.killed === true || typeof error.code !== "number" ? "timeout" : error.code, output });
    });
  });
}
