/**
 * Searches an order of operations that respects real time and that a model can explain.
 *
 * Invariants:
 *  1. An operation that returned before another was invoked comes before it. Equal times count as concurrent.
 *  2. The state after a set of operations, with the set itself, says all that matters for the rest: what was visited is never visited again.
 *  3. A step that leaves the state as it is can be taken at once: a later place for it could be exchanged with this one.
 * Source: Wing and Gong, "Testing and Verifying Concurrent Objects", 1993; the memory of visited states: Lowe, "Testing for
 * Linearizability", 2017.
 */

export interface Step<State> {
  readonly invokedAtMs: number;
  /** Infinite if it may take effect at any later time. */
  readonly returnedAtMs: number;
  /** It may also never take effect. */
  readonly optional: boolean;
  /** It follows the step at this index. */
  readonly after?: number;
  /** Steps with lower numbers are tried first. */
  readonly priority: number;
  /** The state afterwards (the very same object if it does not change), or undefined if the step cannot be taken now. */
  attempt(state: State): State | undefined;
}

export interface SearchResult {
  readonly kind: "explained" | "unexplained" | "unfinished";
  /** The indexes of the steps of the longest order that was found. */
  readonly order: readonly number[];
  /** If unexplained: the steps that could have come next after it, none of which could be explained. */
  readonly stuck: readonly number[];
  readonly states: number;
}

interface Node<State> {
  readonly choices: readonly { readonly index: number; readonly next: State }[];
  tried: number;
}

/** `keyOf`: a text that is equal exactly for equal states. `statesMax` bounds time and memory. */
export function searchOrder<State>(initial: State, steps: readonly Step<State>[], keyOf: (state: State) => string, statesMax: number): SearchResult {
  return new OrderSearch(initial, steps, keyOf, statesMax).run();
}

class OrderSearch<State> {
  /** Indexes by time of invocation. */
  private readonly required: readonly number[];
  private readonly optional: readonly number[];
  private readonly done: Uint8Array;
  /** The place in `required` of the first step that is not taken, and how many are taken. */
  private first = 0;
  private taken = 0;
  private readonly visited = new Set<string>();
  private readonly order: number[] = [];
  private longest: readonly number[] = [];
  private stuck: readonly number[] = [];

  constructor(
    private readonly initial: State,
    private readonly steps: readonly Step<State>[],
    private readonly keyOf: (state: State) => string,
    private readonly statesMax: number,
  ) {
    const byInvocation = steps.map((step, index) => ({ step, index })).sort((a, b) => a.step.invokedAtMs - b.step.invokedAtMs);
    this.required = byInvocation.filter(({ step }) => !step.optional).map(({ index }) => index);
    this.optional = byInvocation.filter(({ step }) => step.optional).map(({ index }) => index);
    this.done = new Uint8Array(steps.length);
  }

  run(): SearchResult {
    const path: Node<State>[] = [this.open(this.initial)];
    for (let node = path.at(-1); node !== undefined; node = path.at(-1)) {
      if (this.taken === this.required.length) return this.result("explained");
      if (this.visited.size > this.statesMax) return this.result("unfinished");
      const choice = node.choices[node.tried++];
      if (choice === undefined) {
        path.pop();
        this.undo();
        continue;
      }
      this.take(choice.index);
      const key = this.key(choice.next);
      if (this.visited.has(key)) {
        this.undo();
        continue;
      }
      this.visited.add(key);
      path.push(this.open(choice.next));
    }
    return this.result("unexplained");
  }

  private result(kind: SearchResult["kind"]): SearchResult {
    return { kind, order: kind === "explained" ? [...this.order] : this.longest, stuck: this.stuck, states: this.visited.size };
  }

  private take(index: number): void {
    this.done[index] = 1;
    this.order.push(index);
    if (this.steps[index]?.optional === false) this.taken++;
    while (this.first < this.required.length && this.done[this.required[this.first] ?? 0] === 1) this.first++;
  }

  private undo(): void {
    const index = this.order.pop();
    if (index === undefined) return;
    this.done[index] = 0;
    if (this.steps[index]?.optional !== false) return;
    this.taken--;
    while (this.first > 0 && (this.steps[this.required[this.first - 1] ?? 0]?.invokedAtMs ?? 0) >= (this.steps[index]?.invokedAtMs ?? 0)) this.first--;
    while (this.first < this.required.length && this.done[this.required[this.first] ?? 0] === 1) this.first++;
  }

  /** What can be taken next. */
  private open(state: State): Node<State> {
    const { steps, done, required } = this;
    const choices: { index: number; next: State }[] = [];
    const stuck: number[] = [];
    let firstReturnMs = Number.POSITIVE_INFINITY;
    const candidates: number[] = [];
    for (let place = this.first; place < required.length; place++) {
      const index = required[place] ?? 0;
      const step = steps[index];
      if (step === undefined || done[index] === 1) continue;
      if (step.invokedAtMs > firstReturnMs) break;
      firstReturnMs = Math.min(firstReturnMs, step.returnedAtMs);
      candidates.push(index);
    }
    for (const index of this.optional) if (done[index] === 0 && (steps[index]?.invokedAtMs ?? 0) <= firstReturnMs) candidates.push(index);
    for (const index of candidates) {
      const step = steps[index];
      if (step === undefined || step.invokedAtMs > firstReturnMs || (step.after !== undefined && done[step.after] === 0)) continue;
      const next = step.attempt(state);
      if (next === undefined) stuck.push(index);
      else if (next !== state) choices.push({ index, next });
      // An optional step that changes nothing need not be taken.
      else if (!step.optional) return { choices: [{ index, next: state }], tried: 0 };
    }
    if (choices.length === 0 && this.order.length >= this.longest.length) {
      this.longest = [...this.order];
      this.stuck = stuck;
    }
    choices.sort((a, b) => (steps[a.index]?.priority ?? 0) - (steps[b.index]?.priority ?? 0));
    return { choices, tried: 0 };
  }

  /** The steps taken and the state. Of the required ones those before `first` are all taken. */
  private key(state: State): string {
    let window = "";
    let gap = 0;
    for (let place = this.first; this.taken > this.first + gap; place++) {
      const taken = this.done[this.required[place] ?? 0] === 1;
      if (taken) gap++;
      window += taken ? "1" : "0";
    }
    for (const index of this.optional) window += this.done[index] === 1 ? "1" : "0";
    return `${this.first}:${window}:${this.keyOf(state)}`;
  }
}
