/**
 * The full mesh of replicas over gRPC: one link to each peer, dialled by the replica with the smaller id, or by the
 * other one where that does not succeed in time.
 *
 * Where both sides dial at once, the link dialled by the smaller id stays: each side comes to the same decision alone,
 * because neither counts a link before both have said Hello and the dialer has confirmed.
 */
import { Server, type ServerDuplexStream } from "@grpc/grpc-js";
import type { Hello, Message } from "../core/messages.js";
import type { Random, Timer, Timers, Transport, TransportHandler } from "../core/ports.js";
import { limits } from "../core/limits.js";
import { printable } from "./frame-codec.js";
import { HealthReport } from "./grpc-mesh-health.js";
import { LINK_BOUNDS, type LinkBounds, type LinkCounters, type LinkEnd, type LinkEvents, MeshLink } from "./grpc-mesh-link.js";
import { acceptedStream, bindFault, certificateNames, dialStream, LINK_METHOD, type MeshTls, muteBindFaults, plainReason, SERVER_OPTIONS, serverCredentials } from "./grpc-mesh-streams.js";

export interface MeshLogEntry {
  readonly level: "info" | "warn";
  /** One sentence. */
  readonly sentence: string;
  /** The replica it is about, where it is known. */
  readonly peer?: string;
}

export interface GrpcMeshOptions {
  /** Id of this replica. */
  readonly replica: string;
  /** `host:port` to listen on; port 0 for any (see `address`). */
  readonly listen: string;
  /** `mesh`: the address that this replica dials. */
  readonly peers: Readonly<Record<string, { readonly mesh: string }>>;
  readonly tls: MeshTls | "off";
  readonly timers: Timers;
  readonly random: Random;
  readonly log: (entry: MeshLogEntry) => void;
  readonly bounds?: Partial<MeshBounds>;
}

export interface MeshBounds extends LinkBounds {
  readonly reconnectMinMs: number;
  readonly reconnectMaxMs: number;
  /** How long the larger id waits for the smaller one to dial. */
  readonly patienceMs: number;
  /** Streams that may be without a finished handshake at a time. */
  readonly strangersMax: number;
}

const MESH_BOUNDS: MeshBounds = {
  ...LINK_BOUNDS,
  reconnectMinMs: limits.reconnectMinMs,
  reconnectMaxMs: limits.reconnectMaxMs,
  patienceMs: 1_500,
  strangersMax: 64,
};

export interface PeerCounters extends LinkCounters {
  /** 1 while the link is established. */
  connected: number;
  /** Links established in all. */
  connects: number;
  refused: number;
  malformed: number;
}

export interface MeshCounters {
  readonly connected: number;
  /** Handshakes refused, by either side. */
  readonly refused: number;
  readonly droppedMessages: number;
  readonly malformed: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly peers: Readonly<Record<string, Readonly<PeerCounters>>>;
}

interface Peer {
  readonly id: string;
  readonly address: string;
  /** This replica has the smaller id and dials at once. */
  readonly dialsFirst: boolean;
  readonly counters: PeerCounters;
  link: MeshLink | undefined;
  dialling: MeshLink | undefined;
  timer: Timer | undefined;
  /** Runs while a link has yet to show that it lasts. */
  steady: Timer | undefined;
  failures: number;
  /** Faults logged since the last link, so that each is said once and not at every attempt. */
  readonly complaints: Set<string>;
}

export class GrpcMesh implements Transport, AsyncDisposable {
  private readonly bounds: MeshBounds;
  private readonly peers = new Map<string, Peer>();
  private readonly strangers = new Set<MeshLink>();
  private readonly nobody: PeerCounters = freshCounters();
  private readonly health = new HealthReport(["statusmesh.replication.v1.Replication"]);
  private readonly links = new Set<MeshLink>();
  /** Links that have ended and still say goodbye. */
  private readonly releasing = new Map<MeshLink, Promise<void>>();
  private server: Server | undefined;
  private handler: TransportHandler | undefined;
  private bound = "";
  private closing = false;

  constructor(private readonly options: GrpcMeshOptions) {
    this.bounds = { ...MESH_BOUNDS, ...options.bounds };
    for (const [id, { mesh }] of Object.entries(options.peers)) {
      this.peers.set(id, {
        id,
        address: mesh,
        dialsFirst: options.replica < id,
        counters: freshCounters(),
        link: undefined,
        dialling: undefined,
        timer: undefined,
        steady: undefined,
        failures: 0,
        complaints: new Set(),
      });
    }
  }

  /** Where it listens, with the real port; empty before `open`. */
  get address(): string {
    return this.bound;
  }

  async open(handler: TransportHandler): Promise<void> {
    this.handler = handler;
    muteBindFaults();
    const server = new Server(SERVER_OPTIONS);
    this.server = server;
    server.addService({ link: LINK_METHOD }, { link: (call: ServerDuplexStream<Buffer, Buffer>) => this.accept(call) });
    this.health.addTo(server);
    const { listen, tls } = this.options;
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync(listen, serverCredentials(tls), (error, bound) => (error === null ? resolve(bound) : reject(new Error(bindFault(listen, error.message)))));
    });
    this.bound = `${listen.slice(0, listen.lastIndexOf(":"))}:${port}`;
    if (tls === "off") this.options.log({ level: "warn", sentence: "replication runs in plaintext: tls is off" });
    for (const peer of this.peers.values()) this.dialAfter(peer, peer.dialsFirst ? 0 : this.bounds.patienceMs);
  }

  send(peer: string, message: Message): boolean {
    const known = this.peers.get(peer);
    if (known === undefined) return false;
    if (known.link?.send(message) === true) return true;
    known.counters.droppedMessages++;
    return false;
  }

  queuedBytes(peer: string): number {
    return this.peers.get(peer)?.link?.queuedBytes ?? 0;
  }

  /** What the health service answers; a replica that drains is not serving. */
  setServing(serving: boolean): void {
    this.health.setServing(serving);
  }

  counters(): MeshCounters {
    const total = { connected: 0, refused: 0, droppedMessages: 0, malformed: 0, bytesIn: 0, bytesOut: 0 };
    const peers: Record<string, PeerCounters> = {};
    for (const { id, counters } of this.peers.values()) peers[id] = { ...counters };
    for (const counters of [this.nobody, ...Object.values(peers)]) for (const name of TOTALS) total[name] += counters[name];
    return { ...total, peers };
  }

  async close(): Promise<void> {
    if (this.closing) return;
    this.closing = true;
    this.health.close();
    for (const peer of this.peers.values()) peer.timer?.cancel();
    for (const peer of this.peers.values()) peer.steady?.cancel();
    const released = [...this.releasing.values()];
    for (const link of [...this.links]) {
      released.push(link.released);
      link.close("closed", `${this.options.replica} is shutting down`);
    }
    await Promise.all(released);
    const { server } = this;
    if (server === undefined) return;
    // grpc-js waits for ever for a session that is destroyed and not yet gone; a turn later they are.
    await new Promise((resolve) => setImmediate(resolve));
    await new Promise<void>((resolve) => {
      const force = this.options.timers.after(this.bounds.lingerMs, () => {
        server.forceShutdown();
        resolve();
      });
      server.tryShutdown(() => {
        force.cancel();
        resolve();
      });
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  private dialAfter(peer: Peer, ms: number): void {
    peer.timer?.cancel();
    peer.timer = this.closing ? undefined : this.options.timers.after(ms, () => this.dial(peer));
  }

  private dial(peer: Peer): void {
    if (this.closing || this.handler === undefined || peer.link !== undefined || peer.dialling !== undefined) return;
    const misnamed = (): void => {
      peer.counters.refused++;
      this.complain(peer, `the replica at ${peer.address} is refused: its certificate does not name ${peer.id}`);
    };
    const stream = dialStream(peer.address, peer.id, this.options.tls, misnamed);
    const link = new MeshLink("dialer", peer.id, stream, this.eventsFor(this.handler, undefined), this.options.timers, this.bounds, peer.counters);
    peer.dialling = link;
    this.links.add(link);
  }

  private accept(call: ServerDuplexStream<Buffer, Buffer>): void {
    const stream = acceptedStream(call);
    if (this.closing || this.handler === undefined || this.strangers.size >= this.bounds.strangersMax) {
      call.on("error", () => {});
      stream.destroy();
      return;
    }
    if (!stream.widened) this.options.log({ level: "warn", sentence: "the HTTP/2 windows of a link could not be widened: it will be slow over long distances" });
    const link = new MeshLink("acceptor", undefined, stream, this.eventsFor(this.handler, stream.peerCertificate), this.options.timers, this.bounds, freshCounters());
    this.strangers.add(link);
    this.links.add(link);
  }

  private eventsFor(handler: TransportHandler, certificate: Uint8Array | undefined): LinkEvents {
    return {
      hello: () => handler.hello(),
      greeted: (link, hello) => this.greeted(handler, link, hello, certificate),
      established: (link, hello) => this.established(handler, link, hello),
      received: (link, message, bytes) => {
        if (link.peer !== undefined) handler.received(link.peer, message, bytes);
      },
      closed: (link, end, reason) => this.closed(handler, link, end, reason),
    };
  }

  /** A sentence why the other side is refused, or undefined. */
  private greeted(handler: TransportHandler, link: MeshLink, hello: Hello, certificate: Uint8Array | undefined): string | undefined {
    const name = printable(hello.replica);
    const peer = this.peers.get(hello.replica);
    if (peer === undefined) return `${name} is not a configured peer of ${this.options.replica}`;
    if (link.side === "dialer" && link.peer !== hello.replica) return `the replica dialled as ${link.peer} says that it is ${name}`;
    if (link.side === "acceptor" && this.options.tls !== "off" && (certificate === undefined || !certificateNames(certificate, hello.replica)))
      return `the certificate of the replica that says it is ${name} does not name it`;
    link.belongsTo(peer.id, peer.counters);
    const own = handler.hello();
    if (hello.clusterId !== own.clusterId) return `${name} belongs to the cluster ${printable(hello.clusterId)}, not to ${own.clusterId}`;
    if (hello.protocolVersion !== own.protocolVersion) return `${name} speaks version ${hello.protocolVersion} of the protocol, not ${own.protocolVersion}`;
    if (peer.link !== undefined && this.outranks(peer, peer.link, link)) return `${name} ${TWO_LINKS} with ${this.options.replica}`;
    return handler.admit(hello);
  }

  private established(handler: TransportHandler, link: MeshLink, hello: Hello): void {
    const peer = this.peers.get(hello.replica);
    if (peer === undefined) return;
    this.strangers.delete(link);
    const former = peer.link;
    if (former !== undefined && this.outranks(peer, former, link)) return link.close("closed", "another link to the same replica is kept");
    peer.link = link;
    if (former !== undefined) {
      former.close("closed", "a newer link to the same replica replaces this one");
      handler.disconnected(peer.id, "replaced by a newer link");
    }
    if (peer.dialling === link) peer.dialling = undefined;
    peer.dialling?.close("closed", "another link to the same replica was established first");
    peer.timer?.cancel();
    peer.complaints.clear();
    peer.steady?.cancel();
    peer.steady = this.options.timers.after(this.bounds.reconnectMaxMs, () => {
      peer.failures = 0;
    });
    peer.counters.connected = 1;
    peer.counters.connects++;
    this.options.log({ level: "info", sentence: `the link with ${peer.id} is up, dialled by ${link.side === "dialer" ? this.options.replica : peer.id}`, peer: peer.id });
    handler.connected(peer.id, hello);
  }

  /** True if `former` stays and `later` must go: `former` was dialled by the smaller id, and `later` was not. */
  private outranks(peer: Peer, former: MeshLink, later: MeshLink): boolean {
    const dialledBySmaller = (link: MeshLink): boolean => (link.side === "dialer") === peer.dialsFirst;
    return dialledBySmaller(former) && !dialledBySmaller(later);
  }

  private closed(handler: TransportHandler, link: MeshLink, end: LinkEnd, reason: string): void {
    this.links.delete(link);
    this.strangers.delete(link);
    this.releasing.set(link, link.released);
    void link.released.then(() => this.releasing.delete(link));
    const peer = link.peer === undefined ? undefined : this.peers.get(link.peer);
    const counters = peer?.counters ?? this.nobody;
    if (end === "refused") counters.refused++;
    if (end === "malformed") counters.malformed++;
    if (peer === undefined) {
      link.countInto(this.nobody);
      if (end === "refused" || end === "malformed") this.options.log({ level: "warn", sentence: `a replica was refused: ${printable(reason)}` });
      return;
    }
    if (peer.dialling === link) {
      peer.dialling = undefined;
      if (end !== "closed") this.complain(peer, `no link with ${peer.id} at ${peer.address}: ${printable(plainReason(reason))}`);
      if (peer.link === undefined) this.dialAfter(peer, this.backoffMs(peer));
    } else if (peer.link === link) {
      peer.link = undefined;
      peer.steady?.cancel();
      counters.connected = 0;
      this.options.log({ level: "warn", sentence: `the link with ${peer.id} is down: ${printable(reason)}`, peer: peer.id });
      this.dialAfter(peer, peer.dialsFirst ? this.backoffMs(peer) : this.bounds.patienceMs);
      handler.disconnected(peer.id, reason);
    } else if (end === "refused" || end === "malformed") {
      this.complain(peer, `${peer.id} was refused: ${printable(reason)}`);
    }
  }

  private backoffMs(peer: Peer): number {
    const { reconnectMinMs, reconnectMaxMs } = this.bounds;
    const ceiling = Math.min(reconnectMaxMs, reconnectMinMs * 2 ** Math.min(peer.failures++, 16));
    return ceiling * (0.5 + this.options.random.uniform() / 2);
  }

  private complain(peer: Peer, sentence: string): void {
    if (peer.complaints.has(sentence) || peer.complaints.size >= COMPLAINTS_MAX) return;
    peer.complaints.add(sentence);
    // Two replicas that dial each other at once is how a cluster starts.
    this.options.log({ level: sentence.includes(TWO_LINKS) ? "info" : "warn", sentence, peer: peer.id });
  }
}

const TWO_LINKS = "already has a link";

/** Different faults that are worth a line each between two links. */
const COMPLAINTS_MAX = 16;
const TOTALS = ["connected", "refused", "droppedMessages", "malformed", "bytesIn", "bytesOut"] as const;

function freshCounters(): PeerCounters {
  return { connected: 0, connects: 0, refused: 0, malformed: 0, bytesIn: 0, bytesOut: 0, messagesIn: 0, messagesOut: 0, droppedMessages: 0 };
}
