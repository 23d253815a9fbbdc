/** What happened in a simulation, as a running hash: two runs of one seed are the same if and only if their hashes are. */
import { createHash, type Hash } from "node:crypto";

const FLUSH_CHARACTERS = 32_768;

export class Trace {
  private readonly hash: Hash = createHash("sha256");
  private waiting = "";

  /** `listener`: gets every line too. */
  constructor(private readonly listener?: (line: string) => void) {}

  add(atMs: number, what: string): void {
    const line = `${atMs} ${what}\n`;
    this.listener?.(line);
    this.waiting += line;
    if (this.waiting.length < FLUSH_CHARACTERS) return;
    this.hash.update(this.waiting);
    this.waiting = "";
  }

  /** Ends the trace. */
  digest(): string {
    this.hash.update(this.waiting);
    this.waiting = "";
    return this.hash.digest("hex").slice(0, 32);
  }
}
