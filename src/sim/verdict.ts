/** What a checker finds. */
import type { History, Operation } from "./history.js";

/** One broken promise, in plain sentences. */
export interface Violation {
  /** What was promised. */
  readonly promised: string;
  /** What happened instead. */
  readonly happened: string;
  /** Ids of the operations concerned, in the history's order; empty where it is about final states. */
  readonly operations: readonly number[];
}

export type Verdict =
  | { readonly kind: "ok"; /** How many operations, documents or samples were looked at: nothing looked at is no praise. */ readonly checked: number }
  /** `left`: how many more violations there are than are told. */
  | { readonly kind: "violation"; readonly violations: readonly Violation[]; readonly left: number }
  | { readonly kind: "undecided"; readonly why: string };

/** How many violations a verdict tells; the first ones say what is wrong. */
const VIOLATIONS_TOLD = 20;

/** Collects what a checker finds, and makes the verdict of it: a violation outweighs what could not be decided, and that outweighs ok. */
export class Findings {
  private readonly violations: Violation[] = [];
  private readonly undecided: string[] = [];
  private left = 0;
  private looked = 0;

  checked(count = 1): void {
    this.looked += count;
  }

  violation(promised: string, happened: string, operations: Iterable<Operation | number> = []): void {
    if (this.violations.length === VIOLATIONS_TOLD) {
      this.left += 1;
      return;
    }
    const ids = new Set([...operations].map((operation) => (typeof operation === "number" ? operation : operation.id)));
    this.violations.push({ promised, happened, operations: [...ids].sort((a, b) => a - b) });
  }

  cannotDecide(why: string): void {
    if (this.undecided.length < VIOLATIONS_TOLD) this.undecided.push(why);
  }

  get hasViolation(): boolean {
    return this.violations.length > 0;
  }

  verdict(): Verdict {
    if (this.violations.length > 0) return { kind: "violation", violations: this.violations, left: this.left };
    if (this.undecided.length > 0) return { kind: "undecided", why: this.undecided.join(" ") };
    return { kind: "ok", checked: this.looked };
  }
}

export interface CheckOptions {
  /** How many states the search for an order may visit for one resource or list; beyond it the verdict is "undecided". */
  readonly statesMax: number;
  /** Within how many ms of healing all replicas must be equal. */
  readonly convergenceMs: number;
}

export const CHECK_OPTIONS: CheckOptions = { statesMax: 1_000_000, convergenceMs: 30_000 };

/** A checker is pure: the same history, the same verdict. */
export interface Checker {
  /** A kebab-case noun, for reports. */
  readonly name: string;
  /** The promise in one sentence, for reports. */
  readonly promise: string;
  check(history: History, options: CheckOptions): Verdict;
}

/** How an operation is told in a sentence: number, client, kind, what, when. */
export function tell(operation: Operation): string {
  const { subject, written, level, replica } = operation;
  const what = `${subject.page}/${subject.type}${subject.id === undefined ? "" : `/${subject.id}`}`;
  const values = written === undefined ? "" : ` ${JSON.stringify(written)}`;
  const end = operation.returnedAtMs === undefined ? "no answer" : `${Math.round(operation.returnedAtMs)} ms`;
  return `#${operation.id} ${operation.kind} of ${what}${values} by ${operation.client} at ${replica} ${level} (${Math.round(operation.invokedAtMs)} ms to ${end}, ${operation.outcome})`;
}
