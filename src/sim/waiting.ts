/** Waiting in simulated time. */
import type { EventQueue } from "./event-queue.js";

const LOOK_EVERY_MS = 50;

export function pause(queue: EventQueue, ms: number): Promise<void> {
  return new Promise((resolve) => queue.after(ms, "pause", resolve));
}

/** Resolves to true once `condition` holds, to false if it does not within `ms`. */
export async function until(queue: EventQueue, condition: () => boolean, ms: number): Promise<boolean> {
  const deadline = queue.now + ms;
  while (!condition()) {
    if (queue.now >= deadline) return false;
    await pause(queue, LOOK_EVERY_MS);
  }
  return true;
}
