/**
 * Random histories of quorum operations under loss, duplication, reordering, crashes and emptied disks, and what must hold of
 * them. Run by itself for more: `npx tsx test/core/quorum-histories.ts [factor] [family] [first seed]`.
 */
import type { QuorumBugs } from "../../src/core/quorum.js";
import { CHAIN } from "../../src/core/change.js";
import { dominates, encodeVector, type Vector } from "../../src/core/vector.js";
import { FOREVER_MS, generator, Violation, World, type Finished } from "./quorum-world.js";

type Kind = "write" | "swap" | "update" | "read" | "list" | "local";

export interface Family {
  readonly name: string;
  readonly replicas: number;
  readonly documents: number;
  readonly kinds: readonly Kind[];
  readonly histories: number;
  readonly crashes?: number;
  readonly emptied?: number;
  readonly events?: number;
  readonly operations?: number;
  /** The log's stream comes apart from the messages of the protocol. */
  readonly apart?: boolean;
  readonly virgin?: boolean;
  readonly handover?: boolean;
}

const SINGLE: readonly Kind[] = ["write", "read", "swap", "read", "update"];
const MIXED: readonly Kind[] = ["write", "read", "local", "local", "read", "swap"];
const LISTS: readonly Kind[] = ["write", "read", "write", "swap", "list", "list"];

export const FAMILIES: readonly Family[] = [
  { name: "three regions", replicas: 3, documents: 1, kinds: SINGLE, histories: 1_500, crashes: 2 },
  { name: "three regions, the stream apart", replicas: 3, documents: 1, kinds: SINGLE, histories: 500, crashes: 2, apart: true, events: 400 },
  { name: "five regions", replicas: 5, documents: 1, kinds: SINGLE, histories: 600, crashes: 3, events: 420 },
  { name: "lists of three documents", replicas: 3, documents: 3, kinds: LISTS, histories: 1_000, crashes: 2, operations: 12 },
  { name: "lists, five regions", replicas: 5, documents: 2, kinds: LISTS, histories: 300, crashes: 3, events: 420 },
  { name: "emptied disks", replicas: 3, documents: 1, kinds: SINGLE, histories: 700, crashes: 3, emptied: 2, events: 400 },
  { name: "emptied disks, five regions", replicas: 5, documents: 1, kinds: SINGLE, histories: 300, crashes: 4, emptied: 2, events: 600 },
  { name: "lists, emptied disks", replicas: 3, documents: 2, kinds: LISTS, histories: 300, crashes: 3, emptied: 2, events: 400 },
  { name: "LOCAL writes on the same document", replicas: 3, documents: 1, kinds: MIXED, histories: 1_000, crashes: 2 },
  { name: "LOCAL writes, emptied disks", replicas: 3, documents: 1, kinds: MIXED, histories: 400, crashes: 3, emptied: 2, events: 400 },
  { name: "LOCAL writes, five regions", replicas: 5, documents: 1, kinds: MIXED, histories: 300, crashes: 3, events: 420 },
  { name: "losers hand over", replicas: 3, documents: 1, kinds: ["write", "write", "read", "swap"], histories: 400, crashes: 2, handover: true },
  { name: "a cluster that begins empty", replicas: 3, documents: 1, kinds: SINGLE, histories: 300, crashes: 2, virgin: true },
];

interface Operation {
  readonly index: number;
  readonly id: string;
  readonly kind: Kind;
  readonly replica: number;
  readonly document: string;
  /** The value, and the vector, that a conditional write expects. */
  readonly expected: string;
  readonly expectedVector: Vector;
  /** Operations that were over when it began (a bit set). */
  readonly before: number;
  status: "running" | "done" | "lost" | "rejected";
  outcome: string;
  values: readonly string[];
  vector: Vector;
}

export interface HistoryResult {
  readonly fault: string | undefined;
  readonly operations: readonly Operation[];
  readonly crashes: number;
  readonly emptied: number;
  readonly lostMessages: number;
  readonly duplicated: number;
  readonly handed: number;
}

class History {
  readonly world: World;
  readonly operations: Operation[] = [];
  readonly documents: string[];
  crashes = 0;
  emptied = 0;
  lostMessages = 0;
  duplicated = 0;
  handed = 0;
  private over = 0;
  private readonly current: (Operation | undefined)[];
  /** What the last read of each document that ended said, whoever asked: writers with one tag collide. */
  private readonly lastRead: { value: string; vector: Vector }[];
  private readonly random: () => number;

  constructor(readonly family: Family, seed: number, bugs: QuorumBugs | undefined) {
    this.random = generator(seed);
    this.documents = Array.from({ length: family.documents }, (_, i) => `page/component/d${i}`);
    this.world = new World({
      replicas: family.replicas, random: this.random, vectorTags: family.kinds.includes("local"), slowBuilds: 0.1, virgin: family.virgin ?? false, handover: family.handover ?? false,
      ...(bugs === undefined ? {} : { bugs }),
      refuses: (operation, value) => operation.startsWith("update") && value === "",
    });
    this.world.onFinished = (finished) => this.finished(finished);
    this.world.onHandover = (_from, operation, to) => this.handOver(operation, to);
    const clients = family.replicas + 1;
    this.current = Array.from({ length: clients }, () => undefined);
    this.lastRead = this.documents.map(() => ({ value: "", vector: {} }));
    this.world.settle(() => this.world.replicas.every(({ engine }) => engine?.voting === true));
  }

  private pick(n: number): number {
    return Math.floor(this.random() * n);
  }

  private handOver(id: string, to: number): void {
    const operation = this.operations.find((one) => one.id === id);
    const target = this.world.replicas[to];
    if (operation === undefined || target === undefined) return;
    this.handed++;
    this.world.delayed.push(() => {
      if (target.up) target.step({ kind: "write", operation: id, document: operation.document, deadline: target.now + FOREVER_MS, forwarded: true });
    });
  }

  private finished({ operation: id, outcome, view }: Finished): void {
    const operation = this.operations.find((one) => one.id === id);
    if (operation === undefined) throw new Violation(`answer to an unknown operation ${id}`);
    if (operation.status !== "running") return;
    operation.outcome = outcome;
    if (outcome === "rejected") operation.status = "rejected";
    else if (outcome === "unknown" || outcome === "unavailable") operation.status = "lost";
    else {
      operation.status = "done";
      this.over |= 1 << operation.index;
      operation.values = (operation.kind === "list" ? this.documents : [operation.document]).map((document) => view?.values.get(document) ?? "");
      operation.vector = view?.vectors.get(operation.document) ?? {};
      if (operation.kind === "read") this.lastRead[this.documents.indexOf(operation.document)] = { value: operation.values[0] ?? "", vector: operation.vector };
    }
  }

  run(): void {
    const { family, world } = this;
    const kick = this.random() < 0.5 ? 0.05 : 0.15;
    const drop = this.random() < 0.5 ? 0.02 : 0.12;
    const events = family.events ?? 260;
    for (let event = 0; event < events; event++) {
      const x = this.random();
      if (x < 0.16) this.invoke();
      else if (x < 0.16 + kick) this.kick();
      else if (x < 0.2 + kick) this.stream();
      else if (x < 0.2 + kick + drop) this.lose();
      else if (x < 0.225 + kick + drop) this.crash();
      else if (x < 0.26 + kick + drop) this.recover();
      else if (x < 0.275 + kick + drop) this.giveUp();
      else if (x < 0.29 + kick + drop) world.delayed.splice(this.pick(world.delayed.length), 1)[0]?.();
      else this.deliver();
    }
  }

  private invoke(): void {
    const { family } = this;
    if (this.operations.length >= (family.operations ?? 10)) return;
    const client = this.pick(this.current.length);
    const running = this.current[client];
    if (running?.status === "running") return;
    const home = client % family.replicas;
    const replica = this.random() < 0.7 ? home : this.pick(family.replicas);
    if (this.world.replicas[replica]?.up !== true) return;
    const kind = family.kinds[this.pick(family.kinds.length)] ?? "read";
    const place = this.pick(this.documents.length);
    const document = this.documents[place] ?? "";
    const { value, vector } = this.lastRead[place] ?? { value: "", vector: {} };
    const index = this.operations.length;
    // Nothing has a tag before it exists: then it is an ordinary write.
    const actual = kind === "swap" && (family.kinds.includes("local") ? encodeVector(vector) : value) === "" ? "write" : kind;
    const operation: Operation = {
      index, id: `${actual}-${index}`, kind: actual, replica, document, expected: value, expectedVector: vector, before: this.over, status: "running", outcome: "", values: [], vector: {},
    };
    this.operations.push(operation);
    this.current[client] = operation;
    this.begin(operation);
  }

  private begin(operation: Operation): void {
    const { id, document, kind } = operation;
    const replica = this.world.replicas[operation.replica];
    if (replica === undefined) return;
    const deadline = replica.now + FOREVER_MS;
    if (kind === "local") {
      operation.status = "done";
      this.over |= 1 << operation.index;
      replica.local(document, id);
    } else if (kind === "read") replica.step({ kind: "read", operation: id, document, deadline });
    else if (kind === "list") replica.step({ kind: "list", operation: id, scope: "page/component", deadline });
    else if (kind === "swap") {
      const tag = this.family.kinds.includes("local") ? encodeVector(operation.expectedVector) : operation.expected;
      replica.step({ kind: "write", operation: id, document, ifMatch: [tag], deadline });
    } else replica.step({ kind: "write", operation: id, document, deadline });
  }

  private kick(): void {
    const waiting = this.world.replicas.filter(({ waits }) => waits);
    waiting[this.pick(waiting.length)]?.tick();
  }

  private stream(): void {
    const from = this.pick(this.family.replicas);
    const to = this.pick(this.family.replicas);
    const sender = this.world.replicas[from];
    if (from !== to && sender?.up === true) this.world.net.push({ from, to, message: null, vector: { ...sender.disk.vector } });
  }

  private lose(): void {
    const { net } = this.world;
    if (net.length > 0) this.lostMessages += net.splice(this.pick(net.length), 1).length;
  }

  private crash(): void {
    const replica = this.world.replicas[this.pick(this.family.replicas)];
    if (replica?.up !== true || this.crashes >= (this.family.crashes ?? 0)) return;
    this.crashes++;
    replica.crash();
    for (const operation of this.operations) if (operation.replica === replica.index && operation.status === "running") operation.status = "lost";
  }

  private recover(): void {
    const down = this.world.replicas.filter(({ up }) => !up);
    const replica = down[this.pick(down.length)];
    if (replica === undefined) return;
    const othersVote = this.world.replicas.every(({ disk }) => disk.state.voting);
    if (this.emptied < (this.family.emptied ?? 0) && othersVote && this.random() < 0.6) {
      this.emptied++;
      this.world.empty(replica);
    }
    replica.start();
  }

  /** A caller goes away, or its time is over. */
  private giveUp(): void {
    const running = this.operations.filter(({ status }) => status === "running");
    const operation = running[this.pick(running.length)];
    if (operation === undefined || this.random() > 0.3) return;
    operation.status = "lost";
    this.world.replicas[operation.replica]?.step({ kind: "cancel", operation: operation.id });
  }

  private deliver(): void {
    const { net } = this.world;
    const i = this.pick(net.length);
    const envelope = net[i];
    if (envelope === undefined) return;
    if (this.random() > 0.04) net.splice(i, 1);
    else this.duplicated++;
    this.world.replicas[envelope.to]?.deliver(this.family.apart === true && envelope.message !== null ? { ...envelope, vector: {} } : envelope);
  }

  check(): string | undefined {
    for (const operation of this.operations) {
      if (operation.status === "rejected" && this.world.value(operation.id) !== undefined) return `${operation.id} was rejected, and decided`;
      // One that was handed over may have been proposed where it came from; there it is settled.
      const isRefused = operation.outcome === "precondition" || (operation.outcome === "refused" && this.family.handover !== true);
      if (isRefused && this.world.value(operation.id) !== undefined) return `${operation.id} was refused, and decided`;
      if (operation.outcome === "decided" && this.world.value(operation.id) === undefined) return `${operation.id} was acknowledged, and not decided`;
    }
    const mixed = this.family.kinds.includes("local");
    return (mixed ? undefined : linearizable(this.operations, this.documents)) ?? this.checkReads() ?? this.checkFollows() ?? (mixed ? this.checkTags() : undefined);
  }

  private checkReads(): string | undefined {
    const done = this.operations.filter(({ status }) => status === "done");
    for (const read of done.filter(({ kind }) => kind === "read")) {
      for (const earlier of done) {
        if (earlier.document !== read.document || (read.before & (1 << earlier.index)) === 0) continue;
        if (earlier.kind === "read" && !dominates(read.vector, earlier.vector)) return `${read.id} goes back behind ${earlier.id}`;
        const change = earlier.outcome === "decided" ? this.world.value(earlier.id) : undefined;
        if (change !== undefined && (read.vector[CHAIN] ?? 0) < change.version) return `${read.id} lacks ${earlier.id}`;
      }
    }
    return undefined;
  }

  /** A write supersedes all that quorum reads had shown before it began. */
  private checkFollows(): string | undefined {
    for (const write of this.operations) {
      const change = write.outcome === "decided" ? this.world.value(write.id) : undefined;
      if (change === undefined) continue;
      const after = { ...change.base, [CHAIN]: change.version };
      for (const read of this.operations) {
        if (read.kind !== "read" || read.document !== write.document || (write.before & (1 << read.index)) === 0) continue;
        if (!dominates(after, read.vector)) return `${write.id} does not follow ${read.id}`;
      }
    }
    return undefined;
  }

  private checkTags(): string | undefined {
    const won = new Set<string>();
    for (const swap of this.operations.filter(({ kind, outcome }) => kind === "swap" && outcome === "decided")) {
      const tag = `${swap.document} ${encodeVector(swap.expectedVector)}`;
      const change = this.world.value(swap.id);
      if (change === undefined || change.operations[0] !== swap.id || encodeVector(change.base) !== encodeVector(swap.expectedVector)) return `${swap.id} was decided on another state`;
      if (won.has(tag)) return `two successes for one tag: ${tag}`;
      won.add(tag);
    }
    return undefined;
  }
}

/**
 * Is there an order of the operations, true to real time, in which each does what a register would? Writes whose fate is unknown
 * may be left out. Exhaustive, with a memory of what was tried (Wing and Gong 1993, Lowe 2017).
 */
export function linearizable(all: readonly Operation[], documents: readonly string[]): string | undefined {
  const operations = all.filter(({ kind, status }) => status === "done" || (status !== "rejected" && kind !== "read" && kind !== "list"));
  let must = 0;
  for (const { index, status } of operations) if (status === "done") must |= 1 << index;
  const tried = new Set<string>();
  const extend = (taken: number, registers: readonly string[]): boolean => {
    if ((must & ~taken) === 0) return true;
    const key = `${taken} ${registers.join()}`;
    if (tried.has(key)) return false;
    tried.add(key);
    for (const operation of operations) {
      const bit = 1 << operation.index;
      if ((taken & bit) !== 0 || (operation.before & must & ~taken) !== 0) continue;
      const after = effectOf(operation, registers, documents);
      if (after !== undefined && extend(taken | bit, after)) return true;
    }
    return false;
  };
  return extend(0, documents.map(() => "")) ? undefined : "not linearizable";
}

function effectOf(operation: Operation, registers: readonly string[], documents: readonly string[]): readonly string[] | undefined {
  const place = documents.indexOf(operation.document);
  const current = registers[place] ?? "";
  const written = (): string[] => registers.with(place, operation.id);
  switch (operation.kind) {
    case "read": return operation.values[0] === current ? registers : undefined;
    case "list": return operation.values.every((value, i) => value === registers[i]) ? registers : undefined;
    case "swap":
      if (operation.outcome === "precondition") return current === operation.expected ? undefined : registers;
      return current === operation.expected ? written() : undefined;
    case "update":
      if (operation.outcome === "refused") return current === "" ? registers : undefined;
      return current === "" ? undefined : written();
    case "write": return written();
    case "local": return registers;
  }
}

export function runHistory(family: Family, seed: number, bugs?: QuorumBugs): HistoryResult {
  let history: History | undefined;
  let fault: string | undefined;
  try {
    history = new History(family, seed, bugs);
    history.run();
    fault = history.check();
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    fault = error.name === "Error" || error.name === "InvariantViolation" ? error.message : (error.stack ?? error.message);
  }
  return {
    fault, operations: history?.operations ?? [], crashes: history?.crashes ?? 0, emptied: history?.emptied ?? 0,
    lostMessages: history?.lostMessages ?? 0, duplicated: history?.duplicated ?? 0, handed: history?.handed ?? 0,
  };
}

export interface FamilyReport {
  histories: number;
  operations: number;
  completed: number;
  outcomes: Record<string, number>;
  crashes: number;
  emptied: number;
  lostMessages: number;
  duplicated: number;
  handed: number;
  /** The first seed that fails, and why. */
  failed: { seed: number; fault: string } | undefined;
}

export function runFamily(family: Family, histories: number, first: number, bugs?: QuorumBugs): FamilyReport {
  const report: FamilyReport = { histories: 0, operations: 0, completed: 0, outcomes: {}, crashes: 0, emptied: 0, lostMessages: 0, duplicated: 0, handed: 0, failed: undefined };
  for (let seed = first; seed < first + histories && report.failed === undefined; seed++) {
    const result = runHistory(family, seed, bugs);
    report.histories++;
    report.operations += result.operations.length;
    for (const { kind, status, outcome } of result.operations) {
      if (status === "done") report.completed++;
      const name = `${kind}:${status === "done" ? outcome || "done" : status}`;
      report.outcomes[name] = (report.outcomes[name] ?? 0) + 1;
    }
    report.crashes += result.crashes;
    report.emptied += result.emptied;
    report.lostMessages += result.lostMessages;
    report.duplicated += result.duplicated;
    report.handed += result.handed;
    if (result.fault !== undefined) report.failed = { seed, fault: result.fault };
  }
  return report;
}

if (process.argv[1]?.endsWith("quorum-histories.ts") === true) {
  const factor = Number(process.argv[2] ?? 1);
  const only = process.argv[3] ?? "";
  const first = Number(process.argv[4] ?? 1);
  for (const family of FAMILIES.filter(({ name }) => name.includes(only))) {
    const begun = Date.now();
    const report = runFamily(family, Math.ceil(family.histories * factor), first);
    process.stdout.write(`${family.name}: ${((Date.now() - begun) / 1000).toFixed(1)} s ${JSON.stringify(report)}\n`);
    if (report.failed !== undefined) process.exitCode = 1;
  }
}
