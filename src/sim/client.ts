/** One simulated client: a person or program that asks one thing after the other. */
import { createHash } from "node:crypto";
import type { Json } from "../core/change.js";
import type { ConsistencyLevel } from "../store/data-plane.js";
import { decodeToken } from "../store/session-token.js";
import { limits } from "../core/limits.js";
import { isWrite, outcomeOf, type Conflict, type OperationKind, type Returned, type Sight, type Token, type Written } from "./history.js";
import type { Answer, Request } from "./requests.js";
import { kindOf, listedOf, PAGE, postUpdate, readAll, readConflictsOf, readResource, sightOf, type ResourceType } from "./resources.js";
import type { SeededRandom } from "./seeded-random.js";
import type { WorkedResource, Workload } from "./workload.js";
import { keyOf } from "../core/document.js";

/** How long a client waits for an answer, ms. */
const PATIENCE_MS = 9_000;
/** What a creation writes without being told. */
const FIRST_STATUS: Readonly<Record<ResourceType, Readonly<Record<string, Json>>>> = { component: { status: "operational" }, "component-group": {}, incident: { status: "investigating" } };
/** Labels that many clients give and take. */
const COMMON_LABELS = ["urgent", "external"] as const;
const TEXTS: ReadonlySet<string> = new Set(["name", "description"]);
const COMPONENT_STATUSES = ["operational", "degraded_performance", "partial_outage", "major_outage"] as const;
const INCIDENT_STATUSES = ["investigating", "identified", "monitoring", "resolved"] as const;

interface Intent {
  readonly kind: OperationKind;
  readonly type: ResourceType;
  readonly resource?: WorkedResource;
  readonly level: ConsistencyLevel;
  readonly asks: Request["asks"];
  readonly written?: Written;
  readonly ifMatch?: string;
  readonly idempotencyKey?: string;
}

interface Result {
  readonly answer: Answer | undefined;
  readonly conflicts?: readonly Conflict[];
  readonly sight?: Sight;
}

export class Client {
  private number = 0;
  private session: { readonly name: string; token: Token | undefined } | undefined;
  private sessions = 0;
  private readonly seen = new Map<string, Sight>();
  private region: string;

  constructor(private readonly workload: Workload, readonly name: string, private readonly home: string, private readonly random: SeededRandom) {
    this.region = home;
    if (random.chance(0.75)) this.newSession();
  }

  get steps(): number {
    return this.number;
  }

  async work(): Promise<void> {
    const { workload, random } = this;
    while (!workload.ended) {
      const isBurst = workload.shape.bursts && random.chance(0.15);
      await this.pause(isBurst ? 2 : random.between(0.2, 2) * workload.shape.thinkMs);
      if (workload.ended) return;
      const number = ++this.number;
      if (workload.left.has(`${this.name}/${number}`)) continue;
      await this.next(random.fork(`operation ${number}`), number);
    }
  }

  private pause(ms: number): Promise<void> {
    return new Promise((resolve) => this.workload.queue.after(ms, `${this.name} thinks`, resolve));
  }

  private newSession(): void {
    this.session = { name: `${this.name}-${++this.sessions}`, token: undefined };
  }

  private async next(random: SeededRandom, number: number): Promise<void> {
    const { workload } = this;
    if (random.chance(0.06)) {
      this.region = random.chance(0.3) ? this.home : random.pick(workload.world.shape.replicas).region;
      if (this.session !== undefined) workload.reached("workload: a session moved");
    }
    if (this.session !== undefined && random.chance(0.02)) this.newSession();
    const replica = this.replicaHere(random);
    if (replica === undefined) return;
    const text = `${this.name}-${number}`;
    if (random.chance(0.07)) {
      const type = random.pick(["component", "component-group", "incident"] as const);
      const level = random.weighted<ConsistencyLevel>({ GLOBAL_QUORUM: 0.7, LOCAL: 0.2, LOCAL_QUORUM: 0.1 });
      await this.perform({ kind: "list", type, level, asks: { query: readAll(type) } }, replica);
      return;
    }
    const there = workload.resources.filter(({ state }) => state !== "deleted" || random.chance(0.15));
    const hot = random.chance(workload.shape.hotRate) ? workload.meetingPlace : undefined;
    const resource = hot ?? random.pick(there);
    if (resource.type === "incident" && this.session !== undefined && random.chance(workload.shape.labelRate)) {
      await this.label(resource, replica, text, random);
      return;
    }
    const intent = this.intend(resource, text, random);
    if (intent.idempotencyKey !== undefined) await this.performRepeatedly(intent, replica, random);
    else await this.afterwards(intent, await this.perform(intent, replica), replica, random);
  }

  /** A replica of the region where the client is now, as its load balancer has it. */
  private replicaHere(random: SeededRandom): string | undefined {
    const here = this.workload.world.membership.filter(({ region }) => region === this.region);
    return here.length === 0 ? undefined : random.pick(here).replica;
  }

  private intend(resource: WorkedResource, text: string, random: SeededRandom): Intent {
    const { type, id } = resource;
    const isKnown = this.seen.get(nameOf(resource))?.found === true;
    if (resource.state === "new" && !isKnown && random.chance(0.75)) return this.create(resource, text, random);
    const choice = random.weighted({
      read: 0.32, update: 0.26, compareAndSet: this.workload.shape.compareRate, post: type === "incident" ? 0.14 : 0, conflicts: 0.04, history: 0.02, delete: this.workload.shape.deleteRate,
    });
    const level = this.workload.levelFor(resource, choice !== "read" && choice !== "conflicts" && choice !== "history", random);
    const common = { type, resource, level };
    switch (choice) {
      case "read": return { ...common, kind: "read", asks: { query: readResource(type, id) } };
      case "conflicts": return { ...common, kind: "conflicts", asks: { query: readConflictsOf(type, id) } };
      case "history": return { ...common, kind: "history", asks: { historyOf: keyOf(PAGE, type, id) } };
      case "delete": return { ...common, kind: "delete", asks: { command: kindOf(type).delete(id) } };
      case "post": {
        const key = random.chance(0.5) ? `key-${text}` : undefined;
        const body = `update ${text}`;
        return { ...common, kind: "post-update", written: { added: { updates: [body] } }, asks: { command: postUpdate(id, `u-${text}`, body) }, ...keyed(key) };
      }
      default: {
        const fields = fieldsFor(type, text, random);
        const ifMatch = choice === "compareAndSet" ? this.tagOf(resource, random) : undefined;
        if (choice === "compareAndSet" && ifMatch === undefined) return { ...common, kind: "read", asks: { query: readResource(type, id) } };
        const command = kindOf(type).patch(id, fields, `u-${text}`);
        const added = typeof fields["body"] === "string" ? { added: { updates: [fields["body"]] } } : {};
        const { body: _body, ...registers } = fields;
        if (ifMatch !== undefined) return { ...common, kind: "compare-and-set", written: { fields: registers, ...added }, ifMatch, asks: { command } };
        return { ...common, kind: "update", written: { fields: registers, ...added }, asks: { command }, ...keyed(random.chance(0.2) ? `key-${text}` : undefined) };
      }
    }
  }

  /** The ETag that the client saw last, or that it was told by another one. */
  private tagOf(resource: WorkedResource, random: SeededRandom): string | undefined {
    const told = random.chance(0.3) ? this.workload.latestTags.get(nameOf(resource)) : undefined;
    return told ?? this.seen.get(nameOf(resource))?.etag;
  }

  private create(resource: WorkedResource, text: string, random: SeededRandom): Intent {
    const { type, id } = resource;
    const name = `name ${text}`;
    return {
      kind: "create", type, resource, level: this.workload.levelFor(resource, true, random), asks: { command: kindOf(type).create(id, name, text) },
      written: { fields: { name, ...FIRST_STATUS[type] }, ...(type === "incident" ? { added: { updates: [`first ${text}`] } } : {}) },
      ...keyed(random.chance(0.4) ? `key-${text}` : undefined),
    };
  }

  /** Labels are given as a whole: what the caller saw and does not name is taken away. So they are read first, and changed as they were seen. */
  private async label(resource: WorkedResource, replica: string, text: string, random: SeededRandom): Promise<void> {
    const { type, id } = resource;
    const looked: Intent = { kind: "read", type, resource, level: this.workload.levelFor(resource, false, random), asks: { query: readResource(type, id) } };
    const { answer, sight } = await this.perform(looked, replica);
    this.learn(looked, answer);
    const before = sight?.sets?.["labels"];
    if (before === undefined || this.workload.ended) return;
    // One that all clients give and take, or one of our own.
    const common = random.chance(0.6) ? random.pick(COMMON_LABELS) : undefined;
    const gone = common !== undefined && before.includes(common) ? common : common === undefined && before.length > 0 && random.chance(0.4) ? random.pick(before) : undefined;
    const added = common ?? `label ${text}`;
    const labels = gone === undefined ? [...before, added] : before.filter((label) => label !== gone);
    const written: Written = gone === undefined ? { added: { labels: [added] } } : { removed: { labels: [gone] } };
    const level = this.workload.levelFor(resource, true, random);
    // The token may stand for more than was shown, and what others have decided counts as seen: who must not take that away says what was seen.
    const ifMatch = sight?.etag === undefined ? {} : { ifMatch: sight.etag };
    const intent: Intent = { kind: gone === undefined ? "add-label" : "remove-label", type, resource, level, written, ...ifMatch, asks: { command: kindOf(type).patch(id, { labels }, `u-${text}`) } };
    this.learn(intent, (await this.perform(intent, replica)).answer);
  }

  /** The same request at two replicas at once, or again until it is answered. */
  private async performRepeatedly(intent: Intent, replica: string, random: SeededRandom): Promise<void> {
    const { workload } = this;
    const others = workload.world.membership.filter((member) => member.replica !== replica).map((member) => member.replica);
    if (random.chance(0.3) && others.length > 0) {
      workload.reached("workload: one request in two regions at once");
      const twin = random.pick(others);
      const [first, second] = await Promise.all([this.perform(intent, replica), this.perform(intent, twin, `${this.name}-twin`)]);
      this.learn(intent, first.answer ?? second.answer);
      return;
    }
    let at = replica;
    for (let attempt = 0; attempt < 3; attempt++) {
      const { answer } = await this.perform(intent, at);
      this.learn(intent, answer);
      if (answer !== undefined && answer.status < 500) return this.performAgain(intent, random.chance(0.5) || others.length === 0 ? at : random.pick(others), random);
      if (workload.ended) return;
      await this.pause(random.between(10, 1_000));
      workload.reached("workload: a request was repeated with its key");
      if (others.length > 0 && random.chance(0.6)) at = random.pick(others);
    }
  }

  /** Asks once more for what was answered, as after a second click. The session sees to it that the first answer is known there. */
  private async performAgain(intent: Intent, replica: string, random: SeededRandom): Promise<void> {
    if (this.session === undefined || random.chance(0.5)) return;
    await this.pause(random.between(1, 1_500));
    if (this.workload.ended) return;
    this.workload.reached("workload: a request was repeated after its answer");
    this.learn(intent, (await this.perform(intent, replica)).answer);
  }

  /** Makes sure of what was written at LOCAL, and has a colleague in another region, who has no session, look at what was seen at a quorum, or edit it. */
  private async makeSure({ kind, level, type, resource }: Intent, { answer }: Result, replica: string, random: SeededRandom): Promise<void> {
    const { workload } = this;
    if (resource?.class !== "mixed" || workload.ended || answer === undefined || answer.status >= 300) return;
    const look: Intent = { kind: "read", type, resource, level: "GLOBAL_QUORUM", asks: { query: readResource(type, resource.id) } };
    let isSure = kind === "read" && level === "GLOBAL_QUORUM";
    if (isWrite(kind) && level === "LOCAL" && random.chance(0.5)) isSure = (await this.perform(look, replica)).answer?.status === 200;
    const elsewhere = workload.world.membership.filter(({ region }) => region !== this.region);
    if (!isSure || elsewhere.length === 0 || workload.ended || !random.chance(0.7)) return;
    if (workload.shape.toldAfterMs !== undefined) await this.pause(workload.shape.toldAfterMs);
    if (random.chance(0.4)) {
      workload.reached("workload: a colleague elsewhere looked right after");
      await this.perform(look, random.pick(elsewhere).replica, `${this.name}-colleague`);
      return;
    }
    await this.editElsewhere(look, resource, replica, elsewhere.map((member) => member.replica), random);
  }

  /**
   * A colleague edits what was seen, best where it has not arrived yet. Others who look meanwhile may have to settle the edit: lists hear of it,
   * and reads where what was seen has not arrived either.
   */
  private async editElsewhere(look: Intent, resource: WorkedResource, replica: string, elsewhere: readonly string[], random: SeededRandom): Promise<void> {
    const { workload } = this;
    workload.reached("workload: a colleague elsewhere edited right after");
    const behind = elsewhere.filter((other) => workload.world.isSlow(replica, other));
    const editor = random.pick(behind.length > 0 ? behind : elsewhere);
    const name = `name ${this.name}-${this.number} by a colleague`;
    const command = kindOf(resource.type).patch(resource.id, { name }, `u-${this.name}-${this.number}-colleague`);
    let isEdited = false;
    const edited = this.perform({ ...look, kind: "update", written: { fields: { name } }, asks: { command } }, editor, `${this.name}-colleague`).then(() => { isEdited = true; });
    const onlookers = elsewhere.filter((other) => other !== editor);
    for (let looks = 0; looks < 3 && onlookers.length > 0 && !isEdited && !workload.ended; looks++) {
      await this.pause(random.between(1, 200));
      const list: Intent = { kind: "list", type: resource.type, level: "GLOBAL_QUORUM", asks: { query: readAll(resource.type) } };
      await this.perform(random.chance(0.7) ? list : look, random.pick(onlookers), `${this.name}-onlooker`);
    }
    await edited;
  }

  /** What follows from an answer: a conflict that was seen may be decided. */
  private async afterwards(intent: Intent, result: Result, replica: string, random: SeededRandom): Promise<void> {
    this.learn(intent, result.answer);
    const { resource, type } = intent;
    await this.makeSure(intent, result, replica, random);
    const conflict = result.conflicts === undefined || result.conflicts.length === 0 ? undefined : random.pick(result.conflicts);
    const sight = resource === undefined ? undefined : this.seen.get(nameOf(resource));
    if (resource === undefined) return;
    if (conflict !== undefined) {
      this.workload.reached("workload: a conflict was decided");
      // A text that was written before would not tell whose write is seen.
      const value = TEXTS.has(conflict.field) ? `${conflict.field} resolved by ${this.name}.${this.number}` : random.pick(conflict.values).value;
      const resolved: Intent = {
        kind: "resolve", type, resource, level: this.workload.levelFor(resource, true, random), written: { fields: { [conflict.field]: value } },
        asks: { command: kindOf(type).resolve(resource.id, conflict.field, value) },
      };
      this.learn(resolved, (await this.perform(resolved, replica)).answer);
    } else if (intent.kind === "read" && sight?.hasConflicts === true && random.chance(0.5)) {
      const asked: Intent = { kind: "conflicts", type, resource, level: intent.level, asks: { query: readConflictsOf(type, resource.id) } };
      await this.afterwards(asked, await this.perform(asked, replica), replica, random);
    }
  }

  private learn({ kind, resource }: Intent, answer: Answer | undefined): void {
    if (resource === undefined || answer === undefined) return;
    if (answer.status === 404 && resource.state === "living") this.workload.deleted(resource);
    if (answer.status >= 300) return;
    if (kind === "delete") this.workload.deleted(resource);
    else if (kind === "create" && resource.state === "new") resource.state = "living";
  }

  private async perform(intent: Intent, replica: string, as = this.name): Promise<Result> {
    const { kind, type, resource, level, written, ifMatch, idempotencyKey } = intent;
    const { workload } = this;
    const session = as === this.name ? this.session : undefined;
    const tokenIn = session?.token;
    const { region } = workload.world.machine(replica).shape;
    workload.reached(`level: ${level}`);
    workload.reached(`operation: ${kind}`);
    const ended = workload.recorder.begin({
      client: as, region, replica, level, kind, subject: { page: PAGE, type, ...(resource === undefined ? {} : { id: resource.id }) },
      ...(session === undefined ? {} : { session: session.name }), ...(written === undefined ? {} : { written }), ...(ifMatch === undefined ? {} : { ifMatch }),
      ...(idempotencyKey === undefined ? {} : { idempotencyKey }), ...(tokenIn === undefined ? {} : { tokenIn }),
    });
    const answer = await workload.requests.send(replica, {
      level, asks: intent.asks, quorumTimeoutMs: workload.shape.quorumTimeoutMs,
      ...(tokenIn === undefined ? {} : { session: tokenIn.text }), ...(ifMatch === undefined ? {} : { ifMatch }),
      ...(idempotencyKey === undefined ? {} : { idempotency: { scope: hashOf(idempotencyKey), request: hashOf(JSON.stringify([kind, type, resource?.id, written])) } }),
    }, PATIENCE_MS);
    const outcome = outcomeOf(kind, answer?.status, answer?.outcome);
    if (answer === undefined) {
      ended({ outcome, answered: false });
      return { answer };
    }
    const tokenOut = tokenOf(answer);
    if (session !== undefined && tokenOut !== undefined) session.token = tokenOut;
    const returned = this.returnedOf(intent, answer);
    if (returned.sight !== undefined && resource !== undefined) this.saw(resource, returned.sight);
    const stamp = answer.status < 300 ? answer.body?.["updated_hlc"] : undefined;
    ended({
      outcome, answered: true, status: answer.status, returned, ...(tokenOut === undefined ? {} : { tokenOut }), ...(answer.replayed ? { replayed: true } : {}),
      ...(typeof stamp === "string" && written !== undefined && kind !== "post-update" ? { stamp } : {}), ...(answer.servedLevel === undefined ? {} : { servedLevel: answer.servedLevel }),
    });
    return { answer, ...(returned.conflicts === undefined ? {} : { conflicts: returned.conflicts }), ...(returned.sight === undefined ? {} : { sight: returned.sight }) };
  }

  private saw(resource: WorkedResource, sight: Sight): void {
    this.seen.set(nameOf(resource), sight);
    if (sight.etag !== undefined) this.workload.latestTags.set(nameOf(resource), sight.etag);
  }

  private returnedOf({ kind, type }: Intent, answer: Answer): Returned {
    const { body, status } = answer;
    if (status === 404 && (kind === "read" || kind === "conflicts")) return { sight: { found: false } };
    if (status >= 300) return {};
    if (kind === "list") return { list: { items: listedOf(type, body ?? {}), complete: true } };
    if (kind === "conflicts") return { conflicts: (body?.["data"] ?? []) as unknown as readonly Conflict[] };
    if (kind === "history") return { history: answer.history ?? [] };
    if (kind === "delete" || kind === "post-update" || body === null) return {};
    return { sight: sightOf(type, body, answer.etag) };
  }
}

function nameOf({ type, id }: Pick<WorkedResource, "type" | "id">): string {
  return `${type}/${id}`;
}

/** As the API names scopes and bodies. */
function hashOf(text: string): string {
  return createHash("sha256").update(text).digest("base64url");
}

function keyed(key: string | undefined): { readonly idempotencyKey?: string } {
  return key === undefined ? {} : { idempotencyKey: key };
}

function tokenOf(answer: Answer): Token | undefined {
  if (answer.token === undefined) return undefined;
  const vector = decodeToken(answer.token, limits.sessionTokenBytes);
  return { text: answer.token, ...(vector === undefined ? {} : { vector }) };
}

function fieldsFor(type: ResourceType, text: string, random: SeededRandom): Record<string, Json> {
  if (type === "component-group") return random.chance(0.6) ? { name: `name ${text}` } : { description: `text ${text}` };
  if (type === "incident") return random.chance(0.7) ? { name: `name ${text}` } : { status: random.pick(INCIDENT_STATUSES), body: `status ${text}` };
  return random.weighted({ name: 0.4, description: 0.4, status: 0.2 }) === "status"
    ? { status: random.pick(COMPONENT_STATUSES) }
    : random.chance(0.5) ? { name: `name ${text}` } : { description: `text ${text}` };
}
