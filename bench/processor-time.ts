/** What a process has used of the processors, from /proc. */
import { readFileSync } from "node:fs";

/** Unit of the times in /proc on Linux. */
const CLOCK_TICK_MS = 10;

/** User and system time of all threads of a process so far, ms. */
export function processorMsOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").replace(/^.*\) /, "").split(" ");
  return (Number(fields[11]) + Number(fields[12])) * CLOCK_TICK_MS;
}
