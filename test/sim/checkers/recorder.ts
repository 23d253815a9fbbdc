/** Writes histories by hand: what is usual is filled in. */
import { HISTORY_FORMAT, type History, type Operation, type OperationKind } from "../../../src/sim/history.js";
import { validateHistory } from "../../../src/sim/history-file.js";
import { CHECK_OPTIONS, type Checker, type CheckOptions, type Verdict } from "../../../src/sim/verdict.js";

export type Part = Partial<Omit<Operation, "id" | "kind" | "invokedAtMs" | "returnedAtMs">>;

export const SUBJECT = { page: "default", type: "component", id: "one" } as const;

/** Collects operations; each is given its time from and to (null: no answer came). */
export class HandRecorder {
  readonly operations: Operation[] = [];

  add(kind: OperationKind, fromMs: number, toMs: number | null, part: Part = {}): this {
    this.operations.push({
      id: this.operations.length + 1, client: `client-${this.operations.length + 1}`, region: "us-east", replica: "us-east", level: "GLOBAL_QUORUM", kind,
      subject: kind === "list" ? { page: "default", type: "component" } : SUBJECT,
      invokedAtMs: fromMs, ...(toMs === null ? {} : { returnedAtMs: toMs }), outcome: toMs === null ? "unreachable" : "ok", ...part,
    });
    return this;
  }

  create(fromMs: number, toMs: number | null, name: string, part: Part = {}): this {
    return this.add("create", fromMs, toMs, { written: { fields: { name } }, ...part });
  }

  write(fromMs: number, toMs: number | null, name: string, part: Part = {}): this {
    return this.add("update", fromMs, toMs, { written: { fields: { name } }, ...part });
  }

  swap(fromMs: number, toMs: number | null, ifMatch: string, name: string, part: Part = {}): this {
    return this.add("compare-and-set", fromMs, toMs, { ifMatch, written: { fields: { name } }, ...part });
  }

  remove(fromMs: number, toMs: number | null, part: Part = {}): this {
    return this.add("delete", fromMs, toMs, part);
  }

  /** `name` null: 404. */
  read(fromMs: number, toMs: number, name: string | null, part: Part = {}, etag?: string): this {
    const sight = name === null ? { found: false } : { found: true, fields: { name }, ...(etag === undefined ? {} : { etag }) };
    return this.add("read", fromMs, toMs, { returned: { sight }, ...part });
  }

  list(fromMs: number, toMs: number, names: Readonly<Record<string, string>>, part: Part = {}): this {
    const items = Object.entries(names).map(([id, name]) => ({ id, found: true, fields: { name } }));
    return this.add("list", fromMs, toMs, { returned: { list: { items, complete: true } }, ...part });
  }

  history(rest: Partial<History> = {}): History {
    return historyOf(this.operations, rest);
  }
}

export function historyOf(operations: readonly Operation[], rest: Partial<History> = {}): History {
  const sorted = [...operations].sort((a, b) => a.invokedAtMs - b.invokedAtMs);
  const replicas = ["us-east", "eu-west", "ap-south"].map((replica) => ({ replica, region: replica, role: "region" as const }));
  const made = { format: HISTORY_FORMAT, run: { instrument: "test" }, replicas, operations: sorted, faults: [], final: [], ...rest };
  const history = validateHistory(JSON.parse(JSON.stringify(made)));
  if (!("operations" in history)) throw new Error(JSON.stringify(history));
  return history;
}

export function verdictOf(checker: Checker, history: History, options: Partial<CheckOptions> = {}): Verdict {
  return checker.check(history, { ...CHECK_OPTIONS, ...options });
}
