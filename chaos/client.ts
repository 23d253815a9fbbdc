/** One client: sends requests to replicas, and writes down each with what it was answered. */
import { decodeToken } from "../src/store/session-token.js";
import { isWrite, outcomeOf, type Conflict, type Operation, type OperationKind, type RecordedEntry, type Returned, type Sight, type Subject, type Written } from "../src/sim/history.js";
import type { Recorder } from "./recorder.js";
import type { Answered, Json, Level, ReplicaProcess } from "./replica-process.js";

export const PAGE = "default";
/** Resource types of the workload, and their routes. */
export const ROUTES = { component: "components", incident: "incidents", "component-group": "component-groups" } as const;
export type ResourceType = keyof typeof ROUTES;

/** How much longer than for a quorum or a session a client waits for an answer, ms. */
const PATIENCE_MS = 12_000;
const SESSION_MS = 2_000;
const TOKEN_BYTES_MAX = 4_096;

export interface Request {
  readonly kind: OperationKind;
  readonly type: ResourceType;
  readonly id?: string;
  readonly method: "GET" | "POST" | "PATCH" | "DELETE";
  /** Behind the route of the resource, or of the list: `/updates`. */
  readonly tail?: string;
  readonly body?: Json;
  readonly level: Level;
  readonly written?: Written;
  readonly ifMatch?: string;
  readonly idempotencyKey?: string;
}

export interface Told {
  readonly operation: Operation;
  readonly answer: Answered | undefined;
}

export class Client {
  /** Token of the last answer. */
  private token: string | undefined;

  constructor(
    private readonly recorder: Recorder,
    readonly name: string,
    private readonly session: string | undefined,
    private readonly quorumTimeoutMs: number,
  ) {}

  /** Never rejects: that no answer came is written down as such. */
  async ask(node: ReplicaProcess, request: Request): Promise<Told> {
    const { kind, type, method, level, ifMatch, idempotencyKey } = request;
    const route = `/v1/pages/${PAGE}/${ROUTES[type]}${request.id === undefined ? "" : `/${request.id}`}${request.tail ?? ""}`;
    const tokenIn = this.token;
    const id = this.recorder.asked(node.region);
    const invokedAtMs = this.recorder.now();
    const answer = await node
      .call(method, route, {
        level, quorumTimeout: this.quorumTimeoutMs, sessionWait: SESSION_MS, patienceMs: PATIENCE_MS + this.quorumTimeoutMs,
        ...(request.body === undefined ? {} : { body: request.body }), ...(tokenIn === undefined ? {} : { token: tokenIn }),
        ...(ifMatch === undefined ? {} : { ifMatch: `"${ifMatch}"` }), ...(idempotencyKey === undefined ? {} : { idempotency: idempotencyKey }),
      })
      .catch(() => undefined);
    const returnedAtMs = this.recorder.now();
    const outcome = outcomeOf(kind, answer?.status, answer?.body["outcome"]);
    if (answer !== undefined && answer.status >= 400) this.recorder.problems.set(id, String(answer.body["type"] ?? answer.status));
    if (this.session !== undefined && answer !== undefined && answer.token !== "") this.token = answer.token;
    const operation: Operation = {
      id, client: this.name, region: node.region, replica: node.id, level, kind, outcome, invokedAtMs, subject: subjectOf(request, answer),
      ...(this.session === undefined ? {} : { session: this.session, ...(tokenIn === undefined ? {} : { tokenIn: tokenOf(tokenIn) }) }),
      ...(request.written === undefined ? {} : { written: request.written }), ...(ifMatch === undefined ? {} : { ifMatch }), ...(idempotencyKey === undefined ? {} : { idempotencyKey }),
      ...(answer === undefined ? {} : answered(request, answer, outcome === "ok", returnedAtMs)),
    };
    this.recorder.told(operation);
    return { operation, answer };
  }
}

function subjectOf({ kind, type, id }: Request, answer: Answered | undefined): Subject {
  const made = kind === "create" && answer?.status === 201 ? String(answer.body["id"]) : id;
  return { page: PAGE, type, ...(made === undefined ? {} : { id: made }) };
}

function tokenOf(text: string): NonNullable<Operation["tokenIn"]> {
  const vector = decodeToken(text, TOKEN_BYTES_MAX);
  return { text, ...(vector === undefined ? {} : { vector }) };
}

function answered(request: Request, answer: Answered, isOk: boolean, returnedAtMs: number): Partial<Operation> {
  const served = answer.headers["consistency-level"];
  const returned = isOk ? returnedBy(request, answer) : undefined;
  const stamp = answer.body["updated_hlc"];
  return {
    returnedAtMs, status: answer.status,
    ...(served === "LOCAL" || served === "LOCAL_QUORUM" || served === "GLOBAL_QUORUM" ? { servedLevel: served } : {}),
    ...(returned === undefined ? {} : { returned }),
    ...(answer.token === "" ? {} : { tokenOut: tokenOf(answer.token) }),
    ...(answer.headers["idempotent-replayed"] === "true" ? { replayed: true } : {}),
    ...(isWrite(request.kind) && typeof stamp === "string" && isOk ? { stamp } : {}),
  };
}

function returnedBy({ kind, type }: Request, { status, body, etag }: Answered): Returned | undefined {
  if (kind === "list") {
    const items = (body["data"] as { [name: string]: Json }[]).map((item) => ({ id: String(item["id"]), ...sightOf(type, item) }));
    return { list: { items, complete: body["next_cursor"] === null } };
  }
  if (kind === "conflicts") return status === 404 ? undefined : { conflicts: body["data"] as unknown as readonly Conflict[] };
  if (kind === "history") return status === 404 ? undefined : { history: body["data"] as unknown as readonly RecordedEntry[] };
  // The answer to a posted update is the update, and to a deletion nothing.
  if (kind === "post-update" || kind === "delete") return undefined;
  if (status === 404) return { sight: { found: false } };
  return { sight: { ...sightOf(type, body), ...(etag === "" ? {} : { etag: etag.replaceAll('"', "") }) } };
}

/** What a resource's body shows of the fields and sets that the workload writes. */
export function sightOf(type: ResourceType, body: { readonly [name: string]: Json }): Sight {
  const field = (name: string): Json => body[name] ?? null;
  const hasConflicts = body["has_conflicts"];
  const common = { found: true, ...(typeof hasConflicts === "boolean" ? { hasConflicts } : {}) };
  if (type !== "incident") return { ...common, fields: { name: field("name"), description: field("description"), ...(type === "component" ? { status: field("status") } : {}) } };
  const updates = (body["incident_updates"] ?? []) as { [name: string]: Json }[];
  const labels = (body["labels"] ?? []) as string[];
  return { ...common, fields: { name: field("name"), status: field("status"), impact_override: field("impact_override") }, sets: { labels, updates: updates.map((update) => String(update["body"])) } };
}
