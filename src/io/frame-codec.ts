/**
 * Messages to frames and back: batching, compression, and the check that the generated types are the core's.
 *
 * A message is encoded once, when it is sent; a frame is then put together from the encoded messages without encoding
 * them again. What arrives is bounded before it is inflated, and never throws out of here.
 */
import { BinaryReader } from "@bufbuild/protobuf/wire";
import { deflateRaw, deflateRawSync, inflateRawSync } from "node:zlib";
import type * as core from "../core/messages.js";
import type * as coreQuorum from "../core/quorum-messages.js";
import type * as coreAntiEntropy from "../core/anti-entropy-messages.js";
import type * as wireQuorum from "./generated/quorum.js";
import type * as wireAntiEntropy from "./generated/anti_entropy.js";
import { type CompressedBatch, Frame, type Hello as WireHello, Message as WireMessage } from "./generated/replication.js";

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
/** Fails to compile as soon as `proto/` and the message types of the core differ. */
const SHAPES_AGREE: readonly [
  Equal<core.Message, NonNullable<WireMessage["body"]>>,
  Equal<core.Hello, WireHello>,
  Equal<coreQuorum.Quorum, wireQuorum.Quorum>,
  Equal<coreAntiEntropy.AntiEntropy, wireAntiEntropy.AntiEntropy>,
] = [true, true, true, true];
void SHAPES_AGREE;

/** Batches up to this size travel as they are. */
const COMPRESS_OVER_BYTES = 512;
/** Batches without entries or documents are worth a compression only above this. */
const COMPRESS_SMALL_TALK_OVER_BYTES = 4 * 1024;
/** From this size on, deflate runs in Node's thread pool, so that the event loop is not held up. */
const COMPRESS_ASIDE_BYTES = 32 * 1024;
const DEFLATE = { level: 1 } as const;
/** What one frame may hold; a sender stays far below. */
const MESSAGES_PER_FRAME_MAX = 10_000;
const REASON_LENGTH_MAX = 300;

const TAG_BATCH = 0x12; // field 2 of Frame, length-delimited
const TAG_COMPRESSED = 0x1a; // field 3 of Frame
const TAG_MESSAGE = 0x0a; // field 1 of Batch
const TAG_DEFLATED = 0x0a; // field 1 of CompressedBatch
const TAG_INFLATED_BYTES = 0x10; // field 2 of CompressedBatch, varint

/** A message as bytes, waiting for its frame. */
export interface EncodedMessage {
  readonly bytes: Uint8Array;
  /** Carries changes, which compress well. */
  readonly bulky: boolean;
}

export type DecodedFrame =
  | { readonly kind: "hello"; readonly hello: core.Hello }
  | { readonly kind: "messages"; readonly messages: readonly ReceivedMessage[] }
  | { readonly kind: "goodbye"; readonly reason: string }
  | { readonly kind: "malformed"; readonly fault: string };

export interface ReceivedMessage {
  readonly message: core.Message;
  /** Size of the encoded message before compression: the same number on both sides of a link. */
  readonly bytes: number;
}

/** What goes to several peers is encoded, and compressed, once. */
const encodedBefore = new WeakMap<core.Message, EncodedMessage>();
const deflatedBefore = new WeakMap<EncodedMessage, Buffer>();
const plainBefore = new WeakMap<EncodedMessage, Buffer>();

export function encodeMessage(message: core.Message): EncodedMessage {
  const before = encodedBefore.get(message);
  if (before !== undefined) return before;
  const encoded = encodeAnew(message);
  if (message.$case === "entries") encodedBefore.set(message, encoded);
  return encoded;
}

function encodeAnew(message: core.Message): EncodedMessage {
  return { bytes: WireMessage.encode({ body: message }).finish(), bulky: message.$case === "entries" || message.$case === "antiEntropy" || message.$case === "records" };
}

export function encodeHello(hello: core.Hello): Buffer {
  return Buffer.from(Frame.encode({ content: { $case: "hello", value: hello } }).finish());
}

export function encodeGoodbye(reason: string): Buffer {
  return Buffer.from(Frame.encode({ content: { $case: "goodbye", value: { reason } } }).finish());
}

/** A frame that only says that the sender is alive. */
export const KEEPALIVE_FRAME: Buffer = Buffer.from([TAG_BATCH, 0]);

/**
 * One frame of these messages. `done` is called with it, before this returns or, where a large batch is compressed in
 * the thread pool, later; never with an error (what cannot be compressed travels as it is). `compressed`: false where bytes cost nothing.
 */
export function encodeBatch(messages: readonly EncodedMessage[], done: (frame: Buffer) => void, compressed = true): void {
  const only = messages.length === 1 ? messages[0] : undefined;
  const framedBefore = compressed ? deflatedBefore : plainBefore;
  const before = only === undefined ? undefined : framedBefore.get(only);
  if (before !== undefined) {
    done(before);
    return;
  }
  let size = 0;
  let bulky = false;
  for (const message of messages) {
    size += 1 + varintBytes(message.bytes.length) + message.bytes.length;
    bulky ||= message.bulky;
  }
  const head = 1 + varintBytes(size);
  const frame = Buffer.allocUnsafe(head + size);
  let at = putVarint(frame, putByte(frame, 0, TAG_BATCH), size);
  for (const { bytes } of messages) {
    at = putVarint(frame, putByte(frame, at, TAG_MESSAGE), bytes.length);
    frame.set(bytes, at);
    at += bytes.length;
  }
  const batch = frame.subarray(head);
  if (!compressed) {
    if (only !== undefined) plainBefore.set(only, frame);
    done(frame);
  }
  else if (size <= (bulky ? COMPRESS_OVER_BYTES : COMPRESS_SMALL_TALK_OVER_BYTES)) done(frame);
  else if (size < COMPRESS_ASIDE_BYTES) {
    const compressed = smaller(frame, size, deflateRawSync(batch, DEFLATE));
    if (only !== undefined) framedBefore.set(only, compressed);
    done(compressed);
  }
  else {
    deflateRaw(batch, DEFLATE, (error, deflated) => {
      const made = error === null ? smaller(frame, size, deflated) : frame;
      if (only !== undefined) deflatedBefore.set(only, made);
      done(made);
    });
  }
}

function smaller(frame: Buffer, inflatedBytes: number, deflated: Buffer): Buffer {
  const inner = 1 + varintBytes(deflated.length) + deflated.length + 1 + varintBytes(inflatedBytes);
  if (inner >= frame.length) return frame;
  const compressed = Buffer.allocUnsafe(1 + varintBytes(inner) + inner);
  let at = putVarint(compressed, putByte(compressed, 0, TAG_COMPRESSED), inner);
  at = putVarint(compressed, putByte(compressed, at, TAG_DEFLATED), deflated.length);
  at += deflated.copy(compressed, at);
  putVarint(compressed, putByte(compressed, at, TAG_INFLATED_BYTES), inflatedBytes);
  return compressed;
}

/**
 * Decodes one frame. `inflatedBytesMax` bounds what a compressed batch may become. Bytes inside the messages are views
 * into `received` (or into what was inflated from it): who keeps a small part for long copies it.
 */
export function decodeFrame(received: Uint8Array, inflatedBytesMax: number): DecodedFrame {
  const bytes = plain(received);
  try {
    if (bytes[0] === TAG_BATCH) {
      const reader = new BinaryReader(bytes.subarray(1));
      const batch = reader.bytes();
      return reader.pos === reader.len ? decodeBatch(batch) : malformed("a frame with bytes behind its batch");
    }
    const { content } = Frame.decode(bytes);
    switch (content?.$case) {
      case "hello":
        withoutPrototypes(content.value);
        return { kind: "hello", hello: content.value };
      case "goodbye":
        return { kind: "goodbye", reason: printable(content.value.reason) };
      case "compressed":
        return decodeCompressed(content.value, inflatedBytesMax);
      default:
        return malformed("a frame of unknown content");
    }
  } catch (error) {
    return malformed(`a frame that cannot be decoded (${error instanceof Error ? printable(error.message) : "unknown fault"})`);
  }
}

function decodeCompressed({ deflated, inflatedBytes }: CompressedBatch, inflatedBytesMax: number): DecodedFrame {
  if (inflatedBytes > inflatedBytesMax) return malformed(`a batch that would inflate to ${inflatedBytes} bytes, over the bound of ${inflatedBytesMax}`);
  const batch = plain(inflateRawSync(deflated, { maxOutputLength: Math.max(1, inflatedBytes) }));
  if (batch.length !== inflatedBytes) return malformed("a batch that inflates to another size than it says");
  return decodeBatch(batch);
}

/** Throws where the bytes are no batch. */
function decodeBatch(batch: Uint8Array): DecodedFrame {
  const messages: ReceivedMessage[] = [];
  const reader = new BinaryReader(batch);
  while (reader.pos < reader.len) {
    if (reader.uint32() !== TAG_MESSAGE) return malformed("a batch that holds something else than messages");
    const bytes = reader.bytes();
    if (messages.length === MESSAGES_PER_FRAME_MAX) return malformed("too many messages in one frame");
    messages.push({ message: decodeMessage(bytes), bytes: bytes.length });
  }
  return { kind: "messages", messages };
}

/** Decodes one message that `encodeMessage` made. Throws where the bytes are none. */
export function decodeMessage(bytes: Uint8Array): core.Message {
  const { body } = WireMessage.decode(bytes);
  if (body === undefined) throw new TypeError("a message of unknown kind");
  if (body.$case !== "entries") withoutPrototypes(body.value);
  return body;
}

/**
 * Gives every map keyed by the peer's words a null prototype, in place, so that no key can reach one. Maps hold numbers
 * only, so an object of nothing but numbers is taken for one; a small message that looks the same loses nothing by it.
 */
function withoutPrototypes(value: object): void {
  let map = true;
  for (const member of Object.values(value)) {
    if (typeof member === "number") continue;
    map = false;
    if (typeof member === "object" && member !== null && !ArrayBuffer.isView(member)) withoutPrototypes(member);
  }
  if (map && !Array.isArray(value)) Object.setPrototypeOf(value, null);
}

/** The same bytes, not as a Buffer: its `slice` and its text form are another contract than the core's. */
function plain(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function malformed(fault: string): DecodedFrame {
  return { kind: "malformed", fault };
}

/** A peer's words, fit for a log line. */
export function printable(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, "?").slice(0, REASON_LENGTH_MAX);
}

function varintBytes(value: number): number {
  let bytes = 1;
  for (let rest = value; rest > 0x7f; rest = Math.floor(rest / 128)) bytes++;
  return bytes;
}

function putVarint(target: Buffer, offset: number, value: number): number {
  let at = offset;
  let rest = value;
  for (; rest > 0x7f; rest = Math.floor(rest / 128)) target[at++] = (rest & 0x7f) | 0x80;
  target[at++] = rest;
  return at;
}

function putByte(target: Buffer, offset: number, value: number): number {
  target[offset] = value;
  return offset + 1;
}
