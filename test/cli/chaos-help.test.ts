import { test } from "tap";
import { statusmesh } from "./cluster-folder.js";

/** Each run is a process that compiles what it loads: so few at a time. */
const AT_ONCE = 4;

test("every chaos command has --help, and asks for what it lacks", { timeout: 300_000 }, async (t) => {
  const helps = [[], ["cut"], ["heal"], ["slow"], ["status"], ["kill"], ["pause"], ["resume"], ["run"], ["list"], ["check"]].map((args) => ({ args: [...args, "--help"], code: 0 }));
  const lacking = [[], ["cut"], ["slow", "r0", "r1"], ["cut", "r0", "r1", "r2"], ["kill"], ["burn"]].map((args) => ({ args, code: 1 }));
  const wanted = [...helps, ...lacking];
  const take = async (): Promise<void> => {
    for (let next = wanted.shift(); next !== undefined; next = wanted.shift()) {
      const run = statusmesh(["chaos", ...next.args], ".");
      t.equal(await run.ended, next.code, next.args.join(" "));
      if (next.code === 0) t.match(run.stdout, /Usage: statusmesh chaos/);
      else t.not(run.stderr, "");
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, take));
});
