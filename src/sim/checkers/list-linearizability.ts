/**
 * GLOBAL_QUORUM lists are linearizable together with the operations of the single resources in their scope: a list shows all of
 * them as they were at one moment. Resources that are also written at other levels are left out of the lists.
 */
import { scopeName, type History, type Operation } from "../history.js";
import { groupBy, HistoryIndex, type ResourceRecord } from "../history-index.js";
import { Findings, type Checker, type CheckOptions, type Verdict } from "../verdict.js";
import { isRegister, report, touchedResources } from "./linearizability.js";
import { searchOrder, type SearchResult, type Step } from "./order-search.js";
import { initialRegister, registerSteps, seen, type RegisterState, type RegisterStep } from "./register.js";

/** A state of a whole scope takes as much room as several of one resource. */
const STATE_SHARE = 10;

/** The resources of a scope, in the order of its records. */
interface ScopeState {
  readonly registers: readonly RegisterState[];
  /** One number a register. */
  readonly keys: readonly number[];
}

export const listLinearizability: Checker = {
  name: "list-linearizability",
  promise: "A GLOBAL_QUORUM list shows every resource as it was at one moment between request and answer, in one order with all single operations.",
  check(history: History, options: CheckOptions): Verdict {
    const findings = new Findings();
    const index = new HistoryIndex(history);
    const touched = touchedResources(history);
    const lists = groupBy(history.operations.filter(isWholeList), ({ subject }) => scopeName(subject));
    for (const [scope, listed] of lists) {
      const records = [...index.resources.values()].filter((record) => record.scope === scope && isRegister(record, touched));
      new ScopeCheck(scope, records, listed, index).run(findings, options.statesMax);
    }
    return findings.verdict();
  },
};

function isWholeList({ kind, level, outcome, returned }: Operation): boolean {
  return kind === "list" && level === "GLOBAL_QUORUM" && outcome === "ok" && returned?.list?.complete === true;
}

/**
 * An order that explains one resource is a good guess for its part of the whole: each step as early as its place in that order
 * allows. Without it a wrong guess about one resource shows only after many steps of the others, and is undone through all of them.
 */
function prioritiesOf(steps: readonly RegisterStep[], { kind, order }: SearchResult): readonly number[] {
  if (kind !== "explained") return [];
  const priorities: number[] = [];
  let earliestMs = Number.NEGATIVE_INFINITY;
  for (const at of order) {
    earliestMs = Math.max(earliestMs, steps[at]?.invokedAtMs ?? earliestMs);
    priorities[at] = earliestMs;
  }
  return priorities;
}

class ScopeCheck {
  /** Key of a register → its number. */
  private readonly numbers = new Map<string, number>();

  constructor(
    private readonly scope: string,
    private readonly records: readonly ResourceRecord[],
    private readonly lists: readonly Operation[],
    private readonly index: HistoryIndex,
  ) {}

  run(findings: Findings, statesMax: number): void {
    const steps: (Step<ScopeState> & { readonly operation: Operation })[] = [];
    for (const [place, record] of this.records.entries()) {
      const first = steps.length;
      const own = registerSteps(record, this.index);
      const priorities = prioritiesOf(own, searchOrder(initialRegister(record), own, ({ key }) => key, statesMax));
      // Lists are steps of their own below; writes come first in the steps of a resource, so their places stay.
      for (const [at, step] of own.entries()) if (step.operation.kind !== "list") steps.push(this.single(place, { ...step, priority: priorities[at] ?? step.priority }, first));
    }
    for (const list of this.lists) steps.push(this.list(list));
    findings.checked(this.lists.length);
    const registers = this.records.map(initialRegister);
    const initial: ScopeState = { registers, keys: registers.map((register) => this.numberOf(register)) };
    const result = searchOrder(initial, steps, ({ keys }) => keys.join(), Math.ceil(statesMax / STATE_SHARE));
    report(findings, `the list ${this.scope} and its resources`, result, (place) => steps[place]?.operation);
  }

  private numberOf({ key }: RegisterState): number {
    let number = this.numbers.get(key);
    if (number === undefined) {
      number = this.numbers.size;
      this.numbers.set(key, number);
    }
    return number;
  }

  private replace({ registers, keys }: ScopeState, replaced: readonly (readonly [place: number, register: RegisterState])[]): ScopeState {
    const nextRegisters = [...registers];
    const nextKeys = [...keys];
    for (const [place, register] of replaced) {
      nextRegisters[place] = register;
      nextKeys[place] = this.numberOf(register);
    }
    return { registers: nextRegisters, keys: nextKeys };
  }

  /** A step of one resource. `first`: the place of the resource's first step. */
  private single(place: number, step: RegisterStep, first: number): Step<ScopeState> & { readonly operation: Operation } {
    const { after, attempt, ...rest } = step;
    return {
      ...rest,
      ...(after === undefined ? {} : { after: after + first }),
      attempt: (state) => {
        const register = state.registers[place];
        if (register === undefined) return state;
        const next = attempt(register);
        if (next === undefined || next === register) return next === undefined ? undefined : state;
        return this.replace(state, [[place, next]]);
      },
    };
  }

  private list(operation: Operation): Step<ScopeState> & { readonly operation: Operation } {
    const items = new Map((operation.returned?.list?.items ?? []).map(({ id, ...sight }) => [`${this.scope}/${id}`, sight]));
    const returnedAtMs = operation.returnedAtMs ?? Number.POSITIVE_INFINITY;
    return {
      operation, invokedAtMs: operation.invokedAtMs, returnedAtMs, optional: false, priority: returnedAtMs,
      attempt: (state) => {
        const replaced: [number, RegisterState][] = [];
        for (const [place, { name }] of this.records.entries()) {
          const register = state.registers[place];
          if (register === undefined) continue;
          const next = seen(register, items.get(name) ?? { found: false });
          if (next === undefined) return undefined;
          if (next !== register) replaced.push([place, next]);
        }
        return replaced.length === 0 ? state : this.replace(state, replaced);
      },
    };
  }
}
