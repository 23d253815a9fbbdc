/** Looks at the replicas while a world runs and at its end, and writes down what the checkers want to know. */
import { limits } from "../core/limits.js";
import { keyOf } from "../core/document.js";
import { dominates } from "../core/vector.js";
import type { ClusterStatus, HistoryEntry } from "../store/data-plane.js";
import { isFault } from "../core/errors.js";
import { storedState } from "./claim-witness.js";
import type { EventQueue } from "./event-queue.js";
import { namedEntries } from "./named-entries.js";
import type { Conflict, FinalDocument, FinalObservation, History, RecordedEntry, Sample, StampObservation } from "./history.js";
import type { Recorder } from "./recorder.js";
import type { Answer, Request, Requests } from "./requests.js";
import { listedOf, PAGE, readAll, readConflictsOf, readResource, sightOf, TYPES } from "./resources.js";
import { until } from "./waiting.js";
import type { Machine, World } from "./world.js";

const LOOK_EVERY_MS = 1_000;
const PATIENCE_MS = 20_000;
/** Gauge → its name in the history, and its bound. */
const GAUGES: readonly (readonly [gauge: string, name: string, limit: number])[] = [
  ["statusmesh_link_queued_bytes", "linkOutboxBytes", limits.linkOutboxBytes],
  ["statusmesh_replication_waiting_bytes", "pendingEntriesBytes", limits.pendingEntriesBytes + limits.changeBytesMax],
  ["statusmesh_staged_changes", "stagedChanges", limits.stagedChangesMax],
];

export class Observer {
  private readonly stamps: StampObservation[] = [];
  private readonly samples: Sample[] = [];
  /** The incarnation of each replica that was seen last. */
  private readonly lives = new Map<string, number>();
  private final: readonly FinalObservation[] = [];
  private healedAtMs: number | undefined;
  private convergedAtMs: number | undefined;

  constructor(
    private readonly world: World,
    private readonly requests: Requests,
    private readonly recorder: Recorder,
  ) {}

  private get queue(): EventQueue {
    return this.world.queue;
  }

  get result(): Pick<History, "healedAtMs" | "convergedAtMs" | "final" | "stamps" | "samples" | "claims"> {
    return {
      ...(this.healedAtMs === undefined ? {} : { healedAtMs: this.healedAtMs }), ...(this.convergedAtMs === undefined ? {} : { convergedAtMs: this.convergedAtMs }),
      final: this.final, stamps: this.stamps, samples: this.samples, claims: this.world.witness.claims,
    };
  }

  start(): void {
    this.queue.after(LOOK_EVERY_MS, "look", () => {
      this.look();
      this.start();
    });
  }

  private look(): void {
    for (const [replica, { node, metrics, disk }] of this.world.machines) {
      if (node === undefined) continue;
      // The clock as it is durable: what a replica has only in memory it may lose, and has stamped nothing with that anybody was told.
      const stored = storedState(disk);
      if (stored !== undefined) {
        const { incarnation, hlc } = stored;
        // A volume that was put back shows an old clock until the replica has noticed, and lives on as another.
        const isOldLife = disk.wentBack && this.lives.get(replica) === incarnation;
        this.lives.set(replica, incarnation);
        if (!isOldLife) this.stamps.push({ replica, incarnation, atMs: this.queue.now, hlc });
      }
      for (const [gauge, name, limit] of GAUGES) {
        const value = metrics.greatest(gauge);
        if (value !== undefined) this.samples.push({ replica, atMs: this.queue.now, name, value, limit });
      }
    }
  }

  /** All faults are over, and every replica runs. */
  healed(): void {
    this.healedAtMs = this.queue.now;
  }

  /** Waits until all replicas are equal and every voter votes. */
  async converge(withinMs: number): Promise<void> {
    if (await until(this.queue, () => this.isEqual(), withinMs)) this.convergedAtMs = this.queue.now;
    await until(this.queue, () => this.silentVoters().length === 0, withinMs);
    // What clients have given up on may still have been decided meanwhile.
    await until(this.queue, () => this.isEqual(), withinMs);
  }

  private isEqual(): boolean {
    const statuses = this.members().map(({ node }) => node?.cluster());
    const [first] = statuses;
    if (first === undefined) return false;
    return statuses.every((status) => status !== undefined && status.merkle_root === first.merkle_root
      && dominates(status.vector, first.vector) && dominates(first.vector, status.vector));
  }

  /** Voters that do not vote, with what they say of it. */
  silentVoters(): string[] {
    return this.members().filter(({ shape, node }) => shape.voter && node?.cluster().voting !== true).map(({ shape, node }) => `${shape.replica} (${node?.cluster().degradation.reasons.join(" ") ?? "not open"})`);
  }

  private members(): Machine[] {
    return this.world.membership.map(({ replica }) => this.world.machine(replica));
  }

  /** Reads every document that the run touched at every replica, at a moment when all are equal if there is one: what watches goes on writing. */
  async lookAtEnd(withinMs: number): Promise<void> {
    await until(this.queue, () => this.isEqual(), withinMs);
    const ids = new Map<string, Set<string>>(TYPES.map((type) => [type, new Set<string>()]));
    for (const { subject } of this.recorder.operations) if (subject.id !== undefined) ids.get(subject.type)?.add(subject.id);
    const statuses = new Map(this.members().map((machine) => [machine, machine.node?.cluster()]));
    this.final = await Promise.all([...statuses].map(([machine, status]) => this.lookAt(machine, status, ids)));
  }

  private async lookAt(machine: Machine, status: ClusterStatus | undefined, ids: ReadonlyMap<string, ReadonlySet<string>>): Promise<FinalObservation> {
    const { replica, region } = machine.shape;
    const documents: FinalDocument[] = [];
    const lists: Record<string, readonly string[]> = {};
    for (const type of TYPES) {
      for (const id of ids.get(type) ?? []) {
        const one = await this.ask(replica, { query: readResource(type, id) });
        const sight = one?.status === 200 && one.body !== null ? sightOf(type, one.body, one.etag) : one?.status === 404 ? { found: false } : undefined;
        if (sight === undefined) continue;
        const conflicts = sight.found ? await this.ask(replica, { query: readConflictsOf(type, id) }) : undefined;
        const history = await this.ask(replica, { historyOf: keyOf(PAGE, type, id) });
        const named = history?.history === undefined ? undefined : await this.named(machine, keyOf(PAGE, type, id), history.history);
        documents.push({
          resource: { page: PAGE, type, id }, sight, ...(named === undefined ? {} : { history: named }),
          ...(conflicts?.body == null ? {} : { conflicts: (conflicts.body["data"] ?? []) as unknown as readonly Conflict[] }),
        });
      }
      const listed = await this.ask(replica, { query: readAll(type) });
      if (listed?.status === 200) lists[`${PAGE}/${type}`] = listedOf(type, listed.body ?? {}).map(({ id }) => id);
    }
    return {
      replica, region, observedAtMs: this.queue.now, documents, lists, ...(status === undefined ? {} : { vector: status.vector, merkleRoot: status.merkle_root }),
    };
  }

  private async named({ node }: Machine, document: string, entries: readonly HistoryEntry[]): Promise<readonly RecordedEntry[]> {
    const changes = await node?.changes(document);
    return changes === undefined || isFault(changes) ? entries : namedEntries(entries, changes);
  }

  private ask(replica: string, asks: Request["asks"]): Promise<Answer | undefined> {
    return this.requests.send(replica, { level: "LOCAL", asks }, PATIENCE_MS);
  }
}
