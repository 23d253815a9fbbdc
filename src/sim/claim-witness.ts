/** Compares what replicas say that they hold with what their disks hold at that moment. */
import type { Hello, Message, Status } from "../core/messages.js";
import type { Vector } from "../core/vector.js";
import { keyspace } from "../store/keyspace.js";
import type { Claim, Claims } from "./history.js";
import type { SimulatedDisk } from "./simulated-disk.js";

/** What the record of a replica's state says of what is durable. */
export interface StoredState {
  readonly incarnation: number;
  readonly hlc: string;
  readonly vector: Vector;
  readonly ahead?: Vector;
  /** Promises and votes of the incarnation. */
  readonly votes: number;
}

/** Undefined where nothing was ever stored, or the disk was emptied. */
export function storedState(disk: SimulatedDisk): StoredState | undefined {
  const stored = disk.peek(keyspace.state);
  return stored === undefined ? undefined : (JSON.parse(Buffer.from(stored).toString()) as StoredState);
}

const TOLD_MAX = 50;
const NOTHING: Pick<StoredState, "vector" | "ahead" | "votes"> = { vector: {}, votes: 0 };

export class ClaimWitness {
  private compared = 0;
  private readonly beyondDisk: Claim[] = [];
  /** The last record of each disk that was parsed. */
  private readonly parsed = new Map<string, { readonly record: Uint8Array | undefined; readonly state: Pick<StoredState, "vector" | "ahead" | "votes"> }>();

  constructor(private readonly diskOf: (replica: string) => SimulatedDisk, private readonly now: () => number) {}

  get claims(): Claims {
    return { compared: this.compared, beyondDisk: this.beyondDisk };
  }

  /** `hello`: a handshake. */
  greeted(replica: string, to: string, hello: Hello): void {
    this.status(replica, to, "a handshake", hello.status);
  }

  sent(replica: string, to: string, message: Message): void {
    switch (message.$case) {
      case "ack": return this.vector(replica, to, "an acknowledgement", message.value.vector);
      case "vectorAnswer": return this.vector(replica, to, "the answer to a region's read", message.value.vector);
      case "heartbeat": return this.status(replica, to, "a heartbeat", message.value.status);
      case "entries":
        for (const { origin, seq } of message.value.entries) this.compare(replica, to, "an entry", origin, seq);
        return;
      case "quorum":
        this.compare(replica, to, "a quorum message", "votes", message.value.position);
        if (message.value.body?.$case === "seeded") this.vector(replica, to, "the answer to one that rejoins", message.value.body.value.vector);
        return;
      default:
    }
  }

  /** A session token for a client: it covers what documents hold beyond the logs, too. */
  token(replica: string, vector: Vector): void {
    const { ahead = {} } = this.stateOf(replica);
    for (const origin in vector) this.compare(replica, "a client", "a session token", origin, vector[origin] ?? 0, ahead[origin]);
  }

  private status(replica: string, to: string, where: string, status: Status | undefined): void {
    if (status === undefined) return;
    this.vector(replica, to, where, status.vector);
    this.compare(replica, to, where, "votes", status.position);
  }

  private vector(replica: string, to: string, where: string, vector: Vector): void {
    for (const origin in vector) this.compare(replica, to, where, origin, vector[origin] ?? 0);
  }

  private compare(replica: string, to: string, where: string, of: string, told: number, ahead = 0): void {
    this.compared++;
    const { vector, votes } = this.stateOf(replica);
    const onDisk = of === "votes" ? votes : Math.max(vector[of] ?? 0, ahead);
    if (told > onDisk && this.beyondDisk.length < TOLD_MAX) this.beyondDisk.push({ replica, atMs: this.now(), to, in: where, of, told, onDisk });
  }

  private stateOf(replica: string): Pick<StoredState, "vector" | "ahead" | "votes"> {
    const disk = this.diskOf(replica);
    const record = disk.peek(keyspace.state);
    const known = this.parsed.get(replica);
    if (known !== undefined && known.record === record) return known.state;
    const state = storedState(disk) ?? NOTHING;
    this.parsed.set(replica, { record, state });
    return state;
  }
}
