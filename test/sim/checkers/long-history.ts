/** A history as long as that of a ten-minute run, in which every operation takes effect when it is asked for and all promises are kept. */
import type { FinalObservation, History, Operation, RecordedEntry, Sight, Token } from "../../../src/sim/history.js";
import { HISTORY_FORMAT } from "../../../src/sim/history.js";
import { SeededRandom } from "../../../src/sim/seeded-random.js";

const REGIONS = ["us-east", "eu-west", "ap-south"] as const;
const PAGE = "default";

class Resource {
  name = "";
  tag = "";
  readonly updates: string[] = [];
  readonly entries: RecordedEntry[] = [];

  constructor(readonly id: string, readonly type: "component" | "incident", readonly atQuorum: boolean) {}

  get sight(): Sight {
    return { found: true, etag: this.tag, fields: { name: this.name }, ...(this.type === "incident" ? { sets: { updates: [...this.updates] } } : {}), hasConflicts: false };
  }

  enter(number: number, field: string, to: string): void {
    const hlc = `${number.toString(16).padStart(12, "0")}${"0".repeat(8)}0123456789ab`;
    this.entries.unshift({ hlc, at: "", region: "us-east", replica: "us-east", actor: "key", field, from: null, to });
  }
}

interface Client {
  readonly name: string;
  readonly region: string;
  readonly hasSession: boolean;
  freeAtMs: number;
  token: Token | undefined;
}

type Part = Pick<Operation, "kind"> & Partial<Operation>;

/** `operations`: how many. One in 25 updates gets no answer. */
export function longHistory(operations: number, resources: number, clients: number): History {
  const random = new SeededRandom("a long history");
  const all = Array.from({ length: resources }, (_, index) => new Resource(`r${index}`, index % 2 === 0 ? "component" : "incident", index % 3 !== 0));
  const people = Array.from({ length: clients }, (_, index): Client => ({ name: `c${index}`, region: REGIONS[index % 3] ?? "us-east", hasSession: index % 4 !== 0, freeAtMs: random.between(0, 100), token: undefined }));
  const made: Operation[] = [];
  let version = 1;
  while (made.length < operations) {
    const client = people.reduce((first, other) => (other.freeAtMs < first.freeAtMs ? other : first));
    const resource = random.pick(all);
    const number = made.length + 1;
    const part = partOf(resource, all, number, random);
    if (part.written !== undefined) version++;
    const isLost = part.kind === "update" && random.chance(0.04);
    const tokenOut: Token = { text: `t${version}`, vector: { "us-east.1": version } };
    const { returned, ...asked } = part;
    const endMs = client.freeAtMs + random.between(2, 120);
    made.push({
      id: number, client: client.name, ...(client.hasSession ? { session: client.name } : {}), region: client.region, replica: client.region, level: resource.atQuorum ? "GLOBAL_QUORUM" : "LOCAL",
      subject: { page: PAGE, type: resource.type, id: resource.id }, invokedAtMs: client.freeAtMs, ...(client.token === undefined ? {} : { tokenIn: client.token }), ...asked,
      ...(isLost ? { outcome: "unreachable" } : { outcome: "ok", status: 200, returnedAtMs: endMs, tokenOut, ...(returned === undefined ? {} : { returned }) }),
    });
    if (client.hasSession && !isLost) client.token = tokenOut;
    client.freeAtMs = endMs + random.between(10, 400);
  }
  return {
    format: HISTORY_FORMAT, run: { instrument: "test" }, replicas: REGIONS.map((region) => ({ replica: region, region, role: "region" })), operations: made, faults: [],
    final: REGIONS.map((region) => finalOf(region, all)),
  };
}

function partOf(resource: Resource, all: readonly Resource[], number: number, random: SeededRandom): Part {
  const text = `text ${number}`;
  const before = resource.tag;
  if (before === "") {
    write(resource, number, text);
    if (resource.type === "incident") post(resource, number, `first ${number}`);
    resource.enter(number, "created", "true");
    return { kind: "create", written: { fields: { name: text }, ...(resource.type === "incident" ? { added: { updates: [`first ${number}`] } } : {}) }, returned: { sight: resource.sight } };
  }
  const choice = random.weighted({ read: 0.5, list: 0.03, post: resource.type === "incident" ? 0.07 : 0, swap: 0.12, update: 0.28 });
  if (choice === "read") return { kind: "read", returned: { sight: resource.sight } };
  if (choice === "list") {
    const items = all.filter(({ type, tag }) => type === resource.type && tag !== "").map(({ id, sight: { etag: _etag, ...sight } }) => ({ id, ...sight }));
    return { kind: "list", subject: { page: PAGE, type: resource.type }, returned: { list: { items, complete: true } } };
  }
  if (choice === "post") {
    post(resource, number, text);
    return { kind: "post-update", written: { added: { updates: [text] } } };
  }
  write(resource, number, text);
  return { kind: choice === "swap" ? "compare-and-set" : "update", ...(choice === "swap" ? { ifMatch: before } : {}), written: { fields: { name: text } }, returned: { sight: resource.sight } };
}

function write(resource: Resource, number: number, name: string): void {
  resource.name = name;
  resource.tag = `e${number}`;
  resource.enter(number, "name", name);
}

function post(resource: Resource, number: number, body: string): void {
  resource.updates.push(body);
  resource.tag = `e${number}`;
  resource.enter(number, `u${number}.body`, body);
}

function finalOf(region: string, all: readonly Resource[]): FinalObservation {
  const documents = all.filter(({ tag }) => tag !== "").map(({ id, type, sight, entries }) => ({ resource: { page: PAGE, type, id }, sight, conflicts: [], history: entries }));
  return { replica: region, region, observedAtMs: 1e9, documents };
}
