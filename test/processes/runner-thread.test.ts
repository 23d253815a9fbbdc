import path from "node:path";
import { pathToFileURL } from "node:url";
import t from "tap";
import { systemTimers } from "../../src/io/system-clock.js";
import type { RunnerResult, RunnerTask } from "../../src/features/monitors/runner.js";
import { httpTarget } from "../io/targets.js";
import { checkout } from "../../chaos/checkout.js";
import { ensureBuilt } from "../../chaos/built-program.js";

// Threads are started from what was compiled: the loaders of the test runner do not reach into them.
await ensureBuilt();
const { RunnerThread } = (await import(pathToFileURL(path.join(checkout, "dist", "runner-thread.js")).href)) as typeof import("../../src/runner-thread.js");

async function until(condition: () => boolean): Promise<void> {
  for (let tries = 0; !condition(); tries++) {
    if (tries > 3_000) throw new Error("it did not come to pass in time");
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

t.test("checks run in a thread that is started again when it ends in the middle of one", { timeout: 150_000 }, async (t) => {
  let hold = false;
  let asked = 0;
  const port = await httpTarget(t, (_request, response) => {
    asked++;
    if (!hold) response.end("fine");
  });
  const ended: unknown[] = [];
  const results: RunnerResult[] = [];
  const runner = new RunnerThread({ settings: { region: "us-east", allowPrivateTargets: true, canaries: [] }, timers: systemTimers, log: (event) => ended.push(event) });
  t.teardown(() => runner[Symbol.asyncDispose]());
  runner.onResult((result) => results.push(result));
  const task: RunnerTask = { key: "default/m", intervalMs: 5_000, retries: 0, retryDelayMs: 0, soon: true, check: { type: "http", target: `http://127.0.0.1:${port}/`, timeoutMs: 20_000, options: {} } };
  runner.assign([task], []);
  await until(() => results.length > 0);
  t.match(results[0], { key: "default/m", state: "up" });
  t.match(await runner.runNow(task), { state: "up" });
  hold = true;
  const before = asked;
  const cutOff = runner.runNow(task);
  await until(() => asked > before);
  await runner.kill();
  t.equal(await cutOff, undefined, "who waits for it is told");
  t.equal(ended.length, 1);
  hold = false;
  const seen = results.length;
  await until(() => results.length > seen);
  t.match(results.at(-1), { key: "default/m", state: "up" });
});

t.test("an expression that would take for ever elsewhere takes no time here", { timeout: 150_000 }, async (t) => {
  const port = await httpTarget(t, (_request, response) => response.end(`${"a".repeat(100_000)}!`));
  const runner = new RunnerThread({ settings: { region: "us-east", allowPrivateTargets: true, canaries: [] }, timers: systemTimers, log: () => undefined });
  t.teardown(() => runner[Symbol.asyncDispose]());
  const result = await runner.runNow({
    key: "default/m", intervalMs: 5_000, retries: 0, retryDelayMs: 0, soon: true,
    check: { type: "http", target: `http://127.0.0.1:${port}/`, timeoutMs: 20_000, options: { body_matches: "^(a+)+$" } },
  });
  t.match(result, { state: "down", error: { code: "body" } });
});
