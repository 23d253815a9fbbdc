/** Loaded before a test file by `npm test -- --measure`: at its end it tells the processor time of the file and of what it has started, ms. Linux only. */
import { readFileSync, writeFileSync } from "node:fs";
import { isMainThread } from "node:worker_threads";

const MS_PER_TICK = 10;
// What the file starts is not measured by itself.
const to = process.env.STATUSMESH_TEST_USAGE;
delete process.env.STATUSMESH_TEST_USAGE;

if (isMainThread && to !== undefined) {
  process.on("exit", () => {
    const [ownUser, ownSystem, itsUser, itsSystem] = readFileSync("/proc/self/stat", "utf8").split(") ").at(-1).split(" ").slice(11, 15).map(Number);
    writeFileSync(to, String((ownUser + ownSystem + itsUser + itsSystem) * MS_PER_TICK));
  });
}
