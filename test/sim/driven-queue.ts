/** An event queue that runs by itself, for contracts that wait in real time. Simulated time goes as fast as it can. */
import { EventQueue } from "../../src/sim/event-queue.js";
import { Trace } from "../../src/sim/trace.js";

export class DrivenQueue {
  readonly trace = new Trace();
  readonly queue = new EventQueue(this.trace);
  private stopped = false;
  private readonly ended: Promise<void>;

  constructor() {
    this.ended = this.drive();
  }

  private async drive(): Promise<void> {
    while (!this.stopped) {
      await this.queue.run((callback) => setImmediate(callback), () => this.stopped);
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }

  async stop(): Promise<void> {
    this.stopped = true;
    await this.ended;
  }
}
