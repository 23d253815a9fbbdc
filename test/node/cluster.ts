/** Replicas in one process on memory ports: the production assembly without HTTP, disk and network. */
import { createHash } from "node:crypto";
import { limits, type Limits } from "../../src/core/limits.js";
import { isFault } from "../../src/core/errors.js";
import { MemoryMesh } from "../../src/io/memory-mesh.js";
import { MemoryHighWater } from "../../src/io/memory-high-water.js";
import { MemoryStorage } from "../../src/io/memory-storage.js";
import { systemClock, systemRandom, systemTimers } from "../../src/io/system-clock.js";
import { ReplicaNode, type NodePorts } from "../../src/node.js";
import { Draft } from "../../src/store/document-reader.js";
import { foldChanges } from "../../src/store/documents.js";
import { noMetrics } from "../../src/store/metrics.js";
import type { RecordSource } from "../../src/store/record-exchange.js";
import type { Command, CommitOptions, Query } from "../../src/store/data-plane.js";
import { keyOf } from "../../src/core/document.js";
import type { Json } from "../../src/core/change.js";
import type { Message } from "../../src/core/messages.js";
import type { Clock, Transport } from "../../src/core/ports.js";

export interface ClusterOptions {
  readonly regions?: readonly string[];
  /** Names of all replicas, `<region>-<number>`; those with number 1 vote. One a region unless told. */
  readonly replicas?: readonly string[];
  /** Changes a message on its way, or drops it (undefined). */
  readonly tamper?: (from: string, to: string, message: Message) => Message | undefined;
  readonly delayMs?: number;
  readonly limits?: Partial<Record<keyof Limits, number>>;
  /** What a replica says of its configured members, where it is not what the others say. */
  readonly membershipOf?: Readonly<Record<string, string>>;
  /** Limits of one replica only. */
  readonly limitsOf?: Readonly<Record<string, Partial<Record<keyof Limits, number>>>>;
  readonly onFatal?: (error: unknown) => void;
  readonly clock?: Clock;
  /** What a replica keeps beside the documents; undefined: it is of a version that does not. */
  readonly recordsOf?: (name: string) => RecordSource | undefined;
}

/** A disk that outlives its replica's processes. */
export interface Disk {
  storage: MemoryStorage;
  witness: string;
  readonly highWater: MemoryHighWater;
  /** While set, every write fails with it. */
  failure: Error | undefined;
}

export function newDisk(witness: string): Disk {
  const disk: Disk = { storage: new MemoryStorage({ failWrites: () => disk.failure }), witness, highWater: new MemoryHighWater(), failure: undefined };
  return disk;
}

export class Cluster {
  /** The timers of replicas do not keep a process alive. */
  private readonly alive = setInterval(() => {}, 1_000);
  readonly mesh: MemoryMesh;
  readonly names: readonly string[];
  readonly disks = new Map<string, Disk>();
  readonly nodes = new Map<string, ReplicaNode>();
  readonly fatals: unknown[] = [];
  readonly logged: { replica: string; event: Readonly<Record<string, unknown>> }[] = [];

  constructor(private readonly options: ClusterOptions = {}) {
    this.names = options.replicas ?? (options.regions ?? ["us-east", "eu-west", "ap-south"]).map((region) => `${region}-1`);
    this.mesh = new MemoryMesh({ timers: systemTimers, delayMs: options.delayMs ?? 0, reconnectMs: 20 });
    for (const name of this.names) this.disks.set(name, newDisk(name));
  }

  async start(...names: string[]): Promise<void> {
    for (const name of names.length > 0 ? names : this.names) this.nodes.set(name, await ReplicaNode.start(this.nodeOptions(name), this.ports(name)));
  }

  private nodeOptions(name: string): Parameters<typeof ReplicaNode.start>[0] {
    const peers = Object.fromEntries(this.names.filter((other) => other !== name).map((other) => [other, { region: other.slice(0, -2), role: "region" as const, voter: other.endsWith("-1") }]));
    return {
      replica: name, region: name.slice(0, -2), role: "region", voter: name.endsWith("-1"), clusterId: "test", membership: this.options.membershipOf?.[name] ?? this.names.join(), peers,
      antiEntropyIntervalMs: 3_600_000, genesis: [], limits: { ...limits, ...this.options.limits, ...this.options.limitsOf?.[name] } as Limits,
    };
  }

  private ports(name: string): NodePorts {
    return {
      openStorage: async () => {
        const disk = this.disk(name);
        await disk.storage.reopen();
        return { storage: disk.storage, witness: disk.witness, highWater: disk.highWater };
      },
      probeStorage: async () => {
        const { failure } = this.disk(name);
        if (failure !== undefined) throw failure;
      },
      newTransport: () => this.tampered(name, this.mesh.join(name, this.names.filter((other) => other !== name))),
      clock: this.options.clock ?? systemClock, timers: systemTimers, random: systemRandom,
      sha256: (bytes) => createHash("sha256").update(bytes).digest(),
      metrics: noMetrics,
      records: this.options.recordsOf?.(name),
      fold: async (snapshot, key, changes) => foldChanges(snapshot, key, changes),
      log: (_level, event) => this.logged.push({ replica: name, event }),
      fatal: (error) => {
        this.fatals.push(error);
        this.options.onFatal?.(error);
      },
    };
  }

  private tampered(from: string, transport: Transport): Transport {
    const { tamper } = this.options;
    if (tamper === undefined) return transport;
    return {
      open: (handler) => transport.open(handler),
      send: (to, message) => {
        const sent = tamper(from, to, message);
        return sent === undefined || transport.send(to, sent);
      },
      queuedBytes: (peer) => transport.queuedBytes(peer),
      close: () => transport.close(),
    };
  }

  disk(name: string): Disk {
    const disk = this.disks.get(name);
    if (disk === undefined) throw new Error(`no disk ${name}`);
    return disk;
  }

  node(name: string): ReplicaNode {
    const node = this.nodes.get(name) ?? this.nodes.get(`${name}-1`);
    if (node === undefined) throw new Error(`${name} does not run`);
    return node;
  }

  async stop(name: string): Promise<void> {
    const node = this.node(name);
    this.nodes.delete(name);
    await node.close();
  }

  /** Cuts a replica off from all others. */
  isolate(name: string): void {
    for (const other of this.names) if (other !== name) this.mesh.cut(name, other);
  }

  rejoin(name: string): void {
    for (const other of this.names) if (other !== name) this.mesh.heal(name, other);
  }

  async settled(what: string, condition: () => boolean | Promise<boolean>, ms = 30_000): Promise<void> {
    const until = performance.now() + ms;
    while (!(await condition())) {
      if (performance.now() > until) throw new Error(`in ${ms} ms it did not come to pass that ${what}; ${JSON.stringify(this.fatals.map(String))} ${JSON.stringify([...this.nodes.values()].map((node) => node.cluster().degradation))}`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  /** Resolves when the wall clock has moved on, so that what follows is later. */
  async later(): Promise<void> {
    const now = Date.now();
    await this.settled("the clock moves on", () => Date.now() > now);
  }

  async voting(): Promise<void> {
    await this.settled("everybody votes", () => [...this.nodes.values()].every((node) => (node.cluster().voting || !node.cluster().replica.endsWith("-1")) && node.cluster().peers.every((peer) => peer.state === "up" || !this.nodes.has(peer.replica))));
  }

  async converged(): Promise<void> {
    await this.settled("all are equal", () => new Set([...this.nodes.values()].map((node) => node.cluster().merkle_root)).size === 1);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.nodes.values()].map((node) => node.close()));
    this.mesh.dispose();
    clearInterval(this.alive);
  }
}

/** A copy of a disk as it is now, as if its folder had been copied. */
export async function copyOf(disk: Disk, witness: string): Promise<Disk> {
  const copy = newDisk(witness);
  copy.highWater.mark = disk.highWater.mark;
  for await (const page of disk.storage.scan({ from: "", to: "\u{10ffff}" })) await copy.storage.write(page.map(([put, value]) => ({ put, value })));
  return copy;
}

export const component = (id: string): string => keyOf("default", "component", id);

/** A command that creates a document with the given registers, or sets them. */
export function setting(id: string, fields: Record<string, Json>): Command {
  const key = component(id);
  return {
    name: "test.set", subject: key,
    plan: (snapshot) => {
      const document = snapshot.document(key);
      const draft = new Draft(document);
      if (document === undefined) draft.create();
      for (const [field, value] of Object.entries(fields)) draft.set(field, value);
      return { changes: [{ document: key, operations: draft.operations }] };
    },
    answer: (snapshot) => {
      const document = snapshot.document(key);
      return { status: 200, body: Object.fromEntries((document?.fields() ?? []).map((field) => [field, document?.value(field) ?? null])), etagOf: key };
    },
  };
}

export function reading(id: string): Query<Record<string, Json> | null> {
  return {
    documents: [component(id)],
    render: (snapshot) => {
      const document = snapshot.document(component(id));
      return document === undefined ? null : Object.fromEntries(document.fields().map((field) => [field, document.value(field)]));
    },
  };
}

/** Commits and expects success. */
export async function write(node: ReplicaNode, command: Command, options: Partial<CommitOptions> = {}): Promise<{ body: Record<string, Json>; etag: string; token: string }> {
  const result = await node.commit(command, { level: "LOCAL", actor: "test", ...options });
  if (isFault(result)) throw new Error(`${result.code}: ${result.detail} ${JSON.stringify(result.extra)}`);
  return { body: JSON.parse(result.body ?? "null") as Record<string, Json>, etag: (result.etag ?? "").replaceAll('"', ""), token: result.token };
}

export async function read(node: ReplicaNode, id: string, options: Parameters<ReplicaNode["read"]>[1] = { level: "LOCAL" }): Promise<Record<string, Json> | null> {
  const result = await node.read(reading(id), options);
  if (isFault(result)) throw new Error(`${result.code}: ${result.detail}`);
  return result.value;
}
