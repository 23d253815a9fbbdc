/** Opens and serves the gRPC streams that links run on: channel options, windows, certificates. */
import { X509Certificate } from "node:crypto";
import type { Http2Session } from "node:http2";
import type { Duplex } from "node:stream";
import { type ChannelOptions, Client, credentials, ServerCredentials, type ServerDuplexStream, setLogger } from "@grpc/grpc-js";
import { limits } from "../core/limits.js";
import type { LinkStream } from "./grpc-mesh-link.js";
import { ReplicationService } from "./generated/replication.js";

/** PEM texts. */
export interface MeshTls {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

/** Frames are encoded and decoded by `frame-codec.ts`, where a fault is a value. */
const asBytes = (frame: Buffer): Buffer => frame;

const FRAME_OVERHEAD_BYTES = 64 * 1024;

const CONNECTION_OPTIONS: ChannelOptions = {
  "grpc.max_receive_message_length": limits.messageBytesMax + FRAME_OVERHEAD_BYTES,
  "grpc.max_send_message_length": -1,
  "grpc.keepalive_time_ms": 1_000,
  "grpc.keepalive_timeout_ms": 2_000,
};

const CHANNEL_OPTIONS: ChannelOptions = {
  ...CONNECTION_OPTIONS,
  "grpc-node.flow_control_window": limits.linkWindowBytes,
  "grpc.keepalive_permit_without_calls": 1,
  // Reconnecting is the mesh's own business: a channel serves one attempt.
  "grpc.enable_retries": 0,
  "grpc.use_local_subchannel_pool": 1,
  "grpc.service_config_disable_resolution": 1,
  "grpc.enable_http_proxy": 0,
};

export const SERVER_OPTIONS: ChannelOptions = {
  ...CONNECTION_OPTIONS,
  "grpc.max_concurrent_streams": 16,
  "grpc.max_connection_idle_ms": 60_000,
};

export const LINK_METHOD = {
  ...ReplicationService.link,
  requestSerialize: asBytes,
  requestDeserialize: asBytes,
  responseSerialize: asBytes,
  responseDeserialize: asBytes,
} as const;

/** What gRPC says of a failed attempt, without what differs from one attempt to the next. */
export function plainReason(details: string): string {
  return details.replace(/ \(\d{4}-\d\d-\d\dT[^)]*\)/g, "").replace(/\.? *Resolution note: *$/, "");
}

/** Why grpc-js could not listen, as a sentence. */
export function bindFault(listen: string, details: string): string {
  if (details.includes("EADDRINUSE")) return `cannot listen on ${listen}: another program listens there already.`;
  return `cannot listen on ${listen}: ${/ errors: \[(.*)\]$/s.exec(details)?.[1] ?? details}`;
}

/** grpc-js writes a failed bind to stderr although it rejects with it; what else it has to say still goes there. */
export function muteBindFaults(): void {
  const print = (letter: string) => (...words: readonly unknown[]): void => {
    if (!String(words[0]).startsWith("No address added")) console.error(letter, ...words);
  };
  setLogger({ error: print("E"), info: print("I"), debug: print("D") });
}

/** True if a certificate (DER) names this replica as a DNS name of its SAN; common names and wildcards do not count. */
export function certificateNames(raw: Uint8Array, replica: string): boolean {
  try {
    return new X509Certificate(raw).checkHost(replica, { subject: "never", wildcards: false, partialWildcards: false }) !== undefined;
  } catch {
    return false;
  }
}

/** True if `host:port` names the loopback interface. */
export function isLoopback(address: string): boolean {
  return /^(?:127(?:\.\d{1,3}){3}|\[?(?:::1|::ffff:127(?:\.\d{1,3}){3})\]?|localhost):\d+$/i.test(address);
}

/** Dials a replica. `misnamed` is called where the other side's certificate names somebody else. */
export function dialStream(address: string, peer: string, tls: MeshTls | "off", misnamed: () => void): LinkStream {
  const secure = tls === "off" ? credentials.createInsecure() : clientCredentials(tls, peer, misnamed);
  const naming = tls === "off" ? {} : { "grpc.ssl_target_name_override": peer };
  const client = new Client(address, secure, { ...CHANNEL_OPTIONS, ...naming });
  const call = client.makeBidiStreamRequest(LINK_METHOD.path, asBytes, asBytes);
  return {
    frames: call as unknown as Duplex,
    isLocal: isLoopback(address),
    onGone: (callback) => call.once("status", callback),
    destroy: () => {
      call.cancel();
      client.close();
    },
  };
}

function clientCredentials(tls: MeshTls, peer: string, misnamed: () => void): ReturnType<typeof credentials.createSsl> {
  return credentials.createSsl(Buffer.from(tls.ca), Buffer.from(tls.key), Buffer.from(tls.cert), {
    checkServerIdentity: (_host, certificate) => {
      if (certificateNames(certificate.raw, peer)) return undefined;
      misnamed();
      return new Error(`the certificate does not name ${peer}`);
    },
  });
}

export function serverCredentials(tls: MeshTls | "off"): ServerCredentials {
  if (tls === "off") return ServerCredentials.createInsecure();
  return ServerCredentials.createSsl(Buffer.from(tls.ca), [{ cert_chain: Buffer.from(tls.cert), private_key: Buffer.from(tls.key) }], true);
}

/** A stream that a peer opened. `peerCertificate`: DER, undefined in plaintext. */
export function acceptedStream(call: ServerDuplexStream<Buffer, Buffer>): LinkStream & { readonly peerCertificate: Uint8Array | undefined; readonly widened: boolean } {
  const session = sessionOf(call);
  const widened = session !== undefined && widen(session);
  return {
    frames: call as unknown as Duplex,
    isLocal: isLoopback(call.getPeer()),
    peerCertificate: call.getAuthContext().sslPeerCertificate?.raw,
    widened,
    onGone: (callback) => session?.once("close", callback),
    destroy: () => {
      call.destroy();
      // The connection carries this stream only; half dead, it would wait for the peer's word for ever.
      if (session !== undefined && !session.destroyed) session.destroy();
    },
  };
}

/** Opens the receiving windows of a server's connection: `grpc-node.flow_control_window` works for clients only (grpc-js 1.14). */
function widen(session: Http2Session): boolean {
  if (session.destroyed) return false;
  session.settings({ initialWindowSize: limits.linkWindowBytes });
  session.setLocalWindowSize(limits.linkWindowBytes);
  return true;
}

/**
 * The HTTP/2 session below a server's call. grpc-js has no public way to it, so this looks inside; where that fails the
 * link works with small windows, and the mesh says so in its log.
 */
function sessionOf(call: object): Http2Session | undefined {
  let inner: unknown = call;
  for (let depth = 0; depth < 8 && typeof inner === "object" && inner !== null; depth++) {
    const stream: unknown = Reflect.get(inner, "stream");
    if (typeof stream === "object" && stream !== null && "session" in stream) {
      const session: unknown = stream.session;
      return isSession(session) ? session : undefined;
    }
    inner = Reflect.get(inner, depth === 0 ? "call" : "nextCall");
  }
  return undefined;
}

function isSession(value: unknown): value is Http2Session {
  return typeof value === "object" && value !== null && "settings" in value && "setLocalWindowSize" in value;
}
