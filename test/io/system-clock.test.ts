import { test } from "tap";
import { createLog } from "../../src/io/log.js";
import { pause, systemClock, systemRandom, systemTimers, untilAborted } from "../../src/io/system-clock.js";

test("a timer fires once, not early, and not at all when cancelled", async (t) => {
  const startedAt = systemClock.monotonic();
  let fired = 0;
  const cancelled = systemTimers.after(5, () => t.fail("it was cancelled"));
  cancelled.cancel();
  systemTimers.after(20, () => {
    fired += 1;
    t.ok(systemClock.monotonic() - startedAt >= 20);
  });
  await pause(60);
  t.equal(fired, 1);
});

test("a timer beyond what Node can count does not fire at once", async (t) => {
  const far = systemTimers.after(2 ** 40, () => t.fail("it fired"));
  await pause(20);
  far.cancel();
});

test("waiting ends when it is aborted, also before it began", async (t) => {
  const abort = new AbortController();
  systemTimers.after(5, () => abort.abort());
  await Promise.all([pause(60_000, abort.signal), untilAborted(abort.signal)]);
  await pause(60_000, abort.signal);
  t.ok(abort.signal.aborted);
});

test("random numbers lie in [0, 1) and bytes differ", async (t) => {
  for (let i = 0; i < 1_000; i++) {
    const number = systemRandom.uniform();
    if (!(number >= 0 && number < 1)) t.fail(`${number}`);
  }
  t.notSame(systemRandom.bytes(16), systemRandom.bytes(16));
});

test("secrets do not reach the log, wherever they stand", async (t) => {
  let lines = "";
  const write = (line: string): void => {
    lines += line;
  };
  const log = createLog({ level: "info", replica: "a", region: "b", destination: { write } });
  log.info({ authorization: "hush", secret: "hush", key: "hush", req: { headers: { authorization: "hush", cookie: "hush" } }, body: { secret: "hush", nested: { key: "hush" } } }, "told");
  t.notMatch(lines, /hush/);
  t.match(JSON.parse(lines), { level: "info", replica: "a", region: "b", msg: "told" });
});
