/**
 * Whether this replica may go on with the log that its store names.
 *
 * A store that went back in time as a whole (a snapshot of its volume) looks like the one that was left. Only who holds more of the log can
 * tell, so writes wait for a while until everybody has said what they hold. Where somebody does not answer, what is written goes into a log
 * of another name (`ChangeLog.anotherName`): no number is ever given to two changes.
 */
export class Introduction {
  private readonly unmet: Set<string>;
  private waiting: ((isOpen: boolean) => void)[] = [];
  private phase: "waiting" | "over" | "closed" = "waiting";

  /** `peers`: those that may hold more of our log than we do. `proven` is called once they have all said that they do not. */
  constructor(
    peers: readonly string[],
    private readonly proven: () => void,
  ) {
    this.unmet = new Set(peers);
    this.endIfMet();
  }

  /** A peer has said what it holds, and that is no more of our log than we do. */
  met(peer: string): void {
    if (this.unmet.delete(peer)) this.endIfMet();
  }

  private endIfMet(): void {
    if (this.unmet.size > 0) return;
    this.proven();
    this.giveUp();
  }

  /** Writes wait no longer. */
  giveUp(): void {
    if (this.phase === "waiting") this.end("over");
  }

  close(): void {
    if (this.phase !== "closed") this.end("closed");
  }

  private end(phase: "over" | "closed"): void {
    this.phase = phase;
    const { waiting } = this;
    this.waiting = [];
    for (const resolve of waiting) resolve(phase === "over");
  }

  /** Resolves once writes may go on; to false if they may not any more. */
  wait(): Promise<boolean> {
    if (this.phase !== "waiting") return Promise.resolve(this.phase === "over");
    return new Promise((resolve) => this.waiting.push(resolve));
  }
}
