/** A high-water mark that is forgotten with the process: for tests. Keeps the contract of `ports.ts`. */
import type { HighWater, HighWaterMark } from "../core/ports.js";

export class MemoryHighWater implements HighWaterMark {
  constructor(public mark?: HighWater) {}

  async read(): Promise<HighWater | undefined> {
    return this.mark;
  }

  async write(mark: HighWater): Promise<void> {
    this.mark = mark;
  }
}
