/** How commands end, and how they speak. */

/** `EX_CONFIG` of sysexits.h. */
export const EXIT_CONFIG = 78;

/** Ends the command with this exit code, each sentence on a line of stderr. */
export class CommandFault extends Error {
  override readonly name = "CommandFault";

  constructor(
    readonly sentences: readonly string[],
    readonly exitCode = 1,
  ) {
    super(sentences.join("\n"));
  }
}

/** Ends the command with what the system said, in one sentence. For `catch`. */
export function asFault(error: unknown): never {
  throw new CommandFault([error instanceof Error ? error.message : String(error)]);
}

export function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

export function complain(line: string): void {
  process.stderr.write(`${line}\n`);
}

/** Rows under headings, columns aligned, two spaces between. */
export function table(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = headings.map((heading, i) => Math.max(heading.length, ...rows.map((row) => (row[i] ?? "").length)));
  return [headings, ...rows].map((row) => row.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join("  ").trimEnd()).join("\n");
}
