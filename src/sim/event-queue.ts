/**
 * The one queue of a simulation.
 *
 * Invariants:
 *  1. Everything that happens is an event of it; events run one after the other, in the order of (time, sequence).
 *  2. Between two events all promises that can go on have gone on: an event begins with no microtask waiting.
 */
import type { Trace } from "./trace.js";

export interface Scheduled {
  cancel(): void;
}

interface Event {
  readonly at: number;
  readonly sequence: number;
  readonly label: string;
  action: (() => void) | undefined;
}

/** Calls back in a later turn of the event loop, when no promise is left that could go on. */
export type NextTurn = (callback: () => void) => void;

const TURNS_A_ROUND = 64;

export class EventQueue {
  /** Simulated ms since the beginning. */
  now = 0;
  /** Events that have run. */
  executed = 0;
  private sequence = 0;
  private readonly heap: Event[] = [];

  constructor(private readonly trace: Trace) {}

  after(delayMs: number, label: string, action: () => void): Scheduled {
    return this.at(this.now + Math.max(0, delayMs), label, action);
  }

  at(time: number, label: string, action: () => void): Scheduled {
    const event: Event = { at: Math.max(time, this.now), sequence: this.sequence++, label, action };
    this.push(event);
    return {
      cancel: () => {
        event.action = undefined;
      },
    };
  }

  /** Runs events, one in each turn, until `done` says so or nothing is left. Rejects with what an event throws. */
  run(nextTurn: NextTurn, done: () => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      let ended = false;
      const turn = (): void => {
        if (ended) return;
        try {
          if (!done() && this.step()) return;
          ended = true;
          resolve();
        } catch (error) {
          ended = true;
          reject(error instanceof Error ? error : new Error(String(error)));
        }
      };
      const round = (): void => {
        if (ended) return;
        // Many turns are asked for at once, since each round of the event loop costs more than most events.
        for (let i = 0; i < TURNS_A_ROUND; i++) nextTurn(turn);
        nextTurn(round);
      };
      nextTurn(round);
    });
  }

  private step(): boolean {
    for (let event = this.pop(); event !== undefined; event = this.pop()) {
      const { action } = event;
      if (action === undefined) continue;
      this.now = event.at;
      this.executed++;
      this.trace.add(event.at, event.label);
      action();
      return true;
    }
    return false;
  }

  private push(event: Event): void {
    const { heap } = this;
    let index = heap.length;
    heap.push(event);
    while (index > 0) {
      const parent = (index - 1) >> 1;
      const above = heap[parent];
      if (above === undefined || !before(event, above)) break;
      heap[index] = above;
      index = parent;
    }
    heap[index] = event;
  }

  private pop(): Event | undefined {
    const { heap } = this;
    const top = heap[0];
    const last = heap.pop();
    if (top === undefined || last === undefined || heap.length === 0) return top;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      const left = heap[child];
      const right = heap[child + 1];
      if (left === undefined) break;
      if (right !== undefined && before(right, left)) child++;
      const least = heap[child];
      if (least === undefined || !before(least, last)) break;
      heap[index] = least;
      index = child;
    }
    heap[index] = last;
    return top;
  }
}

function before(a: Event, b: Event): boolean {
  return a.at < b.at || (a.at === b.at && a.sequence < b.sequence);
}
