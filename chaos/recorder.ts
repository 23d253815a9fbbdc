/** Writes down what happened: the history that the checkers read, and what the report shows beside it. */
import type { FaultEvent, FaultKind, History, Operation, RunReplica, StampObservation } from "../src/sim/history.js";

/** A stretch of time in which a replica cannot do something. */
export interface Interval {
  readonly replica: string;
  readonly fromMs: number;
  untilMs: number;
}

/** A fault that is under way. */
export interface OpenFault {
  /** It is over now. */
  end(): void;
}

export class Recorder {
  readonly operations: Operation[] = [];
  readonly faults: FaultEvent[] = [];
  readonly stamps: StampObservation[] = [];
  /** Operation → `type` of the problem that it was answered with. */
  readonly problems = new Map<number, string>();
  /** When links, processes, clocks or disks changed. */
  readonly changes: number[] = [];
  private readonly startedAt = performance.now();
  private readonly waiting = new Map<string, number>();
  private nextId = 1;

  /** ms since the beginning. */
  now(): number {
    return performance.now() - this.startedAt;
  }

  /** The number of a request that goes to a region now. */
  asked(region: string): number {
    this.waiting.set(region, this.underWay(region) + 1);
    return this.nextId++;
  }

  /** A request is over: answered, or given up. */
  told(operation: Operation): void {
    this.waiting.set(operation.region, this.underWay(operation.region) - 1);
    this.operations.push(operation);
  }

  /** Requests to a region that are not over. */
  underWay(region: string): number {
    return this.waiting.get(region) ?? 0;
  }

  /** Something is different from now on. */
  changed(): void {
    this.changes.push(this.now());
  }

  fault(kind: FaultKind, targets: readonly string[], detail?: string): OpenFault {
    const fromMs = this.now();
    const place = this.faults.length;
    const event: FaultEvent = { kind, targets, fromMs, ...(detail === undefined ? {} : { detail }) };
    this.faults.push(event);
    this.changed();
    return {
      end: () => {
        this.faults[place] = { ...event, untilMs: this.now() };
        this.changed();
      },
    };
  }

  history(run: History["run"], replicas: readonly RunReplica[], rest: Pick<History, "final" | "healedAtMs" | "convergedAtMs">): History {
    const operations = [...this.operations].sort((a, b) => a.invokedAtMs - b.invokedAtMs);
    const stamps = [...this.stamps].sort((a, b) => a.atMs - b.atMs);
    return { format: 1, run, replicas, operations, faults: this.faults, stamps, ...rest };
  }
}
