/**
 * Session tokens: a version vector as opaque text, `v1.` and base64url of `origin=seq` pairs. Any region reads any region's.
 */
import { encodeVector, isOrigin, copyVector, EMPTY_VECTOR, type MutableVector, type Vector } from "../core/vector.js";

const PREFIX = "v1.";
const TOKEN = /^v1\.[A-Za-z0-9_-]*$/;

/** The token of everything that `vector` holds, without the origins in `retired`, which every member holds completely. */
export function encodeToken(vector: Vector, retired: ReadonlySet<string>): string {
  const told: MutableVector = copyVector(EMPTY_VECTOR);
  for (const origin in vector) if (!retired.has(origin)) told[origin] = vector[origin] ?? 0;
  return PREFIX + Buffer.from(encodeVector(told)).toString("base64url");
}

/** Undefined if the token is malformed or longer than `bytesMax`. */
export function decodeToken(token: string, bytesMax: number): Vector | undefined {
  if (token.length > bytesMax || !TOKEN.test(token)) return undefined;
  const vector: MutableVector = copyVector(EMPTY_VECTOR);
  const bytes = Buffer.from(token.slice(PREFIX.length), "base64url");
  // Base64url has more than one spelling of some texts; only the one that we write is a token.
  if (bytes.toString("base64url") !== token.slice(PREFIX.length)) return undefined;
  const text = bytes.toString("latin1");
  if (text === "") return vector;
  for (const pair of text.split(",")) {
    const [origin = "", seq = "", ...rest] = pair.split("=");
    if (rest.length > 0 || !isOrigin(origin) || !/^[1-9][0-9]{0,15}$/.test(seq) || !Number.isSafeInteger(Number(seq))) return undefined;
    vector[origin] = Number(seq);
  }
  return vector;
}
