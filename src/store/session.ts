/** Waits until this replica holds what a session has seen: read-your-writes, monotonic reads, writes-follow-reads. */
import { Fault } from "../core/errors.js";
import { dominates, type Vector } from "../core/vector.js";
import { sometimes } from "../core/sometimes.js";

interface Waiter {
  readonly vector: Vector;
  readonly resolve: (reached: boolean) => void;
  timer: { cancel(): void } | undefined;
}

export class SessionWaits {
  private readonly waiters = new Set<Waiter>();
  private closed = false;

  constructor(
    private readonly held: () => Vector,
    private readonly after: (ms: number, callback: () => void) => { cancel(): void },
    /** Asks peers for what is missing. */
    private readonly fetch: (vector: Vector) => void,
  ) {}

  /** Undefined once `vector` is held durably; a Fault if that takes longer than `waitMs`. */
  async wait(vector: Vector, waitMs: number, isWrite: boolean): Promise<Fault | undefined> {
    if (dominates(this.held(), vector)) return undefined;
    sometimes("session: a request waited for its session");
    this.fetch(vector);
    const reached = waitMs > 0 && (await this.reach(vector, waitMs));
    if (reached) return undefined;
    return new Fault("session-behind", "This replica does not hold yet what the session token has seen.", {
      retryAfterSeconds: 1, ...(isWrite ? { outcome: "rejected" as const } : {}),
    });
  }

  /** True once `vector` is held durably, false after `waitMs`. */
  reach(vector: Vector, waitMs: number): Promise<boolean> {
    if (dominates(this.held(), vector)) return Promise.resolve(true);
    if (this.closed) return Promise.resolve(false);
    return new Promise((resolve) => {
      const waiter: Waiter = { vector, resolve, timer: undefined };
      waiter.timer = this.after(waitMs, () => {
        this.waiters.delete(waiter);
        resolve(false);
      });
      this.waiters.add(waiter);
    });
  }

  /** More is durable. */
  advanced(): void {
    for (const waiter of this.waiters) {
      if (!dominates(this.held(), waiter.vector)) continue;
      this.waiters.delete(waiter);
      waiter.timer?.cancel();
      waiter.resolve(true);
    }
  }

  close(): void {
    this.closed = true;
    for (const waiter of this.waiters) {
      waiter.timer?.cancel();
      waiter.resolve(false);
    }
    this.waiters.clear();
  }
}
