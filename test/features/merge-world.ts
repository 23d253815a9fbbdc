/** Regions in memory that run commands by themselves and exchange their changes when a test says so, in any order. */
import { createHash } from "node:crypto";
import { encodeChange, type Change } from "../../src/core/change.js";
import { createdMs, DocumentState, type Dot } from "../../src/core/document.js";
import { Fault } from "../../src/core/errors.js";
import { HybridClock } from "../../src/core/hlc.js";
import { copyVector, dominates } from "../../src/core/vector.js";
import type { Answer, Command, DocumentHeader, Snapshot } from "../../src/store/data-plane.js";
import { DocumentReader } from "../../src/store/document-reader.js";

interface Entry {
  readonly change: Change;
  readonly dot: Dot;
}

export class Region {
  readonly documents = new Map<string, DocumentState>();
  readonly log: Entry[] = [];
  private readonly held = new Set<string>();
  private readonly clock: HybridClock;
  private seq = 0;

  constructor(readonly name: string, node: string, private readonly world: World) {
    this.clock = new HybridClock(node);
  }

  get snapshot(): Snapshot {
    const alive = (key: string) => {
      const state = this.documents.get(key);
      return state?.alive === true ? state : undefined;
    };
    return {
      atMs: this.world.nowMs,
      document: (key) => {
        const state = alive(key);
        return state === undefined ? undefined : new DocumentReader(state);
      },
      taken: (key) => this.documents.get(key)?.root !== undefined,
      list: (partition, type) => {
        const headers = [...this.documents.values()].filter((state) => state.alive && state.partition === partition && state.type === type).map((state): DocumentHeader => {
          const position = new DocumentReader(state).value("position");
          return { key: state.key, id: state.id, createdMs: createdMs(state), position: typeof position === "number" ? position : 0 };
        });
        const byId = (a: DocumentHeader, b: DocumentHeader) => (a.id < b.id ? -1 : 1);
        return ["incident", "maintenance"].includes(type) ? headers.sort((a, b) => b.createdMs - a.createdMs || byId(b, a)) : headers.sort((a, b) => a.position - b.position || byId(a, b));
      },
    };
  }

  /** Runs a command as LOCAL: all its changes, or its fault. Each run is a millisecond later than the one before. */
  run(command: Command, actor = "tester"): Answer | Fault {
    this.world.nowMs += 1;
    const plan = command.plan(this.snapshot);
    if (plan instanceof Fault) return plan;
    // As in a replica: what one command writes carries one stamp.
    const hlc = this.clock.send(this.world.nowMs);
    for (const { document, operations } of plan.changes) {
      const context = copyVector(this.documents.get(document)?.vector ?? {});
      const change: Change = { document, operations, context, hlc, region: this.name, replica: `${this.name}-1`, actor };
      this.apply({ change, dot: { origin: `${this.name}-1.1`, seq: ++this.seq } });
    }
    return command.answer(this.snapshot);
  }

  /** Runs a command that must go through; gives its body. */
  body(command: Command): { readonly [key: string]: unknown } {
    const answer = this.run(command);
    if (answer instanceof Fault) throw new Error(`${command.name}: ${answer.detail} ${JSON.stringify(answer.extra.errors ?? "")}`);
    return answer.body ?? {};
  }

  reader(key: string): DocumentReader {
    const reader = this.snapshot.document(key);
    if (reader === undefined) throw new Error(`no document ${key} in ${this.name}`);
    return reader;
  }

  /** Takes what the other has and this one lacks; `order` shuffles what does not depend on each other. */
  pull(other: Region, order: (entries: Entry[]) => Entry[] = (entries) => entries): void {
    let missing = order(other.log.filter((entry) => !this.held.has(nameOf(entry))));
    while (missing.length > 0) {
      const ready = missing.filter(({ change }) => dominates(this.documents.get(change.document)?.vector ?? {}, change.context));
      if (ready.length === 0) throw new Error("changes depend on what neither region has");
      for (const entry of ready.slice(0, 1)) this.apply(entry);
      missing = missing.filter((entry) => !this.held.has(nameOf(entry)));
    }
  }

  private apply(entry: Entry): void {
    const { change, dot } = entry;
    let state = this.documents.get(change.document);
    if (state === undefined) {
      state = new DocumentState(change.document);
      this.documents.set(change.document, state);
    }
    state.apply(change, dot, createHash("sha256").update(encodeChange(change)).digest());
    this.clock.receive(change.hlc, this.world.nowMs, 60_000);
    this.log.push(entry);
    this.held.add(nameOf(entry));
  }
}

function nameOf({ dot }: Entry): string {
  return `${dot.origin}#${dot.seq}`;
}

export class World {
  nowMs = Date.UTC(2026, 0, 1);
  readonly a = new Region("us-east", "00000000000a", this);
  readonly b = new Region("eu-west", "00000000000b", this);

  /** Both take what the other has. Dots of one origin may arrive out of order here only between documents. */
  heal(order?: (entries: Entry[]) => Entry[]): void {
    const before = [...this.b.log];
    this.b.pull(this.a, order);
    this.a.pull({ log: before } as Region, order);
  }
}
