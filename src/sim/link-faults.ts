/** Faults of links: cuts in many shapes, slow, narrow, lossy and corrupting ones, and links that break. */
import type { Befallen, End } from "./befallen.js";
import type { EventQueue } from "./event-queue.js";
import type { PlannedFault, SimulatedFault } from "./fault-schedule.js";
import type { SeededRandom } from "./seeded-random.js";
import type { World } from "./world.js";
import type { ReplicaShape } from "./world-shape.js";

export const LINK_FAULTS: ReadonlySet<SimulatedFault> = new Set<SimulatedFault>([
  "partition", "one-way-cut", "bridge", "ring", "isolate", "flap", "delay", "loss", "bandwidth", "corruption", "altered-entry", "reordering", "duplication", "reset",
]);

export class LinkFaults {
  constructor(private readonly world: World) {}

  private get queue(): EventQueue {
    return this.world.queue;
  }

  private get members(): readonly ReplicaShape[] {
    return this.world.membership;
  }

  befall(fault: PlannedFault, random: SeededRandom): Befallen | undefined {
    switch (fault.kind) {
      case "partition": return this.partition(random);
      case "one-way-cut": return this.cutSome([this.randomPair(random)], random);
      case "bridge": return this.bridge(random);
      case "ring": return this.ring(random);
      case "isolate": return this.isolate(random);
      case "flap": return this.flap(random, fault.lastsMs);
      case "delay": return this.wireFault(random, "extraMs", random.pick([100, 500, 5_000]), 0);
      case "loss": return this.wireFault(random, "lossRate", random.pick([0.02, 0.2]), 0);
      case "bandwidth": return this.wireFault(random, "bytesPerMs", random.pick([0.5, 8]), Number.POSITIVE_INFINITY);
      case "corruption": return this.wireFault(random, "corruptRate", random.pick([0.01, 0.1]), 0);
      case "altered-entry": return this.wireFault(random, "alterRate", random.pick([0.1, 0.5]), 0);
      case "reordering": return this.reordering(random);
      case "duplication": return this.duplication(random);
      case "reset": return this.reset(random);
      default: return undefined;
    }
  }

  private get regions(): string[] {
    return [...new Set(this.members.map(({ region }) => region))];
  }

  private replicasIn(regions: ReadonlySet<string>): string[] {
    return this.members.filter(({ region }) => regions.has(region)).map(({ replica }) => replica);
  }

  private pairs(): [string, string][] {
    const names = this.members.map(({ replica }) => replica);
    return names.flatMap((a, i) => names.slice(i + 1).map((b): [string, string] => [a, b]));
  }

  private randomPair(random: SeededRandom): [string, string] {
    const pair = random.pick(this.pairs());
    return random.chance(0.5) ? pair : [pair[1], pair[0]];
  }

  /** Cuts directions. */
  private cutSome(wires: readonly (readonly [string, string])[], random: SeededRandom): Befallen {
    const isReset = random.chance(0.5);
    for (const [from, to] of wires) this.world.network.cut(from, to, isReset);
    let over = false;
    return {
      targets: wires.map(([from, to]) => `${from}>${to}`), detail: isReset ? "links break at once" : "links fall silent",
      end: () => {
        if (over) return;
        over = true;
        for (const [from, to] of wires) this.world.network.mend(from, to);
      },
    };
  }

  private bothWays(pairs: readonly (readonly [string, string])[]): [string, string][] {
    return pairs.flatMap(([a, b]): [string, string][] => [[a, b], [b, a]]);
  }

  private between(side: readonly string[], other: readonly string[]): [string, string][] {
    return side.flatMap((a) => other.map((b): [string, string] => [a, b]));
  }

  /** Regions in two parts that do not hear each other. */
  private partition(random: SeededRandom): Befallen {
    const regions = random.shuffled(this.regions);
    const split = random.integer(1, regions.length - 1);
    return this.cutSome(this.bothWays(this.between(this.replicasIn(new Set(regions.slice(0, split))), this.replicasIn(new Set(regions.slice(split))))), random);
  }

  private isolate(random: SeededRandom): Befallen {
    const { replica } = random.pick(this.members);
    return this.cutSome(this.bothWays(this.between([replica], this.members.map((member) => member.replica).filter((other) => other !== replica))), random);
  }

  /** Two parts that only one region hears both of. */
  private bridge(random: SeededRandom): Befallen {
    const [, ...others] = random.shuffled(this.regions);
    const split = Math.ceil(others.length / 2);
    return this.cutSome(this.bothWays(this.between(this.replicasIn(new Set(others.slice(0, split))), this.replicasIn(new Set(others.slice(split))))), random);
  }

  /** Each replica hears its two neighbours only; in small worlds that is a line. */
  private ring(random: SeededRandom): Befallen {
    const names = random.shuffled(this.members.map(({ replica }) => replica));
    const isLine = names.length <= 3;
    const cut = this.pairs().filter(([a, b]) => {
      const distance = Math.abs(names.indexOf(a) - names.indexOf(b));
      return distance !== 1 && (isLine || distance !== names.length - 1);
    });
    return this.cutSome(this.bothWays(cut), random);
  }

  private flap(random: SeededRandom, lastsMs: number): Befallen {
    const [from, to] = this.randomPair(random);
    const wires = random.chance(0.5) ? [[from, to] as const] : this.bothWays([[from, to]]);
    let current: End | undefined;
    let over = false;
    const flip = (): void => {
      if (over) return;
      if (current === undefined) current = this.cutSome(wires, random).end;
      else {
        current();
        current = undefined;
      }
      this.queue.after(random.between(50, Math.max(100, lastsMs / 6)), `${from} ${to} flaps`, flip);
    };
    flip();
    return {
      targets: wires.map(([a, b]) => `${a}>${b}`),
      end: () => {
        over = true;
        current?.();
      },
    };
  }

  private wireFault(random: SeededRandom, what: "extraMs" | "lossRate" | "corruptRate" | "alterRate" | "bytesPerMs", value: number, normal: number): Befallen {
    const [a, b] = this.randomPair(random);
    const wires = random.chance(0.5) ? [[a, b] as const] : this.bothWays([[a, b]]);
    for (const [from, to] of wires) this.world.network.wire(from, to)[what] = value;
    return {
      targets: wires.map(([from, to]) => `${from}>${to}`), detail: `${what} ${value}`,
      end: () => {
        for (const [from, to] of wires) this.world.network.wire(from, to)[what] = normal;
      },
    };
  }

  /** One link of a triangle becomes slow and breaks at the end, so that what it carries comes over the others first. */
  private reordering(random: SeededRandom): Befallen {
    const [from, to] = this.randomPair(random);
    this.world.network.wire(from, to).extraMs = random.between(300, 2_000);
    return {
      targets: [`${from}>${to}`],
      end: () => {
        this.world.network.wire(from, to).extraMs = 0;
        this.world.network.reset(from, to);
      },
    };
  }

  private duplication(random: SeededRandom): Befallen | undefined {
    for (const [a, b] of random.shuffled(this.bothWays(this.pairs()))) if (this.world.network.duplicate(a, b)) return { targets: [`${a}>${b}`] };
    return undefined;
  }

  private reset(random: SeededRandom): Befallen {
    const count = random.integer(1, 3);
    const pairs = random.shuffled(this.pairs()).slice(0, count);
    for (const [a, b] of pairs) this.world.network.reset(a, b);
    return { targets: pairs.map(([a, b]) => `${a}<>${b}`) };
  }
}
