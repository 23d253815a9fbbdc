/** How many bytes protobuf makes of an anti-entropy message: what a round costs is counted, not guessed. Same shapes as `proto/anti_entropy.proto`. */
import type { AntiEntropy, AntiEntropyBody, DocumentChange, DocumentVector, WantedDocument } from "./anti-entropy-messages.js";

/** The encoded size of a message, bytes. */
export function messageBytes(message: AntiEntropy): number {
  const body = message.body === undefined ? 0 : nested(bodyBytes(message.body));
  return number(message.session) + flag(message.fromInitiator) + sum(message.pages, listedText) + body;
}

/** The encoded size of the entry of one document in a message that lists vectors. */
export function vectorBytes(document: DocumentVector | WantedDocument): number {
  const name = "document" in document ? text(document.document) : number(document.index);
  return nested(name + packed(document.origins) + packed(document.positions));
}

/** The encoded size of one change within a `Changes` message. */
export function changeBytes(change: DocumentChange): number {
  return nested(number(change.origin) + number(change.seq) + bytes(change.body));
}

function bodyBytes(body: AntiEntropyBody): number {
  switch (body.$case) {
    case "start":
      return number(body.value.format) + bytes(body.value.root) + bytes(body.value.vectorHash) + number(body.value.documents);
    case "started": {
      const { format, equal, root, documents, digests, sameVector, vector } = body.value;
      const entries = sum(Object.entries(vector), ([origin, position]) => nested(text(origin) + number(position)));
      return number(format) + flag(equal) + bytes(root) + number(documents) + bytes(digests) + flag(sameVector) + entries;
    }
    case "digests":
      return (
        number(body.value.parentDepth) +
        number(body.value.depth) +
        packed(body.value.parents) +
        bytes(body.value.digests) +
        flag(body.value.list)
      );
    case "differing":
      return number(body.value.depth) + packed(body.value.nodes);
    case "listing":
      return (
        number(body.value.depth) + packed(body.value.nodes) + packed(body.value.counts) + bytes(body.value.entries) + flag(body.value.more)
      );
    case "vectors": {
      const { origins, documents, leaves, depth, nodes, hashes } = body.value;
      return sum(origins, listedText) + sum(documents, vectorBytes) + bytes(leaves) + number(depth) + packed(nodes) + bytes(hashes);
    }
    case "wanted":
      return sum(body.value.origins, listedText) + sum(body.value.documents, vectorBytes);
    case "changes": {
      const { chunk, last, origins, documents } = body.value;
      const given = sum(documents, (document) => nested(text(document.document) + sum(document.changes, changeBytes)));
      return number(chunk) + flag(last) + sum(origins, listedText) + given;
    }
    case "progress":
      return number(body.value.chunk);
    case "done": {
      const { root, repaired, diverged, failed, chunks, more } = body.value;
      return bytes(root) + packed(repaired) + packed(diverged) + number(failed) + number(chunks) + flag(more);
    }
    case "ended":
      return text(body.value.reason);
  }
}

/** All field numbers are below 16, so every tag is one byte; a field at its default is left out. */
const TAG = 1;

function varint(value: number): number {
  let length = 1;
  for (let rest = value; rest >= 128; rest = Math.floor(rest / 128)) length++;
  return length;
}

function number(value: number): number {
  return value === 0 ? 0 : TAG + varint(value);
}

function flag(value: boolean): number {
  return value ? TAG + 1 : 0;
}

function nested(length: number): number {
  return TAG + varint(length) + length;
}

function bytes(value: Uint8Array): number {
  return value.length === 0 ? 0 : nested(value.length);
}

function text(value: string): number {
  return value === "" ? 0 : listedText(value);
}

function listedText(value: string): number {
  let length = 0;
  for (let i = 0; i < value.length; i++) {
    const code = value.charCodeAt(i);
    length += code < 0x80 ? 1 : code < 0x800 || (code >= 0xd800 && code < 0xe000) ? 2 : 3;
  }
  return nested(length);
}

function packed(values: readonly number[]): number {
  return values.length === 0 ? 0 : nested(sum(values, varint));
}

function sum<T>(values: readonly T[], size: (value: T) => number): number {
  let total = 0;
  for (const value of values) total += size(value);
  return total;
}
