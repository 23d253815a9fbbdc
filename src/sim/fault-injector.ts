/**
 * Makes planned faults happen, ends them, and writes down what befell whom.
 *
 * Faults that take a replica's memory (its disk emptied, damaged, put back) are held back while others have not got theirs back: a cluster
 * that loses the disks of a majority loses what only they held, and no protocol can help. What is expected of one at a time is checked.
 */
import { dominates, joinInto, type MutableVector, type Vector } from "../core/vector.js";
import type { Befallen, End } from "./befallen.js";
import { FORGETTING_FAULTS } from "./checkers/forgetting.js";
import { storedState } from "./claim-witness.js";
import { historyKind, type PlannedFault, type SimulatedFault } from "./fault-schedule.js";
import type { FaultEvent, FaultKind } from "./history.js";
import type { EventQueue } from "./event-queue.js";
import { LINK_FAULTS, LinkFaults } from "./link-faults.js";
import type { CrashLeaves, DiskImage, Restored } from "./simulated-disk.js";
import type { SeededRandom } from "./seeded-random.js";
import type { Machine, World } from "./world.js";
import type { ReplicaShape } from "./world-shape.js";

/** How long a stopped replica stays stopped at least, ms. */
const DOWN_MIN_MS = 50;
const RESTORED: Readonly<Record<Restored, string>> = { volume: "a snapshot of the volume", folder: "a copy of the folder", store: "what the store held, without its later end," };
const TOLD_AS: Readonly<Record<Restored, FaultKind>> = { volume: "volume-restored", folder: "disk-restored", store: "disk-truncated" };
const STORED_PREFIXES = ["d/", "b/", "c/", "l/", "a/", "q/", "i/"];

export class FaultInjector {
  private readonly told: FaultEvent[] = [];
  private readonly underway = new Map<number, { readonly kind: SimulatedFault; readonly targets: readonly string[]; readonly end: End; readonly fromMs: number; readonly detail?: string; readonly held?: Vector; readonly toldAs?: Befallen["toldAs"] }>();
  /** Replicas that have lost their memory, and what they must hold to have it back. */
  private readonly forgetful = new Map<string, MutableVector>();
  private healed = false;
  private readonly links: LinkFaults;

  constructor(
    private readonly world: World,
    private readonly random: SeededRandom,
    private readonly reached: (what: string) => void,
  ) {
    this.links = new LinkFaults(world);
  }

  get events(): readonly FaultEvent[] {
    return this.told;
  }

  private get queue(): EventQueue {
    return this.world.queue;
  }

  plan(fault: PlannedFault): void {
    this.queue.at(fault.atMs, `fault ${fault.id} ${fault.kind}`, () => this.begin(fault));
  }

  private begin(fault: PlannedFault): void {
    if (this.healed) return;
    const { id, kind } = fault;
    const befallen = this.befall(fault, this.random.fork(`fault ${id}`));
    if (befallen === undefined) return;
    this.reached(`fault: ${kind}`);
    const { end, toldAs, ...told } = befallen;
    const fromMs = this.queue.now;
    if (end === undefined) {
      this.tell(kind, { ...told, fromMs });
      return;
    }
    this.underway.set(id, { kind, end, fromMs, toldAs, ...told });
    this.queue.after(fault.lastsMs, `fault ${id} ends`, () => this.end(id));
  }

  private end(id: number): void {
    const fault = this.underway.get(id);
    if (fault === undefined) return;
    this.underway.delete(id);
    const { kind, end, toldAs, ...told } = fault;
    end();
    this.tell(toldAs?.() ?? kind, { ...told, untilMs: this.queue.now });
  }

  /** A damaged store was set aside, as `--rebuild` does: what only it held is lost. */
  rebuilt(replica: string): void {
    this.tell("disk-emptied", { targets: [replica], fromMs: this.queue.now, detail: "rebuilt after damage" });
  }

  private tell(kind: SimulatedFault | FaultKind, told: Omit<FaultEvent, "kind">): void {
    const named = historyKind(kind);
    this.told.push({ kind: named, ...(FORGETTING_FAULTS.has(named) ? { held: this.held() } : {}), ...told });
  }

  /** What all members together hold durably. */
  private held(): Vector {
    const held: MutableVector = {};
    for (const { replica } of this.members) joinInto(held, storedState(this.world.machine(replica).disk)?.vector ?? {});
    return held;
  }

  /** Ends every fault and lets no new one begin. Everything is started; damage that nobody has met is met at the start. */
  healAll(): void {
    this.healed = true;
    for (const id of [...this.underway.keys()]) this.end(id);
    for (const machine of this.world.machines.values()) {
      machine.down = false;
      machine.disk.full = false;
      machine.disk.readsRefused = false;
      machine.disk.slowness = 1;
      machine.disk.onWriting = undefined;
      machine.clock.correct();
      machine.process?.resume();
      if (machine.disk.spoiled) this.world.crash(machine.shape.replica, "nothing");
      this.world.start(machine.shape.replica);
    }
  }

  private befall(fault: PlannedFault, random: SeededRandom): Befallen | undefined {
    return LINK_FAULTS.has(fault.kind) ? this.links.befall(fault, random) : this.befallMachine(fault, random);
  }

  private befallMachine(fault: PlannedFault, random: SeededRandom): Befallen | undefined {
    switch (fault.kind) {
      case "crash": return this.crash(random, random.weighted<CrashLeaves>({ nothing: 0.6, everything: 0.4 }), random.weighted({ now: 0.4, asked: 0.3, durable: 0.3 }));
      case "disk-lost-unsynced": return this.crash(random, "nothing", "asked");
      case "disk-torn-write": return this.tornWrite(random);
      case "crash-all": return this.crashAll(random);
      case "restart": return this.restart(random);
      case "pause": return this.pause(random);
      case "clock-skew": return this.clock(random, (machine) => machine.clock.skew(random.pick([-1, 1]) * random.pick([200, 5_000, 600_000])));
      case "clock-jump": return this.clock(random, (machine) => machine.clock.skew(-random.between(100, 120_000)));
      case "clock-freeze": return this.clock(random, (machine) => machine.clock.freeze(true));
      case "disk-full": return this.disk(random, (machine, on) => { machine.disk.full = on; });
      case "disk-read-error": return this.disk(random, (machine, on) => { machine.disk.readsRefused = on; });
      case "disk-slow": return this.disk(random, (machine, on) => { machine.disk.slowness = on ? random.pick([10, 60]) : 1; });
      case "disk-emptied": return this.emptied(random);
      case "disk-flipped": return this.flipped(random);
      case "disk-restored": return this.restored(random, fault.lastsMs);
      case "member-added":
      case "member-removed": return this.membership(fault.kind, random);
      default: return undefined;
    }
  }

  private get members(): readonly ReplicaShape[] {
    return this.world.membership;
  }

  private get regions(): string[] {
    return [...new Set(this.members.map(({ region }) => region))];
  }

  // Programs and clocks.

  private running(): Machine[] {
    return this.members.map(({ replica }) => this.world.machine(replica)).filter(({ process, down }) => process?.alive === true && !down);
  }

  private downUntilEnd(machine: Machine): End {
    machine.down = true;
    return () => {
      machine.down = false;
      this.world.start(machine.shape.replica);
    };
  }

  /** `moment`: at once, or when the program is next writing, or has just written without knowing it. */
  private crash(random: SeededRandom, leaves: CrashLeaves, moment: "now" | "asked" | "durable"): Befallen | undefined {
    const running = this.running();
    if (running.length === 0) return undefined;
    const machine = random.pick(running);
    const { replica } = machine.shape;
    const end = this.downUntilEnd(machine);
    if (moment === "now") this.world.crash(replica, leaves);
    else this.crashAtWrite(machine, leaves, moment);
    return { targets: [replica], detail: moment === "now" ? "at once" : `with a write ${moment}`, end: () => {
      // A program that has written nothing meanwhile dies now.
      machine.disk.onWriting = undefined;
      this.world.crash(replica, leaves === "damage" ? "nothing" : leaves);
      this.queue.after(DOWN_MIN_MS, `${replica} comes back`, end);
    } };
  }

  private crashAtWrite(machine: Machine, leaves: CrashLeaves, moment: "asked" | "durable"): void {
    machine.disk.onWriting = (now) => {
      if (now !== moment) return;
      machine.disk.onWriting = undefined;
      this.queue.after(0, `${machine.shape.replica} dies writing`, () => {
        this.reached(`crash: when a write was ${moment}`);
        this.world.crash(machine.shape.replica, leaves);
      });
    };
  }

  private tornWrite(random: SeededRandom): Befallen | undefined {
    const machine = this.mayForget(random);
    if (machine === undefined) return undefined;
    const { replica } = machine.shape;
    const leaves = random.pick<CrashLeaves>(["nothing", "damage"]);
    if (leaves === "damage") this.forgets(machine);
    const end = this.downUntilEnd(machine);
    this.crashAtWrite(machine, leaves, "asked");
    return { targets: [replica], detail: leaves === "damage" ? "the store is damaged, and rebuilt" : "the torn batch is not there", end: () => {
      machine.disk.onWriting = undefined;
      this.world.crash(replica, "nothing");
      this.queue.after(DOWN_MIN_MS, `${replica} comes back`, end);
    } };
  }

  private crashAll(random: SeededRandom): Befallen {
    const machines = this.members.map(({ replica }) => this.world.machine(replica));
    const ends = machines.map((machine) => {
      const end = this.downUntilEnd(machine);
      this.world.crash(machine.shape.replica, random.weighted<CrashLeaves>({ nothing: 0.5, everything: 0.5 }));
      return end;
    });
    return { targets: machines.map(({ shape }) => shape.replica), end: () => {
      for (const [index, end] of ends.entries()) this.queue.after(random.between(0, 1_000), `${machines[index]?.shape.replica ?? ""} comes back`, end);
    } };
  }

  private restart(random: SeededRandom): Befallen | undefined {
    const running = this.running().filter(({ node }) => node !== undefined);
    if (running.length === 0) return undefined;
    const machine = random.pick(running);
    const { replica } = machine.shape;
    const end = this.downUntilEnd(machine);
    this.world.stop(replica);
    return { targets: [replica], end: () => {
      this.world.crash(replica, "nothing");
      end();
    } };
  }

  private pause(random: SeededRandom): Befallen | undefined {
    const running = this.running();
    if (running.length === 0) return undefined;
    const { process, shape } = random.pick(running);
    process?.pause();
    return { targets: [shape.replica], end: () => process?.resume() };
  }

  private clock(random: SeededRandom, change: (machine: Machine) => void): Befallen {
    const machine = this.world.machine(random.pick(this.members).replica);
    change(machine);
    return { targets: [machine.shape.replica], end: () => machine.clock.correct() };
  }

  // Disks.

  private disk(random: SeededRandom, change: (machine: Machine, on: boolean) => void): Befallen {
    const machine = this.world.machine(random.pick(this.members).replica);
    change(machine, true);
    return { targets: [machine.shape.replica], end: () => change(machine, false) };
  }

  /** A machine that may lose its memory now; undefined while others have not got theirs back. */
  private mayForget(random: SeededRandom): Machine | undefined {
    for (const [replica, owed] of this.forgetful) {
      const { node, disk, shape } = this.world.machine(replica);
      const status = node?.cluster();
      const isBack = !disk.spoiled && status !== undefined && (status.voting || !shape.voter) && dominates(status.vector, owed);
      if (!isBack) return undefined;
      this.forgetful.delete(replica);
    }
    const running = this.running().filter(({ node }) => node !== undefined);
    // What a majority decided while one rejoined is lost with the next disk: more than any protocol can bear, see `quorum-rejoin.ts`.
    if (running.some(({ shape, node }) => shape.voter && node?.cluster().voting !== true)) return undefined;
    return running.length === 0 ? undefined : random.pick(running);
  }

  private forgets(machine: Machine): void {
    const owed: MutableVector = {};
    for (const { node, shape } of this.world.machines.values()) if (node !== undefined && shape.replica !== machine.shape.replica) joinInto(owed, node.cluster().vector);
    this.forgetful.set(machine.shape.replica, owed);
  }

  private emptied(random: SeededRandom): Befallen | undefined {
    const machine = this.mayForget(random);
    if (machine === undefined) return undefined;
    this.forgets(machine);
    const end = this.downUntilEnd(machine);
    this.world.crash(machine.shape.replica, "nothing");
    machine.disk.clear();
    return { targets: [machine.shape.replica], held: this.held(), end };
  }

  private flipped(random: SeededRandom): Befallen | undefined {
    const machine = this.mayForget(random);
    if (machine === undefined) return undefined;
    const prefix = random.shuffled(STORED_PREFIXES).find((one) => machine.disk.spoil(one));
    if (prefix === undefined) return undefined;
    this.forgets(machine);
    if (random.chance(0.5)) {
      this.world.crash(machine.shape.replica, "nothing");
      this.world.start(machine.shape.replica);
    }
    return { targets: [machine.shape.replica], detail: `a record of ${prefix}` };
  }

  /** A copy is taken now, and put back at the end. */
  private restored(random: SeededRandom, lastsMs: number): Befallen | undefined {
    const machine = this.mayForget(random);
    if (machine === undefined) return undefined;
    const image: DiskImage = machine.disk.image();
    const what = random.weighted<Restored>({ volume: 0.35, folder: 0.3, store: 0.35 });
    const { replica } = machine.shape;
    let isBack = false;
    return { targets: [replica], toldAs: () => (isBack ? TOLD_AS[what] : undefined), detail: `${RESTORED[what]} of ${Math.round(lastsMs)} ms before`, end: () => {
      if (this.healed || this.mayForget(random) === undefined || machine.disk.spoiled) return;
      this.forgets(machine);
      this.world.crash(replica, "nothing");
      machine.disk.restore(image, what);
      this.reached(`fault: disk-restored, ${what}`);
      isBack = true;
      if (machine.down) return;
      // Putting a volume back takes its time: what the program had sent has arrived, and is on the disks of others.
      if (what === "volume") this.queue.after(random.between(500, 2_000), `the volume of ${replica} is back`, this.downUntilEnd(machine));
      else this.world.start(replica);
    } };
  }

  // Members.

  /**
   * As the manual says: all replicas are stopped, the files are changed, all are started, one of them later than the others. A replica
   * that is taken out must have handed on what it holds.
   */
  private membership(kind: "member-added" | "member-removed", random: SeededRandom): Befallen | undefined {
    if (this.forgetful.size > 0 || [...this.underway.values()].some((fault) => fault.kind === "disk-restored")) return undefined;
    const next = kind === "member-added" ? this.withOneMore(random) : this.withOneLess(random);
    if (next === undefined) return undefined;
    const machines = [...this.world.machines.values()];
    for (const { shape } of machines) this.world.crash(shape.replica, random.pick<CrashLeaves>(["nothing", "everything"]));
    for (const machine of machines) machine.down = true;
    this.world.configure(next.members);
    const last = random.pick(next.members).replica;
    for (const { replica } of next.members) {
      if (replica === last) continue;
      this.queue.after(random.between(DOWN_MIN_MS, 500), `${replica} starts anew`, () => this.bringUp(replica));
    }
    return { targets: [next.changed], detail: `${last} starts later`, end: () => this.bringUp(last) };
  }

  private bringUp(replica: string): void {
    this.world.machine(replica).down = false;
    this.world.start(replica);
  }

  private withOneMore(random: SeededRandom): { readonly members: readonly ReplicaShape[]; readonly changed: string } | undefined {
    if (this.regions.length >= 5) return undefined;
    const region = `new-${random.integer(10, 99)}`;
    const added: ReplicaShape = { replica: `${region}-1`, region, role: "region", voter: true };
    return { members: [...this.members, added], changed: added.replica };
  }

  private withOneLess(random: SeededRandom): { readonly members: readonly ReplicaShape[]; readonly changed: string } | undefined {
    const candidates = this.members.filter(({ replica, voter, role }) => {
      if (role !== "region" || (voter && this.members.filter((member) => member.voter).length <= 3)) return false;
      const status = this.world.machine(replica).node?.cluster();
      // Some other member holds durably all that this one holds.
      return status?.peers.some((peer) => peer.state === "up" && peer.unacknowledged_changes === 0 && this.isMemberRegion(peer.replica)) === true;
    });
    if (candidates.length === 0) return undefined;
    const removed = random.pick(candidates).replica;
    return { members: this.members.filter(({ replica }) => replica !== removed), changed: removed };
  }

  private isMemberRegion(replica: string): boolean {
    return this.members.some((member) => member.replica === replica && member.role === "region");
  }
}
