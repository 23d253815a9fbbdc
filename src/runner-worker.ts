/** The thread in which checks run. A target, body or expression that ends it or keeps it busy is felt by no request. */
import { parentPort, workerData } from "node:worker_threads";
import { Runner } from "./features/monitors/runner.js";
import { NetworkProbe } from "./io/probes/network-probe.js";
import { systemClock, systemTimers } from "./io/system-clock.js";
import type { RunnerOrder, RunnerReport, RunnerSettings } from "./runner-messages.js";

// Every check makes errors, if only of connections that are closed on purpose, and nobody reads where they were made.
Error.stackTraceLimit = 0;

/** How often this thread says that it is not stuck, ms. */
const ALIVE_EVERY_MS = 1_000;

const settings = workerData as RunnerSettings;
const say = (report: RunnerReport): void => parentPort?.postMessage(report);
const runner = new Runner({
  probe: new NetworkProbe({ allowPrivateTargets: settings.allowPrivateTargets, allowedTargetRanges: settings.allowedTargetRanges ?? [], region: settings.region }, systemClock),
  canaryProbe: new NetworkProbe({ allowPrivateTargets: true, region: settings.region }, systemClock), clock: systemClock, timers: systemTimers, canaries: settings.canaries,
  report: (result) => say({ kind: "result", result }),
});

const live = (): void => {
  say({ kind: "alive" });
  systemTimers.after(ALIVE_EVERY_MS, live);
};
live();

parentPort?.on("message", (order: RunnerOrder) => {
  if (order.kind === "assign") runner.assign(order.tasks, order.dropped);
  else void runner.runNow(order.task).then((result) => say({ kind: "ran", id: order.id, result }));
});
