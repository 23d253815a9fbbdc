/** Writes down what clients asked and were answered, in the form that the checkers read. */
import type { Operation } from "./history.js";
import type { EventQueue } from "./event-queue.js";
import type { Trace } from "./trace.js";

/** What is known of an operation when it is asked for, and when it is over. */
export type Asked = Omit<Operation, "id" | "invokedAtMs" | "returnedAtMs" | "outcome" | "status" | "returned" | "tokenOut" | "replayed" | "stamp" | "servedLevel">;
export type Ended = Pick<Operation, "outcome"> & Partial<Pick<Operation, "status" | "returned" | "tokenOut" | "replayed" | "stamp" | "subject" | "servedLevel">> & { readonly answered: boolean };

export class Recorder {
  private readonly made: Operation[] = [];

  constructor(private readonly queue: EventQueue, private readonly trace: Trace) {}

  get operations(): readonly Operation[] {
    return this.made;
  }

  /** Returns what ends the operation. One that is never ended counts as unreachable. */
  begin(asked: Asked): (ended: Ended) => void {
    const index = this.made.length;
    const begun: Operation = { ...asked, id: index + 1, invokedAtMs: this.queue.now, outcome: "unreachable" };
    this.made.push(begun);
    this.trace.add(this.queue.now, `asks ${JSON.stringify(begun)}`);
    return ({ answered, ...ended }) => {
      const over: Operation = { ...begun, ...ended, ...(answered ? { returnedAtMs: this.queue.now } : {}) };
      this.made[index] = over;
      this.trace.add(this.queue.now, `told ${over.id} ${over.outcome} ${over.status ?? ""} ${JSON.stringify(over.returned ?? null)}`);
    };
  }
}
