/** Replicas made of real quorum engines over a small replicated log, for the histories, the timings and the scenarios. */
import { CHAIN } from "../../src/core/change.js";
import { limits } from "../../src/core/limits.js";
import { freshState, QuorumEngine, type Effect, type QuorumBugs, type QuorumEvent, type QuorumHost, type QuorumState, type Slot } from "../../src/core/quorum.js";
import type { Candidate, Quorum } from "../../src/core/quorum-messages.js";
import { copyVector, dominates, EMPTY_VECTOR, encodeVector, type MutableVector, type Vector } from "../../src/core/vector.js";

export interface Envelope {
  readonly from: number;
  readonly to: number;
  readonly message: Quorum | null;
  /** What the sender held: the log's stream comes along as far as that. */
  readonly vector: Vector;
}

export interface LoggedChange {
  readonly id: number;
  readonly document: string;
  readonly base: Vector;
  /** 0 for LOCAL changes. */
  readonly version: number;
  readonly operations: readonly string[];
}

interface HeldDocument {
  vector: MutableVector;
  chain: string[];
}

export interface Durable {
  vector: MutableVector;
  documents: Map<string, HeldDocument>;
  decided: Map<string, MutableVector>;
  slots: Map<string, Slot>;
  state: QuorumState;
  position: number;
  incarnation: number;
  origin: string;
}

export interface WorldOptions {
  readonly replicas: number;
  readonly random: () => number;
  readonly bugs?: QuorumBugs;
  /** ETags are the document's vector; otherwise the value that its chain ends with. */
  readonly vectorTags?: boolean;
  readonly roundTripMs?: (from: number, to: number) => number;
  readonly handover?: boolean;
  /** Answer `build` effects some time later, with this probability. */
  readonly slowBuilds?: number;
  /** Begin with empty disks instead of a cluster that votes. */
  readonly virgin?: boolean;
  readonly refuses?: (operation: string, value: string) => boolean;
}

export interface Finished {
  readonly replica: number;
  readonly operation: string;
  readonly outcome: string;
  readonly view: View | undefined;
}

export interface View {
  readonly vectors: ReadonlyMap<string, Vector>;
  readonly values: ReadonlyMap<string, string>;
}

/** A deadline that no clock reaches. */
export const FOREVER_MS = 1e9;

export class Violation extends Error {}

const decoder = new TextDecoder();
const encoder = new TextEncoder();

export class World {
  readonly replicas: Replica[] = [];
  readonly logs = new Map<string, LoggedChange[]>();
  readonly changes = new Map<string, LoggedChange>();
  readonly chain = new Map<string, LoggedChange>();
  readonly delayed: (() => void)[] = [];
  net: Envelope[] = [];
  onFinished: (finished: Finished) => void = () => {};
  onHandover: (replica: number, operation: string, to: number) => void = () => {};
  private incarnations = 0;
  private built = 0;

  constructor(readonly options: WorldOptions) {
    const names = Array.from({ length: options.replicas }, (_, i) => `r${i}`);
    for (const [i, name] of names.entries()) {
      const incarnation = ++this.incarnations;
      const state = options.virgin === true ? freshState(name, incarnation, true) : { voting: true, virgin: false, incarnations: { [name]: incarnation }, rejoined: {}, founders: {} };
      this.replicas.push(new Replica(this, i, name, names, emptyDisk(name, incarnation, state)));
    }
    for (const replica of this.replicas) replica.start();
  }

  /** Delivers in order, without loss, until nothing is under way or `done`. */
  settle(done: () => boolean = () => false, steps = 10_000): void {
    for (let i = 0; i < steps && !done(); i++) {
      const envelope = this.net.shift();
      if (envelope === undefined) {
        if (!this.kick()) return;
      } else this.replicas[envelope.to]?.deliver(envelope);
    }
  }

  /** Lets the time come that the first replica waits for. */
  kick(): boolean {
    let first: Replica | undefined;
    for (const replica of this.replicas) if (replica.wakeAt !== undefined && replica.waits && (first?.wakeAt === undefined || replica.wakeAt < first.wakeAt)) first = replica;
    first?.tick();
    return first !== undefined;
  }

  empty(replica: Replica): void {
    const incarnation = ++this.incarnations;
    replica.disk = emptyDisk(replica.name, incarnation, freshState(replica.name, incarnation, false));
  }

  nextChange(): number {
    return ++this.built;
  }

  value(operation: string): LoggedChange | undefined {
    for (const change of this.chain.values()) if (change.operations.includes(operation)) return change;
    return undefined;
  }
}

function emptyDisk(name: string, incarnation: number, state: QuorumState): Durable {
  return {
    vector: copyVector(EMPTY_VECTOR), documents: new Map(), decided: new Map(), slots: new Map(), state, position: 0, incarnation,
    origin: `${name}.${incarnation}`,
  };
}

export class Replica implements QuorumHost {
  engine: QuorumEngine | undefined;
  now = 0;
  starts = 0;
  private readonly views = new Map<string, View>();

  constructor(private readonly world: World, readonly index: number, readonly name: string, private readonly names: readonly string[], public disk: Durable) {}

  get up(): boolean {
    return this.engine !== undefined;
  }

  get wakeAt(): number | undefined {
    return this.engine?.nextWake();
  }

  start(): void {
    const { options } = this.world;
    this.engine = new QuorumEngine(this, {
      replica: this.name, voters: this.names, incarnation: this.disk.incarnation, instance: `${this.name}i${++this.starts}`, random: options.random, limits,
      state: this.disk.state, slots: this.disk.slots, position: this.disk.position, handover: options.handover ?? false, bugs: options.bugs ?? {},
    });
    for (const name of this.names) if (name !== this.name) this.step({ kind: "peer", replica: name, up: true });
  }

  crash(): void {
    this.engine = undefined;
    this.views.clear();
  }

  step(event: QuorumEvent): void {
    const { engine } = this;
    if (engine === undefined) return;
    this.carryOut(engine.step(event, this.now));
  }

  /** Waits for a time that is not a deadline. */
  get waits(): boolean {
    return (this.wakeAt ?? Number.POSITIVE_INFINITY) < this.now + FOREVER_MS / 2;
  }

  tick(): void {
    const wake = this.wakeAt;
    if (wake === undefined || !this.waits) return;
    this.now = Math.max(this.now, wake);
    this.step({ kind: "tick" });
  }

  private carryOut(effects: readonly Effect[]): void {
    for (const effect of effects) this.perform(effect);
  }

  private perform(effect: Effect): void {
    const { world, index } = this;
    switch (effect.kind) {
      case "send": {
        const to = this.names.indexOf(effect.to);
        world.net.push({ from: index, to, message: effect.message, vector: { ...this.disk.vector } });
        return;
      }
      case "save":
        if (effect.slot === null) this.disk.slots.delete(effect.document);
        else this.disk.slots.set(effect.document, effect.slot);
        this.disk.position = Math.max(this.disk.position, effect.position);
        return;
      case "saveReplica": this.disk.state = effect.state; return;
      case "build": return this.build(effect);
      case "append": return this.append(effect.candidate);
      case "captured": this.views.set(effect.operation, this.view()); return;
      case "done": return world.onFinished({ replica: index, operation: effect.operation, outcome: effect.outcome, view: this.takeView(effect.operation) });
      case "failed": return world.onFinished({ replica: index, operation: effect.operation, outcome: effect.outcome, view: undefined });
      case "handover": return world.onHandover(index, effect.operation, this.names.indexOf(effect.to));
      case "doubt": throw new Violation(`${this.name} is in doubt: ${effect.reason}`);
      case "voting": return;
    }
  }

  private takeView(operation: string): View | undefined {
    const view = this.views.get(operation);
    this.views.delete(operation);
    return view;
  }

  private build(effect: Extract<Effect, { kind: "build" }>): void {
    const { options } = this.world;
    const { engine } = this;
    const answer = (): void => {
      if (this.engine !== engine || engine === undefined) return;
      const refused = effect.operations.filter((operation) => options.refuses?.(operation, this.value(effect.document)) === true);
      const operations = effect.operations.filter((operation) => !refused.includes(operation));
      const change = encoder.encode(JSON.stringify({ n: this.world.nextChange(), by: this.name, operations }));
      const candidate = operations.length === 0 && refused.length > 0 ? null : { change, base: { ...this.vector(effect.document) }, operations };
      this.step({ kind: "built", build: effect.build, candidate, refused });
    };
    if (options.random() < (options.slowBuilds ?? 0)) this.world.delayed.push(answer);
    else answer();
  }

  private append(candidate: Candidate): void {
    const text = decoder.decode(candidate.change);
    const { world } = this;
    const change = world.changes.get(text) ?? { id: world.nextChange(), document: candidate.document, base: candidate.base, version: candidate.version, operations: [...candidate.operationIds] };
    world.changes.set(text, change);
    const key = `${change.document} ${change.version}`;
    const other = world.chain.get(key);
    if (other !== undefined && other !== change) throw new Violation(`two decisions for ${key}`);
    for (const before of world.chain.values()) {
      if (before !== change && before.operations.some((operation) => change.operations.includes(operation))) throw new Violation(`an operation took effect twice: ${change.operations}`);
    }
    world.chain.set(key, change);
    if (this.version(change.document) >= change.version) throw new Violation(`${key} appended where it is held`);
    this.log(change);
  }

  /** A LOCAL write. */
  local(document: string, operation: string): void {
    this.log({ id: this.world.nextChange(), document, base: { ...this.vector(document) }, version: 0, operations: [operation] });
  }

  private log(change: LoggedChange): void {
    const { origin, vector } = this.disk;
    const entries = this.world.logs.get(origin) ?? [];
    if (entries.length !== (vector[origin] ?? 0)) throw new Violation("a log that goes on where it is not held");
    entries.push(change);
    this.world.logs.set(origin, entries);
    vector[origin] = entries.length;
    this.apply(origin, entries.length, change);
    this.step({ kind: "advanced", documents: [change.document] });
  }

  private apply(origin: string, seq: number, change: LoggedChange): void {
    const { disk } = this;
    const held = disk.documents.get(change.document) ?? { vector: copyVector(EMPTY_VECTOR), chain: [] };
    disk.documents.set(change.document, held);
    if (change.version === 0) held.vector[origin] = seq;
    else {
      const scope = change.document.slice(0, change.document.lastIndexOf("/"));
      const decided = disk.decided.get(scope) ?? copyVector(EMPTY_VECTOR);
      decided[origin] = seq;
      disk.decided.set(scope, decided);
      if ((held.vector[CHAIN] ?? 0) >= change.version) return;
      held.vector[CHAIN] = change.version;
      held.chain.push(...change.operations);
    }
  }

  deliver(envelope: Envelope): void {
    if (!this.up) return;
    this.follow(envelope.vector);
    if (envelope.message !== null) this.step({ kind: "message", from: `r${envelope.from}`, message: envelope.message });
  }

  /** Takes what a stream brings that reaches up to `vector`, as far as what it depends on is held. */
  follow(vector: Vector): void {
    const moved = new Set<string>();
    for (let any = true; any; ) {
      any = false;
      for (const [origin, end] of Object.entries(vector)) {
        const entries = this.world.logs.get(origin) ?? [];
        for (let seq = (this.disk.vector[origin] ?? 0) + 1; seq <= end; seq++) {
          const change = entries[seq - 1];
          if (change === undefined || !dominates(this.vector(change.document), change.base)) break;
          this.disk.vector[origin] = seq;
          this.apply(origin, seq, change);
          moved.add(change.document);
          any = true;
        }
      }
    }
    if (moved.size > 0) this.step({ kind: "advanced", documents: [...moved] });
  }

  private view(): View {
    const vectors = new Map<string, Vector>();
    const values = new Map<string, string>();
    for (const [document, held] of this.disk.documents) {
      vectors.set(document, { ...held.vector });
      values.set(document, held.chain.at(-1) ?? "");
    }
    return { vectors, values };
  }

  value(document: string): string {
    return this.disk.documents.get(document)?.chain.at(-1) ?? "";
  }

  version(document: string): number {
    return this.vector(document)[CHAIN] ?? 0;
  }

  vector(document: string): Vector {
    return this.disk.documents.get(document)?.vector ?? EMPTY_VECTOR;
  }

  etag(document: string): string {
    return this.world.options.vectorTags === true ? encodeVector(this.vector(document)) : this.value(document);
  }

  hasOperation(document: string, operation: string): boolean {
    return this.disk.documents.get(document)?.chain.includes(operation) === true;
  }

  replicaVector(): Vector {
    return this.disk.vector;
  }

  scopeDecided(scope: string): Vector {
    return this.disk.decided.get(scope) ?? EMPTY_VECTOR;
  }

  roundTripMs(replica: string): number {
    return this.world.options.roundTripMs?.(this.index, this.names.indexOf(replica)) ?? 100;
  }
}

/** A stream of numbers in [0, 1) that a seed determines. */
export function generator(seed: number): () => number {
  let state = (seed ^ 0x9e3779b9) >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
