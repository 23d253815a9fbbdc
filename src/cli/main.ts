/** The command line. Importing this module runs it. */
import { Command, CommanderError } from "commander";
import { applyCommand } from "./apply.js";
import { certsCommand } from "./certs.js";
import { chaosCommand } from "./chaos.js";
import { nodeCommand } from "./node.js";
import { programVersion } from "./program-version.js";
import { runnerCommand } from "./runner.js";
import { CommandFault, complain } from "./terminal.js";
import { upCommand } from "./up.js";
import { verifyCommand } from "./verify.js";

const program = new Command("statusmesh")
  .description("Status pages that stay up, and stay writable, while whole regions are down.")
  .version(programVersion())
  .exitOverride()
  .showHelpAfterError("(--help says more)");
for (const add of [upCommand, nodeCommand, certsCommand, applyCommand, runnerCommand, verifyCommand, chaosCommand]) add(program);
for (const command of program.commands) command.exitOverride();

try {
  await program.parseAsync(process.argv);
} catch (error) {
  if (error instanceof CommanderError) process.exit(error.exitCode);
  if (error instanceof CommandFault) for (const sentence of error.sentences) complain(`statusmesh: ${sentence}`);
  else complain(`statusmesh: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
  process.exit(error instanceof CommandFault ? error.exitCode : 1);
}
