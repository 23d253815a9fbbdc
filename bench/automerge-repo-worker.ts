/** A peer of automerge-repo: `source COUNT` makes documents and serves them over TCP, `sink COUNT PORT MS` fetches them all. */
import { ImmutableString } from "@automerge/automerge";
import { NetworkAdapter, Repo, type Message, type PeerId } from "@automerge/automerge-repo";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { deserialize, serialize } from "node:v8";

/** Messages over one socket, each behind its length in 4 bytes. */
class SocketAdapter extends NetworkAdapter {
  private received = Buffer.alloc(0);

  constructor(private readonly socket: Socket) {
    super();
    socket.on("data", (chunk) => this.take(chunk));
    socket.on("error", () => socket.destroy());
  }

  override isReady(): boolean {
    return true;
  }

  override async whenReady(): Promise<void> {}

  override connect(peerId: PeerId): void {
    this.peerId = peerId;
    this.write({ hello: peerId });
  }

  override send(message: Message): void {
    this.write(message);
  }

  override disconnect(): void {
    this.socket.destroy();
  }

  private write(value: object): void {
    const bytes = serialize(value);
    const length = Buffer.alloc(4);
    length.writeUInt32BE(bytes.length);
    this.socket.write(Buffer.concat([length, bytes]));
  }

  private take(chunk: Buffer): void {
    this.received = this.received.length === 0 ? Buffer.from(chunk) : Buffer.concat([this.received, chunk]);
    let offset = 0;
    while (this.received.length - offset >= 4) {
      const end = offset + 4 + this.received.readUInt32BE(offset);
      if (this.received.length < end) break;
      const value = deserialize(this.received.subarray(offset + 4, end)) as Message | { readonly hello: PeerId };
      offset = end;
      if ("hello" in value) this.emit("peer-candidate", { peerId: value.hello, peerMetadata: {} });
      else this.emit("message", value);
    }
    this.received = this.received.subarray(offset);
  }
}

/** The fields of an incident with one update, strings as scalars: the cheapest that Automerge has. */
function incident(i: number): object {
  const text = (value: string): ImmutableString => new ImmutableString(value);
  return {
    name: text(`Slow answers ${i}`), status: text("investigating"),
    updates: { first: { status: text("investigating"), body: text("We are looking into reports of slow answers in one of our regions. Retries usually succeed."), affected: [] } },
  };
}

function source(count: number): void {
  const repo = new Repo({ peerId: "source" as PeerId });
  for (let i = 0; i < count; i++) repo.create(incident(i));
  const server = createServer({ noDelay: true }, (socket) => void repo.networkSubsystem.addNetworkAdapter(new SocketAdapter(socket)));
  server.listen(0, "127.0.0.1", () => process.send?.({ port: (server.address() as AddressInfo).port }));
}

/** Looks every so often how many documents have come: an event for each is not to be had. */
const LOOK_MS = 50;

function sink(count: number, port: number, ms: number): void {
  const started = performance.now();
  const repo = new Repo({ peerId: "sink" as PeerId });
  const look = setInterval(() => {
    const ready = Object.values(repo.handles).filter((handle) => handle.isReady()).length;
    const elapsed = performance.now() - started;
    if (ready < count && elapsed < ms) return;
    clearInterval(look);
    process.send?.({ ready, ms: elapsed });
  }, LOOK_MS);
  const socket = connect({ host: "127.0.0.1", port, noDelay: true }, () => void repo.networkSubsystem.addNetworkAdapter(new SocketAdapter(socket)));
}

process.on("disconnect", () => process.exit());
const [, , role, count = "0", port = "0", ms = "0"] = process.argv;
if (role === "source") source(Number(count));
else sink(Number(count), Number(port), Number(ms));
