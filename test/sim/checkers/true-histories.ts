/** Histories that are linearizable because they are made from an order, and a check by brute force that knows nothing of the real one. */
import type { Operation } from "../../../src/sim/history.js";

/** What one simulated operation does; all choices come from outside. */
export interface Choice {
  readonly kind: "read" | "update" | "compare-and-set" | "delete" | "list";
  readonly resource: number;
  /** Before and after the moment of effect, ms. */
  readonly beforeMs: number;
  readonly afterMs: number;
  /** To the next operation's moment. */
  readonly gapMs: number;
  /** For a compare-and-set: an outdated tag. */
  readonly stale: boolean;
  /** The answer gets lost. */
  readonly lost: boolean;
}

interface Register {
  name: string;
  version: number;
  deleted: boolean;
}

const BEGINNING_MS = 10;

/** The operations of a run in which each takes effect at one moment, in the order of the choices. */
export function trueHistory(choices: readonly Choice[], resources: number): Operation[] {
  const registers = Array.from({ length: resources }, (): Register => ({ name: "first", version: 1, deleted: false }));
  const operations: Operation[] = [];
  const tag = (resource: number, version: number): string => `r${resource}v${version}`;
  const subjectOf = (resource: number) => ({ page: "default", type: "component", id: `r${resource}` });
  const shared = { region: "us-east", replica: "us-east", level: "GLOBAL_QUORUM" as const };
  for (let resource = 0; resource < resources; resource++) {
    const name = `first-${resource}`;
    const register = registers[resource];
    if (register !== undefined) register.name = name;
    operations.push({
      ...shared, id: operations.length + 1, client: "creator", kind: "create", subject: subjectOf(resource), written: { fields: { name } }, invokedAtMs: 0, returnedAtMs: 1, outcome: "ok",
      returned: { sight: { found: true, etag: tag(resource, 1), fields: { name } } },
    });
  }
  let momentMs = BEGINNING_MS;
  for (const [number, choice] of choices.entries()) {
    momentMs += choice.gapMs;
    const resource = choice.resource % resources;
    const register = registers[resource];
    if (register === undefined) continue;
    const timed = { ...shared, id: operations.length + 1, client: `client-${number}`, invokedAtMs: momentMs - choice.beforeMs, subject: subjectOf(resource) };
    const answered = choice.lost && choice.kind !== "read" && choice.kind !== "list" ? { outcome: "unreachable" as const } : { outcome: "ok" as const, returnedAtMs: momentMs + choice.afterMs };
    operations.push(effect(choice, register, registers, timed, answered, { resource, number, tag }));
  }
  return operations.sort((a, b) => a.invokedAtMs - b.invokedAtMs);
}

type Timed = Pick<Operation, "id" | "client" | "region" | "replica" | "level" | "invokedAtMs" | "subject">;
type Answered = Pick<Operation, "outcome" | "returnedAtMs">;

function effect(choice: Choice, register: Register, registers: readonly Register[], timed: Timed, answered: Answered, place: { readonly resource: number; readonly number: number; tag(resource: number, version: number): string }): Operation {
  const { resource, number, tag } = place;
  if (choice.kind === "list") {
    const items = registers.flatMap(({ name, deleted, version }, index) => (deleted ? [] : [{ id: `r${index}`, found: true, etag: tag(index, version), fields: { name } }]));
    return { ...timed, ...answered, kind: "list", subject: { page: "default", type: "component" }, returned: { list: { items, complete: true } } };
  }
  const sight = () => (register.deleted ? { found: false } : { found: true, etag: tag(resource, register.version), fields: { name: register.name } });
  if (choice.kind === "read") return { ...timed, ...answered, kind: "read", returned: { sight: sight() } };
  const written = { fields: { name: `name-${number}` } };
  if (register.deleted) return refusedOr(answered, { ...timed, kind: choice.kind === "delete" ? "delete" : "update", ...(choice.kind === "delete" ? {} : { written }) }, { outcome: "refused", status: 404 });
  if (choice.kind === "delete") {
    register.deleted = true;
    return { ...timed, ...answered, kind: "delete" };
  }
  if (choice.kind === "compare-and-set") {
    const ifMatch = tag(resource, choice.stale ? register.version - 1 : register.version);
    if (choice.stale) return refusedOr(answered, { ...timed, kind: "compare-and-set", written, ifMatch }, { outcome: "precondition", status: 412 });
    register.version++;
    register.name = written.fields.name;
    return { ...timed, ...answered, kind: "compare-and-set", written, ifMatch, ...(answered.outcome === "ok" ? { returned: { sight: sight() } } : {}) };
  }
  register.version++;
  register.name = written.fields.name;
  return { ...timed, ...answered, kind: "update", written, ...(answered.outcome === "ok" ? { returned: { sight: sight() } } : {}) };
}

function refusedOr(answered: Answered, operation: Omit<Operation, "outcome">, refusal: Pick<Operation, "outcome" | "status">): Operation {
  return answered.outcome === "ok" ? { ...operation, ...answered, ...refusal } : { ...operation, ...answered };
}

interface Model {
  readonly name: string | null;
  readonly etag: string | null;
  readonly past: readonly string[];
}

/**
 * True if some order of the operations on one resource explains them: every permutation is tried. Knows creates, updates,
 * compare-and-sets, deletes and reads with names and ETags; answers of writes are left out of account.
 */
export function isExplainedByForce(operations: readonly Operation[]): boolean {
  const attempt = (model: Model, left: readonly Operation[]): boolean => {
    if (left.every(({ outcome }) => outcome === "unreachable")) return true;
    return left.some((operation) => {
      if (left.some((other) => other !== operation && (other.returnedAtMs ?? Number.POSITIVE_INFINITY) < operation.invokedAtMs)) return false;
      return after(model, operation).some((next) => attempt(next, left.filter((other) => other !== operation)));
    });
  };
  return attempt({ name: null, etag: null, past: [] }, operations);
}

/** The states after an operation takes effect; none if it cannot here. */
function after(model: Model, operation: Operation): readonly Model[] {
  const { kind, outcome, status, written, ifMatch, returned } = operation;
  const name = String(written?.fields?.["name"]);
  const past = model.etag === null ? model.past : [...model.past, model.etag];
  if (kind === "read") {
    const sight = returned?.sight;
    if (sight?.found !== true) return model.name === null ? [model] : [];
    if (model.name !== sight.fields?.["name"]) return [];
    const etag = sight.etag ?? null;
    if (etag === null) return [model];
    return model.etag === null ? (model.past.includes(etag) ? [] : [{ ...model, etag }]) : model.etag === etag ? [model] : [];
  }
  if (outcome === "refused" && status === 404) return model.name === null ? [model] : [];
  if (outcome === "precondition") return model.name !== null && model.etag !== null && model.etag === ifMatch ? [] : [model];
  if (kind === "create") return model.name === null && model.past.length === 0 ? [{ name, etag: null, past }] : [];
  if (model.name === null) return [];
  if (ifMatch !== undefined && (model.etag === null ? model.past.includes(ifMatch) : model.etag !== ifMatch)) return [];
  const left = ifMatch === undefined || past.includes(ifMatch) ? past : [...past, ifMatch];
  return kind === "delete" ? [{ name: null, etag: null, past: ["deleted", ...left] }] : [{ name, etag: null, past: left }];
}
