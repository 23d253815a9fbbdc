/** The command line. Importing this module runs it. */
import { Command, CommanderError } from "commander";
import { programVersion } from "./program-version.js";
import { CommandFault, complain } from "./terminal.js";

/** A command loads its own modules only: a replica may have few descriptors. */
const COMMANDS: Readonly<Record<string, () => Promise<(program: Command) => void>>> = {
  up: async () => (await import("./up.js")).upCommand,
  node: async () => (await import("./node.js")).nodeCommand,
  certs: async () => (await import("./certs.js")).certsCommand,
  apply: async () => (await import("./apply.js")).applyCommand,
  runner: async () => (await import("./runner.js")).runnerCommand,
  export: async () => (await import("./export.js")).exportCommand,
  verify: async () => (await import("./verify.js")).verifyCommand,
  chaos: async () => (await import("./chaos.js")).chaosCommand,
};

const program = new Command("statusmesh")
  .description("Status pages that stay up, and stay writable, while whole regions are down.")
  .version(programVersion())
  .exitOverride()
  .showHelpAfterError("(--help says more)");
const [, , asked = ""] = process.argv;
for (const [name, load] of Object.entries(COMMANDS)) if (name === asked || !Object.hasOwn(COMMANDS, asked)) (await load())(program);
for (const command of program.commands) command.exitOverride();

try {
  await program.parseAsync(process.argv);
} catch (error) {
  if (error instanceof CommanderError) process.exit(error.exitCode);
  if (error instanceof CommandFault) for (const sentence of error.sentences) complain(`statusmesh: ${sentence}`);
  else complain(`statusmesh: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
  process.exit(error instanceof CommandFault ? error.exitCode : 1);
}
