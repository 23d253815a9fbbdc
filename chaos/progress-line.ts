/** Says how far the suite is: one line that is written over on a terminal, a line a step elsewhere. */
import type { ScenarioResult } from "./suite.js";

interface Output {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

const MARKS = { kept: "ok", broken: "BROKEN", undecided: "undecided", skipped: "skipped" } as const;
/** Elsewhere than on a terminal the same step is not told more often than this. */
const QUIET_MS = 5_000;

export class ProgressLine {
  private place = 0;
  private name = "";
  private beganAt = 0;
  private toldAt = 0;
  private told = "";

  constructor(
    private readonly output: Output,
    private readonly count: number,
  ) {}

  note(text: string): void {
    this.write(`${text}\n`);
  }

  begin(name: string): void {
    this.place++;
    this.name = name;
    this.beganAt = performance.now();
  }

  say(what: string): void {
    const now = performance.now();
    const line = `[${this.place}/${this.count}] ${this.name}, ${Math.round((now - this.beganAt) / 1_000)} s: ${what}`;
    if (this.output.isTTY === true) {
      this.write(line.slice(0, (this.output.columns ?? 80) - 1));
      return;
    }
    const kind = what.replace(/[\d,.]+/g, "#");
    if (kind === this.told && now - this.toldAt < QUIET_MS) return;
    this.told = kind;
    this.toldAt = now;
    this.write(`${line}\n`);
  }

  end({ name, verdict, tookMs, rows }: ScenarioResult): void {
    this.write(`[${this.place}/${this.count}] ${name}: ${MARKS[verdict]} (${Math.round(tookMs / 1_000)} s, ${rows.filter((row) => row.verdict === "kept").length} of ${rows.length} promises kept)\n`);
  }

  /** Over what stands on the terminal's line. */
  private write(text: string): void {
    this.output.write(this.output.isTTY === true ? `\r\u001b[2K${text}` : text);
  }
}
