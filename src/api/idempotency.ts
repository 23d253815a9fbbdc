/** Idempotency keys: what makes two requests the same one, and ids that every region derives alike from it. */
import { hash } from "node:crypto";
import type { Json } from "../core/change.js";
import { canonical } from "../core/document.js";
import { Fault } from "../core/errors.js";
import type { RouteRequest } from "../store/route-context.js";
import { apiLimits } from "./api-limits.js";

export interface Idempotency {
  /** Hash of (page, method, path, key). */
  readonly scope: string;
  /** Hash of the body in canonical form. */
  readonly request: string;
}

const PRINTABLE = /^[\x20-\x7e]+$/;

/** Undefined if the request has no key. */
export function idempotencyOf(request: RouteRequest): Idempotency | undefined | Fault {
  const key = request.headers["idempotency-key"];
  if (key === undefined) return undefined;
  if (typeof key !== "string" || key.length > apiLimits.idempotencyKeyLengthMax || !PRINTABLE.test(key)) {
    return new Fault("malformed", `An Idempotency-Key has 1 to ${apiLimits.idempotencyKeyLengthMax} printable ASCII characters.`);
  }
  const path = request.url.split("?", 1)[0] ?? "";
  const page = (request.params as { readonly page?: string } | null | undefined)?.page ?? "~";
  const scope = hash("sha256", JSON.stringify([page, request.method, path, key]), "base64url");
  const body = request.body === undefined ? "" : canonical(request.body as Json);
  return { scope, request: hash("sha256", body, "base64url") };
}

/** 26 characters of [0-9a-v], the same wherever the same request is answered. */
export function derivedId({ scope, request }: Idempotency, purpose: string): string {
  return idText(Buffer.from(hash("sha256", `${scope} ${request} ${purpose}`, "hex"), "hex"));
}

const ALPHABET = "0123456789abcdefghijklmnopqrstuv";

/** The first 128 bits as 26 characters of base 32. */
export function idText(bytes: Uint8Array): string {
  let text = "";
  let bits = 0;
  let held = 0;
  for (let i = 0; i < 16; i++) {
    held = (held << 8) | (bytes[i] ?? 0);
    bits += 8;
    while (bits >= 5) {
      bits -= 5;
      text += ALPHABET[(held >> bits) & 31];
    }
    held &= (1 << bits) - 1;
  }
  return text + ALPHABET[(held << (5 - bits)) & 31];
}
