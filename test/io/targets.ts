/** Real servers on loopback for checks to look at, each closed with its test. */
import { createSocket } from "node:dgram";
import { createServer as createHttp, type RequestListener } from "node:http";
import { createServer as createHttps } from "node:https";
import { createServer as createTcp, type AddressInfo, type Server, type Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import { Server as GrpcServer, ServerCredentials, status, type sendUnaryData, type ServerUnaryCall } from "@grpc/grpc-js";
import { type HealthCheckRequest, type HealthCheckResponse, HealthService } from "../../src/io/generated/grpc/health/v1/health.js";

interface Owner {
  teardown(end: () => unknown): void;
}

export interface Keys {
  readonly cert: string;
  readonly key: string;
}

async function listening(owner: Owner, server: Server): Promise<number> {
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined).on("close", () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  owner.teardown(() => {
    for (const socket of sockets) socket.destroy();
    return new Promise((resolve) => server.close(resolve));
  });
  return (server.address() as AddressInfo).port;
}

/** Ports. `tls`: with this certificate. */
export const httpTarget = (owner: Owner, listener: RequestListener, tls?: Keys): Promise<number> => listening(owner, tls === undefined ? createHttp(listener) : createHttps(tls, listener));
export const tcpTarget = (owner: Owner, connected: (socket: Socket) => void): Promise<number> => listening(owner, createTcp(connected));
export const tlsTarget = (owner: Owner, keys: Keys): Promise<number> => listening(owner, createTlsServer(keys, (socket) => socket.on("error", () => undefined)));

/** A port that nobody listens on. */
export async function grpcTarget(owner: Owner, serving: Readonly<Record<string, number>>, tls?: Keys): Promise<number> {
  const server = new GrpcServer();
  server.addService(HealthService, {
    check: (call: ServerUnaryCall<HealthCheckRequest, HealthCheckResponse>, callback: sendUnaryData<HealthCheckResponse>) => {
      const found = serving[call.request.service];
      if (found === undefined) callback({ code: status.NOT_FOUND, details: "none" });
      else callback(null, { status: found });
    },
    watch: () => undefined,
  });
  const shown = tls === undefined ? ServerCredentials.createInsecure() : ServerCredentials.createSsl(null, [{ cert_chain: Buffer.from(tls.cert), private_key: Buffer.from(tls.key) }]);
  const port = await new Promise<number>((resolve, reject) => server.bindAsync("127.0.0.1:0", shown, (error, bound) => (error === null ? resolve(bound) : reject(error))));
  owner.teardown(() => server.forceShutdown());
  return port;
}

/** Addresses of A records, or by type what its records hold on the wire. */
type Zone = Readonly<Record<string, readonly string[] | Readonly<Record<number, readonly Buffer[]>>>>;

const u16 = (...values: number[]): Buffer => Buffer.from(values.flatMap((value) => [value >> 8, value & 0xff]));
const u32 = (...values: number[]): Buffer => u16(...values.flatMap((value) => [Math.floor(value / 0x10000), value & 0xffff]));
const wireText = (text: string): Buffer => Buffer.concat([Buffer.from([text.length]), Buffer.from(text)]);
const wireName = (name: string): Buffer => Buffer.concat([...name.split(".").map(wireText), Buffer.from([0])]);
/** What records of each type hold on the wire. Source: RFC 1035, 2782, 3596, 8659. */
export const dnsData = {
  address6: (hex: string) => ({ 28: [Buffer.from(hex, "hex")] }), alias: (name: string) => ({ 5: [wireName(name)] }), mail: (priority: number, name: string) => ({ 15: [Buffer.concat([u16(priority), wireName(name)])] }),
  nameServer: (name: string) => ({ 2: [wireName(name)] }), text: (...texts: string[]) => ({ 16: [Buffer.concat(texts.map(wireText))] }), pointer: (name: string) => ({ 12: [wireName(name)] }),
  service: (priority: number, weight: number, port: number, name: string) => ({ 33: [Buffer.concat([u16(priority, weight, port), wireName(name)])] }),
  authority: (tag: string, value: string) => ({ 257: [Buffer.concat([Buffer.from([0]), wireText(tag), Buffer.from(value)])] }),
  start: (server: string, mail: string, ...numbers: number[]) => ({ 6: [Buffer.concat([wireName(server), wireName(mail), u32(...numbers)])] }),
};

/** A DNS server; a name without any records does not exist. */
export async function dnsTarget(owner: Owner, records: Zone): Promise<number> {
  const socket = createSocket("udp4");
  socket.on("message", (query, from) => socket.send(answerTo(query, records), from.port, from.address));
  await new Promise<void>((resolve) => socket.bind(0, "127.0.0.1", resolve));
  owner.teardown(() => new Promise<void>((resolve) => socket.close(() => resolve())));
  return socket.address().port;
}

/** Source: RFC 1035, section 4. */
function answerTo(query: Buffer, records: Zone): Buffer {
  const labels: string[] = [];
  let at = 12;
  for (let length = query[at] ?? 0; length > 0; length = query[at] ?? 0) {
    labels.push(query.subarray(at + 1, at + 1 + length).toString());
    at += length + 1;
  }
  const question = query.subarray(12, at + 5);
  const known = records[labels.join(".").toLowerCase()];
  const type = query.readUInt16BE(at + 1);
  const isPlain = Array.isArray(known);
  const found: readonly Buffer[] = isPlain ? (type === 1 ? known.map((address: string) => Buffer.from(address.split(".").map(Number))) : []) : ((known as Readonly<Record<number, readonly Buffer[]>> | undefined)?.[type] ?? []);
  const header = Buffer.from(query.subarray(0, 12));
  header.writeUInt16BE(known === undefined ? 0x8183 : 0x8180, 2);
  header.writeUInt16BE(found.length, 6);
  header.writeUInt32BE(0, 8);
  const answers = found.map((data) => Buffer.concat([Buffer.from([0xc0, 0x0c]), u16(type, 1), u32(60), u16(data.length), data]));
  return Buffer.concat([header, question, ...answers]);
}
